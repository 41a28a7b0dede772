"""Scores of interventions: causal tracing, path patching, steering."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from nncirc.circuits.intervals import Resampling
from nncirc.circuits.names import Node
from nncirc.dsl.check.program import Declaration
from nncirc.engine.blocks.common import scored
from nncirc.engine.blocks.inputs import Build
from nncirc.engine.methods.causal_tracing import causal_tracing
from nncirc.engine.methods.path_patching import path_patching
from nncirc.engine.methods.scores import NodeScores
from nncirc.engine.methods.steering import function_vector, steering
from nncirc.engine.program import stored

if TYPE_CHECKING:
    from nncirc.engine.program.build import Builder


def _tracing(builder: Builder, declaration: Declaration) -> NodeScores:
    values: Any = declaration.values
    options = {key: values[key] for key in ("direction", "of", "window", "sever", "positions")}
    how = Resampling(values["resamples"], values["level"], values["seed"])
    return _made(builder, declaration, causal_tracing, how=how, **options)


def _paths(builder: Builder, declaration: Declaration) -> NodeScores:
    return _made(
        builder,
        declaration,
        partial(path_patching, graph=builder.of(declaration, "graph")),
        direction=declaration.values["direction"],
        to=nodes_of(declaration.values["to"]),
        through=nodes_of(declaration.values["through"]),
        positions=declaration.values["positions"],
    )


def _steering(builder: Builder, declaration: Declaration) -> NodeScores:
    values: Any = declaration.values
    return _made(
        builder,
        declaration,
        partial(steering, graph=builder.of(declaration, "graph")),
        nodes=nodes_of(values["nodes"]),
        scale=values["scale"],
        shift=values["shift"],
        together=values["together"],
        into=values["into"],
        at=values["at"],
    )


def _function_vector(builder: Builder, declaration: Declaration) -> NodeScores:
    values: Any = declaration.values
    return _made(
        builder,
        declaration,
        partial(function_vector, graph=builder.of(declaration, "graph")),
        heads=nodes_of(values["heads"]),
        scale=values["scale"],
        source=builder.of(declaration, "source"),
        into=values["into"],
        at=values["at"],
    )


def _made(
    builder: Builder, declaration: Declaration, method: Callable[..., NodeScores], **options: Any
) -> NodeScores:
    """A method's result, from the store or else made."""

    def make() -> NodeScores:
        return method(
            builder.contrast_of(declaration),
            metric=builder.of(declaration, "metric"),
            progress=builder.progress(declaration.name),
            **options,
        )

    found: NodeScores = scored(builder, declaration, stored.NODES, make)
    return found


def nodes_of(value: Any) -> Any:
    """Nodes by name; a word such as `all` stays as it is."""
    return [str(each) for each in value if isinstance(each, Node)] if isinstance(value, tuple) else value


INTERVENTIONS: Mapping[str, Build] = {
    "causal_tracing": _tracing,
    "path_patching": _paths,
    "steering": _steering,
    "function_vector": _function_vector,
}
