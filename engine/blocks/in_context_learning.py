"""The score of in-context learning."""

from __future__ import annotations

from dataclasses import replace

from nncirc.dsl.check.program import Declaration
from nncirc.engine.blocks.block import Block, read
from nncirc.engine.methods import costs
from nncirc.engine.methods.costs import Cost, Prompts, Sizes
from nncirc.engine.methods.in_context_learning import in_context_learning
from nncirc.engine.methods.scores import NodeScores
from nncirc.engine.model.model import Model
from nncirc.engine.program.build import Builder
from nncirc.engine.program.costing import Costing, Priced
from nncirc.engine.runs.room import held


def _build(builder: Builder, declaration: Declaration) -> NodeScores:
    early, late = (declaration.values[key] for key in ("early", "late"))
    return read(builder, declaration, in_context_learning, early=early, late=late)


def _cost(costing: Costing, declaration: Declaration) -> Priced:
    def each(model: Model, prompts: Prompts, _: int) -> Cost:
        two = replace(prompts, read=2)
        memory = held(model, prompts.tokens, positions=two.positions)
        return costs.measured(Sizes.of(model), two) + Cost(memory=memory)

    return costing.reading(declaration, each)


BLOCKS = {("scores", "in_context_learning"): Block(_build, _cost)}
