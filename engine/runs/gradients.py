"""Gradients of a metric in one forward and one backward: by what senders write and receivers read.

The gradient by every receiver's own input follows from the gradients by the projections, layer by layer.

Beside the gradient itself there are two things that attribution patching multiplies with in its place:

- `relp`, coefficients of layer-wise relevance propagation (Rezaei Jafari et al. 2025): the scale of norms and
  the pattern of attention count as constants, an activation f(x) passes f(x)/x on, and the two factors of
  a gated MLP share what they make. So what is saturated or renormalised is not lost.
- a gradient that does not pass through one layer, for GradDrop (Kramár et al. 2024).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nncirc.circuits.errors import MethodError
from nncirc.circuits.graph import Graph
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.metrics.reading import Reading
from nncirc.engine.model.layer import (
    change_output,
    mlp_written,
    neurons_written,
    through,
    unit_project,
    units_in,
    z_written,
)
from nncirc.engine.model.model import Block, Model, module_of
from nncirc.engine.model.tracing import run
from nncirc.engine.runs.batches import Batch
from nncirc.engine.runs.capture import Written
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import Base
from nncirc.engine.runs.wiring import attention_receivers, unit_receivers

Rule: TypeAlias = Literal["gradient", "relp"]


@dataclass(frozen=True, slots=True, eq=False)
class Gradients:
    """Gradients of a metric, summed over prompts, at one point; all are to be multiplied by `scale`.

    Attributes:
        norm_inputs: the residual stream at every stage's norm.
        norm_outputs: gradient by the output of every stage's norm, for the MLPs and the logits.
        projections: gradient by what every layer's chains make: queries, keys and values are columns of it.
        zs: gradient by every layer's z, heads side by side: the input of the output projection.
        senders: gradient by what every stage's senders write together: embed, attention 0, MLP 0, ...
        rule: the gradient, or what takes its place.
        scale: a power of two, so that neither a rare answer's probability nor a metric of large numbers has
            gradients beyond the range of the model's dtype; 0 where the metric has none by the logits.
    """

    model: Model
    norm_inputs: Sequence[Float[Tensor, "batch pos d_model"]]
    norm_outputs: Sequence[Float[Tensor, "batch pos d_model"]]
    projections: Sequence[Sequence[Float[Tensor, "batch pos width"]]]
    zs: Sequence[Float[Tensor, "batch pos z"]]
    senders: Sequence[Float[Tensor, "batch pos d_model"]]
    rule: Rule
    scale: float

    def by_receiver(
        self, graph: Graph, room: int
    ) -> Iterator[tuple[int, Float[Tensor, "receiver batch pos d_model"]]]:
        """The gradient by each receiver's own input, for receivers that are next to each other.

        Each comes with the index of the first of them.

        Args:
            graph: whose receivers.
            room: bytes that the gradients of some receivers may take; one receiver's are never split.
        """
        # At the projections, before and after the norm, and what the norm keeps.
        at_once = max(1, room // (4 * self.norm_inputs[0].nbytes))
        family = self.model.family
        blocks = attrgetter(family.blocks)(self.model.module)
        per_layer = 1 + graph.shape.mlps
        for layer, block in enumerate(blocks):
            inside = attention_receivers(graph, layer)
            norm = module_of(block, family.attention_norm)
            for start in range(inside.start, inside.stop, at_once if self.model.linear else 1):
                some = range(start - inside.start, min(start + at_once, inside.stop) - inside.start)
                point = self.norm_inputs[layer * per_layer]
                if self.model.linear:
                    gradient = self._before_projection(graph, layer, some)
                    yield start, self._through(norm, point, gradient)
                else:
                    yield start, self._through_chains(graph, layer, block, start - inside.start)
            if graph.shape.mlps:
                shared = family.parallel and family.mlp_norm is None
                norm = module_of(block, family.attention_norm if shared else family.mlp_norm)
                point, gradient = self.norm_inputs[layer * per_layer + 1], self.norm_outputs[layer]
                yield inside.stop, self._through(norm, point, gradient[None])
        norm = attrgetter(family.final_norm)(self.model.module)
        yield len(graph.receivers) - 1, self._through(norm, self.norm_inputs[-1], self.norm_outputs[-1][None])

    def _through(self, norm: nn.Module | None, point: Tensor, gradients: Tensor) -> Tensor:
        return gradients if norm is None else through_norm(norm, point, gradients, self.rule)

    def _through_chains(
        self, graph: Graph, layer: int, block: nn.Module, receiver: int
    ) -> Float[Tensor, "1 batch pos d_model"]:
        """The gradient by the input of an attention receiver, whose units are not linear in it."""
        family, where = self.model.family, unit_receivers(graph, layer)
        mine = [unit for unit, to in zip(self.model.units, where, strict=True) if to == receiver]
        with torch.enable_grad():
            inputs = self.norm_inputs[layer * (1 + graph.shape.mlps)].detach().requires_grad_()
            norm = module_of(block, family.attention_norm)
            read = inputs if norm is None else norm(inputs)
            if norm is not None and self.rule == "relp":
                read = constant_scale(norm, inputs, read)
            found = torch.zeros_like(inputs)
            for number, chain in enumerate(family.units.chains):
                columns = [c for unit in mine if number in unit.columns for c in unit.columns[number]]
                if not columns:
                    continue
                steps = [step if isinstance(step, int) else module_of(block, step) for step in chain]
                made = through(steps, read).reshape(*inputs.shape[:2], -1)[..., columns]
                gradient = self.projections[layer][number][..., columns]
                found += torch.autograd.grad(made, inputs, gradient, retain_graph=True)[0]
        return found[None]

    def _before_projection(
        self, graph: Graph, layer: int, receivers: range
    ) -> Float[Tensor, "receiver batch pos d_model"]:
        """The gradient by what the norm gives some of a layer's attention receivers."""
        weights = self.model.weights[layer]
        where = unit_receivers(graph, layer)
        found = self.norm_inputs[0].new_zeros(len(receivers), *self.norm_inputs[0].shape)
        by_unit = units_in(self.model, self.projections[layer])
        start = 0
        for matrix, _ in weights.projections:
            units = [u for u in range(len(matrix)) if where[start + u] in receivers]
            if units:
                at = slice(units[0], units[-1] + 1)  # a receiver's units are next to each other
                gradient = by_unit[start + at.start : start + at.stop]
                to = torch.tensor([where[start + u] - receivers.start for u in units], device=found.device)
                found.index_add_(0, to, unit_project(gradient, matrix[at].transpose(1, 2), None))
            start += len(matrix)
        return found


def through_norm(
    norm: nn.Module,
    point: Float[Tensor, "batch pos d_model"],
    gradients: Float[Tensor, "receiver batch pos d_model"],
    rule: Rule = "gradient",
) -> Float[Tensor, "receiver batch pos d_model"]:
    """Gradients by a norm's input from gradients by its output; the norm is differentiated, not frozen.

    By the rule `relp` its scale is frozen.
    """
    with torch.enable_grad():
        inputs = point.expand_as(gradients).detach().requires_grad_()
        outputs = norm(inputs)
        if rule == "relp":
            outputs = constant_scale(norm, inputs, outputs)
        (found,) = torch.autograd.grad(outputs, inputs, gradients)
    return found


def constant_scale(
    norm: nn.Module,
    inputs: Float[Tensor, "*batch d_model"],
    outputs: Float[Tensor, "*batch d_model"],
) -> Float[Tensor, "*batch d_model"]:
    """What a norm gives, as a function of its input in which what it divides by is constant.

    A layer norm still subtracts the mean from its input, which is linear.
    """
    linear = inputs - inputs.mean(-1, keepdim=True) if isinstance(norm, nn.LayerNorm) else inputs
    bias = getattr(norm, "bias", None)
    return proportional(linear, outputs if bias is None else outputs - bias) + (0 if bias is None else bias)


def proportional(inputs: Tensor, outputs: Tensor) -> Tensor:
    """`outputs`, as a function that is proportional to `inputs`, entry by entry, with constant ratio.

    Where an input is zero nothing passes: neither does any part of the relevance.
    """
    zero = inputs == 0
    ratio = torch.where(zero, 0, outputs / torch.where(zero, 1, inputs)).detach()
    return outputs.detach() + ratio * (inputs - inputs.detach())


def metric_gradients(
    contrast: Contrast,
    batch: Batch,
    metric: Metric,
    shift: tuple[int, Float[Tensor, "batch pos d_model"]] | None = None,
    *,
    base: Base = "clean",
    keep: bool = False,
    scale: float = 1.0,
    rule: Rule = "gradient",
    drop: int | None = None,
    by_z: bool = False,
    neurons: Collection[int] = (),
) -> Gradients:
    """One forward, one backward.

    Args:
        contrast: model and prompts.
        batch: the prompts.
        metric: its sum over the prompts is differentiated.
        shift: a place (as in `sender_stages`) and what is added to what is written there.
        base: the run that is differentiated; a corrupted one needs a corruption that is a run.
        keep: keep what is written in the contrast, as what this run writes; without a shift only.
        scale: a factor for the metric.
        rule: the gradient, or what takes its place.
        drop: a layer whose attention and MLP pass no gradient on.
        by_z: whether the gradients by z are wanted.
        neurons: layers of which what is kept is to tell neurons apart.

    Raises:
        MethodError: C541, the metric is not a differentiable function of the logits.
    """
    model, where = contrast.model, contrast.reading(batch, metric)
    family, modules = model.family, attrgetter(model.family.blocks)(model.module)
    tokens, noise = contrast.begins(batch, base)
    norm_inputs: list[Tensor] = []
    norm_outputs: list[Tensor] = []
    projections: list[tuple[Tensor, ...]] = []
    senders: list[Tensor] = []
    z_probes: list[Tensor] = []
    zs: list[Tensor] = []
    mlps: list[Tensor] = []
    activations: dict[int, Tensor] = {}

    def probe(value: Tensor, probes: list[Tensor]) -> Tensor:
        """Add a zero to what a module computes: the gradient by the zero is the gradient there."""
        zero = torch.zeros_like(value, requires_grad=True)
        probes.append(zero)
        return value + zero

    def written(value: Tensor, layer: int | None = None, times: float = 1) -> Tensor:
        """What senders write, shifted if theirs is the place; `times` is what it is multiplied by then."""
        if layer is not None and layer == drop:
            value = value.detach()
        if shift is not None and shift[0] == len(senders):
            value = value + shift[1].view(value.shape) / times
        return probe(value, senders) if times == 1 else probe(times * value, senders) / times

    def end(envoy: Any, layer: int, times: float) -> None:
        """The module whose output a layer's attention or MLP adds to the residual stream."""
        change_output(envoy, lambda value: written(value, layer, times))

    def body() -> tuple[Tensor, Tensor]:
        first = model.blocks[0].block
        start = first.input if noise is None else first.input + noise
        embed = start.detach().clone()
        stream = first.input = written(start)
        for number, block in enumerate(model.blocks):
            stream = block.block.input if number else stream
            norm_inputs.append(stream.detach())
            if rule == "relp":
                _constant_norm(modules[number], family.attention_norm, block.attention_norm)
            layer: list[Tensor] = []
            for place, projection in enumerate(block.projections):
                made = probe(projection.output, layer)
                projection.output = made if rule == "gradient" else _constant_pattern(model, place, made)
            projections.append(tuple(layer))
            z = block.output.input
            if by_z:
                z = block.output.input = probe(z, z_probes)
            if keep:
                zs.append(z_written(model, number, block, z).detach().clone())
            if rule == "relp":
                _constant_norm(modules[number], family.after_attention, block.after_attention)
            end(block.attention_end, number, block.scale)
            if model.shape.mlps:
                norm_inputs.append(block.middle(stream).detach())
                if rule == "relp" and not (block.parallel and block.mlp_norm is None):
                    _constant_norm(modules[number], family.mlp_norm, block.mlp_norm)
                block.mlp.input = probe(block.mlp.input, norm_outputs)
                if rule == "relp":
                    _proportional_mlp(model, block)
                if keep and number in neurons:
                    activations[number] = neurons_written(model, number, block).detach().clone()
                if keep:
                    mlps.append(mlp_written(block, embed).detach().clone())
                if rule == "relp":
                    _constant_norm(modules[number], family.after_mlp, block.after_mlp)
                end(block.mlp_end, number, block.scale)
        norm_inputs.append(model.final_norm.input.detach())
        if rule == "relp":
            _constant_norm(model.module, family.final_norm, model.final_norm)
        model.final_norm.output = probe(model.final_norm.output, norm_outputs)
        return embed, model.logits_output[None]

    embed, logits = run(model.envoy, model.inputs(tokens, where.kept), body, grad=True)
    if keep:
        contrast.keep_written(batch, Written.of_run(model, embed, zs, mlps, activations), base)
    by_logits, size = _by_logits(where, metric, logits, contrast.reference(batch, metric))
    probes = [*norm_outputs, *senders, *z_probes, *(zero for layer in projections for zero in layer)]
    # What a rule or a dropped layer cuts off has a gradient of zero.
    found = iter(torch.autograd.grad(logits, probes, by_logits, allow_unused=True, materialize_grads=True))
    by_norm = [next(found).view_as(embed) for _ in norm_outputs[:-1]] + [next(found)]
    by_sender = [next(found).view_as(embed) for _ in senders]
    of_z = [next(found) for _ in z_probes]
    by_projection = [[next(found).reshape(*embed.shape[:2], -1) for _ in layer] for layer in projections]
    return Gradients(model, norm_inputs, by_norm, by_projection, of_z, by_sender, rule, scale * size)


def _by_logits(
    where: Reading, metric: Metric, logits: Tensor, reference: Tensor | None
) -> tuple[Float[Tensor, "1 batch kept vocab"], float]:
    """The gradient of a metric's sum over prompts by the logits, and a factor that was taken out of it."""
    with torch.enable_grad():
        at = logits.detach().double().requires_grad_()
        value = where.values(metric, at, reference).sum()
    if not value.requires_grad:
        raise MethodError(
            "C541",
            f"{metric.name} has no gradient: its value does not depend on"
            " the logits through torch operations",
            hint="compute it from `logits.patched` with torch alone, without detach() and item()",
        )
    (gradient,) = torch.autograd.grad(value, at)
    largest = float(gradient.abs().max())
    size = math.ldexp(1.0, math.frexp(largest)[1] - 1) if largest else 0.0
    return gradient.div_(size or 1.0).to(logits.dtype), size


# Rules of relevance propagation: inside a trace only -------------------------------------------------------


def _constant_norm(module: nn.Module, path: str | None, norm: Any) -> None:
    if path is not None:
        norm.output = constant_scale(attrgetter(path)(module), norm.input, norm.output)


def _constant_pattern(model: Model, place: int, made: Tensor) -> Tensor:
    """What a projection gives, queries and keys without a gradient: values pass on what the pattern says."""
    values = [c for u in model.units if u.kind == "v" and place in u.columns for c in u.columns[place]]
    if len(values) in (0, made.shape[-1]):
        return made if values else made.detach()
    found = made.detach().clone()
    found[..., values] = made[..., values]
    return found


def _proportional_mlp(model: Model, block: Block) -> None:
    family = model.family
    assert family.activation is not None
    activation = attrgetter(family.activation)(block.block)
    activation.output = proportional(activation.input, activation.output)
    if family.gated is not None:
        gated = attrgetter(family.gated)(block.block)
        gated.input = (gated.input + gated.input.detach()) / 2
