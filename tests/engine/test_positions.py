"""Graphs that are split by position, against loops and against the graph without positions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings, strategies as st
from tests.engine import oracle
from tests.engine.compared import METRICS, by_mask, close, some_edges, values_of, without_positions
from tests.engine.loops import acdc_by_loops
from tests.engine.tiny import Case, cases, contrast, random_prompts, tiny_gpt2
from tests.refused import refused
from tests.some import some
from torch import Tensor

from nncirc.circuits.circuit import Circuit
from nncirc.circuits.errors import DataError
from nncirc.circuits.graph import Graph
from nncirc.circuits.names import Edge, Position
from nncirc.engine.evaluation.faithfulness import circuit_metric, cut_metric
from nncirc.engine.methods.acdc import acdc
from nncirc.engine.methods.attribution_patching import attribution_patching, node_attribution
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.runs.batches import Batch
from nncirc.engine.runs.columns import whereabouts
from nncirc.engine.runs.contrast import Contrast

NAMED = ("A.1", "A.2", "end", "other")
LOGIT_DIFF = Metric("logit_diff")


# Where positions are --------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [6, 7, 8])
def test_every_token_is_at_one_position(length: int) -> None:
    examples = random_prompts(size=3, lengths=(length,), uneven=True).examples
    options: dict[str, Any] = {"device": torch.device("cpu"), "dtype": torch.float64}
    at = whereabouts(examples, NAMED, **options)
    assert at.shape == (4, 3, length)
    assert (at.sum(0) == 1).all()
    for row, example in enumerate(examples):
        for index, span in (
            (0, example.spans[Position("A", 1)]),
            (1, example.spans[Position("A", 2)]),
        ):
            assert at[index, row].nonzero().flatten().tolist() == list(range(*span))
        assert at[2, row].nonzero().flatten().tolist() == [length - 1]
    numbered = whereabouts(examples, [str(i) for i in range(length)], **options)
    assert (numbered == torch.eye(length)[:, None]).all()


@pytest.mark.parametrize(
    ("positions", "code"),
    [
        (("A", "A.2", "other"), "C346"),
        (("0", "start", "other"), "C346"),
        (("A.1", "end"), "C346"),
        (("A.3", "other"), "C308"),
        (("C", "other"), "C308"),
        (("6", "other"), "C308"),
    ],
)
def test_positions_that_prompts_do_not_have(positions: tuple[str, ...], code: str) -> None:
    model = tiny_gpt2()
    about = contrast(model, lengths=(6,))
    graph = replace(model.graph(), positions=positions)
    with refused(DataError, code):
        about.where(about.batches[0], graph)


# The masked forward ---------------------------------------------------------------------------------------


def by_loops(case: Case, about: Contrast, graph: Graph, cut: list[Edge], metric: Metric) -> list[float]:
    """The metric prompt by prompt, each receiver reading a sum in which an edge is cut token by token."""
    options: dict[str, Any] = {"attention": case.attention, "split": case.split}

    def run(batch: Batch) -> Tensor:
        at = whereabouts(
            batch.examples, graph.positions, device=batch.clean.device, dtype=torch.float64
        ).unsqueeze(-1)
        fractions: dict[tuple[str, str], Any] = {}
        for edge in cut:
            place = graph.positions.index(edge.sender.partition("@")[2])
            whole = without_positions(edge)
            fractions[whole] = fractions.get(whole, 0) + at[place]
        other = dict(zip(graph.base.senders, about.substitute(batch, graph), strict=True))
        module = about.model.module
        return oracle.forward(module, batch.clean, cut=fractions, substitute=other, **options).logits

    return values_of(about, metric, run).tolist()


@settings(max_examples=12)
@given(cases(layers=2), METRICS, st.integers(0, 999))
def test_edges_are_cut_at_their_position(case: Case, metric: Metric, seed: int) -> None:
    model = case.model()
    graph, about = replace(case.graph(model), positions=NAMED), case.contrast(model, batch=2)
    cut = some_edges(graph, seed)
    found = cut_metric(about, graph, metric, cut).tolist()
    assert found == pytest.approx(by_loops(case, about, graph, cut, metric), rel=1e-5, abs=1e-6)


@settings(max_examples=10)
@given(cases(layers=2), METRICS, st.integers(0, 999))
def test_an_edge_cut_everywhere_is_the_edge_without_positions(case: Case, metric: Metric, seed: int) -> None:
    model = case.model()
    graph, about = replace(case.graph(model), positions=NAMED), case.contrast(model)
    kept = set(some_edges(graph.base, seed))
    fine = Circuit.of(graph, [edge for edge in graph.edges() if without_positions(edge) in kept])
    found = circuit_metric(about, fine, metric)
    torch.testing.assert_close(found, circuit_metric(about, Circuit.of(graph.base, kept), metric))


# Attribution ----------------------------------------------------------------------------------------------


@settings(max_examples=7)
@given(cases(layers=2), METRICS)
def test_scores_are_minus_the_gradient_by_the_mask(case: Case, metric: Metric) -> None:
    model = case.model()
    graph, about = replace(case.graph(model), positions=NAMED), case.contrast(model, batch=2)
    found = attribution_patching(about, graph, metric)
    assert list(found.values) == list(graph.edges())
    slopes, n = by_mask(about, graph, metric), len(NAMED)
    for edge, score in found.values.items():
        receiver, sender = graph.order(edge)
        slope = float(slopes[receiver // n, sender // n, receiver % n])
        assert score == pytest.approx(-slope, rel=1e-5, abs=close(case)), edge


@settings(max_examples=10)
@given(cases(layers=2), METRICS, st.sampled_from([{}, {"steps": 3}, {"steps": 2, "along": "activations"}]))
def test_positions_add_up(case: Case, metric: Metric, options: Any) -> None:
    """Scores are linear in what is cut, so those of an edge's positions sum to the edge's."""
    model = case.model()
    graph, about = replace(case.graph(model), positions=NAMED), case.contrast(model)
    fine = attribution_patching(about, graph, metric, **options)
    coarse = attribution_patching(about, graph.base, metric, **options)
    sums = dict.fromkeys(graph.base.edges(), 0.0)
    for edge, score in fine.values.items():
        sums[without_positions(edge)] += score
    for edge, score in coarse.values.items():
        assert sums[edge] == pytest.approx(score, rel=1e-4, abs=5 * close(case)), edge
    nodes = node_attribution(about, graph, metric, **options)
    assert (nodes.nodes, nodes.positions) == (graph.base.senders, NAMED)
    together = node_attribution(about, graph.base, metric, **options)
    for node in nodes.nodes:
        assert sum(nodes[node]) == pytest.approx(together[node][0], rel=1e-4, abs=5 * close(case))


@settings(max_examples=8)
@given(cases(layers=2))
def test_a_query_at_one_position_is_computed_anew(case: Case) -> None:
    """Queries of different tokens do not meet in a pattern, its rows being apart: what cutting a query at
    each position by itself does to z sums to what cutting it everywhere does."""
    case = replace(case, split=True)
    model = case.model()
    graph, about = replace(case.graph(model), positions=NAMED), case.contrast(model)
    queries = [edge for edge in graph.base.edges() if edge.receiver.endswith(".q")]
    assume(queries)  # where inputs are joined there are none
    fine = attribution_patching(about, graph, LOGIT_DIFF, correct_qk=True)
    coarse = attribution_patching(about, graph.base, LOGIT_DIFF, correct_qk=True)
    for sender, name in some(queries):
        parts = sum(fine[f"{sender}@{p}", f"{name}@{p}"] for p in NAMED)
        assert parts == pytest.approx(coarse[sender, name], rel=1e-4, abs=5 * close(case))


# ACDC ----------------------------------------------------------------------------------------------------


@settings(max_examples=4)
@given(st.sampled_from(["gpt2", "llama"]), st.integers(0, 99), st.sampled_from([0.01, 0.1, 0.4]))
def test_acdc_is_that_of_the_paper(family: Any, seed: int, threshold: float) -> None:
    case = Case(
        family, layers=1, heads=2, kv_heads=1 if family == "llama" else 2, lengths=(5,), size=2, seed=seed
    )
    model = case.model()
    graph, about = replace(case.graph(model), positions=("A.1", "end", "other")), case.contrast(model)

    def loss(cut: list[Edge]) -> float:
        return -sum(by_loops(case, about, graph, cut, LOGIT_DIFF)) / case.size

    wanted = acdc_by_loops(graph, loss, threshold)
    assert acdc(about, graph, LOGIT_DIFF, threshold=threshold).edges == wanted.edges


@settings(max_examples=9)
@given(
    cases(layers=2),
    METRICS,
    st.sampled_from([0.003, 0.03, 0.3]),
    st.sampled_from([None, 1, 5]),
    st.booleans(),
)
def test_the_fast_way_is_the_definition(
    case: Case, metric: Metric, threshold: float, depth: int | None, by_token: bool
) -> None:
    if by_token:
        case = replace(case, lengths=case.lengths[:1])
    at = tuple(map(str, range(case.lengths[0]))) if by_token else NAMED
    model = case.model()
    graph, about = replace(case.graph(model), positions=at), case.contrast(model, batch=2)
    fast = acdc(about, graph, metric, threshold=threshold, depth=depth)
    slow = acdc(about, graph, metric, threshold=threshold, sequential=True)
    assert fast.edges == slow.edges
    for edge, score in slow.scores.items():
        assert fast.scores[edge] == pytest.approx(score, abs=1e-5)
    assert fast.made == slow.made


def test_a_head_carries_from_one_token_to_the_last() -> None:
    """In a circuit of tokens, what is read at the end comes from keys and values before it."""
    model = tiny_gpt2(layers=1, heads=2, seed=3)
    about = contrast(model, size=4, lengths=(5,))
    graph = replace(model.graph(), positions=tuple("01234"))
    found = acdc(about, graph, LOGIT_DIFF, threshold=0.02)
    assert {edge.receiver for edge in found.edges if "logits" in edge.receiver} == {"logits@4"}
    assert any(edge.receiver.endswith(".v@1") for edge in found.edges)
    assert all(edge.sender.partition("@")[2] == edge.receiver.partition("@")[2] for edge in found.edges)
