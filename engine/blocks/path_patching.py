"""Path patching."""

from __future__ import annotations

from nncirc.engine.blocks.block import Block, edited, nodes_of, patches
from nncirc.engine.methods.costs import Cost
from nncirc.engine.methods.path_patching import SCORE, path_patching, receivers_of
from nncirc.engine.program.costing import Setting
from nncirc.engine.program.pictures import Look
from nncirc.engine.runs.columns import columns_of


def _cost(at: Setting) -> Cost:
    columns = columns_of(at.contrast.dataset, at.values["positions"])[1]
    rows = at.graph.reach[max(receivers_of(at.graph, nodes_of(at.values["to"])))] * len(columns)
    state = 3 * len(at.graph.senders) + 6 * at.model.shape.n_layers + 1
    # One run carries changes to the receivers, another goes on from there.
    return edited(at, rows, state, runs=2)


_build = patches(path_patching, "graph", "direction", "to", "through", "positions")
BLOCKS = {("scores", "path_patching"): Block(_build, _cost, Look(SCORE))}
