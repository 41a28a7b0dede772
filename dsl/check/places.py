"""Positions as they are written: `end`, `S.2`, behind a node also `@4`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nncirc.circuits.names import Position
from nncirc.dsl.text import syntax

if TYPE_CHECKING:
    from nncirc.dsl.check.scope import Scope

__all__ = ["position", "small_int"]


def small_int(text: str) -> int | None:
    """The number that digits spell, None where it is beyond anything that could be counted here."""
    return int(text) if len(text) <= 9 else None


def position(scope: Scope, value: syntax.Ref) -> Position | None:
    """`end`, `S`, `S.2`, a token's number; whether the prompts have it is seen when they are known."""
    first, *rest = value.parts
    if rest and rest[-1].text in {"q", "k", "v"}:
        scope.report(
            "C218",
            f"`{value.text}` is not a position",
            value.span,
            help=f"an input stands before the position: `.{rest[-1].text}@{value.text[:-2]}`",
        )
        return None
    if first.text.isdigit() and (first.text != str(small_int(first.text)) or rest):
        scope.report(
            "C218",
            f"`{value.text}` is not a position",
            value.span,
            help="a token is named by its number, counted from 0, without leading zeros",
        )
        return None
    if not rest:
        return Position(first.text)
    occurrence = small_int(rest[0].text) if rest[0].text.isdigit() else None
    if len(rest) > 1 or not occurrence:
        scope.report(
            "C218",
            f"`{value.text}` is not a position",
            value.span,
            help="a position is `start`, `end`, or a slot and its occurrence from 1: `S.2`",
        )
        return None
    if first.text in {"start", "end"}:
        scope.report(
            "C218",
            f"there is one `{first.text}`, so it has no number",
            value.span,
            help=f"write `{first.text}`",
        )
        return None
    return Position(first.text, occurrence)
