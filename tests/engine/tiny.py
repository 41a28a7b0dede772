"""Small random models of both families, and prompts of random tokens, for comparisons with oracles."""

from __future__ import annotations

import random
from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from nncirc.engine.contrast import Contrast, Corruption, Resample
from nncirc.engine.data import Dataset, Example
from nncirc.engine.model import Model

VOCABULARY = 50


def tiny_gpt2(*, layers: int = 2, heads: int = 2, d_head: int = 4, seed: int = 0, **config: Any) -> Model:
    """A random GPT-2 in float64, with weights large enough for every edge to matter."""
    torch.manual_seed(seed)
    module = GPT2LMHeadModel(
        GPT2Config(
            n_layer=layers,
            n_head=heads,
            n_embd=heads * d_head,
            vocab_size=VOCABULARY,
            n_positions=16,
            initializer_range=0.4,
            bos_token_id=None,
            eos_token_id=None,
            **config,
        )
    )
    return _model(module)


def tiny_llama(
    *, layers: int = 2, heads: int = 4, kv_heads: int = 2, d_head: int = 4, seed: int = 0, **config: Any
) -> Model:
    """A random Llama with grouped-query attention in float64 (its norms compute in float32)."""
    torch.manual_seed(seed)
    module = LlamaForCausalLM(
        LlamaConfig(
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=kv_heads,
            hidden_size=heads * d_head,
            head_dim=d_head,
            intermediate_size=3 * heads * d_head,
            vocab_size=VOCABULARY,
            max_position_embeddings=16,
            initializer_range=0.4,
            bos_token_id=None,
            eos_token_id=None,
            **config,
        )
    )
    return _model(module)


def _model(module: Any) -> Model:
    return Model(module.double().eval().requires_grad_(False), name="tiny")


def random_prompts(*, size: int, lengths: tuple[int, ...] = (6,), seed: int = 0) -> Dataset:
    """Prompts of random tokens with random answers and foils; lengths alternate."""
    draw = random.Random(seed)

    def example(length: int) -> Example:
        answer, foil = draw.sample(range(VOCABULARY), 2)
        return Example("", tuple(draw.choices(range(VOCABULARY), k=length)), {}, answer, foil, {})

    examples = tuple(example(lengths[i % len(lengths)]) for i in range(size))
    return Dataset(examples, "token", None, {}, tokenizer=None)  # type: ignore[arg-type]


def contrast(
    model: Model,
    *,
    size: int = 3,
    lengths: tuple[int, ...] = (6,),
    seed: int = 0,
    batch: int | None = None,
    corruption: Corruption | None = None,
) -> Contrast:
    """Random prompts against other random prompts, or against a given corruption."""
    clean = random_prompts(size=size, lengths=lengths, seed=seed)
    other = random_prompts(size=size, lengths=lengths, seed=seed + 1000)
    return Contrast(model, clean, corruption or Resample(other.examples), batch=batch)
