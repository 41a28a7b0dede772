"""What every sender writes into the residual stream, kept as small as it can be.

The output of a head is its z times its slice of the output projection, so that the outputs of all heads
of a layer take `n_heads` times the room of what they are made of. `Written` keeps what they are made of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nncirc.circuits.graph import Graph
from nncirc.engine.forward import attention_outputs, source_outputs
from nncirc.engine.model import Model
from nncirc.engine.tracing import run


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
    """

    model: Model
    embed: Float[Tensor, "batch pos d_model"]
    pos_embed: Float[Tensor, "#batch pos d_model"] | None
    zs: tuple[Float[Tensor, "batch pos z"], ...]
    mlps: tuple[Float[Tensor, "batch pos d_model"], ...]

    @classmethod
    def of_run(
        cls,
        model: Model,
        embed: Float[Tensor, "batch pos d_model"],
        zs: Sequence[Float[Tensor, "batch pos z"]],
        mlps: Sequence[Float[Tensor, "batch pos d_model"]],
    ) -> Written:
        """What was written in a run of the model: positions are the same in every one."""
        pos_embed = model.pos_embed(embed.shape[1])
        return cls(model, embed, None if pos_embed is None else pos_embed[None], tuple(zs), tuple(mlps))

    def map(self, function: Callable[[Tensor], Tensor]) -> Written:
        """The same function, which must be linear, of every part."""
        zs, mlps = tuple(map(function, self.zs)), tuple(map(function, self.mlps))
        pos_embed = None if self.pos_embed is None else function(self.pos_embed)
        return Written(self.model, function(self.embed), pos_embed, zs, mlps)

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
        )

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return sum(part.nbytes for part in (self.embed, *self.zs, *self.mlps))

    def stages(self, graph: Graph) -> Iterator[Callable[[], Float[Tensor, "sender batch pos d_model"]]]:
        """What makes the outputs of each of `sender_stages`."""
        yield lambda: source_outputs(graph, self.embed, self.pos_embed)
        for layer, z in enumerate(self.zs):
            yield lambda layer=layer, z=z: attention_outputs(self.model, graph, layer, z)  # type: ignore[misc]
            if self.mlps:
                yield lambda layer=layer: self.mlps[layer][None]  # type: ignore[misc]

    def outputs(
        self, graph: Graph, senders: slice = slice(None)
    ) -> Float[Tensor, "sender batch pos d_model"]:
        """What senders write: all of them, or those of some stages that follow one another."""
        start, stop, _ = senders.indices(len(graph.senders))
        pairs = zip(sender_stages(graph), self.stages(graph), strict=True)
        return torch.cat([make() for at, make in pairs if start <= at.start < stop])


def sender_stages(graph: Graph) -> list[slice]:
    """The senders that write at the same place: embeddings, attention of layer 0, MLP of layer 0, ..."""
    heads = graph.shape.n_heads if graph.attention == "heads" else 1
    counts = [len(graph.sources), *([heads, 1] if graph.shape.mlps else [heads]) * graph.shape.n_layers]
    stops = list(accumulate(counts))
    return [slice(stop - count, stop) for stop, count in zip(stops, counts, strict=True)]


def written(
    model: Model, tokens: Int[Tensor, "batch pos"], noise: Float[Tensor, "batch pos d_model"] | None = None
) -> Written:
    """What every part of a model writes in a plain run, or in one with noise added to the embeddings."""

    def body() -> Written:
        model.shift_embedding(noise)
        embed = model.blocks[0].attention_norm.input.detach().clone()
        zs, mlps = [], []
        for block in model.blocks:
            zs.append(block.output.input.detach().clone())
            if model.shape.mlps:
                mlps.append(block.mlp.output.detach().clone())
        model.skip_logits()
        return Written.of_run(model, embed, zs, mlps)

    return run(model.envoy, model.inputs(tokens, keep=1), body)


def sender_outputs(
    model: Model, graph: Graph, tokens: Int[Tensor, "batch pos"]
) -> Float[Tensor, "sender batch pos d_model"]:
    """What every sender writes into the residual stream in a plain run."""
    return written(model, tokens).outputs(graph)
