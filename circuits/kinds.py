"""The kinds of arguments: whether a value fits, what was expected, and how to correct it.

A value is looked at whole: every item of a
list, every key of a mapping. What fits is handed on as it is, except that

- numbers of other libraries (numpy's) become Python's, and arrays of them the lists that they are;
- a list where a tuple is annotated becomes one, and a plain tuple the named tuple that is annotated.

A string is no list of strings, `True` no number, and a set has no order, so it is no sequence.
"""

from __future__ import annotations

import inspect
import os
import reprlib
import types
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any

from nncirc.circuits.words import counted, nearest


class _Short(reprlib.Repr):
    """Values as they were written where they are short; only the class of what is none of Python's own."""

    def repr_instance(self, x: object, level: int) -> str:
        """What is not a string, a whole number or a container."""
        plain = x is None or isinstance(x, bool | float | complex | bytes | tuple)
        return reprlib.Repr.repr_instance(self, x, level) if plain else f"<{type(x).__name__}>"


_SHORT = _Short()
_SHORT.maxstring = _SHORT.maxother = 60
_NOUNS: Mapping[type, str] = {
    str: "string",
    bytes: "bytes",
    list: "list",
    tuple: "tuple",
    dict: "mapping",
    set: "set",
    frozenset: "set",
    range: "range",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """A value that does not fit.

    Attributes:
        wanted: what was expected, in words.
        found: the value.
        path: where it is within the argument: `[2]`, `: key 'S.2'`; "" for the argument itself.
        hint: what to write, or None.
        type: the name of the class that was wanted, or None.
    """

    wanted: str
    found: object
    path: str = ""
    hint: str | None = None
    type: str | None = None

    def within(self, path: str, hint: str | None = None) -> Fault:
        """The fault seen from what holds the value."""
        return replace(self, path=path + self.path, hint=hint or self.hint)


@dataclass(frozen=True, slots=True)
class Kind:
    """What an annotation takes.

    Attributes:
        words: one of it, in words: `a number`, a `Metric`; `plural` several of it.
        exact: types of which every value fits as it is.
    """

    words: str
    plural: str = ""
    exact: frozenset[type] = frozenset()

    def take(self, value: object) -> object:
        """The value to hand on, or what is wrong with it."""
        return value if type(value) in self.exact else self.look(value)

    def look(self, value: object) -> object:
        """The same for a value of another type than the usual ones."""
        return self.fault(value)

    def fault(self, value: object, hint: str | None = None) -> Fault:
        """The value does not fit."""
        return Fault(self.words, value, hint=hint)

    def fits(self, value: object) -> bool:
        """Whether a value is taken."""
        return not isinstance(self.take(value), Fault)


class _Every(frozenset[type]):
    """All types: of `Any`, `object`, and what has no annotation."""

    def __contains__(self, cls: object) -> bool:
        return True


ANYTHING = Kind("anything", "anything", _Every())


@dataclass(frozen=True, slots=True)
class Number(Kind):
    """`int`, or `float`, to which whole numbers belong; not `bool`."""

    cls: type = float

    def look(self, value: object) -> object:
        """Numbers of numpy become Python's."""
        if isinstance(value, bool) or not isinstance(value, Integral if self.cls is int else Real):
            return self.fault(value, _number(value, self.cls))
        return self.cls(value)


def _number(value: object, wanted: Callable[[Any], float]) -> str | None:
    """How to write the number that a value is, if it is one."""
    if callable(getattr(value, "item", None)):
        return "get its number with `.item()`"
    if isinstance(value, str | float):
        try:
            return f"write {wanted(value)}" if wanted(value) == float(value) else None
        except (ValueError, OverflowError):
            return None
    return None


@dataclass(frozen=True, slots=True)
class Choice(Kind):
    """`Literal`."""

    choices: tuple[object, ...] = ()

    def look(self, value: object) -> object:
        """One of the choices, or what was meant."""
        if any(type(value) is type(each) and value == each for each in self.choices):
            return value
        name = value if isinstance(value, str) else str(value).rpartition(".")[2]
        near = nearest(name, map(str, self.choices))
        return self.fault(value, None if near is None else f'write "{near}"')


@dataclass(frozen=True, slots=True)
class Instance(Kind):
    """A class, also one of jaxtyping or an abstract one."""

    cls: type = object

    def look(self, value: object) -> object:
        """Instances of subclasses fit too."""
        if isinstance(value, self.cls):
            return value
        hint = None
        if isinstance(value, type) and issubclass(value, self.cls):
            hint = f"make one: {value.__name__}(...)"
        elif self.cls is str and hasattr(value, "__fspath__"):
            hint = "write str(...)"
        return Fault(self.words, value, hint=hint, type=self.cls.__name__)


@dataclass(frozen=True, slots=True)
class Conditional(Kind):
    """`Annotated` with a condition."""

    kind: Kind = ANYTHING
    holds: Callable[[Any], bool] = bool

    def look(self, value: object) -> object:
        """Whether the type fits, and then whether the condition holds."""
        found = self.kind.take(value)
        if isinstance(found, Fault):
            return found if found.path else replace(found, wanted=self.words)
        return found if self.holds(found) else self.fault(value)


class File(Kind):
    """A path of a file or folder."""

    __slots__ = ()

    def look(self, value: object) -> object:
        """Strings and paths."""
        return value if isinstance(value, str | os.PathLike) else self.fault(value)


@dataclass(frozen=True, slots=True)
class Likeness(Kind):
    """A protocol: whatever has what it names."""

    cls: type = object
    names: frozenset[str] = frozenset()

    def look(self, value: object) -> object:
        """Whether nothing is missing; a class is not what it makes."""
        missing = sorted(name for name in self.names if not hasattr(value, name))
        if not missing and not isinstance(value, type):
            return value
        hint = f"it lacks {' and '.join(missing)}" if missing else None
        return Fault(self.words, value, hint=hint, type=self.cls.__name__)


@dataclass(frozen=True, slots=True)
class Many(Kind):
    """Sequences, sets and what can be gone through, which becomes a list if that uses it up.

    Attributes:
        item: what each of them is.
        protocol: what it must be, as `collections.abc` has it.
        make: the type that is handed on, whatever was given; None for what was given.
    """

    item: Kind = ANYTHING
    protocol: type = Iterable
    make: type | None = None

    def look(self, value: object) -> object:
        """Every item."""
        if isinstance(value, str | bytes):
            return self.fault(value, self._listed(value))
        if getattr(value, "ndim", 0) and callable(as_list := getattr(value, "tolist", None)):
            value = as_list()
        if not isinstance(value, self.protocol) or not isinstance(value, Iterable):
            return self.fault(value, self._listed(value) or self._repair(value))
        found = self._items(value if isinstance(value, Collection) else list(value))
        if self.make is None or isinstance(found, Fault | self.make):
            return found
        return self.make(found)

    def fault(self, value: object, hint: str | None = None) -> Fault:
        """Of several things of a class the type is its plural."""
        cls = getattr(self.item, "cls", None)
        return Fault(self.words, value, hint=hint, type=cls and f"{cls.__name__}s")

    def _items(self, value: Collection[object]) -> object:
        if self.item is ANYTHING or set(map(type, value)) <= self.item.exact:
            return value
        taken, changed = [], False
        for i, each in enumerate(value):
            found = self.item.take(each)
            if isinstance(found, Fault):
                place = f"[{i}]" if isinstance(value, Sequence) else f": {shown(each)}"
                return found.within(place, self._listed(value))
            changed = changed or found is not each
            taken.append(found)
        return taken if changed else value

    def _listed(self, value: object) -> str | None:
        """What to write for one thing where several are taken."""
        if self.item is ANYTHING or not self.item.fits(value):
            return None
        plain = isinstance(value, str | bytes | int | float | tuple)
        return f"write [{shown(value)}]" if plain else "put it in a list"

    def _repair(self, value: object) -> str | None:
        if isinstance(value, Set):
            return "write sorted(...): a set has no order"
        return "write list(...)" if isinstance(value, Iterable) else None


@dataclass(frozen=True, slots=True)
class Row(Kind):
    """A tuple of so many items, also one with names for them, `cls`, which a plain one then becomes."""

    items: tuple[Kind, ...] = ()
    cls: type | None = None

    def look(self, value: object) -> object:
        """Each item by its own annotation."""
        if not isinstance(value, tuple) or len(value) != len(self.items):
            return self.fault(value, self._position(value))
        taken = tuple(kind.take(each) for kind, each in zip(self.items, value, strict=True))
        for i, found in enumerate(taken):
            if isinstance(found, Fault):
                return found.within(f"[{i}]")
        if self.cls is not None:
            return self.cls(*taken)
        return value if all(a is b for a, b in zip(taken, value, strict=True)) else taken

    def _position(self, value: object) -> str | None:
        """`"S.2"` as a script writes it is ("S", 2)."""
        if not isinstance(value, str):
            return None
        name, _, number = value.partition(".")
        pair = (name, int(number) if number.isdecimal() else None)
        return f"write {pair}".replace("'", '"') if len(self.items) == 2 and self.fits(pair) else None


@dataclass(frozen=True, slots=True)
class Pairs(Kind):
    """Mappings."""

    key: Kind = ANYTHING
    value: Kind = ANYTHING

    def look(self, value: object) -> object:
        """Every key and every value."""
        if not isinstance(value, Mapping):
            return self.fault(value)
        keys = set(map(type, value)) <= self.key.exact or self.key is ANYTHING
        values = set(map(type, value.values())) <= self.value.exact or self.value is ANYTHING
        if keys and values:
            return value
        taken, changed = {}, False
        for key, each in value.items():
            name = self.key.take(key)
            if isinstance(name, Fault):
                return name.within(f": key {shown(key)}")
            found = self.value.take(each)
            if isinstance(found, Fault):
                return found.within(f"[{shown(key)}]")
            changed = changed or name is not key or found is not each
            taken[name] = found
        return taken if changed else value


@dataclass(frozen=True, slots=True)
class Either(Kind):
    """A union."""

    options: tuple[Kind, ...] = ()

    def look(self, value: object) -> object:
        """The first that takes it; the fault of the one that it comes nearest to."""
        faults = []
        for kind in self.options:
            found = kind.take(value)
            if not isinstance(found, Fault):
                return found
            faults.append(found)
        inside = [fault for fault in faults if fault.path]
        if len(inside) == 1:
            return inside[0]
        hint = next((fault.hint for fault in faults if fault.hint), None)
        kind_of_it = next((fault.type for fault in faults if fault.type), None)
        return Fault(self.words, value, hint=hint, type=kind_of_it)


@dataclass(frozen=True, slots=True)
class Function(Kind):
    """`Callable`, of a number of arguments; None for any number."""

    arguments: int | None = None

    def look(self, value: object) -> object:
        """Whether it can be called so."""
        if not callable(value):
            return self.fault(value)
        if self.arguments is not None:
            try:
                inspect.signature(value).bind(*[None] * self.arguments)
            except TypeError:
                return self.fault(value, "change the function to take exactly these arguments")
            except ValueError:  # a builtin that does not say what it takes
                pass
        return value


def function_of(count: int) -> Function:
    """A function of so many arguments."""
    of = f"of {counted(count, 'argument')}"
    return Function(f"a function {of}", f"functions {of}", arguments=count)


def shown(value: object) -> str:
    """A value as it was written, cut to what a line holds."""
    return _SHORT.repr(value)


def described(value: object) -> str:
    """What was found, in words.

    >>> described("S.2"), described(True), described(None), described([1, 2]), described(int)
    ("the string 'S.2'", 'True', 'None', 'the list [1, 2]', 'the class `int`')
    """
    if value is None or isinstance(value, bool | int | float):
        return shown(value)
    if isinstance(value, type):
        return f"the class `{value.__name__}`"
    if isinstance(value, types.FunctionType | types.MethodType | types.BuiltinFunctionType):
        return f"the function `{value.__name__}`"
    if isinstance(value, types.ModuleType):
        return f"the module `{value.__name__}`"
    if type(value) in _NOUNS:
        return f"the {_NOUNS[type(value)]} {shown(value)}"
    if shape := _shape(value):
        return f"{called(type(value))} of {shape}"
    return called(type(value))


def _shape(value: object) -> str | None:
    """Shape and type of the numbers of a tensor or an array."""
    shape, dtype = (getattr(value, name, None) for name in ("shape", "dtype"))
    if not isinstance(shape, tuple) or not shape or dtype is None:
        return None
    return f"shape ({', '.join(map(str, shape))}) and type {str(dtype).removeprefix('torch.')}"


def called(cls: type) -> str:
    """A class in words."""
    return with_article(f"`{cls.__name__}`")


def with_article(name: str) -> str:
    """One of it."""
    return f"{'an' if name.strip('`')[0] in 'AEIOUaeio' else 'a'} {name}"
