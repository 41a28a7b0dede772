"""Attribution patching: the effect of every edge or node at once, to first order.

    score(s -> r) = Σ (clean[s] − substitute[s]) · ∂metric / ∂input(r)

by how much the metric is estimated to fall if the edge were cut (Nanda 2023; Syed et al. 2023). Summed over
prompts' means and positions; the gradient is taken at the input before the norm. It equals minus the
gradient of the masked forward by its mask at mask 0, and costs one forward and one backward: the gradient
by every receiver's own input follows from the gradients by the projections, layer by layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import attrgetter
from typing import Any, Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from nncirc.circuits.errors import MethodError
from nncirc.circuits.graph import Graph
from nncirc.engine.contrast import Batch, Contrast
from nncirc.engine.forward import attention_outputs, attention_receivers, unit_project, unit_receivers
from nncirc.engine.metrics import Metric
from nncirc.engine.model import Model
from nncirc.engine.scores import EdgeScores, NodeScores
from nncirc.engine.tracing import run

Along: TypeAlias = Literal["inputs", "activations"]


def attribution_patching(
    contrast: Contrast,
    graph: Graph,
    metric: Metric,
    *,
    steps: int = 1,
    along: Along = "inputs",
    progress: Callable[[int, int], None] | None = None,
) -> EdgeScores:
    """Attribution scores of all edges.

    Args:
        contrast: model, prompts and corruption.
        graph: the edges to score.
        metric: what is attributed. For a divergence, a score is the rise of the divergence.
        steps: 1 takes the gradient on the clean run. m > 1 averages it over k/m of the way from corrupted
            to clean, k = 0 .. m−1: integrated gradients, EAP-IG (Hanna et al. 2024).
        along: what goes that way. `inputs`: the embeddings, one run a step for all scores. `activations`:
            what the senders of one place write (embedding, a layer's attention, an MLP), one run a step for
            the scores of these senders, all before them being clean.
        progress: called with passes done and passes in all.

    Raises:
        MethodError: C541, the metric has no gradient on the clean run; C542, no such number of steps; C546,
            no such way.
    """
    weight = _prepare(contrast, metric, steps, along)
    total = torch.zeros(len(graph.receivers), len(graph.senders), dtype=torch.float64)
    for scored, difference, gradients in _gradients(contrast, graph, metric, steps, along, progress):
        for first, gradient in gradients.by_receiver(graph):
            last = min(graph.reach[first], scored.stop)
            if last > scored.start:
                product = gradient.flatten(1) @ difference[scored.start : last].flatten(1).T
                total[first : first + len(gradient), scored.start : last] += product.double().cpu()
    values = (weight * total).tolist()
    return EdgeScores.of(graph, values, _made(contrast, metric, steps, along), contrast.model.digits)


def node_attribution(
    contrast: Contrast,
    graph: Graph,
    metric: Metric,
    *,
    steps: int = 1,
    along: Along = "inputs",
    progress: Callable[[int, int], None] | None = None,
) -> NodeScores:
    """Attribution scores of all senders: for each the sum over the edges out of it.

    Arguments and errors as for `attribution_patching`.
    """
    weight = _prepare(contrast, metric, steps, along)
    total = torch.zeros(len(graph.senders), dtype=torch.float64)
    for scored, difference, gradients in _gradients(contrast, graph, metric, steps, along, progress):
        for senders, gradient in zip(sender_stages(graph), gradients.senders, strict=True):
            if scored.start <= senders.start < scored.stop:
                total[senders] += (difference[senders] * gradient).double().sum((1, 2, 3)).cpu()
    made = _made(contrast, metric, steps, along)
    scores = [[value] for value in (weight * total).tolist()]
    return NodeScores.of(graph.senders, (), scores, made, contrast.model.digits)


def _prepare(contrast: Contrast, metric: Metric, steps: int, along: Along) -> float:
    """Check the request; the factor from a sum of metric gradients to a score."""
    if along not in ("inputs", "activations"):
        raise MethodError("C546", f"nothing is integrated along {along!r}", hint="inputs or activations")
    if steps < 1:
        raise MethodError("C542", f"{steps} steps are no integration", hint="steps is at least 1")
    if metric.name == "kl_divergence" and steps == 1:
        raise MethodError(
            "C541",
            "kl_divergence is least on the clean run, where its gradient is zero: every score would be 0",
            hint="use steps = 5 (integrated gradients), or another metric",
        )
    sign = 1 if metric.normalize else metric.measure.sign
    return sign / contrast.normalizer(metric).span / len(contrast.dataset.examples)


def _made(contrast: Contrast, metric: Metric, steps: int, along: Along) -> dict[str, Any]:
    return {
        "method": "attribution_patching",
        "steps": steps,
        "gradient_at": "clean"
        if steps == 1
        else f"{along} at k/{steps} from corrupted to clean, k = 0..{steps - 1}",
        "direction": "noise",
        "score": "estimated fall of the metric when the edge is cut",
        **contrast.facts(metric),
    }


def _gradients(
    contrast: Contrast,
    graph: Graph,
    metric: Metric,
    steps: int,
    along: Along,
    progress: Callable[[int, int], None] | None,
) -> Iterator[tuple[slice, Float[Tensor, "sender batch pos d_model"], Gradients]]:
    """For every batch and step: the senders scored by it, clean − substitute of all, and the gradients."""
    places = sender_stages(graph)
    moved = range(len(places)) if along == "activations" and steps > 1 else range(1)
    done, passes = 0, steps * len(moved) * len(contrast.batches)
    for batch in contrast.batches:
        if steps == 1:
            # The run that is differentiated is the clean run: what its senders write is there already.
            gradients = metric_gradients(contrast, batch, metric, graph=graph)
            yield slice(0, len(graph.senders)), _difference(contrast, batch, graph), gradients
            done += 1
            if progress is not None:
                progress(done, passes)
            continue
        difference = _difference(contrast, batch, graph)
        for place in moved:
            scored = places[place] if len(moved) > 1 else slice(0, len(graph.senders))
            written = difference[places[place]].sum(0)
            for step in range(steps):
                shift = (place, (step / steps - 1) * written)
                yield scored, difference, metric_gradients(contrast, batch, metric, shift, scale=1 / steps)
                done += 1
                if progress is not None:
                    progress(done, passes)


def _difference(contrast: Contrast, batch: Batch, graph: Graph) -> Float[Tensor, "sender batch pos d_model"]:
    return contrast.clean_outputs(batch, graph) - contrast.substitute(batch, graph)


def sender_stages(graph: Graph) -> list[slice]:
    """The senders that write at the same place: embed, attention of layer 0, MLP of layer 0, ..."""
    heads = graph.shape.n_heads if graph.attention == "heads" else 1
    counts = [1, *([heads, 1] if graph.shape.mlps else [heads]) * graph.shape.n_layers]
    stops = list(accumulate(counts))
    return [slice(stop - count, stop) for stop, count in zip(stops, counts, strict=True)]


@dataclass(frozen=True, slots=True, eq=False)
class Gradients:
    """Gradients of a metric, summed over prompts, at one point.

    Attributes:
        norm_inputs: the residual stream at every stage's norm.
        norm_outputs: gradient by the output of every stage's norm, for the MLPs and the logits.
        projections: gradient by every layer's queries, keys and values, `unit batch pos d_head`.
        senders: gradient by what every stage's senders write together: embed, attention 0, MLP 0, ...
    """

    model: Model
    norm_inputs: Sequence[Float[Tensor, "batch pos d_model"]]
    norm_outputs: Sequence[Float[Tensor, "batch pos d_model"]]
    projections: Sequence[Float[Tensor, "unit batch pos d_head"]]
    senders: Sequence[Float[Tensor, "batch pos d_model"]]

    def by_receiver(self, graph: Graph) -> Iterator[tuple[int, Float[Tensor, "receiver batch pos d_model"]]]:
        """The gradient by each receiver's own input, for receivers that stand side by side.

        Each comes with the index of the first of them.
        """
        blocks = attrgetter(self.model.family.blocks)(self.model.module)
        per_layer = 1 + graph.shape.mlps
        for layer, block in enumerate(blocks):
            inside = attention_receivers(graph, layer)
            norm = attrgetter(self.model.family.attention_norm)(block)
            at_units = self._before_projection(layer)
            where = torch.tensor(unit_receivers(graph, layer), device=at_units.device)
            gathered = at_units.new_zeros(inside.stop - inside.start, *at_units.shape[1:])
            gathered.index_add_(0, where, at_units)
            yield inside.start, through_norm(norm, self.norm_inputs[layer * per_layer], gathered)
            if graph.shape.mlps:
                norm = attrgetter(self.model.family.mlp_norm)(block)
                point, gradient = self.norm_inputs[layer * per_layer + 1], self.norm_outputs[layer]
                yield inside.stop, through_norm(norm, point, gradient[None])
        norm = attrgetter(self.model.family.final_norm)(self.model.module)
        yield len(graph.receivers) - 1, through_norm(norm, self.norm_inputs[-1], self.norm_outputs[-1][None])

    def _before_projection(self, layer: int) -> Float[Tensor, "unit batch pos d_model"]:
        weights = self.model.weights[layer]
        matrices = (weights.query, weights.key, weights.value)
        parts = self.projections[layer].split([len(matrix) for matrix in matrices])
        found = [unit_project(g, m.transpose(1, 2), None) for g, m in zip(parts, matrices, strict=True)]
        return torch.cat(found)


def through_norm(
    norm: torch.nn.Module,
    point: Float[Tensor, "batch pos d_model"],
    gradients: Float[Tensor, "receiver batch pos d_model"],
) -> Float[Tensor, "receiver batch pos d_model"]:
    """Gradients by a norm's input from gradients by its output; the norm is differentiated, not frozen."""
    with torch.enable_grad():
        inputs = point.expand_as(gradients).detach().requires_grad_()
        (found,) = torch.autograd.grad(norm(inputs), inputs, gradients)
    return found


def metric_gradients(
    contrast: Contrast,
    batch: Batch,
    metric: Metric,
    shift: tuple[int, Float[Tensor, "batch pos d_model"]] | None = None,
    *,
    graph: Graph | None = None,
    scale: float = 1.0,
) -> Gradients:
    """One forward of the clean prompts, one backward.

    Args:
        contrast: model and prompts.
        batch: the prompts.
        metric: its sum over the prompts is differentiated.
        shift: a place (as in `sender_stages`) and what is added to what is written there.
        graph: keep what this graph's senders write in the contrast, as its clean outputs; without a shift
            only.
        scale: a factor for the metric.
    """
    model, where = contrast.model, contrast.reading(batch, metric)
    norm_inputs: list[Tensor] = []
    norm_outputs: list[Tensor] = []
    projections: list[tuple[Tensor, ...]] = []
    senders: list[Tensor] = []
    outputs: list[Tensor] = []

    def probe(value: Tensor, probes: list[Tensor]) -> Tensor:
        """Add a zero to what a module computes: the gradient by the zero is the gradient there."""
        zero = torch.zeros_like(value, requires_grad=True)
        probes.append(zero)
        return value + zero

    def written(value: Tensor) -> Tensor:
        """What senders write, shifted if theirs is the place."""
        if shift is not None and shift[0] == len(senders):
            value = value + shift[1]
        return probe(value, senders)

    def body() -> Tensor:
        first = model.blocks[0].block
        if graph is not None:
            outputs.append(first.input.detach().clone()[None])
        first.input = written(first.input)
        for layer_number, block in enumerate(model.blocks):
            norm_inputs.append(block.attention_norm.input.detach())
            layer: list[Tensor] = []
            for projection in block.projections:
                projection.output = probe(projection.output, layer)
            projections.append(tuple(layer))
            if graph is not None:
                outputs.append(attention_outputs(model, graph, layer_number, block.output.input.detach()))
            block.output.output = written(block.output.output)
            if model.shape.mlps:
                norm_inputs.append(block.mlp_norm.input.detach())
                block.mlp_norm.output = probe(block.mlp_norm.output, norm_outputs)
                if graph is not None:
                    outputs.append(block.mlp.output.detach().clone()[None])
                block.mlp.output = written(block.mlp.output)
        norm_inputs.append(model.final_norm.input.detach())
        model.final_norm.output = probe(model.final_norm.output, norm_outputs)
        return model.unembed.output[None]

    logits = run(model.envoy, model.inputs(batch.clean, where.kept), body, grad=True)
    if graph is not None:
        contrast.keep_clean_outputs(batch, graph, torch.cat(outputs))
    with torch.enable_grad():
        value = scale * where.values(metric, logits, contrast.reference(batch, metric)).sum()
    probes = [*norm_outputs, *senders, *(zero for layer in projections for zero in layer)]
    found = iter(torch.autograd.grad(value, probes))
    by_norm = [next(found) for _ in norm_outputs]
    by_sender = [next(found) for _ in senders]
    by_projection = [
        torch.cat([next(found) for _ in layer], dim=-1).unflatten(-1, (-1, model.d_head)).movedim(-2, 0)
        for layer in projections
    ]
    return Gradients(model, norm_inputs, by_norm, by_projection, by_sender)
