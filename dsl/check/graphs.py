"""The graph that a block declares, where it is known without loading the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nncirc.circuits.graph import Attention, Graph, Shape, check_positions
from nncirc.circuits.names import OTHER
from nncirc.dsl.check.program import Value
from nncirc.dsl.check.shapes import ModelShape

__all__ = ["full_shape", "graph_of", "positions_of"]


def full_shape(shape: ModelShape) -> Shape:
    """The shape as graphs take it."""
    return Shape(shape.layers, shape.heads, shape.kv_groups, shape.mlps, shape.parallel)


def graph_of(shape: ModelShape, values: Mapping[str, Value], most: int | None = None) -> Graph | None:
    """The graph of a block's values; None where the model's width or the prompts' length is not known.

    Args:
        shape: of the graph's model.
        values: of a `residual` block.
        most: None is given for a graph that is split into more nodes, too.

    Raises:
        GraphError: C453, C465, C467: there is no such graph.
    """
    nodes: Any = values["nodes"]
    layers: Any = values["neurons"] or ()
    length: Any = values["length"]
    if layers and shape.d_mlp is None:
        return None
    attention: Attention = "layers" if "attention" in nodes else "heads"
    neurons = tuple((layer, shape.d_mlp or 0) for layer in sorted(layers))
    found = Graph(full_shape(shape), attention, bool(values["inputs"]), "pos_embed" in nodes, (), neurons)
    if values["positions"] == "all" and length is None:
        return None
    at = positions_of(values, length)
    count = len(found.senders) + len(found.receivers)
    check_positions(count, len(at))  # before there is one for each of them
    if most is not None and len(at) * count > most:
        return None
    return replace(found, positions=at) if at else found


def positions_of(values: Mapping[str, Value], length: int | None) -> tuple[str, ...]:
    """Names of the positions that a graph is split by; all that a list does not name is one more.

    Args:
        values: of a `residual` block.
        length: how many tokens `all` stands for.
    """
    positions: Any = values["positions"]
    if positions is None:
        return ()
    if positions == "all":
        return tuple(map(str, range(length or 0)))
    return (*(str(place) for place in positions if str(place) != OTHER), OTHER)
