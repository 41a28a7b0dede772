"""Llama: rotary positions, grouped-query attention, gated MLPs, RMSNorm that computes in float32."""

from __future__ import annotations

from nncirc.circuits.families.family import Family

FAMILY = Family(
    model_type="llama",
    blocks="model.layers",
    final_norm="model.norm",
    unembed="lm_head",
    rotary="model.rotary_emb",
    attention_norm="input_layernorm",
    attention="self_attn",
    projections=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    output="self_attn.o_proj",
    mlp_norm="post_attention_layernorm",
    mlp="mlp",
    activation="mlp.act_fn",
    gated="mlp.down_proj",
    mlp_output="mlp.down_proj",
    float32_norm=True,
)
