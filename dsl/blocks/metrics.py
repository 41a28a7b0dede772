"""Metrics: each is its formula and what is true of its values, once for the language and for the engine.

A formula is written with what the engine's `Logits` has; it gives a value for every run, prompt and position
read. Positions, means over prompts, normalisation and the sign of the loss are the same for all.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from nncirc.circuits.names import Position
from nncirc.circuits.units import addable, unit_of
from nncirc.dsl.blocks.datasets import (
    answers_follow,
    check_positions,
    lacks,
    task_of,
    teacher_forced,
)
from nncirc.dsl.blocks.keys import AT, FUNCTION, NORMALIZE, check_function, one
from nncirc.dsl.blocks.models import needs_logits
from nncirc.dsl.check.declared import Implementation, Key, Meaning
from nncirc.dsl.check.program import Ref, Value
from nncirc.dsl.check.scope import Draft
from nncirc.dsl.check.types import Boolean, Sum, Word
from nncirc.dsl.text.diagnostics import Label
from nncirc.dsl.text.source import Span

Tensor: TypeAlias = Any
"""Of the engine, with its methods: this room knows no framework."""


class Logits(Protocol):
    """What a formula is written with; the engine's `Logits` says more of each."""

    @property
    def patched(self) -> Tensor:
        """The logits of the run that is measured, at the positions read."""

    @property
    def clean(self) -> Tensor:
        """The clean run's log-probabilities, or its outputs; for what is `against_clean`."""

    @property
    def answer(self) -> Tensor:
        """The right tokens."""

    @property
    def foil(self) -> Tensor:
        """The wrong tokens."""

    def logit(self, tokens: Tensor) -> Tensor:
        """The mean logit of the tokens."""

    def logprob(self, tokens: Tensor) -> Tensor:
        """The log-probability that one of the tokens comes, in nats."""

    def prob(self, tokens: Tensor) -> Tensor:
        """The probability that one of the tokens comes."""

    def best(self, tokens: Tensor) -> Tensor:
        """The highest logit of the tokens."""

    def best_of_others(self, tokens: Tensor) -> Tensor:
        """The highest logit of all other tokens."""

    def mean_under(self, probability: Tensor) -> Tensor:
        """The mean of all logits under a distribution over the vocabulary."""


@dataclass(frozen=True, slots=True)
class Metric(Implementation):
    """A metric.

    Attributes:
        formula: its value at every position read; None of what is made of other metrics.
        needs: what of a dataset it reads.
        unit: of its values, where that is known; see `nncirc.circuits.units`.
        sign: +1 where more is better, -1 where less is.
        joint: how its values at the tokens of an answer of several make that of the answer: log-probabilities
            are added, probabilities multiplied. None where it has no meaning for such an answer.
        columns: whether it reads the logits of answers and foils only, so that no others have to be computed:
            by `logit` and `best`.
        against_clean: whether it compares with the clean run, on which it is 0, and so is its gradient.
        of_values: whether it is of values that a program computes, and not of logits of tokens.
        count: whether it is a count, which a small change leaves as it is, so that it has no gradient.
    """

    formula: Callable[[Logits], Tensor] | None = None
    needs: tuple[Literal["answer", "foil"], ...] = ()
    unit: str = ""
    sign: Literal[1, -1] = 1
    joint: Literal["sum", "product"] | None = None
    columns: bool = False
    against_clean: bool = False
    of_values: bool = False
    count: bool = False


def logit_diff(logits: Logits) -> Tensor:
    """Mean logit of the answers minus mean logit of the foils (Wang et al. 2022), in logits."""
    return logits.logit(logits.answer) - logits.logit(logits.foil)


def logprob(logits: Logits) -> Tensor:
    """Log-probability that one of the answers comes, in nats."""
    return logits.logprob(logits.answer)


def prob(logits: Logits) -> Tensor:
    """Probability that one of the answers comes, 0 to 1."""
    return logits.prob(logits.answer)


def prob_diff(logits: Logits) -> Tensor:
    """Summed probability of the answers minus that of the foils (Hanna et al. 2023), -1 to 1."""
    return logits.prob(logits.answer) - logits.prob(logits.foil)


def cross_entropy(logits: Logits) -> Tensor:
    """Minus the log-probability that one of the answers comes, in nats."""
    return -logits.logprob(logits.answer)


def accuracy(logits: Logits) -> Tensor:
    """1 where an answer is the likeliest of all tokens, else 0; a tie with another token is 0."""
    best = logits.best(logits.answer)
    return (best > logits.best_of_others(logits.answer)).to(best.dtype)


def paired_accuracy(logits: Logits) -> Tensor:
    """1 where an answer is likelier than every foil, else 0; a tie is 0."""
    best = logits.best(logits.answer)
    return (best > logits.best(logits.foil)).to(best.dtype)


def kl_divergence(logits: Logits) -> Tensor:
    """D(p || q) of the clean run's p and the patched run's q, in nats (Conmy et al. 2023)."""
    p = logits.clean.exp()  # log-probabilities
    # Σ p log p − Σ p log q, with log q = logit − logsumexp and Σ p = 1: one pass over the patched logits
    return (p * logits.clean).sum(-1) - logits.mean_under(p) + logits.patched.logsumexp(-1)


def mse(logits: Logits) -> Tensor:
    """Mean over the outputs of the squared difference from the clean run's (Conmy et al. 2023)."""
    return (logits.patched - logits.clean).square().mean(-1)


# Checks ----------------------------------------------------------------------------------------------------


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


def check_gradient(meaning: Meaning, draft: Draft) -> None:
    """Attribution patching follows the metric's gradient, so there has to be one."""
    metric = meaning.get(draft, "metric")
    if metric is None:
        return
    for part in parts_of(meaning, metric):
        name, kind = part.implementation, METRICS[part.implementation]
        if kind.count:
            code, problem = "C240", f"`{name}` is piecewise constant, so it has no useful gradient"
            advice = "measure `logit_diff` or `prob_diff`, or use `activation_patching`"
        elif kind.against_clean and draft.values.get("steps") == 1 and draft.values.get("base") == "clean":
            code = "C223"
            problem = f"the gradient of `{name}` is zero at the clean run, so every score would be 0"
            advice = "set `steps = 5` (integrated gradients) or `base = corrupted`, or measure `logit_diff`"
        else:
            continue
        labels = (Label(metric.place, "this metric"),)
        meaning.report(code, problem, draft.where("metric"), labels=labels, help=advice)


def check_measured(meaning: Meaning, span: Span, metric: Draft, corruption: Draft) -> None:
    """The dataset has what the metric reads, where it reads it."""
    data = meaning.get(corruption, "data")
    if data is None:
        return
    advice = "measure `mse`, the squared difference from the clean run's outputs"
    for part in parts_of(meaning, metric):
        of_values, what = METRICS[part.implementation].of_values, f"`{part.implementation}`"
        if of_values or needs_logits(meaning, meaning.get(data, "model"), what, span, advice):
            _check_part(meaning, span, part, data)


def _check_part(meaning: Meaning, span: Span, metric: Draft, data: Draft) -> None:
    name, needs = f"`{metric.implementation}`", METRICS[metric.implementation].needs
    lacks(meaning, data, needs, name, span, ("measure `kl_divergence`", "measure `logprob`"))
    at, place = metric.values.get("at"), metric.spans.get("at", span)
    if not isinstance(at, tuple):
        return
    if needs and teacher_forced(data) and {*at} != {Position("end")}:
        meaning.report(
            "C245",
            f"{name} reads the answer, and answers of several tokens start after the end of the prompt",
            place,
            labels=(Label(data.where("teacher_forced"), "the answer may have several tokens"),),
            help="write `at = end`",
        )
    check_positions(meaning, data, metric, "at", Label(span, "measured here"))
    follows = answers_follow(data)
    if follows and Position("end") in at and needs:
        meaning.report(
            "C219",
            "the answer is the next token, and no token follows `end`",
            place,
            labels=(Label(data.place, "the dataset"),),
            help="measure at a slot: `at = block.2`",
        )


def _check_expression(meaning: Meaning, draft: Draft) -> None:
    meaning.made_of(draft, "of", 100, 100)  # each operation is a level when it is computed
    _check_parts(meaning, draft)
    _check_unit(meaning, draft)


def _check_parts(meaning: Meaning, draft: Draft) -> None:
    """The parts of an expression are read at the same positions, and computed prompt by prompt."""
    if "of" not in draft.values:
        return
    span, given = draft.where("of"), meaning.many(draft, "of")
    if not given:
        problem = "expected at least one metric in this expression"
        advice = "name a metric, as in `of = ld - 0.5`"
        meaning.report("C243", problem, span, help=advice)
        return
    for part in given:
        if part.values.get("normalize") is True:
            meaning.report(
                "C243",
                f"`{part.name}` is normalized over prompts, but an expression is computed prompt by prompt",
                span,
                labels=(Label(part.where("normalize"), "normalized here"),),
                help="set `normalize = true` in the expression instead",
            )
    first, *rest = parts_of(meaning, draft) or [draft]
    for part in rest:
        own, other = first.values.get("at"), part.values.get("at")
        if isinstance(own, tuple) and isinstance(other, tuple) and {*own} != {*other}:
            problem = f"{_called(first)} and {_called(part)} are read at different positions"
            labels = (Label(first.where("at"), "one"), Label(part.where("at"), "the other"))
            advice = "write the same `at` in both"
            meaning.report("C243", problem, span, labels=labels, help=advice)


def _check_unit(meaning: Meaning, draft: Draft) -> None:
    """What a metric's values are in; those that an expression adds are of one kind."""
    of = draft.values.get("of")
    if not isinstance(of, tuple) or draft.parts is None:
        return
    span, units = draft.where("of"), {each.name: _unit(each) for each in meaning.many(draft, "of")}
    kinds = {METRICS[part.implementation].of_values: part for part in parts_of(meaning, draft) if _unit(part)}
    problem, advice = None, ""
    if len(kinds) > 1:
        problem, advice = (
            "`mse` measures values, but the other metrics need logits of tokens",
            "use one of them",
        )
    stack: list[str | None] = []
    for item in of:
        if not isinstance(item, str):
            stack.append(units.get(item.name, "") if isinstance(item, Ref) else None)
            continue
        right, left = stack.pop(), stack.pop()
        if item in "+-" and left and right and not addable(left, right) and problem is None:
            problem = f"{left} and {right} cannot be added"
            advice = "divide each by a value in its own unit first: a ratio has no unit"
        stack.append("" if "" in (left, right) else unit_of(item, left, right))
    draft.unit = (stack[0] or "") if stack else ""
    if problem is not None:
        draft.unit = ""
        meaning.report("C581", f"invalid metric expression: {problem}", span, help=advice)


def _unit(metric: Draft) -> str:
    return metric.unit or METRICS[metric.implementation].unit


def _called(part: Draft) -> str:
    """A metric by its name, or by what it is where it has none."""
    return f"`{part.implementation if '.of' in part.name else part.name}`"


def _measure_as(meaning: Meaning, metric: Draft) -> None:
    """Make a metric `using task` the one that it stands for; report where the prompts are not a task's."""
    data = meaning.get(metric, "data")
    task = None if data is None else task_of(data)
    if task is not None:
        name, places = re.fullmatch(r"(\w+)\(at = \[?([\w., ]+)\]?\)", task.metric).groups()  # type: ignore[union-attr]
        at: Value = tuple(Position.parse(place) for place in places.split(", "))
        metric.implementation = name
        metric.values = {"at": at, "normalize": metric.values.get("normalize", False)}
    elif data is not None and data.implementation != "task":
        problem = f"`{data.name}` is not a task, so it has no metric of its own"
        advice = "name a metric, such as `using logit_diff`"
        labels = (data.uses,)
        meaning.report("C266", problem, metric.where("data"), labels=labels, help=advice)


_KEYS = {"at": AT, "normalize": NORMALIZE}


def _share(of_corrupt: str) -> Key:
    """Whether a divergence is normalised, which is 0 on the clean run."""
    doc = f"1 - {of_corrupt}: rescale so that the corrupted run is 0 and the clean run is 1"
    return Key(Boolean(), doc, default=False)


def _better(otherwise: str) -> Key:
    return Key(Word(("higher", "lower")), f"which way is better; if omitted, {otherwise}")


METRICS: dict[str, Metric] = {
    "logit_diff": Metric(
        "Logit of the answer minus logit of the foil; for sets, the difference of mean logits.",
        _KEYS,
        source="Wang et al. 2022",
        needs=("answer", "foil"),
        unit="logits",
        columns=True,
        formula=logit_diff,
    ),
    "logprob": Metric(
        "Log-probability of the answer, in nats; for a set, that any of its members comes next.",
        _KEYS,
        needs=("answer",),
        unit="nats",
        joint="sum",
        formula=logprob,
    ),
    "prob": Metric(
        "Probability of the answer; for a set, the sum.",
        _KEYS,
        needs=("answer",),
        unit="probability",
        joint="product",
        formula=prob,
    ),
    "prob_diff": Metric(
        "Probability of the answer minus that of the foil; for sets, the difference of the sums.",
        _KEYS,
        source="Hanna et al. 2023",
        needs=("answer", "foil"),
        unit="probability",
        formula=prob_diff,
    ),
    "cross_entropy": Metric(
        "Minus the log-probability of the answer, in nats: lower is better.",
        _KEYS,
        needs=("answer",),
        unit="nats",
        sign=-1,
        joint="sum",
        formula=cross_entropy,
    ),
    "accuracy": Metric(
        "Share of prompts whose answer is the likeliest of all tokens. Piecewise constant: no "
        "useful gradient.",
        _KEYS,
        needs=("answer",),
        unit="share",
        joint="product",
        count=True,
        formula=accuracy,
    ),
    "paired_accuracy": Metric(
        "Share of prompts whose answer is likelier than the foil; for sets, one answer than all foils.",
        _KEYS,
        needs=("answer", "foil"),
        unit="share",
        columns=True,
        count=True,
        formula=paired_accuracy,
    ),
    "task": Metric(
        "What the papers measure on a known task (`docs/tasks.md`), at the position where they measure it.",
        {"data": Key(one("dataset"), "the prompts, `using task`", required=True), "normalize": NORMALIZE},
        check=_measure_as,
    ),
    "expression": Metric(
        "Other metrics added, subtracted, multiplied and divided, with each other and with numbers, prompt "
        "by prompt: the mean of a ratio. A method accepts it inline: `metric = ld - 0.5 * lp`.",
        {
            "of": Key(
                Sum("metric"), "the expression; its metrics must read at the same positions", required=True
            ),
            "better": _better("as for the first metric in the expression"),
            "normalize": NORMALIZE,
        },
        check=_check_expression,
    ),
    "python": Metric(
        "Your own function of the logits at the positions read, or an entry point `nncirc.metrics` of an "
        "installed package. Runs only with `--allow-code`. Stored results depend on the text of its module, "
        "the text of all that it imports, and the versions of installed packages, but not on files that it "
        "reads: run with `--fresh` when one of those has changed.",
        {
            "function": FUNCTION,
            "at": AT,
            "better": _better("as the function declares, or higher"),
            "normalize": NORMALIZE,
        },
        check=check_function,
    ),
    "kl_divergence": Metric(
        "KL divergence D(clean || patched) of the predictions, in nats: 0 on the clean run.",
        {"at": AT, "normalize": _share("D / D(clean || corrupt)")},
        source="Conmy et al. 2023",
        unit="nats",
        sign=-1,
        against_clean=True,
        formula=kl_divergence,
    ),
    "mse": Metric(
        "Mean squared difference of the outputs from the clean run's: 0 on the clean run. For compiled "
        "programs, whose outputs are values; for other models, of the logits.",
        {"at": AT, "normalize": _share("mse / mse(corrupt)")},
        source="Conmy et al. 2023",
        unit="squared outputs",
        sign=-1,
        of_values=True,
        against_clean=True,
        formula=mse,
    ),
}
