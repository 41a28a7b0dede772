"""Two circuits side by side."""

from __future__ import annotations

from hypothesis import given
from tests.circuits.strategies import circuit_pairs, circuits
from tests.refused import refused

from nncirc.circuits.circuit import Circuit, difference, intersection, union
from nncirc.circuits.collapse import join_heads, join_inputs
from nncirc.circuits.compare import SIDES, as_json, as_text, collapsed, compare
from nncirc.circuits.errors import GraphError
from nncirc.circuits.graph import Graph, Shape
from nncirc.circuits.names import Edge

GRAPH = Graph(Shape(1, 2, 2))
OURS = Circuit(
    GRAPH, {Edge("embed", "L0H0.q"): 0.5, Edge("L0H0", "logits"): None, Edge("embed", "MLP0"): -2.0}
)
THEIRS = Circuit(GRAPH, {Edge("embed", "L0H0.q"): 0.25, Edge("L0H1", "logits"): None})


@given(circuit_pairs())
def test_sides_are_the_algebra(pair: tuple[Circuit, Circuit]) -> None:
    first, second = pair
    found = compare(first, second)
    assert found.edges["both"] == intersection(first, second).edges
    assert found.edges["first"] == difference(first, second).edges
    assert found.edges["second"] == difference(second, first).edges
    assert sorted(edge for side in SIDES for edge in found.edges[side]) == sorted(union(first, second).edges)
    assert set(found.nodes["both"]) == set(first.nodes) & set(second.nodes)
    assert set(found.nodes["first"]) == set(first.nodes) - set(second.nodes)
    assert set(found.nodes["second"]) == set(second.nodes) - set(first.nodes)
    turned = compare(second, first)
    assert (turned.edges["first"], turned.nodes["second"]) == (found.edges["second"], found.nodes["first"])


def test_as_text() -> None:
    assert as_text(compare(OURS, THEIRS), ("ours", "theirs")).splitlines() == [
        "ours: 4 nodes, 3 edges",
        "theirs: 4 nodes, 2 edges",
        "",
        "both             3 nodes        1 edges",
        "only ours        1 nodes        2 edges",
        "only theirs      1 nodes        1 edges",
        "overlap (Jaccard): nodes 0.600, edges 0.250",
        "",
        "both, nodes:",
        "  embed L0H0 logits",
        "",
        "only ours, nodes:",
        "  MLP0",
        "",
        "only theirs, nodes:",
        "  L0H1",
        "",
        "both, edges:",
        "  embed -> L0H0.q         0.5        0.25",
        "",
        "only ours, edges:",
        "  embed -> MLP0           \N{MINUS SIGN}2",
        "  L0H0 -> logits",
        "",
        "only theirs, edges:",
        "  L0H1 -> logits",
    ]


def test_as_json() -> None:
    found = as_json(compare(OURS, THEIRS), ("ours", "theirs"))
    assert found["first"] == {"name": "ours", "nodes": 4, "edges": 3, "made": {}}
    assert found["jaccard"] == {"nodes": 0.6, "edges": 0.25}
    assert found["nodes"] == {"both": ["embed", "L0H0", "logits"], "first": ["MLP0"], "second": ["L0H1"]}
    assert found["edges"] == {
        "both": [["embed", "L0H0.q", 0.5, 0.25]],
        "first": [["embed", "MLP0", -2.0], ["L0H0", "logits", None]],
        "second": [["L0H1", "logits", None]],
    }


def test_different_graphs() -> None:
    with refused(GraphError, "C455"):
        compare(OURS, join_heads(THEIRS))


@given(circuits())
def test_what_is_told_apart_by_one_only_is_joined(circuit: Circuit) -> None:
    circuit = Circuit.of(circuit.graph, circuit.edges)  # sums of scores may overflow
    coarse = join_heads(join_inputs(circuit))
    first, second = collapsed(circuit, coarse)
    assert collapsed(first, second) == (first, second)
    assert first.graph == second.graph
    assert first.edges == second.edges
    assert second.graph.attention == "layers"
    same = collapsed(circuit, circuit)
    assert (same[0], same[1]) == (circuit, circuit)


@given(circuits())
def test_joined_inputs_on_one_side_and_joined_heads_on_the_other(circuit: Circuit) -> None:
    circuit = Circuit.of(circuit.graph, circuit.edges)
    first, second = collapsed(join_inputs(circuit), join_heads(circuit))
    assert first.graph == second.graph
    assert first.edges == second.edges


def test_circuits_of_two_models_have_no_common_graph() -> None:
    with refused(GraphError, "C459"):
        collapsed(OURS, Circuit.full(Graph(Shape(2, 2, 2))))


def test_scores_say_what_they_are() -> None:
    graph = Graph(Shape(1, 1, 1))
    edge = Edge("embed", "logits")
    found = Circuit(graph, {edge: 0.5}, made={"method": "acdc", "score": "rise of the loss"})
    taken = Circuit(graph, {edge: 0.1}, made={"method": "top", "scores": {"score": "estimated fall"}})
    text = as_text(compare(found, taken), ["a", "b"])
    assert "a: 2 nodes, 1 edge; scores: rise of the loss" in text
    assert "b: 2 nodes, 1 edge; scores: estimated fall" in text
    split = Graph(graph.shape, positions=("end", "other"))
    fine = Circuit(split, {Edge("embed@end", "logits@end"): 1.0}, made={"method": "acdc", "score": "rise"})
    ours, _ = collapsed(fine, found)
    assert "scores: rise; summed where edges became one" in as_text(compare(ours, found), ["a", "b"])
    assert "; scores" not in as_text(
        compare(Circuit.of(graph, [edge]), Circuit.of(graph, [edge])), ["a", "b"]
    )
