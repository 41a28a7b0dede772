"""Completeness and minimality of a circuit (Wang et al. 2022, section 4): knocking out parts of it.

F is faithfulness, 0 on the corrupted run and 1 on the clean one (Wang et al. use the mean logit difference
itself). A part is knocked out by cutting edges: a single edge, or all edges that leave a node. C is the
circuit, M the model, C∖K and M∖K what is left of them without the parts K.

Complete: whatever is knocked out, the circuit reacts as the model does. For sets K of parts of the circuit

    incompleteness of K = |F(C∖K) − F(M∖K)|

Minimal: every part v matters. With K nothing, or the parts that could do v's work,

    minimality of v = max over K of |F(C∖(K ∪ {v})) − F(C∖K)|
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from nncirc.circuits.annotations import SOME, Count
from nncirc.circuits.arguments import public
from nncirc.circuits.circuit import Circuit
from nncirc.circuits.errors import MethodError
from nncirc.circuits.intervals import USUAL, Estimate, Resampling
from nncirc.circuits.names import Edge
from nncirc.engine.evaluation.faithfulness import Baseline, cut_metric, of_whole
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.runs.contrast import Contrast

Parts: TypeAlias = Literal["nodes", "edges", "groups"]
"""What is knocked out at once: the edges out of a head or an MLP, one edge, the nodes of a named group."""

_ONCE = Resampling(resamples=1)
"""For the number itself, of which no interval is asked for."""


@public
@dataclass(frozen=True, slots=True)
class Knockout:
    """What a circuit is without some of its parts.

    Attributes:
        name: the parts: a node, an edge, a group, `nothing`, `random 0`, `L2H1 + MLP3` of a search.
        circuit: F of the circuit without them.
        other: of completeness, F of the model without them; of minimality, F of the circuit without K only.
        difference: the absolute difference of the two, with its interval over prompts.
    """

    name: str
    circuit: float
    other: float
    difference: Estimate


@public
def completeness(
    contrast: Contrast,
    circuit: Circuit,
    metric: Metric,
    *,
    by: Parts = "nodes",
    draws: Count = 0,
    greedy: Count = 0,
    seed: int = 0,
    how: Resampling = USUAL,
) -> tuple[Knockout, ...]:
    """The incompleteness of sets K: nothing, every part by itself, random sets, and those of a search.

    A circuit's incompleteness is the largest of them (`incompleteness`). Without knockouts, K = nothing, it
    is |F(C) − 1|.

    Args:
        contrast: model, prompts and corruption.
        circuit: what is judged.
        metric: what is measured.
        by: what a part is.
        draws: how many random sets; each has every part with probability 1/2.
        greedy: steps of a search for the worst set: each takes the part with which circuit and model then
            differ most, of equals the first. Two runs a step for every part that is left.
        seed: of the draws.
        how: the intervals over prompts.

    Raises:
        MethodError: C522, clean and corrupted runs do not differ by this metric; C558, the circuit has no
            such parts; C559, no such kind of part.
    """
    parts = _parts(circuit, by)
    sets = {"nothing": frozenset[Edge](), **parts}
    draw = random.Random(seed)
    for number in range(draws):
        taken = [edges for edges in parts.values() if draw.random() < 0.5]
        sets[f"random {number}"] = frozenset[Edge]().union(*taken)
    runs = _Runs(contrast, circuit, metric)
    sets.update(_searched(runs, parts, greedy))
    return tuple(runs.compared(name, runs.outside | cut, cut, how) for name, cut in sets.items())


def _searched(
    runs: _Runs, parts: Mapping[str, frozenset[Edge]], steps: int
) -> Iterator[tuple[str, frozenset[Edge]]]:
    taken: list[str] = []
    cut = frozenset[Edge]()
    for _ in range(min(steps, len(parts))):
        left = [name for name in parts if name not in taken]
        # `max` takes the first of equals: rounded, so that no last bit decides between them.
        taken.append(max(left, key=lambda name: runs.incompleteness(cut | parts[name])))
        cut |= parts[taken[-1]]
        if len(taken) > 1:  # alone it is there already
            yield " + ".join(taken), cut


@public
def minimality(
    contrast: Contrast,
    circuit: Circuit,
    metric: Metric,
    *,
    by: Parts = "nodes",
    how: Resampling = USUAL,
) -> tuple[Knockout, ...]:
    """The minimality of every part of a circuit, with the set K that shows it most.

    What could do a part's work: of a node the other nodes of its groups, of an edge the other edges of the
    circuit into the same receiver, of a group none. A circuit's minimality is the least of them (`least`).

    Arguments and errors as of `completeness`.
    """
    parts = _parts(circuit, by)
    runs = _Runs(contrast, circuit, metric)
    found = []
    for name, part in parts.items():
        without = dict.fromkeys((frozenset[Edge](), *_classmates(circuit, by, name, parts)))
        tried = [
            runs.compared(name, runs.outside | others | part, runs.outside | others, how)
            for others in without
        ]
        found.append(max(tried, key=lambda each: each.difference.value))
    return tuple(found)


@public
def incompleteness(knockouts: Annotated[Iterable[Knockout], SOME]) -> Knockout:
    """The set without which circuit and model differ most; its interval does not know that it was chosen."""
    return max(knockouts, key=lambda each: each.difference.value)


@public
def least(knockouts: Annotated[Iterable[Knockout], SOME]) -> Knockout:
    """The part that matters least; its interval does not know that it was chosen."""
    return min(knockouts, key=lambda each: each.difference.value)


def _parts(circuit: Circuit, by: Parts) -> Mapping[str, frozenset[Edge]]:
    """The parts by name, each as the edges that are cut, in the order of the computation."""
    senders = {edge.sender for edge in circuit.edges} - set(circuit.graph.sources)
    out: dict[str, list[Edge]] = {node: [] for node in circuit.nodes if node in senders}
    for edge in circuit.graph.edges():
        if edge.sender in out:
            out[edge.sender].append(edge)
    match by:
        case "nodes":
            found = {node: frozenset(edges) for node, edges in out.items()}
        case "edges":
            found = {str(edge): frozenset([edge]) for edge in circuit.edges}
        case "groups":
            inside = {name: [n for n in members if n in out] for name, members in circuit.groups.items()}
            found = {
                name: frozenset(edge for node in nodes for edge in out[node])
                for name, nodes in inside.items()
                if nodes
            }
        case _:
            raise MethodError(
                "C559", f"unknown parts {by!r} to knock out", hint="expected nodes, edges or groups"
            )
    if not found:
        raise MethodError(
            "C558",
            f"this circuit has no {by} to knock out",
            hint="write by = nodes or by = edges; only circuits that were written down have groups",
        )
    return found


def _classmates(
    circuit: Circuit, by: Parts, name: str, parts: Mapping[str, frozenset[Edge]]
) -> Iterable[frozenset[Edge]]:
    if by == "nodes":
        for members in circuit.groups.values():
            if name in members:
                others = (parts[node] for node in members if node != name and node in parts)
                yield frozenset[Edge]().union(*others)
    elif by == "edges":
        (edge,) = parts[name]
        yield frozenset(each for each in circuit.edges if each.receiver == edge.receiver and each != edge)


class _Runs:
    """Runs with edges cut, each made once."""

    def __init__(self, contrast: Contrast, circuit: Circuit, metric: Metric) -> None:
        self.contrast, self.graph, self.metric = contrast, circuit.graph, metric
        self.outside = frozenset(edge for edge in self.graph.edges() if edge not in circuit)
        self.baseline = Baseline.of(contrast, metric)
        self.known: dict[frozenset[Edge], list[float]] = {}

    def compared(
        self, name: str, ours: frozenset[Edge], theirs: frozenset[Edge], how: Resampling
    ) -> Knockout:
        """Two sets of cut edges."""
        circuit, other = (self.baseline.faithfulness(self.values(cut), _ONCE).value for cut in (ours, theirs))
        return Knockout(name, circuit, other, self.difference(ours, theirs, how))

    def incompleteness(self, cut: frozenset[Edge]) -> float:
        """That of what is cut, to stable digits, without an interval."""
        return of_whole(self.difference(self.outside | cut, cut, _ONCE), self.contrast.model.digits).value

    def difference(self, ours: frozenset[Edge], theirs: frozenset[Edge], how: Resampling) -> Estimate:
        """The absolute difference of F without some edges and F without others."""
        rows = [self.values(ours), self.values(theirs)]
        return self.baseline.statistic(rows, lambda a, b: abs(a - b), how)

    def values(self, cut: frozenset[Edge]) -> list[float]:
        if cut not in self.known:
            self.known[cut] = cut_metric(self.contrast, self.graph, self.metric, cut).tolist()
        return self.known[cut]
