"""The work of ACDC, which depends on what it finds: the algorithm, played through with estimates.

In place of measuring an edge, its estimated effect is looked up: a gradient halfway between the clean and the
corrupted run, which is the midpoint rule of integrated gradients with one step. So it costs one forward and
one backward, and is right to second order: a divergence, whose gradient on the clean run is zero, has one.
An edge is kept if the loss is estimated to rise by the threshold: by the edge's effect, or, of a distance
from the whole model's metric, by what the effect adds to those of the edges cut before. What follows is
exact: receivers of dead nodes are skipped, and a test costs the live nodes downstream of its receiver.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from nncirc.circuits.graph import Graph
from nncirc.engine.contrast import Contrast, Loss, Resample
from nncirc.engine.discovery import MOST_ROWS, REBUILD_AFTER
from nncirc.engine.gradients import metric_gradients
from nncirc.engine.live import reads_change
from nncirc.engine.metrics import Metric
from nncirc.engine.program.forecast.methods import Prompts, forward, masked, measured, outputs
from nncirc.engine.program.forecast.work import NOTHING, Sizes, Work
from nncirc.engine.speculation import Fixed, Pace
from nncirc.engine.wiring import Wiring
from nncirc.engine.written import sender_stages

PILOT_PROMPTS = 8
HALFWAY = 0.5
SMALL_OPERATIONS = 400
"""Of an evaluation, whatever it computes: losses of rows, what rounding could do to them, Python's own."""


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
    """A contrast of a few of the prompts, from all over the dataset.

    Of its own, whatever their number: what a forecast computes may not be what a result is made of.
    """
    data = contrast.dataset
    step = -(-len(data.examples) // PILOT_PROMPTS)
    corruption = contrast.corruption
    if isinstance(corruption, Resample):
        corruption = Resample(corruption.examples[::step], corruption.name)
    few = replace(data, examples=data.examples[::step], counterparts=None)
    return Contrast(contrast.model, few, corruption, contrast.batch, contrast.most_memory)


@dataclass(slots=True)
class Played:
    """ACDC played through at one threshold.

    Attributes:
        threshold: of this run.
        keeps: for every receiver that was tested, by sender whether the edge stays.
        tested: edges tested, or known from another run.
        work: all that is computed.
    """

    threshold: float
    keeps: dict[int, tuple[bool, ...]] = field(default_factory=dict)
    tested: int = 0
    work: Work = NOTHING


@dataclass(frozen=True, slots=True)
class Sweep:
    """What runs of ACDC have in common that differ in the threshold.

    Attributes:
        sizes: of the model.
        graph: the edges.
        batches: the prompts.
        reads: the parts by which a row is read from the final residual stream.
        estimates: of every edge's effect.
        seconds: what work takes; speculation goes as far as it pays.
        loss: what rises.
    """

    sizes: Sizes
    graph: Graph
    batches: Sequence[Prompts]
    reads: tuple[str, ...]
    estimates: Float[Tensor, "receiver sender"]
    seconds: Callable[[Work], float]
    loss: Loss = "metric"

    def setup(self) -> Work:
        """The state of the clean run, beside what is written in it and in the corrupted run."""
        found = NOTHING
        for prompts in self.batches:
            senders = len(self.graph.base.senders) * prompts.tokens
            found += forward(self.sizes, prompts) + outputs(self.sizes, self.graph, prompts) * 2
            found += measured(self.sizes, prompts) + Work.of(4, add=3 * senders)
        return found

    def sequential(self, threshold: float) -> Played:
        """The definition: a masked forward for every candidate."""
        played = Played(threshold)
        passes = 0
        for _, keeps in self._receivers(played):
            passes += 1 + len(keeps)
        half = self.graph.n_edges // 2
        one = sum((masked(self.sizes, self.graph, p, half) for p in self.batches), NOTHING)
        played.work = one * passes
        return played

    def play(self, threshold: float, others: Sequence[Played] = (), *, depth: int | None = None) -> Played:
        """The fast way, after runs with other thresholds, which are known; `depth` as in `acdc`."""
        played = Played(threshold)
        wires, places = _Wires(self), len(self.graph.positions) or 1
        pace = Pace(MOST_ROWS) if depth is None else Fixed(depth)
        followed = list(others)
        nearest = sorted(others, key=lambda other: abs(_log(other.threshold) - _log(threshold)))
        work, cuts = self.setup(), 0
        for receiver, keeps in self._receivers(played):
            wires.open(receiver // places)
            cost = wires.test(receiver // places)
            foreseen, followed = _foreseen(receiver, keeps, followed)
            guess = next((other.keeps[receiver] for other in nearest if receiver in other.keeps), None)
            expected = (False,) * len(keeps) if guess is None else guess
            if foreseen and not all(keeps[-foreseen:]):
                work += cost.trace + cost.row + cost.call
            left = len(keeps) - foreseen
            work += cost.trace * (left > 0)
            while left:
                rows = pace.depth(left)
                decided = next((n for n in range(1, rows + 1) if keeps[left - n] != expected[left - n]), rows)
                attempt = cost.row * rows + cost.call
                pace.took(rows, self.seconds(attempt))
                for n in range(1, decided + 1):
                    pace.saw(as_expected=keeps[left - n] == expected[left - n])
                work += attempt
                left -= decided
            cuts += keeps.count(False)
            if cuts > REBUILD_AFTER:
                work, cuts = work + wires.rebuild(), 0
            work += wires.close(receiver // places, keeps)
        played.work = work
        return played

    def _receivers(self, played: Played) -> Iterator[tuple[int, tuple[bool, ...]]]:
        """The receivers that are tested, from the output back, and which of their edges stay."""
        graph, heard = self.graph, set[str]()
        rises, moved = self.estimates.tolist(), 0.0
        for receiver in reversed(range(len(graph.receivers))):
            name, candidates = graph.receivers[receiver], graph.heard(receiver)
            if name in graph.sinks or heard.intersection(graph.outputs[name]):
                found = []
                for sender in reversed(candidates):
                    rise = rises[receiver][sender]
                    if self.loss == "distance":
                        rise = abs(moved + rise) - abs(moved)
                    found.append(rise >= played.threshold)
                    if not found[-1]:
                        moved += rises[receiver][sender]
                keeps = tuple(reversed(found))
                played.keeps[receiver] = keeps
                played.tested += len(keeps)
                yield receiver, keeps
                heard.update(graph.senders[s] for s, stay in zip(candidates, keeps, strict=True) if stay)


def reads_of(contrast: Contrast, metric: Metric) -> tuple[str, ...]:
    """The parts by which ACDC reads a metric."""
    if metric.measure.columns:
        return ("columns",)
    return ("unembed", "change" if reads_change(contrast.model, metric) else "metric")


def _log(threshold: float) -> float:
    return math.log(max(threshold, 1e-300))


def _foreseen(receiver: int, keeps: Sequence[bool], followed: Sequence[Played]) -> tuple[int, list[Played]]:
    """How many of a receiver's candidates, the latest senders first, others have measured in the same state.

    And which of the others go on to be in the same state.
    """
    best, agreeing = 0, []
    for other in followed:
        theirs = other.keeps.get(receiver)
        if theirs is None:
            continue
        backwards = zip(reversed(keeps), reversed(theirs), strict=True)
        same = next((n for n, (mine, its) in enumerate(backwards, 1) if mine != its), None)
        best = max(best, len(keeps) if same is None else same)
        if same is None:
            agreeing.append(other)
    return best, agreeing


@dataclass(frozen=True, slots=True)
class _Cost:
    """What an evaluation takes: for each row, for itself, and for the trace that it is in."""

    row: Work
    call: Work
    trace: Work


class _Wires:
    """Which nodes are alive, and where they are computed, while receivers are tested.

    Nodes are those of the graph without positions: as in `nncirc.engine.live` they are computed at all
    tokens, and what changes only where the metric reads is computed there only.
    """

    def __init__(self, sweep: Sweep) -> None:
        self.sweep, self.wiring = sweep, Wiring.of(sweep.graph.base)
        self.listeners: list[dict[int, None]] = [{} for _ in sweep.graph.base.senders]
        self.opened: set[int] = set()
        self.narrow_receiver = {len(sweep.graph.base.receivers) - 1}
        self.narrow_sender: set[int] = set()

    def open(self, receiver: int) -> None:
        """Begin to test a receiver, at one of its positions."""
        if receiver in self.opened:
            return
        self.opened.add(receiver)
        feeds = self.wiring.feeds[receiver]
        for sender in feeds:
            if self.listeners[sender] and all(r in self.narrow_receiver for r in self.listeners[sender]):
                self.narrow_sender.add(sender)
        only_queries = all(kind == 0 for kind, _ in self.wiring.units.get(receiver, ()))
        if only_queries and all(s in self.narrow_sender for s in feeds):
            self.narrow_receiver.add(receiver)

    def close(self, receiver: int, keeps: Sequence[bool]) -> Work:
        """A receiver has been tested: its input is summed afresh."""
        for sender, stays in enumerate(keeps):
            if stays:
                self.listeners[sender][receiver] = None
        tokens = sum(p.tokens for p in self.sweep.batches)
        return Work.of(len(self.sweep.batches), sum=len(keeps) * tokens, add=3 * tokens)

    def rebuild(self) -> Work:
        """Every live input is summed afresh."""
        tokens = sum(p.tokens for p in self.sweep.batches)
        live, edges = sum(map(bool, self.listeners)), sum(map(len, self.listeners))
        return Work.of(live, out=live * tokens) + Work.of(edges, add=(edges + live) * tokens)

    def test(self, receiver: int) -> _Cost:
        """One evaluation of a receiver's candidates, from its stage to the logits."""
        parts, calls = Counter[str](), Counter[str]()
        pending, sent, moved = {receiver}, 0, 0
        stage_of = self.wiring.stage_of
        at = self._tokens(narrow=receiver in self.narrow_receiver)
        # The senders' differences, summed up row by row: sums of that kind take as long as ten.
        parts["add"] += 24 * at
        for stage in self.wiring.stages[stage_of[receiver] :]:
            inputs = [r for r in stage.receivers if r in pending]
            if not inputs or stage.kind == "logits":
                continue
            pending.difference_update(inputs)
            senders = self._mlp(stage.layer, parts, calls) if stage.kind == "mlp" else []
            if stage.kind == "attention":
                senders = self._attention(stage.layer, inputs, parts, calls)
            moved += sum(self._tokens(narrow=r in self.narrow_receiver) for r in inputs)
            for sender in senders:
                tokens = self._tokens(narrow=sender in self.narrow_sender)
                parts["add"] += (len(self.listeners[sender]) + 2) * tokens
                sent += len(self.listeners[sender]) + 10
                moved += tokens
                pending.update(self.listeners[sender])
        batches = len(self.sweep.batches)
        positions = sum(p.positions for p in self.sweep.batches)
        for part in self.sweep.reads:
            parts[part] += positions
            calls[part] += 1
        calls["add"] += sent + SMALL_OPERATIONS
        rows = Work({part: (0.0, float(count)) for part, count in parts.items()})
        call = Work({part: (float(batches * count), 0.0) for part, count in calls.items()})
        # What is accepted is added to the state.
        return _Cost(rows, call + Work.of(0, add=3 * moved), Work.of(1, trace=0))

    def _tokens(self, *, narrow: bool) -> int:
        return sum(p.positions if narrow else p.tokens for p in self.sweep.batches)

    def _mlp(self, layer: int, parts: Counter[str], calls: Counter[str]) -> list[int]:
        sender = self.wiring.mlp_sender[layer]
        parts["mlp"] += self._tokens(narrow=sender in self.narrow_sender)
        calls["mlp"] += 1
        return [sender]

    def _attention(
        self, layer: int, inputs: Sequence[int], parts: Counter[str], calls: Counter[str]
    ) -> list[int]:
        """New projections of these receivers, and of the heads that they enter z and what they write."""
        shape = self.wiring.graph.shape
        group = shape.n_heads // shape.n_kv_heads
        fresh = set[tuple[int, int]]()
        for receiver in inputs:
            units = self.wiring.units[receiver]
            parts["add"] += 5 * len(units) * self._tokens(narrow=receiver in self.narrow_receiver)
            parts["unit"] += len(units) * self._tokens(narrow=receiver in self.narrow_receiver)
            fresh.update(units)
        calls["unit"] += 1
        calls["add"] += 40 + 10 * len(inputs)
        senders = self.wiring.head_sender[layer]
        found = dict[int, None]()
        for head, sender in enumerate(senders):
            enters = ((0, head), (1, head // group), (2, head // group))
            if self.listeners[sender] and fresh.intersection(enters):
                narrow = sender in self.narrow_sender
                pairs = sum((p.positions if narrow else p.tokens) * p.length for p in self.sweep.batches)
                parts["attend"] += pairs
                parts["out"] += self._tokens(narrow=narrow)
                found[sender] = None
        if found:
            calls["attend"] += 1
            calls["out"] += 1
        return list(found)
