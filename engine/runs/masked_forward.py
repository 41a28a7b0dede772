"""The masked forward: one trace in which any set of edges carries another run's values.

With mask[r, s] = 1 where the edge s -> r is cut, and substitute[s] what takes the place of sender s (a cut
edge carries the corrupted activation, or what ablates it):

    input(r) = residual + Σ_s mask[r, s] · (substitute[s] − current[s])

The residual stream itself flows as the model computes it; every receiver sees its own version of it. With
mask 0 that is the plain run, with mask 1 and the senders of another run it is that other run, exactly.
In a graph of positions an edge is cut at the tokens of its position only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nncirc.circuits.arguments import public
from nncirc.circuits.errors import ArgumentError
from nncirc.circuits.graph import Graph
from nncirc.circuits.names import Edge
from nncirc.engine.model.fits import check_tokens
from nncirc.engine.model.layer import mlp_written, neurons_written, write_units, z_written
from nncirc.engine.model.model import Block, Model
from nncirc.engine.model.tracing import checked, run
from nncirc.engine.runs.capture import attention_outputs, neuron_outputs, source_outputs
from nncirc.engine.runs.wiring import attention_receivers, unit_receivers


@public
@dataclass(frozen=True, slots=True)
class Mask:
    """Which edges are cut, for each row of a batch of interventions.

    Attributes:
        cut: by receiver and sender of the graph without positions, and for a graph with positions by these.
    """

    cut: Float[Tensor, "row receiver sender"] | Float[Tensor, "row receiver sender position"]

    @classmethod
    @public
    def of(cls, model: Model, graph: Graph, rows: Sequence[Iterable[Edge]]) -> Mask:
        """One row for each set of cut edges."""
        n = len(graph.positions) or 1
        cut = cls._none(model, graph, len(rows))
        for row, edges in enumerate(rows):
            for edge in edges:
                receiver, sender = graph.order(edge)
                cut[(row, receiver // n, sender // n, receiver % n)[: cut.ndim]] = 1
        return cls(cut.to(model.device))

    @classmethod
    @public
    def everything(cls, model: Model, graph: Graph) -> Mask:
        """One row in which all edges are cut."""
        cut = cls._none(model, graph, 1)
        for receiver, reach in enumerate(graph.reach):
            cut[:, receiver, :reach] = 1
        return cls(cut.to(model.device))

    @staticmethod
    def _none(model: Model, graph: Graph, rows: int) -> Tensor:
        base = graph.base
        shape = rows, len(base.receivers), len(base.senders), len(graph.positions)
        return torch.zeros(shape if graph.positions else shape[:3], dtype=model.dtype)


@public
def masked_forward(
    model: Model,
    graph: Graph,
    tokens: Int[Tensor, "batch pos"],
    mask: Mask,
    substitute: Float[Tensor, "sender batch pos d_model"],
    *,
    where: Float[Tensor, "position batch pos"] | None = None,
    keep: Int[Tensor, " kept"] | int = 0,
    grad: bool = False,
) -> Float[Tensor, "row batch kept vocab"]:
    """Logits of the model with the cut edges of each row carrying `substitute`.

    Args:
        model: the model.
        graph: whose edges the mask is about.
        tokens: the prompts of the run, of equal length.
        mask: the cut edges; fractions interpolate.
        substitute: for each sender, of the graph without positions, what a cut edge carries.
        where: which tokens are at which of the graph's positions; None if it has none.
        keep: positions to compute logits at; 0 for all.
        grad: whether autograd records, for the gradient by the mask.

    Raises:
        DataError: C336, C337, the model cannot read the tokens.
        ArgumentError: C753, the shapes do not belong together.
    """
    check_tokens(model, tokens.tolist())
    base, batch, cut = graph.base, tuple(tokens.shape), mask.cut
    edges = (len(base.receivers), len(base.senders), len(graph.positions))[: cut.ndim - 1]
    _require("mask.cut", cut, (len(cut), *edges))
    _require("substitute", substitute, (len(base.senders), *batch, model.d_model))
    if graph.positions or where is not None:
        _require("where", where, (len(graph.positions), *batch))
    return run_masked(model, graph, tokens, mask, substitute, where=where, keep=keep, grad=grad)


def _require(name: str, tensor: Tensor | None, wanted: tuple[int, ...]) -> None:
    found = None if tensor is None else tuple(tensor.shape)
    if found != wanted:
        raise ArgumentError("C753", f"`{name}` must have the shape {wanted}, found {found}")


def run_masked(
    model: Model,
    graph: Graph,
    tokens: Int[Tensor, "batch pos"],
    mask: Mask,
    substitute: Float[Tensor, "sender batch pos d_model"],
    *,
    where: Float[Tensor, "position batch pos"] | None = None,
    keep: Tensor | int = 0,
    grad: bool = False,
) -> Float[Tensor, "row batch kept vocab"]:
    """`masked_forward` of what is known to fit."""
    rows, graph = len(mask.cut), graph.base

    def body() -> Tensor:
        state = _Pass(model, graph, mask.cut, substitute, where, grad=grad)
        for layer, block in enumerate(model.blocks):
            stream = state.attention(layer, block)
            if graph.shape.mlps:
                state.mlp(layer, block, stream)
        state.write_input(model.final_norm, len(graph.receivers) - 1)
        return model.logits_output.unflatten(0, (rows, -1)).clone()

    return run(model.envoy, model.inputs(tokens.repeat(rows, 1), keep), body, grad=grad)


class _Pass:
    """One masked forward under way: the differences substitute − current of the senders seen so far."""

    def __init__(
        self, model: Model, graph: Graph, cut: Tensor, substitute: Tensor, where: Tensor | None, *, grad: bool
    ) -> None:
        self.model, self.graph, self.cut, self.substitute, self.grad = model, graph, cut, substitute, grad
        self.where = where
        self.touched = cut.detach().flatten(2).any(dim=2).any(dim=0).tolist()
        self.parts: list[Tensor] = []
        self.seen = 0
        senders, *shape = substitute.shape
        self.differences = None if grad else substitute.new_empty(len(cut), senders, *shape)

    def sent(self, current: Float[Tensor, "sender row batch pos d_model"]) -> None:
        """Senders have written: remember how far they are from their substitutes."""
        # What a cut edge carries instead: the corrupted activation, or zero or a mean.
        substitute = self.substitute[self.seen : self.seen + len(current)]
        difference = (substitute[:, None] - current).transpose(0, 1)
        if self.differences is None:
            self.parts.append(difference)
        else:
            self.differences[:, self.seen : self.seen + len(current)] = difference
        self.seen += len(current)

    def change(self, receivers: slice) -> Float[Tensor, "row receiver batch pos d_model"]:
        """Σ_s mask[r, s] · (substitute[s] − current[s]) for some receivers."""
        known = torch.cat(self.parts, 1) if self.differences is None else self.differences[:, : self.seen]
        weights = self.cut[:, receivers, : self.seen]
        if self.where is None:
            return torch.bmm(weights, known.flatten(2)).unflatten(2, known.shape[2:])
        return torch.einsum("rcsp,pbt,rsbtd->rcbtd", weights, self.where, known)

    def is_touched(self, receivers: slice) -> bool:
        """Whether any row cuts an edge into one of these receivers; if not, the model's own input is read."""
        return self.grad or any(self.touched[receivers])

    def by_row(self, tensor: Tensor) -> Tensor:
        return tensor.unflatten(0, (len(self.cut), -1))

    def attention(self, layer: int, block: Block) -> Float[Tensor, "row_batch pos d_model"]:
        """A layer's attention; returns the residual stream before it."""
        stream: Tensor = block.block.input
        residual = self.by_row(stream)
        if layer == 0:
            self.sent(source_outputs(self.graph, residual, self.model.pos_embed(residual.shape[-2])))
        receivers = attention_receivers(self.graph, layer)
        if self.is_touched(receivers):
            inputs = residual[:, None] + self.change(receivers)
            # A receiver may serve several units: a joined head its query, key and value.
            units = inputs.movedim(1, 0)[unit_receivers(self.graph, layer)].flatten(1, 2)
            write_units(self.model, layer, block, block.attention_read(units))
        z = self.by_row(z_written(self.model, layer, block, block.output.input))
        self.sent(attention_outputs(self.model, self.graph, layer, z))
        return stream

    def mlp(self, layer: int, block: Block, stream: Float[Tensor, "row_batch pos d_model"]) -> None:
        """A layer's MLP; `stream` is the residual stream before the layer."""
        receiver = self.graph.receiver_index[f"MLP{layer}"]
        if not block.parallel:
            self.write_input(block.mlp if block.mlp_norm is None else block.mlp_norm, receiver)
        elif self.is_touched(slice(receiver, receiver + 1)):
            new = block.mlp_read(stream + self.changed(receiver))
            block.mlp.input = checked(new, block.mlp.input, block.mlp.path)
        if layer in self.graph.neuron_counts:
            neurons = neurons_written(self.model, layer, block)
            self.sent(neuron_outputs(self.model, layer, self.by_row(neurons)))
        else:
            self.sent(self.by_row(mlp_written(block, stream))[None])

    def changed(self, receiver: int) -> Float[Tensor, "row_batch pos d_model"]:
        return self.change(slice(receiver, receiver + 1))[:, 0].flatten(0, 1)

    def write_input(self, norm: object, receiver: int) -> None:
        """Let a norm read the receiver's own version of the residual stream."""
        receivers = slice(receiver, receiver + 1)
        if self.is_touched(receivers):
            old = norm.input  # type: ignore[attr-defined]
            new = old + self.changed(receiver).view(old.shape)
            norm.input = checked(new, old, norm.path)  # type: ignore[attr-defined]
