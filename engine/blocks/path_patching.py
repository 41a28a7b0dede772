"""Path patching."""

from __future__ import annotations

from functools import partial
from typing import Any

from nncirc.dsl.check.program import Declaration
from nncirc.engine.blocks.block import Block, nodes_of, scored
from nncirc.engine.methods import costs
from nncirc.engine.methods.path_patching import SCORE, path_patching, receivers_of
from nncirc.engine.methods.scores import NodeScores
from nncirc.engine.program import stored
from nncirc.engine.program.build import Builder
from nncirc.engine.program.costing import Costing, Priced
from nncirc.engine.program.pictures import Look
from nncirc.engine.runs.columns import columns_of
from nncirc.engine.runs.room import edited_room


def _build(builder: Builder, declaration: Declaration) -> NodeScores:
    values = declaration.values
    return scored(
        builder,
        declaration,
        stored.NODES,
        partial(path_patching, graph=builder.of(declaration, "graph")),
        direction=values["direction"],
        to=nodes_of(values["to"]),
        through=nodes_of(values["through"]),
        positions=values["positions"],
    )


def _cost(costing: Costing, declaration: Declaration) -> Priced:
    values: Any = declaration.values
    at = costing.setting(declaration)
    columns = columns_of(at.contrast.dataset, values["positions"])[1]
    rows = at.graph.reach[max(receivers_of(at.graph, nodes_of(values["to"])))] * len(columns)
    state = 3 * len(at.graph.senders) + 6 * at.sizes.shape.n_layers + 1
    # What is carried to the receivers, and from there on.
    cost = costing.runs(at, "clean", "corrupt")
    cost += at.total(lambda each: costs.edited(at.sizes, each, 2 * rows))
    return at.priced(cost, edited_room(at.contrast, at.metric, rows, state))


BLOCKS = {("scores", "path_patching"): Block(_build, _cost, Look(SCORE))}
