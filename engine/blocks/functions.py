"""Functions of claims: what is measured of circuits prompt by prompt, with intervals, and what that costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from nncirc.circuits.chance import Null, overlap_p, random_circuits
from nncirc.circuits.circuit import Circuit
from nncirc.circuits.errors import MethodError
from nncirc.circuits.intervals import Estimate, Resampling
from nncirc.circuits.measures import agreement
from nncirc.circuits.rounding import decimals
from nncirc.dsl.check.program import Apply, Declaration, Expression, Ref
from nncirc.engine.evaluation.completeness import completeness, incompleteness, least, minimality
from nncirc.engine.evaluation.faithfulness import Baseline, circuit_metric, of_whole
from nncirc.engine.methods import costs
from nncirc.engine.methods.costs import MOST, Cost
from nncirc.engine.methods.scores import NodeScores
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.program import stored
from nncirc.engine.program.build import Builder, fitted
from nncirc.engine.program.costing import Setting
from nncirc.engine.program.places import placed
from nncirc.engine.runs.contrast import Contrast

Arguments: TypeAlias = Mapping[str, Any]
Value: TypeAlias = "float | Estimate"


def resampling(values: Arguments) -> Resampling:
    """The interval that a block or a function asks for."""
    return Resampling(values["resamples"], values["level"], values["seed"])


@dataclass(frozen=True, slots=True)
class Measuring:
    """What is measured of circuits under a corruption, by a metric: each number from the store, or else made.

    Attributes:
        builder: what builds them, and has the store.
        corruption: its declaration.
        name: of the metric.
    """

    builder: Builder
    corruption: Declaration
    name: str

    @property
    def contrast(self) -> Contrast:
        """Of the corruption."""
        return self.builder.contrast(self.corruption)

    @property
    def metric(self) -> Metric:
        """What is measured."""
        found: Metric = self.builder.get(self.name)
        return found

    @property
    def about(self) -> list[Any]:
        """What every number here depends on, for the key that it is stored under."""
        return [self.builder.identity(self.corruption.name), self.builder.identity(self.name)]

    def _plain_run(self, run: str) -> str:
        return stored.key_of(run, about=self.about)

    def is_stored(self) -> bool:
        """Whether an earlier run has stored the plain runs, between which every measurement lies."""
        store = self.builder.store
        return store is not None and store.has(self._plain_run("corrupt"))

    def baseline(self) -> Baseline:
        """The metric of every prompt on the clean and on the corrupted run."""
        contrast, metric = self.contrast, self.metric

        def kept(run: str, make: Callable[[Metric], Any]) -> tuple[float, ...]:
            key = partial(self._plain_run, run)
            return self.builder.kept(key, stored.NUMBERS, lambda: tuple(make(metric).tolist()))

        return Baseline(
            metric, kept("clean", contrast.clean_values), kept("corrupt", contrast.corrupt_values)
        )

    def values(self, circuit: Circuit) -> tuple[float, ...]:
        """The metric of every prompt with everything outside a circuit corrupted, not normalized."""
        return self.builder.kept(
            lambda: stored.key_of("circuit", about=self.about, circuit=stored.identity(circuit)),
            stored.NUMBERS,
            lambda: tuple(
                circuit_metric(fitted(self.contrast, circuit.graph), circuit, self.metric).tolist()
            ),
        )

    def faithfulness(self, circuit: Circuit, how: Resampling) -> Estimate:
        """A circuit's faithfulness and its interval, to stable digits."""
        found = self.baseline().faithfulness(self.values(circuit), how)
        return of_whole(found, self.contrast.model.digits)

    def null(self, circuit: Circuit, values: Arguments, observed: float | None = None) -> Null:
        """A circuit's faithfulness beside that of the random circuits that `values` ask for."""
        once = Resampling(resamples=1)
        how = {key: values[key] for key in ("seed", "connected")}
        report, found = self.builder.steps(f"{self.name} of random circuits"), []
        drawn = random_circuits(circuit.graph, len(circuit), values["draws"], **how)
        for done, each in enumerate(drawn, 1):
            found.append(self.faithfulness(each, once).value)
            report(done, values["draws"])
        if observed is None:
            observed = self.faithfulness(circuit, once).value
        return Null(observed, tuple(found))


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
        return _OF_PROMPTS[function](Measuring(builder, declaration, arguments["metric"].name), values)


def _unpatched(run: str, at: Measuring, values: Arguments) -> Estimate:
    between, digits = at.baseline(), at.contrast.model.digits
    prompts = between.clean if run == "clean" else between.corrupt
    found = between.mean(prompts, resampling(values))
    if between.metric.normalize:
        return of_whole(found, digits)
    return found.rounded(decimals(prompts, digits))


def _knocked_out(function: str, at: Measuring, values: Arguments) -> Estimate:
    measured, circuit = at.metric, values["circuit"]
    contrast = fitted(at.contrast, circuit.graph)

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
        about = [*at.about, stored.identity(circuit)]
        return stored.key_of(function, about=about, groups=dict(circuit.groups), asked=asked)

    return at.builder.kept(key, stored.ESTIMATE, make)


_OF_PROMPTS: Mapping[str, Callable[[Measuring, Arguments], Value]] = {
    "faithfulness": lambda at, values: at.faithfulness(values["circuit"], resampling(values)),
    "random_p": lambda at, values: at.null(values["circuit"], values).p,
    "incompleteness": partial(_knocked_out, "incompleteness"),
    "minimality": partial(_knocked_out, "minimality"),
    "clean": partial(_unpatched, "clean"),
    "corrupt": partial(_unpatched, "corrupt"),
}


def _overlap(measure: str, values: Arguments) -> float:
    found: float = getattr(agreement(values["circuit"], values["reference"], by=values["by"]), measure)
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
    "cpr": lambda values: values["curve"].areas["cpr"],
    "cmd": lambda values: values["curve"].areas["cmd"],
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


def cost_of_circuits(at: Setting, count: int) -> Cost:
    """At most the metric of so many circuits, and of both plain runs where nothing has measured it yet."""
    corruption = at.costing.program.declarations[at.values["corruption"].name]
    plain = not Measuring(at.costing, corruption, at.values["metric"].name).is_stored()
    circuits = at.total(
        lambda prompts: (
            costs.masked(at.model, at.graph, prompts) * count
            + costs.heads_apart(at.model, at.graph, prompts)  # of the corrupted run
            + costs.measured(at.model, prompts) * (2 if plain else 0)
        )
    )
    return MOST + at.runs("corrupt") + circuits


def cost_of_claim(function: str, at: Setting) -> Cost:
    """At most what a function of a claim takes."""
    values = at.values
    count = 1 if isinstance(values.get("circuit"), Ref) else 0
    if function == "random_p":
        count += values["draws"]
    elif function in ("incompleteness", "minimality"):
        parts = _parts(at)
        searched = 1 + values["draws"] + values["greedy"] * parts if "draws" in values else 1 + parts
        count = 2 * (parts + searched)
    return cost_of_circuits(at, count)


def _parts(at: Setting) -> int:
    """At most how many parts a circuit has that can be knocked out."""
    name, by = at.values["circuit"].name, at.values["by"]
    circuit: Circuit | None = at.costing.recalled(name)
    if circuit is not None:
        return {"nodes": len(circuit.nodes), "edges": len(circuit), "groups": len(circuit.groups)}[by]
    asked: Any = at.costing.program.declarations[name].values.get("edges", at.graph.n_edges)
    edges = min(asked, at.graph.n_edges)
    return edges if by == "edges" else min(edges, len(at.graph.senders))
