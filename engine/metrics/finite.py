"""Numbers that are not finite are refused where they arise, before anything is made of them.

A NaN compares as false with everything: a threshold lets it pass, a ranking puts it anywhere, and the norm of
an infinite activation gives an innocent zero. So there is one rule: metrics are finite for every prompt of
every run, scores are finite, and what is written into a model has a finite norm (`tracing.checked`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from nncirc.circuits.errors import MethodError
from nncirc.circuits.made import Made

LARGEST = 1e300
"""Of a metric: sums over prompts, and its differences, are still finite."""


def require_finite(scores: Mapping[Any, float], made: Made) -> None:
    """Refuse scores of which one is not finite.

    Args:
        scores: numbers by what they are of.
        made: how they were made, with the model's `dtype`.

    Raises:
        MethodError: C562.
    """
    if all(map(math.isfinite, scores.values())):
        return
    name, score = next((name, score) for name, score in scores.items() if not math.isfinite(score))
    raise MethodError(
        "C562",
        f"the score of {name} is {score}; expected a finite number",
        hint=_hint(made.get("dtype")),
    )


def require_values(values: Tensor, logits: Tensor, name: str) -> None:
    """Refuse a metric that is not finite in some run.

    Args:
        values: of the metric.
        logits: from which it was computed.
        name: of the metric.

    Raises:
        MethodError: C562.
    """
    if (values.detach().abs() < LARGEST).all():
        return
    value = next(each for each in values.detach().flatten().tolist() if not abs(each) < LARGEST)
    if not torch.isfinite(logits.detach()).all():
        raise MethodError("C562", f"{name} is {value:g}: the model's logits are not finite", hint=_hint())
    raise MethodError(
        "C562",
        f"{name} is {value:g} although the model's logits are finite: the metric itself overflows",
        hint="check the metric's factors, and your own function if it has one",
    )


def _hint(dtype: object = None) -> str:
    if dtype is None or dtype == "float16":
        return "use dtype = float32 or bfloat16: some models overflow in float16, which ends at 65,504"
    return "a value overflows: check the metric's factors, and the scale of noise or steering"
