"""Loading takes all that a folder says and nothing from elsewhere, and calls what is wrong by its name."""

from __future__ import annotations

import errno
import json
import shutil
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.engine.folders import change_config, not_loaded, saved
from tests.engine.peak import peak_bytes
from tests.engine.tiny import contrast, tiny_gpt2, tiny_llama
from tests.refused import refused
from torch import Tensor
from transformers import GPT2LMHeadModel, LlamaForCausalLM

from nncirc import check_text
from nncirc.circuits.errors import ModelError, NncircError
from nncirc.circuits.models import model_folder
from nncirc.engine.data import gguf_file
from nncirc.engine.methods.acdc import acdc
from nncirc.engine.methods.weight_circuits import copying_scores
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.model import loading
from nncirc.engine.model.loading import load_bundled, load_compiled, load_huggingface
from nncirc.engine.model.model import Model
from nncirc.engine.program import stored
from nncirc.engine.program.plan import plan_program

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"


@pytest.fixture
def gpt2(tmp_path: Path) -> Path:
    return saved(tiny_gpt2(dtype=torch.float32).module, tmp_path / "gpt2")


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    biased = tiny_llama(dtype=torch.float32, attention_bias=True, mlp_bias=True)
    return saved(biased.module, tmp_path / "llama")


def added(folder: Path, **tensors: Tensor) -> None:
    """More tensors in a folder's file; `__` stands for a dot."""
    found = load_file(folder / SINGLE)
    found |= {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    save_file(found, folder / SINGLE, metadata={"format": "pt"})


def logits(model: Model) -> Tensor:
    return model.logits_of(model.module(input_ids=torch.tensor([[5, 9, 11, 3]])))


# Which files are loaded ------------------------------------------------------------------------------------


@pytest.fixture
def two(gpt2: Path) -> Path:
    """A folder with two whole checkpoints, `a` and `b`, and an index that lists `a`."""
    tensors = load_file(gpt2 / SINGLE)
    save_file(tensors, gpt2 / "a.safetensors", metadata={"format": "pt"})
    save_file({k: v * 1.5 for k, v in tensors.items()}, gpt2 / "b.safetensors", metadata={"format": "pt"})
    (gpt2 / SINGLE).unlink()
    listed(gpt2, "a.safetensors")
    return gpt2


def listed(folder: Path, file: str) -> None:
    names = load_file(folder / "a.safetensors")
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": dict.fromkeys(names, file)}))


def test_what_an_index_lists_is_what_is_hashed(two: Path) -> None:
    first = load_huggingface(two)
    listed(two, "b.safetensors")
    second = load_huggingface(two)
    assert not torch.allclose(logits(first), logits(second))
    assert first.made["weights_sha256"] != second.made["weights_sha256"]
    assert stored.identity(first) != stored.identity(second)
    # Files that are not loaded make no difference.
    (two / "a.safetensors").rename(two / "c.safetensors")
    assert stored.identity(load_huggingface(two)) == stored.identity(second)


def test_one_file_goes_before_an_index(two: Path) -> None:
    """As transformers has it; and its hash is that of the file."""
    shutil.copy(two / "b.safetensors", two / SINGLE)
    found = load_huggingface(two)
    listed(two, "b.safetensors")
    (two / SINGLE).unlink()
    again = load_huggingface(two)
    assert torch.equal(logits(found), logits(again))
    assert found.made["weights_sha256"] == again.made["weights_sha256"]


@pytest.mark.parametrize(
    "place", ["../outside.safetensors", "sub/a.safetensors", "{}/outside.safetensors", ""]
)
def test_an_index_stays_in_its_folder(two: Path, place: str) -> None:
    shutil.copy(two / "a.safetensors", two.parent / "outside.safetensors")
    (two / "sub").mkdir()
    shutil.copy(two / "a.safetensors", two / "sub" / "a.safetensors")
    listed(two, place.format(two.parent))
    not_loaded(two, "C403", "is not in the folder")


@pytest.mark.parametrize(
    "content", ["{}", '{"weight_map": {}}', '{"weight_map": [1]}', '{"weight_map": {"a": 3}}']
)
def test_an_index_that_lists_nothing(two: Path, content: str) -> None:
    (two / INDEX).write_text(content)
    not_loaded(two, "C403")
    (two / INDEX).write_text("[")
    not_loaded(two, "C422")


def test_other_files_are_no_model(two: Path) -> None:
    (two / INDEX).unlink()
    not_loaded(two, "C402", "has no model.safetensors")


def test_a_weight_is_there_once(two: Path) -> None:
    """Of two files that both hold it, the one that is read last would win, whatever the index says of it."""
    names = sorted(load_file(two / "a.safetensors"))
    where = {name: f"{'ab'[i % 2]}.safetensors" for i, name in enumerate(names)}
    (two / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": where}))
    not_loaded(two, "C403", "contain one weight twice", "of a.safetensors and as")


def test_a_weight_is_there_under_one_name(gpt2: Path) -> None:
    """Files of the model without its head have names without `transformer.`, which are read too."""
    before, tensors = logits(load_huggingface(gpt2)), load_file(gpt2 / SINGLE)
    bare = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
    save_file(bare, gpt2 / SINGLE, metadata={"format": "pt"})
    assert torch.equal(logits(load_huggingface(gpt2)), before)
    doubled = {name: 2 * tensor for name, tensor in bare.items()}
    save_file({**tensors, **doubled}, gpt2 / SINGLE, metadata={"format": "pt"})
    not_loaded(gpt2, "C403", "contain one weight twice")


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.uint8, torch.bool])
def test_weights_are_fractions(gpt2: Path, dtype: torch.dtype) -> None:
    """As whole numbers quantized weights are saved, whose scale is elsewhere."""
    name = "transformer.h.0.attn.c_attn.weight"
    tensors = load_file(gpt2 / SINGLE)
    save_file({**tensors, name: tensors[name].to(dtype)}, gpt2 / SINGLE, metadata={"format": "pt"})
    not_loaded(gpt2, "C404", f"for {name}")


def test_a_folder_in_a_files_place(gpt2: Path) -> None:
    (gpt2 / "x.safetensors").mkdir()
    assert load_huggingface(gpt2).made["weights_sha256"]
    (gpt2 / SINGLE).unlink()
    (gpt2 / SINGLE).mkdir()
    with pytest.raises(ModelError, match=r"\[C40[23]\]"):
        load_huggingface(gpt2)


def test_an_adapter_beside_the_weights_is_not_left_out(gpt2: Path) -> None:
    (gpt2 / "adapter_config.json").write_text("{}")
    not_loaded(gpt2, "C402", "adapter")


def test_a_config_names_no_other_files(gpt2: Path) -> None:
    """`transformers_weights` would load another file than the one that is hashed."""
    tensors = {name: 2 * tensor for name, tensor in load_file(gpt2 / SINGLE).items()}
    save_file(tensors, gpt2 / "other.safetensors", metadata={"format": "pt"})
    before = logits(load_huggingface(gpt2))
    change_config(gpt2, transformers_weights="other.safetensors")
    assert torch.equal(logits(load_huggingface(gpt2)), before)


# Weights that nothing uses ---------------------------------------------------------------------------------


def test_weights_without_a_place_are_named(gpt2: Path, llama: Path) -> None:
    assert load_huggingface(gpt2).made["guards"]
    assert load_huggingface(llama).made["guards"]
    change_config(gpt2, n_layer=1)
    assert "transformer.h.1." in surplus(gpt2)
    change_config(gpt2, n_layer=2)
    added(gpt2, lm_head__bias=torch.ones(50))
    assert "does not use the weights lm_head.bias" in surplus(gpt2)
    for key in ("attention_bias", "mlp_bias"):
        change_config(llama, **{key: False})
        assert "_proj.bias" in surplus(llama)
        change_config(llama, **{key: True})
    added(llama, model__layers__0__self_attn__q_norm__weight=torch.ones(4))
    assert "q_norm" in surplus(llama)


def surplus(folder: Path) -> str:
    return not_loaded(folder, "C429").message


def test_constants_of_older_versions_are_no_weights(gpt2: Path, llama: Path) -> None:
    before = logits(load_huggingface(gpt2))
    mask = torch.ones(1, 1, 16, 16).tril()
    added(gpt2, transformer__h__0__attn__bias=mask, transformer__h__0__attn__masked_bias=torch.tensor(-1e4))
    assert torch.equal(logits(load_huggingface(gpt2)), before)
    added(llama, model__layers__0__self_attn__rotary_emb__inv_freq=torch.ones(2))
    assert load_huggingface(llama).made["guards"]


def test_a_tied_embedding_that_was_saved_twice(gpt2: Path) -> None:
    before = logits(load_huggingface(gpt2))
    added(gpt2, lm_head__weight=load_file(gpt2 / SINGLE)["transformer.wte.weight"].clone())
    assert torch.equal(logits(load_huggingface(gpt2)), before)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A compiled program, which comes with the package."""
    folder = tmp_path / "program"
    shutil.copytree(model_folder("tracr-reverse"), folder)
    return folder


def test_compiled_programs_too(program: Path) -> None:
    assert load_compiled(program).made["guards"]
    added(program, layers__9__W_Q=torch.ones(2, 2))
    not_loaded(program, "C429", "layers.9.W_Q", load=load_compiled)


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.bool])
def test_weights_of_programs_are_fractions(program: Path, dtype: torch.dtype) -> None:
    added(program, layers__0__b_O=load_file(program / SINGLE)["layers.0.b_O"].to(dtype))
    name = str(dtype).removeprefix("torch.")
    not_loaded(program, "C404", f"{name} for layers.0.b_O", load=load_compiled)


# What is wrong has its own name ----------------------------------------------------------------------------


class _WrappedError(OSError):
    """As libraries wrap what went wrong."""


@pytest.mark.parametrize(
    "cause",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
        RuntimeError("can't start new thread"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        OSError(errno.EAGAIN, "Resource temporarily unavailable"),
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("where", ["model", "tokenizer"])
def test_a_shortage_is_no_damage(
    gpt2: Path, monkeypatch: pytest.MonkeyPatch, cause: Exception, wrapped: bool, where: str
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        if wrapped:
            raise _WrappedError("it cannot be loaded") from cause
        raise cause

    if where == "model":
        monkeypatch.setattr(GPT2LMHeadModel, "from_pretrained", fail)
    else:
        monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", fail)
    not_loaded(gpt2, "C701")


def test_what_does_not_fit_is_not_begun(gpt2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights, in the dtype that is asked for, beside the memory that is free."""
    size = sum(weight.numel() for weight in tiny_gpt2().module.parameters())
    monkeypatch.setattr(loading, "free_memory", lambda device: 4 * size)
    assert load_huggingface(gpt2).made["guards"]
    monkeypatch.setattr(GPT2LMHeadModel, "from_pretrained", None)
    not_loaded(gpt2, "C701", "of memory is free", dtype="float64")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_are_in_memory_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: Any) -> None:
    """As they are in the file they are mapped from it; in another dtype they are copied once.

    What guards need, some of it a block in float64, is small beside many blocks.
    """
    monkeypatch.setenv("HF_DEACTIVATE_ASYNC_LOAD", "1")  # only this thread's memory is recorded
    module = tiny_gpt2(layers=8, d_head=16, n_positions=30_000, dtype=torch.float32).module
    folder = saved(module, tmp_path / "model")
    found: list[Model] = []
    most = peak_bytes(lambda: found.append(load_huggingface(folder, dtype=dtype)))
    size = sum(weight.nbytes for weight in found[0].module.parameters())
    mapped = 0 if dtype == "float32" else (folder / SINGLE).stat().st_size
    assert 0.99 * size < most - mapped < 1.15 * size


def test_a_family_with_only_the_slow_attention_loads(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = logits(load_huggingface(llama))
    monkeypatch.setattr(LlamaForCausalLM, "_supports_sdpa", False)
    model = load_huggingface(llama)
    assert model.module.config._attn_implementation == "eager"
    torch.testing.assert_close(logits(model), before)


def test_attention_is_computed_as_it_is_asked_for(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results say how, and are kept apart."""
    usual, fused, plain = (
        load_huggingface(llama, attn_implementation=each) for each in (None, "sdpa", "eager")
    )
    assert [each.made["attn_implementation"] for each in (usual, fused, plain)] == ["sdpa", "sdpa", "eager"]
    assert plain.module.model.layers[0].self_attn.config._attn_implementation == "eager"
    assert stored.identity(usual) == stored.identity(fused) != stored.identity(plain)
    torch.testing.assert_close(logits(fused), logits(plain))
    monkeypatch.setattr(LlamaForCausalLM, "_supports_sdpa", False)
    not_loaded(llama, "C439", "llama have no sdpa", attn_implementation="sdpa")


def installed(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr(gguf_file, "find_spec", lambda name: name if name in names else None)


@pytest.mark.parametrize(
    ("options", "packages", "missing"),
    [
        ({"device_map": "auto"}, [], "accelerate"),
        ({"quantize": 4}, ["accelerate"], "bitsandbytes"),
        ({"quantize": 4}, [], "accelerate bitsandbytes"),
    ],
)
def test_packages_that_options_need(
    llama: Path, monkeypatch: pytest.MonkeyPatch, options: Any, packages: list[str], missing: str
) -> None:
    installed(monkeypatch, *packages)
    assert not_loaded(llama, "C438", "needs the package", **options).hint == f"pip install {missing}"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"quantize": 8}, "round what they read"),
        ({"quantize": 4, "dtype": "float64"}, "not in float64"),
        ({"id": "x.gguf", "device_map": "auto"}, "without device_map and quantize"),
    ],
)
def test_options_that_are_refused(
    llama: Path, monkeypatch: pytest.MonkeyPatch, options: Any, words: str
) -> None:
    installed(monkeypatch, "accelerate", "bitsandbytes", "gguf")
    with refused(ModelError, "C439", words):
        load_huggingface(**{"id": llama, **options})


def test_what_is_handed_on(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To transformers; what it gives is looked at: which device the weights are on, and how many."""
    load, told = LlamaForCausalLM.from_pretrained, []

    def planted(*arguments: Any, **options: Any) -> Any:
        told.append({key: options.pop(key, None) for key in ("device_map", "quantization_config")})
        return load(*arguments, **options)

    installed(monkeypatch, "accelerate", "bitsandbytes")
    monkeypatch.setattr(LlamaForCausalLM, "from_pretrained", planted)
    monkeypatch.setattr("transformers.BitsAndBytesConfig", lambda **options: options)
    usual = load_huggingface(llama)
    mapped = load_huggingface(llama, device_map="auto")
    bits = load_huggingface(llama, quantize=4)
    assert told[0] == {"device_map": None, "quantization_config": None}
    assert told[1] == {"device_map": "auto", "quantization_config": None}
    assert told[2]["device_map"] == {"": "cpu"}
    assert told[2]["quantization_config"] == {
        "load_in_4bit": True,
        "bnb_4bit_compute_dtype": torch.float32,
        "llm_int8_skip_modules": ["down_proj", "lm_head", "o_proj"],
    }
    assert bits.made["quantize"] == 4 and mapped.made["device"] == "cpu"
    assert stored.identity(usual) == stored.identity(mapped) != stored.identity(bits)
    monkeypatch.setattr(loading, "_only_device", spread(loading._only_device))
    not_loaded(llama, "C439", "on several devices: cpu, meta", device_map="auto")


def spread(check: Any) -> Any:
    """As if the first weight were elsewhere."""

    def elsewhere(module: Any, name: str) -> Any:
        weights = [torch.empty(1, device="meta"), *module.parameters()]
        return check(SimpleNamespace(parameters=lambda: weights), name)

    return elsewhere


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_of_four_bits(llama: Path, dtype: Any) -> None:
    """What is fast is its definition; what needs matrices is refused."""
    pytest.importorskip("accelerate")
    pytest.importorskip("bitsandbytes")
    model = load_huggingface(llama, dtype=dtype, quantize=4)
    attention = model.module.model.layers[0].self_attn
    assert not attention.q_proj.weight.is_floating_point() and attention.o_proj.weight.is_floating_point()
    assert not model.slow and not model.linear
    about, graph = contrast(model, size=2), model.graph()
    fast, slow = (
        acdc(about, graph, Metric("logit_diff"), threshold=0.02, sequential=each) for each in (False, True)
    )
    assert fast.edges == slow.edges
    assert 0 < len(fast) < graph.n_edges
    with refused(ModelError, "C439", "quantized weights"):
        copying_scores(model)


@pytest.mark.parametrize(
    ("key", "code", "words"),
    [
        ("attn_implementation = flash_attention_2", "C203", "knows no float64"),
        ("quantize = 8", "C439", "write `quantize = 4`"),
    ],
)
def test_a_script_is_refused_with_the_reason(key: str, code: str, words: str) -> None:
    found = check_text(f'model m using huggingface {{\n  id = "gpt2"\n  {key}\n}}\n{USED}')
    (problem,) = found.diagnostics
    assert problem.code == code
    assert words in str(problem.help)


RIGHT: list[dict[str, Any]] = [
    {"return_dict": False},
    {"output_hidden_states": "x"},
    {"output_hidden_states": True},
    {"output_attentions": True},
    {"use_cache": True},
]
"""What a config may say, and what says nothing of the model."""

LINEAR = {"rope_type": "linear", "rope_theta": 10.0, "factor": 2.0}
WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"is_causal": 1}, "C430", "is_causal = 1; expected true or false"),
    ({"head_dim": "x"}, "C430", "head_dim"),
    ({"max_position_embeddings": 0}, "C430", "max_position_embeddings = 0"),
    ({"num_key_value_heads": 0}, "C430", "num_key_value_heads = 0"),
    ({"num_hidden_layers": "x"}, "C430", "num_hidden_layers"),
    ({"hidden_act": "x"}, "C430", "KeyError: 'x'"),
    ({"use_cache": "x"}, "C430", "use_cache"),
    ({"dtype": "x"}, "C430", "'x'"),
    ({"pad_token_id": 99_999}, "C430", ""),
    ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}}, "C430", "quantized"),
    ({"rope_parameters": {**LINEAR, "partial_rotary_factor": 0.5}}, "C430", "a plain run fails"),
]


@pytest.mark.parametrize("said", RIGHT, ids=str)
def test_what_a_config_says_of_how_to_run(gpt2: Path, llama: Path, said: dict[str, Any]) -> None:
    for folder in (gpt2, llama):
        before = logits(load_huggingface(folder))
        change_config(folder, **said)
        found = load_huggingface(folder)
        assert torch.equal(logits(found), before)


@pytest.mark.parametrize(("said", "code", "message"), WRONG, ids=str)
def test_what_no_config_can_say(llama: Path, said: dict[str, Any], code: str, message: str) -> None:
    change_config(llama, **said)
    error = not_loaded(llama, code, message)
    assert "\n" not in error.message
    assert "copy its files again" not in str(error.hint)


def test_gpt2s_config_has_no_width_of_heads(gpt2: Path) -> None:
    change_config(gpt2, head_dim="x")
    not_loaded(gpt2, "C430")


@pytest.mark.parametrize(
    "device", ["meta", "hpu", "privateuseone", "mps", "xpu", "abacus", "", "cpu\0", "\ud800"]
)
def test_devices_that_do_not_compute(device: str) -> None:
    """`mps` has no float64, in which metrics are computed; `meta` computes nothing."""
    not_loaded("induction-2l", "C406", load=load_bundled, device=device)


@pytest.mark.parametrize("name", ["x" * 300, "a/" + "x" * 300, "./" + "x" * 300, "x" * 3000 + "/y", "a\0b"])
def test_names_that_no_model_can_have(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nncirc.engine.data.load.hub_reached", lambda: False)
    with pytest.raises(ModelError, match=r"\[C4(02|23)\]"):
        load_huggingface(name)
    not_loaded(name, "C402", load=load_compiled)
    found = check_text(f"model m using huggingface {{\n  id = {json.dumps(name)}\n}}\n{USED}")
    if found.program is not None:
        # A plan asks no hub, and says that it knows nothing; it may refuse, and does nothing else.
        with suppress(NncircError):
            assert plan_program(found.program).notes


USED = """
graph g using residual {
  model = m
}
circuit c using reference {
  graph = g
  embed -> logits
}
"""
