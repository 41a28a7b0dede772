"""ACDC."""

from __future__ import annotations

from typing import Any

from nncirc.circuits.circuit import Circuit
from nncirc.dsl.check.program import Declaration
from nncirc.engine.blocks.block import Block, journal, scored
from nncirc.engine.methods import acdc_cost
from nncirc.engine.methods.acdc import acdc
from nncirc.engine.methods.acdc_fast import Measured
from nncirc.engine.program import stored
from nncirc.engine.program.build import Builder
from nncirc.engine.program.costing import Costing, Priced
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.room import acdc_room


def _sweep(what: str, declaration: Declaration) -> tuple[str, ...]:
    """All that a block says but its threshold: what runs must share to measure the same."""
    return (what, *(f"{key} {value}" for key, value in declaration.values.items() if key != "threshold"))


def _build(builder: Builder, declaration: Declaration) -> Circuit:
    values: Any = declaration.values
    graph = builder.of(declaration, "graph")

    def method(contrast: Contrast, **options: Any) -> Circuit:
        again = journal(builder, declaration)
        measured = builder.shared(_sweep("measured", declaration), Measured)
        return acdc(contrast, graph=graph, journal=again, measured=measured, **options)

    how = {key: values[key] for key in ("threshold", "loss")}
    return scored(builder, declaration, stored.circuit_of(graph), method, **how)


def _cost(costing: Costing, declaration: Declaration) -> Priced:
    threshold: Any = declaration.values["threshold"]
    loss: Any = declaration.values["loss"]
    at = costing.setting(declaration)
    memory = acdc_room(at.contrast, at.graph, at.metric)
    if at.graph.neuron_counts or at.contrast.model.name in costing.timed:
        return at.priced(acdc_cost.most(at.sizes, at.graph, at.prompts), memory)
    about = at.contrast, at.graph, at.metric
    estimates = costing.shared(_sweep("estimates", declaration), lambda: acdc_cost.effects(*about))
    others: dict[float, acdc_cost.Decisions] = costing.shared(_sweep("decisions", declaration), dict)
    found, others[threshold] = acdc_cost.acdc(
        *about, at.prompts, threshold, estimates, tuple(others.values()), loss
    )
    return at.priced(found, memory)


BLOCKS = {("circuit", "acdc"): Block(_build, _cost)}
