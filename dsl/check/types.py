"""The types that a key can have, and how messages call them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from nncirc.circuits.words import or_, ticked


@dataclass(frozen=True, slots=True)
class Number:
    """A number within limits (inclusive); with `several`, also a list of numbers."""

    integer: bool = False
    low: float | None = None
    high: float | None = None
    several: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """A string that is not empty; with `choices`, one of these; with `several`, also a list of strings.

    `otherwise` is what messages advise where a string is none of the choices.
    """

    choices: tuple[str, ...] = ()
    several: bool = False
    otherwise: str | None = None


@dataclass(frozen=True, slots=True)
class Boolean:
    """`true` or `false`."""


@dataclass(frozen=True, slots=True)
class Word:
    """One of some words, written without quotes; `otherwise` is what messages advise for others."""

    choices: tuple[str, ...]
    otherwise: str | None = None


@dataclass(frozen=True, slots=True)
class Reference:
    """The name of a declaration of one of some kinds, or one written inline."""

    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PositionType:
    """`start`, `end`, or a slot and the number of its occurrence (`S.2`)."""


@dataclass(frozen=True, slots=True)
class NodeType:
    """A node or a pattern, with an input where one is meant (`L9H9.q`, `MLP*`, `embed`)."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A string in which `{slot}` stands for a slot's value; with `several`, also a list of such."""

    several: bool = False


@dataclass(frozen=True, slots=True)
class InputFile:
    """A path, read relative to the script."""

    extensions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A path below the output folder."""

    extensions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Many:
    """A list; with `single` also one item without brackets. `exactly` fixes its length."""

    item: Type
    single: bool = False
    distinct: bool = True
    empty: bool = False
    exactly: int | None = None


@dataclass(frozen=True, slots=True)
class Either:
    """A value of the type, or one of some words."""

    type: Type
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sum:
    """Names of declarations of a kind and numbers, computed with; a tuple in postfix order."""

    kind: str


Type: TypeAlias = (
    Number
    | Sum
    | Text
    | Boolean
    | Word
    | Reference
    | PositionType
    | NodeType
    | Prompt
    | InputFile
    | OutputFile
    | Many
    | Either
)


def kinds_in_words(kinds: Sequence[str]) -> str:
    """`a circuit`, `scores`: the plural takes no article."""
    return " or ".join(kind if kind == "scores" else f"a {kind}" for kind in kinds)


def describe(kind: Type) -> str:
    """A type in words, as messages and the reference say it: `a whole number`, `a list of circuits`."""
    match kind:
        case Number(several=True):
            alone = describe(replace(kind, several=False))
            return f"{alone} or a list of {_plural(alone)}"
        case Number(integer=integer, low=low, high=high):
            noun = "a whole number" if integer else "a number"
            if low is not None and high is not None:
                return f"{noun} from {low:g} to {high:g}"
            return noun if low is None else f"{noun} of at least {low:g}"
        case Text(several=True) | Prompt(several=True):
            return "a string or a list of strings"
        case Text(choices=choices):
            return or_([f'`"{c}"`' for c in choices]) if choices else "a string"
        case Boolean():
            return "`true` or `false`"
        case Word(choices=choices):
            return or_([f"`{c}`" for c in choices])
        case Sum(kind=summed):
            return f"{summed}s and numbers with `+`, `-`, `*`, `/`"
        case Reference(kinds=kinds):
            return kinds_in_words(kinds)
        case PositionType():
            return "a position"
        case NodeType():
            return "a node"
        case Prompt():
            return "a string"
        case InputFile(extensions=extensions) | OutputFile(extensions=extensions):
            return f"a file name ending in {or_(extensions)}"
        case Many(item=item, single=single, exactly=exactly):
            what = describe(item)
            if single:
                return (
                    f"{what}, one for each"
                    if getattr(item, "several", False)
                    else f"{what} or a list of them"
                )
            if isinstance(item, Word):
                return f"a list of {ticked(item.choices)}"
            return f"a list of {exactly or ''}".rstrip() + f" {_plural(what)}"
        case Either(type=inner, words=words):
            return f"{describe(inner)} or {' or '.join(f'`{w}`' for w in words)}"


def _plural(noun: str) -> str:
    head, _, rest = noun.removeprefix("an ").removeprefix("a ").partition(" of ")
    word = head if head.endswith("s") else f"{head}s"
    return f"{word} of {rest}" if rest else word
