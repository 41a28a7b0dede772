"""What takes a clean activation's place, against loops; and how prompts are put into batches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st
from tests.engine import oracle
from tests.engine.tiny import Case, cases, contrast, random_prompts, tiny_gpt2
from tests.refused import refused
from tests.some import some

from nncirc import Dataset
from nncirc.circuits.errors import DataError, MethodError
from nncirc.circuits.names import END, Position
from nncirc.engine.methods.path_patching import path_patching
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import Mean, Resample, Zero


def outputs(case: Case, module: Any, tokens: tuple[int, ...]) -> dict[str, torch.Tensor]:
    return oracle.forward(module, torch.tensor([tokens]), attention=case.attention, split=case.split).outputs


@settings(max_examples=15)
@given(cases(layers=2), st.booleans(), st.booleans())
def test_means_are_means(case: Case, by_position: bool, other_source: bool) -> None:
    """Over all tokens of all prompts, or over prompts at each position; of a source if there is one."""
    if by_position:
        case = Case(**{**case.__dict__, "lengths": case.lengths[:1]})
    model = case.model()
    graph, module = case.graph(model), model.module
    source: Dataset | None = None
    if other_source:
        source = random_prompts(size=7, lengths=case.lengths, seed=case.seed + 5)
    over: Any = ("prompts",) if by_position else ("prompts", "positions")
    about = contrast(
        model, size=case.size, lengths=case.lengths, seed=case.seed, corruption=Mean(over, source), batch=2
    )
    runs = [outputs(case, module, e.tokens) for e in (source or about.dataset).examples]
    for batch in some(about.batches):
        found = about.substitute(batch, graph)
        assert found.shape == (len(graph.senders), *batch.clean.shape, model.d_model)
        for sender, value in zip(graph.senders, found, strict=True):
            if by_position:
                mean = torch.stack([run[sender][0] for run in runs]).mean(0)
            else:
                mean = torch.cat([run[sender][0] for run in runs]).mean(0)
            torch.testing.assert_close(value, mean.expand_as(value), rtol=0, atol=1e-5)


@settings(max_examples=10)
@given(cases(layers=2, corruption="resample"))
def test_resampling_is_the_other_run(case: Case) -> None:
    model = case.model()
    graph, about = case.graph(model), case.contrast(model, batch=2)
    assert isinstance(about.corruption, Resample)
    for batch in about.batches:
        found = about.substitute(batch, graph)
        for i, index in enumerate(batch.indices):
            run = outputs(case, model.module, about.corruption.examples[index].tokens)
            wanted = torch.stack([run[sender][0] for sender in graph.senders])
            torch.testing.assert_close(found[:, i], wanted, rtol=0, atol=1e-5)


def test_zero_is_zero() -> None:
    about = contrast(tiny_gpt2(), corruption=Zero())
    (batch,) = about.batches
    found = about.substitute(batch, about.model.graph())
    assert found.shape == about.clean_outputs(batch, about.model.graph()).shape
    assert not found.any()


@pytest.mark.parametrize("lengths", [(5, 6), (6, 5)])
def test_a_mean_at_each_position_needs_one_length(lengths: tuple[int, ...]) -> None:
    model = tiny_gpt2()
    about = contrast(model, lengths=lengths, corruption=Mean(("prompts",)))
    with refused(DataError, "C333"):
        about.substitute(about.batches[0], model.graph())
    # Lengths of the source count too.
    source = random_prompts(size=2, lengths=(7,))
    about = contrast(model, corruption=Mean(("prompts",), source))
    with refused(DataError, "C333"):
        about.substitute(about.batches[0], model.graph())
    # Over positions they do not.
    about = contrast(model, lengths=lengths, corruption=Mean(source=source))
    assert about.substitute(about.batches[0], model.graph()).isfinite().all()


@pytest.mark.parametrize("over", [(), ("positions",)])
def test_means_over_anything_else(over: Any) -> None:
    with refused(MethodError, "C521"):
        Mean(over)


@settings(max_examples=24)
@given(
    st.lists(st.integers(4, 7), min_size=1, max_size=9),
    st.none() | st.integers(1, 4),
)
def test_batches_have_one_length_and_values_come_back_in_order(lengths: list[int], batch: int | None) -> None:
    model = tiny_gpt2(layers=1, heads=1)
    about = contrast(model, size=len(lengths), lengths=tuple(lengths), batch=batch)
    for one in about.batches:
        assert len({len(e.tokens) for e in one.examples}) == 1
        assert batch is None or len(one.indices) <= batch
        assert one.examples == tuple(about.dataset.examples[i] for i in one.indices)
        assert one.clean.tolist() == [list(e.tokens) for e in one.examples]
        assert one.corrupt is not None
        assert isinstance(about.corruption, Resample)
        assert one.corrupt.tolist() == [list(about.corruption.examples[i].tokens) for i in one.indices]
    assert sorted(i for one in about.batches for i in one.indices) == list(range(len(lengths)))
    if batch is None:
        assert len(about.batches) == len(set(lengths))
    parts = [torch.tensor([one.indices], dtype=torch.float64) for one in about.batches]
    assert about.in_order(parts).tolist() == [list(range(len(lengths)))]


def test_prompts_that_do_not_align_are_refused() -> None:
    model = tiny_gpt2()
    clean = random_prompts(size=2)
    for code, others in (
        ("C302", clean.examples),
        ("C318", random_prompts(size=3, seed=1).examples),
    ):
        with refused(DataError, code):
            Contrast(model, clean, Resample(others))


def test_what_was_computed_is_kept_apart() -> None:
    """By metric, by graph and by batch: a cache that forgot one would answer for another."""
    model = tiny_gpt2()
    about = contrast(model, size=4, lengths=(5, 6), batch=1)
    metrics = [
        Metric("logit_diff"),
        Metric("logit_diff", at=(Position("A"),)),
        Metric("prob"),
        Metric("logprob"),
    ]
    together = [(about.clean(m), about.corrupt(m)) for m in (*metrics, *metrics)]
    alone = [contrast(model, size=4, lengths=(5, 6), batch=1) for _ in metrics]
    apart = [(one.clean(m), one.corrupt(m)) for one, m in zip(alone, metrics, strict=True)]
    assert together == apart * 2
    assert len({tuple(map(tuple, [pair])) for pair in together}) == 4
    heads, layers = model.graph(), model.graph(attention="layers")
    for batch in about.batches:
        assert len(about.clean_outputs(batch, heads)) == 7
        assert len(about.clean_outputs(batch, layers)) == 5
        assert len(about.substitute(batch, heads)) == 7
        assert len(about.substitute(batch, layers)) == 5
        assert about.reading(batch, Metric("prob", at=(END,))).kept.tolist() == [batch.clean.shape[1] - 1]


def test_a_patch_without_effect_has_the_metric_of_the_run_it_changes() -> None:
    about = contrast(tiny_gpt2(), size=3)
    plain, normalized = Metric("logit_diff"), Metric("logit_diff", normalize=True)
    assert about.unpatched(plain, "noise") == pytest.approx(about.clean(plain), abs=1e-7)
    assert about.unpatched(plain, "denoise") == pytest.approx(about.corrupt(plain), abs=1e-7)
    assert about.unpatched(plain, "noise") != about.unpatched(plain, "denoise")
    assert (about.unpatched(normalized, "noise"), about.unpatched(normalized, "denoise")) == (1, 0)
    # Directly to the logits, which are read at the end, an earlier token moves nothing.
    found = path_patching(about, about.model.graph(), plain, to="logits", through="none", positions=["A.1"])
    assert found.made["unpatched"] == pytest.approx(about.unpatched(plain, "noise"), abs=1e-8)
    assert found["embed"][0] == found.made["unpatched"]
    assert found.made["unit"] == "logits"
