"""The function vector."""

from __future__ import annotations

from nncirc.engine.blocks.block import Block, edited, patches
from nncirc.engine.methods.costs import Cost
from nncirc.engine.methods.steering import VECTOR_SCORE, function_vector
from nncirc.engine.program.costing import Setting
from nncirc.engine.program.pictures import Look


def _cost(at: Setting) -> Cost:
    layers = at.model.shape.n_layers
    return edited(at, 1 + layers * len(at.values["scale"]), layers + 1)


_build = patches(function_vector, "graph", "heads", "source", "scale", "into", "at")
BLOCKS = {("scores", "function_vector"): Block(_build, _cost, Look(VECTOR_SCORE))}
