"""What repairs attribution patching: AtP*'s query-key correction and GradDrop, and RelP.

Each against loops, and on a model where the gradient by itself misses what happens.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from tests.engine import oracle
from tests.engine.compared import METRICS, close, value_of
from tests.engine.tiny import Case, cases, contrast, tiny_gpt2, tiny_llama
from tests.refused import refused
from tests.some import some
from torch import Tensor, nn

from nncirc.circuits.errors import MethodError
from nncirc.circuits.graph import Graph
from nncirc.circuits.names import Edge
from nncirc.engine.evaluation.faithfulness import cut_metric
from nncirc.engine.methods.attribution_patching import attribution_patching, node_attribution
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import Zero

LOGIT_DIFF = Metric("logit_diff")


def gradients(
    case: Case, about: Contrast, graph: Graph, batch: Any, metric: Metric, frozen: Any = ()
) -> dict[str, Tensor]:
    """By each receiver's input, on the clean run."""
    clean = oracle.forward(about.model.module, batch.clean).outputs["embed"]
    bump = {r: torch.zeros_like(clean, requires_grad=True) for r in graph.receivers}
    options: dict[str, Any] = {"attention": case.attention, "split": case.split}
    run = oracle.forward(about.model.module, batch.clean, bump=bump, frozen=frozen, **options)
    value = value_of(about, batch, metric, run.logits)
    found = torch.autograd.grad(value, list(bump.values()), allow_unused=True, materialize_grads=True)
    return dict(zip(bump, found, strict=True))


def cut_effects(about: Contrast, graph: Graph, edges: list[Edge]) -> dict[Edge, float]:
    """By how much cutting each edge by itself really lowers the metric."""
    whole = float(cut_metric(about, graph, LOGIT_DIFF, ()).mean())
    return {edge: whole - float(cut_metric(about, graph, LOGIT_DIFF, [edge]).mean()) for edge in edges}


# The query-key correction --------------------------------------------------------------------------------


@settings(max_examples=9)
@given(cases(layers=2), METRICS)
def test_attention_is_computed_anew_and_the_rest_is_linear(case: Case, metric: Metric) -> None:
    model = case.model()
    graph, about = case.graph(model), case.contrast(model, batch=2)
    found = attribution_patching(about, graph, metric, correct_qk=True)
    plain = attribution_patching(about, graph, metric)
    options: dict[str, Any] = {"attention": case.attention, "split": case.split}
    wanted = dict.fromkeys(graph.edges(), 0.0)
    for batch in about.batches:
        by_input = gradients(case, about, graph, batch, metric)
        clean = oracle.forward(model.module, batch.clean, **options).outputs
        other = dict(zip(graph.senders, about.substitute(batch, graph), strict=True))
        for edge in graph.edges():
            if edge.receiver.endswith(".v") or "L" not in edge.receiver[:1]:
                continue
            run = oracle.forward(model.module, batch.clean, cut={edge: 1.0}, substitute=other, **options)
            for head in graph.outputs[edge.receiver]:
                first = graph.sender_index[head]
                after = [r for r, reach in zip(graph.receivers, graph.reach, strict=True) if reach > first]
                gradient = torch.stack([by_input[r] for r in after]).sum(0)
                fall = ((clean[head] - run.outputs[head]) * gradient).sum()
                wanted[edge] += float(fall) / len(about.dataset.examples)
    for edge in graph.edges():
        corrected = not edge.receiver.endswith(".v") and edge.receiver.startswith("L")
        score = wanted[edge] if corrected else plain.values[edge]
        if edge.receiver == "logits":
            score = plain.values[edge]
        assert found.values[edge] == pytest.approx(score, rel=1e-5, abs=close(case)), edge
    assert found.made["correct_qk"]


def test_a_saturated_pattern_has_no_gradient_and_moves_all_the_same() -> None:
    model = tiny_gpt2(layers=1, attention_only=True, seed=1)
    with torch.no_grad():
        query_and_key = model.module.transformer.h[0].attn.c_attn.weight[:, : 2 * model.d_model]
        query_and_key *= 30
    graph, about = model.graph(), contrast(model, size=6)
    edges = [e for e in graph.edges() if e.receiver.endswith((".q", ".k"))]
    real = cut_effects(about, graph, edges)
    plain = attribution_patching(about, graph, LOGIT_DIFF).values
    corrected = attribution_patching(about, graph, LOGIT_DIFF, correct_qk=True).values
    size = max(abs(real[e]) for e in edges)
    assert max(abs(plain[e]) for e in edges) < 0.05 * size, "the gradient sees next to nothing"
    pairs = torch.tensor([[corrected[e], real[e]] for e in edges]).T
    assert torch.corrcoef(pairs)[0, 1] > 0.7, "and the correction most of what happens"


# GradDrop ------------------------------------------------------------------------------------------------


@settings(max_examples=9)
@given(cases(layers=3), METRICS)
def test_one_layer_after_the_other_passes_nothing_on(case: Case, metric: Metric) -> None:
    assume(case.layers > 1)
    model = case.model()
    graph, about = case.graph(model), case.contrast(model, batch=2)
    wanted = dict.fromkeys(graph.edges(), 0.0)
    layers = graph.shape.n_layers
    for layer in range(layers):
        frozen = {s for s in graph.senders if s.startswith((f"L{layer}", f"MLP{layer}"))}
        sums = dict.fromkeys(graph.edges(), 0.0)
        for batch in about.batches:
            by_input = gradients(case, about, graph, batch, metric, frozen)
            clean = dict(zip(graph.senders, about.clean_outputs(batch, graph), strict=True))
            other = dict(zip(graph.senders, about.substitute(batch, graph), strict=True))
            for sender, receiver in graph.edges():
                effect = ((clean[sender] - other[sender]) * by_input[receiver]).sum()
                sums[Edge(sender, receiver)] += float(effect) / len(about.dataset.examples)
        for edge, value in sums.items():
            wanted[edge] += abs(value) / (layers - 1)
    found = attribution_patching(about, graph, metric, grad_drop=True)
    for edge in some(graph.edges()):
        assert found.values[edge] == pytest.approx(wanted[edge], rel=1e-5, abs=2 * close(case)), edge


def test_effects_that_cancel_are_seen() -> None:
    """The last MLP is made so strong that it undoes, to first order, what a head does directly."""
    model = tiny_gpt2(layers=2, seed=4)
    graph, about = model.graph(), contrast(model, size=4)
    weight = model.module.transformer.h[1].mlp.c_proj.weight
    original = weight.detach().clone()

    def score(strength: float) -> float:
        with torch.no_grad():
            weight.copy_(strength * original)
        fresh = Contrast(about.model, about.dataset, about.corruption)
        return node_attribution(fresh, graph, LOGIT_DIFF)["L0H1"][0]

    low, high = next(
        (a, b) for a, b in zip(range(-40, 40), range(-39, 41), strict=True) if score(a) * score(b) < 0
    )
    ends = float(low), float(high)
    for _ in range(40):
        middle = sum(ends) / 2
        ends = (ends[0], middle) if score(ends[0]) * score(middle) <= 0 else (middle, ends[1])
    assert abs(score(ends[0])) < 1e-6, "the gradient sees nothing"
    fresh = Contrast(about.model, about.dataset, about.corruption)
    own = [e for e in graph.edges() if e.sender == "L0H1"]
    whole = float(cut_metric(fresh, graph, LOGIT_DIFF, ()).mean())
    real = abs(whole - float(cut_metric(fresh, graph, LOGIT_DIFF, own).mean()))
    dropped = node_attribution(fresh, graph, LOGIT_DIFF, grad_drop=True)["L0H1"][0]
    assert real > 1e-2
    assert dropped > 0.1 * real


# RelP ----------------------------------------------------------------------------------------------------


def without_biases(module: nn.Module) -> None:
    for name, parameter in module.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)


@pytest.mark.parametrize("make", [tiny_gpt2, tiny_llama])
def test_relevance_is_conserved(make: Any) -> None:
    """Without biases a model is, by the rules, linear in its embeddings: their relevance is the metric.

    Of the gradient that is as far from true as can be: the last norm takes the length out of the stream, so
    that what all senders write together has no effect to first order.
    """
    options: dict[str, Any] = {"exact": True} if make is tiny_llama else {}
    model = make(layers=3, **options)
    without_biases(model.module)
    graph, about = model.graph(), contrast(model, size=4, corruption=Zero())
    clean = about.clean(LOGIT_DIFF)
    assert abs(clean) > 0.1
    by_node = node_attribution(about, graph, LOGIT_DIFF, rule="relp")
    assert by_node["embed"][0] == pytest.approx(clean, rel=1e-3)
    for rule, wanted in (("relp", clean), ("gradient", 0.0)):
        scores = attribution_patching(about, graph, LOGIT_DIFF, rule=rule)  # type: ignore[arg-type]
        into_logits = sum(v for e, v in scores.values.items() if e.receiver == "logits")
        assert into_logits == pytest.approx(wanted, rel=1e-3, abs=2e-3 * abs(clean))


def test_patterns_are_constant_under_relp() -> None:
    model = tiny_llama(layers=2)
    graph, about = model.graph(), contrast(model, size=3)
    scores = attribution_patching(about, graph, LOGIT_DIFF, rule="relp")
    for edge, value in scores.values.items():
        assert (value == 0) or not edge.receiver.endswith((".q", ".k"))
    assert scores.made["rule"] == "relp"


# What does not go together -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"rule": "relp", "steps": 2},
        {"grad_drop": True, "steps": 2},
        {"correct_qk": True, "steps": 5},
        {"rule": "relp", "correct_qk": True},
    ],
)
def test_options_that_do_not_go_together(options: Any) -> None:
    model = tiny_gpt2()
    with refused(MethodError, "C547"):
        attribution_patching(contrast(model), model.graph(), LOGIT_DIFF, **options)


def test_one_layer_has_none_to_drop() -> None:
    model = tiny_gpt2(layers=1)
    with refused(MethodError, "C547"):
        attribution_patching(contrast(model), model.graph(), LOGIT_DIFF, grad_drop=True)
