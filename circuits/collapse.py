"""Circuits on a coarser graph: q/k/v joined into heads, heads into attention layers, neurons into MLPs.

An edge goes where its sender and its receiver go: `L0H1 -> L2H3.q` to `L0H1 -> L2H3` or to `L0 -> L2.q`.
The coarse circuit has an edge where the fine one has any that goes there, so collapsing a union is the
union of what is collapsed, and a path stays a path.

Grouped-query attention. Heads of a group share one key and one value, so an edge into `L1KV0.k` enters
every head of the group. Where keys must become part of one head each (joined heads, or formats that know
no groups) the edge is copied to every head of the group, and the graph's shape becomes that of a model with
as many key-value heads as heads. No method can cut such an edge alone: a graph of that shape is there to be
read and compared, and its shape differs from the model's, which keeps it from being run by mistake. A key
that is copied to a head which itself leads nowhere leaves edges that `prune` drops.

Scores. `sum` adds the scores of merged edges: for attribution scores, the first-order effect of
cutting them together. `max_abs` keeps the one furthest from 0, with its sign (the positive one of two as
far). One edge without a score leaves the sum or maximum unknown: None. A score copied to the heads of a
group is counted at each of them, so sums over joined heads count shared keys more than once; go from the
finest graph to the wanted one in a single step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Literal, TypeAlias

from nncirc.circuits.annotations import Positive
from nncirc.circuits.arguments import public
from nncirc.circuits.circuit import Circuit
from nncirc.circuits.errors import GraphError
from nncirc.circuits.graph import Graph
from nncirc.circuits.made import Made
from nncirc.circuits.names import Edge, Node

Scores: TypeAlias = Literal["sum", "max_abs"]


@public
def collapse_to(circuit: Circuit, graph: Graph, *, scores: Scores = "sum") -> Circuit:
    """The circuit on a coarser graph of the same model.

    Args:
        circuit: the fine circuit.
        graph: like the circuit's graph, except for joined inputs, heads, embeddings, positions or neurons, or
            key-value heads ungrouped.
        scores: how to combine the scores of edges that are merged.

    Raises:
        GraphError: C459, the graph is not a coarser one of the same model.

    >>> from nncirc.circuits.graph import Shape
    >>> fine = Circuit(
    ...     Graph(Shape(2, 2, 2)), {Edge("L0H0", "L1H0.q"): 1.0, Edge("L0H0", "L1H0.k"): -3.0}
    ... )
    >>> dict(collapse_to(fine, Graph(Shape(2, 2, 2), split_inputs=False)).scores)
    {Edge(sender='L0H0', receiver='L1H0'): -2.0}
    """
    _require_coarser(circuit.graph, graph)
    images = cache(partial(_images, circuit.graph, graph))
    merged: dict[Edge, list[float | None]] = {}
    for edge, score in circuit.scores.items():
        for sender in images(edge.sender):
            for receiver in images(edge.receiver):
                merged.setdefault(Edge(sender, receiver), []).append(score)
    combine = _COMBINE[scores]
    groups = {
        group: tuple(dict.fromkeys(image for member in members for image in images(member)))
        for group, members in circuit.groups.items()
    }
    made: Made = {"method": "collapse", "scores": scores, "of": [dict(circuit.made)]}
    return Circuit(graph, {edge: _combined(combine, found) for edge, found in merged.items()}, groups, made)


@public
def join_inputs(circuit: Circuit, *, scores: Scores = "sum") -> Circuit:
    """`L1H0.q`, `.k` and `.v` become one receiver `L1H0`, and `L1.q`, `.k`, `.v` become `L1`.

    Joined heads that share keys and values are ungrouped: see the module.
    """
    graph = circuit.graph
    shape = _ungrouped(graph).shape if graph.attention == "heads" else graph.shape
    return collapse_to(circuit, replace(graph, shape=shape, split_inputs=False), scores=scores)


@public
def join_heads(circuit: Circuit, *, scores: Scores = "sum") -> Circuit:
    """The heads of a layer become one node: `L1H0` becomes `L1`, and `L1KV0.k` becomes `L1.k`.

    Edges keep entering as q, k and v where they did.
    """
    return collapse_to(circuit, replace(circuit.graph, attention="layers"), scores=scores)


@public
def join_positions(circuit: Circuit, *, scores: Scores = "sum") -> Circuit:
    """The positions of a node are joined: `L1H0@S.2` and `L1H0@end` become `L1H0`."""
    return collapse_to(circuit, circuit.graph.base, scores=scores)


@public
def join_neurons(circuit: Circuit, *, scores: Scores = "sum") -> Circuit:
    """The neurons of an MLP are joined into one sender: `MLP3N17` becomes `MLP3`."""
    return collapse_to(circuit, replace(circuit.graph, neurons=()), scores=scores)


@public
def ungroup(circuit: Circuit) -> Circuit:
    """The circuit as if every head had its own key and value: `L1KV0.k` becomes `L1H0.k`, `L1H1.k`, ...

    Edges are copied, never merged, so scores stay as they are.
    """
    graph = _ungrouped(circuit.graph)
    return circuit if graph == circuit.graph else replace(collapse_to(circuit, graph), made=circuit.made)


@public
def regroup(circuit: Circuit, n_kv_heads: Positive) -> Circuit:
    """The inverse of `ungroup`: the keys and values of a group's heads become the group's.

    Raises:
        GraphError: C452, the number does not divide the heads; C459, the heads of a group differ in an
            edge or its score, or the circuit is not one of single heads with q, k and v apart.
    """
    fine = circuit.graph
    if fine.attention != "heads" or not fine.split_inputs or fine.shape.n_kv_heads != fine.shape.n_heads:
        raise GraphError(
            "C459",
            f"regrouping needs a graph of single heads with separate q, k and v, found {fine}",
            hint="regroup before you collapse",
        )
    graph = replace(fine, shape=replace(fine.shape, n_kv_heads=n_kv_heads))
    scores: dict[Edge, float | None] = {}
    for receiver in graph.receivers:
        images = _images(graph, fine, receiver)
        senders = dict.fromkeys(s for s in fine.senders for image in images if Edge(s, image) in circuit)
        for sender in senders:
            found = {circuit.scores.get(Edge(sender, image), "absent") for image in images}
            if len(found) > 1:
                raise GraphError(
                    "C459",
                    f"the edges merged into {sender} -> {receiver} differ: "
                    + ", ".join(f"{i}: {circuit.scores.get(Edge(sender, i), 'absent')}" for i in images),
                    hint="keep the circuit ungrouped: it was found with a key and a value for every head",
                )
            scores[Edge(sender, receiver)] = circuit.scores[Edge(sender, images[0])]
    return Circuit(graph, scores, circuit.groups, circuit.made)


def _ungrouped(graph: Graph) -> Graph:
    return replace(graph, shape=replace(graph.shape, n_kv_heads=graph.shape.n_heads))


def _require_coarser(fine: Graph, coarse: Graph) -> None:
    same_model = coarse.shape == fine.shape or coarse.shape == _ungrouped(fine).shape
    finer = (
        (fine.attention == "layers" and coarse.attention == "heads")
        or (coarse.split_inputs and not fine.split_inputs)
        or (coarse.pos_embed and not fine.pos_embed)
        or coarse.positions not in (fine.positions, ())
        or not set(coarse.neurons) <= set(fine.neurons)
    )
    if not same_model or finer:
        raise GraphError(
            "C459",
            f"a circuit on {fine} cannot be collapsed to {coarse}",
            hint="use a target graph of the same model that is nowhere finer",
        )


def _images(fine: Graph, coarse: Graph, name: str) -> Sequence[str]:
    """The nodes of the coarse graph that one of the fine graph becomes: several for a group."""
    node = Node.parse(name)
    if not coarse.positions:
        node = replace(node, position=None)
    if node.kind == "pos_embed" and not coarse.pos_embed:
        return [str(replace(node, kind="embed"))]
    if node.kind == "neuron" and node.layer not in coarse.neuron_counts:
        return [str(replace(node, kind="mlp", index=None))]
    if node.kind not in ("head", "kv"):
        return [_joined(node, coarse)]
    assert node.index is not None
    if coarse.attention == "layers":
        return [_joined(replace(node, kind="attention", index=None), coarse)]
    if node.kind == "kv" and coarse.shape.n_kv_heads == coarse.shape.n_heads:
        size = fine.shape.n_heads // fine.shape.n_kv_heads
        heads = range(node.index * size, (node.index + 1) * size)
        return [_joined(replace(node, kind="head", index=head), coarse) for head in heads]
    return [_joined(node, coarse)]


def _joined(node: Node, coarse: Graph) -> str:
    return str(node if coarse.split_inputs else replace(node, input=None))


def _combined(combine: Callable[[Sequence[float]], float], scores: Sequence[float | None]) -> float | None:
    measured = [score for score in scores if score is not None]
    return combine(measured) if len(measured) == len(scores) else None


def _sum(scores: Sequence[float]) -> float:
    try:
        return math.fsum(scores)  # rounds once, so that the order of the edges cannot change a score
    except OverflowError:
        return math.inf  # which `Circuit` refuses, by the edge's name


_COMBINE: Mapping[Scores, Callable[[Sequence[float]], float]] = {
    "sum": _sum,
    "max_abs": lambda scores: max(scores, key=lambda score: (abs(score), score)),
}
