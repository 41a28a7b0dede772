"""Intervals of all cells against the loop over resamples, and of every method against single prompts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings, strategies as st
from tests.engine.tiny import contrast, dataset, random_prompts, tiny_gpt2
from tests.refused import refused

from nncirc import Dataset
from nncirc.circuits.errors import MethodError
from nncirc.circuits.intervals import Estimate, Resampling, bootstrap
from nncirc.circuits.names import Position
from nncirc.engine.evaluation import bootstrap as intervals
from nncirc.engine.evaluation.bootstrap import estimates, metric_estimates, share
from nncirc.engine.methods.activation_patching import activation_patching
from nncirc.engine.methods.attention_statistics import attention_statistics
from nncirc.engine.methods.attribution_patching import node_attribution
from nncirc.engine.methods.causal_tracing import causal_tracing
from nncirc.engine.methods.direct_logit_attribution import logit_attribution
from nncirc.engine.methods.in_context_learning import in_context_learning
from nncirc.engine.methods.logit_lens import logit_lens
from nncirc.engine.methods.patchscopes import patchscopes
from nncirc.engine.methods.path_patching import path_patching
from nncirc.engine.methods.scores import NodeScores
from nncirc.engine.methods.steering import function_vector, steering
from nncirc.engine.methods.weight_circuits import weight_statistics
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.runs.cells import by_prompt
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import Gaussian, Resample
from nncirc.engine.runs.normalization import Normalizer

HOW = Resampling(60, 0.8, seed=4)


SHARE = partial(share, Normalizer(0.0, 1.0, least=1e-6))


def slow_share(value: float, clean: float, corrupt: float) -> float | None:
    return (value - corrupt) / (clean - corrupt) if abs(clean - corrupt) > 1e-6 else None


# All cells at once ------------------------------------------------------------------------------------------


@settings(max_examples=36)
@example(prompts=3, cells=(1, 1), resamples=21, level=0.9, seed=1, normalize=True)
@given(
    prompts=st.integers(1, 6),
    cells=st.tuples(st.integers(1, 3), st.integers(1, 2)),
    resamples=st.sampled_from([1, 2, 21, 41, 60]),
    level=st.sampled_from([0.5, 0.8, 0.9, 0.95]),
    seed=st.integers(0, 50),
    normalize=st.booleans(),
)
def test_every_cell_is_a_loop_over_resamples(
    prompts: int, cells: tuple[int, int], resamples: int, level: float, seed: int, normalize: bool
) -> None:
    """With few prompts and small numbers there are resamples in which nothing is left to divide by."""
    draw, how = torch.Generator().manual_seed(seed), Resampling(resamples, level, seed)
    values = torch.randint(-3, 4, (*cells, prompts), generator=draw).double()
    clean, corrupt = torch.randint(0, 3, (2, prompts), generator=draw).double()
    if normalize and clean.mean() == corrupt.mean():
        clean += 1
    found = estimates([values, clean, corrupt], SHARE, how) if normalize else estimates([values], how=how)
    for row in range(cells[0]):
        for column in range(cells[1]):
            lists = [each.tolist() for each in (values[row, column], clean, corrupt)]
            expected = (
                bootstrap(lists, slow_share, how) if normalize else bootstrap(lists[:1], lambda m: m, how)
            )
            got = [float(each[row, column]) for each in (found.value, found.low, found.high)]
            assert got == pytest.approx([expected.value, expected.low, expected.high], abs=1e-12)
    assert (found.prompts, found.how) == (prompts, how)


def test_cells_are_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    values = torch.rand(7, 3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    whole = estimates([values, values[0, 0]], torch.divide, HOW)
    monkeypatch.setattr(intervals, "NUMBERS_AT_ONCE", 4 * HOW.resamples)
    parts = estimates([values, values[0, 0]], torch.divide, HOW)
    assert whole.low.shape == (7, 3)
    torch.testing.assert_close(parts.low, whole.low, rtol=0, atol=1e-12)
    torch.testing.assert_close(parts.high, whole.high, rtol=0, atol=1e-12)
    assert not torch.equal(whole.low[0], whole.low[1])


def test_runs_that_are_not_apart_give_no_share() -> None:
    clean, corrupt = torch.tensor([1.0, 1.0, 5.0, 0.0]), torch.tensor([1.0, 0.5, 5 - 2e-6, 3e-6])
    found = share(Normalizer(0.0, 1.0, least=2.5e-6), torch.ones(4), clean, corrupt)
    assert found.isnan().tolist() == [True, False, True, False]


# What every method reports ----------------------------------------------------------------------------------


def alone(found: Contrast, i: int) -> Contrast:
    """A contrast of one of its prompts."""
    assert isinstance(found.corruption, Resample)
    clean = replace(found.dataset, examples=(found.dataset.examples[i],))
    return Contrast(found.model, clean, Resample((found.corruption.examples[i],)))


SOURCE = random_prompts(size=3, seed=8)
PATCHED: dict[str, Callable[[Contrast, Metric], NodeScores]] = {
    "activation patching": lambda c, m: activation_patching(
        c, c.model.graph(), m, positions=["A.2", "end"], how=HOW
    ),
    "activation patching, noise": lambda c, m: activation_patching(
        c, c.model.graph(), m, direction="noise", how=HOW
    ),
    "path patching": lambda c, m: path_patching(c, c.model.graph(), m, to="logits", how=HOW),
    "steering": lambda c, m: steering(
        c, c.model.graph(), m, nodes=["MLP0", "L1H*"], scale=[0, 3], into="corrupt", how=HOW
    ),
    "function vector": lambda c, m: function_vector(
        c, c.model.graph(), m, heads="L0H*", source=SOURCE, how=HOW
    ),
}


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("name", PATCHED)
def test_intervals_of_patches(name: str, normalize: bool) -> None:
    """A prompt by itself gives its own value, and resamples of these the interval; batches do not matter."""
    found = contrast(tiny_gpt2(seed=5), size=5, lengths=(6, 8), batch=2)
    scores = PATCHED[name](found, Metric("logit_diff", normalize=normalize))
    # A prompt by itself has no interval, and what it would be normalised by is another.
    metric = Metric("logit_diff")
    each = [PATCHED[name](alone(found, i), metric) for i in range(5)]
    clean, corrupt = found.clean_values(metric).tolist(), found.corrupt_values(metric).tolist()
    for row, node in enumerate(scores.nodes):
        for column, place in enumerate(scores.positions or (None,)):
            values = [one.values[row][column] for one in each]
            expected = (
                bootstrap([values, clean, corrupt], slow_share, HOW)
                if normalize
                else bootstrap([values], lambda mean: mean, HOW)
            )
            check(scores.estimate(node, place), expected)
    assert all(one.low is None and one.made["intervals"] == "none: one prompt" for one in each)
    drawn = {"resamples": 60, "level": 0.8, "seed": 4}
    shared = {"normalization": "resampled with the values"} if normalize else {}
    assert scores.made["intervals"] == {"method": "percentile bootstrap over prompts", **drawn, **shared}
    if name == "steering":
        low, high = map(float, scores.made["unsteered interval"])  # type: ignore[arg-type]
        expected = bootstrap([corrupt], lambda mean: 0.0 if normalize else mean, HOW)
        check(Estimate(scores.made["unsteered"], low, high, 5), expected)


PROMPTS = dataset([[1, 2, 3, 1, 2], [4, 5, 6, 7], [1, 1, 1, 1, 1, 2], [9, 8, 9], [3, 4, 5, 3]])
READ: dict[str, Callable[[Any, Dataset], NodeScores]] = {
    "logit lens": lambda m, d: logit_lens(m, d, of="logit_diff", positions=["A.1", "end"], how=HOW),
    "logit attribution": lambda m, d: logit_attribution(m, d, m.graph(), positions=["A.1", "end"], how=HOW),
    "patchscopes": lambda m, d: patchscopes(
        m, d, replace(SOURCE, examples=SOURCE.examples[:1]), of="rank", positions=["A.1", "end"], how=HOW
    ),
    "in-context learning": lambda m, d: in_context_learning(m, d, early=2, late=5, how=HOW),
}


@pytest.mark.parametrize("name", READ)
def test_intervals_of_readings(name: str) -> None:
    model, data = tiny_gpt2(seed=5), random_prompts(size=5, lengths=(6, 8), seed=2)
    scores = READ[name](model, data)
    each = [READ[name](model, replace(data, examples=(prompt,))) for prompt in data.examples]
    for row, node in enumerate(scores.nodes):
        for column, place in enumerate(scores.positions):
            values = [one.values[row][column] for one in each]
            check(scores.estimate(node, place), bootstrap([values], lambda mean: mean, HOW))
    if name == "logit attribution":
        for what, bias in [("total", None), ("bias", "final_norm")]:
            numbers, *others = (table(one, what, bias) for one in (scores, *each))
            ends = table(scores, f"{what} interval", bias)
            for column in (0, 1):
                expected = bootstrap([[one[column] for one in others]], lambda mean: mean, HOW)
                low, high = ends[column]
                check(Estimate(numbers[column], low, high, 5), expected)


def table(scores: NodeScores, what: str, bias: str | None) -> Any:
    """What direct logit attribution says beside the scores, by position."""
    found: Any = dict(scores.made)[what]
    return found if bias is None else found[bias]


def test_intervals_of_attention_weigh_prompts_by_their_positions() -> None:
    model, names = tiny_gpt2(seed=5), ["previous_token", "duplicate_token", "entropy"]
    scores = attention_statistics(model, PROMPTS, ["copying", *names], how=HOW)
    counts = {
        "previous_token": [4, 3, 5, 2, 3],
        "duplicate_token": [2, 0, 4, 1, 1],
        "entropy": [4, 3, 5, 2, 3],
    }
    for name in names:
        columns: list[list[float]] = [[] for _ in scores.nodes]
        for prompt, count in zip(PROMPTS.examples, counts[name], strict=True):
            one = count and attention_statistics(model, replace(PROMPTS, examples=(prompt,)), [name])
            for row, node in enumerate(scores.nodes):
                columns[row].append(count * one.value(node) if one else 0.0)
        for node, column in zip(scores.nodes, columns, strict=True):
            expected = bootstrap([column, counts[name]], lambda a, b: a / b if b else None, HOW)
            check(scores.estimate(node, name), expected)


def check(found: Estimate | None, expected: Estimate) -> None:
    assert found is not None
    assert [found.value, found.low, found.high] == pytest.approx(
        [expected.value, expected.low, expected.high], abs=2e-6
    )
    assert found.prompts == expected.prompts


def test_samples_of_noise_are_one_prompt() -> None:
    """Resampled are prompts; how often noise was drawn for one does not make it several."""
    found = contrast(tiny_gpt2(seed=2), size=3)
    values = {(0, 0): [torch.tensor([[float(i) for i in batch.indices]]) for batch in found.batches]}
    assert by_prompt(found, values).tolist() == [[[0.0, 1.0, 2.0]]]
    found = Contrast(found.model, found.dataset, Gaussian((Position("A"),), samples=2), batch=2)
    values = {(0, 0): [torch.tensor([[float(i) for i in batch.indices]]) for batch in found.batches]}
    assert by_prompt(found, values).tolist() == [[[0.5, 2.5, 4.5]]]


# Where there is none ----------------------------------------------------------------------------------------


def test_one_prompt_has_no_interval() -> None:
    found, metric = contrast(tiny_gpt2(), size=1), Metric("logit_diff")
    scores = causal_tracing(found, metric, positions=["end"])
    assert (scores.low, scores.high, scores.ends()) == (None, None, {})
    assert scores.made["intervals"] == "none: one prompt"
    assert scores.made["total"][1:] == [None, None]
    one = scores.estimate("MLP1")
    assert one is not None
    assert one == Estimate(scores.value("MLP1"), -math.inf, math.inf, 1)
    assert one.interval(3) == "(one prompt)"


def test_scores_that_are_no_means_of_measurements_have_none() -> None:
    found = contrast(tiny_gpt2())
    attributed = node_attribution(found, found.model.graph(), Metric("logit_diff"))
    assert attributed.estimate("MLP0") is None
    assert "intervals" not in attributed.made
    assert weight_statistics(found.model, ["copying"]).estimate("L0H0") is None


@pytest.mark.parametrize("size", [1, 4])
def test_what_weights_say_has_no_interval_beside_what_prompts_say(size: int) -> None:
    model, prompts = tiny_gpt2(), replace(PROMPTS, examples=PROMPTS.examples[:size])
    both = attention_statistics(model, prompts, ["entropy", "copying"])
    assert both.estimate("L0H1", "copying") is None
    assert both.estimate("L0H1", "entropy") is not None
    assert both.made["no intervals"] == ["copying"]
    for row in range(len(both.nodes) if size > 1 else 0):
        assert [both.ends()[end][row][1] for end in ("low", "high")] == [-math.inf, math.inf]
        assert math.isfinite(both.ends()["low"][row][0])
    alone = attention_statistics(model, prompts, ["copying"])
    assert alone.estimate("L0H1") is None
    assert alone.ends() == {}
    assert "intervals" not in alone.made
    assert [row[1] for row in both.values] == pytest.approx([row[0] for row in alone.values], abs=1e-8)


def test_two_runs_that_do_not_differ_are_refused() -> None:
    """Another last token changes nothing at an earlier one."""
    found = contrast(tiny_gpt2())
    changed = tuple(
        replace(each, tokens=(*each.tokens[:-1], (each.tokens[-1] + 1) % 50))
        for each in found.dataset.examples
    )
    same = Contrast(found.model, found.dataset, Resample(changed))
    with refused(MethodError, "C522"):
        metric_estimates(
            same, Metric("logit_diff", (Position("A", 1),), normalize=True), torch.zeros(1, 1, 3)
        )
