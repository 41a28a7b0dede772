"""What only programs make: curves and comparisons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Curve:
    """Faithfulness of circuits of growing size.

    Attributes:
        points: for each number of edges asked for: that number, the edges left after pruning, faithfulness.
        made: how it was made; JSON values only.
    """

    points: tuple[tuple[int, int, float], ...]
    made: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """A comparison of circuits: a header and rows."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str | int | float, ...], ...]
