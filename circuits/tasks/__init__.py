"""The tasks of the field: prompts with answers, and the corruptions that take the answer away.

A task is data: phrasings with slots, the words that fill them, which words of the corrupted prompts differ,
and the right and wrong answers of each prompt. `nncirc.task_dataset` makes prompts of it for a
tokenizer. All words are our own lists, under the license of this package (MIT).
"""

from __future__ import annotations

from nncirc.circuits.errors import DataError
from nncirc.circuits.tasks.definitions import TASKS
from nncirc.circuits.tasks.task import Derived, Task
from nncirc.circuits.words import did_you_mean, or_

__all__ = ["TASKS", "Derived", "Task", "task_named"]


def task_named(name: str) -> Task:
    """The task with this name.

    >>> task_named("greater_than").metric
    'prob_diff(at = end)'

    Raises:
        DataError: C351, there is no such task.
    """
    if name not in TASKS:
        found = f"unknown task `{name}`; expected {or_(TASKS)}"
        raise DataError("C351", found, hint=did_you_mean(name, TASKS))
    return TASKS[name]
