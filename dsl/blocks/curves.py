"""Curves."""

from __future__ import annotations

from nncirc.dsl.blocks.entries import (
    BY,
    HELD_OUT,
    INTERVAL,
    METRIC,
    RANK,
    SCORED,
    SEVERAL_CIRCUITS,
    Implementation,
    Key,
    one,
)
from nncirc.dsl.check.types import Either, Many, Number

CURVES = {
    "faithfulness": Implementation(
        "Faithfulness of the circuits of the highest-scoring edges, by their number. At the sizes of MIB the "
        "area under it is CPR, and the area between it and 1 is CMD.",
        {
            "scores": SCORED,
            "metric": METRIC,
            "edges": Key(
                Either(Many(Number(integer=True, low=1)), ("mib",)),
                "the numbers of edges; `mib`: .1, .2, .5, 1, 2, 5, 10, 20, 50, 100 % of the graph's",
                required=True,
                unit="edges",
            ),
            "rank": RANK,
            "corruption": HELD_OUT,
            **INTERVAL,
        },
        source="Hanna et al. 2024; Mueller et al. 2025",
    ),
    "roc": Implementation(
        "True over false positives against a reference: of scores at every threshold, not pruned, or of "
        "circuits such as a family. One of `scores` and `circuits` is given.",
        {
            "scores": Key(one("scores"), "each score is a threshold; by nodes, their best edge counts"),
            "circuits": Key(SEVERAL_CIRCUITS, "each circuit is a point; a family is one for each member"),
            "reference": Key(one("circuit"), "the circuit that counts as right", required=True),
            "by": BY,
            "rank": RANK,
        },
        source="Conmy et al. 2023",
    ),
}
