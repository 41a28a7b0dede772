"""What is kept of a plain run (clean, corrupted, or any other), in one pass each:

- `written`: what every sender writes into the residual stream, as small as it can be. The output of a head
  is its z times its slice of the output projection, so that the outputs of all heads of a layer take
  `n_heads` times the room of what they are made of. So it is with neurons, of which there are thousands.
  `Written` keeps what they are made of.
- `run_state`: what every receiver reads, and queries, keys, values and z of every head.
- `residual_stream`: the residual stream alone.

`engine.runs.gradients` fills a `Written` from the run that it differentiates anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nncirc.circuits.arguments import public
from nncirc.circuits.errors import ModelError
from nncirc.circuits.graph import Graph
from nncirc.engine.model.fits import check_tokens
from nncirc.engine.model.layer import (
    attention_of,
    by_head,
    mlp_written,
    neurons_written,
    shared,
    split,
    unit_project,
    units_in,
    z_written,
)
from nncirc.engine.model.model import Model
from nncirc.engine.model.tracing import checked, run

OWN, EAGER = 1e-5, 1e-3
"""How far a pattern times values may be from z in the same run, and in one with a fused kernel."""


def attention_outputs(
    model: Model, graph: Graph, layer: int, z: Float[Tensor, "*batch pos z"]
) -> Float[Tensor, "sender *batch pos d_model"]:
    """The outputs of a layer's heads (or of the layer as one sender) from the output projection's input."""
    out = model.outs[layer]
    if graph.attention == "layers":
        return (z @ out.flatten(0, 1))[None]
    return unit_project(by_head(model, z), out, None)


def neuron_outputs(
    model: Model, layer: int, activations: Float[Tensor, "*batch pos neuron"], some: slice = slice(None)
) -> Float[Tensor, "some *batch pos d_model"]:
    """What some neurons of a layer's MLP write, from the activations of all: each its row of the weights."""
    weights = model.neuron_weights(layer)[some]
    return torch.einsum("...n,nd->n...d", activations[..., some], weights)


def source_outputs(
    graph: Graph,
    embedding: Float[Tensor, "*batch pos d_model"],
    positions: Float[Tensor, "*#batch pos d_model"] | None,
) -> Float[Tensor, "source *batch pos d_model"]:
    """The outputs of a graph's sources from what is embedded in all and the part of it that positions are."""
    if not graph.pos_embed:
        return embedding[None]
    assert positions is not None
    positions = positions.expand_as(embedding)
    return torch.stack([embedding - positions, positions])


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """What the parts of a model write in one run, or a linear combination of runs.

    That the outputs are linear in what is kept here is why means and differences of runs are runs too.

    Attributes:
        model: whose output projections turn z into outputs.
        embed: the embedding, positions and all.
        pos_embed: the part of `embed` that learned positions are; None if there are none.
        zs: of every layer the input of its output projection, all heads side by side. That projection's bias
            belongs to no sender, it is the same in every run.
        mlps: of every layer what its MLP writes; empty if the model has none.
        neurons: of the layers that a graph splits into neurons, their activations: the input of the MLP's
            output projection, whose bias belongs to no neuron.
    """

    model: Model
    embed: Float[Tensor, "batch pos d_model"]
    pos_embed: Float[Tensor, "#batch pos d_model"] | None
    zs: tuple[Float[Tensor, "batch pos z"], ...]
    mlps: tuple[Float[Tensor, "batch pos d_model"], ...]
    neurons: Mapping[int, Float[Tensor, "batch pos neuron"]]

    @classmethod
    def of_run(
        cls,
        model: Model,
        embed: Float[Tensor, "batch pos d_model"],
        zs: Sequence[Float[Tensor, "batch pos z"]],
        mlps: Sequence[Float[Tensor, "batch pos d_model"]],
        neurons: Mapping[int, Float[Tensor, "batch pos neuron"]],
    ) -> Written:
        """What was written in a run of the model: positions are the same in every one."""
        pos_embed = model.pos_embed(embed.shape[1])
        pos_embed = None if pos_embed is None else pos_embed[None]
        return cls(model, embed, pos_embed, tuple(zs), tuple(mlps), dict(neurons))

    def map(self, function: Callable[[Tensor], Tensor]) -> Written:
        """The same function, which must be linear, of every part."""
        zs, mlps = tuple(map(function, self.zs)), tuple(map(function, self.mlps))
        pos_embed = None if self.pos_embed is None else function(self.pos_embed)
        neurons = {layer: function(part) for layer, part in self.neurons.items()}
        return Written(self.model, function(self.embed), pos_embed, zs, mlps, neurons)

    def __add__(self, other: Written) -> Written:
        return self._with(other, torch.add)

    def __sub__(self, other: Written) -> Written:
        return self._with(other, torch.sub)

    def _with(self, other: Written, function: Callable[[Tensor, Tensor], Tensor]) -> Written:
        both = self.pos_embed is not None and other.pos_embed is not None
        return Written(
            self.model,
            function(self.embed, other.embed),
            function(self.pos_embed, other.pos_embed) if both else None,  # type: ignore[arg-type]
            tuple(map(function, self.zs, other.zs)),
            tuple(map(function, self.mlps, other.mlps)),
            {layer: function(part, other.neurons[layer]) for layer, part in self.neurons.items()},
        )

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return sum(part.nbytes for part in (self.embed, *self.zs, *self.mlps, *self.neurons.values()))

    def outputs(
        self, graph: Graph, senders: slice = slice(None)
    ) -> Float[Tensor, "sender batch pos d_model"]:
        """What senders write: all of them, or some that follow one another."""
        start, stop, _ = senders.indices(len(graph.senders))
        return torch.cat(
            [
                self._of_stage(graph, number, slice(max(start - at.start, 0), stop - at.start))
                for number, at in enumerate(sender_stages(graph))
                if start < at.stop and at.start < stop
            ]
        )

    def _of_stage(self, graph: Graph, stage: int, some: slice) -> Float[Tensor, "sender batch pos d_model"]:
        """What some senders of one of `sender_stages` write."""
        if stage == 0:
            return source_outputs(graph, self.embed, self.pos_embed)[some]
        layer, is_mlp = _layer_of(graph, stage)
        if not is_mlp:
            return attention_outputs(self.model, graph, layer, self.zs[layer])[some]
        if layer in graph.neuron_counts:
            return neuron_outputs(self.model, layer, self.neurons[layer], some)
        return self.mlps[layer][None]

    def together(self, graph: Graph, stage: int) -> Float[Tensor, "batch pos d_model"]:
        """What all senders of one of `sender_stages` write, summed up."""
        layer = split_layer(graph, stage)
        if layer is None:
            return self.outputs(graph, sender_stages(graph)[stage]).sum(0)
        return self.neurons[layer] @ self.model.neuron_weights(layer)

    def dot(
        self, graph: Graph, stage: int, by: Float[Tensor, "batch pos d_model"]
    ) -> Float[Tensor, "sender batch pos"]:
        """The product of what each sender of one of `sender_stages` writes with the same vectors.

        Of neurons without their outputs, which all at once may be more than there is room for.
        """
        layer = split_layer(graph, stage)
        if layer is None:
            return (self.outputs(graph, sender_stages(graph)[stage]) * by).sum(-1)
        return (self.neurons[layer] * (by @ self.model.neuron_weights(layer).T)).movedim(-1, 0)


def sender_stages(graph: Graph) -> list[slice]:
    """The senders that write at the same place: embeddings, attention of layer 0, MLP of layer 0, ..."""
    heads = graph.shape.n_heads if graph.attention == "heads" else 1
    counts = [len(graph.sources)]
    for layer in range(graph.shape.n_layers):
        counts += [heads, graph.neuron_counts.get(layer, 1)] if graph.shape.mlps else [heads]
    stops = list(accumulate(counts))
    return [slice(stop - count, stop) for stop, count in zip(stops, counts, strict=True)]


def _layer_of(graph: Graph, stage: int) -> tuple[int, bool]:
    """The layer of one of `sender_stages` but the first, and whether it is its MLP."""
    layer, place = divmod(stage - 1, 1 + graph.shape.mlps)
    return layer, place == 1


def split_layer(graph: Graph, stage: int) -> int | None:
    """The layer whose neurons are the senders of one of `sender_stages`; None if they are not neurons."""
    if stage == 0:
        return None
    layer, is_mlp = _layer_of(graph, stage)
    return layer if is_mlp and layer in graph.neuron_counts else None


def written(
    model: Model,
    tokens: Int[Tensor, "batch pos"],
    noise: Float[Tensor, "batch pos d_model"] | None = None,
    neurons: Collection[int] = (),
) -> Written:
    """What every part of a model writes in a plain run, or in one with noise added to the embeddings.

    Of the layers `neurons` it keeps what every neuron's output is made of.
    """
    return read_and_written(model, tokens, noise, neurons)[1]


def read_and_written(
    model: Model,
    tokens: Int[Tensor, "batch pos"],
    noise: Float[Tensor, "batch pos d_model"] | None = None,
    neurons: Collection[int] = (),
    kept: Int[Tensor, " kept"] | None = None,
) -> tuple[Float[Tensor, "batch kept vocab"] | None, Written]:
    """The logits of such a run at the positions `kept`, if any, and what is written in it."""

    def body() -> tuple[Tensor | None, Written]:
        model.shift_embedding(noise)
        embed = model.blocks[0].block.input.detach().clone()
        zs, mlps, activations = [], [], {}
        for layer, block in enumerate(model.blocks):
            zs.append(z_written(model, layer, block, block.output.input).detach().clone())
            if layer in neurons:
                activations[layer] = neurons_written(model, layer, block).detach().clone()
            if model.shape.mlps:
                mlps.append(mlp_written(block, embed).detach().clone())
        logits = None
        if kept is None:
            model.skip_logits()
        else:
            logits = model.logits_output.clone()
        return logits, Written.of_run(model, embed, zs, mlps, activations)

    return run(model.envoy, model.inputs(tokens, keep=1 if kept is None else kept), body)


@public
def sender_outputs(
    model: Model, graph: Graph, tokens: Int[Tensor, "batch pos"]
) -> Float[Tensor, "sender batch pos d_model"]:
    """What every sender writes into the residual stream in a plain run.

    Raises:
        DataError: C336, C337, the model cannot read the tokens.
    """
    check_tokens(model, tokens.tolist())
    return written(model, tokens, neurons=graph.neuron_counts).outputs(graph)


class State(NamedTuple):
    """What attention is computed from, and its inputs, in one run.

    Attributes:
        residual: the residual stream before every attention and MLP, and before the final norm.
        projected: every layer's queries, keys and values by head, queries and keys rotated.
        zs: every layer's z by head.
    """

    residual: list[Float[Tensor, "batch pos d_model"]]
    projected: list[tuple[Tensor, Tensor, Tensor]]
    zs: list[Float[Tensor, "head batch pos d_head"]]


def run_state(
    model: Model, tokens: Int[Tensor, "batch pos"], noise: Float[Tensor, "batch pos d_model"] | None = None
) -> State:
    """The state of a plain run, or of one with noise added to the embeddings."""
    attention = attention_of(model, tokens.shape[1])

    def body() -> State:
        found = State([], [], [])
        model.shift_embedding(noise)
        for layer, block in enumerate(model.blocks):
            stream = block.block.input.clone()
            found.residual.append(stream)
            made = units_in(model, [projection.output for projection in block.projections])
            query, key, value = split(model.shape, made.clone())
            turned = attention[layer].turned
            found.projected.append((turned(query, 0), turned(key, 1), value.clone()))
            found.zs.append(by_head(model, block.output.input).clone())
            if model.shape.mlps:
                found.residual.append(block.middle(stream).clone())
        found.residual.append(model.final_norm.input.clone())
        model.skip_logits()
        return found

    return run(model.envoy, model.inputs(tokens, keep=1), body)


class Inside(NamedTuple):
    """What layers read and what their queries, keys and values are columns of, in one run.

    Attributes:
        residual: the residual stream before every attention and MLP, and before the final norm.
        made: of every layer what each of its chains makes (see `Model.units`); empty if not asked for.
        zs: of every layer the input of its output projection, all heads side by side; likewise.
        patterns: what the model says of every layer's attention, `batch head at pos`; None if not asked for.
    """

    residual: list[Float[Tensor, "batch pos d_model"]]
    made: list[list[Float[Tensor, "batch pos width"]]]
    zs: list[Float[Tensor, "batch pos z"]]
    patterns: Sequence[Tensor | None] | None


def inside(
    model: Model,
    tokens: Int[Tensor, "batch pos"],
    noise: Float[Tensor, "batch pos d_model"] | None = None,
    *,
    chains: bool = True,
    told: bool = False,
) -> Inside:
    """What is inside a plain run, or one with noise added to the embeddings: of every family.

    `chains` asks for what attention is made of, `told` for what the model says of its pattern.
    """
    inputs = model.inputs(tokens, keep=1)

    def body() -> Inside:
        found = Inside([], [], [], None)
        model.shift_embedding(noise)
        for block in model.blocks:
            stream = block.block.input.clone()
            found.residual.append(stream)
            if chains:
                made = [projection.output for projection in block.projections]
                found.made.append([each.clone().view(*tokens.shape, -1) for each in made])
                found.zs.append(block.output.input.clone())
            if model.shape.mlps:
                found.residual.append(block.middle(stream).clone())
        found.residual.append(model.final_norm.input.clone())
        if told:
            return found._replace(patterns=getattr(model.envoy.output, "attentions", None))
        model.skip_logits()
        return found

    return run(model.envoy, {**inputs, "output_attentions": True} if told else inputs, body)


class Attended(NamedTuple):
    """Of one layer's heads how much they attend from each position to each, and the values there.

    Attributes:
        pattern: after the softmax; times `value` it is z.
        value: of every head, as it is or its group's.
    """

    pattern: Float[Tensor, "head batch at pos"]
    value: Float[Tensor, "head batch pos d_value"]


def attended(
    model: Model, tokens: Int[Tensor, "batch pos"], noise: Float[Tensor, "batch pos d_model"] | None = None
) -> Iterator[Attended]:
    """What every layer's heads attend to in a plain run, or in one with noise added to the embeddings.

    Where heads cannot be computed alone it is what the model itself says of its attention, which is then
    computed without a fused kernel (`eager`), and mostly its softmax in float32.

    Raises:
        ModelError: C419, what the model says is not what it does.
    """
    if model.alone:
        projected = run_state(model, tokens, noise).projected
        for attends, (query, key, value) in zip(attention_of(model, tokens.shape[1]), projected, strict=True):
            pattern = attends.pattern(query, shared(model.shape, key))
            yield Attended(pattern, shared(model.shape, value))
        return
    plain = inside(model, tokens, noise)
    with _eagerly(model):
        told = inside(model, tokens, noise, told=True)
    patterns = [each for each in told.patterns or () if each is not None]
    if len(patterns) != len(told.zs):
        raise _not_told(model, "the model does not say what it is")
    for layer, (pattern, own) in enumerate(zip(patterns, told.zs, strict=True)):
        found = Attended(pattern.movedim(1, 0), _values(model, told.made[layer], own))
        made = (found.pattern @ found.value).movedim(0, -2).flatten(-2)
        for z, allowed in ((own, OWN), (plain.zs[layer], EAGER)):
            size = z.abs().amax().clamp_min(torch.finfo(z.dtype).tiny)
            error = float((made - z).abs().amax() / size)
            if not error <= max(allowed, 100 * torch.finfo(model.dtype).eps):
                raise _not_told(
                    model, f"times the values it is not what heads write (relative error {error:.1g})"
                )
        yield found


@contextmanager
def _eagerly(model: Model) -> Iterator[None]:
    """Attention without a fused kernel, which does not say its pattern."""
    was = model.module.config._attn_implementation
    model.module.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.module.set_attn_implementation(was)


def _values(
    model: Model, made: Sequence[Float[Tensor, "batch pos width"]], z: Float[Tensor, "batch pos z"]
) -> Float[Tensor, "head batch pos d_value"]:
    """Every head's values in what a layer's chains make: its group's, or its own part of these."""
    width = z.shape[-1] // model.shape.n_heads
    units = [unit.columns for unit in model.units if unit.kind == "v"]
    of_groups = [[made[n][..., list(at)] for n, at in columns.items()] for columns in units]
    values = torch.stack([torch.cat(parts, dim=-1) for parts in of_groups])
    if values.shape[-1] == width:
        return shared(model.shape, values)
    return values.unflatten(-1, (-1, width)).movedim(-2, 1).flatten(0, 1)


def _not_told(model: Model, why: str) -> ModelError:
    return ModelError(
        "C419",
        f"the attention pattern of {model.name} cannot be had: {why}",
        hint="use `q` and `k`, which make the pattern, or another model",
    )


def residual_stream(
    model: Model, start: Int[Tensor, "batch pos"] | Float[Tensor, "batch pos d_model"], *, halves: bool = True
) -> list[Float[Tensor, "batch pos d_model"]]:
    """The residual stream at every one of `stages` in a run, which nothing changes.

    Args:
        model: the model.
        start: the tokens; or what is embedded of them, noise and all.
        halves: after every attention and MLP; otherwise after whole layers only.
    """
    tokens = as_tokens(start) if start.is_floating_point() else start

    def body() -> list[Tensor]:
        found = []
        for layer, block in enumerate(model.blocks):
            if layer == 0 and start.is_floating_point():
                block.block.input = checked(start, block.block.input, block.block.path)
            stream = block.block.input.clone()
            found.append(stream)
            if halves and model.shape.mlps:
                found.append(stream + block.scaled(block.attention_end.output))
        found.append(model.final_norm.input.clone())
        model.skip_logits()
        return found

    return run(model.envoy, model.inputs(tokens, keep=1), body)


def as_tokens(embed: Float[Tensor, "batch pos d_model"]) -> Int[Tensor, "batch pos"]:
    """Placeholder tokens for a run whose embeddings are written over."""
    return torch.zeros(embed.shape[:2], dtype=torch.long, device=embed.device)
