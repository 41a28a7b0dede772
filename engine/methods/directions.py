"""Which of two runs is changed, and which gives the values: the clean and the corrupted one.

`noise` puts values of the corrupted run into the clean one and shows what is necessary; `denoise` puts clean
values into the corrupted run and shows what is sufficient (Zhang & Nanda 2024).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from nncirc.circuits.errors import MethodError
from nncirc.engine.runs.corruptions import Corruption, Run

Base: TypeAlias = Literal["clean", "corrupted"]
Direction: TypeAlias = Literal["denoise", "noise"]

PATCHED: Mapping[Direction, Base] = {"noise": "clean", "denoise": "corrupted"}
"""The run that is changed; the values come from the other one."""


def check_direction(direction: str, corruption: Corruption) -> None:
    """Whether patches can go that way.

    Raises:
        MethodError: C524, no such direction; C523, `denoise` without a corrupted run.
    """
    if direction not in PATCHED:
        raise MethodError("C524", f"there is no direction {direction!r}", hint="denoise or noise")
    if direction == "denoise":
        require_run(corruption, "denoise", "use direction = noise, or ")


def require_run(corruption: Corruption, what: str, instead: str = "") -> None:
    """Whether a corruption is a run of the model, in which `what` can begin.

    Args:
        corruption: of the contrast.
        what: begins there, for the message.
        instead: what would not begin there, for the hint.

    Raises:
        MethodError: C523, it only substitutes activations.
    """
    if not isinstance(corruption, Run):
        raise MethodError(
            "C523",
            f"{what} begins in a corrupted run, and {corruption.name} only substitutes activations",
            hint=f"{instead}use a corruption that runs the model again: replace, counterpart, gaussian",
        )
