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
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaDecoderLayer

from nncirc.circuits import families
from nncirc.circuits.families.family import Family
from nncirc.circuits.families.table import LLAMA
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
    window: int = 0


class PlantedAttention(LlamaAttention):
    """Attention with a window that it makes by itself."""

    def forward(  # type: ignore[override]
        self, hidden_states: Any, position_embeddings: Any, attention_mask: Any = None, **options: Any
    ) -> Any:
        if window := self.config.window:
            at = torch.arange(hidden_states.shape[1])
            back = at[:, None] - at
            attention_mask = ((back >= 0) & (back < window))[None, None]
        return super().forward(hidden_states, position_embeddings, attention_mask, **options)


class PlantedLayer(LlamaDecoderLayer):  # type: ignore[no-untyped-call]
    """A Llama's block that multiplies what it adds to the residual stream."""

    def __init__(self, config: Any, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        self.self_attn = PlantedAttention(config, layer_idx)
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

    def __init__(self, name: str, family: Family) -> None:
        self.name, self.family = name, family

    def load(self) -> Family:
        return self.family


@pytest.fixture(autouse=True)
def _added(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    AutoConfig.register("planted", PlantedConfig, exist_ok=True)
    AutoModelForCausalLM.register(PlantedConfig, Planted, exist_ok=True)
    added = [Entry("planted", LLAMA)]
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
        ({"bent": True}, "C428"),
    ],
)
def test_a_change_is_seen_in_every_dtype(
    tmp_path: Path, dtype: DType, huge: bool, change: dict[str, Any], code: str
) -> None:
    """Also beside an activation of 3,000, of which rounding alone is more than what the change makes."""
    not_loaded(planted(tmp_path, huge=huge, **change), code, dtype=dtype)


@IN_EVERY_DTYPE
@pytest.mark.parametrize(
    "change", [{"logit_factor": 0.5}, {"logit_factor": 0.999}, {"soft_cap": 5.0}, {"soft_cap": 500.0}]
)
def test_logits_that_are_made_otherwise_are_the_models_own(
    tmp_path: Path, dtype: DType, huge: bool, change: dict[str, Any]
) -> None:
    """They are right, but none can be computed by itself."""
    model = load_huggingface(planted(tmp_path, huge=huge, **change), dtype=dtype)
    assert not model.alone
    assert weights_are(model, dtype)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("window", [2, 7, 8, 16, 32, 50, None])
def test_single_heads_see_as_far_as_the_layer(tmp_path: Path, dtype: DType, window: int | None) -> None:
    random(MistralForCausalLM(MistralConfig(**SIZES, sliding_window=window)), tmp_path)
    model = load_huggingface(tmp_path, dtype=dtype)
    Contrast(model, random_prompts(size=2, lengths=(6, 64)), Zero())
    assert model.alone
    assert weights_are(model, dtype)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_window_of_its_own_is_seen_when_a_prompt_is_longer(tmp_path: Path, dtype: DType) -> None:
    model = load_huggingface(planted(tmp_path, window=50), dtype=dtype)

    def run(length: int) -> bool:
        Contrast(model, random_prompts(size=2, lengths=(6, length)), Zero())
        return model.alone

    assert run(50)
    assert not run(51)
    assert weights_are(model, dtype)


def weights_are(model: Model, dtype: DType) -> bool:
    """Whether every weight is of this dtype again after blocks were in float64."""
    return all(weight.dtype == DTYPES[dtype] for weight in model.module.parameters())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "change",
    [
        {"logits_scaling": 2.0},
        {"residual_multiplier": 0.99},
        {},
        {"embedding_multiplier": 12.0},
        {"attention_multiplier": 0.3},
    ],
)
def test_granite_passes_with_its_factors(tmp_path: Path, dtype: DType, change: dict[str, Any]) -> None:
    plain = {"logits_scaling": 1.0, "residual_multiplier": 1.0, "attention_multiplier": 0.5}
    random(GraniteForCausalLM(GraniteConfig(**SIZES, **{**plain, **change})), tmp_path)
    assert load_huggingface(tmp_path, dtype=dtype).alone


def test_an_adapter_that_names_what_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = [Entry("planted", replace(LLAMA, mlp_norm="ln_2"))]
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
