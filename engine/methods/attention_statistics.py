"""What heads attend to and what they copy: statistics that name the roles of heads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nncirc.circuits.annotations import SOME, Positive
from nncirc.circuits.arguments import public
from nncirc.circuits.errors import DataError, MethodError
from nncirc.circuits.intervals import USUAL, Resampling
from nncirc.circuits.made import Made
from nncirc.dsl.check.tables import heads
from nncirc.engine.data.examples import Dataset
from nncirc.engine.evaluation.bootstrap import estimates
from nncirc.engine.methods.scores import NodeScores
from nncirc.engine.methods.weight_circuits import copying_scores
from nncirc.engine.model.fits import check_tokens
from nncirc.engine.model.model import Model
from nncirc.engine.runs.batches import batches
from nncirc.engine.runs.capture import attended

Pairs = Bool[Tensor, "batch query key"]


@public
def attention_pattern(
    model: Model, tokens: Int[Tensor, "batch pos"]
) -> Float[Tensor, "layer head batch query key"]:
    """How much every head attends from each position to each.

    Raises:
        DataError: C336, C337, the model cannot read the tokens.
        ModelError: C419, the model does not say what its attention is, and it cannot be computed.
    """
    check_tokens(model, tokens.tolist())
    return _pattern(model, tokens)


def _pattern(model: Model, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "layer head batch query key"]:
    return torch.stack([each.pattern for each in attended(model, tokens)])


def _previous(tokens: Int[Tensor, "batch pos"]) -> Pairs:
    """From each position to the one before it."""
    return torch.ones(tokens.shape[1], tokens.shape[1]).tril(-1).triu(-1).bool().expand(len(tokens), -1, -1)


def _current(tokens: Int[Tensor, "batch pos"]) -> Pairs:
    """From each position but the first, which has no choice, to itself."""
    found = torch.eye(tokens.shape[1], dtype=torch.bool)
    found[0, 0] = False
    return found.expand(len(tokens), -1, -1)


def _first(tokens: Int[Tensor, "batch pos"]) -> Pairs:
    """From each later position to the first."""
    found = torch.zeros(tokens.shape[1], tokens.shape[1], dtype=torch.bool)
    found[1:, 0] = True
    return found.expand(len(tokens), -1, -1)


def _same(tokens: Int[Tensor, "batch pos"]) -> Pairs:
    """From each token to its earlier occurrences."""
    return (tokens[:, :, None] == tokens[:, None, :]).cpu().tril(-1)


def _after_same(tokens: Int[Tensor, "batch pos"]) -> Pairs:
    """From each token to what came after its earlier occurrences (Olsson et al. 2022)."""
    return _same(tokens).roll(1, dims=2).tril(-1)


def _after_last(tokens: Int[Tensor, "batch pos"]) -> Pairs:
    """From each token to what came after its last earlier occurrence, itself left out."""
    same = _same(tokens)
    last = same & (same.flip(2).cumsum(2).flip(2) == 1)
    return last.roll(1, dims=2).tril(-1)


_TARGETS: dict[str, Callable[[Tensor], Pairs]] = {
    "previous_token": _previous,
    "current_token": _current,
    "first_token": _first,
    "duplicate_token": _same,
    "prefix_matching": _after_same,
    "induction": _after_last,
}
STATISTICS = (*_TARGETS, "entropy", "copying")


@public
def attention_statistics(
    model: Model,
    dataset: Dataset,
    of: Annotated[Sequence[str], SOME],
    *,
    how: Resampling = USUAL,
    batch: Positive | None = None,
    memory: Positive | None = None,
) -> NodeScores:
    """Statistics of every head; each is a column of the result, with intervals over prompts but `copying`.

    Attention is averaged over the positions that have something to attend to of the kind:

    - `previous_token`: to the position before.
    - `current_token`: from a position to itself; the first is left out, which has no choice.
    - `first_token`: to the first position, where heads rest that have nothing to do.
    - `duplicate_token`: to earlier occurrences of the same token.
    - `prefix_matching`: to the tokens after earlier occurrences (Olsson et al. 2022): high for induction
      heads.
    - `induction`: to the token after the last earlier occurrence. On a repeated random block it is
      the stripe by which induction heads are recognized, and equal to `prefix_matching`.

    And not of one kind of position:

    - `entropy`: of the attention from a position, in nats; the first is left out, where it is 0.
    - `copying`: Σ λ / Σ |λ| of the eigenvalues of the head's OV circuit from embedding to unembedding
      (Elhage et al. 2021), norm weights folded in: 1 if attending to a token always raises its logit. It is
      a number of the weights, the same whatever the prompts, and has no interval.

    A prompt has the weight of its positions, in a resample too.

    Args:
        model: the model.
        dataset: the prompts; clean runs only.
        of: which statistics.
        how: how the intervals over prompts are drawn.
        batch: most prompts at once.
        memory: bytes of activations; None for half of what is free.

    Raises:
        MethodError: C551, an unknown statistic.
        DataError: C335, no prompt has a position that a statistic is about.
    """
    for name in of:
        if name not in STATISTICS:
            known = ", ".join(STATISTICS)
            raise MethodError("C551", f"unknown attention statistic {name!r}", hint=f"expected {known}")
    sums = _sums(model, dataset, [name for name in of if name != "copying"], batch, memory)
    if "copying" in of:
        scores = copying_scores(model).double().flatten()[:, None].expand(-1, len(dataset.examples))
        sums["copying"] = scores, torch.ones(len(dataset.examples), dtype=torch.float64)
    totals, counts = (torch.stack([sums[name][i] for name in of], dim=-2) for i in (0, 1))
    rows = heads(model.shape)
    made: Made = {
        "method": "attention_statistics",
        "prompts": len(dataset.examples),
        "score": "0 to 1; copying -1 to 1" + ("; entropy in nats" if "entropy" in of else ""),
    }
    found = estimates([totals, counts.expand_as(totals)], torch.divide, how)
    if "copying" in of:
        if not sums.keys() - {"copying"}:
            return NodeScores.of(rows, of, found.value.tolist(), made, model.digits)
        made["no intervals"] = ["copying"]
        of_weights = torch.tensor([name == "copying" for name in of])
        low, high = (
            found.low.masked_fill(of_weights, -torch.inf),
            found.high.masked_fill(of_weights, torch.inf),
        )
        found = replace(found, low=low, high=high)
    return NodeScores.estimated(rows, of, found, made, model.digits)


def _sums(
    model: Model, dataset: Dataset, of: Sequence[str], batch: int | None, memory: int | None
) -> dict[str, tuple[Float[Tensor, "head prompt"], Float[Tensor, " prompt"]]]:
    """What is measured on prompts, all in one pass: sums over a prompt's positions, and their number."""
    if not of:
        return {}
    shape, count = model.shape, len(dataset.examples)
    total = {name: torch.zeros(shape.n_layers * shape.n_heads, count, dtype=torch.float64) for name in of}
    positions = {name: torch.zeros(count, dtype=torch.float64) for name in of}
    longest = max(len(example.tokens) for example in dataset.examples)
    pairs = 4 * shape.n_layers * shape.n_heads * longest**2 * model.dtype.itemsize
    for prompts in batches(model, dataset, batch=batch, memory=memory, more=pairs):
        attention = _pattern(model, prompts.clean)
        for name in of:
            if name == "entropy":
                by_position = torch.special.entr(attention[..., 1:, :]).sum(-1)
                total[name][:, prompts.indices] = by_position.double().sum(3).flatten(0, 1).cpu()
                positions[name][list(prompts.indices)] = by_position.shape[3]
            else:
                target = _TARGETS[name](prompts.clean).to(model.device)
                by_prompt = (attention * target).double().sum((3, 4)).flatten(0, 1)
                total[name][:, prompts.indices] = by_prompt.cpu()
                positions[name][list(prompts.indices)] = target.any(2).sum(1).double().cpu()
    for name in of:
        if not positions[name].any():
            raise DataError(
                "C335",
                f"{name} needs tokens that come after others, and no prompt has any"
                if name in ("previous_token", "current_token", "first_token", "entropy")
                else f"{name} needs repeated tokens, and no prompt has any",
                hint="use longer prompts, or prompts with repeated tokens",
            )
    return {name: (total[name], positions[name]) for name in of}
