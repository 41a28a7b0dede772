"""How many layers and heads a model has, where that can be known without loading it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, TypeAlias

from nncirc.circuits.door import at_home, read_text
from nncirc.dsl.check.model_types import may_be_adapted, unadapted
from nncirc.dsl.check.program import Value
from nncirc.dsl.check.scope import Draft, Scope
from nncirc.dsl.text.diagnostics import Label

__all__ = ["ModelShape", "ShapeProvider", "check_adapter", "check_runs", "check_shape", "model_shape"]


@dataclass(frozen=True, slots=True)
class ModelShape:
    """What decides which nodes and edges exist; see `nncirc.circuits.graph.Shape`."""

    layers: int
    heads: int
    kv_groups: int
    mlps: bool = True
    parallel: bool = False
    d_mlp: int | None = None  # neurons of each MLP, where that is known


# implementation and values of a model's declaration -> its shape, or None where it is not at hand
ShapeProvider: TypeAlias = Callable[[str, Mapping[str, Value]], ModelShape | None]

_KNOWN = {
    "gpt2": ModelShape(12, 12, 12, d_mlp=3072),
    "gpt2-medium": ModelShape(24, 16, 16, d_mlp=4096),
    "gpt2-large": ModelShape(36, 20, 20, d_mlp=5120),
    "gpt2-xl": ModelShape(48, 25, 25, d_mlp=6400),
}
_LAYERS = ("n_layer", "num_hidden_layers", "n_layers", "num_layers")
_HEADS = ("n_head", "num_attention_heads", "n_heads", "num_heads")
_WIDTHS = ("intermediate_size", "n_inner", "mlp_hidden_size")
_LARGEST = 1_000_000  # bytes of a config.json
_MOST_HEADS = 100_000  # as for `nncirc.circuits.graph.Shape`


def model_shape(implementation: str, values: Mapping[str, Value]) -> ModelShape | None:
    """As written, from a bundled model's files, a local `config.json`, or the few hub ids known by heart."""
    if implementation == "shape":
        return _written(values)
    name = values.get({"bundled": "name", "compiled": "path"}.get(implementation, "id"))
    if not isinstance(name, str) or not name.isprintable():
        return None
    try:
        if implementation == "bundled":
            # by way of the bare package: the room's own imports are not needed for a file of it
            config = files("nncirc").joinpath("circuits", "models", name, "config.json")
            return _read(config.read_text(encoding="utf-8"))
        if os.path.lexists(path := at_home(name) / "config.json"):
            return _read(read_text(path, at_most=_LARGEST))
    except (OSError, ValueError, RuntimeError):
        return None
    return None if implementation == "compiled" else _KNOWN.get(name.removeprefix("openai-community/"))


def check_shape(scope: Scope, model: Draft) -> None:
    """A shape that is written out is that of some model."""
    shape = _written(model.values) if model.implementation == "shape" else None
    if shape is not None and shape.heads % shape.kv_groups:
        scope.report(
            "C238",
            f"{shape.kv_groups} key-value heads cannot be shared evenly by {shape.heads} heads",
            model.where("kv_heads"),
            help="the key-value heads divide the heads; leave `kv_heads` away where every head has its own",
        )
    elif shape is not None and shape.layers * shape.heads > _MOST_HEADS:
        scope.report(
            "C238",
            f"{shape.layers} layers of {shape.heads} heads are more than {_MOST_HEADS:,} heads",
            model.where("layers"),
            help="the largest models have some 16,000",
        )


def check_adapter(scope: Scope, model: Draft) -> None:
    """A model in a local folder is of a type that the engine can take apart, as far as that is known."""
    name = model.values.get("id")
    if model.implementation != "huggingface" or not isinstance(name, str) or not name.isprintable():
        return
    try:
        config = json.loads(read_text(at_home(name) / "config.json", at_most=_LARGEST))
    except (OSError, ValueError, RecursionError):
        return  # it is not there, or damaged, which is said when it is loaded
    if isinstance(config, dict) and not may_be_adapted(config):
        message, help_ = unadapted(config)
        scope.report("C411", message, model.where("id"), help=help_)


def check_runs(scope: Scope, dataset: Draft, model: Draft | None) -> None:
    """What reads prompts is more than a shape."""
    if model is not None and model.implementation == "shape":
        scope.report(
            "C239",
            f"`{model.name}` is only the shape of a model: it has no tokenizer, and nothing can be run on it",
            dataset.where("model"),
            labels=(Label(model.place, "only a shape"),),
            help="use `bundled` or `huggingface` for a model that is run",
        )


def _written(values: Mapping[str, Value]) -> ModelShape | None:
    layers, heads = values.get("layers"), values.get("heads")
    if not isinstance(layers, int) or not isinstance(heads, int):
        return None
    groups, width = values.get("kv_heads"), values.get("d_mlp")
    return ModelShape(
        layers,
        heads,
        groups if isinstance(groups, int) else heads,
        mlps=values.get("mlps") is not False,
        parallel=values.get("parallel") is True,
        d_mlp=width if isinstance(width, int) else None,
    )


def _read(text: str) -> ModelShape | None:
    config = json.loads(text)
    layers, heads = _first(config, _LAYERS), _first(config, _HEADS)
    if layers is None or heads is None:
        return None
    groups = _first(config, ("num_key_value_heads", "n_key_value_heads", "n_kv_groups"))
    attention_only = isinstance(config, dict) and config.get("attention_only") is True
    width = _first(config, _WIDTHS)
    if width is None and config.get("model_type") == "gpt2":
        width = 4 * (_first(config, ("n_embd",)) or 0) or None
    kv_groups = heads if groups is None else groups
    return ModelShape(layers, heads, kv_groups, mlps=not attention_only, d_mlp=width)


def _first(config: Any, keys: tuple[str, ...]) -> int | None:
    found = [config[key] for key in keys if isinstance(config, dict) and isinstance(config.get(key), int)]
    return found[0] if found else None
