"""Our own families by `model_type`; what is not said here is in `Family`'s defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from nncirc.circuits.errors import ModelError
from nncirc.circuits.families.family import (
    Config,
    Entry,
    Family,
    Keys,
    by_group,
    in_four_parts,
    latent,
    side_by_side,
)


def _qkv(attention: str) -> tuple[str, str, str]:
    return f"{attention}.q_proj", f"{attention}.k_proj", f"{attention}.v_proj"


LLAMA = Family(
    blocks="model.layers",
    final_norm="model.norm",
    attention_norm="input_layernorm",
    attention="self_attn",
    units=side_by_side(*_qkv("self_attn")),
    output="self_attn.o_proj",
    mlp_norm="post_attention_layernorm",
    mlp="mlp",
    activation="mlp.act_fn",
    gated="mlp.down_proj",
    mlp_output="mlp.down_proj",
)
UNGATED = replace(LLAMA, gated=None)
EXPERTS = replace(UNGATED, activation=None, mlp_output=None)
"""Mixtures of experts: an MLP is one node, whatever is inside."""

GPT2 = Family(
    blocks="transformer.h",
    final_norm="transformer.ln_f",
    pos_embed="transformer.wpe",
    attention_norm="ln_1",
    attention="attn",
    units=side_by_side("attn.c_attn"),
    output="attn.c_proj",
    mlp_norm="ln_2",
    mlp="mlp",
    activation="mlp.act",
    mlp_output="mlp.c_proj",
    keys=Keys("n_layer", "n_head", d_mlp="n_inner", width="n_embd"),
)
GPTJ = replace(
    GPT2,
    pos_embed=None,
    units=side_by_side(*_qkv("attn")),
    output="attn.out_proj",
    mlp_norm=None,
    parallel=True,
    mlp_output="mlp.fc_out",
    interleaved=True,
)
BLOOM = replace(
    GPT2,
    pos_embed=None,
    attention_norm="input_layernorm",
    attention="self_attention",
    units=by_group("self_attention.query_key_value"),
    output="self_attention.dense",
    mlp_norm="post_attention_layernorm",
    mlp_writes="mlp.dense_4h_to_h",
    activation="mlp.gelu_impl",
    mlp_output="mlp.dense_4h_to_h",
)

GEMMA2 = replace(
    LLAMA,
    mlp_norm="pre_feedforward_layernorm",
    after_attention="post_attention_layernorm",
    after_mlp="post_feedforward_layernorm",
)
OLMO2 = replace(
    GEMMA2,
    attention_norm=None,
    mlp_norm=None,
    units=side_by_side(
        ("self_attn.q_proj", "self_attn.q_norm"), ("self_attn.k_proj", "self_attn.k_norm"), "self_attn.v_proj"
    ),
)


def _one_norm(family: Family) -> Family:
    """Attention and MLP side by side, which read the residual stream through one norm."""
    return replace(family, parallel=True, mlp_norm=None)


def _gpt_bigcode(config: Config) -> Family:
    keys = replace(GPT2.keys, kv_heads=1) if config.get("multi_query", True) else GPT2.keys
    return replace(GPT2, transposed=True, keys=keys)


def _gpt_neox(config: Config) -> Family:
    return replace(
        BLOOM,
        blocks="gpt_neox.layers",
        final_norm="gpt_neox.final_layer_norm",
        attention="attention",
        units=by_group("attention.query_key_value"),
        output="attention.dense",
        mlp_writes=None,
        activation="mlp.act",
        parallel=config.get("use_parallel_residual", True),
        keys=Keys(),
    )


def _falcon(config: Config) -> Family:
    new = config.get("new_decoder_architecture", False)
    groups: str | int = "num_kv_heads"
    if not new:
        groups = 1 if config.get("multi_query", True) else "num_attention_heads"
    keys = Keys(kv_heads=groups, d_mlp="ffn_hidden_size", width="hidden_size")
    found = replace(BLOOM, mlp_writes=None, activation="mlp.act", keys=keys)
    if new and (config.get("num_ln_in_parallel_attn") or 2) == 2:
        return replace(found, parallel=True, attention_norm="ln_attn", mlp_norm="ln_mlp")
    return _one_norm(found) if new or config.get("parallel_attn", True) else found


def _stablelm(config: Config) -> Family:
    return _one_norm(LLAMA) if config.get("use_parallel_residual", False) else LLAMA


def _granite(config: Config) -> Family:
    return replace(LLAMA, residual_scale=float(config.get("residual_multiplier", 1.0)))


def _deepseek(config: Config) -> Family:
    query: tuple[str, ...] = ("self_attn.q_proj",)
    if config.get("q_lora_rank", 1536) is not None:
        query = ("self_attn.q_a_proj", "self_attn.q_a_layernorm", "self_attn.q_b_proj")
    return replace(EXPERTS, units=latent(config, *query), keys=Keys(kv_heads=1))


OPT = replace(
    LLAMA,
    blocks="model.decoder.layers",
    final_norm="model.decoder.final_layer_norm",
    pos_embed="model.decoder.embed_positions",
    position_offset=2,
    attention_norm="self_attn_layer_norm",
    output="self_attn.out_proj",
    mlp_norm="final_layer_norm",
    mlp="fc1",
    mlp_writes="fc2",
    activation="activation_fn",
    gated=None,
    mlp_output="fc2",
    keys=Keys(d_mlp="ffn_dim"),
)


def _opt(config: Config) -> Family:
    if not config.get("do_layer_norm_before", True):  # OPT-350m
        raise ModelError(
            "C411",
            "this OPT normalizes the residual stream after every sum, so heads and MLPs do not sum to it",
            hint="use another size of OPT: only OPT-350m is built like this",
        )
    return OPT


COMPILED = Family(
    blocks="blocks",
    final_norm="final_norm",
    unembed="unembed",
    pos_embed="pos_embed",
    attention_norm="attention_norm",
    attention="attention",
    units=side_by_side("attention.query", "attention.key", "attention.value"),
    output="attention.out",
    mlp_norm="mlp_norm",
    mlp="mlp",
    activation="mlp.activation",
    mlp_output="mlp.out",
    keys=Keys("n_layers", "n_heads", d_mlp="mlp_hidden_size"),
)
"""Ours (`engine.model.compiled`), whose configs are not transformers'."""


def _compiled(config: Config) -> Family:
    embedded = config.get("rotary_dim") is None
    parallel = bool(config.get("parallel"))
    return replace(COMPILED, parallel=parallel, pos_embed="pos_embed" if embedded else None)


FAMILIES: Mapping[str, Entry] = {
    "bloom": replace(BLOOM, keys=Keys("n_layer", "n_head", width="hidden_size")),
    "compiled": _compiled,
    "codegen": replace(GPTJ, units=in_four_parts("attn.qkv_proj")),
    "cohere": replace(_one_norm(LLAMA), interleaved=True),
    "cohere2": replace(_one_norm(LLAMA), interleaved=True),
    "deepseek_v2": _deepseek,
    "deepseek_v3": _deepseek,
    "falcon": _falcon,
    "gemma": LLAMA,
    "gemma2": GEMMA2,
    "gemma3_text": GEMMA2,
    "glm": replace(LLAMA, activation="mlp.activation_fn", interleaved=True),
    "glm4": replace(
        LLAMA,
        activation="mlp.activation_fn",
        interleaved=True,
        after_attention="post_self_attn_layernorm",
        after_mlp="post_mlp_layernorm",
    ),
    "gpt2": replace(
        GPT2,
        transposed=False,
        hub=(
            ("gpt2", 12, 12, 3072),
            ("gpt2-medium", 24, 16, 4096),
            ("gpt2-large", 36, 20, 5120),
            ("gpt2-xl", 48, 25, 6400),
        ),
    ),
    "gpt_bigcode": _gpt_bigcode,
    "gpt_neo": replace(
        GPT2,
        units=side_by_side(*_qkv("attn.attention")),
        output="attn.attention.out_proj",
        keys=Keys("num_layers", "num_heads", width="hidden_size"),
    ),
    "gpt_neox": _gpt_neox,
    "gpt_oss": EXPERTS,
    "gptj": GPTJ,
    "granite": _granite,
    "llama": LLAMA,
    "mistral": LLAMA,
    "mixtral": EXPERTS,
    "mpt": replace(
        BLOOM,
        blocks="transformer.blocks",
        final_norm="transformer.norm_f",
        attention_norm="norm_1",
        attention="attn",
        units=side_by_side("attn.Wqkv"),
        output="attn.out_proj",
        mlp_norm="norm_2",
        mlp="ffn",
        mlp_writes="ffn.down_proj",
        activation="ffn.act",
        mlp_output="ffn.down_proj",
        keys=Keys("n_layers", "n_heads", width="d_model"),
    ),
    "nemotron": UNGATED,
    "olmo": LLAMA,
    "olmo2": OLMO2,
    "olmo3": OLMO2,
    "opt": _opt,
    "phi": replace(
        _one_norm(LLAMA),
        final_norm="model.final_layernorm",
        output="self_attn.dense",
        activation="mlp.activation_fn",
        gated=None,
        mlp_output="mlp.fc2",
    ),
    "phi3": replace(LLAMA, units=side_by_side("self_attn.qkv_proj"), activation="mlp.activation_fn"),
    "qwen2": LLAMA,
    "qwen2_moe": EXPERTS,
    "qwen3": LLAMA,
    "qwen3_moe": EXPERTS,
    "smollm3": LLAMA,
    "stablelm": _stablelm,
    "starcoder2": replace(UNGATED, activation="mlp.act", mlp_output="mlp.c_proj"),
}

PLAIN = (COMPILED, *(entry for entry in FAMILIES.values() if isinstance(entry, Family)))
"""Those that do not depend on a config."""
