"""ACDC, automatic circuit discovery (Conmy et al. 2023, algorithm 1), exactly.

`definition` is the algorithm as the paper has it: one run of the model for every edge that is tested. `acdc`
gives its circuit edge for edge, by `engine.methods.acdc_fast`, which does not run what cannot change; or by
the definition itself (`sequential`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import torch

from nncirc.circuits.annotations import Positive
from nncirc.circuits.arguments import public
from nncirc.circuits.circuit import Circuit, prune
from nncirc.circuits.errors import MethodError
from nncirc.circuits.graph import Graph
from nncirc.circuits.made import Made
from nncirc.circuits.names import Edge
from nncirc.circuits.rounding import decimals, rounded
from nncirc.engine.evaluation.faithfulness import cut_metric
from nncirc.engine.methods.acdc_fast import Measured, Sweep
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import Zero
from nncirc.engine.runs.journal import Journal
from nncirc.engine.runs.normalization import Loss

CANONICAL_BATCH = 8


class Found(NamedTuple):
    """The edges that are kept, with the rise of the loss when each was tested; and how many were tested."""

    kept: dict[Edge, float]
    tested: int


def definition(
    graph: Graph,
    loss: Callable[[frozenset[Edge]], float],
    threshold: float,
    progress: Callable[[int, int], None] | None = None,
) -> Found:
    """Algorithm 1 of Conmy et al. 2023.

    Receivers come in reverse topological order, from the output back; the parents of each from the latest to
    the earliest. The edge from a parent is removed for good if the loss rises by less than the threshold. A
    receiver whose node has no outgoing edge left loses its incoming ones untested, as in the authors' code.

    Args:
        graph: the edges to choose from.
        loss: of the model in which these edges are removed: they carry the corrupted activation.
        threshold: τ.
        progress: called with edges decided and edges in all.
    """
    removed: frozenset[Edge] = frozenset()
    kept: dict[Edge, float] = {}
    heard: set[str] = set()  # the senders of the edges that are kept
    tested = done = 0
    for receiver in reversed(range(len(graph.receivers))):
        name = graph.receivers[receiver]
        incoming = [Edge(graph.senders[parent], name) for parent in reversed(graph.heard(receiver))]
        if name in graph.sinks or not heard.isdisjoint(graph.outputs[name]):
            before = loss(removed)
            for edge in incoming:
                after = loss(removed | {edge})
                if after - before < threshold:
                    removed, before = removed | {edge}, after
                else:
                    kept[edge] = after - before
                    heard.add(edge.sender)
            tested += len(incoming)
        else:
            removed |= set(incoming)
        done += len(incoming)
        if progress is not None:
            progress(done, graph.n_edges)
    return Found(kept, tested)


class ExactLoss:
    """The loss with some edges removed, by one masked forward: the same number on every run.

    The batch and the number of threads change how sums are rounded; here both are fixed. So a circuit depends
    on neither: where the fast way comes so near the threshold that rounding could decide, these decide.
    """

    def __init__(self, contrast: Contrast, graph: Graph, metric: Metric, of: Loss = "metric") -> None:
        self.given, self.graph, self.metric, self.of = contrast, graph, metric, of
        self.known: dict[frozenset[Edge], float] = {}  # what is after a removal is before the next test

    def __call__(self, removed: frozenset[Edge]) -> float:
        """The loss, in the metric's unit."""
        found = self.known.pop(removed, None)
        self.known[removed] = self.measured(removed) if found is None else found
        if len(self.known) > 4:  # the one that was asked for longest ago
            del self.known[next(iter(self.known))]
        return self.known[removed]

    def measured(self, removed: frozenset[Edge]) -> float:
        """The loss, measured anew."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            values = cut_metric(self.canonical, self.graph, self.metric, removed)
            return float(self.canonical.loss(self.metric, values[None], self.of))
        finally:
            torch.set_num_threads(threads)

    @cached_property
    def canonical(self) -> Contrast:
        """The contrast in batches of a fixed size."""
        given = self.given
        return Contrast(given.model, given.dataset, given.corruption, batch=CANONICAL_BATCH)


@public
def acdc(
    contrast: Contrast,
    graph: Graph,
    metric: Metric,
    *,
    threshold: float,
    loss: Loss = "metric",
    sequential: bool = False,
    depth: Positive | None = None,
    journal: Journal | None = None,
    measured: Measured | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Circuit:
    """The circuit that ACDC finds, pruned to what lies between `embed` and `logits`.

    Args:
        contrast: model, prompts and corruption; cut edges carry the corrupted activation.
        graph: the edges to choose from.
        metric: what the circuit is to keep.
        threshold: an edge is removed if the loss rises by less, in the metric's unit.
        loss: `metric`: minus the metric, or the metric itself for a divergence, so that edges go whose
            removal raises the metric beyond the whole model's. `distance`: how far the mean of the metric
            over prompts is from the whole model's, |m(C) - m(M)|, as faithfulness has it: prompts above and
            below make up for each other, which `kl_divergence` does not allow.
        sequential: whether to run the definition instead of its equal. Under zero ablation in less than
            float64 it always runs: use float64 there to be fast. So it does for metrics of which nobody can
            say how far rounding moves them, as counts; and for graphs of neurons: find the layers that matter
            with whole MLPs, and split few.
        depth: candidates that are tried at once; None to choose as it goes.
        journal: keeps what was decided, and gives back what an earlier run had decided, which is not
            tested again; not used by the definition.
        measured: what runs with other thresholds on the same contrast, graph, metric and loss have measured:
            this one takes from it and adds to it.
        progress: called with edges decided and edges in all, from the first on that is not from the journal.

    Returns:
        The circuit; an edge's score is by how much the loss rose when it was tried to be cut.

    Raises:
        MethodError: C531, the threshold is not a finite number of at least 0.
    """
    _check(threshold)
    exact = ExactLoss(contrast, graph, metric, loss)
    if (
        sequential
        or not contrast.model.alone
        or graph.neuron_counts
        or _amplifies_rounding(contrast)
        or metric.measure.sensitivity(0.0) == math.inf
    ):
        found = definition(graph, exact, threshold, progress)
    else:
        sweep = Sweep(contrast, graph, metric, threshold, loss, exact, measured)
        found = Found(sweep.run(depth, journal, progress), sweep.tested)
    made: Made = {
        "method": "acdc",
        "threshold": threshold,
        "loss": loss,
        "direction": "noise",
        "score": "rise of the loss when the edge is cut",
        "tested": found.tested,
        **contrast.facts(metric),
    }
    places = decimals(found.kept.values(), contrast.model.digits)
    rises: Mapping[Edge, float] = {edge: rounded(rise, places) for edge, rise in found.kept.items()}
    return prune(Circuit(graph, rises, made=made))


@public
def acdc_family(
    contrast: Contrast,
    graph: Graph,
    metric: Metric,
    *,
    thresholds: Sequence[float],
    loss: Loss = "metric",
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Circuit, ...]:
    """The circuits of several thresholds, each what `acdc` finds for it alone.

    What one member measured is not measured again by another for as long as both have decided alike.

    Args:
        contrast: model, prompts and corruption.
        graph: the edges to choose from.
        metric: as in `acdc`.
        thresholds: one for each circuit.
        loss: as in `acdc`.
        progress: called with edges decided and edges in all, over all members.

    Raises:
        MethodError: C531, a threshold is not a finite number of at least 0.
    """
    for threshold in thresholds:
        _check(threshold)
    measured = Measured()
    return tuple(
        acdc(
            contrast,
            graph,
            metric,
            threshold=threshold,
            loss=loss,
            measured=measured,
            progress=None if progress is None else _part(progress, number, len(thresholds)),
        )
        for number, threshold in enumerate(thresholds)
    )


def _part(progress: Callable[[int, int], None], number: int, of: int) -> Callable[[int, int], None]:
    """Progress of one member as progress of the family."""
    return lambda done, total: progress(number * total + done, of * total)


def _amplifies_rounding(contrast: Contrast) -> bool:
    """Whether rounding can grow without a bound that is known beforehand.

    Cutting all edges into a node to zero leaves it what rounding leaves of a sum that should be nothing, and
    its norm brings that to the size of a signal. In float64 so little is left that nothing comes of it.
    """
    return isinstance(contrast.corruption, Zero) and contrast.model.dtype != torch.float64


def _check(threshold: float) -> None:
    if not 0 <= threshold < math.inf:
        raise MethodError(
            "C531",
            f"`threshold` must be finite and at least 0, got {threshold}",
            hint="write threshold = 0.02",
        )
