"""Graphs."""

from __future__ import annotations

from nncirc.dsl.blocks.entries import Implementation, Key, one
from nncirc.dsl.check.types import Either, Many, Number, PositionType, Word

GRAPHS = {
    "residual": Implementation(
        "Senders write into the residual stream, later receivers read from it; an edge joins the two.",
        {
            "model": Key(one("model"), "the model whose graph this is", required=True),
            "nodes": Key(
                Many(Word(("embed", "pos_embed", "heads", "attention", "mlps", "logits"))),
                "what is a node: single heads or whole attention layers, MLPs; `embed` and `logits` always; "
                "with `pos_embed` learned positions are a node, and `embed` is the tokens alone",
                default=("embed", "heads", "mlps", "logits"),
            ),
            "inputs": Key(
                Many(Word(("q", "k", "v")), empty=True),
                "`[q, k, v]`: an edge enters a head as query, key or value; `[]`: as all three",
                default=("q", "k", "v"),
            ),
            "positions": Key(
                Either(Many(PositionType()), ("all",)),
                "split every node by position, the tokens not named being one (`other`); `all`: by token",
            ),
            "neurons": Key(
                Many(Number(integer=True, low=0)),
                "layers whose MLPs are split into neurons, each a sender of its own (`MLP3N17`)",
            ),
            "data": Key(one("dataset"), "the prompts whose tokens `positions = all` counts"),
            "length": Key(
                Number(integer=True, low=1, high=10_000),
                "how many tokens `positions = all` stands for, where no `data` says it",
                unit="tokens",
            ),
        },
        source="Elhage et al. 2021; Conmy et al. 2023",
    ),
}
