"""Tokenizers: a tiny one of whole words, and two real ones where the shared folder is there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.engine.data.vocabulary import word_tokenizer

from nncirc import Tokenizer, load_tokenizer

if TYPE_CHECKING:
    from nncirc.engine.model.model import Model

SHARED = Path(os.environ.get("NNCIRC_SHARED", Path(__file__).parents[4] / "shared"))


@pytest.fixture(scope="session")
def words() -> Tokenizer:
    """Whole words, nothing added."""
    return word_tokenizer()


@pytest.fixture(scope="session")
def framed() -> Tokenizer:
    """Whole words, `<s>` before every prompt."""
    return word_tokenizer(before="<s>")


@pytest.fixture(scope="session")
def closed() -> Tokenizer:
    """Whole words, `<s>` before and `</s>` after every prompt."""
    return word_tokenizer(before="<s>", after="</s>")


def shared(name: str) -> Path:
    """A model folder of the shared folder; skips without it."""
    folder = SHARED / "models" / name
    if not folder.is_dir():
        pytest.skip(f"needs {name} of the shared folder (NNCIRC_SHARED)")
    return folder


@pytest.fixture(scope="session")
def gpt2() -> Tokenizer:
    """GPT-2's byte-level BPE."""
    return load_tokenizer(shared("gpt2-tokenizer"))


@pytest.fixture(scope="session")
def stories() -> Tokenizer:
    """A Llama tokenizer: `<s>` in front, a prepended space, bytes for what it does not know."""
    return load_tokenizer(shared("stories260K"))


@pytest.fixture(scope="session")
def stories_model() -> Model:
    """The model of that tokenizer, in float64."""
    from nncirc.engine.model.loading import load_huggingface

    return load_huggingface(shared("stories260K"), dtype="float64")


@pytest.fixture(params=["words", "framed", "closed", "gpt2", "stories"])
def any_tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    """Each of them in turn."""
    tokenizer: Tokenizer = request.getfixturevalue(request.param)
    return tokenizer
