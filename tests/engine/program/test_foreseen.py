"""Whole programs: everything that takes time has a prediction, in the plan and beside what was measured."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from nncirc.engine.program.forecast.claims import size_of
from nncirc.engine.program.forecast.predict import Forecast, Predictions, forecast
from tests.end_to_end.command import ROOT
from tests.engine.program.scripts import NAMES, SCRIPT, USUAL
from tests.some import some

from nncirc.dsl import Program, check_text
from nncirc.dsl.checker import check_file
from nncirc.engine.knockouts import completeness
from nncirc.engine.program import plan
from nncirc.engine.program.build import Builder
from nncirc.engine.program.methods import evaluation
from nncirc.engine.program.plan import plan_program
from nncirc.engine.program.run import run_program
from nncirc.engine.program.store import Store

MEASURED = ("scores", "circuit", "curve", "compare")
AT_ONCE = {"top", "threshold", "reference", "union", "intersection", "difference", "roc"}
"""What is made of results that are there."""
OF_WEIGHTS = {"weight_statistics", "composition"}
"""What no prompt runs for: nothing is foreseen of them."""


def example(name: str) -> Program:
    """A script of the examples."""
    found = check_file(ROOT / "examples" / f"{name}.circ").program
    assert found is not None
    return found


def timed(program: Program) -> set[str]:
    """The results that the model runs for."""
    return {
        declaration.name
        for declaration in program.declarations.values()
        if declaration.kind in MEASURED
        and declaration.implementation not in AT_ONCE | OF_WEIGHTS
        # A comparison that measures nothing.
        and declaration.values.get("metric", True) is not None
    }


def test_a_plan_knows_what_only_claims_ask_for(tmp_path: Path) -> None:
    """The circuit of another script has to be found before it can be measured."""
    shutil.copy(ROOT / "examples/tasks/docstring.circ", tmp_path / "task.circ")
    script = tmp_path / "claim.circ"
    script.write_text('use "task.circ" as task\n\nassert task.found.edges <= 160\n')
    program = check_file(script).program
    assert program is not None
    (found,) = (step for step in plan_program(program).steps if step.name == "task.found")
    assert found.seconds and found.tested


@pytest.mark.parametrize("name", ["interventions", "lens", "weights", "positions", "neurons", "evaluation"])
def test_the_plan_knows_of_everything_that_runs(name: str) -> None:
    found = plan_program(example(name))
    steps = {step.name: step for step in found.steps}
    for each in timed(example(name)):
        assert steps[each].seconds, each
        assert steps[each].forwards, each
        kind = example(name).declarations[each].kind
        assert steps[each].memory or kind in ("curve", "compare"), each
    # No weights: nothing but ACDC, and what is made of its circuit, is a bound.
    assert not any(step.at_most for step in found.steps if step.name != "claims")


@pytest.mark.parametrize("name", ["interventions", "lens", "neurons", "positions"])
def test_without_weights_the_plan_knows_as_much(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {step.name: step for step in plan_program(example(name)).steps}
    monkeypatch.setattr(plan, "is_at_hand", lambda declaration, size: False)
    steps = {step.name: step for step in plan_program(example(name)).steps}
    for each in some(name for name in timed(example(name)) if not steps[name].at_most):
        assert steps[each].forwards == pytest.approx(known[each].forwards, rel=0.01)
        # As large: what is free of memory is not the same twice.
        assert steps[each].memory == pytest.approx(known[each].memory, rel=0.1)
        assert steps[each].seconds


@pytest.mark.parametrize("name", ["interventions", "lens", "weights"])
def test_a_run_writes_what_was_predicted_of_everything(name: str, tmp_path: Path) -> None:
    program = example(name)
    run_program(program, tmp_path)
    written = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    predicted = {name for name, each in written["declarations"].items() if each.get("predicted")}
    assert predicted == timed(program)
    steps = {step.name: step for step in plan_program(program).steps}
    for each in predicted:
        foreseen = written["declarations"][each]["predicted"]["forwards"]
        assert foreseen == pytest.approx(steps[each].forwards, abs=0.01)
    assert written["memory"]["predicted"] > max(step.memory or 0 for step in steps.values())


def test_plain_runs_are_counted_once_and_never_of_what_normalises() -> None:
    how = Forecast(Builder(example("interventions")))
    corruption = how.builder.program.declarations["abc"]
    for metric, counted in (("preferred", True), ("recovered", False)):
        about = how.setting(corruption, metric)
        twice = [bool(how.values("abc", *about, "clean", "corrupt").amounts) for _ in range(2)]
        assert twice == [counted, False]
    # What parts write, whatever is measured of it.
    contrast, _, rates = how.setting(corruption, "recovered")
    assert [bool(how.runs("abc", contrast, rates, "clean").amounts) for _ in range(2)] == [True, False]


BOTH_WAYS = """
metric ld using logit_diff {
}
scores cut using attribution_patching {
  graph      = full
  corruption = abc
  metric     = ld
}
scores restored using attribution_patching {
  graph      = full
  corruption = abc
  metric     = ld
  base       = corrupted
}
scores states using causal_tracing {
  corruption = abc
  metric     = ld
}
scores needed using causal_tracing {
  corruption = abc
  metric     = ld
  direction  = noise
}
scores paths using path_patching {
  graph      = full
  corruption = abc
  metric     = ld
  to         = logits
}
scores given using path_patching {
  graph      = full
  corruption = abc
  metric     = ld
  direction  = denoise
  to         = logits
}
"""


@pytest.mark.parametrize("name", ["cut", "restored", "states", "needed", "paths", "given"])
def test_both_directions_are_foreseen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From nothing: the runs that a method starts from are those of its direction."""
    monkeypatch.syspath_prepend(str(ROOT))
    multiplications = importlib.import_module("benchmarks.multiplications")
    text = SCRIPT.format(**{**{each: each for each in NAMES}, **USUAL}) + BOTH_WAYS
    program = check_text(text).program
    assert program is not None
    builder = Builder(program)
    contrast = builder.contrast(program.declarations["abc"])
    with multiplications.Meter() as plain:
        for batch in contrast.batches:
            contrast.model.module(input_ids=batch.clean)
    fresh = Builder(program)
    found = Forecast(fresh).of(program.declarations[name])
    assert found is not None
    with multiplications.Meter() as meter:
        fresh.get(name)
    assert found.forwards == pytest.approx(meter.total / plain.total, rel=0.15)


# Claims ----------------------------------------------------------------------------------------------------


def test_knockouts_of_a_circuit_that_acdc_will_find_are_of_the_circuit_that_was_foreseen() -> None:
    program = example("evaluation")
    builder = Builder(program)
    how = Forecast(builder)
    foreseen = how.of(program.declarations["found"])
    assert foreseen is not None
    graph = builder.get("full")
    size = size_of(how, "found", graph)
    circuit = builder.get("found")
    contrast = builder.contrast(program.declarations["abc"])
    parts = len(completeness(contrast, circuit, builder.get("recovered"))) - 1
    assert not size.at_most
    assert 0.7 <= size.nodes / parts <= 1.4
    assert 0.7 <= size.edges / len(circuit) <= 1.4


@pytest.mark.parametrize("circuit", ["quick", "found"])
def test_of_a_circuit_that_is_not_known_the_most_is_said(circuit: str) -> None:
    text = (ROOT / "examples" / "evaluation.circ").read_text(encoding="utf-8")
    text = text[: text.index("assert ")] + f"assert incompleteness({circuit}, metric = recovered) <= 9\n"
    program = check_text(text).program
    assert program is not None
    builder = Builder(program)
    found = forecast(builder, program.declarations.values(), program.assertions)
    assert found.claims.at_most == (circuit == "quick")
    assert found.total.at_most == (circuit == "quick")
    assert found.claims.forwards > 20


# The store ------------------------------------------------------------------------------------------------


def with_more(more: str) -> Program:
    """The small experiment, and what is asked beside it."""
    text = SCRIPT.format(**{name: name for name in NAMES}, **USUAL) + more
    program = check_text(text).program
    assert program is not None
    return program


def foreseen(program: Program, store: Store) -> Predictions:
    return forecast(Builder(program, store=store), program.declarations.values(), program.assertions)


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a run of the small experiment by itself."""
    folder = tmp_path_factory.mktemp("earlier")
    run_program(with_more(""), folder / "out", store=Store(folder / "store"))
    return folder / "store"


COMPARED = "compare both {{\n  circuits = [{}]\n  metric = score\n  corruption = abc\n  draws = {}\n}}\n"


@pytest.mark.parametrize(
    "more",
    [
        "assert incompleteness(found, metric = score, by = edges, greedy = 2) <= 9\n",
        "assert minimality(found, metric = score) <= 9\n",
        "assert random_p(found, metric = score, draws = 4) <= 1\n",
        "assert faithfulness(quick, metric = score) >= -9\n",
        "assert faithfulness(top(scores = eap, edges = 30), metric = score) >= -9\n",
        COMPARED.format("found, quick", 2),
    ],
)
def test_what_no_run_has_stored_is_foreseen_though_the_plain_runs_are(
    more: str, earlier: Path, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    shutil.copytree(earlier, store.folder)
    before = foreseen(with_more(""), store)
    assert before.total.forwards == 0
    assert before.claims.seconds == 0
    found = foreseen(with_more(more), store)
    assert found.total.forwards > 0.5
    assert found.total.seconds > 0
    # Every part of a known circuit is known too: nothing is a bound.
    assert not found.total.at_most
    run_program(with_more(more), tmp_path / "out", store=store)
    assert foreseen(with_more(more), store).total.forwards == 0
    assert foreseen(with_more(more), store).claims.seconds == 0


def test_the_circuits_that_a_comparison_measures_are_foreseen_one_by_one(
    earlier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, runs, told = Store(tmp_path / "store"), list[int](), list[int]()
    shutil.copytree(earlier, store.folder)
    measure = vars(evaluation)["circuit_metric"]

    def counted(*args: Any) -> Any:
        runs.append(1)
        return measure(*args)

    monkeypatch.setattr(evaluation, "circuit_metric", counted)
    for circuits, draws in (("found", 2), ("found", 5), ("found, quick", 5), ("found, quick", 5)):
        program = with_more(COMPARED.format(circuits, draws))
        how, values = Forecast(Builder(program, store=store)), program.declarations["both"].values
        names, about = circuits.split(", "), (program.declarations["abc"], "score")
        told.append(sum(how.measurements(*about, name, values, draws=draws) for name in names))
        before = len(runs)
        run_program(program, tmp_path / "out", store=store)
        assert len(runs) - before == told[-1]
    # The circuit itself was claimed before; a longer list of draws begins with the shorter one.
    assert told == [2, 3, 6, 0]


def test_what_is_damaged_in_the_store_is_not_computed_to_foresee(earlier: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    shutil.copytree(earlier, store.folder)
    builder = Builder(with_more(""), store=store)
    key = builder.key(builder.program.declarations["found"])
    (store.folder / key[:2] / f"{key}.json").write_text("{}")
    assert builder.recalled("found") is None
    assert "found" not in builder.built
    assert builder.recalled("quick") is not None
    assert builder.get("found") is not None


def test_without_a_store_nothing_that_takes_time_is_recalled() -> None:
    builder = Builder(with_more(""))
    assert [builder.recalled(name) for name in ("eap", "quick", "found")] == [None, None, None]
    assert builder.recalled("full") is not None
