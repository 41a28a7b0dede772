"""Metrics: each by its name, and what is computed of several."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from nncirc.dsl.blocks.metrics import METRICS
from nncirc.dsl.check.program import Declaration, Ref
from nncirc.engine.blocks.block import Block
from nncirc.engine.metrics.expressions import combined, directed
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.metrics.plugins import own_measure
from nncirc.engine.program.build import Builder


def _metric(_: Builder, declaration: Declaration) -> Metric:
    values: Any = declaration.values
    return Metric(declaration.implementation, values["at"], values["normalize"])


def _as_said(metric: Metric, values: Any) -> Metric:
    metric = directed(metric, values["better"]) if values["better"] else metric
    return replace(metric, normalize=values["normalize"])


def _expression(builder: Builder, declaration: Declaration) -> Metric:
    values: Any = declaration.values
    stack: list[Any] = []
    for item in values["of"]:
        if isinstance(item, str):
            right = stack.pop()
            stack.append(combined(item, stack.pop(), right))  # type: ignore[arg-type]
        else:
            stack.append(builder.get(item.name) if isinstance(item, Ref) else item)
    metric = stack[0] if isinstance(stack[0], Metric) else combined("*", 1, stack[0])
    return _as_said(metric, values)


def _own(builder: Builder, declaration: Declaration) -> Metric:
    values: Any = declaration.values
    name = values["function"]
    measure = own_measure(name, Path(declaration.span.source.name).parent, allowed=builder.allow_code)
    metric = Metric(name, values["at"], own=measure)
    return _as_said(metric, values)


BLOCKS = {
    **{("metric", name): Block(_metric) for name in METRICS},
    ("metric", "expression"): Block(_expression),
    ("metric", "python"): Block(_own),
}
