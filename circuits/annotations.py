"""What the annotations of public functions mean, and what they may add to a type.

`Annotated[...]` holds what no type says: `Positive` is a whole number of at least 1, `SOME` asks that
something is not empty, and `Accepts` is for what is wider than a type checker is told.
"""

from __future__ import annotations

import inspect
import math
import os
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import InitVar, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from nncirc.circuits.kinds import (
    ANYTHING,
    Choice,
    Conditional,
    Either,
    File,
    Function,
    Instance,
    Kind,
    Likeness,
    Many,
    Number,
    Pairs,
    Row,
    called,
    function_of,
    with_article,
)
from nncirc.circuits.words import or_


@dataclass(frozen=True, slots=True)
class Accepts:
    """What is taken beside what a type checker is told: `Annotated[tuple[str, ...], Accepts(str)]`."""

    annotation: object


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on a value besides its type, with what is said of it after the type: `of at least 1`."""

    words: str
    holds: Callable[[Any], bool]


def at_least(number: float) -> Condition:
    """A finite number from this one on."""
    return Condition(f"of at least {number:g}", lambda value: number <= value < math.inf)


Count: TypeAlias = Annotated[int, at_least(0)]
Positive: TypeAlias = Annotated[int, at_least(1)]
SOME = Condition("that is not empty", bool)


def kind_of(annotation: object) -> Kind:
    """The values that an annotation accepts.

    Raises:
        TypeError: the annotation is of a kind that no public function has yet.
    """
    # Strings are left inside of an alias that refers to itself.
    if annotation in (Any, object, typing.Self, inspect.Parameter.empty) or isinstance(annotation, str):
        return ANYTHING
    if annotation is None or annotation is types.NoneType:
        return Kind("None", "None", frozenset({types.NoneType}))
    if isinstance(annotation, InitVar):
        return kind_of(annotation.type)
    if annotation in _SIMPLE:
        return _SIMPLE[annotation]
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if typing.is_typeddict(annotation):  # of keys that may all be missing
        return kind_of(Mapping[str, Any])
    if origin is None and isinstance(annotation, type):
        return _of_class(annotation)
    if origin is typing.Annotated:
        kind = kind_of(next((each.annotation for each in inner[1:] if isinstance(each, Accepts)), inner[0]))
        for each in inner[1:]:
            if isinstance(each, Condition):
                words, plural = f"{kind.words} {each.words}", f"{kind.plural} {each.words}"
                kind = Conditional(words, plural, kind=kind, holds=each.holds)
        return kind
    if origin is Literal:
        words = or_(_quoted(inner))
        return Choice(words, words, choices=inner)
    if origin in (typing.Union, types.UnionType):
        return _union([kind_of(each) for each in inner])
    if origin is tuple and not (len(inner) == 2 and inner[1] is ...):
        items = tuple(kind_of(each) for each in inner)
        content = ", ".join(kind.words.removeprefix("a ") for kind in items)
        return Row(f"a tuple ({content})", f"tuples ({content})", items=items)
    if origin is Callable:
        return _SIMPLE[Callable] if inner[0] is ... else function_of(len(inner[0]))
    if origin in _SIMPLE:
        return _SIMPLE[origin]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        key, value = map(kind_of, inner)
        content = f"from {key.plural} to {value.plural}"
        return Pairs(f"a mapping {content}", f"mappings {content}", key=key, value=value)
    if isinstance(origin, type) and issubclass(origin, Iterable):
        item = kind_of(inner[0])
        what = "set" if issubclass(origin, Set) else "list"
        of = "" if item is ANYTHING else f" of {item.plural}"
        protocol, make = (Sequence, origin) if origin in (tuple, list) else (origin, None)
        return Many(f"a {what}{of}", f"{what}s{of}", item=item, protocol=protocol, make=make)
    raise TypeError(f"no public function has an annotation like {annotation!r} yet")


def _quoted(choices: Iterable[object]) -> list[str]:
    return [f'"{each}"' if isinstance(each, str) else str(each) for each in choices]


def _union(options: Sequence[Kind]) -> Kind:
    if ANYTHING in options:
        return ANYTHING
    if any(isinstance(kind, File) for kind in options):  # strings are paths then
        options = [kind for kind in options if kind != _SIMPLE[str]]
    one: list[str] = []
    several: list[str] = []
    for kind in options:
        choices = _quoted(kind.choices) if isinstance(kind, Choice) else []
        one += choices or [kind.words]
        several += choices or [kind.plural]
    exact = frozenset[type]().union(*(kind.exact for kind in options))
    return Either(or_(one), or_(several), exact, tuple(options))


_SIMPLE: Mapping[object, Kind] = {
    int: Number("a whole number", "whole numbers", frozenset({int}), int),
    float: Number("a number", "numbers", frozenset({int, float}), float),
    bool: Kind("True or False", "True or False", frozenset({bool})),
    str: Instance("a string", "strings", frozenset({str}), str),
    bytes: Instance("bytes", "bytes", frozenset({bytes}), bytes),
    Callable: Function("a function", "functions"),
    os.PathLike: File("a path", "paths"),
    Path: File("a path", "paths"),
}


def _of_class(cls: type) -> Kind:
    if hasattr(cls, "dim_str"):  # jaxtyping
        kind, shape = cls.dtype.__name__.lower(), ", ".join(cls.dim_str.split())  # type: ignore[attr-defined]
        of = f"{kind} tensor of shape ({shape})"
        return Instance(with_article(of), of.replace("tensor", "tensors"), cls=cls)
    words, plural = called(cls), f"`{cls.__name__}`s"
    if getattr(cls, "_is_protocol", False):
        bases = [base for base in cls.__mro__ if base not in (typing.Protocol, typing.Generic, object)]
        names = {name for base in bases for name in (*vars(base), *inspect.get_annotations(base))}
        named = frozenset(name for name in names if not name.startswith("_") or name == "__call__")
        return Likeness(words, plural, cls=cls, names=named)
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        items = tuple(map(kind_of, typing.get_type_hints(cls).values()))
        return Row(words, plural, frozenset({cls}), items, cls)
    return Instance(words, plural, frozenset({cls}), cls)
