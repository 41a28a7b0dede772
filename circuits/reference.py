"""Reference circuits from papers: named groups of nodes, and paths between them.

>>> from nncirc.circuits.graph import Shape
>>> graph = Graph(Shape(n_layers=2, n_heads=4, n_kv_heads=4, mlps=False))
>>> circuit = from_paths(
...     graph,
...     {"previous_token": ["L0H1"], "induction": ["L1H*"]},
...     [
...         [[("embed", None)], [("previous_token", "v")], [("induction", "k")]],
...         [[("induction", None)], [("logits", None)]],
...     ],
... )
>>> [str(edge) for edge in circuit.edges][:3]
['embed -> L0H1.v', 'L0H1 -> L1H0.k', 'L0H1 -> L1H1.k']
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, pairwise
from typing import TypeAlias

from nncirc.circuits.arguments import public, require_lengths
from nncirc.circuits.circuit import Circuit
from nncirc.circuits.errors import GraphError
from nncirc.circuits.graph import Graph, owner
from nncirc.circuits.names import Edge, Input, Node, is_node, matching, one_of

Term: TypeAlias = tuple[str, Input | None]
Step: TypeAlias = Sequence[Term]
Path: TypeAlias = Sequence[Step]


MOST_EDGES = 5_000_000
"""Edges that paths may stand for: past any circuit that was written down, and few enough to be listed."""


@dataclass(frozen=True, slots=True)
class _Side:
    """A term of a path with its nodes, and the receivers by which it is entered; embeddings have none.

    It is `written_out` if it is one node by its own name.
    """

    term: str
    nodes: tuple[str, ...]
    input: Input | None
    written_out: bool
    inputs: tuple[str, ...] = ()


@public
def from_paths(
    graph: Graph,
    groups: Mapping[str, Sequence[str]],
    paths: Sequence[Path],
    scores: Sequence[float | None] = (),
) -> Circuit:
    """The circuit with all edges that the paths name.

    A path is a sequence of steps, a step a sequence of terms, a term a name and the input by which edges
    enter it: `[[("embed", None)], [("mover", "v")], [("logits", None)]]` for `embed -> mover.v -> logits`.
    Every node of a step sends to every node of the next, later in the computation; a pair of nodes in the
    other order makes no edge. A head without an input is entered by its query, key and value; under
    grouped-query attention `("L3H5", "k")` is the key that `L3H5` shares, such as `L3KV2.k`.

    In a graph of positions a name says where it is, `L2H1@end` or `mover@end`; without that it is at every
    position, and each sends to what is at its own. `("L2H1@S.2", "k")` is the key of the head at S.2.

    Args:
        graph: the graph that the circuit belongs to.
        groups: for every name its nodes, by name or as a pattern: `L9H6`, `L5H*`, `L*H*`, `MLP*`, `MLP3N*`.
        paths: a term's name is that of a group or of a node, or a pattern.
        scores: for every path None, or the score of the one edge that it is; () for no scores.

    Raises:
        GraphError: C451, a name is neither a group's nor a node's, or a group is called like a node; C456, a
            pair of steps makes no edge, or a node that is written out takes part in none; C457, a node that
            the graph lacks, a pattern or group without a node, or an input that a node does not have; C458, a
            score is not finite; C464, the paths stand for too many edges; C468, a path with a score is
            several edges, or its edge has another score.
    """
    if scores:
        require_lengths("`scores`", [scores], len(paths), "path")
    reader = _Reader(graph, groups)
    edges: dict[Edge, float | None] = {}
    for path, score in zip(paths, scores or [None] * len(paths), strict=True):
        hops = reader.hops(path)
        found = dict.fromkeys(each for hop in hops for each in _edges(graph, *hop))
        if score is None:
            for edge in found:
                edges.setdefault(edge)
        else:
            edges[_scored(found, edges)] = score
    return Circuit(graph, edges, reader.members, {"method": "reference"})


def wrong_paths(
    graph: Graph,
    groups: Mapping[str, Sequence[str]],
    paths: Sequence[Path],
    scores: Sequence[float | None] = (),
) -> list[tuple[int | None, GraphError]]:
    """The errors `from_paths` would raise, without making the edges, each with the number of its path.

    Those of a group have no number. Arguments as of `from_paths`.
    """
    try:
        reader = _Reader(graph, groups)
    except GraphError as error:
        return [(None, error)]
    found: list[tuple[int | None, GraphError]] = []
    scored: dict[Edge, float | None] = {}
    for number, (path, score) in enumerate(zip(paths, scores or [None] * len(paths), strict=True)):
        try:
            hops = reader.hops(path)
            if score is not None:
                few = dict.fromkeys(islice((each for hop in hops for each in _edges(graph, *hop)), 2))
                scored[_scored(few, scored)] = score
        except GraphError as error:
            found.append((number, error))
            if error.code == "C464":
                break
    return found


class _Reader:
    """Reads paths, each term once."""

    def __init__(self, graph: Graph, groups: Mapping[str, Sequence[str]]) -> None:
        self.graph = graph
        self.members = {group: _members(graph, group, names) for group, names in groups.items()}
        self.known: dict[tuple[Term, bool], _Side] = {}
        self.total = 0

    def side(self, term: Term, *, entered: bool) -> _Side:
        """A term; what a path begins with is not entered."""
        if (term, entered) not in self.known:
            side = _side(self.graph, self.members, term)
            self.known[term, entered] = replace(side, inputs=_entered(self.graph, side)) if entered else side
        return self.known[term, entered]

    def hops(self, path: Path) -> list[tuple[list[_Side], list[_Side]]]:
        """The pairs of neighboring steps; each makes edges, and not too many with all before."""
        steps = [[self.side(term, entered=number > 0) for term in step] for number, step in enumerate(path)]
        if len(steps) < 2:
            raise GraphError(
                "C456", "a path needs at least two steps: a -> b", hint="add a receiver: `-> logits`"
            )
        hops = list(pairwise(steps))
        for senders, receivers in hops:
            self.total += _meeting(self.graph, senders, receivers)
            if self.total > MOST_EDGES:
                raise GraphError(
                    "C464",
                    f"the paths up to {_step(senders)} -> {_step(receivers)} contain {self.total:,} edges; at"
                    f" most {MOST_EDGES:,} are allowed",
                    hint="write only the edges that the circuit has",
                )
        return hops


def _scored(path: Mapping[Edge, None], edges: Mapping[Edge, float | None]) -> Edge:
    first, *rest = path
    if rest:
        raise GraphError(
            "C468",
            f"a score belongs to one edge; this path has {len(path)}, such as {first} and {rest[0]}",
            hint="write a path for each edge: one sender, and one input of one receiver",
        )
    if edges.get(first) is not None:
        raise GraphError("C468", f"the edge {first} has two scores", hint="remove one of them")
    return first


@public
def expand(graph: Graph, name: str) -> tuple[str, ...]:
    """The nodes of a name or of a pattern, in the order of the computation.

    In a graph of positions a name without one is the node at every position.

    Raises:
        GraphError: C451, the name is not that of a node; C457, the graph has no such node.

    >>> from nncirc.circuits.graph import Shape
    >>> expand(Graph(Shape(2, 2, 2)), "L*H1")
    ('L0H1', 'L1H1')
    """
    node = one_of(name)
    if node.input is not None:
        raise GraphError(
            "C457",
            f"expected a whole node, found the input {name}",
            hint=f"write {owner(name)}",
        )
    if "*" not in name and (node.position is not None or not graph.positions):
        found: tuple[str, ...] = (name,) if name in graph.node_index else ()
    else:
        anywhere = bool(graph.positions) and node.position is None
        found = matching(name, graph.nodes, at_any_position=anywhere)
    if not found:
        problem = f"{name} matches no node of the graph" if "*" in name else f"the graph has no node {name}"
        raise GraphError("C457", problem, hint=_what_there_is(graph))
    return found


def entered(graph: Graph, name: str) -> tuple[str, ...]:
    """The receivers of a name or of a pattern, with an input or without one; embeddings have none.

    Raises:
        GraphError: C451, the name is not that of a node; C457, the graph has no such node or input.

    >>> from nncirc.circuits.graph import Shape
    >>> graph = Graph(Shape(2, 2, 2))
    >>> entered(graph, "L1H*.q"), entered(graph, "logits")
    (('L1H0.q', 'L1H1.q'), ('logits',))
    """
    whole, at, position = name.partition("@")
    node, _, which = whole.partition(".")
    entry: Input | None = which or None  # type: ignore[assignment]
    side = _Side(name, expand(graph, node + at + position), entry, written_out="*" not in name)
    return _entered(graph, side)


def _members(graph: Graph, group: str, names: Sequence[str]) -> tuple[str, ...]:
    if is_node(group):
        raise GraphError(
            "C451",
            f"{group!r} is a node and cannot name a group",
            hint="give the group another name",
        )
    found = dict.fromkeys(node for name in names for node in expand(graph, name))
    if not found:
        raise GraphError("C457", f"the group {group} has no nodes", hint="add nodes to it, or remove it")
    return tuple(sorted(found, key=graph.node_index.__getitem__))


def _side(graph: Graph, groups: Mapping[str, tuple[str, ...]], term: Term) -> _Side:
    name, which = term
    whole, at, position = name.partition("@")
    text = f"{whole}.{which}{at}{position}" if which else name
    if whole in groups:
        nodes = tuple(node for node in groups[whole] if node.endswith(at + position))
        if not nodes:
            known = ", ".join(graph.positions) or "none"
            raise GraphError(
                "C457",
                f"the group {whole} has no node at {position}",
                hint=f"positions of the graph: {known}",
            )
        return _Side(text, nodes, which, written_out=False)
    try:
        nodes = expand(graph, name)
    except GraphError as error:
        if error.code != "C451":
            raise
        known = ", ".join(groups) or "none"
        raise GraphError(
            "C451",
            f"expected a group or a node, found {name!r}",
            hint=f"groups: {known}; nodes are embed, pos_embed, L9H6, L5H*, MLP3, MLP3N17, logits",
        ) from error
    return _Side(text, nodes, which, written_out="*" not in name)


def _places(graph: Graph, names: Iterable[str], index: Mapping[str, int]) -> list[tuple[int, int]]:
    """The position and the place without positions of those that are there."""
    count = len(graph.positions) or 1
    return [(place % count, place // count) for name in names if (place := index.get(name)) is not None]


def _meeting(graph: Graph, senders: Sequence[_Side], receivers: Sequence[_Side]) -> int:
    """How many edges a hop makes, those of terms that overlap several times.

    Some sender is before some receiver, and so is each of the nodes that are written out.

    Raises:
        GraphError: C456.
    """
    sent = [_places(graph, side.nodes, graph.sender_index) for side in senders]
    entered = [_places(graph, side.inputs, graph.receiver_index) for side in receivers]
    before: dict[int, list[int]] = {}
    for position, place in sorted(chain(*sent)):
        before.setdefault(position, []).append(place)
    reach: dict[int, int] = {}
    for position, place in chain(*entered):
        reach[position] = max(graph.reach[place], reach.get(position, 0))
    sending = [any(place < reach.get(position, 0) for position, place in places) for places in sent]
    heard = [
        sum(bisect_left(before.get(at, ()), graph.reach[place]) for at, place in each) for each in entered
    ]
    hop = f"{_step(senders)} -> {_step(receivers)}"
    if not any(sending):
        raise GraphError("C456", f"the graph has no edge {hop}", hint=_why(graph, senders, receivers))
    for side, takes_part in zip((*senders, *receivers), (*sending, *heard), strict=True):
        if side.written_out and not takes_part:
            ours, theirs = (
                [each for each in sides if each is side] or sides for sides in (senders, receivers)
            )
            raise GraphError("C456", f"{side.term} has no edge in {hop}", hint=_why(graph, ours, theirs))
    return sum(heard)


def _edges(graph: Graph, senders: Sequence[_Side], receivers: Sequence[_Side]) -> Iterator[Edge]:
    return (
        edge
        for sender in senders
        for receiver in receivers
        for node in sender.nodes
        for name in receiver.inputs
        if (edge := Edge(node, name)) in graph
    )


def _entered(graph: Graph, side: _Side) -> tuple[str, ...]:
    """The receivers of a term; embeddings have none."""
    found: dict[str, None] = {}
    for name in side.nodes:
        inputs = _inputs(graph, name)
        if side.input is not None:
            wanted = f".{side.input}"
            inputs = tuple(each for each in inputs if each.partition("@")[0].endswith(wanted))
            if not inputs:
                raise GraphError(
                    "C457",
                    f"{name} has no input .{side.input}" + ("" if name == side.term else f" ({side.term})"),
                    hint=_why_no_input(graph, name),
                )
        found.update(dict.fromkeys(inputs))
    return tuple(found)


def _inputs(graph: Graph, name: str) -> tuple[str, ...]:
    """The receivers of a node, at its own position."""
    whole, at, position = name.partition("@")
    if whole in graph.base.inputs:
        found = graph.base.inputs[whole]
    elif whole in graph.base.receiver_index:  # logits, and an MLP whose neurons send in its place
        found = (whole,)
    else:
        found = (f"{whole}.k", f"{whole}.v")  # a shared key and value
    return tuple(f"{each}{at}{position}" for each in found)


def _why_no_input(graph: Graph, name: str) -> str:
    kind = Node.parse(name).kind
    if kind == "kv":
        return "key-value heads share only .k and .v; each head has its own .q"
    if kind in ("head", "attention") and not graph.split_inputs:
        return "the graph joins q, k and v: omit the input, or set inputs = [q, k, v] in the graph"
    return "only attention has the inputs q, k and v"


def _why(graph: Graph, senders: Sequence[_Side], entered: Sequence[_Side]) -> str:
    sender = senders[0].nodes[0] if senders else None
    receiver = next((side.inputs[0] for side in entered if side.inputs), None)
    if sender is None or not entered:
        return "a step of the path is empty"
    if receiver is None:
        return "embeddings read nothing: they must be the first step of a path"
    if sender == "logits":
        return "logits sends nothing: it must be the last step of a path"
    if sender not in graph.sender_index:
        if sender.startswith("MLP"):
            neurons = sender.replace("@", "N*@") if "@" in sender else f"{sender}N*"
            return f"{sender} is split into neurons: name them, {neurons}, or do not split it"
        return f"{sender} has no output of its own: name the heads that share it"
    if graph.positions:
        at = {node.partition("@")[2]: node for side in senders for node in side.nodes}
        receivers = [each for side in entered for each in side.inputs if each.partition("@")[2] in at]
        if not receivers:
            return (
                "edges join nodes at the same position; heads move information through their keys and values"
            )
        receiver = receivers[0]
        sender = at[receiver.partition("@")[2]]
    return f"{sender} is computed after the input {receiver}; edges go only to later nodes"


def _what_there_is(graph: Graph) -> str:
    shape = graph.shape
    heads = f"heads 0 to {shape.n_heads - 1}" if graph.attention == "heads" else "whole attention layers"
    text = f"the graph has layers 0 to {shape.n_layers - 1} with {heads}"
    if graph.attention == "heads" and shape.n_kv_heads < shape.n_heads:
        text += f" that share keys and values 0 to {shape.n_kv_heads - 1}"
    text += " and MLPs" if shape.mlps else ", and no MLPs"
    if graph.neurons:
        counts = ", ".join(f"MLP{layer} into {count}" for layer, count in graph.neurons)
        text += f", splits {counts} neurons"
    return text + (f", and is split at {', '.join(graph.positions)}" if graph.positions else "")


def _step(sides: Sequence[_Side]) -> str:
    terms = ", ".join(side.term for side in sides)
    return terms if len(sides) == 1 else f"[{terms}]"
