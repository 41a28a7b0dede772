"""What the declarations and claims of a program will cost, before they are computed.

What a method costs stands beside how it is built (`nncirc.engine.blocks`); here it is looked up,
turned into seconds, and left out where a run would find the result in the store.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace as with_fields
from typing import Any

from nncirc.circuits.errors import NncircError
from nncirc.circuits.graph import Graph
from nncirc.dsl.check.program import Declaration, Ref
from nncirc.engine.methods.costs import FREE, Cost, Prompts, Sizes, Speed, plain_forward, prompts_of, written
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.model.model import Model
from nncirc.engine.program.build import Builder
from nncirc.engine.runs.batches import batches
from nncirc.engine.runs.columns import by_position
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
        seconds: on this machine, if nothing else runs on it; None where not even a few layers fit there.
        forwards: multiplications, in those of a plain forward of all prompts.
        cost: what was counted.
        stored: whether the result is in the store.
    """

    seconds: float | None = 0.0
    forwards: float = 0.0
    cost: Cost = FREE
    stored: bool = False

    def __add__(self, other: Foretold) -> Foretold:
        known = self.seconds is not None and other.seconds is not None
        seconds = (self.seconds or 0.0) + (other.seconds or 0.0) if known else None
        return Foretold(seconds, self.forwards + other.forwards, self.cost + other.cost)


@dataclass(frozen=True, slots=True)
class Setting:
    """What a method runs on."""

    corruption: str
    contrast: Contrast
    metric: Metric
    graph: Graph
    sizes: Sizes
    prompts: tuple[Prompts, ...]

    def priced(self, cost: Cost, memory: int | None = None) -> Priced:
        """A cost on these prompts, which holds so many bytes at once."""
        return Priced(with_fields(cost, memory=memory), self.contrast.model, self.prompts)

    def total(self, each: Callable[[Prompts], Cost]) -> Cost:
        """The cost of all batches."""
        return sum(map(each, self.prompts), FREE)


@dataclass
class Costing(Builder):
    """A builder that tells what building takes, of declarations in the order in which a run builds them.

    Attributes:
        timed: by the name of a model whose weights are not there one of the same widths and fewer layers,
            which is timed in its place; None for a model without such a stand-in.
    """

    timed: dict[str, Model | None] = field(default_factory=dict)
    _known: set[tuple[str, str]] = field(default_factory=set)

    def foretold(self, declaration: Declaration) -> Foretold | None:
        """What building a declaration will take; None where nothing runs, or it cannot be told."""
        find = self.blocks[declaration.kind, declaration.implementation].cost
        if find is None:
            return None
        if declaration.kind in ("scores", "circuit") and self.is_stored(declaration):
            return Foretold(stored=True)
        with suppress(NncircError):  # what is wrong with it, the run will say
            found: Priced | None = find(self, declaration)
            return None if found is None else self.in_seconds(found)
        return None

    def in_seconds(self, priced: Priced) -> Foretold:
        """A cost in seconds and in plain forwards; a model's speed on its largest batch is measured once."""
        model, largest = priced.model, max(priced.prompts, key=lambda each: each.tokens)
        unit = sum((plain_forward(Sizes.of(model), each) for each in priced.prompts), FREE)
        forwards = priced.cost.multiplications / unit.multiplications
        runs = self.timed.get(model.name, model)
        if runs is None:
            return Foretold(None, forwards, priced.cost)
        speed = self.shared(("speed", model.name, largest), lambda: Speed.of(runs, largest, model.shape))
        return Foretold(speed.seconds(priced.cost), forwards, priced.cost)

    # What a method's cost starts from ---------------------------------------------------------------------

    def setting(self, declaration: Declaration) -> Setting:
        """The contrast, metric and graph that the keys of a method name."""
        return self.measuring(
            self.declaration(declaration, "corruption"),
            self.declaration(declaration, "metric").name,
            self.of(declaration, "graph") if declaration.values.get("graph") else None,
        )

    def measuring(self, corruption: Declaration, metric: str, graph: Graph | None) -> Setting:
        """A metric on the prompts of a corruption."""
        contrast, measured = self.contrast(corruption), self.get(metric)
        prompts, model = tuple(prompts_of(contrast, measured)), contrast.model
        return Setting(corruption.name, contrast, measured, graph or model.graph(), Sizes.of(model), prompts)

    def runs(self, at: Setting, *which: str) -> Cost:
        """The `clean` and the `corrupt` run, if no earlier result has made them."""
        new = [each for each in which if (at.corruption, each) not in self._known]
        self._known.update((at.corruption, each) for each in new)
        return sum((written(at.sizes, at.contrast, each) for each in new), FREE)

    def reading(
        self, declaration: Declaration, each: Callable[[Model, Prompts, int], Cost], key: str = "data"
    ) -> Priced:
        """At most what reading prompts takes.

        Args:
            declaration: of the method.
            each: gives the cost of a batch, from the model and how many columns are read.
            key: of the prompts.
        """
        positions: Any = declaration.values.get("positions")
        data = self.declaration(declaration, key)
        model, dataset, columns = self.model_of(data), self.get(data.name), 0
        if positions is not None:
            dataset, wheres = by_position(dataset, positions)
            columns = len(wheres)
        found = batches(model, dataset, batch=self.batch, memory=self.memory)
        prompts = [Prompts(*batch.clean.shape) for batch in found]
        cost = sum((each(model, part, columns) for part in prompts), FREE)
        return Priced(with_fields(cost, at_most=True), model, prompts)

    def graph_of(self, name: str) -> Graph:
        """The graph that scores or a circuit are of."""
        declaration = self.program.declarations[name]
        while not isinstance(declaration.values.get("graph"), Ref):
            ref = declaration.values.get("scores")
            if not isinstance(ref, Ref):
                circuits: Any = declaration.values["circuits"]
                ref = circuits[0]
            declaration = self.program.declarations[ref.name]
        graph: Graph = self.of(declaration, "graph")
        return graph
