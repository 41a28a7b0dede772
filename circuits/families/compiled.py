"""Compiled programs (`nncirc.engine.model.compiled`): no norms, learned positions."""

from __future__ import annotations

from nncirc.circuits.families.family import Family, Keys

FAMILY = Family(
    model_type="compiled",
    blocks="blocks",
    final_norm="final_norm",
    unembed="unembed",
    rotary=None,
    pos_embed="pos_embed",
    attention_norm="attention_norm",
    attention="attention",
    projections=("attention.query", "attention.key", "attention.value"),
    output="attention.out",
    mlp_norm="mlp_norm",
    mlp="mlp",
    activation="mlp.activation",
    mlp_output="mlp.out",
    keys=Keys("n_layers", "n_heads", d_mlp="mlp_hidden_size"),
)
