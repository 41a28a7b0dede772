"""Time, by what it is told, and the peak of memory."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

import torch

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Clock:
    """Seconds of CPU and of wall."""

    cpu: float
    wall: float


@dataclass(frozen=True, slots=True)
class Conditions:
    """What everything is measured under.

    Attributes:
        device: a torch device.
        threads: of PyTorch.
    """

    device: str = "cpu"
    threads: int = 1

    @property
    def by(self) -> str:
        """The clock that ratios are taken by: `cpu`, which other work on the machine disturbs least.

        `wall` where CPU time says little: threads that wait are counted in it, and a GPU is not.
        """
        return "cpu" if self.threads == 1 and torch.device(self.device).type == "cpu" else "wall"

    def seconds(self, clock: Clock) -> float:
        """What the clock that counts says."""
        return clock.cpu if self.by == "cpu" else clock.wall

    def enter(self) -> None:
        """Let this process run under these conditions.

        Raises:
            RuntimeError, AssertionError: no such number of threads; PyTorch has no such device, or it is one
                whose work nobody here knows how to wait for, so that its times would be wrong.
        """
        torch.set_num_threads(self.threads)
        device = torch.device(self.device)
        if device.type not in ("cpu", "cuda"):
            raise RuntimeError("benchmarks know cpu and cuda")
        torch.zeros(1, device=device)
        if device.type == "cuda" and device.index is not None:
            torch.cuda.set_device(device.index)

    def peak(self) -> float:
        """Most GiB so far: of the GPU's memory, or of this process's."""
        if torch.device(self.device).type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**30
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def timed(run: Callable[[], T]) -> tuple[Clock, T]:
    """How long it takes, and what it returns. A GPU has finished its work before and after."""
    _finish()
    cpu, wall = time.process_time(), time.perf_counter()
    result = run()
    _finish()
    return Clock(time.process_time() - cpu, time.perf_counter() - wall), result


def _finish() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def typical(clocks: Sequence[Clock]) -> Clock:
    """The median of each."""
    return Clock(median(clock.cpu for clock in clocks), median(clock.wall for clock in clocks))


def for_a_while(run: Callable[[], object], seconds: float) -> list[Clock]:
    """Clocks of at least three runs, and of so many seconds; after one run that does not count."""
    run()
    clocks = [timed(run)[0] for _ in range(3)]
    while sum(clock.wall for clock in clocks) < seconds:
        clocks.append(timed(run)[0])
    return clocks
