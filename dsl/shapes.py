"""How many layers and heads a model has, where that can be known without loading it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeAlias

from nncirc.dsl.program import Value

__all__ = ["ModelShape", "ShapeProvider", "model_shape"]


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Sizes that decide which nodes exist."""

    layers: int
    heads: int
    kv_groups: int


# implementation and values of a model's declaration -> its shape, or None where it is not at hand
ShapeProvider: TypeAlias = Callable[[str, Mapping[str, Value]], ModelShape | None]

_KNOWN = {
    "gpt2": ModelShape(12, 12, 12),
    "gpt2-medium": ModelShape(24, 16, 16),
    "gpt2-large": ModelShape(36, 20, 20),
    "gpt2-xl": ModelShape(48, 25, 25),
}
_LAYERS = ("n_layer", "num_hidden_layers", "n_layers", "num_layers")
_HEADS = ("n_head", "num_attention_heads", "n_heads", "num_heads")
_LARGEST = 1_000_000  # bytes of a config.json


def model_shape(implementation: str, values: Mapping[str, Value]) -> ModelShape | None:
    """From the bundled models' files, a local folder's `config.json`, or the few hub ids known by heart."""
    name = values.get("name" if implementation == "bundled" else "id")
    if not isinstance(name, str) or not name.isprintable():
        return None
    try:
        if implementation == "bundled":
            # by way of the bare package: the room's own imports are not needed for a file of it
            config = files("nncirc").joinpath("circuits", "models", name, "config.json")
            return _read(config.read_text(encoding="utf-8"))
        path = Path(name).expanduser() / "config.json"
        if path.is_file() and path.stat().st_size < _LARGEST:
            return _read(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RuntimeError):
        return None
    return _KNOWN.get(name.removeprefix("openai-community/"))


def _read(text: str) -> ModelShape | None:
    config = json.loads(text)
    layers, heads = _first(config, _LAYERS), _first(config, _HEADS)
    if layers is None or heads is None:
        return None
    groups = _first(config, ("num_key_value_heads", "n_key_value_heads", "n_kv_groups"))
    return ModelShape(layers, heads, heads if groups is None else groups)


def _first(config: Any, keys: tuple[str, ...]) -> int | None:
    found = [config[key] for key in keys if isinstance(config, dict) and isinstance(config.get(key), int)]
    return found[0] if found else None
