"""What a program's results will take: seconds and forwards for each declaration, before it is computed.

A plain forward, the unit, is all prompts through the model with logits at every position.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch.nn import Module

from nncirc.circuits.circuit import Circuit
from nncirc.circuits.errors import NncircError, ResourceError
from nncirc.circuits.graph import Graph
from nncirc.dsl.program import Apply, Assertion, Declaration, Ref, leaves
from nncirc.engine.contrast import Contrast, Run
from nncirc.engine.metrics import Metric
from nncirc.engine.model import Model
from nncirc.engine.program.build import Builder
from nncirc.engine.program.forecast import methods
from nncirc.engine.program.forecast.claims import of_claim
from nncirc.engine.program.forecast.declared import WORK
from nncirc.engine.program.forecast.methods import Prompts, prompts_of
from nncirc.engine.program.forecast.prediction import NOTHING_RUNS, STORED, Prediction, predicted
from nncirc.engine.program.forecast.rates import Rates
from nncirc.engine.program.forecast.sweep import Played, Sweep
from nncirc.engine.program.forecast.work import NOTHING, Sizes, Work
from nncirc.engine.program.methods.evaluation import circuit_key, drawn
from nncirc.engine.reading import Reading, reading


@dataclass
class Forecast:
    """Predicts what a builder will compute, in the order in which it will.

    What a run has computed for one result, such as the corrupted run, is there for the next.

    Args:
        builder: gives prompts, graphs and metrics.
        stand_in: gives for the name of a model whose weights are not there one of the same sizes but fewer
            layers, whose rates are measured in its place; None where the weights are there.

    Attributes:
        played: ACDC as it was played through, by all that its block says but the threshold.
        found: likewise, by the declaration.
        sweeps: what runs of ACDC have in common.
    """

    builder: Builder
    stand_in: Callable[[str], Model | None] = lambda _: None
    played: dict[tuple[str, ...], list[Played]] = field(default_factory=dict)
    found: dict[str, Played] = field(default_factory=dict)
    sweeps: dict[tuple[str, ...], Sweep] = field(default_factory=dict)
    _rates: dict[tuple[Any, ...], Rates] = field(default_factory=dict)
    _done: set[tuple[str, ...]] = field(default_factory=set)

    def of(self, declaration: Declaration) -> Prediction | None:
        """What building a declaration will take; None where nothing runs, or it cannot be told."""
        find = WORK.get((declaration.kind, declaration.implementation))
        if find is None:
            return None
        if declaration.kind in ("scores", "circuit") and self.builder.is_stored(declaration):
            return STORED
        # What is wrong with it, the run will say.
        with suppress(NncircError):
            return find(self, declaration)
        return None

    def of_claims(self, assertions: Iterable[Assertion]) -> Prediction:
        """What measuring claims will take, as far as it can be told."""
        total = NOTHING_RUNS
        sides = (side for claim in assertions for side in (*leaves(claim.left), *leaves(claim.right)))
        for side in sides:
            if isinstance(side, Apply):
                with suppress(NncircError):
                    total += of_claim(self, side)
        return total

    # What a prediction starts from --------------------------------------------------------------------------

    def setting(self, corruption: Declaration, metric: str) -> tuple[Contrast, Metric, Rates]:
        """A contrast, a metric, and the rates of the model on these prompts."""
        contrast, measured = self.builder.contrast(corruption), self.builder.get(metric)
        prompts = list(prompts_of(contrast, measured))
        where = reading(measured, contrast.dataset, contrast.batches[0].examples[:1])
        return contrast, measured, self.rates((corruption.name,), contrast.model, measured, where, prompts)

    def rates(
        self,
        about: tuple[str, ...],
        model: Model,
        metric: Metric,
        where: Reading | None,
        prompts: Sequence[Prompts],
    ) -> Rates:
        """The rates of a model, measured once for what they are about and a metric.

        Args:
            about: the prompts, by name.
            model: whose rates.
            metric: what is read.
            where: where in one prompt; None where no metric is read.
            prompts: all of them.
        """
        key = *about, metric
        if key not in self._rates:
            stand_in = self.stand_in(model.name)
            if stand_in is None and not isinstance(model.module, Module):
                raise ResourceError(
                    "C701", f"{model.name} and a model of its sizes are too large to be timed"
                )
            sizes = Sizes.of(stand_in or model, model.shape)
            tokens, length = max(p.tokens for p in prompts), max(p.length for p in prompts)
            self._rates[key] = Rates(stand_in or model, sizes, metric, where, tokens, length)
        return self._rates[key]

    def of_method(self, declaration: Declaration) -> tuple[Contrast, Metric, Rates]:
        """What the keys of a method name."""
        corruption, metric = (self.builder.declaration(declaration, key) for key in ("corruption", "metric"))
        return self.setting(corruption, metric.name)

    def runs(self, corruption: str, contrast: Contrast, rates: Rates, *which: str) -> Work:
        """The `clean` and the `corrupt` run, if no earlier result has made them."""
        found = NOTHING
        for each in which:
            if self._first("written", each, corruption):
                plain = sum((methods.forward(rates.sizes, p) for p in prompts_of(contrast, None)), NOTHING)
                found += plain if each == "clean" else methods.substitution(rates.sizes, contrast)
        return found

    @staticmethod
    def masked(
        contrast: Contrast, metric: Metric, rates: Rates, graph: Graph, *, touched: float = 1.0
    ) -> Work:
        """A masked forward of all prompts, with edges into some share of the receivers cut."""
        cut = int(touched * graph.n_edges)
        prompts = prompts_of(contrast, metric)
        return sum((methods.masked(rates.sizes, graph, p, cut, touched=touched) for p in prompts), NOTHING)

    def values(self, corruption: str, contrast: Contrast, metric: Metric, rates: Rates, *which: str) -> Work:
        """The metric on the `clean` or `corrupt` run, if nothing has measured it yet.

        What normalises a metric is measured before any method runs.
        """
        found = NOTHING
        for each in which:
            if metric.normalize or not self._first("values", each, corruption, str(metric)):
                continue
            prompts = list(prompts_of(contrast, metric))
            if each == "clean" or isinstance(contrast.corruption, Run):
                found += sum((methods.measured(rates.sizes, p) for p in prompts), NOTHING)
            else:
                graph = contrast.model.graph()
                found += sum((methods.masked(rates.sizes, graph, p, 0) for p in prompts), NOTHING)
        return found

    def _first(self, *what: str) -> bool:
        """Whether this is computed here for the first time."""
        if what in self._done:
            return False
        self._done.add(what)
        return True

    def prediction(self, work: Work, contrast: Contrast, rates: Rates, **more: Any) -> Prediction:
        """Of work on the prompts of a contrast."""
        return predicted(work, rates, list(prompts_of(contrast, None)), **more)

    def graph_of(self, name: str) -> Graph:
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

    # What is in the store --------------------------------------------------------------------------------

    def is_new(self, key: Callable[[], str]) -> bool:
        """Whether nothing is stored under a key, by an earlier run or by what is predicted before this."""
        store = self.builder.store
        if store is None:
            return True
        under = key()
        return self._first("stored", under) and not store.has(under)

    def unmeasured(self, corruption: Declaration, metric: str, circuits: Iterable[Circuit]) -> int:
        """Of how many circuits the metric has to be measured."""
        about = self.builder, corruption, metric
        return sum(self.is_new(partial(circuit_key, *about, circuit)) for circuit in circuits)

    def measurements(
        self, corruption: Declaration, metric: str, name: str, values: Mapping[str, Any], *, draws: int = 0
    ) -> int:
        """How many circuits are measured: one, and so many random ones beside it.

        What the store has of them is known by their edges, and so only when the circuit has been found.

        Args:
            corruption: of what is outside a circuit.
            metric: its name.
            name: of the circuit.
            values: of the block or function, which say how random circuits are drawn.
            draws: how many are.
        """
        circuit = self.builder.recalled(name)
        if circuit is None:
            return 1 + draws
        beside = drawn(circuit, values) if draws else ()
        return self.unmeasured(corruption, metric, (circuit, *beside))


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
        return sum(self.results.values(), self.claims)

    @property
    def memory(self) -> int:
        """Bytes of activations that the largest of them holds at once, as far as they are counted."""
        return max((each.memory or 0 for each in self.results.values()), default=0)


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
