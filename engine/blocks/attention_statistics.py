"""Statistics of attention."""

from __future__ import annotations

from typing import Any

from nncirc.circuits.pictures.colours import Sequential
from nncirc.dsl.check.program import Declaration
from nncirc.engine.blocks.block import Block, read
from nncirc.engine.methods import costs
from nncirc.engine.methods.attention_statistics import attention_statistics
from nncirc.engine.methods.costs import Cost, Prompts, Sizes
from nncirc.engine.methods.scores import NodeScores
from nncirc.engine.model.model import Model
from nncirc.engine.program.build import Builder
from nncirc.engine.program.costing import Costing, Priced
from nncirc.engine.program.pictures import EIGENVALUES, Look, by_statistic, unsigned
from nncirc.engine.runs.room import held


def _build(builder: Builder, declaration: Declaration) -> NodeScores:
    return read(builder, declaration, attention_statistics, of=declaration.values["of"])


def _cost(costing: Costing, declaration: Declaration) -> Priced:
    of: Any = declaration.values["of"]

    def each(model: Model, prompts: Prompts, _: int) -> Cost:
        sizes, shape = Sizes.of(model), model.shape
        found = costs.unread(sizes, prompts) * 2
        if "copying" in of:
            d, h = sizes.d_model, sizes.d_head
            # Eigenvalues: about 25 n³ (Golub & Van Loan 2013, 7.5.6).
            eigenvalues = d * d * h + d * h * h + 25 * h**3
            found += Cost(sizes.vocabulary * d * d + shape.n_layers * shape.n_heads * eigenvalues)
        pairs = 4 * shape.n_layers * shape.n_heads * prompts.length / sizes.d_model
        return found + Cost(memory=held(model, prompts.tokens, kept=3 * shape.n_layers + pairs))

    return costing.reading(declaration, each)


_SHARE = "share of attention, 0 to 1", Sequential(low=0.0, high=1.0)
_UNITS = {"entropy": ("entropy, nats", Sequential(low=0.0)), "copying": EIGENVALUES}

BLOCKS = {
    ("scores", "attention_statistics"): Block(
        _build, _cost, Look(scale=unsigned, layout=by_statistic(lambda name: _UNITS.get(name, _SHARE)))
    )
}
