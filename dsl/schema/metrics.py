"""Metrics."""

from __future__ import annotations

from nncirc.dsl.keytypes import Boolean
from nncirc.dsl.schema.entries import AT, NORMALIZE, Implementation, Key

METRICS = {
    "logit_diff": Implementation(
        "Logit of the answer minus logit of the foil.",
        {"at": AT, "normalize": NORMALIZE},
        source="Wang et al. 2022",
    ),
    "logprob": Implementation("Log-probability of the answer, in nats.", {"at": AT, "normalize": NORMALIZE}),
    "prob": Implementation("Probability of the answer.", {"at": AT, "normalize": NORMALIZE}),
    "kl_divergence": Implementation(
        "KL divergence D(clean || patched) of the predictions, in nats: 0 on the clean run.",
        {
            "at": AT,
            "normalize": Key(
                Boolean(),
                "1 - D / D(clean || corrupt): puts the corrupted run at 0 and the clean run at 1",
                default=False,
            ),
        },
        source="Conmy et al. 2023",
    ),
}
