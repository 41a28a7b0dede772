"""Activation patching: one node's output, at some positions, from the other run (Zhang & Nanda 2024).

`noise` puts the corrupted activation into the clean run and shows what is necessary; `denoise` puts the
clean activation into the corrupted run and shows what is sufficient. Patches of a layer run as rows of one
trace, which begins behind the patch: the blocks before it are skipped with the stored residual stream.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nncirc.circuits.errors import DataError, MethodError
from nncirc.circuits.graph import Graph
from nncirc.circuits.nodes import Node
from nncirc.engine.contrast import Batch, Contrast, Resample
from nncirc.engine.data import Dataset, resolve
from nncirc.engine.metrics import Metric, Place, Reading, places
from nncirc.engine.scores import NodeScores
from nncirc.engine.tracing import checked, run

Direction: TypeAlias = Literal["denoise", "noise"]

TOKENS_IN_A_TRACE = 2048


def activation_patching(
    contrast: Contrast,
    graph: Graph,
    metric: Metric,
    *,
    direction: Direction = "denoise",
    positions: str | Sequence[str | Place] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> NodeScores:
    """The metric with each sender of the graph patched, at each position.

    Args:
        contrast: model, prompts and corruption.
        graph: whose senders are patched: every edge out of one at once.
        metric: what is measured. Normalised, no effect is 1 in `noise` and 0 in `denoise`.
        direction: which run is patched into which.
        positions: the positions, one column each; "all" for every token; None for all tokens at once.
        progress: called with patches done and patches in all.

    Raises:
        MethodError: C524, no such direction; C512, no such position; C523, `denoise` under a corruption
            that is not another run.
        DataError: C334, "all" positions of prompts that have several lengths.
    """
    if direction not in ("denoise", "noise"):
        raise MethodError("C524", f"there is no direction {direction!r}", hint="denoise or noise")
    if direction == "denoise" and not isinstance(contrast.corruption, Resample):
        raise MethodError(
            "C523",
            f"denoise restores clean activations in a corrupted run, and {contrast.corruption.name} is none",
            hint="use direction = noise, or a corruption that is a run of the model: replace, counterpart",
        )
    names, columns = _columns(contrast.dataset, positions)
    rows = [(sender, column) for sender in range(len(graph.senders)) for column in range(len(columns))]
    found: dict[tuple[int, int], list[Tensor]] = {row: [] for row in rows}
    done = 0
    for batch in contrast.batches:
        where = contrast.reading(batch, metric)
        patcher = _Patcher(contrast, graph, batch, where, direction)
        spans = [_mask(batch, place, contrast.model.device) for place in columns]
        clean = contrast.reference(batch, metric)
        at_once = max(1, TOKENS_IN_A_TRACE // batch.clean.numel())
        for stage in patcher.stages:
            todo = [(sender, column) for sender in stage for column in range(len(columns))]
            for start in range(0, len(todo), at_once):
                chunk = todo[start : start + at_once]
                logits = patcher.run([(sender, spans[column]) for sender, column in chunk])
                values = where.values(metric, logits, clean)
                for row, value in zip(chunk, values, strict=True):
                    found[row].append(value[None])
                done += len(chunk)
                if progress is not None:
                    progress(done, len(rows) * len(contrast.batches))
    normal = contrast.normalizer(metric)
    table = [
        [float(normal(contrast.in_order(found[s, c]).mean())) for c in range(len(columns))]
        for s in range(len(graph.senders))
    ]
    made = {
        "method": "activation_patching",
        "direction": direction,
        "score": "the metric with the node patched",
        **contrast.facts(metric),
    }
    return NodeScores.of(graph.senders, names, table, made, contrast.model.digits)


def _columns(
    dataset: Dataset, positions: str | Sequence[str | Place] | None
) -> tuple[tuple[str, ...], list[Place | int | None]]:
    """Names of the columns and what each stands for: a place, a token's index, or all tokens."""
    if positions is None:
        return (), [None]
    if positions != "all":
        found = places(positions)
        return tuple(name if n is None else f"{name}.{n}" for name, n in found), list(found)
    lengths = sorted({len(example.tokens) for example in dataset.examples})
    if len(lengths) > 1:
        raise DataError(
            "C334",
            f"positions = all needs prompts of one length; these have {', '.join(map(str, lengths))} tokens",
            hint="name the positions: positions = [IO, S.2, end]",
        )
    return tuple(map(str, range(lengths[0]))), list(range(lengths[0]))


def _mask(batch: Batch, place: Place | int | None, device: torch.device) -> Bool[Tensor, "batch pos 1"]:
    """Which tokens of each prompt a column stands for."""
    mask = torch.zeros(batch.clean.shape, dtype=torch.bool)
    for row, example in enumerate(batch.examples):
        if place is None:
            mask[row] = True
        elif isinstance(place, int):
            mask[row, place] = True
        else:
            mask[row, list(resolve(example, *place))] = True
    return mask[..., None].to(device)


class _Patcher:
    """Patches of one batch of prompts: the run that is patched, and by how much each sender changes it."""

    def __init__(
        self, contrast: Contrast, graph: Graph, batch: Batch, where: Reading, direction: Direction
    ) -> None:
        self.model, self.graph, self.where = contrast.model, graph, where
        clean, other = contrast.clean_outputs(batch, graph), contrast.substitute(batch, graph)
        if direction == "noise":
            self.tokens, self.change = batch.clean, other - clean
        else:
            assert batch.corrupt is not None
            self.tokens, self.change = batch.corrupt, clean - other
        self.residual, self.attention = self._base()
        self.stages = self._stages()

    def _base(self) -> tuple[list[Tensor], list[Tensor]]:
        """Of the run that is patched: the residual stream before every block and after the last, and what
        every layer's attention adds.
        """
        model = self.model

        def body() -> tuple[list[Tensor], list[Tensor]]:
            residual, attention = [], []
            for block in model.blocks:
                residual.append(block.block.input.clone())
                attention.append(block.output.output.clone())
            residual.append(model.final_norm.input.clone())
            model.skip_logits()
            return residual, attention

        return run(model.envoy, model.inputs(self.tokens, keep=1), body)

    def _stages(self) -> list[list[int]]:
        """The senders in groups that are patched at the same place."""
        groups: dict[tuple[int, str], list[int]] = {}
        for index, name in enumerate(self.graph.senders):
            node = Node.parse(name)
            groups.setdefault((-1 if node.layer is None else node.layer, node.kind), []).append(index)
        return list(groups.values())

    def run(
        self, patches: Sequence[tuple[int, Bool[Tensor, "batch pos 1"]]]
    ) -> Float[Tensor, "row batch kept vocab"]:
        """Logits with each patch; all of them are of senders of one stage."""
        model = self.model
        node = Node.parse(self.graph.senders[patches[0][0]])
        change = torch.cat([self.change[sender] * mask for sender, mask in patches])

        def rows(value: Tensor) -> Tensor:
            return value.repeat(len(patches), 1, 1)

        # The block that the patched run begins in, and the residual stream there.
        layer = 0 if node.layer is None else node.layer + (node.kind == "mlp")
        start = rows(self.residual[layer]) + (0 if node.kind in ("head", "attention") else change)

        def body() -> Tensor:
            for block in model.blocks[:layer]:
                block.block.skip(start)
            if layer < len(model.blocks):
                first = model.blocks[layer]
                if layer == 0:
                    first.block.input = checked(start, first.block.input, "the first block")
                if node.kind in ("head", "attention"):
                    first.attention.skip((rows(self.attention[layer]) + change, None))
            return model.unembed.output.unflatten(0, (len(patches), -1)).clone()

        tokens = self.tokens.repeat(len(patches), 1)
        return run(model.envoy, model.inputs(tokens, self.where.kept), body)
