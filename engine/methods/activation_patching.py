"""Activation patching: one node's output, at some positions, from the other run (Zhang & Nanda 2024).

`noise` puts the corrupted activation into the clean run and shows what is necessary; `denoise` puts the
clean activation into the corrupted run and shows what is sufficient.

Only what a patch can change is computed. Blocks before the node are those of the run that is patched. So are
tokens before the first that the patch changes, since a token sees no later one: their keys and values are
kept. Of the last block only what the metric reads is needed, and a patch that changes nothing needs no run.
Patches are rows of one trace, and each of them begins at its node:

    residual = base[node] + change                   where the node writes
    residual += attention(norm(residual)), residual += mlp(norm(residual)), ...        from there on
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nncirc.circuits.arguments import public
from nncirc.circuits.errors import MethodError
from nncirc.circuits.graph import Graph
from nncirc.circuits.intervals import USUAL, Resampling
from nncirc.circuits.made import Made
from nncirc.circuits.names import Position, Positions
from nncirc.circuits.rounding import rounded
from nncirc.engine.evaluation.bootstrap import metric_estimates
from nncirc.engine.methods.scores import NodeScores
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.model.layer import attention_of, change_output, made_by, shared, split
from nncirc.engine.model.tracing import run
from nncirc.engine.runs.batches import Batch
from nncirc.engine.runs.capture import Written, run_state, sender_stages, source_outputs
from nncirc.engine.runs.cells import by_prompt
from nncirc.engine.runs.columns import columns_of, labelled, mask_of
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import PATCHED, Direction, check_direction
from nncirc.engine.runs.journal import Journal
from nncirc.engine.runs.live import with_modules
from nncirc.engine.runs.memory import TOKENS_IN_A_TRACE
from nncirc.engine.runs.wiring import stages

BYTES_IN_A_TRACE = 2**29
SCORE = "{metric} with the node patched"
"""What the numbers are."""


@public
def activation_patching(
    contrast: Contrast,
    graph: Graph,
    metric: Metric,
    *,
    direction: Direction = "denoise",
    positions: Positions | None = None,
    how: Resampling = USUAL,
    journal: Journal | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> NodeScores:
    """The metric with each sender of the graph patched, at each position; with intervals over prompts.

    Args:
        contrast: model, prompts and corruption.
        graph: whose senders are patched: every edge out of one at once.
        metric: what is measured. Normalised, no effect is 1 in `noise` and 0 in `denoise`.
        direction: which run is patched into which.
        positions: the positions, one column each; "all" for every token; None for all tokens at once.
        how: how the intervals over prompts are drawn.
        journal: keeps what every trace has measured, and gives back what an earlier run had measured in the
            same trace, which is not run again.
        progress: called with patches done and patches in all, from the first on that is not from the journal.

    Raises:
        MethodError: C524, no such direction; C512, no such position; C523, `denoise` under a corruption
            that is not another run; C594, the graph is split by position.
        DataError: C334, "all" positions of prompts that have several lengths.
    """
    check_direction(direction, contrast.corruption)
    if graph.positions:
        raise MethodError(
            "C594",
            "activation patching works on whole nodes, but the graph is split by position",
            hint="use a graph without positions, and set where to patch: positions = [S.2, end]",
        )
    names, columns = columns_of(contrast.dataset, positions)
    found: dict[tuple[int, int], list[Tensor]] = {}
    done, total = 0, len(graph.senders) * len(columns) * len(contrast.batches)
    for batch in contrast.batches:
        patcher = _Patcher(contrast, graph, metric, batch, columns, direction)
        for patches in patcher.traces():
            labels = [f"{graph.senders[patch.sender]} {patch.column}" for patch in patches]
            values, restored = _remembered(journal, batch, labels, partial(patcher.run, patches))
            for patch, value in zip(patches, values, strict=True):
                found.setdefault((patch.sender, patch.column), []).append(value[None])
            done += len(patches)
            if progress is not None and not restored:
                progress(done, total)
    scores = metric_estimates(contrast, metric, by_prompt(contrast, found), how)
    made: Made = {
        "method": "activation_patching",
        "direction": direction,
        "score": SCORE.format(metric="the metric"),
        "unpatched": rounded(contrast.unpatched(metric, direction), scores.decimals(contrast.model.digits)),
        **labelled(contrast.dataset, columns),
        **contrast.facts(metric),
    }
    return NodeScores.estimated(graph.senders, names, scores, made, contrast.model.digits)


def _remembered(
    journal: Journal | None,
    batch: Batch,
    labels: Sequence[str],
    measure: Callable[[], Float[Tensor, "row batch"]],
) -> tuple[Float[Tensor, "row batch"], bool]:
    """What a journal knows of a trace, or else what is measured and noted now; and whether it was known.

    A trace is known as a whole or not at all: with other rows beside it a patch would differ by rounding, and
    the run that goes on would not end in the same bytes. So an entry names every value, and one that was made
    with other batches or other rows does not fit.
    """
    if journal is None:
        return measure(), False
    name = f"{labels[0]} to {labels[-1]}, prompts {' '.join(map(str, batch.indices))}"
    cells = [f"{label} {prompt}" for label in labels for prompt in batch.indices]
    known = journal.known(name)
    if known is None or known.keys() != set(cells):
        values = measure()
        known = dict(zip(cells, values.flatten().tolist(), strict=True))
        journal.decided(name, known)
        return values, False
    measured = torch.tensor([known[cell] for cell in cells], dtype=torch.float64, device=batch.clean.device)
    return measured.view(len(labels), -1), True


def _changes(
    change: Written, graph: Graph
) -> list[tuple[Float[Tensor, "batch pos width"], Float[Tensor, "width d_model"] | None]]:
    """The change of every sender's activation, and what makes it one of the residual stream.

    None if it is one: a head's z stays as it is, since outputs of all heads take `n_heads` times the room.
    """
    sources = source_outputs(graph, change.embed, change.pos_embed)
    found: list[tuple[Tensor, Tensor | None]] = [(source, None) for source in sources]
    for layer, z in enumerate(change.zs):
        out = change.model.outs[layer]
        if graph.attention == "layers":
            found.append((z, out.flatten(0, 1)))
        else:
            found += zip(z.unflatten(-1, out.shape[:2]).unbind(-2), out, strict=True)
        if layer in graph.neuron_counts:
            columns = change.neurons[layer].split(1, dim=-1)
            found += zip(columns, change.model.neuron_weights(layer).split(1), strict=True)
        elif change.mlps:
            found.append((change.mlps[layer], None))
    return found


def _plus(change: Tensor, value: Tensor) -> Tensor:
    return value + change.view(value.shape)


@dataclass(frozen=True, slots=True)
class _Patch:
    """One node patched at one column.

    Attributes:
        sender: the node's index.
        column: the index of the column.
        first: the first token that changes in any prompt of the batch.
    """

    sender: int
    column: int
    first: int


class _Patcher:
    """Patches of one batch of prompts: the run that is patched, and by how much each sender changes it."""

    def __init__(
        self,
        contrast: Contrast,
        graph: Graph,
        metric: Metric,
        batch: Batch,
        columns: Sequence[Position | int | None],
        direction: Direction,
    ) -> None:
        model = self.model = contrast.model
        self.shape, self.metric, self.stages = graph.shape, metric, stages(graph)
        self.reading = contrast.reading(batch, metric)
        self.reference = contrast.reference(batch, metric)
        self.columns = model.unembed_columns(self.reading.columns()) if metric.measure.columns else None
        self.masks = [mask_of(batch, column, model.device) for column in columns]
        clean, other = contrast.clean_written(batch, graph), contrast.substitute_written(batch, graph)
        self.changes = _changes(other - clean if direction == "noise" else clean - other, graph)
        tokens, noise = self.begins_with = contrast.begins(batch, PATCHED[direction])
        self.senders = sender_stages(graph)
        if model.alone:
            self.residual, self.projected, _ = run_state(model, tokens, noise)
            self.attends = attention_of(model, tokens.shape[1])
        self.prompts, self.memory = len(tokens), min(BYTES_IN_A_TRACE, contrast.memory // 4)
        # The metric sees no token after the last one that it reads.
        self.length = int(self.reading.kept.max()) + 1 if model.causal else tokens.shape[1]
        reach = [graph.reach[stage.receivers.start] for stage in self.stages]
        self.begins = [
            next(number for number, before in enumerate(reach) if before > sender)
            for sender in range(len(graph.senders))
        ]

    def traces(self) -> Iterator[list[_Patch]]:
        """All patches, in the groups that run together: those that begin at about the same token."""
        changed = torch.stack([part.any(-1) for part, _ in self.changes])
        patches = []
        for column, mask in enumerate(self.masks):
            seen = (changed & mask).any(1)[:, : self.length]
            # Where tokens see later ones, all may change.
            start = seen.int().argmax(1) if self.model.causal else 0
            first = torch.where(seen.any(1), start, self.length).tolist()
            patches += [_Patch(sender, column, at) for sender, at in enumerate(first)]
        patches.sort(key=lambda patch: (patch.first, self.begins[patch.sender], patch.sender, patch.column))
        moving = [patch for patch in patches if patch.first < self.length]
        start = 0
        while start < len(moving):
            stop = start + self.rows_in_a_trace(moving[start].first)
            yield sorted(moving[start:stop], key=lambda patch: self.begins[patch.sender])
            start = stop
        if still := patches[len(moving) :]:
            yield still

    def rows_in_a_trace(self, first: int) -> int:
        """How many patches from one token on run together: enough for large products, if there is memory."""
        model, kept = self.model, len(self.reading.kept)
        tokens = self.prompts * (self.length - first)
        # The widest is an MLP: its hidden layer, of 4 d_model, and what its activation function makes of it.
        # Keys and values are there twice: as made, and after those of the tokens before.
        numbers = 24 * tokens * model.d_model + 4 * self.prompts * self.length * model.d_model
        size = numbers * model.dtype.itemsize
        if self.columns is None:
            # Logits are made float64, and a metric makes as much of them again twice.
            size += self.prompts * kept * model.vocabulary * (model.dtype.itemsize + 24)
        return max(1, min(TOKENS_IN_A_TRACE // tokens, self.memory // size))

    def run(self, patches: Sequence[_Patch]) -> Float[Tensor, "row batch"]:
        """The metric with each patch, of patches in the order in which they begin."""
        if not self.model.alone:
            return self.in_whole_runs(patches)
        first = min(patch.first for patch in patches)
        final = self.unchanged if first == self.length else partial(self.final, patches, first)
        return with_modules(self.model, lambda: self.read(final())).expand(len(patches), -1)

    def in_whole_runs(self, patches: Sequence[_Patch]) -> Float[Tensor, "row batch"]:
        """The metric with each patch, each in a run of the whole model."""
        model, (tokens, noise) = self.model, self.begins_with
        rows, everywhere = len(patches), torch.arange(tokens.shape[1], device=model.device)

        def added(number: int) -> Float[Tensor, "row_batch pos d_model"]:
            """What the patched senders of a place add to the residual stream."""
            found = torch.zeros(rows, *tokens.shape, model.d_model, dtype=model.dtype, device=model.device)
            for row, patch in enumerate(patches):
                if self.senders[number].start <= patch.sender < self.senders[number].stop:
                    found[row] = self.change(patch, everywhere)
            return found.flatten(0, 1)

        def body() -> Tensor:
            model.shift_embedding(added(0) if noise is None else added(0) + noise.repeat(rows, 1, 1))
            number = 0
            for block in model.blocks:
                for end in (block.attention_end, block.mlp_end)[: 1 + self.shape.mlps]:
                    number += 1
                    change_output(end, partial(_plus, added(number) / block.scale))
            return model.logits_output.unflatten(0, (rows, -1)).clone()

        logits = run(model.envoy, model.inputs(tokens.repeat(rows, 1), self.reading.kept), body)
        return self.reading.values(self.metric, logits, self.reference)

    # Inside a trace only ----------------------------------------------------------------------------------

    def unchanged(self) -> Float[Tensor, "1 batch kept d_model"]:
        """The final residual stream where the metric reads, of a patch that changes nothing there."""
        return self.residual[-1][None, :, self.reading.kept]

    def final(self, patches: Sequence[_Patch], first: int) -> Float[Tensor, "row batch kept d_model"]:
        """The final residual stream where the metric reads, with each patch; computed from `first` on."""
        kept = self.reading.kept
        at = torch.arange(first, self.length, device=self.model.device)
        rows = stream = self.residual[0].new_empty(0, self.prompts, len(at), self.model.d_model)
        for number, stage in enumerate(self.stages):
            new = [patch for patch in patches if self.begins[patch.sender] == number]
            if new:
                change = torch.stack([self.change(patch, at) for patch in new])
                rows = torch.cat([rows, self.residual[number][:, at] + change])
            if stage.kind == "mlp" and len(rows):
                rows = rows + self.model.blocks[stage.layer].mlp_adds(stream if self.shape.parallel else rows)
            elif stage.kind == "attention":
                # Nothing that comes after the last attention moves between tokens.
                wanted = kept[kept >= first] if stage.layer == self.shape.n_layers - 1 else at
                stream = rows[:, :, wanted - int(at[0])]
                rows = self.attention(stage.layer, rows, at, wanted)
                at = wanted
        before = self.residual[-1][:, kept[kept < first]].expand(len(rows), -1, -1, -1)
        return torch.cat([before, rows], dim=2)

    def change(self, patch: _Patch, at: Int[Tensor, " at"]) -> Float[Tensor, "batch at d_model"]:
        """By how much a patch changes what its node writes."""
        part, matrix = self.changes[patch.sender]
        masked = part[:, at] * self.masks[patch.column][:, at, None]
        return masked if matrix is None else masked @ matrix

    def attention(
        self,
        layer: int,
        rows: Float[Tensor, "row batch at d_model"],
        at: Int[Tensor, " at"],
        wanted: Int[Tensor, " wanted"],
    ) -> Float[Tensor, "row batch wanted d_model"]:
        """The residual stream after a layer's attention, of the tokens `wanted` among those `at`."""
        start, shape = int(at[0]), self.shape
        rest = rows[:, :, wanted - start]
        if not len(rows):
            return rest
        block = self.model.blocks[layer]
        attends = self.attends[layer]
        normed = block.attention_read(rows)
        query, key, value = split(shape, made_by(self.model, block, normed))
        query, key = attends.turned(query, 0, at)[..., wanted - start, :], attends.turned(key, 1, at)

        def whole(new: Tensor, base: Tensor) -> Tensor:
            """With the tokens before, and for every query head that shares it."""
            before = base[:, None, :, :start].expand(-1, len(rows), -1, -1, -1)
            return shared(shape, torch.cat([before, new], dim=-2))

        _, base_key, base_value = self.projected[layer]
        seen = attends.sees(wanted, self.length)
        z = attends.attend(query, whole(key, base_key), whole(value, base_value), seen)
        return rest + block.attention_adds(z.movedim(0, -2).flatten(-2))

    def read(self, final: Float[Tensor, "row batch kept d_model"]) -> Float[Tensor, "row batch"]:
        """The metric of every prompt from its final residual stream."""
        normed = self.model.final_norm(final)
        if self.columns is None:
            return self.reading.values(self.metric, self.model.unembedded(normed), self.reference)
        logits = self.model.logits(torch.einsum("rbnd,bncd->rbnc", self.reading.select(normed), self.columns))
        return self.reading.column_values(self.metric, logits)
