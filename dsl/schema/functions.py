"""Functions in claims."""

from __future__ import annotations

from collections.abc import Mapping

from nncirc.dsl.keytypes import Word
from nncirc.dsl.schema.entries import Function, Key, one

_OF = Key(one("circuit"), "the circuit that the claim is about", required=True)
_BY = Key(Word(("edges", "nodes")), "what is counted", default="edges")
_AGAINST = Key(one("circuit"), "the circuit that counts as right", required=True)
_UNDER = Key(one("corruption"), "what the corrupted run is", required=True)

FUNCTIONS: Mapping[str, Function] = {
    "recall": Function(
        "Share of the reference that the circuit has, 0 to 1.",
        {"circuit": _OF, "reference": _AGAINST, "by": _BY},
    ),
    "precision": Function(
        "Share of the circuit that the reference has, 0 to 1.",
        {"circuit": _OF, "reference": _AGAINST, "by": _BY},
    ),
    "faithfulness": Function(
        "What remains of the metric with everything outside the circuit corrupted: 0 corrupted, 1 clean.",
        {
            "circuit": _OF,
            "metric": Key(one("metric"), "what is measured", required=True),
            "corruption": Key(
                one("corruption"), "what the rest becomes; absent: the one that the circuit was found with"
            ),
        },
    ),
    "clean": Function(
        "Mean of the metric over the unpatched clean run.",
        {"metric": Key(one("metric"), "what is measured", required=True), "corruption": _UNDER},
    ),
    "corrupt": Function(
        "Mean of the metric over the unpatched corrupted run.",
        {"metric": Key(one("metric"), "what is measured", required=True), "corruption": _UNDER},
    ),
}
