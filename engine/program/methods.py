"""What a program computes: scores, circuits, curves, comparisons. One function an implementation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace as with_fields
from functools import partial, reduce
from typing import TYPE_CHECKING, Any

from nncirc.circuits.circuit import Circuit, difference, intersection, union
from nncirc.circuits.errors import GraphError, MethodError
from nncirc.circuits.graph import Graph
from nncirc.circuits.measures import agreement
from nncirc.circuits.reference import from_paths
from nncirc.dsl.program import Declaration, NodePattern, Position, Where
from nncirc.engine.activation import activation_patching
from nncirc.engine.attention import attention_statistics
from nncirc.engine.attribution import attribution_patching, node_attribution
from nncirc.engine.data import Dataset
from nncirc.engine.discovery import acdc
from nncirc.engine.program import stored
from nncirc.engine.program.inputs import Build
from nncirc.engine.program.results import Curve, Table
from nncirc.engine.scores import EdgeScores, NodeScores

if TYPE_CHECKING:
    from nncirc.engine.program.build import Builder
    from nncirc.engine.program.store import StoredJournal


def _activation(builder: Builder, declaration: Declaration) -> NodeScores:
    positions: Any = declaration.values["positions"]
    if isinstance(positions, tuple):
        positions = [(place.name, place.occurrence) for place in positions if isinstance(place, Position)]
    direction: Any = declaration.values["direction"]

    def method() -> NodeScores:
        return activation_patching(
            builder.contrast_of(declaration),
            builder.of(declaration, "graph"),
            builder.of(declaration, "metric"),
            direction=direction,
            positions=positions,
            journal=_journal(builder, declaration),
            progress=builder.progress(declaration.name),
        )

    return _scored(builder, declaration, stored.NODES, method)


def _attribution(builder: Builder, declaration: Declaration) -> EdgeScores | NodeScores:
    by_edges, graph = declaration.values["by"] == "edges", builder.of(declaration, "graph")
    values: Any = declaration.values
    method: Callable[[], Any] = partial(
        attribution_patching if by_edges else node_attribution,
        builder.contrast_of(declaration),
        graph,
        builder.of(declaration, "metric"),
        steps=values["steps"],
        along=values["along"],
        progress=builder.progress(declaration.name),
    )
    return _scored(builder, declaration, stored.edges_of(graph) if by_edges else stored.NODES, method)


def _scored(
    builder: Builder, declaration: Declaration, form: stored.Form[Any], method: Callable[[], Any]
) -> Any:
    found = builder.kept(lambda: builder.key(declaration), form, method)
    facts = builder.facts(builder.declaration(declaration, "corruption"))
    return with_fields(found, made={**found.made, **facts})


def _journal(builder: Builder, declaration: Declaration) -> StoredJournal | None:
    """What an interrupted run has left of a method; to be asked for when the method runs, not before."""
    return builder.store.journal(builder.key(declaration)) if builder.store else None


def _statistics(builder: Builder, declaration: Declaration) -> NodeScores:
    of: Any = declaration.values["of"]
    dataset: Dataset = builder.of(declaration, "data")
    model = builder.model_of(builder.declaration(declaration, "data"))
    method = partial(attention_statistics, model, dataset, of)
    scores = builder.kept(lambda: builder.key(declaration), stored.NODES, method)
    return with_fields(scores, made={**scores.made, "model": model.name, "dataset": dict(dataset.made)})


def _acdc(builder: Builder, declaration: Declaration) -> Circuit:
    threshold: Any = declaration.values["threshold"]
    graph = builder.of(declaration, "graph")

    def method() -> Circuit:
        return acdc(
            builder.contrast_of(declaration),
            graph,
            builder.of(declaration, "metric"),
            threshold=threshold,
            journal=_journal(builder, declaration),
            measured=builder.measured(declaration),
            progress=builder.progress(declaration.name),
        )

    found: Circuit = _scored(builder, declaration, stored.circuit_of(graph), method)
    return found


def _threshold(builder: Builder, declaration: Declaration) -> Circuit:
    values: Any = declaration.values
    return _edge_scores(builder, declaration).threshold(values["threshold"], rank=values["rank"])


def _top(builder: Builder, declaration: Declaration) -> Circuit:
    values: Any = declaration.values
    return _edge_scores(builder, declaration).top(values["edges"], rank=values["rank"])


def _edge_scores(builder: Builder, declaration: Declaration) -> EdgeScores:
    scores = builder.of(declaration, "scores")
    if not isinstance(scores, EdgeScores):
        raise MethodError(
            "C544",
            f"{declaration.implementation} selects edges, and these scores are of nodes",
            hint="use attribution_patching by edges, or acdc",
        )
    return scores


def _reference(builder: Builder, declaration: Declaration) -> Circuit:
    graph: Graph = builder.of(declaration, "graph")
    groups = {
        name: [node for member in group for node in _members(builder, member)]
        for name, group in declaration.groups.items()
    }
    paths = [[[_term(term) for term in step] for step in path.steps] for path in declaration.paths]
    circuit = from_paths(graph, groups, paths)
    made = {"method": "reference", "cite": declaration.values["cite"], "name": declaration.name}
    return with_fields(circuit, made={**circuit.made, **made})


def _members(builder: Builder, member: NodePattern | Where) -> list[str]:
    if isinstance(member, NodePattern):
        return [str(member)]
    scores: NodeScores = builder.get(member.scores.name)
    column = scores.positions.index(member.statistic)
    above = -float("inf") if member.above is None else member.above
    below = float("inf") if member.below is None else member.below
    found = [n for n, row in zip(scores.nodes, scores.values, strict=True) if above < row[column] < below]
    if not found:
        best = max(zip(scores.nodes, scores.values, strict=True), key=lambda each: each[1][column])
        raise GraphError(
            "C461",
            f"no head has {member.statistic} in the wanted range; the highest is {best[0]} with"
            f" {best[1][column]:.3g}",
            hint="change the limit of where(...)",
        )
    return found


def _term(term: Any) -> tuple[str, Any]:
    if isinstance(term, NodePattern):
        return str(with_fields(term, input=None)), term.input
    return term.name, term.input


def _algebra(operation: Callable[[Circuit, Circuit], Circuit]) -> Build:
    def build(builder: Builder, declaration: Declaration) -> Circuit:
        refs: Any = declaration.values["circuits"]
        return reduce(operation, [builder.get(ref.name) for ref in refs])

    return build


def _faithfulness(builder: Builder, declaration: Declaration) -> Curve:
    values: Any = declaration.values
    scores = _edge_scores(builder, declaration)
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


METHODS: Mapping[str, Mapping[str, Build]] = {
    "scores": {
        "activation_patching": _activation,
        "attribution_patching": _attribution,
        "attention_statistics": _statistics,
    },
    "circuit": {
        "acdc": _acdc,
        "threshold": _threshold,
        "top": _top,
        "reference": _reference,
        "union": _algebra(union),
        "intersection": _algebra(intersection),
        "difference": _algebra(difference),
    },
    "curve": {"faithfulness": _faithfulness},
    "compare": {"compare": _compare},
}
