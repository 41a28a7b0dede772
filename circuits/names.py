"""Nodes and edges by name, as the field writes them: `L9H9`, `L9H9.q`, `MLP3`, `embed`, `logits`.

A *sender* writes into the residual stream: `embed`, a head `L9H9`, an attention layer `L9`, `MLP3`. Where
learned positions are a sender of their own, they are `pos_embed`, and `embed` is the tokens alone. Where the
MLP of a layer is split, its neurons are senders, `MLP3N17`, and `MLP3` is what they all read.
A *receiver* reads from it: a head's query `L9H9.q`, key or value, `MLP3`, `logits`. Under grouped-query
attention the heads of a group share one key and one value, which are named by the group: `L9KV2.k`.
In a graph of positions each is one at every position: `L9H9.q@end`, `MLP3@S.2`, `embed@0`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self, TypeAlias

from nncirc.circuits.arguments import unfit
from nncirc.circuits.errors import GraphError, MethodError
from nncirc.circuits.words import visible

Kind: TypeAlias = Literal["embed", "pos_embed", "head", "kv", "attention", "mlp", "neuron", "logits"]
Input: TypeAlias = Literal["q", "k", "v"]

OTHER = "other"
"""The position of all tokens that none of a graph's other positions names."""

# One spelling a node: no leading zeros, no digits of other scripts.
_NUMBER = r"0|[1-9][0-9]{0,5}"
_POSITION = rf"(?:[A-Za-z_][A-Za-z0-9_]{{0,99}}(?:\.[1-9][0-9]{{0,5}})?|{_NUMBER})"
_NAME = re.compile(
    rf"(?:(?P<end>embed|pos_embed|logits)"
    rf"|(?P<part>L|MLP)(?P<layer>{_NUMBER})(?:(?P<unit>H|KV|N)(?P<index>{_NUMBER}))?(?:\.(?P<input>[qkv]))?)"
    rf"(?:@(?P<position>{_POSITION}))?"
)
_KINDS: dict[tuple[str, str | None], Kind] = {
    ("L", "H"): "head",
    ("L", "KV"): "kv",
    ("L", None): "attention",
    ("MLP", None): "mlp",
    ("MLP", "N"): "neuron",
}


def is_position(name: str) -> bool:
    """Whether nodes can be at a position of this name: `end`, `S.2`, `14`."""
    return re.fullmatch(_POSITION, name) is not None


class Position(NamedTuple):
    """A place in a prompt: `start`, `end`, a slot (`IO`), one of its occurrences (`S.2`), a token's number.

    `occurrence` counts from 1 within a prompt; None means every occurrence of the slot.
    """

    name: str
    occurrence: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """The position that is written so.

        Raises:
            MethodError: C512, what follows the dot is no number.
            ArgumentError: C751, it is not a string.

        >>> Position.parse("S.2"), Position.parse("end")
        (Position(name='S', occurrence=2), Position(name='end', occurrence=None))
        """
        if not isinstance(text, str):
            raise unfit("a position", "a string", text)
        name, dot, number = text.partition(".")
        if dot and not number.isdecimal():
            raise MethodError(
                "C512", f"expected a position, found {text!r}", hint='write "end", "S.2", or ("S", 2)'
            )
        return cls(name, int(number) if dot else None)

    def __str__(self) -> str:
        return self.name if self.occurrence is None else f"{self.name}.{self.occurrence}"


END = Position("end")
Positions: TypeAlias = str | Sequence[str | tuple[str, int | None]]
"""What public functions take: `"end"`, or several as `["S.2", Position("end")]`; ("S", 2) is S.2."""


def as_positions(given: Positions) -> tuple[Position, ...]:
    """Positions, of which `"S.2"` and ("S", 2) are ways to write one.

    Raises:
        MethodError: C512, something is not a position, or none is given.
    """
    listed = [given] if isinstance(given, str) else given
    found = tuple(Position.parse(one) if isinstance(one, str) else Position(*one) for one in listed)
    if not found:
        raise MethodError("C512", "expected at least one position", hint='write "end", or ["S.2", "end"]')
    return found


@dataclass(frozen=True, slots=True)
class Node:
    """One node, or all of a pattern (`L*H3`, `MLP*`).

    `index` is of a head, a key-value group or a neuron, `input` one input of attention. Attributes are None
    where the kind has none; a layer or an index that it has is None for all of them. Without a `position` a
    node is one at all positions.
    """

    kind: Kind
    layer: int | None = None
    index: int | None = None
    input: Input | None = None
    position: Position | None = None

    @classmethod
    def parse(cls, name: str) -> Self:
        """The node of this name.

        Raises:
            GraphError: C451, the name is not that of a node.
            ArgumentError: C751, it is not a string.

        >>> Node.parse("L9H6.q")
        Node(kind='head', layer=9, index=6, input='q', position=None)
        """
        if not isinstance(name, str):
            raise unfit("the name of a node", "a string", name)
        match = _NAME.fullmatch(name)
        kind = match and (match["end"] or _KINDS.get((match["part"], match["unit"])))
        if match is None or kind is None or (match["part"] == "MLP" and match["input"]):
            raise GraphError(
                "C451",
                f"expected a node, found {visible(name, 60)!r}",
                hint="nodes are embed, pos_embed, L9H6, L9H6.q, L9KV2.k, L9, MLP3, MLP3N17, logits",
            )
        at = None if match["position"] is None else Position.parse(match["position"])
        layer, index = (None if number is None else int(number) for number in match.group("layer", "index"))
        return cls(kind, layer, index, match["input"], at)  # type: ignore[arg-type]

    def __str__(self) -> str:
        layer, index = ("*" if number is None else number for number in (self.layer, self.index))
        name = {
            "head": f"L{layer}H{index}",
            "kv": f"L{layer}KV{index}",
            "attention": f"L{layer}",
            "mlp": f"MLP{layer}",
            "neuron": f"MLP{layer}N{index}",
        }.get(self.kind, self.kind)
        at = "" if self.position is None else f"@{self.position}"
        return f"{name}.{self.input}{at}" if self.input else name + at


def one_of(pattern: str) -> Node:
    """A node that a pattern might mean: `L0H3` for `L*H3`, whose `*` is any number.

    Raises:
        GraphError: C451, it is not one of nodes.
    """
    return Node.parse(pattern.replace("*", "0"))


def is_node(name: str) -> bool:
    """Whether a name, or a pattern, is one of nodes."""
    try:
        one_of(name)
    except GraphError:
        return False
    return True


def matching(pattern: str, names: Iterable[str], *, at_any_position: bool = False) -> tuple[str, ...]:
    """Those of some nodes that a pattern names.

    >>> matching("L*H1", ["L0H0", "L0H1", "L1H1"])
    ('L0H1', 'L1H1')
    """
    at = "@.*" if at_any_position else ""
    expression = re.compile(re.escape(pattern).replace(r"\*", "[0-9]+") + at)
    return tuple(name for name in names if expression.fullmatch(name))


class Edge(NamedTuple):
    """An edge of the computation graph: what `sender` wrote, as `receiver` reads it."""

    sender: str
    receiver: str

    def __str__(self) -> str:
        return f"{self.sender} -> {self.receiver}"


def node_asked_for(thing: object) -> Node | None:
    """The node on the left side of `in`; None for a pair of names, as an edge is.

    Raises:
        GraphError: C451, the name is not that of a node.
        ArgumentError: C751, it is neither.
    """
    if isinstance(thing, tuple) and len(thing) == 2 and all(isinstance(name, str) for name in thing):
        return None
    if not isinstance(thing, str):
        hint = 'write ("embed", "L0H0.q"), or "L0H0"'
        raise unfit("the left side of `in`", "an edge or the name of a node", thing, hint=hint)
    return Node.parse(thing)
