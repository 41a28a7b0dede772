"""How much a script may hold: past what a person writes, and little enough to be checked in seconds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nncirc.dsl.check.program import Ref
from nncirc.dsl.check.scope import Draft

if TYPE_CHECKING:
    from nncirc.dsl.check.meaning import Meaning

__all__ = [
    "LONGEST_NAME",
    "MOST_BYTES",
    "MOST_IN_ALL",
    "MOST_MEMBERS",
    "MOST_NODES",
    "MOST_SHOWN",
    "MOST_WORDS",
    "check_parts",
    "passed",
]

MOST_BYTES = 4_000_000
"""Of a script and the files that it uses."""
MOST_WORDS = 300_000
"""Words, strings, signs, comments and lines of a script and the files that it uses: GPT-2's whole graph with
scores, an edge a line, is some 260,000."""
LONGEST_NAME = 200
"""Characters of a name or a number."""
MOST_SHOWN = 100
"""Errors that are shown; the others are counted."""
MOST_NODES = 1_000_000
"""Of a graph whose nodes and edges the check looks at one by one."""
MOST_MEMBERS = 1000
"""Numbers in a list that makes a family."""
MOST_IN_ALL = 100_000
"""Members of all families, and claims about them."""

# What is made of others of its kind: the key that names them, how many that are of no others it may come to,
# and how deep. Each operation of an expression is a level when it is computed, each circuit one in a file.
_MADE_OF = {
    "expression": ("of", 100, 100),
    **dict.fromkeys(("union", "intersection", "difference"), ("circuits", 2 * MOST_MEMBERS, 50)),
}


# A string, a comment, an arrow, a number, a word, a line's end, any other sign.
_WORD = re.compile(
    r'"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"?|#[^\n]*+|->|-?\d++(?:\.\d++)?(?:[eE][+-]?\d++)?(?!\w)|\w++|\n|[^\s\w]'
)


def passed(text: str, words: int) -> tuple[int, int, str | None]:
    """How far a text goes before it is too much: words in all, a place, and what is wrong there, if it is.

    Args:
        text: of a script.
        words: how many there were in other files.
    """
    for match in _WORD.finditer(text):
        words += 1
        if words > MOST_WORDS:
            return words, match.start(), f"a script has at most {MOST_WORDS:,} words and signs"
        if match.end() - match.start() > LONGEST_NAME and match[0][0] not in '"#':
            return words, match.start(), f"a name or a number has at most {LONGEST_NAME} characters"
    return words, 0, None


def check_parts(meaning: Meaning, draft: Draft) -> None:
    """Of how much something is made; reports if of too much, and not again for what has that in it."""
    if draft.implementation not in _MADE_OF:
        return
    key, most, deepest = _MADE_OF[draft.implementation]
    value, named = draft.values.get(key), {each.name: each for each in meaning.many(draft, key)}
    total, deep = 0, 0
    for item in value if isinstance(value, tuple) else ():
        part = named.get(item.name) if isinstance(item, Ref) else None
        if part is not None and part.parts is None:
            draft.parts = None
            return
        count, depth = (1, 0) if part is None or part.parts is None else part.parts
        total += 0 if isinstance(item, str) else count * (part.count if part else 1)
        deep = max(deep, depth)
    draft.parts = total, deep + 1
    if total > most or deep >= deepest:
        draft.parts = None
        problem = (
            f"{total:,} parts, with those of its parts; {most:,} are the most"
            if total > most
            else f"what is made of others, {deep + 1} times over; {deepest} times are the most"
        )
        meaning.scope.report(
            "C010",
            f"`{draft.name}` is made of {problem}",
            draft.where(key),
            help="make it of fewer at once",
        )
