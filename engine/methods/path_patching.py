"""Path patching: what a node tells others along chosen paths (Wang et al. 2022; Goldowsky-Dill et al. 2023).

Two runs, computed side by side as changes of the clean run's residual stream:

    carried      the sender has its corrupted output, nodes on the paths are computed anew, all others are
                 frozen at their clean outputs: what the receivers read here is what the paths bring them
    patched      the clean run in which the receivers read that; everything after them is computed again

That is noising. Denoising, the clean and the corrupted run change places.

A row of a trace is a sender at a position. Modules are called inside a trace of which every block is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nncirc.circuits.arguments import public
from nncirc.circuits.errors import MethodError
from nncirc.circuits.graph import Graph
from nncirc.circuits.intervals import USUAL, Resampling
from nncirc.circuits.made import Made
from nncirc.circuits.names import Positions
from nncirc.circuits.reference import entered, expand
from nncirc.circuits.rounding import rounded
from nncirc.engine.evaluation.bootstrap import metric_estimates
from nncirc.engine.methods.scores import NodeScores
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.model.fits import require_alone
from nncirc.engine.model.layer import as_written, attention_of, made_by, shared, split
from nncirc.engine.runs.batches import Batch
from nncirc.engine.runs.capture import run_state, sender_stages
from nncirc.engine.runs.cells import Cell, Measure, in_cells
from nncirc.engine.runs.columns import columns_of, labelled, mask_of
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import PATCHED, Direction, check_direction
from nncirc.engine.runs.edited import check_whole
from nncirc.engine.runs.live import with_modules
from nncirc.engine.runs.wiring import Stage, Wiring

Row: TypeAlias = tuple[int, Bool[Tensor, "batch pos"]]
"""The sender that is patched, and the tokens at which it is."""

SCORE = "{metric} with the sender's paths patched"
"""What the numbers are."""


@public
def path_patching(
    contrast: Contrast,
    graph: Graph,
    metric: Metric,
    *,
    direction: Direction = "noise",
    to: str | Sequence[str],
    through: str | Sequence[str] = "MLP*",
    positions: Positions | None = None,
    how: Resampling = USUAL,
    progress: Callable[[int, int], None] | None = None,
) -> NodeScores:
    """The metric with each sender's paths to some receivers patched, for every sender before them.

    A receiver reads what the paths bring it whatever receivers before it change. Values are means over
    prompts, with intervals. Normalised, no effect is 1 for `noise`, 0 for `denoise`.

    Args:
        contrast: model, prompts and corruption.
        graph: whose senders are patched; its nodes are named in `to` and `through`.
        metric: what is measured.
        direction: `noise`, as in the papers: the paths carry what the sender writes in the corrupted run
            into the clean one. `denoise`: what it writes in the clean run into the corrupted one, where all
            but the carriers are held at their corrupted outputs; needs a corruption that is another run.
        to: the receivers: inputs (`L9H9.q`), nodes with all their inputs (`L9H9`, `MLP10`), patterns
            (`L10H*.v`), or `logits` by itself.
        through: the nodes that pass changes on, by name or pattern; "none" for direct paths alone,
            "all" for all nodes. All others are held at their outputs in the run that is patched. By default
            MLPs carry and other heads do not, as in Wang et al.
        positions: where the sender's output is that of the other run, one column each; "all" for every token;
            None for all tokens at once.
        how: how the intervals over prompts are drawn.
        progress: called with paths done and paths in all.

    Raises:
        GraphError: C451, C457, `to` or `through` names what the graph lacks.
        MethodError: C594, no receivers, `logits` among others, or a graph of positions; C512, no such
            position; C524, no such direction; C523, `denoise` under a corruption that is not another run.
        DataError: C334, "all" positions of prompts that have several lengths.

    Source: Wang et al. 2022, section 3.1 and appendix B; Goldowsky-Dill et al. 2023.
    """
    check_direction(direction, contrast.corruption)
    require_alone(contrast.model, "path patching")
    receivers = receivers_of(graph, to)
    carriers = carriers_of(graph, through)
    names, columns = columns_of(contrast.dataset, positions)
    senders = graph.senders[: graph.reach[max(receivers)]]

    def begin(batch: Batch) -> Measure:
        masks = [mask_of(batch, column, contrast.model.device) for column in columns]
        paths = _Paths(contrast, graph, metric, batch, direction, receivers, carriers)

        def measure(cells: Sequence[Cell]) -> Tensor:
            rows = [(sender, masks[column]) for sender, column in cells]
            return with_modules(contrast.model, partial(paths.values, rows))

        return measure

    patched = in_cells(contrast, metric, len(senders), len(columns), begin, progress)
    scores = metric_estimates(contrast, metric, patched, how)
    made: Made = {
        "method": "path_patching",
        "direction": direction,
        "score": SCORE.format(metric="the metric"),
        "unpatched": rounded(contrast.unpatched(metric, direction), scores.decimals(contrast.model.digits)),
        "to": [to] if isinstance(to, str) else list(to),
        "through": [through] if isinstance(through, str) else list(through),
        **labelled(contrast.dataset, columns),
        **contrast.facts(metric),
    }
    return NodeScores.estimated(senders, names, scores, made, contrast.model.digits)


def receivers_of(graph: Graph, to: str | Sequence[str]) -> list[int]:
    """The receivers that are meant, as indices."""
    check_whole(graph)
    terms = [to] if isinstance(to, str) else to
    found = sorted({graph.receiver_index[each] for term in terms for each in entered(graph, term)})
    if not found:
        raise MethodError(
            "C594",
            f"expected nodes with an input as receivers, found {', '.join(terms) or 'none'}",
            hint="use heads, MLPs or logits",
        )
    if "logits" in terms and len(found) > 1:
        raise MethodError(
            "C594",
            "logits cannot be combined with other receivers: the direct paths fix what they read",
            hint="patch the paths to logits separately",
        )
    return found


def carriers_of(graph: Graph, through: str | Sequence[str]) -> frozenset[int]:
    """The senders that carry, as indices."""
    if through == "none":
        return frozenset()
    if through == "all":
        return frozenset(range(len(graph.senders)))
    if through == "MLP*" and not graph.shape.mlps:
        return frozenset()
    terms = [through] if isinstance(through, str) else through
    names = [name for term in terms for name in expand(graph, term)]
    return frozenset(graph.sender_index[name] for name in names if name in graph.sender_index)


class _Paths:
    """One batch of prompts: the run that is patched, and by how much the other one changes each sender."""

    def __init__(
        self,
        contrast: Contrast,
        graph: Graph,
        metric: Metric,
        batch: Batch,
        direction: Direction,
        receivers: Collection[int],
        carriers: Collection[int],
    ) -> None:
        self.model, self.graph, self.metric = contrast.model, graph, metric
        self.reading, self.reference = contrast.reading(batch, metric), contrast.reference(batch, metric)
        self.wiring, self.receivers, self.carriers = Wiring.of(graph), receivers, carriers
        self.senders = sender_stages(graph)
        self.first, self.last = (self.wiring.stage_of[each] for each in (min(receivers), max(receivers)))
        noises = direction == "noise"
        clean, other = contrast.clean_outputs(batch, graph), contrast.substitute(batch, graph)
        self.change = other - clean if noises else clean - other
        tokens, noise = contrast.begins(batch, PATCHED[direction])
        self.residual, _, self.zs = run_state(self.model, tokens, noise)
        written = contrast.clean_written(batch) if noises else contrast.substitute_written(batch)
        self.mlps, self.attends = written.mlps, attention_of(self.model, tokens.shape[1])

    # Inside a trace only ----------------------------------------------------------------------------------

    def values(self, rows: Sequence[Row]) -> Float[Tensor, "row batch"]:
        """The metric of every prompt with the paths of some senders patched, each at some tokens."""
        carried = torch.zeros_like(self.residual[0]).repeat(len(rows), 1, 1, 1)
        patched = torch.zeros_like(carried)
        self.send(carried, rows, self.senders[0])
        for number, stage in enumerate(self.wiring.stages):
            base = self.residual[number]
            if stage.kind != "mlp" or not self.graph.shape.parallel:
                before, reached = carried, patched  # a parallel MLP reads what attention has read
            if stage.kind == "logits":
                return self.read(base + (carried if stage.receivers.start in self.receivers else patched))
            compute = self.mlp if stage.kind == "mlp" else self.attention
            if number < self.last:
                carried = carried + compute(stage, base + before, None, self.carriers)
                self.send(carried, rows, self.senders[number + 1])
            if number >= self.first:
                patched = patched + compute(stage, base + reached, base + before, None)
        raise AssertionError("the last stage is that of the logits")

    def send(
        self, carried: Float[Tensor, "row batch pos d_model"], rows: Sequence[Row], senders: slice
    ) -> None:
        """Let those of some senders that are patched write what they do in the other run."""
        for row, (sender, mask) in enumerate(rows):
            if senders.start <= sender < senders.stop:
                carried[row] += self.change[sender] * mask[..., None]

    def mlp(
        self,
        stage: Stage,
        stream: Float[Tensor, "row batch pos d_model"],
        told: Float[Tensor, "row batch pos d_model"] | None,
        recomputed: Collection[int] | None,
    ) -> Float[Tensor, "row batch pos d_model"] | float:
        """By how much an MLP writes something else.

        Args:
            stage: the MLP's.
            stream: the residual stream.
            told: what it reads instead if it is a receiver; None for the stream.
            recomputed: the senders that are not frozen; None for all.
        """
        if recomputed is not None and self.wiring.mlp_sender[stage.layer] not in recomputed:
            return 0.0  # frozen: it writes what it wrote in the run that is patched
        block = self.model.blocks[stage.layer]
        read = told if told is not None and stage.receivers.start in self.receivers else stream
        made: Tensor = block.mlp_adds(read) - self.mlps[stage.layer]
        return made

    def attention(
        self,
        stage: Stage,
        stream: Float[Tensor, "row batch pos d_model"],
        told: Float[Tensor, "row batch pos d_model"] | None,
        recomputed: Collection[int] | None,
    ) -> Float[Tensor, "row batch pos d_model"] | float:
        """By how much a layer's heads write something else; arguments as of `mlp`."""
        layer, shape = stage.layer, self.graph.shape
        senders = self.wiring.head_sender[layer]
        heads = [h for h in range(shape.n_heads) if recomputed is None or senders[h] in recomputed]
        if not heads:
            return 0.0  # all frozen
        block = self.model.blocks[layer]
        units = made_by(self.model, block, block.attention_read(stream)).clone()
        receivers = [receiver for receiver in stage.receivers if receiver in self.receivers]
        if told is not None and receivers:
            starts = (0, shape.n_heads, shape.n_heads + shape.n_kv_heads)
            index = [starts[kind] + i for receiver in receivers for kind, i in self.wiring.units[receiver]]
            units[index] = made_by(self.model, block, block.attention_read(told))[index]
        query, key, value = split(shape, units)
        attends, before = self.attends[layer], self.zs[layer][:, None]
        groups = (shared(shape, each) for each in (attends.turned(key, 1), value))
        z = attends.attend(attends.turned(query, 0), *groups)
        if self.model.couples_heads:  # its scale is that of this run, where others are frozen
            frozen = [head for head in range(shape.n_heads) if head not in heads]
            z[frozen] = before[frozen].expand_as(z[frozen])
            z, before = (as_written(self.model, layer, block, each) for each in (z, before))
        return torch.einsum("hrbtd,hdm->rbtm", (z - before)[heads], self.model.outs[layer][heads])

    def read(self, final: Float[Tensor, "row batch pos d_model"]) -> Float[Tensor, "row batch"]:
        """The metric of every prompt from its final residual stream."""
        normed = self.model.final_norm(final[:, :, self.reading.kept])
        values: Tensor = self.reading.values(self.metric, self.model.unembedded(normed), self.reference)
        return values
