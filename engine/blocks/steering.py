"""Steering."""

from __future__ import annotations

from nncirc.circuits.reference import expand
from nncirc.dsl.check.program import Declaration
from nncirc.engine.blocks.block import Block, edited, nodes_of, scored, values_of
from nncirc.engine.methods import costs
from nncirc.engine.methods.costs import Cost
from nncirc.engine.methods.scores import NodeScores
from nncirc.engine.methods.steering import SCORES, steering
from nncirc.engine.program import stored
from nncirc.engine.program.build import Builder, fitted
from nncirc.engine.program.costing import Setting
from nncirc.engine.program.pictures import Look


def _cost(at: Setting) -> Cost:
    values, layers = at.values, at.values["layers"]
    depth = at.model.shape.n_layers
    if layers is None:
        nodes = nodes_of(values["nodes"])
        terms = [nodes] if isinstance(nodes, str) else nodes
        steered = len({n for term in terms for n in expand(at.graph, term)})
    else:
        steered = depth if layers == "all" else len(layers)
    found = edited(
        at, (1 if values["together"] else steered) * len(values["scale"] or values["shift"]), depth + 1
    )
    source = (
        at.contrast
        if values["source"] is None
        else at.costing.contrast(at.costing.program.declarations[values["source"].name])
    )
    if values["source"] is not None:
        found += costs.written(source, "clean") + costs.written(source, "corrupt")
    if layers is not None and values["shift"]:  # the stream of both runs
        found += costs.written(source, "clean") * 2
    return found


def _build(builder: Builder, declaration: Declaration) -> NodeScores:
    keys = ("graph", "scale", "shift", "together", "into", "at")
    options = values_of(builder, declaration, keys)
    for key in ("nodes", "layers"):
        if declaration.values[key] is not None:
            options[key] = nodes_of(declaration.values[key])
    if declaration.values["source"] is not None:
        source = builder.contrast(builder.declaration(declaration, "source"))
        options["source"] = fitted(source, options["graph"])
    return scored(builder, declaration, stored.NODES, steering, **options)


BLOCKS = {
    ("scores", "steering"): Block(
        _build, _cost, Look(lambda scores: SCORES[scores.made["rows"]].replace("{by}", scores.made["by"]))
    ),
}
