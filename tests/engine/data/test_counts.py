"""Datasets that ask for too much, or hold what is no text, are refused at once and in a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.checked import program_of

from nncirc import (
    Tokenizer,
    all_inputs,
    file_dataset,
    prompt_dataset,
    random_tokens,
    template_dataset,
    token_dataset,
)
from nncirc.circuits.errors import DataError
from nncirc.engine.data.counts import MOST_TARGETS

HUGE = 999_999_999_999_999_999


def refused(call: Any, *arguments: Any, **options: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        call(*arguments, **options)
    assert len(caught.value.message) < 1000
    return caught.value


def test_numbers_that_are_too_large(words: Tokenizer) -> None:
    calls: list[tuple[Any, dict[str, Any]]] = [
        (all_inputs, {"length": 9100}),
        (all_inputs, {"length": HUGE}),
        (all_inputs, {"length": 1, "counterparts": HUGE}),
        (token_dataset, {"length": 5, "size": 1, "copies": HUGE}),
        (token_dataset, {"length": 5, "size": HUGE}),
        (token_dataset, {"length": HUGE, "size": 1}),
        (template_dataset, {"prompt": "the cat", "size": HUGE}),
    ]
    for call, options in calls:
        assert refused(call, words, **options).code == "C348", options
    assert refused(random_tokens, HUGE).code == "C348"


def test_how_many_inputs_there_would_be_is_said_in_a_line(words: Tokenizer) -> None:
    message = refused(all_inputs, words, length=9100).message
    assert (
        message == f"27 tokens at length 9100 give 10^{int(9100 * 1.431363764)} inputs and 10^13025 prompts"
    )


def test_a_table_of_200_000_columns(words: Tokenizer, tmp_path: Path) -> None:
    """Each is looked at once: with a comparison of all with all this takes minutes."""
    path = tmp_path / "wide.csv"
    names = [f"column{i}" for i in range(200_000)]
    row = ",".join("x" for _ in names)
    path.write_text(f"clean,{','.join(names)}\nx,{row}\n")
    assert file_dataset(words, path, clean="clean").examples[0].text == "x"
    assert refused(file_dataset, words, path, clean="claen").code == "C317"
    path.write_text(f"clean,{','.join(names)}\nx,y\n")
    assert refused(file_dataset, words, path, clean="clean").code == "C316"


@pytest.mark.parametrize("of", ["answer", "answer_ids"])
def test_a_cell_of_100_000_answers(words: Tokenizer, tmp_path: Path, of: str) -> None:
    path = tmp_path / "many.jsonl"
    cell = [f"w{i}" if of == "answer" else i for i in range(100_000)]
    path.write_text(json.dumps({"clean": "x", "of": cell}))
    columns: dict[str, Any] = {of: "of"}
    assert refused(file_dataset, words, path, clean="clean", **columns).code == "C348"
    given: dict[str, Any] = {of: [cell]}
    assert refused(prompt_dataset, words, clean="x", **given).code == "C348"


def test_as_many_answers_as_there_may_be(gpt2: Tokenizer) -> None:
    texts = [
        f" {name[1:]}"
        for name in sorted(gpt2.get_vocab())
        if name[:1] == "Ġ" and name[1:].isalpha() and name.isascii() is False
    ][:MOST_TARGETS]
    dataset = prompt_dataset(gpt2, clean="x", answer=[texts])
    answer = dataset.examples[0].answer
    assert isinstance(answer, tuple)
    assert len(answer) == len(texts) > 5000


def test_a_word_list_of_100_000(words: Tokenizer) -> None:
    many = [str(i) for i in range(100_000)]
    assert refused(template_dataset, words, prompt="{X}", slots={"X": [*many, "5"]}, size=1).code == "C309"
    assert refused(template_dataset, words, prompt=[*many, "5"], size=1).code == "C311"


# Halves of characters

HALF = "the \ud800cat"


def test_halves_of_characters(words: Tokenizer) -> None:
    calls: list[tuple[Any, dict[str, Any]]] = [
        (prompt_dataset, {"clean": HALF}),
        (prompt_dataset, {"clean": "the cat", "corrupt": HALF}),
        (prompt_dataset, {"clean": "the cat", "answer": HALF}),
        (prompt_dataset, {"clean": "the cat", "answer": HALF, "teacher_forced": True}),
        (template_dataset, {"prompt": HALF, "size": 1}),
        (template_dataset, {"prompt": "{X}", "slots": {"X": [HALF]}, "size": 1}),
        (template_dataset, {"prompt": "the cat", "answer": HALF, "size": 1}),
    ]
    for call, options in calls:
        error = refused(call, words, **options)
        assert (error.code, "U+D800" in error.message) == ("C311", True), error
        assert str(error).isascii()


@pytest.mark.parametrize("column", ["clean", "answer", "note"])
def test_halves_of_characters_in_a_file(words: Tokenizer, tmp_path: Path, column: str) -> None:
    path = tmp_path / "a.jsonl"
    row = {"clean": "the cat", "answer": "Mary", "note": "seen", column: HALF}
    path.write_text(json.dumps(row))
    error = refused(file_dataset, words, path, clean="clean", answer="answer", keep=["note"])
    assert error.message == f"a.jsonl, line 1: the column `{column}` contains the unpaired surrogate U+D800"


def test_a_script_is_shown_the_number_that_is_too_large() -> None:
    from nncirc import check_text
    from nncirc.engine.blocks import blocks
    from nncirc.engine.program.build import Builder
    from nncirc.engine.program.places import ProgramError

    for key in ("size", "length", "copies"):
        values = {"size": 2, "length": 3, "copies": 2, key: HUGE}
        keys = "\n".join(f"  {name} = {value}" for name, value in values.items())
        model = 'model m using bundled {\n  name = "ioi-4l"\n}\n'
        text = f"{model}dataset d using tokens {{\n  model = m\n{keys}\n}}\n"
        with pytest.raises(ProgramError) as caught:
            Builder(program_of(check_text(text)), blocks()).get("d")
        assert caught.value.code == "C348"
        shown = caught.value.diagnostic.span.text
        assert shown == (str(values["copies"]) if key == "length" else str(HUGE))
