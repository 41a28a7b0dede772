"""What the weights of heads say by themselves: the eigenvalues of their circuits, and how heads compose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from nncirc.circuits.pictures.colours import Scale
from nncirc.dsl.check.program import Declaration
from nncirc.engine.blocks.block import Block
from nncirc.engine.methods.scores import NodeScores
from nncirc.engine.methods.weight_circuits import composition, weight_statistics
from nncirc.engine.model.model import Model
from nncirc.engine.program import stored
from nncirc.engine.program.build import Builder
from nncirc.engine.program.pictures import (
    COMPOSITION,
    EIGENVALUES,
    Look,
    Scores,
    by_statistic,
    of_pairs,
    unsigned,
)


def _build(
    method: Callable[[Model, Any], NodeScores], builder: Builder, declaration: Declaration
) -> NodeScores:
    model: Model = builder.of(declaration, "model")
    make = partial(method, model, declaration.values["of"])
    found = builder.kept(lambda: builder.key(declaration), stored.NODES, make)
    return replace(found, made={**found.made, "model": model.name})


def _unit_of(name: str) -> tuple[str, Scale]:
    return COMPOSITION if "composition" in name else EIGENVALUES


def _of_two_heads(scores: Scores) -> str:
    return (EIGENVALUES if scores.made.get("of") == "virtual_copying" else COMPOSITION)[0]


BLOCKS = {
    ("scores", "weight_statistics"): Block(
        partial(_build, weight_statistics), look=Look(scale=unsigned, layout=by_statistic(_unit_of))
    ),
    ("scores", "composition"): Block(
        partial(_build, composition), look=Look(_of_two_heads, scale=unsigned, layout=of_pairs)
    ),
}
