"""What was predicted beside what was measured: examples as `run` runs them, random models of three sizes.

    python -m benchmarks.predictions --threads 1
    python -m benchmarks.predictions --threads 2 --only small gpt2

On one thread seconds are CPU time, which other work on the machine disturbs least; on more, wall time.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.clock import Conditions, timed
from benchmarks.setups import ROOT, contrast_for, fresh
from nncirc.engine.program.forecast import interventions, methods, readings
from nncirc.engine.program.forecast.methods import prompts_of
from nncirc.engine.program.forecast.rates import Rates
from nncirc.engine.program.forecast.sweep import Played, Sweep, effects, reads_of
from nncirc.engine.program.forecast.work import NOTHING, Sizes, Work

from nncirc.circuits.graph import Graph
from nncirc.dsl.checker import check_file
from nncirc.engine.activation import activation_patching, columns_of, mask_of
from nncirc.engine.attribution import attribution_patching
from nncirc.engine.contrast import Contrast
from nncirc.engine.direct import logit_attribution
from nncirc.engine.discovery import acdc
from nncirc.engine.lens import logit_lens
from nncirc.engine.metrics import Metric
from nncirc.engine.patchscope import patchscopes
from nncirc.engine.paths import carriers_of, path_patching, receivers_of
from nncirc.engine.program.run import Options, run_program
from nncirc.engine.reading import reading
from nncirc.engine.restoration import causal_tracing
from nncirc.engine.rises import Measured
from nncirc.engine.steer import steering

EXAMPLES = (
    "ioi",
    "induction",
    "ablations",
    "algebra",
    "pairs",
    "table",
    "interventions",
    "lens",
    "positions",
    "neurons",
    "evaluation",
    "atp_star",
)
THRESHOLDS = {"tiny": (0.2, (0.01, 0.001)), "small": (0.05, (0.0003, 0.0005)), "gpt2": (0.05, (0.005,))}
"""Spread of the weights, and thresholds of ACDC, a family."""
PLACES = [("changed3", None), ("changed7", None), ("changed10", None)]
"""Where states are restored."""
LONG = 0.3
"""Seconds from which a prediction is held to a factor of two."""


@dataclass(frozen=True, slots=True)
class Row:
    """A prediction and what came of it, in seconds."""

    case: str
    step: str
    predicted: float
    measured: float
    note: str = ""

    @property
    def is_good(self) -> bool:
        """Whether it is within a factor of two, or about little."""
        return self.measured < LONG or 0.5 <= self.predicted / self.measured <= 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 1 if a long step was predicted wrong by more than a factor of two."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.predictions", description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="+", default=[*EXAMPLES, *THRESHOLDS], metavar="CASE")
    options = parser.parse_args(arguments)
    conditions = Conditions(threads=options.threads)
    conditions.enter()
    good = True
    sys.stdout.write(
        "| case | step | predicted s | measured s | ratio | |\n| --- | --- | --- | --- | --- | --- |\n"
    )
    for case in options.only:
        rows = list(of_example(case, conditions) if case in EXAMPLES else of_size(case, conditions))
        total = Row(case, "total", sum(r.predicted for r in rows), sum(r.measured for r in rows))
        for row in [*rows, total]:
            ratio = row.predicted / max(row.measured, 1e-9)
            cells = (
                row.case,
                row.step,
                f"{row.predicted:.3f}",
                f"{row.measured:.3f}",
                f"{ratio:.2f}",
                row.note,
            )
            sys.stdout.write(f"| {' | '.join(cells)} |\n")
            sys.stdout.flush()
            good = good and row.is_good
    return 0 if good else 1


def of_example(name: str, conditions: Conditions) -> Iterator[Row]:
    """What a run of an example has written about itself; nothing is stored."""
    program = check_file(ROOT / "examples" / f"{name}.circ").program
    assert program is not None
    with tempfile.TemporaryDirectory() as folder:
        run_program(program, folder, Options(threads=conditions.threads))
        written = json.loads((Path(folder) / "run.json").read_text(encoding="utf-8"))
    found = {**written["declarations"], "claims": written["forecast"]["claims"]}
    for step, each in found.items():
        if "predicted" in each:
            predicted, measured = each["predicted"], each["seconds"][conditions.by]
            tested = f"{predicted['tested']} edges" if "tested" in predicted else ""
            yield Row(
                name,
                f"{step} ({each['using']})" if "using" in each else step,
                predicted["seconds"],
                measured,
                tested,
            )


def of_size(size: str, conditions: Conditions) -> Iterator[Row]:
    """Every method on a random model: what `nncirc.engine.program.forecast` counts, at its rates."""
    spread, thresholds = THRESHOLDS[size]
    contrast, metric = contrast_for(size, spread=spread), Metric("kl_divergence")
    graph, model = contrast.model.graph(), contrast.model
    sizes, prompts = Sizes.of(model, model.shape), list(prompts_of(contrast, metric))
    where = reading(metric, contrast.dataset, contrast.batches[0].examples[:1])
    rates = Rates(model, sizes, metric, where, prompts[0].tokens, prompts[0].length)
    both = sum((methods.forward(sizes, p) for p in prompts), methods.substitution(sizes, contrast))

    def row(step: str, work: Work, run: Callable[[Contrast], Any], note: Callable[[Any], str]) -> Row:
        predicted = rates.seconds(work)
        clock, result = timed(lambda: run(fresh(contrast)))
        return Row(size, step, predicted, conditions.seconds(clock), note(result))

    attribution = sum((methods.measured(sizes, p) for p in prompts), both)
    for each in prompts:
        attribution += methods.attribution(sizes, graph, each, steps=5, along="inputs", edges=True)
    yield row(
        "attribution, 5 steps",
        attribution,
        lambda new: attribution_patching(new, graph, metric, steps=5),
        lambda _: "",
    )
    positions: Any = "all" if size != "gpt2" else None
    columns, (batch,) = columns_of(contrast.dataset, positions)[1], contrast.batches
    masks = [mask_of(batch, column, model.device) for column in columns]
    patching = sum((methods.measured(sizes, p) + methods.forward(sizes, p) for p in prompts), both)
    patching += methods.patching(sizes, contrast, graph, metric, batch, masks)
    yield row(
        f"activation patching, {len(graph.senders) * len(columns)} patches",
        patching,
        lambda new: activation_patching(new, graph, metric, direction="noise", positions=positions),
        lambda _: "",
    )
    for name, work, run in others(contrast, sizes, graph, metric):
        yield row(name, work, run, lambda _: "")
    estimates = effects(contrast, graph, metric)
    sweep = Sweep(sizes, graph, prompts, reads_of(contrast, metric), estimates, rates.seconds)
    played, measured = list[Played](), Measured()
    for threshold in thresholds:
        played.append(sweep.play(threshold, played[:]))
        yield row(
            f"ACDC, threshold {threshold}",
            played[-1].work + both,
            lambda new, t=threshold: acdc(new, graph, metric, threshold=t, measured=measured),  # type: ignore[misc]
            lambda found: f"{played[-1].tested} edges; tested were {found.made['tested']}",
        )


def others(
    contrast: Contrast, sizes: Sizes, graph: Graph, metric: Metric
) -> Iterator[tuple[str, Work, Callable[[Contrast], Any]]]:
    """Interventions and readings: their names, what is counted, and what runs them."""
    model, prompts, data = contrast.model, list(prompts_of(contrast, metric)), contrast.dataset
    plain = sum((methods.forward(sizes, p) for p in prompts), NOTHING)
    clean = sum((methods.measured(sizes, p) for p in prompts), NOTHING)
    both = plain + methods.substitution(sizes, contrast)
    rows = [each for each in interventions.restored(sizes.layers, "states", None, "none") for _ in range(3)]
    yield (
        f"causal tracing, {len(rows)} states",
        both + plain + clean * 2 + interventions.edited(sizes, contrast, metric, rows),
        lambda new: causal_tracing(new, metric, positions=PLACES),
    )
    rows = [each for each in interventions.restored(sizes.layers, "mlps", None, "none") for _ in range(3)]
    yield (
        f"causal tracing, {len(rows)} windows of MLPs",
        both + clean * 2 + interventions.edited(sizes, contrast, metric, rows),
        lambda new: causal_tracing(new, metric, of="mlps", positions=PLACES),
    )
    heads = interventions.steered(graph, ["L*H*"], together=False)
    yield (
        f"steering, {len(heads)} heads",
        plain + clean + interventions.edited(sizes, contrast, metric, heads),
        lambda new: steering(new, graph, metric, nodes=["L*H*"], scale=[0.0]),
    )
    last = receivers_of(graph, f"L{sizes.layers - 1}H*.q")
    for name, through in (("direct", "none"), ("through MLPs", "MLP*")):
        paths = interventions.paths(sizes, contrast, graph, metric, last, carriers_of(graph, through), 1)
        yield (
            f"path patching, {graph.reach[last[-1]]} senders, {name}",
            both + clean + paths,
            lambda new, through=through: path_patching(
                new, graph, metric, to=f"L{sizes.layers - 1}H*.q", through=through
            ),
        )
    stages = 2 * sizes.layers + 1
    yield (
        "logit lens",
        sum((readings.lens(sizes, p, metric, stages, 1) for p in prompts), NOTHING),
        lambda _: logit_lens(model, data, of=metric.name),
    )
    yield (
        "patchscopes",
        sum((readings.patchscopes(sizes, p, [p], metric, sizes.layers + 1, 1) for p in prompts), NOTHING),
        lambda _: patchscopes(model, data, data, of=metric.name),
    )
    yield (
        "direct logit attribution",
        sum((readings.direct(sizes, graph, p, 1) for p in prompts), NOTHING),
        lambda _: logit_attribution(model, data, graph),
    )


if __name__ == "__main__":
    raise SystemExit(main())
