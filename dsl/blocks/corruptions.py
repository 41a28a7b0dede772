"""Corruptions."""

from __future__ import annotations

from nncirc.dsl.blocks.entries import FUNCTION, SEED, Implementation, Key, one
from nncirc.dsl.check.types import Many, Number, PositionType, Word

_CLEAN = Key(one("dataset"), "the prompts of the clean run", required=True)

CORRUPTIONS = {
    "replace": Implementation(
        "The same prompts with slots filled by other slots: `S.2 -> C`; without a number every occurrence.",
        {"data": Key(one("dataset"), "a `template` or `task` dataset", required=True)},
        extra="replacements",
        run=True,
    ),
    "counterpart": Implementation(
        "The other column of a paired dataset.",
        {
            "data": Key(
                one("dataset"), "a dataset with corrupted prompts (`prompts`, `file`, `task`)", required=True
            )
        },
        run=True,
    ),
    "shuffle": Implementation(
        "Each prompt is corrupted by another one of as many tokens, with its slots at the same positions; "
        "answers stay those of the clean prompt.",
        {"data": _CLEAN, "seed": SEED},
        run=True,
    ),
    "gaussian": Implementation(
        "Noise on the embeddings of some positions. A draw depends on the seed and the prompt's number.",
        {
            "data": _CLEAN,
            "at": Key(Many(PositionType(), single=True), "where the noise is", required=True),
            "scale": Key(
                Number(low=0.001),
                "standard deviation of the noise",
                default=3,
                unit="standard deviations of the embedding matrix",
            ),
            "samples": Key(
                Number(integer=True, low=1),
                "how often each prompt gets noise of its own; what is measured of it is the mean",
                default=1,
            ),
            "seed": SEED,
        },
        source="Meng et al. 2022",
        run=True,
    ),
    "python": Implementation(
        "A function of your own, of the dataset: it gives each prompt's corrupted text, or tokens, or a "
        "corruption. An entry point `nncirc.corruptions` of an installed package likewise. Runs with "
        "`--allow-code` only, and is stored as a metric of your own is.",
        {"data": _CLEAN, "function": FUNCTION},
        run=True,
    ),
    "zero": Implementation("Activations are replaced by zero.", {"data": _CLEAN}),
    "mean": Implementation(
        "Activations are replaced by their mean.",
        {
            "data": _CLEAN,
            "over": Key(
                Many(Word(("prompts", "positions", "slots"))),
                "what is averaged over; `[prompts]` keeps a mean for each position and needs equal lengths, "
                "`[prompts, slots]` one for each occurrence of a slot and each token of the text between",
                default=("prompts", "positions"),
            ),
            "source": Key(one("dataset"), "the prompts whose mean is taken; absent: `data`"),
        },
    ),
}
