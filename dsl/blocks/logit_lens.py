"""The logit lens."""

from __future__ import annotations

from nncirc.circuits.graph import stages
from nncirc.dsl.blocks.keys import OF_LOGITS, READ_AT, one
from nncirc.dsl.blocks.unpatched import check_read
from nncirc.dsl.check.declared import Key, Scores

SCORES = {
    "logit_lens": Scores(
        "What the model would predict if a layer were its last: the residual stream after every attention "
        "layer and MLP, through the final norm and the unembedding. A row has the name of the node "
        "that wrote last.",
        {
            "data": Key(one("dataset"), "the prompts, with answers", required=True),
            "of": OF_LOGITS,
            "positions": READ_AT,
        },
        source="nostalgebraist 2020",
        check=check_read,
        table=lambda asked: asked.by_position(asked.of_shape(stages)),
    )
}
