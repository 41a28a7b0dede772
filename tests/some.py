"""What tests go through one by one: a loop over nothing asserts nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

Thing = TypeVar("Thing")


def some(things: Iterable[Thing]) -> list[Thing]:
    """The things that a test looks at, which are never none."""
    found = list(things)
    assert found, "there is nothing to look at, and so nothing was asserted"
    return found
