"""How much a script may hold: past what a person writes, and little enough to be checked in seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nncirc.dsl.program import Ref
from nncirc.dsl.scope import Draft

if TYPE_CHECKING:
    from nncirc.dsl.meaning import Meaning

__all__ = ["MOST_MEMBERS", "check_parts"]

MOST_MEMBERS = 1000
"""Numbers in a list that makes a family."""

# What is made of others of its kind: the key that names them, how many that are of no others it may come to,
# and how deep. Each operation of an expression is a level when it is computed, each circuit one in a file.
_MADE_OF = {
    "expression": ("of", 100, 100),
    **dict.fromkeys(("union", "intersection", "difference"), ("circuits", 2 * MOST_MEMBERS, 50)),
}


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
