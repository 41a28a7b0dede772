"""A block, and what the blocks of methods share: results from the store, journals, nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace as with_fields
from pathlib import Path
from typing import Any, TypeVar

from nncirc.circuits.circuit import Circuit
from nncirc.circuits.errors import MethodError
from nncirc.circuits.made import alike
from nncirc.circuits.names import Node
from nncirc.dsl.check.program import Declaration
from nncirc.engine.methods import costs
from nncirc.engine.methods.scores import EdgeScores, NodeScores
from nncirc.engine.program import stored
from nncirc.engine.program.build import Builder
from nncirc.engine.program.costing import Costing, Priced, Setting
from nncirc.engine.program.pictures import PLAIN, Look
from nncirc.engine.program.store import StoredJournal
from nncirc.engine.runs.room import edited_room

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Block:
    """What the engine knows of an implementation of the language.

    Attributes:
        build: makes what a declaration stands for; None of outputs, which are drawn when all is made.
        cost: what that takes, or None where it cannot be told; None where no model runs.
        look: of scores, what their numbers are and how they are drawn.
        draw: of outputs, draws into a file.
    """

    build: Callable[[Builder, Declaration], Any] | None
    cost: Callable[[Costing, Declaration], Priced | None] | None = None
    look: Look = PLAIN
    draw: Callable[[Builder, Declaration, Path], None] | None = None


# Methods ---------------------------------------------------------------------------------------------------


def scored(
    builder: Builder, declaration: Declaration, form: stored.Form[T], method: Callable[..., T], **options: Any
) -> T:
    """A result of a method of a contrast and a metric, from the store or else made, with what it is of."""

    def make() -> T:
        return method(
            builder.contrast_of(declaration),
            metric=builder.of(declaration, "metric"),
            progress=builder.progress(declaration.name),
            **options,
        )

    found: Any = builder.kept(lambda: builder.key(declaration), form, make)
    facts = builder.facts(builder.declaration(declaration, "corruption"))
    made: T = with_fields(found, made={**found.made, **facts})
    return made


def edited(costing: Costing, at: Setting, rows: int, kept: int = 1) -> Priced:
    """At most what a method takes that edits so many runs, and keeps the states of so many."""
    cost = costing.runs(at, "clean", "corrupt") + at.total(lambda each: costs.edited(at.sizes, each, rows))
    kept *= at.sizes.shape.n_layers + 1
    return at.priced(cost, edited_room(at.contrast, at.metric, rows, kept))


def read(
    builder: Builder,
    declaration: Declaration,
    method: Callable[..., NodeScores],
    key: str = "data",
    **options: Any,
) -> NodeScores:
    """Scores of nodes by a method that reads the prompts under a key, with what they are of."""
    dataset = builder.of(declaration, key)
    model = builder.model_of(builder.declaration(declaration, key))

    def make() -> NodeScores:
        return method(model, dataset, batch=builder.batch, memory=builder.memory, **options)

    found = builder.kept(lambda: builder.key(declaration), stored.NODES, make)
    return with_fields(found, made={**found.made, "model": model.name, "dataset": dict(dataset.made)})


def journal(builder: Builder, declaration: Declaration) -> StoredJournal | None:
    """What an interrupted run has left of a method; to be asked for when the method runs, not before."""
    return builder.store.journal(builder.key(declaration)) if builder.store else None


# Keys ------------------------------------------------------------------------------------------------------


def nodes_of(value: Any) -> Any:
    """Nodes by name; a word such as `all` stays as it is."""
    return [str(each) for each in value if isinstance(each, Node)] if isinstance(value, tuple) else value


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


def shared_facts(circuits: Iterable[Circuit]) -> dict[str, Any]:
    """What circuits have in common in how they were made, which a curve or a table of them says once."""
    found = alike(circuit.made for circuit in circuits)
    return {key: found[key] for key in _SHARED if key in found}
