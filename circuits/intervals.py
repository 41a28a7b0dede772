"""Intervals for means over prompts: the percentile bootstrap (Efron & Tibshirani 1993).

Prompts are drawn with replacement, as many as there are, and the statistic is computed anew; the interval
lies between two quantiles of what comes out. It speaks of other prompts of the same distribution, not of
another model, corruption or circuit.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, TypeAlias

from nncirc.circuits.annotations import SOME, Count
from nncirc.circuits.arguments import public, require_arguments, require_lengths
from nncirc.circuits.errors import MethodError
from nncirc.circuits.rounding import rounded

Statistic: TypeAlias = Callable[..., float | None]
"""From the mean of every column the number that is reported; None where these means give none."""


@public
@dataclass(frozen=True, slots=True)
class Resampling:
    """How an interval is drawn.

    Attributes:
        resamples: the number of bootstrap resamples.
        level: the share of resamples inside the interval, between 0 and 1.
        seed: of the draws.

    Raises:
        MethodError: C552, fewer than 1 resample, or a level that is not between 0 and 1.
    """

    resamples: int = 1000
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.resamples < 1 or not 0 < self.level < 1:
            raise MethodError(
                "C552",
                f"an interval needs at least 1 resample and a level between 0 and 1, got {self.resamples} and"
                f" {self.level:g}",
                hint="write resamples = 1000 and level = 0.95",
            )


@public
@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and the interval around it.

    Attributes:
        value: from all prompts.
        low: the lower end; −∞ where the prompts do not bound it.
        high: the upper end; ∞ likewise.
        prompts: how many prompts it is from; None where that is not known. One prompt bounds nothing.
    """

    value: float
    low: float
    high: float
    prompts: int | None = None

    @public
    def rounded(self, places: int) -> Estimate:
        """To so many decimals, without minus zeros."""
        value, low, high = (rounded(each, places) for each in (self.value, self.low, self.high))
        return Estimate(value, low, high, self.prompts)

    @public
    def interval(self, digits: Count) -> str:
        """The interval in words, to so many significant digits: `[0.66, 0.75]`, `(one prompt)`.

        Nothing of a number that is the same in every resample, or is no mean over prompts.
        """
        if self.low == self.high:
            return ""
        if self.prompts == 1:
            return "(one prompt)"
        if math.isinf(self.low) and math.isinf(self.high):
            return "(not bounded by these prompts)"
        return f"[{self.low:.{digits}g}, {self.high:.{digits}g}]"


USUAL = Resampling()
"""1000 resamples, 95 %, seed 0."""


@public
def bootstrap(
    columns: Annotated[Sequence[Annotated[Sequence[float], SOME]], SOME],
    statistic: Statistic,
    how: Resampling = USUAL,
) -> Estimate:
    """A statistic of means over prompts, with its interval.

    Quantiles are interpolated linearly between order statistics. A resample that gives no number (a ratio
    whose denominator vanishes) counts as −∞ at the lower end and as ∞ at the upper one, and so do all
    resamples of a single prompt, which says nothing of others: an interval is too wide rather than too
    narrow.

    Args:
        columns: what was measured, one number for each prompt in every column. A resample takes the same
            prompts of all columns.
        statistic: from the columns' means, one argument for each, to the number.
        how: number of resamples, level, seed.

    Raises:
        MethodError: C553, the statistic of all prompts is no number.

    >>> bootstrap([[1.0, 2.0, 3.0, 4.0]], lambda mean: mean).value
    2.5
    """
    prompts = len(columns[0])
    require_lengths("the numbers of each column", columns, prompts, "prompt")
    require_arguments("`statistic`", statistic, len(columns))
    value = statistic(*(math.fsum(column) / prompts for column in columns))
    if value is None:
        raise MethodError(
            "C553",
            "the measure is undefined on these prompts: it divides by an effect of zero",
            hint="use other prompts, or a corruption that changes the metric",
        )
    if prompts == 1:
        return Estimate(value, -math.inf, math.inf, prompts)
    found = [
        statistic(*(math.fsum([column[i] for i in drawn]) / prompts for column in columns))
        for drawn in draws(prompts, how.resamples, how.seed)
    ]
    low = sorted(-math.inf if each is None else each for each in found)
    high = sorted((math.inf if each is None else each for each in found), reverse=True)
    return Estimate(value, _end(low, how), _end(high, how), prompts)


@lru_cache(maxsize=4)
def draws(prompts: int, resamples: int, seed: int) -> tuple[tuple[int, ...], ...]:
    """For every resample the indices of the prompts that it takes, as many as there are."""
    # `Random.random` is the one generator whose sequence Python promises to keep.
    draw = random.Random(seed).random
    return tuple(tuple(int(draw() * prompts) for _ in range(prompts)) for _ in range(resamples))


def place_of_end(how: Resampling) -> tuple[int, float]:
    """Where an end lies among the numbers of the resamples, from the outermost on: behind which, how far."""
    # With 21 resamples at 0.9 it is the second, and not 2e-16 before it.
    place = round((1 - how.level) / 2 * (how.resamples - 1), 9)
    return math.floor(place), place % 1


def _end(ordered: Sequence[float], how: Resampling) -> float:
    behind, by = place_of_end(how)
    outer = ordered[behind]
    return outer + by * (ordered[behind + 1] - outer) if by and math.isfinite(outer) else outer
