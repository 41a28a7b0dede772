"""Batches: prompts of one length run together, without padding, so that no result depends on padding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from nncirc.circuits.errors import ModelError
from nncirc.engine.data.examples import Dataset, Example, buckets, tokens_of
from nncirc.engine.model.fits import check_outputs, check_tokens
from nncirc.engine.model.model import Model
from nncirc.engine.runs.memory import default_memory, pass_bytes


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Prompts of one length that run together.

    Attributes:
        number: of this batch.
        indices: which of the dataset's prompts these are; where each runs with several samples of noise,
            prompt × samples + sample.
        examples: these prompts.
        clean: their tokens.
        corrupt: the tokens of the corrupted run, whose embeddings may have noise as well (`Contrast.noise`);
            None if the corruption does not re-run the model.
    """

    number: int
    indices: tuple[int, ...]
    examples: tuple[Example, ...]
    clean: Int[Tensor, "batch pos"]
    corrupt: Int[Tensor, "batch pos"] | None = None


def in_batches(
    model: Model,
    examples: Sequence[Example],
    at_once: Callable[[int], int],
    *,
    others: Sequence[Example] | None = None,
    samples: int = 1,
) -> Iterator[Batch]:
    """Prompts in batches, those of one length together, in a fixed order.

    Args:
        model: what runs them.
        examples: the prompts.
        at_once: how many runs of a length are made together.
        others: the corrupted prompts, where there are any.
        samples: how often each prompt runs.
    """

    def tokens(some: Sequence[Example], prompts: Sequence[int]) -> Int[Tensor, "batch pos"]:
        return torch.tensor([some[i].tokens for i in prompts], device=model.device)

    number = 0
    for bucket in buckets(examples):
        size = at_once(len(examples[bucket[0]].tokens))
        runs = [i * samples + sample for i in bucket for sample in range(samples)]
        for start in range(0, len(runs), size):
            chunk = tuple(runs[start : start + size])
            prompts = [i // samples for i in chunk]
            corrupt = None if others is None else tokens(others, prompts)
            chosen = tuple(examples[i] for i in prompts)
            yield Batch(number, chunk, chosen, tokens(examples, prompts), corrupt)
            number += 1


def batches(
    model: Model,
    dataset: Dataset,
    *,
    batch: int | None = None,
    memory: int | None = None,
    more: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Batch]:
    """The prompts of a dataset, those of one length together, as many as there is memory for.

    Args:
        model: what runs them.
        dataset: the prompts.
        batch: most prompts at once; None for as many as fit.
        memory: bytes of activations; None for half of what is free.
        more: bytes that a prompt takes beside those of a pass.
        progress: called with prompts done and prompts in all, when the next batch is asked for.

    Raises:
        DataError: C336, C337, the model cannot read a prompt.
    """
    check_fits(model, dataset)
    room = default_memory(model.device) if memory is None else memory

    def at_once(length: int) -> int:
        fitting = max(1, room // 2 // (pass_bytes(model, length) + more))
        return fitting if batch is None else min(batch, fitting)

    done = 0
    for found in in_batches(model, dataset.examples, at_once):
        yield found
        done += len(found.examples)
        if progress is not None:
            progress(done, len(dataset.examples))


def check_fits(model: Model, dataset: Dataset) -> None:
    """Whether a model can read a dataset's tokens.

    Raises:
        DataError: C336, a prompt is longer than the model reads; C337, a token is beyond its vocabulary, or
            an answer beyond its outputs.
        ModelError: C434, the prompts have answers, and the model predicts no tokens; C419, C420, a guard
            fails at this length.
    """
    if dataset.answers is not None and not model.predicts_tokens:
        raise ModelError(
            "C434",
            f"these prompts have answers, but {model.name} outputs values, not token predictions",
            hint="remove the answers, and measure mse",
        )
    check_tokens(model, [example.tokens for example in dataset.examples])
    for example in dataset.examples:
        read = example.tokens if dataset.answers == "next" else ()
        check_outputs(model, (*tokens_of(example.answer), *tokens_of(example.foil), *read))
    model.guard(model, max(len(example.tokens) for example in dataset.examples))
