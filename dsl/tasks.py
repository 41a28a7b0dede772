"""Known tasks as scripts see them: their slots, their prompts, their corruptions."""

from __future__ import annotations

import re

from nncirc.circuits.tasks import TASKS, Task
from nncirc.dsl.diagnostics import suggest
from nncirc.dsl.program import Placeholder, Template
from nncirc.dsl.scope import Draft, Scope

__all__ = ["check_task", "task_of", "task_templates"]


def task_of(data: Draft) -> Task | None:
    """The task that a dataset is of, if it is of one that is known."""
    name = data.values.get("task")
    return TASKS.get(name) if data.implementation == "task" and isinstance(name, str) else None


def task_templates(task: Task) -> tuple[Template, ...]:
    """The phrasings of a task, as those that a script writes out."""
    return tuple(_template(text) for text in task.phrasings)


def _template(text: str) -> Template:
    counts: dict[str, int] = {}
    parts: list[str | Placeholder] = []
    for number, part in enumerate(re.split(r"\{(\w+)\}", text)):
        if number % 2:
            counts[part] = counts.get(part, 0) + 1
            parts.append(Placeholder(part, counts[part]))
        elif part:
            parts.append(part)
    return Template(text, tuple(parts))


def check_task(scope: Scope, draft: Draft) -> None:
    """The corruption is one of the task's."""
    task, corrupt = task_of(draft), draft.values.get("corrupt")
    if task is None or not isinstance(corrupt, str) or corrupt in task.corruptions:
        return
    near = suggest(corrupt, task.corruptions)
    known = ", ".join(f'"{each}"' for each in task.corruptions)
    scope.report(
        "C265",
        f'the task "{task.name}" has no corruption "{corrupt}"',
        draft.where("corrupt"),
        help=f'did you mean "{near}"?' if near else f"it has {known}; others are made with `replace`",
    )
