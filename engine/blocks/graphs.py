"""The computation graph."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nncirc.circuits.errors import GraphError
from nncirc.circuits.graph import Graph
from nncirc.dsl.check.program import Declaration
from nncirc.dsl.check.shapes import positions_of
from nncirc.engine.blocks.block import Block
from nncirc.engine.data.examples import Dataset
from nncirc.engine.model.model import Model
from nncirc.engine.program.build import Builder
from nncirc.engine.runs.columns import columns_of


def _residual(builder: Builder, declaration: Declaration) -> Graph:
    nodes: Any = declaration.values["nodes"]
    model: Model = builder.of(declaration, "model")
    if model.shape.mlps and "mlps" not in nodes:
        raise GraphError(
            "C460",
            f"the graph lacks the MLPs of {model.name}, so they could be neither cut nor corrupted",
            hint="add mlps to nodes",
        )
    attention: Any = "layers" if "attention" in nodes else "heads"
    split_inputs = bool(declaration.values["inputs"])
    kv: Any = declaration.values["kv"]
    graph = model.graph(attention=attention, split_inputs=split_inputs, pos_embed="pos_embed" in nodes, kv=kv)
    layers: Any = declaration.values["neurons"]
    neurons = model.neurons(layers) if layers else ()
    return replace(graph, positions=_graph_positions(builder, declaration), neurons=neurons)


def _graph_positions(builder: Builder, declaration: Declaration) -> tuple[str, ...]:
    dataset: Dataset | None = builder.of(declaration, "data")
    length: Any = declaration.values["length"]
    return positions_of(declaration.values, length if dataset is None else len(columns_of(dataset, "all")[0]))


BLOCKS = {("graph", "residual"): Block(_residual)}
