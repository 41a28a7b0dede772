"""ROC curves against the definition: every threshold's circuit, every pair of scores."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, strategies as st
from tests.circuits.strategies import edge_sets
from tests.refused import refused
from tests.some import some

from nncirc.circuits.circuit import Circuit
from nncirc.circuits.errors import MethodError
from nncirc.circuits.graph import Graph, Shape
from nncirc.circuits.measures import By, agreement
from nncirc.circuits.names import Edge
from nncirc.circuits.roc import Roc, RocPoint, node_scores, roc_of_circuits, roc_of_scores

GRAPH = Graph(Shape(2, 2, 2))
EDGES = tuple(GRAPH.edges())
few = st.integers(-3, 3).map(float)  # ties
scored = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=2), few, min_size=2)


@st.composite
def questions(draw: st.DrawFn) -> tuple[dict[str, float], set[str]]:
    scores = draw(scored)
    right = draw(st.sets(st.sampled_from(sorted(scores)), min_size=1, max_size=len(scores) - 1))
    return scores, right


@given(questions())
def test_points_are_the_thresholds(question: tuple[dict[str, float], set[str]]) -> None:
    scores, right = question
    wrong = set(scores) - right
    points = roc_of_scores(scores, right).points
    assert points[0] == RocPoint(0.0, 0.0)
    assert [p.threshold for p in points[1:]] == sorted(set(scores.values()), reverse=True)
    for point in points[1:]:
        assert point.threshold is not None
        kept = {name for name, score in scores.items() if score >= point.threshold}
        assert point.true_positive_rate == len(kept & right) / len(right)
        assert point.false_positive_rate == len(kept & wrong) / len(wrong)


@given(questions())
def test_areas_are_comparisons_of_pairs(question: tuple[dict[str, float], set[str]]) -> None:
    """Steps count the pairs in which what is right scores higher; straight lines half of the ties besides."""
    scores, right = question
    pairs = [(scores[a], scores[b]) for a in right for b in set(scores) - right]
    above, ties = sum(a > b for a, b in pairs), sum(a == b for a, b in pairs)
    roc = roc_of_scores(scores, right)
    assert roc.auc == pytest.approx(float(Fraction(above, len(pairs))))
    assert roc.auc_linear == pytest.approx(float(Fraction(2 * above + ties, 2 * len(pairs))))


@given(st.data(), st.sampled_from(["nodes", "edges"]))
def test_circuits_are_points_and_the_area_is_the_best_not_beyond(data: st.DataObject, by: By) -> None:
    reference = Circuit.of(GRAPH, EDGES[3:6])
    circuits = [Circuit.of(GRAPH, each) for each in data.draw(st.lists(edge_sets(GRAPH), max_size=4))]
    names = [float(i) for i in range(len(circuits))]
    roc = roc_of_circuits(circuits, reference, by=by, thresholds=names)
    rates = {p.threshold: (p.false_positive_rate, p.true_positive_rate) for p in roc.points}
    for name, circuit in zip(names, circuits, strict=True):
        counts = agreement(circuit, reference, by=by)
        assert rates[name] == (counts.false_positive_rate, counts.recall)
    # By the definition, at very many false positive rates.
    grid = [(i + 0.5) / 2000 for i in range(2000)]
    best = [max(p.true_positive_rate for p in roc.points if p.false_positive_rate <= at) for at in grid]
    assert roc.auc == pytest.approx(sum(best) / len(grid), abs=2e-3)


def test_a_perfect_circuit_has_all_of_the_area() -> None:
    reference = Circuit.of(GRAPH, EDGES[3:6])
    assert roc_of_circuits([reference], reference).auc == 1.0
    assert roc_of_circuits([], reference).auc == 0.0  # steps promise nothing between the corners
    assert roc_of_circuits([], reference).auc_linear == 0.5
    assert Roc((RocPoint(0, 0), RocPoint(0, 1), RocPoint(1, 1))).auc == 1.0


@given(st.lists(few, min_size=len(EDGES), max_size=len(EDGES)))
def test_nodes_are_those_of_the_edges_circuit(numbers: list[float]) -> None:
    scores = dict(zip(EDGES, numbers, strict=True))
    nodes = node_scores(scores)
    for threshold in some(set(numbers)):
        circuit = Circuit.of(GRAPH, [edge for edge in EDGES if scores[edge] >= threshold])
        assert {node for node, score in nodes.items() if score >= threshold} == set(circuit.nodes)


@pytest.mark.parametrize("right", [[], ["a", "b"], ["z"]])
def test_something_to_find_and_something_to_leave(right: list[str]) -> None:
    with refused(MethodError, "C555"):
        roc_of_scores({"a": 1.0, "b": 2.0}, right)


@pytest.mark.parametrize("reference", [Circuit.of(GRAPH, []), Circuit.full(GRAPH)])
def test_a_reference_is_a_part(reference: Circuit) -> None:
    with refused(MethodError, "C555"):
        roc_of_circuits([Circuit.of(GRAPH, [Edge("embed", "logits")])], reference)
