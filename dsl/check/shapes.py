"""The sizes of a model, and the graph that a block declares, where they are known without loading it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.resources import files
from typing import Any, NamedTuple, TypeAlias

from nncirc.circuits.door import at_home, read_text
from nncirc.circuits.errors import GraphError, ModelError
from nncirc.circuits.families import own_family
from nncirc.circuits.families.family import Family
from nncirc.circuits.families.table import PLAIN
from nncirc.circuits.graph import Attention, Graph, Shape, check_positions
from nncirc.circuits.names import OTHER
from nncirc.dsl.check.program import Value


class Sizes(NamedTuple):
    """What decides which nodes and edges a model's graph has.

    Attributes:
        shape: as graphs take it.
        d_mlp: neurons of each MLP, where that is known.
    """

    shape: Shape
    d_mlp: int | None = None


# implementation and values of a model's declaration -> its sizes, or None where they are not at hand
SizesProvider: TypeAlias = Callable[[str, Mapping[str, Value]], Sizes | None]

LARGEST = 1_000_000  # bytes of a config.json
_NAMED = {"bundled": "name", "compiled": "path", "transformer_lens": "path"}  # by which key


def model_sizes(implementation: str, values: Mapping[str, Value]) -> Sizes | None:
    """As written, from a bundled model's files, a local `config.json`, or the few hub ids known by heart."""
    name = values.get(_NAMED.get(implementation, "id"))
    try:
        if implementation == "shape":
            return written_sizes(values)
        if not isinstance(name, str) or not name.isprintable():
            return None
        if implementation == "bundled":
            # by way of the bare package: the room's own imports are not needed for a file of it
            config = files("nncirc").joinpath("circuits", "models", name, "config.json")
            return _read(config.read_text(encoding="utf-8"))
        if os.path.lexists(path := at_home(name) / "config.json"):
            return _read(read_text(path, at_most=LARGEST))
    except (OSError, ValueError, RuntimeError, GraphError):
        return None
    hub = [each for family in PLAIN for each in family.hub] if implementation == "huggingface" else []
    for hub_id, layers, heads, d_mlp in hub:
        if name.removeprefix("openai-community/") == hub_id:
            return Sizes(Shape(layers, heads, heads), d_mlp)
    return None


def written_sizes(values: Mapping[str, Value]) -> Sizes | None:
    """The sizes that a `shape` block writes out.

    Raises:
        GraphError: C452, no model has them.
    """
    layers, heads, d_mlp = values.get("layers"), values.get("heads"), values.get("d_mlp")
    if not isinstance(layers, int) or not isinstance(heads, int):
        return None
    groups = values.get("kv_heads")
    n_kv_heads = groups if isinstance(groups, int) else heads
    mlps, parallel = values.get("mlps") is not False, values.get("parallel") is True
    return Sizes(Shape(layers, heads, n_kv_heads, mlps, parallel), d_mlp if isinstance(d_mlp, int) else None)


def _read(text: str) -> Sizes | None:
    config = json.loads(text)
    if not isinstance(config, dict):
        return None
    try:
        family = own_family(str(config.get("model_type")), config)
    except (KeyError, TypeError, ValueError, ModelError):  # a config that makes no model that fits
        return None
    return sizes_of(config, family)


def sizes_of(config: Mapping[str, Any], family: Family | None) -> Sizes | None:
    """What a config says under a family's keys, or under those of any; None if that makes no model.

    Raises:
        GraphError: C452, no model has such sizes.
    """
    layers, heads, kv_heads, d_mlp = (_size(config, family, size) for size in _ELSEWHERE)
    if layers is None or heads is None:
        return None
    if d_mlp is None and family is not None and family.keys.width is not None:
        width = config.get(family.keys.width)
        d_mlp = (4 * width if isinstance(width, int) else 0) or None
    mlps = not any(config.get(key) is True for key in ("attention_only", "attn_only"))
    parallel = family.parallel if family is not None else config.get("parallel_attn_mlp") is True
    return Sizes(Shape(layers, heads, heads if kv_heads is None else kv_heads, mlps, parallel), d_mlp)


_ELSEWHERE = {
    "layers": ("num_layers",),
    "heads": ("num_heads",),
    "kv_heads": ("n_key_value_heads", "n_kv_groups"),
    "d_mlp": ("d_mlp",),
}
"""What configs call a size that are of none of our families."""


def _size(config: Mapping[str, object], family: Family | None, size: str) -> int | None:
    """A size under the family's own key, or else under the first that another's configs have."""
    names = [getattr(each.keys, size) for each in ([] if family is None else [family]) or PLAIN]
    if family is not None and isinstance(names[0], int):
        return names[0]
    return next(
        (value for name in (*names, *_ELSEWHERE[size]) if isinstance(value := config.get(name), int)), None
    )


def graph_of(sizes: Sizes, values: Mapping[str, Value], most: int | None = None) -> Graph | None:
    """The graph of a block's values; None where the model's width or the prompts' length is not known.

    Args:
        sizes: of the graph's model.
        values: of a `residual` block.
        most: None is given for a graph that is split into more nodes, too.

    Raises:
        GraphError: C453, C465, C467: there is no such graph.
    """
    nodes: Any = values["nodes"]
    layers: Any = values["neurons"] or ()
    length: Any = values["length"]
    if layers and sizes.d_mlp is None:
        return None
    attention: Attention = "layers" if "attention" in nodes else "heads"
    neurons = tuple((layer, sizes.d_mlp or 0) for layer in sorted(layers))
    found = Graph(
        shape_of(sizes.shape, values), attention, bool(values["inputs"]), "pos_embed" in nodes, (), neurons
    )
    if values["positions"] == "all" and length is None:
        return None
    at = positions_of(values, length)
    count = len(found.senders) + len(found.receivers)
    check_positions(count, len(at))  # before there is one for each of them
    if most is not None and len(at) * count > most:
        return None
    return replace(found, positions=at) if at else found


def shape_of(shape: Shape, values: Mapping[str, Value]) -> Shape:
    """The shape of a graph: its model's, with a key and a value for each head if the block says so."""
    return replace(shape, n_kv_heads=shape.n_heads) if values.get("kv") == "heads" else shape


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
