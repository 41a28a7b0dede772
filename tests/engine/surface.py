"""All that is public: what has a door, and what has none and why."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Any

import nncirc.circuits.pictures

PACKAGES = ["nncirc.circuits", "nncirc.dsl", "nncirc.engine", "nncirc.engine.data"]
OPERATORS = {
    *("__add__", "__and__", "__call__", "__contains__", "__ge__", "__getitem__", "__gt__", "__le__"),
    *("__lt__", "__matmul__", "__mul__", "__or__", "__sub__", "__truediv__", "__xor__"),
}
PICTURES = [
    f"nncirc.circuits.pictures.{each.name}"
    for each in pkgutil.iter_modules(nncirc.circuits.pictures.__path__)
]

OFTEN = {
    "circuits.Edge": "a graph has 32,491 of them; its names are looked at where it is used",
    "circuits.Node": "made by its `parse`, for every name of a graph",
    "circuits.Node.parse": "called for every name of a graph; checks its own argument",
    "circuits.Graph.heard": "for every receiver of a graph, by its index",
    "circuits.Graph.order": "called for every edge of a circuit; checks its own argument",
    "circuits.RocPoint": "a curve has one for every score",
    "circuits.owner": "called for every receiver of a graph; checks its own argument",
    "circuits.Circuit.__contains__": "called for every edge; checks its own argument",
    "circuits.Graph.__contains__": "called for every edge; checks its own argument",
    "engine.Logits": "made for every trace",
    "engine.Logits.at": "called for every trace, by functions of metrics",
    "engine.Logits.each": "called for every trace, by functions of metrics",
    "dsl.Source.line": "for the parser's own places",
    "dsl.Source.location": "for the parser's own places",
    "dsl.Span": "made by the parser, for every token",
    "dsl.Span.to": "for every token",
}
"""What has no door, since it is called in loops, and why."""

OF_METHODS = {
    "circuits.pictures.colours.Diverging": "limits seen_below",
    "circuits.pictures.colours.Sequential": "limits",
    "dsl.Program": "needed",
    "engine.Contrast": "begins clean_logits clean_outputs clean_written fitting in_order keep_written"
    " loss masked measure noise normalizer reading reference substitute substitute_written where",
    "engine.Model": "guard head_weights inputs logits_of neuron_weights pos_embed rotary rotate scaling sees"
    " shift_embedding unembed_columns",
}
"""Methods for those who write methods: they take batches and tensors that only the engine makes."""


def surface() -> dict[str, Any]:
    """What people call: everything but what is for methods."""
    return {name: value for name, value in everything().items() if name not in inside()}


def inside() -> set[str]:
    """What is for methods."""
    return {f"{cls}.{name}" for cls, names in OF_METHODS.items() for name in names.split()}


@cache
def everything() -> Mapping[str, Any]:
    """All that is public and takes arguments: functions, classes, and methods, by name."""
    found: dict[str, Any] = {}
    for name in [*PACKAGES, *PICTURES]:
        module = importlib.import_module(name)
        for each in getattr(module, "__all__", ()):
            value, short = getattr(module, each), f"{name.removeprefix('nncirc.')}.{each}"
            if any(value is other for other in found.values()):
                continue  # in `engine`, too
            if inspect.isclass(value) and (issubclass(value, BaseException | Enum) or is_protocol(value)):
                continue
            if inspect.isclass(value):
                found[short] = value
                found.update(_methods(short, value))
            elif inspect.isroutine(value):
                found[short] = value
    return found


def is_protocol(cls: type) -> bool:
    """Whether a class only says what others have."""
    return getattr(cls, "_is_protocol", False)


def _methods(short: str, cls: type) -> dict[str, Any]:
    named = {
        name: getattr(cls, name)
        for name in vars(cls)
        if not name.startswith("_") or (name in OPERATORS and callable(getattr(cls, name)))
    }
    taking = {
        name: list(inspect.signature(value).parameters) for name, value in named.items() if callable(value)
    }
    return {f"{short}.{name}": named[name] for name, taken in taking.items() if taken not in ([], ["self"])}
