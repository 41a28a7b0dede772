"""Where a metric reads in prompts, and what it makes of the logits there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nncirc.circuits.errors import DataError
from nncirc.circuits.names import END
from nncirc.engine.data.examples import Dataset, Example, tokens_of
from nncirc.engine.data.positions import resolve
from nncirc.engine.metrics.finite import require_values
from nncirc.engine.metrics.metric import ChangeFunction, Joint, Logits, Measure, Metric

LARGEST_CHANGE = 64.0
"""In float32 e⁸⁸ is infinite, and what a probability below 10⁻³⁸ loses must not come back multiplied."""


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """Where a metric reads in the prompts of one batch, and the answers there.

    Attributes:
        kept: the positions that any prompt reads; logits are computed at these only.
        index: for every prompt which of `kept` it reads, filled up with the first.
        weight: of every position read in the prompt's mean, or in its sum or product 1; 0 where filled up.
        answer: the answers at the positions read, filled up with -1.
        foil: the foils at the positions read.
        joint: how the values at the tokens of one answer are joined; None: the mean over positions.
    """

    kept: Int[Tensor, " kept"]
    index: Int[Tensor, "batch read"]
    weight: Float[Tensor, "batch read"]
    answer: Int[Tensor, "batch read choice"]
    foil: Int[Tensor, "batch read choice"]
    joint: Joint | None = None

    def select(self, logits: Float[Tensor, "row batch kept vocab"]) -> Float[Tensor, "row batch read vocab"]:
        """The logits, or other vectors, at the positions that each prompt reads."""
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

        Raises:
            MethodError: C562, a value is not finite.
        """
        seen = Logits(self.select(logits).double(), clean, self.answer, self.foil)
        found = self.mean(metric.measure.function(seen))
        require_values(found, logits, metric.name)
        return found

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
        """The mean over every prompt's positions, or what they make `joint`."""
        if self.joint == "product":
            return torch.where(self.weight > 0, values, 1.0).prod(-1)
        return (values * self.weight).sum(-1)

    @property
    def terms(self) -> int:
        """How many values a prompt's value can move with, each by its own: 1 for a mean of them."""
        return 1 if self.joint is None else self.index.shape[1]


def reading(
    metric: Metric, dataset: Dataset, examples: Sequence[Example], device: torch.device | None = None
) -> Reading:
    """Where `metric` reads in some examples of a dataset, all of one length.

    With `answer = next` the positions are those of the names whose next token is in the prompt too. With an
    answer of several tokens a metric of it reads each where it is predicted, from `end` on.

    Raises:
        DataError: C331, the metric needs an answer or foil that the dataset lacks; C332, no position
            is left to read; C343, it has no meaning for an answer of several tokens, or none there. Unknown
            positions as `resolve` says.
    """
    require_answers(metric.name, metric.measure, dataset, examples)
    joint = _joint(metric, dataset)
    rows = [
        list(range(example.end, len(example.tokens))) if joint else _positions(metric, dataset, example)
        for example in examples
    ]
    kept = sorted(set().union(*rows))
    width = max(map(len, rows))
    where = {position: i for i, position in enumerate(kept)}

    # Filled up with a position that is read, so that a ratio is as finite there as elsewhere.
    filled_up = [row + row[:1] * (width - len(row)) for row in rows]

    def answer(example: Example, position: int) -> Sequence[int]:
        follows = example.tokens[position + 1 : position + 2]
        # A metric without answers also reads the last position, which has no next token.
        if dataset.answers == "next" or (dataset.answers == "forced" and follows):
            return follows
        return tokens_of(example.answer)

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
            [[1.0 if joint else 1 / len(row)] * len(row) + [0] * (width - len(row)) for row in rows],
            dtype=torch.float64,
            device=device,
        ),
        targets(answer),
        targets(lambda example, _: tokens_of(example.foil)),
        joint,
    )


def require_answers(name: str, measure: Measure, dataset: Dataset, examples: Sequence[Example]) -> None:
    """Whether a dataset has the answers and foils that a measure reads, for these examples of it.

    Raises:
        DataError: C331, it lacks them.
    """
    for need in measure.needs:
        if dataset.answers is None or (need == "foil" and any(each.foil is None for each in examples)):
            raise DataError(
                "C331",
                f"{name} needs the {need} of every prompt, which this dataset lacks",
                hint=f'add {need} = "..." to the dataset',
            )


def _joint(metric: Metric, dataset: Dataset) -> Joint | None:
    if dataset.answers != "forced" or not metric.measure.needs:
        return None
    if metric.measure.joint is None or metric.at != (END,):
        what = metric.name if metric.measure.joint is None else f"{metric.name} away from the end"
        raise DataError(
            "C343",
            f"{what} is not defined for answers of several tokens",
            hint="measure logprob, cross_entropy, prob or accuracy, at the end of the prompt",
        )
    return metric.measure.joint


def _positions(metric: Metric, dataset: Dataset, example: Example) -> list[int]:
    found = sorted({p for at in metric.at for p in resolve(example, *at)})
    if dataset.answers == "next" and metric.measure.needs:
        found = [p for p in found if p + 1 < len(example.tokens)]
    if not found:
        raise DataError(
            "C332",
            f"{metric.name} has no position to measure in {example.text!r}",
            hint="measure at an earlier position: with answer = next, the last one has no next token",
        )
    return found
