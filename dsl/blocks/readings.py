"""Methods that read a model without a corruption: attention, logits, the residual stream, weights."""

from __future__ import annotations

from nncirc.circuits.names import Position
from nncirc.dsl.blocks.entries import GRAPH, Implementation, Key, one
from nncirc.dsl.check.types import Either, Many, Number, PositionType, Word

_PLACES = Either(Many(PositionType(), single=True), ("all",))
_OF_LOGITS = Key(
    Word(("prob", "logprob", "logit_diff", "rank", "kl_divergence")),
    "what is read: of the answer its probability, log-probability (nats), logit minus the foil's, or rank "
    "(1: the best); or the KL divergence of the model's own prediction from the row's, in nats",
    default="prob",
)
_WEIGHED = Key(one("model"), "the model whose weights are read", required=True)

READINGS = {
    "attention_statistics": Implementation(
        "How much each head attends as a known pattern says, 0 to 1; `entropy` of its attention in nats; "
        "`copying` of its weights, -1 to 1.",
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
                "the statistics; `prefix_matching`: to what came after earlier occurrences of the token, "
                "`induction`: after the last of them",
                required=True,
            ),
        },
        source="Elhage et al. 2021; Olsson et al. 2022",
    ),
    "logit_attribution": Implementation(
        "What each sender adds to the logits by itself, through the final norm with its scale frozen. With "
        "the terms of the biases, which the result names, it sums to the model's own logits.",
        {
            "graph": GRAPH,
            "data": Key(one("dataset"), "the prompts, with answers", required=True),
            "of": Key(
                Word(("logit_diff", "answer_logit")),
                "the answer's logit minus the foil's, or the answer's alone",
                default="logit_diff",
            ),
            "positions": Key(
                _PLACES,
                "where the logits are read, a column each; `all`: at every token",
                default=(Position("end"),),
            ),
        },
        source="nostalgebraist 2020; Elhage et al. 2021; Wang et al. 2022",
    ),
    "logit_lens": Implementation(
        "What the model would predict if a layer were its last: the residual stream after every attention "
        "and MLP, through the final norm and the unembedding. A row is named by the node that wrote last.",
        {
            "data": Key(one("dataset"), "the prompts, with answers", required=True),
            "of": _OF_LOGITS,
            "positions": Key(
                _PLACES,
                "where the stream is read, a column each; `all`: at every token",
                default=(Position("end"),),
            ),
        },
        source="nostalgebraist 2020",
    ),
    "patchscopes": Implementation(
        "What another prompt goes on with when it carries a state of these prompts. A row is the source's "
        "layer, named by the node that wrote last; the prediction is read at the target's end.",
        {
            "source": Key(one("dataset"), "the prompts whose states are taken, with answers", required=True),
            "target": Key(one("dataset"), "one prompt for all of them, or one for each", required=True),
            "of": _OF_LOGITS,
            "positions": Key(
                _PLACES,
                "where states are taken, a column each; `all`: at every token",
                default=(Position("end"),),
            ),
            "into": Key(
                PositionType(),
                "the target's position that takes a state; of several tokens the last",
                default=Position("end"),
            ),
            "layer": Key(
                Number(integer=True, low=0),
                "the target's layer that reads the state, from 0; the number of layers: the final norm (the "
                "logit lens); absent: the source's own",
                family=True,
            ),
        },
        source="Ghandeharioun et al. 2024",
    ),
    "weight_statistics": Implementation(
        "Numbers for each head from its weights, norms folded in: `copying` and `matching`, the share of "
        "positive eigenvalues (-1 to 1) of OV from token to logit and of QK from token to token; and the "
        "largest composition (0 to 1) of its query, key or value with what an earlier head writes.",
        {
            "model": _WEIGHED,
            "of": Key(
                Many(Word(("copying", "matching", "q_composition", "k_composition", "v_composition"))),
                "the statistics",
                required=True,
            ),
        },
        source="Elhage et al. 2021",
    ),
    "composition": Implementation(
        "A number for each pair of heads from their weights: a row for the later head, a column for the "
        "earlier one. `where(pairs.L0H2, above = 0.3)` names the heads that read what L0H2 writes.",
        {
            "model": _WEIGHED,
            "of": Key(
                Word(("q_composition", "k_composition", "v_composition", "virtual_copying")),
                "how much a query, key or value reads what the earlier head writes, 0 to 1 (1/√d_model is "
                "chance); or `copying` of the two heads in a row",
                required=True,
            ),
        },
        source="Elhage et al. 2021",
    ),
    "in_context_learning": Implementation(
        "The loss at a late token minus the loss at an early one, in nats: below 0 if the context helps.",
        {
            "data": Key(one("dataset"), "the prompts; answers are not needed", required=True),
            "early": Key(Number(integer=True, low=2), "the early token, counted from 1", default=50),
            "late": Key(Number(integer=True, low=3), "the late token", default=500),
        },
        source="Olsson et al. 2022",
    ),
}
