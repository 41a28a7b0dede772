"""Curves."""

from __future__ import annotations

from nncirc.dsl.keytypes import Many, Number
from nncirc.dsl.schema.entries import METRIC, RANK, SCORED, Implementation, Key

CURVES = {
    "faithfulness": Implementation(
        "Faithfulness of the circuits of the highest-scoring edges, by their number.",
        {
            "scores": SCORED,
            "metric": METRIC,
            "edges": Key(
                Many(Number(integer=True, low=1)), "the numbers of edges", required=True, unit="edges"
            ),
            "rank": RANK,
        },
        source="Hanna et al. 2024; Mueller et al. 2025",
    ),
}
