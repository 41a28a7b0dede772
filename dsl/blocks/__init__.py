"""The one table of the language: kinds, implementations, keys; a module for each kind.

The checker, the suggestions and the reference (`docs/language.md`) are driven by it. A new metric is
one entry here and one function in the engine.
"""

from __future__ import annotations

from collections.abc import Mapping

from nncirc.dsl.blocks.circuits import CIRCUITS
from nncirc.dsl.blocks.corruptions import CORRUPTIONS
from nncirc.dsl.blocks.curves import CURVES
from nncirc.dsl.blocks.datasets import DATASETS
from nncirc.dsl.blocks.entries import Function, Implementation, Key, Kind
from nncirc.dsl.blocks.functions import FUNCTIONS
from nncirc.dsl.blocks.graphs import GRAPHS
from nncirc.dsl.blocks.metrics import METRICS
from nncirc.dsl.blocks.models import MODELS
from nncirc.dsl.blocks.outputs import COMPARE, PLOT, RENDER
from nncirc.dsl.blocks.scores import SCORES

__all__ = ["FUNCTIONS", "KINDS", "Function", "Implementation", "Key", "Kind"]

KINDS: Mapping[str, Kind] = {
    "model": Kind("A transformer language model.", MODELS),
    "dataset": Kind("Prompts and what should follow them.", DATASETS),
    "corruption": Kind("What stands in the place of the clean run.", CORRUPTIONS),
    "graph": Kind("The computation graph: which parts of the model are nodes.", GRAPHS),
    "metric": Kind("A number for how well the model does the task.", METRICS),
    "scores": Kind("A number for each node or edge.", SCORES),
    "circuit": Kind("A part of the graph: a set of edges.", CIRCUITS),
    "curve": Kind("A number as it depends on another.", CURVES),
    "compare": Kind("A table of circuits.", {"compare": COMPARE}, output=True),
    "plot": Kind("A plot of scores or of a curve.", {"plot": PLOT}, output=True),
    "render": Kind("A picture of a circuit.", {"render": RENDER}, output=True),
}
