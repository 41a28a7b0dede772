"""GPT-2: learned positions, fused projections, LayerNorm before attention and MLP."""

from __future__ import annotations

from nncirc.circuits.families.family import Family, Keys

FAMILY = Family(
    model_type="gpt2",
    blocks="transformer.h",
    final_norm="transformer.ln_f",
    unembed="lm_head",
    rotary=None,
    pos_embed="transformer.wpe",
    attention_norm="ln_1",
    attention="attn",
    projections=("attn.c_attn",),
    output="attn.c_proj",
    mlp_norm="ln_2",
    mlp="mlp",
    activation="mlp.act",
    mlp_output="mlp.c_proj",
    transposed=False,
    keys=Keys("n_layer", "n_head", d_mlp="n_inner", width="n_embd"),
    hub=(
        ("gpt2", 12, 12, 3072),
        ("gpt2-medium", 24, 16, 4096),
        ("gpt2-large", 36, 20, 5120),
        ("gpt2-xl", 48, 25, 6400),
    ),
)
