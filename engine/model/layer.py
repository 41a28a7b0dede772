"""A layer of attention, head by head: queries, keys and values from what heads read, and what they attend to.

Under grouped-query attention (GQA) several query heads share one key and one value, those of their key-value
group: `Shape.kv_of` says which, and `shared` gives every query head its group's.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from nncirc.circuits.graph import Shape
from nncirc.engine.model.model import Block, HeadWeights, Model


def by_head(
    model: Model, values: Float[Tensor, "*batch pos width"]
) -> Float[Tensor, "unit *batch pos d_head"]:
    """What is side by side, head by head: a view."""
    return values.unflatten(-1, (-1, model.d_head)).movedim(-2, 0)


def split(shape: Shape, units: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of `units`, in which they stand one after the other."""
    query, key, value = units.split([shape.n_heads, shape.n_kv_heads, shape.n_kv_heads])
    return query, key, value


def shared(shape: Shape, groups: Float[Tensor, "kv_head ..."]) -> Float[Tensor, "head ..."]:
    """Of keys or values for every query head those of its key-value group: transformers' `repeat_kv`."""
    if shape.n_kv_heads == shape.n_heads:
        return groups.contiguous()
    return groups.index_select(0, _groups(shape, groups.device))


@lru_cache(maxsize=8)
def _groups(shape: Shape, device: torch.device) -> Int[Tensor, " head"]:
    return torch.tensor([shape.kv_of(head) for head in range(shape.n_heads)], device=device)


def made_by(
    model: Model, block: Block, normed: Float[Tensor, "*batch pos d_model"]
) -> Float[Tensor, "unit *batch pos d_head"]:
    """Inside a trace: a layer's queries, keys and values, all from the same input, before any rotation."""
    made = [projection(normed) for projection in block.projections]
    return by_head(model, made[0] if len(made) == 1 else torch.cat(made, dim=-1))


def project(
    weights: HeadWeights, normed: Float[Tensor, "unit *batch pos d_model"]
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values, each head's from its own input; each is `head *batch pos d_head`."""
    n_query, n_key = len(weights.query), len(weights.key)
    inputs = normed.split([n_query, n_key, n_key])
    query, key, value = (unit_project(x, w, b) for x, (w, b) in zip(inputs, weights.projections, strict=True))
    return query, key, value


def unit_project(
    inputs: Float[Tensor, "unit *batch pos d_model"],
    matrix: Float[Tensor, "unit d_model d_head"],
    bias: Float[Tensor, "unit 1 d_head"] | None,
) -> Float[Tensor, "unit *batch pos d_head"]:
    """Each unit's input through its own matrix."""
    flat = inputs.flatten(1, -2)
    out = torch.bmm(flat, matrix) if bias is None else torch.baddbmm(bias, flat, matrix)
    return out.view(*inputs.shape[:-1], matrix.shape[-1])


def attend(
    model: Model,
    layer: int,
    query: Float[Tensor, "head row batch at d_head"],
    key: Float[Tensor, "head row batch pos d_head"],
    value: Float[Tensor, "head row batch pos d_head"],
    mask: Bool[Tensor, "at pos"] | None = None,
) -> Float[Tensor, "head row batch at d_head"]:
    """Attention of single heads, each with its own keys and values; None masks as the model does.

    softmax(q · kᵀ · scale) · v, queries and keys rotated.
    """
    z = scaled_dot_product_attention(
        query.flatten(0, 1),
        key.flatten(0, 1),
        value.flatten(0, 1),
        attn_mask=mask,
        is_causal=mask is None and model.causal,
        scale=model.scaling(layer),
    )
    return z.unflatten(0, query.shape[:2])


def pattern(
    model: Model,
    layer: int,
    query: Float[Tensor, "head batch pos d_head"],
    key: Float[Tensor, "kv_head batch pos d_head"],
) -> Float[Tensor, "head batch query key"]:
    """How much each head attends from each position to each: the softmax in `attend`, made by itself."""
    at = torch.arange(query.shape[-2], device=query.device)
    scores = query @ shared(model.shape, key).transpose(-1, -2) * model.scaling(layer)
    return scores.masked_fill(~model.sees(at, len(at)), -torch.inf).softmax(-1)
