"""How much memory there is, and how much of it passes over a model take.

Only what a method holds beside the model and Python counts: activations, gradients, logits.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psutil
import torch

from nncirc.circuits.door import read_text
from nncirc.engine.model.model import Model

SHARE = 0.5
TOKENS_IN_A_TRACE = 1024  # enough for large products: more only take room
_CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def free_memory(device: torch.device) -> int:
    """Bytes that could be allocated on a device now: without swapping, and within a container's limit."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free = int(psutil.virtual_memory().available)
    for limit, used in _CGROUPS:
        with suppress(OSError, ValueError):  # there is no such file, or it says "max"
            free = min(free, int(read_text(limit)) - int(read_text(used)))
    return max(free, 0)


def machine_memory() -> int:
    """Bytes that this machine has in all, or a container's limit: no process can have more."""
    most = int(psutil.virtual_memory().total)
    for limit, _ in _CGROUPS:
        with suppress(OSError, ValueError):
            most = min(most, int(read_text(limit)))
    return most


def resident() -> int:
    """Bytes that this process has in memory now."""
    return int(psutil.Process().memory_info().rss)


def peak() -> int:
    """The most bytes that this process has had in memory so far."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def default_memory(device: torch.device) -> int:
    """What is used where nobody says: half of what is free, since others may need some of it too."""
    return int(SHARE * free_memory(device))


def pass_bytes(model: Model, tokens: int) -> int:
    """Bytes that one prompt takes in the largest pass: forward and backward, with what senders write kept.

    Measured, and held by a test. In units of `pos × d_model` a block keeps about 40 for its backward with
    GPT-2's MLP; what is written in the clean run, the corrupted run and their difference are two a
    block each. Logits are those of one position, in float64 for the metric.
    """
    shape = model.shape
    unit = tokens * model.d_model
    blocks = shape.n_layers * (46 * unit + shape.n_heads * tokens**2) + 8 * unit
    return blocks * model.dtype.itemsize + logits_bytes(model, 1)


def logits_bytes(model: Model, positions: int) -> int:
    """Bytes that logits at so many positions of a prompt take while they are read, in float64."""
    return 4 * 8 * model.vocabulary * positions


class Large:
    """Tensors that are kept while there is room for them: what was used longest ago goes first."""

    def __init__(self, room: int) -> None:
        self.room, self.taken = room, 0
        self.kept: dict[Any, Any] = {}

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What `make` gives, made again only if it had to go."""
        if key in self.kept:
            found = self.kept.pop(key)
            self.taken -= found.nbytes
        else:
            found = make()
        if found.nbytes <= self.room:
            while self.taken + found.nbytes > self.room:
                self.taken -= self.kept.pop(next(iter(self.kept))).nbytes
            self.kept[key] = found
            self.taken += found.nbytes
        return found
