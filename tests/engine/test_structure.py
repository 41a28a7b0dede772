"""Models of types that no adapter is for: taken apart by structure where all guards pass, else refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.engine.every import ALONE, module_of
from tests.engine.folders import change_config, not_loaded, saved
from tests.engine.tiny import contrast
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
)

from nncirc.circuits.names import END
from nncirc.dsl.check.checker import check_text
from nncirc.engine.methods.acdc import acdc
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.model.loading import load_huggingface
from nncirc.engine.model.structure import candidates
from nncirc.engine.program.captions import told

METRIC = Metric("logit_diff", (END,))


class OwnLlamaConfig(LlamaConfig):  # type: ignore[no-untyped-call]
    """A Llama under another name."""

    model_type = "own_llama"


class OwnGPT2Config(GPT2Config):  # type: ignore[no-untyped-call]
    """A GPT-2 under another name."""

    model_type = "own_gpt2"


class OwnNeoXConfig(GPTNeoXConfig):  # type: ignore[no-untyped-call]
    """A GPT-NeoX under another name."""

    model_type = "own_gpt_neox"


class TwistedConfig(LlamaConfig):  # type: ignore[no-untyped-call]
    """A Llama that scales what its MLPs add."""

    model_type = "twisted"


class OwnLlamaForCausalLM(LlamaForCausalLM):  # type: ignore[no-untyped-call]
    """Its modules are where Llama's are."""

    config_class = OwnLlamaConfig


class OwnGPT2LMHeadModel(GPT2LMHeadModel):  # type: ignore[no-untyped-call]
    """Its modules are where GPT-2's are."""

    config_class = OwnGPT2Config


class OwnNeoXForCausalLM(GPTNeoXForCausalLM):  # type: ignore[no-untyped-call]
    """Its modules are where GPT-NeoX's are."""

    config_class = OwnNeoXConfig


class TwistedForCausalLM(LlamaForCausalLM):  # type: ignore[no-untyped-call]
    """A Llama whose MLPs add a tenth less."""

    config_class = TwistedConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        layers: Any = self.model.layers
        for layer in layers:
            layer.mlp.register_forward_hook(lambda *all_of_it: 0.9 * all_of_it[-1])


OWN: dict[str, tuple[Any, Any]] = {
    "llama": (OwnLlamaConfig, OwnLlamaForCausalLM),
    "gpt2": (OwnGPT2Config, OwnGPT2LMHeadModel),
    "gpt_neox": (OwnNeoXConfig, OwnNeoXForCausalLM),
}


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    for config, module in (*OWN.values(), (TwistedConfig, TwistedForCausalLM)):
        AutoConfig.register(config.model_type, config, exist_ok=True)
        AutoModelForCausalLM.register(config, module, exist_ok=True)
    yield


def whole(name: str) -> Any:
    """A module of which no weight is tied to another."""
    return module_of(name, tie_word_embeddings=False).float()


def renamed(name: str, folder: Path) -> Path:
    """A folder with the same weights under another type."""
    config, own = OWN[name]
    module = whole(name)
    said = {key: value for key, value in module.config.to_dict().items() if key != "model_type"}
    made = own(config(**said))
    made.load_state_dict(module.state_dict())
    return saved(made, folder)


@pytest.mark.parametrize("name", OWN)
def test_a_type_of_its_own_is_found_by_structure(name: str, tmp_path: Path) -> None:
    """With the circuit that is found under the name by which the adapter is known."""
    known = load_huggingface(saved(whole(name), tmp_path / "known"), dtype="float64")
    own = load_huggingface(renamed(name, tmp_path / "own"), dtype="float64")
    assert (own.made["family"], own.made["type"]) == (f"{own.entry} (by structure)", f"own_{name}")
    assert "family" not in known.made
    assert (own.shape, own.slow) == (known.shape, known.slow)
    assert own.family.parallel == known.family.parallel
    one, other = (
        acdc(contrast(m, size=1, lengths=(6,)), m.graph(), METRIC, threshold=0.02) for m in (known, own)
    )
    assert (one.scores, len(one) > 0) == (other.scores, True)
    assert f"parts found by structure, as in {own.entry}" in told(other.made)


def test_the_guards_alone_decide(tmp_path: Path) -> None:
    """The modules of a Llama are all there, and more entries than one name only such."""
    saved(module_of("llama").float(), tmp_path)
    change_config(tmp_path, model_type="twisted")
    assert {"llama", "cohere", "nemotron"} <= {*candidates(module_of("llama"))}
    said = "unsupported model type 'twisted': its modules are those of llama, but"
    error = not_loaded(tmp_path, "C411", said, "layer 0")
    for line in (
        'blocks="model.layers",',
        'final_norm="model.norm",',
        'units=side_by_side("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")',
        'output="self_attn.o_proj",',
        'mlp_norm="post_attention_layernorm",',
        'mlp_output="mlp.down_proj",',
        'gated="mlp.down_proj",',
    ):
        assert line in str(error.hint)


def test_the_checker_says_what_a_config_does(tmp_path: Path) -> None:
    text = f"model m using huggingface {{\n  id = {json.dumps(str(tmp_path))}\n}}\n"
    config = AutoConfig.for_model("llama", **ALONE["llama"])
    config.save_pretrained(tmp_path)
    change_config(tmp_path, model_type="own_llama")
    assert not check_text(text).diagnostics
    change_config(tmp_path, is_encoder_decoder=True)
    assert [each.code for each in check_text(text).diagnostics] == ["C411"]


def test_what_no_entry_fits_is_refused_before_its_weights_are_read(tmp_path: Path) -> None:
    config = AutoConfig.for_model(
        "biogpt", hidden_size=16, num_hidden_layers=1, num_attention_heads=2, vocab_size=50
    )
    make: Any = AutoModelForCausalLM.from_config
    saved(make(config, dtype=torch.float32), tmp_path)
    error = not_loaded(tmp_path, "C411", "unsupported model type 'biogpt': none of the known entries")
    assert 'blocks="biogpt.layers"' in str(error.hint)
