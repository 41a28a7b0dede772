"""What a program computes: scores, circuits, curves, comparisons. One function an implementation."""

from __future__ import annotations

from collections.abc import Mapping

from nncirc.engine.blocks.circuits import CIRCUITS
from nncirc.engine.blocks.curves import CURVES
from nncirc.engine.blocks.inputs import Build
from nncirc.engine.blocks.interventions import INTERVENTIONS
from nncirc.engine.blocks.scores import SCORES
from nncirc.engine.blocks.tables import TABLES

__all__ = ["METHODS"]

METHODS: Mapping[str, Mapping[str, Build]] = {
    "scores": {**SCORES, **INTERVENTIONS},
    "circuit": CIRCUITS,
    "curve": CURVES,
    "compare": TABLES,
}
