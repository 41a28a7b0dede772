"""Graphs that split MLPs into neurons, against loops, plain hooks and the graph with whole MLPs."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st
from tests.engine import oracle
from tests.engine.compared import by_mask, some_edges, values_of, without_positions
from tests.engine.loops import acdc_by_loops
from tests.engine.tiny import contrast, tiny_gpt2, tiny_llama
from tests.refused import refused
from torch import Tensor

from nncirc.circuits.circuit import Circuit
from nncirc.circuits.collapse import join_neurons
from nncirc.circuits.errors import GraphError, MethodError, ModelError
from nncirc.circuits.families import family_of
from nncirc.circuits.families.table import FAMILIES
from nncirc.circuits.graph import Graph
from nncirc.circuits.made import Made
from nncirc.circuits.names import Edge, Position
from nncirc.engine.blocks import blocks
from nncirc.engine.evaluation.faithfulness import circuit_metric, cut_metric
from nncirc.engine.methods import attribution_patching as attribution
from nncirc.engine.methods.acdc import acdc
from nncirc.engine.methods.activation_patching import activation_patching
from nncirc.engine.methods.attribution_patching import attribution_patching, node_attribution
from nncirc.engine.methods.direct_logit_attribution import logit_attribution
from nncirc.engine.methods.path_patching import path_patching
from nncirc.engine.methods.scores import NodeScores
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.model.loading import load_bundled
from nncirc.engine.model.model import Model
from nncirc.engine.program import pictures
from nncirc.engine.runs.batches import Batch
from nncirc.engine.runs.capture import neuron_outputs
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import Corruption, Gaussian, Mean, Zero

LOGIT_DIFF = Metric("logit_diff")
WIDTH = 5
SPLIT = st.sampled_from([(0,), (1,), (0, 1)])
FAMILY = st.sampled_from(["gpt2", "llama"])
CORRUPTIONS: dict[str, Corruption | None] = {
    "resample": None,
    "zero": Zero(),
    "mean": Mean(),
    "gaussian": Gaussian((Position("A", 1),), seed=3),
}


def tiny(family: str, seed: int = 0) -> Model:
    """Two layers whose MLPs have five neurons, and biases behind them."""
    if family == "gpt2":
        return tiny_gpt2(n_inner=WIDTH, seed=seed)
    return tiny_llama(heads=2, kv_heads=1, intermediate_size=WIDTH, mlp_bias=True, exact=True, seed=seed)


def close(family: str) -> float:
    """Llamas' scores are rounded to five decimals, and are compared in sums."""
    return 5e-5 if family == "llama" else 1e-6


def setting(family: str, split: tuple[int, ...], seed: int, corruption: str) -> tuple[Contrast, Graph]:
    model = tiny(family, seed)
    about = contrast(model, lengths=(5, 6), batch=2, seed=seed, corruption=CORRUPTIONS[corruption])
    return about, model.graph(neurons=split)


def by_loops(about: Contrast, graph: Graph, cut: list[Edge]) -> list[float]:
    """The logit difference with edges cut, every receiver reading its own sum over neurons and all else."""
    options: dict[str, Any] = {"cut": dict.fromkeys(cut, 1.0), "neurons": graph.neuron_counts}

    def run(batch: Batch) -> Tensor:
        other = dict(zip(graph.senders, about.substitute(batch, graph), strict=True))
        return oracle.forward(about.model.module, batch.clean, substitute=other, **options).logits

    return values_of(about, LOGIT_DIFF, run).tolist()


def activations(model: Model, tokens: Tensor) -> dict[int, Tensor]:
    """The input of every MLP's output projection, by hooks."""
    found: dict[int, Tensor] = {}

    def keep(layer: int, activation: Tensor) -> None:
        found[layer] = activation.clone()

    handles = [
        oracle.output_projection(mlp)[0].register_forward_pre_hook(lambda _, a, n=n: keep(n, a[0]))
        for n, mlp in enumerate(oracle.sites(model.module)[2])
    ]
    with oracle.hooks(handles), torch.no_grad():
        model.module(input_ids=tokens, use_cache=False)
    return found


def with_neuron(model: Model, tokens: Tensor, layer: int, neuron: int, value: Tensor) -> Tensor:
    """Logits of a run in which one neuron has another activation, by a hook."""

    def put(_: Any, arguments: tuple[Tensor, ...]) -> tuple[Tensor]:
        new = arguments[0].clone()
        new[..., neuron] = value
        return (new,)

    projection, _ = oracle.output_projection(oracle.sites(model.module)[2][layer])
    with oracle.hooks([projection.register_forward_pre_hook(put)]), torch.no_grad():
        logits: Tensor = model.module(input_ids=tokens, use_cache=False).logits
    return logits


def patched_by_hooks(about: Contrast, layer: int, neuron: int, *, denoise: bool = False) -> float:
    def run(batch: Batch) -> Tensor:
        assert batch.corrupt is not None
        tokens, other = (batch.corrupt, batch.clean) if denoise else (batch.clean, batch.corrupt)
        value = activations(about.model, other)[layer][..., neuron]
        return with_neuron(about.model, tokens, layer, neuron, value)

    return float(values_of(about, LOGIT_DIFF, run).mean())


# The graph ------------------------------------------------------------------------------------------------


def test_the_graph_of_a_model_has_its_neurons() -> None:
    graph = tiny("llama").graph(neurons=[1])
    assert graph.neurons == ((1, WIDTH),)
    assert len(graph.senders) == 1 + 2 + 1 + 2 + WIDTH
    assert load_bundled("tracr-reverse").graph(neurons=[0]).neuron_counts[0] > 1


@pytest.mark.parametrize("layers", [[2], [-1], [0, 0]])
def test_layers_that_cannot_be_split(layers: list[int]) -> None:
    with refused(GraphError, "C467"):
        tiny("gpt2").graph(neurons=layers)


def test_without_mlps_nothing_is_split() -> None:
    with refused(GraphError, "C467"):
        tiny_gpt2(attention_only=True).graph(neurons=[0])


def test_a_family_that_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAMILIES, "gpt2", replace(family_of("gpt2"), mlp_output=None))
    with refused(ModelError, "C435"):
        tiny_gpt2().graph(neurons=[0])


# The masked forward ---------------------------------------------------------------------------------------


@settings(max_examples=7)
@given(FAMILY, SPLIT, st.integers(0, 999), st.sampled_from(sorted(CORRUPTIONS)))
def test_edges_of_neurons_are_cut(family: str, split: tuple[int, ...], seed: int, corruption: str) -> None:
    about, graph = setting(family, split, seed, corruption)
    cut = some_edges(graph, seed)
    found = cut_metric(about, graph, LOGIT_DIFF, cut).tolist()
    assert found == pytest.approx(by_loops(about, graph, cut), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_all_edges_of_a_neuron_are_its_activation(family: str) -> None:
    about, graph = setting(family, (0, 1), 7, "resample")
    for layer, neuron in ((0, 3), (1, 0)):
        cut = [edge for edge in graph.edges() if edge.sender == f"MLP{layer}N{neuron}"]
        found = float(cut_metric(about, graph, LOGIT_DIFF, cut).mean())
        assert found == pytest.approx(patched_by_hooks(about, layer, neuron), abs=1e-8)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_all_neurons_are_the_mlp(family: str) -> None:
    about, graph = setting(family, (0,), 5, "resample")
    whole = about.model.graph()
    cut = set(some_edges(whole, 3))
    kept = [edge for edge in graph.edges() if Edge(edge.sender.partition("N")[0], edge.receiver) not in cut]
    fine = Circuit.of(graph, kept)
    found = circuit_metric(about, fine, LOGIT_DIFF)
    torch.testing.assert_close(found, circuit_metric(about, join_neurons(fine), LOGIT_DIFF))


# Attribution ----------------------------------------------------------------------------------------------


@settings(max_examples=8)
@given(FAMILY, SPLIT, st.integers(0, 999), st.sampled_from(sorted(CORRUPTIONS)))
def test_scores_are_minus_the_gradient_by_the_mask(
    family: str, split: tuple[int, ...], seed: int, corruption: str
) -> None:
    about, graph = setting(family, split, seed, corruption)
    wanted = -by_mask(about, graph, LOGIT_DIFF)
    found = attribution_patching(about, graph, LOGIT_DIFF)
    assert list(found.values) == list(graph.edges())
    for edge, score in found.values.items():
        assert score == pytest.approx(float(wanted[graph.order(edge)]), rel=1e-5, abs=close(family)), edge
    nodes = node_attribution(about, graph, LOGIT_DIFF)
    for node in graph.senders:
        out = sum(score for edge, score in found.values.items() if edge.sender == node)
        assert nodes[node][0] == pytest.approx(out, rel=1e-5, abs=close(family)), node


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_a_neuron_moved_a_little_moves_the_metric_by_its_score(family: str) -> None:
    """The score of a neuron is the slope of the metric from its clean to its corrupted activation."""
    about, graph = setting(family, (1,), 2, "resample")
    nodes, step = node_attribution(about, graph, LOGIT_DIFF), 1e-5
    for neuron in range(WIDTH):

        def moved(batch: Batch, by: float, neuron: int = neuron) -> Tensor:
            assert batch.corrupt is not None
            clean, other = (activations(about.model, t)[1][..., neuron] for t in (batch.clean, batch.corrupt))
            return with_neuron(about.model, batch.clean, 1, neuron, clean + by * (other - clean))

        less, more = (
            float(values_of(about, LOGIT_DIFF, partial(moved, by=by)).mean()) for by in (-step, step)
        )
        slope = (less - more) / (2 * step)
        assert nodes[f"MLP1N{neuron}"][0] == pytest.approx(slope, rel=1e-5, abs=close(family))


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize(
    "options",
    [{}, {"steps": 3}, {"steps": 2, "along": "activations"}, {"rule": "relp"}],
    ids=lambda options: "-".join(map(str, options.values())) or "gradient",
)
def test_neurons_add_up_to_their_mlp(family: str, options: Any) -> None:
    about, graph = setting(family, (0, 1), 11, "resample")
    fine = attribution_patching(about, graph, LOGIT_DIFF, **options)
    coarse = attribution_patching(about, about.model.graph(), LOGIT_DIFF, **options)
    joined = join_neurons(Circuit(graph, fine.values))
    for edge, score in coarse.values.items():
        assert joined.scores[edge] == pytest.approx(score, rel=1e-5, abs=close(family)), edge
    nodes = node_attribution(about, graph, LOGIT_DIFF, **options)
    whole = node_attribution(about, about.model.graph(), LOGIT_DIFF, **options)
    parts = sum(nodes[f"MLP0N{i}"][0] for i in range(WIDTH))
    assert parts == pytest.approx(whole["MLP0"][0], rel=1e-5, abs=close(family))


def test_neurons_are_unfolded_in_parts_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for two senders at once, the same scores come out, and never more than two are made."""
    about, graph = setting("gpt2", (0, 1), 4, "resample")
    wanted = attribution_patching(about, graph, LOGIT_DIFF)
    corrected = attribution_patching(about, graph, LOGIT_DIFF, correct_qk=True)
    made: list[int] = []

    def counted(*args: Any) -> Tensor:
        found = neuron_outputs(*args)
        made.append(len(found))
        return found

    monkeypatch.setattr("nncirc.engine.runs.capture.neuron_outputs", counted)
    unfolded = attribution._Unfolded
    monkeypatch.setattr(attribution, "_Unfolded", lambda d, g, s, _: unfolded(d, g, s, 2 * d.embed.nbytes))
    assert attribution_patching(about, graph, LOGIT_DIFF).values == pytest.approx(wanted.values, abs=1e-7)
    assert made
    assert max(made) == 2
    again = attribution_patching(about, graph, LOGIT_DIFF, correct_qk=True)
    assert again.values == pytest.approx(corrected.values, abs=1e-7)
    made.clear()
    node_attribution(about, graph, LOGIT_DIFF)
    assert not made


# Positions, patching, reading, discovery --------------------------------------------------------------------


@settings(max_examples=6)
@given(FAMILY, SPLIT, st.integers(0, 999))
def test_neurons_at_positions(family: str, split: tuple[int, ...], seed: int) -> None:
    about, base = setting(family, split, seed, "resample")
    graph = replace(base, positions=("A.1", "end", "other"))
    kept = set(some_edges(base, seed))
    fine = Circuit.of(graph, [edge for edge in graph.edges() if without_positions(edge) in kept])
    found = circuit_metric(about, fine, LOGIT_DIFF)
    torch.testing.assert_close(found, circuit_metric(about, Circuit.of(base, kept), LOGIT_DIFF))
    scores = attribution_patching(about, graph, LOGIT_DIFF)
    sums = dict.fromkeys(base.edges(), 0.0)
    for edge, score in scores.values.items():
        sums[without_positions(edge)] += score
    for edge, score in attribution_patching(about, base, LOGIT_DIFF).values.items():
        assert sums[edge] == pytest.approx(score, rel=1e-4, abs=close(family))
    nodes = node_attribution(about, graph, LOGIT_DIFF)
    together = node_attribution(about, base, LOGIT_DIFF)
    for node in nodes.nodes:
        assert sum(nodes[node]) == pytest.approx(together[node][0], rel=1e-4, abs=close(family))


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("direction", ["noise", "denoise"])
def test_patching_a_neuron_is_a_hook(family: str, direction: Any) -> None:
    about, graph = setting(family, (0, 1), 9, "resample")
    found = activation_patching(about, graph, LOGIT_DIFF, direction=direction)
    for layer in (0, 1):
        for neuron in range(WIDTH):
            wanted = patched_by_hooks(about, layer, neuron, denoise=direction == "denoise")
            assert found[f"MLP{layer}N{neuron}"][0] == pytest.approx(wanted, abs=close(family))


def test_neurons_contribute_to_logits_what_their_mlp_does() -> None:
    for family in ("gpt2", "llama"):
        about, graph = setting(family, (1,), 8, "resample")
        fine = logit_attribution(about.model, about.dataset, graph, of="logit_diff")
        coarse = logit_attribution(about.model, about.dataset, about.model.graph(), of="logit_diff")
        assert fine.made["total"] == pytest.approx(coarse.made["total"], abs=close(family))
        assert fine["MLP0"] == pytest.approx(coarse["MLP0"], abs=close(family))
        bias = sum(fine.made["bias"][name][0] - coarse.made["bias"][name][0] for name in fine.made["bias"])
        parts = sum(fine[f"MLP1N{i}"][0] for i in range(WIDTH))
        assert parts + bias == pytest.approx(coarse["MLP1"][0], abs=close(family))
        assert abs(bias) > 1e-4


@settings(max_examples=3)
@given(FAMILY, st.integers(0, 99), st.sampled_from([0.02, 0.2]))
def test_acdc_over_neurons_is_that_of_the_paper(family: str, seed: int, threshold: float) -> None:
    model = (
        tiny_gpt2(layers=1, heads=1, n_inner=3, seed=seed)
        if family == "gpt2"
        else tiny_llama(layers=1, heads=2, kv_heads=1, intermediate_size=3, exact=True, seed=seed)
    )
    about, graph = contrast(model, size=2, lengths=(5,), seed=seed), model.graph(neurons=[0])
    wanted = acdc_by_loops(graph, lambda cut: -sum(by_loops(about, graph, cut)) / 2, threshold)
    assert acdc(about, graph, LOGIT_DIFF, threshold=threshold).edges == wanted.edges


def test_what_is_on_whole_nodes_says_so() -> None:
    about, graph = setting("gpt2", (0,), 0, "resample")
    with refused(MethodError, "C594", "neurons"):
        path_patching(about, graph, LOGIT_DIFF, to="logits")


def test_of_many_neurons_the_strongest_are_drawn() -> None:
    names = ("embed", "L0H0", *(f"MLP0N{i}" for i in range(60)))
    values = ((1.0,), (0.5,), *((0.01 * (-1) ** i * i,) for i in range(60)))
    made: Made = {"method": "attribution_patching", "direction": "noise", "normalized": True}
    found = NodeScores(names, (), values, {**made, "metric": "prob"})
    neutral = blocks()["scores", "attribution_patching"].look.neutral(found)
    assert neutral == 0  # an estimate of a fall, not the metric of a patched run
    rest, *neurons = pictures._others(found, ["all positions"], neutral)
    assert list(rest.rows) == ["embed"]
    named = [name for panel in neurons for name in reversed(panel.rows)]
    assert named == [f"MLP0N{i}" for i in reversed(range(12, 60))]
    assert neurons[0].title == "strongest 48 of 60 neurons"
