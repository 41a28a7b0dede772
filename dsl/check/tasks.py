"""Known tasks as scripts see them: their slots, their prompts, their corruptions, their metrics."""

from __future__ import annotations

import re

from nncirc.circuits.names import Position
from nncirc.circuits.tasks import TASKS, Task
from nncirc.dsl.check.program import Placeholder, Template, Value
from nncirc.dsl.check.scope import Draft, Scope
from nncirc.dsl.text.diagnostics import Label, suggest

__all__ = ["check_task", "measure_as", "task_of", "task_templates"]


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


def measure_as(scope: Scope, metric: Draft, data: Draft | None) -> None:
    """Make a metric `using task` the one that it stands for; report where prompts are of no known task."""
    task = None if data is None else task_of(data)
    if task is not None:
        name, places = re.fullmatch(r"(\w+)\(at = \[?([\w., ]+)\]?\)", task.metric).groups()  # type: ignore[union-attr]
        at: Value = tuple(Position.parse(place) for place in places.split(", "))
        metric.implementation = name
        metric.values = {"at": at, "normalize": metric.values.get("normalize", False)}
    elif data is not None and data.implementation != "task":
        scope.report(
            "C266",
            f"`{data.name}` is no known task, so no paper says what is measured on it",
            metric.where("data"),
            labels=(Label(data.place, f"uses {data.implementation}"),),
            help="name a metric, such as `using logit_diff`",
        )


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
