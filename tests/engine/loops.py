"""What methods of several tests compute, prompt by prompt, with nothing of the engine but its data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.engine import oracle
from tests.engine.tiny import Case
from torch import Tensor

from nncirc import Dataset, Example
from nncirc.circuits.circuit import Circuit, prune
from nncirc.circuits.graph import Graph
from nncirc.circuits.names import Edge, Position
from nncirc.engine.data.positions import resolve
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.runs.contrast import Contrast


def answers(dataset: Dataset, example: Example, at: list[int]) -> tuple[list[int], list[int]]:
    if dataset.answers == "next":
        return [example.tokens[p + 1] for p in at], [0] * len(at)
    right, wrong = example.answer or 0, example.foil or 0
    assert isinstance(right, int)
    assert isinstance(wrong, int)
    return [right] * len(at), [wrong] * len(at)


def tokens_at(example: Example, place: Position | str | int | None) -> list[int]:
    """Which tokens of a prompt are at a place: a position, a position as it is written, a number, or all."""
    if place is None:
        return list(range(len(example.tokens)))
    if isinstance(place, int):
        return [place]
    return list(resolve(example, *(Position.parse(place) if isinstance(place, str) else place)))


def positions(dataset: Dataset, example: Example, place: str) -> list[int]:
    found = tokens_at(example, int(place) if place.isdecimal() else place)
    return [p for p in found if dataset.answers != "next" or p + 1 < len(example.tokens)]


def measured(metric: Metric, example: Example, logits: Tensor, clean: Tensor) -> float:
    """A metric of one prompt by its formula, where it is read; logits are `pos vocab`."""
    at = sorted({p for place in metric.at for p in tokens_at(example, place)})
    answers, foils = [example.answer or 0] * len(at), [example.foil or 0] * len(at)
    return oracle.metric_of_prompt(metric.name, logits, clean, at, answers, foils)


def value(
    name: str, logits: Tensor, clean: Tensor, at: list[int], right: list[int], wrong: list[int]
) -> float:
    """A measure of one prompt by its formula; logits are `pos vocab`."""
    if name != "rank":
        return oracle.metric_of_prompt(name, logits, clean, at, right, wrong)
    rows = [sorted(logits[p].tolist(), reverse=True) for p in at]
    return sum(row.index(float(logits[p, a])) + 1 for row, p, a in zip(rows, at, right, strict=True)) / len(
        at
    )


def circuit_by_loops(case: Case, about: Contrast, circuit: Circuit, metric: Metric) -> list[float]:
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
            found[index] = measured(metric, about.dataset.examples[index], logits[row], clean[row])
    return found


def acdc_by_loops(graph: Graph, loss: Callable[[list[Edge]], float], threshold: float) -> Circuit:
    """Algorithm 1 of Conmy et al. 2023, by the loss with edges cut; what dead nodes read is tested, too."""
    cut: list[Edge] = []
    current = loss(cut)
    for receiver in reversed(graph.receivers):
        for edge in reversed([edge for edge in graph.edges() if edge.receiver == receiver]):
            new = loss([*cut, edge])
            if new - current < threshold:
                cut.append(edge)
                current = new
    return prune(Circuit.of(graph, [edge for edge in graph.edges() if edge not in cut]))
