"""Prompts of the tasks that are about words, which `tasks-4l` is trained and measured on."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from nncirc.circuits.tasks import TASKS, Task
from nncirc.circuits.tasks.task import Words

WORDED = tuple(task for task in TASKS.values() if task.answers is not None)
"""The tasks that have answers: all but induction and the compiled programs."""

IN_CONTEXT = ("ioi", "docstring", "colored_objects", "multiple_choice")
"""Those of which the answer stands in the prompt, so that a rule is learned and not a table of words."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A filled-in prompt of a task.

    Attributes:
        text: the prompt.
        answers: of which each is right.
        foils: of which each is wrong.
    """

    text: str
    answers: tuple[str, ...]
    foils: tuple[str, ...]


def prompt(task: Task, source: random.Random, share: float = 1.0, few: int = 12) -> Prompt:
    """A random prompt.

    Args:
        task: one of `WORDED`.
        source: what draws.
        share: of the words behind the first `few`, how many are drawn from: some join later in training.
        few: how many words are drawn from in any case.
    """
    values: dict[str, str] = {}
    for names, given in task.slots.items():
        words = _words(given)
        known = words[: few + round(share * max(0, len(words) - few))]
        values.update(zip(names, source.sample(known, len(names)), strict=True))
    values.update({name: each.table[values[each.slot]] for name, each in task.derived.items()})
    number = source.randrange(len(task.phrasings))
    assert task.answers is not None and task.foils is not None
    return Prompt(
        task.phrasings[number].format(**values), task.answers(values, number), task.foils(values, number)
    )


def every_text() -> Iterator[str]:
    """Texts with every word in every place where prompts, clean or corrupted, have it, and with answers."""
    for task in WORDED:
        words = {name: given for names, given in task.slots.items() for name in names}
        words.update({name: tuple(each.table.values()) for name, each in task.derived.items()})
        stands = {name: dict.fromkeys(_words(given)) for name, given in words.items()}
        for corruption in task.corruptions.values():
            for place, by in corruption.items():
                stands[place.partition(".")[0]].update(dict.fromkeys(_words(words[by])))
        first = {name: next(iter(given)) for name, given in stands.items()}
        for phrasing in task.phrasings:
            for name, given in stands.items():
                yield from (phrasing.format(**{**first, name: word}) for word in given)
        source = random.Random(0)
        for _ in range(2000):
            drawn = prompt(task, source)
            yield from (drawn.text + target for target in (*drawn.answers, *drawn.foils))


def _words(given: Words | int) -> Words:
    assert not isinstance(given, int)
    return given
