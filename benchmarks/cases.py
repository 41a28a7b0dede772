"""What is measured: each method at each size, with what is asked of it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from benchmarks.methods import Method, activation, attribution, discovery, family
from benchmarks.oracles import alone, mask_gradients, node_cuts, sequential
from benchmarks.setups import CHANGED, LENGTH, PLACES, REAL

from nncirc.circuits.names import Position
from nncirc.engine.metrics.metric import Metric

THREE: list[Position] = [Position(f"changed{i}") for i in CHANGED]
NODES = {"tiny": 11, "small": 37, "gpt2": 157}
GRID = tuple(10 ** (-4 + step / 5) for step in range(21))
"""The thresholds of ACDC's paper: 10^linspace(-4, 0, 21) (Conmy et al. 2023)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row of the table.

    Attributes:
        method: its name: `attribution`, `integrated`, `activation`, `acdc`, `family`.
        size: of the model, as in `setups.SIZES`, or a bundled model.
        spread: of the random weights. With GPT-2's own 0.02 hardly an edge of a random model matters.
        setting: what else there is to say, in a few words.
        run: the method, on a contrast with nothing computed yet.
        oracle: the same by the definition; None where that takes hours.
        thresholds: of ACDC.
        repeats: how often it is timed.
        rows: of how many the time is to be divided by: patches; 1 for a whole method.
        target: plain forwards asked for; None where nothing was asked.
        memory: most GiB asked for.
        share: most of its oracle's time that it may take; then the oracle is timed as often.
        long: whether it takes minutes and runs only if asked for.
    """

    method: str
    size: str
    setting: str
    run: Method
    spread: float = 0.05
    oracle: Method | None = None
    thresholds: tuple[float, ...] = ()
    repeats: int = 1
    rows: int = 1
    target: float | None = None
    memory: float | None = None
    share: float | None = None
    long: bool = False

    @property
    def name(self) -> str:
        """What `--case` takes."""
        return f"{self.method}/{self.size}/{self.setting}".replace(" ", "-")


def attribution_cases(size: str) -> list[Case]:
    """Attribution and integrated gradients."""
    big, repeats = size == "gpt2", {"tiny": 5, "small": 5, "gpt2": 3}[size]
    return [
        Case(
            method="attribution",
            size=size,
            setting="all edges",
            run=attribution(1),
            oracle=mask_gradients(1),
            repeats=repeats,
            target=5 if big else None,
            memory=2 if big else None,
        ),
        Case(
            method="integrated",
            size=size,
            setting="5 steps",
            run=attribution(5),
            oracle=None if big else mask_gradients(5),
            repeats=repeats,
            target=20 if big else None,
        ),
    ]


def activation_case(size: str, *, three: bool = False) -> Case:
    """Activation patching of every node at all positions, or at the three that change."""
    big = size == "gpt2"
    return Case(
        method="activation",
        size=size,
        setting="3 positions" if three else "all positions",
        run=activation(THREE if three else "all"),
        oracle=None if big else node_cuts,
        rows=NODES[size] * (len(THREE) if three else LENGTH),
        target=0.6 if big else None,
        long=big and not three,
    )


def acdc_case(
    size: str, spread: float, threshold: float, target: float | None = None, repeats: int = 1
) -> Case:
    """ACDC with what it is compared to."""
    return Case(
        method="acdc",
        size=size,
        setting=f"spread {spread} threshold {threshold}",
        run=discovery(threshold),
        spread=spread,
        oracle=None if size == "gpt2" else sequential(threshold),
        thresholds=(threshold,),
        repeats=repeats,
        target=target,
    )


def family_case(
    size: str, setting: str, thresholds: tuple[float, ...], *, spread: float = 0.05, repeats: int = 3
) -> Case:
    """A family of thresholds; in place of the oracle its members alone, which may not be faster."""
    return Case(
        method="family",
        size=size,
        setting=setting,
        run=family(thresholds),
        spread=spread,
        oracle=alone(thresholds),
        thresholds=thresholds,
        repeats=repeats,
        share=1,
    )


def real_cases(size: str) -> list[Case]:
    """A real language model, where there is one."""
    places = [Position.parse(place) for place in PLACES]
    normalized = Metric("logit_diff", normalize=True)
    return [
        Case(method="attribution", size=size, setting="all edges", run=attribution(1), repeats=3, target=5),
        Case(method="integrated", size=size, setting="5 steps", run=attribution(5), repeats=3, target=15),
        Case(
            method="activation",
            size=size,
            setting="4 positions",
            run=activation(places),
            rows=REAL[size] * len(PLACES),
            target=0.15,
        ),
        Case(
            method="acdc",
            size=size,
            setting="logit diff 0.02",
            run=discovery(0.02, normalized),
            thresholds=(0.02,),
            target=900 if size == "smollm2-135m" else None,
            long=True,
        ),
    ]


CASES: tuple[Case, ...] = (
    *attribution_cases("tiny"),
    activation_case("tiny"),
    acdc_case("tiny", 0.2, 0.01, repeats=3),
    family_case("tiny", "thresholds 0.001 0.01", (0.001, 0.01), spread=0.2),
    family_case("tiny", "grid of 21", GRID, spread=0.2),
    *attribution_cases("small"),
    activation_case("small"),
    acdc_case("small", 0.05, 0.0005, 150),
    acdc_case("small", 0.1, 0.005, 150),
    acdc_case("small", 0.05, 0.0003, 150),
    family_case("small", "thresholds 0.0005 0.001 0.002", (0.0005, 0.001, 0.002)),
    family_case("small", "grid of 21", GRID, repeats=1),
    family_case("ioi-4l", "grid of 21", GRID),
    *attribution_cases("gpt2"),
    activation_case("gpt2", three=True),
    activation_case("gpt2"),
    acdc_case("gpt2", 0.05, 0.005),
    acdc_case("gpt2", 0.05, 0.0005, 2500),
    *(case for size in REAL if "NNCIRC_REAL_MODELS" in os.environ for case in real_cases(size)),
)
