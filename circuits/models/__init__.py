"""The small bundled models: where they are, and their measured scores.

The trained ones are folders that `transformers` loads like any other, `from_pretrained(model_folder(name))`,
made by the scripts in `training/`. The compiled ones are programs, in the layout that
`nncirc.engine.model.compiled` reads, made by `training/tracr.py`. Nothing here imports torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from nncirc.circuits.errors import ModelError
from nncirc.circuits.words import did_you_mean, or_

TRAINED = ("induction-2l", "ioi-4l", "tasks-4l")
COMPILED = ("tracr-reverse", "tracr-xproportion")
BUNDLED = (*TRAINED, *COMPILED)
"""The names of the bundled models."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known about a bundled model without loading it.

    Attributes:
        name: as in `BUNDLED`.
        folder: holds `config.json`, `model.safetensors`, `README.md`, `scores.json` and, of a trained one,
            the tokenizer.
        layers: number of transformer blocks.
        heads: attention heads in each layer.
        width: size of the residual stream.
        vocabulary: number of tokens.
        positions: longest input, in tokens.
        attention_only: the MLPs write exactly zero and are no part of the graph.
        compiled: the weights follow from a program.
        scores: what was measured on it, by name; `scores.json`.
    """

    name: str
    folder: Path
    layers: int
    heads: int
    width: int
    vocabulary: int
    positions: int
    attention_only: bool
    compiled: bool
    scores: Mapping[str, Any]


def model_folder(name: str) -> Path:
    """The folder of a bundled model.

    Raises:
        ModelError: C401, there is no such bundled model.
    """
    if name not in BUNDLED:
        found = f"unknown bundled model `{name}`; expected {or_(BUNDLED)}"
        raise ModelError("C401", found, hint=did_you_mean(name, BUNDLED))
    return Path(__file__).parent / name


def model_info(name: str) -> ModelInfo:
    """Shape and measured scores of a bundled model, from its JSON files.

    Raises:
        ModelError: C401, there is no such bundled model.
    """
    folder = model_folder(name)
    config = _read(folder / "config.json")
    compiled = name in COMPILED
    keys = (
        ("n_layers", "n_heads", "d_model", "n_ctx")
        if compiled
        else ("n_layer", "n_head", "n_embd", "n_positions")
    )
    return ModelInfo(
        name=name,
        folder=folder,
        layers=config[keys[0]],
        heads=config[keys[1]],
        width=config[keys[2]],
        vocabulary=len(config["input_encoder"]) if compiled else config["vocab_size"],
        positions=config[keys[3]],
        attention_only=config.get("attention_only", False),
        compiled=compiled,
        scores=_read(folder / "scores.json"),
    )


def _read(path: Path) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(path.read_text(encoding="utf-8")))
