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
from nncirc.engine.runs.cells import rows_in_a_trace
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.memory import TOKENS_IN_A_TRACE, free_memory, pass_bytes

ROWS = 8  # of candidates: what speculation mostly comes to
BLOCK = 20  # of a token in a block: the widest is an MLP, with what its activation function makes


def held(
    model: Model,
    tokens: int,
    *,
    kept: float = 0,
    running: int | None = None,
    positions: int = 0,
    read: int | None = None,
    doubles: int = 0,
) -> int:
    """Bytes held at once by what runs a model: what is kept, and the largest of what comes and goes.

    Args:
        model: the model.
        tokens: of the prompts of which something is kept.
        kept: how much, in units of what one part of the model writes.
        running: tokens of the largest run; None for those of the prompts.
        positions: at which logits are made at a time, as made and cloned.
        read: how many of these are read at a time, in float64 and twice more; None for all.
        doubles: vectors of the residual stream's width in float64.
    """
    unit = int(model.d_model * model.dtype.itemsize)
    vocabulary: int = model.module.get_input_embeddings().num_embeddings
    copies = 2 if model.dtype == torch.float64 else 3
    of_read = 8 * copies * (positions if read is None else read)
    logits = vocabulary * (2 * positions * model.dtype.itemsize + of_read)
    block = BLOCK * (tokens if running is None else running) * unit
    return int(kept * tokens * unit) + max(block, logits + 8 * doubles * model.d_model)


def attribution_room(contrast: Contrast, neurons: int = 0) -> int:
    """Bytes that attribution patching holds at once: a pass, and what neurons write, as made and joined."""
    model = contrast.model
    most, written = contrast.memory // 16, neurons * model.d_model * model.dtype.itemsize
    return max(
        len(batch.indices) * pass_bytes(model, batch.clean.shape[1])
        + 2 * min(written * batch.clean.numel(), most)
        for batch in contrast.batches
    )


def patching_room(contrast: Contrast) -> int:
    """Bytes that activation patching holds at once.

    The two runs' parts and their difference, the state of the patched run, and the rows of a trace.
    """
    tokens = max(batch.clean.numel() for batch in contrast.batches)
    kept = 12 * contrast.model.shape.n_layers + 4
    return held(contrast.model, tokens, kept=kept, running=TOKENS_IN_A_TRACE)


def edited_room(contrast: Contrast, metric: Metric, rows: int, kept: int) -> int:
    """Bytes held at once by what edits a run.

    What parts of the model write in both runs, kept between batches while there is room; what is kept of
    the edited run; and the rows of a trace, or else their logits.

    Args:
        contrast: the prompts.
        metric: what is measured.
        rows: runs that are edited: senders, layers or nodes at positions.
        kept: of the edited run, in units of what one part writes.
    """
    model, most = contrast.model, 0
    for batch in contrast.batches:
        together = min(rows, rows_in_a_trace(contrast, batch, metric))
        tokens, positions = batch.clean.numel(), len(contrast.reading(batch, metric).kept)
        logits = together * len(batch.indices) * positions
        most = max(most, held(model, tokens, kept=kept, running=together * tokens, positions=logits))
    tokens = sum(batch.clean.numel() for batch in contrast.batches)
    written = held(model, tokens, kept=2 * (2 * model.shape.n_layers + 1), running=0)
    return min(written, contrast.memory // 4) + most


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
            f"ACDC needs about {memory_in_words(needed)} for"
            f" {counted(len(contrast.dataset.examples), 'prompt')};"
            f" {memory_in_words(free)} is available",
            hint="use fewer or shorter prompts, a smaller dtype, or whole attention layers instead of heads",
        )


def resident() -> int:
    """Bytes that this process has in memory now."""
    return int(psutil.Process().memory_info().rss)


def peak() -> int:
    """The most bytes that this process has had in memory so far."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
