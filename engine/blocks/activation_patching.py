"""Activation patching."""

from __future__ import annotations

from nncirc.engine.blocks.block import Block, patches
from nncirc.engine.methods import costs
from nncirc.engine.methods.activation_patching import SCORE, activation_patching
from nncirc.engine.methods.costs import Cost
from nncirc.engine.program.costing import Setting
from nncirc.engine.program.pictures import Look
from nncirc.engine.runs.columns import columns_of


def _cost(at: Setting) -> Cost:
    columns = columns_of(at.contrast.dataset, at.values["positions"])[1]
    if at.model.alone:
        patches = costs.patching(at.contrast, at.graph, at.metric, columns)
    else:
        count = len(at.graph.senders) * len(columns)
        patches = at.total(lambda prompts: costs.edited(at.model, prompts, count))
    return at.runs("clean", "corrupt") + patches + Cost(memory=costs.patching_room(at.contrast))


_build = patches(activation_patching, "graph", "direction", "positions", journaled=True)
BLOCKS = {("scores", "activation_patching"): Block(_build, _cost, Look(SCORE))}
