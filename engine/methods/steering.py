"""Steering: what nodes write is scaled or shifted, or a vector is added to the residual stream."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from nncirc.circuits.arguments import public
from nncirc.circuits.errors import ArgumentError, MethodError
from nncirc.circuits.graph import Graph, stages
from nncirc.circuits.intervals import USUAL, Resampling
from nncirc.circuits.made import Made
from nncirc.circuits.names import Node, Position, Positions, as_positions
from nncirc.circuits.reference import expand
from nncirc.circuits.rounding import rounded
from nncirc.engine.data.examples import Dataset
from nncirc.engine.evaluation.bootstrap import end, metric_estimates
from nncirc.engine.methods.scores import NodeScores
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.model.model import Model
from nncirc.engine.runs.batches import Batch, batches
from nncirc.engine.runs.capture import Written, residual_stream, source_outputs, written
from nncirc.engine.runs.cells import Cell, Measure, in_cells
from nncirc.engine.runs.columns import mask_of
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import require_run
from nncirc.engine.runs.edited import Site, check_whole, edited_run

Into: TypeAlias = Literal["clean", "corrupt"]

SCORES = {
    "nodes": "{metric} with what the node writes steered by {by}",
    "layers": "{metric} with the residual stream steered by {by}",
}
"""What the numbers are by what the rows are, `by` scale or shift; of a function vector:"""
VECTOR_SCORE = "{metric} with the function vector added"


@public
def steering(
    contrast: Contrast,
    graph: Graph,
    metric: Metric,
    *,
    nodes: str | Sequence[str] = (),
    layers: Sequence[int] | Literal["all"] = (),
    scale: Sequence[float] | None = None,
    shift: Sequence[float] | None = None,
    source: Contrast | None = None,
    together: bool = False,
    into: Into = "clean",
    at: Positions | None = None,
    how: Resampling = USUAL,
    progress: Callable[[int, int], None] | None = None,
) -> NodeScores:
    """The metric with what a node writes scaled or shifted, one node and one factor at a time.

    Or with the residual stream after a layer (`L2.resid_post`), where `layers` are given in place of nodes.

    A row for each node, or one for all together; a column for each factor. What is scaled is what the node
    writes in the run that is steered, after earlier nodes have been steered as well. Scaled by 1 or shifted
    by 0 the run is as it was; scaled by 0 the node is zero-ablated. A node is shifted by the factor times the
    mean difference of what it writes, clean minus corrupted, over all prompts and all tokens that are
    steered; so is the stream after a layer, by the mean difference of what it is there (contrastive
    activation addition).

    Values are means over prompts, with intervals; a resample keeps the mean difference of all prompts.
    `made["unsteered"]` is the metric of the run as it was, `made["unsteered interval"]` its interval.

    Args:
        contrast: model, prompts and corruption.
        graph: whose nodes are steered.
        metric: what is measured.
        nodes: senders by name or pattern: `L9H9`, `L5H*`, `MLP3`, `embed`; give these or `layers`.
        layers: after which the residual stream is steered; "all" after every one.
        scale: the factors of what is written; give these or those of `shift`.
        shift: the factors of the mean difference.
        source: the prompts over which the mean difference is taken, clean minus corrupted; None for those of
            `contrast`.
        together: steer all nodes at once; the row is named by what `nodes` says.
        into: the run that is steered.
        at: the positions at which it is steered; None for all tokens.
        how: how the intervals over prompts are drawn.
        progress: called with runs done and runs in all.

    Raises:
        GraphError: C451, C457, the graph has no such nodes.
        MethodError: C595, not factors of one kind, or a source of what is scaled; C596, a node that writes
            nothing, or a layer that the model does not have, or neither or both; C594, a graph of
            positions; C523, the corruption has no run to steer, or whose stream to take; C512, no
            such position.
        ArgumentError: C753, `source` is of another model.

    Source: mean differences as in Rimsky et al. 2024, "Steering Llama 2 via contrastive activation addition".
    """
    check_whole(graph)
    model = contrast.model
    if (scale is None) == (shift is None):
        raise MethodError(
            "C595", "steering takes either scale or shift", hint="write scale = [0, 2] or shift = [1]"
        )
    if source is not None and shift is None:
        raise MethodError(
            "C595", "`source` is of the mean difference, but `scale` adds none", hint="write shift = [1]"
        )
    factors = _factors(scale if shift is None else shift)
    if bool(nodes) == bool(layers):
        raise MethodError(
            "C596", "steering takes either nodes or layers", hint='write nodes = "L9H9" or layers = [3]'
        )
    targets = _states(model, graph, layers) if layers else _targets(model, graph, nodes)
    where = None if at is None else as_positions(at)
    means = None if shift is None else _mean_changes(_source(contrast, source), targets, where)

    def edit(batch: Batch, base: Written, number: int, factor: float) -> _Change:
        target, mask = targets[number], _mask(batch, where, model)
        if means is not None:
            return _added(target.site, target.width, factor * means[number].to(model.dtype) * mask)
        if target.site == _EMBEDDED:  # tokens and positions stand there as one sum
            return _added(target.site, target.width, (factor - 1) * target.output(base) * mask)
        return _Change(target.site, target.width, lambda value: value * (1 + (factor - 1) * mask))

    names = [target.node for target in targets]
    rows = [[number] for number in range(len(targets))]
    if together:
        named = names if layers else [nodes] if isinstance(nodes, str) else nodes
        names, rows = [" + ".join(named)], [list(range(len(targets)))]

    def change(batch: Batch, base: Written, row: int, factor: float) -> list[_Change]:
        return [edit(batch, base, number, factor) for number in rows[row]]

    kind, what = "scale" if shift is None else "shift", "layers" if layers else "nodes"
    made: Made = {
        "method": "steering",
        "score": SCORES[what].format(metric="the metric", by=kind),
        "rows": what,
        **({"together": [target.node for target in targets]} if together else {}),
        "by": kind,
        **({} if source is None else {"source": _facts_of(source)}),
    }
    return _scores(contrast, metric, names, factors, change, into, where, made, how, progress)


@public
def function_vector(
    contrast: Contrast,
    graph: Graph,
    metric: Metric,
    *,
    heads: str | Sequence[str],
    scale: Sequence[float] = (1.0,),
    source: Dataset | None = None,
    into: Into = "corrupt",
    at: Positions | None = "end",
    how: Resampling = USUAL,
    progress: Callable[[int, int], None] | None = None,
) -> NodeScores:
    """The metric with the function vector of some heads added to the residual stream, layer by layer.

    The vector is the sum over heads of the mean of what each writes at the last token of the source prompts.
    A row for each layer after which it is added, named by the node that wrote last (`MLP3`; without MLPs
    `L3`); a column for each factor. Values are means over prompts, with intervals; a resample keeps the
    vector. `made` has the metric of the run as it was, as for `steering`.

    Args:
        contrast: model, prompts and corruption. In the paper, prompts with examples of a task, corrupted by
            shuffling the examples' labels.
        graph: whose heads are named.
        metric: what is measured.
        heads: by name or pattern.
        scale: the factors of the vector.
        source: the prompts over which means are taken; None for the clean prompts.
        into: the run to which it is added.
        at: the positions at which it is added; None for all tokens.
        how: how the intervals over prompts are drawn.
        progress: called with runs done and runs in all.

    Raises:
        GraphError: C451, C457, the graph has no such heads.
        MethodError: C595, no factors; C596, no heads; C594, a graph of positions; C523, a corrupted run to be
            steered where there is none; C512, no such position.

    Source: Todd et al. 2024, "Function Vectors in Large Language Models", section 2.3 and equation 5.
    """
    check_whole(graph)
    model, factors = contrast.model, _factors(scale)
    targets, where = _targets(model, graph, heads), None if at is None else as_positions(at)
    odd = [target.node for target in targets if Node.parse(target.node).kind not in ("head", "attention")]
    if odd:
        raise MethodError(
            "C596", f"expected attention heads, found {odd[0]}", hint="name heads, such as L9H6 or L5H*"
        )
    vector = _function_vector(contrast, targets, source or contrast.dataset).to(model.dtype)

    def change(batch: Batch, _: Written, row: int, factor: float) -> list[_Change]:
        by = factor * vector * _mask(batch, where, model)
        return [_added(Site(row + 1, "residual"), slice(None), by)]

    made: Made = {
        "method": "function_vector",
        "score": VECTOR_SCORE.format(metric="the metric"),
        "rows": "states",
        "heads": [target.node for target in targets],
    }
    names = stages(model.shape, halves=False)[1:]
    return _scores(contrast, metric, names, factors, change, into, where, made, how, progress)


_EMBEDDED = Site(0, "residual")


@dataclass(frozen=True, slots=True)
class _Target:
    """A node, where it writes, and which part of what is there is its own; or the stream after a layer."""

    node: str
    graph: Graph
    site: Site
    width: slice

    @property
    def is_state(self) -> bool:
        """Whether it is the residual stream after a layer, which is no sum of what is kept of a run."""
        return self.site.part == "residual" and self.site != _EMBEDDED

    def output(self, run: Written) -> Float[Tensor, "batch pos width"]:
        """What a node writes in a run."""
        if self.site.part == "mlp":
            return run.mlps[self.site.layer]
        if self.site.part == "attention":
            return run.zs[self.site.layer][..., self.width]
        return source_outputs(self.graph, run.embed, run.pos_embed)[self.graph.sender_index[self.node]]


@dataclass(frozen=True, slots=True)
class _Change:
    """An edit of part of the width of a site."""

    site: Site
    width: slice
    edit: Callable[[Float[Tensor, "batch pos width"]], Float[Tensor, "batch pos width"]]


def _added(site: Site, width: slice, by: Float[Tensor, "batch pos width"]) -> _Change:
    return _Change(site, width, lambda value: value + by)


def _factors(given: Sequence[float] | None) -> tuple[float, ...]:
    factors = tuple(given or ())
    if not factors or not all(math.isfinite(each) for each in factors) or len(set(factors)) < len(factors):
        raise MethodError(
            "C595",
            f"invalid factors {list(factors)}: expected different numbers",
            hint="for example, scale = [0, 0.5, 2]",
        )
    return factors


def _targets(model: Model, graph: Graph, nodes: str | Sequence[str]) -> list[_Target]:
    """The senders that are meant, in the order of the computation."""
    terms = [nodes] if isinstance(nodes, str) else nodes
    names = {name for term in terms for name in expand(graph, term)}
    silent = [name for name in graph.nodes if name in names and name not in graph.sender_index]
    if silent or not names:
        raise MethodError(
            "C596",
            f"expected nodes that write to the residual stream, found {', '.join(silent) or 'none'}",
            hint="name heads, MLPs or embed",
        )
    return [_target(model, graph, name) for name in graph.senders if name in names]


def _states(model: Model, graph: Graph, layers: Sequence[int] | Literal["all"]) -> list[_Target]:
    """The residual stream after some layers, in their order."""
    depth = model.shape.n_layers
    wanted = range(depth) if layers == "all" else layers
    odd = [layer for layer in wanted if type(layer) is not int or not 0 <= layer < depth]
    if odd:
        raise MethodError(
            "C596", f"{model.name} has no layer {odd[0]!r}", hint=f"its layers are 0 to {depth - 1}"
        )
    after = [(layer, Site(layer + 1, "residual")) for layer in sorted({*map(int, wanted)})]
    return [_Target(f"L{layer}.resid_post", graph, site, slice(None)) for layer, site in after]


def _source(contrast: Contrast, source: Contrast | None) -> Contrast:
    """What the mean difference is of."""
    if source is not None and source.model != contrast.model:
        raise ArgumentError(
            "C753",
            f"the source's prompts are for {source.model.name}, but what is steered is {contrast.model.name}",
            hint="use one model for both",
        )
    return contrast if source is None else source


def _facts_of(source: Contrast) -> dict[str, Any]:
    """What a result says of the prompts that its mean difference is of; JSON values only."""
    return {
        "prompts": len(source.dataset.examples),
        "corruption": source.corruption.name,
        "dataset": dict(source.dataset.made),
    }


def _target(model: Model, graph: Graph, name: str) -> _Target:
    node, width = Node.parse(name), slice(None)
    if node.layer is None:
        return _Target(name, graph, _EMBEDDED, width)
    if node.index is not None:
        d_value = model.outs[node.layer].shape[1]
        width = slice(node.index * d_value, (node.index + 1) * d_value)
    return _Target(name, graph, Site(node.layer, "mlp" if node.kind == "mlp" else "attention"), width)


def _mask(batch: Batch, at: tuple[Position, ...] | None, model: Model) -> Float[Tensor, "batch pos 1"]:
    """1 at the tokens that are steered."""
    masks = [mask_of(batch, place, model.device) for place in at or (None,)]
    return torch.stack(masks).any(0)[..., None].to(model.dtype)


def _mean_changes(
    contrast: Contrast, targets: Sequence[_Target], at: tuple[Position, ...] | None
) -> list[Float[Tensor, " width"]]:
    """Of every target the mean of what it is in the clean run minus the corrupted one, in float64."""
    model, states = contrast.model, [target for target in targets if target.is_state]
    if states:
        require_run(contrast.corruption, f"the mean difference of {states[0].node}", "steer nodes, or ")
    total: list[Tensor | float] = [0.0] * len(targets)
    count = 0.0
    for batch in contrast.batches:
        mask = _mask(batch, at, model).double()
        count += float(mask.sum())
        clean, other = contrast.clean_written(batch), contrast.substitute_written(batch)
        change = clean - other
        runs = [residual_stream(model, each.embed, halves=False) for each in (clean, other) if states]
        for i, target in enumerate(targets):
            layer = target.site.layer
            moved = runs[0][layer] - runs[1][layer] if target.is_state else target.output(change)
            total[i] = total[i] + (moved.double() * mask).sum((0, 1))
    return [torch.as_tensor(each) / count for each in total]


def _function_vector(
    contrast: Contrast, heads: Sequence[_Target], source: Dataset
) -> Float[Tensor, " d_model"]:
    """The sum over heads of the mean of what each writes at the prompts' last token, in float64."""
    model = contrast.model
    total = torch.zeros(model.d_model, dtype=torch.float64, device=model.device)
    for prompts in batches(model, source, batch=contrast.batch, memory=contrast.memory):
        run = written(model, prompts.clean)
        prompt, end_of = range(len(prompts.examples)), [example.end for example in prompts.examples]
        for head in heads:
            out = model.outs[head.site.layer].flatten(0, 1)[head.width]
            total += (head.output(run)[prompt, end_of].double() @ out.double()).sum(0)
    return total / len(source.examples)


def _scores(
    contrast: Contrast,
    metric: Metric,
    rows: Sequence[str],
    factors: Sequence[float],
    change: Callable[[Batch, Written, int, float], Sequence[_Change]],
    into: Into,
    at: tuple[Position, ...] | None,
    made: Made,
    how: Resampling,
    progress: Callable[[int, int], None] | None,
) -> NodeScores:
    """The metric with the change of every row, at every factor.

    `change` gives the edits of a batch, from what its run without them has written, for a row and a factor.
    """
    if into not in get_args(Into):
        raise MethodError("C595", f"unknown run {into!r}", hint="expected clean or corrupt")
    if into == "corrupt":
        require_run(contrast.corruption, "into = corrupt", "steer the clean run, or ")

    def begin(batch: Batch) -> Measure:
        base = contrast.clean_written(batch) if into == "clean" else contrast.substitute_written(batch)
        stream = residual_stream(contrast.model, base.embed, halves=False)
        where, reference = contrast.reading(batch, metric), contrast.reference(batch, metric)

        def measure(cells: Sequence[Cell]) -> Tensor:
            changes: dict[Site, list[tuple[int, _Change]]] = {}
            for number, (row, column) in enumerate(cells):
                for each in change(batch, base, row, factors[column]):
                    changes.setdefault(each.site, []).append((number, each))
            edits = {site: partial(_with, here) for site, here in changes.items()}
            logits = edited_run(contrast.model, stream, len(cells), edits, where.kept)
            return where.values(metric, logits, reference)

        return measure

    steered = in_cells(contrast, metric, len(rows), len(factors), begin, progress)
    scores = metric_estimates(contrast, metric, steered, how)
    as_it_was = contrast.clean_values(metric) if into == "clean" else contrast.corrupt_values(metric)
    unsteered = metric_estimates(contrast, metric, as_it_was, how)
    digits = contrast.model.digits
    places = scores.decimals(digits)
    facts: Made = {
        "columns": "factor",
        "into": into,
        "steered": None if at is None else [*map(str, at)],
        "unsteered": rounded(float(unsteered.value), places),
        "unsteered interval": [end(float(each), places) for each in (unsteered.low, unsteered.high)],
    }
    names = [f"{factor:g}" for factor in factors]
    return NodeScores.estimated(rows, names, scores, {**made, **facts, **contrast.facts(metric)}, digits)


def _with(changes: Sequence[tuple[int, _Change]], value: Tensor) -> Tensor:
    """The values at a site after the edits of some rows."""
    new = value.clone()
    for row, each in changes:
        new[row, :, :, each.width] = each.edit(new[row, :, :, each.width])
    return new
