"""Numbers, and text from outside, as shown in messages; names that are near a misspelt one."""

from __future__ import annotations

import unicodedata
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = [
    "counted",
    "did_you_mean",
    "in_columns",
    "listed",
    "memory_in_words",
    "nearest",
    "or_",
    "suggestions",
    "ticked",
    "visible",
]

# Controls move a terminal's cursor, format characters reorder the line, a lone surrogate cannot be encoded.
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# What may still be spent on finding names that are near, while a script is checked: letters to compare.
_left: ContextVar[list[int] | None] = ContextVar("_left", default=None)
_MOST_LETTERS = 5_000_000


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


def or_(words: Iterable[str]) -> str:
    """Alternatives.

    >>> or_(["a", "b", "None"])
    'a, b or None'
    """
    *some, last = dict.fromkeys(words)
    return " or ".join(filter(None, [", ".join(some), last]))


def in_columns(rows: Sequence[Sequence[str]], right: Container[int] = ()) -> list[str]:
    """A line for each row, its cells in columns, those of `right` set to the right.

    >>> in_columns([("a", "1"), ("bcd", "10")], right={1})
    ['a     1', 'bcd  10']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    pads = [str.rjust if i in right else str.ljust for i in range(len(widths))]
    return [
        "  ".join(pad(cell, width) for pad, cell, width in zip(pads, row, widths, strict=True)).rstrip()
        for row in rows
    ]


def ticked(names: Iterable[object]) -> str:
    """Names as messages show what can be typed.

    >>> ticked(["q", "k"])
    '`q`, `k`'
    """
    return ", ".join(f"`{name}`" for name in names)


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


@contextmanager
def suggestions() -> Iterator[None]:
    """Within, so much is spent on suggestions and no more: past thousands of errors there are none."""
    token = _left.set([_MOST_LETTERS])
    try:
        yield
    finally:
        _left.reset(token)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name nearest to `word` (edit distance, case aside), if any is near enough."""
    best: tuple[int, str] | None = None
    left = _left.get() or [_MOST_LETTERS]
    if left[0] <= 0:
        return None
    lower = word.lower()[:64]
    for name in sorted(set(known)):
        left[0] -= 20  # to look at it; comparing it costs more
        if left[0] <= 0:
            break
        # a single letter is as near to any other: that says nothing
        limit = 0 if min(len(lower), len(name)) < 2 else max(1, min(3, max(len(lower), len(name)) // 3))
        if len(lower) > 3 and set(lower) == set(name.lower()):
            limit = max(limit, 2)  # the same letters in disorder
        apart = abs(len(lower) - len(name)) > limit
        left[0] -= 0 if apart else len(lower) * len(name)
        distance = limit + 1 if apart else _distance(lower, name.lower())
        # "ioi" for "wang_ioi": a part of a name is near it too, but less so than a misspelling
        least = min(len(lower), len(name))
        if distance > limit and least >= 3 and (lower in name.lower() or name.lower() in lower):
            distance = limit
        if distance > limit and len(lower) > 1 and name.lower().startswith(f"{lower}_"):
            distance = limit  # "kl" for "kl_divergence"
        if distance <= limit and (best is None or distance < best[0]):
            best = (distance, name)
    return None if best is None else best[1]


def did_you_mean(
    word: str, known: Iterable[str], otherwise: str | None = None, *, shown: str = "`{}`"
) -> str | None:
    """What to do about a name that is unknown.

    Args:
        word: the name.
        known: the names that it may be meant for.
        otherwise: what to do where none of them is near.
        shown: how a name is written.

    >>> did_you_mean("lgoprob", ["logprob", "prob"])
    'did you mean `logprob`?'
    """
    near = nearest(word, known)
    return otherwise if near is None else f"did you mean {shown.format(near)}?"


def _distance(a: str, b: str) -> int:
    """Edit distance where exchanging two neighbours counts as one step."""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, last, row = row, before, [i]
        for j, y in enumerate(b, 1):
            best = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                best = min(best, last[j - 2] + 1)
            row.append(best)
    return row[-1]
