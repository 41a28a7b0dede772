"""The score of in-context learning."""

from __future__ import annotations

from dataclasses import replace

from nncirc.engine.blocks.block import Block, reads
from nncirc.engine.methods import costs
from nncirc.engine.methods.costs import MOST, Cost, Prompts
from nncirc.engine.methods.in_context_learning import in_context_learning
from nncirc.engine.program.costing import Setting


def _cost(at: Setting) -> Cost:
    def each(prompts: Prompts) -> Cost:
        two = replace(prompts, read=2)
        room = costs.held(at.model, prompts.tokens, positions=two.positions)
        return costs.measured(at.model, two) + Cost(memory=room)

    return MOST + at.total(each)


_build = reads(in_context_learning, "early", "late")
BLOCKS = {("scores", "in_context_learning"): Block(_build, _cost)}
