"""ACDC beyond one sweep: several thresholds, a journal, an unembedding as no family here has it."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.test_acdc import METRICS, THRESHOLDS, same
from tests.engine.tiny import Case, cases, contrast, tiny_gpt2, tiny_llama

from nncirc.engine.discovery import acdc, acdc_family
from nncirc.engine.live import Live
from nncirc.engine.metrics import Metric
from nncirc.engine.model import Model

acdc_module = sys.modules["nncirc.engine.discovery"]


@settings(max_examples=25, deadline=None)
@given(cases(exact=None), METRICS, st.lists(THRESHOLDS, min_size=1, max_size=6))
def test_members_of_a_family_are_what_they_are_alone(
    case: Case, metric: Metric, thresholds: list[float]
) -> None:
    model = case.model()
    graph, about = case.graph(model), case.contrast(model)
    family = acdc_family(about, graph, metric, thresholds=thresholds)
    for circuit, threshold in zip(family, thresholds, strict=True):
        same(circuit, acdc(about, graph, metric, threshold=threshold))


def test_a_family_evaluates_less_than_its_members_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluations = []
    propagate = Live.propagate

    def counted(state: Live, pending: dict[int, Any]) -> Any:
        evaluations.append(len(pending))
        return propagate(state, pending)

    monkeypatch.setattr(Live, "propagate", counted)
    model = tiny_gpt2(layers=3)
    about, metric = contrast(model), Metric("logit_diff")
    thresholds = [10 ** (exponent / 5) for exponent in range(-15, 3)]
    # One candidate at a time, so that what is counted does not depend on how fast the machine is.
    monkeypatch.setattr(acdc_module._Pace, "depth", lambda pace, left: 1)
    for threshold in thresholds:
        acdc(about, model.graph(), metric, threshold=threshold)
    alone = len(evaluations)
    evaluations.clear()
    acdc_family(about, model.graph(), metric, thresholds=thresholds)
    assert 0 < len(evaluations) < 0.9 * alone


class Remembered:
    """A journal in memory."""

    def __init__(self, entries: dict[str, dict[str, float]]) -> None:
        self.entries, self.new = entries, 0

    def known(self, receiver: str) -> dict[str, float] | None:
        return self.entries.get(receiver)

    def decided(self, receiver: str, kept: Any) -> None:
        self.entries[receiver] = dict(kept)
        self.new += 1


@pytest.mark.parametrize("model", [tiny_gpt2(layers=3), tiny_llama(layers=3)], ids=["gpt2", "llama"])
def test_a_sweep_goes_on_from_its_journal(model: Model) -> None:
    about, graph, metric = contrast(model), model.graph(), Metric("logit_diff")
    whole = Remembered({})
    found = acdc(about, graph, metric, threshold=0.05, journal=whole)
    for length in range(0, len(whole.entries) + 1, 4):
        part = Remembered(dict(list(whole.entries.items())[:length]))
        again = acdc(about, graph, metric, threshold=0.05, journal=part)
        assert again.scores == found.scores
        assert again.made == found.made
        assert part.new == len(whole.entries) - length


@pytest.mark.parametrize("normalize", [False, True])
def test_an_unembedding_with_a_bias_is_not_read_by_columns_alone(normalize: bool) -> None:
    """No family here has one, but one of another package may."""
    model = tiny_gpt2(layers=2)
    plain = model.module.lm_head
    biased = torch.nn.Linear(plain.in_features, plain.out_features, dtype=plain.weight.dtype)
    biased.weight, biased.bias = plain.weight, torch.nn.Parameter(torch.randn_like(biased.bias))
    model.module.lm_head = biased.requires_grad_(False)
    about, graph, metric = contrast(model), model.graph(), Metric("logit_diff", normalize=normalize)
    same(
        acdc(about, graph, metric, threshold=0.05),
        acdc(about, graph, metric, threshold=0.05, sequential=True),
    )


@pytest.mark.parametrize(
    ("lengths", "seed", "metric", "threshold"),
    [
        ((5, 7), 2, Metric("kl_divergence", at=(("A", None),)), 0.2),
        ((6,), 0, Metric("logit_diff"), 0.05),
    ],
)
def test_zero_ablation_in_float32_is_the_definition(
    lengths: tuple[int, ...], seed: int, metric: Metric, threshold: float
) -> None:
    """What rounding leaves of a sum of nothing, a norm makes a signal: these two were decided by it."""
    case = Case("llama", 2, 2, seed=seed, kv_heads=1, lengths=lengths, size=2, corruption="zero")
    case = replace(case, exact=False, dtype="float32")
    model = case.model()
    graph, about = case.graph(model), case.contrast(model)
    same(
        acdc(about, graph, metric, threshold=threshold),
        acdc(about, graph, metric, threshold=threshold, sequential=True),
    )
