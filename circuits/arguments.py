"""Checks of public functions: arguments are checked once, against the annotations, before the function runs.

    @public
    def prune(circuit: Circuit) -> Circuit: ...

A wrong argument is an error of the project's tree that names it, not whatever Python says where it is first
used. `public` keeps the signature. Annotations are read at the first call, so that nothing is imported for
them early. It costs some microseconds a call, so what is called in loops is left without.
"""

from __future__ import annotations

import functools
import inspect
import math
import sys
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence, Sized
from typing import Any, TypeAlias, TypeVar

from nncirc.circuits.annotations import kind_of
from nncirc.circuits.errors import ArgumentError
from nncirc.circuits.kinds import Fault, Kind, described, function_of, shown
from nncirc.circuits.words import counted, did_you_mean

_T = TypeVar("_T")
_A = TypeVar("_A")
_B = TypeVar("_B")
_Relation: TypeAlias = Callable[[_A, _B], None]
_RELATIONS: dict[tuple[type, type], Callable[[Any, Any], None]] = {}
_NOWHERE: tuple[float, frozenset[type]] = (-1.0, frozenset())


def public(thing: _T) -> _T:
    """Check the arguments of a function, or those of a class when an instance is made.

    Raises:
        ArgumentError: of the function that is given back. C751, an argument does not fit its annotation;
            C752, the arguments do not fit the signature.
    """
    if isinstance(thing, type):
        thing.__init__ = _door(thing.__init__, thing.__name__)  # type: ignore[misc]
        return thing
    found: _T = _door(thing, None)
    return found


def related(first: type[_A], second: type[_B]) -> Callable[[_Relation[_A, _B]], _Relation[_A, _B]]:
    """Let a function look at every public call that has an argument of each of two classes.

    It raises what is wrong between the two, such as a graph of another model. A relation is declared in the
    module of one of its classes, so that there is no call before it.
    """

    def declared(check: _Relation[_A, _B]) -> _Relation[_A, _B]:
        _RELATIONS[first, second] = check
        return check

    return declared


def unfit(subject: str, wanted: str, found: object, *, hint: str | None = None) -> ArgumentError:
    """The error of a check that annotations cannot express, or of a function called too often for a door."""
    return ArgumentError("C751", f"{subject} must be {wanted}, found {described(found)}", hint=hint)


def require_arguments(subject: str, function: Callable[..., object], count: int) -> None:
    """Refuse a function that cannot be called with `count` arguments, where no annotation gives the number.

    Raises:
        ArgumentError: C751.
    """
    kind = function_of(count)
    if isinstance(kind.take(function), Fault):
        raise unfit(subject, kind.words, function)


def require_lengths(subject: str, given: Sequence[Sized], length: int, of: str) -> None:
    """Refuse lists of different lengths.

    Raises:
        ArgumentError: C751.
    """
    found = sorted({len(each) for each in given})
    if found not in ([], [length]):
        lengths = " and ".join(map(str, found))
        raise ArgumentError("C751", f"{subject} must have one item per {of} ({length}), found {lengths}")


def is_public(function: object) -> bool:
    """Whether the arguments of a function, or of a class, are checked."""
    if isinstance(function, type):
        function = function.__init__  # type: ignore[misc]
    return hasattr(function, "door")


def _door(function: Any, name: str | None) -> Any:
    door: Door | None = None

    def the_door() -> Door:
        nonlocal door
        if door is None:
            door = Door(function, name or function.__qualname__)
        return door

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        here = door or the_door()
        if not here.is_plain(args, kwargs):
            args, kwargs = here.take(args, kwargs)
        if here.relations:
            here.relate(args, kwargs)
        return function(*args, **kwargs)

    wrapper.door = the_door  # type: ignore[attr-defined]
    return wrapper


class Door:
    """The arguments of one function.

    Attributes:
        name: of the function, as messages call it.
        signature: of the function.
        kinds: what each parameter takes.
    """

    def __init__(self, function: Any, name: str) -> None:
        self.name = name
        self.signature = inspect.signature(function)
        hints = _hints(function)
        self.kinds: dict[str, Kind] = {
            each: kind_of(hints.get(each, Any)) for each in self.signature.parameters
        }
        parameters = self.signature.parameters.values()
        self.asked = [p.name for p in parameters if p.name not in ("self", "cls")]
        named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        self.positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        self.many = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), None)
        self.rest = next((p.name for p in parameters if p.kind is p.VAR_KEYWORD), None)
        self.known = {p.name for p in named}
        self.required = {p.name for p in named if p.default is p.empty}
        self.relations = [
            (one, other, check)
            for (first, second), check in _RELATIONS.items()
            for one in self.known
            for other in self.known
            if _takes(self.kinds[one], first) and _takes(self.kinds[other], second)
        ]
        self._places = {name: self._place(name) for name in self.known}
        self._exact = [self.kinds[name].exact for name in self.positional]
        self._missing = [
            tuple(self.required.difference(self.positional[:n])) for n in range(len(self.positional) + 1)
        ]

    def _place(self, name: str) -> tuple[float, frozenset[type]]:
        """After how many arguments by place a parameter has its own, and the usual types."""
        place = self.positional.index(name) if name in self.positional else math.inf
        return place, self.kinds[name].exact

    def is_plain(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether every argument is of one of the usual types, so that there is nothing to look into."""
        n = len(args)
        if n > len(self._exact):
            return False
        for exact, value in zip(self._exact, args, strict=False):
            if type(value) not in exact:
                return False
        for name in self._missing[n]:
            if name not in kwargs:
                return False
        for name, value in kwargs.items():
            place, exact = self._places.get(name, _NOWHERE)
            if place < n or type(value) not in exact:
                return False
        return True

    def relate(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Whether arguments belong together."""
        given = {**dict(zip(self.positional, args, strict=False)), **kwargs}
        for one, other, check in self.relations:
            if given.get(one) is not None and given.get(other) is not None:
                check(given[one], given[other])

    def take(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments to hand on.

        Raises:
            ArgumentError: C751, C752.
        """
        given = dict(zip(self.positional, args, strict=False))
        if (
            (len(args) > len(self.positional) and self.many is None)
            or (self.rest is None and not kwargs.keys() <= self.known)
            or not kwargs.keys().isdisjoint(given)
            or not self.required <= given.keys() | kwargs.keys()
        ):
            raise self._misfit(args, kwargs)
        given.update(kwargs)
        faults, changed = {}, {}
        for name, value in given.items():
            kind = self.kinds.get(name) or self.kinds[self.rest or ""]
            found = kind.take(value)
            if isinstance(found, Fault):
                faults[name] = found
            elif found is not value:
                changed[name] = found
        for i, value in enumerate(args[len(self.positional) :]):
            found = self.kinds[self.many or ""].take(value)
            if isinstance(found, Fault):
                faults[f"{self.many}[{i}]"] = found
        if faults:
            raise self._wrong(faults, given)
        if changed:
            args = (
                tuple(changed.pop(name, value) for name, value in zip(self.positional, args, strict=False))
                + args[len(self.positional) :]
            )
            kwargs = {**kwargs, **changed}
        return args, kwargs

    def _wrong(self, faults: Mapping[str, Fault], given: Mapping[str, object]) -> ArgumentError:
        said = "; ".join(
            f"`{name}`{fault.path} must be {fault.wanted}, found {described(fault.found)}"
            for name, fault in faults.items()
        )
        hints = [self._order(faults, given), *map(_repair, faults.values())]
        return ArgumentError("C751", f"{self.name}: {said}", hint=next(filter(None, hints), None))

    def _order(self, faults: Mapping[str, Fault], given: Mapping[str, object]) -> str | None:
        """What to write if arguments are swapped."""
        misplaced = any(
            self.kinds[name].fits(given[other])
            for name in faults.keys() & given.keys()
            for other in faults.keys() & given.keys() - {name}
        )
        return f"these arguments are swapped: write {self._call()}" if misplaced else None

    def _call(self) -> str:
        by_name = [f"{name}=..." for name in self.asked if name in self.required - {*self.positional}]
        by_place = [name for name in self.asked if name in self.positional]
        return f"{self.name}({', '.join([*by_place, *by_name])})"

    def _usage(self) -> str:
        return f"write {self._call()}"

    def _misfit(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ArgumentError:
        """Too many arguments, too few, a duplicate, or an unknown one."""
        given = dict(zip(self.positional, args, strict=False))
        if self.rest is None and (unknown := [name for name in kwargs if name not in self.known]):
            hint = did_you_mean(unknown[0], self.asked, f"its arguments: {_listed(self.asked)}")
            return ArgumentError("C752", f"{self.name} has no argument `{unknown[0]}`", hint=hint)
        if twice := [name for name in kwargs if name in given]:
            found = f"{self.name}: `{twice[0]}` is given twice, by position and by keyword"
            return ArgumentError("C752", found, hint=self._usage())
        if len(args) > len(self.positional) and self.many is None:
            hidden = len(self.positional) - len([name for name in self.asked if name in self.positional])
            later = [name for name in self.asked if name not in self.positional]
            takes = counted(len(self.positional) - hidden, "positional argument")
            return ArgumentError(
                "C752",
                f"{self.name} takes {takes}, got {len(args) - hidden}",
                hint=f"pass the rest by keyword: {later[0]}=..." if later else self._usage(),
            )
        missing = [name for name in self.asked if name in self.required - given.keys() - kwargs.keys()]
        return ArgumentError("C752", f"{self.name} needs {_listed(missing)}", hint=self._usage())


def _takes(kind: Kind, cls: type) -> bool:
    """Whether a class is one of those that are taken."""
    return any(getattr(each, "cls", None) is cls for each in (kind, *getattr(kind, "options", ())))


def _repair(fault: Fault) -> str | None:
    """How to correct a wrong argument, if known."""
    if fault.hint or fault.type is None:
        return fault.hint
    if isinstance(fault.found, str) and fault.type in _MAKING:
        return _MAKING[fault.type].replace("{}", shown(fault.found).replace("'", '"'))
    return _REPAIRS.get((fault.type, type(fault.found).__name__))


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "no arguments"


def _hints(function: Any) -> dict[str, Any]:
    """Annotations, evaluated; names that only a type checker imports are public ones."""
    module = sys.modules[function.__module__]
    return inspect.get_annotations(function, locals=ChainMap(vars(module), _Public()), eval_str=True)


class _Public(dict[str, Any]):
    """What `nncirc` exports, by name."""

    def __missing__(self, name: str) -> object:
        try:
            return getattr(sys.modules["nncirc"], name)
        except AttributeError:
            raise KeyError(name) from None


# What was meant, by what is wanted and what was found instead.
_REPAIRS: Mapping[tuple[str, str], str] = {
    ("Circuit", "EdgeScores"): "select a circuit: scores.top(100) or scores.threshold(0.01)",
    ("Circuit", "Graph"): "write Circuit.full(graph) for all of its edges",
    ("Contrast", "Dataset"): "write Contrast(model, dataset, corruption)",
    ("Contrast", "Model"): "write Contrast(model, dataset, corruption)",
    ("Dataset", "list"): "write prompt_dataset(model.tokenizer, clean=[...], answer=[...])",
    ("Edges", "Circuit"): "write circuit.edges",
    ("Edges", "EdgeScores"): "write scores.values, or the edges of a circuit: scores.top(100).edges",
    ("Graph", "Circuit"): "write circuit.graph",
    ("Graph", "Model"): "write model.graph()",
    ("Graph", "Shape"): "write Graph(shape)",
    ("Model", "Contrast"): "write contrast.model",
    ("Resample", "Dataset"): "write Resample(counterpart(dataset)), or Resample(replace(dataset, {...}))",
    ("Resample", "tuple"): "write Resample(replace(dataset, {...}))",
    ("Tokenizer", "Model"): "write model.tokenizer",
}
# The same where a string was found.
_MAKING: Mapping[str, str] = {
    "Circuit": "write read_circuit({})",
    "Metric": "write Metric({})",
    "Model": "write load_huggingface({}), or load_bundled({})",
    "Tokenizer": "write load_tokenizer({})",
}
