"""What every task is, `docs/tasks.md`, written from the definitions.

python -m nncirc.circuits.tasks.page docs/tasks.md
"""

from __future__ import annotations

import sys
from pathlib import Path

from nncirc.circuits.tasks.definitions import TASKS
from nncirc.circuits.tasks.task import Task, Words
from nncirc.circuits.words import counted

__all__ = ["page"]

_INTRODUCTION = """\
# Tasks

This file is generated from `circuits/tasks/` by `python -m nncirc.circuits.tasks.page docs/tasks.md`.

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

Prompts of a task have answers, foils (except `induction`), and corrupted counterparts of equal token length.
Inputs of compiled programs (`tracr_...`) have counterparts only, because the outputs are values, not tokens.
Prompts depend only on `seed`. The slots listed below are positions (`at = YY`), and `replace` can fill them
with other slots (`YY -> first`). `corrupt` in the dataset selects one of the task's corruptions; by default
`counterpart` is the first. The metric `using task` is the one listed below.

**Tokenizers.** Each slot, answer and foil must be a single token. A word that splits into several tokens
anywhere in the clean or corrupted prompts is dropped and listed; if too few are left, a run stops with C350.
The words were chosen for GPT-2. Among the bundled models, `tasks-4l` knows all words and does every task,
`ioi-4l` knows the words of `ioi`, and every language model can run `induction`. A compiled program's task
needs a model with exactly the program's symbols; other models stop with C353.

**License.** All sentences and word lists were written for this package and share its license (MIT).
"""


def page() -> str:
    """The reference of all tasks, in Markdown."""
    return _INTRODUCTION + "".join(_section(task) for task in TASKS.values())


def _section(task: Task) -> str:
    lines = [f"\n## {task.name}\n", f"{task.doc} ({task.source})\n"]
    lines += [f"    {line}" if line else "" for line in task.phrasings[0].split("\n")]
    more = len(task.phrasings) - 1
    lines.append(f"\n{counted(more, 'more phrasing')}.\n" if more else "")
    lines.append(f"- Metric: `{task.metric}`")
    for name, replacements in task.corruptions.items():
        lines.append(f"- Corruption `{name}`: `{', '.join(f'{a} -> {b}' for a, b in replacements.items())}`")
    slots = [f"`{', '.join(names)}` ({_source(source)})" for names, source in task.slots.items()]
    lines.append(f"- Slots: {', '.join(slots)}")
    for name, each in task.derived.items():
        lines.append(f"- `{name}` is determined by `{each.slot}`")
    if task.differs:
        lines.append(f"- Difference from the papers: {task.differs}")
    return "\n".join(lines) + "\n"


def _source(source: Words | int) -> str:
    return f"{source} random tokens" if isinstance(source, int) else counted(len(source), "word")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
