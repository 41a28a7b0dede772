"""What attribution and patching give back: numbers by edge, or by node and position."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal, Self, TypeAlias

from nncirc.circuits.arguments import public, require_lengths
from nncirc.circuits.circuit import Circuit, prune
from nncirc.circuits.errors import GraphError, MethodError
from nncirc.circuits.graph import Graph
from nncirc.circuits.intervals import Estimate
from nncirc.circuits.made import Made
from nncirc.circuits.names import Edge
from nncirc.circuits.rounding import decimals, ranked_as, rounded
from nncirc.engine.evaluation.bootstrap import Estimates
from nncirc.engine.metrics.finite import require_finite

Rank: TypeAlias = Literal["absolute", "signed"]


@public
@dataclass(frozen=True, slots=True)
class EdgeScores:
    """A score for every edge of a graph.

    Edges are ranked, and compared with a threshold, by their own significant digits (`ranked_as`): those
    that differ only by rounding are equal, whatever the batch and the number of threads. So a metric times a
    factor has the same circuits.

    Attributes:
        graph: the graph.
        values: by edge, in the order of the graph; not rounded.
        made: how they were made; JSON values only.
        digits: how many significant digits of the largest score are stable between runs.

    Raises:
        MethodError: C562, a score is not finite.
    """

    graph: Graph
    values: Mapping[Edge, float]
    made: Made
    digits: int = 9

    def __post_init__(self) -> None:
        require_finite(self.values, self.made)

    @classmethod
    @public
    def of(cls, graph: Graph, table: Sequence[Sequence[float]], made: Made, digits: int) -> Self:
        """From a table: a row for each receiver, in it a score for each of the senders it can read."""
        require_lengths("rows of `table`", [table], len(graph.receivers), "receiver")
        rows = (row[: len(graph.heard(receiver))] for receiver, row in enumerate(table))
        values = dict(zip(graph.edges(), chain.from_iterable(rows), strict=True))
        return cls(graph, values, made, digits)

    @public
    def __getitem__(self, edge: tuple[str, str]) -> float:
        if edge not in self.values:
            raise GraphError("C454", f"the graph has no edge {edge[0]} -> {edge[1]}", hint=str(self.graph))
        return self.values[Edge(*edge)]

    @property
    def decimals(self) -> int:
        """Decimals to which scores are written: the largest then has `digits` significant digits."""
        return decimals(self.values.values(), self.digits)

    def written(self) -> dict[Edge, float]:
        """The scores as files have them, and circuits that are made of them."""
        places = self.decimals
        return {edge: rounded(score, places) for edge, score in self.values.items()}

    @public
    def compared(self, rank: Rank = "absolute") -> dict[Edge, float]:
        """By edge the number by which it is ranked and compared with a threshold.

        Raises:
            MethodError: C545, no such rank.
        """
        if rank not in ("absolute", "signed"):
            raise MethodError("C545", f"unknown rank {rank!r}", hint="expected absolute or signed")
        key, places = abs if rank == "absolute" else float, self.decimals
        return {edge: key(ranked_as(score, self.digits, places)) for edge, score in self.values.items()}

    @public
    def ranked(self, rank: Rank = "absolute") -> list[Edge]:
        """The edges, highest score first; equal scores in the order of the graph."""
        numbers = self.compared(rank)
        return sorted(numbers, key=lambda edge: -numbers[edge])

    @public
    def threshold(self, threshold: float, *, rank: Rank = "absolute") -> Circuit:
        """The edges whose score is at least `threshold`, pruned to paths from embed to logits.

        Raises:
            MethodError: C531, the threshold is not finite; C545, no such rank.
        """
        if not math.isfinite(threshold):
            raise MethodError(
                "C531", f"`threshold` must be finite, got {threshold}", hint="write a finite number"
            )
        kept = [edge for edge, number in self.compared(rank).items() if number >= threshold]
        made: Made = {"method": "threshold", "threshold": threshold, "rank": rank, "scores": dict(self.made)}
        return self._circuit(kept, made)

    @public
    def top(self, edges: int, *, rank: Rank = "absolute") -> Circuit:
        """The highest `edges` edges, pruned to paths from embed to logits; so it can have fewer.

        Raises:
            MethodError: C543, it is not a whole number of at least 0; C545, no such rank.
        """
        if type(edges) is not int or edges < 0:
            problem = f"`edges` must be a whole number of at least 0, got {edges!r}"
            raise MethodError("C543", problem, hint="write edges = 100")
        made: Made = {"method": "top", "edges": edges, "rank": rank, "scores": dict(self.made)}
        return self._circuit(self.ranked(rank)[:edges], made)

    def _circuit(self, edges: Iterable[Edge], made: Made) -> Circuit:
        places = self.decimals
        scores = {edge: rounded(self.values[edge], places) for edge in edges}
        return prune(Circuit(self.graph, scores, made=made))


def some(names: Sequence[str]) -> str:
    """The first few of many names."""
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")


@public
@dataclass(frozen=True, slots=True)
class NodeScores:
    """A score for every node, or for every node at every position.

    Attributes:
        nodes: the nodes, in the order of the computation.
        positions: names of the positions; () if each node has one score for all.
        values: a row for each node, in it a value for each position (or one).
        made: how they were made; JSON values only. Of means over prompts `made["intervals"]` says how their
            intervals were drawn, or why there are none; `made["no intervals"]`, which columns have none.
        low: the lower ends of the values' intervals over prompts, −∞ where the prompts do not bound it and in
            columns without intervals; None where there are none at all: of one prompt, and of what is no
            mean over prompts.
        high: the upper ends, ∞ in the same places.
    """

    nodes: tuple[str, ...]
    positions: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    made: Made
    low: tuple[tuple[float, ...], ...] | None = None
    high: tuple[tuple[float, ...], ...] | None = None

    def __post_init__(self) -> None:
        for name, table in [("values", self.values), *self.ends().items()]:
            _require_shape(name, table, self.nodes, self.positions)

    @classmethod
    @public
    def of(
        cls,
        nodes: Sequence[str],
        positions: Sequence[str],
        table: Sequence[Sequence[float]],
        made: Made,
        digits: int,
    ) -> Self:
        """From a table by node and position, to the decimal at which its largest has so many digits.

        Raises:
            MethodError: C562, a number is not finite.
        """
        _require_shape("table", table, nodes, positions)
        _require_finite(nodes, positions, table, made)
        places = decimals((score for row in table for score in row), digits)
        return cls(tuple(nodes), tuple(positions), _rounded(table, places), made)

    @classmethod
    @public
    def estimated(
        cls,
        nodes: Sequence[str],
        positions: Sequence[str],
        found: Estimates,
        made: Made,
        digits: int,
    ) -> Self:
        """From means over prompts by node and position, with their intervals; digits, errors as of `of`."""
        _require_shape("found", found.value.tolist(), nodes, positions)
        _require_finite(nodes, positions, found.value.tolist(), made)
        facts, places = found.facts, found.decimals(digits)
        if found.prompts > 1 and made.get("normalized"):
            facts = {**facts, "normalization": "resampled with the values"}
        value, low, high = (_rounded(each.tolist(), places) for each in (found.value, found.low, found.high))
        ends = (low, high) if found.prompts > 1 else ()
        return cls(tuple(nodes), tuple(positions), value, {**made, "intervals": facts}, *ends)

    @public
    def __getitem__(self, node: str) -> tuple[float, ...]:
        if node not in self.nodes:
            raise GraphError("C457", f"unknown row {node}", hint=f"the rows are {some(self.nodes)}")
        return self.values[self.nodes.index(node)]

    @public
    def value(self, node: str, column: str | None = None) -> float:
        """The score of a node in a column; None for the only one.

        Raises:
            GraphError: C457, there is no such node.
            MethodError: C579, there is no such column, or there are several.
        """
        return self[node][self._column(node, column)]

    @public
    def estimate(self, node: str, column: str | None = None) -> Estimate | None:
        """The score of a node in a column with its interval over prompts; None if it has none.

        One prompt bounds nothing: then both ends are infinite. Errors as of `value`.
        """
        value, at = self.value(node, column), self._column(node, column)
        if self.positions and self.positions[at] in self.made.get("no intervals", ()):
            return None
        if ends := self.ends():
            row = self.nodes.index(node)
            return Estimate(value, ends["low"][row][at], ends["high"][row][at], self.made.get("prompts"))
        return Estimate(value, -math.inf, math.inf, 1) if "intervals" in self.made else None

    def ends(self) -> dict[str, tuple[tuple[float, ...], ...]]:
        """The tables of `low` and `high`; empty where there are no intervals."""
        return {} if self.low is None or self.high is None else {"low": self.low, "high": self.high}

    def _column(self, node: str, column: str | None) -> int:
        names = self.positions or ("all positions",)
        if column is None and len(names) == 1:
            return 0
        if column not in names:
            asked = "name one of their columns" if column is None else f"unknown column {column}"
            raise MethodError("C579", f"scores of {node}: {asked}", hint=f"the columns are {some(names)}")
        return names.index(column)


def _require_shape(
    name: str, table: Sequence[Sequence[float]], nodes: Sequence[str], positions: Sequence[str]
) -> None:
    require_lengths(f"rows of `{name}`", [table], len(nodes), "node")
    require_lengths(f"numbers in a row of `{name}`", table, len(positions) or 1, "position")


def _require_finite(
    nodes: Sequence[str], positions: Sequence[str], table: Sequence[Sequence[float]], made: Made
) -> None:
    columns = [f" at {name}" for name in positions] or [""]
    cells = {
        node + column: score
        for node, row in zip(nodes, table, strict=True)
        for column, score in zip(columns, row, strict=True)
    }
    require_finite(cells, made)


def _rounded(table: Sequence[Sequence[float]], places: int) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(rounded(score, places) for score in row) for row in table)
