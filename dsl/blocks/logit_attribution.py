"""Direct logit attribution."""

from __future__ import annotations

from nncirc.dsl.blocks.keys import GRAPH, READ_AT, one
from nncirc.dsl.blocks.unpatched import check_graph, check_read
from nncirc.dsl.check.declared import Key, Meaning, Scores, every
from nncirc.dsl.check.scope import Draft
from nncirc.dsl.check.types import Word
from nncirc.dsl.text.diagnostics import Label
from nncirc.dsl.text.source import Span


def _check_heads(meaning: Meaning, scores: Draft, span: Span) -> None:
    """There are numbers of heads by which `where` can pick some."""
    graph = meaning.get(scores, "graph")
    nodes = None if graph is None else graph.values.get("nodes")
    if graph is not None and isinstance(nodes, tuple) and "heads" not in nodes:
        advice = "add `heads` to the `nodes` of its graph"
        labels = (Label(graph.where("nodes"), "the nodes of its graph"),)
        meaning.report("C579", f"`{scores.name}` has no scores of heads", span, labels=labels, help=advice)


SCORES = {
    "logit_attribution": Scores(
        "What each sender adds directly to the logits, through the final norm with its scale frozen. "
        "Together with the bias terms, which the result names, these sum to the model's own logits.",
        {
            "graph": GRAPH,
            "data": Key(one("dataset"), "the prompts, with answers", required=True),
            "of": Key(
                Word(("logit_diff", "answer_logit")),
                "the answer's logit minus the foil's, or the answer's alone",
                default="logit_diff",
            ),
            "positions": READ_AT,
        },
        source="nostalgebraist 2020; Elhage et al. 2021; Wang et al. 2022",
        check=every(check_graph, check_read),
        table=lambda asked: asked.by_position(asked.of_graph(lambda graph: graph.base.senders)),
        statistics="positions",
        where=_check_heads,
    )
}
