"""`python -m benchmarks.profiling CASE`: where the time of a method goes, and how far that is from its floor.

Two runs: one in which the parts of the method are timed, each without the parts that it calls, and one in
which the multiplications of each are counted. The floor of a part is its multiplications at the rate of one
large matrix product on this machine. What is left has no multiplications to speak of: adding, norms,
softmax, copies, and Python.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from statistics import median
from typing import Any, Self
from unittest.mock import patch

import torch
from benchmarks.cases import CASES, Case
from benchmarks.clock import Conditions, timed
from benchmarks.multiplications import LARGE, Meter, rate
from benchmarks.setups import contrast_for, fresh, plain_forward
from transformers.models.gpt2 import modeling_gpt2

from nncirc.engine.methods import (
    activation_patching as activation,
    attribution_patching as attribution,
    scores,
)
from nncirc.engine.methods.acdc import ExactLoss
from nncirc.engine.metrics.reading import Reading
from nncirc.engine.model.layer import Attention
from nncirc.engine.runs import capture, contrast as contrasts, gradients, live

PARTS: dict[str, list[tuple[Any, str]]] = {
    "MLP": [(modeling_gpt2.GPT2MLP, "forward")],
    "attention of a block": [(modeling_gpt2.GPT2Attention, "forward")],
    "norm": [(torch.nn.LayerNorm, "forward")],
    "unembedding": [(torch.nn.Linear, "forward")],
    "metric": [(Reading, "values"), (Reading, "column_values")],
    "what is written, senders' outputs": [(contrasts, "written"), (capture.Written, "outputs")],
    "forward and backward": [(attribution, "metric_gradients")],
    "backward through norms": [(gradients, "through_norm")],
    "backward through projections": [(gradients.Gradients, "_before_projection")],
    "scores as objects": [(scores.EdgeScores, "of")],
    "a trace of patches": [(activation._Patcher, "run")],
    "clean state": [(live, "run_state"), (activation, "run_state")],
    "queries, keys, values": [(live.Live, "project")],
    "attention of live heads": [(Attention, "attend")],
    "stacking heads, output projection": [(live.Live, "compute")],
    "changes to inputs": [(live.Live, "send"), (live.Live, "cut")],
    "moving the state": [(live.Live, "accept"), (live.Live, "rebuild"), (live.Live, "close")],
    "ties: the definition": [(ExactLoss, "measured")],
}
REST = "the rest"

SHAPES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "large, 1,024 x 1,024 x 1,024": LARGE,
    "MLP, 120 x 768 x 3,072": ((120, 768), (768, 3072)),
    "unembedding, 8 x 768 x 50,257": ((8, 768), (768, 50257)),
    "a head, 120 x 768 x 64, 36 of them": ((36, 120, 768), (36, 768, 64)),
    "attribution's product, 36 x 92,160 x 157": ((36, 92160), (92160, 157)),
}
"""Matrix products of the shapes that occur at GPT-2's size."""


class Watch:
    """What a reading grows by in each part, without the parts that it calls; and how often each is called.

    To be entered before the model is made: nnsight remembers a module's forward as it finds it.
    """

    def __init__(self) -> None:
        self.patches = ExitStack()
        self.begin(time.process_time)

    def begin(self, read: Callable[[], float]) -> None:
        """Begin anew, with this to be read."""
        self.read = read
        self.spent: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self.stack = [REST]
        self.last = read()

    def turn(self) -> None:
        """What was spent since the last turn belongs to the part under way."""
        now = self.read()
        self.spent[self.stack[-1]] += now - self.last
        self.last = now

    def watched(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function as a part of this name."""

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            self.turn()
            self.stack.append(name)
            self.calls[name] += 1
            try:
                return function(*args, **kwargs)
            finally:
                self.turn()
                self.stack.pop()

        return wrapper

    def __enter__(self) -> Self:
        for name, places in PARTS.items():
            for owner, attribute in places:
                function = self.watched(name, getattr(owner, attribute))
                self.patches.enter_context(patch.object(owner, attribute, function))
        return self

    def __exit__(self, *error: object) -> None:
        self.patches.close()


def main(names: list[str]) -> int:
    """The command."""
    torch.set_num_threads(1)
    best = 0.0
    for shape, (left, right) in SHAPES.items():
        found = rate(left, right, Conditions())
        print(f"{shape}: {found / 1e9:.1f} billion multiplications a second", flush=True)
        best = max(best, found)
    for case in CASES:
        if case.name in names:
            with Watch() as watch:
                profile(case, best, watch)
    return 0


def profile(case: Case, best: float, watch: Watch) -> None:
    """The table of one case, against so many multiplications a second."""
    contrast = contrast_for(case.size, spread=case.spread)
    graph = contrast.model.graph()
    plain = plain_forward(contrast)
    plain()
    unit = median(timed(plain)[0].cpu for _ in range(5))
    meter = Meter()
    with meter:
        plain()
    of_unit = meter.total
    print(f"\n{case.name}; a plain forward: {unit:.4f} s, {of_unit / 1e9:.2f} billion multiplications\n")
    about = fresh(contrast)
    watch.begin(time.process_time)
    case.run(about, graph)
    watch.turn()
    spent, calls = watch.spent, watch.calls
    about = fresh(contrast)
    with meter:
        watch.begin(lambda: meter.total)
        case.run(about, graph)
        watch.turn()
    counts = watch.spent
    total, count = sum(spent.values()), sum(counts.values())
    print("| part | calls | CPU s | share | 10^9 multiplications | floor, s | of the floor |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for part in sorted(spent, key=lambda part: -spent[part]):
        cells(part, calls.get(part, ""), spent[part], total, counts[part], best)
    cells("all", "", total, total, count, best)
    print(
        f"\n{total / unit:.1f} plain forwards of time, {count / of_unit:.1f} of multiplications;"
        f" the floor is {count / best / unit:.1f}",
        flush=True,
    )


def cells(part: str, calls: object, seconds: float, total: float, count: float, best: float) -> None:
    """A row of the table."""
    floor = count / best
    ratio = f"{seconds / floor:.1f} x" if floor > 1e-3 * seconds else ""
    print(
        f"| {part} | {calls} | {seconds:.3f} | {seconds / total:.0%} | {count / 1e9:.2f}"
        f" | {floor:.3f} | {ratio} |"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
