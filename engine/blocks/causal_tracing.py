"""Causal tracing."""

from __future__ import annotations

from nncirc.engine.blocks.block import Block, edited, patches
from nncirc.engine.methods.causal_tracing import SCORE, causal_tracing
from nncirc.engine.methods.costs import Cost
from nncirc.engine.program.costing import Setting
from nncirc.engine.program.pictures import Look
from nncirc.engine.runs.columns import columns_of


def _cost(at: Setting) -> Cost:
    columns = columns_of(at.contrast.dataset, at.values["positions"])[1]
    layers, streams = at.model.shape.n_layers, 2 if at.values["of"] == "states" else 1
    return edited(at, layers * len(columns), streams * (layers + 1))


_build = patches(causal_tracing, "direction", "of", "window", "sever", "positions")
BLOCKS = {
    ("scores", "causal_tracing"): Block(
        _build, _cost, Look(lambda scores: SCORE[scores.made["direction"]], is_effect=True)
    )
}
