"""Causal tracing."""

from __future__ import annotations

from typing import Any

from nncirc.dsl.check.program import Declaration
from nncirc.engine.blocks import functions
from nncirc.engine.blocks.block import Block, edited, scored
from nncirc.engine.methods.causal_tracing import SCORE, causal_tracing
from nncirc.engine.methods.scores import NodeScores
from nncirc.engine.program import stored
from nncirc.engine.program.build import Builder
from nncirc.engine.program.costing import Costing, Priced
from nncirc.engine.program.pictures import Look
from nncirc.engine.runs.columns import columns_of


def _build(builder: Builder, declaration: Declaration) -> NodeScores:
    values: Any = declaration.values
    return scored(
        builder,
        declaration,
        stored.NODES,
        causal_tracing,
        positions=values["positions"],
        how=functions.resampling(values),
        **{key: values[key] for key in ("direction", "of", "window", "sever")},
    )


def _cost(costing: Costing, declaration: Declaration) -> Priced:
    values: Any = declaration.values
    at = costing.setting(declaration)
    columns = columns_of(at.contrast.dataset, values["positions"])[1]
    rows, kept = at.sizes.shape.n_layers * len(columns), 2 if values["of"] == "states" else 1
    return edited(costing, at, rows, kept)


BLOCKS = {
    ("scores", "causal_tracing"): Block(
        _build, _cost, Look(lambda scores: SCORE[scores.made["direction"]], is_effect=True)
    )
}
