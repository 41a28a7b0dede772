"""What the floor is made of: multiplications that a method executes, and how fast this machine multiplies."""

from __future__ import annotations

from typing import Any

import torch
from benchmarks.clock import Conditions, for_a_while, typical
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

LARGE = ((1024, 1024), (1024, 1024))
"""The matrix product whose rate is the machine's."""


class Meter(TorchDispatchMode):
    """Counts the multiplications of matrix products, at every operation that PyTorch runs."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total: int = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Every operation passes here."""
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.total += formula(*args, **(kwargs or {}), out_val=out) // 2
        elif "flash_attention_for_cpu" in str(func):  # of which PyTorch's own counter does not know
            backward = "backward" in str(func)
            query, key = args[1:3] if backward else args[:2]
            # Scores and values; backward scores again, and the gradients by query, key, value and scores.
            self.total += (5 if backward else 2) * query.numel() * key.shape[-2]
        return out


def rate(
    left: tuple[int, ...],
    right: tuple[int, ...],
    conditions: Conditions,
    *,
    dtype: torch.dtype = torch.float32,
    seconds: float = 1.0,
) -> float:
    """Multiplications a second of a matrix product.

    Args:
        left: shape of the left matrix, or of a batch of them.
        right: shape of the right one.
        conditions: on what, and which clock counts.
        dtype: of both.
        seconds: for how long to measure.
    """
    a = torch.randn(left, dtype=dtype, device=conditions.device)
    b = torch.randn(right, dtype=dtype, device=conditions.device)
    clocks = for_a_while(lambda: torch.matmul(a, b), seconds)
    return a.numel() * right[-1] / conditions.seconds(typical(clocks))
