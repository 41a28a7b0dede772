"""Causal tracing: which state, restored in a corrupted run, brings the answer back (Meng et al. 2022).

    total effect        m(clean) − m(corrupted)
    indirect effect     m(corrupted, with the state of the clean run restored) − m(corrupted)

Means over prompts are ROME's average total and indirect effects (ATE, AIE). Or, the other way round, which
state of the corrupted run takes the answer away from the clean one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import sub
from typing import Literal, TypeAlias, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nncirc.circuits.arguments import public
from nncirc.circuits.errors import MethodError
from nncirc.circuits.graph import stages
from nncirc.circuits.intervals import USUAL, Resampling
from nncirc.circuits.made import Made
from nncirc.circuits.names import Positions
from nncirc.engine.evaluation.bootstrap import Estimates, end, estimates, metric_estimates, share
from nncirc.engine.methods.scores import NodeScores
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.model.model import Model
from nncirc.engine.runs.batches import Batch
from nncirc.engine.runs.capture import residual_stream
from nncirc.engine.runs.cells import Cell, Measure, in_cells
from nncirc.engine.runs.columns import columns_of, labelled, mask_of
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import Direction, check_direction, require_run
from nncirc.engine.runs.edited import Part, Site, edited_run

Restored: TypeAlias = Literal["states", "mlps", "attention"]
Severed: TypeAlias = Literal["none", "mlps", "attention"]

PAPERS_WINDOW = 10
SCORE: Mapping[str, str] = {
    "denoise": "indirect effect: {metric} restored minus corrupted",
    "noise": "indirect effect: {metric} clean minus patched",
}
"""What the numbers are, by the direction."""
_PARTS: Mapping[str, Part] = {
    "states": "residual",
    "mlps": "mlp",
    "attention": "attention",
    "none": "residual",
}


@public
def causal_tracing(
    contrast: Contrast,
    metric: Metric,
    *,
    direction: Direction = "denoise",
    of: Restored = "states",
    window: int | None = None,
    sever: Severed = "none",
    positions: Positions | None = "all",
    how: Resampling = USUAL,
    progress: Callable[[int, int], None] | None = None,
) -> NodeScores:
    """The indirect effect of every layer at every position: the metric restored minus the metric corrupted.

    In the corrupted run what a layer gives at a position takes its clean value, and the rest is computed
    anew. Rows are layers: of `states` the residual stream after the layer, named by the node that wrote last
    (`MLP3`; without MLPs `L3`); of `mlps` (`MLP3`) and `attention` (`L3`) what they add to it, in a window of
    layers around the row's: as in the paper's code from layer − window // 2 on, cut off at the ends.

    Values are means over prompts, of several samples of noise over these first. With a normalised metric they
    are shares of the total effect. `made["total"]` is the total effect, clean minus corrupted, always in the
    metric's own unit, with the ends of its interval (None where one prompt bounds nothing); `made["tokens"]`
    names the positions of "all" by their tokens.

    With `sever` a restored state cannot act through the MLPs (the attention) of later layers at the
    restored position: there these keep what they write in the corrupted run. Elsewhere they are computed.

    With `direction="noise"` both runs change places: in the clean run a layer takes its corrupted value, what
    is severed keeps what it writes in the clean run, and values are the metric clean minus patched.

    Args:
        contrast: model, prompts and a corruption that is a run of the model; the paper's is noise.
        metric: what is measured; the paper measures `prob`.
        direction: `denoise`, as in the paper: what is enough to bring the answer back; or `noise`: what is
            needed to keep it.
        of: what is restored.
        window: how many layers together; None for 1 with states, and 10 with MLPs or attention.
        sever: what the restored states do not act through.
        positions: where, one column each, all tokens of a name together; "all" for every token by itself;
            None for all tokens at once.
        how: how the intervals over prompts are drawn.
        progress: called with restorations done and restorations in all.

    Raises:
        MethodError: C591, nothing is restored or severed by that name; C592, a window of states or of less
            than one layer; C593, severed effects of anything but states; C523, the corruption is not a run;
            C512, no such position; C522, normalised, and the two runs do not differ; C524, no such direction.
        DataError: C334, "all" positions of prompts that have several lengths.

    Source: Meng et al. 2022, section 2; severed: section 2.2 and figure 3; windows: figure 2.
    """
    width = _check(contrast, direction, of, window, sever)
    model = contrast.model
    names, columns = columns_of(contrast.dataset, positions)
    depth = model.shape.n_layers

    def begin(batch: Batch) -> Measure:
        masks = [mask_of(batch, column, model.device) for column in columns]
        tracer = _Tracer.of(contrast, batch, direction, of, sever)
        where, reference = contrast.reading(batch, metric), contrast.reference(batch, metric)

        def measure(cells: Sequence[Cell]) -> Tensor:
            rows = [(_window(layer, width, depth), masks[column]) for layer, column in cells]
            return where.values(metric, tracer.logits(rows, where.kept), reference)

        return measure

    patched = in_cells(contrast, metric, depth, len(columns), begin, progress)
    clean, corrupt = contrast.clean_values(metric), contrast.corrupt_values(metric)
    effects = _effects(contrast, metric, patched, direction, how)
    whole = estimates([clean, corrupt], sub, how)
    places = whole.decimals(model.digits)
    made: Made = {
        "method": "causal_tracing",
        "direction": direction,
        "score": SCORE[direction].format(metric="the metric"),
        "of": of,
        "rows": of,
        "window": width,
        "sever": sever,
        "total": [end(float(each), places) for each in (whole.value, whole.low, whole.high)],
        **labelled(contrast.dataset, columns),
        **contrast.facts(metric),
    }
    return NodeScores.estimated(_rows(model, of), names, effects, made, model.digits)


def _effects(
    contrast: Contrast,
    metric: Metric,
    patched: Float[Tensor, "row column prompt"],
    direction: Direction,
    how: Resampling,
) -> Estimates:
    """By how much a patch moves the metric towards where its values come from; normalised as a share."""
    clean, corrupt = contrast.clean_values(metric), contrast.corrupt_values(metric)
    if direction == "denoise":
        if metric.normalize:
            return metric_estimates(contrast, metric, patched, how)
        return estimates([patched, corrupt], sub, how)  # indirect effect: restored − corrupted
    if metric.normalize:
        normal = contrast.normalizer(metric)
        return estimates([patched, clean, corrupt], lambda *means: 1 - share(normal, *means), how)
    return estimates([clean, patched], sub, how)


def _check(contrast: Contrast, direction: str, of: str, window: int | None, sever: str) -> int:
    """Whether what is asked for can be traced; how many layers are restored together."""
    check_direction(direction, contrast.corruption)
    for name, known in ((of, get_args(Restored)), (sever, get_args(Severed))):
        if name not in known:
            raise MethodError("C591", f"unknown target {name!r}", hint=f"expected {', '.join(known)}")
    if "mlps" in (of, sever) and not contrast.model.shape.mlps:
        raise MethodError("C591", f"{contrast.model.name} has no MLPs", hint="trace states or attention")
    found = window if window is not None else 1 if of == "states" else PAPERS_WINDOW
    if type(found) is not int or found < 1 or (of == "states" and found > 1):
        raise MethodError(
            "C592",
            f"invalid window for {of}: {window!r}",
            hint="use at least 1 layer of MLPs or attention; a restored state includes all layers before it",
        )
    if sever != "none" and of != "states":
        raise MethodError(
            "C593",
            f"`sever` applies only to restored states, but of = {of}",
            hint="write of = states, or remove sever",
        )
    require_run(contrast.corruption, "causal tracing")
    return found


def _window(layer: int, width: int, depth: int) -> range:
    """The layers that are restored together around one."""
    start = layer - width // 2
    return range(max(0, start), min(depth, start + width))


def _behind(layers: range, depth: int) -> range:
    """The layers after these, through which what is restored can act."""
    return range(layers.stop, depth)


def _rows(model: Model, of: Restored) -> list[str]:
    """Names of the layers by what is restored of them."""
    layers = range(model.shape.n_layers)
    match of:
        case "states":
            return stages(model.shape, halves=False)[1:]
        case "mlps":
            return [f"MLP{layer}" for layer in layers]
        case "attention":
            return [f"L{layer}" for layer in layers]


@dataclass(frozen=True, slots=True)
class _Tracer:
    """What is put in the place of what, in one batch of prompts.

    Attributes:
        model: the model.
        stream: the residual stream of the run that is patched: denoising, the corrupted one.
        part: what is restored.
        restored: its values in the other run, by layer; of states the stream before it.
        severed: what is held after a restored state.
        held: its values in the run that is patched, by layer; none if nothing is severed.
    """

    model: Model
    stream: Sequence[Float[Tensor, "batch pos d_model"]]
    part: Part
    restored: Sequence[Float[Tensor, "batch pos width"]]
    severed: Part
    held: Sequence[Float[Tensor, "batch pos width"]]

    @classmethod
    def of(
        cls, contrast: Contrast, batch: Batch, direction: Direction, of: Restored, sever: Severed
    ) -> _Tracer:
        """Of a batch."""
        model, runs = contrast.model, (contrast.clean_written(batch), contrast.substitute_written(batch))
        other, base = runs if direction == "denoise" else reversed(runs)
        states = residual_stream(model, other.embed, halves=False) if of == "states" else ()
        restored = {"states": states, "mlps": other.mlps, "attention": other.zs}[of]
        held = {"none": (), "mlps": base.mlps, "attention": base.zs}[sever]
        stream = residual_stream(model, base.embed, halves=False)
        return cls(model, stream, _PARTS[of], restored, _PARTS[sever], held)

    def logits(
        self, rows: Sequence[tuple[range, Bool[Tensor, "batch pos"]]], keep: Tensor
    ) -> Float[Tensor, "row batch kept vocab"]:
        """Logits with some layers restored at some tokens, a row each."""
        changes: dict[Site, Bool[Tensor, "row batch pos 1"]] = {}
        values: dict[Site, Tensor] = {}

        def put(site: Site, row: int, mask: Tensor, value: Tensor) -> None:
            values[site] = value
            if site not in changes:
                changes[site] = torch.zeros(len(rows), *mask.shape, 1, dtype=torch.bool, device=mask.device)
            changes[site][row, :, :, 0] = mask

        for row, (layers, mask) in enumerate(rows):
            for layer in layers:
                # The state after a layer is the one before the next.
                at = layer + (self.part == "residual")
                put(Site(at, self.part), row, mask, self.restored[at])
            for layer in _behind(layers, len(self.held)):
                put(Site(layer, self.severed), row, mask, self.held[layer])
        edits = {site: partial(_instead, where, values[site]) for site, where in changes.items()}
        return edited_run(self.model, self.stream, len(rows), edits, keep)


def _instead(where: Tensor, value: Tensor, current: Tensor) -> Tensor:
    """The current values, and others where they are to be replaced."""
    return torch.where(where, value, current)
