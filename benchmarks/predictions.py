"""What `plan` predicts of each case beside what it takes: `python -m benchmarks.predictions --threads 1`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

from benchmarks.cases import CASES, THREE, Case
from benchmarks.clock import Conditions, timed
from benchmarks.setups import contrast_for, fresh

from nncirc.engine.methods import costs
from nncirc.engine.methods.costs import FREE, Cost, Speed, prompts_of, written
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.runs.columns import columns_of
from nncirc.engine.runs.contrast import Contrast

LONG = 0.3
"""Seconds from which a prediction is held to a factor of two."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 1 if a long case was predicted wrong by more than a factor of two."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.predictions", description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--size", nargs="+", default=["tiny", "small", "ioi-4l", "gpt2"])
    options = parser.parse_args(arguments)
    conditions = Conditions(threads=options.threads)
    conditions.enter()
    good = True
    sys.stdout.write("| case | predicted s | measured s | ratio | edges to test |\n" + "| --- " * 5 + "|\n")
    for case in CASES:
        if case.size not in options.size or case.long:
            continue
        contrast = contrast_for(case.size, spread=case.spread)
        cost = cost_of(case, contrast)
        prompts, model = next(prompts_of(contrast)), contrast.model
        predicted = Speed.of(model, prompts, model.shape).seconds(cost)
        clock, _ = timed(partial(case.run, fresh(contrast), model.graph()))
        measured = conditions.seconds(clock)
        good = good and (measured < LONG or 0.5 <= predicted / measured <= 2)
        ratio = predicted / measured
        cells = case.name, f"{predicted:.3f}", f"{measured:.3f}", f"{ratio:.2f}", cost.tested or ""
        sys.stdout.write(f"| {' | '.join(map(str, cells))} |\n")
        sys.stdout.flush()
    return 0 if good else 1


def cost_of(case: Case, contrast: Contrast) -> Cost:
    """What a case is said to cost."""
    model, graph = contrast.model, contrast.model.graph()
    clean, corrupt = (written(contrast, run) for run in ("clean", "corrupt"))
    if case.method in ("attribution", "integrated"):
        steps = 1 if case.method == "attribution" else 5
        how: Any = {"steps": steps, "along": "inputs", "by_edges": True}
        each = (costs.attribution(model, graph, prompts, **how) for prompts in prompts_of(contrast))
        return sum(each, corrupt if steps == 1 else clean + corrupt)
    if case.method == "activation":
        columns = columns_of(contrast.dataset, THREE if "3" in case.setting else "all")[1]
        return clean + corrupt + costs.patching(contrast, graph, Metric("logit_diff"), columns)
    metric = Metric("kl_divergence")
    estimates, found, others = costs.effects(contrast, graph, metric), FREE, list[costs.Decisions]()
    for threshold in case.thresholds:
        one, decisions = costs.discovery(contrast, graph, metric, threshold, estimates, others)
        found += one
        others.append(decisions)
    return found


if __name__ == "__main__":
    raise SystemExit(main())
