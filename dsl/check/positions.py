"""Whether graphs that are split by position fit the prompts that they are used with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nncirc.circuits.names import OTHER, Position
from nncirc.dsl.check.datasets import check_positions
from nncirc.dsl.check.scope import Draft
from nncirc.dsl.text.diagnostics import Label

if TYPE_CHECKING:
    from nncirc.dsl.check.meaning import Meaning

__all__ = ["check_graph_positions", "check_split"]


def check_split(meaning: Meaning, graph: Draft) -> None:
    """`all` counts the tokens of some prompts; what else is said of prompts is said for nothing."""
    is_all = graph.values.get("positions") == "all"
    given = [key for key in ("data", "length") if key in graph.spans]
    if is_all and not given:
        meaning.scope.report(
            "C260",
            "`positions = all` splits nodes by token, and nothing says how many tokens there are",
            graph.where("positions"),
            help="add `data = …`, a dataset whose prompts have one length, or `length = …`",
        )
    elif given and not is_all:
        meaning.scope.report(
            "C260",
            f"`{given[0]}` says how many tokens `positions = all` stands for, and has no other use here",
            graph.where(given[0]),
            help="remove it, or write `positions = all`",
        )
    elif len(given) > 1:
        meaning.scope.report(
            "C260",
            "`data` and `length` both say how many tokens there are",
            graph.where("length"),
            labels=(Label(graph.where("data"), "the other one"),),
            help="remove one of them",
        )


def check_graph_positions(meaning: Meaning, draft: Draft) -> None:
    """A method's prompts have the positions by which its graph is split."""
    graph, data = meaning.get(draft, "graph"), meaning.data_of(draft)
    if graph is None or data is None:
        return
    positions = graph.values.get("positions")
    if isinstance(positions, tuple):
        listed = tuple(each for each in positions if isinstance(each, Position) and each.name != OTHER)
        label = Label(data.place, f"the prompts of `{draft.name}`")
        check_positions(meaning.scope, data, listed, graph, "positions", label)
