"""The memory that methods take beside the model: what is held at once, in bytes of activations.

Counted in units of what one part of a model writes for all prompts, `prompts × pos × d_model` numbers, and
held to what the allocator reports by a test, within a factor of two.
"""

from __future__ import annotations

import resource
import sys

import psutil
import torch

from nncirc.circuits.errors import ResourceError
from nncirc.circuits.graph import Graph
from nncirc.circuits.words import counted, memory_in_words
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.model.model import Model
from nncirc.engine.runs.batches import Batch
from nncirc.engine.runs.cells import rows_in_a_trace
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.memory import TOKENS_IN_A_TRACE, free_memory, pass_bytes

ROWS = 8  # of candidates: what speculation mostly comes to
BLOCK = 20  # of a token in a block: the widest is an MLP, with what its activation function makes


def attribution_room(contrast: Contrast, neurons: int = 0) -> int:
    """Bytes that attribution patching holds at once: a pass, and what neurons write, as made and joined."""
    unit, most = _unit(contrast.model), contrast.memory // 16
    return max(
        len(batch.indices) * pass_bytes(contrast.model, batch.clean.shape[1])
        + 2 * min(neurons * batch.clean.numel() * unit, most)
        for batch in contrast.batches
    )


def patching_room(contrast: Contrast) -> int:
    """Bytes that activation patching holds at once.

    The two runs' parts and their difference, the state of the patched run, and the rows of a trace.
    """
    model = contrast.model
    tokens = max(batch.clean.numel() for batch in contrast.batches)
    kept = (12 * model.shape.n_layers + 4) * tokens
    return (kept + BLOCK * TOKENS_IN_A_TRACE) * model.d_model * model.dtype.itemsize


def edited_room(contrast: Contrast, metric: Metric, rows: int, streams: int = 1) -> int:
    """Bytes that causal tracing or steering holds at once.

    What is written in both runs, the residual stream of the run that is edited, and the rows of a trace.

    Args:
        contrast: the prompts.
        metric: what is measured.
        rows: runs that are edited.
        streams: of how many runs the residual stream is kept.
    """
    stream = streams * (contrast.model.shape.n_layers + 1)
    return max(
        _written(contrast) + _rows(contrast, batch, metric, rows, stream) for batch in contrast.batches
    )


def paths_room(contrast: Contrast, graph: Graph, metric: Metric, rows: int) -> int:
    """Bytes that path patching holds at once: what senders write in both runs, the clean run's state, rows.

    Args:
        contrast: the prompts.
        graph: whose senders are patched.
        metric: what is measured.
        rows: senders at positions that are patched.
    """
    state = 3 * len(graph.senders) + 6 * contrast.model.shape.n_layers + 1
    return max(_written(contrast) + _rows(contrast, batch, metric, rows, state) for batch in contrast.batches)


def _written(contrast: Contrast) -> int:
    """What the parts of the model write in both runs, kept between batches while there is room."""
    tokens = sum(batch.clean.numel() for batch in contrast.batches)
    units = 2 * (2 * contrast.model.shape.n_layers + 1)
    return min(units * tokens * _unit(contrast.model), contrast.memory // 4)


def _rows(contrast: Contrast, batch: Batch, metric: Metric, rows: int, kept: int) -> int:
    """Of a batch what is kept, in units of a part, and what the rows of a trace take or else their logits."""
    together = min(rows, rows_in_a_trace(contrast, batch, metric))
    tokens, positions = batch.clean.numel(), len(contrast.reading(batch, metric).kept)
    logits = logits_room(contrast.model, together * len(batch.indices) * positions)
    unit = _unit(contrast.model)
    return kept * tokens * unit + max(BLOCK * together * tokens * unit, logits)


def _unit(model: Model) -> int:
    """Bytes of a token's residual stream."""
    return int(model.d_model * model.dtype.itemsize)


def logits_room(model: Model, positions: int, read: int | None = None) -> int:
    """Bytes of logits at some positions: as made and cloned, and what is made of those that are read.

    Args:
        model: the model.
        positions: at which they are made.
        read: how many of these are read at a time, in float64 and twice more; None for all.
    """
    vocabulary: int = model.module.get_input_embeddings().num_embeddings
    doubles = 2 if model.dtype == torch.float64 else 3
    read = positions if read is None else read
    return vocabulary * (2 * positions * model.dtype.itemsize + 8 * doubles * read)


def reading_room(
    model: Model,
    tokens: int,
    *,
    kept: float = 0,
    positions: int = 0,
    read: int | None = None,
    doubles: int = 0,
    inside: int = 0,
) -> int:
    """Bytes that a reading of a batch holds at once.

    Args:
        model: the model.
        tokens: of the batch.
        kept: what is kept of the run, in units of what one part writes.
        positions: positions at which logits are made at a time.
        read: how many of these are read at a time; None for all.
        doubles: vectors of the residual stream's width in float64.
        inside: tokens of the largest run that comes later.
    """
    after = max(
        logits_room(model, positions, read) + 8 * doubles * model.d_model, BLOCK * inside * _unit(model)
    )
    return int(kept * tokens * _unit(model)) + max(BLOCK * tokens * _unit(model), after)


def acdc_room(contrast: Contrast, graph: Graph, metric: Metric) -> int:
    """Bytes that ACDC holds at once: the state of all prompts, and the rows that are tried together.

    Of a row: changes of what is alive, and what computing a layer takes.
    """
    model, graph = contrast.model, graph.base
    senders, receivers = len(graph.senders), len(graph.receivers)
    unit = sum(batch.clean.numel() for batch in contrast.batches) * model.d_model * model.dtype.itemsize
    row = unit * (receivers // 4 + senders // 4 + 16 + 4 * model.shape.n_heads)
    if not metric.measure.columns:
        row += 24 * len(contrast.dataset.examples) * model.module.get_input_embeddings().num_embeddings
    return acdc_state(contrast, graph) + min(ROWS * row, contrast.memory // 4)


def acdc_state(contrast: Contrast, graph: Graph) -> int:
    """Bytes of what ACDC knows of all prompts at once, which cannot be split.

    What senders write in the clean run, its difference from the substitute, what they write now; the clean
    run's residual stream, queries, keys, values and z; and two inputs of every receiver that is alive, of
    which a quarter are at most times.
    """
    model = contrast.model
    units = 3 * len(graph.senders) + 6 * model.shape.n_layers + 1 + len(graph.receivers) // 2
    tokens = sum(batch.clean.numel() for batch in contrast.batches)
    return units * tokens * model.d_model * model.dtype.itemsize


def require_room(contrast: Contrast, graph: Graph) -> None:
    """Refuse ACDC before the machine does: the state of all prompts is needed at once.

    Raises:
        ResourceError: C701, there is less memory than that, or less is allowed.
    """
    needed, free = acdc_state(contrast, graph), contrast.most_memory
    if free is None:
        free = free_memory(contrast.model.device)
    if needed > free:
        raise ResourceError(
            "C701",
            f"ACDC keeps the state of {counted(len(contrast.dataset.examples), 'prompt')} at once, about"
            f" {memory_in_words(needed)}, and has {memory_in_words(free)}",
            hint="use fewer or shorter prompts, a smaller dtype, or attention layers for heads",
        )


def resident() -> int:
    """Bytes that this process has in memory now."""
    return int(psutil.Process().memory_info().rss)


def peak() -> int:
    """The most bytes that this process has had in memory so far."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
