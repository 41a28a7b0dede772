"""ACDC, automatic circuit discovery (Conmy et al. 2023, algorithm 1), exactly.

Receivers are tested from the output back, and of each receiver the edges from the latest sender to the
earliest. An edge is cut for good if the loss rises by less than the threshold: minus the metric, or how far
the metric is from the whole model's. A receiver whose node has
lost all its outgoing edges loses its incoming ones untested.

Two ways to the same circuit:

- `sequential`: one masked forward of the whole model for each candidate. Slow, and the definition.
- the default: only what a cut can change is computed (`engine.runs.live`), for several candidates at once:
  a row of an evaluation has one candidate cut, and those before it that are expected to be cut; rows count up
  to the first decision that was not expected. Without a reason to expect otherwise all will be cut; sweeps
  with other thresholds are a reason.

Where the fast way comes so near the threshold that rounding could decide, that one candidate is decided by
the sequential way's own numbers. So neither the batch size nor the depth of speculation can change a circuit.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from time import perf_counter

import torch

from nncirc.circuits.annotations import Positive
from nncirc.circuits.arguments import public
from nncirc.circuits.circuit import Circuit, prune
from nncirc.circuits.errors import MethodError
from nncirc.circuits.graph import Graph
from nncirc.circuits.names import Edge
from nncirc.circuits.rounding import decimals, rounded
from nncirc.engine.evaluation.faithfulness import cut_metric
from nncirc.engine.methods.rises import Journal, Measured, Record, Tried
from nncirc.engine.methods.speculation import Fixed, Pace
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.runs.contrast import Contrast, Loss, Zero
from nncirc.engine.runs.live import Change, Live, reads_change, with_modules
from nncirc.engine.runs.room import require_room
from nncirc.engine.runs.wiring import Wiring

CANONICAL_BATCH = 8
REBUILD_AFTER = 64
MOST_ROWS = 64


@public
def acdc(
    contrast: Contrast,
    graph: Graph,
    metric: Metric,
    *,
    threshold: float,
    loss: Loss = "metric",
    sequential: bool = False,
    depth: Positive | None = None,
    journal: Journal | None = None,
    measured: Measured | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Circuit:
    """The circuit that ACDC finds, pruned to what lies between `embed` and `logits`.

    Args:
        contrast: model, prompts and corruption; cut edges carry the corrupted activation.
        graph: the edges to choose from.
        metric: what the circuit is to keep.
        threshold: an edge is removed if the loss rises by less, in the metric's unit.
        loss: `metric`: minus the metric, or the metric itself for a divergence, so that edges go whose
            removal raises the metric beyond the whole model's. `distance`: how far the mean of the metric
            over prompts is from the whole model's, |m(C) - m(M)|, as faithfulness has it: prompts above and
            below make up for each other, which `kl_divergence` does not allow.
        sequential: whether to run the definition instead of its equal. Under zero ablation in less than
            float64 it always runs: use float64 there to be fast. So it does for metrics of which nobody can
            say how far rounding moves them, as counts; and for graphs of neurons: find the layers that matter
            with whole MLPs, and split few.
        depth: candidates that are tried at once; None to choose as it goes.
        journal: keeps what was decided, and gives back what an earlier run had decided, which is not
            tested again; not used by the definition.
        measured: what runs with other thresholds on the same contrast, graph, metric and loss have measured:
            this one takes from it and adds to it.
        progress: called with edges decided and edges in all, from the first on that is not from the journal.

    Returns:
        The circuit; an edge's score is by how much the loss rose when it was tried to be cut.

    Raises:
        MethodError: C531, the threshold is not a finite number of at least 0.
    """
    _check(threshold)
    sweep = _Sweep(contrast, graph, metric, threshold, loss)
    if measured is not None:
        sweep.followed, sweep.others = list(measured.records), list(measured.records)
    slow = (
        sequential
        or graph.neuron_counts
        or _amplifies_rounding(contrast)
        or metric.measure.sensitivity(0.0) == math.inf
    )
    scores = sweep.sequential(progress) if slow else sweep.live(depth, journal, progress)
    if measured is not None:
        measured.records.append(sweep.record)
    return _circuit(sweep, scores)


@public
def acdc_family(
    contrast: Contrast,
    graph: Graph,
    metric: Metric,
    *,
    thresholds: Sequence[float],
    loss: Loss = "metric",
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Circuit, ...]:
    """The circuits of several thresholds, each what `acdc` finds for it alone.

    What one member measured is not measured again by another for as long as both have decided alike.

    Args:
        contrast: model, prompts and corruption.
        graph: the edges to choose from.
        metric: as in `acdc`.
        thresholds: one for each circuit.
        loss: as in `acdc`.
        progress: called with edges decided and edges in all, over all members.

    Raises:
        MethodError: C531, a threshold is not a finite number of at least 0.
    """
    for threshold in thresholds:
        _check(threshold)
    measured = Measured()
    return tuple(
        acdc(
            contrast,
            graph,
            metric,
            threshold=threshold,
            loss=loss,
            measured=measured,
            progress=None if progress is None else _part(progress, number, len(thresholds)),
        )
        for number, threshold in enumerate(thresholds)
    )


def alive(graph: Graph, kept: Collection[str]) -> Iterator[tuple[int, bool]]:
    """The receivers from the output back, and whether their node still has an outgoing edge.

    Args:
        graph: the edges.
        kept: the senders of the edges that were kept so far; who iterates adds to it.
    """
    for receiver in reversed(range(len(graph.receivers))):
        name = graph.receivers[receiver]
        yield receiver, name in graph.sinks or any(sender in kept for sender in graph.outputs[name])


def _part(progress: Callable[[int, int], None], number: int, of: int) -> Callable[[int, int], None]:
    """Progress of one member as progress of the family."""
    return lambda done, total: progress(number * total + done, of * total)


def _amplifies_rounding(contrast: Contrast) -> bool:
    """Whether rounding can grow without a bound that is known beforehand.

    Cutting all edges into a node to zero leaves it what rounding leaves of a sum that should be nothing, and
    its norm brings that to the size of a signal. In float64 so little is left that nothing comes of it.
    """
    return isinstance(contrast.corruption, Zero) and contrast.model.dtype != torch.float64


def _check(threshold: float) -> None:
    if not 0 <= threshold < math.inf:
        raise MethodError(
            "C531",
            f"`threshold` must be finite and at least 0, got {threshold}",
            hint="write threshold = 0.02",
        )


def _circuit(sweep: _Sweep, scores: Mapping[Edge, float]) -> Circuit:
    contrast = sweep.contrast
    made = {
        "method": "acdc",
        "threshold": sweep.threshold,
        "loss": sweep.of,
        "direction": "noise",
        "score": "rise of the loss when the edge is cut",
        "tested": sweep.tested,
        **contrast.facts(sweep.metric),
    }
    places = decimals(scores.values(), contrast.model.digits)
    written = {edge: rounded(score, places) for edge, score in scores.items()}
    return prune(Circuit(sweep.graph, written, made=made))


@dataclass(frozen=True, slots=True, eq=False)
class _Attempt:
    """Candidates of one receiver tried together: each is cut in its row, and below if that is expected."""

    senders: tuple[int, ...]
    expected: tuple[bool, ...]
    losses: tuple[float, ...]
    changes: tuple[Change, ...]


class _Sweep:
    """One run of the algorithm: what is cut so far, and the loss of that."""

    def __init__(
        self, contrast: Contrast, graph: Graph, metric: Metric, threshold: float, of: Loss = "metric"
    ) -> None:
        self.contrast, self.graph, self.metric, self.threshold = contrast, graph, metric, threshold
        self.of = of
        self.wiring = Wiring.of(graph.base)
        self.feeds = [{graph.sender_index[s] for s in graph.outputs[r]} for r in graph.receivers]
        self.cut: set[Edge] = set()
        self.scores: dict[Edge, float] = {}
        self.tested = 0
        self.restored = False  # whether the last receiver was decided by an earlier run
        self.base: tuple[int, float] | None = None
        self.record = Record(threshold)
        self.followed: list[Record] = []
        self.others: list[Record] = []

    def edge(self, receiver: int, sender: int) -> Edge:
        return Edge(self.graph.senders[sender], self.graph.receivers[receiver])

    def receivers(self, progress: Callable[[int, int], None] | None) -> Iterator[int]:
        """The receivers to test, from the output back; those of dead nodes lose their edges here."""
        kept: set[str] = set()
        done = 0
        for receiver, tested in alive(self.graph, kept):
            candidates = self.graph.heard(receiver)
            if tested:
                yield receiver
                edges = (self.edge(receiver, sender) for sender in candidates)
                kept.update(edge.sender for edge in edges if edge in self.scores)
            else:
                self.cut.update(self.edge(receiver, s) for s in candidates)
            done += len(candidates)
            if progress is not None and not self.restored:
                progress(done, self.graph.n_edges)

    # The definition ---------------------------------------------------------------------------------------

    def sequential(self, progress: Callable[[int, int], None] | None) -> dict[Edge, float]:
        for receiver in self.receivers(progress):
            # Again for every receiver: edges of dead nodes were cut, which moves it by rounding.
            current = self.exact()
            for sender in reversed(self.graph.heard(receiver)):
                edge = self.edge(receiver, sender)
                new = self.exact(edge)
                self.tested += 1
                if not self.refuses(new - current):
                    self.cut.add(edge)
                    current = new
                else:
                    self.scores[edge] = new - current
        return self.scores

    def exact(self, *more: Edge) -> float:
        """The loss with these edges cut as well, by one masked forward, the same on every run.

        The batch and the number of threads change how sums are rounded; here both are fixed.
        """
        if not more and self.base is not None and self.base[0] == len(self.cut):
            return self.base[1]
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            values = cut_metric(self.canonical, self.graph, self.metric, self.cut.union(more))
            loss = float(self.canonical.loss(self.metric, values[None], self.of))
        finally:
            torch.set_num_threads(threads)
        if not more:
            self.base = len(self.cut), loss
        return loss

    @cached_property
    def canonical(self) -> Contrast:
        """The contrast in batches of a fixed size."""
        given = self.contrast
        return Contrast(given.model, given.dataset, given.corruption, batch=CANONICAL_BATCH)

    # The fast way -----------------------------------------------------------------------------------------

    def live(
        self,
        depth: int | None,
        journal: Journal | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> dict[Edge, float]:
        contrast, model = self.contrast, self.contrast.model
        require_room(contrast, self.graph.base)
        self.states = [
            Live(contrast, self.metric, batch, self.graph, self.wiring) for batch in contrast.batches
        ]
        self.logit_error = self.rounding_error()
        self.pace = Pace(MOST_ROWS) if depth is None else Fixed(depth)
        clean = torch.tensor([[contrast.clean(self.metric)]], dtype=torch.float64)
        self.current = float(contrast.loss(self.metric, clean, self.of))
        accepted = 0
        for receiver in self.receivers(progress):
            if accepted > REBUILD_AFTER:
                for state in self.states:
                    state.rebuild()
                accepted = 0
            for state in self.states:
                state.open(receiver)
            candidates = self.graph.heard(receiver)
            queue = deque(reversed(candidates))
            known = None if journal is None else journal.known(self.graph.receivers[receiver])
            self.restored = known is not None
            if known is not None:
                # What was measured is not known, so that nothing can be said of those who measured the same.
                self.followed = []
                decided = [(s, known.get(self.graph.senders[s])) for s in queue]
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
            kept = [s for s in candidates if self.edge(receiver, s) in self.scores]
            accepted += len(candidates) - len(kept)
            for state in self.states:
                state.close(receiver, kept)
            if journal is not None and known is None:
                journal.decided(
                    self.graph.receivers[receiver],
                    {self.graph.senders[s]: self.scores[self.edge(receiver, s)] for s in kept},
                )
        return self.scores

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
                self.scores[self.edge(receiver, sender)] = rise
        if not cut:
            return
        self.cut.update(self.edge(receiver, s) for s in cut)
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

    def advance(self, receiver: int, queue: deque[int]) -> _Attempt | None:
        """Test candidates until the queue is empty, or until one is too near the threshold to decide here."""
        while queue:
            rows = self.pace.depth(min(len(queue), self.most))
            attempt = self.attempt(receiver, tuple(islice(queue, rows)))
            if any(self.near(one) for _, one in self.walk(receiver, attempt)):
                return attempt
            self.settle(receiver, queue, attempt)
        return None

    def attempt(self, receiver: int, senders: tuple[int, ...]) -> _Attempt:
        began = perf_counter()
        expected = tuple(s not in self.guesses or not self.refuses(self.guesses[s]) for s in senders)
        parts = [state.cut(receiver, senders, expected) for state in self.states]
        values = self.contrast.in_order([part for part, _ in parts])
        losses = self.contrast.loss(self.metric, values, self.of).tolist()
        self.pace.took(len(senders), perf_counter() - began)
        return _Attempt(senders, expected, tuple(losses), tuple(change for _, change in parts))

    def walk(self, receiver: int, attempt: _Attempt, *, exactly: bool = False) -> Iterator[tuple[int, Tried]]:
        """An attempt's rows with what they say, up to the first that is not decided as expected.

        With `exactly` the definition measures what rounding could decide; whoever asks for that adds to
        `self.cut` what is accepted as it comes.
        """
        before = self.current
        for row, (sender, loss) in enumerate(zip(attempt.senders, attempt.losses, strict=True)):
            one = Tried(sender, loss - before, self.loss_error(loss) + self.loss_error(before))
            if exactly and self.near(one):
                one = Tried(sender, self.exact(self.edge(receiver, sender)) - self.exact(), 0.0)
            yield row, one
            refused = self.refuses(one.rise)
            if refused is attempt.expected[row]:
                return
            if not refused:
                before = loss

    def refuses(self, rise: float) -> bool:
        """Whether an edge that raises the loss by so much stays in the circuit."""
        return rise >= self.threshold

    def near(self, one: Tried) -> bool:
        """Whether a rise is so near the threshold that rounding could decide, or is no number."""
        return not abs(one.rise - self.threshold) > one.error

    def settle(self, receiver: int, queue: deque[int], attempt: _Attempt) -> None:
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
                self.scores[edge] = one.rise
            else:
                self.cut.add(edge)
                accepted = row
        if accepted is not None:
            self.current = attempt.losses[accepted]
            for state, change in zip(self.states, attempt.changes, strict=True):
                state.accept(change, accepted)

    def rounding_error(self) -> float:
        """A generous bound on how rounding moves a logit between the two ways.

        Sums in float32 over all tokens err as if logits were off by a few more roundings of 1.
        """
        largest = max(
            float(self.contrast.clean_logits(batch, self.metric).abs().max())
            for batch in self.contrast.batches
        )
        sums = 32 if reads_change(self.contrast.model, self.metric) else 0
        return (64 * max(1.0, largest) + sums) * self.contrast.model.resolution

    def loss_error(self, loss: float) -> float:
        """A bound on how rounding moves a loss: what logits so far off do to the metric at this value."""
        normal = self.contrast.normalizer(self.metric)
        terms = max(self.contrast.reading(batch, self.metric).terms for batch in self.contrast.batches)

        sensitivity = self.metric.measure.sensitivity
        # A sensitivity that grows with the value is that of a point: a term of second order belongs to it.
        second = self.logit_error**2 if math.isinf(sensitivity(math.inf)) else 0.0

        def moved(value: float) -> float:
            return terms * (self.logit_error * sensitivity(value) + second) / abs(normal.span)

        if self.of == "metric":
            return moved(normal.zero - normal.span * loss if self.metric.normalize else abs(loss))
        # Both the metric, which is as far from the whole model's on either side of it, and that itself.
        whole, away = self.contrast.clean(self.metric), normal.span * loss
        return max(moved(whole - away), moved(whole + away)) + moved(whole)

    def most_rows(self) -> int:
        """How many candidates a quarter of the memory has room for."""
        return max(1, self.contrast.memory // 4 // sum(state.row_bytes() for state in self.states))
