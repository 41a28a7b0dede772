"""Loading: good folders load and pass the guards; every kind of damage has its own code."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.engine.data.conftest import shared
from tests.engine.data.vocabulary import word_tokenizer
from tests.engine.folders import change_config, not_loaded, saved
from tests.engine.tiny import tiny_gpt2, tiny_llama

from nncirc.circuits.models import TRAINED, model_folder
from nncirc.engine.data import load as tokenizers
from nncirc.engine.model import guards
from nncirc.engine.model.loading import DTYPES, load_bundled, load_huggingface

Spoil = Callable[[Path], None]


@pytest.fixture(params=[tiny_gpt2, tiny_llama])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A saved model with its tokenizer, in float32."""
    return saved(request.param(dtype=torch.float32).module, tmp_path / "model")


def weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("dtype", list(DTYPES))
def test_a_good_folder(folder: Path, dtype: Any) -> None:
    model = load_huggingface(folder, dtype=dtype)
    assert model.dtype == DTYPES[dtype]
    assert not model.module.training
    assert not any(weight.requires_grad for weight in model.module.parameters())
    assert model.tokenizer is not None
    assert model.tokenizer.get_vocab() == word_tokenizer().get_vocab()
    assert model.made["dtype"] == dtype
    assert model.made["device"] == "cpu"
    assert model.made["id"] == str(folder)
    assert len(model.made["guards"]) == len(guards.GUARDS)
    assert len(model.made["weights_sha256"]) == 64
    json.dumps(model.made)
    if dtype == "float32":
        tokens = torch.tensor([[1, 2, 3]])
        stored = load_file(folder / "model.safetensors")
        for name, weight in model.module.named_parameters():
            if name in stored:
                assert torch.equal(weight, stored[name]), name
        assert model.module(input_ids=tokens).logits.shape == (1, 3, 50)


def test_the_hash_is_of_the_weights(folder: Path) -> None:
    def add_one(tensors: dict[str, torch.Tensor]) -> None:
        next(iter(tensors.values())).add_(1)

    before = load_huggingface(folder).made["weights_sha256"]
    assert load_huggingface(folder).made["weights_sha256"] == before
    weights(folder, add_one)
    assert load_huggingface(folder).made["weights_sha256"] != before


def test_a_tokenizer_of_its_own(folder: Path, tmp_path: Path) -> None:
    other: Any = word_tokenizer(words=("a", "b"))
    other.save_pretrained(tmp_path / "other")
    model = load_huggingface(folder, tokenizer=str(tmp_path / "other"))
    assert len(model.tokenizer.get_vocab()) == 5


def truncate(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"")


def garbage(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\x00" * 1000)


def missing(folder: Path) -> None:
    def drop(tensors: dict[str, torch.Tensor]) -> None:
        del tensors[next(name for name in sorted(tensors) if ".mlp." in name)]

    weights(folder, drop)


def not_finite(value: float) -> Spoil:
    def spoil(folder: Path) -> None:
        def put(tensors: dict[str, torch.Tensor]) -> None:
            name = next(name for name in sorted(tensors) if ".mlp." in name)
            tensors[name].flatten()[3] = value

        weights(folder, put)

    return spoil


def misshapen(folder: Path) -> None:
    def cut(tensors: dict[str, torch.Tensor]) -> None:
        name = next(name for name in sorted(tensors) if ".mlp." in name and tensors[name].ndim == 2)
        tensors[name] = tensors[name][:, :-1].contiguous()

    weights(folder, cut)


def only_bin(folder: Path) -> None:
    """A pickle that would write a file if it were read."""

    class Bomb:
        def __reduce__(self) -> Any:
            return (Path.touch, (folder / "exploded",))

    (folder / "model.safetensors").unlink()
    torch.save({"weight": Bomb()}, folder / "pytorch_model.bin")


def rename(file: str) -> Spoil:
    return lambda folder: (folder / file).unlink()


def write(file: str, text: str) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / file).write_text(text)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "code", "says"),
    [
        (rename("config.json"), "C402", "has no config.json"),
        (rename("model.safetensors"), "C402", r"has no \*.safetensors"),
        (only_bin, "C402", r"has no \*.safetensors"),
        (write("config.json", '{"model_type": '), "C422", "config.json is damaged"),
        (write("config.json", "[]"), "C422", "config.json is damaged"),
        (write("config.json", "{}"), "C411", "unsupported model type"),
        (lambda folder: change_config(folder, model_type="rwkv"), "C411", "unsupported model type 'rwkv'"),
        (truncate, "C403", "cannot be loaded"),
        (empty, "C403", "cannot be loaded"),
        (garbage, "C403", "cannot be loaded"),
        (missing, "C404", "lack .*mlp"),
        (misshapen, "C404", "wrong shape for .*mlp"),
        (not_finite(torch.nan), "C405", "not finite, first in .*mlp"),
        (not_finite(torch.inf), "C405", "not finite, first in .*mlp"),
        (rename("tokenizer.json"), "C421", "has no tokenizer"),
        (write("tokenizer.json", '{"version": "1.0", "model"'), "C422", "tokenizer.json is damaged"),
        (write("tokenizer.json", '{"version": "1.0"}'), "C422", "cannot be loaded"),
    ],
)
def test_damaged_folders(folder: Path, spoil: Spoil, code: str, says: str) -> None:
    spoil(folder)
    error = not_loaded(folder, code)
    assert re.search(says, error.message), error.message
    assert "\n" not in error.message
    assert not (folder / "exploded").exists()


def test_a_pickle_beside_the_weights_is_not_read(folder: Path) -> None:
    keep = (folder / "model.safetensors").read_bytes()
    only_bin(folder)
    (folder / "model.safetensors").write_bytes(keep)
    load_huggingface(folder)
    assert not (folder / "exploded").exists()


def test_a_config_that_does_not_belong(folder: Path) -> None:
    """More layers than there are weights; fewer heads for keys than the weights have."""
    layers = "n_layer" if '"n_layer"' in (folder / "config.json").read_text() else "num_hidden_layers"
    change_config(folder, **{layers: 3})
    not_loaded(folder, "C404", "more")


def test_a_guard_speaks_when_the_model_is_loaded(tmp_path: Path) -> None:
    folder = saved(tiny_gpt2(dtype=torch.float32).module, tmp_path / "model")
    change_config(folder, attention_only=True)
    not_loaded(folder, "C418")


def test_no_such_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "nowhere", tmp_path / "file", "./no/such/folder"):
        not_loaded(place, "C402")
    for device in ("cuda:99", "abacus"):
        not_loaded(tmp_path / "nowhere", "C406", device=device)


def test_the_hub_out_of_reach(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    tokenizers.hub_reached.cache_clear()
    try:
        for revision in (None, "v1"):
            name = "some-one/no-such-model-at-all"
            not_loaded(name, "C423", f"model {name}", revision=revision)
    finally:
        tokenizers.hub_reached.cache_clear()


def test_gpt2s_own_tokenizer_on_a_narrow_gpt2(tmp_path: Path) -> None:
    tokens = shared("gpt2-tokenizer")
    model = tiny_gpt2(dtype=torch.float32, vocab_size=50_257, n_positions=32)
    model.module.save_pretrained(tmp_path / "model")
    loaded = load_huggingface(tmp_path / "model", tokenizer=str(tokens))
    ids = loaded.tokenizer("When Mary and John went to the store").input_ids
    assert len(ids) == 8
    torch.testing.assert_close(
        loaded.module(input_ids=torch.tensor([ids])).logits,
        model.module(input_ids=torch.tensor([ids])).logits,
    )


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_bundled_models(name: str, dtype: Any) -> None:
    if not (model_folder(name) / "model.safetensors").exists():
        pytest.skip(f"needs the weights of {name}")
    model = load_bundled(name, dtype=dtype)
    assert model.name == name
    assert model.made["id"] == name
    assert model.shape.n_layers == model.module.config.n_layer


def test_no_such_bundled_model() -> None:
    not_loaded("induction", "C401", load=load_bundled)
