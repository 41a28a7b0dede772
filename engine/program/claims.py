"""Claims: what an `assert` comes to when it is measured."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nncirc.circuits.circuit import Circuit
from nncirc.circuits.errors import MethodError
from nncirc.circuits.graph import Graph
from nncirc.circuits.intervals import Estimate
from nncirc.dsl.blocks import table_of
from nncirc.dsl.check.program import (
    OPERATORS,
    Apply,
    Assertion,
    Calculation,
    Expression,
    Number,
    Property,
    Range,
    leaves,
)
from nncirc.engine.blocks.functions import bounded, evaluate
from nncirc.engine.blocks.models import OnlyShape
from nncirc.engine.model.model import Model
from nncirc.engine.program.build import Builder
from nncirc.engine.program.places import placed
from nncirc.engine.program.results import finite

_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "in": lambda value, ends: ends[0] <= value <= ends[1],
}
OVERSHOOT = 1.1
"""Above this, faithfulness that is claimed to be large deserves a word."""


@dataclass(frozen=True, slots=True)
class Claim:
    """An assertion with the values measured: ends of a range, and intervals of means over prompts."""

    assertion: Assertion
    left: float
    right: float | tuple[float, float]
    holds: bool
    left_interval: Estimate | None = None
    right_interval: Estimate | None = None

    @property
    def note(self) -> str | None:
        """What a reader should know although the claim holds: that the circuit overshoots the whole model."""
        claimed = self.assertion
        large = {">=": claimed.left, ">": claimed.left, "<=": claimed.right, "<": claimed.right}
        side = large.get(claimed.comparison)
        found = self.left_interval if side is claimed.left else self.right_interval
        if not (self.holds and isinstance(side, Apply) and side.function == "faithfulness" and found):
            return None
        if not found.value > OVERSHOOT:
            return None
        about = f" [{claimed.about}]" if claimed.about else ""
        return (
            f"`{claimed.text}`{about} holds with {found.value:.4g}: the circuit overshoots the whole model, "
            "whose faithfulness is 1; claim a range such as `in [0.9, 1.1]` (ACDC finds circuits near 1 with "
            "`loss = distance`)"
        )


def measure(builder: Builder, assertion: Assertion) -> Claim:
    """Evaluate a claim.

    Raises:
        MethodError: C561, it is about an end of an interval that the prompts do not bound; C562, a side of it
            is not finite.
    """
    number, interval = _side(builder, assertion.left)
    if isinstance(assertion.right, Range):
        ends = assertion.right.low, assertion.right.high
        return Claim(assertion, number, ends, _COMPARE["in"](number, ends), interval)
    other, its_interval = _side(builder, assertion.right)
    holds = _COMPARE[assertion.comparison](number, other)
    return Claim(assertion, number, other, holds, interval, its_interval)


def _side(builder: Builder, expression: Expression) -> tuple[float, Estimate | None]:
    """The number of a side, and where it is about a mean over prompts, that mean with its interval."""
    value = _value(builder, expression)
    number = bounded(value, expression)
    if not math.isfinite(number):
        raise MethodError(
            "C562", f"one side of the claim is {number}; expected a finite number", hint="check its factors"
        )
    return number, value if isinstance(value, Estimate) else None


def _value(builder: Builder, expression: Expression) -> float | Estimate:
    match expression:
        case Number(value):
            return value
        case Range():
            raise AssertionError("a range stands on the right of `in` only")
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
                    "C583", "division by zero in this claim", hint="compare the numerator by itself"
                ) from None


def check_rows(builder: Builder, assertions: Iterable[Assertion]) -> None:
    """Find rows and columns that scores will not have, before anything is computed; what models say is used.

    Raises:
        ProgramError: C579, scores will have no such row or column.
    """
    for assertion in assertions:
        for leaf in (*leaves(assertion.left), *leaves(assertion.right)):
            if isinstance(leaf, Apply) and leaf.function == "score":
                with placed(assertion):
                    _check_row(builder, leaf.arguments)


def _check_row(builder: Builder, arguments: Mapping[str, Any]) -> None:
    declaration = builder.program.declarations[arguments["scores"].name]
    values, node, column = declaration.values, arguments["node"], arguments["column"]
    graph: Graph | None = builder.of(declaration, "graph") if "graph" in values else None
    model: Model | OnlyShape | None = None
    length: int | None = None
    if "model" in values:
        model = builder.of(declaration, "model")
    elif "corruption" in values:
        contrast = builder.contrast_of(declaration)
        model = contrast.model
        lengths = {len(example.tokens) for example in contrast.dataset.examples}
        length = lengths.pop() if len(lengths) == 1 else None
    else:
        dataset = builder.declaration(declaration, "source" if "source" in values else "data")
        model = builder.model_of(dataset)
    shape = None if model is None else model.shape
    table = table_of(declaration.name, declaration.implementation, values, graph, shape, length)
    if table is None:
        return  # the checker has said it
    wrong = table.wrong_row(node) or table.wrong_column(node, column)
    if wrong is not None:
        raise MethodError("C579", wrong[0], hint=wrong[1])


def intervals_of(claim: Claim) -> dict[str, list[float | None]]:
    """The intervals of a claim's sides as JSON values."""
    found = {"left_interval": claim.left_interval, "right_interval": claim.right_interval}
    return {key: [finite(each.low), finite(each.high)] for key, each in found.items() if each is not None}
