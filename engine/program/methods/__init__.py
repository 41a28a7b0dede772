"""What a program computes: scores, circuits, curves, comparisons. One function an implementation."""

from __future__ import annotations

from collections.abc import Mapping

from nncirc.engine.program.inputs import Build
from nncirc.engine.program.methods.circuits import CIRCUITS
from nncirc.engine.program.methods.curves import CURVES
from nncirc.engine.program.methods.interventions import INTERVENTIONS
from nncirc.engine.program.methods.scores import SCORES
from nncirc.engine.program.methods.tables import TABLES

__all__ = ["METHODS"]

METHODS: Mapping[str, Mapping[str, Build]] = {
    "scores": {**SCORES, **INTERVENTIONS},
    "circuit": CIRCUITS,
    "curve": CURVES,
    "compare": TABLES,
}
