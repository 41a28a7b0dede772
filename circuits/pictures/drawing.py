"""What a picture shows, before any of it is written as DOT: lines, missing lines, ranks, colors, counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from nncirc.circuits.circuit import Circuit, difference
from nncirc.circuits.compare import Side
from nncirc.circuits.graph import owner
from nncirc.circuits.names import Edge, Kind, Node
from nncirc.circuits.pictures import style
from nncirc.circuits.pictures.fold import MOST_NEURONS, Folding, Line, fold, is_neuron, merge

MAX_EDGES = 120
MOST_IN_A_ROW = 16
"""Nodes side by side; of lanes together, but for a few in each."""
_FEW = 4
_MOST_RANKS = 26
"""Beyond, a layer is one rank, and layers without a drawn node have none."""
_COUNTED: tuple[tuple[Kind, str, str], ...] = (
    ("head", "head", "heads"),
    ("kv", "key-value group", "key-value groups"),
    ("neuron", "neuron", "neurons"),
)


class Stage(NamedTuple):
    """A rank of the picture: of one layer, and in it of heads, of the MLP, or of neurons, a row of these.

    `layer` is None for embeddings and `logits`.
    """

    order: tuple[int, int]
    layer: int | None
    row: int = 0


@dataclass(frozen=True, slots=True)
class Pair:
    """Two circuits drawn as one, and for every edge of either which has it: both, or only one of them."""

    names: tuple[str, str]
    sides: Mapping[Edge, Side]

    def border(self, group: str) -> str:
        """How nodes of one circuit only are framed: as this circuit's edges are drawn."""
        return str(style.LINE_OF_SIDE["first" if group == self.only(0) else "second"]["style"])

    def only(self, which: Literal[0, 1]) -> str:
        """What the nodes of one circuit only are called."""
        return f"only {self.names[which]}"

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
        fills: the colors of the groups of nodes that are drawn.
        group_of: the group that colors a node.
        stages: the ranks from the bottom to the top, and their nodes.
        flat: whether a layer is one rank, as there are many; no node is then a record, as Graphviz draws no
            edge between a record and its neighbor in a rank.
        lanes: in a graph of positions the drawn nodes at each, in the order of the positions.
        shared: what is read by one drawn node and used by another, and that other; see `_shared`.
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
    fills: Mapping[str, str]
    group_of: Mapping[str, str]
    stages: Mapping[Stage, tuple[str, ...]]
    flat: bool
    lanes: Mapping[str, tuple[str, ...]]
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
        GraphError: C455, the reference circuit is on a different graph.
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
    unscored = all(line.score is None for line in folding.lines)
    counted = unscored and any(len(members) > 1 for members in folding.members.values())
    scale = style.Scale.of(len(line.edges) if counted else line.score for line in folding.lines)
    lanes = _lanes(circuit.graph.positions, nodes)
    stages = _stages(nodes, folding.unseen)
    flat = len(stages) > _MOST_RANKS
    if flat:
        stages = _stages(nodes, (), flat=True)
    return Drawing(
        circuit=circuit,
        highlight=highlight,
        folding=folding,
        missing=missing,
        n_missing=0 if absent is None else len(absent),
        nodes=nodes,
        fills=fills,
        group_of=group_of,
        stages=_rows(stages, lanes),
        flat=flat,
        lanes=lanes,
        shared=_shared(circuit, folding, touched),
        scale=scale,
        counted=counted,
    )


def _missing(absent: Circuit, folding: Folding, most: int) -> tuple[Line, ...]:
    """The reference's edges that the circuit lacks, as at most `most` lines, between drawn nodes first."""
    drawn_as = {node: name for name, nodes in folding.members.items() for node in nodes}
    if folding.merged or len(drawn_as) > len(folding.members) or len(absent) > most:
        lines = merge(absent.scores, {node: drawn_as.get(node, node) for node in absent.graph.nodes})
    else:
        lines = [Line(edge.sender, owner(edge.receiver), (edge,), None) for edge in absent.edges]
    if len(lines) > most:
        far = [not {line.tail, line.head} <= folding.members.keys() for line in lines]
        lines = [lines[i] for i in sorted(sorted(range(len(lines)), key=far.__getitem__)[:most])]
    return tuple(lines)


def _stages(
    nodes: Sequence[str], unseen: Sequence[str], *, flat: bool = False
) -> dict[Stage, tuple[str, ...]]:
    """The drawn nodes of every rank; and one rank for a layer without any, to say what is not drawn there.

    A layer's heads and its MLP are one rank if it is `flat`, as in a model of many layers.
    """
    stages: dict[Stage, tuple[str, ...]] = dict.fromkeys(
        sorted({_stage(node, flat=flat) for node in (*nodes, *unseen)}), ()
    )
    for node in nodes:
        stages[_stage(node, flat=flat)] += (node,)
    drawn = {stage.layer for stage, names in stages.items() if names}
    kept: dict[Stage, tuple[str, ...]] = {}
    for stage, names in stages.items():
        if names or stage.layer not in drawn:
            kept[stage] = names
            drawn.add(stage.layer)
    return kept


def _stage(name: str, *, flat: bool) -> Stage:
    node = Node.parse(name)
    if node.layer is None:
        return Stage((1 << 30, 0) if node.kind == "logits" else (-1, 0), None)
    order = {"kv": 0, "mlp": 2, "neuron": 3}.get(node.kind, 1)
    return Stage((node.layer, 1 if flat and order < 3 else order), node.layer)


def _lanes(positions: tuple[str, ...], nodes: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    lanes: dict[str, tuple[str, ...]] = dict.fromkeys(positions, ())
    for node in nodes:
        position = Node.parse(node).position
        if position is not None:
            lanes[str(position)] += (node,)
    return {position: names for position, names in lanes.items() if names}


def _rows(
    stages: Mapping[Stage, tuple[str, ...]], lanes: Mapping[str, tuple[str, ...]]
) -> dict[Stage, tuple[str, ...]]:
    """Long ranks as several rows, all lanes' alike."""
    widest = max(MOST_IN_A_ROW // max(len(lanes), 1), _FEW)
    folded: dict[Stage, tuple[str, ...]] = {}
    for stage, names in stages.items():
        apart = [[name for name in names if name in lane] for lane in lanes.values()] or [list(names)]
        rows = max(-(-len(lane) // widest) for lane in apart) or 1
        for row in range(rows):
            # As many in each row as in the others, or one less.
            pieces = [lane[len(lane) * row // rows : len(lane) * (row + 1) // rows] for lane in apart]
            folded[stage._replace(row=row)] = tuple(name for piece in pieces for name in piece)
    return folded


def _shared(circuit: Circuit, folding: Folding, drawn: set[str]) -> tuple[tuple[str, str], ...]:
    """What is read by one node and used by another, as far as both are drawn.

    These are key-value groups and their heads, a head's keys and values and the head at another position, an
    MLP and its neurons. Of many neurons lines would only say again what their names say.
    """
    drawn_as = {node: name for name, nodes in folding.members.items() for node in nodes}
    pairs: dict[tuple[str, str], None] = {}
    for sender, receivers in circuit.graph.inputs.items():
        for receiver in receivers:
            pair = drawn_as.get(owner(receiver), owner(receiver)), drawn_as.get(sender, sender)
            if pair[0] != pair[1] and drawn.issuperset(pair):
                pairs[pair] = None
    neurons = Counter(of for of, user in pairs if is_neuron(user))
    return tuple(pair for pair in pairs if not is_neuron(pair[1]) or neurons[pair[0]] <= MOST_NEURONS)
