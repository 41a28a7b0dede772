"""What is measured: each method at each size, with what is asked of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from benchmarks.setups import CHANGED, LENGTH

from nncirc.circuits.graph import Graph
from nncirc.engine.activation import activation_patching
from nncirc.engine.attribution import attribution_patching
from nncirc.engine.contrast import Contrast
from nncirc.engine.discovery import acdc, acdc_family
from nncirc.engine.forward import Mask, masked_forward
from nncirc.engine.metrics import Metric, Place

LOGIT_DIFF, KL = Metric("logit_diff"), Metric("kl_divergence")
THREE: list[Place] = [(f"changed{i}", None) for i in CHANGED]

Method: TypeAlias = Callable[[Contrast, Graph], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row of the table.

    Attributes:
        method: its name: `attribution`, `integrated`, `activation`, `acdc`, `family`.
        size: of the model, as in `setups.SIZES`.
        spread: of the random weights. With GPT-2's own 0.02 hardly an edge of a random model matters.
        setting: what else there is to say, in a few words.
        run: the method, on a contrast with nothing computed yet.
        oracle: the same by the definition; None where that takes hours.
        repeats: how often it is timed.
        rows: of how many the time is to be divided by: patches; 1 for a whole method.
        target: plain forwards asked for; None where nothing was asked.
        memory: most GiB asked for.
    """

    method: str
    size: str
    setting: str
    run: Method
    spread: float = 0.05
    oracle: Method | None = None
    repeats: int = 1
    rows: int = 1
    target: float | None = None
    memory: float | None = None

    @property
    def name(self) -> str:
        """What `--case` takes."""
        return f"{self.method}/{self.size}/{self.setting}".replace(" ", "-")


def attribution(steps: int) -> Method:
    """All edges' attribution."""
    return lambda contrast, graph: attribution_patching(contrast, graph, LOGIT_DIFF, steps=steps)


def mask_gradient(contrast: Contrast, graph: Graph) -> Any:
    """All edges' attribution by its definition: the gradient of the masked forward by its mask."""
    scores = torch.zeros(len(graph.receivers), len(graph.senders))
    for batch in contrast.batches:
        where = contrast.reading(batch, LOGIT_DIFF)
        mask = Mask(torch.zeros(1, *scores.shape, requires_grad=True))
        substitute = contrast.substitute(batch, graph)
        with torch.enable_grad():
            logits = masked_forward(
                contrast.model, graph, batch.clean, mask, substitute, keep=where.kept, grad=True
            )
            (found,) = torch.autograd.grad(where.values(LOGIT_DIFF, logits).sum(), mask.cut)
        scores -= found[0]
    return (scores / len(contrast.dataset.examples)).tolist()


def activation(positions: Any) -> Method:
    """Every node patched, at every one of these positions."""

    def run(contrast: Contrast, graph: Graph) -> Any:
        return activation_patching(contrast, graph, LOGIT_DIFF, positions=positions)

    return run


def discovery(threshold: float, *, sequential: bool = False) -> Method:
    """ACDC, by KL divergence."""

    def run(contrast: Contrast, graph: Graph) -> Any:
        return acdc(contrast, graph, KL, threshold=threshold, sequential=sequential)

    return run


def family(thresholds: Iterable[float], *, alone: bool = False) -> Method:
    """ACDC at several thresholds, together or one after the other."""
    several = list(thresholds)

    def run(contrast: Contrast, graph: Graph) -> Any:
        if alone:
            return tuple(acdc(contrast, graph, KL, threshold=t) for t in several)
        return acdc_family(contrast, graph, KL, thresholds=several)

    return run


def acdc_case(size: str, spread: float, threshold: float, target: float | None, repeats: int) -> Case:
    """ACDC with what it is compared to."""
    oracle = None if size == "gpt2" else discovery(threshold, sequential=True)
    setting = f"spread {spread} threshold {threshold}"
    run = discovery(threshold)
    return Case(
        method="acdc",
        size=size,
        setting=setting,
        run=run,
        spread=spread,
        oracle=oracle,
        repeats=repeats,
        target=target,
    )


def family_case(size: str, spread: float, thresholds: list[float]) -> Case:
    """A family of thresholds; in place of the oracle its members alone."""
    setting = "thresholds " + " ".join(map(str, thresholds))
    run, alone = family(thresholds), family(thresholds, alone=True)
    return Case(method="family", size=size, setting=setting, run=run, spread=spread, oracle=alone)


def attribution_cases(size: str) -> list[Case]:
    """Attribution and integrated gradients."""
    big, repeats = size == "gpt2", {"tiny": 5, "small": 5, "gpt2": 3}[size]
    return [
        Case(
            method="attribution",
            size=size,
            setting="all edges",
            run=attribution(1),
            oracle=mask_gradient,
            repeats=repeats,
            target=5 if big else None,
            memory=2 if big else None,
        ),
        Case(
            method="integrated",
            size=size,
            setting="5 steps",
            run=attribution(5),
            repeats=repeats,
            target=20 if big else None,
        ),
    ]


def activation_case(size: str, senders: int) -> Case:
    """Activation patching: at all positions, at GPT-2's size at three (a sixth of an hour otherwise)."""
    big = size == "gpt2"
    return Case(
        method="activation",
        size=size,
        setting="3 positions" if big else "all positions",
        run=activation(THREE if big else "all"),
        rows=senders * (len(THREE) if big else LENGTH),
        target=0.6 if big else None,
    )


CASES: tuple[Case, ...] = (
    *attribution_cases("tiny"),
    activation_case("tiny", 11),
    acdc_case("tiny", 0.2, 0.01, None, 3),
    family_case("tiny", 0.2, [0.001, 0.01]),
    *attribution_cases("small"),
    activation_case("small", 37),
    acdc_case("small", 0.05, 0.0005, 150, 1),
    acdc_case("small", 0.1, 0.005, 150, 1),
    acdc_case("small", 0.05, 0.0003, 150, 1),
    family_case("small", 0.05, [0.0005, 0.001, 0.002]),
    *attribution_cases("gpt2"),
    activation_case("gpt2", 157),
    acdc_case("gpt2", 0.05, 0.005, None, 1),
    acdc_case("gpt2", 0.05, 0.0005, 2500, 1),
)
