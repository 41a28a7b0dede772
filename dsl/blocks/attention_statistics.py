"""Statistics of attention."""

from __future__ import annotations

from nncirc.dsl.blocks.keys import one
from nncirc.dsl.blocks.unpatched import check_graph
from nncirc.dsl.check.declared import Key, Meaning, Scores
from nncirc.dsl.check.scope import Draft
from nncirc.dsl.check.tables import Asked
from nncirc.dsl.check.types import Many, Word


def _check(meaning: Meaning, draft: Draft) -> None:
    check_graph(meaning, draft)
    graph = meaning.get(draft, "graph")
    nodes = graph.values.get("nodes") if graph else None
    if isinstance(nodes, tuple) and "heads" not in nodes:
        advice = "add `heads` to the graph's `nodes`"
        meaning.report("C230", "this graph has no heads", draft.where("graph"), help=advice)


SCORES = {
    "attention_statistics": Scores(
        "How closely each head's attention follows a known pattern, 0 to 1; `entropy` of its attention in "
        "nats; `copying` by its weights, -1 to 1.",
        {
            "graph": Key(one("graph"), "the graph whose heads are measured", required=True),
            "data": Key(one("dataset"), "the prompts on which attention is measured", required=True),
            "of": Key(
                Many(
                    Word(
                        (
                            "previous_token",
                            "current_token",
                            "first_token",
                            "duplicate_token",
                            "prefix_matching",
                            "induction",
                            "entropy",
                            "copying",
                        )
                    )
                ),
                "the statistics; `prefix_matching`: attention to what follows earlier occurrences of the "
                "token, `induction`: to what follows the last of them",
                required=True,
            ),
        },
        source="Elhage et al. 2021; Olsson et al. 2022",
        check=_check,
        table=Asked.by_statistic,
        of_weights=("copying",),
        statistics="of",
    )
}
