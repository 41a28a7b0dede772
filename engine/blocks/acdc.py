"""ACDC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nncirc.circuits.circuit import Circuit
from nncirc.dsl.check.program import Declaration
from nncirc.engine.blocks.block import Block, scored
from nncirc.engine.methods import costs
from nncirc.engine.methods.acdc import acdc
from nncirc.engine.methods.acdc_fast import Measured
from nncirc.engine.methods.costs import MOST, Cost
from nncirc.engine.program import stored
from nncirc.engine.program.build import Builder
from nncirc.engine.program.costing import Setting


def _sweep(what: str, values: Mapping[str, Any]) -> tuple[str, ...]:
    """All keys of a block but its threshold: what runs must share to measure the same."""
    return (what, *(f"{key} {value}" for key, value in values.items() if key != "threshold"))


def _build(builder: Builder, declaration: Declaration) -> Circuit:
    graph, values = builder.of(declaration, "graph"), declaration.values
    measured = builder.shared(_sweep("measured", values), Measured)
    how: dict[str, Any] = {"graph": graph, "threshold": values["threshold"], "loss": values["loss"]}
    return scored(
        builder, declaration, stored.circuit_of(graph), acdc, journaled=True, measured=measured, **how
    )


def _cost(at: Setting) -> Cost:
    room = Cost(memory=costs.acdc_room(at.contrast, at.graph, at.metric))
    # At most a masked forward for every edge, as the definition takes, which runs where neurons are split or
    # where heads cannot be computed by themselves.
    if at.graph.neuron_counts or not at.model.alone or at.model.name in at.costing.timed:
        one = at.total(lambda prompts: costs.masked(at.model, at.graph, prompts))
        return room + MOST + one * (at.graph.n_edges + 2) + Cost(tested=at.graph.n_edges)
    about = at.contrast, at.graph, at.metric
    threshold, shared = at.values["threshold"], at.costing.shared
    estimates = shared(_sweep("estimates", at.values), lambda: costs.effects(*about))
    others: dict[float, costs.Decisions] = shared(_sweep("decisions", at.values), dict)
    found, others[threshold] = costs.discovery(
        *about, threshold, estimates, tuple(others.values()), at.values["loss"]
    )
    return room + found


BLOCKS = {("circuit", "acdc"): Block(_build, _cost)}
