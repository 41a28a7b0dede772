"""What heads attend to and what they copy: statistics that name the roles of heads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nncirc.circuits.errors import DataError, MethodError
from nncirc.engine.data import Dataset, buckets
from nncirc.engine.live import clean_state
from nncirc.engine.model import Model
from nncirc.engine.scores import NodeScores

Pairs = Bool[Tensor, "batch query key"]


def attention_pattern(
    model: Model, tokens: Int[Tensor, "batch pos"]
) -> Float[Tensor, "layer head batch query key"]:
    """How much every head attends from each position to each."""
    _, projected, _ = clean_state(model, tokens)
    group = model.shape.n_heads // model.shape.n_kv_heads
    length = tokens.shape[1]
    future = torch.ones(length, length, dtype=torch.bool, device=model.device).triu(1)
    found = []
    for layer, (query, key, _value) in enumerate(projected):
        scores = query @ key.repeat_interleave(group, 0).transpose(-1, -2) * model.scaling(layer)
        found.append(scores.masked_fill(future, -torch.inf).softmax(-1))
    return torch.stack(found)


def _previous(tokens: Int[Tensor, "batch pos"]) -> Pairs:
    """From each position to the one before it."""
    return torch.ones(tokens.shape[1], tokens.shape[1]).tril(-1).triu(-1).bool().expand(len(tokens), -1, -1)


def _same(tokens: Int[Tensor, "batch pos"]) -> Pairs:
    """From each token to its earlier occurrences."""
    return (tokens[:, :, None] == tokens[:, None, :]).cpu().tril(-1)


def _after_same(tokens: Int[Tensor, "batch pos"]) -> Pairs:
    """From each token to what came after its earlier occurrences (Olsson et al. 2022)."""
    return _same(tokens).roll(1, dims=2).tril(-1)


_TARGETS: dict[str, Callable[[Tensor], Pairs]] = {
    "previous_token": _previous,
    "duplicate_token": _same,
    "prefix_matching": _after_same,
}


def attention_statistics(model: Model, dataset: Dataset, of: Sequence[str]) -> NodeScores:
    """Statistics of every head; each is a column of the result.

    - `previous_token`: mean attention to the position before.
    - `duplicate_token`: mean attention to earlier occurrences of the same token, from tokens that have any.
    - `prefix_matching`: mean attention to the tokens after earlier occurrences, from tokens that have any
      (Olsson et al. 2022): high for induction heads.
    - `copying`: Σ λ / Σ |λ| of the eigenvalues of the head's OV circuit from embedding to unembedding
      (Elhage et al. 2021), norm weights folded in: 1 if attending to a token always raises its logit.

    Args:
        model: the model.
        dataset: the prompts; clean runs only.
        of: which statistics.

    Raises:
        MethodError: C551, an unknown statistic.
        DataError: C335, no prompt has a position that a statistic is about.
    """
    columns = []
    for name in of:
        if name == "copying":
            columns.append(copying_scores(model))
        elif name in _TARGETS:
            columns.append(_mean_attention(model, dataset, name))
        else:
            known = ", ".join([*_TARGETS, "copying"])
            raise MethodError("C551", f"no attention statistic is called {name!r}", hint=f"there are {known}")
    table = torch.stack(columns, dim=-1).flatten(0, 1).tolist()
    heads = [f"L{n}H{h}" for n in range(model.shape.n_layers) for h in range(model.shape.n_heads)]
    made = {
        "method": "attention_statistics",
        "prompts": len(dataset.examples),
        "score": "0 to 1; copying -1 to 1",
    }
    return NodeScores.of(heads, of, table, made, model.digits)


def _mean_attention(model: Model, dataset: Dataset, name: str) -> Float[Tensor, "layer head"]:
    total, count = torch.zeros(model.shape.n_layers, model.shape.n_heads, dtype=torch.float64), 0
    for bucket in buckets(dataset.examples):
        tokens = torch.tensor([dataset.examples[i].tokens for i in bucket], device=model.device)
        target = _TARGETS[name](tokens).to(model.device)
        pattern = attention_pattern(model, tokens)
        total += (pattern * target).double().sum((2, 3, 4)).cpu()
        count += int(target.any(2).sum())
    if not count:
        raise DataError(
            "C335",
            f"{name} is about tokens that occurred before, and no prompt has any",
            hint="use prompts with repeated tokens",
        )
    return total / count


def copying_scores(model: Model) -> Float[Tensor, "layer head"]:
    """Σ λ / Σ |λ| of every head's OV circuit W_E W_V W_O W_U (Elhage et al. 2021)."""
    module, family = model.module, model.family
    embed = module.get_input_embeddings().weight.double()
    final = attrgetter(family.final_norm)(module).weight.double()
    unembed = attrgetter(family.unembed)(module).weight.double() * final
    # The nonzero eigenvalues of (W_E W_V)(W_O W_U) are those of (W_O W_U)(W_E W_V), which is d_head wide.
    through = unembed.T @ embed
    group = model.shape.n_heads // model.shape.n_kv_heads
    found = []
    for block, weights in zip(attrgetter(family.blocks)(module), model.weights, strict=True):
        norm = attrgetter(family.attention_norm)(block).weight.double()
        value = (norm[:, None] * weights.value.double()).repeat_interleave(group, 0)
        circuit = weights.out.double() @ through @ value
        eigenvalues = torch.linalg.eigvals(circuit)
        found.append(eigenvalues.real.sum(-1) / eigenvalues.abs().sum(-1))
    return torch.stack(found).detach().cpu()
