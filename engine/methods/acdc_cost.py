"""What ACDC costs, which depends on what it finds: its decisions, taken on estimates of every edge's effect.

The estimates come from one gradient halfway between the clean and the corrupted run: the midpoint rule of
integrated gradients with one step, right to second order, so that a divergence, whose gradient on the clean
run is zero, has one too. Which receivers are tested follows from them by the algorithm's own rule.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from nncirc.circuits.graph import Graph
from nncirc.engine.methods.acdc_fast import alive
from nncirc.engine.methods.costs import FREE, Cost, Prompts, Sizes, masked, written
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.runs.capture import sender_stages
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import Resample
from nncirc.engine.runs.gradients import metric_gradients
from nncirc.engine.runs.normalization import Loss
from nncirc.engine.runs.wiring import Wiring

Decisions: TypeAlias = dict[int, list[int]]
"""For every receiver that is tested the senders that it keeps."""

PILOT_PROMPTS = 8
HALFWAY = 0.5
ROWS = 6
"""Candidates that are tried at once while all are decided as expected: what speculation mostly comes to."""
EVALUATION = 1.5
"""Passes in the time of an evaluation's small operations, of every layer that it goes through."""


def effects(contrast: Contrast, graph: Graph, metric: Metric) -> Float[Tensor, "receiver sender"]:
    """By how much the loss should rise when each edge is cut, from a few of the prompts."""
    few, n = pilot(contrast), len(graph.positions) or 1
    total = torch.zeros(len(graph.receivers), len(graph.senders), dtype=torch.float64)
    embed = sender_stages(graph.base)[0]
    for batch in few.batches:
        difference = (few.clean_written(batch) - few.substitute_written(batch)).outputs(graph.base)
        shift = (0, -HALFWAY * difference[embed].sum(0))
        gradients = metric_gradients(few, batch, metric, shift)
        where = few.where(batch, graph)
        for first, gradient in gradients.by_receiver(graph.base, few.memory // 8):
            reach = graph.reach[first]
            receivers = range(first * n, (first + len(gradient)) * n)
            for place in range(n):
                there = gradient if where is None else gradient * where[place, ..., None]
                product = there.flatten(1) @ difference[:reach].flatten(1).T
                total[receivers.start + place : receivers.stop : n, place : reach * n : n] += (
                    gradients.scale * product.double().cpu()
                )
    sign = 1 if metric.normalize else metric.measure.sign
    return sign / few.normalizer(metric).span / len(few.dataset.examples) * total


def pilot(contrast: Contrast) -> Contrast:
    """A contrast of a few of the prompts, from all over the dataset."""
    data = contrast.dataset
    step = -(-len(data.examples) // PILOT_PROMPTS)
    corruption = contrast.corruption
    if isinstance(corruption, Resample):
        corruption = Resample(corruption.examples[::step], corruption.name)
    few = replace(data, examples=data.examples[::step], counterparts=None)
    return Contrast(contrast.model, few, corruption, contrast.batch, contrast.most_memory)


def most(sizes: Sizes, graph: Graph, prompts: Sequence[Prompts]) -> Cost:
    """At most what the definition takes: a masked forward for every edge."""
    one = sum((masked(sizes, graph, each) for each in prompts), FREE)
    return replace(one * (graph.n_edges + 2), tested=graph.n_edges, at_most=True)


def acdc(
    contrast: Contrast,
    graph: Graph,
    metric: Metric,
    prompts: Sequence[Prompts],
    threshold: float,
    estimates: Float[Tensor, "receiver sender"],
    others: Sequence[Decisions] = (),
    loss: Loss = "metric",
) -> tuple[Cost, Decisions]:
    """ACDC at one threshold, from estimates of what cutting every edge would do; and what it would decide.

    Args:
        contrast: model, prompts and corruption.
        graph: the edges.
        metric: what is measured.
        prompts: the batches.
        threshold: of the algorithm.
        estimates: as `effects` gives them.
        others: what ran with other thresholds decided. What one of them measured is not measured again for as
            long as both have decided alike.
        loss: what must not rise. A distance rises by what an effect adds to those of the edges cut before.
    """
    decisions: Decisions = {}
    agreeing = list(others)
    sizes, places = Sizes.of(contrast.model), len(graph.positions) or 1
    found = written(sizes, contrast, "clean") + written(sizes, contrast, "corrupt")
    live, kept, edges = _Live(sizes, graph.base, metric, prompts), set[str](), 0
    rises, moved = estimates.tolist(), 0.0
    for receiver, tested in alive(graph, kept):
        if not tested:
            continue
        candidates = graph.heard(receiver)
        keeps = []
        for sender in reversed(candidates):
            rise = rises[receiver][sender]
            if (rise if loss == "metric" else abs(moved + rise) - abs(moved)) >= threshold:
                keeps.append(sender)
            else:
                moved += rise
        edges += len(candidates)
        decisions[receiver] = keeps
        agreeing = [each for each in agreeing if each.get(receiver) == keeps]
        # A row counts up to the first candidate that is kept, which was not expected.
        attempts = len(keeps) + (len(candidates) - len(keeps)) / ROWS
        if not agreeing:
            evaluation = live.evaluation(receiver // places)
            wasted = 1 + len(keeps) * (ROWS - 1) / 2 / len(candidates)
            found += Cost(evaluation.multiplications * len(candidates) * wasted, evaluation.passes * attempts)
        live.listen(receiver // places, {sender // places for sender in keeps})
        kept.update(graph.senders[sender] for sender in keeps)
    return replace(found, tested=edges), decisions


class _Live:
    """The nodes that still have outgoing edges, and what an evaluation of one receiver's candidates computes.

    What changes only where the metric reads, because all that listens to it does, is computed there only.
    """

    def __init__(self, sizes: Sizes, graph: Graph, metric: Metric, prompts: Sequence[Prompts]) -> None:
        self.sizes, self.graph, self.wiring = sizes, graph, Wiring.of(graph)
        self.listeners: list[set[int]] = [set() for _ in graph.senders]
        self.tokens = sum(each.tokens for each in prompts)
        self.positions = sum(each.positions for each in prompts)
        self.length = max(each.length for each in prompts)
        self.read = 0 if metric.measure.columns else self.positions * sizes.unembed
        self.batches = len(prompts)
        self.narrow = {len(graph.receivers) - 1}

    def listen(self, receiver: int, senders: Collection[int]) -> None:
        """A receiver has been tested, and reads these senders."""
        feeds = self.wiring.feeds[receiver]
        queries = all(kind == 0 for kind, _ in self.wiring.units.get(receiver, ()))
        if queries and all(self.listeners[each] <= self.narrow for each in feeds):
            self.narrow.add(receiver)
        for sender in senders:
            self.listeners[sender].add(receiver)

    def evaluation(self, receiver: int) -> Cost:
        """One candidate of a receiver: all that changes, from the receiver to the logits."""
        sizes, wiring = self.sizes, self.wiring
        changed, found, stages = {receiver}, float(self.read), 1
        for stage in wiring.stages[wiring.stage_of[receiver] : -1]:
            inputs = changed.intersection(stage.receivers)
            if not inputs:
                continue
            stages += 1
            if stage.kind == "mlp":
                senders = [wiring.mlp_sender[stage.layer]]
                found += self.at(senders[0]) * sizes.mlp
            else:
                fresh = {unit for each in inputs for unit in wiring.units[each]}
                found += sum(
                    len(wiring.units[each]) * sizes.unit * self.tokens_of(each in self.narrow)
                    for each in inputs
                )
                senders = []
                for head, sender in enumerate(wiring.head_sender[stage.layer]):
                    group = wiring.kv_of[head]
                    if self.listeners[sender] and fresh & {(0, head), (1, group), (2, group)}:
                        senders.append(sender)
                        found += self.at(sender) * (sizes.unit + 2 * sizes.d_head * self.length)
            for sender in senders:
                changed |= self.listeners[sender]
        passes = EVALUATION * self.batches * stages / len(wiring.stages)
        return Cost(found, passes)

    def at(self, sender: int) -> int:
        """Tokens at which a sender is computed."""
        return self.tokens_of(self.listeners[sender] <= self.narrow)

    def tokens_of(self, narrow: bool) -> int:
        """Tokens of all prompts, or only those that are read."""
        return self.positions if narrow else self.tokens
