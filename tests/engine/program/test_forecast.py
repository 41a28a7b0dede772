"""What is predicted before a run, against what the run then computes: counts, never seconds."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.end_to_end.command import ROOT
from tests.engine.program.scripts import program
from tests.engine.tiny import contrast as tiny_contrast
from tests.engine.tiny import tiny_gpt2, tiny_llama
from torch import Tensor

from nncirc.circuits.graph import Graph
from nncirc.engine.activation import activation_patching, columns_of, mask_of
from nncirc.engine.attribution import attribution_patching, node_attribution
from nncirc.engine.contrast import Contrast
from nncirc.engine.discovery import acdc
from nncirc.engine.evaluate import circuit_metric
from nncirc.engine.metrics import Metric
from nncirc.engine.model import Model
from nncirc.engine.program import plan
from nncirc.engine.program.forecast import methods
from nncirc.engine.program.forecast.methods import prompts_of
from nncirc.engine.program.forecast.sweep import Sweep, effects, pilot, reads_of
from nncirc.engine.program.forecast.work import Sizes, Work
from nncirc.engine.program.plan import plan_program
from nncirc.engine.program.run import run_program
from nncirc.engine.program.store import Store

MODELS = {
    "gpt2": lambda: tiny_gpt2(layers=3, heads=4, d_head=8),
    "attention_only": lambda: tiny_gpt2(layers=3, heads=4, d_head=8, attention_only=True),
    "llama": lambda: tiny_llama(layers=3, heads=4, kv_heads=2),
}
METRICS = [Metric("logit_diff"), Metric("kl_divergence")]


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their folder is a namespace package of the repository's root."""
    monkeypatch.syspath_prepend(str(ROOT))


def metered(run: Callable[[], Any]) -> tuple[int, Any]:
    """Multiplications of matrix products that PyTorch executes, which is the oracle, and what `run` gives."""
    with importlib.import_module("benchmarks.multiplications").Meter() as meter:
        found = run()
    return int(meter.total), found


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> Model:
    made: Model = MODELS[request.param]()
    return made


class Setting:
    """Random prompts, and the runs that every method starts from already made."""

    def __init__(self, model: Model, metric: Metric) -> None:
        self.metric, self.graph = metric, model.graph()
        self.contrast: Contrast = tiny_contrast(model, size=8, lengths=(9,))
        self.sizes = Sizes.of(model, model.shape)
        (self.prompts,) = prompts_of(self.contrast, metric)
        for batch in self.contrast.batches:
            self.contrast.clean_written(batch)
            self.contrast.substitute(batch, self.graph)
            self.contrast.reference(batch, metric)
        self.contrast.clean(metric)
        self.contrast.corrupt(metric)

    def expect(self, work: Work, run: Callable[[], Any]) -> None:
        assert work.multiplications(self.sizes) == pytest.approx(metered(run)[0], rel=0.15)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_plain_run_is_counted(model: Model, metric: Metric) -> None:
    at = Setting(model, metric)
    fresh = Contrast(model, at.contrast.dataset, at.contrast.corruption)
    at.expect(methods.measured(at.sizes, at.prompts), lambda: fresh.clean(metric))


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_masked_forward_is_counted(model: Model, metric: Metric) -> None:
    at = Setting(model, metric)
    circuit = attribution_patching(at.contrast, at.graph, metric, steps=2).top(1)
    work = methods.masked(at.sizes, at.graph, at.prompts, at.graph.n_edges - 1)
    at.expect(work, lambda: circuit_metric(at.contrast, circuit, metric))


@pytest.mark.parametrize("along", ["inputs", "activations"])
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("edges", [True, False])
def test_attribution_is_counted(model: Model, steps: int, along: Any, edges: bool) -> None:
    at = Setting(model, Metric("logit_diff"))
    work = methods.attribution(at.sizes, at.graph, at.prompts, steps=steps, along=along, edges=edges)
    run = attribution_patching if edges else node_attribution
    at.expect(work, lambda: run(at.contrast, at.graph, at.metric, steps=steps, along=along))


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
@pytest.mark.parametrize("positions", [None, "all", ["A.1", "B"]])
def test_activation_patching_is_counted(model: Model, metric: Metric, positions: Any) -> None:
    at = Setting(model, metric)
    (batch,), columns = at.contrast.batches, columns_of(at.contrast.dataset, positions)[1]
    masks = [mask_of(batch, column, torch.device("cpu")) for column in columns]
    work = methods.forward(at.sizes, at.prompts)
    work += methods.patching(at.sizes, at.contrast, at.graph, metric, batch, masks)
    at.expect(work, lambda: activation_patching(at.contrast, at.graph, metric, positions=positions))


# ACDC ------------------------------------------------------------------------------------------------------


class Kept:
    """A journal that only listens: which edges stay, before pruning."""

    def __init__(self) -> None:
        self.edges: dict[str, set[str]] = {}

    def known(self, receiver: str) -> None:
        return None

    def decided(self, receiver: str, kept: Mapping[str, float]) -> None:
        self.edges[receiver] = set(kept)


def sweep_of(contrast: Contrast, graph: Graph, metric: Metric, estimates: Tensor) -> Sweep:
    """A sweep for which every row takes as long."""
    sizes = Sizes.of(contrast.model, contrast.model.shape)
    batches, reads = list(prompts_of(contrast, metric)), reads_of(contrast, metric)
    return Sweep(sizes, graph, batches, reads, estimates, lambda work: sum(rows for _, _, rows in work))


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
@pytest.mark.parametrize("share", [0.05, 0.5])
def test_acdc_is_counted_when_its_decisions_are_known(model: Model, metric: Metric, share: float) -> None:
    at, heard = Setting(model, metric), Kept()
    estimates = effects(at.contrast, at.graph, metric)
    threshold = float(estimates.clamp(min=0).max()) * share

    fresh = Contrast(model, at.contrast.dataset, at.contrast.corruption)
    run = partial(acdc, fresh, at.graph, metric, threshold=threshold, depth=1, journal=heard)
    total, circuit = metered(run)
    known = torch.full_like(estimates, -1.0)
    for receiver, senders in heard.edges.items():
        for sender in senders:
            known[at.graph.receiver_index[receiver], at.graph.sender_index[sender]] = 1.0
    played = sweep_of(at.contrast, at.graph, metric, known).play(0.0, depth=1)
    assert played.tested == circuit.made["tested"]
    work = played.work + methods.forward(at.sizes, at.prompts) + methods.substitution(at.sizes, fresh)
    assert work.multiplications(at.sizes) == pytest.approx(total, rel=0.25)


EXAMPLES = [("ioi", 0.02), ("ioi", 0.1), ("induction", 0.01), ("pairs", 0.05), ("table", 0.02)]


@pytest.mark.parametrize(("name", "threshold"), EXAMPLES)
def test_edges_that_will_be_tested_are_foreseen_within_a_factor_of_two(name: str, threshold: float) -> None:
    builder, contrast, declaration = importlib.import_module("benchmarks.setups").example(name)
    graph, metric = builder.of(declaration, "graph"), builder.of(declaration, "metric")
    sweep = sweep_of(contrast, graph, metric, effects(contrast, graph, metric))
    tested = acdc(contrast, graph, metric, threshold=threshold).made["tested"]
    assert 0.5 <= sweep.play(threshold).tested / tested <= 2


def test_what_a_family_has_measured_is_not_counted_again() -> None:
    at = Setting(tiny_gpt2(), Metric("logit_diff"))
    estimates = effects(at.contrast, at.graph, at.metric)
    sweep = sweep_of(at.contrast, at.graph, at.metric, estimates)
    threshold = float(estimates.max()) / 4
    first = sweep.play(threshold)
    again, alone = sweep.play(threshold, [first]), sweep.play(threshold)
    assert again.tested == alone.tested == first.tested
    setup = sweep.setup().multiplications(at.sizes)
    tests = [each.work.multiplications(at.sizes) - setup for each in (again, alone)]
    assert tests[0] < 0.5 * tests[1]
    # Nothing in common from the first decision on.
    other = sweep.play(float(estimates.max()) * 2)
    far = sweep.play(float(estimates.min()) * 2, [other])
    assert far.work.multiplications(at.sizes) > again.work.multiplications(at.sizes)


def test_the_pilot_keeps_nothing_in_the_contrast_of_the_run() -> None:
    contrast = tiny_contrast(tiny_gpt2(), size=3)
    effects(contrast, contrast.model.graph(), Metric("logit_diff"))
    assert not contrast._cache
    assert not contrast._large.kept


def test_the_pilot_takes_a_few_prompts_from_all_over() -> None:
    contrast = tiny_contrast(tiny_gpt2(), size=20)
    few = pilot(contrast)
    assert few.dataset.examples == contrast.dataset.examples[::3]


# Programs --------------------------------------------------------------------------------------------------


def run_json(folder: Path) -> Any:
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


def test_a_run_says_what_was_predicted_beside_what_was_measured(tmp_path: Path) -> None:
    run_program(program(), tmp_path / "out", store=Store(tmp_path / "store"))
    written = run_json(tmp_path / "out")
    predicted = {
        name: each["predicted"] for name, each in written["declarations"].items() if "predicted" in each
    }
    assert set(predicted) == {"eap", "nodes", "heads", "found", "kept"}
    assert all(each["seconds"] > 0 and each["forwards"] > 0 for each in predicted.values())
    assert predicted["found"]["tested"] > 0
    claims, total = written["forecast"]["claims"], written["forecast"]["total"]
    every = [*(each["seconds"] for each in predicted.values()), claims["predicted"]["seconds"]]
    assert total["predicted"]["seconds"] == pytest.approx(sum(every), abs=1e-3)
    assert set(total["seconds"]) == set(claims["seconds"]) == {"wall", "cpu"}


def test_what_is_stored_is_predicted_to_take_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    run_program(program(), tmp_path / "out", store=store)
    run_program(program(), tmp_path / "again", store=store)
    declarations = run_json(tmp_path / "again")["declarations"]
    for name in ("eap", "nodes", "heads", "found"):
        assert declarations[name]["predicted"] == {"seconds": 0.0, "forwards": 0.0, "stored": True}
    steps = {step.name: step for step in plan_program(program(), store=store).steps}
    assert steps["found"].stored
    assert steps["found"].seconds == 0
    assert "stored" in plan_program(program(), store=store).as_text()


def test_a_plan_and_a_run_foresee_the_same(tmp_path: Path) -> None:
    run_program(program(), tmp_path)
    declarations = run_json(tmp_path)["declarations"]
    steps = {step.name: step for step in plan_program(program()).steps}
    for name in ("eap", "nodes", "heads", "kept"):
        assert round(steps[name].forwards or 0, 2) == declarations[name]["predicted"]["forwards"]
    assert steps["found"].tested == declarations["found"]["predicted"]["tested"]
    assert not steps["found"].at_most


def test_without_weights_acdc_is_bounded_and_the_plan_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "is_at_hand", lambda declaration, size: False)
    found = plan_program(program(), store=Store(tmp_path))
    steps = {step.name: step for step in found.steps}
    assert steps["found"].at_most
    assert steps["found"].tested == 479
    assert steps["found"].seconds
    assert not steps["eap"].at_most
    assert "small: its weights are not at hand; what ACDC takes is the most possible" in found.notes
    assert "≤" in found.as_text()
