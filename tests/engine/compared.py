"""Metrics that methods are tried on, and how near two ways to compute the same have to be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Literal

import pytest
import torch
from hypothesis import strategies as st
from tests.engine.tiny import Case
from torch import Tensor

from nncirc.circuits.circuit import Circuit
from nncirc.circuits.graph import Graph
from nncirc.circuits.names import END, Edge, Position
from nncirc.engine.methods.acdc import ExactLoss
from nncirc.engine.methods.acdc_fast import Sweep
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.runs.batches import Batch
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.masked_forward import Mask, masked_forward

ACDC_METRICS = st.sampled_from(
    [
        Metric("kl_divergence"),
        Metric("kl_divergence", at=(Position("A"),)),
        Metric("logit_diff"),
        Metric("logit_diff", normalize=True),
        Metric("logprob", at=(END, Position("A", 2), Position("B"))),
        Metric("prob", normalize=True),
        Metric("kl_divergence", normalize=True),
    ]
)


THRESHOLDS = st.sampled_from([0.0, 1e-6, 1e-3, 0.01, 0.05, 0.2, 1.0, 1e9])


LOSSES = st.sampled_from(["metric", "distance"])


def same(fast: Circuit, slow: Circuit) -> None:
    assert fast.edges == slow.edges
    assert fast.made == slow.made
    for edge in slow.edges:
        assert fast.scores[edge] == pytest.approx(slow.scores[edge], rel=1e-3, abs=2e-4), edge


METRICS = st.sampled_from(
    [
        Metric("logit_diff"),
        Metric("logit_diff", at=(Position("A", 2), Position("B"))),
        Metric("logprob", at=(END, Position("A"))),
        Metric("prob"),
    ]
)


def close(case: Case) -> float:
    """Scores are rounded to 8 decimals, or 5 where a family's norms are taken to compute in float32."""
    return 2e-8 if case.family in ("gpt2", "attention_only") else 2e-5


def value_of(about: Contrast, batch: Any, metric: Metric, logits: Tensor) -> Tensor:
    """The sum over a batch of a metric, from logits at all positions."""
    where = about.reading(batch, metric)
    clean = about.reference(batch, metric)
    return where.values(metric, logits[None][:, :, where.kept], clean).sum()


def values_of(about: Contrast, metric: Metric, run: Callable[[Batch], Tensor]) -> Tensor:
    """A metric of every prompt, from the logits at all positions that `run` gives of a batch."""
    parts = []
    for batch in about.batches:
        where = about.reading(batch, metric)
        logits = run(batch)[None][:, :, where.kept]
        parts.append(where.values(metric, logits, about.reference(batch, metric)))
    return about.in_order(parts)[0]


def by_mask(
    about: Contrast,
    graph: Graph,
    metric: Metric,
    *,
    cut: Tensor | None = None,
    base: Literal["clean", "corrupt"] = "clean",
) -> Tensor:
    """The gradient of a metric's mean by the mask, where `cut` is cut of the edges of a run, or nothing."""
    total = torch.zeros(())
    for batch in about.batches:
        tokens, other = batch.clean, about.substitute(batch, graph)
        if base == "corrupt":
            assert batch.corrupt is not None
            tokens, other = batch.corrupt, about.clean_outputs(batch, graph)
        mask = (Mask.of(about.model, graph, [()]).cut if cut is None else cut.clone()).requires_grad_()
        where = about.where(batch, graph)
        logits = masked_forward(about.model, graph, tokens, Mask(mask), other, where=where, grad=True)
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(value_of(about, batch, metric, logits[0]), mask)
        total = total + gradient[0] / (len(about.dataset.examples) * about.samples)
    return total


def some_edges(graph: Graph, seed: int) -> list[Edge]:
    """A share of a graph's edges, which is another for every seed."""
    draw = Random(seed)
    share = draw.random()
    return [edge for edge in graph.edges() if draw.random() < share]


def without_positions(edge: Edge) -> Edge:
    """The edge of the graph that is not split by position."""
    return Edge(edge.sender.partition("@")[0], edge.receiver.partition("@")[0])


class Remembered:
    """A journal in memory, which may be interrupted.

    Attributes:
        entries: what was decided, of edges into each receiver that stay before pruning.
        most: how much is decided until the interruption.
        new: how much was decided since it was made.
    """

    def __init__(self, entries: Mapping[str, Mapping[str, float]], most: int | None = None) -> None:
        self.entries, self.most, self.new = dict(entries), most, 0

    def known(self, receiver: str) -> Mapping[str, float] | None:
        return self.entries.get(receiver)

    def decided(self, receiver: str, kept: Mapping[str, float]) -> None:
        if self.new == self.most:
            raise KeyboardInterrupt
        self.entries[receiver] = dict(kept)
        self.new += 1


def sweep_of(about: Contrast, graph: Graph, metric: Metric, threshold: float) -> Sweep:
    return Sweep(about, graph, metric, threshold, "metric", ExactLoss(about, graph, metric))
