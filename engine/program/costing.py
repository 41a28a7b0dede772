"""What the declarations and claims of a program will cost, before they are computed.

What a method costs is beside how it is built (`nncirc.engine.blocks`); here it is looked up, turned into
seconds, and left out where a run would find the result in the store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from nncirc.circuits.errors import NncircError
from nncirc.circuits.graph import Graph
from nncirc.dsl.check.program import Declaration, Ref
from nncirc.engine.methods.costs import FREE, Cost, Prompts, Speed, plain_forward, prompts_of, written
from nncirc.engine.model.model import Model
from nncirc.engine.program.build import Builder, fitted
from nncirc.engine.runs.batches import batches
from nncirc.engine.runs.columns import by_position


@dataclass(frozen=True, slots=True)
class Setting:
    """What a method, or a function of a claim, is to run on.

    Attributes:
        costing: builds what `values` name.
        values: the keys of the declaration, or the arguments of the function.
        model: what runs.
        prompts: its batches.
        contrast: of the corruption; None for what only reads prompts.
        metric: what is measured; None for what only reads prompts.
        columns: how many positions are read, where nothing is corrupted.
    """

    costing: Costing
    values: Mapping[str, Any]
    model: Model
    prompts: tuple[Prompts, ...]
    contrast: Any = None
    metric: Any = None
    columns: int = 0

    @property
    def graph(self) -> Graph:
        """Its own, or that of the scores or of the first circuit that it is about; else the whole model's."""
        return self.costing.graph_of(self.values) or self.model.graph()

    def runs(self, *which: str) -> Cost:
        """The `clean` and the `corrupt` run, if no earlier result has made them."""
        new = {(self.values["corruption"].name, each) for each in which} - self.costing.known
        self.costing.known.update(new)
        return sum((written(self.contrast, each) for _, each in sorted(new)), FREE)

    def total(self, each: Callable[[Prompts], Cost]) -> Cost:
        """The cost of all batches."""
        return sum(map(each, self.prompts), FREE)


@dataclass
class Costing(Builder):
    """A builder that estimates what building takes, of declarations in the order in which a run builds them.

    Attributes:
        timed: by the name of a model whose weights are not there one of the same widths and fewer layers,
            which is timed in its place; None for a model without such a stand-in.
        known: the runs that are made already, by corruption and `clean` or `corrupt`.
    """

    timed: dict[str, Model | None] = field(default_factory=dict)
    known: set[tuple[str, str]] = field(default_factory=set)

    def foretold(self, declaration: Declaration) -> Cost | None:
        """What building a declaration will take; None where nothing runs, or it is not known."""
        cost = self.blocks[declaration.kind, declaration.implementation].cost
        if cost is None or declaration.values.get("metric", True) is None:
            return None
        return FREE if self.is_there(declaration) else self.priced(declaration.values, cost)

    def is_there(self, declaration: Declaration) -> bool:
        """Whether a run would take a result as a whole from the store."""
        return declaration.kind in ("scores", "circuit") and self.is_stored(declaration)

    def priced(self, values: Mapping[str, Any], cost: Callable[[Setting], Cost]) -> Cost | None:
        """A cost, with plain forwards and seconds; a model's speed on its largest batch is measured once."""
        with suppress(NncircError):  # what is wrong with it, the run will say
            at = self.setting(values)
            found, largest = cost(at), max(at.prompts, key=lambda each: each.tokens)
            unit = at.total(lambda each: plain_forward(at.model, each))
            found = replace(found, forwards=found.multiplications / unit.multiplications, seconds=None)
            model = self.timed.get(at.model.name, at.model)
            if model is None:
                return found
            shared = "speed", at.model.name, largest
            speed = self.shared(shared, lambda: Speed.of(model, largest, at.model.shape))
            return replace(found, seconds=speed.seconds(found))
        return None

    def setting(self, values: Mapping[str, Any]) -> Setting:
        """What the keys of a method name."""
        declarations = self.program.declarations
        if isinstance(values.get("corruption"), Ref):
            contrast = fitted(self.contrast(declarations[values["corruption"].name]), self.graph_of(values))
            metric = self.get(values["metric"].name)
            prompts = tuple(prompts_of(contrast, metric))
            return Setting(self, values, contrast.model, prompts, contrast, metric)
        data = declarations[values["source" if "source" in values else "data"].name]
        model, dataset = self.model_of(data), self.get(data.name)
        positions = values.get("positions")
        columns = 0 if positions is None else len(by_position(dataset, positions)[1])
        found = batches(model, dataset, batch=self.batch, memory=self.memory)
        return Setting(self, values, model, tuple(Prompts(*b.clean.shape) for b in found), columns=columns)
