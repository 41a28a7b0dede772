"""Faithfulness against the forward in loops."""

from __future__ import annotations

import random
import statistics
from dataclasses import replace

import pytest
from hypothesis import given, settings, strategies as st
from tests.circuits.strategies import edge_sets
from tests.engine.loops import circuit_by_loops as by_loops
from tests.engine.tiny import Case, cases, contrast, tiny_gpt2
from tests.refused import refused

from nncirc.circuits.chance import random_circuits
from nncirc.circuits.circuit import Circuit
from nncirc.circuits.errors import MethodError
from nncirc.circuits.intervals import Estimate, Resampling
from nncirc.circuits.names import Position
from nncirc.engine.evaluation.faithfulness import (
    Baseline,
    circuit_metric,
    cut_metric,
    faithfulness,
    faithfulness_interval,
    random_faithfulness,
)
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import Resample

METRICS = st.sampled_from(
    [Metric("logit_diff"), Metric("logprob", at=(Position("A"),)), Metric("kl_divergence"), Metric("prob")]
)


@settings(max_examples=15)
@given(cases(), METRICS, st.data())
def test_a_circuits_metric_is_the_loops(case: Case, metric: Metric, data: st.DataObject) -> None:
    model = case.model()
    graph, about = case.graph(model), case.contrast(model, batch=2)
    circuit = Circuit.of(graph, data.draw(edge_sets(graph)))
    found = circuit_metric(about, circuit, metric)
    wanted = by_loops(case, about, circuit, metric)
    assert found.tolist() == pytest.approx(wanted, rel=1e-4, abs=1e-6)
    empty = by_loops(case, about, Circuit.of(graph, []), metric)
    full = by_loops(case, about, Circuit.full(graph), metric)
    m, zero, one = (sum(values) / case.size for values in (wanted, empty, full))
    if abs(one - zero) > 1e-3:
        kept = faithfulness(about, circuit, metric)
        assert kept == pytest.approx((m - zero) / (one - zero), rel=1e-3, abs=1e-4 / abs(one - zero))


@settings(max_examples=10)
@given(cases(), METRICS)
def test_all_edges_are_faithful_and_none_are_not(case: Case, metric: Metric) -> None:
    model = case.model()
    graph, about = case.graph(model), case.contrast(model)
    if abs(about.clean(metric) - about.corrupt(metric)) > 1e-3:
        assert faithfulness(about, Circuit.full(graph), metric) == pytest.approx(1, abs=1e-6)
        assert faithfulness(about, Circuit.of(graph, []), metric) == pytest.approx(0, abs=1e-2)
    nothing = cut_metric(about, graph, metric, [])
    assert float(nothing.mean()) == pytest.approx(about.clean(metric), rel=1e-9, abs=1e-9)


def test_nothing_to_be_faithful_to() -> None:
    about = contrast(tiny_gpt2())
    graph, metric = about.model.graph(), Metric("logit_diff", at=(Position("start"),))
    assert faithfulness(about, Circuit.full(graph), metric) == pytest.approx(1)
    assert isinstance(about.corruption, Resample)
    kept = tuple(
        replace(other, tokens=(e.tokens[0], *other.tokens[1:]))
        for e, other in zip(about.dataset.examples, about.corruption.examples, strict=True)
    )
    with refused(MethodError, "C522"):
        faithfulness(Contrast(about.model, about.dataset, Resample(kept)), Circuit.full(graph), metric)


def test_intervals_are_of_ratios_of_means() -> None:
    """Every resample is a faithfulness by itself: of the same prompts on all three runs."""
    about = contrast(tiny_gpt2(), size=5)
    graph, metric = about.model.graph(), Metric("logit_diff")
    circuit = Circuit.of(graph, list(graph.edges())[::2])
    baseline, kept = Baseline.of(about, metric), circuit_metric(about, circuit, metric).tolist()
    draw, found = random.Random(7).random, []
    for _ in range(40):
        prompts = [int(draw() * 5) for _ in range(5)]
        m, one, zero = (
            sum(values[i] for i in prompts) / 5 for values in (kept, baseline.clean, baseline.corrupt)
        )
        found.append((m - zero) / (one - zero))
    interval = faithfulness_interval(about, circuit, metric, Resampling(40, 0.9, seed=7))
    cuts = statistics.quantiles(found, n=20, method="inclusive")
    assert interval.value == pytest.approx(faithfulness(about, circuit, metric), abs=1e-12)
    assert [interval.low, interval.high] == pytest.approx([cuts[0], cuts[-1]])


@pytest.mark.parametrize("normalize", [True, False])
def test_intervals_of_the_two_runs(normalize: bool) -> None:
    about = contrast(tiny_gpt2(), size=4)
    metric = Metric("logit_diff", normalize=normalize)
    baseline = Baseline.of(about, metric)
    clean, corrupt = (baseline.mean(values) for values in (baseline.clean, baseline.corrupt))
    if normalize:
        assert (clean, corrupt) == (Estimate(1, 1, 1, 4), Estimate(0, 0, 0, 4))
    else:
        assert clean.value == pytest.approx(about.clean(metric), abs=1e-12)
        assert corrupt.value == pytest.approx(about.corrupt(metric), abs=1e-12)
        assert clean.low < clean.value < clean.high


def test_random_circuits_are_what_a_circuit_is_held_against() -> None:
    about = contrast(tiny_gpt2())
    graph, metric = about.model.graph(), Metric("logit_diff")
    whole = random_faithfulness(about, Circuit.full(graph), metric, draws=3)
    assert whole.values == pytest.approx([1, 1, 1])  # there is one circuit of all edges
    circuit = Circuit.of(graph, [*graph.edges()][:6])
    null = random_faithfulness(about, circuit, metric, draws=4, seed=2)
    drawn = random_circuits(graph, 6, 4, seed=2)
    assert null.values == tuple(faithfulness(about, each, metric) for each in drawn)
    assert null.observed == faithfulness(about, circuit, metric)
