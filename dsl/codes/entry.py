"""What the catalogue says of a code."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Entry"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A code's long form.

    Attributes:
        title: a short sentence without a full stop.
        text: why it is an error, and what to do.
        bad: a piece of a script that gives the code, or "".
        good: the same put right, or "".
    """

    title: str
    text: str
    bad: str = ""
    good: str = ""
