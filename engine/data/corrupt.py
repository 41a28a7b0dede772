"""Corrupted prompts: other words in some slots, the other column of a pair, each other; and do they align?"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace as with_fields

from nncirc.circuits.arguments import public
from nncirc.circuits.errors import DataError
from nncirc.circuits.names import Position
from nncirc.circuits.words import did_you_mean, in_columns
from nncirc.engine.data.encoding import quote
from nncirc.engine.data.examples import Dataset, Example, Tokens, Value
from nncirc.engine.data.labels import show_tokens
from nncirc.engine.data.slots import name_of, occurrences, render, unparse
from nncirc.engine.data.targets import asked_as, within
from nncirc.engine.data.tokens import frame_of, slot_at


@public
def replace(dataset: Dataset, replacements: Mapping[tuple[str, int | None], str]) -> tuple[Example, ...]:
    """Every prompt again, with some slots filled by what was drawn for others.

    All replacements happen at once, from what was drawn, so `{("A", None): "B", ("B", None): "A"}` swaps.
    An occurrence that is named wins over its slot as a whole. Answers and foils stay those of the clean
    prompts, because a metric asks both runs the same question. `spans` keeps the names of the places:
    ("S", 2) is where S stood, whatever stands there now.

    Args:
        dataset: made from a template.
        replacements: the slot to draw from, by slot and occurrence; None means all occurrences:
            `{("S", 2): "C", ("IO", None): "A"}`.

    Raises:
        DataError: C308, a slot or an occurrence that a phrasing lacks; C314, the prompts have no slots.
    """
    if not dataset.phrasings or not any(occurrences(phrasing) for phrasing in dataset.phrasings):
        raise DataError(
            "C314",
            "these prompts have no slots to replace",
            hint="use a template dataset, or counterpart with a column of corrupted prompts",
        )
    if not replacements:
        raise DataError("C314", "`replace` has no replacements", hint="add one, such as S.2 -> C")
    _check_replacements(dataset, replacements)
    frame = frame_of(dataset.tokenizer)

    def replaced(example: Example) -> Example:
        def value_of(occurrence: Position) -> Value:
            return example.values[replacement(replacements, occurrence)]

        one = render(dataset.tokenizer, frame, dataset.phrasings[example.phrasing], value_of)
        other = with_fields(example, text=one.text, tokens=one.tokens, spans=one.spans, forced=0)
        return asked_as(other, example)

    corrupt = []
    for i, example in enumerate(dataset.examples):
        with within(f"prompt {i + 1}"):
            corrupt.append(replaced(example))
    return tuple(corrupt)


def replacement(replacements: Mapping[tuple[str, int | None], str], occurrence: Position) -> str:
    """The slot that is drawn from for an occurrence of one: what is said of it, of its slot, or its own."""
    slot, _ = occurrence
    return replacements.get(occurrence) or replacements.get((slot, None)) or slot


def _check_replacements(dataset: Dataset, replacements: Mapping[tuple[str, int | None], str]) -> None:
    drawn = list(dataset.examples[0].values)
    for (slot, number), source in replacements.items():
        place = Position(slot, number)
        for name in (slot, source):
            if name not in drawn:
                raise DataError(
                    "C308",
                    f"{place} -> {source}: unknown slot {name}; the slots are {', '.join(drawn)}",
                    hint=did_you_mean(name, drawn),
                    about=name,
                )
        for phrasing in dataset.phrasings:
            there = occurrences(phrasing)
            if not any(slot == name and number in (None, k) for name, k in there):
                have = ", ".join(name_of(one, there) for one in there)
                raise DataError(
                    "C308",
                    f"{place} -> {source} changes nothing in {quote(unparse(phrasing))}, "
                    f"which has {have or 'no slots'}",
                    hint="replace a slot of every phrasing, or use a dataset of the phrasings that have it",
                    about=slot,
                )


@public
def counterpart(dataset: Dataset) -> tuple[Example, ...]:
    """The other column of a paired dataset.

    Raises:
        DataError: C314, there is none.
    """
    if dataset.counterparts is None:
        slots = any(occurrences(phrasing) for phrasing in dataset.phrasings)
        raise DataError(
            "C314",
            "these prompts have no counterparts",
            hint="use replace, with one of their slots" if slots else "add corrupt = ... beside clean = ...",
        )
    return dataset.counterparts


@public
def shuffle(dataset: Dataset, *, seed: int = 0) -> tuple[Example, ...]:
    """The prompts in another order, so that each is corrupted by another one that aligns with it.

    A random cycle of those of one length whose slots stand at the same positions; equal prompts do not
    change with each other. Answers and foils stay those of the clean prompts.

    Raises:
        DataError: C342, a prompt has nobody to change with.
    """
    rng = random.Random(seed)
    alike: dict[object, list[int]] = {}
    for i, example in enumerate(dataset.examples):
        alike.setdefault((example.end, example.forced, frozenset(example.spans.items())), []).append(i)
    found = list(dataset.examples)
    for members in alike.values():
        rng.shuffle(members)
        same: dict[Tokens, list[int]] = {}
        for i in members:
            same.setdefault(dataset.examples[i].tokens, []).append(i)
        # Equal ones stand side by side: so far on, there is another.
        order = [i for equal in same.values() for i in equal]
        step = max(map(len, same.values()))
        if 2 * step > len(order):
            i = next(min(equal) for equal in same.values() if len(equal) == step)
            raise DataError(
                "C342",
                f"prompt {i + 1}, {quote(dataset.examples[i].text)}, has no partner to shuffle with: it"
                " needs a different prompt with the same number of tokens and the same slot positions",
                hint="draw more prompts, or use phrasings and words of equal length",
            )
        for place, i in enumerate(order):
            found[i] = asked_as(dataset.examples[order[(place + step) % len(order)]], dataset.examples[i])
    return tuple(found)


@public
def check_alignment(dataset: Dataset, corrupt: Sequence[Example]) -> None:
    """Refuse corrupted prompts of which one does not match its clean prompt, token for token.

    A pair must have the same number of tokens and every slot at the same positions: patching puts
    position p of one run into position p of the other. And it must differ: a pair of equal prompts
    measures nothing, so a single one is refused.

    Raises:
        DataError: C301, a pair does not align; C302, a pair is equal.
    """
    clean = dataset.examples
    if len(clean) != len(corrupt):
        raise DataError(
            "C318",
            f"found {len(clean)} clean prompts but {len(corrupt)} corrupted ones",
            hint="give one corrupted prompt for every clean prompt",
        )
    pairs = list(zip(clean, corrupt, strict=True))
    bad = [i for i, pair in enumerate(pairs) if not _aligned(*pair)]
    if bad:
        raise _misaligned(dataset, bad, *pairs[bad[0]])
    same = [i for i, (one, other) in enumerate(pairs) if one.tokens == other.tokens]
    if same:
        raise DataError(
            "C302",
            f"the corruption leaves {len(same)} of {len(pairs)} prompts unchanged, for example "
            f"prompt {same[0] + 1}: {quote(clean[same[0]].text)}",
            hint="draw the slots on one line, such as S, C = names, so that they always differ"
            if dataset.phrasings
            else "remove these pairs: every score on them is 0 whatever the model does",
        )


def _aligned(clean: Example, corrupt: Example) -> bool:
    return (clean.end, clean.forced, dict(clean.spans)) == (corrupt.end, corrupt.forced, dict(corrupt.spans))


def _misaligned(dataset: Dataset, bad: Sequence[int], clean: Example, corrupt: Example) -> DataError:
    total = len(dataset.examples)
    lengths = (
        f"{len(clean.tokens)} and {len(corrupt.tokens)} tokens"
        if len(clean.tokens) != len(corrupt.tokens)
        else f"{len(clean.tokens)} tokens each, with slots at different positions"
    )
    return DataError(
        "C301",
        f"{len(bad)} of {total} clean and corrupted prompts do not align; "
        f"the first is prompt {bad[0] + 1} ({lengths}):\n{alignment_table(dataset, clean, corrupt)}",
        hint="use words with the same number of tokens, so that positions correspond "
        "(named lists such as `names` do this automatically)"
        if dataset.phrasings
        else "change or remove these pairs: patching needs position p to mean the same in both prompts",
    )


_AROUND = 4
"""Lines of an alignment on either side of where two prompts part."""


@public
def alignment_table(dataset: Dataset, clean: Example, corrupt: Example) -> str:
    """Two prompts side by side, a token a line; `>` marks the first line at which they part.

    Only a few lines on either side of that line are shown. Slots are named beside their tokens.
    """
    columns = [_column(dataset, example) for example in (clean, corrupt)]
    length = max(len(column) for column in columns)
    left, right = ([*column, *[("", "")] * (length - len(column))] for column in columns)
    parting = next((p for p in range(length) if _parts(clean, corrupt, p)), None)
    rows = [("", "position", "clean", "", "corrupted", "")]
    shown = (
        range(length)
        if parting is None
        else range(max(0, parting - _AROUND), min(length, parting + _AROUND + 1))
    )
    if shown.start > 0:
        rows.append(("", "...", "", "", "", ""))
    rows += [(">" if p == parting else "", str(p), *left[p], *right[p]) for p in shown]
    if shown.stop < length:
        rows.append(("", "...", "", "", "", ""))
    return "\n".join(f"  {line}" for line in in_columns(rows, right={1}))


def _column(dataset: Dataset, example: Example) -> list[tuple[str, str]]:
    names = [slot_at(example, p) for p in range(len(example.tokens))]
    shown = show_tokens(dataset.tokenizer, example.tokens)
    return [
        (token, name_of(name, example.spans) if name else "")
        for token, name in zip(shown, names, strict=True)
    ]


def _parts(clean: Example, corrupt: Example, p: int) -> bool:
    """True if position p does not mean the same in both: another slot, or beyond the end of one."""
    if not (p < len(clean.tokens) and p < len(corrupt.tokens)):
        return True
    if clean.spans or corrupt.spans:
        return slot_at(clean, p) != slot_at(corrupt, p)
    return clean.tokens[p] != corrupt.tokens[p]
