"""Metrics made of metrics: added, subtracted, multiplied and divided, by each other or by numbers.

A combined metric is evaluated position by position and prompt by prompt: the mean of a ratio, not the ratio
of means. It is a measure like others, so that every method takes it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from torch import Tensor

from nncirc.circuits.errors import MethodError
from nncirc.circuits.units import addable, unit_of
from nncirc.dsl.check.program import OPERATORS
from nncirc.engine.metrics.metric import Function, Joint, Logits, Measure, Metric

Symbol: TypeAlias = Literal["+", "-", "*", "/"]


@dataclass(frozen=True, slots=True)
class Combined:
    """The function of a combined metric; equal if made of the same.

    Attributes:
        symbol: what is done with the parts.
        left: the first.
        right: the second.
        nothing: what a divisor may be by rounding alone, where it is 0.
    """

    symbol: Symbol
    left: Function | float
    right: Function | float
    nothing: float = 0.0

    @property
    def source(self) -> str:
        """SHA-256 of the users' own code in it, a line each; else ""."""
        found = (getattr(part, "source", "") for part in (self.left, self.right))
        return "\n".join(each for each in found if each)

    def __call__(self, logits: Logits) -> Tensor:
        """Its value at every position read.

        Raises:
            MethodError: C582, a divisor is zero.
        """
        left, right = (part(logits) if callable(part) else part for part in (self.left, self.right))
        if self.symbol == "/" and isinstance(right, Tensor) and (right.abs() <= self.nothing).any():
            raise MethodError(
                "C582",
                "division by zero: the divisor is 0 for some prompt",
                hint="divide by a number or a metric that is never 0: ratios are computed prompt by prompt",
            )
        value: Tensor = OPERATORS[self.symbol](left, right)
        return value


@dataclass(frozen=True, slots=True)
class _Constant:
    """A sensitivity that does not depend on the metric's value."""

    bound: float

    def __call__(self, _: float) -> float:
        return self.bound


def combined(symbol: Symbol, left: Metric | float, right: Metric | float) -> Metric:
    """Two metrics, or a metric and a number, as one metric.

    The better direction is that of the first metric in it, turned round by what it is subtracted from or
    divides, and by a negative factor. A metric divided by a number is a ratio, without a unit.

    Args:
        symbol: what is done with them.
        left: the first; not normalised.
        right: the second, which reads at the same positions.

    Raises:
        MethodError: C581, they do not go together.
    """
    metrics = [part for part in (left, right) if isinstance(part, Metric)]
    name = f"{_shown(left)} {symbol} {_shown(right)}"
    _check(name, symbol, left, right)
    parts = [metric.measure for metric in metrics]
    first, second = (part.measure.function if isinstance(part, Metric) else part for part in (left, right))
    divisor = right.measure.nothing if symbol == "/" and isinstance(right, Metric) else 0.0
    function = Combined(symbol, first, second, divisor)
    measure = Measure(
        function,
        max((part.needs for part in parts), key=len),  # a foil comes with an answer
        _sign(symbol, left, right),
        unit_of(symbol, *(part.unit if isinstance(part, Metric) else None for part in (left, right))),
        columns=all(part.columns for part in parts),
        against_clean=any(part.against_clean for part in parts),
        of_outputs=all(part.of_outputs for part in parts),
        # How far it moves when every logit moves by at most 1; infinite where that depends on values.
        sensitivity=_Constant(
            _linear(symbol, left, right, lambda part: part.measure.sensitivity(math.inf), math.inf)
        ),
        nothing=_linear(symbol, left, right, lambda part: part.measure.nothing, 0.0),
        gradient=all(part.gradient for part in parts),
        joint=_joint(symbol, left, right),
    )
    return Metric(name, metrics[0].at, own=measure)


def directed(metric: Metric, better: Literal["higher", "lower"]) -> Metric:
    """The same metric, with more or with less of it being better."""
    return replace(metric, own=replace(metric.measure, sign=1 if better == "higher" else -1))


def _shown(part: Metric | float) -> str:
    if not isinstance(part, Metric):
        return f"{part:g}"
    return f"({part.name})" if isinstance(part.measure.function, Combined) else part.name


def _check(name: str, symbol: Symbol, left: Metric | float, right: Metric | float) -> None:
    metrics = [part for part in (left, right) if isinstance(part, Metric)]
    problem, hint = None, ""
    if not metrics:
        problem, hint = "expected at least one metric", "name one"
    elif any(metric.normalize for metric in metrics):
        problem = "a part is normalized over prompts, but an expression is computed prompt by prompt"
        hint = "remove `normalize` from its parts, and set it in the expression"
    elif len(metrics) > 1 and set(metrics[0].at) != set(metrics[1].at):
        problem, hint = "its parts are measured at different positions", "give them the same `at`"
    elif len({metric.measure.of_outputs for metric in metrics}) > 1:
        problem, hint = "mse compares values, but the other parts need logits", "use one kind only"
    elif symbol == "/" and not isinstance(right, Metric) and right == 0:
        problem, hint = "division by zero", "divide by another number"
    elif symbol in "+-" and len(metrics) > 1:
        first, second = (metric.unit for metric in metrics)
        if not addable(first, second):
            problem = f"{first} and {second} cannot be added"
            hint = "divide each by a number in its own unit first: ratios have no unit"
    if problem is not None:
        raise MethodError("C581", f"invalid expression {name}: {problem}", hint=hint)


def _sign(symbol: Symbol, left: Metric | float, right: Metric | float) -> Literal[1, -1]:
    if isinstance(left, Metric):
        turned = symbol in "*/" and not isinstance(right, Metric) and right < 0
        sign = left.measure.sign
    else:
        assert isinstance(right, Metric)
        turned = symbol == "-" or (symbol in "*/" and (left < 0) != (symbol == "/"))
        sign = right.measure.sign
    return 1 if (sign == 1) != turned else -1


def _joint(symbol: Symbol, left: Metric | float, right: Metric | float) -> Joint | None:
    """What an answer of several tokens gets: added up token by token, only what is linear stays the same."""
    joints = {part.measure.joint for part in (left, right) if isinstance(part, Metric)}
    both = isinstance(left, Metric) and isinstance(right, Metric)
    linear = symbol in "+-" if both else symbol == "*" or (symbol == "/" and isinstance(left, Metric))
    return "sum" if linear and joints == {"sum"} else None


def _linear(
    symbol: Symbol,
    left: Metric | float,
    right: Metric | float,
    of: Callable[[Metric], float],
    otherwise: float,
) -> float:
    """What a bound on the parts' values comes to for what is linear in them; `otherwise` for the rest."""
    first, second = (of(part) if isinstance(part, Metric) else 0.0 for part in (left, right))
    if symbol in "+-":
        return first + second
    if not isinstance(right, Metric):
        return first * abs(right) if symbol == "*" else first / abs(right)
    return second * abs(left) if symbol == "*" and not isinstance(left, Metric) else otherwise
