"""Reference circuits: what a paper says, as named groups of nodes and paths between them.

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

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TypeAlias

from nncirc.circuits.circuit import Circuit
from nncirc.circuits.errors import GraphError
from nncirc.circuits.graph import Graph
from nncirc.circuits.nodes import Edge, Input, Node

Term: TypeAlias = tuple[str, Input | None]
Step: TypeAlias = Sequence[Term]
Path: TypeAlias = Sequence[Step]


@dataclass(frozen=True, slots=True)
class _Side:
    """A term of a path with its nodes. `written_out` if it is one node by its own name."""

    term: str
    nodes: tuple[str, ...]
    input: Input | None
    written_out: bool


def from_paths(
    graph: Graph,
    groups: Mapping[str, Sequence[str]],
    paths: Sequence[Path],
    scores: Sequence[float | None] = (),
) -> Circuit:
    """The circuit of all edges that the paths name.

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
            score is not finite; C468, a path with a score is several edges, or its edge has another score.
    """
    members = {group: _members(graph, group, names) for group, names in groups.items()}
    edges: dict[Edge, float | None] = {}
    for path, score in zip(paths, scores or [None] * len(paths), strict=True):
        steps = [[_side(graph, members, term) for term in step] for step in path]
        if len(steps) < 2:
            raise GraphError("C456", "a path has at least two steps: a -> b", hint="say where it leads")
        found = dict.fromkeys(each for hop in pairwise(steps) for each in _hop(graph, *hop))
        if score is None:
            for edge in found:
                edges.setdefault(edge)
        else:
            edges[_scored(found, edges)] = score
    return Circuit(graph, edges, members, {"method": "reference"})


def _scored(path: Mapping[Edge, None], edges: Mapping[Edge, float | None]) -> Edge:
    first, *rest = path
    if rest:
        raise GraphError(
            "C468",
            f"a score is of one edge, and this path is {len(path)}, {first} and {rest[0]} among them",
            hint="write a path for each edge: one sender, and one input of one receiver",
        )
    if edges.get(first) is not None:
        raise GraphError("C468", f"the edge {first} has two scores", hint="leave one of them out")
    return first


def expand(graph: Graph, name: str) -> tuple[str, ...]:
    """The nodes of a name or of a pattern, in the order of the computation.

    In a graph of positions a name without one is the node at every position.

    Raises:
        GraphError: C451, the name is not one of a node; C457, the graph has no such node.

    >>> from nncirc.circuits.graph import Shape
    >>> expand(Graph(Shape(2, 2, 2)), "L*H1")
    ('L0H1', 'L1H1')
    """
    node = Node.parse(name.replace("*", "0"))
    if node.input is not None:
        raise GraphError(
            "C457",
            f"{name} is an input of a node, where a whole node is wanted",
            hint="in a path the input stands beside the name; a group holds whole nodes",
            about=name,
        )
    at = "@.*" if graph.positions and node.position is None else ""
    pattern = re.compile(re.escape(name).replace(r"\*", "[0-9]+") + at)
    found = tuple(node for node in graph.nodes if pattern.fullmatch(node))
    if not found:
        problem = f"{name} matches no node" if "*" in name else f"there is no node {name}"
        raise GraphError("C457", f"{problem} of the graph", hint=_what_there_is(graph), about=name)
    return found


def entered(graph: Graph, name: str) -> tuple[str, ...]:
    """The receivers of a name or of a pattern, with an input or without one; embeddings have none.

    Raises:
        GraphError: C451, the name is not one of a node; C457, the graph has no such node or input.

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
    if _is_node(group):
        raise GraphError(
            "C451",
            f"a group cannot be called {group!r}: that is a node",
            hint="give the group another name",
            about=group,
        )
    found = dict.fromkeys(node for name in names for node in expand(graph, name))
    if not found:
        raise GraphError(
            "C457", f"the group {group} has no nodes", hint="name some, or leave it out", about=group
        )
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
                f"no node of the group {whole} is at {position}",
                hint=f"the graph has the positions {known}",
                about=text,
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
            f"{name!r} is neither a group nor a node",
            hint=f"groups: {known}; nodes are embed, pos_embed, L9H6, L5H*, MLP3, MLP3N17, logits",
            about=name,
        ) from error
    return _Side(text, nodes, which, written_out="*" not in name)


def _hop(graph: Graph, senders: Iterable[_Side], receivers: Iterable[_Side]) -> Iterable[Edge]:
    senders, receivers = list(senders), list(receivers)
    entered = [(side, _entered(graph, side)) for side in receivers]
    idle = {id(side): side for side in (*senders, *receivers)}
    edges: list[Edge] = []
    for sender in senders:
        for receiver, inputs in entered:
            found = [edge for node in sender.nodes for name in inputs if (edge := Edge(node, name)) in graph]
            if found:
                idle.pop(id(sender), None)
                idle.pop(id(receiver), None)
            edges += found
    hop = f"{_step(senders)} -> {_step(receivers)}"
    if not edges:
        raise GraphError("C456", f"{hop} makes no edge", hint=_why(graph, senders, entered))
    for side in idle.values():
        if side.written_out:
            raise GraphError(
                "C456",
                f"{side.term} takes part in no edge of {hop}",
                hint=_why(
                    graph,
                    [s for s in senders if s is side] or senders,
                    [e for e in entered if e[0] is side] or entered,
                ),
                about=side.term,
            )
    return edges


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
                    about=side.term,
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
        return "a group of heads shares its key and its value; queries are the heads' own"
    if kind in ("head", "attention") and not graph.split_inputs:
        return "the graph joins q, k and v: leave the input out, or set inputs = [q, k, v] in the graph"
    return "only attention is entered as q, k or v"


def _why(graph: Graph, senders: Sequence[_Side], entered: Sequence[tuple[_Side, tuple[str, ...]]]) -> str:
    sender = senders[0].nodes[0] if senders else None
    receiver = next((inputs[0] for _, inputs in entered if inputs), None)
    if sender is None or not entered:
        return "a step is empty"
    if receiver is None:
        return "embeddings read nothing: they can only stand first"
    if sender == "logits":
        return "logits sends nothing: it can only stand last"
    if sender not in graph.sender_index:
        if sender.startswith("MLP"):
            neurons = sender.replace("@", "N*@") if "@" in sender else f"{sender}N*"
            return f"{sender} sends nothing itself: name its neurons, {neurons}, or do not split it"
        return f"{sender} sends nothing itself: name the heads that share it"
    if graph.positions:
        at = {node.partition("@")[2]: node for side in senders for node in side.nodes}
        receivers = [each for _, inputs in entered for each in inputs if each.partition("@")[2] in at]
        if not receivers:
            return (
                "an edge stays at its position: heads carry from one to another, from their keys and values"
            )
        receiver = receivers[0]
        sender = at[receiver.partition("@")[2]]
    return f"{sender} is computed after {receiver} has been read; edges lead to later nodes"


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


@cache
def _is_node(name: str) -> bool:
    try:
        Node.parse(name.replace("*", "0"))
    except GraphError:
        return False
    return True
