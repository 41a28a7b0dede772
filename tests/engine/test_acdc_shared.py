"""ACDC beyond one sweep: several thresholds, a journal, an unembedding as no family here has it."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st
from tests.engine.compared import ACDC_METRICS as METRICS, LOSSES, THRESHOLDS, Remembered, same, sweep_of
from tests.engine.tiny import Case, cases, contrast, tiny_gpt2, tiny_llama, with_biased_unembedding
from torch.utils._python_dispatch import TorchDispatchMode

from nncirc.circuits.names import Position
from nncirc.engine.methods.acdc import acdc, acdc_family
from nncirc.engine.methods.acdc_fast import Measured, Pace, Record, Sweep, Tried
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.model.model import Model
from nncirc.engine.runs.live import Live


@settings(max_examples=9)
@given(cases(exact=None), METRICS, LOSSES, st.lists(THRESHOLDS, min_size=1, max_size=6))
def test_members_of_a_family_are_what_they_are_alone(
    case: Case, metric: Metric, loss: Any, thresholds: list[float]
) -> None:
    model = case.model()
    graph, about = case.graph(model), case.contrast(model)
    family = acdc_family(about, graph, metric, thresholds=thresholds, loss=loss)
    for circuit, threshold in zip(family, thresholds, strict=True):
        same(circuit, acdc(about, graph, metric, threshold=threshold, loss=loss))


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
    monkeypatch.setattr(Pace, "depth", lambda pace, left: 1)
    for threshold in thresholds:
        acdc(about, model.graph(), metric, threshold=threshold)
    alone = len(evaluations)
    evaluations.clear()
    acdc_family(about, model.graph(), metric, thresholds=thresholds)
    assert 0 < len(evaluations) < 0.9 * alone


@settings(max_examples=11)
@given(
    cases(exact=None),
    METRICS,
    LOSSES,
    THRESHOLDS,
    st.sampled_from([None, 2, 5, 64]),
    st.randoms(use_true_random=False),
)
def test_whatever_is_expected_the_circuit_is_the_definitions(
    case: Case, metric: Metric, loss: Any, threshold: float, depth: int | None, random: Random
) -> None:
    """What other thresholds have measured chooses what is tried together, and decides nothing."""
    model = case.model()
    graph, about = case.graph(model), case.contrast(model)

    def anything(sweep: Sweep, receiver: int) -> dict[int, float]:
        senders = range(graph.reach[receiver])
        return {s: random.choice([0.0, 2 * threshold + 1]) for s in senders if random.random() < 0.8}

    slow = acdc(about, graph, metric, threshold=threshold, loss=loss, sequential=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sweep, "guessed", anything)
        same(acdc(about, graph, metric, threshold=threshold, loss=loss, depth=depth), slow)


def test_a_cut_that_changes_no_divergence_is_the_definitions_to_decide() -> None:
    """Of a divergence near 0 rounding is left, which at threshold 0 decides otherwise from row to row."""
    case = Case("gpt2", layers=1, heads=1, kv_heads=1, split=False, size=5, corruption="gaussian", seed=9049)
    model = case.model()
    graph, about, metric = case.graph(model), case.contrast(model), Metric("kl_divergence")
    slow = acdc(about, graph, metric, threshold=0.0, sequential=True)
    assert 0.0 in slow.scores.values()
    for seed in range(5):
        random = Random(seed)

        def anything(sweep: Sweep, receiver: int, random: Random = random) -> dict[int, float]:
            return {s: random.choice([0.0, 1.0]) for s in range(graph.reach[receiver])}

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Sweep, "guessed", anything)
            same(acdc(about, graph, metric, threshold=0.0), slow)


def test_refusals_that_another_threshold_foretells_end_no_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_gpt2(layers=3)
    about, graph, metric = contrast(model), model.graph(), Metric("logit_diff")
    tried: list[int] = []
    attempt = Sweep.attempt

    def counted(sweep: Sweep, *arguments: Any) -> Any:
        tried.append(len(arguments[1]))
        return attempt(sweep, *arguments)

    monkeypatch.setattr(Sweep, "attempt", counted)
    measured = Measured()
    acdc(about, graph, metric, threshold=0.01, depth=64, measured=measured)
    tried.clear()
    alone = acdc(about, graph, metric, threshold=0.012, depth=64)
    evaluations, rows = len(tried), sum(tried)
    tried.clear()
    # As if nothing had been decided alike, so that expecting is all that is left of the other sweep.
    monkeypatch.setattr(
        Sweep, "foreseen", lambda sweep, receiver: sweep.record.tried.setdefault(receiver, [])
    )
    found = acdc(about, graph, metric, threshold=0.012, depth=64, measured=measured)
    assert found.edges == alone.edges
    assert 0 < len(tried) < 0.6 * evaluations
    assert sum(tried) < 0.6 * rows


def test_the_nearest_threshold_is_believed() -> None:
    about = contrast(tiny_gpt2())
    sweep = sweep_of(about, about.model.graph(), Metric("logit_diff"), 0.1)
    rises = {0.0: {1: 1.0, 2: 1.0, 3: 1.0}, 0.05: {1: 2.0}, 0.3: {1: 3.0, 2: 3.0}}
    sweep.others = [
        Record(threshold, {5: [Tried(sender, rise, 0.0) for sender, rise in found.items()]})
        for threshold, found in rises.items()
    ]
    assert sweep.guessed(5) == {1: 2.0, 2: 3.0, 3: 1.0}
    assert sweep.guessed(4) == {}


@pytest.mark.parametrize("name", ["kl_divergence", "logit_diff"])
def test_rows_take_what_memory_allows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However little that is the circuit is the same; and a row takes no more than is reckoned."""
    model = tiny_gpt2(layers=3, heads=3)
    about, graph, metric = contrast(model, size=5), model.graph(), Metric(name)
    allowed: list[int] = []
    rows: list[int] = []
    cut = Live.cut

    def watched(state: Live, receiver: int, senders: Any, expected: Any) -> Any:
        values, change = cut(state, receiver, senders, expected)
        parts = [
            *change.inputs.values(),
            *change.outputs.values(),
            *change.units.values(),
            *change.zs.values(),
        ]
        assert sum(part.nbytes for part in parts) <= len(senders) * state.row_bytes()
        rows.append(len(senders))
        allowed.append(about.memory // 4 // state.row_bytes())
        return values, change

    monkeypatch.setattr(Live, "cut", watched)
    wide = acdc(about, graph, metric, threshold=0.02, depth=64)
    most = max(rows)
    assert most > 8
    small = 4 * 3 * max(about.memory // 4 // count for count in allowed)
    about = replace(about, most_memory=small)
    rows.clear()
    allowed.clear()
    assert len(about.batches) == 1
    assert acdc(about, graph, metric, threshold=0.02, depth=64).edges == wide.edges
    assert max(rows) < most
    assert all(1 <= tried <= max(1, count) for tried, count in zip(rows, allowed, strict=True))


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
    model = with_biased_unembedding(tiny_gpt2(layers=2))
    about, graph, metric = contrast(model), model.graph(), Metric("logit_diff", normalize=normalize)
    same(
        acdc(about, graph, metric, threshold=0.05),
        acdc(about, graph, metric, threshold=0.05, sequential=True),
    )


@pytest.mark.parametrize(
    ("lengths", "seed", "metric", "threshold"),
    [
        ((5, 7), 2, Metric("kl_divergence", at=(Position("A"),)), 0.2),
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


class Reads(TorchDispatchMode):
    """Counts numbers that are taken out of tensors: each waits for all that a device has still to do."""

    count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


def test_a_metric_is_normalized_by_numbers_that_are_read_once() -> None:
    """Not at every test: on a device each would wait for it."""
    model = tiny_gpt2(layers=3)
    graph, counts = model.graph(), []
    for normalize in (False, True):
        about = contrast(model)
        with Reads() as reads:  # type: ignore[no-untyped-call]
            found = acdc(about, graph, Metric("logit_diff", normalize=normalize), threshold=0, depth=1)
        counts.append(reads.count)
        assert found.made["tested"] > 60
    plain, normalized = counts
    assert plain < normalized < plain + 10
