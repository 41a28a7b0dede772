"""What is predicted before a run, against what the run then computes: counts, never seconds."""

from __future__ import annotations

import importlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from nncirc.engine.program.forecast import interventions, methods, readings
from nncirc.engine.program.forecast.claims import Size
from nncirc.engine.program.forecast.methods import Prompts, prompts_of
from nncirc.engine.program.forecast.sweep import Sweep, effects, pilot, reads_of
from nncirc.engine.program.forecast.work import Sizes, Work
from tests.end_to_end.command import ROOT
from tests.engine.program.scripts import program
from tests.engine.tiny import contrast as tiny_contrast
from tests.engine.tiny import random_prompts, tiny_gpt2, tiny_llama
from torch import Tensor

from nncirc.circuits.circuit import Circuit
from nncirc.circuits.graph import Graph, stages
from nncirc.circuits.intervals import Resampling
from nncirc.engine.activation import activation_patching, columns_of, mask_of
from nncirc.engine.attention import attention_statistics
from nncirc.engine.attribution import attribution_patching, node_attribution
from nncirc.engine.contrast import Contrast
from nncirc.engine.direct import logit_attribution
from nncirc.engine.discovery import acdc
from nncirc.engine.evaluate import circuit_metric
from nncirc.engine.in_context import in_context_learning
from nncirc.engine.knockouts import completeness, minimality
from nncirc.engine.lens import logit_lens
from nncirc.engine.metrics import Metric
from nncirc.engine.model import Model
from nncirc.engine.patchscope import patchscopes
from nncirc.engine.paths import carriers_of, path_patching, receivers_of
from nncirc.engine.program import plan
from nncirc.engine.program.plan import plan_program
from nncirc.engine.program.run import run_program
from nncirc.engine.program.store import Store
from nncirc.engine.restoration import causal_tracing
from nncirc.engine.steer import function_vector, steering

MODELS = {
    "gpt2": lambda: tiny_gpt2(layers=3, heads=4, d_head=8),
    "attention_only": lambda: tiny_gpt2(layers=3, heads=4, d_head=8, attention_only=True),
    "llama": lambda: tiny_llama(layers=3, heads=4, kv_heads=2),
}
FEW = Resampling(resamples=10)
"""Intervals are no work of the model's."""
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

    def expect(self, work: Work, run: Callable[[], Any], rel: float = 0.1) -> None:
        assert work.multiplications(self.sizes) == pytest.approx(metered(run)[0], rel=rel)


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
    run = partial(activation_patching, at.contrast, at.graph, metric, positions=positions)
    at.expect(work, run, rel=0.15)


@pytest.mark.parametrize("edges", [True, False])
def test_attribution_of_positions_is_counted(model: Model, edges: bool) -> None:
    at = Setting(model, Metric("logit_diff"))
    graph = replace(at.graph, positions=("A.1", "B", "other"))
    work = methods.attribution(at.sizes, graph, at.prompts, steps=3, along="inputs", edges=edges)
    run = attribution_patching if edges else node_attribution
    at.expect(work, lambda: run(at.contrast, graph, at.metric, steps=3))


@pytest.mark.parametrize("edges", [True, False])
def test_attribution_of_neurons_is_counted(edges: bool) -> None:
    at = Setting(tiny_gpt2(layers=3, heads=4, d_head=8), Metric("logit_diff"))
    graph = at.contrast.model.graph(neurons=(1,))
    for batch in at.contrast.batches:
        at.contrast.clean_written(batch, graph)
        at.contrast.substitute_written(batch, graph)
    work = methods.attribution(at.sizes, graph, at.prompts, steps=3, along="inputs", edges=edges)
    run = attribution_patching if edges else node_attribution
    at.expect(work, lambda: run(at.contrast, graph, at.metric, steps=3))


@pytest.mark.parametrize("positions", [(), ("A.1", "other")])
@pytest.mark.parametrize("layers", ["heads", "layers"])
def test_attention_computed_anew_is_counted(model: Model, layers: Any, positions: tuple[str, ...]) -> None:
    at = Setting(model, Metric("logit_diff"))
    graph = replace(model.graph(attention=layers), positions=positions)
    work = methods.attribution(at.sizes, graph, at.prompts, steps=1, along="inputs", edges=True)
    work += methods.query_key(at.sizes, graph, at.prompts)
    at.expect(work, lambda: attribution_patching(at.contrast, graph, at.metric, correct_qk=True))


@pytest.mark.parametrize("split", [{"positions": ("A.1", "B", "other")}, {"neurons": ((1, 128),)}])
def test_a_masked_forward_of_a_split_graph_is_counted(split: Any) -> None:
    at = Setting(tiny_gpt2(layers=3, heads=4, d_head=8), Metric("logit_diff"))
    graph = replace(at.graph, **split)
    for batch in at.contrast.batches:
        at.contrast.substitute(batch, graph)
    some = list(graph.edges())[::40]
    work = methods.masked(at.sizes, graph, at.prompts, graph.n_edges)
    at.expect(work, lambda: circuit_metric(at.contrast, Circuit.of(graph, some), at.metric))


# Interventions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
@pytest.mark.parametrize(
    ("of", "window", "sever"),
    [("states", None, "none"), ("states", None, "attention"), ("attention", 2, "none"), ("mlps", 1, "none")],
)
def test_causal_tracing_is_counted(model: Model, metric: Metric, of: Any, window: Any, sever: Any) -> None:
    at = Setting(model, metric)
    if of == "mlps" and not model.shape.mlps:
        pytest.skip("no MLPs to restore")
    rows = [each for each in interventions.restored(3, of, window, sever) for _ in range(2)]
    work = interventions.edited(at.sizes, at.contrast, metric, rows)
    if of == "states":
        work += methods.forward(at.sizes, at.prompts)
    places = ["A.1", "B"]
    at.expect(
        work,
        lambda: causal_tracing(
            at.contrast, metric, of=of, window=window, sever=sever, positions=places, how=FEW
        ),
    )


@pytest.mark.parametrize("together", [True, False])
def test_steering_is_counted(model: Model, together: bool) -> None:
    at = Setting(model, Metric("logit_diff"))
    nodes = ["L1H*", "L2H0"]
    rows = [r for r in interventions.steered(at.graph, nodes, together=together) for _ in range(2)]
    assert rows[0] == (range(1, 3) if together else range(1, 2))
    work = interventions.edited(at.sizes, at.contrast, at.metric, rows)
    run = partial(steering, at.contrast, at.graph, at.metric, nodes=nodes, scale=[0.0, 2.0], how=FEW)
    at.expect(work, partial(run, together=together))


def test_function_vectors_are_counted(model: Model) -> None:
    at = Setting(model, Metric("logit_diff"))
    work = interventions.mean_outputs(at.sizes, [at.prompts], 4)
    work += interventions.edited(
        at.sizes, at.contrast, at.metric, interventions.restored(3, "states", None, "none")
    )
    at.expect(
        work, lambda: function_vector(at.contrast, at.graph, at.metric, heads="L1H*", into="clean", how=FEW)
    )


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
@pytest.mark.parametrize("through", ["none", "MLP*", "all", "L1H*"])
@pytest.mark.parametrize("to", ["logits", "L2H*.q", "L1H2"])
def test_path_patching_is_counted(model: Model, metric: Metric, through: str, to: str) -> None:
    at = Setting(model, metric)
    if to == "L1H2" and model.shape.n_kv_heads < model.shape.n_heads:
        to = "L1H2.q"
    receivers, carriers = receivers_of(at.graph, to), carriers_of(at.graph, through)
    work = interventions.paths(at.sizes, at.contrast, at.graph, metric, receivers, carriers, 2)
    at.expect(
        work,
        lambda: path_patching(
            at.contrast, at.graph, metric, to=to, through=through, positions=["A.1", "B"], how=FEW
        ),
    )


# Readings --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", ["prob", "kl_divergence", "rank"])
def test_the_logit_lens_is_counted(model: Model, of: str) -> None:
    at = Setting(model, Metric("prob" if of == "rank" else of))
    (prompts,) = prompts_of(at.contrast, replace(at.metric, at=(("A", None), ("end", None))))
    read = replace(prompts, read=3)  # A stands twice
    rows = len(stages(model.shape))
    work = readings.lens(at.sizes, read, at.metric, rows, 2)
    at.expect(work, lambda: logit_lens(model, at.contrast.dataset, of=of, positions=["A", "end"], how=FEW))


@pytest.mark.parametrize("many", [True, False])
def test_patchscopes_are_counted(model: Model, many: bool) -> None:
    at = Setting(model, Metric("prob"))
    target = random_prompts(size=8 if many else 1, lengths=(5, 7) if many else (7,), seed=9)
    lengths = Counter(len(target.examples[i if many else 0].tokens) for i in range(8))
    into = [Prompts(count, length) for length, count in lengths.items()]
    work = readings.patchscopes(at.sizes, replace(at.prompts, read=2), into, at.metric, 4, 2)
    at.expect(
        work, lambda: patchscopes(model, at.contrast.dataset, target, positions=["A.1", "end"], how=FEW)
    )


@pytest.mark.parametrize("of", [["previous_token"], ["previous_token", "induction", "entropy"]])
def test_attention_statistics_are_counted(model: Model, of: list[str]) -> None:
    at = Setting(model, Metric("logit_diff"))
    work = readings.statistics(at.sizes, at.prompts, len(of))
    at.expect(work, lambda: attention_statistics(model, at.contrast.dataset, of, how=FEW))


def test_direct_attribution_is_counted(model: Model) -> None:
    at = Setting(model, Metric("logit_diff"))
    work = readings.direct(at.sizes, at.graph, replace(at.prompts, read=2), 2)
    at.expect(
        work,
        lambda: logit_attribution(model, at.contrast.dataset, at.graph, positions=["A.1", "end"], how=FEW),
    )


def test_in_context_learning_is_counted(model: Model) -> None:
    at = Setting(model, Metric("cross_entropy"))
    work = readings.in_context(at.sizes, at.prompts)
    at.expect(work, lambda: in_context_learning(model, at.contrast.dataset, early=2, late=8, how=FEW))


# Knockouts -------------------------------------------------------------------------------------------------


class Counted(Contrast):
    """How many masked forwards were asked for."""

    passes = 0

    def masked(self, *args: Any, **rest: Any) -> Tensor:
        """One more."""
        Counted.passes += 1
        return super().masked(*args, **rest)


def counted(model: Model, run: Callable[[Contrast], Any]) -> int:
    about = tiny_contrast(model, size=3)
    Counted.passes = 0
    run(Counted(model, about.dataset, about.corruption))
    return Counted.passes


def some_circuit(model: Model) -> Circuit:
    graph = model.graph()
    groups = {"first": ("L0H0", "L0H1"), "second": ("L1H0", "MLP1"), "silent": ("L1H1",)}
    names = ["embed", "L0H0", "L0H1", "L1H0", "MLP1"]
    edges = [edge for edge in graph.edges() if edge.sender in names]
    return Circuit.of(graph, edges, groups=groups)


@pytest.mark.parametrize("by", ["nodes", "edges", "groups"])
@pytest.mark.parametrize(("drawn", "greedy"), [(0, 0), (3, 0), (0, 3), (1, 99)])
def test_runs_of_completeness_are_counted(by: Any, drawn: int, greedy: int) -> None:
    model = tiny_gpt2()
    circuit, metric = some_circuit(model), Metric("logit_diff")
    if by == "edges":
        circuit, greedy = Circuit.of(circuit.graph, circuit.edges[:6]), min(greedy, 3)
    runs = Size.of(circuit.graph, circuit.edges, circuit).completeness(by, drawn, greedy)
    found: list[Any] = []

    def run(contrast: Contrast) -> None:
        found.extend(completeness(contrast, circuit, metric, by=by, draws=drawn, greedy=greedy))

    # Sets that are the same are measured once: what is drawn may be, and the last steps of the search.
    assert runs.circuit == runs.model
    assert 0.6 <= counted(model, run) / (runs.circuit + runs.model) <= 1
    assert len(found) == runs.intervals


@pytest.mark.parametrize("by", ["nodes", "edges", "groups"])
def test_runs_of_minimality_are_counted(by: Any) -> None:
    model = tiny_gpt2()
    circuit, metric = some_circuit(model), Metric("logit_diff")
    runs = Size.of(circuit.graph, circuit.edges, circuit).minimality(by)
    passes = counted(model, lambda contrast: minimality(contrast, circuit, metric, by=by))
    assert 0.75 <= passes / (runs.circuit + runs.model) <= 1


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
@pytest.mark.parametrize("positions", [(), ("A.1", "other")])
def test_acdc_is_counted_when_its_decisions_are_known(
    model: Model, metric: Metric, share: float, positions: tuple[str, ...]
) -> None:
    at, heard = Setting(model, metric), Kept()
    at.graph = replace(at.graph, positions=positions)
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


EXAMPLES = [
    ("ioi", 0.02),
    ("ioi", 0.1),
    ("induction", 0.01),
    ("pairs", 0.05),
    ("table", 0.02),
    ("positions", 0.02),
]


@pytest.mark.parametrize("loss", ["metric", "distance"])
@pytest.mark.parametrize(("name", "threshold"), EXAMPLES)
def test_edges_to_test_are_foreseen_within_a_factor_of_two(name: str, threshold: float, loss: Any) -> None:
    builder, contrast, declaration = importlib.import_module("benchmarks.setups").example(name)
    graph, metric = builder.of(declaration, "graph"), builder.of(declaration, "metric")
    sweep = replace(sweep_of(contrast, graph, metric, effects(contrast, graph, metric)), loss=loss)
    tested = acdc(contrast, graph, metric, threshold=threshold, loss=loss).made["tested"]
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
