"""The work of causal tracing, steering, function vectors and path patching, from their arguments."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from nncirc.circuits.graph import Graph
from nncirc.circuits.nodes import Node
from nncirc.circuits.reference import expand
from nncirc.engine.contrast import Contrast
from nncirc.engine.interventions import in_traces
from nncirc.engine.metrics import Metric
from nncirc.engine.program.forecast.methods import Prompts, blocks, forward, intervals, outputs, prompts_of
from nncirc.engine.program.forecast.work import NOTHING, Sizes, Work
from nncirc.engine.restoration import PAPERS_WINDOW
from nncirc.engine.wiring import Wiring

# Of an edit: the new value, whether it is finite, copies; and small operations of each of its rows.
ADDITIONS_OF_AN_EDIT = 6
OPERATIONS_OF_AN_EDIT, OPERATIONS_OF_A_ROW = 60, 12
# Of a layer's attention in a residual stream: queries, keys and values by head, sums, copies.
ADDITIONS_OF_A_LAYER = 24
OPERATIONS_OF_A_LAYER = 100


def restored(layers: int, of: str, window: int | None, sever: str) -> list[range]:
    """The layers that are edited in each row of causal tracing, at one position.

    Arguments as of `causal_tracing`; a state behind the last layer is before one more.
    """
    if of == "states":
        return [range(n + 1, layers + 1 if sever != "none" else n + 2) for n in range(layers)]
    width = PAPERS_WINDOW if window is None else window
    starts = [layer - width // 2 for layer in range(layers)]
    return [range(max(0, start), min(layers, start + width)) for start in starts]


def steered(graph: Graph, nodes: str | Sequence[str], *, together: bool) -> list[range]:
    """The layers that are edited in each row of steering."""
    names = {name for term in ([nodes] if isinstance(nodes, str) else nodes) for name in expand(graph, term)}
    layers = [Node.parse(name).layer or 0 for name in graph.senders if name in names]
    if together:
        return [range(min(layers), max(layers) + 1)]
    return [range(layer, layer + 1) for layer in layers]


def edited(sizes: Sizes, contrast: Contrast, metric: Metric, rows: Sequence[range]) -> Work:
    """Runs in which something else stands at some layers, in the groups that run together.

    Args:
        sizes: of the model.
        contrast: the prompts.
        metric: what is measured.
        rows: the layers that are edited in each run, in the order of the method. Those before the first of a
            group are not computed.
    """
    found = NOTHING
    for batch, prompts in zip(contrast.batches, prompts_of(contrast, metric), strict=True):
        # The residual stream of the run that is edited.
        found += forward(sizes, prompts)
        for group in in_traces(contrast, batch, metric, rows):
            many = replace(prompts, count=len(group) * prompts.count)
            sites = len(set().union(*group))
            computed = 1 - min(layers.start for layers in group) / sizes.layers
            found += blocks(sizes, many) * computed
            found += Work.of(computed, forward=0) + Work.of(1 - computed, trace=0)
            found += Work.of(1, unembed=many.positions, metric=many.positions)
            calls = OPERATIONS_OF_AN_EDIT * sites + OPERATIONS_OF_A_ROW * len(group)
            found += Work.of(calls, add=ADDITIONS_OF_AN_EDIT * sites * many.tokens)
    return found + intervals(contrast, len(rows))


def mean_outputs(sizes: Sizes, batches: Sequence[Prompts], heads: int) -> Work:
    """The mean of what some heads write at the end of some prompts."""
    runs = sum((forward(sizes, prompts) for prompts in batches), NOTHING)
    return runs + Work.of(heads * len(batches), out=heads * sum(prompts.count for prompts in batches))


# Path patching ---------------------------------------------------------------------------------------------


def paths(
    sizes: Sizes,
    contrast: Contrast,
    graph: Graph,
    metric: Metric,
    receivers: Sequence[int],
    carriers: Collection[int],
    columns: int,
) -> Work:
    """All paths from senders to some receivers.

    Args:
        sizes: of the model.
        contrast: the prompts.
        graph: whose senders are patched.
        metric: what is measured.
        receivers: the receivers, as indices.
        carriers: the senders that carry, as indices.
        columns: how many positions, one at a time.
    """
    rows = graph.reach[max(receivers)] * columns
    found = NOTHING
    for batch, prompts in zip(contrast.batches, prompts_of(contrast, metric), strict=True):
        # The state of the clean run, and what senders write in both runs.
        found += forward(sizes, prompts) + outputs(sizes, graph, prompts) * 2
        found += Work.of(1, add=3 * len(graph.senders) * prompts.tokens)
        for group in in_traces(contrast, batch, metric, range(rows)):
            many = replace(prompts, count=len(group) * prompts.count)
            found += sum(_stages(sizes, graph, receivers, carriers, many), Work.of(1, trace=0))
            found += Work.of(1, unembed=many.positions, metric=many.positions)
    return found + intervals(contrast, rows)


def _stages(
    sizes: Sizes, graph: Graph, receivers: Collection[int], carriers: Collection[int], prompts: Prompts
) -> Iterator[Work]:
    """What is computed of every stage: what the carriers carry to the receivers, and all behind these."""
    wiring, tokens = Wiring.of(graph), prompts.tokens
    first, last = (wiring.stage_of[each] for each in (min(receivers), max(receivers)))
    for number, stage in enumerate(wiring.stages[:-1]):
        if stage.kind == "mlp":
            runs = (number < last and wiring.mlp_sender[stage.layer] in carriers) + (number >= first)
            yield Work.of(runs, mlp=runs * tokens, add=4 * runs * tokens)
            continue
        # Heads that write, and how often queries, keys and values are made of a stream.
        senders = wiring.head_sender[stage.layer]
        carried = sum(sender in carriers for sender in senders) if number < last else 0
        passes, heads, streams = int(carried > 0), carried, int(carried > 0)
        if number >= first:
            told = any(receiver in receivers for receiver in stage.receivers)
            passes, heads, streams = passes + 1, heads + sizes.heads, streams + 1 + told
        made = (streams * sizes.units + heads) / (sizes.units + sizes.heads)
        yield Work.of(passes, project=made * tokens, attend=passes * sizes.heads * tokens * prompts.length)
        yield Work.of(OPERATIONS_OF_A_LAYER * passes, add=ADDITIONS_OF_A_LAYER * passes * tokens)
