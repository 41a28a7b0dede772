"""How much a dataset may ask for: a larger number is a slip, and would take hours or all memory."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Final, TypeVar

from nncirc.circuits.errors import DataError

T = TypeVar("T", bound=Hashable)

MOST_PROMPTS: Final = 1_000_000
MOST_TOKENS: Final = 100_000
"""Of one prompt."""

MOST_TARGETS: Final = 10_000
"""Answers of one prompt of which each is right; likewise foils."""


def check_count(count: int, most: int, what: str, *, about: str) -> None:
    """Refuse more of something than anybody has; `about` is the option that asks for it.

    Raises:
        DataError: C348.
    """
    if count > most:
        raise DataError(
            "C348", f"{in_words(count)} {what}; at most {most:,} are allowed", hint="use fewer", about=about
        )


def positive(name: str, value: int) -> int:
    """A number from 1.

    Raises:
        DataError: C312.
    """
    if value < 1:
        raise DataError("C312", f"{name} must be a whole number of at least 1, got {value!r}", about=name)
    return value


def in_words(count: int) -> str:
    """A number, however large.

    >>> in_words(1200), in_words(7 ** 9100)
    ('1,200', '10^7690')
    """
    # Python writes no numbers of more than 4,300 digits; the logarithm of two suffices for these.
    return f"{count:,}" if count.bit_length() < 64 else f"10^{int(count.bit_length() * 0.30103)}"


def repeated(items: Iterable[T]) -> T | None:
    """The first thing that was there before; None if all differ."""
    seen: set[T] = set()
    for item in items:
        if item in seen:
            return item
        seen.add(item)
    return None
