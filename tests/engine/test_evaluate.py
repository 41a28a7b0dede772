"""Faithfulness against the forward in loops."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.circuits.strategies import edge_sets
from tests.engine import oracle
from tests.engine.tiny import Case, cases, contrast, tiny_gpt2

from nncirc.circuits.circuit import Circuit
from nncirc.circuits.errors import MethodError
from nncirc.engine.contrast import Contrast, Resample
from nncirc.engine.data import resolve
from nncirc.engine.evaluate import circuit_metric, cut_metric, faithfulness
from nncirc.engine.metrics import Metric

METRICS = st.sampled_from(
    [Metric("logit_diff"), Metric("logprob", at=(("A", None),)), Metric("kl_divergence"), Metric("prob")]
)


def by_loops(case: Case, about: Contrast, circuit: Circuit, metric: Metric) -> list[float]:
    """The metric of every prompt, run alone, with all edges outside the circuit cut."""
    graph, module = circuit.graph, about.model.module
    options: dict[str, Any] = {"attention": case.attention, "split": case.split}
    found = [0.0] * case.size
    for batch in about.batches:
        other = dict(zip(graph.senders, about.substitute(batch, graph), strict=True))
        cut = {(e.sender, e.receiver): 1.0 for e in graph.edges() if e not in circuit.scores}
        logits = oracle.forward(module, batch.clean, cut=cut, substitute=other, **options).logits
        clean = module(input_ids=batch.clean).logits
        for row, index in enumerate(batch.indices):
            example = about.dataset.examples[index]
            at = sorted({p for name, n in metric.at for p in resolve(example, name, n)})
            answers, foils = [example.answer or 0] * len(at), [example.foil or 0] * len(at)
            found[index] = oracle.metric_of_prompt(metric.name, logits[row], clean[row], at, answers, foils)
    return found


@settings(max_examples=25, deadline=None)
@given(cases(), METRICS, st.data())
def test_a_circuits_metric_is_the_loops(case: Case, metric: Metric, data: st.DataObject) -> None:
    model = case.model()
    graph, about = case.graph(model), case.contrast(model, batch=2)
    circuit = Circuit.of(graph, data.draw(edge_sets(graph)))
    found = circuit_metric(about, circuit, metric)
    wanted = by_loops(case, about, circuit, metric)
    assert found.tolist() == pytest.approx(wanted, rel=1e-4, abs=1e-6)
    empty = by_loops(case, about, Circuit.of(graph, []), metric)
    full = by_loops(case, about, Circuit.full(graph), metric)
    m, zero, one = (sum(values) / case.size for values in (wanted, empty, full))
    if abs(one - zero) > 1e-3:
        kept = faithfulness(about, circuit, metric)
        assert kept == pytest.approx((m - zero) / (one - zero), rel=1e-3, abs=1e-4 / abs(one - zero))


@settings(max_examples=10, deadline=None)
@given(cases(), METRICS)
def test_all_edges_are_faithful_and_none_are_not(case: Case, metric: Metric) -> None:
    model = case.model()
    graph, about = case.graph(model), case.contrast(model)
    if abs(about.clean(metric) - about.corrupt(metric)) > 1e-3:
        assert faithfulness(about, Circuit.full(graph), metric) == pytest.approx(1, abs=1e-6)
        assert faithfulness(about, Circuit.of(graph, []), metric) == pytest.approx(0, abs=1e-2)
    nothing = cut_metric(about, graph, metric, [])
    assert float(nothing.mean()) == pytest.approx(about.clean(metric), rel=1e-9, abs=1e-9)


def test_nothing_to_be_faithful_to() -> None:
    about = contrast(tiny_gpt2())
    graph, metric = about.model.graph(), Metric("logit_diff", at=(("start", None),))
    assert faithfulness(about, Circuit.full(graph), metric) == pytest.approx(1)
    assert isinstance(about.corruption, Resample)
    kept = tuple(
        replace(other, tokens=(e.tokens[0], *other.tokens[1:]))
        for e, other in zip(about.dataset.examples, about.corruption.examples, strict=True)
    )
    with pytest.raises(MethodError) as caught:
        faithfulness(Contrast(about.model, about.dataset, Resample(kept)), Circuit.full(graph), metric)
    assert caught.value.code == "C522"
