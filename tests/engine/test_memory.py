"""Work is split until it fits into the memory that is allowed, and the split is not seen in results."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import psutil
import pytest
import torch
from hypothesis import given, settings, strategies as st
from tests.engine.peak import peak_bytes
from tests.engine.tiny import Case, cases, contrast, tiny_gpt2, tiny_llama
from tests.refused import refused

from nncirc.circuits.errors import ResourceError
from nncirc.engine.methods.acdc import acdc
from nncirc.engine.methods.attribution_patching import attribution_patching, node_attribution
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.model.model import Model
from nncirc.engine.runs import memory
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import Zero
from nncirc.engine.runs.memory import default_memory, free_memory, pass_bytes

LOGIT_DIFF = Metric("logit_diff")


def limited(about: Contrast, most: int) -> Contrast:
    """The same contrast with another limit, and nothing computed yet."""
    return Contrast(about.model, about.dataset, about.corruption, most_memory=most)


@settings(max_examples=15)
@given(cases(layers=3), st.integers(2, 60), st.integers(1, 2))
def test_a_split_changes_nothing(case: Case, times: int, steps: int) -> None:
    """From one prompt and one sender at a time up to all at once."""
    model = case.model()
    graph, about = case.graph(model), case.contrast(model)
    longest = max(len(example.tokens) for example in about.dataset.examples)
    tight = limited(about, times * pass_bytes(model, longest))
    whole = limited(about, 1 << 34)
    for method in (attribution_patching, node_attribution):
        found = method(tight, graph, LOGIT_DIFF, steps=steps).values
        wanted = method(whole, graph, LOGIT_DIFF, steps=steps).values
        if isinstance(found, dict) and isinstance(wanted, dict):
            found, wanted = tuple(found.values()), tuple(wanted.values())
        torch.testing.assert_close(torch.tensor(found), torch.tensor(wanted), rtol=1e-6, atol=2e-8)


@pytest.mark.parametrize("make", [tiny_gpt2, tiny_llama])
def test_what_is_allowed_is_kept_to(make: object) -> None:
    model: Model = make(layers=4, heads=8, d_head=16)  # type: ignore[operator]
    about = contrast(model, size=12, lengths=(12,))
    graph = model.graph()
    everything = peak_bytes(lambda: attribution_patching(limited(about, 1 << 34), graph, LOGIT_DIFF))
    most = 2 * pass_bytes(model, 12)
    tight = limited(about, most)
    assert len(tight.batches) == 12
    assert peak_bytes(lambda: attribution_patching(tight, graph, LOGIT_DIFF)) < most < everything / 3
    # and what a pass is said to take is not far from what it does
    assert 0.5 < 12 * pass_bytes(model, 12) / everything < 2


def test_a_prompt_cannot_be_split() -> None:
    about = contrast(tiny_gpt2())
    with refused(ResourceError, "C704"):
        limited(about, pass_bytes(about.model, 6))
    with pytest.raises(ResourceError) as tight:
        limited(about, 1024)
    assert "1 KiB is allowed" in tight.value.message
    # What is free by itself is no reason to refuse: it may be just enough.
    assert len(contrast(tiny_gpt2(), size=3).batches) == 1


def test_without_a_limit_half_of_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_gpt2()
    need = pass_bytes(model, 6)
    monkeypatch.setattr(memory, "free_memory", lambda _: 8 * need)
    assert default_memory(torch.device("cpu")) == 4 * need
    assert [len(batch.indices) for batch in contrast(model, size=5).batches] == [2, 2, 1]
    monkeypatch.setattr(memory, "free_memory", lambda _: 0)
    assert [len(batch.indices) for batch in contrast(model, size=2).batches] == [1, 1]


def test_a_container_has_less_than_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1000))
    for limit, used, free in (("700", "300", 400), ("max", "300", 1000), ("9000", "1", 1000), ("5", "9", 0)):
        files = [tmp_path / name for name in ("max", "current")]  # type: ignore[operator]
        for file, text in zip(files, (limit, used), strict=True):
            file.write_text(text)
        monkeypatch.setattr(memory, "_CGROUPS", (files,))
        assert free_memory(torch.device("cpu")) == free


def test_acdc_runs_the_model_between_its_attempts_alone() -> None:
    """A trace within another would wait for it for ever, where logits are made again."""
    about = contrast(tiny_gpt2(vocab_size=2000), size=4)
    graph, small = about.model.graph(), limited(about, 2 * pass_bytes(about.model, 6))
    wanted = acdc(about, graph, LOGIT_DIFF, threshold=0.05)
    assert acdc(small, graph, LOGIT_DIFF, threshold=0.05).edges == wanted.edges


def test_what_does_not_fit_is_made_again() -> None:
    """A cache that is too small changes no number."""
    about = contrast(tiny_gpt2(), size=4, corruption=Zero())
    graph = about.model.graph()
    small = limited(about, 2 * pass_bytes(about.model, 6))
    (batch,) = about.batches
    for one in small.batches:
        for _ in range(2):
            wanted = about.clean_outputs(batch, graph)[:, [batch.indices.index(i) for i in one.indices]]
            torch.testing.assert_close(small.clean_outputs(one, graph), wanted)
            assert not small.substitute(one, graph).any()
    kept = replace(small)._large
    assert kept.taken <= kept.room
