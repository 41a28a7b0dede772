"""Completeness and minimality against the forward in loops, part by part."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace as with_fields
from typing import Any

import pytest
from hypothesis import assume, given, settings, strategies as st
from tests.circuits.strategies import edge_sets
from tests.engine.loops import circuit_by_loops as by_loops
from tests.engine.tiny import VOCABULARY, Case, cases, contrast, tiny_gpt2
from tests.refused import refused
from tests.some import some

from nncirc.circuits.circuit import Circuit, prune
from nncirc.circuits.errors import MethodError
from nncirc.circuits.intervals import Resampling
from nncirc.circuits.names import Edge, Position
from nncirc.engine.evaluation.completeness import Parts, completeness, incompleteness, least, minimality
from nncirc.engine.evaluation.faithfulness import faithfulness
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import Resample

METRIC = Metric("logit_diff")
FEW = Resampling(resamples=5)


class Loops:
    """F of any set of edges, by loops."""

    def __init__(self, case: Case, about: Contrast, circuit: Circuit) -> None:
        self.case, self.about, self.graph = case, about, circuit.graph
        self.zero, self.one = self.mean([]), self.mean(self.graph.edges())

    def mean(self, edges: Iterable[Edge]) -> float:
        values = by_loops(self.case, self.about, Circuit.of(self.graph, edges), METRIC)
        return sum(values) / len(values)

    def faithfulness(self, edges: Iterable[Edge]) -> float:
        return (self.mean(edges) - self.zero) / (self.one - self.zero)


def cut_by(circuit: Circuit, by: Parts, name: str) -> set[Edge]:
    """What knocking a part out cuts, from the words of the paper."""
    if by == "edges":
        return {edge for edge in circuit.edges if str(edge) == name}
    nodes = circuit.groups[name] if by == "groups" else (name,)
    return {edge for edge in circuit.graph.edges() if edge.sender in nodes}


@st.composite
def questions(draw: st.DrawFn) -> tuple[Case, Contrast, Circuit, Loops]:
    case = draw(cases(layers=2))
    model = case.model()
    graph, about = case.graph(model), case.contrast(model, batch=2)
    inner = [node for node in graph.senders if node not in graph.sources]
    groups = {"first": tuple(inner[:2]), "second": tuple(inner[1:3])}
    circuit = Circuit.of(graph, draw(edge_sets(graph)), groups=groups)
    return case, about, circuit, Loops(case, about, circuit)


def senders(circuit: Circuit) -> set[str]:
    return {edge.sender for edge in circuit.edges} - set(circuit.graph.sources)


@settings(max_examples=7)
@given(questions(), st.sampled_from(["nodes", "edges"]))
def test_completeness_by_loops(question: Any, by: Parts) -> None:
    _, about, circuit, loops = question
    assume(abs(loops.one - loops.zero) >= 0.1 and senders(circuit))
    found = completeness(about, circuit, METRIC, by=by, how=FEW)
    parts = circuit.edges if by == "edges" else [n for n in circuit.nodes if n in senders(circuit)]
    assert [each.name for each in found] == ["nothing", *map(str, parts)]
    assert found[0].circuit == pytest.approx(faithfulness(about, circuit, METRIC), abs=1e-9)
    assert found[0].other == pytest.approx(1)
    for each in (found[0], found[1], found[-1]):
        cut = cut_by(circuit, by, each.name) if each.name != "nothing" else set()
        ours = loops.faithfulness(set(circuit.edges) - cut)
        model = loops.faithfulness(set(circuit.graph.edges()) - cut)
        assert each.circuit == pytest.approx(ours, abs=1e-4 / abs(loops.one - loops.zero))
        assert each.other == pytest.approx(model, abs=1e-4 / abs(loops.one - loops.zero))
        assert each.difference.value == pytest.approx(abs(each.circuit - each.other), abs=1e-9)
    assert incompleteness(found).difference.value == max(each.difference.value for each in found)


@settings(max_examples=7)
@given(questions(), st.sampled_from(["nodes", "edges", "groups"]))
def test_minimality_by_loops(question: Any, by: Parts) -> None:
    """Of every part the largest difference over K: nothing, and what could do its work."""
    _, about, circuit, loops = question
    inside = {name: set(members) & senders(circuit) for name, members in circuit.groups.items()}
    assume(abs(loops.one - loops.zero) >= 0.1 and senders(circuit) and any(inside.values()))
    found = minimality(about, circuit, METRIC, by=by, how=FEW)
    for each in found[:2]:
        part, edges = cut_by(circuit, by, each.name), set(circuit.edges)
        without: list[set[Edge]] = [set()]
        if by == "edges":
            (edge,) = part
            without.append({e for e in edges if e.receiver == edge.receiver} - part)
        elif by == "nodes":
            for members in circuit.groups.values():
                if each.name in members:
                    others = [cut_by(circuit, "nodes", n) for n in members if n != each.name]
                    without.append(set().union(*others) & edges)
        tried = [abs(loops.faithfulness(edges - k - part) - loops.faithfulness(edges - k)) for k in without]
        assert each.difference.value == pytest.approx(max(tried), abs=2e-4 / abs(loops.one - loops.zero))
    assert least(found).difference.value == min(each.difference.value for each in found)


def tiny() -> tuple[Contrast, Circuit]:
    about = contrast(tiny_gpt2())
    graph = about.model.graph()
    chosen = random.Random(1).sample(list(graph.edges()), graph.n_edges // 2)
    return about, prune(Circuit.of(graph, chosen))


def test_the_whole_model_is_complete_and_an_unread_part_is_not_minimal() -> None:
    about, circuit = tiny()
    whole = completeness(about, Circuit.full(circuit.graph), METRIC, draws=3)
    assert incompleteness(whole).difference.value == pytest.approx(0, abs=1e-9)
    edge = next(e for e in circuit.graph.edges() if e not in circuit and e.receiver != "logits")
    idle = Circuit.of(circuit.graph, [Edge("embed", "logits"), edge])  # leads nowhere
    scores = {each.name: each.difference.value for each in minimality(about, idle, METRIC, by="edges")}
    assert scores[str(edge)] == pytest.approx(0, abs=1e-9)
    assert scores["embed -> logits"] > 1e-3


def test_what_could_do_an_edges_work_enters_the_same_receiver() -> None:
    """All edges of a circuit, with every difference that the definition takes the largest of."""
    about, circuit = tiny()
    edges, alone = set(circuit.edges), []

    def kept(less: set[Edge]) -> float:
        return faithfulness(about, Circuit.of(circuit.graph, edges - less), METRIC)

    for each, edge in zip(minimality(about, circuit, METRIC, by="edges"), circuit.edges, strict=True):
        others = {other for other in edges if other.receiver == edge.receiver} - {edge}
        by_itself = abs(kept({edge}) - kept(set()))
        without = abs(kept(others | {edge}) - kept(others))
        assert each.difference.value == pytest.approx(max(by_itself, without), abs=1e-9), each.name
        alone.append(by_itself < without - 1e-6)
    assert any(alone)
    assert not all(alone)


def test_random_sets_are_of_the_seed_and_each_has_half_of_the_parts() -> None:
    about, circuit = tiny()
    first, again, other = (
        completeness(about, circuit, METRIC, draws=4, seed=seed, how=FEW) for seed in (3, 3, 4)
    )
    assert first == again
    assert [each.name for each in first[-4:]] == [f"random {i}" for i in range(4)]
    assert [each.circuit for each in first[-4:]] != [each.circuit for each in other[-4:]]
    parts = [each.name for each in first if each.name.startswith(("L", "M"))]
    draw = random.Random(3)
    taken = [name for name in parts if draw.random() < 0.5]
    cut = {edge for name in taken for edge in cut_by(circuit, "nodes", name)}
    kept = Circuit.of(circuit.graph, set(circuit.edges) - cut)
    assert first[-4].circuit == pytest.approx(faithfulness(about, kept, METRIC), abs=1e-9)


def test_the_greedy_search_takes_the_worst_part_at_each_step() -> None:
    about, circuit = tiny()
    found = completeness(about, circuit, METRIC, greedy=3, how=FEW)
    names = [each.name for each in found]
    parts = [name for name in names[1:] if " + " not in name]

    def differ(taken: list[str]) -> float:
        cut = set().union(*(cut_by(circuit, "nodes", name) for name in taken))
        ours = Circuit.of(circuit.graph, set(circuit.edges) - cut)
        model = Circuit.of(circuit.graph, set(circuit.graph.edges()) - cut)
        return abs(faithfulness(about, ours, METRIC) - faithfulness(about, model, METRIC))

    taken: list[str] = []
    for _ in range(3):
        taken.append(max((name for name in parts if name not in taken), key=lambda n: differ([*taken, n])))
    assert names[1 + len(parts) :] == [" + ".join(taken[:2]), " + ".join(taken)]
    assert found[-1].difference.value == pytest.approx(differ(taken), abs=1e-9)
    assert len(completeness(about, circuit, METRIC, greedy=99, how=FEW)) == 2 * len(parts)


@pytest.mark.parametrize("greedy", [0, 2])
def test_runs_that_do_not_differ_are_no_scale_for_a_search_either(greedy: int) -> None:
    """Corrupted prompts that differ only behind the position read."""
    about, circuit = tiny()
    clean = about.dataset.examples
    other = tuple(with_fields(e, tokens=(*e.tokens[:-1], (e.tokens[-1] + 1) % VOCABULARY)) for e in clean)
    same = Contrast(about.model, about.dataset, Resample(other))
    with refused(MethodError, "C522"):
        completeness(same, circuit, Metric("logit_diff", at=(Position("start"),)), greedy=greedy)


def test_intervals_are_of_differences() -> None:
    """Circuit and model are measured on the same prompts of a resample."""
    about, circuit = tiny()
    for each in some(completeness(about, circuit, METRIC)):
        low, high = each.difference.low, each.difference.high
        assert 0 <= low <= high


@pytest.mark.parametrize(("by", "code"), [("groups", "C558")])
def test_parts_that_are_not_there(by: Any, code: str) -> None:
    about, circuit = tiny()
    for method in (completeness, minimality):
        with refused(MethodError, code):
            method(about, circuit, METRIC, by=by)
