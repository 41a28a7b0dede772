"""Norms taken apart: everything that a LayerNorm or RMSNorm does but divide by a scale is linear.

    norm(x) = gain · centre(x) / scale(x) + shift

`centre` takes off the mean in a LayerNorm and does nothing in an RMSNorm. With the scale left out, or held
at what it was in a run, a norm is a matrix: that is what folding a norm's weights means (Elhage et al. 2021).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from nncirc.circuits.errors import MethodError

_TOLERANCE = 1e-2  # of half precision; what is wrong is wrong by much more
_TINY = 1e-30


@dataclass(frozen=True, slots=True, eq=False)
class Norm:
    """The linear part of a norm, in float64.

    Attributes:
        gain: what each direction is multiplied by.
        shift: what is added at the end; zeros where nothing is.
        centred: whether the mean is taken off first.
    """

    gain: Float[Tensor, " d_model"]
    shift: Float[Tensor, " d_model"]
    centred: bool

    def linear(self, residual: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        """gain · centre(x)."""
        residual = residual.double()
        return self.gain * (residual - residual.mean(-1, keepdim=True) if self.centred else residual)

    def back(self, directions: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        """The transpose of `linear`: what a direction after the norm is before it."""
        directions = self.gain * directions.double()
        return directions - directions.mean(-1, keepdim=True) if self.centred else directions

    def scale(
        self, residual: Float[Tensor, "*batch d_model"], normed: Float[Tensor, "*batch d_model"]
    ) -> Float[Tensor, "*batch 1"]:
        """What a norm has divided by, from what went in and what came out (least squares)."""
        linear, normed = self.linear(residual), normed.double() - self.shift
        return linear.square().sum(-1, keepdim=True) / (linear * normed).sum(-1, keepdim=True)


def norm_parts(module: Any, like: Tensor) -> Norm:
    """A norm taken apart, and tried on a vector. One without weights counts as having gain 1.

    Args:
        module: the norm.
        like: any tensor whose last dimension is d_model, of the model's dtype and device.

    Raises:
        MethodError: C571, it is not of this form.
    """
    weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
    ones = torch.ones(like.shape[-1], dtype=like.dtype, device=like.device)
    gain = ones if weight is None else weight.detach()
    shift = torch.zeros_like(gain) if bias is None else bias.detach()
    # Any vector that is neither constant nor of mean zero tells the two kinds apart.
    probe = torch.linspace(-1, 2, len(gain), dtype=torch.float64).to(gain)
    with torch.no_grad():
        normed, moved = module(probe[None])[0].double(), module(probe[None] + 1)[0].double()
    centred = bool((normed - moved).norm() <= _TOLERANCE * normed.norm())
    # Gemma's norms keep their gain as what it is more than 1. Which it is shows entry by entry: beside a gain
    # of hundreds one more would not be seen in a sum.
    errors = []
    for each in (gain.double(), 1 + gain.double()):
        found = Norm(each, shift.double(), centred)
        scale = found.scale(probe, normed)
        size = probe.double().abs() + (probe.double().mean().abs() if centred else 0)
        terms = (each * size / scale).abs() + found.shift.abs()
        wrong = ((normed - found.shift - found.linear(probe) / scale).abs() / terms.clamp_min(_TINY)).max()
        errors.append((float(wrong.nan_to_num(math.inf)), found))
    error, found = min(errors, key=lambda one: one[0])
    if error <= _TOLERANCE:
        return found
    raise MethodError(
        "C571",
        f"a {type(module).__name__} does more than center, scale and multiply by its weight",
        hint="direct contributions and weight circuits need a LayerNorm or an RMSNorm",
    )
