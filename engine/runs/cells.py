"""The cells of a result, a row and a column each, measured as rows of traces, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from nncirc.engine.metrics.metric import Metric
from nncirc.engine.runs.batches import Batch
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.memory import TOKENS_IN_A_TRACE, pass_bytes

T = TypeVar("T")

Cell: TypeAlias = tuple[int, int]
Measure: TypeAlias = Callable[[Sequence[Cell]], Float[Tensor, "cell batch"]]


def in_cells(
    contrast: Contrast,
    metric: Metric,
    rows: int,
    columns: int,
    begin: Callable[[Batch], Measure],
    progress: Callable[[int, int], None] | None,
) -> Float[Tensor, "row column prompt"]:
    """A metric in every cell, of all prompts in their order.

    Args:
        contrast: whose prompts.
        metric: what is measured.
        rows: how many.
        columns: how many.
        begin: prepares a batch, and gives what measures some cells of it in one trace.
        progress: called with cells done and cells in all.
    """
    cells = [(row, column) for row in range(rows) for column in range(columns)]
    done, total = 0, len(cells) * len(contrast.batches)
    parts = []
    for batch in contrast.batches:
        measure, found = begin(batch), []
        for group in in_traces(contrast, batch, metric, cells):
            found.append(measure(group))
            done += len(group)
            if progress is not None:
                progress(done, total)
        parts.append(torch.cat(found))
    return contrast.in_order(parts).unflatten(0, (rows, columns))


def by_prompt(
    contrast: Contrast, cells: Mapping[tuple[int, int], Sequence[Float[Tensor, "1 batch"]]]
) -> Float[Tensor, "row column prompt"]:
    """The values of all prompts in their order, from those of every batch by row and column."""
    rows, columns = (1 + max(each) for each in zip(*cells, strict=True))
    keys = [(row, column) for row in range(rows) for column in range(columns)]
    parts = [torch.cat([cells[key][batch.number] for key in keys]) for batch in contrast.batches]
    return contrast.in_order(parts).unflatten(0, (rows, columns))


def in_traces(contrast: Contrast, batch: Batch, metric: Metric, rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """Rows in the groups that run together: as many as make large products, if there is memory."""
    at_once = rows_in_a_trace(contrast, batch, metric)
    for start in range(0, len(rows), at_once):
        yield rows[start : start + at_once]


def rows_in_a_trace(contrast: Contrast, batch: Batch, metric: Metric) -> int:
    """How many versions of a batch's runs run together."""
    model = contrast.model
    prompts, length = batch.clean.shape
    kept = len(contrast.reading(batch, metric).kept)
    # Logits are made float64, and a metric makes as much of them again twice.
    size = prompts * (pass_bytes(model, length) + kept * model.vocabulary * (model.dtype.itemsize + 24))
    return max(1, min(TOKENS_IN_A_TRACE // (prompts * length), contrast.memory // 4 // size))
