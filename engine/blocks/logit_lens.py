"""The logit lens."""

from __future__ import annotations

from nncirc.circuits.graph import stages
from nncirc.dsl.check.program import Declaration
from nncirc.engine.blocks.block import Block, read
from nncirc.engine.methods import costs
from nncirc.engine.methods.costs import Cost, Prompts, Sizes
from nncirc.engine.methods.lens import RANK
from nncirc.engine.methods.logit_lens import logit_lens
from nncirc.engine.methods.scores import NodeScores
from nncirc.engine.metrics.metric import measures
from nncirc.engine.model.model import Model
from nncirc.engine.program.build import Builder
from nncirc.engine.program.costing import Costing, Priced
from nncirc.engine.program.pictures import Look, Scores, of_tokens
from nncirc.engine.runs.room import held


def _build(builder: Builder, declaration: Declaration) -> NodeScores:
    values = declaration.values
    return read(
        builder,
        declaration,
        logit_lens,
        of=values["of"],
        positions=values["positions"],
        progress=builder.progress(declaration.name),
    )


def _cost(costing: Costing, declaration: Declaration) -> Priced:
    def each(model: Model, prompts: Prompts, columns: int) -> Cost:
        sizes, rows = Sizes.of(model), len(stages(model.shape))
        memory = held(model, prompts.tokens, kept=rows, positions=prompts.count)
        read = Cost(2 * rows * columns * prompts.count * sizes.unembed, memory=memory)
        return costs.unread(sizes, prompts) + read

    return costing.reading(declaration, each)


def score(scores: Scores) -> str:
    """What the numbers of a lens are, where they are of the answer."""
    of = scores.made["of"]
    if of not in ("rank", "prob", "logprob"):
        return ""
    return f"{of} of the answer, {(RANK if of == 'rank' else measures()[of]).unit}"


BLOCKS = {("scores", "logit_lens"): Block(_build, _cost, Look(score, scale=of_tokens))}
