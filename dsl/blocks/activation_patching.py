"""Activation patching."""

from __future__ import annotations

from nncirc.dsl.blocks.keys import AT_POSITIONS, CORRUPTION, DIRECTIONS, GRAPH, METRIC
from nncirc.dsl.blocks.patched import BY_POSITION, check_denoised, check_method, check_whole
from nncirc.dsl.check.declared import Key, Meaning, Scores
from nncirc.dsl.check.scope import Draft
from nncirc.dsl.check.tables import Asked, Table


def _check(meaning: Meaning, draft: Draft) -> None:
    check_method(meaning, draft)
    check_whole(meaning, draft, BY_POSITION)
    check_denoised(meaning, draft, "direction", "denoise", "noise")


def _table(asked: Asked) -> Table:
    return asked.by_position(asked.of_graph(lambda graph: graph.senders))


SCORES = {
    "activation_patching": Scores(
        "Patches one node at a time with its value from the other run.",
        {
            "graph": GRAPH,
            "corruption": CORRUPTION,
            "metric": METRIC,
            "direction": Key(
                DIRECTIONS,
                "`denoise`: clean values into the corrupted run; `noise`: the reverse",
                default="denoise",
            ),
            "positions": Key(
                AT_POSITIONS,
                "patch at each of these separately; `all`: at every token; if omitted, the whole "
                "sequence at once",
            ),
        },
        source="Meng et al. 2022; Zhang & Nanda 2024",
        check=_check,
        table=_table,
        effects=("nodes",),
        is_metric=True,
    )
}
