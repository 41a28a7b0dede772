"""Steering."""

from __future__ import annotations

from nncirc.circuits.reference import expand
from nncirc.engine.blocks.block import Block, edited, nodes_of, patches
from nncirc.engine.methods.costs import Cost
from nncirc.engine.methods.steering import SCORE, steering
from nncirc.engine.program.costing import Setting
from nncirc.engine.program.pictures import Look


def _cost(at: Setting) -> Cost:
    values, nodes = at.values, nodes_of(at.values["nodes"])
    terms = [nodes] if isinstance(nodes, str) else nodes
    steered = 1 if values["together"] else len({n for term in terms for n in expand(at.graph, term)})
    return edited(at, steered * len(values["scale"] or values["shift"]), at.model.shape.n_layers + 1)


_build = patches(steering, "graph", "nodes", "scale", "shift", "together", "into", "at")
BLOCKS = {
    ("scores", "steering"): Block(
        _build, _cost, Look(lambda scores: SCORE.replace("{by}", scores.made["by"]))
    ),
}
