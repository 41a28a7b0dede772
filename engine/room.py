"""The memory that methods take beside the model: what is held at once, in bytes of activations.

Counted in units of what one part of a model writes for all prompts, `prompts × pos × d_model` numbers, and
held to what the allocator reports by a test, within a factor of two.
"""

from __future__ import annotations

import resource
import sys

import psutil

from nncirc.circuits.errors import ResourceError
from nncirc.circuits.graph import Graph
from nncirc.engine.contrast import Contrast
from nncirc.engine.memory import TOKENS_IN_A_TRACE, free_memory, pass_bytes
from nncirc.engine.metrics import Metric

COUNTED = ("attribution_patching", "activation_patching", "acdc")
ROWS = 8  # of candidates: what speculation mostly comes to


def room(method: str, contrast: Contrast, graph: Graph, metric: Metric) -> int | None:
    """Bytes that a method holds at once; None for one that is not counted."""
    match method:
        case "attribution_patching":
            return max(
                len(b.indices) * pass_bytes(contrast.model, b.clean.shape[1]) for b in contrast.batches
            )
        case "activation_patching":
            return _patching(contrast)
        case "acdc":
            return _acdc(contrast, graph.base, metric)
    return None


def _patching(contrast: Contrast) -> int:
    """The two runs' parts and their difference, the state of the patched run, and the rows of a trace."""
    model = contrast.model
    tokens = max(batch.clean.numel() for batch in contrast.batches)
    kept = (12 * model.shape.n_layers + 4) * tokens
    return (kept + 20 * TOKENS_IN_A_TRACE) * model.d_model * model.dtype.itemsize


def _acdc(contrast: Contrast, graph: Graph, metric: Metric) -> int:
    """The state of all prompts, and the rows that are tried at once.

    Of a row: changes of what is alive, and what computing a layer takes.
    """
    model = contrast.model
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
            f"ACDC keeps the state of all {len(contrast.dataset.examples)} prompts, about"
            f" {needed / 2**30:.2g} GiB, and has {free / 2**30:.2g} GiB",
            hint="use fewer or shorter prompts, a smaller dtype, or attention layers for heads",
        )


def resident() -> int:
    """Bytes that this process has in memory now."""
    return int(psutil.Process().memory_info().rss)


def peak() -> int:
    """The most bytes that this process has had in memory so far."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
