"""What methods are said to cost, against the multiplications that PyTorch executes: never seconds."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from tests.checked import program_of
from tests.end_to_end.command import ROOT
from tests.engine.compared import Remembered
from tests.engine.tiny import contrast as tiny_contrast, tiny_gpt2, tiny_llama

from nncirc.circuits.names import Edge
from nncirc.dsl.check.checker import check_file
from nncirc.engine.blocks import blocks
from nncirc.engine.evaluation.faithfulness import circuit_metric
from nncirc.engine.methods import costs
from nncirc.engine.methods.acdc import acdc
from nncirc.engine.methods.activation_patching import activation_patching
from nncirc.engine.methods.attribution_patching import attribution_patching, node_attribution
from nncirc.engine.methods.causal_tracing import causal_tracing
from nncirc.engine.methods.costs import FREE, Cost, Prompts, Speed, prompts_of, written
from nncirc.engine.methods.steering import steering
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.model.model import Model
from nncirc.engine.program.costing import Costing
from nncirc.engine.runs.columns import columns_of
from nncirc.engine.runs.contrast import Contrast

MODELS: dict[str, Callable[[], Model]] = {
    "gpt2": lambda: tiny_gpt2(layers=3, heads=4, d_head=8),
    "attention_only": lambda: tiny_gpt2(layers=3, heads=4, d_head=8, attention_only=True),
    "llama": lambda: tiny_llama(layers=3, heads=4, kv_heads=2),
}
METRICS = [Metric("logit_diff"), Metric("kl_divergence")]


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their folder is a namespace package of the repository's root."""
    monkeypatch.syspath_prepend(str(ROOT))
    # What is no product, such as a softmax, PyTorch's count has not.
    monkeypatch.setattr(costs, "ELEMENTWISE", 0)


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> Model:
    return MODELS[request.param]()


def metered(run: Callable[[], Any]) -> tuple[float, Any]:
    """Multiplications of matrix products that PyTorch executes, and what `run` gives."""
    with importlib.import_module("benchmarks.multiplications").Meter() as meter:
        found = run()
    return float(meter.total), found


def setting(model: Model) -> tuple[Contrast, Prompts]:
    contrast = tiny_contrast(model, size=8, lengths=(9,))
    (prompts,) = prompts_of(contrast, METRICS[0])
    return contrast, prompts


def runs(contrast: Contrast) -> Cost:
    return written(contrast, "clean") + written(contrast, "corrupt")


def within(cost: Cost, executed: float, least: float, most: float) -> None:
    assert least <= cost.multiplications / executed <= most


def test_a_plain_forward_is_counted_to_the_last_product(model: Model) -> None:
    tokens = torch.zeros(3, 7, dtype=torch.long)
    executed, _ = metered(lambda: model.module(input_ids=tokens))
    within(costs.plain_forward(model, Prompts(3, 7)), executed, 0.98, 1.02)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_masked_forward_is_counted(model: Model, metric: Metric) -> None:
    contrast, prompts = setting(model)
    graph = model.graph()
    circuit = attribution_patching(contrast, graph, METRICS[0]).top(1)
    contrast.clean(metric)  # what both runs give is there
    contrast.corrupt(metric)
    executed, _ = metered(lambda: circuit_metric(contrast, circuit, metric))
    within(costs.masked(model, graph, prompts), executed, 0.6, 1.7)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("edges", [True, False])
def test_attribution_is_counted(model: Model, steps: int, edges: bool) -> None:
    contrast, prompts = setting(model)
    run = attribution_patching if edges else node_attribution
    executed, _ = metered(lambda: run(contrast, model.graph(), METRICS[0], steps=steps))
    cost = costs.attribution(model, model.graph(), prompts, steps=steps, along="inputs", by_edges=edges)
    within(runs(contrast) + cost, executed, 0.6, 1.7)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
@pytest.mark.parametrize("positions", [None, "all", ["A.1", "B"]])
def test_activation_patching_is_counted(model: Model, metric: Metric, positions: Any) -> None:
    contrast, _ = setting(model)
    columns = columns_of(contrast.dataset, positions)[1]
    fresh = Contrast(model, contrast.dataset, contrast.corruption)
    executed, _ = metered(lambda: activation_patching(fresh, model.graph(), metric, positions=positions))
    cost = runs(contrast) + costs.patching(contrast, model.graph(), metric, columns)
    within(cost, executed, 0.5, 2)


@pytest.mark.parametrize("of", [("q", "pattern"), ("k", "v"), ("resid_pre", "resid_post")])
def test_patching_of_parts_is_counted(model: Model, of: Any) -> None:
    contrast, _ = setting(model)
    metric, positions = METRICS[0], ["A.1", "B"]
    columns = columns_of(contrast.dataset, positions)[1]
    contrast.clean(metric)  # what both runs give is there
    contrast.corrupt(metric)
    executed, _ = metered(
        lambda: activation_patching(contrast, model.graph(), metric, of=of, positions=positions)
    )
    within(costs.patching(contrast, model.graph(), metric, columns, of), executed, 0.7, 1.4)


def test_interventions_take_no_more_than_is_said(model: Model) -> None:
    contrast, prompts = setting(model)
    metric, layers, heads = METRICS[0], model.shape.n_layers, model.shape.n_layers * model.shape.n_heads
    methods: list[tuple[int, Callable[[Contrast], Any]]] = [
        (layers, lambda about: causal_tracing(about, metric, positions=["B"])),
        (heads, lambda about: steering(about, model.graph(), metric, nodes=["L*H*"], scale=[0.0])),
    ]
    for rows, run in methods:
        fresh = Contrast(model, contrast.dataset, contrast.corruption)
        executed, _ = metered(partial(run, fresh))
        cost = runs(contrast) + costs.edited(model, prompts, rows)
        assert cost.at_most
        within(cost, executed, 0.9, 6)


@pytest.mark.parametrize("name", ["interventions", "lens", "held_out", "weights"])
def test_what_is_said_to_be_the_most_is(name: str) -> None:
    """Every result of an example, each from nothing but what it refers to."""
    program = program_of(check_file(ROOT / "examples" / f"{name}.circ"))
    costing, bounded = Costing(program, blocks()), 0
    for declaration in program.needed(program.declarations):
        if declaration.kind in ("plot", "render"):
            continue
        said = costing.foretold(declaration)
        executed, _ = metered(partial(costing.get, declaration.name))
        if said is not None and said.at_most:
            within(said, executed, 0.999, 8)  # the products of a bootstrap are none of the model's
            bounded += 1
    assert bounded >= 2


@pytest.mark.parametrize("positions", [(), ("A.1", "other")])
@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_acdc_is_counted_when_its_decisions_are_known(
    model: Model, metric: Metric, positions: tuple[str, ...]
) -> None:
    contrast, _ = setting(model)
    graph, heard = replace(model.graph(), positions=positions), Remembered({})
    estimates = costs.effects(contrast, graph, metric)
    threshold = max(0.0, *estimates.values()) * 0.2
    executed, circuit = metered(lambda: acdc(contrast, graph, metric, threshold=threshold, journal=heard))
    known = dict.fromkeys(estimates, -1.0)
    known |= {Edge(sender, receiver): 1.0 for receiver, each in heard.entries.items() for sender in each}
    cost, _ = costs.discovery(contrast, graph, metric, 0.0, known)
    assert cost.tested == circuit.made["tested"]
    within(cost, executed, 0.4, 2.5)


@pytest.mark.parametrize("loss", ["metric", "distance"])
@pytest.mark.parametrize(("name", "threshold"), [("ioi", 0.02), ("induction", 0.01), ("positions", 0.02)])
def test_edges_to_test_are_foreseen_within_a_factor_of_two(name: str, threshold: float, loss: Any) -> None:
    builder, contrast, declaration = importlib.import_module("benchmarks.setups").example(name)
    graph, metric = builder.of(declaration, "graph"), builder.of(declaration, "metric")
    estimates = costs.effects(contrast, graph, metric)
    cost, _ = costs.discovery(contrast, graph, metric, threshold, estimates, loss=loss)
    assert (
        0.5 <= cost.tested / acdc(contrast, graph, metric, threshold=threshold, loss=loss).made["tested"] <= 2
    )


def test_what_a_family_has_measured_is_not_counted_again() -> None:
    contrast, _ = setting(tiny_gpt2())
    graph, metric = contrast.model.graph(), METRICS[0]
    estimates = costs.effects(contrast, graph, metric)
    threshold = max(estimates.values()) / 4
    alone, decisions = costs.discovery(contrast, graph, metric, threshold, estimates)
    again, _ = costs.discovery(contrast, graph, metric, threshold, estimates, [decisions])
    assert again.tested == alone.tested
    assert again.multiplications == pytest.approx(runs(contrast).multiplications)
    assert alone.multiplications > 1.5 * again.multiplications


def test_the_pilot_takes_a_few_prompts_from_all_over_and_keeps_nothing() -> None:
    contrast = tiny_contrast(tiny_gpt2(), size=20)
    assert costs.pilot(contrast).dataset.examples == contrast.dataset.examples[::3]
    costs.effects(contrast, contrast.model.graph(), METRICS[0])
    assert not contrast._cache
    assert not contrast._large.kept


def test_seconds_are_multiplications_and_passes() -> None:
    speed = Speed(rate=1000.0, least=0.5)
    assert speed.seconds(Cost(2000.0, 3)) == 3.5
    both = Cost(1.0, 2, memory=5, tested=3) + Cost(10.0, 20, memory=4, at_most=True)
    assert both == Cost(11.0, 22, 5, 3, at_most=True)
    assert FREE + both == both
    assert (both * 2).multiplications == 22
