"""Numbers, and text from outside, as shown in messages."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

__all__ = ["counted", "listed", "memory_in_words", "visible"]

# Controls move a terminal's cursor, format characters reorder the line, a lone surrogate cannot be encoded.
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def counted(count: int, thing: str) -> str:
    """A count with its noun.

    >>> counted(1, "prompt"), counted(1200, "edge")
    ('1 prompt', '1,200 edges')
    """
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def listed(things: Sequence[object], most: int = 20) -> str:
    """Things by name, abbreviated if there are many.

    >>> listed(["a", "b"]), listed(range(1000), most=3)
    ('a, b', '0, 1, 2 and 997 more')
    """
    shown = ", ".join(visible(str(each), 60) for each in things[:most])
    return shown if len(things) <= most else f"{shown} and {len(things) - most:,} more"


def memory_in_words(size: float) -> str:
    """A number of bytes in the unit that fits.

    >>> memory_in_words(1024), memory_in_words(5.5 * 2**20), memory_in_words(3000 * 2**30)
    ('1 KiB', '5.5 MiB', '3,000 GiB')
    """
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= factor:
            return f"{size / factor:,.1f}".removesuffix(".0") + f" {unit}"
    return counted(round(size), "byte")


def visible(text: str, longest: int | None = None, *, lines: bool = False) -> str:
    """Text of a script, a file or a model, made safe for a terminal: what cannot be seen is spelled out.

    Controls, characters that reorder the line, and lone surrogates are written as Python writes them. A byte
    of a file name that is not UTF-8, which Python holds as a surrogate, is written as that byte.

    Args:
        text: from anywhere.
        longest: cut to so many characters, the last of them an ellipsis; None for all of it.
        lines: whether line ends stay, for text of several lines; otherwise they are spelled out, too.

    >>> print(visible("a\\x1b[31m\\u202e"), visible("bad\\udcff.circ"), visible("two\\nlines"))
    a\\x1b[31m\\u202e bad\\xff.circ two\\nlines
    """
    shown = text if longest is None else text[: longest + 1]
    if not shown.isprintable():
        shown = "".join(c if c == "\n" and lines else _spelled(c) for c in shown)
    return shown if longest is None or len(shown) <= longest else f"{shown[: longest - 1]}…"


def _spelled(character: str) -> str:
    if unicodedata.category(character) not in _UNSEEN:
        return character
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return repr(character)[1:-1]
