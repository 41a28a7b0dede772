"""What the methods share: results from the store, journals, scores of edges."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace as with_fields
from typing import TYPE_CHECKING, Any

from nncirc.circuits.circuit import Circuit
from nncirc.circuits.errors import MethodError
from nncirc.circuits.made import alike
from nncirc.dsl.check.program import Declaration
from nncirc.engine.methods.scores import EdgeScores
from nncirc.engine.program import stored

_SHARED = (
    *("rank", "loss", "direction", "corruption", "metric", "teacher_forced", "at", "normalized", "prompts"),
    *("model", "dtype"),
)

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


def sweep_of(declaration: Declaration) -> tuple[str, ...]:
    """All that a block of ACDC says but its threshold: what runs must share to measure the same."""
    return tuple(f"{key} {value}" for key, value in declaration.values.items() if key != "threshold")


def shared_facts(circuits: Iterable[Circuit]) -> dict[str, Any]:
    """What circuits have in common in how they were made, which a curve or a table of them says once."""
    found = alike(circuit.made for circuit in circuits)
    return {key: found[key] for key in _SHARED if key in found}


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
