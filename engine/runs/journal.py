"""What an interrupted run remembers, so that it goes on where it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Journal(Protocol):
    """Numbers by name, entry by entry, in the order in which a method came by them."""

    def known(self, receiver: str) -> Mapping[str, float] | None:
        """What an earlier run noted under a name; None if it noted nothing.

        ACDC: the senders that a receiver kept, with their rises. Activation patching: the values of a trace.
        """
        ...

    def decided(self, receiver: str, kept: Mapping[str, float]) -> None:
        """Note an entry."""
        ...
