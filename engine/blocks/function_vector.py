"""The function vector."""

from __future__ import annotations

from functools import partial
from typing import Any

from nncirc.dsl.check.program import Declaration
from nncirc.engine.blocks.block import Block, edited, nodes_of, scored
from nncirc.engine.methods.scores import NodeScores
from nncirc.engine.methods.steering import VECTOR_SCORE, function_vector
from nncirc.engine.program import stored
from nncirc.engine.program.build import Builder
from nncirc.engine.program.costing import Costing, Priced
from nncirc.engine.program.pictures import Look


def _build(builder: Builder, declaration: Declaration) -> NodeScores:
    values = declaration.values
    return scored(
        builder,
        declaration,
        stored.NODES,
        partial(function_vector, graph=builder.of(declaration, "graph")),
        heads=nodes_of(values["heads"]),
        source=builder.of(declaration, "source"),
        **{key: values[key] for key in ("scale", "into", "at")},
    )


def _cost(costing: Costing, declaration: Declaration) -> Priced:
    scale: Any = declaration.values["scale"]
    at = costing.setting(declaration)
    return edited(costing, at, 1 + at.sizes.shape.n_layers * len(scale))


BLOCKS = {("scores", "function_vector"): Block(_build, _cost, Look(VECTOR_SCORE))}
