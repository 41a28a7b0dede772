"""What methods are said to hold at once, against the allocator's own account."""

from __future__ import annotations

from typing import Any

import pytest
from tests.engine.peak import peak_bytes
from tests.engine.tiny import contrast, random_prompts, tiny_gpt2, tiny_llama
from tests.refused import refused

from nncirc.circuits.errors import ResourceError
from nncirc.circuits.parts import PARTS
from nncirc.engine.methods.acdc import acdc
from nncirc.engine.methods.activation_patching import activation_patching
from nncirc.engine.methods.attention_statistics import attention_statistics
from nncirc.engine.methods.attribution_patching import attribution_patching
from nncirc.engine.methods.causal_tracing import causal_tracing
from nncirc.engine.methods.costs import acdc_room, attribution_room, edited_room, held, patching_room
from nncirc.engine.methods.direct_logit_attribution import logit_attribution
from nncirc.engine.methods.in_context_learning import in_context_learning
from nncirc.engine.methods.logit_lens import logit_lens
from nncirc.engine.methods.patchscopes import patchscopes
from nncirc.engine.methods.path_patching import path_patching
from nncirc.engine.methods.steering import steering
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.memory import pass_bytes, peak

LOGIT_DIFF, KL = Metric("logit_diff"), Metric("kl_divergence")


@pytest.mark.parametrize("make", [tiny_gpt2, tiny_llama])
@pytest.mark.parametrize(
    ("method", "metric"),
    [
        ("attribution_patching", LOGIT_DIFF),
        ("activation_patching", LOGIT_DIFF),
        ("parts", LOGIT_DIFF),
        ("acdc", LOGIT_DIFF),
        ("acdc", KL),
        ("causal_tracing", LOGIT_DIFF),
        ("causal_tracing", KL),
        ("windows", LOGIT_DIFF),
        ("steering", LOGIT_DIFF),
        ("one", LOGIT_DIFF),
        ("path_patching", LOGIT_DIFF),
    ],
)
def test_room_is_what_the_allocator_gives(make: Any, method: str, metric: Metric) -> None:
    # ACDC's many attempts are alike: two layers show what one takes.
    model = make(layers=2 if method == "acdc" else 4, heads=8, d_head=16)
    about, graph = contrast(model, size=16, lengths=(14,)), model.graph()
    places, layers = ["A.1", "A.2", "B"], len(model.blocks)
    cases: dict[str, tuple[int, Any]] = {
        "attribution_patching": (attribution_room(about), lambda: attribution_patching(about, graph, metric)),
        "activation_patching": (
            patching_room(about),
            lambda: activation_patching(about, graph, metric, positions="all"),
        ),
        "parts": (
            patching_room(about, PARTS),
            lambda: activation_patching(about, graph, metric, of=PARTS, positions=places),
        ),
        "acdc": (
            acdc_room(about, graph, metric),
            lambda: acdc(about, graph, metric, threshold=0.05, depth=8),
        ),
        "causal_tracing": (
            edited_room(about, metric, 3 * layers, 2 * (layers + 1)),
            lambda: causal_tracing(about, metric, positions=places),
        ),
        "windows": (
            edited_room(about, metric, 3 * layers, layers + 1),
            lambda: causal_tracing(about, metric, of="mlps", positions=places),
        ),
        "steering": (
            edited_room(about, metric, 8 * layers, layers + 1),
            lambda: steering(about, graph, metric, nodes="L*H*", scale=[0.0], into="corrupt"),
        ),
        "one": (
            edited_room(about, metric, 1, layers + 1),
            lambda: steering(about, graph, metric, nodes="L1H2", shift=[1.0]),
        ),
        "path_patching": (
            edited_room(about, metric, 3 * len(graph.senders), 3 * len(graph.senders) + 6 * layers + 1),
            lambda: path_patching(about, graph, metric, to="logits", through="all", positions=places),
        ),
    }
    said, run = cases[method]
    assert 0.5 < said / peak_bytes(run) < 2


@pytest.mark.parametrize("make", [tiny_gpt2, tiny_llama])
@pytest.mark.parametrize("vocabulary", [50, 5000])
def test_the_room_of_readings_is_what_the_allocator_gives(make: Any, vocabulary: int) -> None:
    model = make(layers=4, heads=8, d_head=16, vocab_size=vocabulary)
    data, graph = random_prompts(size=16, lengths=(14,)), model.graph()
    tokens, stages, senders = 16 * 14, 2 * 4 + 1, len(graph.senders)
    places = ["A.1", "end"]
    cases = [
        (held(model, tokens, kept=stages, positions=16), lambda: logit_lens(model, data, positions=places)),
        (
            held(model, tokens, kept=stages // 2 + 1, positions=16, running=tokens),
            lambda: patchscopes(model, data, data, positions=places),
        ),
        (
            held(model, tokens, kept=stages, doubles=2 * senders * 16),
            lambda: logit_attribution(model, data, graph, positions=places),
        ),
        (held(model, tokens, positions=2 * 16), lambda: in_context_learning(model, data, early=2, late=9)),
        (
            held(model, tokens, kept=3 * 4 + 4 * 4 * 8 * 14 / model.d_model),
            lambda: attention_statistics(model, data, ["previous_token", "entropy"]),
        ),
    ]
    for said, run in cases:
        assert 0.5 < said / peak_bytes(run) < 2


@pytest.mark.parametrize("most_memory", [None, 2**24])
def test_the_room_of_neurons_is_what_the_allocator_gives(most_memory: int | None) -> None:
    model = tiny_gpt2(layers=4, heads=8, d_head=16)
    about, graph = contrast(model, size=4, lengths=(14,)), model.graph(neurons=(0,))
    about = Contrast(model, about.dataset, about.corruption, most_memory=most_memory)
    said = attribution_room(about, 512)
    assert said > 1.2 * attribution_room(about)
    assert 0.5 < said / peak_bytes(lambda: attribution_patching(about, graph, LOGIT_DIFF)) < 2


def test_acdc_does_not_begin_what_it_has_no_room_for() -> None:
    model = tiny_gpt2(layers=3, heads=4)
    about = contrast(model, size=30, lengths=(12,))
    tight = Contrast(model, about.dataset, about.corruption, most_memory=2 * pass_bytes(model, 12))
    with refused(ResourceError, "C701", "for 30 prompts"):
        acdc(tight, model.graph(), LOGIT_DIFF, threshold=0.1)


def test_a_process_has_a_peak() -> None:
    assert peak() > 1 << 20
