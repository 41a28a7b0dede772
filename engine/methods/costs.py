"""What methods cost, from shape and prompts, before they run: multiplications, passes, bytes.

Time has two parts. Matrix products take as long as their multiplications; a pass over the layers takes some
time however few tokens it is given, since every module is called and its weights are read. So

    seconds = multiplications / rate + passes * least

where `rate` and `least` are measured with two plain forwards, of all prompts and of one token. That is right
within a factor of two for patching, attribution and ACDC; costs marked `at_most` are upper bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from time import perf_counter, process_time

import torch

from nncirc.circuits.graph import Graph, Shape
from nncirc.circuits.names import Position
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.model.model import Model
from nncirc.engine.runs.batches import Batch
from nncirc.engine.runs.capture import sender_stages
from nncirc.engine.runs.columns import mask_of
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import Mean, Resample, Zero
from nncirc.engine.runs.memory import TOKENS_IN_A_TRACE
from nncirc.engine.runs.wiring import Wiring

ELEMENTWISE = 100
"""Multiplications of a product in the time of one number of a softmax, in float64."""
MASKED_PASSES = 4
"""Passes in the time of a masked forward's small operations."""
BACKWARD_OF_ATTENTION = 2.5
"""Products of a backward through attention for each forward: scores again, and gradients of four factors."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a method takes.

    Attributes:
        multiplications: of matrix products.
        passes: how often the layers are gone through, with however many tokens.
        memory: bytes of activations held at once; None where they are not counted.
        tested: of ACDC, how many edges are tested.
        at_most: whether these are upper bounds.
    """

    multiplications: float = 0.0
    passes: float = 0.0
    memory: int | None = None
    tested: int | None = None
    at_most: bool = False

    def __add__(self, other: Cost) -> Cost:
        """Both, one after the other."""
        held = [each.memory for each in (self, other) if each.memory is not None]
        tested = [each.tested for each in (self, other) if each.tested is not None]
        return Cost(
            self.multiplications + other.multiplications,
            self.passes + other.passes,
            max(held, default=None),
            sum(tested) if tested else None,
            self.at_most or other.at_most,
        )

    def __mul__(self, times: float) -> Cost:
        return Cost(self.multiplications * times, self.passes * times, self.memory, self.tested, self.at_most)


FREE = Cost()


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


@dataclass(frozen=True, slots=True)
class Sizes:
    """What multiplications depend on: of one token, the parts of a layer and the unembedding.

    Attributes:
        shape: layers, heads, key-value groups.
        d_model: width of the residual stream.
        d_head: width of a head.
        mlp: multiplications of one MLP. Those that write nothing run all the same.
        vocabulary: tokens that the unembedding knows.
    """

    shape: Shape
    d_model: int
    d_head: int
    mlp: int
    vocabulary: int

    @classmethod
    def of(cls, model: Model, shape: Shape | None = None) -> Sizes:
        """The sizes of a model; with a shape those of a deeper one of the same widths."""
        first = attrgetter(model.family.blocks)(model.module)[0]
        weights = attrgetter(model.family.mlp)(first).parameters()
        return cls(
            shape or model.shape,
            model.d_model,
            model.d_head,
            sum(weight.numel() for weight in weights if weight.ndim == 2),
            model.module.get_input_embeddings().num_embeddings,
        )

    @property
    def units(self) -> int:
        """Queries, keys and values by head of one layer."""
        return self.shape.n_heads + 2 * self.shape.n_kv_heads

    @property
    def unit(self) -> int:
        """Of one head's query, key, value, or output."""
        return self.d_model * self.d_head

    def attention(self, length: float) -> float:
        """Of one attention layer at one token that sees so many."""
        return (self.units + self.shape.n_heads) * self.unit + 2 * self.shape.n_heads * self.d_head * length

    @property
    def unembed(self) -> int:
        """Of the logits at one position, and of a metric that reads them all."""
        return (self.d_model + ELEMENTWISE) * self.vocabulary


# Runs ------------------------------------------------------------------------------------------------------


def unread(sizes: Sizes, prompts: Prompts) -> Cost:
    """A plain run without logits."""
    each = sizes.attention(prompts.length) + sizes.mlp
    return Cost(sizes.shape.n_layers * prompts.tokens * each, 1)


def measured(sizes: Sizes, prompts: Prompts) -> Cost:
    """A plain run, and a metric of it."""
    return unread(sizes, prompts) + Cost(prompts.positions * sizes.unembed)


def plain_forward(sizes: Sizes, prompts: Prompts) -> Cost:
    """The unit in which costs are told: a plain run with logits at every position."""
    return unread(sizes, prompts) + Cost(prompts.tokens * sizes.d_model * sizes.vocabulary)


def heads_apart(sizes: Sizes, graph: Graph, prompts: Prompts) -> Cost:
    """What every head and every neuron of a graph writes, each by itself."""
    heads = sizes.shape.n_layers * sizes.shape.n_heads * sizes.unit
    neurons = sum(graph.neuron_counts.values()) * (sizes.d_model + ELEMENTWISE)
    return Cost(prompts.tokens * (heads + neurons))


def masked(sizes: Sizes, graph: Graph, prompts: Prompts) -> Cost:
    """A masked forward, and a metric of it: every receiver with an input of its own."""
    inputs = sizes.shape.n_layers * sizes.units * sizes.unit
    sums = graph.n_edges * (sizes.d_model if not graph.positions else 2)
    own = Cost(prompts.tokens * (inputs + sums), MASKED_PASSES - 1)
    return measured(sizes, prompts) + heads_apart(sizes, graph, prompts) + own


def gradient(sizes: Sizes, prompts: Prompts) -> Cost:
    """A forward and a backward of a metric."""
    layer = (sizes.units + sizes.shape.n_heads) * sizes.unit + sizes.mlp
    pairs = BACKWARD_OF_ATTENTION * 2 * sizes.shape.n_heads * sizes.d_head * prompts.length
    back = sizes.shape.n_layers * prompts.tokens * (layer + pairs) + prompts.positions * sizes.unembed
    return measured(sizes, prompts) + Cost(back, 3)


def written(sizes: Sizes, contrast: Contrast, run: str) -> Cost:
    """What senders write in the `clean` or the `corrupt` run of all prompts."""
    match contrast.corruption if run == "corrupt" else None:
        case Zero():
            runs = [Prompts(1, 1)]
        case Mean(source=source):  # prompt by prompt
            examples = (source or contrast.dataset).examples
            runs = [Prompts(1, len(example.tokens)) for example in examples]
        case _:
            runs = list(prompts_of(contrast))
    return sum((unread(sizes, prompts) for prompts in runs), FREE)


# Methods ---------------------------------------------------------------------------------------------------


def attribution(
    sizes: Sizes, graph: Graph, prompts: Prompts, *, steps: int, along: str, by_edges: bool
) -> Cost:
    """Attribution scores of one batch, when what both runs write is known."""
    base, places = graph.base, len(graph.positions) or 1
    stages = len(sender_stages(base)) if along == "activations" and steps > 1 else 1
    apart = heads_apart(sizes, base, prompts)
    if not by_edges:
        return (gradient(sizes, prompts) + apart) * (steps * stages)
    units = Cost(sizes.shape.n_layers * sizes.units * sizes.unit * prompts.tokens)
    products = Cost(base.n_edges * prompts.tokens * sizes.d_model, places)
    return (gradient(sizes, prompts) + units) * (steps * stages) + (apart + products) * steps


def query_key(sizes: Sizes, graph: Graph, prompts: Prompts) -> Cost:
    """The attention that every edge into a query or key gives, computed anew (AtP*)."""
    places, wiring, found = len(graph.positions) or 1, Wiring.of(graph.base), FREE
    for stage in wiring.stages:
        if stage.kind == "attention":
            senders = wiring.graph.reach[stage.receivers.start]
            entered = sum(kind < 2 for receiver in stage.receivers for kind, _ in wiring.units[receiver])
            each = entered * (sizes.unit + 2 * sizes.d_head * prompts.length)
            found += Cost(places * senders * prompts.tokens * each, places / sizes.shape.n_layers)
    return found


def patching(
    sizes: Sizes, contrast: Contrast, graph: Graph, metric: Metric, columns: Sequence[Position | int | None]
) -> Cost:
    """Activation patching, beside the two runs: every sender at every column.

    Args:
        sizes: of the model.
        contrast: model, prompts and corruption.
        graph: whose senders are patched.
        metric: what is measured.
        columns: positions that are patched, as `columns_of` gives them.
    """
    found = FREE
    for batch, prompts in zip(contrast.batches, prompts_of(contrast, metric), strict=True):
        last = int(contrast.reading(batch, metric).kept.max())
        firsts = _first_changes(contrast, batch, columns)
        found += _patches(sizes, graph, metric, prompts, firsts, last)
    return found


def _patches(
    sizes: Sizes, graph: Graph, metric: Metric, prompts: Prompts, firsts: Sequence[int], last: int
) -> Cost:
    """Those of a batch: of each column from the first token that changes, to the last that is read."""
    found, layers = FREE, sizes.shape.n_layers
    for number, stage in enumerate(sender_stages(graph)):
        attentions, mlps = _after(sizes, number)
        for first in firsts:
            computed = max(0, last + 1 - first) * prompts.count * (stage.stop - stage.start)
            each = attentions * sizes.attention(prompts.length) + mlps * sizes.mlp
            found += Cost(computed * each, computed / TOKENS_IN_A_TRACE)
            if computed and not metric.measure.columns:
                found += Cost((stage.stop - stage.start) * prompts.positions * sizes.unembed)
    return found + Cost(0.0, 2 * len(firsts) + layers / 4)


def _first_changes(contrast: Contrast, batch: Batch, columns: Sequence[Position | int | None]) -> list[int]:
    """Of each column of patches the first token that may be written otherwise in the other run."""
    found = []
    for column in columns:
        changed = mask_of(batch, column, torch.device("cpu"))
        if batch.corrupt is not None and isinstance(contrast.corruption, Resample):
            # A token sees none after it: all after the first that differs may change.
            changed &= (batch.clean != batch.corrupt).cpu().cumsum(1) > 0
        seen = changed.any(0)
        # Where tokens see those behind them all may change.
        start = int(seen.int().argmax()) if contrast.model.causal else 0
        found.append(start if bool(seen.any()) else len(seen))
    return found


def _after(sizes: Sizes, number: int) -> tuple[int, int]:
    """How many attention layers and MLPs come after a stage of senders: embed, attention 0, MLP 0, ..."""
    layers = sizes.shape.n_layers
    if not sizes.shape.mlps:
        return layers - number, 0
    layer, is_mlp = divmod(max(number, 1) - 1, 2)
    return (layers, layers) if not number else (layers - 1 - layer, layers - layer - is_mlp)


def edited(sizes: Sizes, prompts: Prompts, rows: int) -> Cost:
    """At most what runs take in which something is changed: so many whole runs, as rows of traces.

    Three more are those that they are compared with: clean, corrupted, and the one that is changed.
    """
    together = -(-rows * prompts.tokens // TOKENS_IN_A_TRACE)
    whole = measured(sizes, prompts)
    return Cost((rows + 3) * whole.multiplications, 5 + 2 * together, at_most=True)


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
        """Measured with a model, which may have fewer layers than its shape tells of."""
        few, many = Prompts(1, 1), Prompts(prompts.count, prompts.length, prompts.length)
        little, much = (_seconds(model, each) for each in (few, many))
        sizes = Sizes.of(model)
        most = plain_forward(sizes, many).multiplications - plain_forward(sizes, few).multiplications
        rate = most / max(much - little, 1e-6) if most else 1e9
        return cls(rate, little * shape.n_layers / model.shape.n_layers)

    def seconds(self, cost: Cost) -> float:
        """How long a cost takes."""
        return cost.multiplications / self.rate + cost.passes * self.least


def _seconds(model: Model, prompts: Prompts) -> float:
    """The least of three plain forwards, after one that does not count: what else runs can only add."""
    tokens = torch.zeros(prompts.count, prompts.length, dtype=torch.long, device=model.device)
    # On one thread what others do on the machine does not count.
    alone = torch.get_num_threads() == 1 and model.device.type == "cpu"
    clock: Callable[[], float] = process_time if alone else perf_counter
    found = []
    for _ in range(4):
        began = clock()
        with torch.no_grad():
            model.logits_of(model.module(**model.inputs(tokens, 0))).sum().item()
        found.append(clock() - began)
    return min(found[1:])
