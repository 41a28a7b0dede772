"""Activation patching."""

from __future__ import annotations

from nncirc.dsl.blocks.keys import AT_POSITIONS, DIRECTIONS, PATCHED
from nncirc.dsl.blocks.patched import BY_POSITION, check_denoised, check_method, check_whole
from nncirc.dsl.check.declared import Key, Meaning, Scores
from nncirc.dsl.check.scope import Draft


def _check(meaning: Meaning, draft: Draft) -> None:
    check_method(meaning, draft)
    check_whole(meaning, draft, BY_POSITION)
    check_denoised(meaning, draft, "direction", "denoise", "noise")


SCORES = {
    "activation_patching": Scores(
        "Patches one node at a time with its value from the other run.",
        {
            **PATCHED,
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
        table=lambda asked: asked.by_position(asked.of_graph(lambda graph: graph.senders)),
        effects=("nodes",),
        is_metric=True,
    )
}
