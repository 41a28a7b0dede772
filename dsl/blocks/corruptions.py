"""Corruptions."""

from __future__ import annotations

from dataclasses import dataclass

from nncirc.circuits.words import or_
from nncirc.dsl.blocks.datasets import DATASETS, check_positions, check_replace, has_column, size_of
from nncirc.dsl.blocks.keys import COUNT, FUNCTION, SEED, check_function, one
from nncirc.dsl.check.declared import Implementation, Key, Meaning
from nncirc.dsl.check.scope import Draft
from nncirc.dsl.check.types import Many, Number, PositionType, Word
from nncirc.dsl.text.diagnostics import Label

_CLEAN = Key(one("dataset"), "the prompts of the clean run", required=True)


@dataclass(frozen=True, slots=True)
class Corruption(Implementation):
    """A corruption; `run` says whether it is a run of the model, so that one can begin in it."""

    run: bool = False


def _check_counterpart(meaning: Meaning, draft: Draft) -> None:
    data = meaning.get(draft, "data")
    if data is None or has_column(data, "corrupt") is not False:
        return
    meaning.report(
        "C222",
        f"`{data.name}` has no corrupted prompts",
        draft.where("data"),
        labels=(data.uses,),
        help=DATASETS[data.implementation].without.get(
            "corrupt", "use `replace`, `shuffle`, `zero` or `mean`"
        ),
    )


def _check_shuffled(meaning: Meaning, corruption: Draft) -> None:
    """A prompt has another one to change with."""
    data = meaning.get(corruption, "data")
    if data is not None and size_of(data) == 1:
        problem = f"`shuffle` needs at least two prompts; `{data.name}` has one"
        labels = (Label(data.where("size", "clean"), "one prompt"),)
        meaning.report(
            "C342", problem, corruption.where("data"), labels=labels, help="add prompts, or draw more"
        )


def _check_noise(meaning: Meaning, draft: Draft) -> None:
    data = meaning.get(draft, "data")
    if data is not None:
        check_positions(meaning, data, draft, "at", Label(data.place, "these prompts"))


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
        problem = "a mean over positions alone leaks the prompt's own content"
        advice = "write `[prompts]`, `[prompts, slots]` or `[prompts, positions]`"
        meaning.report("C236", problem, draft.where("over"), help=advice)
    elif "positions" in over and "slots" in over:
        problem = "`over` cannot have both `positions` and `slots`"
        advice = "write `[prompts, slots]` or `[prompts, positions]`"
        meaning.report("C241", problem, draft.where("over"), help=advice)


CORRUPTIONS: dict[str, Corruption] = {
    "replace": Corruption(
        "The same prompts with slots replaced by other slots: `S.2 -> C`; without an index, "
        "every occurrence.",
        {"data": Key(one("dataset"), "a `template` or `task` dataset", required=True)},
        extra="replacements",
        run=True,
        check=check_replace,
    ),
    "counterpart": Corruption(
        "The corrupted prompts of a paired dataset.",
        {
            "data": Key(
                one("dataset"), "a dataset with corrupted prompts (`prompts`, `file`, `task`)", required=True
            )
        },
        run=True,
        check=_check_counterpart,
    ),
    "shuffle": Corruption(
        "Each prompt is corrupted by another prompt of the same length, with its slots at the same "
        "positions; the answers remain those of the clean prompt.",
        {"data": _CLEAN, "seed": SEED},
        run=True,
        check=_check_shuffled,
    ),
    "gaussian": Corruption(
        "Noise on the embeddings of some positions. A draw depends on the seed and the prompt's index.",
        {
            "data": _CLEAN,
            "at": Key(Many(PositionType(), single=True), "where noise is added", required=True),
            "scale": Key(
                Number(low=0.001),
                "standard deviation of the noise",
                default=3,
                unit="standard deviations of the embedding matrix",
            ),
            "samples": Key(
                COUNT,
                "number of noise samples per prompt; what is measured is averaged over them",
                default=1,
            ),
            "seed": SEED,
        },
        source="Meng et al. 2022",
        run=True,
        check=_check_noise,
    ),
    "python": Corruption(
        "Your own function of the dataset: it returns each prompt's corrupted text, or tokens, or a "
        "corruption. An entry point `nncirc.corruptions` of an installed package works the same way. Runs "
        "only with `--allow-code`; results are stored as for your own metric.",
        {"data": _CLEAN, "function": FUNCTION},
        run=True,
        check=check_function,
    ),
    "zero": Corruption("Replaces activations with zero.", {"data": _CLEAN}),
    "mean": Corruption(
        "Replaces activations with their mean.",
        {
            "data": _CLEAN,
            "over": Key(
                Many(Word(("prompts", "positions", "slots"))),
                "what is averaged over; `[prompts]` keeps a mean for each position and needs prompts of one "
                "length, `[prompts, slots]` keeps one for each occurrence of a slot and each token of the "
                "text between",
                default=("prompts", "positions"),
            ),
            "source": Key(one("dataset"), "the prompts whose mean is taken; if omitted, `data`"),
        },
        check=_check_mean,
    ),
}


RUNS = or_([f"`{name}`" for name, each in CORRUPTIONS.items() if each.run])
"""Those that are a run of the model, in words."""
