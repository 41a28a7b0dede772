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
from nncirc.circuits.parts import OUTPUTS, Part, rows_of
from nncirc.circuits.rounding import rounded
from nncirc.engine.evaluation.bootstrap import metric_estimates
from nncirc.engine.methods.scores import NodeScores
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.model.layer import attention_of, change_output, shared, split, through, units_in
from nncirc.engine.model.tracing import checked, run
from nncirc.engine.runs.batches import Batch
from nncirc.engine.runs.capture import run_state
from nncirc.engine.runs.cells import by_prompt
from nncirc.engine.runs.columns import columns_of, labelled, mask_of
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import PATCHED, Direction, check_direction
from nncirc.engine.runs.journal import Journal
from nncirc.engine.runs.live import with_modules
from nncirc.engine.runs.memory import TOKENS_IN_A_TRACE
from nncirc.engine.runs.patches import check_parts, differences
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
    of: Sequence[Part] = OUTPUTS,
    direction: Direction = "denoise",
    positions: Positions | None = None,
    how: Resampling = USUAL,
    journal: Journal | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> NodeScores:
    """The metric with each node of the graph patched, at each position; with intervals over prompts.

    A row for everything that `of` names, part by part:

    - `outputs`: what a sender of the graph writes (`L2H1`, `MLP3`, `embed`): every edge out of it at once.
    - `q`, `k`, `v`: a head's query, key or value as its projection makes it (`L2H1.q`): before any rotary
      embedding, and before a norm of queries and keys that each head has to itself. At a position it is the
      vector that is made there. Under grouped-query attention a key or value is a group's (`L2KV0.k`).
    - `pattern`: a head's attention after the softmax (`L2H1.pattern`); at a position, from there to all
      others. Values stay those of the run that is patched.
    - `resid_pre`, `resid_mid`, `resid_post`: the residual stream before a layer, between its attention and
      its MLP, and after it (`L2.resid_pre`).

    In a graph of attention layers queries, keys, values and patterns are those of all heads (`L2.q`).

    Args:
        contrast: model, prompts and corruption.
        graph: whose nodes are patched.
        metric: what is measured. Normalised, no effect is 1 in `noise` and 0 in `denoise`.
        of: what is patched, one thing at a time.
        direction: which run is patched into which.
        positions: the positions, one column each; "all" for every token; None for all tokens at once.
        how: how the intervals over prompts are drawn.
        journal: keeps what every trace has measured, and gives back what an earlier run had measured in the
            same trace, which is not run again.
        progress: called with patches done and patches in all, from the first on that is not from the journal.

    Raises:
        MethodError: C524, no such direction; C512, no such position; C523, `denoise` under a corruption
            that is not another run, or anything but `outputs`; C594, the graph is split by position; C597,
            `resid_mid` of a model whose attention and MLP read the same stream, or `of` names nothing, or
            something twice.
        ModelError: C419, `pattern` of a model that does not say what it is.
        DataError: C334, "all" positions of prompts that have several lengths.
    """
    check_direction(direction, contrast.corruption)
    if graph.positions:
        raise MethodError(
            "C594",
            "activation patching works on whole nodes, but the graph is split by position",
            hint="use a graph without positions, and set where to patch: positions = [S.2, end]",
        )
    of = tuple(of)
    check_parts(contrast, of)
    rows = rows_of(graph, of)
    names, columns = columns_of(contrast.dataset, positions)
    found: dict[tuple[int, int], list[Tensor]] = {}
    done, total = 0, len(rows) * len(columns) * len(contrast.batches)
    for batch in contrast.batches:
        patcher = _Patcher(contrast, graph, metric, batch, columns, direction, of)
        for patches in patcher.traces():
            labels = [f"{rows[patch.node]} {patch.column}" for patch in patches]
            values, restored = _remembered(journal, batch, labels, partial(patcher.run, patches))
            for patch, value in zip(patches, values, strict=True):
                found.setdefault((patch.node, patch.column), []).append(value[None])
            done += len(patches)
            if progress is not None and not restored:
                progress(done, total)
    scores = metric_estimates(contrast, metric, by_prompt(contrast, found), how)
    made: Made = {
        "method": "activation_patching",
        "direction": direction,
        **({"of": [*of]} if of != OUTPUTS else {}),
        "score": SCORE.format(metric="the metric"),
        "unpatched": rounded(contrast.unpatched(metric, direction), scores.decimals(contrast.model.digits)),
        **labelled(contrast.dataset, columns),
        **contrast.facts(metric),
    }
    return NodeScores.estimated(rows, names, scores, made, contrast.model.digits)


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


def _plus(change: Tensor, value: Tensor) -> Tensor:
    return value + change.view(value.shape)


@dataclass(frozen=True, slots=True)
class _Patch:
    """One node patched at one column.

    Attributes:
        node: its index.
        column: the index of the column.
        first: the first token that changes in any prompt of the batch.
    """

    node: int
    column: int
    first: int


class _Patcher:
    """Patches of one batch of prompts: the run that is patched, and by how much each node changes it."""

    def __init__(
        self,
        contrast: Contrast,
        graph: Graph,
        metric: Metric,
        batch: Batch,
        columns: Sequence[Position | int | None],
        direction: Direction,
        of: Sequence[Part],
    ) -> None:
        model = self.model = contrast.model
        self.shape, self.metric, self.stages = graph.shape, metric, stages(graph)
        self.reading = contrast.reading(batch, metric)
        self.reference = contrast.reference(batch, metric)
        self.columns = model.unembed_columns(self.reading.columns()) if metric.measure.columns else None
        self.masks = [mask_of(batch, column, model.device) for column in columns]
        tokens, noise = self.begins_with = contrast.begins(batch, PATCHED[direction])
        if model.alone:
            self.residual, self.projected, _ = run_state(model, tokens, noise)
            self.attends = attention_of(model, tokens.shape[1])
        self.changes = differences(contrast, graph, batch, direction, of)
        self.prompts, self.memory = len(tokens), min(BYTES_IN_A_TRACE, contrast.memory // 4)
        # The metric sees no token after the last one that it reads.
        self.length = int(self.reading.kept.max()) + 1 if model.causal else tokens.shape[1]

    def traces(self) -> Iterator[list[_Patch]]:
        """All patches, in the groups that run together: those that begin at about the same token."""
        changed = torch.stack([change.moves() for change in self.changes])
        patches = []
        for column, mask in enumerate(self.masks):
            seen = (changed & mask).any(1)[:, : self.length]
            # Where tokens see later ones, all may change.
            start = seen.int().argmax(1) if self.model.causal else 0
            first = torch.where(seen.any(1), start, self.length).tolist()
            patches += [_Patch(node, column, at) for node, at in enumerate(first)]
        patches.sort(key=lambda patch: (patch.first, self.begins(patch), patch.node, patch.column))
        moving = [patch for patch in patches if patch.first < self.length]
        start = 0
        while start < len(moving):
            stop = start + self.rows_in_a_trace(moving[start].first)
            yield sorted(moving[start:stop], key=self.begins)
            start = stop
        if still := patches[len(moving) :]:
            yield still

    def begins(self, patch: _Patch) -> int:
        """The stage at which a patch begins."""
        return self.changes[patch.node].begins

    def rows_in_a_trace(self, first: int) -> int:
        """How many patches from one token on run together: enough for large products, if there is memory."""
        model, kept = self.model, len(self.reading.kept)
        tokens = self.prompts * (self.length - (first if model.alone else 0))
        # The widest is an MLP: its hidden layer, of 4 d_model, and what its activation function makes of it.
        # Keys and values are there twice: as made, and after those of the tokens before.
        numbers = 24 * tokens * model.d_model + 4 * self.prompts * self.length * model.d_model
        size = numbers * model.dtype.itemsize
        if self.columns is None or not model.alone:
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
            """What the patches that begin at a stage add to the residual stream."""
            found = torch.zeros(rows, *tokens.shape, model.d_model, dtype=model.dtype, device=model.device)
            for row, patch in enumerate(patches):
                if self.begins(patch) == number and self.changes[patch.node].stream is not None:
                    found[row] = self.change(patch, everywhere)
            return found.flatten(0, 1)

        def put(here: Sequence[tuple[int, _Patch]], chain: int, value: Tensor) -> Tensor:
            """What a chain makes, with queries, keys and values of some rows."""
            made = value.reshape(rows, *tokens.shape, -1).clone()
            for row, patch in here:
                self.put(made[row], chain, patch, everywhere)
            return made.view(value.shape)

        def put_z(here: Sequence[tuple[int, _Patch]], value: Tensor) -> Tensor:
            """z of all heads, with the pattern of some rows."""
            z = value.reshape(rows, *tokens.shape, -1).clone()
            for row, patch in here:
                self.put_z(z[row], patch, everywhere)
            return z.view(value.shape)

        def body() -> Tensor:
            model.shift_embedding(added(0) if noise is None else added(0) + noise.repeat(rows, 1, 1))
            number = 0
            for block in model.blocks:
                here = [each for each in enumerate(patches) if self.begins(each[1]) == number]
                for chain, modules in enumerate(block.chains):
                    if any(self.touches(patch, chain) for _, patch in here):
                        change_output(modules[-1], partial(put, here, chain))
                if any(self.changes[patch.node].z is not None for _, patch in here):
                    z = block.output.input
                    block.output.input = checked(put_z(here, z), z, block.output.path)
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
            new = [patch for patch in patches if self.begins(patch) == number]
            if new:
                change = torch.stack([self.change(patch, at) for patch in new])
                rows = torch.cat([rows, self.residual[number][:, at] + change])
            inner = [(len(rows) - len(new) + n, patch) for n, patch in enumerate(new) if self.is_inner(patch)]
            if stage.kind == "mlp" and len(rows):
                rows = rows + self.model.blocks[stage.layer].mlp_adds(stream if self.shape.parallel else rows)
            elif stage.kind == "attention":
                # Nothing that comes after the last attention moves between tokens.
                wanted = kept[kept >= first] if stage.layer == self.shape.n_layers - 1 else at
                stream = rows[:, :, wanted - int(at[0])]
                rows = self.attention(stage.layer, rows, at, wanted, inner)
                at = wanted
        before = self.residual[-1][:, kept[kept < first]].expand(len(rows), -1, -1, -1)
        return torch.cat([before, rows], dim=2)

    def change(self, patch: _Patch, at: Int[Tensor, " at"]) -> Float[Tensor, "batch at d_model"]:
        """By how much a patch changes the residual stream where it begins."""
        change = self.changes[patch.node]
        if change.stream is None:  # the layer that reads it is changed inside
            return self.masks[0].new_zeros(self.prompts, len(at), self.model.d_model, dtype=self.model.dtype)
        masked = self.masked(change.stream, patch, at)
        return masked if change.matrix is None else masked @ change.matrix

    def masked(
        self, values: Float[Tensor, "batch pos width"], patch: _Patch, at: Int[Tensor, " at"]
    ) -> Float[Tensor, "batch at width"]:
        """What a patch adds somewhere, of the tokens `at`: nothing where it is not."""
        return values[:, at] * self.masks[patch.column][:, at, None]

    def is_inner(self, patch: _Patch) -> bool:
        """Whether a patch changes a layer inside, and not the residual stream that it reads."""
        return self.changes[patch.node].stream is None

    def touches(self, patch: _Patch, chain: int) -> bool:
        """Whether a patch changes what a chain makes."""
        return any(piece.chain == chain for piece in self.changes[patch.node].pieces)

    def put(
        self, made: Float[Tensor, "batch at width"], chain: int, patch: _Patch, at: Int[Tensor, " at"]
    ) -> None:
        """Change what a chain has made for a patch's row, in place."""
        for piece in self.changes[patch.node].pieces:
            if piece.chain == chain:
                made[..., piece.columns] += self.masked(piece.values, patch, at)

    def put_z(self, z: Float[Tensor, "batch at z"], patch: _Patch, at: Int[Tensor, " at"]) -> None:
        """Change z of all heads side by side for a patch's row, in place."""
        if (change := self.changes[patch.node].z) is not None:
            z[..., change[0]] += self.masked(change[1], patch, at)

    def attention(
        self,
        layer: int,
        rows: Float[Tensor, "row batch at d_model"],
        at: Int[Tensor, " at"],
        wanted: Int[Tensor, " wanted"],
        inner: Sequence[tuple[int, _Patch]],
    ) -> Float[Tensor, "row batch wanted d_model"]:
        """The residual stream after a layer's attention, of the tokens `wanted` among those `at`.

        Rows that are patched inside the layer are `inner`, with their patches.
        """
        start, shape = int(at[0]), self.shape
        rest = rows[:, :, wanted - start]
        if not len(rows):
            return rest
        block = self.model.blocks[layer]
        attends = self.attends[layer]
        normed = block.attention_read(rows)
        made = [through(chain, normed) for chain in block.chains]
        for row, patch in inner:
            for chain, values in enumerate(made):
                self.put(values[row], chain, patch, at)
        query, key, value = split(shape, units_in(self.model, made))
        query, key = attends.turned(query, 0, at)[..., wanted - start, :], attends.turned(key, 1, at)

        def whole(new: Tensor, base: Tensor) -> Tensor:
            """With the tokens before, and for every query head that shares it."""
            before = base[:, None, :, :start].expand(-1, len(rows), -1, -1, -1)
            return shared(shape, torch.cat([before, new], dim=-2))

        _, base_key, base_value = self.projected[layer]
        seen = attends.sees(wanted, self.length)
        z = attends.attend(query, whole(key, base_key), whole(value, base_value), seen)
        z = z.movedim(0, -2).flatten(-2)
        for row, patch in inner:
            self.put_z(z[row], patch, wanted)
        return rest + block.attention_adds(z)

    def read(self, final: Float[Tensor, "row batch kept d_model"]) -> Float[Tensor, "row batch"]:
        """The metric of every prompt from its final residual stream."""
        normed = self.model.final_norm(final)
        if self.columns is None:
            return self.reading.values(self.metric, self.model.unembedded(normed), self.reference)
        logits = self.model.logits(torch.einsum("rbnd,bncd->rbnc", self.reading.select(normed), self.columns))
        return self.reading.column_values(self.metric, logits)
