"""Whether the layers whose MLPs a graph splits into neurons are layers of its model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nncirc.dsl.check.scope import Draft
from nncirc.dsl.text.diagnostics import Label

if TYPE_CHECKING:
    from nncirc.dsl.check.meaning import Meaning

__all__ = ["check_neurons"]


def check_neurons(meaning: Meaning, graph: Draft) -> None:
    """The layers exist and have MLPs, and the model says of how many neurons."""
    layers, model = graph.values.get("neurons"), meaning.get(graph, "model")
    if not isinstance(layers, tuple) or model is None:
        return
    where = graph.where("neurons")
    shape = meaning.shape(graph)
    if model.implementation == "shape" and shape is not None and shape.mlps and shape.d_mlp is None:
        meaning.scope.report(
            "C262",
            f"`{model.name}` is only the shape of a model, which does not say how many neurons its MLPs have",
            where,
            labels=(Label(model.place, "only a shape"),),
            help="add `d_mlp = …` to it: 3072 for GPT-2 small",
        )
        return
    if shape is None:
        return
    if not shape.mlps:
        meaning.scope.report(
            "C261",
            f"`{model.name}` has no MLPs to split into neurons",
            where,
            help="leave `neurons` out",
        )
        return
    beyond = [layer for layer in layers if isinstance(layer, int) and layer >= shape.layers]
    if beyond:
        meaning.scope.report(
            "C261",
            f"`{model.name}` has no layer {beyond[0]} whose MLP could be split",
            where,
            help=f"its layers are 0 to {shape.layers - 1}",
        )
