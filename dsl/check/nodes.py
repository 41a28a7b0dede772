"""Positions and nodes as they are written: `end`, `S.2`, after a node also `@4`; `L9H9.q`, `MLP*`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from nncirc.circuits.names import Node, Position
from nncirc.dsl.check.scope import Scope
from nncirc.dsl.text import syntax

ENDS = ("embed", "pos_embed", "logits")
"""The nodes that are written as plain words."""
NODE = re.compile(r"(?:L(\d+|\*)(?:(H|KV)(\d+|\*))?|MLP(\d+|\*)(?:(N)(\d+|\*))?)")


def small_int(text: str) -> int | None:
    """The number that digits spell, None where it is beyond anything that could be counted here."""
    return int(text) if len(text) <= 9 else None


def position(scope: Scope, value: syntax.Ref) -> Position | None:
    """`end`, `S`, `S.2`, a token's number; whether the prompts have it is seen when they are known."""
    first, *rest = value.parts
    occurrence = small_int(rest[0].text) if rest and rest[0].text.isdigit() else None
    problem = f"expected a position, found `{value.text}`"
    if rest and rest[-1].text in {"q", "k", "v"}:
        advice = f"write the input before the position: `.{rest[-1].text}@{value.text[:-2]}`"
    elif first.text.isdigit() and (first.text != str(small_int(first.text)) or rest):
        advice = "write a token's index, counted from 0, without leading zeros"
    elif not rest:
        return Position(first.text)
    elif len(rest) > 1 or not occurrence:
        advice = "write `start`, `end`, or a slot and its occurrence, counted from 1: `S.2`"
    elif first.text in {"start", "end"}:
        problem, advice = f"`{first.text}` has no index", f"write `{first.text}`"
    else:
        return Position(first.text, occurrence)
    scope.report("C218", problem, value.span, help=advice)
    return None


def node(scope: Scope, value: syntax.Value) -> Node | None:
    """`L9H9.q`, `MLP*`, `embed`; None where the value is something else. Reports a node that is malformed."""
    if isinstance(value, syntax.Placed) and value.ref.text in ENDS:
        return Node(value.ref.text, position=position(scope, value.position))  # type: ignore[arg-type]
    if isinstance(value, syntax.Ref):
        return Node(value.text) if value.text in ENDS else None  # type: ignore[arg-type]
    if not isinstance(value, syntax.Node):
        return None
    match = NODE.fullmatch(value.text)
    assert match is not None
    layer, unit, index = match.group(1, 2, 3) if match[1] else match.group(4, 5, 6)
    numbers: list[int | None] = []
    for text in (layer, index):
        number = None if text is None or text == "*" else small_int(text)
        if number is None and text not in {None, "*"}:
            scope.report("C226", "layer, head or neuron number too large", value.span)
        numbers.append(number)
    kind = {"H": "head", "KV": "kv", "N": "neuron", None: "attention" if match[1] else "mlp"}[unit]
    at = None if value.position is None else position(scope, value.position)
    tail = list(value.tail)
    entry = tail[0].text if tail else None
    allowed = {"head": ("q", "k", "v"), "attention": ("q", "k", "v"), "kv": ("k", "v")}.get(kind, ())
    if len(tail) > 1 or (entry is not None and entry not in allowed):
        odd = tail[-1]
        known = f"its inputs are {', '.join(f'`.{each}`' for each in allowed)}"
        entered = tail[:1] if tail[0].text in allowed else []
        placed = at_position(".".join([value.text, *(each.text for each in entered)]), tail[len(entered) :])
        advice = "; ".join(filter(None, [known if allowed else "", placed])) or f"write `{value.text}`"
        part = re.fullmatch(r"([HN])(\d+)", odd.text.upper())
        if part is not None and (kind, part[1]) in {("attention", "H"), ("mlp", "N")}:
            advice = f"write `{value.text}{part[0]}`"
            if kind == "attention":  # the head is checked, as whole layers may be no nodes of the graph
                kind, numbers[1] = "head", small_int(part[2])
        scope.report("C230", f"`{value.text}` has no input `.{odd.text}`", odd.span, help=advice)
        entry = None
    return Node(kind, numbers[0], numbers[1], entry, at)  # type: ignore[arg-type]


_HABITS = re.compile(
    r"(?:[la]|h(?:ead)?[ _.]?|)(\d+)(?:\.|\.?h)(\d+)|(?:mlp|m)[._]?(\d+)|(?:mlp|m|l)\.?(\d+)\.?n(\d+)"
    r"|blocks\.(\d+)\.(attn|mlp)(?:\.\w+)?"
)


def meant(value: syntax.Value) -> str | None:
    """The node that other programs or papers write so: `9.6`, `a9.h6`, `mlp_3`, `blocks.9.attn.hook_z`."""
    match = _HABITS.fullmatch(value.span.text.strip('"').lower())
    if match is None:
        return None
    layer, head, mlp, neurons, neuron, block, part = match.groups()
    if block:
        return f"MLP{block}" if part == "mlp" else f"L{block}H*"
    return f"L{layer}H{head}" if layer else f"MLP{mlp}" if mlp else f"MLP{neurons}N{neuron}"


def at_position(node: str, tail: Sequence[syntax.Name]) -> str:
    """What to say of `embed.S.2`, whose tail may be meant for a position."""
    first = tail[0].text
    likely = first in {"start", "end", "other"} or first.isdigit() or re.match(r"[A-Z](?!\d)", first)
    meant = f"{node}@{'.'.join(part.text for part in tail)}"
    return f"write a position after `@`: `{meant}`" if likely else ""
