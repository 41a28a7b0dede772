"""Do prompts, slots, replacements and positions fit each other?"""

from __future__ import annotations

from itertools import chain, islice

from nncirc.circuits.names import Position
from nncirc.dsl.check.program import NextToken, Placeholder, RandomTokens, Slot, Template
from nncirc.dsl.check.scope import Draft, Scope
from nncirc.dsl.check.tasks import task_of, task_templates
from nncirc.dsl.check.values import placeholder_span
from nncirc.dsl.text.diagnostics import Label, suggest
from nncirc.dsl.text.source import Span

__all__ = [
    "answers_follow",
    "check_positions",
    "check_prompts",
    "check_replace",
    "check_targets",
    "check_template",
    "has_column",
    "teacher_forced",
]


def has_column(data: Draft, column: str) -> bool | None:
    """Whether a dataset has answers, foils or counterparts; None where only its file can tell."""
    if column == "foil" and teacher_forced(data) and not {"foil", "foil_ids"} & data.spans.keys():
        return False
    keys = (column, f"{column}_ids")
    if data.implementation == "file" or any(key in data.spans and key not in data.values for key in keys):
        return None
    if data.implementation == "tokens":
        return column == "answer"
    if data.implementation == "all_inputs":
        return column == "corrupt" and bool(data.values.get("counterparts"))
    if data.implementation == "task":
        task = task_of(data)
        if task is None:
            return None
        present = {"answer": task.answers is not None or task.follows, "foil": task.foils is not None}
        return present.get(column, True)
    return any(data.values.get(key) is not None for key in keys)


def answers_follow(data: Draft) -> bool:
    """Whether the answer is, at every position, the token that follows."""
    task = task_of(data)
    following = data.implementation == "tokens" or (task is not None and task.follows)
    return following or isinstance(data.values.get("answer"), NextToken)


def _templates(data: Draft) -> tuple[Template, ...]:
    task = task_of(data)
    if task is not None:
        return task_templates(task)
    prompts = data.values.get("prompt")
    return tuple(p for p in prompts if isinstance(p, Template)) if isinstance(prompts, tuple) else ()


def _item_spans(data: Draft, key: str) -> tuple[Span, ...]:
    written = data.written.get(key)
    items = getattr(written, "items", None)
    return tuple(item.span for item in items) if items else (data.where(key),)


def check_template(scope: Scope, draft: Draft) -> None:
    """Every `{slot}` is declared."""
    for key in ("prompt", "answer", "foil"):
        value = draft.values.get(key)
        templates = value if isinstance(value, tuple) else (value,)
        spans = _item_spans(draft, key)
        for number, text in enumerate(templates):
            span = spans[number] if number < len(spans) else spans[0]
            for slot in text.slots if isinstance(text, Template) else ():
                if slot not in draft.slot_spans:
                    near = suggest(slot, draft.slot_spans)
                    scope.report(
                        "C212",
                        f"there is no slot called `{slot}`",
                        placeholder_span(span, slot),
                        help=f"did you mean `{{{near}}}`?"
                        if near
                        else f"declare it: `slots {{ {slot} = names }}`",
                    )


def teacher_forced(data: Draft) -> bool:
    """Whether its answers may be several tokens, which the model gets."""
    return data.values.get("teacher_forced") is True


def check_targets(scope: Scope, draft: Draft) -> None:
    """Answers and foils are text or ids of tokens; those that the model gets token by token are alone."""
    for key in ("answer", "foil"):
        if key in draft.spans and f"{key}_ids" in draft.spans:
            scope.report(
                "C106",
                f"the {key} is given as text and as ids of tokens",
                draft.where(f"{key}_ids"),
                labels=(Label(draft.where(key), "as text"),),
                help="leave one of the two out",
            )
    if teacher_forced(draft):
        _check_forced(scope, draft)


def _check_forced(scope: Scope, draft: Draft) -> None:
    answer, problem, place = draft.values.get("answer"), None, "teacher_forced"
    if isinstance(answer, NextToken):
        problem, place = "the answer is the next token, which the prompt has", "answer"
    elif answer is None and not {"answer", "answer_ids"} & draft.spans.keys():
        problem = f"`{draft.name}` has no answer"
    elif isinstance(answer, tuple) and (
        draft.implementation == "template" or any(isinstance(each, tuple) for each in answer)
    ):
        problem, place = "the model can get one answer token by token, not each of a set", "answer"
    elif foil := next((key for key in ("foil", "foil_ids") if key in draft.spans), None):
        problem, place = "behind the tokens of a right answer there is no wrong one", foil
    if problem is not None:
        scope.report(
            "C245",
            problem,
            draft.where(place),
            labels=(Label(draft.where("teacher_forced"), "the answer may be several tokens"),)
            if place != "teacher_forced"
            else (),
            help="leave out `teacher_forced`, or write one answer, and no foil",
        )


def check_prompts(scope: Scope, draft: Draft) -> None:
    """The written lists are of one length."""
    clean = draft.values.get("clean")
    if not isinstance(clean, tuple):
        return
    for key in ("corrupt", "answer", "foil", "answer_ids", "foil_ids"):
        value = draft.values.get(key)
        alone = key != "corrupt" and isinstance(value, tuple) and len(value) == 1
        if isinstance(value, tuple) and len(value) != len(clean) and not alone:
            scope.report(
                "C233",
                f"{len(value)} of `{key}` for {len(clean)} prompts",
                draft.where(key),
                labels=(Label(draft.where("clean"), f"{len(clean)} prompts"),),
                help="write one for each prompt" + ("" if key == "corrupt" else ", or one for all"),
            )


def _length_class(slot: Slot) -> str:
    if isinstance(slot.generator, RandomTokens):
        return f"{slot.generator.length} random token{'s' if slot.generator.length > 1 else ''}"
    return "a word"


def check_replace(scope: Scope, draft: Draft, data: Draft) -> None:
    """Replacements are between slots that prompts have and that are of one length."""
    task = task_of(data)
    slots = task.slot_names if task is not None else tuple(data.slot_spans)
    if data.implementation not in {"template", "task"}:
        scope.report(
            "C214",
            f"`replace` needs slots, and `{data.name}` has none",
            draft.where("data"),
            labels=(Label(data.place, f"uses {data.implementation}"),),
            help="use `counterpart`, `zero` or `mean`, or a `template` or `task` dataset",
        )
        return
    if data.implementation == "task" and task is None:
        return  # which slots it has is not known
    often, seen = _how_often(data), dict[str, dict[int | None, Span]]()
    for replacement, path in zip(draft.replacements, draft.replacement_spans, strict=True):
        left, right = path.terms
        known = True
        for name, place in ((replacement.slot, left.span), (replacement.by, right.span)):
            if name not in slots:
                known = False
                near = suggest(name, slots)
                bare = name.rstrip("0123456789")
                if bare != name and bare in slots:  # papers write S2 for the second S
                    near = f"{bare}.{name[len(bare) :]}" if place is left.span else bare
                scope.report(
                    "C214",
                    f"`{data.name}` has no slot `{name}`",
                    place,
                    labels=(Label(data.place, "the dataset"),),
                    help=f"did you mean `{near}`?" if near else None,
                )
        if not known:
            continue
        occurrences = often.get(replacement.slot, (0, 0, 0))[2]
        if often and (replacement.occurrence or 1) > occurrences:
            scope.report(
                "C215",
                f"no prompt has `{left.span.text}`: {_times(replacement.slot, occurrences)}",
                left.span,
                labels=(Label(data.where("prompt"), "the prompts"),),
            )
        if replacement.slot == replacement.by:
            scope.report(
                "C234", f"`{replacement.slot}` is replaced by itself", path.span, help="name another slot"
            )
        places, which = seen.setdefault(replacement.slot, {}), replacement.occurrence
        clash = (
            places.get(which)
            or places.get(None)
            or (next(iter(places.values()), None) if which is None else None)
        )
        if clash is not None:
            labels = (Label(clash, "first here"),)
            scope.report("C106", f"`{left.span.text}` is replaced twice", left.span, labels=labels)
        places.setdefault(which, left.span)
        slot, by = data.slots.get(replacement.slot), data.slots.get(replacement.by)
        if slot is not None and by is not None and _length_class(slot) != _length_class(by):
            scope.report(
                "C216",
                f"`{slot.name}` is {_length_class(slot)}, but `{by.name}` is {_length_class(by)}",
                path.span,
                labels=(
                    Label(data.slot_spans[slot.name], _length_class(slot)),
                    Label(data.slot_spans[by.name], _length_class(by)),
                ),
                help="clean and corrupted prompts have equally many tokens",
            )


def _times(slot: str, occurrences: int) -> str:
    counts = {0: "does not occur in them", 1: "occurs once", 2: "occurs twice"}
    return f"`{slot}` {counts.get(occurrences, f'occurs {occurrences} times')}"


def check_positions(
    scope: Scope, data: Draft, positions: tuple[Position, ...], owner: Draft, key: str, label: Label
) -> None:
    """Every prompt of the dataset has these positions."""
    spans = _item_spans(owner, key)
    for number, position in enumerate(positions):
        span = spans[number] if number < len(spans) else spans[0]
        if position.name in {"start", "end"}:
            continue
        if data.implementation in {"template", "task"}:
            problem, advice = _in_templates(data, position)
        elif data.implementation == "tokens":
            problem, advice = _in_tokens(data, position)
        elif data.implementation == "all_inputs":
            problem, advice = _in_inputs(data, position)
        else:
            problem = f"`{data.name}` has no slots, so there is no position `{position}`"
            advice = "its positions are `start` and `end`"
        if problem is not None:
            scope.report("C218", problem, span, labels=(label,), help=advice)


def _in_templates(data: Draft, position: Position) -> tuple[str | None, str | None]:
    often = _how_often(data)
    if not often:
        return None, None
    if position.name not in often:
        used = often.keys() - {""}
        near = suggest(position.name, chain(used, ("start", "end")))
        known = ", ".join(f"`{each}`" for each in [*islice((s for s in often if s), 12), "start", "end"])
        advice = f"did you mean `{near}`?" if near else f"positions are {known}"
        return f"the prompts of `{data.name}` have no position `{position.name}`", advice
    wanted, (least, number, most) = position.occurrence or 1, often[position.name]
    if wanted > most:
        return f"no prompt of `{data.name}` has `{position}`: {_times(position.name, most)}", None
    if wanted > least:
        return f"phrasing {number} of `{data.name}` has no `{position}`", "every phrasing needs the position"
    return None, None


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


def _in_inputs(data: Draft, position: Position) -> tuple[str | None, str | None]:
    length = data.values.get("length")
    if position.name != "token":
        known = "its positions are `start`, `end`, `token` and `token.1`, `token.2`, …"
        return f"`{data.name}` has no position `{position.name}`", known
    if isinstance(length, int) and (position.occurrence or 1) > length:
        return f"`{data.name}` has no `{position}`: its inputs have {length} tokens", "raise `length`"
    return None, None


def _in_tokens(data: Draft, position: Position) -> tuple[str | None, str | None]:
    copies = data.values.get("copies")
    if position.name != "block":
        known = "its positions are `start`, `end` and `block.1`, `block.2`, …"
        return f"`{data.name}` has no position `{position.name}`", known
    if isinstance(copies, int) and (position.occurrence or 1) > copies:
        stand = "is one block" if copies == 1 else f"are {copies} blocks"
        return f"`{data.name}` has no `{position}`: there {stand}", "raise `copies`"
    return None, None
