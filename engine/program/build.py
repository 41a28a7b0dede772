"""What each declaration of a checked program stands for, built when something needs it, once."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from nncirc.circuits.graph import Graph
from nncirc.circuits.made import Made
from nncirc.dsl.check.program import Declaration, Program, Ref
from nncirc.engine.model.model import Model
from nncirc.engine.model.ungrouped import counts_by_heads
from nncirc.engine.program import stored
from nncirc.engine.program.places import placed
from nncirc.engine.program.store import Store
from nncirc.engine.runs.columns import columns_of
from nncirc.engine.runs.contrast import Contrast

T = TypeVar("T")

Progress: TypeAlias = Callable[[int, int], None]


class _NotStoredError(Exception):
    """What is only recalled is not in the store."""


@dataclass
class Builder:
    """Builds what declarations stand for.

    Args:
        program: the checked program.
        blocks: by kind and implementation what has a `build`: see `nncirc.engine.blocks.blocks`.
        batch: most prompts in one trace; None for as many of one length as fit.
        memory: most bytes of activations; None for half of what is free.
        progress: gives each declaration's name a callback for work done and work in all.
        store: results of earlier runs; None to compute everything.
        allow_code: whether functions of the script's own may be called.
    """

    program: Program
    blocks: Mapping[tuple[str, str], Any]
    batch: int | None = None
    memory: int | None = None
    progress: Callable[[str], Progress | None] = lambda _: None
    store: Store | None = None
    allow_code: bool = False
    built: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    restored: set[str] = field(default_factory=set)
    _identities: dict[str, Any] = field(default_factory=dict)
    _shared: dict[Hashable, Any] = field(default_factory=dict)
    _recalls: bool = False

    def get(self, name: str) -> Any:
        """What a declaration stands for.

        Raises:
            ProgramError: whatever went wrong, with the declaration's place.
        """
        if name not in self.built:
            for declaration in self.program.needed([name], self.built):
                self._build(declaration)
        return self.built[name]

    def _build(self, declaration: Declaration) -> None:
        """Build one whose references are built."""
        name = declaration.name
        wall, cpu = time.perf_counter(), time.process_time()
        hits, misses = (self.store.hits, self.store.misses) if self.store else (0, 0)
        with placed(declaration):
            made = self.blocks[declaration.kind, declaration.implementation].build(self, declaration)
        self.built[name] = made
        if self.store and self.store.hits > hits and self.store.misses == misses:
            self.restored.add(name)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        self.seconds[name] = {"wall": round(wall, 4), "cpu": round(cpu, 4)}

    def recalled(self, name: str) -> Any:
        """What a declaration stands for, if all that takes time is in the store; None otherwise."""
        self._recalls = True
        try:
            return self.get(name)
        except _NotStoredError:
            return None
        finally:
            self._recalls = False

    def of(self, declaration: Declaration, key: str) -> Any:
        """What the declaration under a key builds; None if the key names no declaration."""
        value = declaration.values[key]
        return self.get(value.name) if isinstance(value, Ref) else None

    def declaration(self, declaration: Declaration, key: str) -> Declaration:
        """The declaration under a key."""
        value = declaration.values[key]
        assert isinstance(value, Ref)
        return self.program.declarations[value.name]

    def model_of(self, dataset: Declaration) -> Model:
        """The model whose tokenizer reads a dataset."""
        return self.of(dataset, "model")

    def contrast(self, corruption: Declaration) -> Contrast:
        """The clean prompts of a corruption against it."""

        def make() -> Contrast:
            dataset = self.declaration(corruption, "data")
            model, data = self.model_of(dataset), self.get(dataset.name)
            return Contrast(model, data, self.get(corruption.name), self.batch, self.memory)

        with placed(corruption):
            return self.shared(("contrast", corruption.name), make)

    def contrast_of(self, declaration: Declaration) -> Contrast:
        """The contrast of a method's `corruption` key, as its graph counts keys and values."""
        return fitted(
            self.contrast(self.declaration(declaration, "corruption")), self.graph_of(declaration.values)
        )

    def graph_of(self, values: Mapping[str, Any]) -> Graph | None:
        """A declaration's own graph, or that of the scores or of the first circuit that it is about."""
        while not isinstance(values.get("graph"), Ref):
            about = (values.get("scores"), values.get("circuit"), *(values.get("circuits") or ()))
            ref = next((each for each in about if isinstance(each, Ref)), None)
            if ref is None:
                return None
            values = self.program.declarations[ref.name].values
        found: Graph = self.get(values["graph"].name)
        return found

    def check(self, declaration: Declaration) -> None:
        """Find what is wrong with a method's prompts, positions and answers before long work starts."""
        self.check_lengths(declaration)
        if isinstance(declaration.values.get("corruption"), Ref):
            self.check_readings(declaration)
            # That runs the model; a result that is there has passed it.
            if not self.is_stored(declaration):
                with placed(self.declaration(declaration, "metric")):
                    self.contrast_of(declaration).normalizer(self.of(declaration, "metric"))

    def check_readings(self, declaration: Declaration) -> None:
        """All prompts have the positions and answers that a method's metric reads."""
        contrast, metric = self.contrast_of(declaration), self.of(declaration, "metric")
        with placed(self.declaration(declaration, "metric")):
            for batch in contrast.batches:
                contrast.reading(batch, metric)

    def check_lengths(self, declaration: Declaration) -> None:
        """Prompts have the tokens by which a graph is split, and for `positions = all` one length.

        Raises:
            ProgramError: C308, C346, tokens do not fit the graph's positions; C334, the lengths are several.
        """
        values = declaration.values
        graph: Any = self.of(declaration, "graph") if "graph" in values else None
        if isinstance(graph, Graph) and isinstance(values.get("corruption"), Ref):
            contrast = self.contrast_of(declaration)
            with placed(declaration):
                for batch in contrast.batches:
                    contrast.where(batch, graph)
        if declaration.kind != "scores" or values.get("positions") != "all":
            return
        corrupted = isinstance(values.get("corruption"), Ref)
        holder = self.declaration(declaration, "corruption") if corrupted else declaration
        dataset = self.of(holder, "source" if "source" in values and not corrupted else "data")
        with placed(declaration):
            columns_of(dataset, "all")

    def steps(self, name: str) -> Progress:
        """The callback for steps that are stored one by one: silent until one of them has to be computed.

        Otherwise the time that is left would be foreseen at the pace of what is only read.
        """
        report, before = self.progress(name), self.store.misses if self.store else -1

        def tell(done: int, total: int) -> None:
            if report is not None and (self.store is None or self.store.misses > before):
                report(done, total)

        return tell

    def is_stored(self, declaration: Declaration) -> bool:
        """Whether a method's result is in the store."""
        return self.store is not None and self.store.has(self.key(declaration))

    def kept(self, key: Callable[[], str], form: stored.Form[T], make: Callable[[], T]) -> T:
        """A result from the store, or else made and stored."""
        if self.store is None:
            return self._made(make)
        under = key()
        found = self.store.load(under, form.read)
        if found is None:
            found = self._made(make)
            self.store.save(under, form.write(found))
        return found

    def _made(self, make: Callable[[], T]) -> T:
        if self._recalls:
            raise _NotStoredError
        return make()

    def key(self, declaration: Declaration) -> str:
        """The store's key of what a method gives: references stand for the content of what they name."""
        parts = {
            key: self.identity(value.name) if isinstance(value, Ref) else value
            for key, value in declaration.values.items()
        }
        return stored.key_of(declaration.implementation, **parts)

    def identity(self, name: str) -> Any:
        """The content of what a declaration stands for, with the model and prompts that it is about."""
        if name not in self._identities:
            declaration = self.program.declarations[name]
            about = {"dataset": "model", "corruption": "data"}.get(declaration.kind)
            rest = [self.identity(self.declaration(declaration, about).name)] if about else []
            self._identities[name] = [stored.identity(self.get(name)), *rest]
        return self._identities[name]

    def shared(self, about: Hashable, make: Callable[[], T]) -> T:
        """What several declarations share, made when the first of them asks for it."""
        if about not in self._shared:
            self._shared[about] = make()
        found: T = self._shared[about]
        return found

    def facts(self, corruption: Declaration) -> Made:
        """What a result says of its model and prompts."""
        contrast = self.contrast(corruption)
        dataset = self.declaration(corruption, "data")
        return {
            "model": contrast.model.name,
            "model_made": {k: v for k, v in contrast.model.made.items() if k not in ("guards", "device")},
            "dataset": {"name": dataset.name, **contrast.dataset.made},
        }


def fitted(contrast: Contrast, graph: Graph | None) -> Contrast:
    """A contrast with the model by heads, if a graph counts keys and values so."""
    return contrast if graph is None or not counts_by_heads(contrast.model, graph) else contrast.by_heads
