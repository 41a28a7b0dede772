"""Direct logit attribution."""

from __future__ import annotations

from nncirc.engine.blocks.block import Block, reads
from nncirc.engine.methods import costs
from nncirc.engine.methods.costs import MOST, Cost, Prompts
from nncirc.engine.methods.direct_logit_attribution import logit_attribution
from nncirc.engine.program.costing import Setting


def _cost(at: Setting) -> Cost:
    graph, columns = at.graph.base, at.columns

    def each(prompts: Prompts) -> Cost:
        read, senders = Prompts(prompts.count, columns), len(graph.senders)
        kept, doubles = 2 * at.model.shape.n_layers + 1, 2 * senders * prompts.count
        room = costs.held(at.model, prompts.tokens, kept=kept, doubles=doubles)
        products = Cost(8 * senders * read.tokens * at.model.d_model, columns, room)
        return costs.measured(at.model, prompts) + costs.heads_apart(at.model, graph, read) + products

    return MOST + at.total(each)


_build = reads(logit_attribution, "graph", "of", "positions", progress=True)
BLOCKS = {("scores", "logit_attribution"): Block(_build, _cost)}
