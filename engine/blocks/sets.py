"""Circuits that are made of circuits."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from nncirc.circuits.circuit import Circuit, difference, intersection, union
from nncirc.dsl.check.program import Declaration
from nncirc.engine.blocks.block import Block
from nncirc.engine.program.build import Builder


def _build(operation: Callable[..., Circuit], builder: Builder, declaration: Declaration) -> Circuit:
    refs: Any = declaration.values["circuits"]
    return operation(*(builder.get(ref.name) for ref in refs))


BLOCKS = {
    ("circuit", "union"): Block(partial(_build, union)),
    ("circuit", "intersection"): Block(partial(_build, intersection)),
    ("circuit", "difference"): Block(partial(_build, difference)),
}
