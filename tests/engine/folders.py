"""Folders of models as others save them, with something changed in them, and how they are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.engine.data.vocabulary import word_tokenizer
from tests.refused import refused

from nncirc.circuits.errors import ModelError, NncircError, ResourceError
from nncirc.engine.model.loading import load_huggingface
from nncirc.engine.model.model import Model


def saved(module: Any, folder: Path) -> Path:
    """A folder with a module of transformers and a tokenizer of words."""
    tokenizer: Any = word_tokenizer()
    for each in (module, tokenizer):
        each.save_pretrained(folder)
    return folder


def change_config(folder: Path, **entries: Any) -> None:
    """Let the config of a folder say something else."""
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **entries}))


def not_loaded(
    folder: Path | str,
    code: str,
    *words: str,
    load: Callable[..., Model] = load_huggingface,
    **options: Any,
) -> NncircError:
    """The error, of that code and with the words in its message, with which a folder is refused."""
    with refused(ResourceError if code == "C701" else ModelError, code, *words) as caught:
        load(folder, **options)
    return caught.value
