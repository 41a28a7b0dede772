"""A layer, part by part: queries, keys and values of what heads read, what heads attend to, and the stream.

Under grouped-query attention (GQA) several query heads share one key and one value, those of their key-value
group: `Shape.kv_of` says which, and `shared` (elsewhere called repeat_kv) gives every query head its group's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from nncirc.circuits.graph import Shape
from nncirc.engine.model.model import Block, HeadWeights, Model, first_of, module_of
from nncirc.engine.model.tracing import checked, run

EVERYWHERE = slice(None)

# Queries, keys and values ----------------------------------------------------------------------------------


def by_head(
    model: Model, values: Float[Tensor, "*batch pos width"]
) -> Float[Tensor, "head *batch pos d_value"]:
    """What stands side by side, head by head: a view."""
    return values.unflatten(-1, (model.shape.n_heads, -1)).movedim(-2, 0)


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


def units_in(
    model: Model, made: Sequence[Float[Tensor, "*batch pos width"]]
) -> Float[Tensor, "unit *batch pos d_head"]:
    """A layer's queries, keys and values in what its chains make; all must be as wide."""
    flat = made[0] if len(made) == 1 else torch.cat(list(made), dim=-1)
    order = model.unit_columns
    if order is not None:
        flat = flat.index_select(-1, order)
    return flat.unflatten(-1, (len(model.units), -1)).movedim(-2, 0)


def made_by(
    model: Model, block: Block, read: Float[Tensor, "*batch pos d_model"]
) -> Float[Tensor, "unit *batch pos d_head"]:
    """Inside a trace: a layer's queries, keys and values, all from the same input, before any rotation."""
    return units_in(model, [through(chain, read) for chain in block.chains])


def read_by(path: str | None, block: nn.Module) -> Callable[[Tensor], Tensor]:
    """The norm through which something reads the residual stream, or what leaves it as it is."""
    return module_of(block, path) or nn.Identity()


def through(chain: Iterable[Any], values: Tensor) -> Tensor:
    """What the modules of a chain make, one after the other; a number keeps so many columns."""
    for step in chain:
        values = values[..., :step] if isinstance(step, int) else step(values)
    return values


def project(
    weights: HeadWeights, read: Float[Tensor, "unit *batch pos d_model"]
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values, each head's from its own input; each is `head *batch pos d_head`."""
    n_query, n_key = len(weights.query), len(weights.key)
    inputs = read.split([n_query, n_key, n_key])
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


def taken(of: Tensor, index: Sequence[int]) -> Tensor:
    """`of[index]`, without a copy where the index is a range."""
    first, last = index[0], index[-1] + 1
    return of[first:last] if list(index) == list(range(first, last)) else of[list(index)]


def made_alone(
    model: Model, layer: int, kind: int, index: Sequence[int], read: Float[Tensor, "unit *batch pos d_model"]
) -> Float[Tensor, "unit *batch pos d_head"]:
    """Inside a trace: some queries (kind 0), keys (1) or values (2), each of its own input, unrotated."""
    if model.linear:
        matrix, bias = model.weights[layer].projections[kind]
        return unit_project(read, taken(matrix, index), None if bias is None else taken(bias, index))
    start = (0, model.shape.n_heads, model.shape.n_heads + model.shape.n_kv_heads)[kind]
    found = []
    for unit, inputs in zip(index, read, strict=True):
        ((chain, columns),) = model.units[start + unit].columns.items()
        found.append(through(model.blocks[layer].chains[chain], inputs)[..., list(columns)])
    return torch.stack(found)


def write_units(
    model: Model, layer: int, block: Block, read: Float[Tensor, "unit batch pos d_model"]
) -> None:
    """Inside a trace: queries, keys and values, each of its own input, written where the model makes them."""
    linear = project(model.weights[layer], read) if model.linear else ()
    made = [unit for kind in linear for unit in kind]
    for chain, modules in enumerate(block.chains):
        envoy, old = modules[-1], modules[-1].output
        units = model.columns_of_chains[chain]
        if made and sum(len(columns) for _, columns in units) == old.shape[-1]:  # they are all of it
            new = torch.cat([made[number] for number, _ in units], dim=-1)
        else:
            wide = (*read.shape[1:3], -1)  # latents have a head of their own
            new = old.reshape(wide).clone()
            for number, columns in units:
                new[..., columns] = (
                    made[number] if made else through(modules, read[number]).reshape(wide)[..., columns]
                )
        envoy.output = checked(new.view(old.shape), old, envoy.path)


# Attention of single heads ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Attention:
    """How single heads of a layer attend, in prompts of one length: as its own attention module is told to.

    Whether they attend as the layer does is for `nncirc.engine.model.guards` to find out.

    Attributes:
        scaling: what scores are multiplied by.
        causal: whether a position attends to none behind it, where there is no mask.
        rotary: cosine and sine of the rotary embedding (Su et al. 2021), each `pos d_rotary`.
        interleaved: whether it turns neighboring entries, and not those of the two halves.
        mask: what positions see, or what is added to their scores, `at pos`.
        softcap: c of c · tanh(score / c).
        norms: of queries and of keys, before they are rotated.
    """

    scaling: float
    causal: bool
    rotary: tuple[Tensor, Tensor] | None
    interleaved: bool
    mask: Tensor | None
    softcap: float | None
    norms: tuple[Any, Any] | None

    def turned(
        self, heads: Float[Tensor, "*head pos d_head"], kind: int, at: Tensor | slice = EVERYWHERE
    ) -> Float[Tensor, "*head pos d_head"]:
        """Queries (kind 0) or keys (1) at the positions `at`, with their norm and rotary embedding."""
        if self.norms is not None:
            heads = self.norms[kind](heads)
        if self.rotary is None:
            return heads
        cos, sin = self.rotary[0][at], self.rotary[1][at]
        turning, rest = heads[..., : cos.shape[-1]], heads[..., cos.shape[-1] :]
        if self.interleaved:
            other = torch.stack([-turning[..., 1::2], turning[..., ::2]], dim=-1).flatten(-2)
        else:
            first, second = turning.chunk(2, dim=-1)
            other = torch.cat([-second, first], dim=-1)
        turned = (turning * cos + other * sin).to(heads.dtype)  # some families turn in float32
        return torch.cat([turned, rest], dim=-1) if rest.shape[-1] else turned

    def sees(self, at: Int[Tensor, " at"], length: int) -> Tensor:
        """Which of `length` positions those `at` see, or what is added to their scores."""
        if self.mask is not None:
            return self.mask[at, :length]
        last = at if self.causal else torch.full_like(at, length)
        return torch.arange(length, device=at.device) <= last[:, None]

    def attend(
        self,
        query: Float[Tensor, "head row batch at d_head"],
        key: Float[Tensor, "head row batch pos d_head"],
        value: Float[Tensor, "head row batch pos d_value"],
        mask: Tensor | None = None,
    ) -> Float[Tensor, "head row batch at d_value"]:
        """Each head with its own keys and values; None masks as the model does.

        softmax(q · kᵀ · scale) · v, of queries and keys that are `turned`.
        """
        mask = self.mask if mask is None else mask
        if self.softcap is not None:
            return self.pattern(query, key, mask) @ value
        z = scaled_dot_product_attention(
            query.flatten(0, 1),
            key.flatten(0, 1),
            value.flatten(0, 1),
            attn_mask=mask,
            is_causal=mask is None and self.causal,
            scale=self.scaling,
        )
        return z.unflatten(0, query.shape[:2])

    def pattern(
        self,
        query: Float[Tensor, "*head at d_head"],
        key: Float[Tensor, "*head pos d_head"],
        mask: Tensor | None = None,
    ) -> Float[Tensor, "*head at pos"]:
        """How much each head attends from each position to each: the softmax in `attend`, made by itself."""
        scores = query @ key.transpose(-1, -2) * self.scaling
        if self.softcap is not None:
            scores = self.softcap * torch.tanh(scores / self.softcap)
        if mask is None:
            mask = self.sees(torch.arange(query.shape[-2], device=query.device), key.shape[-2])
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
        return scores.softmax(-1)


def attention_of(model: Model, length: int) -> tuple[Attention, ...]:
    """How the heads of every layer attend in prompts of a length: from a plain run of one, not in a trace."""
    key = "attention", length
    if key not in model.memo:
        model.memo[key] = _attention_of(model, length)
    found: tuple[Attention, ...] = model.memo[key]
    return found


def _paired(model: Model, turning: Float[Tensor, "1 pos d_rotary"]) -> Float[Tensor, "pos d_rotary"]:
    """Cosines or sines for neighboring entries, which some families keep as those of two halves."""
    found = turning[0]
    if not model.family.interleaved or torch.equal(found[:, ::2], found[:, 1::2]):
        return found
    return found[:, : found.shape[-1] // 2].repeat_interleave(2, dim=-1)


def _attention_of(model: Model, length: int) -> tuple[Attention, ...]:
    tokens = torch.zeros(1, length, dtype=torch.long, device=model.device)

    def body() -> list[dict[str, Any]]:
        found = [block.attention.inputs[1] for block in model.blocks]
        model.skip_logits()
        return found

    layers = attrgetter(model.family.blocks)(model.module)
    chained = {step for chain in model.family.units.chains if len(chain) > 1 for step in chain}
    attention = []
    for block, told in zip(layers, run(model.envoy, model.inputs(tokens, 1), body), strict=True):
        module = attrgetter(model.family.attention)(block)
        rotary, mask = told.get("position_embeddings"), told.get("attention_mask")
        names = [f"{model.family.attention}.{which}_norm" for which in "qk"]
        norms = [getattr(module, f"{which}_norm", None) for which in "qk"]
        attention.append(
            Attention(
                float(getattr(module, "scaling", model.d_head**-0.5)),
                model.causal,
                None
                if not isinstance(rotary, tuple)
                else (_paired(model, rotary[0]), _paired(model, rotary[1])),
                model.family.interleaved,
                None if mask is None else mask[0, 0],
                getattr(module, "attn_logit_softcapping", None),
                None if None in norms or not chained.isdisjoint(names) else (norms[0], norms[1]),
            )
        )
    return tuple(attention)


# What is added to the residual stream ----------------------------------------------------------------------


def z_written(
    model: Model, layer: int, block: Block, z: Float[Tensor, "batch pos z"]
) -> Float[Tensor, "batch pos z"]:
    """Inside a trace: the input of the output projection, all heads side by side, as it counts.

    A norm of what attention adds divides it by a number for each token; so is z here. Its gain is in
    `Model.outs`, so that z times these is what heads add in this run.
    """
    gain = model.gains[layer][0]
    return z if gain is None else z * _divided(gain, block.after_attention)


def neurons_written(model: Model, layer: int, block: Block) -> Float[Tensor, "batch pos neuron"]:
    """Inside a trace: the activations of a layer's neurons, likewise with a norm after the MLP."""
    activations: Tensor = block.mlp_output.input
    gain = model.gains[layer][1]
    return activations if gain is None else activations * _divided(gain, block.after_mlp)


def skipper(model: Model) -> Callable[[Block, Tensor], None]:
    """What lets a block give some residual stream without being run; to be made before a trace.

    Some families' blocks give tuples that begin with the stream.
    """
    if "tuple" not in model.memo:
        token = torch.zeros(1, 1, dtype=torch.long, device=model.device)

        def body() -> bool:
            found = isinstance(model.blocks[0].block.output, tuple)
            model.skip_logits()
            return found

        model.memo["tuple"] = run(model.envoy, model.inputs(token, 1), body)
    in_tuple = model.memo["tuple"]

    def skip(block: Block, stream: Tensor) -> None:
        block.block.skip((stream, None) if in_tuple else stream)

    return skip


def change_output(envoy: Any, change: Callable[[Tensor], Tensor]) -> None:
    """Inside a trace: change what a module gives, or the first of what it gives."""
    output = envoy.output
    old = first_of(output)
    new = checked(change(old), old, envoy.path)
    envoy.output = (new, *output[1:]) if isinstance(output, tuple) else new


def as_written(
    model: Model, layer: int, block: Block, z: Float[Tensor, "head *batch pos d_value"]
) -> Float[Tensor, "head *batch pos d_value"]:
    """Inside a trace: the z of all heads as it counts, like `z_written`, for any z."""
    gain = model.gains[layer][0]
    if gain is None:
        return z
    raw = block.output(z.movedim(0, -2).flatten(-2))
    return z * _ratio(raw, gain, block.after_attention(raw))


def mlp_written(block: Block, like: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
    """Inside a trace: what a layer's MLP adds to the residual stream."""
    return block.scaled(first_of(block.mlp_end.output).reshape(like.shape))


def _divided(gain: Float[Tensor, " d_model"], norm: Any) -> Float[Tensor, "batch pos 1"]:
    """Inside a trace: what a norm has multiplied its input by, its gain apart (least squares)."""
    return _ratio(norm.input, gain, norm.output)


def _ratio(
    read: Float[Tensor, "*batch d_model"], gain: Float[Tensor, " d_model"], made: Tensor
) -> Float[Tensor, "*batch 1"]:
    linear = read * gain  # in float32 at least, as gains are
    tiny = torch.finfo(linear.dtype).tiny
    ratio = (made * linear).sum(-1, keepdim=True) / linear.square().sum(-1, keepdim=True).clamp_min(tiny)
    return ratio.to(read.dtype)
