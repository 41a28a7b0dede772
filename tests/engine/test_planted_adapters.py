"""Adapters with one fault each, of those that people make: a guard stops it, or fast paths are not taken.

Every fault would give plausible numbers. The table says which guard stops which.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
import torch
from tests.engine.every import module_of
from tests.engine.tiny import contrast
from tests.refused import refused
from torch import Tensor

from nncirc.circuits.errors import ModelError
from nncirc.circuits.families import family_of
from nncirc.circuits.families.family import Family, Keys, Unit, Units, by_group, in_four_parts, side_by_side
from nncirc.circuits.names import END
from nncirc.engine.methods.acdc import acdc
from nncirc.engine.methods.activation_patching import activation_patching
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.model import guards
from nncirc.engine.model.layer import Attention, attention_of
from nncirc.engine.model.model import HeadWeights, Model

Change = Any
"""A value of a field, or what makes one of the right entry."""


class Fault(NamedTuple):
    """A wrong entry, and the error that it comes to.

    Attributes:
        of: the model.
        changes: fields of its entry.
        code: of the guard that stops it.
        words: of the message.
        config: of the model, where it is not as in the table of families.
    """

    of: str
    changes: dict[str, Change]
    code: str
    words: str = "in layer 0"
    config: dict[str, Any] | None = None


METRIC = Metric("logit_diff", (END,))
EVERY_HEAD = {"num_key_value_heads": 4}
SQUARE = {"intermediate_size": 32}


def q_k_v(*order: str) -> Units:
    return side_by_side(*(f"self_attn.{each}_proj" for each in order))


def exchanged(one: str, another: str) -> Callable[[Family], Units]:
    """The layout of an entry, with two kinds of units exchanged."""
    names = {one: another, another: one}

    def units(family: Family) -> Units:
        def layout(n: Any) -> list[Unit]:
            found = [unit._replace(kind=names.get(unit.kind, unit.kind)) for unit in family.units.layout(n)]
            return sorted(found, key=lambda unit: "qkv".index(unit.kind))

        return Units(family.units.chains, layout)

    return units


FAULTS: dict[str, Fault] = {
    "queries for keys": Fault(
        "llama", {"units": q_k_v("k", "q", "v")}, "C427", "self_attn.q_proj (`units`)", EVERY_HEAD
    ),
    "keys for values": Fault("llama", {"units": q_k_v("q", "v", "k")}, "C427", "self_attn.k_proj (`units`)"),
    "queries for keys, fused": Fault("gpt2", {"units": exchanged("q", "k")}, "C437"),
    "keys for values, fused": Fault("phi3", {"units": exchanged("k", "v")}, "C437"),
    "queries for keys, by group": Fault("gpt_neox", {"units": exchanged("q", "k")}, "C437"),
    "keys for values, by group": Fault("falcon 40B", {"units": exchanged("k", "v")}, "C437"),
    "keys for values, latent": Fault("deepseek_v3", {"units": exchanged("k", "v")}, "C437"),
    "keys for values, in four parts": Fault("codegen", {"units": exchanged("k", "v")}, "C437"),
    "by group, told side by side": Fault(
        "gpt_neox", {"units": side_by_side("attention.query_key_value")}, "C437"
    ),
    "groups, told side by side": Fault(
        "falcon 40B", {"units": side_by_side("self_attention.query_key_value")}, "C437"
    ),
    "side by side, told by group": Fault("gpt2", {"units": by_group("attn.c_attn")}, "C437"),
    "in four parts, told side by side": Fault("codegen", {"units": side_by_side("attn.qkv_proj")}, "C437"),
    "side by side, told in four parts": Fault("gpt2", {"units": in_four_parts("attn.c_attn")}, "C437"),
    "a norm of all queries left out": Fault("olmo2", {"units": q_k_v("q", "k", "v")}, "C437"),
    "no attention norm": Fault("llama", {"attention_norm": None}, "C416"),
    "the attention norm is the MLP's": Fault(
        "gpt_neox", {"attention_norm": "post_attention_layernorm"}, "C416"
    ),
    "the MLP's norm is attention's": Fault("gpt_neox", {"mlp_norm": "input_layernorm"}, "C416"),
    "the MLP's norm is attention's, in sequence": Fault(
        "llama", {"mlp_norm": "input_layernorm"}, "C427", "(`attention_norm`, `mlp_norm`)"
    ),
    "no MLP norm": Fault("llama", {"mlp_norm": None}, "C414"),
    "the final norm is a block's": Fault(
        "llama", {"final_norm": "model.layers.1.post_attention_layernorm"}, "C427", "`final_norm`"
    ),
    "no norm after attention": Fault("gemma2", {"after_attention": None}, "C414"),
    "no norm after the MLP": Fault("gemma3_text", {"after_mlp": None}, "C414"),
    "norms after, told before": Fault(
        "olmo2",
        {
            "attention_norm": "post_attention_layernorm",
            "mlp_norm": "post_feedforward_layernorm",
            "after_attention": None,
            "after_mlp": None,
        },
        "C427",
        "(`mlp`)",
    ),
    "no residual scale": Fault("granite", {"residual_scale": 1.0}, "C414"),
    "another residual scale": Fault("granite", {"residual_scale": 0.5 + 1e-6}, "C414"),
    "a residual scale where there is none": Fault("llama", {"residual_scale": 0.999}, "C414"),
    "parallel, told in sequence": Fault("gpt_neox", {"parallel": False}, "C414"),
    "in sequence, told parallel": Fault("gpt_neox in sequence", {"parallel": True}, "C416"),
    "parallel with one norm, told in sequence": Fault("falcon 7B", {"parallel": False}, "C414"),
    "in sequence with ALiBi, told parallel": Fault("falcon with ALiBi", {"parallel": True}, "C416"),
    "no position offset": Fault("opt", {"position_offset": 0}, "C420", "`pos_embed`"),
    "a position offset": Fault("gpt2", {"position_offset": 1}, "C420", "`pos_embed`"),
    "tokens for positions": Fault("gpt2", {"pos_embed": "transformer.wte"}, "C420", "`pos_embed`"),
    "the output projection is the MLP's": Fault(
        "llama", {"output": "mlp.down_proj"}, "C427", "(`mlp_norm`)", SQUARE
    ),
    "the output projection makes values": Fault(
        "llama", {"output": "self_attn.v_proj"}, "C427", "(`output`, `units`)", EVERY_HEAD
    ),
    "neurons before the activation": Fault("llama", {"mlp_output": "mlp.up_proj"}, "C425", config=SQUARE),
    "neurons of attention": Fault("gpt2", {"mlp_output": "attn.c_proj"}, "C427", "(`output`, `mlp_output`)"),
    "neurons of another activation": Fault("gpt2", {"activation": "mlp.c_fc"}, "C425"),
    "no gate": Fault("llama", {"gated": None}, "C425"),
    "a gate that is half of it": Fault("llama", {"gated": "mlp.up_proj"}, "C425"),
    "a gate where there is none": Fault("gpt2", {"gated": "mlp.c_proj"}, "C425"),
    "an MLP that adds the residual stream": Fault("bloom", {"mlp_writes": None}, "C414"),
    "an MLP that writes its activations": Fault(
        "llama", {"mlp_writes": "mlp.act_fn"}, "C427", "`mlp_writes`"
    ),
    "as many groups as heads": Fault(
        "llama", {"keys": Keys(kv_heads="num_attention_heads")}, "C412", "self_attn.k_proj has width 16"
    ),
    "one group": Fault("phi3", {"keys": Keys(kv_heads=1)}, "C412", "qkv_proj has width 64"),
    "layers for heads": Fault("llama", {"keys": Keys(heads="num_hidden_layers")}, "C412", "2 heads"),
    "heads for layers": Fault("llama", {"keys": Keys("num_attention_heads")}, "C412", "2 layers"),
    "the width for neurons": Fault("llama", {"keys": Keys(d_mlp="hidden_size")}, "C412", "64 neurons"),
    "Linear for Conv1D": Fault("gpt2", {"transposed": True}, "C415"),
    "Conv1D for Linear": Fault("llama", {"transposed": False}, "C415"),
    "tied embeddings for the unembedding": Fault(
        "llama", {"unembed": "model.embed_tokens"}, "C427", "`unembed`"
    ),
}


def wrong(fault: Fault, dtype: torch.dtype = torch.float64) -> Model:
    module = module_of(fault.of, **(fault.config or {})).to(dtype)
    family = family_of(module.config.model_type, module.config.to_dict())
    changes = {name: made(family) if callable(made) else made for name, made in fault.changes.items()}
    model = Model(module, name=fault.of)
    model.__dict__["family"] = replace(family, **changes)
    return model


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_is_stopped(fault: Fault) -> None:
    with pytest.raises(ModelError) as caught:
        guards.check(wrong(fault))
    error = caught.value
    assert error.code == fault.code, error
    assert fault.words in f"{error.message}; {error.hint}", error
    if "does not match its adapter" in error.message and fault.code != "C412":
        assert any(f"`{field}`" in str(error.hint) for field in fault.changes), error.hint


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["another residual scale", "keys for values, fused", "no position offset"])
def test_a_fault_is_stopped_in_every_dtype(name: str, dtype: torch.dtype) -> None:
    with refused(ModelError, FAULTS[name].code):
        guards.check(wrong(FAULTS[name], dtype))


# What no entry says, and is read from the model's own attention --------------------------------------------


def wider(mask: Tensor | None) -> Tensor | None:
    """A window of one token more."""
    return None if mask is None else mask | mask.roll(-1, dims=-1) & torch.ones_like(mask).tril()


READ: dict[str, tuple[str, Callable[[Attention], Attention]]] = {
    "no window": ("mistral", lambda read: replace(read, mask=None)),
    "a window of one more": ("mistral", lambda read: replace(read, mask=wider(read.mask))),
    "no soft cap": ("gemma2", lambda read: replace(read, softcap=None)),
    "another soft cap": ("gemma2", lambda read: replace(read, softcap=5.005)),
    "no rotation": ("llama", lambda read: replace(read, rotary=None)),
    "half of the rotation": ("phi", lambda read: replace(read, rotary=half(read.rotary))),
    "the other rotation": ("glm", lambda read: replace(read, interleaved=False)),
    "no norms of queries and keys": ("qwen3", lambda read: replace(read, norms=None)),
    "the key's norm for queries": (
        "qwen3",
        lambda read: replace(read, norms=read.norms and read.norms[::-1]),
    ),
    "the usual scale": ("granite", lambda read: replace(read, scaling=8**-0.5)),
    "another scale": ("gpt2", lambda read: replace(read, scaling=1.001 * read.scaling)),
    "tokens that come later": ("gpt2", lambda read: replace(read, causal=False)),
}


def half(rotary: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
    assert rotary is not None
    cos, sin = rotary
    return cos[:, : cos.shape[-1] // 2], sin[:, : sin.shape[-1] // 2]


@pytest.mark.parametrize(("of", "change"), READ.values(), ids=READ)
def test_heads_that_attend_otherwise_are_not_computed_alone(
    of: str, change: Callable[[Attention], Attention], monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(model: Model, length: int) -> tuple[Attention, ...]:
        return tuple(map(change, attention_of(model, length)))

    monkeypatch.setattr(guards, "attention_of", changed)
    _, slow = guards.check(Model(module_of(of), name=of))
    assert slow.keys() == {"attention"}
    assert "in layer" in slow["attention"]


@pytest.mark.parametrize("of", ["granite", "cohere", "gemma2"])
def test_logits_that_are_made_otherwise_are_not_computed_alone(of: str) -> None:
    model = Model(module_of(of), name=of)
    model.__dict__["logits"] = lambda made: made
    _, slow = guards.check(model)
    assert slow.keys() == {"logits"}


@pytest.mark.parametrize("bias", ["query_bias", "key_bias", "value_bias"])
def test_a_bias_that_is_left_out_is_seen(bias: str) -> None:
    model = Model(module_of("qwen2"), name="qwen2")
    weights = model.head_weights

    def without(layer: int) -> HeadWeights:
        given: Any = {bias: None}
        return replace(weights(layer), **given)

    model.__dict__["head_weights"] = without
    with refused(ModelError, "C416", "in layer 0: expected that queries, keys and values"):
        guards.check(model)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("path", ["self_attn.o_proj", "mlp.gate_proj"])
def test_what_looks_at_the_stream_past_its_norm_is_seen(path: str, dtype: torch.dtype) -> None:
    """A gate of heads or neurons that the residual stream opens, by so little that rounding hides it."""
    module = module_of("llama").to(dtype)
    stream: list[Tensor] = []
    block = module.model.layers[1]
    block.input_layernorm.register_forward_pre_hook(lambda _, inputs: stream.append(inputs[0]))

    def gated(_: Any, inputs: tuple[Tensor, ...]) -> Tensor:
        return inputs[0] * (1 + 1e-3 * stream[-1].mean(-1, keepdim=True)[: len(inputs[0])])

    block.get_submodule(path).register_forward_pre_hook(gated)
    with refused(ModelError, "C417", "in layer 1: expected that heads depend on"):
        guards.check(Model(module, name="llama"))


def test_what_is_slow_is_as_defined() -> None:
    """With the other rotation for single heads, all that is found is found by running the whole model."""
    module = module_of("cohere")
    right, told = Model(module, name="cohere"), Model(module, name="cohere")
    told.__dict__["family"] = family = replace(right.family, interleaved=not right.family.interleaved)
    _, slow = guards.check(told)
    assert slow
    model = Model(module, name="cohere", guard=guards.Reach.of(told, slow))
    model.__dict__["family"] = family
    found, defined = (contrast(each, size=1, lengths=(6,)) for each in (model, right))
    graph = right.graph()
    by_definition = acdc(defined, graph, METRIC, threshold=0.02, sequential=True)
    assert acdc(found, graph, METRIC, threshold=0.02).edges == by_definition.edges
    patched = [activation_patching(about, graph, METRIC, direction="noise") for about in (found, defined)]
    for node in graph.senders:
        assert patched[0].value(node) == pytest.approx(patched[1].value(node), abs=1e-4), node
