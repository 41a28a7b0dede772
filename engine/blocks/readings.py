"""Scores that need no corruption: attention, logits, the residual stream, weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace as with_fields
from functools import partial
from typing import TYPE_CHECKING, Any

from nncirc.dsl.check.program import Declaration
from nncirc.engine.blocks.inputs import Build
from nncirc.engine.methods.attention_statistics import attention_statistics
from nncirc.engine.methods.direct_logit_attribution import logit_attribution
from nncirc.engine.methods.in_context_learning import in_context_learning
from nncirc.engine.methods.logit_lens import logit_lens
from nncirc.engine.methods.patchscopes import patchscopes
from nncirc.engine.methods.scores import NodeScores
from nncirc.engine.methods.weight_circuits import composition, weight_statistics
from nncirc.engine.model.model import Model
from nncirc.engine.program import stored

if TYPE_CHECKING:
    from nncirc.engine.program.build import Builder


def _read(
    builder: Builder, declaration: Declaration, key: str, method: Callable[..., NodeScores], **options: Any
) -> NodeScores:
    """A method's result on the prompts under a key, from the store or else made, with what it is of."""
    dataset = builder.of(declaration, key)
    model = builder.model_of(builder.declaration(declaration, key))
    make = partial(method, model, dataset, batch=builder.batch, memory=builder.memory, **options)
    found = builder.kept(lambda: builder.key(declaration), stored.NODES, make)
    return with_fields(found, made={**found.made, "model": model.name, "dataset": dict(dataset.made)})


def _statistics(builder: Builder, declaration: Declaration) -> NodeScores:
    return _read(builder, declaration, "data", attention_statistics, of=declaration.values["of"])


def _attribution(builder: Builder, declaration: Declaration) -> NodeScores:
    values = declaration.values
    return _read(
        builder,
        declaration,
        "data",
        logit_attribution,
        graph=builder.of(declaration, "graph"),
        of=values["of"],
        positions=values["positions"],
        progress=builder.progress(declaration.name),
    )


def _lens(builder: Builder, declaration: Declaration) -> NodeScores:
    values = declaration.values
    return _read(
        builder,
        declaration,
        "data",
        logit_lens,
        of=values["of"],
        positions=values["positions"],
        progress=builder.progress(declaration.name),
    )


def _patchscopes(builder: Builder, declaration: Declaration) -> NodeScores:
    values = declaration.values
    return _read(
        builder,
        declaration,
        "source",
        patchscopes,
        target=builder.of(declaration, "target"),
        of=values["of"],
        positions=values["positions"],
        into=values["into"],
        layer=values["layer"],
        progress=builder.progress(declaration.name),
    )


def _in_context(builder: Builder, declaration: Declaration) -> NodeScores:
    values = declaration.values
    return _read(
        builder, declaration, "data", in_context_learning, early=values["early"], late=values["late"]
    )


def _weights(method: Callable[[Model, Any], NodeScores]) -> Build:
    def build(builder: Builder, declaration: Declaration) -> NodeScores:
        model: Model = builder.of(declaration, "model")
        make = partial(method, model, declaration.values["of"])
        found = builder.kept(lambda: builder.key(declaration), stored.NODES, make)
        return with_fields(found, made={**found.made, "model": model.name})

    return build


READINGS: Mapping[str, Build] = {
    "attention_statistics": _statistics,
    "logit_attribution": _attribution,
    "logit_lens": _lens,
    "patchscopes": _patchscopes,
    "in_context_learning": _in_context,
    "weight_statistics": _weights(weight_statistics),
    "composition": _weights(composition),
}
