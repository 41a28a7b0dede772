"""Prompts written out, and files of them: whole and broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from tests.engine.data.conftest import SHARED

from nncirc import NEXT, Tokenizer, check_alignment, counterpart, file_dataset, prompt_dataset
from nncirc.circuits.errors import DataError

PAIRS = "clean,corrupt,right,wrong\nthe cat,the dog,Mary,John\nthe ball,a ball,Anna,Paul\n"


def message_of(*arguments: Any, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        if "path" in options or len(arguments) > 1:
            file_dataset(*arguments, **{"clean": "clean", **options})
        else:
            prompt_dataset(*arguments, **options)
    return str(caught.value)


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# Written out


def test_pairs(words: Tokenizer) -> None:
    vocabulary = words.get_vocab()
    dataset = prompt_dataset(
        words, clean=["the cat", "the dog"], corrupt=["a cat", "a dog"], answer=["Mary", "John"], foil="Anna"
    )
    assert [example.text for example in dataset.examples] == ["the cat", "the dog"]
    assert [example.text for example in counterpart(dataset)] == ["a cat", "a dog"]
    assert [example.answer for example in dataset.examples] == [vocabulary["Mary"], vocabulary["John"]]
    assert {example.foil for example in dataset.examples} == {vocabulary["Anna"]}
    assert dataset.answers == "token"
    assert dataset.made["corrupt"] == ["a cat", "a dog"]


def test_one_prompt_is_not_a_list_of_letters(words: Tokenizer) -> None:
    assert len(prompt_dataset(words, clean="the cat", answer=NEXT).examples) == 1


def test_braces_are_text(gpt2: Tokenizer) -> None:
    assert prompt_dataset(gpt2, clean="def f(): return {x}").examples[0].text == "def f(): return {x}"


def test_what_cannot_be_said(words: Tokenizer) -> None:
    cases: list[dict[str, Any]] = [
        {"clean": []},
        {"clean": ["x", "y"], "corrupt": ["z"]},
        {"clean": ["x", "y"], "answer": ["Mary"]},
        {"clean": ["x", ""]},
        {"clean": ["x"], "foil": "Mary"},
        {"clean": ["x"], "answer": "Mary", "foil": "Mary"},
        {"clean": ["x", "y", "x q"]},
        {"clean": ["x"], "answer": ""},
        {"clean": ["x"], "answer": " Bob"},
    ]
    assert [message_of(words, **case) for case in cases] == [
        "[C318] there are no prompts\n  help: give at least one",
        "[C318] corrupt has 1 text for 2 clean prompts\n  help: give every prompt its corrupted version",
        "[C318] answer has 1 text for 2 clean prompts\n"
        "  help: give every prompt its answer, or one text for all",
        '[C311] prompt 2: the prompt "" has no tokens\n  help: write something in it',
        "[C304] a foil needs an answer to be compared with\n  help: add answer = ..., or remove the foil",
        '[C304] prompt 1: answer and foil are the same token, "Mary"\n'
        "  help: use another foil, or the difference is always 0; slots declared on one line always differ",
        '[C306] prompt 3: "q" in "x q" is unknown to the tokenizer: it becomes [UNK]\n'
        "  help: use words of the tokenizer's vocabulary; the model cannot tell unknown words apart",
        '[C303] prompt 1: the answer is empty\n  help: write the token as text, such as answer = " Mary"',
        '[C303] prompt 1: the answer " Bob" is unknown to the tokenizer\n'
        "  help: use words of the tokenizer's vocabulary; the model cannot tell unknown words apart",
    ]


# Files


def test_a_csv_file(words: Tokenizer, tmp_path: Path) -> None:
    path = written(tmp_path, "pairs.csv", "\ufeff" + PAIRS)
    dataset = file_dataset(
        words, path, clean="clean", corrupt="corrupt", answer="right", foil="wrong", keep=["right"]
    )
    check_alignment(dataset, counterpart(dataset))
    assert [example.text for example in dataset.examples] == ["the cat", "the ball"]
    assert dataset.examples[1].values == {"right": "Anna"}
    assert dataset.made["file"] == "pairs.csv"
    assert str(tmp_path) not in json.dumps(dict(dataset.made))


def test_the_first_rows_of_a_file(words: Tokenizer, tmp_path: Path) -> None:
    path = written(tmp_path, "pairs.csv", PAIRS)
    assert len(file_dataset(words, path, clean="clean", size=1).examples) == 1
    assert len(file_dataset(words, path, clean="clean", size=9).examples) == 2


@settings(max_examples=24, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1), min_size=1, max_size=4
    )
)
def test_jsonl_gives_back_what_was_written(gpt2: Tokenizer, tmp_path: Path, texts: list[str]) -> None:
    lines = "\n\n".join(json.dumps({"clean": text}, ensure_ascii=False) for text in texts)
    dataset = file_dataset(gpt2, written(tmp_path, "a.jsonl", lines), clean="clean")
    assert [example.text for example in dataset.examples] == texts


@settings(max_examples=90, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=60), name=st.sampled_from(["a.csv", "a.jsonl"]), head=st.booleans())
def test_no_bytes_break_it(words: Tokenizer, tmp_path: Path, content: bytes, name: str, head: bool) -> None:
    lead = {"a.csv": b"clean,other\n", "a.jsonl": b'{"clean": "the cat"}\n'}[name] if head else b""
    path = written(tmp_path, name, lead + content)
    try:
        file_dataset(words, path, clean="clean")
    except DataError as error:
        assert error.code.startswith("C3")


CSV: dict[str, str | bytes] = {
    "too few fields": "clean,right\nthe cat,Mary\nthe cat\n",
    "too many fields": "clean,right\nthe cat, sat,Mary\n",
    "an open quote": 'clean,right\nthe cat,Mary\n"the dog,John\nthe ball,Anna\n',
    "a quote too many": 'clean,right\n"the "cat",Mary\n',
    "a column twice": "clean,clean\nx,y\n",
    "no such column": "claen,right\nthe cat,Mary\n",
    "a header and nothing else": "clean,right\n",
    "nothing at all": "",
    "an empty prompt": "clean,right\nthe cat,Mary\n,John\n",
    "a long field": "clean,right\nthe cat,Mary\n" + "x" * 200_000 + ",John\n",
    "not UTF-8": b"clean,right\nthe cat,Mary\nZo\xeb,John\n",
    "a zero byte": "clean,right\nthe cat,Mary\nthe \0cat,John\n",
}
JSONL = {
    "no JSON": '{"clean": "the cat"}\n{"clean": the dog}\n',
    "a list": '{"clean": "the cat"}\n["the dog"]\n',
    "a number for a text": '{"clean": 5}\n',
    "a column that one line lacks": '{"clean": "the cat"}\n\n{"clear": "the dog"}\n',
    "a column twice": '{"clean": "the cat", "clean": "the dog"}',
    "a very deep value": '{"clean": ' + "[" * 100_000 + "\n",
    "a very long number": '{"clean": ' + "1" * 5_000 + "}\n",
    "a long text": json.dumps({"clean": "x" * 200_000}),
}


BROKEN = {
    "too few fields (csv)": (
        "[C316] data.csv, line 3: found 1 field, but the header has 2: clean, right\n"
        "  help: write every field, even if it is empty"
    ),
    "too many fields (csv)": (
        "[C316] data.csv, line 2: found 3 fields, but the header has 2: clean, right\n"
        "  help: put a field that contains a comma in double quotes"
    ),
    "an open quote (csv)": (
        '[C316] data.csv, line 3: a field that begins with " is never closed\n'
        '  help: end it with ", and write "" for a quote inside it'
    ),
    "a quote too many (csv)": (
        '[C316] data.csv, line 2: text after the closing " of a field\n'
        '  help: write "" for a quote inside a quoted field'
    ),
    "a column twice (csv)": (
        "[C316] data.csv, line 1: duplicate column `clean`\n  help: give every column its own name"
    ),
    "no such column (csv)": (
        "[C317] data.csv, line 1: missing column `clean`; found claen, right\n  help: did you mean `claen`?"
    ),
    "a header and nothing else (csv)": ("[C318] data.csv has no rows\n  help: add at least one prompt"),
    "nothing at all (csv)": ("[C318] data.csv has no rows\n  help: add at least one prompt"),
    "an empty prompt (csv)": (
        '[C311] data.csv, line 3: the prompt "" has no tokens\n  help: write something in it'
    ),
    "a long field (csv)": (
        "[C316] data.csv, line 3: a field has more than 100000 characters\n"
        "  help: check for an unclosed quote"
    ),
    "not UTF-8 (csv)": ("[C315] data.csv, line 3: byte 0xeb is not UTF-8\n  help: save the file as UTF-8"),
    "a zero byte (csv)": (
        '[C306] data.csv, line 3: "\\x00" in "the \\x00cat" is unknown to the tokenizer: it becomes [UNK]\n'
        "  help: use words of the tokenizer's vocabulary; the model cannot tell unknown words apart"
    ),
    "no JSON (jsonl)": (
        "[C316] data.jsonl, line 2: invalid JSON at column 11: Expecting value\n"
        "  help: write one JSON object per line"
    ),
    "a list (jsonl)": (
        "[C316] data.jsonl, line 2: expected a JSON object, found a list\n"
        '  help: write {"clean": "...", ...} on each line'
    ),
    "a number for a text (jsonl)": (
        "[C316] data.jsonl, line 1: the column `clean` contains 5; expected text\n  help: put it in quotes"
    ),
    "a column that one line lacks (jsonl)": (
        "[C317] data.jsonl, line 3: missing column `clean`; found clear\n  help: did you mean `clear`?"
    ),
    "a column twice (jsonl)": (
        "[C316] data.jsonl, line 1: duplicate column `clean`\n  help: give every column its own name"
    ),
    "a very deep value (jsonl)": (
        "[C316] data.jsonl, line 1: the JSON is nested too deeply\n  help: write a flat object"
    ),
    "a very long number (jsonl)": (
        "[C316] data.jsonl, line 1: a number has too many digits\n  help: put it in quotes"
    ),
    "a long text (jsonl)": (
        "[C316] data.jsonl, line 1: the column `clean` has 200000 characters, more than 100000\n"
        "  help: check for an unclosed quote"
    ),
}


@pytest.mark.parametrize(
    ("kind", "name"), [*(("csv", name) for name in CSV), *(("jsonl", name) for name in JSONL)]
)
def test_broken_files(words: Tokenizer, tmp_path: Path, kind: str, name: str) -> None:
    path = written(tmp_path, f"data.{kind}", CSV[name] if kind == "csv" else JSONL[name])
    assert message_of(words, path) == BROKEN[f"{name} ({kind})"]


def test_an_answer_of_a_file_names_its_line(words: Tokenizer, tmp_path: Path) -> None:
    path = written(tmp_path, "data.csv", "clean,right\nthe cat,Mary\nthe dog,Mary John\n")
    assert message_of(words, path, answer="right").startswith(
        '[C303] data.csv, line 3: the answer "Mary John"'
    )


def test_lines_are_counted_over_line_breaks_in_quotes(words: Tokenizer, tmp_path: Path) -> None:
    path = written(tmp_path, "data.csv", 'clean,right\r\n"the\r\ncat",Mary\r\n\r\nq q,John\r\n')
    assert message_of(words, path).startswith('[C306] data.csv, line 5: "q"')


def test_paths(words: Tokenizer, tmp_path: Path) -> None:
    written(tmp_path, "pairs.csv", PAIRS)
    written(tmp_path, "pairs.txt", PAIRS)
    (tmp_path / "folder.csv").mkdir()
    cases: list[tuple[str, dict[str, Any]]] = [
        ("pair.csv", {}),
        ("folder.csv", {}),
        ("pairs.txt", {}),
        ("pairs.csv", {"size": 0}),
    ]
    assert [
        message_of(words, tmp_path / name, **options).replace(f"{tmp_path}/", "") for name, options in cases
    ] == [
        "[C315] there is no file pair.csv\n  help: did you mean `pairs.csv`?",
        "[C315] folder.csv cannot be read: it is a folder\n"
        "  help: name a .csv or .jsonl file of prompts that you can read",
        "[C315] unknown format of pairs.txt: expected .csv or .jsonl\n"
        '  help: write format = "csv" or format = "jsonl"',
        "[C312] size must be a whole number of at least 1, got 0",
    ]


# Published task data


@pytest.fixture(scope="session")
def data() -> Path:
    if not (SHARED / "data").is_dir():
        pytest.skip("needs the task data of the shared folder (NNCIRC_SHARED)")
    return SHARED / "data"


def test_greater_than(gpt2: Tokenizer, data: Path) -> None:
    path = data / "greater_than" / "greater_than_data.csv"
    dataset = file_dataset(gpt2, path, clean="clean", corrupt="corrupted", answer="label", keep=["label"])
    check_alignment(dataset, counterpart(dataset))
    example = dataset.examples[0]
    assert gpt2.decode([example.answer]) == example.values["label"]


def test_subject_verb_agreement(gpt2: Tokenizer, data: Path) -> None:
    dataset = file_dataset(
        gpt2,
        data / "sva" / "simple_test.json",
        format="jsonl",
        clean="clean_prefix",
        corrupt="patch_prefix",
        answer="clean_answer",
        foil="patch_answer",
        size=200,
    )
    assert gpt2.decode([dataset.examples[0].answer]) == " has"
    with pytest.raises(DataError, match="23 of 120 clean and corrupted prompts do not align"):
        check_alignment(dataset, counterpart(dataset))  # " uncle", and " un", "cles"
