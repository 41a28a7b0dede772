"""The work of patching, attribution and masked runs, from arguments, graph, prompts and metric.

Nothing is run here, and weights are not looked at: only sizes, tokens and positions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nncirc.circuits.graph import Graph
from nncirc.engine.contrast import Batch, Contrast, Mean, Resample, Zero
from nncirc.engine.memory import TOKENS_IN_A_TRACE
from nncirc.engine.metrics import Metric
from nncirc.engine.program.forecast.work import NOTHING, Sizes, Work
from nncirc.engine.wiring import Wiring
from nncirc.engine.written import sender_stages, split_layer

# Of one product forward, the backward pass makes as many for the input; weights have no gradient. Attention
# makes scores again, and gradients by query, key, value and scores, of which two are two products.
BACKWARD_OF_ATTENTION = 2.5


@dataclass(frozen=True, slots=True)
class Prompts:
    """Prompts that run together.

    Attributes:
        count: how many.
        length: tokens of each.
        read: positions at which a metric reads any of them.
    """

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


def prompts_of(contrast: Contrast, metric: Metric | None) -> Iterator[Prompts]:
    """The batches of a contrast."""
    for batch in contrast.batches:
        read = 1 if metric is None else len(contrast.reading(batch, metric).kept)
        count, length = batch.clean.shape
        yield Prompts(count, length, read)


def blocks(sizes: Sizes, prompts: Prompts) -> Work:
    """All layers on some prompts, without what calling them costs."""
    tokens = sizes.layers * prompts.tokens
    return Work.of(0, project=tokens, mlp=tokens, attend=tokens * sizes.heads * prompts.length)


def forward(sizes: Sizes, prompts: Prompts) -> Work:
    """A plain run without logits."""
    return Work.of(1, forward=0) + blocks(sizes, prompts)


def measured(sizes: Sizes, prompts: Prompts) -> Work:
    """A plain run, and the metric of it."""
    return forward(sizes, prompts) + Work.of(1, unembed=prompts.positions, metric=prompts.positions)


def outputs(sizes: Sizes, graph: Graph, prompts: Prompts) -> Work:
    """What every head writes, from its z, and every neuron that is a sender, from its activation."""
    return _heads(sizes, prompts) + _neurons(graph, prompts)


def _heads(sizes: Sizes, prompts: Prompts) -> Work:
    return Work.of(sizes.layers, out=sizes.layers * sizes.heads * prompts.tokens)


def _neurons(graph: Graph, prompts: Prompts) -> Work:
    """A vector of the stream for every neuron that is a sender; of a product with its weights as much."""
    rows = sum(graph.neuron_counts.values()) * prompts.tokens
    # In fresh memory, and once more side by side with what others write.
    return Work.of(len(graph.neuron_counts), sum=rows, add=12 * rows) if rows else NOTHING


def masked(sizes: Sizes, graph: Graph, prompts: Prompts, cut: int, *, touched: float = 1.0) -> Work:
    """A masked forward in which edges into some share of the receivers are cut, and the metric of it."""
    graph, places = graph.base, len(graph.positions) or 1
    units, stages, tokens = sizes.layers * sizes.units, 2 * sizes.layers + 1, prompts.tokens
    senders = len(graph.senders)
    own = (
        Work.of(sizes.layers, unit=touched * units * tokens)
        + Work.of(stages, sum=touched * graph.n_edges * tokens)
        # Differences of senders; of every unit's input the sum, copies into place, a look for infinities.
        + Work.of(20 * stages, add=(3 * senders + touched * 6 * units) * tokens)
    )
    if places > 1:
        # Token by token: which edges are cut there, and the senders once more for every stage.
        own += Work.of(
            0, sum=places * graph.n_edges * tokens / sizes.d_model, add=stages * senders * tokens / 2
        )
    return measured(sizes, prompts) + outputs(sizes, graph, prompts) + own + Work.of(1, edge=cut)


def gradient(sizes: Sizes, prompts: Prompts) -> Work:
    """One forward and one backward."""
    once = forward(sizes, prompts) + Work.of(1, unembed=prompts.positions, metric=prompts.positions)
    back = Work.of(0, project=sizes.layers * prompts.tokens, mlp=sizes.layers * prompts.tokens)
    # Probes at every module, recorded; then their gradients, twice as many operations as forward.
    back += Work.of(3, forward=0) + Work.of(0, add=10 * sizes.layers * prompts.tokens)
    back += Work.of(
        0, attend=BACKWARD_OF_ATTENTION * sizes.layers * sizes.heads * prompts.tokens * prompts.length
    )
    return once + back + Work.of(1, unembed=prompts.positions, metric=2 * prompts.positions)


def substitution(sizes: Sizes, contrast: Contrast) -> Work:
    """What takes the place of clean activations, for all prompts."""
    match contrast.corruption:
        case Zero():
            runs = [Prompts(1, 1)]
        case Mean(source=source):
            # Prompt by prompt.
            examples = (source or contrast.dataset).examples
            runs = [Prompts(1, len(example.tokens)) for example in examples]
        case _:
            runs = list(prompts_of(contrast, None))
    return sum((forward(sizes, prompts) for prompts in runs), NOTHING)


def attribution(sizes: Sizes, graph: Graph, prompts: Prompts, *, steps: int, along: str, edges: bool) -> Work:
    """Attribution scores of one batch, when what both runs write is known, or is the run itself."""
    graph, places, edge = graph.base, len(graph.positions) or 1, graph.n_edges
    stages = len(sender_stages(graph)) if along == "activations" and steps > 1 else 1
    runs, tokens, senders = steps * stages, prompts.tokens, len(graph.senders)
    found = gradient(sizes, prompts) * runs
    if not edges:
        whole = senders - sum(graph.neuron_counts.values())
        products = Work.of(len(sender_stages(graph)), add=2 * whole * tokens)
        return found + (outputs(sizes, graph, prompts) + products) * runs
    units = sizes.layers * sizes.units * tokens
    found += Work.of(runs * sizes.layers, unit_gradient=runs * units)
    # Of every step and stage only the stage's own senders are multiplied, so that stages share one product.
    receivers = 2 * sizes.layers + 1  # in so many groups
    each = outputs(sizes, graph, prompts) + Work.of(receivers * places, sum=graph.n_edges * tokens)
    # Receivers by themselves read as much as products with many.
    each += Work.of(0, add=2 * receivers * sum(graph.neuron_counts.values()) * tokens)
    if places > 1:
        each += Work.of(receivers * places, add=(receivers * senders / 2 + len(graph.receivers)) * tokens)
    return found + each * steps + Work.of(1, edge=edge)


def query_key(sizes: Sizes, graph: Graph, prompts: Prompts) -> Work:
    """The attention that every edge into a query or key gives, computed anew, at every place by itself."""
    places, wiring = len(graph.positions) or 1, Wiring.of(graph.base)
    found = NOTHING
    for stage in wiring.stages:
        if stage.kind != "attention":
            continue
        rows = places * wiring.graph.reach[stage.receivers.start] * prompts.tokens
        for receiver in stage.receivers:
            units, fed = wiring.units[receiver], set(wiring.feeds[receiver])
            if any(kind < 2 for kind, _ in units):
                heads = sum(sender in fed for sender in wiring.head_sender[stage.layer])
                found += Work.of(places, unit=len(units) * rows, attend=heads * rows * prompts.length)
    pairs = sizes.layers * sizes.heads * prompts.tokens * prompts.length
    return found + Work.of(sizes.layers, unit=sizes.layers * sizes.units * prompts.tokens, attend=pairs)


def intervals(contrast: Contrast, cells: float) -> Work:
    """The intervals of so many means over prompts, of the usual resamples; of one prompt there are none."""
    return Work.of(1, interval=cells) if len(contrast.dataset.examples) > 1 else NOTHING


def resampled(contrast: Contrast, resamples: int, columns: int) -> Work:
    """One interval of a function of so many means over prompts."""
    prompts = len(contrast.dataset.examples)
    return Work.of(1, resample=resamples * columns * prompts) if prompts > 1 else NOTHING


# Activation patching --------------------------------------------------------------------------------------


def patching(
    sizes: Sizes,
    contrast: Contrast,
    graph: Graph,
    metric: Metric,
    batch: Batch,
    masks: Sequence[Tensor],
) -> Work:
    """All patches of one batch, beside the runs that are patched into each other.

    Args:
        sizes: of the model.
        contrast: the prompts, and what changes in them.
        graph: whose senders are patched.
        metric: what is measured.
        batch: the prompts.
        masks: which tokens of each prompt a column stands for, `batch pos`.
    """
    kept = contrast.reading(batch, metric).kept
    count, length = len(batch.clean), int(kept.max()) + 1
    found, groups = NOTHING, dict[int, int]()
    for number, stage in enumerate(sender_stages(graph)):
        changed = _changed(contrast, batch, embedding=number == 0)
        attentions, mlps = _behind(sizes, number)
        patches = stage.stop - stage.start
        written = "out" if split_layer(graph, number) is None else "sum"
        for mask in masks:
            seen = (changed & mask).any(0)[:length]
            first = int(seen.int().argmax()) if bool(seen.any()) else length
            groups[first] = groups.get(first, 0) + patches
            if first < length:
                at, last = length - first, int((kept >= first).sum())
                found += _patch(sizes, count, at, last, length, attentions, mlps) * patches
                # Keys and values are joined to those before, twice; the rest are sums and copies of rows.
                joined = (4 * attentions * length + (4 * attentions + 3 * mlps + 6) * at) * count
                found += Work.of(0, add=joined * patches)
                if patches > 1:
                    found += Work.of(patches, **{written: patches * count * at})
    moving = sum(patches for first, patches in groups.items() if first < length)
    traces = 1 + sum(
        -(-patches * count * (length - first) // TOKENS_IN_A_TRACE) for first, patches in groups.items()
    )
    found += (
        Work.of(1, trace=0) + Work.of(sizes.layers, project=0, attend=0) + Work.of(40 * sizes.layers, add=0)
    ) * traces
    found += Work.of(traces * sizes.layers if sizes.mlps else 0, mlp=0)
    if metric.measure.columns:
        return found + Work.of(traces, columns=moving * count * len(kept))
    read = moving * count * len(kept)
    return found + Work.of(traces, unembed=read, metric=read)


def _behind(sizes: Sizes, number: int) -> tuple[int, int]:
    """How many attention layers and MLPs come behind a stage of senders: embed, attention 0, MLP 0, ..."""
    if not number:
        return sizes.layers, sizes.layers if sizes.mlps else 0
    if not sizes.mlps:
        return sizes.layers - number, 0
    layer, is_mlp = divmod(number - 1, 2)
    return sizes.layers - 1 - layer, sizes.layers - layer - is_mlp


def _patch(sizes: Sizes, count: int, at: int, last: int, length: int, attentions: int, mlps: int) -> Work:
    """The blocks behind one patch, on `at` tokens of each prompt and in the last on `last` only."""
    if not attentions:
        return Work.of(0, mlp=mlps * count * last)
    pairs = sizes.heads * count * length * ((attentions - 1) * at + last)
    # The last layer makes keys and values of all tokens, and the output projection of the last ones.
    found = Work.of(0, project=attentions * count * at, attend=pairs)
    return found + Work.of(0, mlp=count * ((mlps - 1) * at + last)) if mlps else found


def _changed(contrast: Contrast, batch: Batch, *, embedding: bool) -> Tensor:
    """Which tokens of each prompt may be written otherwise in the other run."""
    if batch.corrupt is None or not isinstance(contrast.corruption, Resample):
        return torch.ones(batch.clean.shape, dtype=torch.bool)
    differs = (batch.clean != batch.corrupt).cpu()
    # A token sees none behind it: all behind the first that differs may change.
    return differs if embedding else differs.int().cumsum(1) > 0
