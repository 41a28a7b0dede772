"""Activation patching."""

from __future__ import annotations

from nncirc.circuits.parts import rows_of
from nncirc.engine.blocks.block import Block, patches
from nncirc.engine.methods import costs
from nncirc.engine.methods.activation_patching import SCORE, activation_patching
from nncirc.engine.methods.costs import FREE, Cost
from nncirc.engine.program.costing import Setting
from nncirc.engine.program.pictures import Look, by_part
from nncirc.engine.runs.columns import columns_of


def _cost(at: Setting) -> Cost:
    columns, of = columns_of(at.contrast.dataset, at.values["positions"])[1], at.values["of"]
    if at.model.alone:
        patches = costs.patching(at.contrast, at.graph, at.metric, columns, of)
    else:
        # Beside the patches, plain runs of what is patched; two of each for a pattern.
        count = len(rows_of(at.graph, of)) * len(columns) + 4 * ("pattern" in of)
        patches = at.total(lambda prompts: costs.edited(at.model, prompts, count))
    written = at.runs("clean", "corrupt") if "outputs" in of else FREE
    return written + patches + Cost(memory=costs.patching_room(at.contrast, of))


_build = patches(activation_patching, "graph", "of", "direction", "positions", journaled=True)
BLOCKS = {("scores", "activation_patching"): Block(_build, _cost, Look(SCORE, layout=by_part))}
