"""The only module that touches nnsight.

A trace runs the model once with a body in between: the body reads and writes at the model's modules in
the order in which the model reaches them. nnsight captures a `with` body from its source, so there is one
driver here, and everything else is an ordinary callable.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from nnsight import NNsight
from nnsight.intervention.interleaver import OutOfOrderError
from torch import Tensor

from nncirc.circuits.errors import MethodError, NncircError

T = TypeVar("T")

# Traces of one model cannot nest and threads cannot share one.
_LOCK = threading.Lock()


def wrap(module: torch.nn.Module) -> NNsight:
    """The module with its nnsight envoys, which have the module's own attribute names."""
    return NNsight(module)


def run(envoy: NNsight, inputs: Mapping[str, Any], body: Callable[[], T], *, grad: bool = False) -> T:
    """Run the model on `inputs` with `body` as the intervention; returns what the body returns.

    Args:
        envoy: from `wrap`.
        inputs: keyword arguments of the model's forward.
        body: reads and writes at envoys, in forward order. Tensors that it returns share storage with
            the model's own: clone what outlives the trace, write in place to nothing.
        grad: whether autograd records.

    Raises:
        MethodError: C501, the body asked for a module that the forward does not reach.
        NncircError: whatever the body raised.
    """
    box: list[T] = []
    failed: list[BaseException] = []

    def guarded() -> None:
        # nnsight rewrites exceptions that leave a trace; ours must keep their type and their code.
        try:
            box.append(body())
        except (NncircError, KeyboardInterrupt, MemoryError) as error:
            failed.append(error)

    reason = "the model's forward ended before the intervention ran"
    try:
        with _LOCK, torch.set_grad_enabled(grad), envoy.trace(**inputs):
            guarded()
    except OutOfOrderError as error:
        reason = str(error)
    except Exception:
        # After the body has failed the forward goes on with what the body left, and may fail of that.
        if not failed:
            raise
    if failed:
        raise failed[0]
    if not box:
        raise MethodError(
            "C501",
            reason,
            hint="it reads a module that this model's forward never calls, or calls in another order",
        )
    return box[0]


def checked(new: Tensor, old: Tensor, site: str) -> Tensor:
    """`new`, if it can take the place of `old`: nnsight itself accepts a write of any shape.

    Raises:
        MethodError: C502 the shape or dtype is another, C503 it has values that are not finite, or so large
            that their norm is not, which a model's own norms turn into zeros without a word.
    """
    if new.shape != old.shape or new.dtype != old.dtype:
        raise MethodError(
            "C502",
            f"wrong shape or dtype written at {site}: {tuple(new.shape)}, {new.dtype};"
            f" expected {tuple(old.shape)}, {old.dtype}",
            hint="this is a bug in the model's adapter: please report it with the model's config",
        )
    if not has_norm(new):
        raise MethodError(
            "C503",
            f"values written at {site} are not finite, or too large for the model's norms",
            hint="use a smaller scale of noise or steering; in float16 some models overflow: try float32",
        )
    return new


LARGEST_NORM = 1.8e19
"""Whose square is the largest number in float32, in which many models compute norms whatever their dtype."""


def has_norm(values: Tensor) -> bool:
    """Whether vectors are finite, and so are their norms where a model computes them."""
    half = values.dtype.itemsize < torch.float32.itemsize
    norms = torch.linalg.vector_norm(values.detach(), dim=-1, dtype=torch.float32 if half else None)
    return bool((norms < LARGEST_NORM).all())
