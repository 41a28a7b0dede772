"""Datasets."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TypeAlias

from nncirc.circuits.names import OTHER, Position
from nncirc.circuits.tasks import TASKS, Task
from nncirc.circuits.words import counted, did_you_mean, nearest, ticked
from nncirc.dsl.blocks.keys import COUNT, MODEL, SEED, SIZE
from nncirc.dsl.blocks.models import check_runs, predicts
from nncirc.dsl.check.declared import Implementation, Key, Meaning, every
from nncirc.dsl.check.program import Choices, NextToken, Placeholder, RandomTokens, Ref, Slot, Template
from nncirc.dsl.check.scope import Draft, Scope
from nncirc.dsl.check.types import Boolean, Either, InputFile, Many, Number, Prompt, Text
from nncirc.dsl.check.values import placeholder_span
from nncirc.dsl.text.diagnostics import Label
from nncirc.dsl.text.source import Span

Wrong: TypeAlias = tuple[str | None, str | None]
"""What is wrong, and what to do."""


def _is_given(data: Draft, column: str) -> bool | None:
    return any(data.values.get(key) is not None for key in (column, f"{column}_ids"))


def _in_none(data: Draft, position: Position) -> Wrong:
    problem = f"unknown position `{position}`: `{data.name}` has no slots"
    return problem, "its positions are `start` and `end`"


@dataclass(frozen=True, slots=True)
class Prompts(Implementation):
    """A way to make a dataset.

    Attributes:
        has: whether it has answers (`answer`), foils (`foil`) or counterparts (`corrupt`); None where that is
            not known.
        position: what is wrong with a position other than `start` and `end`.
        slots: whether its prompts have slots, which can be replaced.
        drawn: whether `size` is how many prompts there are.
        follows: whether the answer is always the token that follows.
        without: what to do where one of these columns is needed and it lacks it.
    """

    has: Callable[[Draft, str], bool | None] | None = _is_given
    position: Callable[[Draft, Position], Wrong] = _in_none
    slots: bool = False
    drawn: bool = False
    follows: bool = False
    without: Mapping[str, str] = field(default_factory=dict)


# Known tasks -----------------------------------------------------------------------------------------------


def task_of(data: Draft) -> Task | None:
    """The task that a dataset is of, if it is of one that is known."""
    name = data.values.get("task")
    return TASKS.get(name) if data.implementation == "task" and isinstance(name, str) else None


def _check_task(meaning: Meaning, draft: Draft) -> None:
    """The corruption is one of the task's."""
    task, corrupt = task_of(draft), draft.values.get("corrupt")
    if task is None or not isinstance(corrupt, str) or corrupt in task.corruptions:
        return
    known = ", ".join(f'"{each}"' for each in task.corruptions)
    problem = f'unknown corruption "{corrupt}" of the task "{task.name}"'
    otherwise = f"expected one of {known}; for others, use `replace`"
    advice = did_you_mean(corrupt, task.corruptions, otherwise, shown='"{}"')
    meaning.report("C265", problem, draft.where("corrupt"), help=advice)


# What datasets have ----------------------------------------------------------------------------------------


def has_column(data: Draft, column: str) -> bool | None:
    """Whether a dataset has answers, foils or counterparts; None where only its file can tell."""
    if column == "foil" and teacher_forced(data) and not {"foil", "foil_ids"} & data.spans.keys():
        return False
    keys = (column, f"{column}_ids")
    if any(key in data.spans and key not in data.values for key in keys):
        return None
    kind = DATASETS[data.implementation]
    if kind.follows:
        return column == "answer"
    return None if kind.has is None else kind.has(data, column)


def _task_has(data: Draft, column: str) -> bool | None:
    task = task_of(data)
    if task is None:
        return None
    present = {"answer": task.answers is not None or task.follows, "foil": task.foils is not None}
    return present.get(column, True)


def answers_follow(data: Draft) -> bool:
    """Whether the answer is, at every position, the token that follows."""
    task = task_of(data)
    following = DATASETS[data.implementation].follows or (task is not None and task.follows)
    return following or isinstance(data.values.get("answer"), NextToken)


def size_of(data: Draft) -> int | None:
    """How many prompts a dataset has; None where that is seen only when they are made."""
    if DATASETS[data.implementation].drawn:
        size = data.values.get("size")
        return size if isinstance(size, int) else None
    clean = data.values.get("clean")
    return len(clean) if isinstance(clean, tuple) else None


def teacher_forced(data: Draft) -> bool:
    """Whether its answers may be several tokens, which the model gets."""
    return data.values.get("teacher_forced") is True


def without(data: Draft, column: str, instead: str) -> str:
    """What to do where a column is needed that a dataset lacks."""
    if column == "foil" and teacher_forced(data):
        return f"{instead}; a foil cannot follow the tokens of a right answer"
    advice = f"add `{column} = …` to the dataset, or {instead}"
    return DATASETS[data.implementation].without.get(column, advice)


def lacks(
    meaning: Meaning,
    data: Draft,
    needs: Collection[str],
    name: str,
    span: Span,
    instead: tuple[str, str],
) -> bool:
    """Whether a dataset lacks an answer or a foil that something needs; reports if so.

    Args:
        meaning: what is known.
        data: the dataset.
        needs: of "answer" and "foil".
        name: of what needs them.
        span: where it is asked for.
        instead: what to do instead where there is no answer, and where there is no foil.
    """
    columns = (("answer", "an answer", "C220"), ("foil", "a foil", "C221"))
    for (column, what, code), other in zip(columns, instead, strict=True):
        if column in needs and has_column(data, column) is False:
            problem = f"{name} needs {what}; `{data.name}` has none"
            label, advice = Label(data.place, "the dataset"), without(data, column, other)
            meaning.report(code, problem, span, labels=(label,), help=advice)
            return True
    return False


def _templates(data: Draft) -> tuple[Template, ...]:
    task = task_of(data)
    if task is not None:
        return tuple(map(Template.parse, task.phrasings))
    prompts = data.values.get("prompt")
    return tuple(p for p in prompts if isinstance(p, Template)) if isinstance(prompts, tuple) else ()


# Positions -------------------------------------------------------------------------------------------------


def check_positions(meaning: Meaning, data: Draft, owner: Draft, key: str, label: Label) -> None:
    """Every prompt of the dataset has the positions under a key of a declaration."""
    known = {"start", "end", OTHER} if owner.kind == "graph" else {"start", "end"}
    for position, span in owner.items(key):
        if isinstance(position, Position) and position.name not in known:
            problem, advice = DATASETS[data.implementation].position(data, position)
            if problem is not None:
                meaning.report("C218", problem, span, labels=(label,), help=advice)


def _in_templates(data: Draft, position: Position) -> Wrong:
    often = _how_often(data)
    if not often:
        return None, None
    if position.name not in often:
        used = often.keys() - {""}
        known = ticked([*islice(filter(None, often), 12), "start", "end"])
        advice = did_you_mean(position.name, chain(used, ("start", "end")), f"expected one of {known}")
        return f"unknown position `{position.name}` in the prompts of `{data.name}`", advice
    wanted, (least, number, most) = position.occurrence or 1, often[position.name]
    if wanted > most:
        return f"no prompt of `{data.name}` contains `{position}`: {_times(position.name, most)}", None
    if wanted > least:
        return f"phrasing {number} of `{data.name}` has no `{position}`", "add the position to every phrasing"
    return None, None


def _times(slot: str, occurrences: int) -> str:
    counts = {0: "does not occur", 1: "occurs at most once", 2: "occurs at most twice"}
    return f"`{slot}` {counts.get(occurrences, f'occurs at most {occurrences} times')}"


def _how_often(data: Draft) -> dict[str, tuple[int, int, int]]:
    """Of every slot how often the phrasing has it that has it least, which that is, and the most.

    Under "" are phrasings, so that there is something where these have no slots; {} if there are none.
    """
    if data.often is None:
        texts = _templates(data)
        places: dict[str, dict[int, int]] = {"": {}} if texts else {}
        for number, text in enumerate(texts):
            for part in text.parts:
                if isinstance(part, Placeholder):
                    has = places.setdefault(part.slot, {})
                    has[number] = has.get(number, 0) + 1
        data.often = {}
        for slot, has in places.items():
            lacks = next((number for number in range(len(texts)) if number not in has), None)
            number = min(has, key=has.__getitem__) if lacks is None else lacks
            data.often[slot] = has.get(number, 0), number + 1, max(has.values(), default=0)
    return data.often


def _numbered(slot: str, key: str) -> Callable[[Draft, Position], Wrong]:
    """The positions of prompts that have one slot, as often as a key says."""

    def wrong(data: Draft, position: Position) -> Wrong:
        if position.name != slot:
            known = f"its positions are `start`, `end`, `{slot}` and `{slot}.1`, `{slot}.2`, …"
            return f"unknown position `{position.name}` in `{data.name}`", known
        most = data.values.get(key)
        if isinstance(most, int) and (position.occurrence or 1) > most:
            problem = f"`{data.name}` has no `{position}`: its prompts have {counted(most, slot)}"
            return problem, f"raise `{key}`"
        return None, None

    return wrong


# Checks ----------------------------------------------------------------------------------------------------


def _check_template(meaning: Meaning, draft: Draft) -> None:
    """Every `{slot}` is declared."""
    for key in ("prompt", "answer", "foil"):
        for text, span in draft.items(key):
            for slot in text.slots if isinstance(text, Template) else ():
                if slot not in draft.slot_spans:
                    otherwise = f"declare it, for example `slots {{ {slot} = names }}`"
                    advice = did_you_mean(slot, draft.slot_spans, otherwise, shown="`{{{}}}`")
                    place = placeholder_span(span, slot)
                    meaning.report("C212", f"unknown slot `{slot}`", place, help=advice)


def _check_targets(meaning: Meaning, draft: Draft) -> None:
    """Answers and foils are text or ids of tokens; those that the model gets token by token are alone."""
    for key in ("answer", "foil"):
        if key in draft.spans and f"{key}_ids" in draft.spans:
            problem = f"the {key} is given twice, as text and as token ids"
            advice = f"remove `{key}` or `{key}_ids`"
            labels = (Label(draft.where(key), "as text"),)
            meaning.report("C106", problem, draft.where(f"{key}_ids"), labels=labels, help=advice)
    if teacher_forced(draft):
        _check_forced(meaning, draft)


def _check_forced(meaning: Meaning, draft: Draft) -> None:
    answer, problem, place = draft.values.get("answer"), None, "teacher_forced"
    if isinstance(answer, NextToken):
        problem, place = "`answer = next` is a token of the prompt itself", "answer"
    elif answer is None and not {"answer", "answer_ids"} & draft.spans.keys():
        problem = f"`{draft.name}` has no answer"
    elif isinstance(answer, tuple) and (
        draft.implementation == "template" or any(isinstance(each, tuple) for each in answer)
    ):
        problem, place = "only a single answer can be fed token by token, not a set", "answer"
    elif foil := next((key for key in ("foil", "foil_ids") if key in draft.spans), None):
        problem, place = "a foil cannot follow the tokens of a right answer", foil
    if problem is not None:
        meaning.report(
            "C245",
            problem,
            draft.where(place),
            labels=(Label(draft.where("teacher_forced"), "the answer may be several tokens"),)
            if place != "teacher_forced"
            else (),
            help="remove `teacher_forced`, or write one answer and no foil",
        )


def _check_prompts(meaning: Meaning, draft: Draft) -> None:
    """The written lists are of one length."""
    clean = draft.values.get("clean")
    if not isinstance(clean, tuple):
        return
    for key in ("corrupt", "answer", "foil", "answer_ids", "foil_ids"):
        value = draft.values.get(key)
        alone = key != "corrupt" and isinstance(value, tuple) and len(value) == 1
        if isinstance(value, tuple) and len(value) != len(clean) and not alone:
            problem = f"`{key}` has {counted(len(value), 'item')} for {counted(len(clean), 'prompt')}"
            advice = "write one for each prompt" + ("" if key == "corrupt" else ", or one for all")
            labels = (Label(draft.where("clean"), f"{len(clean)} prompts"),)
            meaning.report("C233", problem, draft.where(key), labels=labels, help=advice)


def _check_drawn(meaning: Meaning, data: Draft) -> None:
    """A template's lists of words make as many different prompts as are asked for."""
    size, prompts = data.values.get("size"), data.values.get("prompt")
    if not isinstance(size, int) or not isinstance(prompts, tuple):
        return
    lines: dict[int, set[str]] = {}
    words: dict[int, int] = {}
    for slot in data.slots.values():
        lines.setdefault(slot.group, set()).add(slot.name)
        if isinstance(slot.generator, Choices):
            words[slot.group] = len(slot.generator.items)
    most = 0
    for prompt in prompts:
        used = set(prompt.slots) if isinstance(prompt, Template) else set()
        if not used <= {name for names in lines.values() for name in names}:
            return
        asked = {line: len(names & used) for line, names in lines.items() if names & used}
        if any(len(lines[line]) > words.get(line, math.inf) for line in asked):
            return  # said where the words stand
        if asked.keys() - words.keys():
            return  # words of a named list, or tokens: as many as the tokenizer has
        most += math.prod(math.perm(words[line], count) for line, count in asked.items())
    if most < size:
        there = "has only 1 distinct prompt" if most == 1 else f"has only {most:,} distinct prompts"
        problem = f"`size = {size}`, but this template {there}"
        advice = f"set `size = {most}` or less, or give the slots more words"
        meaning.report("C310", problem, data.where("size"), help=advice)


def _check_foil(meaning: Meaning, data: Draft) -> None:
    """A foil has an answer that it is compared with, and is another one."""
    answer, foil = data.values.get("answer"), data.values.get("foil")
    if foil is None or data.implementation not in ("template", "prompts"):
        return
    if answers_follow(data) or (has_column(data, "answer") is False and not teacher_forced(data)):
        problem = "there is a foil but no answer to compare it with"
        advice = "add `answer = …`, or remove the foil"
        meaning.report("C304", problem, data.where("foil"), help=advice)
        return
    for one, other in zip(*(_each(value, data) for value in (answer, foil)), strict=False):
        both = [text for text in one if text in other]
        if both:
            problem = f'the answer and the foil are the same, "{both[0]}"'
            advice = "write another foil: the difference is 0 whatever the model does"
            labels = (Label(data.where("answer"), "the answer"),)
            meaning.report("C304", problem, data.where("foil"), labels=labels, help=advice)
            return


def _each(value: object, data: Draft) -> list[list[str]]:
    """The texts of an answer or a foil, of each prompt of which they are written by themselves."""
    items = value if isinstance(value, tuple) else (value,)
    sets = (
        [items] if data.implementation == "template" else [i if isinstance(i, tuple) else (i,) for i in items]
    )
    return [[str(getattr(text, "text", text)) for text in each if text is not None] for each in sets]


def _check_predicted(meaning: Meaning, draft: Draft) -> None:
    """Answers are tokens, which programs do not predict."""
    model = meaning.get(draft, "model")
    column = next((key for key in ("answer", "answer_ids") if key in draft.spans), None)
    if model is None or predicts(model) or not (column is not None or answers_follow(draft)):
        return
    problem = f"these prompts have answers, but `{model.name}` outputs values, not token predictions"
    advice = "remove the answers, and measure `mse`"
    labels = (Label(model.place, "a program"),)
    meaning.report("C434", problem, draft.where(column or "model"), labels=labels, help=advice)


def check_replace(meaning: Meaning, draft: Draft) -> None:
    """Replacements are between slots that prompts have and that are of one length."""
    data = meaning.get(draft, "data")
    if data is None:
        return
    task = task_of(data)
    slots = task.slot_names if task is not None else tuple(data.slot_spans)
    if not DATASETS[data.implementation].slots:
        problem = f"`replace` needs a dataset with slots; `{data.name}` has none"
        labels = (data.uses,)
        advice = "use `counterpart`, `zero` or `mean`, or a `template` or `task` dataset"
        meaning.report("C214", problem, draft.where("data"), labels=labels, help=advice)
        return
    if (data.implementation == "task" and task is None) or (not slots and "prompt" not in data.spans):
        return  # which slots it has is not known
    often, seen = _how_often(data), dict[str, dict[int | None, Span]]()
    for replacement, path in zip(draft.replacements, draft.replacement_spans, strict=True):
        left, right = path.terms
        known = True
        for name, place in ((replacement.slot, left.span), (replacement.by, right.span)):
            if name not in slots:
                known = False
                near = nearest(name, slots)
                bare = name.rstrip("0123456789")
                if bare != name and bare in slots:  # papers write S2 for the second S
                    near = f"{bare}.{name[len(bare) :]}" if place is left.span else bare
                problem = f"unknown slot `{name}` in `{data.name}`"
                there = f"its slots are {ticked(slots)}" if slots else "its prompts have no slots"
                advice = f"did you mean `{near}`?" if near else there
                meaning.report(
                    "C214", problem, place, labels=(Label(data.place, "the dataset"),), help=advice
                )
        if not known:
            continue
        occurrences = often.get(replacement.slot, (0, 0, 0))[2]
        if often and (replacement.occurrence or 1) > occurrences:
            problem = f"no prompt contains `{left.span.text}`: {_times(replacement.slot, occurrences)}"
            meaning.report("C215", problem, left.span, labels=(Label(data.where("prompt"), "the prompts"),))
        if replacement.slot == replacement.by:
            problem = f"`{replacement.slot}` is replaced by itself"
            advice = "replace it with a different slot"
            meaning.report("C234", problem, path.span, help=advice)
        places, which = seen.setdefault(replacement.slot, {}), replacement.occurrence
        clash = (
            places.get(which)
            or places.get(None)
            or (next(iter(places.values()), None) if which is None else None)
        )
        if clash is not None:
            labels = (Label(clash, "first here"),)
            meaning.report("C106", f"duplicate replacement of `{left.span.text}`", left.span, labels=labels)
        places.setdefault(which, left.span)
        slot, by = data.slots.get(replacement.slot), data.slots.get(replacement.by)
        if slot is not None and by is not None and _length_class(slot) != _length_class(by):
            meaning.report(
                "C216",
                f"`{slot.name}` is {_length_class(slot)}, but `{by.name}` is {_length_class(by)}",
                path.span,
                labels=(
                    Label(data.slot_spans[slot.name], _length_class(slot)),
                    Label(data.slot_spans[by.name], _length_class(by)),
                ),
                help="clean and corrupted prompts must have the same number of tokens",
            )


def _length_class(slot: Slot) -> str:
    if isinstance(slot.generator, RandomTokens):
        return f"{slot.generator.length} random token{'s' if slot.generator.length > 1 else ''}"
    return "a word"


def check_slots_used(scope: Scope, drafts: Mapping[str, Draft]) -> None:
    """Every slot of the script's own templates is used by a prompt or by a replacement somewhere."""
    used: dict[str, set[str]] = {}
    for draft in drafts.values():
        data = draft.values.get("data")
        if draft.implementation == "replace" and isinstance(data, Ref):
            used.setdefault(data.name, set()).update(each.by for each in draft.replacements)
    for draft in drafts.values():
        prompts = draft.values.get("prompt")
        if (
            draft.implementation != "template"
            or draft.span.source is not scope.source
            or not isinstance(prompts, tuple)
        ):
            continue
        targets = [draft.values.get("answer"), draft.values.get("foil")]
        texts = [*prompts, *(t for each in targets for t in (each if isinstance(each, tuple) else (each,)))]
        mentioned: set[str] = {slot for text in texts for slot in getattr(text, "slots", ())}
        if not mentioned <= set(draft.slot_spans):
            continue  # a misspelt placeholder would leave its slot unused
        for name, span in draft.slot_spans.items():
            if name not in mentioned and name not in used.get(draft.name, set()):
                problem = f"unused slot `{name}`: no prompt has it, and no replacement uses it"
                advice = f"write `{{{name}}}` in the prompt, or remove the slot"
                scope.report("C213", problem, span, help=advice)


check_dataset = every(check_runs, _check_targets, _check_foil, _check_predicted)
"""What is the same for all."""

TEACHER_FORCED = Key(
    Boolean(),
    "the answer may have several tokens: they are fed to the model after the prompt, in the corrupted "
    "run too, and `logprob`, `cross_entropy`, `prob` and `accuracy` cover all of them; no foil",
    default=False,
)


IDS = Many(Number(integer=True, low=0, several=True), single=True, distinct=False)


def _inputs_have(data: Draft, column: str) -> bool | None:
    return column == "corrupt" and bool(data.values.get("counterparts"))


_OF_A_PROGRAM = "measure `mse`: inputs of a program have no answers"
DATASETS: dict[str, Prompts] = {
    "template": Prompts(
        "Prompts generated from one or several phrasings; every phrasing is used equally often.",
        {
            "model": MODEL,
            "size": SIZE,
            "seed": SEED,
            "prompt": Key(
                Many(Prompt(), single=True), "the phrasings, slots in braces: `{S}`", required=True
            ),
            "answer": Key(
                Either(Prompt(several=True), ("next",)),
                "the right continuation, or several that are all right; `next`: at each position, the token "
                "that follows",
            ),
            "foil": Key(Prompt(several=True), "the wrong continuation to compare with, or several"),
            "teacher_forced": TEACHER_FORCED,
        },
        extra="slots",
        check=every(check_dataset, _check_template, _check_drawn),
        position=_in_templates,
        slots=True,
        drawn=True,
    ),
    "prompts": Prompts(
        "Prompts written out in the script, in pairs of clean and corrupted.",
        {
            "model": MODEL,
            "clean": Key(Many(Text(), distinct=False), "the prompts", required=True),
            "corrupt": Key(
                Many(Text(), distinct=False),
                "the corrupted counterpart of each, with the same number of tokens",
            ),
            "answer": Key(
                Many(Text(several=True), single=True, distinct=False),
                "the right continuation, one for all or one for each; a list in the list is a set of "
                'right answers: `[[" is", " was"]]` for all',
            ),
            "foil": Key(
                Many(Text(several=True), single=True, distinct=False),
                "the wrong continuation, or a set of them, one for all or one for each",
            ),
            "answer_ids": Key(
                IDS,
                "token ids, in place of `answer`; a list in the list is a set, or one answer with "
                "`teacher_forced`",
            ),
            "foil_ids": Key(IDS, "token ids, in place of `foil`"),
            "teacher_forced": TEACHER_FORCED,
        },
        check=every(check_dataset, _check_prompts),
        without={"corrupt": "add `corrupt = [...]` to it, or use `shuffle`"},
    ),
    "file": Prompts(
        "Prompts from a table with a header row (CSV), or one object per line (JSON Lines).",
        {
            "path": Key(InputFile((".csv", ".jsonl")), "the file, relative to the script", required=True),
            "model": MODEL,
            "clean": Key(Text(), "column of the prompts", default="clean"),
            "corrupt": Key(Text(), "column of the corrupted counterparts", default="corrupt"),
            "answer": Key(
                Text(), "column of the right continuations; a JSON list is a set", default="answer"
            ),
            "foil": Key(Text(), "column of the wrong continuations", default="foil"),
            "answer_ids": Key(
                Text(),
                "column of token ids, in place of `answer` (`correct_idx` in published tables); a JSON list "
                "is a set, or one answer with `teacher_forced`",
            ),
            "foil_ids": Key(Text(), "column of token ids, in place of `foil`"),
            "teacher_forced": TEACHER_FORCED,
            "size": Key(
                COUNT,
                "how many rows to use, from the first; if omitted, all",
                unit="prompts",
            ),
        },
        check=check_dataset,
        has=None,
    ),
    "task": Prompts(
        "Prompts of a known task with answers and corrupted counterparts (`docs/tasks.md`); its slots can be "
        "used as positions and in `replace`.",
        {
            "task": Key(Text(choices=tuple(TASKS)), "which task", required=True),
            "model": MODEL,
            "size": SIZE,
            "seed": SEED,
            "corrupt": Key(
                Text(), "which of the task's corruptions `counterpart` uses; if omitted, the first"
            ),
        },
        check=every(check_dataset, _check_task),
        has=_task_has,
        position=_in_templates,
        slots=True,
        drawn=True,
        without={"answer": _OF_A_PROGRAM, "foil": "measure `logprob`"},
    ),
    "all_inputs": Prompts(
        "Every sequence of one length, for programs with a small vocabulary. Position `token` is every token "
        "except those that the tokenizer adds (BOS), `token.2` the second.",
        {
            "model": MODEL,
            "length": Key(COUNT, "how long each input is", required=True, unit="tokens"),
            "counterparts": Key(
                Number(integer=True, low=0),
                "how many other inputs each is paired with, drawn at random; 0: no corrupted prompts",
                default=0,
                unit="prompts",
            ),
            "seed": SEED,
        },
        check=check_dataset,
        has=_inputs_have,
        position=_numbered("token", "length"),
        without={
            "corrupt": "set `counterparts = 1` in the dataset, to pair each input with another",
            "answer": _OF_A_PROGRAM,
        },
    ),
    "tokens": Prompts(
        "Random tokens, repeated: position `block.2` is the second copy, and the answer is the next token.",
        {
            "model": MODEL,
            "size": SIZE,
            "seed": SEED,
            "length": Key(COUNT, "how long the random block is", required=True, unit="tokens"),
            "copies": Key(COUNT, "how many times the block occurs in a row", default=1),
        },
        check=check_dataset,
        position=_numbered("block", "copies"),
        drawn=True,
        follows=True,
        without={"foil": "measure `logprob`: random tokens have no wrong answer"},
    ),
}
