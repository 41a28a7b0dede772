"""Means over prompts of many cells at once, each with its bootstrap interval.

For every cell what `nncirc.circuits.intervals.bootstrap` gives. All cells see the same resamples, and so does
a claim about as many prompts with the same seed. A resample is a weight for every prompt, so that the means
of all cells in all resamples are one product.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from nncirc.circuits.intervals import USUAL, Resampling, draws, place_of_end
from nncirc.circuits.rounding import decimals, rounded
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.normalization import Normalizer

NUMBERS_AT_ONCE = 2**16
"""Cells times resamples, of which half a MiB is as fast as all of them at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Estimates:
    """Numbers and the intervals around them.

    Attributes:
        value: of every cell, from all prompts, in float64.
        low: the lower ends; −∞ where the prompts do not bound it.
        high: the upper ends; ∞ where the prompts do not bound it.
        prompts: how many prompts there are; of one all ends are infinite.
        how: how the intervals were drawn.
    """

    value: Float[Tensor, "*cell"]
    low: Float[Tensor, "*cell"]
    high: Float[Tensor, "*cell"]
    prompts: int
    how: Resampling

    @property
    def facts(self) -> Any:
        """How the intervals were drawn, or why there are none; JSON values only."""
        if self.prompts == 1:
            return "none: one prompt"
        how = {"resamples": self.how.resamples, "level": self.how.level, "seed": self.how.seed}
        return {"method": "percentile bootstrap over prompts", **how}

    def decimals(self, digits: int) -> int:
        """Decimals at which the largest of the numbers has so many significant digits."""
        return decimals(self.value.flatten().tolist(), digits)

    def rounded(self, places: int) -> list[float]:
        """The numbers of a row of cells to so many decimals."""
        return [rounded(each, places) for each in self.value.tolist()]

    def ends(self, places: int) -> list[list[float | None]]:
        """Of a row of cells the lower and the upper ends as JSON has them: None where there is no bound."""
        pairs = zip(self.low.tolist(), self.high.tolist(), strict=True)
        return [[end(each, places) for each in pair] for pair in pairs]


def end(value: float, places: int) -> float | None:
    """An end of an interval as JSON has it, to so many decimals: None if there is no bound."""
    return rounded(value, places) if math.isfinite(value) else None


def estimates(
    columns: Sequence[Float[Tensor, "*cell prompt"]],
    statistic: Callable[..., Tensor] = lambda mean: mean,
    how: Resampling = USUAL,
) -> Estimates:
    """A statistic of means over prompts in every cell, with its interval.

    Args:
        columns: what was measured, the prompts last. Columns have the same cells, or none: then they are the
            same for all cells. A resample takes the same prompts of all columns.
        statistic: from the columns' means, one argument for each, to the numbers; NaN where these means give
            none, which counts as `bootstrap` says.
        how: number of resamples, level, seed.
    """
    columns = [each.cpu().double() for each in columns]
    prompts = columns[0].shape[-1]
    value = statistic(*(each.mean(-1) for each in columns))
    if prompts == 1:
        whole = torch.full_like(value, torch.inf)
        return Estimates(value, -whole, whole, 1, how)
    weights = _weights(prompts, how.resamples, how.seed)
    flat = [each if each.ndim == 1 else each.flatten(0, -2) for each in columns]
    at_once = max(1, NUMBERS_AT_ONCE // how.resamples)
    found = []
    for start in range(0, value.numel(), at_once):
        rows = slice(start, start + at_once)
        means = ((each if each.ndim == 1 else each[rows]) @ weights for each in flat)
        found.append(_ends(torch.atleast_2d(statistic(*means)), how))
    low, high = (torch.cat(each).view_as(value) for each in zip(*found, strict=True))
    return Estimates(value, low, high, prompts, how)


def metric_estimates(
    contrast: Contrast, metric: Metric, values: Float[Tensor, "*cell prompt"], how: Resampling = USUAL
) -> Estimates:
    """Means over prompts of a metric in every cell, normalised if the metric is, with their intervals.

    What normalises is resampled with the values: a resample takes the same prompts of the patched, the clean
    and the corrupted run. What was made of all prompts before, such as an ablation's means, is not made anew.

    Args:
        contrast: model, prompts and corruption.
        metric: what was measured.
        values: of every prompt in the dataset's order, not normalised.
        how: how the intervals are drawn.

    Raises:
        MethodError: C522, normalised, and the two runs do not differ.
    """
    if not metric.normalize:
        return estimates([values], how=how)
    runs = contrast.clean_values(metric), contrast.corrupt_values(metric)
    return estimates([values, *runs], partial(share, contrast.normalizer(metric)), how)


def share(normal: Normalizer, value: Tensor, clean: Tensor, corrupt: Tensor) -> Tensor:
    """Where values lie between the corrupted run, 0, and the clean run, 1; NaN if the two are not apart."""
    return torch.where(normal.apart(clean, corrupt), (value - corrupt) / (clean - corrupt), torch.nan)


@lru_cache(maxsize=4)
def _weights(prompts: int, resamples: int, seed: int) -> Float[Tensor, "prompt resample"]:
    """The share of every prompt in every resample."""
    drawn = torch.tensor(draws(prompts, resamples, seed)).T
    ones = torch.ones(drawn.shape, dtype=torch.float64)
    return torch.zeros_like(ones).scatter_add_(0, drawn, ones) / prompts


def _ends(
    found: Float[Tensor, "cell resample"], how: Resampling
) -> tuple[Float[Tensor, " cell"], Float[Tensor, " cell"]]:
    """The quantiles that a level leaves outside, interpolated linearly between order statistics."""
    behind, by = place_of_end(how)
    missing = found.isnan()

    def quantile(limit: float) -> Tensor:
        numbers = torch.where(missing, limit, found) if missing.any() else found
        ordered = numbers.topk(behind + 1 + (by > 0), largest=limit > 0).values
        outer = ordered[:, behind]
        return torch.where(outer.isinf(), outer, outer + by * (ordered[:, -1] - outer))

    return quantile(-math.inf), quantile(math.inf)
