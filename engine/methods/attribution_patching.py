"""Edge attribution patching (EAP): the effect of every edge or node at once, to first order.

    score(s -> r) = Σ (clean[s] − corrupted[s]) · ∂metric / ∂input(r)

estimates by how much the metric falls if the edge is cut (Syed et al. 2023, with the opposite sign): the mean
over prompts of the sum over positions, with the gradient at the input before the norm. It is minus the
gradient of the masked forward by its mask at mask 0, and costs one forward and one backward pass: the
gradient by every receiver's own input follows from the gradients by the projections, layer by layer.

Integrated gradients (EAP-IG, Hanna et al. 2024) average the gradient over m points of the interpolation from
the corrupted embeddings e' to the clean ones e,

    e' + k/m (e − e')        k = 0 .. m−1

or, with `along = activations`, from one site's corrupted outputs to its clean ones, site by site.

With the gradient on the corrupted run (`base`) it is by how much the metric is estimated to rise if the edge
were restored there (Nanda 2023): the first is noising to first order, the second denoising.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Literal, TypeAlias, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from nncirc.circuits.arguments import public
from nncirc.circuits.errors import MethodError
from nncirc.circuits.graph import Graph
from nncirc.circuits.made import Made
from nncirc.engine.methods.atp_star import Recomputed
from nncirc.engine.methods.scores import EdgeScores, NodeScores
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.runs.batches import Batch
from nncirc.engine.runs.capture import Written, sender_stages, split_layer
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import Base, Direction, Resample, Zero, require_run
from nncirc.engine.runs.gradients import Gradients, Rule, metric_gradients

Along: TypeAlias = Literal["inputs", "activations"]


def score(direction: str, *, edges: bool, magnitude: bool) -> str:
    """What the numbers are, `{metric}` standing for the metric."""
    what, noised = ("edge", "cut") if edges else ("node", "patched")
    effect = f"fall of {{metric}} when the {what} is {noised}"
    if direction == "denoise":
        effect = f"rise of {{metric}} when the {what} is restored"
    return f"estimated {effect}" + (", magnitude" if magnitude else "")


@public
def attribution_patching(
    contrast: Contrast,
    graph: Graph,
    metric: Metric,
    *,
    base: Base = "clean",
    steps: int = 1,
    along: Along = "inputs",
    rule: Rule = "gradient",
    correct_qk: bool = False,
    grad_drop: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> EdgeScores:
    """Attribution scores of all edges.

    Args:
        contrast: model, prompts and corruption.
        graph: the edges to score.
        metric: what is attributed. For a divergence, a score is the rise of the divergence (its fall on the
            corrupted run), so that positive scores help in any case.
        base: the run on which the gradient is taken, where there is one step. `clean`: a score says what
            cutting the edge takes. `corrupted`: what restoring it in the corrupted run gives, by the
            gradient there, as in TransformerLens; the corruption has to be a run of the model.
        steps: 1 takes one gradient, on `base`. m > 1 averages it over k/m of the way from corrupted
            to clean, k = 0 .. m−1: integrated gradients, EAP-IG (Hanna et al. 2024); over (k + ½)/m where the
            way starts at embeddings of zero, as under `Zero` (see `way`). It converges slowly under `Mean`,
            where all tokens start alike (on a small Llama 5 steps are off by an eighth of the largest score,
            40 by a twenty-fifth): compare with twice as many. Under `Zero` the embedding's own score does not
            converge: a norm takes its length away, so that all happens next to zero. Patch that.
        along: what goes that way. `inputs`: the embeddings, one run a step for all scores. `activations`:
            what the senders of one place write (embedding, a layer's attention, an MLP), one run a step for
            the scores of these senders, all before them being clean.
        rule: what the difference is multiplied with: the gradient, or `relp`, coefficients of relevance
            propagation (Rezaei Jafari et al. 2025). With `relp` attention patterns are constant, so that
            edges into queries and keys score zero.
        correct_qk: compute the attention that an edge into a query or key gives, and go on to first order
            from what the heads then write: a saturated pattern has no gradient, and moves all the same
            (AtP*, Kramár et al. 2024). It costs about a dozen forwards.
        grad_drop: the mean magnitude over runs in each of which one layer passes no gradient on, so that
            effects that cancel each other are seen (AtP*); as many backwards as layers. Scores have no
            sign, and are magnitudes of means over prompts.
        progress: called with passes done and passes in all.

    Raises:
        MethodError: C541, the metric has no gradient where it is taken; C542, no such number of steps; C546,
            no such way; C547, options that do not go together, or not with this model; C523, a corrupted
            run where the corruption only replaces activations.
    """
    asked = _Asked(base, steps, along, rule, correct_qk, grad_drop)
    asked.check(contrast, metric)
    return _edge_scores(contrast, graph, metric, asked, progress)


def halfway(contrast: Contrast, graph: Graph, metric: Metric) -> EdgeScores:
    """Attribution scores with the gradient halfway between the corrupted and the clean embeddings."""
    return _edge_scores(contrast, graph, metric, _Asked(midpoints=True), None)


def _edge_scores(
    contrast: Contrast,
    graph: Graph,
    metric: Metric,
    asked: _Asked,
    progress: Callable[[int, int], None] | None,
) -> EdgeScores:
    weight = asked.weight(contrast, metric)
    total = asked.zeros(contrast, graph, len(graph.base.receivers), len(graph.base.senders))
    recomputed = Recomputed(contrast.model, graph.base) if asked.correct_qk else None
    room = contrast.memory // 8
    for point in _points(contrast, graph, metric, asked, progress):
        into = total[point.drop or 0]
        places = _places(contrast, point.batch, graph)
        unfolded = _Unfolded(point.difference, graph.base, point.scored, contrast.memory // 16)
        steps = point.gradients if recomputed is None else [*point.gradients]
        summed = asked.steps > 1 and len(graph.base.receivers) * point.difference.embed.nbytes <= room
        for first, gradient, scale in _by_receiver(steps, graph.base, room, summed=summed):
            for senders, differences in unfolded.up_to(graph.reach[first]):
                for position, tokens in enumerate(places):
                    # EAP: (clean − corrupted) · gradient
                    product = _at(gradient, tokens) @ _at(differences, tokens).T.to(gradient.dtype)
                    if recomputed is not None:
                        product *= recomputed.linear[first : first + len(gradient), None]
                    product = scale * product.double().cpu()
                    into[position, first : first + len(gradient), senders] += product
        if recomputed is not None:
            (gradients,) = steps
            for position, receiver, senders, fall in recomputed.falls(
                point.batch, gradients, unfolded.up_to, places
            ):
                into[position, receiver, senders] += gradients.scale * fall.double().cpu()
    # A row for each receiver, node by node and at each node position by position.
    values = (weight * asked.combined(total)).transpose(0, 1).flatten(0, 1).tolist()
    return EdgeScores.of(graph, values, asked.made(contrast, metric, edges=True), contrast.model.digits)


@public
def node_attribution(
    contrast: Contrast,
    graph: Graph,
    metric: Metric,
    *,
    base: Base = "clean",
    steps: int = 1,
    along: Along = "inputs",
    rule: Rule = "gradient",
    grad_drop: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> NodeScores:
    """Attribution scores of all senders: for each the sum over the edges out of it.

    Arguments and errors as for `attribution_patching`; with `grad_drop` magnitudes are those of the sums.
    """
    asked = _Asked(base, steps, along, rule, correct_qk=False, grad_drop=grad_drop)
    asked.check(contrast, metric)
    weight, whole = asked.weight(contrast, metric), graph.base
    total = asked.zeros(contrast, graph, len(whole.senders))
    for point in _points(contrast, graph, metric, asked, progress):
        places = _places(contrast, point.batch, graph)
        for gradients in point.gradients:
            stages = zip(sender_stages(whole), gradients.senders, strict=True)
            for stage, (senders, gradient) in enumerate(stages):
                if point.scored.start <= senders.start < point.scored.stop:
                    product = gradients.scale * point.difference.dot(whole, stage, gradient).double().cpu()
                    for position, tokens in enumerate(places):
                        total[point.drop or 0, position, senders] += _at(product, tokens).sum(1)
    scores = (weight * asked.combined(total)).T.tolist()
    made = asked.made(contrast, metric, edges=False)
    return NodeScores.of(whole.senders, graph.positions, scores, made, contrast.model.digits)


def interpolation(contrast: Contrast, steps: int, *, midpoints: bool = False) -> list[float]:
    """How far from corrupted to clean the gradients are taken: k/m, k = 0 .. m−1, as in Hanna et al.'s code.

    With `midpoints` it is (k + ½)/m, the midpoints of the steps. So it is where the way starts at embeddings
    of zero: at zero a norm is defined by its ε alone, and each norm on the way back multiplies the gradient
    by 1/√ε.
    """
    half = 0.5 * (midpoints or starts_at_zero(contrast))
    return [(k + half) / steps for k in range(steps)]


def starts_at_zero(contrast: Contrast) -> bool:
    """Whether norms read corrupted embeddings that are zero at a token where clean ones are not."""
    model = contrast.model
    if isinstance(attrgetter(model.family.final_norm)(model.module), nn.Identity):
        return False
    if isinstance(contrast.corruption, Zero):
        return True
    if not isinstance(contrast.corruption, Resample) or model.family.pos_embed is not None:
        return False
    if "empty tokens" not in model.memo:
        model.memo["empty tokens"] = (model.module.get_input_embeddings().weight == 0).all(-1)
    empty = model.memo["empty tokens"]
    runs = ((batch.clean, batch.corrupt) for batch in contrast.batches)
    return any(bool((empty[corrupt] & ~empty[clean]).any()) for clean, corrupt in runs if corrupt is not None)


def begins_with_a_run(contrast: Contrast) -> bool:
    """Whether the way of integrated gradients begins at the corrupted run itself."""
    return contrast.batches[0].corrupt is not None and not starts_at_zero(contrast)


def _places(contrast: Contrast, batch: Batch, graph: Graph) -> list[Bool[Tensor, "batch pos"] | None]:
    """The tokens at each position of a graph; None, for all of them, if it has none."""
    at = contrast.where(batch, graph)
    return [None] if at is None else list(at.bool())


def _at(
    values: Float[Tensor, "node batch pos *rest"], tokens: Bool[Tensor, "batch pos"] | None
) -> Float[Tensor, "node value"]:
    return values.flatten(1) if tokens is None else values[:, tokens].flatten(1)


@dataclass(frozen=True, slots=True)
class _Asked:
    """The options of a call, and whether gradients are taken at the midpoints of the steps in any case."""

    base: Base = "clean"
    steps: int = 1
    along: Along = "inputs"
    rule: Rule = "gradient"
    correct_qk: bool = False
    grad_drop: bool = False
    midpoints: bool = False

    def check(self, contrast: Contrast, metric: Metric) -> None:
        """Refuse options that have no meaning or do not go together."""
        if self.along not in ("inputs", "activations"):
            raise MethodError(
                "C546", f"unknown `along`: {self.along!r}", hint="expected inputs or activations"
            )
        self._check_base(contrast)
        if self.steps < 1:
            raise MethodError("C542", f"`steps` must be at least 1, got {self.steps}", hint="write steps = 5")
        if not metric.measure.gradient:
            raise MethodError(
                "C541",
                f"{metric.name} is piecewise constant, so it has no useful gradient",
                hint="use logit_diff, logprob or prob_diff, or activation_patching",
            )
        if metric.measure.against_clean and self.steps == 1 and self.base == "clean":
            raise MethodError(
                "C541",
                f"{metric.name} has zero gradient at the clean run, so every score would be 0",
                hint="use steps = 5 (integrated gradients), base = corrupted, or another metric",
            )
        self._check_together(contrast)

    def _check_base(self, contrast: Contrast) -> None:
        if self.base not in get_args(Base):
            raise MethodError(
                "C547",
                f"unknown `base`: {self.base!r}",
                hint="write base = clean or base = corrupted",
            )
        if self.base == "corrupted" and self.steps > 1:
            raise MethodError(
                "C547",
                f"`base` applies to a single gradient, but steps = {self.steps}",
                hint="set steps = 1, or remove base",
            )
        if self.base == "corrupted" and (self.rule != "gradient" or self.correct_qk or self.grad_drop):
            raise MethodError(
                "C547",
                "relp, correct_qk and grad_drop correct the gradient at the clean run, but base = corrupted",
                hint="remove them, or write base = clean",
            )
        if self.base == "corrupted":
            require_run(contrast.corruption, "base = corrupted", "use base = clean, or ")
            if starts_at_zero(contrast):
                raise MethodError(
                    "C547",
                    "a corrupted token has a zero embedding, where only the norm's ε determines its gradient",
                    hint="use base = clean or steps = 5, or other corrupted prompts",
                )

    def _check_together(self, contrast: Contrast) -> None:
        if self.steps > 1 and (self.rule != "gradient" or self.correct_qk or self.grad_drop):
            raise MethodError(
                "C547",
                "integrated gradients cannot be combined with relp, correct_qk or grad_drop",
                hint="set steps = 1: each of these corrects the gradient at the clean run",
            )
        if self.rule == "relp" and self.correct_qk:
            raise MethodError(
                "C547",
                "relp freezes attention patterns, but correct_qk recomputes them",
                hint="remove one of them",
            )
        model = contrast.model
        if self.rule == "relp" and model.shape.mlps and model.family.activation is None:
            raise MethodError(
                "C547",
                f"relp needs the MLP activation function, which the adapter of {model.name} does not declare",
                hint="set `activation` in the family's adapter",
            )
        if self.grad_drop and model.shape.n_layers < 2:
            raise MethodError("C547", "grad_drop needs at least two layers", hint="remove grad_drop")

    def weight(self, contrast: Contrast, metric: Metric) -> float:
        """The factor from a sum of metric gradients to a score."""
        sign = 1 if metric.normalize else metric.measure.sign
        return sign / contrast.normalizer(metric).span / (len(contrast.dataset.examples) * contrast.samples)

    def drops(self, contrast: Contrast) -> range | tuple[None]:
        """The layers that are dropped one by one; None where none is."""
        return range(contrast.model.shape.n_layers) if self.grad_drop else (None,)

    def zeros(self, contrast: Contrast, graph: Graph, *shape: int) -> Float[Tensor, "drop position ..."]:
        """Where scores are summed up, for each run with a layer dropped and each position by itself."""
        places = len(graph.positions) or 1
        return torch.zeros(len(self.drops(contrast)), places, *shape, dtype=torch.float64)

    def combined(self, total: Float[Tensor, "drop ..."]) -> Tensor:
        """One score of the scores with each layer dropped; a node is dead in the run that drops its own."""
        return total.abs().sum(0) / (len(total) - 1) if self.grad_drop else total[0]

    def made(self, contrast: Contrast, metric: Metric, *, edges: bool) -> Made:
        """What the result says of itself."""
        point = f"(k + 1/2)/{self.steps}" if starts_at_zero(contrast) else f"k/{self.steps}"
        direction: Direction = "noise" if self.base == "clean" else "denoise"
        along = f"{self.along} at {point} from corrupted to clean, k = 0..{self.steps - 1}"
        return {
            "method": "attribution_patching",
            "steps": self.steps,
            "gradient_at": self.base if self.steps == 1 else along,
            "rule": self.rule,
            "correct_qk": self.correct_qk,
            "grad_drop": self.grad_drop,
            "direction": direction,
            "score": score(direction, edges=edges, magnitude=self.grad_drop).format(metric="the metric"),
            **contrast.facts(metric),
        }


@dataclass(frozen=True, slots=True, eq=False)
class _Point:
    """The gradients of one batch that are multiplied with the same difference.

    Attributes:
        batch: the prompts.
        scored: the senders whose scores they go into.
        difference: clean − substitute of what is written.
        gradients: one for each step; each is computed when it is asked for.
        drop: the layer that passes no gradient on.
    """

    batch: Batch
    scored: slice
    difference: Written
    gradients: Iterator[Gradients]
    drop: int | None = None


def _points(
    contrast: Contrast,
    graph: Graph,
    metric: Metric,
    asked: _Asked,
    progress: Callable[[int, int], None] | None,
) -> Iterator[_Point]:
    """Every batch, with its steps, or every dropped layer."""
    graph = graph.base
    places, steps, drops = sender_stages(graph), asked.steps, asked.drops(contrast)
    everything = slice(0, len(graph.senders))
    moved = range(len(places)) if asked.along == "activations" and steps > 1 else range(1)
    ways = interpolation(contrast, steps, midpoints=asked.midpoints)
    whole = len(moved) == 1 and not asked.midpoints and begins_with_a_run(contrast)
    done, passes, moves = 0, steps * len(moved) * len(drops) * len(contrast.batches), False

    def counted(some: Iterable[Gradients]) -> Iterator[Gradients]:
        nonlocal done, moves
        for gradients in some:
            moves = moves or gradients.scale > 0
            yield gradients
            done += 1
            if progress is not None:
                progress(done, passes)

    def of(batch: Batch) -> Iterator[_Point]:
        if steps == 1 and not asked.midpoints:
            for drop in drops:
                # What the senders write in the run that is differentiated is there already.
                gradients = metric_gradients(
                    contrast,
                    batch,
                    metric,
                    base=asked.base,
                    keep=not drop,  # every dropped layer has the same clean run
                    rule=asked.rule,
                    drop=drop,
                    by_z=asked.correct_qk,
                    neurons=graph.neuron_counts,
                )
                difference = _difference(contrast, batch, graph)
                yield _Point(batch, everything, difference, counted([gradients]), drop)
            return
        first: list[Gradients] = []
        if whole:
            # The way begins at the corrupted run itself, of which is kept what is written.
            first = [
                metric_gradients(
                    contrast,
                    batch,
                    metric,
                    base="corrupted",
                    keep=True,
                    scale=1 / steps,
                    neurons=graph.neuron_counts,
                )
            ]
        difference = _difference(contrast, batch, graph)
        for place in moved:
            scored = places[place] if len(moved) > 1 else everything
            moving = difference.together(graph, place)
            # e + (k/m − 1)(e − e') = e' + k/m (e − e')
            shifts = ((place, (part - 1) * moving) for part in ways[len(first) :])
            rest = (metric_gradients(contrast, batch, metric, each, scale=1 / steps) for each in shifts)
            yield _Point(batch, scored, difference, counted(chain(first, rest)))

    for batch in contrast.batches:
        yield from of(batch)
    if not moves:  # the scores are zeros, and edges would be ranked by their place in the graph
        raise MethodError(
            "C541",
            f"{metric.name} has zero gradient on every prompt: to first order no logit changes it",
            hint="use logit_diff or logprob, or activation_patching",
        )


def _by_receiver(
    steps: Iterable[Gradients], graph: Graph, room: int, *, summed: bool
) -> Iterator[tuple[int, Float[Tensor, "receiver batch pos d_model"], float]]:
    """Receivers' gradients of some steps: the index of the first receiver, gradients, their factor.

    With `summed` the steps are summed up first, so that they meet the difference once. A sum has a power of
    two apart, that of its largest summand, for the reason that `Gradients` has.
    """
    sums: dict[int, tuple[Tensor, float]] = {}
    for gradients in steps:
        scale = gradients.scale
        for first, gradient in gradients.by_receiver(graph, room):
            if not summed:
                yield first, gradient, scale
            elif first not in sums:
                wide = torch.promote_types(gradient.dtype, torch.float32)
                sums[first] = gradient.to(wide, copy=True), scale
            else:
                total, before = sums[first]
                largest = max(before, scale) or 1.0
                sums[first] = total.mul_(before / largest).add_(gradient, alpha=scale / largest), largest
    for first, (total, scale) in sums.items():
        yield first, total, scale


def _difference(contrast: Contrast, batch: Batch, graph: Graph) -> Written:
    return contrast.clean_written(batch, graph) - contrast.substitute_written(batch, graph)


def _parts(graph: Graph, most: int) -> Iterator[slice]:
    """The stages of a graph's senders, those of more neurons than `most` in parts."""
    for number, stage in enumerate(sender_stages(graph)):
        size = stage.stop - stage.start if split_layer(graph, number) is None else most
        for start in range(stage.start, stage.stop, size):
            yield slice(start, min(start + size, stage.stop))


class _Unfolded:
    """The outputs of some senders, as many at a time as there is room for.

    Where there is room for all they are made once; else again for all receivers that stand side by side.
    """

    def __init__(self, difference: Written, graph: Graph, senders: slice, room: int) -> None:
        self.difference, self.graph = difference, graph
        one = difference.embed.nbytes
        self.groups: list[slice] = []
        for stage in _parts(graph, max(1, room // one)):
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
