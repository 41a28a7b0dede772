"""The scale between a metric's corrupted run, 0, and its clean run, 1; and the loss of a circuit on it.

Of the logit difference that is the normalized logit difference:

    (LD_pt − LD_corrupt) / (LD_clean − LD_corrupt)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from jaxtyping import Float
from torch import Tensor

from nncirc.circuits.errors import MethodError
from nncirc.engine.metrics.metric import Metric


@dataclass(frozen=True, slots=True)
class Normalizer:
    """value -> (value − zero) / span.

    Attributes:
        zero: the corrupted run.
        span: the clean run minus the corrupted one.
        least: two runs that differ by no more are one, but for rounding.
    """

    zero: float
    span: float
    least: float = 0.0

    def __call__(self, value: Any) -> Any:
        """The value on the scale where the corrupted run is 0 and the clean run is 1."""
        return (value - self.zero) / self.span

    def apart(self, clean: Any, corrupt: Any) -> Any:
        """Whether two runs of this metric, such as those of a resample, have a scale between them."""
        return abs(clean - corrupt) > self.least


def between(metric: Metric, clean: Sequence[float], corrupt: Sequence[float]) -> Normalizer:
    """What puts a corrupted run at 0 and a clean run at 1, from the metric of every prompt on both.

    Raises:
        MethodError: C522, the two runs do not differ by this metric; C562, it is not finite.
    """
    one, zero = mean(clean), mean(corrupt)
    if not (math.isfinite(one) and math.isfinite(zero)):
        raise MethodError(
            "C562",
            f"{metric.name} is {one:.6g} on the clean prompts and {zero:.6g} on the corrupted ones",
            hint="check its value on every prompt",
        )
    # Relative to the prompts' own values, for means over prompts may cancel; whatever the unit.
    size = max(mean(map(abs, clean)), mean(map(abs, corrupt)))
    found = Normalizer(zero, one - zero, max(APART * size, metric.measure.nothing))
    if not found.apart(one, zero):
        raise MethodError(
            "C522",
            f"{metric.name} is {one:.6g} on the clean prompts and {zero:.6g} on the corrupted ones:"
            " they do not differ enough to normalize by",
            hint="check what the corruption changes, and the measured positions and answers",
        )
    return found


APART = 1e-6
"""By how much of the metric's mean magnitude over prompts two runs differ at least, to be a scale."""


def mean(values: Iterable[float]) -> float:
    """The mean over prompts."""
    numbers = tuple(values)
    return math.fsum(numbers) / len(numbers)


Loss: TypeAlias = Literal["metric", "distance"]


def loss(
    metric: Metric, normal: Normalizer, means: Float[Tensor, " row"], whole: float | None
) -> Float[Tensor, " row"]:
    """What a circuit should keep low, in the metric's unit.

    `metric`: minus the metric, or a divergence as it is; a normalized metric is 1 on the clean run whatever
    its sign. `distance`: how far the metric is from the whole model's, |m(C) - m(M)| (Wang et al. 2022); of a
    normalized metric that is |faithfulness - 1|.

    Args:
        metric: what is measured.
        normal: its scale.
        means: of the metric over prompts, not normalized.
        whole: of a distance, the whole model's, on that scale.
    """
    value: Tensor = normal(means)
    if whole is not None:
        return (value - whole).abs()
    return -value if metric.normalize else -metric.measure.sign * value
