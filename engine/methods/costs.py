"""What methods cost, from shape and prompts, before they run: multiplications, passes, bytes.

Time has two parts. Matrix products take as long as their multiplications; a pass over the layers takes some
time however few tokens it is given, since it calls every module and reads its weights. So

    seconds = multiplications / rate + passes * least

where `rate` and `least` are measured with two plain forwards, of all prompts and of one token. That is right
within a factor of two for patching, attribution and ACDC; costs marked `at_most` are upper bounds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from time import perf_counter, process_time
from typing import TypeAlias

import torch

from nncirc.circuits.graph import Graph, Shape
from nncirc.circuits.names import Edge, Position
from nncirc.circuits.parts import INPUTS, OUTPUTS, STREAM, Part
from nncirc.engine.methods.acdc_fast import alive, state_bytes
from nncirc.engine.methods.attribution_patching import halfway
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.model.model import Model
from nncirc.engine.runs.capture import sender_stages
from nncirc.engine.runs.cells import rows_in_a_trace
from nncirc.engine.runs.columns import mask_of
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import Mean, Resample, Zero
from nncirc.engine.runs.memory import TOKENS_IN_A_TRACE, pass_bytes
from nncirc.engine.runs.normalization import Loss
from nncirc.engine.runs.patches import begins_of
from nncirc.engine.runs.wiring import Wiring, attention_receivers

ELEMENTWISE = 100  # multiplications of a product in the time of one number of a softmax, in float64
MASKED_PASSES = 4  # passes in the time of a masked forward's small operations
BACKWARD_OF_ATTENTION = 2.5  # products for each of the forward: scores again, and gradients of four factors
EVALUATION = 1.5  # passes in the time of an ACDC evaluation's small operations, of every layer
PILOT_PROMPTS = 8  # from which ACDC's effects are estimated
ROWS = 6  # candidates that are tried at once: what speculation mostly comes to
BLOCK = 20  # vectors of a token in a block: the widest is an MLP, with what its activation function makes


@dataclass(frozen=True, slots=True)
class Cost:
    """What a method takes.

    Attributes:
        multiplications: of matrix products.
        passes: how often the layers are gone through, with however many tokens.
        memory: bytes of activations held at once; 0 where they are not counted.
        tested: of ACDC, how many edges are tested.
        at_most: whether these are upper bounds.
        forwards: multiplications in those of a plain forward of all prompts, once that is known.
        seconds: on this machine, if nothing else runs on it; None where not even a few layers fit there.
    """

    multiplications: float = 0.0
    passes: float = 0.0
    memory: int = 0
    tested: int = 0
    at_most: bool = False
    forwards: float = 0.0
    seconds: float | None = 0.0

    def __add__(self, other: Cost) -> Cost:
        """Both, one after the other."""
        known = self.seconds is not None and other.seconds is not None
        return Cost(
            self.multiplications + other.multiplications,
            self.passes + other.passes,
            max(self.memory, other.memory),
            self.tested + other.tested,
            self.at_most or other.at_most,
            self.forwards + other.forwards,
            (self.seconds or 0.0) + (other.seconds or 0.0) if known else None,
        )

    def __mul__(self, times: float) -> Cost:
        return replace(self, multiplications=self.multiplications * times, passes=self.passes * times)


FREE = Cost()
MOST = Cost(at_most=True)
"""Added to a cost, makes it an upper bound."""


@dataclass(frozen=True, slots=True)
class Prompts:
    """Prompts that run together: how many, tokens of each, and positions where a metric reads any of them."""

    count: int
    length: int
    read: int = 1

    @property
    def tokens(self) -> int:
        """Tokens of all."""
        return self.count * self.length

    @property
    def positions(self) -> int:
        """Positions that are unembedded."""
        return self.count * self.read


def prompts_of(contrast: Contrast, metric: Metric | None = None) -> Iterator[Prompts]:
    """The batches of a contrast, read by a metric."""
    for batch in contrast.batches:
        read = 1 if metric is None else len(contrast.reading(batch, metric).kept)
        count, length = batch.clean.shape
        yield Prompts(count, length, read)


# Parts of a model at one token ------------------------------------------------------------------------------


def unit(model: Model) -> int:
    """One head's query, key, value or output."""
    return model.d_model * model.d_head


def inputs(model: Model) -> int:
    """The queries, keys and values of all layers."""
    return model.shape.n_layers * (model.shape.n_heads + 2 * model.shape.n_kv_heads) * unit(model)


def outputs(model: Model) -> int:
    """The outputs of all heads of all layers."""
    return model.shape.n_layers * model.shape.n_heads * unit(model)


def mlp(model: Model) -> int:
    """One MLP. Those that write nothing run all the same; of experts those that a token goes through."""
    config, last = model.module.config, attrgetter(model.family.blocks)(model.module)[-1]
    weights = [*attrgetter(model.family.mlp)(last).parameters()]
    experts = sum(weight.numel() // len(weight) for weight in weights if weight.ndim == 3)
    dense = sum(weight.numel() for weight in weights if weight.ndim == 2)
    return dense + experts * int(getattr(config, "num_experts_per_tok", 0) or 0)


def attention(model: Model, length: float) -> float:
    """One layer of attention, where a token sees so many."""
    projections = (inputs(model) + outputs(model)) / model.shape.n_layers
    return projections + 2 * model.shape.n_heads * model.d_head * length


def blocks(model: Model, length: float) -> float:
    """All layers, where a token sees so many."""
    return model.shape.n_layers * (attention(model, length) + mlp(model))


def unembed(model: Model) -> int:
    """The logits, and a metric that reads them all."""
    return (model.d_model + ELEMENTWISE) * model.vocabulary


# Runs ------------------------------------------------------------------------------------------------------


def unread(model: Model, prompts: Prompts) -> Cost:
    """A plain run without logits."""
    return Cost(prompts.tokens * blocks(model, prompts.length), 1)


def measured(model: Model, prompts: Prompts) -> Cost:
    """A plain run, and a metric of it."""
    return unread(model, prompts) + Cost(prompts.positions * unembed(model))


def plain_forward(model: Model, prompts: Prompts) -> Cost:
    """A plain run with logits at every position: the unit of what plans report."""
    return unread(model, prompts) + Cost(prompts.tokens * model.d_model * model.vocabulary)


def heads_apart(model: Model, graph: Graph, prompts: Prompts) -> Cost:
    """What every head and every neuron of a graph writes, one by one."""
    neurons = sum(graph.neuron_counts.values()) * (model.d_model + ELEMENTWISE)
    return Cost(prompts.tokens * (outputs(model) + neurons))


def masked(model: Model, graph: Graph, prompts: Prompts) -> Cost:
    """A masked forward, in which every receiver has its own input, and a metric of it."""
    sums = graph.n_edges * (model.d_model if not graph.positions else 2)
    own = Cost(prompts.tokens * (inputs(model) + sums), MASKED_PASSES - 1)
    return measured(model, prompts) + heads_apart(model, graph, prompts) + own


def gradient(model: Model, prompts: Prompts) -> Cost:
    """A forward and a backward of a metric."""
    back = prompts.tokens * blocks(model, BACKWARD_OF_ATTENTION * prompts.length)
    return measured(model, prompts) + Cost(back + prompts.positions * unembed(model), 3)


def written(contrast: Contrast, run: str) -> Cost:
    """What senders write in the `clean` or the `corrupt` run of all prompts."""
    runs = list(prompts_of(contrast))
    if run == "corrupt" and isinstance(contrast.corruption, Zero):
        runs = [Prompts(1, 1)]
    elif run == "corrupt" and isinstance(contrast.corruption, Mean):  # prompt by prompt
        source = contrast.corruption.source or contrast.dataset
        runs = [Prompts(1, len(example.tokens)) for example in source.examples]
    return sum((unread(contrast.model, prompts) for prompts in runs), FREE)


# Methods ---------------------------------------------------------------------------------------------------


def attribution(
    model: Model, graph: Graph, prompts: Prompts, *, steps: int, along: str, by_edges: bool
) -> Cost:
    """Attribution scores of one batch, once both runs are there."""
    base, places = graph.base, len(graph.positions) or 1
    stages = len(sender_stages(base)) if along == "activations" and steps > 1 else 1
    apart = heads_apart(model, base, prompts)
    if not by_edges:
        return (gradient(model, prompts) + apart) * (steps * stages)
    by_input = Cost(prompts.tokens * inputs(model))
    products = Cost(base.n_edges * prompts.tokens * model.d_model, places)
    # Steps are summed up before they meet the senders, where there is room for that.
    return (gradient(model, prompts) + by_input) * (steps * stages) + apart + products


def query_key(model: Model, graph: Graph, prompts: Prompts) -> Cost:
    """Attention computed again for every edge into a query or key (AtP*)."""
    base, shape, places = graph.base, model.shape, len(graph.positions) or 1
    senders = sum(base.reach[attention_receivers(base, layer).start] for layer in range(shape.n_layers))
    each = (shape.n_heads + shape.n_kv_heads) * (unit(model) + 2 * model.d_head * prompts.length)
    return Cost(places * senders * prompts.tokens * each, places)


def patching(
    contrast: Contrast,
    graph: Graph,
    metric: Metric,
    columns: Sequence[Position | int | None],
    of: Sequence[Part] = OUTPUTS,
) -> Cost:
    """Activation patching of every one of `rows_of` at every one of `columns_of`.

    What nodes write in both runs is there. A patch takes all parts from the stage at which it begins, from
    the first token that it changes to the last that is read.
    """
    model, found, begins = contrast.model, FREE, begins_of(graph, of)
    for batch, prompts in zip(contrast.batches, prompts_of(contrast, metric), strict=True):
        layer = [attention(model, prompts.length), mlp(model)][: 1 + model.shape.mlps]
        parts = layer * model.shape.n_layers
        after = sum(count * sum(parts[number:]) for number, count in Counter(begins).items())
        end = int(contrast.reading(batch, metric).kept.max()) + 1
        tokens = []
        for column in columns:
            changed = mask_of(batch, column, torch.device("cpu"))
            if batch.corrupt is not None and isinstance(contrast.corruption, Resample):
                # Tokens before the first that differs see nothing that differs.
                changed &= (batch.clean != batch.corrupt).cpu().cumsum(1) > 0
            seen = changed.any(0)
            # Where tokens see later ones too, all may change.
            first = int(seen.int().argmax()) if model.causal else 0
            tokens.append(max(0, end - first) * prompts.count if seen.any() else 0)
        found += Cost(after * sum(tokens), sum(tokens) * len(begins) / TOKENS_IN_A_TRACE)
        found += Cost(0.0, 2 * len(columns) + model.shape.n_layers / 4)
        # Plain runs: of the state that patches begin with, and of what is patched that no node writes.
        found += unread(model, prompts) * (1 + 2 * (tuple(of) != OUTPUTS) + ("pattern" in of))
        if not metric.measure.columns:
            found += Cost(len(begins) * sum(map(bool, tokens)) * prompts.positions * unembed(model))
    return found


def edited(model: Model, prompts: Prompts, rows: int) -> Cost:
    """At most what so many edited runs take, as rows of traces, each a whole run.

    Three more are those that they are compared with: clean, corrupted, and the one that is edited.
    """
    together = -(-rows * prompts.tokens // TOKENS_IN_A_TRACE)
    whole = measured(model, prompts)
    return Cost((rows + 3) * whole.multiplications, 5 + 2 * together, at_most=True)


# ACDC ------------------------------------------------------------------------------------------------------
#
# Its cost depends on its decisions, taken here on estimates: attribution scores of a few prompts with the
# gradient halfway between both runs, the midpoint rule of integrated gradients with one step. It is right to
# second order, so that a divergence, whose gradient on the clean run is zero, has one too.

Decisions: TypeAlias = dict[int, list[int]]
"""For every receiver that is tested the senders that it keeps."""


def effects(contrast: Contrast, graph: Graph, metric: Metric) -> Mapping[Edge, float]:
    """By how much the loss should rise when each edge is cut, from a few of the prompts."""
    return halfway(pilot(contrast), graph, metric).values


def pilot(contrast: Contrast) -> Contrast:
    """A contrast of a few of the prompts, from all over the dataset."""
    data, corruption = contrast.dataset, contrast.corruption
    step = -(-len(data.examples) // PILOT_PROMPTS)
    if isinstance(corruption, Resample):
        corruption = replace(corruption, examples=corruption.examples[::step])
    few = replace(data, examples=data.examples[::step], counterparts=None)
    return replace(contrast, dataset=few, corruption=corruption)


def discovery(
    contrast: Contrast,
    graph: Graph,
    metric: Metric,
    threshold: float,
    estimates: Mapping[Edge, float],
    others: Sequence[Decisions] = (),
    loss: Loss = "metric",
) -> tuple[Cost, Decisions]:
    """ACDC at one threshold, from estimates of what cutting every edge would do; and what it would decide.

    What one of `others`, with another threshold, measured is not measured again for as long as both have
    decided alike. A distance rises by what an effect adds to those of the edges cut before.
    """
    decisions: Decisions = {}
    agreeing, kept, moved = list(others), set[str](), 0.0
    found, places = written(contrast, "clean") + written(contrast, "corrupt"), len(graph.positions) or 1
    live = _Alive(contrast.model, graph.base, metric, tuple(prompts_of(contrast, metric)))
    for receiver, tested in alive(graph, kept):
        if not tested:
            continue
        candidates = graph.heard(receiver)
        keeps = []
        for sender in reversed(candidates):
            rise = estimates[Edge(graph.senders[sender], graph.receivers[receiver])]
            if (rise if loss == "metric" else abs(moved + rise) - abs(moved)) >= threshold:
                keeps.append(sender)
            else:
                moved += rise
        decisions[receiver] = keeps
        agreeing = [each for each in agreeing if each.get(receiver) == keeps]
        found += Cost(tested=len(candidates))
        evaluation = live.evaluation(receiver // places)
        if not agreeing:
            # A row counts up to the first candidate that is kept, which was not expected.
            attempts = len(keeps) + (len(candidates) - len(keeps)) / ROWS
            wasted = 1 + len(keeps) * (ROWS - 1) / 2 / len(candidates)
            found += Cost(evaluation.multiplications * len(candidates) * wasted, evaluation.passes * attempts)
        for sender in keeps:
            live.listeners[sender // places].add(receiver // places)
        kept.update(graph.senders[sender] for sender in keeps)
    return found, decisions


class _Alive:
    """Which nodes still have outgoing edges, and so what an evaluation of one receiver's candidates computes.

    As in `engine.runs.live`: whatever a change of the receiver reaches, and only where the metric reads if
    only that is read of it.
    """

    def __init__(self, model: Model, graph: Graph, metric: Metric, prompts: Sequence[Prompts]) -> None:
        self.unit, self.wiring, self.batches = unit(model), Wiring.of(graph), len(prompts)
        self.tokens = sum(each.tokens for each in prompts)
        self.positions = sum(each.positions for each in prompts)
        self.read = 0 if metric.measure.columns else self.positions * unembed(model)
        self.listeners: list[set[int]] = [set() for _ in graph.senders]
        self.reached: dict[int, set[int]] = {}  # by receiver those whose input changes with its own
        self.narrow = {len(graph.receivers) - 1}
        head = self.unit + 2 * model.d_head * max(each.length for each in prompts)
        # By sender its multiplications at a token.
        self.each = dict.fromkeys(self.wiring.mlp_sender, mlp(model))
        for sender in (each for heads in self.wiring.head_sender for each in heads):
            self.each[sender] = self.each.get(sender, 0) + head

    def evaluation(self, receiver: int) -> Cost:
        """One candidate of a receiver: all that changes, from the receiver to the logits."""
        wiring = self.wiring
        if receiver not in self.reached:
            fed = [self.listeners[sender] for sender in wiring.feeds[receiver]]
            self.reached[receiver] = {receiver}.union(*(self.reached[r] for each in fed for r in each))
            only_queries = all(kind == 0 for kind, _ in wiring.units.get(receiver, ()))
            if only_queries and all(each <= self.narrow for each in fed):
                self.narrow.add(receiver)
        found, reached = float(self.read), self.reached[receiver]
        for each in reached:
            found += len(wiring.units.get(each, ())) * self.unit * self.tokens_of({each})
        for sender in {sender for each in reached for sender in wiring.feeds[each] if self.listeners[sender]}:
            found += self.each[sender] * self.tokens_of(self.listeners[sender])
        stages = len({wiring.stage_of[each] for each in reached})
        return Cost(found, EVALUATION * self.batches * stages / len(wiring.stages))

    def tokens_of(self, receivers: set[int]) -> int:
        """The tokens at which receivers read: all of all prompts, or only those that the metric reads."""
        return self.positions if receivers <= self.narrow else self.tokens


# Bytes of activations held at once, within a factor of two --------------------------------------------------


def held(
    model: Model,
    tokens: int,
    *,
    kept: float = 0,
    running: int | None = None,
    positions: int = 0,
    doubles: int = 0,
) -> int:
    """What is kept of the tokens, and the largest of what comes and goes.

    In units of what one part of the model writes, so much is `kept` of every token. What comes and goes: the
    largest run, of as many tokens unless `running` says otherwise; or logits at some positions at a time, as
    made, cloned, and in float64 twice more; beside `doubles`, vectors as wide as the residual in float64.
    """
    size = model.dtype.itemsize
    unit, copies = model.d_model * size, 2 if model.dtype == torch.float64 else 3
    logits = model.vocabulary * positions * (2 * size + 8 * copies)
    block = BLOCK * (tokens if running is None else running) * unit
    return int(kept * tokens * unit) + max(block, logits + 8 * doubles * model.d_model)


def attribution_room(contrast: Contrast, neurons: int = 0) -> int:
    """Bytes that attribution patching holds: a pass, and what so many neurons write, as made and joined."""
    model = contrast.model
    most, token = contrast.memory // 16, neurons * model.d_model * model.dtype.itemsize
    return max(
        len(batch.indices) * pass_bytes(model, batch.clean.shape[1])
        + 2 * min(token * batch.clean.numel(), most)
        for batch in contrast.batches
    )


def patching_room(contrast: Contrast, of: Sequence[Part] = OUTPUTS) -> int:
    """Bytes that activation patching holds: both runs, their difference, the patched run's state, a trace."""
    tokens = max(batch.clean.numel() for batch in contrast.batches)
    # What no node writes is kept by run and as their difference; by head that once more.
    more = 6 * (not {*STREAM}.isdisjoint(of)) + 9 * (not {*INPUTS}.isdisjoint(of))
    more += sum(part in ("q", "k", "v", "pattern") for part in of)
    kept = (12 + more) * contrast.model.shape.n_layers + 4
    return held(contrast.model, tokens, kept=kept, running=TOKENS_IN_A_TRACE)


def edited_room(contrast: Contrast, metric: Metric, rows: int, kept: int) -> int:
    """Bytes that so many edited runs hold: both plain runs while there is room, what is kept, a trace.

    What is `kept` of the run that is edited is in units of what one part of the model writes.
    """
    model, most = contrast.model, 0
    for batch in contrast.batches:
        together = min(rows, rows_in_a_trace(contrast, batch, metric))
        tokens, positions = batch.clean.numel(), len(contrast.reading(batch, metric).kept)
        logits = together * len(batch.indices) * positions
        most = max(most, held(model, tokens, kept=kept, running=together * tokens, positions=logits))
    tokens = sum(batch.clean.numel() for batch in contrast.batches)
    both = held(model, tokens, kept=2 * (2 * model.shape.n_layers + 1), running=0)
    return min(both, contrast.memory // 4) + most


def acdc_room(contrast: Contrast, graph: Graph, metric: Metric) -> int:
    """Bytes that ACDC holds at once: the state of all prompts, and the rows that are tried together.

    Of a row: changes of what is alive, and what computing a layer takes.
    """
    model, graph = contrast.model, graph.base
    senders, receivers = len(graph.senders), len(graph.receivers)
    unit = sum(batch.clean.numel() for batch in contrast.batches) * model.d_model * model.dtype.itemsize
    row = unit * (receivers // 4 + senders // 4 + 16 + 4 * model.shape.n_heads)
    if not metric.measure.columns:
        row += 24 * len(contrast.dataset.examples) * model.vocabulary
    return state_bytes(contrast, graph) + min(ROWS * row, contrast.memory // 4)


# Seconds ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast this machine is at a model's plain forwards, with the threads that are set.

    Attributes:
        rate: multiplications in a second.
        least: seconds of a pass with one token.
    """

    rate: float
    least: float

    @classmethod
    def of(cls, model: Model, prompts: Prompts, shape: Shape) -> Speed:
        """Measured with a model, which may be a stand-in with fewer layers than the shape has."""
        few = Prompts(1, 1)
        little, much = (_seconds(model, each) for each in (few, prompts))
        most = plain_forward(model, prompts).multiplications - plain_forward(model, few).multiplications
        rate = most / max(much - little, 1e-6) if most else 1e9
        return cls(rate, little * shape.n_layers / model.shape.n_layers)

    def seconds(self, cost: Cost) -> float:
        """How long a cost takes."""
        return cost.multiplications / self.rate + cost.passes * self.least


def _seconds(model: Model, prompts: Prompts) -> float:
    """The least of three plain forwards, after one to warm up: whatever else runs can only add."""
    tokens = torch.zeros(prompts.count, prompts.length, dtype=torch.long, device=model.device)
    # One thread is timed by its own work, whatever else the machine does.
    alone = torch.get_num_threads() == 1 and model.device.type == "cpu"
    clock = process_time if alone else perf_counter
    found = []
    for _ in range(4):
        began = clock()
        with torch.no_grad():
            model.logits_of(model.module(**model.inputs(tokens, 0))).sum().item()
        found.append(clock() - began)
    return min(found[1:])
