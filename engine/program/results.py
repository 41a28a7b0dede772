"""What only programs make: curves and comparisons."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from nncirc.circuits.intervals import Estimate
from nncirc.circuits.made import Made

Cell: TypeAlias = str | int | float | None
"""One entry of a table; None for an end of an interval that the prompts do not bound."""

MOST_PRINTED = 24
"""A curve of more points is drawn and written, and only its areas are printed."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of a curve, and areas under it.

    Attributes:
        columns: of faithfulness: edges asked for, edges after pruning, faithfulness with the ends of its
            interval, at MIB's sizes the percentage of edges asked for. Of ROC: false and true positive rate,
            threshold.
        points: a row for each point.
        areas: `cpr` and `cmd`, at MIB's sizes; `auc` by steps and by lines.
        made: how it was made; JSON values only.
    """

    columns: tuple[str, ...]
    points: tuple[tuple[Cell, ...], ...]
    areas: Mapping[str, Estimate]
    made: Made

    def column(self, name: str) -> list[Any]:
        """The values of one column; of one that is not there none."""
        if name not in self.columns:
            return []
        return [point[self.columns.index(name)] for point in self.points]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a header, and how they were made; JSON values only.

    Attributes:
        columns: the header.
        rows: of a comparison a row for each circuit, or for each pair of circuits.
        made: how they were made.
        pairs: where the rows are of single circuits, what each has in common with each; None if that was not
            asked for.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    made: Made
    pairs: Table | None = None


def printed(name: str, result: Any) -> dict[str, Table]:
    """What is printed of a result: tables by what stands above them, or none."""
    if isinstance(result, Curve) and len(result.points) <= MOST_PRINTED:
        return {name: Table(result.columns, result.points, result.made)}
    if not isinstance(result, Table):
        return {}
    return {name: result} | ({f"{name}, each with each": result.pairs} if result.pairs else {})


def finite(value: float) -> float | None:
    """What JSON can hold: None for an end that the prompts do not bound."""
    return value if math.isfinite(value) else None


def areas(curve: Curve, *, ends: bool = True) -> list[str]:
    """The areas of a curve in words, such as `CPR 0.71 [0.66, 0.75]`.

    Without the ends of their intervals, a ROC curve has its area by steps only.
    """
    found = curve.areas.items() if ends else [each for each in curve.areas.items() if "lines" not in each[0]]
    return [f"{_AREAS[name]} {_shown(area) if ends else f'{area.value:.3g}'}" for name, area in found]


def _shown(estimate: Estimate) -> str:
    return f"{estimate.value:.3g} {estimate.interval(3)}".rstrip()


_AREAS = {"cpr": "CPR", "cmd": "CMD", "auc": "AUC", "auc by lines": "AUC by lines"}
