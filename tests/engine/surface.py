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

OPERATORS = {
    *("__add__", "__and__", "__call__", "__contains__", "__ge__", "__getitem__", "__gt__", "__le__"),
    *("__lt__", "__matmul__", "__mul__", "__or__", "__sub__", "__truediv__", "__xor__"),
}
PICTURES = [
    f"nncirc.circuits.pictures.{each.name}"
    for each in pkgutil.iter_modules(nncirc.circuits.pictures.__path__)
]

OFTEN = {
    "Edge": "a graph has 32,491 of them; its names are looked at where it is used",
    "Position": "every slot of every prompt is at one",
    "Position.parse": "called for the positions of a graph; checks its own argument",
    "Node": "made by its `parse`, for every name of a graph",
    "Node.parse": "called for every name of a graph; checks its own argument",
    "Graph.heard": "for every receiver of a graph, by its index",
    "Graph.order": "called for every edge of a circuit; checks its own argument",
    "RocPoint": "a curve has one for every score",
    "owner": "called for every receiver of a graph; checks its own argument",
    "Circuit.__contains__": "called for every edge; checks its own argument",
    "Graph.__contains__": "called for every edge; checks its own argument",
    "Logits": "made for every trace",
    "Source.line": "for the parser's own places",
    "Source.location": "for the parser's own places",
    "Span": "made by the parser, for every token",
    "Span.to": "for every token",
}
"""What has no door, since it is called in loops, and why."""

OF_METHODS = {
    "circuits.pictures.colours.Diverging": "limits seen_below",
    "circuits.pictures.colours.Sequential": "limits",
    "Program": "needed",
    "Contrast": "begins clean_logits clean_outputs clean_written fitting in_order keep_written"
    " loss masked measure noise normalizer reading reference substitute substitute_written where",
    "Logits": "at best best_of_others each logit logprob mean_under prob",
    "Model": "guard head_out head_weights inputs logits logits_of neuron_weights pos_embed unembedded"
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
    for name in ["nncirc", *PICTURES]:
        module = importlib.import_module(name)
        for each in getattr(module, "__all__", ()):
            value, short = getattr(module, each), f"{name}.{each}".removeprefix("nncirc.")
            if any(value is other for other in found.values()):
                continue  # of pictures, and in `nncirc`, too
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
