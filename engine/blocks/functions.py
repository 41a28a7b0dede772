"""Functions of claims: what is measured of circuits prompt by prompt, with intervals, and what that costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

from nncirc.circuits.chance import Null, overlap_p, random_circuits
from nncirc.circuits.circuit import Circuit
from nncirc.circuits.errors import MethodError
from nncirc.circuits.graph import Graph
from nncirc.circuits.intervals import Estimate, Resampling
from nncirc.circuits.measures import agreement
from nncirc.circuits.rounding import decimals
from nncirc.dsl.check.program import Apply, Declaration, Expression, Ref
from nncirc.engine.evaluation.completeness import completeness, incompleteness, least, minimality
from nncirc.engine.evaluation.faithfulness import Baseline, circuit_metric, of_whole
from nncirc.engine.methods import costs
from nncirc.engine.methods.scores import NodeScores
from nncirc.engine.program import stored
from nncirc.engine.program.build import Builder
from nncirc.engine.program.costing import Costing, Priced, Setting
from nncirc.engine.program.places import placed

Arguments: TypeAlias = Mapping[str, Any]
Value: TypeAlias = "float | Estimate"


def resampling(values: Arguments) -> Resampling:
    """The interval that a block or a function asks for."""
    return Resampling(values["resamples"], values["level"], values["seed"])


def baseline(builder: Builder, corruption: Declaration, metric: str) -> Baseline:
    """A metric of every prompt on the clean and on the corrupted run."""
    contrast, measured = builder.contrast(corruption), builder.get(metric)

    def kept(run: str, make: Callable[[], Any]) -> tuple[float, ...]:
        key = partial(_plain_run, builder, run, corruption, metric)
        return builder.kept(key, stored.NUMBERS, lambda: tuple(make().tolist()))

    return Baseline(
        measured,
        kept("clean", lambda: contrast.clean_values(measured)),
        kept("corrupt", lambda: contrast.corrupt_values(measured)),
    )


def is_measured(builder: Builder, corruption: Declaration, metric: str) -> bool:
    """Whether an earlier run has stored the plain runs, between which every measurement lies."""
    return builder.store is not None and builder.store.has(_plain_run(builder, "corrupt", corruption, metric))


def _about(builder: Builder, corruption: Declaration, metric: str) -> list[Any]:
    return [builder.identity(corruption.name), builder.identity(metric)]


def _plain_run(builder: Builder, run: str, corruption: Declaration, metric: str) -> str:
    return stored.key_of(run, about=_about(builder, corruption, metric))


def circuit_values(
    builder: Builder, corruption: Declaration, metric: str, circuit: Circuit
) -> tuple[float, ...]:
    """A metric of every prompt with everything outside a circuit corrupted, not normalised."""

    def make() -> tuple[float, ...]:
        values = circuit_metric(builder.contrast(corruption), circuit, builder.get(metric))
        return tuple(values.tolist())

    def key() -> str:
        about = _about(builder, corruption, metric)
        return stored.key_of("circuit", about=about, circuit=stored.identity(circuit))

    return builder.kept(key, stored.NUMBERS, make)


def faithfulness(
    builder: Builder, corruption: Declaration, metric: str, circuit: Circuit, how: Resampling
) -> Estimate:
    """A circuit's faithfulness and its interval, to stable digits."""
    values = circuit_values(builder, corruption, metric, circuit)
    found = baseline(builder, corruption, metric).faithfulness(values, how)
    return of_whole(found, builder.contrast(corruption).model.digits)


def null(
    builder: Builder,
    corruption: Declaration,
    metric: str,
    circuit: Circuit,
    values: Arguments,
    observed: float | None = None,
) -> Null:
    """A circuit's faithfulness beside that of random circuits, to stable digits."""
    once = Resampling(resamples=1)
    report, found = builder.steps(f"{metric} of random circuits"), []
    for done, each in enumerate(drawn(circuit, values), 1):
        found.append(faithfulness(builder, corruption, metric, each, once).value)
        report(done, values["draws"])
    if observed is None:
        observed = faithfulness(builder, corruption, metric, circuit, once).value
    return Null(observed, tuple(found))


def drawn(circuit: Circuit, values: Arguments) -> Iterator[Circuit]:
    """The random circuits beside a circuit that a block or a function asks for."""
    how = {key: values[key] for key in ("seed", "connected")}
    return random_circuits(circuit.graph, len(circuit), values["draws"], **how)


# Functions of claims --------------------------------------------------------------------------------------


def evaluate(builder: Builder, function: str, arguments: Arguments) -> Value:
    """The value of a function in a claim; one of a mean over prompts with its interval."""
    values = {
        key: builder.get(value.name) if isinstance(value, Ref) else value for key, value in arguments.items()
    }
    corruption = arguments.get("corruption")
    if not isinstance(corruption, Ref):
        return _OF_RESULTS[function](values)
    declaration = builder.program.declarations[corruption.name]
    with placed(declaration):
        return _OF_PROMPTS[function](builder, declaration, arguments["metric"].name, values)


def _faithfulness(builder: Builder, corruption: Declaration, metric: str, values: Arguments) -> Value:
    return faithfulness(builder, corruption, metric, values["circuit"], resampling(values))


def _unpatched(
    run: str, builder: Builder, corruption: Declaration, metric: str, values: Arguments
) -> Estimate:
    between = baseline(builder, corruption, metric)
    prompts = between.clean if run == "clean" else between.corrupt
    found, digits = between.mean(prompts, resampling(values)), builder.contrast(corruption).model.digits
    if between.metric.normalize:
        return of_whole(found, digits)
    return found.rounded(decimals(prompts, digits))


def _random_p(builder: Builder, corruption: Declaration, metric: str, values: Arguments) -> Value:
    return null(builder, corruption, metric, values["circuit"], values).p


def _knocked_out(
    function: str, builder: Builder, corruption: Declaration, metric: str, values: Arguments
) -> Estimate:
    contrast, measured, circuit = builder.contrast(corruption), builder.get(metric), values["circuit"]

    def make() -> Estimate:
        by, how = values["by"], resampling(values)
        if function == "minimality":
            found = least(minimality(contrast, circuit, measured, by=by, how=how))
        else:
            sets = {key: values[key] for key in ("draws", "greedy", "seed")}
            found = incompleteness(completeness(contrast, circuit, measured, by=by, how=how, **sets))
        return of_whole(found.difference, contrast.model.digits)

    def key() -> str:
        asked = {k: v for k, v in values.items() if k not in ("circuit", "metric", "corruption", "bound")}
        about = [*_about(builder, corruption, metric), stored.identity(circuit)]
        return stored.key_of(function, about=about, groups=dict(circuit.groups), asked=asked)

    return builder.kept(key, stored.ESTIMATE, make)


_OF_PROMPTS: Mapping[str, Callable[[Builder, Declaration, str, Arguments], Value]] = {
    "faithfulness": _faithfulness,
    "random_p": _random_p,
    "incompleteness": partial(_knocked_out, "incompleteness"),
    "minimality": partial(_knocked_out, "minimality"),
    "clean": partial(_unpatched, "clean"),
    "corrupt": partial(_unpatched, "corrupt"),
}


def _overlap(measure: str, values: Arguments) -> float:
    found: float = getattr(agreement(values["circuit"], values["reference"], by=values["by"]), measure)
    return found


def _area(name: str, values: Arguments) -> Value:
    found: Estimate = values["curve"].areas[name]
    return found


def _score(values: Arguments) -> Value:
    scores = values["scores"]
    if not isinstance(scores, NodeScores):
        hint = "write by = nodes in the block of these scores"
        raise MethodError("C579", "expected scores of nodes, found scores of edges", hint=hint)
    node, column = values["node"], values["column"]
    found = scores.estimate(node, column)
    if found is None and values["bound"] is not None:
        hint = "remove bound; attribution and weight scores have no intervals"
        raise MethodError("C561", f"the scores of {node} have no intervals", hint=hint)
    return scores.value(node, column) if found is None else found


_AREAS = {"steps": "auc", "lines": "auc by lines"}
_OF_RESULTS: Mapping[str, Callable[[Arguments], Value]] = {
    "recall": partial(_overlap, "recall"),
    "precision": partial(_overlap, "precision"),
    "jaccard": partial(_overlap, "jaccard"),
    "overlap_p": lambda values: overlap_p(values["circuit"], values["reference"], by=values["by"]),
    "cpr": partial(_area, "cpr"),
    "cmd": partial(_area, "cmd"),
    "score": _score,
    "auc": lambda values: values["curve"].areas[_AREAS[values["between"]]].value,
}


def bounded(value: Value, expression: Expression) -> float:
    """The number that a claim is about: the value, or the end of its interval that is asked for.

    Raises:
        MethodError: C561, the prompts do not bound this end.
    """
    if not isinstance(value, Estimate):
        return value
    bound = expression.arguments.get("bound") if isinstance(expression, Apply) else None
    if bound is None:
        return value.value
    found = value.low if bound == "low" else value.high
    if not math.isfinite(found):
        raise MethodError(
            "C561",
            f"this interval has no {'lower' if bound == 'low' else 'upper'} bound",
            hint="use more prompts: one prompt, or a few of which some have no effect, give no bound",
        )
    return found


# What they cost: masked forwards of circuits --------------------------------------------------------------


def _of_circuits(costing: Costing, at: Setting, count: int, *, plain: bool) -> Priced:
    """At most the metric of so many circuits, and of both plain runs where nothing has measured it yet."""
    cost = costing.runs(at, "corrupt") + at.total(
        lambda prompts: (
            costs.masked(at.sizes, at.graph, prompts) * count
            + costs.heads_apart(at.sizes, at.graph, prompts)  # of the corrupted run
            + costs.measured(at.sizes, prompts) * (2 if plain else 0)
        )
    )
    return at.priced(replace(cost, at_most=True))


def cost_of_circuits(costing: Costing, declaration: Declaration, name: str, count: int) -> Priced:
    """At most what a block takes that measures so many circuits of the graph of `name`."""
    corruption, metric = (costing.declaration(declaration, key) for key in ("corruption", "metric"))
    plain = not is_measured(costing, corruption, metric.name)
    at = costing.measuring(corruption, metric.name, costing.graph_of(name))
    return _of_circuits(costing, at, count, plain=plain)


def cost_of_claim(costing: Costing, claim: Apply) -> Priced | None:
    """At most what a function of a claim takes; None if it is about a result alone."""
    values: Any = claim.arguments
    corruption, metric, circuit = (values.get(key) for key in ("corruption", "metric", "circuit"))
    if not isinstance(corruption, Ref) or not isinstance(metric, Ref):
        return None
    about = costing.program.declarations[corruption.name]
    plain = not is_measured(costing, about, metric.name)
    if not isinstance(circuit, Ref):
        return _of_circuits(costing, costing.measuring(about, metric.name, None), 0, plain=plain)
    graph = costing.graph_of(circuit.name)
    runs = 1
    if claim.function == "random_p":
        runs += values["draws"]
    elif claim.function in ("incompleteness", "minimality"):
        parts = _parts(costing, circuit.name, graph, values["by"])
        searched = 1 + values["draws"] + values["greedy"] * parts if "draws" in values else 1 + parts
        runs = 2 * (parts + searched)
    return _of_circuits(costing, costing.measuring(about, metric.name, graph), runs, plain=plain)


def _parts(costing: Costing, name: str, graph: Graph, by: str) -> int:
    """At most how many parts a circuit has that can be knocked out."""
    circuit: Circuit | None = costing.recalled(name)
    if circuit is not None:
        return {"nodes": len(circuit.nodes), "edges": len(circuit), "groups": len(circuit.groups)}[by]
    asked: Any = costing.program.declarations[name].values.get("edges", graph.n_edges)
    edges = min(asked, graph.n_edges)
    return edges if by == "edges" else min(edges, len(graph.senders))
