"""C27x: what curves, comparisons and claims about them mean."""

from __future__ import annotations

from collections.abc import Mapping

from nncirc.dsl.codes.entry import Entry

_CURVE = "curve growing using faithfulness {\n  scores = eap\n  metric = recovered\n"

EVALUATION: Mapping[str, Entry] = {
    "C270": Entry(
        "area under the wrong curve",
        "`cpr` and `cmd` are areas under a curve `using faithfulness` with `edges = mib`; at other sizes "
        "they could not be compared with published numbers. `auc` is the area under a curve `using roc`.",
        _CURVE + "  edges = [5, 10]\n}\nassert cpr(growing) >= 0.5",
        ("[5, 10]", "mib"),
    ),
    "C271": Entry(
        "key without effect",
        "In a comparison, `corruption`, `draws` and intervals apply to faithfulness, so they need a "
        "`metric`. In a ROC curve, `rank` applies to scores, and scores rank only edges or nodes. A key "
        "without effect would hide a mistake.",
        "compare report {\n  circuits = [small, found]\n  draws = 20\n}",
        ("draws", "metric = recovered\n  draws"),
    ),
    "C272": Entry(
        "different kinds of curves in one plot",
        "A plot has one pair of axes: edges and faithfulness, or false positive rate and true positive rate.",
        _CURVE + "  edges = [5, 10]\n}\n"
        "curve right using roc {\n  scores = eap\n  reference = found\n}\n"
        'plot both {\n  curve = [growing, right]\n  file = "both.svg"\n}',
        "curve right using roc {\n  scores = eap\n  reference = found\n}\n"
        "curve nodes using roc {\n  scores = eap\n  reference = found\n  by = nodes\n}\n"
        'plot both {\n  curve = [right, nodes]\n  file = "both.svg"\n}',
    ),
    "C273": Entry(
        "groups of a circuit without groups",
        "Only a circuit that is written out with `reference` has groups. A circuit that a method found "
        "has nodes and edges.",
        "assert minimality(found, metric = recovered, by = groups) >= 0",
        "assert minimality(found, metric = recovered, by = nodes) >= 0",
    ),
}
