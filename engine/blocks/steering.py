"""Steering."""

from __future__ import annotations

from functools import partial
from typing import Any

from nncirc.circuits.reference import expand
from nncirc.dsl.check.program import Declaration
from nncirc.engine.blocks.block import Block, edited, nodes_of, scored
from nncirc.engine.methods.scores import NodeScores
from nncirc.engine.methods.steering import SCORE, steering
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
        partial(steering, graph=builder.of(declaration, "graph")),
        nodes=nodes_of(values["nodes"]),
        **{key: values[key] for key in ("scale", "shift", "together", "into", "at")},
    )


def _cost(costing: Costing, declaration: Declaration) -> Priced:
    values: Any = declaration.values
    at = costing.setting(declaration)
    nodes = nodes_of(values["nodes"])
    terms = [nodes] if isinstance(nodes, str) else nodes
    steered = 1 if values["together"] else len({n for term in terms for n in expand(at.graph, term)})
    return edited(costing, at, steered * len(values["scale"] or values["shift"]))


BLOCKS = {
    ("scores", "steering"): Block(
        _build, _cost, Look(lambda scores: SCORE.replace("{by}", scores.made["by"]))
    ),
}
