"""Whatever the metric's unit: times a factor it has the same circuits, and no effect is too small to tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from tests.engine.data.conftest import shared
from tests.engine.texts import BOYS, GIRLS
from tests.engine.tiny import contrast, tiny_gpt2, tiny_llama
from tests.refused import refused
from tests.some import some

from nncirc import Dataset, Example
from nncirc.circuits.circuit import Circuit
from nncirc.circuits.errors import MethodError
from nncirc.circuits.intervals import Resampling
from nncirc.engine.evaluation.faithfulness import Baseline, faithfulness
from nncirc.engine.methods.acdc import ExactLoss, acdc
from nncirc.engine.methods.acdc_fast import Sweep
from nncirc.engine.methods.activation_patching import activation_patching
from nncirc.engine.methods.attribution_patching import attribution_patching, node_attribution
from nncirc.engine.metrics.expressions import combined
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.model.loading import load_huggingface
from nncirc.engine.model.model import Model
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import Resample, Zero

PROB, LOGPROB, LD = Metric("prob"), Metric("logprob"), Metric("logit_diff")
FACTORS = (1e6, 1e-6, 1e30, 1e-30, 3.0)


def times(metric: Metric, factor: float, *, normalize: bool = False) -> Metric:
    return replace(combined("*", metric, factor), normalize=normalize)


@pytest.fixture(scope="module")
def stories() -> Model:
    return load_huggingface(shared("stories260K"), dtype="float64")


@pytest.fixture(scope="module")
def rare(stories: Model) -> Contrast:
    """One prompt of a real model, and an answer that comes once in a hundred million."""
    clean, corrupt = (
        (Example(text, tuple(stories.tokenizer(text).input_ids), {}, 447, 410, {}),)
        for text in (GIRLS[0], BOYS[0])
    )
    return Contrast(
        stories, Dataset(clean, "token", None, {}, tokenizer=stories.tokenizer), Resample(corrupt)
    )


def test_a_rare_answer_has_scores(rare: Contrast) -> None:
    """Of one prompt the gradient of the probability is that of its logarithm times the probability."""
    p, graph = rare.clean(PROB), rare.model.graph()
    assert 0 < p < 2e-8
    found, logs = (attribution_patching(rare, graph, metric) for metric in (PROB, LOGPROB))
    largest = max(map(abs, logs.values.values()))
    for edge, score in found.values.items():
        assert score / p == pytest.approx(
            logs.values[edge], abs=1e-6 * largest
        )  # its norms compute in float32
    assert sum(score == 0 for score in found.written().values()) < 20
    for edges in (50, 400, 1000):
        assert found.top(edges).edges == logs.top(edges).edges
    assert found.threshold(0.003 * p * largest).edges == logs.threshold(0.003 * largest).edges


def test_a_rare_answer_has_effects(rare: Contrast) -> None:
    """The probability after a patch is that of the logarithm, to digits of the largest."""
    graph = rare.model.graph(attention="layers")
    found, logs = (activation_patching(rare, graph, metric, direction="noise") for metric in (PROB, LOGPROB))
    wanted = {node: float(torch.tensor(logs[node][0]).double().exp()) for node in graph.senders}
    largest = max(wanted.values())
    assert 0 < largest < 1e-6
    for node in graph.senders:
        assert found[node][0] == pytest.approx(wanted[node], abs=2e-5 * largest)


def test_a_rare_answer_is_explained(rare: Contrast) -> None:
    """What is left to explain is told by the metric's own size, not by that of another."""
    assert faithfulness(rare, Circuit.full(rare.model.graph()), PROB) == pytest.approx(1)
    shrunk = times(LD, 1e-12)
    assert rare.normalized(shrunk).span == pytest.approx(1e-12 * rare.normalized(LD).span)
    values = [value * 1e-12 for value in (3.0, 4.0)], [value * 1e-12 for value in (1.0, 1.0)]
    assert Baseline(PROB, *values).faithfulness([2e-12, 2e-12], Resampling(10)).value == pytest.approx(0.4)


@pytest.mark.parametrize("factor", [1.0, 1e-9, 1e9])
@pytest.mark.parametrize(
    ("clean", "corrupt"),
    [
        ([3.0, 4.0], [3.0, 4.0 + 1e-7]),
        ([3.0, -3.0], [2.0, -2.0 + 1e-7]),  # the means cancel
        ([0.0, 0.0], [0.0, 0.0]),
    ],
)
def test_what_does_not_differ_is_not_explained(
    clean: list[float], corrupt: list[float], factor: float
) -> None:
    with refused(MethodError, "C522"):
        Baseline(LD, [factor * x for x in clean], [factor * x for x in corrupt]).faithfulness([1.0, 1.0])


@pytest.mark.parametrize("factor", [1.0, 1e6, 1e-6])
def test_a_divergence_that_is_rounding_is_not_explained(factor: float) -> None:
    """Its value on the clean run is 0 and tells no scale."""
    metric = times(Metric("kl_divergence"), factor)
    runs = [0.0, 1e-16 * factor], [3e-10 * factor, 0.0]
    with refused(MethodError, "C522"):
        Baseline(metric, *runs).faithfulness([factor, factor])
    wanted = Baseline(metric, [0.0, 0.0], [3e-7 * factor, 0.0]).faithfulness([0.0, 0.0], Resampling(10))
    assert wanted.value == 1


METHODS: dict[str, Callable[..., Any]] = {
    "gradient": attribution_patching,
    "integrated": partial(attribution_patching, steps=3),
    "AtP*": partial(attribution_patching, correct_qk=True, grad_drop=True),
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("method", METHODS)
def test_a_factor_changes_no_circuit(method: str, dtype: torch.dtype) -> None:
    about = contrast(tiny_gpt2(layers=3, dtype=dtype), size=3)
    graph = about.model.graph()
    plain = METHODS[method](about, graph, PROB)
    largest = max(map(abs, plain.values.values()))
    sizes, limits = (5, 20, 40), (0.3, 0.03)
    for factor in FACTORS:
        found = METHODS[method](about, graph, times(PROB, factor))
        close = 1e-12 if dtype == torch.float64 else 2e-6
        for edge, score in found.values.items():
            assert score / factor == pytest.approx(plain.values[edge], abs=close * largest)
        for size in sizes:
            assert found.top(size).edges == plain.top(size).edges
        for limit in limits:
            assert found.threshold(limit * largest * factor).edges == plain.threshold(limit * largest).edges


@pytest.mark.parametrize("make", [tiny_gpt2, tiny_llama])
def test_a_factor_changes_nothing_of_acdc(make: Callable[..., Model]) -> None:
    about = contrast(make(), size=2)
    graph = about.model.graph()
    plain = acdc(about, graph, replace(LD, normalize=True), threshold=0.1)
    assert 0 < len(plain) < graph.n_edges
    for factor in (1e6, 1e-6):
        found = acdc(about, graph, times(LD, factor, normalize=True), threshold=0.1)
        assert found.edges == plain.edges
        assert list(found.scores.values()) == pytest.approx(list(plain.scores.values()), abs=1e-6)


def test_what_is_near_a_threshold_has_no_unit() -> None:
    """How far rounding moves a loss is in the metric's unit: else all would be decided by whole forwards."""
    about = contrast(tiny_gpt2(dtype=torch.float32), size=2)
    errors = []
    for factor in (1.0, 1e-9, 1e9):
        graph, metric = about.model.graph(), times(LD, factor, normalize=True)
        sweep = Sweep(about, graph, metric, 0.1, "metric", ExactLoss(about, graph, metric))
        errors.append(sweep.loss_error(-0.7))
    assert errors == pytest.approx([errors[0]] * 3)
    assert 0 < errors[0] < 0.1


def test_a_factor_changes_no_digit() -> None:
    """Times a power of ten numbers are written with the same digits."""
    about = contrast(tiny_gpt2(), size=2)
    graph = about.model.graph()
    for method in (node_attribution, activation_patching):
        plain, found = (method(about, graph, times(LD, factor)) for factor in (1.0, 1e-9))
        for node in some(graph.senders):
            assert found[node][0] == pytest.approx(plain[node][0] * 1e-9, rel=1e-15)


def test_a_metric_beyond_float32_has_gradients() -> None:
    """The gradient by the logits is brought to the size of 1 before it goes through the model."""
    about = contrast(tiny_gpt2(dtype=torch.float32), size=2, corruption=Zero())
    graph = about.model.graph()
    plain, found = (attribution_patching(about, graph, times(LD, factor)) for factor in (1.0, 1e200))
    largest = max(map(abs, plain.values.values()))
    assert largest > 0.1
    for edge, score in plain.values.items():
        assert found.values[edge] / 1e200 == pytest.approx(score, abs=2e-6 * largest)
