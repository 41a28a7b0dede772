"""Statistics of attention."""

from __future__ import annotations

from nncirc.circuits.pictures.colours import Sequential
from nncirc.engine.blocks.block import Block, reads
from nncirc.engine.methods import costs
from nncirc.engine.methods.attention_statistics import attention_statistics
from nncirc.engine.methods.costs import MOST, Cost, Prompts
from nncirc.engine.program.costing import Setting
from nncirc.engine.program.pictures import EIGENVALUES, Look, by_statistic, unsigned


def _cost(at: Setting) -> Cost:
    model, shape = at.model, at.model.shape

    def each(prompts: Prompts) -> Cost:
        found = costs.unread(model, prompts) * 2
        if "copying" in at.values["of"]:
            d, h = model.d_model, model.d_head
            # Eigenvalues: about 25 n³ (Golub & Van Loan 2013, 7.5.6).
            eigenvalues = d * d * h + d * h * h + 25 * h**3
            found += Cost(model.vocabulary * d * d + shape.n_layers * shape.n_heads * eigenvalues)
        pairs = 4 * shape.n_layers * shape.n_heads * prompts.length / model.d_model
        return found + Cost(memory=costs.held(model, prompts.tokens, kept=3 * shape.n_layers + pairs))

    return MOST + at.total(each)


_SHARE = "share of attention, 0 to 1", Sequential(low=0.0, high=1.0)
_UNITS = {"entropy": ("entropy, nats", Sequential(low=0.0)), "copying": EIGENVALUES}

_build = reads(attention_statistics, "of")
BLOCKS = {
    ("scores", "attention_statistics"): Block(
        _build, _cost, Look(scale=unsigned, layout=by_statistic(lambda name: _UNITS.get(name, _SHARE)))
    )
}
