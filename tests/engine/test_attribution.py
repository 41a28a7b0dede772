"""Attribution against the gradient of loops, finite differences and the gradient by the mask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings, strategies as st
from tests.engine import oracle
from tests.engine.compared import METRICS, by_mask, close, value_of
from tests.engine.tiny import Case, cases, contrast, tiny_gpt2, tiny_llama
from tests.refused import refused
from tests.some import some
from torch import Tensor

from nncirc.circuits.errors import MethodError
from nncirc.circuits.graph import Graph
from nncirc.circuits.names import END, Edge, Position
from nncirc.engine.methods.attribution_patching import (
    Along,
    attribution_patching,
    interpolation,
    node_attribution,
)
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.model.model import Model
from nncirc.engine.runs import contrast as contrast_module
from nncirc.engine.runs.capture import sender_stages, written
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import Mean, Resample, Zero
from nncirc.engine.runs.masked_forward import Mask


def points(about: Contrast, steps: int) -> list[float]:
    """Where gradients are taken between corrupted and clean: at midpoints, where embeddings start at zero."""
    return [(2 * k + isinstance(about.corruption, Zero)) / (2 * steps) for k in range(steps)]


def by_loops(
    case: Case, about: Contrast, graph: Graph, metric: Metric, steps: int, base: str = "clean"
) -> dict[Edge, float]:
    """Σ (clean − substitute) · gradient by an addition to each receiver's input, averaged over steps."""
    module = about.model.module
    total = dict.fromkeys(graph.edges(), 0.0)
    options: dict[str, Any] = {"attention": case.attention, "split": case.split}
    for batch in about.batches:
        clean = oracle.forward(module, batch.clean, **options).outputs
        other = dict(zip(graph.senders, about.substitute(batch, graph), strict=True))
        for point in points(about, steps):
            start = clean["embed"]
            if steps > 1 or base == "corrupted":
                start = other["embed"] + point * (clean["embed"] - other["embed"])
            bump = {r: torch.zeros_like(start, requires_grad=True) for r in graph.receivers}
            run = oracle.forward(module, batch.clean, embedded=start, bump=bump, **options)
            value = value_of(about, batch, metric, run.logits)
            gradients = torch.autograd.grad(value, [bump[r] for r in graph.receivers])
            for receiver, gradient in zip(graph.receivers, gradients, strict=True):
                for sender in graph.senders[: graph.reach[graph.receiver_index[receiver]]]:
                    effect = ((clean[sender] - other[sender]) * gradient).sum()
                    total[Edge(sender, receiver)] += float(effect) / steps
    return {edge: value / len(about.dataset.examples) for edge, value in total.items()}


@settings(max_examples=15)
@given(cases(layers=2), METRICS, st.sampled_from([1, 1, 2, 3]))
@example(Case("llama", corruption="zero"), Metric("logit_diff"), 3)
def test_scores_are_difference_times_gradient(case: Case, metric: Metric, steps: int) -> None:
    model = case.model()
    graph, about = case.graph(model), case.contrast(model, batch=2)
    found = attribution_patching(about, graph, metric, steps=steps)
    wanted = by_loops(case, about, graph, metric, steps)
    assert list(found.values) == list(graph.edges())
    for edge in graph.edges():
        assert found.values[edge] == pytest.approx(wanted[edge], rel=1e-5, abs=close(case)), edge
    assert found.made["steps"] == steps


@settings(max_examples=9)
@given(cases(layers=2), METRICS)
def test_scores_are_minus_the_gradient_by_the_mask(case: Case, metric: Metric) -> None:
    model = case.model()
    graph, about = case.graph(model), case.contrast(model)
    found = attribution_patching(about, graph, metric)
    slopes = by_mask(about, graph, metric)
    for edge, score in some(found.values.items()):
        assert score == pytest.approx(-float(slopes[graph.order(edge)]), rel=1e-5, abs=close(case)), edge


@settings(max_examples=15)
@given(
    st.sampled_from(["resample", "gaussian"]).flatmap(lambda kind: cases(layers=2, corruption=kind)),
    st.one_of(METRICS, st.just(Metric("kl_divergence")), st.just(Metric("logit_diff", normalize=True))),
)
def test_on_the_corrupted_run_scores_are_the_difference_times_the_gradient_there(
    case: Case, metric: Metric
) -> None:
    """Nanda 2023: positive where restoring the edge brings the metric, or less divergence, back."""
    model = case.model()
    graph, about = case.graph(model), case.contrast(model, batch=2)
    found = attribution_patching(about, graph, metric, base="corrupted")
    wanted = by_loops(case, about, graph, replace(metric, normalize=False), 1, "corrupted")
    scale = 1 / about.normalizer(metric).span if metric.normalize else metric.measure.sign
    size = max(map(abs, wanted.values())) * abs(scale)
    for edge in graph.edges():
        assert found.values[edge] == pytest.approx(scale * wanted[edge], rel=1e-4, abs=1e-5 * size), edge
    assert (found.made["gradient_at"], found.made["direction"]) == ("corrupted", "denoise")
    assert found.made["score"] == "estimated rise of the metric when the edge is restored"
    nodes = node_attribution(about, graph, metric, base="corrupted")
    for sender in graph.senders:
        out = sum(score for edge, score in wanted.items() if edge.sender == sender)
        assert nodes[sender][0] == pytest.approx(scale * out, rel=1e-4, abs=1e-5 * size), sender
    assert nodes.made["direction"] == "denoise"


@settings(max_examples=9)
@given(cases(layers=2, corruption="resample"), METRICS)
def test_on_the_corrupted_run_scores_are_the_gradient_by_the_mask(case: Case, metric: Metric) -> None:
    """Of the masked forward of the corrupted prompts, whose cut edges carry what the clean run writes."""
    model = case.model()
    graph, about = case.graph(model), case.contrast(model)
    found = attribution_patching(about, graph, metric, base="corrupted")
    slopes = by_mask(about, graph, metric, base="corrupt")
    size = float(slopes.abs().max())
    for edge, score in some(found.values.items()):
        assert score == pytest.approx(float(slopes[graph.order(edge)]), rel=1e-4, abs=1e-5 * size), edge


def test_both_runs_change_places() -> None:
    """With clean and corrupted prompts exchanged, cutting is what restoring was, the other way round."""
    model = tiny_gpt2(layers=2, seed=4)
    about, graph, metric = contrast(model, size=3), model.graph(), Metric("logit_diff")
    assert isinstance(about.corruption, Resample)
    # Slots and answers are the clean prompts' in both, so that the same is read.
    pairs = zip(about.dataset.examples, about.corruption.examples, strict=True)
    dataset = replace(about.dataset, examples=tuple(replace(a, tokens=b.tokens) for a, b in pairs))
    exchanged = Contrast(model, dataset, Resample(about.dataset.examples))
    restored = attribution_patching(about, graph, metric, base="corrupted")
    cut = attribution_patching(exchanged, graph, metric)
    for edge in graph.edges():
        assert restored.values[edge] == pytest.approx(-cut.values[edge], abs=1e-6), edge


def test_what_is_written_in_the_run_that_is_differentiated_is_not_computed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs: list[Tensor] = []

    def counted(model: Any, tokens: Tensor, *more: Any, **options: Any) -> Any:
        runs.append(tokens)
        return written(model, tokens, *more, **options)

    monkeypatch.setattr(contrast_module, "written", counted)
    for base, other in (("clean", "corrupt"), ("corrupted", "clean")):
        about = contrast(tiny_gpt2(), size=3)
        runs.clear()
        attribution_patching(about, about.model.graph(), Metric("logit_diff"), base=base)  # type: ignore[arg-type]
        assert len(runs) == 1
        assert torch.equal(runs[0], getattr(about.batches[0], other))


def test_what_cannot_be_taken_on_the_corrupted_run() -> None:
    about, metric = contrast(tiny_gpt2()), Metric("logit_diff")
    wrong: list[dict[str, Any]] = [
        {"steps": 2},
        {"rule": "relp"},
        {"grad_drop": True},
        {"correct_qk": True},
    ]
    for options in wrong:
        with refused(MethodError, "C547"):
            attribution_patching(about, about.model.graph(), metric, **{"base": "corrupted", **options})
    for corruption in (Zero(), Mean()):
        about = contrast(tiny_gpt2(), corruption=corruption)
        with refused(MethodError, "C523"):
            node_attribution(about, about.model.graph(), metric, base="corrupted")


@pytest.mark.parametrize("family", ["gpt2", "attention_only"])
@pytest.mark.parametrize("metric", [Metric("logit_diff"), Metric("logprob", at=(END, Position("A")))])
def test_scores_are_finite_differences(family: Any, metric: Metric) -> None:
    """What a little of each edge's cut takes from the metric."""
    case = Case(family, layers=2, heads=2, lengths=(5, 6), seed=3)
    model = case.model()
    graph, about = case.graph(model), case.contrast(model)
    found = attribution_patching(about, graph, metric)
    edges = list(graph.edges())
    little = 1e-5
    cut = Mask.of(model, graph, [[edge] for edge in edges]).cut * little

    def mean(sign: int) -> Tensor:
        return about.measure(metric, lambda b, w: about.masked(graph, b, w, Mask(sign * cut))).mean(1)

    slopes = (mean(-1) - mean(1)) / (2 * little)
    for edge, slope in some(zip(edges, slopes.tolist(), strict=True)):
        assert found.values[edge] == pytest.approx(slope, rel=1e-5, abs=1e-7), edge


@settings(max_examples=9)
@given(cases(), METRICS, st.sampled_from([1, 3]))
@example(Case("attention_only", layers=3, heads=2), Metric("logit_diff"), 1)
def test_a_nodes_score_is_the_sum_over_its_edges(case: Case, metric: Metric, steps: int) -> None:
    model = case.model()
    graph, about = case.graph(model), case.contrast(model)
    edges = attribution_patching(about, graph, metric, steps=steps)
    nodes = node_attribution(about, graph, metric, steps=steps)
    assert nodes.nodes == graph.senders
    largest = max(abs(row[0]) for row in nodes.values)
    for sender in graph.senders:
        total = sum(score for edge, score in edges.values.items() if edge.sender == sender)
        size = sum(abs(score) for edge, score in edges.values.items() if edge.sender == sender)
        near = 1e-7 if case.family in ("gpt2", "attention_only") else 1e-3
        near += 10 ** (1 - model.digits) * largest
        assert nodes[sender][0] == pytest.approx(total, abs=near + 1e-6 * size), sender


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("make", [tiny_gpt2, tiny_llama])
def test_neither_batch_nor_order_of_prompts_matters(make: Any, steps: int) -> None:
    model = make()
    graph, metric = model.graph(), Metric("logit_diff", normalize=True)
    whole = contrast(model, size=5, lengths=(5, 6))
    found = attribution_patching(whole, graph, metric, steps=steps)
    near: dict[str, Any] = {
        "abs": 2e-8 if make is tiny_gpt2 else 1e-3,
        "rel": 1e-4 if make is tiny_llama else 1e-8,
    }

    def same(other: Contrast) -> None:
        again = attribution_patching(other, graph, metric, steps=steps)
        for edge, score in found.values.items():
            assert again.values[edge] == pytest.approx(score, **near), edge

    for batch in (1, 2):
        same(Contrast(model, whole.dataset, whole.corruption, batch=batch))
    assert isinstance(whole.corruption, Resample)
    backwards = replace(whole.dataset, examples=whole.dataset.examples[::-1])
    same(Contrast(model, backwards, Resample(whole.corruption.examples[::-1])))


@pytest.mark.parametrize("normalize", [False, True])
def test_integrated_kl_is_by_loops_with_its_sign(normalize: bool) -> None:
    """A divergence's score is by how much it rises; normalised, how far the metric falls from 1."""
    case = Case("gpt2", seed=8)
    model = case.model()
    graph, about = case.graph(model), case.contrast(model)
    metric = Metric("kl_divergence", normalize=normalize)
    found = attribution_patching(about, graph, metric, steps=4)
    wanted = by_loops(case, about, graph, metric, 4)
    factor = -1.0
    if normalize:
        factor = 1 / (about.clean(metric) - about.corrupt(metric))
    for edge, score in found.values.items():
        assert score == pytest.approx(factor * wanted[edge], abs=2e-8), edge
    assert sum(found.values.values()) > 0


def test_what_cannot_be_attributed() -> None:
    about = contrast(tiny_gpt2())
    graph = about.model.graph()
    for method in (attribution_patching, node_attribution):
        with refused(MethodError, "C541"):
            method(about, graph, Metric("kl_divergence"))
        with refused(MethodError, "C542"):
            method(about, graph, Metric("logit_diff"), steps=0)


def test_progress_counts_every_pass() -> None:
    about = contrast(tiny_gpt2(), size=4, lengths=(5, 6), batch=1)
    told: list[tuple[int, int]] = []
    graph = about.model.graph()
    attribution_patching(about, graph, Metric("logit_diff"), steps=2, progress=lambda *now: told.append(now))
    assert told == [(done, 8) for done in range(1, 9)]


def test_a_mask_reaches_every_receiver_in_its_gradient() -> None:
    """No edge's score is zero by chance on these random models: a forgotten receiver would show."""
    empty: Sequence[Edge] = []
    for model in (tiny_gpt2(), tiny_llama()):
        found = attribution_patching(contrast(model), model.graph(), Metric("logit_diff"))
        assert [edge for edge, score in found.values.items() if abs(score) < 1e-9] == empty


@settings(max_examples=9)
@given(cases(layers=2), METRICS, st.sampled_from([2, 3]))
def test_integrating_along_activations_is_the_gradient_of_a_part_cut_mask(
    case: Case, metric: Metric, steps: int
) -> None:
    """So far on the way from corrupted to clean is a mask of 1 minus that on all edges out of one place."""
    model = case.model()
    graph, about = case.graph(model), case.contrast(model)
    total = torch.zeros(len(graph.receivers), len(graph.senders), dtype=torch.float64)
    for place in sender_stages(graph):
        for point in points(about, steps):
            cut = torch.zeros(1, *total.shape, dtype=torch.float64)
            for receiver, reach in enumerate(graph.reach):
                cut[0, receiver, place.start : min(place.stop, reach)] = 1 - point
            total[:, place] -= by_mask(about, graph, metric, cut=cut)[:, place] / steps
    found = attribution_patching(about, graph, metric, steps=steps, along="activations")
    for edge in some(graph.edges()):
        receiver, sender = graph.order(edge)
        assert found.values[edge] == pytest.approx(float(total[receiver, sender]), abs=close(case)), edge
    nodes = node_attribution(about, graph, metric, steps=steps, along="activations")
    wanted = total.sum(0).tolist()
    for name, row in some(zip(graph.senders, wanted, strict=True)):
        assert nodes[name][0] == pytest.approx(row, abs=close(case) * max(1.0, *map(abs, wanted))), name


LD = Metric("logit_diff")


@pytest.mark.parametrize("along", ["inputs", "activations"])
@pytest.mark.parametrize("make", [tiny_gpt2, tiny_llama])
def test_integrated_gradients_do_not_start_at_zero(make: Callable[..., Model], along: Along) -> None:
    """There a norm's gradient is 1/√ε, and that of all norms together the product: here ε = 1e-16."""
    eps = {"rms_norm_eps": 1e-16} if make is tiny_llama else {"layer_norm_epsilon": 1e-16}
    about = contrast(make(**eps), size=2, corruption=Zero())
    graph = about.model.graph()
    found = attribution_patching(about, graph, LD, steps=5, along=along)
    assert found.made["gradient_at"] == f"{along} at (k + 1/2)/5 from corrupted to clean, k = 0..4"
    assert max(map(abs, found.values.values())) < 1e3
    again = attribution_patching(about, graph, LD, steps=7, along=along)
    assert attribution_patching(about, graph, LD).made["gradient_at"] == "clean"
    inner = [edge for edge in graph.edges() if edge.sender != "embed"]
    total = sum(abs(found.values[edge]) for edge in inner)
    assert sum(abs(found.values[edge] - again.values[edge]) for edge in inner) < 0.2 * total


def test_a_token_without_an_embedding_is_a_start_at_zero() -> None:
    """As padding is: midpoints too, unless positions are added, or clean prompts have it there as well."""
    other = [(7, 0), (7, 7)]
    for make, midpoints in ((tiny_llama, [True, False]), (tiny_gpt2, [False, False])):
        model = make()
        with torch.no_grad():
            model.module.get_input_embeddings().weight[7] = 0
        found = []
        for corrupt, clean in other:
            about = contrast(model, size=2, lengths=(4,))
            assert isinstance(about.corruption, Resample)
            examples = [(replace(e, tokens=(corrupt, *e.tokens[1:]))) for e in about.corruption.examples]
            prompts = [replace(e, tokens=(clean, *e.tokens[1:])) for e in about.dataset.examples]
            dataset = replace(about.dataset, examples=tuple(prompts))
            about = Contrast(model, dataset, Resample(tuple(examples)))
            found.append(interpolation(about, 2) == [0.25, 0.75])
            # And no place for the gradient on the corrupted run.
            with pytest.raises(MethodError) if found[-1] else nullcontext() as refused:
                attribution_patching(about, model.graph(), LD, base="corrupted")
            assert refused is None or refused.value.code == "C547"
        assert found == midpoints
