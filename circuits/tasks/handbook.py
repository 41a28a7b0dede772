"""What every task is, `docs/tasks.md`, written from the definitions.

python -m nncirc.circuits.tasks.handbook docs/tasks.md
"""

from __future__ import annotations

import sys
from pathlib import Path

from nncirc.circuits.tasks.definitions import TASKS
from nncirc.circuits.tasks.task import Task, Words

__all__ = ["handbook"]

_INTRODUCTION = """\
# Tasks

This file is generated from `circuits/tasks/` by `python -m nncirc.circuits.tasks.handbook docs/tasks.md`.

    dataset years using task {
      model = gpt2
      task  = "greater_than"
      size  = 32
    }

    corruption first_year using counterpart {
      data = years
    }

    metric paper using task {
      data = years
    }

A task's prompts have answers, foils (but for `induction`), and corrupted counterparts of equally many tokens.
Inputs of compiled programs (`tracr_...`) have counterparts alone: outputs are values, not tokens.
Draws depend on `seed` alone. The slots named below are positions (`at = YY`), and `replace` can fill them
otherwise (`YY -> first`). In `corrupt` a dataset names one of the task's corruptions; without it
`counterpart` is the first. A metric `using task` is the task's own, named below.

**Tokenizers.** Each slot, answer and foil must be one token. Words that are not, in any place where clean or
corrupted prompts have them, are left out, and the run says which; where too few are left it ends with C350.
The words were chosen for GPT-2. Of the bundled models `tasks-4l` knows all of them and does every task,
`ioi-4l` knows those of `ioi`, and every language model can run `induction`. A program's task is for models
that read its symbols and no others; others end with C353.

**Licence.** All sentences and word lists are our own and under the licence of this package (MIT).
"""


def handbook() -> str:
    """The reference of all tasks, in Markdown."""
    return _INTRODUCTION + "".join(_section(task) for task in TASKS.values())


def _section(task: Task) -> str:
    lines = [f"\n## {task.name}\n", f"{task.doc} ({task.source})\n"]
    lines += [f"    {line}" if line else "" for line in task.phrasings[0].split("\n")]
    more = len(task.phrasings) - 1
    lines.append(f"\n{more} more phrasing{'s' if more > 1 else ''}.\n" if more else "")
    lines.append(f"- Metric: `{task.metric}`")
    for name, replacements in task.corruptions.items():
        lines.append(f"- Corruption `{name}`: `{', '.join(f'{a} -> {b}' for a, b in replacements.items())}`")
    lines.append(f"- Slots: {', '.join(_drawn(task))}")
    for name, each in task.derived.items():
        lines.append(f"- `{name}` follows from `{each.slot}`")
    if task.differs:
        lines.append(f"- Not as in the papers: {task.differs}")
    return "\n".join(lines) + "\n"


def _drawn(task: Task) -> list[str]:
    return [f"`{', '.join(names)}` ({_counted(source)})" for names, source in task.slots.items()]


def _counted(source: Words | int) -> str:
    if isinstance(source, int):
        return f"{source} random tokens"
    return f"{len(source)} word{'' if len(source) == 1 else 's'}"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(handbook(), encoding="utf-8")
