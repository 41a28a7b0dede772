"""Do corruptions fit the prompts that they corrupt, and the methods that begin in them?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nncirc.circuits.names import Position
from nncirc.dsl.blocks.corruptions import CORRUPTIONS
from nncirc.dsl.check.datasets import check_positions, check_replace, has_column
from nncirc.dsl.check.metrics import check_function
from nncirc.dsl.check.scope import Draft
from nncirc.dsl.text.diagnostics import Label

if TYPE_CHECKING:
    from nncirc.dsl.check.meaning import Meaning

__all__ = ["check_corruption", "check_denoised"]

_RUNS = ", ".join(f"`{name}`" for name, each in CORRUPTIONS.items() if each.run)
_DENOISED = {
    "activation_patching": ("direction", "denoise", "noise"),
    "path_patching": ("direction", "denoise", "noise"),
    "attribution_patching": ("base", "corrupted", "clean"),
}
"""Of a method the key that lets it begin in the corrupted run, and its words for that and for the other."""


def check_corruption(meaning: Meaning, draft: Draft) -> None:
    """A corruption by itself, and with its prompts."""
    _check_over(meaning, draft)
    check_function(meaning.scope, draft)
    data = meaning.get(draft, "data")
    if data is None:
        return
    at = draft.values.get("at")
    if isinstance(at, tuple):
        positions = tuple(each for each in at if isinstance(each, Position))
        check_positions(meaning.scope, data, positions, draft, "at", Label(data.place, "these prompts"))
    if draft.implementation == "replace":
        check_replace(meaning.scope, draft, data)
    elif draft.implementation == "counterpart" and has_column(data, "corrupt") is False:
        meaning.scope.report(
            "C222",
            f"`{data.name}` has no corrupted prompts",
            draft.where("data"),
            labels=(Label(data.place, f"uses {data.implementation}"),),
            help={
                "prompts": "add `corrupt = [...]` to it, or use `shuffle`",
                "all_inputs": "set `counterparts = 1` in it: each input is paired with another",
            }.get(data.implementation, "use `replace`, `shuffle`, `zero` or `mean`"),
        )
    source = meaning.get(draft, "source")
    own, other = (None if each is None else meaning.get(each, "model") for each in (source, data))
    if source is not None and not meaning.same_model(own, other):
        meaning.models_differ(draft, "source", own, "data", other)


def _check_over(meaning: Meaning, draft: Draft) -> None:
    over = draft.values.get("over")
    if not isinstance(over, tuple):
        return
    if "prompts" not in over:
        meaning.scope.report(
            "C236",
            "the mean over one prompt's positions still says what stands in that prompt",
            draft.where("over"),
            help="write `[prompts]`, `[prompts, slots]` or `[prompts, positions]`",
        )
    elif "positions" in over and "slots" in over:
        meaning.scope.report(
            "C241",
            "a mean over all positions is one for all slots: it cannot be over `slots` as well",
            draft.where("over"),
            help="write `[prompts, slots]` or `[prompts, positions]`",
        )


def check_denoised(meaning: Meaning, draft: Draft) -> None:
    """Denoising begins in a corrupted run, and zeros and means are none."""
    corruption = meaning.get(draft, "corruption")
    if draft.implementation not in _DENOISED or corruption is None:
        return
    key, word, other = _DENOISED[draft.implementation]
    if draft.values.get(key) == word and not CORRUPTIONS[corruption.implementation].run:
        meaning.scope.report(
            "C237",
            f"`{key} = {word}` begins in a corrupted run, and `{corruption.implementation}` only substitutes "
            "activations",
            draft.where(key if key in draft.spans else "corruption"),
            labels=(Label(corruption.place, f"this corruption uses {corruption.implementation}"),),
            help=f"write `{key} = {other}`, or take a corruption that is a run of the model: {_RUNS}",
        )
