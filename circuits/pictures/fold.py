"""Folding: what of a circuit is drawn, so that a picture of a thousand edges is worth looking at.

As little is folded as will do, in this order:

1. nothing: every edge is a line, and enters its head as a query, key or value;
2. the query, key and value edges between two nodes become one line;
3. without any scores: heads of one layer (and group) become one node, and lines count their edges;
4. the strongest lines are drawn, each with the strongest path that joins it to `embed` and `logits`;
   the other edges are counted;
5. of many neurons of one MLP those whose lines enter the same nodes become one node.

No edge is lost: `drawn` + `left_out` is the circuit's number of edges, always.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from nncirc.circuits.circuit import Circuit
from nncirc.circuits.graph import Graph, owner
from nncirc.circuits.names import Edge, Node

MOST_NEURONS = 12
"""Drawn neurons of one MLP that each remain a node."""


@dataclass(frozen=True, slots=True)
class Line:
    """What is drawn as one line: edges, with the score of the strongest; None where nothing was measured."""

    tail: str
    head: str
    edges: tuple[Edge, ...]
    score: float | None

    @property
    def inputs(self) -> str:
        """Which of q, k and v it enters, in this order; empty for MLPs, `logits` and joined heads."""
        found = {Node.parse(edge.receiver).input for edge in self.edges}
        return "".join(which for which in "qkv" if which in found)


@dataclass(frozen=True, slots=True)
class Folding:
    """A circuit as it is drawn.

    Attributes:
        lines: what is drawn, in the order of the computation.
        members: the nodes of the circuit that each drawn node stands for, in the order of the computation.
        merged: whether the q, k and v edges between two nodes are one line.
        left_out: edges that are not drawn.
        unseen: nodes that only such edges touch.
        least: every line with a |score| of at least this is drawn; 0 where nothing is left out.
    """

    lines: tuple[Line, ...]
    members: Mapping[str, tuple[str, ...]]
    merged: bool
    left_out: int
    unseen: tuple[str, ...]
    least: float

    @property
    def drawn(self) -> int:
        """Edges that the lines stand for."""
        return sum(len(line.edges) for line in self.lines)


def fold(circuit: Circuit, max_edges: int, groups: Mapping[str, str]) -> Folding:
    """The circuit in at most about `max_edges` lines: the strongest is drawn with its path, however long.

    Heads of different groups are never folded into one node.
    """
    alone = {node: node for node in circuit.nodes}
    lines = [Line(e.sender, owner(e.receiver), (e,), s) for e, s in circuit.scores.items()]
    single, merged = lines, False
    if len(lines) > max_edges:
        lines, merged = merge(circuit.scores, alone), True
    unscored = all(line.score is None for line in lines)
    if len(lines) > max_edges and unscored:
        alone = _by_layer(circuit.nodes, groups)
        lines = merge(circuit.scores, alone)
    least = 0.0
    if len(lines) > max_edges:
        if not unscored:
            lines, merged = single, False
        lines, least = _strongest(circuit.graph, lines, max_edges)
    lines, alone = _neurons_together(lines, alone, groups)
    seen = {line.tail for line in lines} | {line.head for line in lines}
    members: dict[str, tuple[str, ...]] = {}
    for node, drawn_as in alone.items():
        if drawn_as in seen:
            members[drawn_as] = (*members.get(drawn_as, ()), node)
    unseen = tuple(node for node, drawn_as in alone.items() if drawn_as not in seen)
    left_out = len(circuit) - sum(len(line.edges) for line in lines)
    return Folding(tuple(lines), members, merged, left_out, unseen, least)


def merge(scores: Mapping[Edge, float | None], drawn_as: Mapping[str, str]) -> list[Line]:
    """One line for all edges between two drawn nodes."""
    pairs: dict[tuple[str, str], list[Edge]] = {}
    for edge in scores:
        pairs.setdefault((drawn_as[edge.sender], drawn_as[owner(edge.receiver)]), []).append(edge)
    return [
        Line(tail, head, tuple(edges), _strongest_score(scores[edge] for edge in edges))
        for (tail, head), edges in pairs.items()
    ]


def _strongest_score(scores: Iterable[float | None]) -> float | None:
    return max((score for score in scores if score is not None), key=abs, default=None)


def strength(line: Line, unscored: bool) -> float:
    """What lines are ranked by: |score|, or the number of edges where nothing was measured."""
    if unscored:
        return float(len(line.edges))
    return 0.0 if line.score is None else abs(line.score)


def _by_layer(nodes: Iterable[str], groups: Mapping[str, str]) -> dict[str, str]:
    """Heads (and key-value groups) of one layer, group and position under the name of the first of them."""
    first: dict[tuple[Node, str | None], str] = {}
    drawn_as = {}
    for name in nodes:
        node = Node.parse(name)
        drawn_as[name] = first.setdefault((replace(node, index=None, input=None), groups.get(name)), name)
    return drawn_as


def _neurons_together(
    lines: Sequence[Line], drawn_as: Mapping[str, str], groups: Mapping[str, str]
) -> tuple[list[Line], dict[str, str]]:
    """Neurons of one MLP under the name of the first whose lines enter the same inputs by the same signs."""
    entered: dict[str, set[tuple[str, str, bool]]] = {}
    for line in lines:
        if is_neuron(line.tail):
            is_negative = line.score is not None and line.score < 0
            entered.setdefault(line.tail, set()).add((line.head, line.inputs, is_negative))
    parents = {name: replace(Node.parse(name), kind="mlp", index=None) for name in entered}
    many = {mlp for mlp, count in Counter(parents.values()).items() if count > MOST_NEURONS}
    first: dict[tuple[Node, str | None, frozenset[tuple[str, str, bool]]], str] = {}
    alike = {
        name: first.setdefault((parents[name], groups.get(name), frozenset(entered[name])), name)
        for name in drawn_as
        if name in entered and parents[name] in many
    }
    joined: dict[tuple[str, str, str], list[Line]] = {}
    for line in lines:
        joined.setdefault((alike.get(line.tail, line.tail), line.head, line.inputs), []).append(line)
    together = [
        Line(
            tail,
            head,
            tuple(edge for line in each for edge in line.edges),
            _strongest_score(line.score for line in each),
        )
        for (tail, head, _), each in joined.items()
    ]
    return together, {node: alike.get(name, name) for node, name in drawn_as.items()}


def is_neuron(name: str) -> bool:
    """Whether a node is a neuron."""
    return Node.parse(name).kind == "neuron"


def _strongest(graph: Graph, lines: Sequence[Line], most: int) -> tuple[list[Line], float]:
    """The strongest lines, each with the strongest way down to `embed` and up to `logits`."""
    unscored = all(line.score is None for line in lines)
    ranked = sorted(range(len(lines)), key=lambda i: -strength(lines[i], unscored))
    into: dict[str, int] = {}
    out_of: dict[str, int] = {}
    rank = {line: place for place, line in enumerate(ranked)}
    for i in ranked:
        for edge in lines[i].edges:
            into.setdefault(edge.receiver, i)
            out_of.setdefault(edge.sender, i)

    def below(i: int) -> list[int]:
        return [into[r] for edge in lines[i].edges for r in graph.inputs[edge.sender] if r in into]

    def above(i: int) -> list[int]:
        return [out_of[s] for edge in lines[i].edges for s in graph.outputs[edge.receiver] if s in out_of]

    chosen: set[int] = set()
    least = 0.0
    for i in ranked:
        path: set[int] = set()
        if i not in chosen:
            for nearer in (below, above):
                j: int | None = i
                while j is not None and j not in chosen:
                    path.add(j)
                    j = min(nearer(j), key=rank.__getitem__, default=None)
        if chosen and len(chosen) + len(path) > most:
            break
        chosen |= path
        least = strength(lines[i], unscored)
    return [line for i, line in enumerate(lines) if i in chosen], least
