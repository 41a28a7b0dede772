from __future__ import annotations

import math
import re

import networkx as nx
import pytest
from hypothesis import given
from tests.circuits.strategies import circuit_pairs, circuits, graphs
from tests.refused import refused

from nncirc.circuits.circuit import Circuit, difference, intersection, keep, prune, union
from nncirc.circuits.errors import GraphError, NncircError
from nncirc.circuits.graph import Graph, Shape
from nncirc.circuits.names import Edge, Node

SMALL = Graph(Shape(2, 2, 2))
OTHER = Graph(Shape(2, 2, 2, parallel=True))


def on_a_path(circuit: Circuit) -> set[Edge]:
    """The edges between embeddings and logits, by reachability from every sender to every receiver."""
    network = nx.DiGraph()
    network.add_nodes_from([("out", s) for s in circuit.graph.senders])
    network.add_nodes_from([("in", r) for r in circuit.graph.receivers])
    for receiver, senders in circuit.graph.outputs.items():
        network.add_edges_from((("in", receiver), ("out", sender)) for sender in senders)
    network.add_edges_from((("out", s), ("in", r)) for s, r in circuit.edges)
    fed = {("out", s) for s in circuit.graph.senders if "embed" in s}
    fed |= {node for source in fed for node in nx.descendants(network, source)}
    heard = {("in", r) for r in circuit.graph.receivers if "logits" in r}
    heard |= {node for sink in heard for node in nx.ancestors(network, sink)}
    return {e for e in circuit.edges if ("out", e.sender) in fed and ("in", e.receiver) in heard}


@given(circuits())
def test_prune_keeps_what_lies_on_a_path(circuit: Circuit) -> None:
    pruned = prune(circuit)
    assert set(pruned.edges) == on_a_path(circuit)
    assert prune(pruned) == pruned
    assert {e: circuit.scores[e] for e in pruned.edges} == dict(pruned.scores)
    assert (pruned.groups, pruned.made) == (circuit.groups, circuit.made)


@given(circuit_pairs())
def test_prune_is_monotone_but_knows_paths_not_edges(pair: tuple[Circuit, Circuit]) -> None:
    first, second = pair
    assert set(prune(first).edges) <= set(prune(union(first, second)).edges)
    assert set(union(prune(first), prune(second)).edges) <= set(prune(union(first, second)).edges)


def test_prune_of_a_union_finds_paths_that_neither_has() -> None:
    first = Circuit.of(SMALL, [Edge("embed", "L0H0.q")])
    second = Circuit.of(SMALL, [Edge("L0H0", "logits")])
    assert len(prune(first)) == len(prune(second)) == 0
    assert len(prune(union(first, second))) == 2


def test_prune_follows_a_shared_key_to_all_its_heads() -> None:
    graph = Graph(Shape(1, 4, 2, mlps=False))
    edges = [Edge("embed", "L0KV0.k"), Edge("L0H1", "logits"), Edge("L0H2", "logits")]
    assert prune(Circuit.of(graph, edges)).edges == (edges[0], edges[1])


def test_prune_keeps_paths_from_either_embedding() -> None:
    edges = [Edge("pos_embed", "L0H1.k"), Edge("L0H1", "logits"), Edge("L0H0", "logits")]
    assert prune(Circuit.of(Graph(Shape(1, 2, 2), pos_embed=True), edges)).edges == (edges[0], edges[1])


@given(graphs())
def test_all_edges_lie_on_a_path(graph: Graph) -> None:
    full = Circuit.full(graph)
    assert len(full) == graph.n_edges
    assert prune(full) == full
    assert full.nodes == graph.nodes


@given(circuits())
def test_edges_stand_in_the_order_of_the_computation(circuit: Circuit) -> None:
    backwards = Circuit(
        circuit.graph, dict(reversed(list(circuit.scores.items()))), circuit.groups, circuit.made
    )
    assert backwards == circuit
    assert backwards.edges == circuit.edges == tuple(e for e in circuit.graph.edges() if e in circuit)


@given(circuits())
def test_nodes_are_those_that_edges_touch(circuit: Circuit) -> None:
    touched = {re.sub(r"\.[qkv]", "", end) for edge in circuit.edges for end in edge}
    assert set(circuit.nodes) == touched
    assert list(circuit.nodes) == sorted(touched, key=circuit.graph.nodes.index)


@given(circuit_pairs())
def test_algebra_is_that_of_sets(pair: tuple[Circuit, Circuit]) -> None:
    first, second = pair
    a, b = set(first.edges), set(second.edges)
    assert set(union(first, second).edges) == a | b
    assert set(intersection(first, second).edges) == a & b
    assert set(difference(first, second).edges) == a - b
    for edge, score in union(first, second).scores.items():
        assert score == (first if edge in first else second).scores[edge]
    for result in (intersection(first, second), difference(first, second)):
        assert all(result.scores[edge] == first.scores[edge] for edge in result.edges)


@given(circuit_pairs())
def test_laws(pair: tuple[Circuit, Circuit]) -> None:
    a, b = pair
    assert intersection(a, union(a, b)).scores == union(a, intersection(a, b)).scores == a.scores
    assert union(difference(a, b), intersection(a, b)).scores == a.scores
    full = Circuit.full(a.graph)
    outside = difference(full, union(a, b))
    assert outside.edges == intersection(difference(full, a), difference(full, b)).edges
    assert len(union(a, b)) == len(a) + len(b) - len(intersection(a, b))


@given(circuit_pairs())
def test_the_algebra_keeps_groups_and_says_how_it_was_made(pair: tuple[Circuit, Circuit]) -> None:
    first, second = pair
    both = union(first, second)
    assert both.made == {"method": "union", "of": [dict(first.made), dict(second.made)]}
    for group in {*first.groups, *second.groups}:
        members = {*first.groups.get(group, ()), *second.groups.get(group, ())}
        assert set(both.groups[group]) == members and len(both.groups[group]) == len(members)
    assert intersection(first, second).groups == difference(first, second).groups == first.groups


@given(circuits())
def test_keep(circuit: Circuit) -> None:
    kept = keep(circuit, lambda edge: edge.receiver == "logits")
    assert set(kept.edges) == {edge for edge in circuit.edges if edge.receiver == "logits"}


@pytest.mark.parametrize("operation", [union, intersection, difference])
def test_circuits_of_different_graphs_do_not_mix(operation: object) -> None:
    assert callable(operation)
    with refused(GraphError, "C455", "on different graphs"):
        operation(Circuit.of(SMALL, []), Circuit.of(OTHER, []))


def test_what_a_circuit_and_a_graph_hold() -> None:
    """Edges, nodes that an edge touches, and inputs that an edge enters."""
    circuit = Circuit.of(SMALL, [Edge("embed", "L0H0.q"), Edge("L0H0", "logits")])
    for there in (Edge("embed", "L0H0.q"), ("L0H0", "logits"), "embed", "L0H0", "L0H0.q", "logits"):
        assert there in circuit
        assert there in SMALL
    for absent in (("embed", "logits"), "L0H1", "L0H0.k", "MLP0"):
        assert absent not in circuit
        assert absent in SMALL
    assert "L9H9" not in circuit
    assert "L9H9" not in SMALL
    assert ("logits", "embed") not in SMALL


@pytest.mark.parametrize("thing", ["L0.H0", "L0H0 ", "", 3, None, ["embed", "logits"], Node.parse("L0H0")])
def test_what_is_neither_an_edge_nor_a_node(thing: object) -> None:
    """A name that is misspelled is not one that is absent."""
    for holder in (Circuit.of(SMALL, []), SMALL):
        with refused(NncircError, "C451" if isinstance(thing, str) else "C751") as caught:
            assert thing in holder
        assert caught.value.hint


def test_an_edge_that_the_graph_lacks() -> None:
    with refused(GraphError, "C454", "no edge L1H0 -> L0H0.q"):
        Circuit.of(SMALL, [Edge("L1H0", "L0H0.q")])


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_is_a_finite_number(score: float) -> None:
    with refused(GraphError, "C458", "embed -> logits"):
        Circuit(SMALL, {Edge("embed", "logits"): score})


@pytest.mark.parametrize("member", ["L2H0", "L0H0.q", "nonsense", "L0KV0"])
def test_a_group_names_nodes_of_the_graph(member: str) -> None:
    with refused(GraphError, "C457", "group mover", member):
        Circuit.of(SMALL, [], groups={"mover": ("L0H0", member)})


def test_a_circuit_cannot_be_changed() -> None:
    scores: dict[Edge, float | None] = {Edge("embed", "logits"): 1}
    circuit = Circuit(SMALL, scores)
    scores[Edge("embed", "MLP0")] = 2.0
    assert len(circuit) == 1
    assert isinstance(circuit.scores[Edge("embed", "logits")], float)
    with pytest.raises(TypeError):
        circuit.scores[Edge("embed", "MLP0")] = 2.0  # type: ignore[index]
