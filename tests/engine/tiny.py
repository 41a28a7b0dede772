"""Small random models of both families, and prompts of random tokens, for comparisons with oracles."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from nncirc import Dataset, Example
from nncirc.circuits.graph import Attention, Graph
from nncirc.circuits.names import Position
from nncirc.engine.model.model import Model
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import Corruption, Gaussian, Mean, Resample, Zero

VOCABULARY = 50

Family: TypeAlias = Literal["gpt2", "attention_only", "llama", "llama_biased"]


def tiny_gpt2(
    *,
    layers: int = 2,
    heads: int = 2,
    d_head: int = 4,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    **config: Any,
) -> Model:
    """A random GPT-2 in float64, with weights large enough for every edge to matter.

    With `attention_only=True` its MLPs write exactly zero.
    """
    torch.manual_seed(seed)
    module = GPT2LMHeadModel(
        GPT2Config(
            **{
                "n_layer": layers,
                "n_head": heads,
                "n_embd": heads * d_head,
                "vocab_size": VOCABULARY,
                "n_positions": 16,
                "initializer_range": 0.4,
                "bos_token_id": None,
                "eos_token_id": None,
                **config,
            }
        )
    )
    return _model(module, dtype)


def tiny_llama(
    *,
    layers: int = 2,
    heads: int = 4,
    kv_heads: int = 2,
    d_head: int = 4,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    exact: bool = False,
    **config: Any,
) -> Model:
    """A random Llama with grouped-query attention in float64 (its norms compute in float32).

    Args:
        exact: give it norms that compute in the model's dtype.
    """
    torch.manual_seed(seed)
    module = LlamaForCausalLM(
        LlamaConfig(
            **{
                "num_hidden_layers": layers,
                "num_attention_heads": heads,
                "num_key_value_heads": kv_heads,
                "hidden_size": heads * d_head,
                "head_dim": d_head,
                "intermediate_size": 3 * heads * d_head,
                "vocab_size": VOCABULARY,
                "max_position_embeddings": 16,
                "initializer_range": 0.4,
                "bos_token_id": None,
                "eos_token_id": None,
                **config,
            }
        )
    )
    model = _model(module, dtype)
    if exact:
        exact_norms(model.module)
    return model


class ExactNorm(nn.Module):
    """A root-mean-square norm that computes in the dtype it is given."""

    def __init__(self, norm: LlamaRMSNorm) -> None:
        super().__init__()
        self.weight, self.eps = norm.weight, norm.variance_epsilon

    def forward(self, x: Tensor) -> Tensor:
        scaled: Tensor = self.weight * x * (x.square().mean(-1, keepdim=True) + self.eps).rsqrt()
        return scaled


def exact_norms(module: nn.Module) -> None:
    """Replace every norm of a Llama by one that computes in the model's dtype."""
    for name, child in module.named_children():
        if isinstance(child, LlamaRMSNorm):
            setattr(module, name, ExactNorm(child))
        else:
            exact_norms(child)


def _model(module: Any, dtype: torch.dtype) -> Model:
    with torch.no_grad():
        for name, weight in module.named_parameters():
            # Fresh biases are 0 and norms 1: a fault in what is done with them would not show.
            if weight.ndim == 1:
                weight.normal_(1.0 if name.endswith("weight") else 0.0, 0.3)
        if getattr(module.config, "attention_only", False):
            for block in module.transformer.h:
                block.mlp.c_proj.weight.zero_()
                block.mlp.c_proj.bias.zero_()
    return Model(module.to(dtype).eval().requires_grad_(False), name="tiny")


def with_biased_unembedding(model: Model) -> Model:
    """The same, with a random bias behind its unembedding."""
    plain = model.module.lm_head
    biased = nn.Linear(plain.in_features, plain.out_features, dtype=plain.weight.dtype)
    biased.weight, biased.bias = plain.weight, nn.Parameter(torch.randn_like(biased.bias))
    model.module.lm_head = biased.requires_grad_(False)
    return model


def random_prompts(
    *,
    size: int,
    lengths: tuple[int, ...] = (6,),
    seed: int = 0,
    answers: Literal["token", "next"] | None = "token",
    uneven: bool = False,
) -> Dataset:
    """Prompts of random tokens with random answers and foils; lengths alternate.

    Every prompt has a slot A at the positions 1 and 3, and a slot B of two tokens before its last.

    Args:
        size: how many prompts.
        lengths: their numbers of tokens, in turn.
        seed: of everything drawn.
        answers: whether they have answers and foils.
        uneven: B stands a token earlier, and has one token less, in every third prompt.
    """
    draw = random.Random(seed)

    def example(i: int) -> Example:
        length = lengths[i % len(lengths)]
        answer, foil = draw.sample(range(VOCABULARY), 2)
        tokens = tuple(draw.choices(range(VOCABULARY), k=length))
        spans = {
            Position("A", 1): (1, 2),
            Position("A", 2): (3, 4),
            Position("B", 1): (length - 3, length - 1),
        }
        if uneven and i % 3 == 0:
            spans[Position("B", 1)] = (length - 4, length - 3)
        one = answers == "token"
        return Example("", tokens, spans, answer if one else None, foil if one else None, {})

    examples = tuple(example(i) for i in range(size))
    return Dataset(examples, answers, None, {}, tokenizer=None)  # type: ignore[arg-type]


def dataset(prompts: list[list[int]]) -> Dataset:
    examples = tuple(Example("", tuple(tokens), {}, None, None, {}) for tokens in prompts)
    return Dataset(examples, None, None, {}, tokenizer=None)  # type: ignore[arg-type]


def random_logits(rows: int, prompts: int, positions: int, seed: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return 4 * torch.randn(rows, prompts, positions, 50, generator=draw, dtype=torch.float64)


def with_sets(data: Dataset, seed: int) -> Dataset:
    """The same prompts, with one to four answers and one to three foils each."""
    draw = random.Random(seed)

    def changed(example: Example) -> Example:
        tokens = draw.sample(range(50), 7)
        right, wrong = draw.randint(1, 4), draw.randint(1, 3)
        answer, foil = tuple(tokens[:right]), tuple(tokens[4 : 4 + wrong])
        return replace(example, answer=answer if right > 1 else answer[0], foil=foil)

    return replace(data, examples=tuple(map(changed, data.examples)))


def contrast(
    model: Model,
    *,
    size: int = 3,
    lengths: tuple[int, ...] = (6,),
    seed: int = 0,
    batch: int | None = None,
    corruption: Corruption | None = None,
    answers: Literal["token", "next"] | None = "token",
) -> Contrast:
    """Random prompts against other random prompts, or against a given corruption."""
    clean = random_prompts(size=size, lengths=lengths, seed=seed, answers=answers, uneven=True)
    other = random_prompts(size=size, lengths=lengths, seed=seed + 1000, uneven=True)
    return Contrast(model, clean, corruption or Resample(other.examples), batch=batch)


@dataclass(frozen=True)
class Case:
    """A small random model, a graph of it, and prompts, told in a line that makes them again."""

    family: Family
    layers: int = 2
    heads: int = 2
    kv_heads: int = 2
    attention: Attention = "heads"
    split: bool = True
    lengths: tuple[int, ...] = (6,)
    size: int = 3
    corruption: Literal["resample", "gaussian", "zero", "mean", "mean by position"] = "resample"
    seed: int = 0
    exact: bool = True
    dtype: Literal["float64", "float32"] = "float64"

    def model(self) -> Model:
        dtype = torch.float64 if self.dtype == "float64" else torch.float32
        shape: dict[str, Any] = {"layers": self.layers, "heads": self.heads, "seed": self.seed}
        if self.family in ("gpt2", "attention_only"):
            only = {"attention_only": True} if self.family == "attention_only" else {}
            return tiny_gpt2(**shape, dtype=dtype, **only)
        biased = self.family == "llama_biased"
        more = {"attention_bias": biased, "mlp_bias": biased}
        return tiny_llama(**shape, kv_heads=self.kv_heads, dtype=dtype, exact=self.exact, **more)

    def graph(self, model: Model) -> Graph:
        return model.graph(attention=self.attention, split_inputs=self.split)

    def contrast(self, model: Model, batch: int | None = None) -> Contrast:
        kinds: dict[str, Corruption | None] = {
            "resample": None,
            "zero": Zero(),
            "mean": Mean(),
            "mean by position": Mean(("prompts",)),
            "gaussian": Gaussian((Position("A", 1), Position("B")), seed=self.seed),
        }
        kind = kinds[self.corruption]
        return contrast(
            model, size=self.size, lengths=self.lengths, seed=self.seed, batch=batch, corruption=kind
        )


@st.composite
def cases(
    draw: st.DrawFn,
    *,
    layers: int = 3,
    exact: bool | None = True,
    dtype: Literal["float64", "float32"] = "float64",
    corruption: str | None = None,
) -> Case:
    """Cases of every family, shape, granularity, corruption, and one or two lengths of prompt."""
    families: list[Family] = ["gpt2", "llama", "attention_only", "llama_biased"]
    family = draw(st.sampled_from(families))
    grouped = family.startswith("llama")
    heads = draw(st.sampled_from([1, 2, 4] if grouped else [1, 2, 3]))
    kv_heads = draw(st.sampled_from([n for n in (1, 2, 4) if n <= heads])) if grouped else heads
    granularities: list[Attention] = ["heads", "heads", "layers"]
    attention = draw(st.sampled_from(granularities))
    may_join = attention == "layers" or kv_heads == heads
    lengths = draw(st.sampled_from([(6,), (5, 7), (5,)]))
    kinds = ["resample", "resample", "gaussian", "zero", "mean"] + (
        ["mean by position"] if len(lengths) == 1 else []
    )
    return Case(
        family,
        draw(st.integers(1, layers)),
        heads,
        kv_heads,
        attention,
        not (may_join and draw(st.booleans())),
        lengths,
        draw(st.integers(2, 5)),
        draw(st.sampled_from(kinds)) if corruption is None else corruption,  # type: ignore[arg-type]
        draw(st.integers(0, 10_000)),
        draw(st.booleans()) if exact is None else exact,
        dtype,
    )
