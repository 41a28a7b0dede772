"""Metrics."""

from __future__ import annotations

from nncirc.dsl.blocks.entries import AT, FUNCTION, NORMALIZE, Implementation, Key, one
from nncirc.dsl.check.types import Boolean, Sum, Word

_KEYS = {"at": AT, "normalize": NORMALIZE}

METRICS = {
    "logit_diff": Implementation(
        "Logit of the answer minus logit of the foil; of sets the mean logits.",
        _KEYS,
        source="Wang et al. 2022",
        needs=("answer", "foil"),
        unit="logits",
    ),
    "logprob": Implementation(
        "Log-probability of the answer, of a set that one of it comes, in nats.",
        _KEYS,
        needs=("answer",),
        unit="nats",
    ),
    "prob": Implementation(
        "Probability of the answer, of a set the sum.", _KEYS, needs=("answer",), unit="probability"
    ),
    "prob_diff": Implementation(
        "Probability of the answer minus that of the foil; of sets the sums.",
        _KEYS,
        source="Hanna et al. 2023",
        needs=("answer", "foil"),
        unit="probability",
    ),
    "cross_entropy": Implementation(
        "Minus the log-probability of the answer, in nats: less is better.",
        _KEYS,
        needs=("answer",),
        unit="nats",
    ),
    "accuracy": Implementation(
        "Share of prompts whose answer is the likeliest of all tokens. A count: it has no gradient.",
        _KEYS,
        needs=("answer",),
        unit="share",
        gradient="nowhere",
    ),
    "paired_accuracy": Implementation(
        "Share of prompts whose answer is likelier than the foil; of sets, one answer than every foil.",
        _KEYS,
        needs=("answer", "foil"),
        unit="share",
        gradient="nowhere",
    ),
    "task": Implementation(
        "What the papers measure on a known task (`docs/tasks.md`), where they measure it.",
        {
            "data": Key(one("dataset"), "the prompts, `using task`", required=True),
            "normalize": NORMALIZE,
        },
    ),
    "expression": Implementation(
        "Other metrics added, subtracted, multiplied and divided, by each other and by numbers, prompt by "
        "prompt: the mean of a ratio. In a method it may stand as it is: `metric = ld - 0.5 * lp`.",
        {
            "of": Key(
                Sum("metric"), "what is computed, of metrics that read at the same positions", required=True
            ),
            "better": Key(
                Word(("higher", "lower")), "which way is better; absent: as for the first metric in it"
            ),
            "normalize": NORMALIZE,
        },
    ),
    "python": Implementation(
        "A function of your own, of the logits at the positions read, or an entry point `nncirc.metrics` of "
        "an installed package. Runs with `--allow-code` only. Results are stored under the text of its "
        "module and of all that this imports, and the versions of what is installed; files that it reads are "
        "not looked at, so run with `--fresh` when one has changed.",
        {
            "function": FUNCTION,
            "at": AT,
            "better": Key(Word(("higher", "lower")), "which way is better; absent: as it says, or higher"),
            "normalize": NORMALIZE,
        },
    ),
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
        unit="nats",
        gradient="not clean",
    ),
    "mse": Implementation(
        "Mean squared difference of the outputs from the clean run's: 0 on the clean run. For compiled "
        "programs, whose outputs are values; of other models it takes the logits.",
        {
            "at": AT,
            "normalize": Key(
                Boolean(),
                "1 - mse / mse(corrupt): puts the corrupted run at 0 and the clean run at 1",
                default=False,
            ),
        },
        source="Conmy et al. 2023",
        unit="squared outputs",
        of_values=True,
        gradient="not clean",
    ),
}
