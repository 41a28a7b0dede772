"""Definitions of tasks: consistent in themselves, documented as they are."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from tests.checked import program_of
from tests.refused import refused
from tests.some import some

from nncirc import check_text
from nncirc.circuits.errors import DataError
from nncirc.circuits.tasks import TASKS, Derived, Task, task_named
from nncirc.circuits.tasks.page import page

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=list(TASKS.values()), ids=list(TASKS))
def task(request: pytest.FixtureRequest) -> Task:
    """Each task in turn."""
    found: Task = request.param
    return found


def fields(phrasing: str) -> Counter[str]:
    return Counter(re.findall(r"\{(\w+)\}", phrasing))


def test_every_slot_is_declared_once_and_used(task: Task) -> None:
    assert len(set(task.slot_names)) == len(task.slot_names)
    used = {slot for phrasing in task.phrasings for slot in fields(phrasing)}
    used |= {source for each in task.corruptions.values() for source in each.values()}
    assert used <= set(task.slot_names)
    drawn = {slot for names in task.slots for slot in names}
    assert drawn <= used | {each.slot for each in task.derived.values()}


def test_corruptions_are_of_places_that_every_phrasing_has(task: Task) -> None:
    for place in some(place for replacements in task.corruptions.values() for place in replacements):
        slot, _, number = place.partition(".")
        assert all(fields(phrasing)[slot] >= int(number or 1) for phrasing in some(task.phrasings))


def test_words_are_given_once(task: Task) -> None:
    for source in some(task.slots.values()):
        assert isinstance(source, int) or len(set(source)) == len(source)


@pytest.mark.parametrize(
    ("task", "derived"), [(task, derived) for task in TASKS.values() for derived in task.derived.values()]
)
def test_what_follows_follows_from_every_word(task: Task, derived: Derived) -> None:
    (source,) = (source for names, source in task.slots.items() if derived.slot in names)
    assert isinstance(source, tuple)
    assert set(source) <= set(derived.table)


def test_nobody_is_given_their_own_name() -> None:
    table = TASKS["gendered_pronouns"].derived["other"].table
    assert all(table[table[name]] == name != table[name] for name in table)


def test_all_years_above_are_right_and_all_others_wrong() -> None:
    task = TASKS["greater_than"]
    assert task.answers is not None
    assert task.foils is not None
    assert task.answers({"YY": "97"}, 0) == ("98", "99")
    right, wrong = task.answers({"YY": "32"}, 0), task.foils({"YY": "32"}, 0)
    assert sorted(right + wrong) == [f"{year:02}" for year in range(100)]
    assert min(right) == "33"
    assert max(wrong) == "32"


def test_the_letter_is_that_of_the_option() -> None:
    task = TASKS["multiple_choice"]
    assert task.answers is not None
    assert task.foils is not None
    for number, phrasing in enumerate(task.phrasings):
        lines = dict(line.split(". ", 1) for line in phrasing.split("\n")[1:-1])
        assert [f" {letter}" for letter in lines if lines[letter] == "{C}"] == list(task.answers({}, number))
        assert [f" {letter}" for letter in lines if lines[letter] == "{W1}"] == list(task.foils({}, number))


def of_gpt2(task: Task, more: str) -> str:
    """A script that asks GPT-2 a task, and goes on."""
    return f"""
model gpt2 using huggingface {{
  id = "openai-community/gpt2"
}}
dataset asked using task {{
  model = gpt2
  task  = "{task.name}"
  size  = 4
}}
corruption other using counterpart {{
  data = asked
}}
{more}
"""


def test_scripts_can_measure_the_metric_of_each_task(task: Task) -> None:
    script = of_gpt2(task, f"assert clean({task.metric}, corruption = other) > 0")
    assert not check_text(script).diagnostics


def test_the_metric_of_a_task_is_the_one_that_is_named(task: Task) -> None:
    script = of_gpt2(
        task,
        f"""
metric paper using task {{
  data = asked
}}
assert clean({task.metric}, corruption = other) > 0
assert clean(task(data = asked, normalize = true), corruption = other) > 0""",
    )
    program = program_of(check_text(script))
    named, *inline = [each for each in program.declarations.values() if each.kind == "metric"]
    written, normalized = sorted(inline, key=lambda each: bool(each.values["normalize"]))
    assert (named.implementation, named.values) == (written.implementation, written.values)
    assert dict(normalized.values) == {**written.values, "normalize": True}


def test_a_program_gives_values_and_no_logits_of_answers() -> None:
    script = """
model reverse using bundled {
  name = "tracr-reverse"
}
dataset inputs using task {
  model = reverse
  task  = "tracr_reverse"
  size  = 4
}
corruption other using counterpart {
  data = inputs
}
assert clean(logit_diff(at = end), corruption = other) > 0
"""
    (found,) = check_text(script).diagnostics
    assert found.code == "C433"
    assert found.help is not None
    assert "measure `mse`" in found.help


@pytest.mark.parametrize("name", [name for name, task in TASKS.items() if task.symbols])
def test_inputs_of_programs_are_as_long_as_the_bundled_model_takes_them(name: str) -> None:
    text = (ROOT / "circuits/models" / name.replace("_", "-") / "config.json").read_text(encoding="utf-8")
    config = json.loads(text)
    assert len(fields(TASKS[name].phrasings[0])) == config["n_ctx"] - 1  # BOS
    symbols = {str(symbol) for symbol, _ in config["input_encoder"]}
    assert symbols - {config["bos_token"], config["pad_token"]} == set(TASKS[name].symbols)


def test_an_unknown_task_is_refused() -> None:
    with refused(DataError, "C351", "unknown task `greater`; expected ioi, greater_than") as error:
        task_named("greater")
    assert error.value.hint == "did you mean `greater_than`?"


def test_the_page_of_tasks_is_up_to_date() -> None:
    """Write it with `python -m nncirc.circuits.tasks.page docs/tasks.md`."""
    assert (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8") == page()
