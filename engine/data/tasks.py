"""Datasets of known tasks: prompts, answers and counterparts, of words that are single tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace as with_fields
from itertools import pairwise, product

from nncirc.circuits.arguments import public
from nncirc.circuits.errors import DataError
from nncirc.circuits.names import Position
from nncirc.circuits.tasks import Task, task_named
from nncirc.circuits.tasks.task import Answers, Words
from nncirc.circuits.words import did_you_mean
from nncirc.engine.data.corrupt import check_alignment, replace, replacement
from nncirc.engine.data.counts import positive
from nncirc.engine.data.encoding import quote, require_offsets
from nncirc.engine.data.examples import NEXT, Dataset, Example, Field, Template, Tokenizer, Value
from nncirc.engine.data.slots import occurrences, parse_template
from nncirc.engine.data.sources import Group, Source, left_out_note, random_tokens, single_tokens
from nncirc.engine.data.targets import with_answers
from nncirc.engine.data.template import Slots, template_dataset
from nncirc.engine.data.tokens import plain_token_ids


@public
def task_dataset(
    tokenizer: Tokenizer, task: str | Task, *, size: int, seed: int = 0, corrupt: str | None = None
) -> Dataset:
    """Prompts of a task, with answers and corrupted counterparts of equally many tokens.

    Words that are not one token wherever the clean and the corrupted prompts have them are left out, with a
    note. The slots of the task can be positions, and be replaced.

    Args:
        tokenizer: a fast tokenizer.
        task: one of one's own, or the name of one of `nncirc.circuits.tasks.TASKS`.
        size: how many prompts.
        seed: of the draws.
        corrupt: the name of one of the task's corruptions; by default its first.

    Raises:
        DataError: C350, too few words are one token; C351, no task has that name; C352, it has no such
            corruption; C353, it is a program's, and the tokenizer is not; and what `template_dataset` and
            `with_answers` raise: C303, C306, C307, C309, C310.
    """
    found = task_named(task) if isinstance(task, str) else task
    replacements = replacements_of(found, corrupt)
    positive("size", size)
    require_offsets(tokenizer)
    _check_symbols(tokenizer, found)
    slots, left_out, notes = _fitting(tokenizer, found)

    drawn = template_dataset(
        tokenizer,
        prompt=found.phrasings,
        slots=slots,
        size=size,
        seed=seed,
        answer=NEXT if found.follows else None,
    )
    dataset = with_fields(
        drawn,
        examples=tuple(
            with_fields(example, values=_with_derived(found, example.values)) for example in drawn.examples
        ),
        made={
            **{key: drawn.made[key] for key in ("size", "seed", "tokenizer")},
            "using": "task",
            "task": found.name,
            "corrupt": corrupt or next(iter(found.corruptions)),
            "prompt": drawn.made["prompt"],
            "left_out": left_out,
        },
        notes=(*drawn.notes, *notes),
    )
    if found.answers is not None:
        foils = None if found.foils is None else _texts(found.foils, dataset.examples)
        dataset = with_answers(dataset, _texts(found.answers, dataset.examples), foils)
    counterparts = replace(dataset, replacements)
    check_alignment(dataset, counterparts)
    return with_fields(dataset, counterparts=counterparts)


def replacements_of(task: Task, corrupt: str | None) -> dict[tuple[str, int | None], str]:
    """What a corruption of a task puts where, as `replace` takes it; by default its first.

    Raises:
        DataError: C352, the task has no such corruption.
    """
    name = next(iter(task.corruptions)) if corrupt is None else corrupt
    if name not in task.corruptions:
        raise DataError(
            "C352",
            f"unknown corruption `{name}` of the task {task.name}; expected {', '.join(task.corruptions)}",
            hint=did_you_mean(name, task.corruptions)
            or "for another corruption use `replace` with the task's slots",
            about="corrupt",
        )
    return {Position.parse(place): source for place, source in task.corruptions[name].items()}


def _texts(answers: Answers, examples: Sequence[Example]) -> list[Words]:
    return [answers(_words(example.values), example.phrasing) for example in examples]


def _words(values: Mapping[str, Value]) -> dict[str, str]:
    return {slot: value for slot, value in values.items() if isinstance(value, str)}


def _with_derived(task: Task, values: Mapping[str, Value]) -> dict[str, Value]:
    """The values of a prompt and those that follow from them."""
    words = _words(values)
    return {**values, **{name: each.table[words[each.slot]] for name, each in task.derived.items()}}


# Which words a tokenizer has


def _check_symbols(tokenizer: Tokenizer, task: Task) -> None:
    """Refuse the inputs of a program to what is no such program: others may know its symbols as words."""
    if not task.symbols:
        return
    known = set(tokenizer.convert_ids_to_tokens(list(plain_token_ids(tokenizer))))
    missing = [symbol for symbol in task.symbols if symbol not in known]
    more = known - set(task.symbols)
    if missing or more:
        it = (
            f"lacks {quote(missing[0])}"
            if missing
            else f"has {len(known)} tokens, including {quote(min(more))}"
        )
        raise DataError(
            "C353",
            f"the task {task.name} is for a compiled program that reads only {', '.join(task.symbols)}; "
            f"this tokenizer {it}",
            hint=f"use the task's own bundled model, `{task.name.replace('_', '-')}`",
            about="task",
        )


def _fitting(tokenizer: Tokenizer, task: Task) -> tuple[Slots, dict[str, list[str]], list[str]]:
    """Sources of the slots, of words that fit; by a slot's name those left out; and notes about them."""
    phrasings = _all_phrasings(task)
    kept: dict[tuple[str, ...], Words] = {}
    left_out: dict[str, list[str]] = {}
    notes: list[str] = []
    slots: dict[tuple[str, ...], Source] = {}
    for names, source in task.slots.items():
        if isinstance(source, int):
            slots[names] = random_tokens(source)
            continue
        known = _single(tokenizer, task, phrasings, names, kept)
        tables = [each.table for each in task.derived.values() if each.slot in names]
        words = tuple(w for w in source if w in known and all(table[w] in known for table in tables))
        missing = [word for word in source if word not in words]
        if len(words) < len(names):
            raise DataError(
                "C350",
                f"the task {task.name} does not work with this tokenizer: of its {len(source)} words for "
                f"{', '.join(names)}, {len(words)} are single tokens, and {len(names)} are needed; "
                f"for example, {quote(missing[0])} is not",
                hint="use a model whose tokenizer has these words, or write prompts with `template`",
                about=names[0],
            )
        if missing:
            left_out[names[0]] = missing
            notes += left_out_note(names[0], missing, len(source))
        kept[names] = slots[names] = words
    return slots, left_out, notes


def _all_phrasings(task: Task) -> tuple[Template, ...]:
    """The phrasings, clean and corrupted: every place that a drawn word can have."""
    drawn = {name for names in task.slots for name in names}
    found: dict[Template, None] = {}
    for text in task.phrasings:
        template = parse_template(text)
        found[template] = None
        for corrupt in task.corruptions:
            replacements = replacements_of(task, corrupt)
            places = iter(occurrences(template))
            parts: list[str | Field] = []
            for part in template:
                if isinstance(part, Field):
                    by = replacement(replacements, next(places))
                    # A word that follows from another is tried in the other's place.
                    parts.append(Field(by) if by in drawn else part)
                else:
                    parts.append(part)
            found[tuple(parts)] = None
    return tuple(found)


def _single(
    tokenizer: Tokenizer,
    task: Task,
    phrasings: Sequence[Template],
    names: tuple[str, ...],
    kept: Mapping[tuple[str, ...], Words],
) -> frozenset[str]:
    """The words of some slots, and what follows from them, that are one token beside any word kept so far."""
    mine = task.slots[names]
    assert not isinstance(mine, int)
    more = [word for each in task.derived.values() if each.slot in names for word in each.table.values()]
    words = tuple(dict.fromkeys((*mine, *more)))
    beside = [others for others in kept if _touch(phrasings, names, others)]
    found = frozenset(words)
    for choice in product(*(kept[others] for others in beside)):
        fixed = dict(zip(beside, choice, strict=True))
        groups = [Group(names, words, listed=names[0])]
        for others, source in task.slots.items():
            if others != names and not isinstance(source, int):
                groups.append(Group(others, (fixed[others],) if others in fixed else source))
        found &= frozenset(single_tokens(tokenizer, phrasings, (), groups, names[0]))
    return found


def _touch(phrasings: Sequence[Template], names: Words, others: Words) -> bool:
    """Whether slots of the two groups stand side by side with nothing between: " 17" and "32"."""
    return any(
        isinstance(one, Field)
        and isinstance(two, Field)
        and {one.slot, two.slot} & {*names}
        and {one.slot, two.slot} & {*others}
        for phrasing in phrasings
        for one, two in pairwise(phrasing)
    )
