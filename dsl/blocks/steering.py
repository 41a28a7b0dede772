"""Steering."""

from __future__ import annotations

from collections.abc import Sequence

from nncirc.circuits.graph import Graph
from nncirc.circuits.reference import expand
from nncirc.dsl.blocks.keys import FACTORS, NODES, PATCHED, RUN, STEERED
from nncirc.dsl.blocks.patched import check_begins, check_method, check_nodes, check_writes
from nncirc.dsl.check.declared import Key, Meaning, Scores
from nncirc.dsl.check.scope import Draft
from nncirc.dsl.check.tables import Asked, Table, names
from nncirc.dsl.check.types import Boolean


def _check(meaning: Meaning, draft: Draft) -> None:
    check_method(meaning, draft)
    if not check_nodes(meaning, draft, "nodes"):
        return
    check_begins(meaning, draft)
    meaning.exactly_one(draft, ("scale", "shift"), "C293")
    check_writes(meaning, draft, "nodes")


def by_factor(asked: Asked, rows: Sequence[str] | None, key: str = "scale") -> Table:
    """A table with a column for each factor of a key."""
    given = asked.values.get(key)
    columns = tuple(f"{factor:g}" for factor in given) if isinstance(given, tuple) else None
    return Table(asked.name, rows, columns, asked.whole, key)


def _table(asked: Asked) -> Table:
    def rows(graph: Graph) -> list[str]:
        chosen = {each for term in names(asked.values["nodes"]) or () for each in expand(graph, term)}
        return [sender for sender in graph.senders if sender in chosen]

    key = "scale" if asked.values.get("scale") is not None else "shift"
    if asked.values.get("together"):
        nodes = names(asked.values.get("nodes"))
        return by_factor(asked, None if nodes is None else [" + ".join(nodes)], key)
    return by_factor(asked, asked.of_graph(rows), key)


SCORES = {
    "steering": Scores(
        "The metric with a node's output scaled, or shifted by a mean difference. One row per node, one "
        "column per factor.",
        {
            **PATCHED,
            "nodes": Key(NODES, "the nodes, each steered separately", required=True),
            "together": Key(Boolean(), "steer all nodes at once: one row", default=False),
            "scale": Key(FACTORS, "factors for the output; 0 removes it, 1 leaves it unchanged"),
            "shift": Key(
                FACTORS,
                "factors for the mean difference of the output, clean minus corrupted, which is added; "
                "write this or `scale`",
            ),
            "into": Key(RUN, "the run that is steered", default="clean"),
            "at": Key(STEERED, "where it is steered; if omitted, at every token"),
        },
        source="Rimsky et al. 2024",
        check=_check,
        table=_table,
    )
}
