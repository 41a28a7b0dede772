"""Direct logit attribution."""

from __future__ import annotations

from nncirc.circuits.graph import Graph
from nncirc.dsl.check.program import Declaration
from nncirc.engine.blocks.block import Block, read
from nncirc.engine.methods import costs
from nncirc.engine.methods.costs import Cost, Prompts, Sizes
from nncirc.engine.methods.direct_logit_attribution import logit_attribution
from nncirc.engine.methods.scores import NodeScores
from nncirc.engine.model.model import Model
from nncirc.engine.program.build import Builder
from nncirc.engine.program.costing import Costing, Priced
from nncirc.engine.runs.room import held


def _build(builder: Builder, declaration: Declaration) -> NodeScores:
    values = declaration.values
    return read(
        builder,
        declaration,
        logit_attribution,
        graph=builder.of(declaration, "graph"),
        of=values["of"],
        positions=values["positions"],
        progress=builder.progress(declaration.name),
    )


def _cost(costing: Costing, declaration: Declaration) -> Priced:
    graph: Graph = costing.of(declaration, "graph").base
    senders = len(graph.senders)

    def each(model: Model, prompts: Prompts, columns: int) -> Cost:
        sizes, read = Sizes.of(model), Prompts(prompts.count, columns)
        kept, doubles = 2 * model.shape.n_layers + 1, 2 * senders * prompts.count
        memory = held(model, prompts.tokens, kept=kept, doubles=doubles)
        products = Cost(8 * senders * read.tokens * sizes.d_model, columns, memory)
        return costs.measured(sizes, prompts) + costs.heads_apart(sizes, graph, read) + products

    return costing.reading(declaration, each)


BLOCKS = {("scores", "logit_attribution"): Block(_build, _cost)}
