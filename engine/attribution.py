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
from operator import attrgetter
from typing import Any, Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from nncirc.circuits.errors import MethodError
from nncirc.circuits.graph import Graph
from nncirc.engine.contrast import Batch, Contrast
from nncirc.engine.forward import attention_receivers, unit_project, unit_receivers
from nncirc.engine.metrics import Metric
from nncirc.engine.model import Model
from nncirc.engine.scores import EdgeScores, NodeScores
from nncirc.engine.tracing import run
from nncirc.engine.written import Written, sender_stages

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
    for point in _points(contrast, graph, metric, steps, along, progress):
        unfolded = _Unfolded(point.difference, graph, point.scored, contrast.memory // 16)
        for first, gradient in point.gradients.by_receiver(graph, contrast.memory // 8):
            for senders, outputs in unfolded.up_to(graph.reach[first]):
                product = gradient.flatten(1) @ outputs.flatten(1).T
                total[first : first + len(gradient), senders] += product.double().cpu()
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
    for point in _points(contrast, graph, metric, steps, along, progress):
        for senders, gradient in zip(sender_stages(graph), point.gradients.senders, strict=True):
            if point.scored.start <= senders.start < point.scored.stop:
                outputs = point.difference.outputs(graph, senders)
                total[senders] += (outputs * gradient).double().sum((1, 2, 3)).cpu()
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


@dataclass(frozen=True, slots=True, eq=False)
class _Point:
    """One gradient of one batch.

    Attributes:
        scored: the senders whose scores it goes into.
        difference: clean − substitute of what is written.
        gradients: at this point.
    """

    scored: slice
    difference: Written
    gradients: Gradients


def _points(
    contrast: Contrast,
    graph: Graph,
    metric: Metric,
    steps: int,
    along: Along,
    progress: Callable[[int, int], None] | None,
) -> Iterator[_Point]:
    """Every batch and step."""
    places = sender_stages(graph)
    moved = range(len(places)) if along == "activations" and steps > 1 else range(1)
    done, passes = 0, steps * len(moved) * len(contrast.batches)
    for batch in contrast.batches:
        if steps == 1:
            # The run that is differentiated is the clean run: what its senders write is there already.
            gradients = metric_gradients(contrast, batch, metric, keep_clean=True)
            yield _Point(slice(0, len(graph.senders)), _difference(contrast, batch), gradients)
            done += 1
            if progress is not None:
                progress(done, passes)
            continue
        difference = _difference(contrast, batch)
        for place in moved:
            scored = places[place] if len(moved) > 1 else slice(0, len(graph.senders))
            moving = difference.outputs(graph, places[place]).sum(0)
            for step in range(steps):
                shift = (place, (step / steps - 1) * moving)
                gradients = metric_gradients(contrast, batch, metric, shift, scale=1 / steps)
                yield _Point(scored, difference, gradients)
                done += 1
                if progress is not None:
                    progress(done, passes)


def _difference(contrast: Contrast, batch: Batch) -> Written:
    return contrast.clean_written(batch) - contrast.substitute_written(batch)


class _Unfolded:
    """The outputs of some senders, as many at a time as there is room for.

    Where there is room for all they are made once; else again for all receivers that stand side by side.
    """

    def __init__(self, difference: Written, graph: Graph, senders: slice, room: int) -> None:
        self.difference, self.graph = difference, graph
        one = difference.embed.nbytes
        self.groups: list[slice] = []
        for stage in sender_stages(graph):
            if senders.start <= stage.start < senders.stop:
                if self.groups and (stage.stop - self.groups[-1].start) * one <= room:
                    stage = slice(self.groups.pop().start, stage.stop)
                self.groups.append(stage)
        self.all = difference.outputs(graph, senders) if len(self.groups) == 1 else None

    def up_to(self, reach: int) -> Iterator[tuple[slice, Float[Tensor, "sender batch pos d_model"]]]:
        """The first `reach` senders of the graph, in groups."""
        for group in self.groups:
            senders = slice(group.start, min(group.stop, reach))
            if senders.stop > senders.start:
                outputs = self.difference.outputs(self.graph, senders) if self.all is None else self.all
                yield senders, outputs[: senders.stop - senders.start]


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

    def by_receiver(
        self, graph: Graph, room: int
    ) -> Iterator[tuple[int, Float[Tensor, "receiver batch pos d_model"]]]:
        """The gradient by each receiver's own input, for receivers that stand side by side.

        Each comes with the index of the first of them.

        Args:
            graph: whose receivers.
            room: bytes that the gradients of some receivers may take; one receiver's are never split.
        """
        # At the projections, before and behind the norm, and what the norm keeps.
        at_once = max(1, room // (4 * self.norm_inputs[0].nbytes))
        blocks = attrgetter(self.model.family.blocks)(self.model.module)
        per_layer = 1 + graph.shape.mlps
        for layer, block in enumerate(blocks):
            inside = attention_receivers(graph, layer)
            norm = attrgetter(self.model.family.attention_norm)(block)
            for start in range(inside.start, inside.stop, at_once):
                some = range(start - inside.start, min(start + at_once, inside.stop) - inside.start)
                gradient = self._before_projection(graph, layer, some)
                yield start, through_norm(norm, self.norm_inputs[layer * per_layer], gradient)
            if graph.shape.mlps:
                norm = attrgetter(self.model.family.mlp_norm)(block)
                point, gradient = self.norm_inputs[layer * per_layer + 1], self.norm_outputs[layer]
                yield inside.stop, through_norm(norm, point, gradient[None])
        norm = attrgetter(self.model.family.final_norm)(self.model.module)
        yield len(graph.receivers) - 1, through_norm(norm, self.norm_inputs[-1], self.norm_outputs[-1][None])

    def _before_projection(
        self, graph: Graph, layer: int, receivers: range
    ) -> Float[Tensor, "receiver batch pos d_model"]:
        """The gradient by what the norm gives some of a layer's attention receivers."""
        weights = self.model.weights[layer]
        where = unit_receivers(graph, layer)
        found = self.norm_inputs[0].new_zeros(len(receivers), *self.norm_inputs[0].shape)
        start = 0
        for matrix in (weights.query, weights.key, weights.value):
            units = [u for u in range(len(matrix)) if where[start + u] in receivers]
            if units:
                at = slice(units[0], units[-1] + 1)  # a receiver's units stand side by side
                gradient = self.projections[layer][start + at.start : start + at.stop]
                to = torch.tensor([where[start + u] - receivers.start for u in units], device=found.device)
                found.index_add_(0, to, unit_project(gradient, matrix[at].transpose(1, 2), None))
            start += len(matrix)
        return found


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
    keep_clean: bool = False,
    scale: float = 1.0,
) -> Gradients:
    """One forward of the clean prompts, one backward.

    Args:
        contrast: model and prompts.
        batch: the prompts.
        metric: its sum over the prompts is differentiated.
        shift: a place (as in `sender_stages`) and what is added to what is written there.
        keep_clean: keep what is written in the contrast, as what the clean run writes; without a shift only.
        scale: a factor for the metric.
    """
    model, where = contrast.model, contrast.reading(batch, metric)
    norm_inputs: list[Tensor] = []
    norm_outputs: list[Tensor] = []
    projections: list[tuple[Tensor, ...]] = []
    senders: list[Tensor] = []
    zs: list[Tensor] = []
    mlps: list[Tensor] = []

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

    def body() -> tuple[Tensor, Tensor]:
        first = model.blocks[0].block
        embed = first.input.detach().clone()
        first.input = written(first.input)
        for block in model.blocks:
            norm_inputs.append(block.attention_norm.input.detach())
            layer: list[Tensor] = []
            for projection in block.projections:
                projection.output = probe(projection.output, layer)
            projections.append(tuple(layer))
            if keep_clean:
                zs.append(block.output.input.detach().clone())
            block.output.output = written(block.output.output)
            if model.shape.mlps:
                norm_inputs.append(block.mlp_norm.input.detach())
                block.mlp_norm.output = probe(block.mlp_norm.output, norm_outputs)
                if keep_clean:
                    mlps.append(block.mlp.output.detach().clone())
                block.mlp.output = written(block.mlp.output)
        norm_inputs.append(model.final_norm.input.detach())
        model.final_norm.output = probe(model.final_norm.output, norm_outputs)
        return embed, model.unembed.output[None]

    embed, logits = run(model.envoy, model.inputs(batch.clean, where.kept), body, grad=True)
    if keep_clean:
        contrast.keep_clean_written(batch, Written(model, embed, tuple(zs), tuple(mlps)))
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
