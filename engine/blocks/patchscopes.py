"""Patchscopes."""

from __future__ import annotations

from nncirc.circuits.graph import stages
from nncirc.engine.blocks.block import Block, reads
from nncirc.engine.blocks.logit_lens import score
from nncirc.engine.data.examples import Dataset
from nncirc.engine.methods import costs
from nncirc.engine.methods.costs import MOST, Cost, Prompts
from nncirc.engine.methods.patchscopes import patchscopes
from nncirc.engine.program.costing import Setting
from nncirc.engine.program.pictures import Look, of_tokens


def _cost(at: Setting) -> Cost:
    target: Dataset = at.costing.get(at.values["target"].name)
    longest, columns = max(len(example.tokens) for example in target.examples), at.columns

    def each(prompts: Prompts) -> Cost:
        rows, into = len(stages(at.model.shape)), Prompts(prompts.count, longest)
        running = max(prompts.tokens, into.tokens)
        room = costs.held(at.model, prompts.tokens, kept=rows, positions=prompts.count, running=running)
        runs = costs.unread(at.model, prompts) + costs.measured(at.model, into) * (rows * columns)
        return runs + Cost(memory=room)

    return MOST + at.total(each)


_build = reads(patchscopes, "target", "of", "positions", "into", "layer", data="source", progress=True)
BLOCKS = {("scores", "patchscopes"): Block(_build, _cost, Look(score, scale=of_tokens))}
