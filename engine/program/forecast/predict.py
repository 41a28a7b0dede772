"""What a program's results will take: seconds and forwards for each declaration, before it is computed.

A plain forward, the unit, is all prompts through the model with logits at every position.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch

from nncirc.circuits.areas import SHARES
from nncirc.circuits.errors import NncircError
from nncirc.circuits.graph import Graph
from nncirc.dsl.program import Apply, Assertion, Declaration, Ref, leaves
from nncirc.engine.activation import columns_of, mask_of
from nncirc.engine.contrast import Contrast, Zero
from nncirc.engine.metrics import Metric
from nncirc.engine.model import Model
from nncirc.engine.program.build import Builder
from nncirc.engine.program.forecast import methods
from nncirc.engine.program.forecast.methods import Prompts, prompts_of
from nncirc.engine.program.forecast.rates import Rates
from nncirc.engine.program.forecast.sweep import Played, Sweep, effects, reads_of
from nncirc.engine.program.forecast.work import NOTHING, Sizes, Work
from nncirc.engine.program.methods.evaluation import is_measured
from nncirc.engine.program.methods.scores import patched_positions
from nncirc.engine.reading import reading

QUERY_KEY_FORWARDS = 12


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a result will take.

    Attributes:
        seconds: on this machine, if nothing else runs on it.
        forwards: multiplications, in those of a plain forward.
        tested: of ACDC, how many edges will be tested.
        at_most: whether these are upper bounds: nothing is known of the weights.
        stored: whether the result is in the store.
    """

    seconds: float
    forwards: float
    tested: int | None = None
    at_most: bool = False
    stored: bool = False

    def as_json(self) -> dict[str, Any]:
        """As JSON values, rounded to what they are worth."""
        found: dict[str, Any] = {"seconds": round(self.seconds, 4), "forwards": round(self.forwards, 2)}
        if self.tested is not None:
            found["tested"] = self.tested
        return found | ({"at_most": True} if self.at_most else {}) | ({"stored": True} if self.stored else {})


STORED = Prediction(0.0, 0.0, stored=True)
NOTHING_RUNS = Prediction(0.0, 0.0)


@dataclass
class Forecast:
    """Predicts what a builder will compute, in the order in which it will.

    What a run has computed for one result, such as the corrupted run, is there for the next.

    Args:
        builder: gives prompts, graphs and metrics.
        stand_in: gives for the name of a model whose weights are not there one of the same sizes but fewer
            layers, whose rates are measured in its place; None where the weights are there.
    """

    builder: Builder
    stand_in: Callable[[str], Model | None] = lambda _: None
    _rates: dict[tuple[str, str], Rates] = field(default_factory=dict)
    _played: dict[tuple[str, ...], list[Played]] = field(default_factory=dict)
    _estimates: dict[tuple[str, ...], Sweep] = field(default_factory=dict)
    _done: set[tuple[str, str]] = field(default_factory=set)

    def of(self, declaration: Declaration) -> Prediction | None:
        """What building a declaration will take; None where nothing runs, or it cannot be told."""
        find = _WORK.get((declaration.kind, declaration.implementation))
        if find is None:
            return None
        builder = self.builder
        graph = self._graph_of(declaration)
        if graph is not None and (graph.positions or graph.neurons):
            return None
        if declaration.kind != "curve" and builder.is_stored(declaration):
            return STORED
        # What is wrong with it, the run will say.
        with suppress(NncircError):
            return find(self, declaration)
        return None

    def of_claims(self, assertions: Iterable[Assertion]) -> Prediction:
        """What measuring claims will take, as far as it can be told."""
        seconds = forwards = 0.0
        sides = (side for claim in assertions for side in (*leaves(claim.left), *leaves(claim.right)))
        for side in sides:
            if isinstance(side, Apply):
                with suppress(NncircError):
                    found = self._claim(side)
                    seconds, forwards = seconds + found.seconds, forwards + found.forwards
        return Prediction(seconds, forwards)

    # What a prediction starts from --------------------------------------------------------------------------

    def _graph_of(self, declaration: Declaration) -> Graph | None:
        found: Graph | None = None
        if isinstance(declaration.values.get("graph"), Ref):
            found = self.builder.of(declaration, "graph")
        return found

    def _setting(self, corruption: Declaration, metric: str) -> tuple[Contrast, Metric, Rates]:
        contrast, measured = self.builder.contrast(corruption), self.builder.get(metric)
        key = corruption.name, metric
        if key not in self._rates:
            stand_in = self.stand_in(contrast.model.name)
            sizes = Sizes.of(stand_in or contrast.model, contrast.model.shape)
            prompts = list(prompts_of(contrast, measured))
            where = reading(measured, contrast.dataset, contrast.batches[0].examples[:1])
            tokens, length = max(p.tokens for p in prompts), max(p.length for p in prompts)
            self._rates[key] = Rates(stand_in or contrast.model, sizes, measured, where, tokens, length)
        return contrast, measured, self._rates[key]

    def _of_method(self, declaration: Declaration) -> tuple[Contrast, Metric, Rates, Graph]:
        """What the keys of a method name."""
        corruption, metric = (self.builder.declaration(declaration, key) for key in ("corruption", "metric"))
        graph: Graph = self.builder.of(declaration, "graph")
        return *self._setting(corruption, metric.name), graph

    def _runs(self, corruption: str, contrast: Contrast, rates: Rates, *, clean: bool = True) -> Work:
        """The clean and the corrupted run, if no earlier result has made them."""
        found = NOTHING
        if clean and ("clean", corruption) not in self._done:
            found += sum((methods.forward(rates.sizes, p) for p in prompts_of(contrast, None)), NOTHING)
        if ("substitute", corruption) not in self._done:
            found += methods.substitution(rates.sizes, contrast)
        self._done |= {("clean", corruption), ("substitute", corruption)}
        return found

    def _prediction(self, work: Work, contrast: Contrast, rates: Rates, **more: Any) -> Prediction:
        unit = NOTHING
        for prompts in prompts_of(contrast, None):
            every = Prompts(prompts.count, prompts.length, prompts.length)
            unit += methods.measured(rates.sizes, every)
        forwards = work.multiplications(rates.sizes) / unit.multiplications(rates.sizes)
        return Prediction(rates.seconds(work), forwards, **more)

    # Methods ------------------------------------------------------------------------------------------------

    def _activation(self, declaration: Declaration) -> Prediction:
        contrast, metric, rates, graph = self._of_method(declaration)
        work = self._runs(self.builder.declaration(declaration, "corruption").name, contrast, rates)
        columns = columns_of(contrast.dataset, patched_positions(declaration))[1]
        for batch, prompts in zip(contrast.batches, prompts_of(contrast, metric), strict=True):
            masks = [mask_of(batch, column, torch.device("cpu")) for column in columns]
            work += methods.forward(rates.sizes, prompts)
            work += methods.patching(rates.sizes, contrast, graph, metric, batch, masks)
        return self._prediction(work, contrast, rates)

    def _attribution(self, declaration: Declaration) -> Prediction:
        values: Any = declaration.values
        contrast, metric, rates, graph = self._of_method(declaration)
        work = self._runs(values["corruption"].name, contrast, rates, clean=values["steps"] > 1)
        for prompts in prompts_of(contrast, metric):
            if metric.measure.against_clean:
                work += methods.measured(rates.sizes, prompts)
            each = methods.attribution(
                rates.sizes,
                graph,
                prompts,
                steps=values["steps"],
                along=values["along"],
                edges=values["by"] == "edges",
            )
            work += each * (rates.sizes.layers if values["grad_drop"] else 1)
            if values["correct_qk"]:
                work += methods.forward(rates.sizes, prompts) * QUERY_KEY_FORWARDS
        return self._prediction(work, contrast, rates)

    def _acdc(self, declaration: Declaration) -> Prediction:
        threshold: Any = declaration.values["threshold"]
        contrast, metric, rates, graph = self._of_method(declaration)
        about = tuple(
            self.builder.declaration(declaration, k).name for k in ("graph", "corruption", "metric")
        )
        prompts = list(prompts_of(contrast, metric))
        if self.stand_in(contrast.model.name) is not None:
            most = sum((methods.measured(rates.sizes, p) for p in prompts), NOTHING) * (2 + graph.n_edges)
            return self._prediction(most, contrast, rates, tested=graph.n_edges, at_most=True)
        if about not in self._estimates:
            reads, estimates = reads_of(contrast, metric), effects(contrast, graph, metric)
            self._estimates[about] = Sweep(rates.sizes, graph, prompts, reads, estimates, rates.seconds)
        sweep, others = self._estimates[about], self._played.setdefault(about, [])
        if isinstance(contrast.corruption, Zero) and contrast.model.dtype != torch.float64:
            played = sweep.sequential(threshold)
        else:
            played = sweep.play(threshold, others)
            others.append(played)
        work = self._runs(about[1], contrast, rates) + played.work
        return self._prediction(work, contrast, rates, tested=played.tested)

    def _statistics(self, declaration: Declaration) -> Prediction | None:
        values: Any = declaration.values
        data = self.builder.declaration(declaration, "data")
        model = self.builder.model_of(data)
        stand_in = self.stand_in(model.name)
        sizes = Sizes.of(stand_in or model, model.shape)
        by_length: dict[int, int] = {}
        for example in self.builder.get(data.name).examples:
            by_length[len(example.tokens)] = by_length.get(len(example.tokens), 0) + 1
        batches = [Prompts(count, length) for length, count in by_length.items()]
        patterns = sum((methods.statistics(sizes, p) for p in batches), NOTHING)
        work = sum((methods.copying(sizes) if of == "copying" else patterns for of in values["of"]), NOTHING)
        metric = Metric("logprob")
        # No metric is read.
        rates = Rates(stand_in or model, sizes, metric, None, max(p.tokens for p in batches), max(by_length))
        unit = sum((methods.measured(sizes, Prompts(p.count, p.length, p.length)) for p in batches), NOTHING)
        return Prediction(rates.seconds(work), work.multiplications(sizes) / unit.multiplications(sizes))

    def _faithfulness(self, declaration: Declaration) -> Prediction:
        values: Any = declaration.values
        corruption = self.builder.declaration(declaration, "corruption")
        if self._is_stored(values["scores"].name, corruption, values["metric"].name):
            return STORED
        contrast, metric, rates = self._setting(corruption, values["metric"].name)
        graph = self._graph(values["scores"].name)
        sizes = SHARES if values["edges"] == "mib" else values["edges"]
        work = self._masked(contrast, metric, rates, graph) * len(sizes)
        work += self._runs(corruption.name, contrast, rates, clean=False)
        for prompts in prompts_of(contrast, metric):
            work += methods.measured(rates.sizes, prompts) * 2 + methods.outputs(rates.sizes, prompts)
        return self._prediction(work, contrast, rates)

    @staticmethod
    def _masked(contrast: Contrast, metric: Metric, rates: Rates, graph: Graph) -> Work:
        each = (methods.masked(rates.sizes, graph, p, graph.n_edges) for p in prompts_of(contrast, metric))
        return sum(each, NOTHING)

    def _graph(self, name: str) -> Graph:
        """The graph that scores or a circuit are of."""
        graph: Graph = self.builder.of(self._origin(name), "graph")
        return graph

    def _origin(self, name: str) -> Declaration:
        """The method that scores or a circuit come from; of several circuits the first one's."""
        declaration = self.builder.program.declarations[name]
        while not isinstance(declaration.values.get("graph"), Ref):
            ref = declaration.values.get("scores")
            if not isinstance(ref, Ref):
                circuits: Any = declaration.values["circuits"]
                ref = circuits[0]
            declaration = self.builder.program.declarations[ref.name]
        return declaration

    def _is_stored(self, name: str, corruption: Declaration, metric: str) -> bool:
        """Whether an earlier run has measured a circuit, or circuits of scores, as far as one can know.

        A circuit is known by its edges, and those are known only when it has been found.
        """
        origin = self._origin(name)
        is_found = origin.implementation == "reference" or self.builder.is_stored(origin)
        return is_found and is_measured(self.builder, corruption, metric)

    def _claim(self, claim: Apply) -> Prediction:
        corruption, metric = claim.arguments.get("corruption"), claim.arguments.get("metric")
        if not isinstance(corruption, Ref) or not isinstance(metric, Ref):
            return NOTHING_RUNS
        circuit: Any = claim.arguments.get("circuit")
        about = self.builder.program.declarations[corruption.name]
        if isinstance(circuit, Ref):
            stored = self._is_stored(circuit.name, about, metric.name)
        else:
            stored = is_measured(self.builder, about, metric.name)
        if stored:
            return NOTHING_RUNS
        contrast, measured, rates = self._setting(about, metric.name)
        prompts: Sequence[Prompts] = list(prompts_of(contrast, measured))
        if claim.function in ("clean", "corrupt"):
            work = sum((methods.measured(rates.sizes, p) for p in prompts), NOTHING)
            return self._prediction(work, contrast, rates)
        times: Any = {"faithfulness": 1, "random_p": claim.arguments.get("draws")}.get(claim.function)
        if times is None or not isinstance(circuit, Ref):
            return NOTHING_RUNS
        graph = self._graph(circuit.name)
        work = self._masked(contrast, measured, rates, graph) * times
        return self._prediction(
            work + self._runs(corruption.name, contrast, rates, clean=False), contrast, rates
        )


@dataclass(frozen=True, slots=True)
class Predictions:
    """What results and claims of a program will take.

    Attributes:
        results: by the name of a declaration; those are missing of which nothing can be told.
        claims: of all claims together.
    """

    results: Mapping[str, Prediction] = field(default_factory=dict)
    claims: Prediction = NOTHING_RUNS

    @property
    def total(self) -> Prediction:
        """Of everything together."""
        every = [*self.results.values(), self.claims]
        at_most = any(each.at_most for each in every)
        return Prediction(sum(e.seconds for e in every), sum(e.forwards for e in every), at_most=at_most)


def forecast(
    builder: Builder,
    declarations: Iterable[Declaration],
    assertions: Iterable[Assertion] = (),
    stand_in: Callable[[str], Model | None] = lambda _: None,
) -> Predictions:
    """What will be computed for declarations and claims, in this order.

    Args:
        builder: gives prompts, graphs and metrics.
        declarations: what is asked for, and all that it needs.
        assertions: the claims.
        stand_in: as `Forecast` takes it.
    """
    how = Forecast(builder, stand_in)
    found = {each.name: prediction for each in declarations if (prediction := how.of(each)) is not None}
    return Predictions(found, how.of_claims(assertions))


_WORK: dict[tuple[str, str], Callable[[Forecast, Declaration], Prediction | None]] = {
    ("scores", "activation_patching"): Forecast._activation,
    ("scores", "attribution_patching"): Forecast._attribution,
    ("scores", "attention_statistics"): Forecast._statistics,
    ("circuit", "acdc"): Forecast._acdc,
    ("curve", "faithfulness"): Forecast._faithfulness,
}
