"""What an edge into a query or key does to a head, the attention computed anew (AtP*, Kramár et al. 2024).

Attribution multiplies differences with gradients. Where a head's attention is saturated, its gradient by the
query is next to nothing, however much another query would change the pattern. So the pattern that the patched
query or key gives is computed, and only what comes after the head is taken to first order:

    fall(s -> r) = Σ ∂metric/∂z · (z − z with the edge cut)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nncirc.circuits.graph import Graph
from nncirc.engine.model.fits import require_alone
from nncirc.engine.model.layer import Attention, attention_of, by_head, read_by
from nncirc.engine.model.model import Model
from nncirc.engine.runs.batches import Batch
from nncirc.engine.runs.gradients import Gradients
from nncirc.engine.runs.wiring import Wiring

Unfold: TypeAlias = Callable[[int], Iterator[tuple[slice, Float[Tensor, "sender batch pos d_model"]]]]


class Recomputed:
    """The receivers whose attention is computed anew: all that a query or a key is made from.

    Attributes:
        linear: for every receiver 1.0 if it is not one of them, else 0.0.
    """

    def __init__(self, model: Model, graph: Graph) -> None:
        require_alone(model, "correct_qk")
        self.model, self.wiring = model, Wiring.of(graph)
        self.linear = torch.ones(len(graph.receivers), dtype=torch.float64)
        for receiver, units in self.wiring.units.items():
            if any(kind < 2 for kind, _ in units):
                self.linear[receiver] = 0

    def falls(
        self,
        batch: Batch,
        gradients: Gradients,
        unfold: Unfold,
        places: Sequence[Bool[Tensor, "batch pos"] | None],
    ) -> Iterator[tuple[int, int, slice, Float[Tensor, " sender"]]]:
        """By how much cutting the edges from some senders into a receiver lowers the metric, to first order.

        Each comes with the index of the place at which the edges are cut, the receiver and the senders.

        Args:
            batch: the prompts.
            gradients: on the clean run, by z too.
            unfold: gives clean − substitute of the first senders, so many of them.
            places: tokens at which edges are cut, one place at a time; None for all tokens.
        """
        model, wiring = self.model, self.wiring
        attention = attention_of(model, batch.clean.shape[1])
        blocks = attrgetter(model.family.blocks)(model.module)
        for stage in wiring.stages:
            if stage.kind != "attention":
                continue
            norm = read_by(model.family.attention_norm, blocks[stage.layer])
            point = gradients.norm_inputs[stage.layer * (1 + model.shape.mlps)]
            layer = _Layer(model, stage.layer, attention[stage.layer])
            clean = layer.projected(norm(point)[None], layer.units)
            before = layer.attention(range(model.shape.n_heads), clean)
            by_z = by_head(model, gradients.zs[stage.layer])[:, None]
            for senders, outputs in unfold(wiring.graph.reach[stage.receivers.start]):
                for place, tokens in enumerate(places):
                    cut = outputs if tokens is None else outputs * tokens[..., None]
                    normed = norm(point - cut)
                    for receiver in stage.receivers:
                        if self.linear[receiver]:
                            continue
                        fed = wiring.feeds[receiver]
                        heads = [h for h, s in enumerate(wiring.head_sender[stage.layer]) if s in fed]
                        changed = layer.projected(normed, wiring.units[receiver])
                        after = layer.attention(heads, {**clean, **changed})
                        fall = ((before[heads] - after) * by_z[heads]).sum((0, 2, 3, 4))
                        yield place, receiver, senders, fall


class _Layer:
    """The attention of one layer, head by head."""

    def __init__(self, model: Model, layer: int, attention: Attention) -> None:
        self.model, self.attends = model, attention
        self.projections = model.weights[layer].projections

    @property
    def units(self) -> list[tuple[int, int]]:
        """All queries, keys and values: (0 query | 1 key | 2 value, index)."""
        return [(kind, i) for kind, (matrix, _) in enumerate(self.projections) for i in range(len(matrix))]

    def projected(
        self, normed: Float[Tensor, "row batch pos d_model"], units: Iterable[tuple[int, int]]
    ) -> dict[tuple[int, int], Float[Tensor, "row batch pos d_head"]]:
        """Some queries, keys and values."""
        found = {}
        for kind, i in units:
            matrix, bias = self.projections[kind]
            made = normed @ matrix[i] if bias is None else normed @ matrix[i] + bias[i]
            found[kind, i] = self.attends.turned(made, kind) if kind < 2 else made
        return found

    def attention(
        self, heads: Sequence[int], projected: Mapping[tuple[int, int], Tensor]
    ) -> Float[Tensor, "head row batch pos d_head"]:
        """The z of some heads; parts with one row are shared by all rows."""
        groups = [self.model.shape.kv_of(head) for head in heads]  # of the key and the value (grouped-query)
        parts = [
            torch.broadcast_tensors(projected[0, head], projected[1, group], projected[2, group])
            for head, group in zip(heads, groups, strict=True)
        ]
        query, key, value = (torch.stack(each) for each in zip(*parts, strict=True))
        return self.attends.attend(query, key, value)
