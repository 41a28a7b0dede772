"""Curves: faithfulness by circuit size, true over false positives."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, cast

from nncirc.circuits.areas import SHARES, cmd, cpr, mib_sizes
from nncirc.circuits.circuit import Circuit
from nncirc.circuits.errors import MethodError
from nncirc.circuits.intervals import Estimate
from nncirc.circuits.made import Made
from nncirc.circuits.roc import Roc, node_scores, roc_of_circuits, roc_of_scores
from nncirc.circuits.rounding import rounded
from nncirc.dsl.check.program import Declaration
from nncirc.engine.blocks import functions
from nncirc.engine.blocks.block import Block, edge_scores, shared_facts
from nncirc.engine.evaluation.faithfulness import of_whole
from nncirc.engine.methods.costs import Cost
from nncirc.engine.methods.scores import EdgeScores, NodeScores, Rank
from nncirc.engine.program.build import Builder
from nncirc.engine.program.costing import Setting
from nncirc.engine.program.results import Cell, Curve, finite

DIGITS = 6
"""Decimals of a rate."""


def _faithfulness(builder: Builder, declaration: Declaration) -> Curve:
    values: Any = declaration.values
    scores, rank, shares = edge_scores(builder, declaration), values["rank"], values["edges"] == "mib"
    corruption = builder.declaration(declaration, "corruption")
    scored_with = builder.declaration(builder.declaration(declaration, "scores"), "corruption")
    at = functions.Measuring(builder, corruption, builder.declaration(declaration, "metric").name)
    between, contrast, how = at.baseline(), at.contrast, functions.resampling(values)
    sizes = mib_sizes(scores.graph) if shares else values["edges"]
    report = builder.steps(declaration.name)
    rows, points = [], []
    for done, edges in enumerate(sizes, 1):
        circuit = scores.top(edges, rank=rank)
        rows.append(at.values(circuit))
        found = of_whole(between.faithfulness(rows[-1], how), contrast.model.digits)
        low, high = map(finite, (found.low, found.high))
        share: tuple[Cell, ...] = (round(100 * SHARES[done - 1], 1),) if shares else ()
        points.append((edges, len(circuit), found.value, low, high, *share))
        report(done, len(sizes))
    areas = {}
    if shares:
        for name, area in (("cpr", cpr), ("cmd", cmd)):
            estimate = between.statistic(rows, lambda *f, area=area: area(f), how)
            areas[name] = of_whole(estimate, contrast.model.digits)
    columns = ("edges asked for", "edges after pruning", "faithfulness", "low", "high")
    made: Made = {
        "method": "faithfulness",
        "direction": "noise",
        "rank": rank,
        "held_out": corruption.name != scored_with.name,
        "resamples": values["resamples"],
        "level": values["level"],
        "seed": values["seed"],
        "scores": dict(scores.made),
        **contrast.facts(at.metric),
        **builder.facts(corruption),
    }
    return Curve(columns + (("% of edges",) if shares else ()), tuple(points), areas, made)


def _roc(builder: Builder, declaration: Declaration) -> Curve:
    values: Any = declaration.values
    by, reference = values["by"], builder.of(declaration, "reference")
    made: Made = {"method": "roc", "by": by, "reference": values["reference"].name}
    scores = builder.of(declaration, "scores")
    if scores is None:
        names = [ref.name for ref in values["circuits"]]
        circuits = [builder.get(name) for name in names]
        roc = roc_of_circuits(circuits, reference, by=by, thresholds=list(map(_threshold, circuits)))
        of = [dict(circuit.made) for circuit in circuits]
        made = {**made, **shared_facts(circuits), "circuits": names, "of": of}
    else:
        roc = _of_scores(scores, reference, by, values["rank"])
        told = cast(Made, {k: v for k, v in scores.made.items() if k not in ("method", "intervals")})
        made = {**made, "rank": values["rank"], "scores": dict(scores.made), **told}
    points = tuple(
        (round(p.false_positive_rate, DIGITS), round(p.true_positive_rate, DIGITS), p.threshold)
        for p in roc.points
    )
    exact = partial(round, ndigits=DIGITS)
    areas = {"auc": _exactly(exact(roc.auc)), "auc by lines": _exactly(exact(roc.auc_linear))}
    return Curve(("false positive rate", "true positive rate", "threshold"), points, areas, made)


def _exactly(value: float) -> Estimate:
    """A number that is not a mean over prompts."""
    return Estimate(value, value, value)


def _threshold(circuit: Circuit) -> float | None:
    """What a family's member has instead of the others' value."""
    return circuit.made.get("threshold", circuit.made.get("edges"))


def _of_scores(scores: EdgeScores | NodeScores, reference: Circuit, by: str, rank: Rank) -> Roc:
    """Scores as thresholds; of several positions the best.

    Raises:
        MethodError: C560, patched values of a metric that is not normalised, whose neutral value is unknown.
    """
    if isinstance(scores, EdgeScores):
        ranked, places = scores.compared(rank), scores.decimals
        right = reference.edges if by == "edges" else reference.nodes
        roc = roc_of_scores(ranked if by == "edges" else node_scores(ranked), right)
        points = (
            p if p.threshold is None else replace(p, threshold=rounded(p.threshold, places))
            for p in roc.points
        )
        return Roc(tuple(points))
    patched = scores.made.get("method") == "activation_patching"
    if patched and not scores.made.get("normalized"):
        raise MethodError(
            "C560",
            "these scores are unnormalized, so their value without an effect is unknown",
            hint="set normalize = true in the metric",
        )
    noised = patched and scores.made.get("direction") == "noise"
    of_nodes = {}
    for node, row in zip(scores.nodes, scores.values, strict=True):
        effects = [1 - value if noised else value for value in row]
        of_nodes[node] = max(map(abs, effects)) if rank == "absolute" else max(effects)
    return roc_of_scores(of_nodes, reference.nodes)


def _cost(at: Setting) -> Cost:
    edges = at.values["edges"]
    return functions.cost_of_circuits(at, len(SHARES) if edges == "mib" else len(edges))


BLOCKS = {
    ("curve", "faithfulness"): Block(_faithfulness, _cost),
    ("curve", "roc"): Block(_roc),
}
