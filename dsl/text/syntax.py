"""The syntax tree: what the text says, with a place for every part of it, and nothing looked up yet.

Two trees are equal when they say the same; places do not count.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from nncirc.dsl.text.source import Source, Span


@dataclass(frozen=True, slots=True)
class Name:
    """An identifier, or the number after a dot (`S.2`)."""

    text: str
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Ref:
    """`tau`, `wang.ioi`, `S.2`, and every word such as `denoise`."""

    parts: tuple[Name, ...]
    span: Span = field(compare=False, repr=False)

    @property
    def text(self) -> str:
        """The parts with their dots."""
        return ".".join(part.text for part in self.parts)


@dataclass(frozen=True, slots=True)
class Node:
    """`L9H9.q@S.2`: a node of the computation graph, or a pattern of nodes; `@3` is a token."""

    text: str
    tail: tuple[Name, ...]
    position: Ref | None
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Placed:
    """`embed@end`, `movers.q@S.2`: what a name stands for, at one position."""

    ref: Ref
    position: Ref
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Argument:
    """A value in a call, with its key unless it is positional."""

    key: Name | None
    value: Value
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Call:
    """`kl_divergence(at = end)`."""

    function: Name
    arguments: tuple[Argument, ...]
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class List:
    """`[a, b]`."""

    items: tuple[Value, ...]
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class String:
    """A string, escapes resolved."""

    value: str
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Number:
    """An int where the text has neither point nor exponent, else a float."""

    value: int | float
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Boolean:
    """`true` or `false`."""

    value: bool
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Path:
    """`a -> b -> c`; as a statement also `a -> b.q = 0.5`, an edge with its score."""

    terms: tuple[Value, ...]
    span: Span = field(compare=False, repr=False)
    score: Number | None = None


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`ld - 0.5`: two values and what is done with them: `+`, `-`, `*` or `/`."""

    left: Value
    symbol: str
    right: Value
    span: Span = field(compare=False, repr=False)


Value: TypeAlias = Ref | Placed | Node | Call | List | String | Number | Boolean | Path | Arithmetic


@dataclass(frozen=True, slots=True)
class Attribute:
    """`key = value`, or `a, b = value`."""

    targets: tuple[Name, ...]
    value: Value
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Block:
    """`kind label using implementation { body }`; `header` is the part before the brace."""

    kind: Name
    label: Name | None
    implementation: Name | None
    body: tuple[Statement, ...]
    header: Span = field(compare=False, repr=False)
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Use:
    """`use "file.circ" as name`."""

    path: String
    name: Name
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Assertion:
    """`assert left comparison right`."""

    left: Value
    comparison: str
    right: Value
    span: Span = field(compare=False, repr=False)


Statement: TypeAlias = Attribute | Block | Path | Use | Assertion


@dataclass(frozen=True, slots=True)
class Script:
    """A whole text. `comments` are the places of its comments, in order."""

    source: Source = field(compare=False, repr=False)
    statements: tuple[Statement, ...]
    comments: tuple[Span, ...] = field(default=(), compare=False, repr=False)
