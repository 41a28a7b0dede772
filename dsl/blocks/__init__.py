"""What the language knows: kinds, and of each its implementations with their keys, checks and results.

A file declares one thing that the language names, or a few relatives, in a table that is called as their
kind: `SCORES = {"logit_lens": …}`. Every file here is read, and no list names them. The checker, the
suggestions and the reference (`docs/language.md`) are driven by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules

from nncirc.circuits.graph import Graph, Shape
from nncirc.dsl.blocks.functions import FUNCTIONS
from nncirc.dsl.check.declared import Function, Implementation, Key, Kind, Scores
from nncirc.dsl.check.program import Value
from nncirc.dsl.check.tables import Asked, Table

__all__ = ["FUNCTIONS", "KINDS", "SCORES", "Function", "Implementation", "Key", "Kind", "table_of"]

_MODULES = [import_module(f"{__name__}.{each.name}") for each in sorted(iter_modules(__path__))]


def _kind(doc: str, table: str, *, output: bool = False) -> Kind:
    """A kind with what the files declare in a table of this name."""
    found: dict[str, Implementation] = {}
    for module in _MODULES:
        found |= getattr(module, table, {})
    return Kind(doc, found, output)


KINDS: Mapping[str, Kind] = {
    "model": _kind("A transformer language model.", "MODELS"),
    "dataset": _kind("Prompts and what should follow them.", "DATASETS"),
    "corruption": _kind("What replaces the clean run.", "CORRUPTIONS"),
    "graph": _kind("The computation graph: which parts of the model are nodes.", "GRAPHS"),
    "metric": _kind("A number that says how well the model does the task.", "METRICS"),
    "scores": _kind("A number for each node or edge.", "SCORES"),
    "circuit": _kind("A part of the graph: a set of edges.", "CIRCUITS"),
    "curve": _kind("A quantity as a function of another.", "CURVES"),
    "compare": _kind("A table of circuits.", "COMPARISONS", output=True),
    "plot": _kind("A plot of scores or of a curve.", "PLOTS", output=True),
    "render": _kind("A picture of a circuit.", "RENDERINGS", output=True),
}
SCORES: Mapping[str, Scores] = {
    name: each for name, each in KINDS["scores"].implementations.items() if isinstance(each, Scores)
}


def table_of(
    name: str,
    implementation: str,
    values: Mapping[str, Value],
    graph: Graph | None,
    shape: Shape | None,
    length: int | None = None,
) -> Table | None:
    """The table of a block of scores, as `Asked` takes what is known of it; None for scores of edges."""
    return SCORES[implementation].table(Asked(name, values, graph, shape, length))
