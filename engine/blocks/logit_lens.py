"""The logit lens."""

from __future__ import annotations

from nncirc.circuits.graph import stages
from nncirc.engine.blocks.block import Block, reads
from nncirc.engine.methods import costs
from nncirc.engine.methods.costs import MOST, Cost, Prompts
from nncirc.engine.methods.lens import RANK
from nncirc.engine.methods.logit_lens import logit_lens
from nncirc.engine.metrics.metric import measures
from nncirc.engine.program.costing import Setting
from nncirc.engine.program.pictures import Look, Scores, of_tokens


def _cost(at: Setting) -> Cost:
    rows, columns = len(stages(at.model.shape)), at.columns

    def each(prompts: Prompts) -> Cost:
        room = costs.held(at.model, prompts.tokens, kept=rows, positions=prompts.count)
        read = Cost(2 * rows * columns * prompts.count * costs.unembed(at.model), memory=room)
        return costs.unread(at.model, prompts) + read

    return MOST + at.total(each)


def score(scores: Scores) -> str:
    """What the numbers of a lens are, where they are of the answer."""
    of = scores.made["of"]
    if of not in ("rank", "prob", "logprob"):
        return ""
    return f"{of} of the answer, {(RANK if of == 'rank' else measures()[of]).unit}"


_build = reads(logit_lens, "of", "positions", progress=True)
BLOCKS = {("scores", "logit_lens"): Block(_build, _cost, Look(score, scale=of_tokens))}
