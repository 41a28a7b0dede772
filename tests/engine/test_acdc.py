"""ACDC: the fast way is the definition edge for edge, and the definition is the paper's, written out anew."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings, strategies as st
from tests.end_to_end.command import printed
from tests.engine import oracle
from tests.engine.compared import ACDC_METRICS as METRICS, LOSSES, THRESHOLDS, same, sweep_of
from tests.engine.loops import measured
from tests.engine.tiny import Case, cases, contrast, random_prompts, tiny_gpt2, tiny_llama
from tests.refused import refused
from tests.some import some

from nncirc.circuits.circuit import Circuit, prune
from nncirc.circuits.errors import MethodError
from nncirc.circuits.graph import Graph
from nncirc.circuits.names import END, Edge, Position
from nncirc.engine.evaluation.faithfulness import faithfulness
from nncirc.engine.methods.acdc import ExactLoss, Found, acdc, definition
from nncirc.engine.methods.acdc_fast import Sweep
from nncirc.engine.metrics import reading
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.metrics.reading import Reading
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import Resample
from nncirc.engine.runs.live import Live, with_modules
from nncirc.engine.runs.wiring import Wiring

# The package offers a function of the same name.
acdc_module = sys.modules["nncirc.engine.methods.acdc"]
acdc_fast = sys.modules["nncirc.engine.methods.acdc_fast"]

DEPTHS = st.sampled_from([None, None, 1, 2, 5, 64])
BATCHES = st.sampled_from([None, 1, 2])


# The fast way against the definition ------------------------------------------------------------------------


@settings(max_examples=30)
@given(cases(exact=None), METRICS, LOSSES, THRESHOLDS, DEPTHS, BATCHES)
def test_the_fast_way_is_the_definition(
    case: Case, metric: Metric, loss: Any, threshold: float, depth: int | None, batch: int | None
) -> None:
    model = case.model()
    graph = case.graph(model)
    about = case.contrast(model, batch)
    slow = acdc(about, graph, metric, threshold=threshold, loss=loss, sequential=True)
    same(acdc(about, graph, metric, threshold=threshold, loss=loss, depth=depth), slow)


@settings(max_examples=24)
@given(cases(dtype="float32", exact=False), METRICS, LOSSES, THRESHOLDS, DEPTHS, BATCHES)
def test_in_float32_too(
    case: Case, metric: Metric, loss: Any, threshold: float, depth: int | None, batch: int | None
) -> None:
    model = case.model()
    graph = case.graph(model)
    options: Any = {"threshold": threshold, "loss": loss}
    slow = acdc(case.contrast(model), graph, metric, sequential=True, **options)
    same(acdc(case.contrast(model, batch), graph, metric, depth=depth, **options), slow)


def test_float32_reads_divergences_from_changes_of_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    """And float64 does not; changes that float32 cannot carry are read the long way."""
    metric, read = Metric("kl_divergence"), []
    values = Reading.change_values

    def watched(*arguments: Any) -> Any:
        read.append(values(*arguments))
        return read[-1]

    monkeypatch.setattr(Reading, "change_values", watched)
    exact = contrast(tiny_gpt2())
    acdc(exact, exact.model.graph(), metric, threshold=0.05)
    assert not read
    about = contrast(tiny_gpt2(dtype=torch.float32))
    graph = about.model.graph()
    found = acdc(about, graph, metric, threshold=0.05)
    assert read
    assert all(one is not None for one in read)
    monkeypatch.setattr(reading, "LARGEST_CHANGE", 0.0)
    read.clear()
    assert acdc(about, graph, metric, threshold=0.05).edges == found.edges
    assert read
    assert all(one is None for one in read)


def by_definition(
    about: Contrast, graph: Graph, metric: Metric, threshold: float, loss: Any = "metric"
) -> tuple[Found, list[float]]:
    """What the definition finds, and every rise that it measured, unrounded."""
    exact, losses = ExactLoss(about, graph, metric, loss), dict[frozenset[Edge], float]()

    def recorded(removed: frozenset[Edge]) -> float:
        losses[removed] = exact(removed)
        return losses[removed]

    found = definition(graph, recorded, threshold)
    rises = []
    for removed, after in losses.items():
        last = max(removed, key=lambda edge: (-graph.order(edge)[0], -graph.order(edge)[1]), default=None)
        before = None if last is None else losses.get(removed - {last})
        rises += [] if before is None else [after - before]
    return found, rises


@settings(max_examples=21)
@given(cases(exact=None), METRICS, LOSSES, st.sampled_from([1e-3, 0.02, 0.2]), DEPTHS, BATCHES, st.data())
def test_a_threshold_that_a_rise_meets_exactly(
    case: Case,
    metric: Metric,
    loss: Any,
    threshold: float,
    depth: int | None,
    batch: int | None,
    data: st.DataObject,
) -> None:
    """A rise equal to the threshold is refused; one less than a rounding error below is accepted."""
    case = replace(case, dtype=data.draw(st.sampled_from(["float64", "float32"])))
    if case.dtype == "float32":
        case = replace(case, exact=False)
    model = case.model()
    graph, about = case.graph(model), case.contrast(model)
    _, rises = by_definition(about, graph, metric, threshold, loss)
    positive = [rise for rise in rises if rise > 0]
    assume(positive)
    above = [rise for rise in positive if rise >= threshold]
    tied: float = data.draw(st.sampled_from([*positive, *([min(above)] * 5 if above else [])]))
    tied = data.draw(st.sampled_from([float(tied), math.nextafter(tied, math.inf), math.nextafter(tied, 0)]))
    options: Any = {"threshold": tied, "loss": loss}
    slow = acdc(about, graph, metric, sequential=True, **options)
    same(acdc(case.contrast(model, batch), graph, metric, depth=depth, **options), slow)


def test_a_tie_is_decided_by_the_definition_and_refused() -> None:
    """So that the test above is known to meet its ties."""
    case = Case("gpt2", layers=2, heads=2, seed=1)
    model = case.model()
    graph, about, metric = case.graph(model), case.contrast(model), Metric("logit_diff")
    scores = by_definition(about, graph, metric, 0.05)[0].kept
    tied = min(scores.values())
    edge = next(edge for edge, score in scores.items() if score == tied)
    assert edge in acdc_scores(about, graph, metric, tied)
    assert edge not in acdc_scores(about, graph, metric, math.nextafter(tied, math.inf))


def acdc_scores(about: Contrast, graph: Graph, metric: Metric, threshold: float) -> dict[Edge, float]:
    return sweep_of(about, graph, metric, threshold).run()


@settings(max_examples=9)
@given(cases(exact=None, corruption="resample"), METRICS, LOSSES, st.sampled_from([0.01, 0.1]), st.data())
def test_batches_and_order_of_prompts_change_nothing(
    case: Case, metric: Metric, loss: Any, threshold: float, data: st.DataObject
) -> None:
    model = case.model()
    graph, about = case.graph(model), case.contrast(model)
    first = acdc(about, graph, metric, threshold=threshold, loss=loss)
    for batch in (1, 2, 3):
        other = acdc(case.contrast(model, batch), graph, metric, threshold=threshold, loss=loss)
        assert (other.edges, other.made) == (first.edges, first.made)
    order = data.draw(st.permutations(range(case.size)))
    assert isinstance(about.corruption, Resample)
    clean = replace(about.dataset, examples=tuple(about.dataset.examples[i] for i in order))
    shuffled = Contrast(model, clean, Resample(tuple(about.corruption.examples[i] for i in order)))
    assert acdc(shuffled, graph, metric, threshold=threshold, loss=loss).edges == first.edges


@pytest.mark.parametrize("normalize", [False, True])
def test_a_batch_does_not_move_a_tie(normalize: bool) -> None:
    """The definition's own numbers are the same for every batch, those that normalise too."""
    for seed in range(6):
        case = Case("gpt2", layers=2, heads=2, size=5, seed=seed, dtype="float32")
        model = case.model()
        graph, metric = case.graph(model), Metric("logit_diff", normalize=normalize)
        tied = min(by_definition(case.contrast(model), graph, metric, 0.05)[0].kept.values())
        found = [
            acdc(case.contrast(model, batch), graph, metric, threshold=tied) for batch in (None, 1, 2, 3)
        ]
        slow = [
            acdc(case.contrast(model, batch), graph, metric, threshold=tied, sequential=True)
            for batch in (None, 1)
        ]
        assert len({circuit.edges for circuit in (*found, *slow)}) == 1


@pytest.mark.parametrize("family", ["gpt2", "attention_only", "llama"])
def test_the_first_candidate_can_tie(family: Any) -> None:
    """Nothing is cut yet: the base is the clean run, which is measured in another way."""
    ties = 0
    for seed in range(12):
        case = Case(family, layers=1, heads=2, size=4, seed=seed)
        model = case.model()
        graph, metric = case.graph(model), Metric("logit_diff")
        tied = by_definition(case.contrast(model), graph, metric, 0.01)[1][0]
        if tied <= 0:
            continue
        ties += 1
        for threshold in (tied, math.nextafter(tied, math.inf)):
            slow, _ = by_definition(case.contrast(model), graph, metric, threshold)
            assert set(slow.kept) == set(acdc_scores(case.contrast(model), graph, metric, threshold))
    assert ties > 2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_rise_depends_on_what_is_cut_and_on_nothing_else(dtype: Any) -> None:
    """Measured afresh with the same edges cut it is the same number, behind dead nodes too."""
    compared = 0
    for seed in range(6):
        case = Case("gpt2", layers=3, heads=2, size=3, seed=seed, corruption="zero", dtype=dtype)
        model = case.model()
        graph, about = case.graph(model), case.contrast(model)
        kept = definition(graph, ExactLoss(about, graph, Metric("logit_diff")), 0.3).kept
        for edge, rise in kept.items():
            exact, (receiver, sender) = ExactLoss(about, graph, Metric("logit_diff")), graph.order(edge)
            # Removed by then: what was kept nowhere of later receivers, and of this one from later senders.
            removed = frozenset(
                each
                for each in graph.edges()
                if each not in kept and (-graph.order(each)[0], -graph.order(each)[1]) < (-receiver, -sender)
            )
            assert exact(removed | {edge}) - exact(removed) == rise, edge
            compared += 1
    assert compared > 30


def test_the_definition_computes_on_one_thread_and_gives_the_others_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    about = contrast(tiny_gpt2())
    exact = ExactLoss(about, about.model.graph(), Metric("logit_diff"))
    threads: list[int] = []

    def broken(*arguments: Any) -> Any:
        threads.append(torch.get_num_threads())
        raise MethodError("C503", "no")

    monkeypatch.setattr(acdc_module, "cut_metric", broken)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with pytest.raises(MethodError):
            exact(frozenset())
        assert threads == [1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


# The definition against the paper ---------------------------------------------------------------------------


def by_the_paper(
    case: Case, about: Contrast, graph: Graph, metric: Metric, threshold: float, of: str
) -> set[Edge]:
    """Algorithm 1 of Conmy et al. 2023, by the forward in loops and metrics by formula."""
    module = about.model.module
    options: dict[str, Any] = {"attention": case.attention, "split": case.split}
    clean, other = {}, {}
    for batch in about.batches:
        clean[batch.number] = oracle.forward(module, batch.clean, **options).logits
        other[batch.number] = dict(zip(graph.senders, about.substitute(batch, graph), strict=True))

    def mean(cut: set[Edge]) -> float:
        total = 0.0
        for batch in about.batches:
            logits = oracle.forward(
                module,
                batch.clean,
                cut={(edge.sender, edge.receiver): 1.0 for edge in cut},
                substitute=other[batch.number],
                **options,
            ).logits
            for i, example in enumerate(batch.examples):
                total += measured(metric, example, logits[i], clean[batch.number][i])
        return total / len(about.dataset.examples)

    zero, one = mean(set(graph.edges())), mean(set())

    def loss(cut: set[Edge]) -> float:
        value = mean(cut)
        if of == "distance":
            return abs(value - one) / (abs(one - zero) if metric.normalize else 1)
        if metric.normalize:
            return -(value - zero) / (one - zero)
        return value if metric.name == "kl_divergence" else -value

    cut: set[Edge] = set()
    current = loss(cut)
    kept: set[Edge] = set()
    for receiver in reversed(graph.receivers):
        candidates = [edge for edge in graph.edges() if edge.receiver == receiver]
        if receiver != "logits" and not any(e.sender in graph.outputs[receiver] for e in kept):
            cut.update(candidates)
            continue
        for edge in reversed(candidates):
            new = loss(cut | {edge})
            if new - current < threshold:
                cut.add(edge)
                current = new
            else:
                kept.add(edge)
    return kept


@settings(max_examples=9)
@given(cases(layers=2), METRICS, LOSSES, st.sampled_from([0.003, 0.03, 0.15]))
def test_the_circuit_is_the_papers(case: Case, metric: Metric, loss: Any, threshold: float) -> None:
    if case.heads > 2:
        case = replace(case, heads=2, kv_heads=min(case.kv_heads, 2))
    model = case.model()
    graph, about = case.graph(model), case.contrast(model)
    kept = by_the_paper(case, about, graph, metric, threshold, loss)
    found = acdc(about, graph, metric, threshold=threshold, loss=loss)
    assert found.edges == prune(Circuit.of(graph, kept)).edges
    assert found.made["loss"] == loss


def test_order_of_testing() -> None:
    """Receivers from the output back, senders latest first; dead nodes untested."""
    case = Case("gpt2", layers=2, heads=2, seed=4)
    model = case.model()
    graph, about = case.graph(model), case.contrast(model)
    told: list[tuple[int, int]] = []
    every = acdc(about, graph, Metric("kl_divergence"), threshold=0, progress=lambda *now: told.append(now))
    assert [total for _, total in told] == [graph.n_edges] * len(graph.receivers)
    steps = [b - a for (a, _), (b, _) in zip([(0, 0), *told], told, strict=False)]
    assert steps == list(reversed(graph.reach))
    nothing = acdc(about, graph, Metric("kl_divergence"), threshold=1e9)
    assert (len(nothing), nothing.made["tested"]) == (0, graph.reach[-1])
    assert every.made["tested"] > graph.reach[-1]


@pytest.mark.parametrize("sequential", [False, True])
def test_the_circuit_is_pruned(sequential: bool) -> None:
    """Edges of nodes that are fed by nothing are tested and kept, and then dropped."""
    dropped = 0
    for seed in range(8):
        case = Case("gpt2", layers=3, heads=2, corruption="zero", seed=seed)
        model = case.model()
        graph, about = case.graph(model), case.contrast(model)
        metric = Metric("logit_diff")
        slow = by_definition(about, graph, metric, 0.3)[0].kept if sequential else None
        raw = acdc_scores(about, graph, metric, 0.3) if slow is None else slow
        circuit = acdc(about, graph, Metric("logit_diff"), threshold=0.3, sequential=sequential)
        wanted = prune(Circuit.of(graph, raw))
        assert circuit.edges == wanted.edges
        dropped += len(raw) - len(wanted)
    assert dropped > 0


def test_by_distance_a_circuit_does_not_overshoot() -> None:
    """Minus the metric goes on falling as edges go that hold it down; a distance then rises again."""
    for seed in range(4):
        case = Case("gpt2", layers=3, heads=2, seed=seed)
        model = case.model()
        graph, about, metric = case.graph(model), case.contrast(model), Metric("logit_diff", normalize=True)
        kept = [
            faithfulness(about, acdc(about, graph, metric, threshold=0.02, loss=loss), metric)
            for loss in ("metric", "distance")
        ]
        assert kept[0] > 1.9
        assert 0.95 < kept[1] < 1.05


@pytest.mark.parametrize("threshold", [-1e-9, math.nan, math.inf])
def test_a_threshold_is_a_number_from_zero_up(threshold: float) -> None:
    about = contrast(tiny_gpt2())
    with refused(MethodError, "C531"):
        acdc(about, about.model.graph(), Metric("kl_divergence"), threshold=threshold)


# The state --------------------------------------------------------------------------------------------------


@settings(max_examples=9)
@given(cases(), METRICS, st.sampled_from([0.01, 0.1]), st.sampled_from([0, 3, 10**9]))
def test_how_often_the_state_is_rebuilt_changes_nothing(
    case: Case, metric: Metric, threshold: float, after: int
) -> None:
    model = case.model()
    graph, about = case.graph(model), case.contrast(model)
    slow = acdc(about, graph, metric, threshold=threshold, sequential=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(acdc_fast, "REBUILD_AFTER", after)
        same(acdc(about, graph, metric, threshold=threshold), slow)


class Watched(Live):
    """A state that remembers every one made."""

    made: list[Live] = []  # noqa: RUF012

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.made.append(self)


def swept(case: Case, metric: Metric, *, rebuild: int) -> tuple[Live, Sweep]:
    """The state behind a whole sweep."""
    model = case.model()
    Watched.made.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(acdc_fast, "Live", Watched)
        patch.setattr(acdc_fast, "REBUILD_AFTER", rebuild)
        sweep = sweep_of(case.contrast(model), case.graph(model), metric, 0.02)
        sweep.run()
    return Watched.made[0], sweep


def value(state: Live, sweep: Sweep) -> list[float]:
    """The metric that the state stands for."""
    logits = state.wiring.graph.receiver_index["logits"]
    nothing = torch.zeros_like(state.input[logits])[None][:, :, state.reading.kept]
    values, _ = with_modules(state.model, lambda: state.propagate({logits: nothing}))
    return [float(x) for x in values[0]]


@settings(max_examples=12)
@given(cases(), METRICS)
def test_the_state_is_the_run_with_these_edges_cut(case: Case, metric: Metric) -> None:
    """After a whole sweep without a rebuild: every receiver's input and every sender's output."""
    case = replace(case, lengths=case.lengths[:1])
    state, sweep = swept(case, metric, rebuild=10**9)
    graph, module = state.wiring.graph, state.model.module
    (batch,) = sweep.contrast.batches
    run = oracle.forward(
        module,
        batch.clean,
        cut={(edge.sender, edge.receiver): 1.0 for edge in sweep.removed},
        substitute=dict(zip(graph.senders, sweep.contrast.substitute(batch, graph), strict=True)),
        attention=case.attention,
        split=case.split,
    )
    near: dict[str, Any] = {"rtol": 0, "atol": 1e-9 if state.model.family.pos_embed is not None else 1e-4}
    for sender, listeners in some(enumerate(state.listeners)):
        if listeners:
            at = state.at(narrow=sender in state.narrow_sender)
            found, wanted = state.out[sender][:, at], run.outputs[graph.senders[sender]][:, at]
            torch.testing.assert_close(found, wanted, **near)
    for receiver in some(state.kept):
        at = state.at(narrow=receiver in state.narrow_receiver)
        found, wanted = state.input[receiver][:, at], run.inputs[graph.receivers[receiver]][:, at]
        torch.testing.assert_close(found, wanted, **near)


@settings(max_examples=9)
@given(cases(), METRICS)
def test_a_rebuild_changes_nothing_and_repairs_what_was_disturbed(case: Case, metric: Metric) -> None:
    case = replace(case, lengths=case.lengths[:1])
    state, sweep = swept(case, metric, rebuild=10**9)
    before = value(state, sweep)
    state.rebuild()
    assert value(state, sweep) == pytest.approx(before, rel=1e-9, abs=1e-9)
    for receiver in state.kept:
        state.input[receiver] += torch.randn_like(state.input[receiver])
    for heads in state.wiring.head_sender:
        for sender in set(heads):
            if state.listeners[sender]:
                state.out[sender] += torch.randn_like(state.out[sender])
    assert value(state, sweep) != pytest.approx(before, rel=1e-6, abs=1e-6)
    state.rebuild()
    assert value(state, sweep) == pytest.approx(before, rel=1e-9, abs=1e-9)


def test_the_state_is_rebuilt_in_a_long_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    rebuilt: list[int] = []

    def count(of: Live) -> None:
        rebuilt.append(1)

    monkeypatch.setattr(Live, "rebuild", count)
    monkeypatch.setattr(acdc_fast, "REBUILD_AFTER", 8)
    about = contrast(tiny_gpt2(layers=3, heads=3))
    acdc(about, about.model.graph(), Metric("logit_diff"), threshold=0.1)
    assert len(rebuilt) > 3


def test_what_live_computes_with_wiring() -> None:
    """Shared keys enter once and feed every head of their group; a joined head enters three times."""
    grouped = Wiring.of(tiny_llama(heads=4, kv_heads=2).graph())
    index = grouped.graph.receiver_index
    assert grouped.units[index["L1H3.q"]] == ((0, 3),)
    assert grouped.units[index["L1KV1.v"]] == ((2, 1),)
    assert [grouped.graph.senders[s] for s in grouped.feeds[index["L0KV1.k"]]] == ["L0H2", "L0H3"]
    joined = Wiring.of(tiny_gpt2().graph(split_inputs=False))
    assert joined.units[joined.graph.receiver_index["L0H1"]] == ((0, 1), (1, 1), (2, 1))
    layers = Wiring.of(tiny_gpt2().graph(attention="layers"))
    assert layers.units[layers.graph.receiver_index["L1.k"]] == ((1, 0), (1, 1))
    assert layers.head_sender[1] == (layers.graph.sender_index["L1"],) * 2


# Processes --------------------------------------------------------------------------------------------------

SCRIPT = """
import json, sys, torch
torch.set_num_threads(int(sys.argv[1]))
from tests.engine.tiny import contrast, tiny_gpt2, tiny_llama
from nncirc.engine.methods.acdc import acdc
from nncirc.engine.metrics.metric import Metric
for make in (tiny_gpt2, tiny_llama):
    model = make(layers=2, dtype=torch.float32)
    about = contrast(model, size=4, lengths=(6, 8))
    for metric in (Metric("kl_divergence"), Metric("logit_diff", normalize=True)):
        found = acdc(about, model.graph(), metric, threshold=0.02)
        print(json.dumps([[*edge] for edge in found.edges]), found.made["tested"])
        print(json.dumps([round(score, 3) for score in found.scores.values()]))
"""


def test_neither_threads_nor_the_hash_seed_matter() -> None:
    first, second = (
        printed(SCRIPT, threads, environment={"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": threads})
        for threads, seed in (("1", "0"), ("2", "1"))
    )
    assert first.count("L0H0") > 4
    assert first == second


Maker = Callable[..., Any]


@pytest.mark.parametrize("make", [tiny_gpt2, tiny_llama])
def test_answer_is_the_next_token_at_several_positions(make: Maker) -> None:
    model = make(layers=2)
    clean = random_prompts(size=4, lengths=(6, 8), answers="next")
    other = random_prompts(size=4, lengths=(6, 8), seed=77)
    about = Contrast(model, clean, Resample(other.examples))
    metric = Metric("logprob", at=(Position("A"), Position("B"), END))
    slow = acdc(about, model.graph(), metric, threshold=0.05, sequential=True)
    same(acdc(about, model.graph(), metric, threshold=0.05), slow)
    assert 0 < len(slow) < model.graph().n_edges
