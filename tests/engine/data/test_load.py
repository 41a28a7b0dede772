"""Tokenizers from folders and from a hub that is not there."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from tests.engine.data.conftest import shared
from tests.engine.data.vocabulary import word_tokenizer
from tests.refused import refused

from nncirc import load_tokenizer
from nncirc.circuits.errors import ModelError
from nncirc.engine.data import load


def message_of(name: Any, folder: Path | None = None, **options: Any) -> str:
    with pytest.raises(ModelError) as caught:
        load_tokenizer(name, **options)
    return str(caught.value).replace(f"{folder}/", "")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A folder with a good tokenizer."""
    tokenizer: Any = word_tokenizer()
    tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.getaddrinfo", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)


def test_a_folder_is_read_without_the_network(saved: Path, no_network: None) -> None:
    assert load_tokenizer(saved).get_vocab() == word_tokenizer().get_vocab()
    assert load_tokenizer(str(saved)).is_fast


def test_gpt2_without_the_network(no_network: None) -> None:
    assert len(load_tokenizer(shared("gpt2-tokenizer")).get_vocab()) == 50_257


def test_folders_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "config.json").write_text("{}")
    (tmp_path / "file").write_text("")
    names = ["nowhere", "file", "empty", "weights"]
    assert [message_of(tmp_path / name, tmp_path) for name in names] == [
        "[C421] the model folder nowhere does not exist",
        "[C421] the model folder file is a file, not a folder",
        "[C421] the folder empty has no tokenizer: expected one of tokenizer.json, vocab.json, "
        "tokenizer.model, spiece.model, vocab.txt; found nothing\n"
        "  help: save it beside the model: tokenizer.save_pretrained(folder)",
        "[C421] the folder weights has no tokenizer: expected one of tokenizer.json, vocab.json, "
        "tokenizer.model, spiece.model, vocab.txt; found config.json\n"
        "  help: save it beside the model: tokenizer.save_pretrained(folder)",
    ]


@pytest.mark.parametrize("name", ["./models/mine", "../mine", "~/mine", "/mine", "a/b/c"])
def test_what_looks_like_a_folder_is_never_asked_of_the_hub(name: str, no_network: None) -> None:
    assert message_of(name).startswith("[C421]")


def test_files_cut_short(saved: Path) -> None:
    file = saved / "tokenizer.json"
    file.write_text(file.read_text()[:100])
    assert message_of(saved, saved).startswith("[C422] tokenizer.json is damaged: ")


def test_files_of_something_else(saved: Path) -> None:
    (saved / "tokenizer.json").write_text("[]")
    assert message_of(saved, saved) == (
        "[C422] tokenizer.json is damaged: expected a JSON object, found a list\n  help: copy the file again"
    )


def test_a_tokenizer_of_the_wrong_shape(saved: Path) -> None:
    (saved / "tokenizer.json").write_text(json.dumps({"version": "1.0", "model": {"type": "Wrong"}}))
    assert message_of(saved, saved.parent).startswith("[C422] the tokenizer in model cannot be loaded: ")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("model_max_length", "x", "model_max_length must be a number; found 'x'"),
        ("model_max_length", [], "model_max_length must be a number; found []"),
        ("unk_token", "", "unk_token is empty"),
        ("pad_token", "\ud800", "surrogates not allowed"),
        ("pad_token", 5, "pad_token has to be either str or AddedToken"),
    ],
)
def test_settings_that_no_tokenizer_has(saved: Path, key: str, value: Any, said: str) -> None:
    """Found when it is loaded, not when it is used; the reason is one that can be printed."""
    path = saved / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    message = message_of(saved)
    assert message.startswith("[C422]")
    assert said in message
    assert message.isascii()


def test_every_cut_of_every_file_gives_a_coded_error_or_a_tokenizer(saved: Path, tmp_path: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        whole = (saved / name).read_bytes()
        for cut in range(0, len(whole), len(whole) // 6):
            folder = tmp_path / f"{name}-{cut}"
            shutil.copytree(saved, folder)
            (folder / name).write_bytes(whole[:cut])
            with refused(ModelError, "C422"):
                load_tokenizer(folder)


# The hub


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A hub at a port of this machine where nobody listens."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    load.hub_reached.cache_clear()


def test_a_hub_out_of_reach_is_said_at_once(unreachable: None) -> None:
    start = time.monotonic()
    assert message_of("some-one/no-such-model-at-all", revision="main") == (
        "[C423] the Hugging Face hub cannot be reached, and the tokenizer of some-one/no-such-model-at-all "
        "at main has not been downloaded\n"
        "  help: connect to the network and try again, or give a local folder"
    )
    assert time.monotonic() - start < 10
    load.hub_reached.cache_clear()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            "GatedRepoError",
            "[C424] some/model is gated: it is available only to users who accepted its terms",
        ),
        ("RevisionNotFoundError", "[C424] some/model has no revision v9"),
        ("RepositoryNotFoundError", "[C424] the hub has no model some/model, or it is private"),
        ("HfHubHTTPError", "[C424] the tokenizer of some/model at v9 cannot be loaded: the hub said so"),
    ],
)
def test_what_the_hub_says(monkeypatch: pytest.MonkeyPatch, error: str, message: str) -> None:
    import httpx
    from huggingface_hub import errors

    response = httpx.Response(403, request=httpx.Request("GET", "https://hub"))

    def refuse(*arguments: Any, **options: Any) -> Any:
        try:
            raise getattr(errors, error)("the hub said so", response=response)
        except errors.HfHubHTTPError as cause:
            raise OSError("the hub said so\nand more") from cause

    monkeypatch.setattr(load, "hub_reached", lambda: True)
    monkeypatch.setattr(load, "_load", refuse)
    assert message_of("some/model", revision="v9").startswith(message)
