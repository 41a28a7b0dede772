"""What the benchmarks run on: random models of three sizes on random prompts, and a bundled model on IOI."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from nncirc import Dataset, Example, check_text
from nncirc.circuits.names import Position
from nncirc.dsl.check.checker import check_file
from nncirc.dsl.check.program import Declaration
from nncirc.engine.blocks import blocks
from nncirc.engine.model.loading import load_bundled
from nncirc.engine.model.model import Model
from nncirc.engine.program.build import Builder
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import Resample

ROOT = Path(__file__).parents[1]

VOCABULARY = 50257  # of GPT-2, at every size: so much of a small model's forward is its unembedding
PROMPTS, LENGTH = 8, 15
CHANGED = (3, 7, 10)  # as in IOI: three of fifteen tokens differ

SIZES = {"tiny": (2, 4, 64), "small": (4, 8, 256), "gpt2": (12, 12, 768)}
"""Layers, heads, width."""
BUNDLED = {"ioi-4l": "ioi"}
"""Bundled models, and the example that says what they are run on."""
REAL = {"smollm2-135m": 301, "gemma-3-270m": 91}
"""Folders within that of the variable NNCIRC_REAL_MODELS (`make real`), with their nodes."""
PLACES = ("IO", "S.1", "S.2", "end")
IOI = """
model lm using huggingface {{
  id = {folder}
  device = {device}
}}
dataset ioi using template {{
  model  = lm
  size   = {prompts}
  prompt = "When {{IO}} and {{S}} went to the {{place}}, {{S}} gave a {{gift}} to"
  answer = " {{IO}}"
  foil   = " {{S}}"
  slots {{
    IO, S, A, B, C = names
    place = places
    gift = objects
  }}
}}
corruption abc using replace {{
  data = ioi
  IO -> A
  S.1 -> B
  S.2 -> C
}}
"""


def contrast_for(size: str, *, spread: float, device: str = "cpu") -> Contrast:
    """Model and prompts of a size of `SIZES`, or of a bundled model by its name."""
    if size in REAL:
        return real_contrast(size, device=device)
    if size not in BUNDLED:
        return random_contrast(random_model(size, spread=spread, device=device))
    contrast = example(BUNDLED[size])[1]
    return Contrast(load_bundled(size, device=device), contrast.dataset, contrast.corruption)


def real_contrast(name: str, *, device: str = "cpu") -> Contrast:
    """A real language model on IOI: prompts of one length."""
    folder = json.dumps(str(Path(os.environ["NNCIRC_REAL_MODELS"]) / name))
    program = check_text(IOI.format(folder=folder, device=json.dumps(device), prompts=PROMPTS)).program
    assert program is not None
    return Builder(program, blocks()).contrast(program.declarations["abc"])


def random_model(size: str, *, spread: float = 0.02, seed: int = 0, device: str = "cpu") -> Model:
    """A GPT-2 of this size with random weights, in float32."""
    torch.manual_seed(seed)
    layers, heads, width = SIZES[size]
    config = GPT2Config(
        n_layer=layers, n_head=heads, n_embd=width, vocab_size=VOCABULARY, initializer_range=spread
    )
    module = torch.nn.Module.to(GPT2LMHeadModel(config), device).requires_grad_(False)
    return Model(module.train(False), name=f"random {size}")


def random_contrast(model: Model, *, seed: int = 0) -> Contrast:
    """Eight prompts of fifteen random tokens against the same with three tokens changed."""
    draw = random.Random(seed)

    def prompt() -> Example:
        answer, foil = draw.sample(range(VOCABULARY), 2)
        spans = {Position(f"changed{i}", 1): (i, i + 1) for i in CHANGED}
        return Example("", tuple(draw.choices(range(VOCABULARY), k=LENGTH)), spans, answer, foil, {})

    def changed(clean: Example) -> Example:
        tokens = [draw.randrange(VOCABULARY) if i in CHANGED else t for i, t in enumerate(clean.tokens)]
        return replace(clean, tokens=tuple(tokens))

    clean = tuple(prompt() for _ in range(PROMPTS))
    dataset = Dataset(clean, "token", None, {}, tokenizer=None)  # type: ignore[arg-type]
    return Contrast(model, dataset, Resample(tuple(map(changed, clean))))


def example(name: str) -> tuple[Builder, Contrast, Declaration]:
    """What ACDC is run on in `examples/NAME.circ`; its builder and the declaration of ACDC, for the rest."""
    program = check_file(ROOT / "examples" / f"{name}.circ").program
    assert program is not None
    builder = Builder(program, blocks())
    declaration = program.declarations["found"]
    return builder, builder.contrast_of(declaration), declaration


def plain_forward(contrast: Contrast, keep: int = 0) -> Callable[[], object]:
    """All prompts through the model: the unit that everything is measured in.

    Args:
        contrast: model and prompts.
        keep: logits at so many of the last positions; 0 for all, which is what the unit means.
    """
    model = contrast.model

    def run() -> object:
        with torch.no_grad():
            return [model.module(**model.inputs(batch.clean, keep)).logits for batch in contrast.batches]

    return run


def fresh(contrast: Contrast) -> Contrast:
    """The same contrast with nothing computed yet."""
    return Contrast(contrast.model, contrast.dataset, contrast.corruption)
