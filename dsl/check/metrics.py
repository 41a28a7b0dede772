"""Do metrics fit the prompts that they are measured on, and the methods that use them?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nncirc.circuits.names import Position
from nncirc.circuits.units import addable, unit_of
from nncirc.dsl.blocks.metrics import METRICS
from nncirc.dsl.check.datasets import answers_follow, check_positions, has_column, teacher_forced
from nncirc.dsl.check.foreseen import check_values
from nncirc.dsl.check.program import Ref
from nncirc.dsl.check.scope import Draft, Scope
from nncirc.dsl.text.diagnostics import Label
from nncirc.dsl.text.source import Span

if TYPE_CHECKING:
    from nncirc.dsl.check.meaning import Meaning

__all__ = ["check_expression", "check_function", "check_gradient", "check_measured", "check_unit"]


_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(:[A-Za-z_]\w*)?|[\w-]+")


def parts_of(meaning: Meaning, metric: Draft) -> list[Draft]:
    """The metrics that an expression is computed from, and theirs, each once; of another metric itself.

    None of an expression that is too long: that has been reported.
    """
    found: dict[str, Draft] = {}
    seen: set[str] = set()
    stack = [metric]
    while stack:
        each = stack.pop()
        if each.name not in seen and each.parts is not None:
            seen.add(each.name)
            if each.implementation == "expression":
                stack += reversed(meaning.many(each, "of"))
            else:
                found[each.name] = each
    return list(found.values())


def check_function(scope: Scope, draft: Draft) -> None:
    """The name of a function of the user's own is one."""
    name = draft.values.get("function")
    if draft.implementation == "python" and isinstance(name, str) and not _NAME.fullmatch(name):
        scope.report(
            "C244",
            f"`{name}` names no function",
            draft.where("function"),
            help='write "module:function", such as "mine:share" for `share` in mine.py',
        )


def _called(part: Draft) -> str:
    """A metric by its name, or by what it is where it has none."""
    return f"`{part.implementation if '.of' in part.name else part.name}`"


def check_expression(meaning: Meaning, draft: Draft) -> None:
    """The parts of an expression are read at the same positions, and computed prompt by prompt."""
    if draft.implementation != "expression" or "of" not in draft.values:
        return
    span, given = draft.where("of"), meaning.many(draft, "of")
    if not given:
        meaning.scope.report("C243", "there is no metric in this expression", span, help="name one")
        return
    for part in given:
        if part.values.get("normalize") is True:
            meaning.scope.report(
                "C243",
                f"`{part.name}` is normalised over prompts, and an expression is computed prompt by prompt",
                span,
                labels=(Label(part.where("normalize"), "normalised here"),),
                help="normalise the expression: write `normalize = true` in it, and not in its parts",
            )
    first, *rest = parts_of(meaning, draft) or [draft]
    for part in rest:
        own, other = first.values.get("at"), part.values.get("at")
        if isinstance(own, tuple) and isinstance(other, tuple) and {*own} != {*other}:
            meaning.scope.report(
                "C243",
                f"{_called(first)} and {_called(part)} are read at different positions",
                span,
                labels=(Label(first.where("at"), "one"), Label(part.where("at"), "the other")),
                help="give them the same `at`",
            )


def check_unit(meaning: Meaning, draft: Draft) -> None:
    """What a metric's values are in; those that an expression adds are of one kind."""
    draft.unit = METRICS[draft.implementation].unit
    of = draft.values.get("of")
    if draft.implementation != "expression" or not isinstance(of, tuple) or draft.parts is None:
        return
    span, units = draft.where("of"), {each.name: each.unit for each in meaning.many(draft, "of")}
    kinds = {METRICS[part.implementation].of_values: part for part in parts_of(meaning, draft) if part.unit}
    problem, advice = None, ""
    if len(kinds) > 1:
        problem, advice = "`mse` is about values, and the others about logits of tokens", "use one of them"
    stack: list[str | None] = []
    for item in of:
        if not isinstance(item, str):
            stack.append(units.get(item.name, "") if isinstance(item, Ref) else None)
            continue
        right, left = stack.pop(), stack.pop()
        if item in "+-" and left and right and not addable(left, right) and problem is None:
            problem = f"{left} and {right} cannot be added"
            advice = "divide each by a number of its own unit first: a ratio has none"
        stack.append("" if "" in (left, right) else unit_of(item, left, right))
    draft.unit = (stack[0] or "") if stack else ""
    if problem is not None:
        draft.unit = ""
        meaning.scope.report("C581", f"this is no metric: {problem}", span, help=advice)


def check_measured(meaning: Meaning, span: Span, metric: Draft, corruption: Draft) -> None:
    """The dataset has what the metric reads, where it reads it."""
    data = meaning.get(corruption, "data")
    if data is None:
        return
    for part in parts_of(meaning, metric):
        if check_values(meaning, span, part, data):
            _check_part(meaning, span, part, data)


def _check_part(meaning: Meaning, span: Span, metric: Draft, data: Draft) -> None:
    label = Label(data.place, "the dataset")
    name, needs = f"`{metric.implementation}`", METRICS[metric.implementation].needs
    if "answer" in needs and has_column(data, "answer") is False:
        meaning.scope.report(
            "C220",
            f"{name} needs an answer, and `{data.name}` has none",
            span,
            labels=(label,),
            help="add `answer = …` to the dataset, or measure `kl_divergence`"
            if data.implementation not in {"all_inputs", "task"}
            else "measure `mse`: inputs of a program have no answers",
        )
    elif "foil" in needs and has_column(data, "foil") is False:
        meaning.scope.report(
            "C221",
            f"{name} needs a foil, and `{data.name}` has none",
            span,
            labels=(label,),
            help=_without_foil(data),
        )
    at = metric.values.get("at")
    if not isinstance(at, tuple):
        return
    positions = tuple(each for each in at if isinstance(each, Position))
    if needs and teacher_forced(data) and {*positions} != {Position("end")}:
        meaning.scope.report(
            "C245",
            f"{name} is of answers that may be several tokens, and these stand behind the end of the prompt",
            metric.where("at") if "at" in metric.spans else span,
            labels=(Label(data.where("teacher_forced"), "the answer may be several tokens"),),
            help="measure at `end`",
        )
    check_positions(meaning.scope, data, positions, metric, "at", Label(span, "measured here"))
    follows = answers_follow(data)
    if follows and Position("end") in positions and needs:
        meaning.scope.report(
            "C219",
            "the answer is the next token, and behind `end` there is none",
            metric.where("at") if "at" in metric.spans else span,
            labels=(label,),
            help="measure at a slot, such as `at = block.2`",
        )


def _without_foil(data: Draft) -> str:
    if teacher_forced(data):
        return "measure `logprob`: behind the tokens of a right answer there is no wrong one"
    if data.implementation == "tokens":
        return "measure `logprob`: random tokens have no wrong answer"
    if data.implementation == "task":
        return "measure `logprob`"
    return "add `foil = …` to the dataset, or measure `logprob`"


def check_gradient(meaning: Meaning, draft: Draft) -> None:
    """Attribution patching follows the metric's gradient, so there has to be one."""
    metric = meaning.get(draft, "metric")
    if draft.implementation != "attribution_patching" or metric is None:
        return
    labels = (Label(metric.place, "this metric"),)
    for part in parts_of(meaning, metric):
        _check_gradient(meaning, draft, part, labels)


def _check_gradient(meaning: Meaning, draft: Draft, metric: Draft, labels: Sequence[Label]) -> None:
    kind = METRICS[metric.implementation]
    if kind.count:
        meaning.scope.report(
            "C240",
            f"`{metric.implementation}` has no gradient: it is a count, which a small change leaves as it is",
            draft.where("metric"),
            labels=labels,
            help="measure `logit_diff` or `prob_diff`, or use `activation_patching`",
        )
    elif kind.against_clean and draft.values.get("steps") == 1 and draft.values.get("base") == "clean":
        meaning.scope.report(
            "C223",
            f"the gradient of `{metric.implementation}` is zero at the clean run, so every score would be 0",
            draft.where("metric"),
            labels=labels,
            help="set `steps = 5` (integrated gradients) or `base = corrupted`, or measure `logit_diff`",
        )
