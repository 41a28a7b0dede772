"""C27x: what curves, comparisons and claims about them mean."""

from __future__ import annotations

from collections.abc import Mapping

from nncirc.dsl.codes.entry import Entry

__all__ = ["EVALUATION"]

_CURVE = "curve growing using faithfulness {\n  scores = eap\n  metric = recovered\n"

EVALUATION: Mapping[str, Entry] = {
    "C270": Entry(
        "an area under another curve",
        "`cpr` and `cmd` are areas of a curve `using faithfulness` with `edges = mib`: at other sizes the "
        "number could not be compared with published ones. `auc` is the area under a curve `using roc`.",
        _CURVE + "  edges = [5, 10]\n}\nassert cpr(growing) >= 0.5",
        _CURVE + "  edges = mib\n}\nassert cpr(growing) >= 0.5",
    ),
    "C271": Entry(
        "a key that says nothing here",
        "In a comparison, `corruption`, `draws` and intervals are about faithfulness, so they need a "
        "`metric`. In a ROC curve `rank` is about scores, and scores rank edges or nodes. A key without an "
        "effect would hide a mistake.",
        "compare report {\n  circuits = [small, found]\n  draws = 20\n}",
        "compare report {\n  circuits = [small, found]\n  metric = recovered\n  draws = 20\n}",
    ),
    "C272": Entry(
        "curves of two kinds in one plot",
        "A plot has one pair of axes: edges and faithfulness, or false and true positive rate.",
        _CURVE + "  edges = [5, 10]\n}\n"
        "curve right using roc {\n  scores = eap\n  reference = found\n}\n"
        'plot both {\n  curve = [growing, right]\n  file = "both.svg"\n}',
        "curve right using roc {\n  scores = eap\n  reference = found\n}\n"
        "curve nodes using roc {\n  scores = eap\n  reference = found\n  by = nodes\n}\n"
        'plot both {\n  curve = [right, nodes]\n  file = "both.svg"\n}',
    ),
    "C273": Entry(
        "groups of a circuit that has none",
        "Groups are named where a circuit is written down. A circuit that was found has nodes and edges.",
        "assert minimality(found, metric = recovered, by = groups) >= 0",
        "assert minimality(found, metric = recovered, by = nodes) >= 0",
    ),
}
