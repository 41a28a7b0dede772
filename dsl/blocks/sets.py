"""Circuits made of others: union, intersection, difference."""

from __future__ import annotations

from nncirc.dsl.blocks.keys import SEVERAL_CIRCUITS, one
from nncirc.dsl.check.declared import Implementation, Key, Meaning
from nncirc.dsl.check.scope import Draft
from nncirc.dsl.check.types import Many
from nncirc.dsl.text.limits import MOST_MEMBERS


def _check_parts(meaning: Meaning, draft: Draft) -> None:
    meaning.made_of(draft, "circuits", 2 * MOST_MEMBERS, 50)  # each is a level in the circuit's file
    parts = meaning.many(draft, "circuits")
    if parts:
        draft.graph = parts[0].graph
        used = {part.corruption for part in parts}
        draft.corruption = used.pop() if len(used) == 1 else None
        for part in parts[1:]:
            meaning.same_graph(draft.where("circuits"), parts[0], part)


CIRCUITS = {
    "union": Implementation(
        "Edges in any of the circuits.",
        {"circuits": Key(SEVERAL_CIRCUITS, "circuits on one graph", required=True)},
        check=_check_parts,
    ),
    "intersection": Implementation(
        "Edges in all of the circuits.",
        {"circuits": Key(SEVERAL_CIRCUITS, "circuits on one graph", required=True)},
        check=_check_parts,
    ),
    "difference": Implementation(
        "Edges of the first circuit that are not in the second.",
        {"circuits": Key(Many(one("circuit"), exactly=2), "two circuits on one graph", required=True)},
        check=_check_parts,
    ),
}
