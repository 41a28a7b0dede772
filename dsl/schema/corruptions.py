"""Corruptions."""

from __future__ import annotations

from nncirc.dsl.keytypes import Many, Word
from nncirc.dsl.schema.entries import Implementation, Key, one

CORRUPTIONS = {
    "replace": Implementation(
        "The same prompts with slots filled by other slots: `S.2 -> C`; without a number every occurrence.",
        {"data": Key(one("dataset"), "a `template` dataset", required=True)},
        extra="replacements",
    ),
    "counterpart": Implementation(
        "The other column of a paired dataset.",
        {"data": Key(one("dataset"), "a dataset with corrupted prompts (`prompts`, `file`)", required=True)},
    ),
    "zero": Implementation(
        "Activations are replaced by zero.",
        {"data": Key(one("dataset"), "the prompts of the clean run", required=True)},
    ),
    "mean": Implementation(
        "Activations are replaced by their mean.",
        {
            "data": Key(one("dataset"), "the prompts of the clean run", required=True),
            "over": Key(
                Many(Word(("prompts", "positions"))),
                "what is averaged over; `[prompts]` keeps a mean for each position and needs equal lengths",
                default=("prompts", "positions"),
            ),
            "source": Key(one("dataset"), "the prompts whose mean is taken; absent: `data`"),
        },
    ),
}
