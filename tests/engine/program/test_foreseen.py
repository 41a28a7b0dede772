"""Whole programs: everything that takes time has a prediction, in the plan and beside what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.end_to_end.command import ROOT

from nncirc.dsl import Program, check_text
from nncirc.dsl.checker import check_file
from nncirc.engine.knockouts import completeness
from nncirc.engine.program import plan
from nncirc.engine.program.build import Builder
from nncirc.engine.program.forecast.claims import size_of
from nncirc.engine.program.forecast.predict import Forecast, forecast
from nncirc.engine.program.plan import plan_program
from nncirc.engine.program.run import run_program

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
    for each in timed(example(name)):
        if not steps[each].at_most:
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
