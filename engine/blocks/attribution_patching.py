"""Attribution patching: EAP, EAP-IG, AtP*, RelP."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from nncirc.circuits.errors import MethodError
from nncirc.circuits.pictures.colours import Scale
from nncirc.dsl.check.program import Declaration
from nncirc.engine.blocks.block import Block, scored
from nncirc.engine.methods import costs
from nncirc.engine.methods.attribution_patching import (
    attribution_patching,
    begins_with_a_run,
    node_attribution,
    score,
)
from nncirc.engine.methods.costs import Cost, Prompts
from nncirc.engine.methods.scores import EdgeScores, NodeScores
from nncirc.engine.program import stored
from nncirc.engine.program.build import Builder
from nncirc.engine.program.costing import Setting
from nncirc.engine.program.pictures import Look, Scores, unsigned


def _build(builder: Builder, declaration: Declaration) -> EdgeScores | NodeScores:
    values: Any = declaration.values
    by_edges, graph = values["by"] == "edges", builder.of(declaration, "graph")
    options = {key: values[key] for key in ("base", "steps", "along", "rule", "correct_qk", "grad_drop")}
    if not by_edges and options.pop("correct_qk"):
        raise MethodError(
            "C547",
            "correct_qk applies to edges into queries and keys, but these are scores of nodes",
            hint="set by = edges, or remove correct_qk",
        )
    form: Any = stored.edges_of(graph) if by_edges else stored.NODES
    method: Any = partial(attribution_patching if by_edges else node_attribution, graph=graph)
    found: EdgeScores | NodeScores = scored(builder, declaration, form, method, **options)
    return found


def _cost(at: Setting) -> Cost:
    values, by_edges = at.values, at.values["by"] == "edges"
    how = {key: values[key] for key in ("steps", "along")}
    # A run that is differentiated is kept as well.
    others: tuple[str, ...]
    others = ("corrupt",) if values["base"] == "clean" else ("clean",)
    if values["steps"] > 1:
        whole = values["along"] == "inputs" and begins_with_a_run(at.contrast)
        others = ("clean",) if whole else ("clean", "corrupt")
    runs = at.runs(*others)

    def each(prompts: Prompts) -> Cost:
        found = costs.attribution(at.model, at.graph, prompts, by_edges=by_edges, **how)
        if values["correct_qk"]:
            found += costs.query_key(at.model, at.graph, prompts)
        return found * (at.model.shape.n_layers if values["grad_drop"] else 1)

    neurons = sum(at.graph.neuron_counts.values()) if by_edges else 0
    return runs + at.total(each) + Cost(memory=costs.attribution_room(at.contrast, neurons))


def _score(scores: Scores) -> str:
    made = scores.made
    magnitude = bool(made.get("grad_drop"))
    return score(made["direction"], edges=isinstance(scores, EdgeScores), magnitude=magnitude)


def _scale(scores: NodeScores, values: Sequence[float]) -> Scale | None:
    return unsigned(scores, values) if scores.made.get("grad_drop") else None


BLOCKS = {
    ("scores", "attribution_patching"): Block(_build, _cost, Look(_score, is_effect=True, scale=_scale))
}
