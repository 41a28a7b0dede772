"""Methods that give circuits."""

from __future__ import annotations

from nncirc.dsl.blocks.entries import (
    CORRUPTION,
    GRAPH,
    METRIC,
    RANK,
    SCORED,
    SEVERAL_CIRCUITS,
    Implementation,
    Key,
    one,
)
from nncirc.dsl.check.types import Many, Number, Text, Word

FOUND = {"graph": GRAPH, "corruption": CORRUPTION, "metric": METRIC}

CIRCUITS = {
    "acdc": Implementation(
        "Edges whose removal costs less than the threshold are removed, from the output back.",
        {
            **FOUND,
            "threshold": Key(
                Number(low=0),
                "an edge is removed if the loss rises by less",
                required=True,
                unit="of the metric",
                family=True,
            ),
            "loss": Key(
                Word(("metric", "distance")),
                "what is kept low; `metric`: minus the metric (a divergence as it is), so that edges go "
                "whose removal raises the metric above the whole model's; `distance`: how far the mean of "
                "the metric over prompts is from the whole model's (normalized: |faithfulness - 1|)",
                default="metric",
            ),
        },
        source="Conmy et al. 2023, algorithm 1",
    ),
    "threshold": Implementation(
        "What scores at least so much, without what has no path from embed to logits.",
        {
            "scores": SCORED,
            "threshold": Key(
                Number(), "smallest score that is kept", required=True, unit="of the metric", family=True
            ),
            "rank": RANK,
        },
    ),
    "top": Implementation(
        "The edges with the highest scores, without what has no path from embed to logits.",
        {
            "scores": SCORED,
            "edges": Key(
                Number(integer=True, low=1),
                "how many edges are taken",
                required=True,
                unit="edges",
                family=True,
            ),
            "rank": RANK,
        },
        source="Syed et al. 2023",
    ),
    "reference": Implementation(
        "A circuit written down: groups of heads, and paths through them.",
        {
            "graph": Key(one("graph"), "the graph that it is a part of", required=True),
            "cite": Key(Text(), "where it was published"),
            "score": Key(Text(), "what the scores of its edges are, with their unit"),
        },
        extra="edges",
    ),
    "union": Implementation(
        "Edges in any of the circuits.", {"circuits": Key(SEVERAL_CIRCUITS, "of one graph", required=True)}
    ),
    "intersection": Implementation(
        "Edges in all of the circuits.", {"circuits": Key(SEVERAL_CIRCUITS, "of one graph", required=True)}
    ),
    "difference": Implementation(
        "Edges of the first circuit that are not in the second.",
        {"circuits": Key(Many(one("circuit"), exactly=2), "two circuits of one graph", required=True)},
    ),
}
