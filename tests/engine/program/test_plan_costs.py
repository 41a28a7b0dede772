"""Whole programs: the plan knows what everything takes that runs a model."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.checked import program_of
from tests.end_to_end.command import ROOT
from tests.engine.program.scripts import program
from tests.some import some

from nncirc import Program
from nncirc.dsl.check.checker import check_file
from nncirc.engine.blocks import blocks
from nncirc.engine.program import plan
from nncirc.engine.program.plan import Step, plan_program
from nncirc.engine.program.run import run_program
from nncirc.engine.program.store import Store

EXAMPLES = ["interventions", "lens", "weights", "positions", "neurons", "evaluation"]


def example(name: str) -> Program:
    """A script of the examples."""
    return program_of(check_file(ROOT / "examples" / f"{name}.circ"))


def timed(program: Program) -> set[str]:
    """The results that the model runs for; a comparison may measure nothing."""
    return {
        declaration.name
        for declaration in program.declarations.values()
        if blocks()[declaration.kind, declaration.implementation].cost is not None
        and declaration.values.get("metric", True) is not None
    }


def steps_of(program: Program, store: Store | None = None) -> dict[str, Step]:
    return {step.name: step for step in plan_program(program, store=store).steps}


def test_a_plan_knows_what_only_claims_ask_for(tmp_path: Path) -> None:
    """The circuit of another script has to be found before it can be measured."""
    shutil.copy(ROOT / "examples/tasks/docstring.circ", tmp_path / "task.circ")
    script = tmp_path / "claim.circ"
    script.write_text('use "task.circ" as task\n\nassert task.found.edges <= 160\n')
    step = steps_of(program_of(check_file(script)))["task.found"]
    assert step.seconds
    assert step.tested


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_plan_knows_of_everything_that_runs(name: str) -> None:
    script = example(name)
    steps = steps_of(script)
    for each in some(timed(script)):
        assert steps[each].seconds, each
        assert steps[each].forwards, each
        assert steps[each].memory or script.declarations[each].kind in ("curve", "compare"), each


@pytest.mark.parametrize("name", ["interventions", "lens"])
def test_without_weights_the_plan_knows_as_much(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = steps_of(example(name))
    monkeypatch.setattr(plan, "is_at_hand", lambda declaration, size: False)
    steps = steps_of(example(name))
    for each in some(name for name in timed(example(name)) if steps[name].tested is None):
        assert steps[each].forwards == pytest.approx(known[each].forwards, rel=0.01)
        # As large: what is free of memory is not the same twice.
        assert steps[each].memory == pytest.approx(known[each].memory, rel=0.1)
        assert steps[each].seconds


def test_without_weights_acdc_is_bounded_and_the_plan_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "is_at_hand", lambda declaration, size: False)
    found = plan_program(program(), store=Store(tmp_path))
    steps = {step.name: step for step in found.steps}
    assert steps["found"].at_most
    assert steps["found"].tested == 479
    assert steps["found"].seconds
    assert not steps["eap"].at_most
    assert "small: its weights are not at hand; costs of ACDC are upper bounds" in found.notes
    assert "≤" in found.as_text()


def test_what_is_stored_takes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    run_program(program(), tmp_path / "out", store=store)
    steps = steps_of(program(), store)
    assert all(steps[name].stored and steps[name].seconds == 0 for name in ("eap", "nodes", "heads", "found"))
    assert "stored" in plan_program(program(), store=store).as_text()
    assert not steps_of(program())["found"].stored
