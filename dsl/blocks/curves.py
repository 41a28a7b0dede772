"""Curves."""

from __future__ import annotations

from nncirc.circuits.parts import OUTPUTS
from nncirc.dsl.blocks.keys import BY, COUNT, HELD_OUT, INTERVAL, METRIC, RANK, SCORED, SEVERAL_CIRCUITS, one
from nncirc.dsl.blocks.metrics import check_measured
from nncirc.dsl.blocks.selection import check_selected
from nncirc.dsl.check.declared import Implementation, Key, Meaning
from nncirc.dsl.check.program import Ref
from nncirc.dsl.check.scope import Draft
from nncirc.dsl.check.types import Either, Many
from nncirc.dsl.text.diagnostics import Label


def _check_faithfulness(meaning: Meaning, draft: Draft) -> None:
    """A curve by itself."""
    check_selected(meaning, draft)
    given = meaning.get(draft, "corruption")
    corruption = given or meaning.drafts.get(draft.corruption or "")
    metric = meaning.get(draft, "metric")
    if corruption is not None and metric is not None:
        check_measured(meaning, draft.where("metric"), metric, corruption)
    if given is not None:
        meaning.circuit_fits(draft.where("corruption"), draft, given)
    elif corruption is not None:
        draft.values["corruption"] = Ref(corruption.name)


def _check_roc(meaning: Meaning, draft: Draft) -> None:
    if not meaning.exactly_one(draft, ("scores", "circuits"), "C105"):
        return
    reference, scores = meaning.get(draft, "reference"), meaning.get(draft, "scores")
    by = draft.values.get("by")
    if "rank" in draft.spans and scores is None:
        problem = "`rank` applies only to scores, not to circuits"
        advice = "remove `rank`"
        meaning.report("C271", problem, draft.where("rank"), help=advice)
    if scores is not None:
        draft.graph = scores.graph
        _check_scores(meaning, draft, scores, str(by))
    parts = meaning.many(draft, "circuits")
    meaning.counted(reference, by, draft.where("by"))
    for part in [*parts, *([draft] if scores is not None else [])]:
        if reference is not None and part is not reference:
            meaning.same_graph(draft.where("reference"), part, reference)


def _check_scores(meaning: Meaning, draft: Draft, scores: Draft, by: str) -> None:
    label = (scores.uses,)
    effect = meaning.effect(scores)
    if not effect:
        problem = "these scores do not measure the effect of nodes on a metric"
        advice = "use `attribution_patching` or `activation_patching`"
        meaning.report("C232", problem, draft.where("scores"), labels=label, help=advice)
    elif isinstance(of := scores.values.get("of", OUTPUTS), tuple) and of != OUTPUTS:
        problem = f"expected scores of what nodes write, found `of = {of[0] if of else ''}`"
        advice = "write `of = outputs` in the scores"
        meaning.report("C232", problem, draft.where("scores"), labels=label, help=advice)
    elif by not in ("edges", "nodes"):
        problem = f"scores rank only `edges` or `nodes`, not `{by}`"
        advice = "write `by = edges` or `by = nodes`, or use `circuits`"
        meaning.report("C271", problem, draft.where("by"), labels=label, help=advice)
    elif effect == "nodes" and by == "edges":
        problem = f"expected scores of edges, found scores of nodes (`{scores.name}`)"
        advice = "write `by = nodes`, or use `attribution_patching` with `by = edges`"
        meaning.report("C232", problem, draft.where("by", "scores"), labels=label, help=advice)
    elif meaning.scores(scores).is_metric:
        metric = meaning.get(scores, "metric")
        if metric is not None and metric.values.get("normalize") is False:
            problem = "these scores are unnormalized, so their value without an effect is unknown"
            labels = (*label, Label(metric.place, "this metric is not normalized"))
            advice = "set `normalize = true` in the metric"
            meaning.report("C560", problem, draft.where("scores"), labels=labels, help=advice)


CURVES = {
    "faithfulness": Implementation(
        "Faithfulness of the circuits of the highest-scoring edges, by number of edges. At MIB's sizes the "
        "area under the curve is CPR, and the area between it and 1 is CMD.",
        {
            "scores": SCORED,
            "metric": METRIC,
            "edges": Key(
                Either(Many(COUNT), ("mib",)),
                "the numbers of edges; `mib`: .1, .2, .5, 1, 2, 5, 10, 20, 50, 100% of the graph's edges",
                required=True,
                unit="edges",
            ),
            "rank": RANK,
            "corruption": HELD_OUT,
            **INTERVAL,
        },
        source="Hanna et al. 2024; Mueller et al. 2025",
        check=_check_faithfulness,
    ),
    "roc": Implementation(
        "True against false positive rate with respect to a reference: of scores at every threshold (not "
        "pruned), or of circuits such as a family. Write either `scores` or `circuits`.",
        {
            "scores": Key(
                one("scores"), "each score is a threshold; by nodes, a node counts with its best edge"
            ),
            "circuits": Key(SEVERAL_CIRCUITS, "each circuit is a point; a family gives one per member"),
            "reference": Key(one("circuit"), "the circuit that counts as right", required=True),
            "by": BY,
            "rank": RANK,
        },
        source="Conmy et al. 2023",
        check=_check_roc,
    ),
}
