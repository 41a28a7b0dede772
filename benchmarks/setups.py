"""What the benchmarks run on: random models of three sizes, random prompts, and a clock in plain forwards."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TypeVar

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from nncirc.engine.contrast import Contrast, Resample
from nncirc.engine.data import Dataset, Example
from nncirc.engine.model import Model

T = TypeVar("T")

VOCABULARY = 50257  # of GPT-2, at every size: so much of a small model's forward is its unembedding
PROMPTS, LENGTH = 8, 15
CHANGED = (3, 7, 10)  # as in IOI: three of fifteen tokens differ

SIZES = {
    "tiny": {"n_layer": 2, "n_head": 4, "n_embd": 64},
    "small": {"n_layer": 4, "n_head": 8, "n_embd": 256},
    "gpt2": {"n_layer": 12, "n_head": 12, "n_embd": 768},
}


def random_model(size: str, *, spread: float = 0.02, seed: int = 0, device: str = "cpu") -> Model:
    """A GPT-2 of this size with random weights, in float32."""
    torch.manual_seed(seed)
    config = GPT2Config(**SIZES[size], vocab_size=VOCABULARY, initializer_range=spread)
    module = GPT2LMHeadModel(config).eval().requires_grad_(False).to(device)
    return Model(module, name=f"random {size}")


def random_contrast(model: Model, *, seed: int = 0) -> Contrast:
    """Eight prompts of fifteen random tokens against the same with three tokens changed."""
    draw = random.Random(seed)

    def example() -> Example:
        answer, foil = draw.sample(range(VOCABULARY), 2)
        spans = {(f"changed{i}", 1): (i, i + 1) for i in CHANGED}
        return Example("", tuple(draw.choices(range(VOCABULARY), k=LENGTH)), spans, answer, foil, {})

    def changed(clean: Example) -> Example:
        tokens = [draw.randrange(VOCABULARY) if i in CHANGED else t for i, t in enumerate(clean.tokens)]
        return replace(clean, tokens=tuple(tokens))

    clean = tuple(example() for _ in range(PROMPTS))
    dataset = Dataset(clean, "token", None, {}, tokenizer=None)  # type: ignore[arg-type]
    return Contrast(model, dataset, Resample(tuple(map(changed, clean))))


@dataclass(frozen=True, slots=True)
class Clock:
    """Seconds of CPU and of wall."""

    cpu: float
    wall: float


def timed(run: Callable[[], T]) -> tuple[Clock, T]:
    """How long it takes, and what it returns."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = run()
    return Clock(time.process_time() - cpu, time.perf_counter() - wall), result


def typical(clocks: Sequence[Clock]) -> Clock:
    """The median of each."""
    return Clock(median(clock.cpu for clock in clocks), median(clock.wall for clock in clocks))


def plain_forward(contrast: Contrast, keep: int = 0) -> Callable[[], object]:
    """All prompts through the model: the unit that everything is measured in.

    Args:
        contrast: model and prompts.
        keep: logits at so many of the last positions; 0 for all, which is what the unit means.
    """
    model = contrast.model
    tokens = torch.cat([batch.clean for batch in contrast.batches])

    def run() -> object:
        with torch.no_grad():
            return model.module(tokens, use_cache=False, logits_to_keep=keep).logits

    return run


def fresh(contrast: Contrast) -> Contrast:
    """The same contrast with nothing computed yet."""
    return Contrast(contrast.model, contrast.dataset, contrast.corruption)
