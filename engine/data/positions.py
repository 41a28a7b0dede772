"""Positions by name: `end`, `start`, a slot, or one of its occurrences; and by their role in a template."""

from __future__ import annotations

from typing import TypeAlias

from nncirc.circuits.arguments import public
from nncirc.circuits.errors import DataError
from nncirc.circuits.words import did_you_mean
from nncirc.engine.data.encoding import quote
from nncirc.engine.data.examples import Example
from nncirc.engine.data.slots import RESERVED, name_of
from nncirc.engine.data.tokens import slot_at

Role: TypeAlias = tuple[str, int, int, int]


@public
def roles(example: Example) -> tuple[Role, ...]:
    """What every token of a prompt is in its template: a place that prompts of other lengths have too.

    The tokens of an occurrence of a slot are all one role. Others are of their phrasing, counted from the
    occurrence before them, or from the start.
    """
    found: list[Role] = []
    name, number, behind = "", 0, 0
    for position in range(len(example.tokens)):
        inside = slot_at(example, position)
        if inside is None:
            found.append((name, number, example.phrasing, behind))
            behind += 1
        else:
            name, number, behind = inside.name, inside.occurrence or 0, 0
            found.append((name, number, -1, 0))
    return tuple(found)


@public
def resolve(example: Example, name: str, occurrence: int | None = None) -> tuple[int, ...]:
    """The token positions that a name means in one example, ascending.

    `end` is the last token of the prompt and `start` the first (`<s>`, where the tokenizer adds one). A slot
    means every token of its span; without an occurrence it means all its occurrences.

    Args:
        example: a prompt.
        name: `end`, `start` or a slot.
        occurrence: which one, counted from 1: `S.2` is ("S", 2). None: all.

    Raises:
        DataError: C308, the prompt has no such slot or occurrence.
    """
    if name in RESERVED:
        if occurrence is not None:
            raise DataError(
                "C308", f"{name} is a single position and has no index", hint=f"write {name}", about=name
            )
        return (example.end,) if name == "end" else (0,)
    slots = list(dict.fromkeys(slot for slot, _ in example.spans))
    if name not in slots:
        there = ", ".join([*slots, *RESERVED])
        unused = " (the slot was drawn, but this prompt does not use it)" if name in example.values else ""
        raise DataError(
            "C308",
            f"the prompt {quote(example.text)} has no position {name}{unused}; it has {there}",
            hint=did_you_mean(name, [*slots, *RESERVED]),
            about=name,
        )
    found = [
        span
        for (slot, number), span in example.spans.items()
        if slot == name and occurrence in (None, number)
    ]
    if not found:
        have = [name_of(one, example.spans) for one in example.spans if one[0] == name]
        there = f"it has {'only ' if len(have) == 1 else ''}{', '.join(have)}"
        raise DataError(
            "C308",
            f"the prompt {quote(example.text)} has no {name}.{occurrence}; {there}",
            hint="occurrences are counted from 1, in the order of the prompt",
            about=name,
        )
    return tuple(position for start, stop in found for position in range(start, stop))
