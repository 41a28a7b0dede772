"""Patchscopes."""

from __future__ import annotations

from nncirc.circuits.graph import stages
from nncirc.dsl.check.program import Declaration
from nncirc.engine.blocks.block import Block, read
from nncirc.engine.blocks.logit_lens import score
from nncirc.engine.data.examples import Dataset
from nncirc.engine.methods import costs
from nncirc.engine.methods.costs import Cost, Prompts, Sizes
from nncirc.engine.methods.patchscopes import patchscopes
from nncirc.engine.methods.scores import NodeScores
from nncirc.engine.model.model import Model
from nncirc.engine.program.build import Builder
from nncirc.engine.program.costing import Costing, Priced
from nncirc.engine.program.pictures import Look, of_tokens
from nncirc.engine.runs.room import held


def _build(builder: Builder, declaration: Declaration) -> NodeScores:
    values = declaration.values
    return read(
        builder,
        declaration,
        patchscopes,
        "source",
        target=builder.of(declaration, "target"),
        of=values["of"],
        positions=values["positions"],
        into=values["into"],
        layer=values["layer"],
        progress=builder.progress(declaration.name),
    )


def _cost(costing: Costing, declaration: Declaration) -> Priced:
    target: Dataset = costing.of(declaration, "target")
    longest = max(len(example.tokens) for example in target.examples)

    def each(model: Model, prompts: Prompts, columns: int) -> Cost:
        sizes, rows, into = Sizes.of(model), len(stages(model.shape)), Prompts(prompts.count, longest)
        found = costs.unread(sizes, prompts) + costs.measured(sizes, into) * (rows * columns)
        most = max(prompts.tokens, into.tokens)
        return found + Cost(
            memory=held(model, prompts.tokens, kept=rows, positions=prompts.count, running=most)
        )

    return costing.reading(declaration, each, "source")


BLOCKS = {("scores", "patchscopes"): Block(_build, _cost, Look(score, scale=of_tokens))}
