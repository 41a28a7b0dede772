"""Activation patching."""

from __future__ import annotations

from typing import Any

from nncirc.dsl.check.program import Declaration
from nncirc.engine.blocks.block import Block, journal, scored
from nncirc.engine.methods import costs
from nncirc.engine.methods.activation_patching import SCORE, activation_patching
from nncirc.engine.methods.scores import NodeScores
from nncirc.engine.program import stored
from nncirc.engine.program.build import Builder
from nncirc.engine.program.costing import Costing, Priced
from nncirc.engine.program.pictures import Look
from nncirc.engine.runs.columns import columns_of
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.room import patching_room


def _build(builder: Builder, declaration: Declaration) -> NodeScores:
    values: Any = declaration.values

    def method(contrast: Contrast, **options: Any) -> NodeScores:
        again = journal(builder, declaration)
        return activation_patching(contrast, graph=builder.of(declaration, "graph"), journal=again, **options)

    how = {key: values[key] for key in ("direction", "positions")}
    return scored(builder, declaration, stored.NODES, method, **how)


def _cost(costing: Costing, declaration: Declaration) -> Priced:
    positions: Any = declaration.values["positions"]
    at = costing.setting(declaration)
    columns = columns_of(at.contrast.dataset, positions)[1]
    cost = costs.patching(at.sizes, at.contrast, at.graph, at.metric, columns)
    return at.priced(costing.runs(at, "clean", "corrupt") + cost, patching_room(at.contrast))


BLOCKS = {("scores", "activation_patching"): Block(_build, _cost, Look(SCORE))}
