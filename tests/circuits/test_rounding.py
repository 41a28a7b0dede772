"""Digits against decimal arithmetic, and that a factor of a power of ten changes none of them."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_EVEN, Context, Decimal

import pytest
from hypothesis import given, strategies as st

from nncirc.circuits.rounding import FINER, decimals, ranked_as, rounded

floats = st.floats(-1e12, 1e12).filter(lambda x: x == 0 or abs(x) > 1e-12)


@given(st.lists(floats, min_size=1, max_size=8), st.integers(2, 12))
def test_the_largest_has_so_many_digits(numbers: list[float], digits: int) -> None:
    places, largest = decimals(numbers, digits), max(map(abs, numbers))
    if largest:
        unit = Decimal(10) ** -places
        assert 10 ** (digits - 1) <= round(Decimal(largest) / unit, 0) * (1 + Decimal("1e-5"))
        assert Decimal(largest) / unit < 10**digits
    for number in numbers:
        assert abs(Decimal(rounded(number, places)) - Decimal(number)) <= Decimal(
            10
        ) ** -places / 2 + Decimal(abs(number)) * Decimal("1e-15")


def test_the_size_of_what_is_one_but_for_rounding() -> None:
    assert decimals([1 - 1e-12], 6) == decimals([1 + 1e-12], 6) == decimals([1.0], 6) == 5
    assert decimals([0.0], 6) == decimals([], 6) == decimals([-0.0, math.inf, math.nan], 6) == 5
    assert decimals([math.inf, 1e-300], 6) == 305
    assert decimals([1e300], 6) == -295


@given(st.lists(st.integers(-999_999, 999_999), min_size=1, max_size=8), st.integers(-200, 200))
def test_a_power_of_ten_changes_no_digit(digits: list[int], power: int) -> None:
    texts = [f"{each}.3" for each in digits]  # never half of a digit
    numbers = [float(f"{text}e{power}") for text in texts]
    places, base = decimals(numbers, 3), decimals(map(float, texts), 3)
    assert base - places == power
    for text, number in zip(texts, numbers, strict=True):
        wanted = float(f"{rounded(float(text), base)!r}e{power}")
        assert rounded(number, places) == pytest.approx(wanted, rel=1e-12, abs=0)


@given(floats, st.integers(3, 9), st.integers(-3, 12))
def test_what_is_ranked_has_digits_of_its_own(number: float, digits: int, places: int) -> None:
    found = ranked_as(number, digits, places)
    wanted = Context(prec=digits, rounding=ROUND_HALF_EVEN).create_decimal(Decimal(number))
    wanted = Decimal(float(wanted)).quantize(Decimal(10) ** -(places + FINER), context=Context(prec=60))
    assert found == float(wanted)
    assert math.copysign(1, found) == 1 if found == 0 else True
