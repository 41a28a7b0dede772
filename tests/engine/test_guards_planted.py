"""Models of other families, added as a package adds them, that differ from their adapter in one thing each.

All are loaded from folders. Each would give plausible numbers that are wrong, and each is stopped by a guard.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.engine.folders import not_loaded, saved
from tests.engine.tiny import VOCABULARY, random_prompts
from tests.refused import refused
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from nncirc.circuits import families
from nncirc.circuits.errors import ModelError
from nncirc.circuits.families.family import Family
from nncirc.engine.model.loading import DTYPES, DType, load_huggingface
from nncirc.engine.model.model import Model
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import Zero

SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": None,
    "eos_token_id": None,
}
HUGE = 3000.0


class PlantedConfig(LlamaConfig):  # type: ignore[no-untyped-call]
    """A Llama of which one thing can be changed."""

    model_type = "planted"
    attention_factor: float = 1.0
    mlp_factor: float = 1.0
    soft_cap: float = 0.0
    logit_factor: float = 1.0
    bent: bool = False


class PlantedLayer(LlamaDecoderLayer):  # type: ignore[no-untyped-call]
    """A Llama's block that multiplies what it adds to the residual stream."""

    def __init__(self, config: Any, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        self.factors = config.attention_factor, config.mlp_factor

    def forward(self, hidden_states: Any, *rest: Any, **options: Any) -> Any:
        attention, mlp = self.factors
        written = self.self_attn(self.input_layernorm(hidden_states), *rest, **options)[0]
        hidden_states = hidden_states + (written if attention == 1 else attention * written)
        written = self.mlp(self.post_attention_layernorm(hidden_states))
        return hidden_states + (written if mlp == 1 else mlp * written)


class Planted(LlamaForCausalLM):  # type: ignore[no-untyped-call]
    """The whole model; what comes after the unembedding can be changed."""

    config_class = PlantedConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        layers = range(config.num_hidden_layers)
        self.model.layers = torch.nn.ModuleList(PlantedLayer(config, i) for i in layers)
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(self, *arguments: Any, **options: Any) -> Any:
        output: Any = super().forward(*arguments, **options)
        if self.config.logit_factor != 1:
            output.logits = output.logits * self.config.logit_factor
        if cap := self.config.soft_cap:
            output.logits = cap * torch.tanh(output.logits / cap)
        if self.config.bent:
            # Of one token of the vocabulary only.
            output.logits[..., 7] = -torch.inf
        return output


class Entry:
    """What an installed package says in the group `nncirc.families`."""

    def __init__(self, family: Family) -> None:
        self.name, self.family = family.model_type, family

    def load(self) -> Family:
        return self.family


@pytest.fixture(autouse=True)
def _added(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    AutoConfig.register("planted", PlantedConfig, exist_ok=True)
    AutoModelForCausalLM.register(PlantedConfig, Planted, exist_ok=True)
    llama = families.ours()["llama"]
    added = [Entry(replace(llama, model_type=kind)) for kind in ("planted", "mistral", "granite")]
    monkeypatch.setattr(families, "entry_points", lambda group: added if group == "nncirc.families" else [])
    families.families.cache_clear()
    yield
    families.families.cache_clear()


def random(module: Any, folder: Path, *, huge: bool = False) -> Path:
    """A folder with random weights; `huge`: one activation of 3,000 in the stream of every token."""
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in module.parameters():
            scale = 0.5 if weight.ndim == 1 else 1.5 * weight.shape[-1] ** -0.5
            weight.copy_(torch.randn(weight.shape, generator=draw) * scale + (weight.ndim == 1))
        if huge:
            module.get_input_embeddings().weight[:, 3] = HUGE
    return saved(module, folder)


def planted(folder: Path, *, huge: bool = False, **changes: Any) -> Path:
    return random(Planted(PlantedConfig(**SIZES, **changes)), folder, huge=huge)


IN_EVERY_DTYPE = pytest.mark.parametrize(
    ("dtype", "huge"), [("float64", False), ("float32", True), ("bfloat16", True), ("float16", False)]
)


@IN_EVERY_DTYPE
def test_without_a_change_the_model_loads(tmp_path: Path, dtype: DType, huge: bool) -> None:
    assert load_huggingface(planted(tmp_path, huge=huge), dtype=dtype).made["guards"]


@IN_EVERY_DTYPE
@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"attention_factor": 0.5}, "C414"),
        ({"attention_factor": 0.99}, "C414"),
        ({"attention_factor": 0.9999}, "C414"),
        ({"mlp_factor": 0.99}, "C414"),
        ({"logit_factor": 0.5}, "C426"),
        ({"logit_factor": 0.999}, "C426"),
        ({"soft_cap": 5.0}, "C426"),
        ({"soft_cap": 500.0}, "C426"),
        ({"bent": True}, "C426"),
    ],
)
def test_a_change_is_seen_in_every_dtype(
    tmp_path: Path, dtype: DType, huge: bool, change: dict[str, Any], code: str
) -> None:
    """Also beside an activation of 3,000, of which rounding alone is more than what the change makes."""
    not_loaded(planted(tmp_path, huge=huge, **change), code, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("window", [2, 7, 8, 16, 32])
def test_a_window_is_seen_when_the_model_is_loaded(tmp_path: Path, dtype: DType, window: int) -> None:
    random(MistralForCausalLM(MistralConfig(**SIZES, sliding_window=window)), tmp_path)
    not_loaded(tmp_path, "C419", dtype=dtype)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_wider_window_is_seen_when_a_prompt_is_longer(tmp_path: Path, dtype: DType) -> None:
    random(MistralForCausalLM(MistralConfig(**SIZES, sliding_window=50)), tmp_path)
    model = load_huggingface(tmp_path, dtype=dtype)

    def run(length: int) -> Contrast:
        return Contrast(model, random_prompts(size=2, lengths=(6, length)), Zero())

    run(50)
    with refused(ModelError, "C419", "in prompts of 51 tokens", hint="use at most 50 tokens"):
        run(51)
    run(50)
    assert weights_are(model, dtype)


def test_without_a_window_long_prompts_pass(tmp_path: Path) -> None:
    random(MistralForCausalLM(MistralConfig(**SIZES, sliding_window=None)), tmp_path)
    model = load_huggingface(tmp_path)
    Contrast(model, random_prompts(size=2, lengths=(6, 64)), Zero())
    assert weights_are(model, "float32")


def weights_are(model: Model, dtype: DType) -> bool:
    """Whether every weight is of this dtype again after blocks were in float64."""
    return all(weight.dtype == DTYPES[dtype] for weight in model.module.parameters())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"logits_scaling": 2.0}, "C426"),
        ({"residual_multiplier": 0.99}, "C414"),
        ({}, None),
        ({"embedding_multiplier": 12.0}, None),
        ({"attention_multiplier": 0.3}, None),
    ],
)
def test_granite_passes_only_without_its_factors(
    tmp_path: Path, dtype: DType, change: dict[str, Any], code: str | None
) -> None:
    """A factor of the embedding or of attention scores is the model's own business."""
    plain = {"logits_scaling": 1.0, "residual_multiplier": 1.0, "attention_multiplier": 0.5}
    random(GraniteForCausalLM(GraniteConfig(**SIZES, **{**plain, **change})), tmp_path)
    if code is None:
        assert load_huggingface(tmp_path, dtype=dtype).made["guards"]
    else:
        not_loaded(tmp_path, code, dtype=dtype)


def test_an_adapter_that_names_what_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = [Entry(replace(families.ours()["llama"], model_type="planted", mlp_norm="ln_2"))]
    monkeypatch.setattr(families, "entry_points", lambda group: wrong)
    families.families.cache_clear()
    not_loaded(planted(tmp_path), "C427", "it has no module model.layers.0.ln_2")


def test_a_run_that_overflows_is_not_the_familys_fault(tmp_path: Path) -> None:
    """Finite weights whose product is beyond float16; in bfloat16 the same model loads."""
    module = Planted(PlantedConfig(**SIZES))
    random(module, tmp_path)
    with torch.no_grad():
        blocks: Any = module.model.layers
        for block in blocks:
            block.mlp.down_proj.weight.mul_(60_000)
    module.save_pretrained(tmp_path)
    not_loaded(tmp_path, "C428", dtype="float16")
    assert load_huggingface(tmp_path, dtype="bfloat16").made["guards"]
