"""Function vectors."""

from __future__ import annotations

from nncirc.circuits.graph import stages
from nncirc.circuits.names import Position
from nncirc.dsl.blocks.keys import CORRUPTION, FACTORS, GRAPH, METRIC, NODES, RUN, STEERED, one
from nncirc.dsl.blocks.patched import check_begins, check_method, check_nodes, check_writes, nodes_under
from nncirc.dsl.blocks.steering import by_factor
from nncirc.dsl.check.declared import Key, Meaning, Scores
from nncirc.dsl.check.scope import Draft
from nncirc.dsl.check.tables import Asked, Table


def _check(meaning: Meaning, draft: Draft) -> None:
    check_method(meaning, draft)
    if not check_nodes(meaning, draft, "heads"):
        return
    check_begins(meaning, draft)
    check_writes(meaning, draft, "heads")
    for node, span in nodes_under(draft, "heads"):
        if node.kind in ("mlp", "embed", "pos_embed"):
            meaning.report("C293", f"`{node}` is no head", span, help="name heads: `L9H6`, `L5H*`")
    source, data = meaning.get(draft, "source"), meaning.data_of(draft)
    if source is not None and data is not None:
        own, other = meaning.get(source, "model"), meaning.get(data, "model")
        if not meaning.same_model(own, other):
            meaning.models_differ(draft, "source", own, "corruption", other)


def _table(asked: Asked) -> Table:
    return by_factor(asked, asked.of_shape(lambda shape: stages(shape, halves=False)[1:]))


SCORES = {
    "function_vector": Scores(
        "The metric with the function vector of some heads added to the residual stream: the sum of the "
        "means of what they write at the last token. A row for each layer behind which it is added, a column "
        "for each factor.",
        {
            "graph": GRAPH,
            "corruption": CORRUPTION,
            "metric": METRIC,
            "heads": Key(NODES, "the heads of the vector", required=True),
            "source": Key(one("dataset"), "the prompts of the means; absent: the clean prompts"),
            "scale": Key(FACTORS, "factors of the vector", default=(1,)),
            "into": Key(RUN, "the run to which it is added", default="corrupt"),
            "at": Key(STEERED, "where it is added", default=(Position("end"),)),
        },
        source="Todd et al. 2024",
        check=_check,
        table=_table,
    )
}
