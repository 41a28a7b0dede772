"""Runs with other values at some sites: what causal tracing and steering are made of.

A run begins with what is embedded, not with tokens, so that noise on the embeddings is a run like any other.
Interventions are rows of one trace. Layers before the first that any of them changes are not computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias

from jaxtyping import Float
from torch import Tensor

from nncirc.circuits.errors import MethodError, ModelError
from nncirc.circuits.graph import Graph
from nncirc.engine.model.layer import change_output, skipper
from nncirc.engine.model.model import Model
from nncirc.engine.model.tracing import checked, run
from nncirc.engine.runs.capture import as_tokens

Part: TypeAlias = Literal["residual", "attention", "mlp"]
Edit: TypeAlias = Callable[
    [Float[Tensor, "row batch pos width"]],
    Float[Tensor, "row batch pos width"],
]


class Site(NamedTuple):
    """A place that can be changed, layer by layer in the order in which a model computes its parts.

    Attributes:
        layer: from 0; of the residual stream also the number of layers, where the final norm reads.
        part: `residual`, the stream before the layer; `attention`, the z of all its heads side by side,
            before the output projection; `mlp`, what its MLP writes.
    """

    layer: int
    part: Part


def edited_run(
    model: Model,
    stream: Sequence[Float[Tensor, "batch pos d_model"]],
    rows: int,
    edits: Mapping[Site, Edit],
    keep: Tensor | int = 0,
) -> Float[Tensor, "row batch kept vocab"]:
    """Logits of a run in which the values at some sites are others.

    Args:
        model: the model.
        stream: the residual stream before every layer, in the run without the edits.
        rows: how many versions of the run there are; an edit sees them all.
        edits: by site, from the value there to the value that takes its place. An edit sees what those before
            it have changed.
        keep: positions to compute logits at; 0 for all.

    Raises:
        MethodError: C502, C503, an edit gives values that do not fit there.
        ModelError: C419, heads are to be changed where a norm scales all of a layer together.
    """
    if model.couples_heads and any(site.part == "attention" for site in edits):
        raise ModelError(
            "C419",
            f"in {model.name} a norm scales all heads of a layer together, so none can be changed alone",
            hint="use MLPs or states, or activation_patching for heads",
        )
    first = min((site.layer for site in edits), default=model.shape.n_layers)
    start = stream[first].repeat(rows, 1, 1)

    def change(layer: int, part: Part, value: Tensor, path: str) -> Tensor:
        new = edits[Site(layer, part)](value.unflatten(0, (rows, -1)))
        return checked(new.flatten(0, 1), value, path)

    def written(layer: int, scale: float, value: Tensor) -> Tensor:
        """What an MLP gives, of which the stream gets so much."""
        new = edits[Site(layer, "mlp")]((value * scale).view(rows, -1, *start.shape[1:]))
        return (new / scale).view(value.shape)

    skip = skipper(model)

    def body() -> Tensor:
        for layer, block in enumerate(model.blocks):
            if layer < first:
                skip(block, start)
                continue
            if layer == 0:
                block.block.input = checked(start, block.block.input, block.block.path)
            if (layer, "residual") in edits:
                block.block.input = change(layer, "residual", block.block.input, block.block.path)
            if (layer, "attention") in edits:
                block.output.input = change(layer, "attention", block.output.input, block.output.path)
            if (layer, "mlp") in edits:
                change_output(block.mlp_end, partial(written, layer, block.scale))
        last: Any = model.final_norm
        if (model.shape.n_layers, "residual") in edits:
            last.input = change(model.shape.n_layers, "residual", last.input, last.path)
        return model.logits_output.unflatten(0, (rows, -1)).clone()

    return run(model.envoy, model.inputs(as_tokens(start), keep), body)


def check_whole(graph: Graph) -> None:
    """Refuse a graph that is split by position or neuron: these interventions are on whole nodes.

    Raises:
        MethodError: C594, it is.
    """
    if graph.neurons:
        raise MethodError(
            "C594",
            "the intervention works on whole nodes, but the graph splits MLPs into neurons",
            hint="use a graph without neurons, or activation_patching or attribution_patching",
        )
    if graph.positions:
        raise MethodError(
            "C594",
            "the intervention works on whole nodes, but the graph is split by position",
            hint="use a graph without positions, and give the positions to the method",
        )
