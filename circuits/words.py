"""Numbers as messages say them."""

from __future__ import annotations

__all__ = ["counted", "memory_in_words"]


def counted(count: int, thing: str) -> str:
    """So many things.

    >>> counted(1, "prompt"), counted(1200, "edge")
    ('1 prompt', '1,200 edges')
    """
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def memory_in_words(size: float) -> str:
    """A number of bytes in the unit that fits.

    >>> memory_in_words(1024), memory_in_words(5.5 * 2**20), memory_in_words(3000 * 2**30)
    ('1 KiB', '5.5 MiB', '3,000 GiB')
    """
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= factor:
            return f"{size / factor:,.1f}".removesuffix(".0") + f" {unit}"
    return counted(round(size), "byte")
