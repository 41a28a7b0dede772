"""Metrics: what is measured at some positions of the logits.

A metric is one function of the logits at its positions and one entry in `METRICS`; positions, means over
prompts, normalisation and the sign of the loss are the same for all. A package can add one through the
entry point group `nncirc.metrics`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nncirc.circuits.errors import DataError, MethodError, ModelError
from nncirc.engine.data import Dataset, Example, resolve, tokens_of
from nncirc.engine.model import Model

Place: TypeAlias = tuple[str, int | None]
"""A position by name: `("end", None)`, `("S", 2)` for the second S, `("IO", None)` for every IO."""

END: Place = ("end", None)

LARGEST_CHANGE = 64.0
"""In float32 e⁸⁸ is infinite, and what a probability below 10⁻³⁸ loses must not come back multiplied."""


def places(given: str | Sequence[str | Place]) -> tuple[Place, ...]:
    """Positions by name, checked; `"end"` and `"S.2"` may be written for `("end", None)` and `("S", 2)`.

    Raises:
        MethodError: C512, something is no position.
    """
    found: list[Place] = []
    for one in [given] if isinstance(given, str) else given:
        if isinstance(one, str):
            name, dot, number = one.partition(".")
            one = (name, int(number) if number.isdecimal() else None if not dot else number)  # type: ignore[assignment]
        if not (
            isinstance(one, tuple)
            and len(one) == 2
            and isinstance(one[0], str)
            and (one[1] is None or type(one[1]) is int)
        ):
            raise MethodError(
                "C512",
                f"{one!r} is no position",
                hint='write "end", "S.2", or ("S", 2); several of them in a list',
            )
        found.append(one)
    return tuple(found)


Function: TypeAlias = Callable[["Logits"], Float[Tensor, "row batch read"]]
ChangeFunction: TypeAlias = Callable[
    [Float[Tensor, "row batch read vocab"], Float[Tensor, "batch read vocab"]],
    Float[Tensor, "row batch read"],
]


@dataclass(frozen=True, slots=True)
class Logits:
    """What a metric's function sees: logits at the positions read, and what belongs to them.

    Attributes:
        patched: of the run that is measured, in float64. For a measure of `columns` only those of the
            tokens that it reads.
        clean: log-probabilities of the clean run, or its outputs for a measure `of_outputs`, in float64; None
            for a measure that is not `against_clean`.
        answer: the tokens of which each is right; -1 where a prompt has fewer than another, zeros where the
            dataset has no answers.
        foil: the tokens of which each is wrong.
    """

    patched: Float[Tensor, "row batch read vocab"]
    clean: Float[Tensor, "batch read vocab"] | None
    answer: Int[Tensor, "batch read choice"]
    foil: Int[Tensor, "batch read choice"]

    def each(
        self,
        tokens: Int[Tensor, "batch read choice"],
        values: Float[Tensor, "row batch read vocab"],
        missing: float,
    ) -> Float[Tensor, "row batch read choice"]:
        """The value of every token of the sets at each position read; `missing` where a set is smaller."""
        index = tokens.clamp(min=0).expand(len(values), -1, -1, -1)
        return values.gather(-1, index).masked_fill(tokens < 0, missing)

    def at(
        self, tokens: Int[Tensor, "batch read choice"], values: Float[Tensor, "row batch read vocab"]
    ) -> Float[Tensor, "row batch read"]:
        """The mean value over the set of tokens at each position read."""
        return self.each(tokens, values, 0.0).sum(-1) / (tokens >= 0).sum(-1)


@dataclass(frozen=True, slots=True)
class Measure:
    """A kind of metric.

    Attributes:
        function: its value at every position read.
        needs: whether the dataset must have answers, or answers and foils.
        sign: +1 where more is better, -1 where less is.
        unit: of its values.
        columns: whether it reads the logits of answers and foils only, through `Logits.at` or
            `Logits.each`, so that no others have to be computed.
        against_clean: whether it compares with the clean run.
        of_outputs: whether it takes what the model gives as values, and so has a meaning where these are no
            logits of tokens.
        sensitivity: from a value, by how much the metric can move when every logit moves by at most 1;
            infinite where that cannot be said.
        gradient: whether it has a gradient that says something: a count has none.
        of_change: its value from the change of the logits since the clean run, which it may overwrite, and
            the clean run's probabilities, both in float32: as exact as such logits are. None where there
            is no such formula.
    """

    function: Function
    needs: tuple[Literal["answer", "foil"], ...]
    sign: Literal[1, -1]
    unit: str
    columns: bool = False
    against_clean: bool = False
    of_outputs: bool = False
    sensitivity: Callable[[float], float] = lambda _: 2.0
    of_change: ChangeFunction | None = None
    gradient: bool = True


def logit_diff(logits: Logits) -> Tensor:
    """Mean logit of the answers minus mean logit of the foils (Wang et al. 2022), in logits."""
    return logits.at(logits.answer, logits.patched) - logits.at(logits.foil, logits.patched)


def _logprob(logits: Logits, tokens: Int[Tensor, "batch read choice"]) -> Float[Tensor, "row batch read"]:
    return logits.each(tokens, logits.patched.log_softmax(-1), -torch.inf).logsumexp(-1)


def logprob(logits: Logits) -> Tensor:
    """Log-probability that one of the answers comes, in nats."""
    return _logprob(logits, logits.answer)


def prob(logits: Logits) -> Tensor:
    """Probability that one of the answers comes, 0 to 1."""
    return logprob(logits).exp()


def prob_diff(logits: Logits) -> Tensor:
    """Summed probability of the answers minus that of the foils (Hanna et al. 2023), -1 to 1."""
    return prob(logits) - _logprob(logits, logits.foil).exp()


def cross_entropy(logits: Logits) -> Tensor:
    """Minus the log-probability that one of the answers comes, in nats."""
    return -logprob(logits)


def accuracy(logits: Logits) -> Tensor:
    """1 where an answer is the likeliest of all tokens, else 0; a tie with another token is 0."""
    return _beats(logits, without(logits.patched, logits.answer).amax(-1))


def paired_accuracy(logits: Logits) -> Tensor:
    """1 where an answer is likelier than every foil, else 0; a tie is 0."""
    return _beats(logits, logits.each(logits.foil, logits.patched, -torch.inf).amax(-1))


def _beats(logits: Logits, others: Float[Tensor, "row batch read"]) -> Float[Tensor, "row batch read"]:
    best = logits.each(logits.answer, logits.patched, -torch.inf).amax(-1)
    return (best > others).to(best.dtype)


def without(
    values: Float[Tensor, "row batch read vocab"], tokens: Int[Tensor, "batch read choice"]
) -> Float[Tensor, "row batch read vocab"]:
    """Values in which those of some tokens are minus infinity."""
    # A set that is filled up names its first token again, so that no other is touched.
    index = torch.where(tokens < 0, tokens[..., :1], tokens).expand(len(values), -1, -1, -1)
    return values.scatter(-1, index, -torch.inf)


def kl_divergence(logits: Logits) -> Tensor:
    """D(clean || patched), in nats (Conmy et al. 2023)."""
    assert logits.clean is not None
    probability = logits.clean.exp()
    # Σ p log p − Σ p log q, with log q = logit − logsumexp and Σ p = 1: one pass over the patched logits
    entropy = (probability * logits.clean).sum(-1)
    cross = torch.einsum("rbnv,bnv->rbn", logits.patched, probability)
    return entropy - cross + logits.patched.logsumexp(-1)


def kl_of_change(
    change: Float[Tensor, "row batch read vocab"], probability: Float[Tensor, "batch read vocab"]
) -> Tensor:
    """D(clean || patched), in nats, from the change of the logits since the clean run.

    log Σ p eˣ − Σ p x of the change x, with its mean under p taken off. No term of Σ p (eˣ − 1 − x) is
    negative, so nothing cancels, and float32 gives what the small change is known to.
    """
    change -= (change * probability).sum(-1, keepdim=True)
    excess = (change.expm1() - change).mul_(probability).sum(-1)
    return excess.double().log1p()


def _jumps(_: float) -> float:
    """The sensitivity of a count: the least change of a logit can change it by 1."""
    return torch.inf


def mse(logits: Logits) -> Tensor:
    """Mean over the outputs of the squared difference from the clean run's (Conmy et al. 2023)."""
    assert logits.clean is not None
    return (logits.patched - logits.clean).square().mean(-1)


_OURS = {
    "logit_diff": Measure(logit_diff, ("answer", "foil"), 1, "logits", columns=True),
    "logprob": Measure(logprob, ("answer",), 1, "nats"),
    "prob": Measure(prob, ("answer",), 1, "probability"),
    "prob_diff": Measure(prob_diff, ("answer", "foil"), 1, "probability"),
    "cross_entropy": Measure(cross_entropy, ("answer",), -1, "nats"),
    "accuracy": Measure(accuracy, ("answer",), 1, "share", sensitivity=_jumps, gradient=False),
    "paired_accuracy": Measure(
        paired_accuracy,
        ("answer", "foil"),
        1,
        "share",
        columns=True,
        sensitivity=_jumps,
        gradient=False,
    ),
    # Pinsker's inequality: |p − q|₁ ≤ √(2 D), and dD = Σ (q − p) dlogit
    "kl_divergence": Measure(
        kl_divergence,
        (),
        -1,
        "nats",
        against_clean=True,
        sensitivity=lambda d: (2 * max(d, 0.0)) ** 0.5,
        of_change=kl_of_change,
    ),
    # (d + 1)² − d² = 2 d + 1, and the mean of |d| is at most √mse
    "mse": Measure(
        mse,
        (),
        -1,
        "squared outputs",
        against_clean=True,
        of_outputs=True,
        sensitivity=lambda m: 2 * max(m, 0.0) ** 0.5,
    ),
}


@cache
def measures() -> dict[str, Measure]:
    """The known kinds of metric by name; entry points come after our own and cannot replace them."""
    found = dict(_OURS)
    for entry in sorted(entry_points(group="nncirc.metrics"), key=lambda entry: entry.name):
        found.setdefault(entry.name, entry.load())
    return found


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric as a script or a caller asks for it.

    Args:
        name: a kind of metric: `logit_diff`, `logprob`, `prob`, `prob_diff`, `cross_entropy`, `accuracy`,
            `paired_accuracy`, `kl_divergence`, `mse`.
        at: the positions to read, as `places` takes them; a prompt's value is the mean over them.
        normalize: put the corrupted run at 0 and the clean run at 1. The means over prompts are
            normalised, not each prompt.
        own: a measure of the caller's, of whatever name; None for the kind of that name.
    """

    name: str
    at: tuple[Place, ...] = (END,)
    normalize: bool = False
    own: Measure | None = None

    def __post_init__(self) -> None:
        if self.own is None and self.name not in measures():
            raise MethodError("C511", f"no metric is called {self.name!r}", hint=", ".join(measures()))
        object.__setattr__(self, "at", places(self.at))

    @property
    def measure(self) -> Measure:
        """The kind of metric."""
        return self.own or measures()[self.name]

    @property
    def source(self) -> str:
        """SHA-256 of the code that computes it, where that is the user's own; else ""."""
        return getattr(self.measure.function, "source", "")

    @property
    def unit(self) -> str:
        """Unit of its values."""
        return "normalized" if self.normalize else self.measure.unit


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """Where a metric reads in the prompts of one batch, and the answers there.

    Attributes:
        kept: the positions that any prompt reads; logits are computed at these only.
        index: for every prompt which of `kept` it reads, filled up with the first.
        weight: of every position read in the prompt's mean; 0 where filled up.
        answer: the answers at the positions read, filled up with -1.
        foil: the foils at the positions read.
    """

    kept: Int[Tensor, " kept"]
    index: Int[Tensor, "batch read"]
    weight: Float[Tensor, "batch read"]
    answer: Int[Tensor, "batch read choice"]
    foil: Int[Tensor, "batch read choice"]

    def select(self, logits: Float[Tensor, "row batch kept vocab"]) -> Float[Tensor, "row batch read vocab"]:
        """The logits at the positions that each prompt reads; of other vectors likewise."""
        if len(self.kept) == self.index.shape[1] == 1:
            return logits
        index = self.index[None, :, :, None].expand(len(logits), -1, -1, logits.shape[-1])
        return logits.gather(2, index)

    def values(
        self,
        metric: Metric,
        logits: Float[Tensor, "row batch kept vocab"],
        clean: Float[Tensor, "batch read vocab"] | None = None,
    ) -> Float[Tensor, "row batch"]:
        """The metric of every prompt, in float64, not normalised.

        Args:
            metric: what is measured.
            logits: of some runs, at `kept`.
            clean: `reference` of the clean run's logits, for a metric that is `against_clean`.
        """
        seen = Logits(self.select(logits).double(), clean, self.answer, self.foil)
        return self.mean(metric.measure.function(seen))

    def logprob(self, logits: Float[Tensor, "1 batch kept vocab"]) -> Float[Tensor, "batch read vocab"]:
        """Log-probabilities at the positions that each prompt reads, in float64."""
        return self.select(logits)[0].double().log_softmax(-1)

    def reference(
        self, metric: Metric, logits: Float[Tensor, "1 batch kept vocab"]
    ) -> Float[Tensor, "batch read vocab"]:
        """What a metric that is `against_clean` compares with, from the clean run's logits, in float64."""
        return self.select(logits)[0].double() if metric.measure.of_outputs else self.logprob(logits)

    def columns(self) -> Int[Tensor, "batch read column"]:
        """The tokens whose logits a measure of `columns` reads: answers and foils."""
        return torch.cat([self.answer, self.foil], dim=-1).clamp(min=0)

    def column_values(
        self, metric: Metric, logits: Float[Tensor, "row batch read column"]
    ) -> Float[Tensor, "row batch"]:
        """The metric of every prompt from the logits of `columns` alone."""
        number = torch.arange(logits.shape[-1], device=logits.device)
        answer, foil = number[: self.answer.shape[-1]], number[self.answer.shape[-1] :]
        seen = Logits(
            logits.double(),
            None,
            torch.where(self.answer < 0, -1, answer),
            torch.where(self.foil < 0, -1, foil),
        )
        return self.mean(metric.measure.function(seen))

    def change_values(
        self,
        of_change: ChangeFunction,
        change: Float[Tensor, "row batch kept vocab"],
        probability: Float[Tensor, "batch read vocab"],
    ) -> Float[Tensor, "row batch"] | None:
        """The metric of every prompt from the change of the logits since the clean run, which is overwritten.

        None if the change is too large for float32: its exponential, or a probability that it lifts.
        """
        low, high = change.aminmax()
        if not high - low < LARGEST_CHANGE:  # not a number, too
            return None
        return self.mean(of_change(self.select(change), probability))

    def mean(self, values: Float[Tensor, "row batch read"]) -> Float[Tensor, "row batch"]:
        """The mean over every prompt's positions."""
        return (values * self.weight).sum(-1)


def reading(
    metric: Metric, dataset: Dataset, examples: Sequence[Example], device: torch.device | None = None
) -> Reading:
    """Where `metric` reads in some examples of a dataset, all of one length.

    With `answer = next` the positions are those of the names whose next token is in the prompt too.

    Raises:
        DataError: C331, the metric needs an answer or foil that the dataset lacks; C332, no position
            is left to read. Unknown positions as `resolve` says.
    """
    for need in metric.measure.needs:
        missing = dataset.answers is None or (
            need == "foil" and any(example.foil is None for example in examples)
        )
        if missing:
            raise DataError(
                "C331",
                f"{metric.name} needs the {need} of every prompt, and the dataset has none",
                hint=f'give the dataset {need} = "..."',
            )
    rows = [_positions(metric, dataset, example) for example in examples]
    kept = sorted(set().union(*rows))
    width = max(map(len, rows))
    where = {position: i for i, position in enumerate(kept)}

    # Filled up with a position that is read, so that a ratio is as finite there as elsewhere.
    filled_up = [row + row[:1] * (width - len(row)) for row in rows]

    def answer(example: Example, position: int) -> Sequence[int]:
        if dataset.answers != "next":
            return tokens_of(example.answer)
        # A metric without answers also reads the last position, which has no next token.
        return example.tokens[position + 1 : position + 2]

    def targets(entry: Callable[[Example, int], Sequence[int]]) -> Int[Tensor, "batch read choice"]:
        sets = [
            [entry(example, p) or (0,) for p in row] for example, row in zip(examples, filled_up, strict=True)
        ]
        most = max(len(one) for row in sets for one in row)
        filled = [[[*one, *[-1] * (most - len(one))] for one in row] for row in sets]
        return torch.tensor(filled, dtype=torch.long, device=device)

    return Reading(
        torch.tensor(kept, device=device),
        torch.tensor([[where[p] for p in row] for row in filled_up], dtype=torch.long, device=device),
        torch.tensor(
            [[1 / len(row)] * len(row) + [0] * (width - len(row)) for row in rows],
            dtype=torch.float64,
            device=device,
        ),
        targets(answer),
        targets(lambda example, _: tokens_of(example.foil)),
    )


def check_metric(metric: Metric, model: Model) -> None:
    """Whether a metric has a meaning for a model's outputs.

    Raises:
        ModelError: C433, it is of logits of tokens, and the model gives values.
    """
    if not model.predicts_tokens and not metric.measure.of_outputs:
        raise ModelError(
            "C433",
            f"{metric.name} is about logits of tokens, and the outputs of {model.name} are values"
            " that a program computes: their softmax is no prediction",
            hint="measure mse, the squared difference from the clean run's outputs",
        )


def _positions(metric: Metric, dataset: Dataset, example: Example) -> list[int]:
    found = sorted({p for name, occurrence in metric.at for p in resolve(example, name, occurrence)})
    if dataset.answers == "next" and metric.measure.needs:
        found = [p for p in found if p + 1 < len(example.tokens)]
    if not found:
        raise DataError(
            "C332",
            f"{metric.name} has no position to read in {example.text!r}",
            hint="with answer = next, the last position of a prompt has no next token",
        )
    return found
