"""`python -m benchmarks.faithfulness`: how faithful every method's circuits are, on prompts it has not seen.

The bundled `ioi-4l` on IOI, as in `examples/ioi.circ`. Every method finds circuits of MIB's sizes on some
prompts; they are measured on these and on others, drawn with another seed. Prints the tables of
`docs/evaluation.md`.
"""

from __future__ import annotations

import statistics
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

import torch
from benchmarks.methods import KL

from nncirc.circuits.areas import SHARES, cmd, cpr, mib_sizes
from nncirc.circuits.chance import random_circuits
from nncirc.circuits.circuit import Circuit
from nncirc.circuits.graph import Graph, owner
from nncirc.circuits.intervals import USUAL, Estimate
from nncirc.circuits.names import Edge
from nncirc.engine.data.corrupt import replace
from nncirc.engine.data.template import template_dataset
from nncirc.engine.evaluation.faithfulness import Baseline, circuit_metric, cut_metric
from nncirc.engine.methods.acdc import acdc_family
from nncirc.engine.methods.activation_patching import activation_patching
from nncirc.engine.methods.attribution_patching import attribution_patching
from nncirc.engine.methods.scores import EdgeScores, Rank
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.model.loading import load_bundled
from nncirc.engine.model.model import Model
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import Resample

RECOVERED = Metric("logit_diff", normalize=True)

THRESHOLDS = tuple(10 ** (-6 + number / 5) for number in range(31))
"""Those of ACDC's paper for IOI, 10^linspace(-6, 0, 31): nats of KL, shares of the logit difference."""

STEPS = 5

SATURATED = Edge("embed", "MLP0")
"""Without it nothing is left, and the gradient on the clean run says that it hurts a little."""

Sizes: TypeAlias = tuple[Circuit, ...]
"""A circuit for each of `SHARES`."""

Scoring: TypeAlias = Callable[[Contrast, Graph], EdgeScores]


@dataclass(frozen=True, slots=True)
class Found:
    """What a method found.

    Attributes:
        method: its name.
        rank: how its scores are ranked; what it ranks by where it has no scores.
        draws: its circuits; several times where it draws them.
        scores: what they are ranked by, where it has scores.
    """

    method: str
    rank: str
    draws: tuple[Sizes, ...]
    scores: EdgeScores | None = None


# Methods --------------------------------------------------------------------------------------------------


def node_patching(contrast: Contrast, graph: Graph, *, ends: bool) -> EdgeScores:
    """Edges by what patching nodes does to the metric, one node after the other (noising).

    A node's effect is by how much the metric falls with its output corrupted. An edge has its sender's, or,
    with `ends`, the lesser of both ends', so that the first k edges join the nodes that matter; the logits
    matter more than any node.
    """
    patched = activation_patching(contrast, graph, RECOVERED, direction="noise")
    effects = {node: 1 - row[0] for node, row in zip(patched.nodes, patched.values, strict=True)}

    def effect(edge: Edge) -> float:
        nodes = (edge.sender, owner(edge.receiver)) if ends else (edge.sender,)
        return min((effects[node] for node in nodes if node in effects), key=abs)

    return EdgeScores(graph, {edge: effect(edge) for edge in graph.edges()}, patched.made)


SIGNED: tuple[Rank, ...] = ("signed", "absolute")
SCORINGS: Mapping[str, tuple[Scoring, tuple[Rank, ...]]] = {
    "EAP": (partial(attribution_patching, metric=RECOVERED), SIGNED),
    "EAP-IG inputs": (partial(attribution_patching, metric=RECOVERED, steps=STEPS), SIGNED),
    "EAP-IG activations": (
        partial(attribution_patching, metric=RECOVERED, steps=STEPS, along="activations"),
        SIGNED,
    ),
    # Its scores are magnitudes: there is no sign to rank by.
    "AtP*": (partial(attribution_patching, metric=RECOVERED, correct_qk=True, grad_drop=True), ("absolute",)),
    "RelP": (partial(attribution_patching, metric=RECOVERED, rule="relp"), SIGNED),
    "node patching, sender": (partial(node_patching, ends=False), SIGNED),
    "node patching, both ends": (partial(node_patching, ends=True), SIGNED),
}
DISCOVERIES: Mapping[str, Metric] = {"ACDC, KL": KL, "ACDC, logit difference": RECOVERED}
RANDOM = "random"
METHODS = (*DISCOVERIES, *SCORINGS, RANDOM)


def find(method: str, contrast: Contrast, graph: Graph, draws: int) -> list[Found]:
    """A method's circuits, for each way to rank."""
    sizes = mib_sizes(graph)
    if method == RANDOM:
        by_size = [tuple(random_circuits(graph, edges, draws)) for edges in sizes]
        return [Found(method, "", tuple(zip(*by_size, strict=True)))]
    if method in DISCOVERIES:
        circuits = acdc_family(contrast, graph, DISCOVERIES[method], thresholds=THRESHOLDS)
        return [Found(method, "", (tuple(largest(circuits, graph, edges) for edges in sizes),))]
    scoring, ranks = SCORINGS[method]
    scores = scoring(contrast, graph)
    return [
        Found(method, rank, (tuple(scores.top(edges, rank=rank) for edges in sizes),), scores)
        for rank in ranks
    ]


def largest(circuits: Sequence[Circuit], graph: Graph, edges: int) -> Circuit:
    """The largest circuit of at most so many edges, the first of several; the whole graph is one of them."""
    everything = Circuit.of(graph, graph.edges())
    fitting = [each for each in (*circuits, everything) if len(each) <= edges]
    return max(fitting, key=len, default=Circuit.of(graph, ()))


# Measures -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Judge:
    """Measures circuits on some prompts by a metric; no circuit twice.

    Attributes:
        contrast: model, prompts and corruption.
        metric: what is measured.
    """

    contrast: Contrast
    metric: Metric
    _known: dict[frozenset[Edge], list[float]] = field(default_factory=dict, repr=False)

    def values(self, circuit: Circuit) -> list[float]:
        """The metric of every prompt with everything outside the circuit corrupted."""
        key = frozenset(circuit.edges)
        if key not in self._known:
            self._known[key] = circuit_metric(self.contrast, circuit, self.metric).tolist()
        return self._known[key]

    def mean(self, found: Found, function: Callable[[Sequence[float]], float]) -> Estimate:
        """The mean over draws of a function of faithfulness at all sizes, with its interval over prompts."""
        rows = [self.values(circuit) for sizes in found.draws for circuit in sizes]

        def over_draws(*faithfulness: float) -> float:
            starts = range(0, len(faithfulness), len(SHARES))
            each = [function(faithfulness[start : start + len(SHARES)]) for start in starts]
            return sum(each) / len(each)

        return Baseline.of(self.contrast, self.metric).statistic(rows, over_draws, USUAL)

    def faithfulness(self, found: Found) -> list[float]:
        """Of the circuits of every size; the mean over draws."""
        baseline = Baseline.of(self.contrast, self.metric)
        table = [
            [baseline.faithfulness(self.values(circuit)).value for circuit in sizes] for sizes in found.draws
        ]
        return [sum(column) / len(column) for column in zip(*table, strict=True)]


def effects(contrast: Contrast, graph: Graph) -> Mapping[Edge, float]:
    """By how much the metric falls when an edge alone is cut: what edge scores estimate."""
    left = contrast.normalizer(RECOVERED)
    return {
        edge: 1 - float(left(cut_metric(contrast, graph, RECOVERED, [edge]).mean())) for edge in graph.edges()
    }


def correlation(first: Sequence[float], second: Sequence[float]) -> str:
    """Pearson's, or that one of them does not vary."""
    if len(set(first)) == 1 or len(set(second)) == 1:
        return "none"
    return f"{statistics.correlation(first, second):.2f}"


# What is shown --------------------------------------------------------------------------------------------


def ioi(model: Model, *, size: int, seed: int) -> Contrast:
    """IOI in both orders, against three fresh names."""
    dataset = template_dataset(
        model.tokenizer,
        prompt=[
            "When {IO} and {S} went to the {place}, {S} gave a {gift} to",
            "When {S} and {IO} went to the {place}, {S} gave a {gift} to",
        ],
        slots={("IO", "S", "A", "B", "C"): "names", "place": "places", "gift": "objects"},
        size=size,
        seed=seed,
        answer=" {IO}",
        foil=" {S}",
    )
    return Contrast(
        model, dataset, Resample(replace(dataset, {("IO", None): "A", ("S", 1): "B", ("S", 2): "C"}))
    )


def sizes_row(found: Found, judge: Judge) -> str:
    """Faithfulness at every size, CPR and CMD."""
    sizes = [f"{round(value, 2) + 0.0:.2f}" for value in judge.faithfulness(found)]  # no minus zero
    return row(found, *sizes, told(judge.mean(found, cpr)), told(judge.mean(found, cmd)))


def other_row(found: Found, judges: Sequence[Judge]) -> str:
    """CPR and CMD by each of several judges."""
    return row(found, *(told(judge.mean(found, area)) for judge in judges for area in (cpr, cmd)))


def edges_row(found: Found) -> str:
    """How many edges the circuits have; of random ones all have as many."""
    return row(found, *(str(len(circuit)) for circuit in found.draws[0]))


def scores_row(method: str, scores: EdgeScores, measured: Mapping[Edge, float]) -> str:
    """How edge scores agree with what cutting each edge does."""
    asking = [edge for edge in measured if edge.receiver.endswith((".q", ".k"))]
    telling = [edge for edge in measured if not edge.receiver.endswith((".q", ".k"))]
    cells = []
    for edges in (asking, telling):
        pairs = [(scores.values[edge], measured[edge]) for edge in edges]
        cells.append(correlation([a for a, _ in pairs], [b for _, b in pairs]))
        cells.append(correlation([abs(a) for a, _ in pairs], [abs(b) for _, b in pairs]))
    return f"| {' | '.join((method, *cells, f'{scores.values[SATURATED]:.3f}'))} |"


def row(found: Found, *cells: str) -> str:
    """A row of a table."""
    return f"| {' | '.join((found.method, found.rank, *cells))} |"


def told(estimate: Estimate) -> str:
    """A number and its interval."""
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def heading(*columns: str) -> str:
    """The first two lines of a table."""
    return f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}"


def agreement(results: Sequence[Found], contrast: Contrast, graph: Graph) -> None:
    """The last table; every edge is cut for it, which takes longest."""
    scored = {found.method: found.scores for found in results if found.scores is not None}
    if not scored:
        return
    measured = effects(contrast, graph)
    kinds = [f"{where}{sign}" for where in ("q, k", "others") for sign in ("", ", magnitude")]
    print("\n" + heading("method", *kinds, f"{SATURATED}: {measured[SATURATED]:.3f}"))
    for method, scores in scored.items():
        print(scores_row(method, scores, measured))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = ArgumentParser(prog="python -m benchmarks.faithfulness", description=__doc__)
    parser.add_argument(
        "--method",
        action="append",
        choices=METHODS,
        help="run only this method; may be repeated (default: all)",
    )
    parser.add_argument("--prompts", type=int, default=32, help="number of prompts for finding circuits (32)")
    parser.add_argument(
        "--held-out", type=int, default=64, help="number of held-out prompts for measuring them (64)"
    )
    parser.add_argument("--draws", type=int, default=20, help="number of random circuits per size (20)")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    model = load_bundled("ioi-4l")
    graph = model.graph()
    seen, unseen = ioi(model, size=asked.prompts, seed=0), ioi(model, size=asked.held_out, seed=1)
    twice = {each.tokens for each in seen.dataset.examples} & {
        each.tokens for each in unseen.dataset.examples
    }
    assert not twice, "held-out prompts are others"
    results = [
        found for method in asked.method or METHODS for found in find(method, seen, graph, asked.draws)
    ]
    held_out = Judge(unseen, RECOVERED)
    percent = [f"{100 * share:g} %: {edges}" for share, edges in zip(SHARES, mib_sizes(graph), strict=True)]
    print(heading("method", "rank", *percent, "CPR", "CMD"))
    for found in results:
        print(sizes_row(found, held_out), flush=True)
    others = [Judge(seen, RECOVERED), Judge(unseen, KL)]
    columns = [f"{area}, {where}" for where in ("prompts seen", "KL, held out") for area in ("CPR", "CMD")]
    print("\n" + heading("method", "rank", *columns))
    for found in results:
        print(other_row(found, others), flush=True)
    print("\n" + heading("method", "rank", *percent))
    for found in results:
        print(edges_row(found))
    agreement(results, seen, graph)
    return 0


if __name__ == "__main__":
    sys.exit(main())
