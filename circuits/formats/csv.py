"""Scores as CSV, for spreadsheets, pandas and R: one line per edge or node.

    sender,receiver,score
    embed,L0H0.q,0.125
    L0H0,logits,

An edge without a score has an empty cell. A table does not say of which model it is: to read it, the graph
is given. Scores are written as the shortest decimal that reads back as the same float.
"""

from __future__ import annotations

import csv
import io
import math
import os
import re

from nncirc.circuits.atomic import write_text
from nncirc.circuits.circuit import Circuit
from nncirc.circuits.errors import FileError, GraphError
from nncirc.circuits.formats.json_input import Value, read_utf8
from nncirc.circuits.graph import Graph
from nncirc.circuits.names import Edge
from nncirc.circuits.words import counted, visible

_COLUMNS = ("sender", "receiver", "score")
_NUMBER = re.compile(r"[-+]?[0-9]+(\.[0-9]+)?(e[-+]?[0-9]+)?")


def write_edges(circuit: Circuit, path: str | os.PathLike[str]) -> None:
    """Write the edges of a circuit with their scores, in the order of the computation.

    Raises:
        FileError: C605, the file cannot be written.
    """
    rows = [[*edge, "" if score is None else repr(score)] for edge, score in circuit.scores.items()]
    write_text(path, _csv([_COLUMNS, *rows]))


def read_edges(path: str | os.PathLike[str], graph: Graph) -> Circuit:
    """The circuit of the edges in a table; columns other than `sender`, `receiver` and `score` are ignored.

    The first line names the columns, of which `score` may be absent.

    Raises:
        FileError: C601, the file cannot be read; C633, it is not such a table; the message says which line.
    """
    name = os.fspath(path)
    text = read_utf8(path, lambda why: _no_table(name, why)).removeprefix("\ufeff")
    reader = csv.DictReader(io.StringIO(text, newline=""), restval="", strict=True)
    scores: dict[Edge, float | None] = {}
    try:
        columns = list(reader.fieldnames or ())
        for needed in _COLUMNS:
            if columns.count(needed) != 1 and (needed != "score" or needed in columns):
                raise _no_table(name, f"expected exactly one column {needed!r} in the first line")
        for row in reader:
            edge = Edge(row["sender"], row["receiver"])
            if edge in scores:
                raise _no_table(name, f"line {reader.line_num}: duplicate edge {edge}")
            try:
                graph.order(edge)
            except GraphError as error:
                raise _no_table(
                    name, f"line {reader.line_num}: {error.message}", hint=f"{error.hint}; {graph}"
                ) from error
            scores[edge] = _number(name, reader.line_num, row.get("score", ""))
    except csv.Error as error:
        raise _no_table(name, f"line {reader.reader.line_num}: {error}") from error
    return Circuit(graph, scores, made={"method": "read from a table"})


def write_nodes(scores: Value, path: str | os.PathLike[str]) -> None:
    """Write the scores of nodes that a run has written (`sweep.json`) as a table: a line for each node.

    The columns are `node` and the positions, or `node` and `score` if each node has one for all positions.
    If the file has intervals over prompts, their ends follow each column: `S.2`, `S.2 low`, `S.2 high`. The
    cell of an unbounded end is empty.

    Raises:
        FileError: C603, the JSON has no scores of nodes; C605, the table cannot be written.
    """
    members = scores.open_members(["positions", "scores"])
    ends = ["low", "high"] if {"low", "high"} & members.keys() else []
    scores.open_members(ends)
    positions = [_column(each) for each in members["positions"].elements()] or ["score"]
    columns = [name for each in positions for name in (each, *(f"{each} {end}" for end in ends))]
    nodes, values = _numbers(members["scores"], len(positions))
    tables = [values]
    for end in ends:
        names, values = _numbers(members[end], len(positions), unbounded=True)
        if names != nodes:
            raise members[end].wrong("expected the same rows as in `scores`")
        tables.append(values)
    rows = [
        [node, *(cell for column in zip(*row, strict=True) for cell in column)]
        for node, *row in zip(nodes, *tables, strict=True)
    ]
    write_text(path, _csv([["node", *columns], *rows]))


def _numbers(table: Value, count: int, *, unbounded: bool = False) -> tuple[list[str], list[list[str]]]:
    """The nodes of a table and the numbers of each; nothing for null, where it is allowed."""
    nodes, numbers = [], []
    for row in table.elements():
        if len(row.elements()) != count + 1:
            found = counted(len(row.elements()), "cell")
            raise row.wrong(f"expected a node and {counted(count, 'score')}, found {found}")
        node, *cells = row.elements()
        nodes.append(_plain(node))
        numbers.append(["" if unbounded and each.value is None else repr(each.number()) for each in cells])
    return nodes, numbers


def _plain(value: Value) -> str:
    """Text that no spreadsheet takes for a formula, which it would compute."""
    text = value.text()
    if text[:1] in ("=", "+", "-", "@", "\t", "\r", "\n"):
        raise value.wrong(
            f"expected a name, found {visible(text, 60)!r}, which a spreadsheet would run as a formula"
        )
    return text


def _column(value: Value) -> str:
    """The name of a column: of steering it is a scale, and of a number nothing is computed."""
    return value.text() if _NUMBER.fullmatch(value.text()) else _plain(value)


def _csv(rows: object) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)  # type: ignore[arg-type]
    return text.getvalue()


def _number(name: str, line: int, text: str) -> float | None:
    if not text.strip():
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise _no_table(name, f"line {line}: expected a finite number, found {text[:40]!r}")
    return number


def _no_table(name: str, why: str, hint: str | None = None) -> FileError:
    return FileError(
        "C633",
        f"{name!r} is not a table of edges: {why}",
        hint=hint or f"begin the table with the line {','.join(_COLUMNS)}",
    )
