"""The in-context-learning score against cross-entropies prompt by prompt."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.engine.tiny import dataset, random_prompts, tiny_gpt2, tiny_llama
from tests.refused import refused
from torch.nn.functional import cross_entropy

from nncirc.circuits.errors import MethodError, ModelError
from nncirc.engine.methods.in_context_learning import in_context_learning
from nncirc.engine.methods.logit_lens import logit_lens
from nncirc.engine.model.loading import load_bundled


@pytest.mark.parametrize("make", [tiny_gpt2, tiny_llama])
@pytest.mark.parametrize("batch", [None, 1])
def test_losses_are_of_the_tokens_counted_from_one(make: Any, batch: int | None) -> None:
    model = make(seed=3)
    data = random_prompts(size=5, lengths=(6, 8))
    found = in_context_learning(model, data, early=2, late=6, batch=batch)
    losses = []
    for example in data.examples:
        tokens = torch.tensor([example.tokens])
        logits = model.module(input_ids=tokens).logits[0]
        # The second and the sixth token are predicted from the first and the fifth.
        losses.append([float(cross_entropy(logits[at], tokens[0, at + 1])) for at in (0, 4)])
    early, late = torch.tensor(losses, dtype=torch.float64).mean(0).tolist()
    assert found.nodes == ("logits",)
    assert found.positions == ("early", "late", "score")
    assert found["logits"] == pytest.approx([early, late, late - early], abs=2e-5)


@pytest.mark.parametrize(("early", "late"), [(1, 5), (3, 3), (5, 3), (2, 7)])
def test_tokens_without_a_loss_are_refused(early: Any, late: int) -> None:
    with refused(MethodError, "C578"):
        in_context_learning(tiny_gpt2(), random_prompts(size=2), early=early, late=late)


def test_values_have_no_loss() -> None:
    model = load_bundled("tracr-reverse")
    with refused(ModelError, "C433"):
        in_context_learning(model, random_prompts(size=2, answers=None), early=2, late=4)
    with refused(ModelError, "C433"):
        logit_lens(model, dataset([[3, 0, 1, 2]]), of="kl_divergence")
