"""Units of metrics, and their arithmetic."""

from __future__ import annotations

__all__ = ["RATIO", "addable", "unit_of"]

RATIO = "ratio"
"""The unit of numbers without one."""
_ALIKE = {"logits": "nats", "probability": RATIO, "share": RATIO}
"""Units that can be added to others: a difference of logits is one of log-probabilities."""


def _base(unit: str) -> str:
    return _ALIKE.get(unit, unit)


def addable(first: str, second: str) -> bool:
    """Whether values of two units can be added.

    >>> addable("logits", "nats"), addable("logits", "probability")
    (True, False)
    """
    return _base(first) == _base(second)


def unit_of(symbol: str, left: str | None, right: str | None) -> str:
    """The unit of two values and what is done with them; None is a number, of which one has a unit.

    >>> unit_of("/", "logits", None), unit_of("*", "nats", "nats"), unit_of("-", "logits", "nats")
    ('ratio', 'nats * nats', 'nats')
    """
    if right is None:
        return RATIO if symbol == "/" else left or RATIO
    if left is None:
        return f"1 / {right}" if symbol == "/" else right
    if symbol in "+-":
        return left if left == right else _base(left)
    return RATIO if symbol == "/" and addable(left, right) else f"{left} {symbol} {right}"
