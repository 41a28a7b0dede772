"""ACDC without runs whose result is known: the circuit of `engine.methods.acdc.definition`, edge for edge.

Each line of the definition, and what does its work here:

    for receiver in reversed(...)    `alive`: the same, and whether the node still has an outgoing edge
    before = loss(removed)           `Sweep.current`, kept up to date by what was accepted
    after = loss(removed | {edge})   `Sweep.attempt`: for several candidates at once, and of each only what it
                                     can change is computed (`engine.runs.live`)
    after - before < threshold       `Sweep.refuses` says the contrary; where it is so near that rounding may
                                     decide (`Sweep.near`), the definition's own numbers are taken
    removed, kept                    `Sweep.settle`

A row of an attempt has one candidate cut, and those before it that are expected to be cut; rows count up to
the first decision that was not expected. Without a reason to expect otherwise all will be cut; sweeps with
other thresholds are a reason. What these have decided alike so far is not measured again (`Sweep.foreseen`),
nor what an interrupted run had decided (the journal). How many candidates are tried at once is a matter of
speed alone (`Pace`).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import islice
from time import perf_counter

import torch

from nncirc.circuits.arguments import public
from nncirc.circuits.errors import ResourceError
from nncirc.circuits.graph import Graph
from nncirc.circuits.names import Edge
from nncirc.circuits.words import counted, memory_in_words
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.journal import Journal
from nncirc.engine.runs.live import Change, Live, reads_change, with_modules
from nncirc.engine.runs.memory import free_memory
from nncirc.engine.runs.normalization import Loss
from nncirc.engine.runs.wiring import Wiring

REBUILD_AFTER = 64
MOST_ROWS = 64


@dataclass(frozen=True, slots=True)
class Tried:
    """A candidate that was tried: by how much the loss rose, and how far off that can be."""

    sender: int
    rise: float
    error: float


@dataclass(frozen=True, slots=True)
class Record:
    """What a sweep measured: by receiver the candidates in the order in which they were tried."""

    threshold: float
    tried: dict[int, list[Tried]] = field(default_factory=dict)


@public
@dataclass(frozen=True, slots=True)
class Measured:
    """What runs of ACDC that differ in nothing but the threshold have measured."""

    records: list[Record] = field(default_factory=list)


class Pace:
    """How many candidates to try at once: the number that should decide the most edges in a second.

    An evaluation of n rows takes about a + b·n seconds, measured as the sweep goes; with a share p of
    candidates decided as expected it decides (1 − pⁿ) / (1 − p) of them. With `rows` it is always so many.
    """

    def __init__(self, rows: int | None = None) -> None:
        self.rows, self.most = rows, MOST_ROWS
        self.expected = 0.9
        self.sums = [0.0] * 5  # weight, n, n², t, n·t: of a least-squares line, older measurements fading

    def depth(self, left: int) -> int:
        """How many to try of so many that are left."""
        if self.rows is not None:
            return min(left, self.rows)
        weight, n, nn, t, nt = self.sums
        spread = weight * nn - n * n
        if spread < 1e-6 * (1 + nn):
            return min(left, self.most, 2 if weight and n / weight < 1.5 else 1)
        slope = max((weight * nt - n * t) / spread, 1e-9)
        start = max((t - slope * n) / weight, 0.0)
        share = min(self.expected, 0.999)
        choices = [1 << i for i in range(self.most.bit_length()) if 1 << i <= self.most]
        best = max(choices, key=lambda rows: (1 - share**rows) / (1 - share) / (start + slope * rows))
        return min(left, best)

    def took(self, rows: int, seconds: float) -> None:
        """An evaluation of so many took so long."""
        self.sums = [
            0.9 * old + new
            for old, new in zip(self.sums, (1, rows, rows * rows, seconds, rows * seconds), strict=True)
        ]

    def saw(self, *, as_expected: bool) -> None:
        """A candidate was decided."""
        self.expected += 0.05 * (as_expected - self.expected)


def alive(graph: Graph, kept: Collection[str]) -> Iterator[tuple[int, bool]]:
    """The receivers from the output back, and whether their node still has an outgoing edge.

    Args:
        graph: the edges.
        kept: the senders of the edges that were kept so far; who iterates adds to it.
    """
    for receiver in reversed(range(len(graph.receivers))):
        name = graph.receivers[receiver]
        yield receiver, name in graph.sinks or any(sender in kept for sender in graph.outputs[name])


@dataclass(frozen=True, slots=True, eq=False)
class Attempt:
    """Candidates of one receiver tried together: each is cut in its row, and below if that is expected."""

    senders: tuple[int, ...]
    expected: tuple[bool, ...]
    losses: tuple[float, ...]
    changes: tuple[Change, ...]


class Sweep:
    """One run of the algorithm: what is removed so far, and the loss of that.

    Args:
        contrast: model, prompts and corruption.
        graph: the edges to choose from.
        metric: what the circuit is to keep.
        threshold: an edge is removed if the loss rises by less.
        of: the loss, as in `Contrast.loss`.
        exact: the definition's loss of what is removed.
        measured: what sweeps with other thresholds have measured; this one adds to it when it has run.
    """

    def __init__(
        self,
        contrast: Contrast,
        graph: Graph,
        metric: Metric,
        threshold: float,
        of: Loss,
        exact: Callable[[frozenset[Edge]], float],
        measured: Measured | None = None,
    ) -> None:
        self.contrast, self.graph, self.metric = contrast, graph, metric
        self.threshold, self.of, self.exact = threshold, of, exact
        self.removed: set[Edge] = set()
        self.kept: dict[Edge, float] = {}
        self.tested = 0
        self.record = Record(threshold)
        self.measured = Measured() if measured is None else measured
        self.followed, self.others = list(self.measured.records), list(self.measured.records)

    def edge(self, receiver: int, sender: int) -> Edge:
        """By indices."""
        return Edge(self.graph.senders[sender], self.graph.receivers[receiver])

    def run(
        self,
        depth: int | None = None,
        journal: Journal | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> dict[Edge, float]:
        """The edges that are kept, each with the rise of the loss when it was tested."""
        contrast, graph = self.contrast, self.graph
        require_room(contrast, graph.base)
        wiring = Wiring.of(graph.base)
        self.states = [Live(contrast, self.metric, batch, graph, wiring) for batch in contrast.batches]
        self.pace = Pace(depth)
        clean = torch.tensor([[contrast.clean(self.metric)]], dtype=torch.float64)
        self.current = float(contrast.loss(self.metric, clean, self.of))
        # Logits that memory has no room to keep are computed here: a trace within an attempt never begins.
        _ = self.logit_error
        heard: set[str] = set()
        done = accepted = 0
        restored = False  # dead receivers take no time: they are reported as the one before them
        for receiver, tested in alive(graph, heard):
            candidates = graph.heard(receiver)
            if tested:
                if accepted > REBUILD_AFTER:
                    with_modules(self.contrast.model, self.rebuild)
                    accepted = 0
                restored = self.test(receiver, journal)
                kept = [sender for sender in candidates if self.edge(receiver, sender) in self.kept]
                accepted += len(candidates) - len(kept)
                heard.update(graph.senders[sender] for sender in kept)
            else:
                self.removed.update(self.edge(receiver, sender) for sender in candidates)
                if self.states[0].is_coupled(receiver) and self.states[0].reaches(receiver):
                    with_modules(self.contrast.model, partial(self.drop, receiver, candidates))
            done += len(candidates)
            if progress is not None and not restored:
                progress(done, graph.n_edges)
        self.measured.records.append(self.record)
        return self.kept

    def rebuild(self) -> None:
        """Let what adding changes has drifted from be summed afresh."""
        for state in self.states:
            state.rebuild()

    def drop(self, receiver: int, candidates: Sequence[int]) -> None:
        """Cut the edges into a head without listeners, whose layer shares the scale of a norm."""
        for state in self.states:
            state.open(receiver)
        parts = [state.cut_together(receiver, candidates) for state in self.states]
        values = self.contrast.in_order([part for part, _ in parts])
        self.current = float(self.contrast.loss(self.metric, values, self.of))
        for state, (_, change) in zip(self.states, parts, strict=True):
            state.accept(change, 0)
            state.close(receiver, ())

    def test(self, receiver: int, journal: Journal | None) -> bool:
        """Decide on the edges into a receiver; whether an earlier run had decided on them."""
        model, senders, name = self.contrast.model, self.graph.senders, self.graph.receivers[receiver]
        candidates = self.graph.heard(receiver)
        for state in self.states:
            state.open(receiver)
        queue = deque(reversed(candidates))
        known = None if journal is None else journal.known(name)
        if known is not None:
            # The journal has no measured numbers, so sweeps that measured the same cannot be followed.
            self.followed = []
            decided = [(sender, known.get(senders[sender])) for sender in queue]
        else:
            foreseen = self.foreseen(receiver)
            decided = [(one.sender, one.rise if self.refuses(one.rise) else None) for one in foreseen]
        if decided:
            with_modules(model, partial(self.replay, receiver, queue, decided))
        self.guesses = self.guessed(receiver)
        self.most = self.most_rows()
        while queue:
            near = with_modules(model, partial(self.advance, receiver, queue))
            if near is not None:
                self.settle(receiver, queue, near)
        kept = [sender for sender in candidates if self.edge(receiver, sender) in self.kept]
        for state in self.states:
            state.close(receiver, kept)
        if journal is not None and known is None:
            journal.decided(
                name, {senders[sender]: self.kept[self.edge(receiver, sender)] for sender in kept}
            )
        return known is not None

    # The test of the definition -----------------------------------------------------------------------------

    def attempt(self, receiver: int, senders: tuple[int, ...]) -> Attempt:
        """Several candidates at once."""
        began = perf_counter()
        expected = tuple(s not in self.guesses or not self.refuses(self.guesses[s]) for s in senders)
        parts = [state.cut(receiver, senders, expected) for state in self.states]
        values = self.contrast.in_order([part for part, _ in parts])
        losses = self.contrast.loss(self.metric, values, self.of).tolist()
        self.pace.took(len(senders), perf_counter() - began)
        return Attempt(senders, expected, tuple(losses), tuple(change for _, change in parts))

    def refuses(self, rise: float) -> bool:
        """Whether an edge that raises the loss by so much stays in the circuit."""
        return rise >= self.threshold

    def near(self, one: Tried) -> bool:
        """Whether a rise is so near the threshold that rounding could decide, or is not a number."""
        return not abs(one.rise - self.threshold) > one.error

    def walk(self, receiver: int, attempt: Attempt, *, exactly: bool = False) -> Iterator[tuple[int, Tried]]:
        """An attempt's rows with what they say, up to the first that is not decided as expected.

        With `exactly` the definition measures what rounding could decide; whoever asks for that adds to
        `self.removed` what is accepted as it comes.
        """
        before, error_before = self.current, self.loss_error(self.current)
        for row, (sender, loss) in enumerate(zip(attempt.senders, attempt.losses, strict=True)):
            error = self.loss_error(loss)
            one = Tried(sender, loss - before, error + error_before)
            if exactly and self.near(one):
                removed = frozenset(self.removed)
                one = Tried(
                    sender, self.exact(removed | {self.edge(receiver, sender)}) - self.exact(removed), 0.0
                )
            yield row, one
            refused = self.refuses(one.rise)
            if refused is attempt.expected[row]:
                return
            if not refused:
                before, error_before = loss, error

    def advance(self, receiver: int, queue: deque[int]) -> Attempt | None:
        """Test candidates until the queue is empty, or until one is too near the threshold to decide here."""
        while queue:
            rows = self.pace.depth(min(len(queue), self.most))
            attempt = self.attempt(receiver, tuple(islice(queue, rows)))
            if any(self.near(one) for _, one in self.walk(receiver, attempt)):
                return attempt
            self.settle(receiver, queue, attempt)
        return None

    def settle(self, receiver: int, queue: deque[int], attempt: Attempt) -> None:
        """Take an attempt's decisions; its last accepted row becomes the state."""
        accepted: int | None = None
        for row, one in self.walk(receiver, attempt, exactly=True):
            edge = self.edge(receiver, one.sender)
            queue.popleft()
            self.tested += 1
            self.record.tried[receiver].append(one)
            refused = self.refuses(one.rise)
            self.pace.saw(as_expected=refused is not attempt.expected[row])
            if refused:
                self.kept[edge] = one.rise
            else:
                self.removed.add(edge)
                accepted = row
        if accepted is not None:
            self.current = attempt.losses[accepted]
            for state, change in zip(self.states, attempt.changes, strict=True):
                state.accept(change, accepted)

    # What need not be tested --------------------------------------------------------------------------------

    def foreseen(self, receiver: int) -> list[Tried]:
        """What sweeps that have decided like this one so far measured of a receiver.

        Only up to the first decision that is another for this threshold, which is still known, or that
        rounding could make another.
        """
        best: list[Tried] = []
        agreeing = []
        for record in self.followed:
            same = receiver in record.tried
            tried = []
            for one in record.tried.get(receiver, ()):
                if same and not self.near(one):
                    tried.append(one)
                    same = self.refuses(one.rise) == (one.rise >= record.threshold)
                else:
                    same = False
                    break
            if same:
                agreeing.append(record)
            best = max(best, tried, key=len)
        self.followed = agreeing
        self.record.tried[receiver] = list(best)
        return best

    def replay(self, receiver: int, queue: deque[int], decided: Sequence[tuple[int, float | None]]) -> None:
        """Take over decisions on a receiver's first candidates: all cuts at once."""
        cut = [sender for sender, rise in decided if rise is None]
        for sender, rise in decided:
            queue.popleft()
            self.tested += 1
            if rise is not None:
                self.kept[self.edge(receiver, sender)] = rise
        if not cut:
            return
        self.removed.update(self.edge(receiver, sender) for sender in cut)
        parts = [state.cut_together(receiver, cut) for state in self.states]
        values = self.contrast.in_order([part for part, _ in parts])
        self.current = float(self.contrast.loss(self.metric, values, self.of))
        for state, (_, change) in zip(self.states, parts, strict=True):
            state.accept(change, 0)

    def guessed(self, receiver: int) -> dict[int, float]:
        """By how much a receiver's candidates raised the loss at the nearest threshold that tried them."""
        found: dict[int, float] = {}
        for record in sorted(self.others, key=self.distance, reverse=True):
            found.update((one.sender, one.rise) for one in record.tried.get(receiver, ()))
        return found

    def distance(self, record: Record) -> float:
        """How far a sweep's threshold is from this one, in factors."""
        low, high = sorted((record.threshold, self.threshold))
        return high / low if low else math.inf if high else 1.0

    # Rounding and room --------------------------------------------------------------------------------------

    @cached_property
    def logit_error(self) -> float:
        """A generous bound on how rounding moves a logit between the two ways.

        Sums in float32 over all tokens err as if logits were off by a few more roundings of 1.
        """
        largest = max(
            float(self.contrast.clean_logits(batch, self.metric).abs().max())
            for batch in self.contrast.batches
        )
        sums = 32 if reads_change(self.contrast.model, self.metric) else 0
        return (64 * max(1.0, largest) + sums) * self.contrast.model.resolution

    @cached_property
    def terms(self) -> int:
        """How many values of a prompt can move each by its own."""
        return max(self.contrast.reading(batch, self.metric).terms for batch in self.contrast.batches)

    def loss_error(self, loss: float) -> float:
        """A bound on how rounding moves a loss: what logits so far off do to the metric at this value."""
        normal, sensitivity = self.contrast.normalizer(self.metric), self.metric.measure.sensitivity
        # A sensitivity that grows with the value is that of a point, and is nothing at 0: a term of second
        # order belongs to it, and the rounding of the metric itself, of log-probabilities that cancel.
        own = self.logit_error * torch.finfo(torch.float64).eps / self.contrast.model.resolution
        second = self.logit_error**2 + own if math.isinf(sensitivity(math.inf)) else 0.0

        def moved(value: float) -> float:
            return self.terms * (self.logit_error * sensitivity(value) + second) / abs(normal.span)

        if self.of == "metric":
            return moved(normal.zero - normal.span * loss if self.metric.normalize else abs(loss))
        # Both the metric, which is as far from the whole model's on either side of it, and that itself.
        whole, away = self.contrast.clean(self.metric), normal.span * loss
        return max(moved(whole - away), moved(whole + away)) + moved(whole)

    def most_rows(self) -> int:
        """How many candidates a quarter of the memory has room for."""
        return max(1, self.contrast.memory // 4 // sum(state.row_bytes() for state in self.states))


def state_bytes(contrast: Contrast, graph: Graph) -> int:
    """Bytes of what ACDC knows of all prompts at once, which cannot be split.

    What senders write in the clean run, its difference from the substitute, what they write now; the clean
    run's residual stream, queries, keys, values and z; and two inputs of every receiver that is alive, of
    which a quarter are at most times.
    """
    model = contrast.model
    units = 3 * len(graph.senders) + 6 * model.shape.n_layers + 1 + len(graph.receivers) // 2
    tokens = sum(batch.clean.numel() for batch in contrast.batches)
    return units * tokens * model.d_model * model.dtype.itemsize


def require_room(contrast: Contrast, graph: Graph) -> None:
    """Refuse ACDC before the machine does: the state of all prompts is needed at once.

    Raises:
        ResourceError: C701, there is less memory than that, or less is allowed.
    """
    needed, free = state_bytes(contrast, graph), contrast.most_memory
    if free is None:
        free = free_memory(contrast.model.device)
    if needed > free:
        raise ResourceError(
            "C701",
            f"ACDC needs about {memory_in_words(needed)} for"
            f" {counted(len(contrast.dataset.examples), 'prompt')};"
            f" {memory_in_words(free)} is available",
            hint="use fewer or shorter prompts, a smaller dtype, or whole attention layers instead of heads",
        )
