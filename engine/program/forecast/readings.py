"""The work of what needs no corruption: attention, the logit lens, direct logit attribution, patchscopes."""

from __future__ import annotations

from collections.abc import Iterable

from nncirc.circuits.graph import Graph
from nncirc.engine.metrics import Metric
from nncirc.engine.program.forecast.methods import Prompts, forward
from nncirc.engine.program.forecast.work import NOTHING, Sizes, Work

# Of direct attribution: what is done with a sender at a place, in float64, and small operations of a column.
LATE_ADDITIONS, OPERATIONS_OF_A_COLUMN = 8, 400


def statistics(sizes: Sizes, prompts: Prompts, kinds: int) -> Work:
    """The attention pattern of every head on some prompts, and its means over pairs of so many kinds."""
    pairs = sizes.layers * sizes.heads * prompts.tokens * prompts.length
    means = Work.of(10 * kinds, add=4 * kinds * pairs / sizes.d_model)
    return forward(sizes, prompts) + Work.of(2 * sizes.layers, attend=0.5 * pairs) + means


def copying(sizes: Sizes) -> Work:
    """The eigenvalues of every head's OV circuit."""
    d, h = sizes.d_model, sizes.d_head
    each = d * d * h + d * h * h + 25 * h**3  # eigenvalues: about 25 n³ (Golub & Van Loan 2013, 7.5.6)
    return Work.of(1, float64=sizes.vocabulary * d * d + sizes.layers * sizes.heads * each)


def lens(sizes: Sizes, prompts: Prompts, metric: Metric, stages: int, columns: int) -> Work:
    """The logit lens on some prompts, of so many stages, at all columns together `prompts.read` positions."""
    at_all = stages * prompts.positions
    read = Work.of(columns * stages, metric=at_all * _distributions(metric))
    return forward(sizes, prompts) + Work.of(stages + 1, unembed=at_all + prompts.positions) + read


def _distributions(metric: Metric) -> int:
    """How many distributions are made where one is read: a divergence makes the model's own each time."""
    return 2 if metric.measure.against_clean else 1


def patchscopes(
    sizes: Sizes,
    prompts: Prompts,
    targets: Iterable[Prompts],
    metric: Metric,
    stages: int,
    columns: int,
) -> Work:
    """Patchscopes of some source prompts, all columns together `prompts.read` positions of each.

    Args:
        sizes: of the model.
        prompts: the source prompts.
        targets: their target prompts, by length.
        metric: what is read.
        stages: how many states are put into them, one at a time.
        columns: positions that these come from.
    """
    calls, positions = stages * columns, stages * prompts.positions
    runs = (forward(sizes, Prompts(p.count * prompts.read, p.length)) for p in targets)
    # What is a run for all columns together are runs for each.
    each = sum((Work({part: (columns * n, rows) for part, n, rows in run}) for run in runs), NOTHING)
    read = Work.of(columns, unembed=prompts.positions) + Work.of(calls, unembed=positions)
    return (
        forward(sizes, prompts)
        + each * stages
        + read
        + Work.of(calls, metric=positions * _distributions(metric))
    )


def direct(sizes: Sizes, graph: Graph, prompts: Prompts, columns: int) -> Work:
    """Direct logit attribution on some prompts, all columns together `prompts.read` positions of each."""
    senders = len(graph.senders)
    heads = Work.of(columns * sizes.layers, out=sizes.layers * sizes.heads * prompts.positions)
    products = Work.of(columns, sum=senders * prompts.positions)
    late = Work.of(OPERATIONS_OF_A_COLUMN * columns, add=LATE_ADDITIONS * senders * prompts.positions)
    return forward(sizes, prompts) + heads + products + late


def in_context(sizes: Sizes, prompts: Prompts) -> Work:
    """Losses at an early and at a late token."""
    positions = 2 * prompts.count
    return forward(sizes, prompts) + Work.of(1, unembed=positions, metric=positions)
