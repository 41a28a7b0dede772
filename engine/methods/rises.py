"""What runs of ACDC remember: decisions to go on from, and what was measured for other thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from nncirc.circuits.arguments import public


class Journal(Protocol):
    """What remembers decisions, so that an interrupted run goes on where it was."""

    def known(self, receiver: str) -> Mapping[str, float] | None:
        """The senders that a receiver kept in an earlier run, with their rises; None if it was not tested."""
        ...

    def decided(self, receiver: str, kept: Mapping[str, float]) -> None:
        """A receiver has been tested and keeps these senders."""
        ...


@dataclass(frozen=True, slots=True)
class Tried:
    """A candidate that was tried: by how much the loss rose, and how far off that can be."""

    sender: int
    rise: float
    error: float


@dataclass(frozen=True, slots=True)
class Record:
    """What a sweep measured: by receiver the candidates in the order in which they were tried."""

    threshold: float
    tried: dict[int, list[Tried]] = field(default_factory=dict)


@public
@dataclass(frozen=True, slots=True)
class Measured:
    """What runs of ACDC that differ in nothing but the threshold have measured."""

    records: list[Record] = field(default_factory=list)
