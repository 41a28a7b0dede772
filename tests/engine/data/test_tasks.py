"""Prompts of the tasks: of single tokens, aligned, answered as the definitions say, or refused."""

from __future__ import annotations

import re

import pytest
from tests.house.tree import ROOT
from tests.refused import refused
from tests.some import some

from nncirc import (
    Dataset,
    Tokenizer,
    all_inputs,
    check_alignment,
    load_tokenizer,
    replace,
    resolve,
    task_dataset,
    tokens_of,
)
from nncirc.circuits.errors import DataError
from nncirc.circuits.tasks import TASKS, Derived, Task
from nncirc.engine.model.compiled import read_config, symbol_tokenizer

PROGRAMS = [name for name, task in TASKS.items() if task.symbols]
WORDED = [name for name in TASKS if name not in PROGRAMS]
ALL = [(name, corrupt) for name in WORDED for corrupt in TASKS[name].corruptions]


@pytest.fixture(scope="session")
def ioi_4l() -> Tokenizer:
    return load_tokenizer(ROOT / "circuits/models/ioi-4l")


@pytest.fixture(scope="session")
def tasks_4l() -> Tokenizer:
    return load_tokenizer(ROOT / "circuits/models/tasks-4l")


@pytest.fixture(scope="session")
def induction_2l() -> Tokenizer:
    return load_tokenizer(ROOT / "circuits/models/induction-2l")


def texts(tokenizer: Tokenizer, target: object) -> list[str]:
    return [tokenizer.decode([token]) for token in tokens_of(target)]  # type: ignore[arg-type]


def by_hand(dataset: Dataset, number: int, replaced: dict[str, str]) -> str:
    """A prompt of a task, filled in with regular expressions."""
    example = dataset.examples[number]
    seen: dict[str, int] = {}

    def word(match: re.Match[str]) -> str:
        slot = match.group(1)
        seen[slot] = seen.get(slot, 0) + 1
        by = replaced.get(f"{slot}.{seen[slot]}") or replaced.get(slot) or slot
        return str(example.values[by])

    task = TASKS[dataset.made["task"]]
    return re.sub(r"\{(\w+)\}", word, task.phrasings[example.phrasing])


@pytest.mark.parametrize("whose", ["gpt2", "tasks_4l"])
@pytest.mark.parametrize(("name", "corrupt"), ALL)
def test_every_task_can_be_asked(request: pytest.FixtureRequest, whose: str, name: str, corrupt: str) -> None:
    task, tokenizer = TASKS[name], request.getfixturevalue(whose)
    dataset = task_dataset(tokenizer, name, size=32, corrupt=corrupt)
    if whose == "tasks_4l":
        assert not any(dataset.made["left_out"].values())
    assert len({example.tokens for example in dataset.examples}) == len(dataset.examples) == 32
    assert dataset.counterparts is not None
    check_alignment(dataset, dataset.counterparts)
    if task.answers is None:
        return
    for number, (clean, other) in enumerate(zip(dataset.examples, dataset.counterparts, strict=True)):
        assert clean.text == by_hand(dataset, number, {})
        assert other.text == by_hand(dataset, number, dict(task.corruptions[corrupt]))
        assert list(clean.tokens) == tokenizer(clean.text)["input_ids"]
        # Each slot is one token, which is the word.
        for (slot, occurrence), (start, stop) in clean.spans.items():
            assert tokenizer.decode(list(clean.tokens[start:stop])).strip() == clean.values[slot]
            assert resolve(clean, slot, occurrence) == (start,)
        words = {slot: str(value) for slot, value in clean.values.items()}
        assert sorted(texts(tokenizer, clean.answer)) == sorted(task.answers(words, clean.phrasing))
        assert task.foils is not None
        assert sorted(texts(tokenizer, clean.foil)) == sorted(task.foils(words, clean.phrasing))
        assert (other.answer, other.foil) == (clean.answer, clean.foil)


@pytest.mark.parametrize("name", WORDED)
def test_what_is_right_in_the_corrupted_prompt_is_not_right_in_the_clean_one(
    gpt2: Tokenizer, name: str
) -> None:
    """The answers are those of the sentence: read off the text, not off the slots."""
    for example in some(task_dataset(gpt2, name, size=8, seed=3).examples):
        text, answers = example.text, texts(gpt2, example.answer)
        match name:
            case "ioi":
                (answer,) = answers
                assert text.count(answer) == 1
            case "greater_than":
                year = int(re.findall(r"year \d\d(\d\d)", text)[0])
                assert all(int(answer) > year for answer in some(answers))
            case "colored_objects":
                assert f"a{answers[0]} {text.split()[-2]}" in text
            case "multiple_choice":
                color = text.split(".")[0].split()[-1]
                assert f"{answers[0][1]}. {color}\n" in text
            case "docstring":
                names = re.findall(r"self, (\w+), (\w+), (\w+),", text)[0]
                assert re.findall(r":param (\w+)", text) == list(names[:2])
                assert answers == [f" {names[2]}"]
            case _:
                assert len(answers) in (0, 1, 3)


def test_both_orders_come(gpt2: Tokenizer) -> None:
    first = [next(iter(example.spans))[0] for example in task_dataset(gpt2, "ioi", size=10).examples]
    assert first == ["IO", "S"] * 5


def test_prompts_depend_on_the_seed_alone(gpt2: Tokenizer) -> None:
    few, many = (task_dataset(gpt2, "docstring", size=size, seed=1) for size in (3, 6))
    assert many.examples[:3] == few.examples
    assert task_dataset(gpt2, "docstring", size=3, seed=2).examples != few.examples


def test_slots_can_be_replaced_otherwise(gpt2: Tokenizer) -> None:
    dataset = task_dataset(gpt2, "greater_than", size=4)
    assert replace(dataset, {("YY", None): "first"}) == dataset.counterparts


def test_years_that_are_split_elsewhere_are_left_out(gpt2: Tokenizer) -> None:
    dataset = task_dataset(gpt2, "greater_than", size=4)
    assert dataset.made["left_out"] == {"YY": ["40", "80"]}  # " 1440" and " 1280"
    assert [note for note in dataset.notes if note.startswith("2 of the 89 words of `YY` are left out")]


@pytest.mark.parametrize("corrupt", TASKS["ioi"].corruptions)
def test_the_bundled_model_can_be_asked_who_receives(ioi_4l: Tokenizer, corrupt: str) -> None:
    dataset = task_dataset(ioi_4l, "ioi", size=32, corrupt=corrupt)
    assert not dataset.notes
    assert {example.phrasing for example in dataset.examples} == set(range(10))


def test_the_bundled_model_of_names_repeats_blocks(induction_2l: Tokenizer) -> None:
    dataset = task_dataset(induction_2l, "induction", size=8)
    assert dataset.answers == "next"
    assert dataset.counterparts is not None
    for clean, other in zip(dataset.examples, dataset.counterparts, strict=True):
        assert clean.tokens[:16] == clean.tokens[16:] == other.tokens[16:]
        assert not set(other.tokens[:16]) & set(clean.tokens)


@pytest.mark.parametrize("name", [name for name in WORDED if name not in ("ioi", "induction")])
def test_others_are_refused_by_it(ioi_4l: Tokenizer, name: str) -> None:
    with refused(DataError, "C306" if name == "gendered_pronouns" else "C350"):
        task_dataset(ioi_4l, name, size=4)


OWN = Task(
    name="own",
    doc="",
    source="",
    metric="logit_diff(at = end)",
    phrasings=("A {X} sees a",),
    slots={("X",): ("cat", "dog", "lion"), ("Y",): ("horse", "rhinoceros")},
    corruptions={"y": {"X": "Y"}},
    answers=lambda values, _: (f" {values['young']}",),
    foils=lambda *_: (" house",),
    derived={"young": Derived("X", {"cat": "kitten", "dog": "bird", "lion": "lionesslike"})},
)


def test_words_are_held_to_the_places_that_they_have_in_corrupted_prompts_and_in_answers(
    gpt2: Tokenizer,
) -> None:
    dataset = task_dataset(gpt2, OWN, size=2)
    assert dataset.made["left_out"] == {"X": ["lion"], "Y": ["rhinoceros"]}
    assert {example.values["X"] for example in dataset.examples} == {"cat", "dog"}
    assert {example.values["Y"] for example in dataset.examples} == {"horse"}


def test_the_refusal_says_which_words_are_missing(ioi_4l: Tokenizer) -> None:
    with pytest.raises(DataError) as error:
        task_dataset(ioi_4l, "capitals", size=4)
    assert error.value.message == (
        "the task capitals does not work with this tokenizer: of its 36 words for country, other, 0 are "
        'single tokens, and 2 are needed; for example, "France" is not'
    )


def test_an_unknown_corruption_is_refused(ioi_4l: Tokenizer) -> None:
    with pytest.raises(DataError, match="expected abc, swapped") as error:
        task_dataset(ioi_4l, "ioi", size=4, corrupt="swap")
    assert (error.value.code, error.value.hint) == ("C352", "did you mean `swapped`?")


# Compiled programs


def program(name: str) -> Tokenizer:
    """The tokenizer of the bundled model that a task is named after."""
    return symbol_tokenizer(read_config(ROOT / "circuits/models" / name.replace("_", "-")))


@pytest.mark.parametrize("name", PROGRAMS)
def test_all_inputs_of_a_program_come_once_against_others_of_the_same_length(name: str) -> None:
    tokenizer = program(name)
    every = all_inputs(tokenizer, length=5).examples
    dataset = task_dataset(tokenizer, name, size=len(every))
    assert sorted(example.tokens for example in dataset.examples) == [example.tokens for example in every]
    assert dataset.answers is None
    assert dataset.counterparts is not None
    inputs = {example.tokens for example in every}
    for clean, other in zip(dataset.examples, dataset.counterparts, strict=True):
        assert other.tokens in inputs
        assert all(a != b for a, b in zip(clean.tokens[1:], other.tokens[1:], strict=True))
        assert [resolve(clean, f"t{i}") for i in range(1, 6)] == [(i,) for i in range(1, 6)]  # behind BOS
    # Every other symbol stands against each.
    pairs = {
        pair
        for clean, other in zip(dataset.examples, dataset.counterparts, strict=True)
        for pair in zip(clean.tokens[1:], other.tokens[1:], strict=True)
    }
    symbols = len(TASKS[name].symbols)
    assert len(pairs) == symbols * (symbols - 1)


@pytest.mark.parametrize("name", PROGRAMS)
def test_more_inputs_than_there_are_are_refused(name: str) -> None:
    every = len(TASKS[name].symbols) ** 5
    with refused(DataError, "C310", f"has only {every:,} different prompts"):
        task_dataset(program(name), name, size=every + 1)


def test_inputs_of_a_program_depend_on_the_seed_alone() -> None:
    tokenizer = program("tracr_reverse")
    few, many = (task_dataset(tokenizer, "tracr_reverse", size=size, seed=1) for size in (3, 6))
    assert (many.examples[:3], (many.counterparts or ())[:3]) == (few.examples, few.counterparts)
    assert task_dataset(tokenizer, "tracr_reverse", size=3, seed=2).examples != few.examples


def test_a_program_is_asked_no_other_task() -> None:
    for name in ("ioi", "induction"):
        with refused(DataError, {"ioi": "C350", "induction": "C309"}[name]):
            task_dataset(program("tracr_reverse"), name, size=4)


def test_inputs_of_a_program_are_for_models_of_its_symbols_alone(gpt2: Tokenizer, ioi_4l: Tokenizer) -> None:
    """GPT-2 has tokens for all of them, and would read them as words."""
    for tokenizer, why in (
        (gpt2, "has 50256 tokens, "),
        (ioi_4l, 'lacks "1"'),
        (program("tracr_xproportion"), 'lacks "1"'),
    ):
        with refused(DataError, "C353", f"reads only 1, 2, 3; this tokenizer {why}"):
            task_dataset(tokenizer, "tracr_reverse", size=4)
