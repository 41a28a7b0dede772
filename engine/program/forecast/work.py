"""Work: how often each part of a model runs, and on how much, so that it can be counted before it is done.

Everything the methods do is made of a few parts. A part costs something each time it is called, and
something for each row that it is given:

    seconds = Σ part  calls · overhead(part) + rows · time(part)
    multiplications = Σ part  rows · each(part)

So work is two numbers a part, and adds up. Rows are tokens unless `PARTS` says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import attrgetter

from nncirc.circuits.graph import Shape
from nncirc.engine.model import Model


@dataclass(frozen=True, slots=True)
class Sizes:
    """What of a model multiplications depend on.

    Attributes:
        layers: how many.
        heads: query heads in each.
        kv_heads: key and value heads in each.
        d_model: width of the residual stream.
        d_head: width of a head.
        mlp: multiplications of one MLP a token.
        mlps: whether the MLPs are nodes. Those that write nothing run all the same.
        vocabulary: tokens that the unembedding knows.
    """

    layers: int
    heads: int
    kv_heads: int
    d_model: int
    d_head: int
    mlp: int
    mlps: bool
    vocabulary: int

    @classmethod
    def of(cls, model: Model, shape: Shape) -> Sizes:
        """The sizes of a model of a shape; `model` itself may have fewer layers."""
        first = attrgetter(model.family.blocks)(model.module)[0]
        mlp = attrgetter(model.family.mlp)(first)
        return cls(
            shape.n_layers,
            shape.n_heads,
            shape.n_kv_heads,
            model.d_model,
            model.d_head,
            sum(weight.numel() for weight in mlp.parameters() if weight.ndim == 2),
            shape.mlps,
            model.module.get_input_embeddings().num_embeddings,
        )

    @property
    def units(self) -> int:
        """Projections of one attention layer: queries, keys and values by head."""
        return self.heads + 2 * self.kv_heads


PARTS: Mapping[str, Callable[[Sizes], int]] = {
    # A plain run's own overhead: the trace, the embedding, every module once; its rows are in other parts.
    "forward": lambda _: 0,
    # A trace of which every block is skipped.
    "trace": lambda _: 0,
    # Norm, queries, keys, values, and the output projection.
    "project": lambda s: s.d_model * s.units * s.d_head + s.heads * s.d_head * s.d_model,
    # A row is a query and a key of one head.
    "attend": lambda s: 2 * s.d_head,
    # Norm and MLP.
    "mlp": lambda s: s.mlp,
    # Final norm and unembedding.
    "unembed": lambda s: s.d_model * s.vocabulary,
    # The metric of all logits at a position.
    "metric": lambda _: 0,
    # The metric of the change of all logits at a position.
    "change": lambda _: 0,
    # Final norm, and the metric of the logits of two tokens.
    "columns": lambda s: 2 * s.d_model,
    # A row is a token of one query, key or value with a residual stream of its own: norm and projection.
    "unit": lambda s: s.d_model * s.d_head,
    # The gradient back through these.
    "unit gradient": lambda s: s.d_head * s.d_model,
    # A row is a token of one head: from z to what the head writes.
    "out": lambda s: s.d_head * s.d_model,
    # A row is a token of one edge: the term of a sum over senders.
    "sum": lambda s: s.d_model,
    # A row is a token's residual stream, added or copied.
    "add": lambda _: 0,
    # A row is an edge, looked up by its names.
    "edge": lambda _: 0,
    # A row is a mean over prompts: its interval, of the usual number of resamples.
    "interval": lambda _: 0,
    # A row is a prompt's value, drawn in a resample of a claim, one at a time.
    "resample": lambda _: 0,
    # A row is a multiplication of large matrices in float64.
    "float64": lambda _: 1,
}
"""The parts, and how many multiplications a row of each takes."""


@dataclass(frozen=True, slots=True)
class Work:
    """How often each part is called, and on how many rows in all."""

    amounts: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @classmethod
    def of(cls, calls: float = 1, **rows: float) -> Work:
        """Some parts, each called so often on so many rows together; `_` stands for a space."""
        return cls({part.replace("_", " "): (calls, count) for part, count in rows.items()})

    def __iter__(self) -> Iterator[tuple[str, float, float]]:
        """Every part with its calls and its rows."""
        return ((part, calls, rows) for part, (calls, rows) in self.amounts.items())

    def __add__(self, other: Work) -> Work:
        found = dict(self.amounts)
        for part, calls, rows in other:
            before = found.get(part, (0.0, 0.0))
            found[part] = before[0] + calls, before[1] + rows
        return Work(found)

    def __mul__(self, times: float) -> Work:
        return Work({part: (times * calls, times * rows) for part, calls, rows in self})

    def multiplications(self, sizes: Sizes) -> float:
        """Multiplications of matrix products."""
        return sum(rows * PARTS[part](sizes) for part, _, rows in self)


NOTHING = Work()
