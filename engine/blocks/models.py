"""Models: loaded, or only their shape."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from nncirc.circuits.graph import Attention, Graph, Shape
from nncirc.dsl.check.program import Declaration
from nncirc.dsl.check.shapes import model_sizes, shape_of
from nncirc.engine.blocks.block import Block
from nncirc.engine.model import loading
from nncirc.engine.model.model import Model
from nncirc.engine.program.build import Builder


def _loaded(load: str, builder: Builder, declaration: Declaration) -> Model:
    """Two declarations that say the same are one model."""
    said = json.dumps([declaration.implementation, sorted(declaration.values.items())], default=str)
    make: Callable[..., Model] = getattr(loading, load)
    return builder.shared(("model", said), partial(make, **dict(declaration.values)))


@dataclass(frozen=True, slots=True)
class OnlyShape:
    """A model of which only the shape is given: it has a graph, and cannot be run.

    Attributes:
        name: what messages call it.
        shape: layers and heads.
        made: the shape, as it was written; JSON values only.
    """

    name: str
    shape: Shape
    made: Mapping[str, Any]

    def neurons(self, layers: Iterable[int]) -> tuple[tuple[int, int], ...]:
        """Some layers, each with as many neurons as its MLP was declared to have."""
        return tuple((layer, self.made["d_mlp"]) for layer in sorted(layers))

    def graph(
        self, *, attention: Attention = "heads", split_inputs: bool = True, pos_embed: bool = False, kv: str
    ) -> Graph:
        """The computation graph of such a model."""
        return Graph(shape_of(self.shape, {"kv": kv}), attention, split_inputs, pos_embed)


def _shape(_: Builder, declaration: Declaration) -> OnlyShape:
    given = model_sizes("shape", declaration.values)
    assert given is not None
    return OnlyShape(declaration.name, given.shape, dict(declaration.values))


BLOCKS = {
    ("model", "huggingface"): Block(partial(_loaded, "load_huggingface")),
    ("model", "bundled"): Block(partial(_loaded, "load_bundled")),
    ("model", "compiled"): Block(partial(_loaded, "load_compiled")),
    ("model", "transformer_lens"): Block(partial(_loaded, "load_transformer_lens")),
    ("model", "shape"): Block(_shape),
}
