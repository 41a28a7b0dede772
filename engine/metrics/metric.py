"""Metrics: what is measured at some positions of the logits.

Our own are one table, with their formulas, in `dsl/blocks/metrics.py`; positions, means over prompts,
normalisation and the sign of the loss are the same for all. A package can add one through the entry point
group `nncirc.metrics`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Annotated, Literal, TypeAlias, TypedDict

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nncirc.circuits.annotations import Accepts
from nncirc.circuits.arguments import public
from nncirc.circuits.errors import MethodError, ModelError
from nncirc.circuits.names import END, Position, Positions, as_positions
from nncirc.dsl.blocks.metrics import METRICS, Metric as Declared
from nncirc.engine.model.model import Model

Joint: TypeAlias = Literal["sum", "product"]
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

    def logit(self, tokens: Int[Tensor, "batch read choice"]) -> Float[Tensor, "row batch read"]:
        """The mean logit of the tokens."""
        return self.at(tokens, self.patched)

    def logprob(self, tokens: Int[Tensor, "batch read choice"]) -> Float[Tensor, "row batch read"]:
        """The log-probability that one of the tokens comes, in nats."""
        return self.each(tokens, self.patched.log_softmax(-1), -torch.inf).logsumexp(-1)

    def prob(self, tokens: Int[Tensor, "batch read choice"]) -> Float[Tensor, "row batch read"]:
        """The probability that one of the tokens comes, 0 to 1."""
        return self.logprob(tokens).exp()

    def best(self, tokens: Int[Tensor, "batch read choice"]) -> Float[Tensor, "row batch read"]:
        """The highest logit of the tokens."""
        return self.each(tokens, self.patched, -torch.inf).amax(-1)

    def best_of_others(self, tokens: Int[Tensor, "batch read choice"]) -> Float[Tensor, "row batch read"]:
        """The highest logit of all other tokens."""
        # A set that is filled up names its first token again, so that no other is touched.
        index = torch.where(tokens < 0, tokens[..., :1], tokens).expand(len(self.patched), -1, -1, -1)
        return self.patched.scatter(-1, index, -torch.inf).amax(-1)

    def mean_under(self, probability: Float[Tensor, "batch read vocab"]) -> Float[Tensor, "row batch read"]:
        """The mean of all logits under a distribution over the vocabulary."""
        return torch.einsum("rbnv,bnv->rbn", self.patched, probability)


@public
@dataclass(frozen=True, slots=True)
class Measure:
    """A kind of metric.

    Attributes:
        function: its value at every position read.
        needs: whether the dataset must have answers, or answers and foils.
        sign: +1 where more is better, -1 where less is.
        unit: of its values.
        columns: whether it reads the logits of answers and foils only, through `Logits.logit`,
            `best`, `at` or `each`, so that no others have to be computed.
        against_clean: whether it compares with the clean run.
        of_outputs: whether it takes what the model gives as values, and so has a meaning where these are no
            logits of tokens.
        sensitivity: from a value, by how much the metric can move when every logit moves by at most 1;
            infinite where that cannot be said.
        nothing: by how much runs that compute the same may differ by rounding, in its unit: of a measure that
            is 0 on the clean run, so that its own values tell no scale.
        gradient: whether it has a gradient that says something: a count has none.
        joint: how its values at the tokens of an answer of several make that of the answer: log-probabilities
            are added, probabilities multiplied. None where it has no meaning for such an answer.
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
    nothing: float = 0.0
    gradient: bool = True
    joint: Joint | None = None


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


def unbounded(_: float) -> float:
    """The sensitivity of a count, which the least change of a logit can change by 1; or an unknown one."""
    return torch.inf


class _Numerics(TypedDict, total=False):
    sensitivity: Callable[[float], float]
    of_change: ChangeFunction
    nothing: float


_NUMERICS: dict[str, _Numerics] = {
    # Pinsker's inequality: |p − q|₁ ≤ √(2 D), and dD = Σ (q − p) dlogit
    "kl_divergence": {
        "sensitivity": lambda d: (2 * max(d, 0.0)) ** 0.5,
        "of_change": kl_of_change,
        "nothing": 1e-8,
    },
    # (d + 1)² − d² = 2 d + 1, and the mean of |d| is at most √mse
    "mse": {"sensitivity": lambda m: 2 * max(m, 0.0) ** 0.5, "nothing": 1e-12},
}
"""What only the exactness of runs asks of our metrics, beside what `dsl/blocks/metrics.py` says of them."""


def _measure(name: str, metric: Declared, formula: Function) -> Measure:
    numerics = _NUMERICS.get(name, {"sensitivity": unbounded} if metric.count else {})
    return Measure(
        formula,
        metric.needs,
        metric.sign,
        metric.unit,
        columns=metric.columns,
        against_clean=metric.against_clean,
        of_outputs=metric.of_values,
        gradient=not metric.count,
        joint=metric.joint,
        **numerics,
    )


@cache
def measures() -> dict[str, Measure]:
    """The known kinds of metric by name; entry points come after our own and cannot replace them."""
    found = {name: _measure(name, each, each.formula) for name, each in METRICS.items() if each.formula}
    for entry in sorted(entry_points(group="nncirc.metrics"), key=lambda entry: entry.name):
        found.setdefault(entry.name, entry.load())
    return found


@public
@dataclass(frozen=True, slots=True)
class Metric:
    """A metric as a script or a caller asks for it.

    Args:
        name: a kind of metric: `logit_diff`, `logprob`, `prob`, `prob_diff`, `cross_entropy`, `accuracy`,
            `paired_accuracy`, `kl_divergence`, `mse`.
        at: the positions to read, as `as_positions` takes them; a prompt's value is the mean over them. Of an
            answer of several tokens all are read from `end` on, and a prompt's value is that of the answer.
        normalize: put the corrupted run at 0 and the clean run at 1. The means over prompts are
            normalised, not each prompt.
        own: a measure of the caller's, of whatever name; None for the kind of that name.
    """

    name: str
    at: Annotated[tuple[Position, ...], Accepts(Positions)] = (END,)
    normalize: bool = False
    own: Measure | None = None

    def __post_init__(self) -> None:
        if self.own is None and self.name not in measures():
            raise MethodError(
                "C511", f"unknown metric {self.name!r}", hint=f"expected {', '.join(measures())}"
            )
        object.__setattr__(self, "at", as_positions(self.at))

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


def check_metric(metric: Metric, model: Model) -> None:
    """Whether a metric has a meaning for a model's outputs.

    Raises:
        ModelError: C433, it is of logits of tokens, and the model gives values.
    """
    if not model.predicts_tokens and not metric.measure.of_outputs:
        raise ModelError(
            "C433",
            f"{metric.name} needs logits, but {model.name} outputs values",
            hint="measure mse, the squared difference from the clean run's outputs",
        )
