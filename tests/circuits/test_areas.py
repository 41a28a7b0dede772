"""CPR and CMD against areas known by geometry, and MIB's sizes against exact fractions."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, strategies as st
from tests.circuits.strategies import graphs
from tests.refused import refused

from nncirc.circuits.areas import SHARES, cmd, cpr, mib_sizes
from nncirc.circuits.errors import MethodError
from nncirc.circuits.graph import Graph, Shape

PERCENT = [Fraction(text) for text in (".1", ".2", ".5", "1", "2", "5", "10", "20", "50", "100")]
values = st.lists(st.floats(-3, 3), min_size=10, max_size=10)


@given(graphs())
def test_sizes_are_shares_rounded_down(graph: Graph) -> None:
    assert list(mib_sizes(graph)) == [int(percent * graph.n_edges / 100) for percent in PERCENT]


def test_the_sizes_of_gpt2_small() -> None:
    found = mib_sizes(Graph(Shape(12, 12, 12)))
    assert (found[0], found[6], found[-1]) == (32, 3249, 32491)
    assert [float(percent / 100) for percent in PERCENT] == list(SHARES)


@given(values)
def test_areas_by_fractions(f: list[float]) -> None:
    def area(heights: list[Fraction]) -> Fraction:
        shares = [percent / 100 for percent in PERCENT]
        pieces = [
            (shares[i + 1] - shares[i]) * (heights[i] + heights[i + 1]) / 2 for i in range(len(shares) - 1)
        ]
        return sum(pieces, Fraction(0))

    exact = [Fraction(each) for each in f]
    assert cpr(f) == pytest.approx(float(area(exact)), abs=1e-12)
    assert cmd(f) == pytest.approx(float(area([abs(1 - each) for each in exact])), abs=1e-12)


def test_areas_that_are_known() -> None:
    assert cpr([1.0] * 10) == pytest.approx(0.999)
    assert cmd([1.0] * 10) == 0
    assert cpr(SHARES) == pytest.approx((1 - 0.001**2) / 2)  # a straight line
    assert cmd([2.0] * 10) == pytest.approx(0.999)  # above 1 is as far as below
    assert cpr([0.0, 1.0], [0.0, 0.5]) == 0.25


@pytest.mark.parametrize(("f", "shares"), [([1.0], SHARES), ([1.0], [1.0]), ([], [])])
def test_a_value_for_each_size(f: list[float], shares: list[float]) -> None:
    for measure in (cpr, cmd):
        with refused(MethodError, "C554"):
            measure(f, shares)
