"""Corruptions."""

from __future__ import annotations

from dataclasses import dataclass

from nncirc.dsl.blocks.datasets import DATASETS, check_positions, check_replace, has_column, size_of
from nncirc.dsl.blocks.keys import FUNCTION, SEED, check_function, one
from nncirc.dsl.check.declared import Implementation, Key, Meaning
from nncirc.dsl.check.scope import Draft
from nncirc.dsl.check.types import Many, Number, PositionType, Word
from nncirc.dsl.text.diagnostics import Label

_CLEAN = Key(one("dataset"), "the prompts of the clean run", required=True)


@dataclass(frozen=True, slots=True)
class Corruption(Implementation):
    """A corruption; `run` says whether it is a run of the model, so that one can begin in it."""

    run: bool = False


def _check_replaced(meaning: Meaning, draft: Draft) -> None:
    data = meaning.get(draft, "data")
    if data is not None:
        check_replace(meaning, draft, data)


def _check_counterpart(meaning: Meaning, draft: Draft) -> None:
    data = meaning.get(draft, "data")
    if data is None or has_column(data, "corrupt") is not False:
        return
    meaning.report(
        "C222",
        f"`{data.name}` has no corrupted prompts",
        draft.where("data"),
        labels=(Label(data.place, f"uses {data.implementation}"),),
        help=DATASETS[data.implementation].without.get(
            "corrupt", "use `replace`, `shuffle`, `zero` or `mean`"
        ),
    )


def _check_shuffled(meaning: Meaning, corruption: Draft) -> None:
    """A prompt has another one to change with."""
    data = meaning.get(corruption, "data")
    if data is not None and size_of(data) == 1:
        problem = f"the one prompt of `{data.name}` has no other to change with"
        labels = (Label(data.where("size" if "size" in data.spans else "clean"), "one prompt"),)
        meaning.report("C342", problem, corruption.where("data"), labels=labels, help="draw more prompts")


def _check_noise(meaning: Meaning, draft: Draft) -> None:
    data = meaning.get(draft, "data")
    if data is not None:
        check_positions(
            meaning, data, draft.values.get("at"), draft, "at", Label(data.place, "these prompts")
        )


def _check_mean(meaning: Meaning, draft: Draft) -> None:
    _check_over(meaning, draft)
    source, data = meaning.get(draft, "source"), meaning.get(draft, "data")
    own, other = (None if each is None else meaning.get(each, "model") for each in (source, data))
    if not meaning.same_model(own, other):
        meaning.models_differ(draft, "source", own, "data", other)


def _check_over(meaning: Meaning, draft: Draft) -> None:
    over = draft.values.get("over")
    if not isinstance(over, tuple):
        return
    if "prompts" not in over:
        problem = "the mean over one prompt's positions still says what stands in that prompt"
        advice = "write `[prompts]`, `[prompts, slots]` or `[prompts, positions]`"
        meaning.report("C236", problem, draft.where("over"), help=advice)
    elif "positions" in over and "slots" in over:
        problem = "a mean over all positions is one for all slots: it cannot be over `slots` as well"
        advice = "write `[prompts, slots]` or `[prompts, positions]`"
        meaning.report("C241", problem, draft.where("over"), help=advice)


CORRUPTIONS: dict[str, Corruption] = {
    "replace": Corruption(
        "The same prompts with slots filled by other slots: `S.2 -> C`; without a number every occurrence.",
        {"data": Key(one("dataset"), "a `template` or `task` dataset", required=True)},
        extra="replacements",
        run=True,
        check=_check_replaced,
    ),
    "counterpart": Corruption(
        "The other column of a paired dataset.",
        {
            "data": Key(
                one("dataset"), "a dataset with corrupted prompts (`prompts`, `file`, `task`)", required=True
            )
        },
        run=True,
        check=_check_counterpart,
    ),
    "shuffle": Corruption(
        "Each prompt is corrupted by another one of as many tokens, with its slots at the same positions; "
        "answers stay those of the clean prompt.",
        {"data": _CLEAN, "seed": SEED},
        run=True,
        check=_check_shuffled,
    ),
    "gaussian": Corruption(
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
        check=_check_noise,
    ),
    "python": Corruption(
        "A function of your own, of the dataset: it gives each prompt's corrupted text, or tokens, or a "
        "corruption. An entry point `nncirc.corruptions` of an installed package likewise. Runs with "
        "`--allow-code` only, and is stored as a metric of your own is.",
        {"data": _CLEAN, "function": FUNCTION},
        run=True,
        check=check_function,
    ),
    "zero": Corruption("Activations are replaced by zero.", {"data": _CLEAN}),
    "mean": Corruption(
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
        check=_check_mean,
    ),
}


RUNS = ", ".join(f"`{name}`" for name, each in CORRUPTIONS.items() if each.run)
"""Those that are a run of the model, in words."""
