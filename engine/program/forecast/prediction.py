"""What a result will take."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from nncirc.engine.program.forecast.methods import Prompts, measured
from nncirc.engine.program.forecast.rates import Rates
from nncirc.engine.program.forecast.work import NOTHING, Work


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a result will take.

    Attributes:
        seconds: on this machine, if nothing else runs on it.
        forwards: multiplications, in those of a plain forward.
        tested: of ACDC, how many edges will be tested.
        at_most: whether these are upper bounds: of the weights, or of a circuit, nothing is known.
        stored: whether the result is in the store.
        memory: bytes of activations held at once; None where they are not counted.
    """

    seconds: float
    forwards: float
    tested: int | None = None
    at_most: bool = False
    stored: bool = False
    memory: int | None = None

    def __add__(self, other: Prediction) -> Prediction:
        """Both, one after the other."""
        seconds, forwards = self.seconds + other.seconds, self.forwards + other.forwards
        return Prediction(seconds, forwards, at_most=self.at_most or other.at_most)

    def as_json(self) -> dict[str, Any]:
        """As JSON values, rounded to what they are worth."""
        found: dict[str, Any] = {"seconds": round(self.seconds, 4), "forwards": round(self.forwards, 2)}
        if self.tested is not None:
            found["tested"] = self.tested
        return found | ({"at_most": True} if self.at_most else {}) | ({"stored": True} if self.stored else {})


STORED = Prediction(0.0, 0.0, stored=True)
NOTHING_RUNS = Prediction(0.0, 0.0)


def predicted(work: Work, rates: Rates, batches: Iterable[Prompts], **more: Any) -> Prediction:
    """What work on some prompts takes."""
    every = (Prompts(each.count, each.length, each.length) for each in batches)
    unit = sum((measured(rates.sizes, each) for each in every), NOTHING)
    forwards = work.multiplications(rates.sizes) / unit.multiplications(rates.sizes)
    return Prediction(rates.seconds(work), forwards, **more)
