"""How many digits the numbers of a result have, and which numbers count as equal.

Another batch or another number of threads rounds sums differently. So the numbers of a result are written to
the decimal at which the largest of them has a number of significant digits, whatever its unit. What lies
beyond is rounding: without it files are the same to the byte. A metric times a million has these digits too.

Where numbers are ranked, more counts: of each the significant digits of its own, so that beside an effect of
1 those of 10⁻⁶ still have an order, and numbers that differ by rounding alone are equal.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

__all__ = ["FINER", "decimals", "ranked_as", "rounded"]

FINER = 3
"""Digits beyond the last one written below which a number counts as zero when it is ranked."""


def decimals(numbers: Iterable[float], digits: int) -> int:
    """Decimals at which the largest of some numbers has so many significant digits; below 0 for large ones.

    What is not finite is passed over. Of zeros alone, and of no numbers, as of 1.

    >>> decimals([0.002, -31.0], 6)
    4
    """
    largest = max((abs(number) for number in numbers if math.isfinite(number)), default=0.0)
    # As text, so that 0.9999999999 and 1.0000000001 are of one size.
    return digits - 1 - int(f"{largest or 1.0:.5e}".partition("e")[2])


def rounded(number: float, places: int) -> float:
    """A number to so many decimals, without a minus zero."""
    return round(number, places) + 0.0


def ranked_as(number: float, digits: int, places: int) -> float:
    """What a finite number counts as where it is ranked or compared with a threshold.

    These are so many digits of its own, and at most three decimals more than its kind is written to.

    >>> ranked_as(0.1234567, 6, 5), ranked_as(0.00000123456, 6, 5), ranked_as(0.000000001, 6, 5)
    (0.123457, 1.23e-06, 0.0)
    """
    return rounded(float(f"{number:.{digits - 1}e}"), places + FINER)
