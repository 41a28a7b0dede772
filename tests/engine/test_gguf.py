"""Models in one `.gguf` file: what is in it is loaded, all of it, and nothing from elsewhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tests.engine.folders import not_loaded
from tests.engine.tiny import tiny_llama
from tests.some import some
from torch import Tensor

from nncirc.circuits.errors import ModelError
from nncirc.engine.data import gguf_file
from nncirc.engine.data.load import load_tokenizer
from nncirc.engine.model.loading import load_huggingface
from nncirc.engine.model.model import Model
from nncirc.engine.program import stored
from nncirc.engine.program.captions import told

TOKENS = ["<unk>", "<s>", "</s>", "\u0120", *map(chr, range(97, 123)), "ab", "\u0120ab", *map(str, range(18))]
"""Those of words of `ab`; \u0120 is the space of byte-level vocabularies."""


@pytest.fixture
def gguf() -> Any:
    pytest.importorskip("accelerate")
    return pytest.importorskip("gguf")


def write(gguf: Any, file: Path, model: Model, *, quantized: str | None = None, **more: Any) -> Path:
    """A Llama as llama.cpp has it: entries of queries and keys that a rotation turns stand side by side.

    Args:
        gguf: the package.
        file: where.
        model: what is written.
        quantized: the type of its matrices.
        more: further settings; tensors among them.
    """
    module = model.module
    config, shape = module.config, model.shape
    writer = gguf.GGUFWriter(str(file), "llama")
    for name, value in {
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "block_count": shape.n_layers,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": shape.n_heads,
        "attention.head_count_kv": shape.n_kv_heads,
        "attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        "rope.freq_base": config.rope_parameters["rope_theta"],
        "rope.dimension_count": model.d_head,
        "vocab_size": config.vocab_size,
        **{
            name.replace("__", "."): value
            for name, value in more.items()
            if not isinstance(value, np.ndarray)
        },
    }.items():
        (writer.add_float32 if isinstance(value, float) else writer.add_uint32)(f"llama.{name}", value)
    writer.add_name("tiny")
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    writer.add_token_types([3, 3, 3, *[1] * (len(TOKENS) - 3)])
    writer.add_token_merges(["a b", "\u0120 ab"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, shape.n_layers)
    for key, tensor in module.state_dict().items():
        values: Any = tensor.float().numpy()
        for path, heads in (("q_proj", shape.n_heads), ("k_proj", shape.n_kv_heads)):
            if path in key:
                values = values.reshape(heads, 2, -1, values.shape[-1]).swapaxes(1, 2).reshape(values.shape)
        values, kind = np.ascontiguousarray(values), None
        if quantized is not None and values.ndim == 2:
            kind = gguf.GGMLQuantizationType[quantized]
            values = gguf.quantize(values, kind)
        base, _, end = key.rpartition(".")
        writer.add_tensor(f"{names.get_name(base)}.{end}", values, raw_dtype=kind)
    for name, value in more.items():
        if isinstance(value, np.ndarray):
            writer.add_tensor(name.replace("__", "."), value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def llama() -> Model:
    return tiny_llama(dtype=torch.float32, d_head=8, tie_word_embeddings=False)


def logits(model: Model) -> Tensor:
    return model.logits_of(model.module(input_ids=torch.tensor([[5, 9, 11, 3]])))


def test_all_is_in_the_file(gguf: Any, tmp_path: Path) -> None:
    """Other files beside it are not read: an adapter, a tokenizer, a config."""
    model = llama()
    file = write(gguf, tmp_path / "tiny.gguf", model)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "adapter_config.json"):
        (tmp_path / name).write_text("{")
    found = load_huggingface(file)
    assert torch.equal(logits(found), logits(model))
    assert found.tokenizer("ab ab").input_ids == [TOKENS.index("ab"), TOKENS.index("\u0120ab")]
    assert load_tokenizer(file).get_vocab() == found.tokenizer.get_vocab()
    assert found.made["weights"] == ["F32"]
    assert len(found.made["weights_sha256"]) == 64
    assert found.made["guards"] and not found.slow
    json.dumps(found.made)
    assert len(stored.identity(found)) == 64


def test_quantized_weights_are_made_plain(gguf: Any, tmp_path: Path) -> None:
    """And results say what they were."""
    model = llama()
    found = load_huggingface(write(gguf, tmp_path / "tiny.gguf", model, quantized="Q8_0"), dtype="float64")
    assert found.made["weights"] == ["F32", "Q8_0"]
    assert found.dtype == torch.float64
    wanted = dict(model.module.named_parameters())
    for name, weight in some(found.module.named_parameters()):
        largest = float(wanted[name].abs().max())
        torch.testing.assert_close(weight.float(), wanted[name], rtol=0, atol=largest / 127)
    assert not torch.equal(logits(found).float(), logits(model))


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"weights": ["F16", "F32"]}, "float32"),
        ({"weights": ["F32", "Q4_K", "Q6_K"]}, "weights from Q4_K, Q6_K; float32"),
        ({"quantize": 4}, "weights of 4 bits; float32"),
    ],
)
def test_captions_say_what_weights_were(made: dict[str, Any], said: str) -> None:
    assert told({"model_made": made, "dtype": "float32"}) == said


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"rope__scaling__factor": 2.0}, "C440", "llama.rope.scaling.factor = 2.0"),
    ({"rope__dimension_count": 4}, "C4", ""),
    ({"attention__key_length": 16}, "C440", "llama.attention.key_length = 16"),
    ({"rope_freqs__weight": np.ones(4, dtype=np.float32)}, "C429", "rope_freqs.weight"),
]


@pytest.mark.parametrize(("more", "code", "words"), WRONG)
def test_what_is_not_taken_over_is_refused(
    gguf: Any, tmp_path: Path, more: dict[str, Any], code: str, words: str
) -> None:
    file = write(gguf, tmp_path / "tiny.gguf", llama(), **more)
    with pytest.raises(ModelError) as caught:
        load_huggingface(file)
    assert caught.value.code.startswith(code)
    assert words in caught.value.message


def cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-200])


def another(file: Path) -> None:
    file.write_bytes(b"PK\x03\x04")


@pytest.mark.parametrize(("spoil", "code"), [(cut_off, "C403"), (another, "C403"), (Path.unlink, "C402")])
def test_files_that_are_none(gguf: Any, tmp_path: Path, spoil: Callable[[Path], Any], code: str) -> None:
    file = write(gguf, tmp_path / "tiny.gguf", llama())
    spoil(file)
    assert str(tmp_path) in not_loaded(file, code).message


# Without the package ---------------------------------------------------------------------------------------


def test_a_package_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "tiny.gguf"
    file.write_bytes(b"GGUF and so on")
    monkeypatch.setattr(gguf_file, "find_spec", lambda name: None)
    loads: list[Any] = [load_huggingface, load_tokenizer]
    for load in loads:
        error = not_loaded(file, "C438", "tiny.gguf needs the packages gguf and accelerate", load=load)
        assert error.hint == "pip install gguf accelerate"
    not_loaded("no/such.gguf", "C402", "cannot be read")  # and it is not looked for on the hub
    not_loaded(tmp_path, "C402", "has no config.json")


SAID: list[tuple[str, Any, bool]] = [
    ("block_count", 2, True),
    ("block_count", 3, False),
    ("attention.head_count_kv", 2, True),
    ("attention.layer_norm_rms_epsilon", 9.999999974752427e-07, True),
    ("attention.layer_norm_rms_epsilon", 1e-5, False),
    ("attention.value_length", 8, True),
    ("rope.dimension_count", 4, False),
    ("rope.freq_base", 10_000.0, True),
    ("rope.freq_base", 500_000.0, False),
    ("rope.scaling.type", "none", True),
    ("rope.scaling.type", "yarn", False),
    ("attention.sliding_window", 4, False),
    ("something.else", 1, False),
]


@pytest.mark.parametrize(("setting", "value", "agrees"), SAID)
def test_settings_are_compared_one_by_one(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: Any, agrees: bool
) -> None:
    module = llama().module
    fields = {"general.architecture": "llama", "tokenizer.ggml.model": "gpt2", f"llama.{setting}": value}
    kept = [
        SimpleNamespace(name="a", n_elements=weight.numel(), tensor_type=SimpleNamespace(name="F16"))
        for weight in module.parameters()
    ]
    reader = SimpleNamespace(
        fields={name: SimpleNamespace(contents=lambda said=said: said) for name, said in fields.items()},
        tensors=kept,
    )
    monkeypatch.setitem(sys.modules, "gguf", SimpleNamespace(GGUFReader=lambda file: reader))
    if agrees:
        assert gguf_file.check_said(Path("x.gguf"), module.config, module) == ["F16"]
    else:
        with pytest.raises(ModelError, match=r"C440.*llama\."):
            gguf_file.check_said(Path("x.gguf"), module.config, module)
