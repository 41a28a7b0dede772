"""The one table of the language: kinds, implementations, keys; a module for each kind.

The checker, the suggestions and the reference (`docs/language.md`) are driven by it. A new metric is
one entry here and one function in the engine.
"""

from __future__ import annotations

from collections.abc import Mapping

from nncirc.dsl.schema.circuits import CIRCUITS
from nncirc.dsl.schema.corruptions import CORRUPTIONS
from nncirc.dsl.schema.curves import CURVES
from nncirc.dsl.schema.datasets import DATASETS
from nncirc.dsl.schema.entries import Function, Implementation, Key, Kind
from nncirc.dsl.schema.functions import FUNCTIONS
from nncirc.dsl.schema.graphs import GRAPHS
from nncirc.dsl.schema.metrics import METRICS
from nncirc.dsl.schema.models import MODELS
from nncirc.dsl.schema.outputs import COMPARE, PLOT, RENDER
from nncirc.dsl.schema.scores import SCORES

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
