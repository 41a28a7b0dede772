"""Corruptions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nncirc.dsl.check.program import Declaration
from nncirc.engine.blocks.block import Block
from nncirc.engine.data.corrupt import counterpart, replace, shuffle
from nncirc.engine.data.examples import Dataset
from nncirc.engine.metrics.plugins import own_corruption
from nncirc.engine.program.build import Builder
from nncirc.engine.runs.corruptions import Corruption, Gaussian, Mean, Resample, Zero


def _replace(builder: Builder, declaration: Declaration) -> Resample:
    replacements = {(r.slot, r.occurrence): r.by for r in declaration.replacements}
    return Resample(replace(builder.of(declaration, "data"), replacements), "replace")


def _counterpart(builder: Builder, declaration: Declaration) -> Resample:
    return Resample(counterpart(builder.of(declaration, "data")), "counterpart")


def _shuffle(builder: Builder, declaration: Declaration) -> Resample:
    seed: Any = declaration.values["seed"]
    return Resample(shuffle(builder.of(declaration, "data"), seed=seed), "shuffle")


def _gaussian(_: Builder, declaration: Declaration) -> Gaussian:
    values: Any = declaration.values
    return Gaussian(values["at"], values["scale"], values["samples"], values["seed"])


def _mean(builder: Builder, declaration: Declaration) -> Mean:
    over: Any = declaration.values["over"]
    return Mean(over, builder.of(declaration, "source"))


def _own(builder: Builder, declaration: Declaration) -> Corruption:
    name: Any = declaration.values["function"]
    dataset: Dataset = builder.of(declaration, "data")
    return own_corruption(
        name, dataset, Path(declaration.span.source.name).parent, allowed=builder.allow_code
    )


BLOCKS = {
    ("corruption", "replace"): Block(_replace),
    ("corruption", "counterpart"): Block(_counterpart),
    ("corruption", "shuffle"): Block(_shuffle),
    ("corruption", "gaussian"): Block(_gaussian),
    ("corruption", "zero"): Block(lambda *_: Zero()),
    ("corruption", "mean"): Block(_mean),
    ("corruption", "python"): Block(_own),
}
