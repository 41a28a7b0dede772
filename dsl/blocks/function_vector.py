"""Function vectors."""

from __future__ import annotations

from nncirc.circuits.graph import stages
from nncirc.circuits.names import Position
from nncirc.dsl.blocks.keys import FACTORS, NODES, PATCHED, RUN, STEERED, one
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
            problem = f"expected an attention head, found `{node}`"
            advice = "write heads such as `L9H6` or `L5H*`"
            meaning.report("C293", problem, span, help=advice)
    source, data = meaning.get(draft, "source"), meaning.data_of(draft)
    if source is not None and data is not None:
        own, other = meaning.get(source, "model"), meaning.get(data, "model")
        if not meaning.same_model(own, other):
            meaning.models_differ(draft, "source", own, "corruption", other)


def _table(asked: Asked) -> Table:
    return by_factor(asked, asked.of_shape(lambda shape: stages(shape, halves=False)[1:]))


SCORES = {
    "function_vector": Scores(
        "The metric with the function vector of some heads added to the residual stream: the sum of their "
        "mean outputs at the last token. One row per layer after which it is added, one column per factor.",
        {
            **PATCHED,
            "heads": Key(NODES, "the heads of the vector", required=True),
            "source": Key(
                one("dataset"), "the prompts over which means are taken; if omitted, the clean prompts"
            ),
            "scale": Key(FACTORS, "factors by which the vector is multiplied", default=(1,)),
            "into": Key(RUN, "the run to which the vector is added", default="corrupt"),
            "at": Key(STEERED, "the positions where the vector is added", default=(Position("end"),)),
        },
        source="Todd et al. 2024",
        check=_check,
        table=_table,
    )
}
