"""What methods are said to hold at once, against the allocator's own account."""

from __future__ import annotations

from typing import Any

import pytest
from tests.engine.peak import peak_bytes
from tests.engine.tiny import contrast, tiny_gpt2, tiny_llama

from nncirc.circuits.errors import ResourceError
from nncirc.engine.activation import activation_patching
from nncirc.engine.attribution import attribution_patching
from nncirc.engine.contrast import Contrast
from nncirc.engine.discovery import acdc
from nncirc.engine.memory import pass_bytes
from nncirc.engine.metrics import Metric
from nncirc.engine.room import peak, room

LOGIT_DIFF, KL = Metric("logit_diff"), Metric("kl_divergence")


@pytest.mark.parametrize("make", [tiny_gpt2, tiny_llama])
@pytest.mark.parametrize(
    ("method", "metric"),
    [
        ("attribution_patching", LOGIT_DIFF),
        ("activation_patching", LOGIT_DIFF),
        ("acdc", LOGIT_DIFF),
        ("acdc", KL),
    ],
)
def test_room_is_what_the_allocator_gives(make: Any, method: str, metric: Metric) -> None:
    model = make(layers=4, heads=8, d_head=16)
    about, graph = contrast(model, size=16, lengths=(14,)), model.graph()
    run: dict[str, Any] = {
        "attribution_patching": lambda: attribution_patching(about, graph, metric),
        "activation_patching": lambda: activation_patching(about, graph, metric, positions="all"),
        "acdc": lambda: acdc(about, graph, metric, threshold=0.05, depth=8),
    }
    said = room(method, about, graph, metric)
    assert said is not None
    assert 0.5 < said / peak_bytes(run[method]) < 2


def test_acdc_does_not_begin_what_it_has_no_room_for() -> None:
    model = tiny_gpt2(layers=3, heads=4)
    about = contrast(model, size=30, lengths=(12,))
    tight = Contrast(model, about.dataset, about.corruption, most_memory=2 * pass_bytes(model, 12))
    with pytest.raises(ResourceError) as caught:
        acdc(tight, model.graph(), LOGIT_DIFF, threshold=0.1)
    assert caught.value.code == "C701"
    assert "all 30 prompts" in caught.value.message


def test_a_process_has_a_peak() -> None:
    assert peak() > 1 << 20
