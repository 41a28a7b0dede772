"""Claims: what an `assert` comes to when it is measured."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nncirc.circuits.circuit import Circuit
from nncirc.circuits.errors import MethodError
from nncirc.circuits.intervals import Estimate
from nncirc.dsl.program import (
    OPERATORS,
    Apply,
    Assertion,
    Calculation,
    Expression,
    Number,
    Property,
)
from nncirc.engine.program.build import Builder
from nncirc.engine.program.methods.evaluation import bounded, evaluate
from nncirc.engine.program.results import finite

_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}


@dataclass(frozen=True, slots=True)
class Claim:
    """An assertion with the values that were measured.

    Attributes:
        assertion: what was claimed.
        left: the number on the left.
        right: the number on the right.
        holds: whether the comparison is true.
        left_interval: where the left is about a mean over prompts, that mean with its interval.
        right_interval: likewise on the right.
    """

    assertion: Assertion
    left: float
    right: float
    holds: bool
    left_interval: Estimate | None = None
    right_interval: Estimate | None = None


def measure(builder: Builder, assertion: Assertion) -> Claim:
    """Evaluate a claim.

    Raises:
        MethodError: C561, it is about an end of an interval that the prompts do not bound.
    """
    left, right = _value(builder, assertion.left), _value(builder, assertion.right)
    numbers = bounded(left, assertion.left), bounded(right, assertion.right)
    holds = _COMPARE[assertion.comparison](*numbers)
    intervals = (each if isinstance(each, Estimate) else None for each in (left, right))
    return Claim(assertion, *numbers, holds, *intervals)


def _value(builder: Builder, expression: Expression) -> float | Estimate:
    match expression:
        case Number(value):
            return value
        case Property(circuit, name):
            found: Circuit = builder.get(circuit.name)
            return len(found.edges) if name == "edges" else len(found.nodes)
        case Apply(function, arguments):
            return evaluate(builder, function, arguments)
        case Calculation(left, symbol, right):
            sides = (bounded(_value(builder, side), side) for side in (left, right))
            try:
                return float(OPERATORS[symbol](*sides))
            except ZeroDivisionError:
                raise MethodError(
                    "C583", "a claim divides by what turned out to be zero", hint="compare it by itself"
                ) from None


def intervals_of(claim: Claim) -> dict[str, list[float | None]]:
    """The intervals of a claim's sides as JSON values."""
    found = {"left_interval": claim.left_interval, "right_interval": claim.right_interval}
    return {key: [finite(each.low), finite(each.high)] for key, each in found.items() if each is not None}
