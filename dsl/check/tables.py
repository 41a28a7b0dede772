"""The rows and columns that scores of nodes will have, as far as they are known before they are computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nncirc.circuits.errors import GraphError
from nncirc.circuits.graph import Graph, Shape, stages
from nncirc.circuits.names import Node
from nncirc.circuits.reference import entered, expand
from nncirc.dsl.check.program import Value
from nncirc.dsl.text.diagnostics import suggest

__all__ = ["ONLY", "Table", "has_intervals", "table_of"]

ONLY = "all positions"
"""The column of scores that have one number for each node."""

_OF_WEIGHTS = ("attention_statistics", "weight_statistics", "composition")


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
        return f"`{self.name}` has no row `{node}`", self._other_row(self.rows, node)

    def _other_row(self, rows: Sequence[str], node: str) -> str:
        whole, _, position = node.partition("@")
        if position and whole in rows:
            return f'positions are its columns: write `score({self.name}, "{whole}", "{position}")`'
        if (bare := whole.rpartition(".")[0]) in rows:
            return f'rows are whole nodes: write `"{bare}"`'
        if not _is_node(node):
            near = suggest(node, rows)
            return f'did you mean `"{near}"`?' if near else _listed("rows", rows)
        try:
            if self.graph is not None:
                expand(self.graph, node)
        except GraphError as error:
            return error.hint or _listed("rows", rows)
        return _listed("rows", rows)

    def wrong_column(self, node: str, column: str | None) -> tuple[str, str] | None:
        """The same of the column."""
        if self.by_token and not (column or "").isdecimal():
            asked = f"has no column `{column}`" if column else "has several columns, and it is not said which"
            return f"`{self.name}` {asked}", "its columns are the numbers of tokens: 0, 1, …"
        if self.columns is None or column in self.columns or (column is None and len(self.columns) == 1):
            return None
        if column is None:
            likely = "end" if "end" in self.columns else self.columns[-1]
            example = f'`score({self.name}, "{node}", "{likely}")`'
            return (
                f"`{self.name}` has several columns, and it is not said which",
                f"write {example}; {_listed('columns', self.columns)}",
            )
        if tuple(self.columns) == (ONLY,):
            advice = "leave the column out"
            if self.by == "positions":
                advice += f", or write `positions = [{column}]` in `{self.name}`"
            return f"`{self.name}` has one number for each row, and no column `{column}`", advice
        near = None if _is_node(column) else suggest(column, self.columns)
        advice = f'did you mean `"{near}"`?' if near else _listed("columns", self.columns)
        return f"`{self.name}` has no column `{column}`", advice


def _is_node(name: str) -> bool:
    try:
        Node.parse(name)
    except GraphError:
        return False
    return True


def _listed(what: str, names: Sequence[str]) -> str:
    if len(names) <= 12:
        return f"its {what} are {', '.join(names)}"
    return f"its {what} are {', '.join(names[:5])}, … {names[-1]}"


def table_of(
    name: str,
    implementation: str,
    values: Mapping[str, Value],
    graph: Graph | None,
    shape: Shape | None,
    length: int | None = None,
) -> Table | None:
    """The table of a block of scores; None for scores of edges.

    Args:
        name: what messages call them.
        implementation: of the block.
        values: of the block; a key that is not there is not known.
        graph: of the block, if it has one and it is known.
        shape: of the model, if it is known.
        length: how many tokens `positions = all` stands for, if that is known.
    """
    if implementation == "attribution_patching" and values.get("by") == "edges":
        return None
    columns: Sequence[str] | None
    key = "positions"
    match implementation:
        case "attribution_patching":
            columns = None if graph is None else graph.positions or (ONLY,)
        case "attention_statistics" | "weight_statistics":
            key = "of"
            columns = _names(values.get("of"))
        case "composition":
            key, columns = "of", None if shape is None else _heads(shape)[: -shape.n_heads]
        case "in_context_learning":
            columns = ("early", "late", "score")
        case "steering" | "function_vector":
            key = "scale" if values.get("scale") is not None else "shift"
            given: Any = values.get(key)
            columns = None if given is None else tuple(f"{factor:g}" for factor in given)
        case _ if "positions" not in values:
            columns = None
        case _ if values["positions"] is None:
            columns = (ONLY,)
        case _ if values["positions"] == "all":
            # Read alone, an answer that is the next token leaves the last one out: then more than asked for.
            columns = None if length is None else tuple(map(str, range(length)))
        case _:
            columns = _names(values["positions"])
    rows = _rows(implementation, values, graph, shape)
    of_graph = None if implementation in _OF_WEIGHTS else graph
    if of_graph is not None:
        of_graph = of_graph.base
    by_token = key == "positions" and values.get("positions") == "all"
    return Table(name, rows, columns, of_graph, key, by_token)


def has_intervals(implementation: str, values: Mapping[str, Value], column: str | None) -> bool:
    """Whether a column of scores of nodes has intervals over prompts; numbers of weights have none.

    Args:
        implementation: of the block.
        values: of the block.
        column: which; None for the only one.
    """
    if implementation == "attention_statistics":
        only = (_names(values.get("of")) or ("",))[0]
        return (column or only) != "copying"
    return implementation not in ("attribution_patching", "weight_statistics", "composition")


def _rows(
    implementation: str, values: Mapping[str, Value], graph: Graph | None, shape: Shape | None
) -> Sequence[str] | None:
    match implementation:
        case "attention_statistics" | "weight_statistics" | "composition":
            return None if shape is None else _heads(shape)
        case "in_context_learning":
            return ("logits",)
        case "logit_lens":
            return None if shape is None else stages(shape)
        case "patchscopes":
            return None if shape is None else stages(shape, halves=False)
        case "function_vector":
            return None if shape is None else stages(shape, halves=False)[1:]
        case "causal_tracing":
            return None if shape is None else _restored(shape, values.get("of"))
        case "steering" if values.get("together"):
            nodes = _names(values.get("nodes"))
            return None if nodes is None else [" + ".join(nodes)]
    if graph is None:
        return None
    try:
        match implementation:
            case "attribution_patching" | "logit_attribution":
                return graph.base.senders
            case "path_patching":
                receivers = [each for term in _names(values["to"]) or () for each in entered(graph, term)]
                return graph.senders[: graph.reach[max(map(graph.receiver_index.__getitem__, receivers))]]
            case "steering":
                chosen = {each for term in _names(values["nodes"]) or () for each in expand(graph, term)}
                return [sender for sender in graph.senders if sender in chosen]
    except (GraphError, KeyError, ValueError):
        return None  # said where they stand
    return graph.senders


def _restored(shape: Shape, of: object) -> Sequence[str] | None:
    match of:
        case "states":
            return stages(shape, halves=False)[1:]
        case "mlps" if shape.mlps:
            return [f"MLP{layer}" for layer in range(shape.n_layers)]
        case "attention":
            return [f"L{layer}" for layer in range(shape.n_layers)]
    return None


def _heads(shape: Shape) -> list[str]:
    return [f"L{layer}H{head}" for layer in range(shape.n_layers) for head in range(shape.n_heads)]


def _names(value: object) -> tuple[str, ...] | None:
    return tuple(map(str, value)) if isinstance(value, tuple) else None
