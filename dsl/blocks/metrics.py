"""Metrics: each is its formula and what is true of its values, once for the language and for the engine.

A formula is written with what the engine's `Logits` has; it gives a value for every run, prompt and position
read. Positions, means over prompts, normalisation and the sign of the loss are the same for all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from nncirc.dsl.blocks.entries import AT, FUNCTION, NORMALIZE, Implementation, Key, one
from nncirc.dsl.check.types import Boolean, Sum, Word

Tensor: TypeAlias = Any
"""Of the engine, with its methods: this room knows no framework."""


class Logits(Protocol):
    """What a formula is written with; the engine's `Logits` says more of each."""

    @property
    def patched(self) -> Tensor:
        """The logits of the run that is measured, at the positions read."""

    @property
    def clean(self) -> Tensor:
        """The clean run's log-probabilities, or its outputs; for what is `against_clean`."""

    @property
    def answer(self) -> Tensor:
        """The right tokens."""

    @property
    def foil(self) -> Tensor:
        """The wrong tokens."""

    def logit(self, tokens: Tensor) -> Tensor:
        """The mean logit of the tokens."""

    def logprob(self, tokens: Tensor) -> Tensor:
        """The log-probability that one of the tokens comes, in nats."""

    def prob(self, tokens: Tensor) -> Tensor:
        """The probability that one of the tokens comes."""

    def best(self, tokens: Tensor) -> Tensor:
        """The highest logit of the tokens."""

    def best_of_others(self, tokens: Tensor) -> Tensor:
        """The highest logit of all other tokens."""

    def mean_under(self, probability: Tensor) -> Tensor:
        """The mean of all logits under a distribution over the vocabulary."""


@dataclass(frozen=True, slots=True)
class Metric(Implementation):
    """A metric.

    Attributes:
        formula: its value at every position read; None of what is made of other metrics.
        needs: what of a dataset it reads.
        unit: of its values, where that is known; see `nncirc.circuits.units`.
        sign: +1 where more is better, -1 where less is.
        joint: how its values at the tokens of an answer of several make that of the answer: log-probabilities
            are added, probabilities multiplied. None where it has no meaning for such an answer.
        columns: whether it reads the logits of answers and foils only, so that no others have to be computed:
            by `logit` and `best`.
        against_clean: whether it compares with the clean run, on which it is 0, and so is its gradient.
        of_values: whether it is of values that a program computes, and not of logits of tokens.
        count: whether it is a count, which a small change leaves as it is, so that it has no gradient.
    """

    formula: Callable[[Logits], Tensor] | None = None
    needs: tuple[Literal["answer", "foil"], ...] = ()
    unit: str = ""
    sign: Literal[1, -1] = 1
    joint: Literal["sum", "product"] | None = None
    columns: bool = False
    against_clean: bool = False
    of_values: bool = False
    count: bool = False


def logit_diff(logits: Logits) -> Tensor:
    """Mean logit of the answers minus mean logit of the foils (Wang et al. 2022), in logits."""
    return logits.logit(logits.answer) - logits.logit(logits.foil)


def logprob(logits: Logits) -> Tensor:
    """Log-probability that one of the answers comes, in nats."""
    return logits.logprob(logits.answer)


def prob(logits: Logits) -> Tensor:
    """Probability that one of the answers comes, 0 to 1."""
    return logits.prob(logits.answer)


def prob_diff(logits: Logits) -> Tensor:
    """Summed probability of the answers minus that of the foils (Hanna et al. 2023), -1 to 1."""
    return logits.prob(logits.answer) - logits.prob(logits.foil)


def cross_entropy(logits: Logits) -> Tensor:
    """Minus the log-probability that one of the answers comes, in nats."""
    return -logits.logprob(logits.answer)


def accuracy(logits: Logits) -> Tensor:
    """1 where an answer is the likeliest of all tokens, else 0; a tie with another token is 0."""
    best = logits.best(logits.answer)
    return (best > logits.best_of_others(logits.answer)).to(best.dtype)


def paired_accuracy(logits: Logits) -> Tensor:
    """1 where an answer is likelier than every foil, else 0; a tie is 0."""
    best = logits.best(logits.answer)
    return (best > logits.best(logits.foil)).to(best.dtype)


def kl_divergence(logits: Logits) -> Tensor:
    """D(clean || patched), in nats (Conmy et al. 2023)."""
    p = logits.clean.exp()
    # Σ p log p − Σ p log q, with log q = logit − logsumexp and Σ p = 1: one pass over the patched logits
    return (p * logits.clean).sum(-1) - logits.mean_under(p) + logits.patched.logsumexp(-1)


def mse(logits: Logits) -> Tensor:
    """Mean over the outputs of the squared difference from the clean run's (Conmy et al. 2023)."""
    return (logits.patched - logits.clean).square().mean(-1)


_KEYS = {"at": AT, "normalize": NORMALIZE}


def _share(of_corrupt: str) -> Key:
    """Whether a divergence is normalised, which is 0 on the clean run."""
    doc = f"1 - {of_corrupt}: puts the corrupted run at 0 and the clean run at 1"
    return Key(Boolean(), doc, default=False)


METRICS: dict[str, Metric] = {
    "logit_diff": Metric(
        "Logit of the answer minus logit of the foil; of sets the mean logits.",
        _KEYS,
        source="Wang et al. 2022",
        needs=("answer", "foil"),
        unit="logits",
        columns=True,
        formula=logit_diff,
    ),
    "logprob": Metric(
        "Log-probability of the answer, of a set that one of it comes, in nats.",
        _KEYS,
        needs=("answer",),
        unit="nats",
        joint="sum",
        formula=logprob,
    ),
    "prob": Metric(
        "Probability of the answer, of a set the sum.",
        _KEYS,
        needs=("answer",),
        unit="probability",
        joint="product",
        formula=prob,
    ),
    "prob_diff": Metric(
        "Probability of the answer minus that of the foil; of sets the sums.",
        _KEYS,
        source="Hanna et al. 2023",
        needs=("answer", "foil"),
        unit="probability",
        formula=prob_diff,
    ),
    "cross_entropy": Metric(
        "Minus the log-probability of the answer, in nats: less is better.",
        _KEYS,
        needs=("answer",),
        unit="nats",
        sign=-1,
        joint="sum",
        formula=cross_entropy,
    ),
    "accuracy": Metric(
        "Share of prompts whose answer is the likeliest of all tokens. A count: it has no gradient.",
        _KEYS,
        needs=("answer",),
        unit="share",
        joint="product",
        count=True,
        formula=accuracy,
    ),
    "paired_accuracy": Metric(
        "Share of prompts whose answer is likelier than the foil; of sets, one answer than every foil.",
        _KEYS,
        needs=("answer", "foil"),
        unit="share",
        columns=True,
        count=True,
        formula=paired_accuracy,
    ),
    "task": Metric(
        "What the papers measure on a known task (`docs/tasks.md`), where they measure it.",
        {
            "data": Key(one("dataset"), "the prompts, `using task`", required=True),
            "normalize": NORMALIZE,
        },
    ),
    "expression": Metric(
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
    "python": Metric(
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
    "kl_divergence": Metric(
        "KL divergence D(clean || patched) of the predictions, in nats: 0 on the clean run.",
        {"at": AT, "normalize": _share("D / D(clean || corrupt)")},
        source="Conmy et al. 2023",
        unit="nats",
        sign=-1,
        against_clean=True,
        formula=kl_divergence,
    ),
    "mse": Metric(
        "Mean squared difference of the outputs from the clean run's: 0 on the clean run. For compiled "
        "programs, whose outputs are values; of other models it takes the logits.",
        {"at": AT, "normalize": _share("mse / mse(corrupt)")},
        source="Conmy et al. 2023",
        unit="squared outputs",
        sign=-1,
        of_values=True,
        against_clean=True,
        formula=mse,
    ),
}
