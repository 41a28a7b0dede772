"""A block, and what the blocks of methods share: results from the store, journals, nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace as with_fields
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

from nncirc.circuits.circuit import Circuit
from nncirc.circuits.errors import MethodError
from nncirc.circuits.made import Made, alike
from nncirc.circuits.names import Node
from nncirc.dsl.check.program import Declaration, Ref
from nncirc.engine.blocks.functions import resampling
from nncirc.engine.methods import costs
from nncirc.engine.methods.costs import Cost
from nncirc.engine.methods.scores import EdgeScores, NodeScores
from nncirc.engine.model.ungrouped import counts_by_heads, ungrouped
from nncirc.engine.program import stored
from nncirc.engine.program.build import Builder
from nncirc.engine.program.costing import Setting
from nncirc.engine.program.pictures import PLAIN, Look

T = TypeVar("T")
Build: TypeAlias = Callable[[Builder, Declaration], T]


@dataclass(frozen=True, slots=True)
class Block:
    """What the engine knows of an implementation of the language.

    Attributes:
        build: makes what a declaration is of; None for outputs, which are drawn when all is made.
        cost: what that takes; None where no model runs.
        look: of scores, what their numbers are and how they are drawn.
        draw: of outputs, draws into a file.
    """

    build: Callable[[Builder, Declaration], Any] | None
    cost: Callable[[Setting], Cost] | None = None
    look: Look = PLAIN
    draw: Callable[[Builder, Declaration, Path], None] | None = None


# Methods ---------------------------------------------------------------------------------------------------


def scored(
    builder: Builder,
    declaration: Declaration,
    form: stored.Form[T],
    method: Callable[..., T],
    *,
    journaled: bool = False,
    **options: Any,
) -> T:
    """A result of a method of a contrast and a metric, from the store or else made, with what it is of.

    With `journaled` the method is also given what an interrupted run has left of it.
    """

    def make() -> T:
        again: dict[str, Any] = {}
        if journaled:
            again["journal"] = builder.store.journal(builder.key(declaration)) if builder.store else None
        return method(
            builder.contrast_of(declaration),
            metric=builder.of(declaration, "metric"),
            progress=builder.progress(declaration.name),
            **again,
            **options,
        )

    found: Any = builder.kept(lambda: builder.key(declaration), form, make)
    facts = builder.facts(builder.declaration(declaration, "corruption"))
    made: T = with_fields(found, made={**found.made, **facts})
    return made


def patches(method: Callable[..., NodeScores], *keys: str, journaled: bool = False) -> Build[NodeScores]:
    """Builds scores of nodes by a method of a contrast and a metric, which is given these keys."""

    def build(builder: Builder, declaration: Declaration) -> NodeScores:
        options = values_of(builder, declaration, keys)
        if "resamples" in declaration.values:
            options["how"] = resampling(declaration.values)
        return scored(builder, declaration, stored.NODES, method, journaled=journaled, **options)

    return build


def reads(
    method: Callable[..., NodeScores], *keys: str, data: str = "data", progress: bool = False
) -> Build[NodeScores]:
    """Builds scores of nodes by a method that reads the prompts under `data`, and is given these keys."""

    def build(builder: Builder, declaration: Declaration) -> NodeScores:
        dataset = builder.of(declaration, data)
        options = values_of(builder, declaration, keys)
        model, graph = builder.model_of(builder.declaration(declaration, data)), options.get("graph")
        if graph is not None and counts_by_heads(model, graph):
            model = ungrouped(model)
        if progress:
            options["progress"] = builder.progress(declaration.name)

        def make() -> NodeScores:
            return method(model, dataset, batch=builder.batch, memory=builder.memory, **options)

        found = builder.kept(lambda: builder.key(declaration), stored.NODES, make)
        return with_fields(found, made={**found.made, "model": model.name, "dataset": dict(dataset.made)})

    return build


def edited(at: Setting, rows: int, kept: int, *, runs: int = 1) -> Cost:
    """At most what a method takes that edits so many rows, in so many runs each.

    What is kept of the run that is edited is in units of what one part of the model writes.
    """
    cost = at.runs("clean", "corrupt") + at.total(lambda each: costs.edited(at.model, each, runs * rows))
    return cost + Cost(memory=costs.edited_room(at.contrast, at.metric, rows, kept))


# Keys ------------------------------------------------------------------------------------------------------


def values_of(builder: Builder, declaration: Declaration, keys: Iterable[str]) -> dict[str, Any]:
    """The values of some keys as methods take them: what they refer to, and nodes by name."""
    found = {key: declaration.values[key] for key in keys}
    return {key: builder.get(v.name) if isinstance(v, Ref) else nodes_of(v) for key, v in found.items()}


def nodes_of(value: Any) -> Any:
    """Nodes by name; anything else, such as a word or numbers, stays as it is."""
    if isinstance(value, tuple) and any(isinstance(each, Node) for each in value):
        return [str(each) for each in value]
    return value


# Results of results ----------------------------------------------------------------------------------------


def edge_scores(builder: Builder, declaration: Declaration) -> EdgeScores:
    """The scores that a declaration refers to, if they are of edges.

    Raises:
        MethodError: C544, they are of nodes.
    """
    scores = builder.of(declaration, "scores")
    if not isinstance(scores, EdgeScores):
        raise MethodError(
            "C544",
            f"{declaration.implementation} selects edges, but these scores are of nodes",
            hint="use attribution_patching with by = edges, or acdc",
        )
    return scores


_SHARED = (
    *("rank", "loss", "direction", "corruption", "metric", "teacher_forced", "at", "normalized", "prompts"),
    *("model", "dtype"),
)


def shared_facts(circuits: Iterable[Circuit]) -> Made:
    """What circuits have in common in how they were made, which a curve or a table of them says once."""
    found = alike(circuit.made for circuit in circuits)
    return cast(Made, {key: found[key] for key in _SHARED if key in found})
