"""The logit lens: what the model would predict if a layer were its last (nostalgebraist 2020)."""

from __future__ import annotations

from collections.abc import Callable

import torch

from nncirc.circuits.annotations import Positive
from nncirc.circuits.arguments import public
from nncirc.circuits.graph import stages
from nncirc.circuits.intervals import USUAL, Resampling
from nncirc.circuits.names import Positions
from nncirc.engine.data.examples import Dataset
from nncirc.engine.methods.lens import Readings, selected, unembed
from nncirc.engine.methods.scores import NodeScores
from nncirc.engine.model.model import Model
from nncirc.engine.runs.batches import batches
from nncirc.engine.runs.capture import residual_stream
from nncirc.engine.runs.memory import logits_bytes


@public
def logit_lens(
    model: Model,
    dataset: Dataset,
    *,
    of: str = "prob",
    positions: Positions = "end",
    how: Resampling = USUAL,
    batch: Positive | None = None,
    memory: Positive | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> NodeScores:
    """The residual stream after every attention and MLP, through the final norm and the unembedding.

    A row is named by the node that has written last: `embed`, `L0` (after layer 0's attention), `MLP0`, ...;
    the last row is the model's own prediction. Values are means over prompts, with intervals. `made["top"]`
    has for every row and position the token that is the likeliest in most prompts.

    Args:
        model: the model.
        dataset: the prompts; their answers are asked for at every position.
        of: `prob`, `logprob`, `logit_diff` or `rank` of the answer (1 is the best), or `kl_divergence`: of
            the model's own prediction at that position from the row's.
        positions: where the stream is read, one column each; "all" for every token.
        how: how the intervals over prompts are drawn.
        batch: most prompts at once.
        memory: bytes of activations; None for half of what is free.
        progress: called with prompts done and prompts in all.

    Raises:
        MethodError: C572, nothing is read by the name `of`; C512, no such position.
        DataError: C331, the dataset lacks the answers; C332, C334 and those of `resolve`: positions.

    Source: nostalgebraist 2020, "interpreting GPT: the logit lens"; halfway through a layer as in Belrose et
    al. 2023.
    """
    lens = Readings(model, dataset, of, positions, stages(model.shape))
    more = logits_bytes(model, len(lens.columns))
    for prompts in batches(model, lens.dataset, batch=batch, memory=memory, more=more, progress=progress):
        wheres = [lens.where(prompts, column) for column in range(len(lens.columns))]
        widths = [each.index.shape[1] for each in wheres]
        # All columns at once: the unembedding is the larger part of the work.
        stream = [
            torch.cat([selected(each, residual) for each in wheres], dim=1)
            for residual in residual_stream(model, prompts.clean)
        ]
        final = unembed(model, stream[-1]).split(widths, dim=1)
        for row, residual in enumerate(stream):
            logits = unembed(model, residual).split(widths, dim=1)
            for column, each in enumerate(wheres):
                lens.note((row, column), prompts, each, logits[column], final[column])
    return lens.scores("logit_lens", how, {})
