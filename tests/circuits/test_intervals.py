"""Bootstrap intervals against exact enumeration, and what they do where there is nothing to resample."""

from __future__ import annotations

import itertools
import math
import random
import statistics

import pytest
from hypothesis import given, settings, strategies as st
from tests.refused import refused

from nncirc.circuits.errors import MethodError
from nncirc.circuits.intervals import Estimate, Resampling, _end, bootstrap, place_of_end

numbers = st.floats(-100, 100)


def same(mean: float) -> float:
    return mean


@settings(max_examples=12)
@given(st.lists(numbers, min_size=2, max_size=4), st.sampled_from([0.5, 0.8, 0.95]))
def test_many_resamples_are_every_resample(values: list[float], level: float) -> None:
    """Of n prompts there are nⁿ resamples, equally probable; the interval tends to their quantiles."""
    means = [statistics.fmean(each) for each in itertools.product(values, repeat=len(values))]
    found = bootstrap([values], same, Resampling(resamples=20_000, level=level))
    assert found.value == pytest.approx(statistics.fmean(values), abs=1e-12)
    for end, share in ((found.low, (1 - level) / 2), (found.high, (1 + level) / 2)):
        assert sum(mean < end - 1e-9 for mean in means) / len(means) <= share + 0.02
        assert sum(mean <= end + 1e-9 for mean in means) / len(means) >= share - 0.02


def test_an_interval_covers_as_often_as_it_says() -> None:
    draw, covered = random.Random(0), 0
    for _ in range(300):
        values = [draw.gauss(1, 2) for _ in range(40)]
        found = bootstrap([values], same, Resampling(resamples=300, level=0.9))
        covered += found.low <= 1 <= found.high
    assert 0.83 <= covered / 300 <= 0.95


def test_quantiles_are_interpolated_like_those_of_the_standard_library() -> None:
    values = [0.0, 1.0, 5.0, 2.0, 9.0]
    seen: list[float] = []

    def watched(mean: float) -> float:
        seen.append(mean)
        return mean

    found = bootstrap([values], watched, Resampling(resamples=21, level=0.9, seed=3))
    cuts = statistics.quantiles(seen[1:], n=20, method="inclusive")
    assert [found.low, found.high] == pytest.approx([cuts[0], cuts[-1]])


def test_columns_are_resampled_together() -> None:
    """Twice the numbers is twice the mean in every resample, so the ratio has no interval."""
    one = [1.0, 2.0, 4.0, 8.0]
    found = bootstrap([[2 * each for each in one], one], lambda a, b: a / b)
    assert found == Estimate(2.0, 2.0, 2.0, 4)


@given(st.integers(0, 9))
def test_the_seed_decides(seed: int) -> None:
    values = [float(i * i) for i in range(9)]
    first, second = (bootstrap([values], same, Resampling(50, seed=seed)) for _ in range(2))
    assert first == second
    assert first != bootstrap([values], same, Resampling(50, seed=seed + 1))


def test_one_prompt_says_nothing_of_others() -> None:
    found = bootstrap([[3.0]], same)
    assert found == Estimate(3.0, -math.inf, math.inf, 1)
    assert found.interval(3) == "(one prompt)"


def test_resamples_without_a_value_widen_the_interval() -> None:
    def ratio(a: float, b: float) -> float | None:
        return a / b if b else None

    # A quarter of all resamples has the second prompt alone.
    found = bootstrap([[1.0, 1.0], [1.0, 0.0]], ratio)
    assert (found.low, found.value, found.high) == (-math.inf, 2.0, math.inf)
    with refused(MethodError, "C553"):
        bootstrap([[1.0, 1.0], [0.0, 0.0]], ratio)


@pytest.mark.parametrize(("resamples", "level"), [(0, 0.95), (10, 0.0), (10, 1.0), (10, math.nan)])
def test_what_is_no_interval(resamples: int, level: float) -> None:
    with refused(MethodError, "C552"):
        Resampling(resamples, level)


def test_rounding_keeps_infinite_ends() -> None:
    assert Estimate(-0.0001, -math.inf, 1.00049, 7).rounded(3) == Estimate(0.0, -math.inf, 1.0, 7)


@pytest.mark.parametrize(
    ("level", "low"), [(0.6, -math.inf), (0.5, 1.0), (0.4, 1.2), (0.9999, -math.inf), (0.01, 1.98)]
)
def test_between_no_bound_and_a_number_there_is_no_bound(level: float, low: float) -> None:
    """At the level 0.5 the ends are the second of five numbers, at 0.6 between that and the outermost."""
    how, rest = Resampling(5, level), [1.0, 2.0, 3.0, 4.0]
    assert _end([-math.inf, *rest], how) == pytest.approx(low)
    assert _end([math.inf, *rest[::-1]], how) == pytest.approx(5 - low)


@pytest.mark.parametrize(("resamples", "level"), [(21, 0.9), (41, 0.95), (1001, 0.9), (201, 0.95)])
def test_ends_that_are_one_of_the_numbers_are_not_between_two(resamples: int, level: float) -> None:
    """In floating point (1 - 0.9) / 2 * 20 is less than 1."""
    behind, by = place_of_end(Resampling(resamples, level))
    assert (behind, by) == (round((1 - level) / 2 * (resamples - 1)), 0)


@pytest.mark.parametrize(
    ("estimate", "words"),
    [
        (Estimate(0.7, 0.65432, 0.75, 8), "[0.654, 0.75]"),
        (Estimate(0.7, -math.inf, math.inf, 8), "(not bounded by these prompts)"),
        (Estimate(0.7, 0.7, 0.7), ""),
    ],
)
def test_an_interval_in_words(estimate: Estimate, words: str) -> None:
    assert estimate.interval(3) == words
