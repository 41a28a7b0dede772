"""Scores of nodes and edges."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from nncirc.circuits.errors import MethodError
from nncirc.dsl.check.program import Declaration
from nncirc.engine.blocks.common import journal, scored
from nncirc.engine.blocks.inputs import Build
from nncirc.engine.blocks.readings import READINGS
from nncirc.engine.methods.activation_patching import activation_patching
from nncirc.engine.methods.attribution_patching import attribution_patching, node_attribution
from nncirc.engine.methods.scores import EdgeScores, NodeScores
from nncirc.engine.program import stored

if TYPE_CHECKING:
    from nncirc.engine.program.build import Builder


def _activation(builder: Builder, declaration: Declaration) -> NodeScores:
    values: Any = declaration.values

    def method() -> NodeScores:
        return activation_patching(
            builder.contrast_of(declaration),
            builder.of(declaration, "graph"),
            builder.of(declaration, "metric"),
            direction=values["direction"],
            positions=values["positions"],
            journal=journal(builder, declaration),
            progress=builder.progress(declaration.name),
        )

    return scored(builder, declaration, stored.NODES, method)


def _attribution(builder: Builder, declaration: Declaration) -> EdgeScores | NodeScores:
    by_edges, graph = declaration.values["by"] == "edges", builder.of(declaration, "graph")
    values: Any = declaration.values
    options = {key: values[key] for key in ("base", "steps", "along", "rule", "correct_qk", "grad_drop")}
    if not by_edges and options.pop("correct_qk"):
        raise MethodError(
            "C547",
            "correct_qk is about edges into queries and keys, and these are scores of nodes",
            hint="set by = edges, or leave out correct_qk",
        )
    method: Callable[[], Any] = partial(
        attribution_patching if by_edges else node_attribution,
        builder.contrast_of(declaration),
        graph,
        builder.of(declaration, "metric"),
        **options,
        progress=builder.progress(declaration.name),
    )
    return scored(builder, declaration, stored.edges_of(graph) if by_edges else stored.NODES, method)


SCORES: Mapping[str, Build] = {
    "activation_patching": _activation,
    "attribution_patching": _attribution,
    **READINGS,
}
