"""The progress of a run: bars on a terminal, and a line now and then in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TextIO, TypeAlias

from nncirc.circuits.words import visible

__all__ = ["Log", "Report", "Start", "shown"]

Report: TypeAlias = Callable[[int, int], None]
"""Called with the work done and the total; first when something new was computed, not read from the cache."""

Start: TypeAlias = Callable[[str], Report]
SECONDS = 30.0
"""Between two lines of a log."""


@contextmanager
def shown(stream: TextIO, clock: Callable[[], float] = time.monotonic) -> Iterator[Start]:
    """Gives what is called with the name of each result, and then gives the callback for its progress."""
    if not stream.isatty():
        yield Log(stream, clock).start
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    bars = Progress(
        *columns, TimeRemainingColumn(), console=Console(file=stream), transient=True, get_time=clock
    )

    def start(name: str) -> Report:
        task = None

        def report(done: int, total: int) -> None:
            # Made when there is something to show: a result from the store has no bar that waits for ever.
            nonlocal task
            if task is None:
                task = bars.add_task(visible(name), total=total)
            bars.update(task, completed=done, total=total)

        return report

    with bars:
        yield start


@dataclass
class Log:
    """Lines for a file: one when so much time has passed since the last."""

    stream: TextIO
    clock: Callable[[], float]

    def __post_init__(self) -> None:
        self._said = self.clock()

    def start(self, name: str) -> Report:
        """The callback for one result."""
        first: tuple[float, int] | None = None

        def report(done: int, total: int) -> None:
            nonlocal first
            now = self.clock()
            first = first or (now, done)
            if now - self._said < SECONDS:
                return
            self._said = now
            left = _left(now - first[0], done - first[1], total - done)
            with suppress(OSError):  # a log that cannot be written ends no run
                self.stream.write(f"{visible(name)}: {done:,} of {total:,}{left}\n")
                self.stream.flush()

        return report


def _left(seconds: float, done: int, remaining: int) -> str:
    """How long the rest takes at the pace so far; nothing before there is a pace."""
    if not done or not remaining:
        return ""
    return f", about {timedelta(seconds=round(seconds * remaining / done))} left"
