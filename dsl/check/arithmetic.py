"""Arithmetic over names and numbers: `ld - 0.5 * lp`, read into postfix order."""

from __future__ import annotations

from collections.abc import Callable

from nncirc.dsl.check.program import OPERATORS, Value
from nncirc.dsl.check.scope import Scope
from nncirc.dsl.text import syntax

Postfix = tuple[Value, ...]


def divides_by_zero(scope: Scope, value: syntax.Arithmetic, divisor: object) -> bool:
    """Whether a number that something is divided by is zero, which is reported."""
    found = value.symbol == "/" and isinstance(divisor, int | float) and divisor == 0
    if found:
        scope.report("C242", "division by zero", value.right.span, help="use another number")
    return found


def postfix(
    scope: Scope, value: syntax.Value, read: Callable[[syntax.Value, str], Postfix | None], place: str = ""
) -> Postfix | None:
    """Operands, then what is done with them; numbers among each other are computed here.

    Args:
        scope: where errors are reported.
        value: what is written.
        read: one operand, from what is written and its place (`.left.right`).
        place: of this value in the whole.
    """
    if not isinstance(value, syntax.Arithmetic):
        return read(value, place)
    left = postfix(scope, value.left, read, f"{place}.left")
    right = postfix(scope, value.right, read, f"{place}.right")
    if left is None or right is None:
        return None
    first, second = (side[0] if len(side) == 1 else None for side in (left, right))
    if divides_by_zero(scope, value, second):
        return None
    if isinstance(first, int | float) and isinstance(second, int | float):
        return (OPERATORS[value.symbol](first, second),)
    return (*left, *right, value.symbol)
