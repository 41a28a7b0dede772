"""Positions of prompts: as the columns of a result, one each, and as those of a graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nncirc.circuits.errors import DataError
from nncirc.circuits.made import Made
from nncirc.circuits.names import OTHER, Position, Positions, as_positions
from nncirc.engine.data.examples import Dataset, Example
from nncirc.engine.data.labels import ANSWER, MORE, OR, labels_of
from nncirc.engine.data.positions import resolve
from nncirc.engine.data.slots import name_of
from nncirc.engine.data.tokens import slot_at
from nncirc.engine.runs.batches import Batch

_SHOWN = 2
"""How many tokens of several prompts a label shows."""


def columns_of(
    dataset: Dataset, positions: Positions | None
) -> tuple[tuple[str, ...], list[Position | int | None]]:
    """Names of the columns and what each is: a place, a token's index, or all tokens."""
    if positions is None:
        return (), [None]
    if positions != "all":
        named = as_positions(positions)
        return tuple(map(str, named)), list(named)
    lengths = sorted({len(example.tokens) for example in dataset.examples})
    if len(lengths) > 1:
        answers = " with their answers" if dataset.answers == "forced" else ""
        found = f"these have{answers} {', '.join(map(str, lengths))} tokens"
        raise DataError(
            "C334",
            f"positions = all needs prompts of one length; {found}",
            hint="name the positions: positions = [IO, S.2, end]",
        )
    return tuple(map(str, range(lengths[0]))), list(range(lengths[0]))


def token_labels(dataset: Dataset, positions: Sequence[int]) -> list[str]:
    """The tokens at some positions of prompts of one length, for people to read.

    A token that all prompts share is as `labels_of` says, else a slot `{S.2}`, else the first prompt's token
    and the only other one, or `MORE`: `Anna / Mary`, `Anna / …`. Where answers are forced, the first position
    after the prompt has `ANSWER` before it, if it is the same in all.
    """
    ends = {example.end for example in dataset.examples}
    first = ends.pop() + 1 if dataset.answers == "forced" and len(ends) == 1 else None
    there = [list(dict.fromkeys(e.tokens[position] for e in dataset.examples)) for position in positions]
    few = [tokens if len(tokens) <= _SHOWN else tokens[:1] for tokens in there]
    every = sorted({token for tokens in few for token in tokens})
    names = map(str, every) if dataset.tokenizer is None else labels_of(dataset.tokenizer, every)
    texts = dict(zip(every, names, strict=True))
    found = []
    for position, tokens, shown in zip(positions, there, few, strict=True):
        slots = {_slot(example, position) for example in dataset.examples}
        slot = slots.pop() if len(slots) == 1 else None
        if dataset.tokenizer is None or (slot is not None and len(tokens) > 1):
            text = f"#{position}" if slot is None else f"{{{slot}}}"
        else:
            more = [MORE] if len(shown) < len(tokens) else []
            text = OR.join([*(texts[token] for token in shown), *more])
        found.append(ANSWER + text if position == first else text)
    return found


def labelled(dataset: Dataset, columns: Sequence[Position | int | None]) -> Made:
    """`tokens` of a result whose columns are all tokens, for its `made`: their labels. Otherwise nothing."""
    positions = [column for column in columns if isinstance(column, int)]
    return {"tokens": token_labels(dataset, positions)} if positions else {}


def _slot(example: Example, position: int) -> str | None:
    """`S.2`, a slot that the prompt has; no name that `by_position` gives a single token."""
    spans = {place: span for place, span in example.spans.items() if not place[0].isdecimal()}
    occurrence = slot_at(replace(example, spans=spans), position)
    return None if occurrence is None else name_of(occurrence, spans)


def mask_of(batch: Batch, place: Position | int | None, device: torch.device) -> Bool[Tensor, "batch pos"]:
    """Which tokens of each prompt are in a column."""
    mask = torch.zeros(batch.clean.shape, dtype=torch.bool)
    for row, example in enumerate(batch.examples):
        if place is None:
            mask[row] = True
        elif isinstance(place, int):
            mask[row, place] = True
        else:
            mask[row, list(resolve(example, *place))] = True
    return mask.to(device)


def by_position(dataset: Dataset, positions: Positions) -> tuple[Dataset, tuple[Position, ...]]:
    """A dataset and its positions by name, one column of a result each.

    "all" is every token of prompts of one length; then the tokens get names in the dataset that is given
    back, "0", "1", ... Where the answer is the next token the last one is left out, since it has none.

    Raises:
        MethodError: C512, something is not a position.
        DataError: C334, "all" positions of prompts that have several lengths.
    """
    if positions != "all":
        return dataset, as_positions(positions)
    count = len(columns_of(dataset, "all")[0]) - (dataset.answers == "next")
    spans = {Position(str(i), 1): (i, i + 1) for i in range(count)}
    named = tuple(replace(e, spans={**e.spans, **spans}) for e in dataset.examples)
    return replace(dataset, examples=named), tuple(Position(str(i)) for i in range(count))


def token_texts(dataset: Dataset, columns: Sequence[Position]) -> Made:
    """For pictures: labels of the tokens that are read, if a result is of all of them; otherwise nothing."""
    if dataset.tokenizer is None or not all(name.isdecimal() for name, _ in columns):
        return {}
    return {"tokens": token_labels(dataset, [int(name) for name, _ in columns])}


def whereabouts(
    examples: Sequence[Example], positions: Sequence[str], *, device: torch.device, dtype: torch.dtype
) -> Float[Tensor, "position batch token"]:
    """1 where a prompt's token is at a position, 0 elsewhere; the prompts have one length.

    Args:
        examples: the prompts.
        positions: slots (`S`, `S.2`), `start`, `end`, numbers of tokens counted from 0, and `other`: all
            tokens that none of them names.
        device: of the result.
        dtype: of the result.

    Raises:
        DataError: C308, a prompt has no such position; C346, a token is at two of them, or at none.
    """
    at = torch.zeros(len(positions), len(examples), len(examples[0].tokens), dtype=dtype)
    for row, example in enumerate(examples):
        taken: dict[int, int] = {}
        for index, name in enumerate(positions):
            for token in _tokens_at(example, name):
                if token in taken:
                    raise DataError(
                        "C346",
                        f"token {token} of {example.text!r} is at both {positions[taken[token]]} and {name}",
                        hint="positions of a graph must not overlap; end is the last token, and S is every S",
                    )
                taken[token] = index
        rest = [token for token in range(len(example.tokens)) if token not in taken]
        if OTHER in positions:
            taken.update(dict.fromkeys(rest, list(positions).index(OTHER)))
        elif rest:
            raise DataError(
                "C346",
                f"token {rest[0]} of {example.text!r} is not covered by the positions {', '.join(positions)}",
                hint=f"the graph has {len(positions)} tokens, but the prompt has {len(example.tokens)}"
                if all(name.isdecimal() for name in positions)
                else "add other, which covers all remaining tokens",
            )
        for token, index in taken.items():
            at[index, row, token] = 1
    return at.to(device)


def _tokens_at(example: Example, name: str) -> tuple[int, ...]:
    if name == OTHER:
        return ()
    if name.isdecimal():
        if int(name) >= len(example.tokens):
            raise DataError(
                "C308",
                f"{example.text!r} has no token {name}: it has {len(example.tokens)} tokens, counted from 0",
                hint="use prompts of the graph's own length",
            )
        return (int(name),)
    return resolve(example, *Position.parse(name))
