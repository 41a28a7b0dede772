"""Tables of circuits, and what is drawn: circuits, heatmaps of scores and of tables, curves."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from nncirc.circuits.chance import overlap_p
from nncirc.circuits.circuit import Circuit
from nncirc.circuits.made import Made
from nncirc.circuits.measures import agreement
from nncirc.dsl.check.program import Declaration
from nncirc.engine.blocks import functions
from nncirc.engine.blocks.block import Block, shared_facts
from nncirc.engine.methods.costs import Cost
from nncirc.engine.program import pictures
from nncirc.engine.program.build import Builder
from nncirc.engine.program.costing import Setting
from nncirc.engine.program.results import Cell, Table, finite

DIGITS = 4
"""Decimals of a ratio of whole numbers."""


def _compare(builder: Builder, declaration: Declaration) -> Table:
    values: Any = declaration.values
    named = [(ref.name, builder.get(ref.name)) for ref in values["circuits"]]
    reference, metric = builder.of(declaration, "reference"), builder.of(declaration, "metric")
    made: Made = {"method": "compare", **shared_facts(circuit for _, circuit in named)}
    pairs = None
    if reference is None and (metric is None or len(named) > 1):
        pairs = _each_with_each(named, values["by"], {**made, "by": list(values["by"])})
        if metric is None:
            return pairs
    rows: list[dict[str, Cell]] = []
    report = builder.steps(declaration.name)
    for done, (name, circuit) in enumerate(named, 1):
        row: dict[str, Cell] = {"circuit": name, "edges": len(circuit), "nodes": len(circuit.nodes)}
        if reference is not None:
            row |= dict(_overlap(circuit, reference, values["by"]))
        if metric is not None:
            row |= _measured(builder, declaration, circuit)
        rows.append(row)
        report(done, len(named))
    against: Made = {}
    if reference is not None:
        against = {"by": list(values["by"]), "reference": values["reference"].name}
    made = (
        {**made, **against}
        if metric is None
        else {"method": "compare", **against, **_made(builder, declaration)}
    )
    columns = tuple(rows[0])
    cells = tuple(tuple(row[column] for column in columns) for row in rows)
    return Table(columns, cells, made, pairs)


def _each_with_each(named: list[tuple[str, Circuit]], by: tuple[Any, ...], made: Made) -> Table:
    columns = ("circuit", "with", *(f"{what} by {each}" for each in by for what in ("jaccard", "p")))
    rows: list[tuple[Cell, ...]] = []
    for i, (name, circuit) in enumerate(named):
        for other_name, other in named[i + 1 :]:
            found: list[Cell] = []
            for each in by:
                found += [round(agreement(circuit, other, by=each).jaccard, DIGITS)]
                found += [overlap_p(circuit, other, by=each)]
            rows.append((name, other_name, *found))
    return Table(columns, tuple(rows), made)


def _overlap(circuit: Circuit, reference: Circuit, by: tuple[Any, ...]) -> Iterator[tuple[str, Cell]]:
    for each in by:
        counts = agreement(circuit, reference, by=each)
        yield f"recall by {each}", round(counts.recall, DIGITS)
        yield f"precision by {each}", round(counts.precision, DIGITS)
        yield f"p by {each}", overlap_p(circuit, reference, by=each)


def _measured(builder: Builder, declaration: Declaration, circuit: Circuit) -> dict[str, Cell]:
    """Faithfulness, its interval, and what random circuits have."""
    values = declaration.values
    corruption, metric = (builder.declaration(declaration, key) for key in ("corruption", "metric"))
    at = functions.Measuring(builder, corruption, metric.name)
    found = at.faithfulness(circuit, functions.resampling(values))
    low, high = map(finite, (found.low, found.high))
    row: dict[str, Cell] = {"faithfulness": found.value, "low": low, "high": high}
    if values["draws"] is not None:
        null = at.null(circuit, values, found.value)
        row |= {"random (median)": statistics.median(null.values), "p": round(null.p, DIGITS)}
    return row


def _made(builder: Builder, declaration: Declaration) -> Made:
    values, corruption = declaration.values, builder.declaration(declaration, "corruption")
    facts = builder.contrast(corruption).facts(builder.of(declaration, "metric"))
    keys = ("resamples", "level", "seed", *(("draws", "connected") if values["draws"] is not None else ()))
    drawn = cast(Made, {key: values[key] for key in keys})
    return {"direction": "noise", **facts, **builder.facts(corruption), **drawn}


def _cost(at: Setting) -> Cost:
    return functions.cost_of_circuits(at, len(at.values["circuits"]) * (1 + (at.values["draws"] or 0)))


def _render(builder: Builder, declaration: Declaration, path: Path) -> None:
    fold: Any = declaration.values["fold"]
    circuit, highlight = builder.of(declaration, "circuit"), builder.of(declaration, "highlight")
    name = builder.declaration(declaration, "circuit").name
    pictures.draw_circuit(circuit, path, highlight=highlight, fold=fold, title=name)


def _plot(builder: Builder, declaration: Declaration, path: Path) -> None:
    values: Any = declaration.values
    if values["scores"] is not None:
        drawn = builder.declaration(declaration, "scores")
        look = builder.blocks["scores", drawn.implementation].look
        pictures.draw_scores(builder.get(drawn.name), path, title=drawn.name, look=look)
    elif values["compare"] is not None:
        name = builder.declaration(declaration, "compare").name
        pictures.draw_table(builder.of(declaration, "compare"), path, title=name)
    else:
        found = {ref.name: builder.get(ref.name) for ref in values["curve"]}
        named = not declaration.name.startswith("plot.")
        pictures.draw_curves(found, path, title=declaration.name if named else ", ".join(found))


BLOCKS = {
    ("compare", "compare"): Block(_compare, _cost),
    ("plot", "plot"): Block(None, draw=_plot),
    ("render", "render"): Block(None, draw=_render),
}
