"""Chance against counting: every set of a size, every circuit that is drawn."""

from __future__ import annotations

import itertools
from collections import Counter

from hypothesis import given, settings, strategies as st
from tests.circuits.strategies import circuit_pairs, edge_sets, graphs
from tests.refused import refused

from nncirc.circuits.chance import Null, hypergeometric_tail, overlap_p, random_circuits
from nncirc.circuits.circuit import Circuit, prune
from nncirc.circuits.errors import MethodError
from nncirc.circuits.graph import Graph, Shape
from nncirc.circuits.measures import members

TINY = Graph(Shape(1, 1, 1))


@given(st.integers(0, 8), st.data())
def test_the_tail_by_counting_every_set(universe: int, data: st.DataObject) -> None:
    first, second = (data.draw(st.integers(0, universe)) for _ in range(2))
    shared = data.draw(st.integers(-1, universe + 1))
    ours, sets = set(range(first)), list(itertools.combinations(range(universe), second))
    wanted = sum(len(ours & set(each)) >= shared for each in sets) / len(sets)
    assert hypergeometric_tail(shared, first, second, universe) == wanted


def test_the_tail_of_large_circuits() -> None:
    """GPT-2 small: 32,491 edges. The mean is 31; 31 is likely, 300 is not, and neither overflows."""
    assert 0.4 < hypergeometric_tail(31, 1000, 1000, 32_491) < 0.6
    assert 0 < hypergeometric_tail(200, 1000, 1000, 32_491) < 1e-80
    assert hypergeometric_tail(0, 1000, 1000, 32_491) == 1.0
    assert hypergeometric_tail(1000, 1000, 1000, 32_491) == 0.0  # below the least float


@given(circuit_pairs())
def test_overlap_of_two_circuits(pair: tuple[Circuit, Circuit]) -> None:
    (a, universe), (b, _) = (members(each, "nodes") for each in pair)
    wanted = hypergeometric_tail(len(a & b), len(a), len(b), universe)
    assert overlap_p(*pair, by="nodes") == overlap_p(*reversed(pair), by="nodes") == wanted


@settings(max_examples=36)
@given(graphs(), st.data())
def test_connected_random_circuits(graph: Graph, data: st.DataObject) -> None:
    """As many edges as a pruned circuit has, all of them on paths; the same for one seed."""
    edges = len(prune(Circuit.of(graph, data.draw(edge_sets(graph)))))
    seed = data.draw(st.integers(0, 5))
    found = list(random_circuits(graph, edges, 2, seed=seed))
    for circuit in found:
        assert len(circuit) == edges
        assert prune(circuit).edges == circuit.edges
    assert [each.edges for each in random_circuits(graph, edges, 1, seed=seed)] == [found[0].edges]


def test_every_connected_circuit_can_be_drawn() -> None:
    """Of one layer of one head: all that exist are found, and nothing else."""
    edges = tuple(TINY.edges())
    for size in range(len(edges) + 1):
        exist = {
            chosen
            for chosen in itertools.combinations(edges, size)
            if len(prune(Circuit.of(TINY, chosen))) == size
        }
        if exist:
            assert {each.edges for each in random_circuits(TINY, size, 300)} == exist, size
        else:
            with refused(MethodError, "C557"):
                next(random_circuits(TINY, size, 1))


def test_any_edges_are_equally_probable() -> None:
    counts = Counter(edge for each in random_circuits(TINY, 3, 1400, connected=False) for edge in each.edges)
    wanted = 1400 * 3 / TINY.n_edges
    assert set(counts) == set(TINY.edges())
    assert all(abs(count - wanted) < 5 * wanted**0.5 for count in counts.values())


def test_more_edges_than_there_are() -> None:
    for edges in (-1, TINY.n_edges + 1):
        with refused(MethodError, "C556"):
            next(random_circuits(TINY, edges, 1))


def test_a_null_distribution() -> None:
    null = Null(0.5, (0.1, 0.5, 0.9, 0.2))
    assert (null.p, null.quantile) == (3 / 5, 2 / 4)
    assert Null(1.0, (0.0,) * 99).p == 1 / 100
