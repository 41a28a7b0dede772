"""The rows and columns that scores of nodes will have, as far as they are known before they are computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from nncirc.circuits.errors import GraphError
from nncirc.circuits.graph import Graph, Shape
from nncirc.circuits.names import is_node
from nncirc.circuits.reference import expand
from nncirc.circuits.words import did_you_mean
from nncirc.dsl.check.program import Value

ONLY = "all positions"
"""The column of scores that have one number for each node."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows and columns of scores; None where they are not known.

    Attributes:
        name: of the scores.
        rows: names of the rows.
        columns: names of the columns.
        graph: where the rows are nodes of a graph, that graph without its positions.
        by: the key of the block that says what the columns are.
        by_token: whether the columns are the numbers of tokens, so many or not known how many.
    """

    name: str
    rows: Sequence[str] | None
    columns: Sequence[str] | None
    graph: Graph | None = None
    by: str = "positions"
    by_token: bool = False

    def wrong_row(self, node: str) -> tuple[str, str] | None:
        """What is wrong with the row of `score(scores, node, column)`, and what to do; None if nothing."""
        if self.rows is None or node in self.rows:
            return None
        return f"unknown row `{node}` in `{self.name}`", self._other_row(self.rows, node)

    def _other_row(self, rows: Sequence[str], node: str) -> str:
        whole, _, position = node.partition("@")
        if position and whole in rows:
            return f'positions are its columns; write `score({self.name}, "{whole}", "{position}")`'
        if (bare := whole.rpartition(".")[0]) in rows:
            return f'rows are whole nodes; write `"{bare}"`'
        if not is_node(node):
            return did_you_mean(node, rows, shown='`"{}"`') or _listed("rows", rows)
        try:
            if self.graph is not None:
                expand(self.graph, node)
        except GraphError as error:
            return error.hint or _listed("rows", rows)
        return _listed("rows", rows)

    def wrong_column(self, node: str, column: str | None) -> tuple[str, str] | None:
        """The same of the column."""
        if self.by_token and not (column or "").isdecimal():
            asked = f"has no column `{column}`" if column else "has several columns; the claim must name one"
            return f"`{self.name}` {asked}", "its columns are token indices: 0, 1, …"
        if self.columns is None or column in self.columns or (column is None and len(self.columns) == 1):
            return None
        if column is None:
            likely = "end" if "end" in self.columns else self.columns[-1]
            example = f'`score({self.name}, "{node}", "{likely}")`'
            return (
                f"`{self.name}` has several columns; the claim must name one",
                f"write {example}; {_listed('columns', self.columns)}",
            )
        if tuple(self.columns) == (ONLY,):
            advice = "remove the column"
            if self.by == "positions":
                advice += f", or write `positions = [{column}]` in `{self.name}`"
            return f"unknown column `{column}`: `{self.name}` has one number for each row", advice
        near = None if is_node(column) else did_you_mean(column, self.columns, shown='`"{}"`')
        return f"unknown column `{column}` in `{self.name}`", near or _listed("columns", self.columns)


def _listed(what: str, names: Sequence[str]) -> str:
    if len(names) <= 12:
        return f"its {what} are {', '.join(names)}"
    return f"its {what} are {', '.join(names[:5])}, … {names[-1]}"


@dataclass(frozen=True, slots=True)
class Asked:
    """A block of scores whose table is asked for.

    Attributes:
        name: what messages call it.
        values: of the block; a key that is not there is not known.
        graph: of the block, if it has one and it is known.
        shape: of the model, if it is known.
        length: how many tokens `positions = all` stands for, if that is known.
    """

    name: str
    values: Mapping[str, Value]
    graph: Graph | None
    shape: Shape | None
    length: int | None = None

    def by_position(self, rows: Sequence[str] | None = None) -> Table:
        """A table with a column for each of the block's `positions`."""
        positions, columns = self.values.get("positions"), None
        if positions == "all":
            # Read alone, an answer that is the next token leaves the last one out: then more than asked for.
            columns = None if self.length is None else tuple(map(str, range(self.length)))
        elif "positions" in self.values:
            columns = (ONLY,) if positions is None else names(positions)
        return Table(self.name, rows, columns, self.whole, by_token=positions == "all")

    def by_statistic(self) -> Table:
        """A table with a row for each head, and a column for each of the block's statistics."""
        return Table(self.name, self.of_shape(heads), names(self.values.get("of")), by="of")

    def of_shape(self, rows: Callable[[Shape], Sequence[str] | None]) -> Sequence[str] | None:
        """Rows that the model's shape says."""
        return None if self.shape is None else rows(self.shape)

    def of_graph(self, rows: Callable[[Graph], Sequence[str]]) -> Sequence[str] | None:
        """Rows that the graph says; None where something is wrong, which is said where it stands."""
        try:
            return None if self.graph is None else rows(self.graph)
        except (GraphError, KeyError, ValueError):
            return None

    @property
    def whole(self) -> Graph | None:
        """The graph without its positions."""
        return None if self.graph is None else self.graph.base


def heads(shape: Shape) -> list[str]:
    """All heads of a model."""
    return [f"L{layer}H{head}" for layer in range(shape.n_layers) for head in range(shape.n_heads)]


def names(value: object) -> tuple[str, ...] | None:
    """The names in a list; None for a value that is not a list."""
    return tuple(map(str, value)) if isinstance(value, tuple) else None
