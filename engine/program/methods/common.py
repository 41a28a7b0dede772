"""What the methods share: results from the store, journals, scores of edges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace as with_fields
from typing import TYPE_CHECKING, Any

from nncirc.circuits.errors import MethodError
from nncirc.dsl.program import Declaration
from nncirc.engine.program import stored
from nncirc.engine.scores import EdgeScores

if TYPE_CHECKING:
    from nncirc.engine.program.build import Builder
    from nncirc.engine.program.store import StoredJournal


def scored(
    builder: Builder, declaration: Declaration, form: stored.Form[Any], method: Callable[[], Any]
) -> Any:
    """A method's result, from the store or else made, with what its corruption says of itself."""
    found = builder.kept(lambda: builder.key(declaration), form, method)
    facts = builder.facts(builder.declaration(declaration, "corruption"))
    return with_fields(found, made={**found.made, **facts})


def journal(builder: Builder, declaration: Declaration) -> StoredJournal | None:
    """What an interrupted run has left of a method; to be asked for when the method runs, not before."""
    return builder.store.journal(builder.key(declaration)) if builder.store else None


def edge_scores(builder: Builder, declaration: Declaration) -> EdgeScores:
    """The scores that a declaration refers to, if they are of edges.

    Raises:
        MethodError: C544, they are of nodes.
    """
    scores = builder.of(declaration, "scores")
    if not isinstance(scores, EdgeScores):
        raise MethodError(
            "C544",
            f"{declaration.implementation} selects edges, and these scores are of nodes",
            hint="use attribution_patching by edges, or acdc",
        )
    return scores
