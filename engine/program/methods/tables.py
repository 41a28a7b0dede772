"""Curves and comparisons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nncirc.circuits.measures import agreement
from nncirc.dsl.program import Declaration
from nncirc.engine.program.inputs import Build
from nncirc.engine.program.methods.common import edge_scores
from nncirc.engine.program.results import Curve, Table

if TYPE_CHECKING:
    from nncirc.engine.program.build import Builder


def _faithfulness(builder: Builder, declaration: Declaration) -> Curve:
    values: Any = declaration.values
    scores = edge_scores(builder, declaration)
    corruption = builder.declaration(builder.declaration(declaration, "scores"), "corruption")
    contrast, metric = builder.contrast(corruption), builder.declaration(declaration, "metric").name
    report = builder.progress(declaration.name)
    points = []
    for done, edges in enumerate(values["edges"], 1):
        circuit = scores.top(edges, rank=values["rank"])
        points.append((edges, len(circuit), builder.number("faithfulness", corruption, metric, circuit)))
        if report is not None:
            report(done, len(values["edges"]))
    made = {"method": "faithfulness", "rank": values["rank"], "scores": dict(scores.made)}
    facts = contrast.facts(builder.get(metric))
    return Curve(tuple(points), {**made, **facts, **builder.facts(corruption)})


def _compare(builder: Builder, declaration: Declaration) -> Table:
    values: Any = declaration.values
    named = [(ref.name, builder.get(ref.name)) for ref in values["circuits"]]
    reference = builder.of(declaration, "reference")
    rows: list[tuple[str | int | float, ...]] = []
    if reference is None:
        columns = ("circuit", "with", *(f"jaccard by {by}" for by in values["by"]))
        for i, (name, circuit) in enumerate(named):
            for other_name, other in named[i + 1 :]:
                found = [round(agreement(circuit, other, by=by).jaccard, 4) for by in values["by"]]
                rows.append((name, other_name, *found))
        return Table(columns, tuple(rows))
    columns = ("circuit", "edges", "nodes")
    for by in values["by"]:
        columns += (f"recall by {by}", f"precision by {by}")
    for name, circuit in named:
        row: list[str | int | float] = [name, len(circuit), len(circuit.nodes)]
        for by in values["by"]:
            found_by = agreement(circuit, reference, by=by)
            row += [round(found_by.recall, 4), round(found_by.precision, 4)]
        rows.append(tuple(row))
    return Table(columns, tuple(rows))


CURVES: Mapping[str, Build] = {"faithfulness": _faithfulness}
TABLES: Mapping[str, Build] = {"compare": _compare}
