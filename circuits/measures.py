"""How far a circuit agrees with a reference, by edges, by nodes, or by a class of nodes.

Everything is counted over one graph. `found` counts what is in both, `extra` what only the circuit has,
`missed` what only the reference has, `absent` what neither has. Between circuits of two tasks the same
counts show which components are reused (Merullo et al. 2024). Hence

    recall = found / (found + missed)        precision = found / (found + extra)
    jaccard = found / (found + missed + extra)
    f1 = 2 found / (2 found + missed + extra)
    false_positive_rate = extra / (extra + absent)

If a denominator is 0: a reference without edges has recall 1 (nothing to find was missed), a
circuit without edges has precision 1 (nothing it claims is wrong), two empty circuits have jaccard and f1
1 (they are equal), and a reference of the whole graph has false positive rate 0. Jaccard and f1 of one
empty circuit and another are 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from nncirc.circuits.arguments import public
from nncirc.circuits.circuit import Circuit, require_same_graph
from nncirc.circuits.errors import GraphError
from nncirc.circuits.names import Node

By: TypeAlias = Literal["nodes", "edges", "heads", "mlps", "q", "k", "v"]
"""What is counted. `heads` are attention layers where these are nodes; `q`, `k`, `v` the queries, keys or
values that an edge enters."""

_KINDS = {"heads": ("head", "attention"), "mlps": ("mlp",)}


@public
@dataclass(frozen=True, slots=True)
class Agreement:
    """Counts of a circuit compared with a reference; the measures are fractions from 0 to 1."""

    found: int
    extra: int
    missed: int
    absent: int

    @property
    def recall(self) -> float:
        """The part of the reference that the circuit has."""
        return _ratio(self.found, self.found + self.missed, empty=1.0)

    @property
    def precision(self) -> float:
        """The part of the circuit that the reference has."""
        return _ratio(self.found, self.found + self.extra, empty=1.0)

    @property
    def jaccard(self) -> float:
        """Intersection over union."""
        return _ratio(self.found, self.found + self.missed + self.extra, empty=1.0)

    @property
    def f1(self) -> float:
        """The harmonic mean of recall and precision (Dice's coefficient of the two sets)."""
        return _ratio(2 * self.found, 2 * self.found + self.missed + self.extra, empty=1.0)

    @property
    def false_positive_rate(self) -> float:
        """The part of what the reference lacks that the circuit has; with `recall` a point of a ROC curve."""
        return _ratio(self.extra, self.extra + self.absent, empty=0.0)


@public
def agreement(circuit: Circuit, reference: Circuit, *, by: By = "edges") -> Agreement:
    """Compare a circuit's edges or nodes with a reference's.

    Nodes are those that an edge touches, q/k/v as part of their head (`Circuit.nodes`); heads and MLPs are
    those among them.

    Raises:
        GraphError: C455, the circuits are on different graphs; C462, `by` is something else, or the graph
            has none of it.

    >>> from nncirc.circuits.circuit import Circuit
    >>> from nncirc.circuits.graph import Graph, Shape
    >>> from nncirc.circuits.names import Edge
    >>> graph = Graph(Shape(1, 2, 2, mlps=False))
    >>> true = Circuit.of(graph, [Edge("embed", "L0H0.v"), Edge("L0H0", "logits")])
    >>> ours = Circuit.of(graph, [Edge("embed", "L0H1.v"), Edge("L0H0", "logits")])
    >>> agreement(ours, true)
    Agreement(found=1, extra=1, missed=1, absent=6)
    >>> agreement(ours, true, by="nodes").recall
    1.0
    """
    require_same_graph(circuit, reference)
    ours, size = members(circuit, by)
    theirs, _ = members(reference, by)
    found = len(ours & theirs)
    extra, missed = len(ours) - found, len(theirs) - found
    return Agreement(found, extra, missed, size - found - extra - missed)


def members(circuit: Circuit, by: By) -> tuple[frozenset[object], int]:
    """What a circuit has of a kind, and how many of it the graph has.

    Raises:
        GraphError: C462, `by` is something else, or the graph has none of it.
    """
    graph = circuit.graph
    if by not in get_args(By):
        hint = f"expected {', '.join(get_args(By))}"
        raise GraphError("C462", f"unknown basis of comparison: {by!r}", hint=hint)
    if by == "edges":
        return frozenset(circuit.edges), graph.n_edges
    if by in ("q", "k", "v"):
        everything = {receiver for receiver in graph.receivers if Node.parse(receiver).input == by}
        ours = frozenset[object](edge.receiver for edge in circuit.edges)
    else:
        kinds = _KINDS.get(by)
        everything = {node for node in graph.nodes if kinds is None or Node.parse(node).kind in kinds}
        ours = frozenset[object](circuit.nodes)
    if not everything:
        raise GraphError(
            "C462", f"the graph has no {by} to compare by: {graph}", hint="compare by nodes or edges"
        )
    return ours & everything, len(everything)


@public
def recall(circuit: Circuit, reference: Circuit, *, by: By = "edges") -> float:
    """The part of the reference that the circuit has, 0 to 1; see `agreement`."""
    return agreement(circuit, reference, by=by).recall


@public
def precision(circuit: Circuit, reference: Circuit, *, by: By = "edges") -> float:
    """The part of the circuit that the reference has, 0 to 1; see `agreement`."""
    return agreement(circuit, reference, by=by).precision


@public
def jaccard(circuit: Circuit, reference: Circuit, *, by: By = "edges") -> float:
    """Intersection over union, 0 to 1; see `agreement`."""
    return agreement(circuit, reference, by=by).jaccard


@public
def f1(circuit: Circuit, reference: Circuit, *, by: By = "edges") -> float:
    """The harmonic mean of recall and precision, 0 to 1; see `agreement`."""
    return agreement(circuit, reference, by=by).f1


def _ratio(part: int, whole: int, *, empty: float) -> float:
    return part / whole if whole else empty
