"""Circuits that are selected by scores of edges."""

from __future__ import annotations

from nncirc.dsl.blocks.keys import COUNT, RANK, SCORED
from nncirc.dsl.check.declared import Implementation, Key, Meaning
from nncirc.dsl.check.scope import Draft
from nncirc.dsl.check.types import Number


def check_selected(meaning: Meaning, draft: Draft) -> None:
    """A selection, and a curve of it: are these scores that select a circuit?"""
    scores = meaning.get(draft, "scores")
    if scores is None:
        return
    draft.graph, draft.corruption = scores.graph, scores.corruption
    label = (scores.uses,)
    effect = meaning.effect(scores)
    if not effect:
        problem = f"`{scores.implementation}` does not score edges"
        advice = "use `attribution_patching`; a `reference` circuit can pick heads with `where(…)`"
        meaning.report("C232", problem, draft.where("scores"), labels=label, help=advice)
    elif effect == "nodes":
        problem = f"expected scores of edges, found scores of nodes (`{scores.name}`)"
        advice = "use `attribution_patching` with `by = edges`"
        meaning.report("C232", problem, draft.where("scores"), labels=label, help=advice)


CIRCUITS = {
    "threshold": Implementation(
        "Edges that score at least the threshold, without those on no path from embed to logits.",
        {
            "scores": SCORED,
            "threshold": Key(
                Number(), "the smallest score that is kept", required=True, unit="of the metric", family=True
            ),
            "rank": RANK,
        },
        check=check_selected,
    ),
    "top": Implementation(
        "The edges with the highest scores, without those on no path from embed to logits.",
        {
            "scores": SCORED,
            "edges": Key(
                COUNT,
                "how many edges to take",
                required=True,
                unit="edges",
                family=True,
            ),
            "rank": RANK,
        },
        source="Syed et al. 2023",
        check=check_selected,
    ),
}
