"""Metrics that methods are tried on, and how near two ways to compute the same have to be."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from tests.engine.tiny import Case
from torch import Tensor

from nncirc.circuits.circuit import Circuit
from nncirc.circuits.graph import Graph
from nncirc.circuits.names import END, Position
from nncirc.engine.methods.acdc import ExactLoss
from nncirc.engine.methods.acdc_fast import Sweep
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.runs.contrast import Contrast

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


def sweep_of(about: Contrast, graph: Graph, metric: Metric, threshold: float) -> Sweep:
    return Sweep(about, graph, metric, threshold, "metric", ExactLoss(about, graph, metric))
