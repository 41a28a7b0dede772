"""Circuits: sets of edges of one graph, with scores, and operations on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Self

from nncirc.circuits.arguments import public
from nncirc.circuits.errors import GraphError
from nncirc.circuits.graph import Graph, owner
from nncirc.circuits.made import Made
from nncirc.circuits.names import Edge, node_asked_for
from nncirc.circuits.words import visible

MOST_GROUPS = 1000


@public
@dataclass(frozen=True, slots=True)
class Circuit:
    """A set of edges of a graph, in the order of the computation.

    Attributes:
        graph: the graph that the edges belong to.
        scores: the score of every edge of the circuit, or None where nothing was measured. `made` records
            what a score means, and its unit.
        groups: named groups of nodes (`name_mover`: `L9H6`, ...), as reference circuits have them.
        made: how the circuit was made: method, corruption, metric, threshold, seed. JSON values only.

    Circuits are equal when all four are; they have no hash.

    Raises:
        GraphError: C454, an edge is not in the graph; C457, a group names a node that is not; C458, a
            score is infinite or not a number.
    """

    graph: Graph
    scores: Mapping[Edge, float | None]
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    made: Made = field(default_factory=Made)

    def __post_init__(self) -> None:
        edges = sorted((Edge(*edge) for edge in self.scores), key=self.graph.order)
        scores = {edge: _score(edge, self.scores[edge]) for edge in edges}
        groups = {group: tuple(members) for group, members in self.groups.items()}
        _check_groups(self.graph, groups)
        object.__setattr__(self, "scores", MappingProxyType(scores))
        object.__setattr__(self, "groups", MappingProxyType(groups))
        object.__setattr__(self, "made", MappingProxyType(dict(self.made)))

    @classmethod
    @public
    def of(cls, graph: Graph, edges: Iterable[Edge], **rest: Any) -> Self:
        """A circuit with these edges, without scores.

        Raises:
            GraphError: C454, an edge is not in the graph.
        """
        return cls(graph, dict.fromkeys(edges), **rest)

    @classmethod
    @public
    def full(cls, graph: Graph) -> Self:
        """The circuit with all edges of a graph."""
        return cls.of(graph, graph.edges())

    @property
    def edges(self) -> tuple[Edge, ...]:
        """The edges, receivers and then senders in the order of the computation."""
        return tuple(self.scores)

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that an edge touches, q/k/v as part of their head, in the order of the computation."""
        touched = {edge.sender for edge in self.scores} | {owner(edge.receiver) for edge in self.scores}
        return tuple(node for node in self.graph.nodes if node in touched)

    def __contains__(self, thing: object) -> bool:
        """Whether it has an edge, or an edge that touches a node (`L9H9`, also one of its inputs, `L9H9.q`).

        Raises:
            GraphError: C451, the name is not that of a node.
            ArgumentError: C751, the thing is neither.
        """
        if isinstance(thing, tuple):
            try:
                if thing in self.scores:
                    return True
            except TypeError:  # no hash
                pass
        node = node_asked_for(thing)
        if node is not None and node.input is not None:
            return any(edge.receiver == thing for edge in self.scores)
        return node is not None and thing in self.nodes

    def __len__(self) -> int:
        return len(self.scores)


def _check_groups(graph: Graph, groups: Mapping[str, tuple[str, ...]]) -> None:
    if len(groups) > MOST_GROUPS:
        raise GraphError(
            "C457",
            f"expected at most {MOST_GROUPS:,} groups of nodes, found {len(groups):,}",
            hint="use fewer, larger groups",
        )
    for group, members in groups.items():
        called = f"group {visible(group, 60)}"
        if len(set(members)) < len(members):
            raise GraphError("C457", f"duplicate node in {called}", hint="name each of its nodes once")
        for member in members:
            if member not in graph.node_index:
                raise GraphError(
                    "C457",
                    f"expected a node of the graph in {called}, found {visible(member, 60)!r}",
                    hint=f"name whole nodes, without .q, .k or .v; the graph has {graph}",
                )


def _score(edge: Edge, score: float | None) -> float | None:
    if score is None:
        return None
    number = float(score)
    if not math.isfinite(number):
        raise GraphError(
            "C458",
            f"the score of {edge} is {score!r}; expected a finite number",
            hint="something overflowed: compute in float32, and check the metric on both runs",
        )
    return number


@public
def prune(circuit: Circuit) -> Circuit:
    """Drop every edge that lies on no path from an embedding to `logits`.

    Under a corruption that re-runs the model, this does not change what the circuit computes: a node
    without inputs computes its corrupted output. Under zero or mean ablation such a node still computes
    something from its biases, which is cut with it; so measure a circuit after pruning it.
    """
    graph = circuit.graph
    fed = set(graph.sources)
    incoming: dict[str, list[str]] = {}
    for edge in circuit.edges:
        incoming.setdefault(edge.receiver, []).append(edge.sender)
    for sender in graph.senders:
        if any(source in fed for receiver in graph.inputs[sender] for source in incoming.get(receiver, ())):
            fed.add(sender)
    heard = set(graph.sinks)
    outgoing: dict[str, list[str]] = {}
    for edge in circuit.edges:
        outgoing.setdefault(edge.sender, []).append(edge.receiver)
    for sender in reversed(graph.senders):
        if any(receiver in heard for receiver in outgoing.get(sender, ())):
            heard.update(graph.inputs[sender])
    return keep(circuit, lambda edge: edge.sender in fed and edge.receiver in heard)


@public
def keep(circuit: Circuit, wanted: Callable[[Edge], bool]) -> Circuit:
    """The edges for which `wanted` holds; scores, groups and provenance stay."""
    return replace(circuit, scores={edge: score for edge, score in circuit.scores.items() if wanted(edge)})


@public
def union(first: Circuit, *others: Circuit) -> Circuit:
    """The union of the edges; an edge of several circuits keeps the score of the first of them.

    Groups of the same name are merged too.

    Raises:
        GraphError: C455, the circuits are on different graphs (so for the two functions below).
    """
    require_same_graph(first, *others)
    scores: dict[Edge, float | None] = {}
    groups: dict[str, dict[str, None]] = {}
    for circuit in (first, *others):
        for edge, score in circuit.scores.items():
            scores.setdefault(edge, score)
        for group, members in circuit.groups.items():
            groups.setdefault(group, {}).update(dict.fromkeys(members))
    joined = {group: tuple(members) for group, members in groups.items()}
    return Circuit(first.graph, scores, joined, _made("union", first, *others))


@public
def intersection(first: Circuit, *others: Circuit) -> Circuit:
    """The intersection of the edges, with the first circuit's scores."""
    require_same_graph(first, *others)
    kept = keep(first, lambda edge: all(edge in other for other in others))
    return replace(kept, made=_made("intersection", first, *others))


@public
def difference(first: Circuit, second: Circuit) -> Circuit:
    """The edges of the first circuit that the second lacks, with the first circuit's scores."""
    require_same_graph(first, second)
    kept = keep(first, lambda edge: edge not in second)
    return replace(kept, made=_made("difference", first, second))


def _made(operation: str, *circuits: Circuit) -> Made:
    return {"method": operation, "of": [dict(circuit.made) for circuit in circuits]}


def require_same_graph(first: Circuit, *others: Circuit) -> None:
    """Refuse circuits on different graphs, whose edges mean different things.

    Raises:
        GraphError: C455.
    """
    for other in others:
        if first.graph == other.graph:
            continue
        raise GraphError(
            "C455",
            f"the circuits are on different graphs: {first.graph}; and {other.graph}",
            hint="find both on the same graph, or collapse both to the coarser one; circuits of two models"
            " share no edges",
        )
