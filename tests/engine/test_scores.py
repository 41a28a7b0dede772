"""Scores: rounding, ranking, thresholds, ties, pruning."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st
from tests.circuits.strategies import graphs, shapes
from tests.refused import refused

from nncirc.circuits.circuit import Circuit, prune
from nncirc.circuits.errors import GraphError, MethodError
from nncirc.circuits.graph import Graph, Shape
from nncirc.circuits.names import Edge
from nncirc.engine.methods.scores import EdgeScores, NodeScores, Rank

SMALL = Graph(Shape(n_layers=1, n_heads=1, n_kv_heads=1))
EDGES = list(SMALL.edges())


def scores(values: list[float]) -> EdgeScores:
    return EdgeScores(SMALL, dict(zip(EDGES, values, strict=True)), {"method": "test"})


@st.composite
def scored(draw: st.DrawFn) -> EdgeScores:
    """Few distinct values, so that many are equal."""
    graph = draw(graphs(of=shapes(max_layers=2, max_heads=2)))
    values = st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 2.0])
    drawn = draw(st.lists(values, min_size=graph.n_edges, max_size=graph.n_edges))
    return EdgeScores(graph, dict(zip(graph.edges(), drawn, strict=True)), {})


RANKS = st.sampled_from(["absolute", "signed"])


def test_of_a_table() -> None:
    table: list[list[float]] = [[0.123456789, 9, 9], [-1e-9, 9, 9], [3, 9, 9], [4, -5.5, 9], [6, 7, 8]]
    found = EdgeScores.of(SMALL, table, {"method": "test"}, 5)
    assert list(found.values) == EDGES
    assert list(found.values.values()) == [0.123456789, -1e-9, 3, 4, -5.5, 6, 7, 8]
    assert list(found.written().values()) == [0.1235, 0.0, 3, 4, -5.5, 6, 7, 8]
    assert math.copysign(1, list(found.written().values())[1]) == 1
    assert found.values[Edge("L0H0", "MLP0")] == -5.5
    assert found.values[Edge("MLP0", "logits")] == 8


@given(scored(), RANKS)
def test_ranks(one: EdgeScores, rank: Rank) -> None:
    """Highest first, equal ones in the order of the graph."""
    found = one.ranked(rank)
    assert sorted(found, key=one.graph.order) == list(one.graph.edges())
    for first, second in pairwise(found):
        a, b = one.values[first], one.values[second]
        if rank == "absolute":
            a, b = abs(a), abs(b)
        assert a > b or (a == b and one.graph.order(first) < one.graph.order(second))


@given(scored(), RANKS, st.sampled_from([-1.0, 0.0, 0.5, 1.0, 1.5, 3.0]))
def test_thresholds(one: EdgeScores, rank: Rank, threshold: float) -> None:
    kept = [e for e, x in one.values.items() if (abs(x) if rank == "absolute" else x) >= threshold]
    found = one.threshold(threshold, rank=rank)
    assert found.edges == prune(Circuit.of(one.graph, kept)).edges
    assert all(found.scores[edge] == one.values[edge] for edge in found.edges)
    assert found.made == {"method": "threshold", "threshold": threshold, "rank": rank, "scores": {}}


@given(scored(), RANKS, st.data())
def test_tops(one: EdgeScores, rank: Rank, data: st.DataObject) -> None:
    many = data.draw(st.integers(0, one.graph.n_edges + 3))
    found = one.top(many, rank=rank)
    assert found.edges == prune(Circuit.of(one.graph, one.ranked(rank)[:many])).edges
    assert len(found) <= many
    assert found.made == {"method": "top", "edges": many, "rank": rank, "scores": {}}
    if many >= one.graph.n_edges:
        assert len(found) == one.graph.n_edges


def test_signed_and_absolute_are_different_things() -> None:
    one = scores([0, 0, 0, -3, 0, 1, 0, -2])
    by_size = one.top(3)
    assert by_size.edges == (Edge("embed", "MLP0"), Edge("embed", "logits"), Edge("MLP0", "logits"))
    assert one.top(1, rank="signed").edges == (Edge("embed", "logits"),)
    assert one.threshold(1, rank="signed").edges == (Edge("embed", "logits"),)
    assert one.threshold(2).edges == (Edge("embed", "MLP0"), Edge("MLP0", "logits"))
    assert by_size.scores[Edge("embed", "MLP0")] == -3
    assert by_size.made["scores"] == {"method": "test"}


def test_what_is_pruned_is_not_made_up_for() -> None:
    one = scores([9, 8, 7, 1, 1, 1, 1, 1])
    assert len(one.top(3)) == 0


def test_a_negative_number_of_edges() -> None:
    with refused(MethodError, "C543"):
        scores([0.0] * 8).top(-1)


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_scores_that_are_no_numbers_are_none(number: float) -> None:
    """Refused when they are made, and named."""
    with refused(MethodError, "C562", str(EDGES[2])):
        scores([1, 2, number, 3, 4, 5, 6, 7])
    rows = ((1.0, 2.0), (3.0, number))
    with refused(MethodError, "C562", "MLP0 at end") as caught:
        NodeScores.of(("L0H0", "MLP0"), ("S.2", "end"), rows, {"dtype": "float16"}, 6)
    assert "65,504" in str(caught.value.hint)


def test_node_scores() -> None:
    found = NodeScores.of(("embed", "MLP0"), ("S", "end"), [[0.12345, -1e-9], [1, 2]], {"steps": 1}, 4)
    assert list(found["embed"]) == [0.123, 0.0]
    assert math.copysign(1, found["embed"][1]) == 1
    assert list(found["MLP0"]) == [1, 2]
    assert (found.nodes, found.positions, found.made) == (("embed", "MLP0"), ("S", "end"), {"steps": 1})


def test_one_number_of_node_scores() -> None:
    table = NodeScores(("L0H0", "MLP0"), ("S.2", "end"), ((1.0, 2.0), (3.0, 4.0)), {})
    assert table.value("MLP0", "S.2") == 3
    assert table.value("L0H0", "end") == 2
    whole = NodeScores(("L0H0",), (), ((5.0,),), {})
    assert whole.value("L0H0") == whole.value("L0H0", "all positions") == 5
    for one, node, column, code in [
        (table, "L0H1", "end", "C457"),
        (table, "MLP0", None, "C579"),
        (table, "MLP0", "IO", "C579"),
        (whole, "L0H0", "end", "C579"),
    ]:
        with pytest.raises((GraphError, MethodError)) as caught:
            one.value(node, column)
        assert caught.value.code == code


def test_digits_are_of_the_largest() -> None:
    table = [[1234.5678, -0.04321], [0.0, 98.7654]]
    found = NodeScores.of(("embed", "MLP0"), ("S", "end"), table, {}, 6)
    assert found.values == ((1234.57, -0.04), (0.0, 98.77))
    tiny = NodeScores.of(("embed", "MLP0"), ("S", "end"), [[1e-9 * x for x in row] for row in table], {}, 6)
    assert tiny.values == ((1.23457e-6, -4e-11), (0.0, 9.877e-8))
    assert NodeScores.of(("embed",), (), [[0.0]], {}, 6).values == ((0.0,),)


NEAR = 1 + 1e-13


def test_what_differs_by_rounding_is_a_tie() -> None:
    """Of equals the first in the order of the graph, however the last bits have fallen."""
    for large, small in ((1.0, 3e-7), (1e9, 3e2), (1e-30, 3e-37)):
        exact = scores([small, large, small, -large, 0, large, small, large])
        noisy = scores(
            [small, large, small * NEAR, -large * NEAR, 1e-17 * large, large / NEAR, small / NEAR, large]
        )
        for rank in ("absolute", "signed"):
            assert noisy.ranked(rank) == exact.ranked(rank)
        for limit in (large, small):
            assert noisy.threshold(limit).edges == exact.threshold(limit).edges
        for edges in range(9):
            assert noisy.top(edges) == exact.top(edges)


def test_small_scores_have_an_order_beside_a_large_one() -> None:
    found = scores([1e6, 5e-4, 3e-4, 4e-4, 2e-4, 6e-4, 1e-4, 7e-4])
    places = [list(found.values).index(edge) for edge in found.ranked()]
    assert places == [0, 7, 5, 1, 3, 2, 4, 6]


@pytest.mark.parametrize("threshold", [math.nan, math.inf, -math.inf])
def test_a_threshold_that_is_no_number(threshold: float) -> None:
    with refused(MethodError, "C531"):
        scores([1.0] * 8).threshold(threshold)
