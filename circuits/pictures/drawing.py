"""What a picture shows, before any of it is written as DOT: lines, missing lines, ranks, colours, counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from nncirc.circuits.circuit import Circuit, difference
from nncirc.circuits.comparison import Side
from nncirc.circuits.graph import owner
from nncirc.circuits.nodes import Edge, Kind, Node
from nncirc.circuits.pictures import style
from nncirc.circuits.pictures.fold import Folding, Line, fold, merge

MAX_EDGES = 120
_COUNTED: tuple[tuple[Kind, str, str], ...] = (
    ("head", "head", "heads"),
    ("kv", "key-value group", "key-value groups"),
    ("neuron", "neuron", "neurons"),
)


class Stage(NamedTuple):
    """A rank of the picture. `layer` is None for embeddings and `logits`."""

    order: tuple[int, int]
    layer: int | None


@dataclass(frozen=True, slots=True)
class Pair:
    """Two circuits that are drawn as one.

    Attributes:
        names: what the two are called.
        sides: for every edge of either `both`, `first` (only) or `second` (only).
    """

    names: tuple[str, str]
    sides: Mapping[Edge, Side]

    def side(self, line: Line) -> Side | Literal["mixed"]:
        """Whose edges a line stands for; `mixed` where they are of several sides."""
        found = {self.sides[edge] for edge in line.edges}
        return found.pop() if len(found) == 1 else "mixed"


@dataclass(frozen=True, slots=True)
class Drawing:
    """A circuit arranged for drawing.

    Attributes:
        circuit: what is drawn.
        highlight: the reference circuit, or None.
        folding: which of its edges are lines.
        missing: lines for the reference's edges that the circuit lacks.
        n_missing: how many such edges there are, drawn or not.
        nodes: every drawn node, in the order of the computation.
        groups: named groups of nodes, and in `fills` their colours.
        group_of: the group that colours a node.
        inputs: for every node that edges enter by query, key or value, which of them it has.
        stages: the ranks from the bottom to the top, and their nodes.
        shared: key-value group and head, for every drawn head that reads a drawn group.
        scale: widths.
        counted: whether widths show how many edges a line stands for, as scores are lacking.
        pair: where two circuits are drawn as one, whose edges are whose.
    """

    circuit: Circuit
    highlight: Circuit | None
    folding: Folding
    missing: tuple[Line, ...]
    n_missing: int
    nodes: tuple[str, ...]
    groups: Mapping[str, tuple[str, ...]]
    fills: Mapping[str, str]
    group_of: Mapping[str, str]
    inputs: Mapping[str, str]
    stages: Mapping[Stage, tuple[str, ...]]
    shared: tuple[tuple[str, str], ...]
    scale: style.Scale
    counted: bool
    pair: Pair | None = None

    @property
    def lines(self) -> tuple[Line, ...]:
        """The lines of the circuit's own edges."""
        return self.folding.lines

    @property
    def any_scored(self) -> bool:
        """Whether any line has a score."""
        return any(line.score is not None for line in self.lines)

    def weight(self, line: Line) -> float | None:
        """What the width of a line shows: its score, or how many edges it stands for."""
        return float(len(line.edges)) if self.counted else line.score

    def only_in_reference(self, name: str) -> bool:
        """Whether no edge of the circuit touches this node."""
        return bool(self.missing) and name not in self.folding.members and name not in self.folding.unseen

    def unseen_at(self, layer: int | None) -> list[str]:
        """What of a layer is not drawn: `+7 heads`, `+MLP`."""
        unseen = map(Node.parse, set(self.folding.unseen) - set(self.nodes))
        kinds = [node.kind for node in unseen if node.layer == layer]
        said = []
        for kind, one, many in _COUNTED:
            if count := kinds.count(kind):
                said.append(f"+{count} {one if count == 1 else many}")
        return said + ["+attention"] * ("attention" in kinds) + ["+MLP"] * ("mlp" in kinds)


def arrange(circuit: Circuit, highlight: Circuit | None, max_edges: int) -> Drawing:
    """Fold the circuit, find what it lacks of the reference, and put every node on its rank.

    Raises:
        GraphError: C455, the reference circuit is of a different graph.
    """
    absent = None if highlight is None else difference(highlight, circuit)
    groups = highlight.groups if highlight is not None and highlight.groups else circuit.groups
    group_of: dict[str, str] = {}
    for group, members in groups.items():
        for member in members:
            group_of.setdefault(member, group)
    folding = fold(circuit, max_edges, group_of)
    missing = () if absent is None else _missing(absent, folding, max_edges)
    touched = {end for line in (*folding.lines, *missing) for end in (line.tail, line.head)}
    touched = touched or {*circuit.graph.sources, *circuit.graph.sinks}
    nodes = tuple(node for node in circuit.graph.nodes if node in touched)
    used = dict.fromkeys(group_of[node] for node in nodes if node in group_of)
    fills = style.fills([group for group in groups if group in used])
    inputs: dict[str, str] = {}
    for receiver in circuit.graph.receivers:
        which = Node.parse(receiver).input
        if which is not None:
            inputs[owner(receiver)] = inputs.get(owner(receiver), "") + which
    counted = any(len(members) > 1 for members in folding.members.values())
    scale = style.Scale.of(len(line.edges) if counted else line.score for line in folding.lines)
    ranks = sorted({_stage(node) for node in (*nodes, *folding.unseen)})
    stages: dict[Stage, tuple[str, ...]] = dict.fromkeys(ranks, ())
    for node in nodes:
        stages[_stage(node)] += (node,)
    return Drawing(
        circuit=circuit,
        highlight=highlight,
        folding=folding,
        missing=missing,
        n_missing=0 if absent is None else len(absent),
        nodes=nodes,
        groups={group: groups[group] for group in fills},
        fills=fills,
        group_of=group_of,
        inputs=inputs,
        stages=_without_empty(stages),
        shared=_shared(circuit, folding, touched),
        scale=scale,
        counted=counted,
    )


def _missing(absent: Circuit, folding: Folding, most: int) -> tuple[Line, ...]:
    """The reference's edges that the circuit lacks, as at most `most` lines, between drawn nodes first."""
    drawn_as = {node: name for name, nodes in folding.members.items() for node in nodes}
    if folding.merged or len(absent) > most:
        lines = merge(absent.scores, {node: drawn_as.get(node, node) for node in absent.graph.nodes})
    else:
        lines = [Line(edge.sender, owner(edge.receiver), (edge,), None) for edge in absent.edges]
    if len(lines) > most:
        far = [not {line.tail, line.head} <= folding.members.keys() for line in lines]
        lines = [lines[i] for i in sorted(sorted(range(len(lines)), key=far.__getitem__)[:most])]
    return tuple(lines)


def _stage(name: str) -> Stage:
    node = Node.parse(name)
    if node.layer is None:
        return Stage((1 << 30, 0) if node.kind == "logits" else (-1, 0), None)
    return Stage((node.layer, {"kv": 0, "mlp": 2, "neuron": 3}.get(node.kind, 1)), node.layer)


def _without_empty(stages: Mapping[Stage, tuple[str, ...]]) -> dict[Stage, tuple[str, ...]]:
    """Every rank with nodes, and one rank for every layer without any, to say what is not drawn there."""
    drawn = {stage.layer for stage, nodes in stages.items() if nodes}
    kept: dict[Stage, tuple[str, ...]] = {}
    for stage, nodes in stages.items():
        if nodes or stage.layer not in drawn:
            kept[stage] = nodes
            drawn.add(stage.layer)
    return kept


def _shared(circuit: Circuit, folding: Folding, drawn: set[str]) -> tuple[tuple[str, str], ...]:
    """Key-value groups and the heads that read them, as far as both are drawn."""
    drawn_as = {node: name for name, nodes in folding.members.items() for node in nodes}
    pairs: dict[tuple[str, str], None] = {}
    for sender, receivers in circuit.graph.inputs.items():
        for receiver in receivers:
            pair = drawn_as.get(owner(receiver), owner(receiver)), drawn_as.get(sender, sender)
            if pair[0] != pair[1] and drawn.issuperset(pair):
                pairs[pair] = None
    return tuple(pairs)
