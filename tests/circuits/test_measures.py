from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, strategies as st
from tests.circuits.strategies import circuit_pairs
from tests.refused import refused

from nncirc.circuits.circuit import Circuit
from nncirc.circuits.errors import GraphError
from nncirc.circuits.graph import Graph, Shape
from nncirc.circuits.measures import By, agreement, f1, jaccard, precision, recall
from nncirc.circuits.names import Edge

GRAPH = Graph(Shape(2, 2, 2))
EMPTY, FULL = Circuit.of(GRAPH, []), Circuit.full(GRAPH)
by_either = st.sampled_from(["nodes", "edges"])


@given(circuit_pairs(), by_either)
def test_measures_by_asking_for_every_node_or_edge(pair: tuple[Circuit, Circuit], by: By) -> None:
    ours, theirs = pair
    cells = {(True, True): 0, (True, False): 0, (False, True): 0, (False, False): 0}
    for one in ours.graph.edges() if by == "edges" else ours.graph.nodes:
        if by == "edges":
            cells[one in ours.edges, one in theirs.edges] += 1
        else:
            cells[one in ours.nodes, one in theirs.nodes] += 1
    tp, fp, fn, tn = cells[True, True], cells[True, False], cells[False, True], cells[False, False]
    found = agreement(ours, theirs, by=by)
    assert (found.found, found.extra, found.missed, found.absent) == (tp, fp, fn, tn)
    if tp + fn:
        assert recall(ours, theirs, by=by) == float(Fraction(tp, tp + fn))
    if tp + fp:
        assert precision(ours, theirs, by=by) == float(Fraction(tp, tp + fp))
    if tp + fp + fn:
        assert jaccard(ours, theirs, by=by) == float(Fraction(tp, tp + fp + fn))
        p, r = found.precision, found.recall
        harmonic = 2 * p * r / (p + r) if p + r else 0.0
        assert f1(ours, theirs, by=by) == pytest.approx(harmonic)
    if fp + tn:
        assert found.false_positive_rate == float(Fraction(fp, fp + tn))


@given(circuit_pairs(), by_either)
def test_measures_as_seen_from_the_other_side(pair: tuple[Circuit, Circuit], by: By) -> None:
    ours, theirs = pair
    assert recall(ours, theirs, by=by) == precision(theirs, ours, by=by)
    assert jaccard(ours, theirs, by=by) == jaccard(theirs, ours, by=by)
    assert f1(ours, theirs, by=by) == f1(theirs, ours, by=by)


@pytest.mark.parametrize("by", ["nodes", "edges"])
def test_measures_of_nothing(by: By) -> None:
    assert recall(EMPTY, EMPTY, by=by) == precision(EMPTY, EMPTY, by=by) == 1.0
    assert jaccard(EMPTY, EMPTY, by=by) == f1(EMPTY, EMPTY, by=by) == 1.0
    assert recall(EMPTY, FULL, by=by) == 0.0
    assert precision(EMPTY, FULL, by=by) == 1.0
    assert recall(FULL, EMPTY, by=by) == 1.0
    assert precision(FULL, EMPTY, by=by) == jaccard(FULL, EMPTY, by=by) == f1(FULL, EMPTY, by=by) == 0.0
    assert agreement(FULL, FULL, by=by).false_positive_rate == 0.0
    assert agreement(FULL, EMPTY, by=by).false_positive_rate == 1.0


def test_a_missing_edge_is_not_found() -> None:
    reference = Circuit.of(GRAPH, [Edge("embed", "logits"), Edge("embed", "MLP0")])
    assert recall(Circuit.of(GRAPH, [Edge("embed", "logits")]), reference) == 0.5


def test_scores_do_not_count() -> None:
    edge = Edge("embed", "logits")
    assert jaccard(Circuit(GRAPH, {edge: 1.0}), Circuit(GRAPH, {edge: None})) == 1.0


@pytest.mark.parametrize("measure", [agreement, recall, precision, jaccard, f1])
def test_measures_want_one_graph(measure: object) -> None:
    assert callable(measure)
    with refused(GraphError, "C455"):
        measure(FULL, Circuit.full(Graph(Shape(2, 2, 1))))
