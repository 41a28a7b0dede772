"""Metrics against their formulas in plain Python, and where they read."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st
from tests.engine import oracle
from tests.engine.tiny import Case, contrast, random_logits, random_prompts, tiny_gpt2, tiny_llama, with_sets
from tests.refused import refused

from nncirc import Dataset, Example, tokens_of
from nncirc.circuits.errors import DataError, MethodError
from nncirc.circuits.names import END, Position
from nncirc.dsl.blocks.metrics import METRICS
from nncirc.engine.metrics import metric as metrics
from nncirc.engine.metrics.metric import Metric, measures
from nncirc.engine.metrics.reading import reading
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import Mean, Resample, Zero
from nncirc.engine.runs.normalization import Normalizer

NAMES = (
    "logit_diff",
    "logprob",
    "prob",
    "prob_diff",
    "cross_entropy",
    "accuracy",
    "paired_accuracy",
    "kl_divergence",
)
GRADED = tuple(name for name in NAMES if "accuracy" not in name)
"""A count can be the same on two runs, and then there is nothing to normalise by."""


@settings(max_examples=48)
@given(
    st.sampled_from(NAMES),
    st.sampled_from(
        [(END,), (Position("A"),), (("A", 2), END), (Position("B"), ("A", 1), ("start", None), END)]
    ),
    st.booleans(),
    st.integers(0, 10_000),
)
def test_values_are_the_formulas(name: str, at: tuple[Position, ...], sets: bool, seed: int) -> None:
    data = random_prompts(size=3, lengths=(6,), seed=seed)
    if sets:
        data = with_sets(data, seed)
    patched, clean = random_logits(2, 3, 6, seed), random_logits(1, 3, 6, seed + 1)
    metric = Metric(name, at=at)
    where = reading(metric, data, data.examples)
    found = where.values(metric, patched[:, :, where.kept], where.logprob(clean[:, :, where.kept]))
    places: dict[Position, tuple[int, ...]] = {
        END: (5,),
        Position("start"): (0,),
        Position("A"): (1, 3),
        Position("A", 1): (1,),
        Position("A", 2): (3,),
        Position("B"): (3, 4),
    }
    positions = sorted({p for place in at for p in places[place]})
    assert where.kept.tolist() == positions
    for row in range(2):
        for i, example in enumerate(data.examples):
            assert example.answer is not None
            assert example.foil is not None
            wanted = oracle.metric_of_prompt(
                name,
                patched[row, i],
                clean[0, i],
                positions,
                [example.answer] * len(positions),
                [example.foil] * len(positions),
            )
            assert float(found[row, i]) == pytest.approx(wanted, rel=1e-12, abs=1e-12)


@settings(max_examples=36)
@given(
    st.floats(-7, 0.7),
    st.floats(-30, 30),
    st.sampled_from([1, 3]),
    st.integers(0, 10_000),
)
def test_kl_from_changes_in_float32_is_kl_from_logits_in_float64(
    size: float, shift: float, positions: int, seed: int
) -> None:
    """However small the change, and whatever is added to all logits."""
    draw = torch.Generator().manual_seed(seed)
    clean = 3 * torch.randn(1, 2, positions, 5000, generator=draw, dtype=torch.float64)
    change = 10**size * torch.randn(3, 2, positions, 5000, generator=draw, dtype=torch.float64) + shift
    change = change.float().double()
    data = random_prompts(size=2, lengths=(6,))
    metric = Metric("kl_divergence", at=(END,) if positions == 1 else (Position("A"), END))
    where = reading(metric, data, data.examples)
    reference = where.logprob(clean)
    wanted = where.values(metric, clean + change, reference)
    found = where.change_values(metrics.kl_of_change, change.float(), reference.exp().float())
    assert found is not None
    assert found.dtype == torch.float64
    # Of the form that ACDC reckons with: so far is a change off, and its mean that is taken off.
    error, sensitivity = 4e-7 * (4 + abs(shift)), metric.measure.sensitivity
    for value, other in zip(wanted.flatten().tolist(), found.flatten().tolist(), strict=True):
        assert abs(value - other) <= error * sensitivity(max(value, 0.0)) + error**2 + 1e-12


@settings(max_examples=12)
@given(st.sampled_from([name for name in NAMES if measures()[name].columns]), st.integers(0, 10_000))
def test_columns_are_enough(name: str, seed: int) -> None:
    """From the logits of answers and foils alone, sets of several sizes, the same to the bit."""
    data = with_sets(random_prompts(size=4, lengths=(6,), seed=seed), seed)
    logits = random_logits(2, 4, 6, seed)
    metric = Metric(name, at=(END, Position("A")))
    where = reading(metric, data, data.examples)
    read = where.select(logits[:, :, where.kept])
    index = where.columns().expand(2, -1, -1, -1)
    found = where.column_values(metric, read.gather(-1, index))
    assert torch.equal(found, where.values(metric, logits[:, :, where.kept]))


def test_a_set_of_one_is_its_token() -> None:
    """To the bit: results of datasets that had one answer stay what they were."""
    data, logits = random_prompts(size=3), random_logits(2, 3, 1, 5)
    sets = replace(
        data,
        examples=tuple(replace(e, answer=tokens_of(e.answer), foil=tokens_of(e.foil)) for e in data.examples),
    )
    for name in NAMES:
        metric = Metric(name)
        one, other = (reading(metric, each, each.examples) for each in (data, sets))
        clean = one.logprob(random_logits(1, 3, 1, 6))
        assert torch.equal(one.values(metric, logits, clean), other.values(metric, logits, clean))
    answers = torch.tensor([[e.answer] for e in data.examples])
    alone = logits[:, :, 0].log_softmax(-1).gather(-1, answers.expand(2, -1, -1))[..., 0]
    where = reading(Metric("logprob"), data, data.examples)
    assert torch.equal(where.values(Metric("logprob"), logits), alone)
    assert torch.equal(where.values(Metric("prob"), logits), alone.exp())


def test_a_tie_is_not_right() -> None:
    data = random_prompts(size=1)
    where = reading(Metric("accuracy"), data, data.examples)
    for name in ("accuracy", "paired_accuracy"):
        assert where.values(Metric(name), torch.zeros(1, 1, 1, 50)).tolist() == [[0.0]]


def test_a_change_that_float32_cannot_carry_is_not_read() -> None:
    data = random_prompts(size=2, lengths=(6,))
    where = reading(Metric("kl_divergence"), data, data.examples)
    probability = torch.full((2, 1, 50), 0.02)
    for large in (70.0, math.inf, math.nan):
        change = torch.zeros(1, 2, 1, 50)
        assert where.change_values(metrics.kl_of_change, change.clone(), probability) is not None
        change[0, 1, 0, 7] = large
        assert where.change_values(metrics.kl_of_change, change, probability) is None


@pytest.mark.parametrize(
    "positions",
    [
        [[0, 1, 2], [4], [1, 3]],  # more positions in all than any prompt reads
        [[0, 1, 2], [2], [0, 2]],  # one prompt reads all of them
        [[2], [3], [3]],  # one each
    ],
)
def test_prompts_read_at_positions_of_their_own(positions: list[list[int]]) -> None:
    """Each prompt's mean is over its own positions, however many the others have."""
    logits, clean = random_logits(1, 3, 5, 0), random_logits(1, 3, 5, 1)
    spans = [{Position("X", n): (p, p + 1) for n, p in enumerate(each, start=1)} for each in positions]
    examples = tuple(Example("", (1, 2, 3, 4, 5), one, 7, 9, {}) for one in spans)
    data = Dataset(examples, "token", None, {}, tokenizer=None)  # type: ignore[arg-type]
    metric = Metric("logprob", at=(Position("X"),))
    where = reading(metric, data, examples)
    assert where.weight.sum(1).tolist() == pytest.approx([1.0, 1.0, 1.0])
    found = where.values(metric, logits[:, :, where.kept], where.logprob(clean[:, :, where.kept]))[0].tolist()
    for i, each in enumerate(positions):
        wanted = [oracle.log_softmax(logits[0, i, p].tolist())[7] for p in each]
        assert found[i] == pytest.approx(sum(wanted) / len(wanted))


def test_a_position_named_twice_counts_once() -> None:
    data = random_prompts(size=2)
    once = reading(Metric("logprob", at=(Position("A"),)), data, data.examples)
    twice = reading(
        Metric("logprob", at=(Position("A"), Position("A", 1), Position("A", 2))), data, data.examples
    )
    assert torch.equal(once.kept, twice.kept)
    assert torch.equal(once.weight, twice.weight)


def test_the_answer_is_next() -> None:
    """The target at p is the clean prompt's token at p + 1; the last position has none."""
    data = random_prompts(size=2, lengths=(6,), answers="next")
    metric = Metric("logprob", at=(Position("A"), Position("B"), END))
    where = reading(metric, data, data.examples)
    assert where.kept.tolist() == [1, 3, 4]
    assert where.answer.tolist() == [[[e.tokens[p + 1]] for p in (1, 3, 4)] for e in data.examples]
    # A divergence has no targets: it reads the last position too.
    assert reading(Metric("kl_divergence", at=(END,)), data, data.examples).kept.tolist() == [5]
    with refused(DataError, "C332"):
        reading(Metric("logprob"), data, data.examples)


@pytest.mark.parametrize(
    ("name", "answers", "wanted"),
    [
        ("logit_diff", None, "answer"),
        ("logprob", None, "answer"),
        ("prob", None, "answer"),
        ("logit_diff", "next", "foil"),
    ],
)
def test_what_the_dataset_lacks(name: str, answers: Any, wanted: str) -> None:
    data = random_prompts(size=2, answers=answers)
    with refused(DataError, "C331", f"needs the {wanted}"):
        reading(Metric(name, at=(Position("A"),)), data, data.examples)


def test_a_foil_missing_from_one_prompt() -> None:
    data = random_prompts(size=3)
    examples = (*data.examples[:2], replace(data.examples[2], foil=None))
    with refused(DataError, "C331"):
        reading(Metric("logit_diff"), data, examples)
    reading(Metric("logprob"), data, examples)


def test_kl_needs_no_answers_and_is_zero_on_the_clean_run() -> None:
    about = contrast(tiny_gpt2(), answers=None)
    assert about.clean(Metric("kl_divergence")) == pytest.approx(0, abs=1e-14)
    assert about.corrupt(Metric("kl_divergence")) > 0.01


def test_no_such_metric() -> None:
    with refused(MethodError, "C511"):
        Metric("logit_dif")
    assert [name for name in measures() if name in NAMES] == list(NAMES)
    assert [name for name in NAMES if measures()[name].sign < 0] == ["cross_entropy", "kl_divergence"]
    assert Metric("prob").unit == "probability"
    assert Metric("prob", normalize=True).unit == "normalized"


# Means, normalisation, loss ------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [tiny_gpt2, tiny_llama])
@pytest.mark.parametrize("name", GRADED)
def test_means_over_prompts_of_two_lengths_in_any_batch(make: Any, name: str) -> None:
    model = make()
    metric = Metric(name, at=(END, Position("A")))
    about = contrast(model, size=5, lengths=(7, 5))
    assert isinstance(about.corruption, Resample)
    clean, corrupt = [], []
    for example, other in zip(about.dataset.examples, about.corruption.examples, strict=True):
        rows = [model.module(input_ids=torch.tensor([e.tokens])).logits[0] for e in (example, other)]
        at = [1, 3, len(example.tokens) - 1]
        targets = [example.answer or 0] * 3, [example.foil or 0] * 3
        clean.append(oracle.metric_of_prompt(name, rows[0], rows[0], at, *targets))
        corrupt.append(oracle.metric_of_prompt(name, rows[1], rows[0], at, *targets))
    for batch in (None, 1, 2):
        again = contrast(model, size=5, lengths=(7, 5), batch=batch)
        assert again.clean(metric) == pytest.approx(sum(clean) / 5, rel=1e-5, abs=1e-9)
        assert again.corrupt(metric) == pytest.approx(sum(corrupt) / 5, rel=1e-5, abs=1e-9)
        parts = []
        for batch_of in again.batches:
            logits = again.clean_logits(batch_of, metric)
            parts.append(
                again.reading(batch_of, metric).values(metric, logits, again.reference(batch_of, metric))
            )
        values = again.in_order(parts)[0]
        assert values.tolist() == pytest.approx(clean, rel=1e-5, abs=1e-9)
        normal = again.normalized(metric)
        zero, one = normal(again.corrupt(metric)), normal(again.clean(metric))
        assert (zero, one) == pytest.approx((0, 1))


@pytest.mark.parametrize("corruption", [Zero(), Mean(), Mean(("prompts",))])
def test_the_corrupted_run_of_an_ablation_is_all_edges_cut(corruption: Any) -> None:
    case = Case("gpt2", seed=2)
    about = contrast(case.model(), corruption=corruption, seed=2)
    graph = about.model.graph()
    (batch,) = about.batches
    other = dict(zip(graph.senders, about.substitute(batch, graph), strict=True))
    everything = {(edge.sender, edge.receiver): 1.0 for edge in graph.edges()}
    logits = oracle.forward(about.model.module, batch.clean, cut=everything, substitute=other).logits
    wanted = [
        float(logits[i, -1, e.answer or 0] - logits[i, -1, e.foil or 0])
        for i, e in enumerate(about.dataset.examples)
    ]
    assert about.corrupt(Metric("logit_diff")) == pytest.approx(sum(wanted) / 3)


def test_loss_is_what_a_circuit_keeps_low() -> None:
    about = contrast(tiny_gpt2())
    values = torch.tensor([[1.0, 2.0, 6.0], [0.0, 0.0, 3.0]], dtype=torch.float64)
    assert about.loss(Metric("logit_diff"), values).tolist() == [-3, -1]
    assert about.loss(Metric("kl_divergence"), values).tolist() == [3, 1]
    for name in GRADED:
        metric = Metric(name, normalize=True)
        clean, corrupt = about.clean(metric), about.corrupt(metric)
        wanted = [-(mean - corrupt) / (clean - corrupt) for mean in (3, 1)]
        assert about.loss(metric, values).tolist() == pytest.approx(wanted)
    assert about.normalizer(Metric("logit_diff")) == Normalizer(0.0, 1.0)


def test_nothing_left_to_explain() -> None:
    """Corrupted prompts that differ only behind the position read."""
    model = tiny_gpt2()
    clean = random_prompts(size=2)
    other = tuple(replace(e, tokens=(*e.tokens[:-1], (e.tokens[-1] + 1) % 50)) for e in clean.examples)
    about = Contrast(model, clean, Resample(other))
    with refused(MethodError, "C522"):
        about.normalizer(Metric("logprob", at=(Position("A"),), normalize=True))
    assert about.normalizer(Metric("logprob", at=(Position("A"),))) == Normalizer(0.0, 1.0)


def test_facts() -> None:
    about = contrast(tiny_llama(), lengths=(5, 6))
    assert about.facts(Metric("logprob", at=(Position("A", 2), END), normalize=True)) == {
        "corruption": "resample",
        "metric": "logprob",
        "at": ["A.2", "end"],
        "normalized": True,
        "unit": "normalized",
        "prompts": 3,
        "dtype": "float64",
    }


class Entry:
    """An entry point of a package that adds a metric."""

    def __init__(self, name: str) -> None:
        self.name = name

    def load(self) -> metrics.Measure:
        return metrics.Measure(lambda logits: logits.patched.amax(-1), (), 1, "logits")


def test_a_package_can_add_a_metric_but_replace_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "entry_points", lambda group: [Entry("top"), Entry("prob")])
    measures.cache_clear()
    try:
        assert list(measures()).count("prob") == 1
        assert list(measures())[-1] == "top"
        assert measures()["prob"].function is METRICS["prob"].formula
        about = contrast(tiny_gpt2())
        tops = [
            float(about.model.module(input_ids=torch.tensor([e.tokens])).logits[0, -1].max())
            for e in about.dataset.examples
        ]
        assert about.clean(Metric("top")) == pytest.approx(math.fsum(tops) / 3)
    finally:
        measures.cache_clear()
