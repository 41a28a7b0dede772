"""What zero and mean ablation write in place of the parts of a model."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import reduce

import torch
from jaxtyping import Int
from torch import Tensor

from nncirc.circuits.errors import DataError
from nncirc.engine.data.examples import Dataset, Example
from nncirc.engine.data.positions import roles
from nncirc.engine.model.model import Model
from nncirc.engine.runs.corruptions import Mean
from nncirc.engine.runs.written import Written, written


class Ablation:
    """A zero or a mean, for the prompts of a dataset.

    Args:
        model: what runs the source of a mean.
        dataset: the clean prompts.
        mean: the mean that is taken; None for zeros.
        neurons: the layers of which it is told by neuron too.

    Raises:
        DataError: C333, a mean by position over prompts of several lengths; C341, a mean by slot where the
            source lacks a place that a prompt has.
    """

    def __init__(
        self, model: Model, dataset: Dataset, mean: Mean | None, neurons: tuple[int, ...] = ()
    ) -> None:
        self.model, self.neurons = model, neurons
        self.roles: dict[object, int] | None = None
        if mean is None:
            self.written = self.run(dataset.examples[0]).map(lambda part: torch.zeros_like(part[:, :1]))
            return
        source = mean.source or dataset
        if "slots" in mean.over:
            self.roles = _known_roles(source, dataset)
            self.written = self.by_role(source)
        elif "positions" in mean.over:
            count = sum(len(e.tokens) for e in source.examples)
            self.written = self.total(source, lambda part, _: part.sum(1, keepdim=True)).map(
                lambda part: (part / count).to(model.dtype)
            )
        else:
            _check_one_length(source, dataset)
            count = len(source.examples)
            self.written = self.total(source, lambda part, _: part).map(
                lambda part: (part / count).to(model.dtype)
            )

    def run(self, example: Example) -> Written:
        """What is written for one prompt."""
        return written(self.model, _tokens(self.model, example), neurons=self.neurons)

    def total(self, source: Dataset, summed: Callable[[Tensor, Example], Tensor]) -> Written:
        """A sum over prompts, prompt by prompt in float64."""
        runs = (
            self.run(e).map(lambda part, e=e: summed(part.double(), e))  # type: ignore[misc]
            for e in source.examples
        )
        return reduce(operator.add, runs)

    def by_role(self, source: Dataset) -> Written:
        """The mean at every place of the template: its role's number stands for the position."""
        assert self.roles is not None
        size, device = len(self.roles), self.model.device

        def summed(part: Tensor, example: Example) -> Tensor:
            return part.new_zeros(1, size, part.shape[-1]).index_add_(1, self.numbers([example])[0], part)

        every = torch.cat([self.numbers([example])[0] for example in source.examples])
        count = torch.zeros(size, 1, dtype=torch.float64, device=device)
        count.index_add_(0, every, torch.ones(len(every), 1, dtype=torch.float64, device=device))
        return self.total(source, summed).map(lambda part: (part / count).to(self.model.dtype))

    def numbers(self, examples: Sequence[Example]) -> Int[Tensor, "batch pos"]:
        """The number of every token's role."""
        assert self.roles is not None
        rows = [[self.roles[role] for role in roles(example)] for example in examples]
        return torch.tensor(rows, device=self.model.device)

    def of(self, examples: Sequence[Example]) -> Written:
        """What is written in place of some prompts of one length."""
        if self.roles is not None:
            at = self.numbers(examples)
            return self.written.map(lambda part: part[0][at])
        # One prompt's stand for all of them, without taking room.
        length = len(examples[0].tokens)
        return self.written.map(lambda part: part.expand(len(examples), length, -1))


def _tokens(model: Model, example: Example) -> Int[Tensor, "1 pos"]:
    return torch.tensor([example.tokens], device=model.device)


def _check_one_length(source: Dataset, dataset: Dataset) -> None:
    lengths = {len(e.tokens) for e in (*source.examples, *dataset.examples)}
    if len(lengths) > 1:
        raise DataError(
            "C333",
            f"a mean at each position needs prompts of one length; these have {sorted(lengths)} tokens",
            hint="use over = [prompts, slots] or [prompts, positions], or phrasings of equal length",
        )


def _known_roles(source: Dataset, dataset: Dataset) -> dict[object, int]:
    found = {role: None for example in source.examples for role in roles(example)}
    for example in dataset.examples:
        for position, role in enumerate(roles(example)):
            if role not in found:
                raise DataError(
                    "C341",
                    f"the prompts that the mean is taken over have no place like that of token {position} in"
                    f" {example.text!r}",
                    hint="take the mean over prompts of the same template, or over = [prompts, positions]",
                )
    return {role: number for number, role in enumerate(found)}
