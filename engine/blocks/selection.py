"""Circuits that are selected by scores of edges."""

from __future__ import annotations

from typing import Any

from nncirc.circuits.circuit import Circuit
from nncirc.dsl.check.program import Declaration
from nncirc.engine.blocks.block import Block, edge_scores
from nncirc.engine.program.build import Builder


def _threshold(builder: Builder, declaration: Declaration) -> Circuit:
    values: Any = declaration.values
    return edge_scores(builder, declaration).threshold(values["threshold"], rank=values["rank"])


def _top(builder: Builder, declaration: Declaration) -> Circuit:
    values: Any = declaration.values
    return edge_scores(builder, declaration).top(values["edges"], rank=values["rank"])


BLOCKS = {("circuit", "threshold"): Block(_threshold), ("circuit", "top"): Block(_top)}
