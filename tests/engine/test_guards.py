"""Guards: every one fails on a model made wrong for it, and good models pass in every dtype."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from tests.engine.oracle import blocks
from tests.engine.tiny import Case, cases, tiny_gpt2, tiny_llama
from tests.refused import refused
from torch import Tensor, nn

from nncirc.circuits.errors import ModelError
from nncirc.circuits.families import family_of
from nncirc.circuits.families.table import FAMILIES, LLAMA
from nncirc.engine.model import guards
from nncirc.engine.model.model import Model

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


def code_of(model: Model) -> str:
    with pytest.raises(ModelError) as caught:
        guards.check(model)
    return caught.value.code


@settings(max_examples=15)
@given(cases(exact=None))
def test_good_models_pass(case: Case) -> None:
    found, slow = guards.check(case.model())
    assert not slow
    assert len(found) == len(guards.GUARDS)
    assert max(found.values()) < 1e-6


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layers", [1, 8])
def test_good_models_pass_in_every_dtype_with_room(dtype: torch.dtype, layers: int) -> None:
    """The largest error stays well within what is allowed."""
    allowed = min(2000 * torch.finfo(dtype).eps, 0.1)
    for seed in range(3):
        for make in (tiny_gpt2, tiny_llama):
            assert max(guards.check(make(layers=layers, seed=seed, dtype=dtype))[0].values()) < allowed / 3
        only = tiny_gpt2(layers=layers, seed=seed, dtype=dtype, attention_only=True)
        assert max(guards.check(only)[0].values()) < allowed / 3


@pytest.mark.parametrize(
    ("make", "config"),
    [
        (tiny_gpt2, {"scale_attn_by_inverse_layer_idx": True}),
        (tiny_gpt2, {"scale_attn_weights": False}),
        (tiny_gpt2, {"activation_function": "relu"}),
        (tiny_gpt2, {"attn_implementation": "eager"}),
        (tiny_gpt2, {"tie_word_embeddings": False}),
        (tiny_llama, {"attention_bias": True, "mlp_bias": True}),
        (tiny_llama, {"head_dim": 6}),
        (tiny_llama, {"rope_parameters": {"rope_type": "linear", "rope_theta": 100.0, "factor": 4.0}}),
        (tiny_llama, {"attn_implementation": "eager"}),
        (tiny_llama, {"tie_word_embeddings": True}),
    ],
)
def test_variants_pass(make: Callable[..., Model], config: dict[str, Any]) -> None:
    guards.check(make(layers=3, **config))


# Models made wrong ---------------------------------------------------------------------------------------


def changed(module: nn.Module, change: Callable[[Any], Any]) -> None:
    """Let a module compute something else; a hook would come after those of nnsight."""
    kind: Any = type(module)

    def forward(self: Any, *arguments: Any, **options: Any) -> Any:
        return change(kind.forward(self, *arguments, **options))

    module.__class__ = type(kind.__name__, (kind,), {"forward": forward})


def scale(out: Any) -> Any:
    return out * 1.5 if isinstance(out, Tensor) else (out[0] * 1.5, *out[1:])


def attention_of(model: Model) -> Any:
    first = blocks(model.module)[0]
    return first.attn if model.module.config.model_type == "gpt2" else first.self_attn


def scaled_block(model: Model) -> None:
    """As a residual stream with weights."""
    changed(blocks(model.module)[0], scale)


def scaled_between(model: Model) -> None:
    """What the second block reads is not what the first wrote."""
    blocks(model.module)[1].register_forward_pre_hook(
        lambda module, inputs, options: ((inputs[0] * 1.5, *inputs[1:]), options), with_kwargs=True
    )


def scaled_attention(model: Model) -> None:
    """A norm or a factor behind the attention, as Gemma has it."""
    changed(attention_of(model), scale)


def scaled_output(model: Model) -> None:
    """An output projection that is no plain matrix."""
    attention = attention_of(model)
    changed(attention.c_proj if model.module.config.model_type == "gpt2" else attention.o_proj, scale)


def scaled_query(model: Model) -> None:
    """A projection that is no plain matrix, as with a norm of the queries."""
    attention = attention_of(model)
    changed(attention.c_attn if model.module.config.model_type == "gpt2" else attention.q_proj, scale)


def side_channel(model: Model) -> None:
    """An MLP that sees the tokens past the residual stream, as with embeddings for each layer."""
    seen: list[Tensor] = []
    model.module.get_input_embeddings().register_forward_hook(lambda module, inputs, out: seen.append(out))
    changed(
        blocks(model.module)[0].mlp, lambda out: out + 20 * seen[-1].repeat(len(out) // len(seen[-1]), 1, 1)
    )


def other_block(model: Model) -> None:
    """An MLP that reads what an earlier block's attention wrote, as with values that layers share."""
    seen: list[Tensor] = []

    def keep(out: Any) -> Any:
        seen.append(out[0])
        return out

    changed(attention_of(model), keep)
    changed(
        blocks(model.module)[1].mlp, lambda out: out + seen[-1].repeat(-(-len(out) // len(seen[-1])), 1, 1)
    )


def scaled_unembedding(model: Model) -> None:
    """An unembedding that is no plain matrix."""
    changed(model.module.lm_head, scale)


def scaling(model: Model) -> None:
    """Scores multiplied by something other than the attention says."""
    attention = attention_of(model)
    kept = attention.scaling

    def swap(to: float) -> Callable[..., None]:
        return lambda *ignored: setattr(attention, "scaling", to)

    attention.register_forward_pre_hook(swap(3 * kept))
    attention.register_forward_hook(swap(kept))


@pytest.mark.parametrize("make", [tiny_gpt2, tiny_llama])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (scaled_block, "C414"),
        (scaled_between, "C415"),
        (scaled_attention, "C414"),
        (scaled_output, "C415"),
        (scaled_query, "C416"),
        (side_channel, "C417"),
        (other_block, "C417"),
    ],
)
def test_wrong_models_fail(
    make: Callable[..., Model], dtype: torch.dtype, wrong: Callable[[Model], None], code: str
) -> None:
    model = make(dtype=dtype)
    wrong(model)
    assert code_of(model) == code


@pytest.mark.parametrize("make", [tiny_gpt2, tiny_llama])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("other", "part"), [(scaled_unembedding, "logits"), (scaling, "attention")])
def test_what_cannot_be_computed_by_itself_is_known(
    make: Callable[..., Model], dtype: torch.dtype, other: Callable[[Model], None], part: str
) -> None:
    model = make(dtype=dtype)
    other(model)
    _, slow = guards.check(model)
    assert slow.keys() == {part}


def test_an_mlp_that_writes_in_a_model_said_to_have_none() -> None:
    model = tiny_gpt2()
    model.module.config.attention_only = True
    assert code_of(model) == "C418"
    quiet = tiny_gpt2(attention_only=True)
    quiet.module.transformer.h[1].mlp.c_proj.bias += 1e-3
    assert code_of(quiet) == "C418"


def test_positions_that_do_not_begin_with_the_first_row() -> None:
    model = tiny_gpt2()
    changed(model.module.transformer.wpe, lambda out: out.roll(1, dims=-2))
    assert code_of(model) == "C420"


def test_heads_that_the_config_miscounts() -> None:
    model = tiny_llama(heads=4, kv_heads=2)
    model.module.config.num_key_value_heads = 4
    assert code_of(model) == "C412"
    model = tiny_llama(heads=4, kv_heads=2)
    model.module.config.head_dim = 8
    assert code_of(model) in ("C412", "C413")
    # As many numbers in all, so only the heads that a query moves can tell.
    model = tiny_gpt2(heads=2, d_head=8)
    model.module.config.n_head = 4
    assert code_of(model) == "C437"


def test_an_output_projection_that_is_another_module() -> None:
    model = tiny_gpt2()
    model.__dict__["family"] = replace(family_of("gpt2"), output="mlp.c_proj")
    assert code_of(model) in ("C413", "C427")


def test_neurons_that_are_not_those_of_the_mlp() -> None:
    model = tiny_gpt2()
    # It is reached before the MLP, which no part of one is.
    model.__dict__["family"] = replace(family_of("gpt2"), mlp_output="attn.c_proj")
    assert code_of(model) == "C427"
    for make in (tiny_gpt2, tiny_llama):
        model = make()
        mlp = blocks(model.module)[1].mlp
        changed(mlp.c_proj if make is tiny_gpt2 else mlp.down_proj, scale)
        assert code_of(model) == "C425"


def test_a_gate_that_the_adapter_does_not_name() -> None:
    """RelP would share between activation and gate what is one factor's alone."""
    model = tiny_llama()
    model.__dict__["family"] = replace(LLAMA, gated=None)
    assert code_of(model) == "C425"


def test_a_type_without_an_adapter() -> None:
    model = Model(tiny_gpt2().module)
    model.module.config.model_type = "rwkv"
    assert code_of(model) == "C411"
    with refused(ModelError, "C411"):
        family_of("rwkv")
    assert set(FAMILIES) >= {"gpt2", "llama"}
