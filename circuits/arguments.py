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
import sys
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence, Sized
from types import GenericAlias
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
# What of `*circuits: Circuit` and `**rest: Any` is bound.
_GATHERED: Mapping[Any, Callable[[Any], Any]] = {
    inspect.Parameter.VAR_POSITIONAL: lambda each: GenericAlias(tuple, (each, ...)),
    inspect.Parameter.VAR_KEYWORD: lambda each: GenericAlias(Mapping, (str, each)),
}


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


def _door(function: Any, name: str | None) -> Any:
    door = functools.cache(lambda: Door(function, name or function.__qualname__))

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = door().take(args, kwargs)
        return function(*args, **kwargs)

    wrapper.door = door  # type: ignore[attr-defined]
    return wrapper


class Door:
    """The arguments of one function: what each parameter takes."""

    def __init__(self, function: Any, name: str) -> None:
        self.name = name
        self.signature = inspect.signature(function)
        hints = _hints(function)
        parameters = self.signature.parameters.values()
        self.kinds = {
            p.name: kind_of(_GATHERED.get(p.kind, lambda each: each)(hints.get(p.name, Any)))
            for p in parameters
        }
        self.asked = [p.name for p in parameters if p.name not in ("self", "cls")]
        named = [p for p in parameters if p.kind not in _GATHERED]
        self.positional = [p.name for p in named if p.kind is p.POSITIONAL_OR_KEYWORD]
        self.gathered = {p.kind for p in parameters} & _GATHERED.keys()
        self.known = {p.name for p in named}
        self.required = {p.name for p in named if p.default is p.empty}
        self.relations = [
            (one, other, check)
            for (first, second), check in _RELATIONS.items()
            for one in self.known
            for other in self.known
            if _takes(self.kinds[one], first) and _takes(self.kinds[other], second)
        ]

    def take(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments to hand on.

        Raises:
            ArgumentError: C751, C752.
        """
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError:
            raise self._misfit(args, kwargs) from None
        given, faults, changed = bound.arguments, {}, False
        for name, value in given.items():
            found = self.kinds[name].take(value)
            if isinstance(found, Fault):
                faults[name] = found
            elif found is not value:
                given[name], changed = found, True
        if faults:
            raise self._wrong(faults, given)
        for one, other, check in self.relations:
            if given.get(one) is not None and given.get(other) is not None:
                check(given[one], given[other])
        return (bound.args, bound.kwargs) if changed else (args, kwargs)

    def _wrong(self, faults: Mapping[str, Fault], given: Mapping[str, object]) -> ArgumentError:
        said = "; ".join(
            f"`{name}`{fault.path} must be {fault.wanted}, found {described(fault.found)}"
            for name, fault in faults.items()
        )
        hints = [self._order(faults, given), *map(_repair, faults.values())]
        return ArgumentError("C751", f"{self.name}: {said}", hint=next(filter(None, hints), None))

    def _order(self, faults: Mapping[str, Fault], given: Mapping[str, object]) -> str | None:
        """What to write if arguments are swapped."""
        misplaced = any(self.kinds[a].fits(given[b]) for a in faults for b in faults if a != b)
        return f"these arguments are swapped: write {self._call()}" if misplaced else None

    def _call(self) -> str:
        by_name = [f"{name}=..." for name in self.asked if name in self.required - {*self.positional}]
        by_place = [name for name in self.asked if name in self.positional]
        return f"{self.name}({', '.join([*by_place, *by_name])})"

    def _misfit(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ArgumentError:
        """An unknown argument, a duplicate, too many arguments, or too few."""
        usage = f"write {self._call()}"
        unknown = [name for name in kwargs if name not in self.known]
        if unknown and inspect.Parameter.VAR_KEYWORD not in self.gathered:
            hint = did_you_mean(unknown[0], self.asked, f"its arguments: {_listed(self.asked)}")
            return ArgumentError("C752", f"{self.name} has no argument `{unknown[0]}`", hint=hint)
        given = self.positional[: len(args)]
        if twice := [name for name in kwargs if name in given]:
            found = f"{self.name}: `{twice[0]}` is given twice, by position and by keyword"
            return ArgumentError("C752", found, hint=usage)
        more = len(args) - len(self.positional)
        if more > 0 and inspect.Parameter.VAR_POSITIONAL not in self.gathered:
            most = len([name for name in self.asked if name in self.positional])
            found = f"{self.name} takes {counted(most, 'positional argument')}, got {most + more}"
            later = [name for name in self.asked if name not in self.positional]
            hint = f"pass the rest by keyword: {later[0]}=..." if later else usage
            return ArgumentError("C752", found, hint=hint)
        missing = [name for name in self.asked if name in self.required.difference(given, kwargs)]
        return ArgumentError("C752", f"{self.name} needs {_listed(missing)}", hint=usage)


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
