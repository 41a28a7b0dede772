"""What the declarations and claims of a program will cost, before they are computed.

What a method costs stands beside how it is built (`nncirc.engine.blocks`); here it is looked up,
turned into seconds, and left out where a run would find the result in the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from torch.nn import Module

from nncirc.circuits.errors import NncircError, ResourceError
from nncirc.circuits.graph import Graph
from nncirc.dsl.check.program import Apply, Assertion, Declaration, Ref, leaves
from nncirc.engine.methods.acdc_cost import Decisions
from nncirc.engine.methods.costs import FREE, Cost, Prompts, Sizes, Speed, plain_forward, prompts_of, written
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.model.model import Model
from nncirc.engine.program.build import Builder
from nncirc.engine.runs.contrast import Contrast


@dataclass(frozen=True, slots=True)
class Priced:
    """A cost, and the model and prompts that it is of: what it is told in plain forwards of."""

    cost: Cost
    model: Model
    prompts: Sequence[Prompts]


@dataclass(frozen=True, slots=True)
class Foretold:
    """What a result will take.

    Attributes:
        seconds: on this machine, if nothing else runs on it.
        forwards: multiplications, in those of a plain forward of all prompts.
        cost: what was counted.
        stored: whether the result is in the store.
    """

    seconds: float
    forwards: float
    cost: Cost
    stored: bool = False


STORED = Foretold(0.0, 0.0, FREE, stored=True)

CostOf: TypeAlias = Callable[["Costing", Declaration], Priced | None]


@dataclass
class Costing:
    """Costs of what a builder will compute, in the order in which it will.

    Args:
        builder: gives prompts, graphs and metrics.
        costs: what each method costs, by kind and implementation.
        claim: what a function of a claim costs.
        stand_in: gives for the name of a model whose weights are not there one of the same widths but fewer
            layers, which is timed in its place; None where the weights are there.

    Attributes:
        estimates: of ACDC the estimated effects, by graph, corruption and metric.
        decisions: likewise what it would decide, by threshold.
    """

    builder: Builder
    costs: dict[tuple[str, str], CostOf]
    claim: Callable[[Costing, Apply], Priced | None]
    stand_in: Callable[[str], Model | None] = lambda _: None
    estimates: dict[tuple[str, ...], Any] = field(default_factory=dict)
    decisions: dict[tuple[str, ...], dict[float, Decisions]] = field(default_factory=dict)
    _made: set[tuple[str, str]] = field(default_factory=set)
    _speeds: dict[tuple[str, Prompts], Speed] = field(default_factory=dict)

    def of(self, declaration: Declaration) -> Foretold | None:
        """What building a declaration will take; None where nothing runs, or it cannot be told."""
        find = self.costs.get((declaration.kind, declaration.implementation))
        if find is None:
            return None
        if declaration.kind in ("scores", "circuit") and self.builder.is_stored(declaration):
            return STORED
        # What is wrong with it, the run will say.
        with suppress(NncircError):
            found = find(self, declaration)
            return None if found is None else self.foretold(found)
        return None

    def of_claims(self, assertions: Iterable[Assertion]) -> Foretold:
        """What measuring claims will take, as far as it can be told."""
        seconds, forwards, total = 0.0, 0.0, FREE
        sides = (side for claim in assertions for side in (*leaves(claim.left), *leaves(claim.right)))
        for side in sides:
            found = None
            if isinstance(side, Apply):
                with suppress(NncircError):
                    found = self.claim(self, side)
            if found is not None:
                each = self.foretold(found)
                seconds, forwards, total = seconds + each.seconds, forwards + each.forwards, total + each.cost
        return Foretold(seconds, forwards, total)

    def foretold(self, priced: Priced) -> Foretold:
        """A cost in seconds and in plain forwards."""
        sizes = self.sizes(priced.model)
        unit = sum((plain_forward(sizes, each) for each in priced.prompts), FREE)
        forwards = priced.cost.multiplications / unit.multiplications
        return Foretold(self.speed(priced).seconds(priced.cost), forwards, priced.cost)

    def sizes(self, model: Model) -> Sizes:
        """The sizes of a model, whose weights may not be there.

        Raises:
            ResourceError: C701, not even a model of a few of its layers can be made here.
        """
        return Sizes.of(self._timed(model), model.shape)

    def _timed(self, model: Model) -> Model:
        found = self.stand_in(model.name) or model
        if not isinstance(found.module, Module):
            raise ResourceError("C701", f"{model.name} is too large for this machine", hint="use another")
        return found

    def speed(self, priced: Priced) -> Speed:
        """How fast the model is on its largest batch, measured once."""
        largest = max(priced.prompts, key=lambda each: each.tokens)
        key = priced.model.name, largest
        if key not in self._speeds:
            self._speeds[key] = Speed.of(self._timed(priced.model), largest, priced.model.shape)
        return self._speeds[key]

    # What a method's cost starts from ---------------------------------------------------------------------

    def setting(self, declaration: Declaration) -> Setting:
        """The contrast, metric and graph that the keys of a method name."""
        return self.measuring(
            self.builder.declaration(declaration, "corruption"),
            self.builder.declaration(declaration, "metric").name,
            self.builder.of(declaration, "graph") if declaration.values.get("graph") else None,
        )

    def measuring(self, corruption: Declaration, metric: str, graph: Graph | None) -> Setting:
        """A metric on the prompts of a corruption."""
        contrast, measured = self.builder.contrast(corruption), self.builder.get(metric)
        prompts = tuple(prompts_of(contrast, measured))
        sizes = self.sizes(contrast.model)
        return Setting(corruption.name, contrast, measured, graph or contrast.model.graph(), sizes, prompts)

    def runs(self, at: Setting, *which: str) -> Cost:
        """The `clean` and the `corrupt` run, if no earlier result has made them."""
        new = [each for each in which if (at.corruption, each) not in self._made]
        self._made.update((at.corruption, each) for each in new)
        return sum((written(at.sizes, at.contrast, each) for each in new), FREE)

    def graph_of(self, name: str) -> Graph:
        """The graph that scores or a circuit are of."""
        declaration = self.builder.program.declarations[name]
        while not isinstance(declaration.values.get("graph"), Ref):
            ref = declaration.values.get("scores")
            if not isinstance(ref, Ref):
                circuits: Any = declaration.values["circuits"]
                ref = circuits[0]
            declaration = self.builder.program.declarations[ref.name]
        graph: Graph = self.builder.of(declaration, "graph")
        return graph


@dataclass(frozen=True, slots=True)
class Setting:
    """What a method runs on."""

    corruption: str
    contrast: Contrast
    metric: Metric
    graph: Graph
    sizes: Sizes
    prompts: tuple[Prompts, ...]

    def priced(self, cost: Cost) -> Priced:
        """A cost on these prompts."""
        return Priced(cost, self.contrast.model, self.prompts)

    def total(self, each: Callable[[Prompts], Cost]) -> Cost:
        """The cost of all batches."""
        return sum(map(each, self.prompts), FREE)
