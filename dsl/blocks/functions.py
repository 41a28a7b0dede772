"""Functions in claims."""

from __future__ import annotations

from collections.abc import Mapping

from nncirc.dsl.blocks.entries import BY, CONNECTED, DRAWS, HELD_OUT, INTERVAL, METRIC, Function, Key, one
from nncirc.dsl.check.types import Number, Text, Word

_OF = Key(one("circuit"), "the circuit that the claim is about", required=True)
_AGAINST = Key(one("circuit"), "the circuit that counts as right", required=True)
_OTHER = Key(one("circuit"), "the circuit that it is compared with", required=True)
_UNDER = Key(one("corruption"), "what the corrupted run is", required=True)
_CURVE = Key(one("curve"), "the curve that the claim is about", required=True)
_BOUND = Key(
    Word(("low", "high")),
    "an end of the interval over prompts in place of the value itself",
)
_INTERVAL = {"bound": _BOUND, **INTERVAL}
_PARTS = Key(
    Word(("nodes", "edges", "groups")),
    "what is knocked out at once: all edges out of a head or an MLP, an edge, or a named group of nodes",
    default="nodes",
)

FUNCTIONS: Mapping[str, Function] = {
    "recall": Function(
        "Share of the reference that the circuit has, 0 to 1.",
        {"circuit": _OF, "reference": _AGAINST, "by": BY},
    ),
    "precision": Function(
        "Share of the circuit that the reference has, 0 to 1.",
        {"circuit": _OF, "reference": _AGAINST, "by": BY},
    ),
    "jaccard": Function(
        "What both circuits have, as a share of what either has, 0 to 1.",
        {"circuit": _OF, "reference": _OTHER, "by": BY},
    ),
    "overlap_p": Function(
        "Probability that unrelated circuits of these sizes share at least so much (hypergeometric).",
        {"circuit": _OF, "reference": _OTHER, "by": BY},
    ),
    "faithfulness": Function(
        "What remains of the metric with everything outside the circuit corrupted: 0 corrupted, 1 clean.",
        {"circuit": _OF, "metric": METRIC, "corruption": HELD_OUT, **_INTERVAL},
    ),
    "random_p": Function(
        "Share of circuits of as many edges, random ones and itself, that are at least as faithful.",
        {
            "circuit": _OF,
            "metric": METRIC,
            "corruption": HELD_OUT,
            "draws": Key(DRAWS, "how many random circuits", default=100, unit="circuits"),
            "connected": CONNECTED,
            "seed": INTERVAL["seed"],
        },
    ),
    "incompleteness": Function(
        "The largest |F(C - K) - F(M - K)|: F faithfulness, C the circuit, M the model, K nothing, every "
        "part of the circuit, random sets of parts, and those of a greedy search (Wang et al. 2022).",
        {
            "circuit": _OF,
            "metric": METRIC,
            "corruption": HELD_OUT,
            "by": _PARTS,
            "draws": Key(
                Number(integer=True, low=0, high=100_000),
                "how many random sets; each has every part with probability 1/2",
                default=0,
                unit="sets",
            ),
            "greedy": Key(
                Number(integer=True, low=0, high=1000),
                "steps of a search for the worst set: each takes the part with which both then differ most",
                default=0,
                unit="steps",
            ),
            **_INTERVAL,
        },
    ),
    "minimality": Function(
        "The least |F(C - K - v) - F(C - K)| over the parts v of the circuit, at best over K: nothing, or "
        "what could do v's work, the rest of its group or of the edges into one receiver (Wang et al. 2022).",
        {"circuit": _OF, "metric": METRIC, "corruption": HELD_OUT, "by": _PARTS, **_INTERVAL},
    ),
    "cpr": Function(
        "Circuit performance ratio: the area under faithfulness at MIB's sizes (Mueller et al. 2025).",
        {"curve": _CURVE, "bound": _BOUND},
    ),
    "cmd": Function(
        "Circuit-model distance: the area between faithfulness and 1 at MIB's sizes (Mueller et al. 2025).",
        {"curve": _CURVE, "bound": _BOUND},
    ),
    "auc": Function(
        "Area under a ROC curve, 0 to 1.",
        {
            "curve": _CURVE,
            "between": Key(
                Word(("steps", "lines")),
                "between points: `steps` stay at the lower rate (pessimistic), straight `lines` join them",
                default="steps",
            ),
        },
    ),
    "score": Function(
        "A number of scores of nodes: of a head, or of a stage of the residual stream (`MLP3`: behind it).",
        {
            "scores": Key(one("scores"), "the scores that the claim is about", required=True),
            "node": Key(Text(), 'the row, such as `"L1H0"`', required=True),
            "column": Key(Text(), 'the column, such as `"end"` or `"copying"`; absent: the only one'),
            "bound": Key(_BOUND.type, f"{_BOUND.doc}; scores of attribution and of weights have none"),
        },
    ),
    "clean": Function(
        "Mean of the metric over the unpatched clean run.",
        {"metric": METRIC, "corruption": _UNDER, **_INTERVAL},
    ),
    "corrupt": Function(
        "Mean of the metric over the unpatched corrupted run.",
        {"metric": METRIC, "corruption": _UNDER, **_INTERVAL},
    ),
}
