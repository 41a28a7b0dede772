"""What methods of several tests compute, prompt by prompt, with nothing of the engine but its data."""

from __future__ import annotations

from typing import Any

from tests.engine import oracle
from tests.engine.tiny import Case
from torch import Tensor

from nncirc import Dataset, Example
from nncirc.circuits.circuit import Circuit
from nncirc.circuits.names import Position
from nncirc.engine.data.positions import resolve
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.runs.contrast import Contrast

PLACES = {"end": Position("end"), "A": Position("A"), "A.2": Position("A", 2), "B": Position("B", 1)}


def answers(dataset: Dataset, example: Example, at: list[int]) -> tuple[list[int], list[int]]:
    if dataset.answers == "next":
        return [example.tokens[p + 1] for p in at], [0] * len(at)
    right, wrong = example.answer or 0, example.foil or 0
    assert isinstance(right, int)
    assert isinstance(wrong, int)
    return [right] * len(at), [wrong] * len(at)


def positions(dataset: Dataset, example: Example, place: str) -> list[int]:
    found = (
        [int(place)]
        if place.isdecimal()
        else list(resolve(example, PLACES[place].name, PLACES[place].occurrence))
    )
    return [p for p in found if dataset.answers != "next" or p + 1 < len(example.tokens)]


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
            example = about.dataset.examples[index]
            at = sorted({p for name, n in metric.at for p in resolve(example, name, n)})
            answers, foils = [example.answer or 0] * len(at), [example.foil or 0] * len(at)
            found[index] = oracle.metric_of_prompt(metric.name, logits[row], clean[row], at, answers, foils)
    return found
