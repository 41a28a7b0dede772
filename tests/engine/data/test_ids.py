"""Answers and foils as ids of tokens: from Python, from tables that other programs wrote, and in scripts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.checked import program_of

from nncirc import (
    NEXT,
    Dataset,
    Tokenizer,
    check_text,
    file_dataset,
    prompt_dataset,
    random_tokens,
    template_dataset,
    tokens_of,
    with_answers,
)
from nncirc.circuits.errors import NncircError
from nncirc.engine.blocks import blocks
from nncirc.engine.program.build import Builder

CLEAN = ["the cat gave", "the dog gave"]


def targets(dataset: Dataset) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    return [(tokens_of(e.answer), tokens_of(e.foil)) for e in dataset.examples]


def error_of(call: Any, *arguments: Any, **options: Any) -> NncircError:
    with pytest.raises(NncircError) as caught:
        call(*arguments, **options)
    return caught.value


# From Python


@pytest.mark.parametrize(
    ("answer_ids", "foil_ids", "wanted"),
    [
        (5, 6, [((5,), (6,)), ((5,), (6,))]),
        ([5, 6], [7, 8], [((5,), (7,)), ((6,), (8,))]),
        ([[6, 5]], [7, [9, 8]], [((5, 6), (7,)), ((5, 6), (8, 9))]),
        ((5, 6), None, [((5,), ()), ((6,), ())]),
    ],
)
def test_prompts(words: Tokenizer, answer_ids: Any, foil_ids: Any, wanted: Any) -> None:
    data = prompt_dataset(words, clean=CLEAN, corrupt=CLEAN[::-1], answer_ids=answer_ids, foil_ids=foil_ids)
    assert targets(data) == wanted
    assert data.answers == "token"
    assert data.counterparts is not None
    assert [(e.answer, e.foil) for e in data.counterparts] == [(e.answer, e.foil) for e in data.examples]
    assert json.dumps(data.made["answer_ids"])


def test_ids_are_the_answers_that_their_texts_are(gpt2: Tokenizer) -> None:
    ids = gpt2.get_vocab()
    given = prompt_dataset(gpt2, clean=CLEAN, answer_ids=ids["Ġthe"], foil=" a")
    texts = prompt_dataset(gpt2, clean=CLEAN, answer=" the", foil_ids=ids["Ġa"])
    assert given.examples == texts.examples


def test_with_teacher_forcing_a_list_is_one_answer(words: Tokenizer) -> None:
    data = prompt_dataset(words, clean=CLEAN, answer_ids=[[5, 5, 7], [6]], teacher_forced=True)
    assert [(*e.continuation, e.answer) for e in data.examples] == [(5, 5, 7), (6,)]


def test_answers_that_are_computed(words: Tokenizer) -> None:
    """Prompts of random tokens have no text to go on from."""
    blocks = template_dataset(words, prompt="{B}", slots={"B": random_tokens(3)}, size=2)
    data = with_answers(blocks, answer_ids=[e.tokens[0] for e in blocks.examples], foil_ids=[[5, 6], 7])
    assert [e.answer for e in data.examples] == [e.tokens[0] for e in blocks.examples]


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ({"answer_ids": -1}, "C344", "answer_ids must be whole numbers from 0; found -1"),
        ({"answer_ids": "5"}, "C751", "found the string '5'"),
        ({"answer_ids": [True, 5]}, "C751", "found True"),
        ({"answer_ids": [5, 1000]}, "C344", "prompt 2: answer_ids has 1000"),
        ({"answer_ids": 5, "foil_ids": [6, 2.0]}, "C751", "found 2.0"),
        ({"answer": "Mary", "answer_ids": 5}, "C344", "both answer and answer_ids are given"),
        ({"answer": NEXT, "answer_ids": 5}, "C344", "both answer and answer_ids are given"),
        ({"foil_ids": 5}, "C304", "a foil needs an answer"),
        ({"answer_ids": 5, "foil_ids": [[6, 5]]}, "C304", "the same token"),
        ({"answer_ids": [[5, 5]]}, "C340", "duplicate token"),
        ({"answer_ids": [[]]}, "C340", "no tokens"),
        ({"answer_ids": [5, 6, 7]}, "C318", "answer_ids has 3 answers for 2 clean prompts"),
        ({"answer_ids": [[], [5]], "teacher_forced": True}, "C344", "answer_ids is empty"),
        ({"answer": [5, 6]}, "C311", "answer must be text, got 5 (int)"),
    ],
)
def test_what_are_no_ids(words: Tokenizer, options: dict[str, Any], code: str, said: str) -> None:
    error = error_of(prompt_dataset, words, clean=CLEAN, **options)
    assert (error.code, said in error.message) == (code, True), error


def test_numbers_for_texts_lead_to_ids(words: Tokenizer, tmp_path: Path) -> None:
    hint = error_of(prompt_dataset, words, clean=CLEAN, answer=[5, 6]).hint
    assert hint == "for token ids write answer_ids"
    path = tmp_path / "a.jsonl"
    path.write_text('{"clean": "the cat", "label": 5}')
    hint = error_of(file_dataset, words, path, clean="clean", answer="label").hint
    assert hint == 'for token ids write answer_ids = "label"; put text in quotes'


# Files

TABLE = (
    "clean,corrupted,correct_idx,incorrect_idx\nthe cat gave,the dog gave,262,257\nthe dog,the cat,257,262\n"
)
"""As EAP-IG has them."""


def test_a_published_table(gpt2: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "ioi.csv"
    path.write_text(TABLE)
    columns: dict[str, Any] = {"clean": "clean", "corrupt": "corrupted"}
    data = file_dataset(gpt2, path, **columns, answer_ids="correct_idx", foil_ids="incorrect_idx")
    assert targets(data) == [((262,), (257,)), ((257,), (262,))]
    assert gpt2.convert_ids_to_tokens([262]) == ["Ġthe"]
    assert data.made["columns"] == {**columns, "answer_ids": "correct_idx", "foil_ids": "incorrect_idx"}
    assert data.notes == ()


def test_ids_that_are_read_as_text_are_noted(gpt2: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "ioi.csv"
    path.write_text(TABLE.replace("correct_idx", "label", 1).replace("incorrect_idx", "label_id"))
    data = file_dataset(gpt2, path, clean="clean", answer="label", foil="label_id")
    (note,) = data.notes
    assert 'foil_ids = "label_id"' in note
    assert gpt2.convert_ids_to_tokens([data.examples[0].answer]) == ["262"]


@pytest.mark.parametrize("cell", ['"[7, 5]"', '" 5 "', '"[5]"'])
def test_cells_of_csv_are_numbers_or_lists(words: Tokenizer, tmp_path: Path, cell: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"clean,idx\nthe cat,{cell}\n")
    (found,) = targets(file_dataset(words, path, clean="clean", answer_ids="idx"))
    assert found[0] == ((5, 7) if "7" in cell else (5,))


def test_cells_of_json(words: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    cells: list[Any] = [5, "5", [5, 7], "[5, 7]"]
    path.write_text(
        "\n".join(json.dumps({"clean": f"the {w}", "idx": c}) for w, c in zip("xyza", cells, strict=True))
    )
    found = targets(file_dataset(words, path, clean="clean", answer_ids="idx"))
    assert [answer for answer, _ in found] == [(5,), (5,), (5, 7), (5, 7)]
    forced = file_dataset(words, path, clean="clean", answer_ids="idx", teacher_forced=True)
    assert [(*e.continuation, e.answer) for e in forced.examples] == [(5,), (5,), (5, 7), (5, 7)]


@pytest.mark.parametrize(
    "cell", ["5.0", "Mary", "", "-1", "true", "[5, true]", "[[5]]", "1e3", '{"a": 5}', "[" * 9000]
)
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_cells_that_hold_no_ids(words: Tokenizer, tmp_path: Path, kind: str, cell: str) -> None:
    path = tmp_path / f"a.{kind}"
    quoted = cell.replace('"', '""')
    path.write_text(
        f'clean,idx\nthe cat,"{quoted}"\n' if kind == "csv" else json.dumps({"clean": "x", "idx": cell})
    )
    error = error_of(file_dataset, words, path, clean="clean", answer_ids="idx")
    assert error.code == "C316"
    assert "expected a token id" in error.message
    assert len(error.message) < 200


def test_an_id_that_the_tokenizer_lacks_names_its_line(words: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("clean,idx\nthe cat,5\nthe dog,50256\n")
    error = error_of(file_dataset, words, path, clean="clean", answer_ids="idx")
    assert (error.code, error.message[:17]) == ("C344", "a.csv, line 3: an")


# Rows of JSON that differ

ROWS = [{"clean": "the cat"}, {"clean": "the dog", "answer": "Mary"}]


@pytest.mark.parametrize("rows", [ROWS, ROWS[::-1], [{**ROWS[0], "answer": None}, ROWS[1]]])
def test_an_optional_column_that_some_rows_lack_is_no_absent_one(
    words: Tokenizer, tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    """Whichever row is first: answers that are there are not left out."""
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    error = error_of(file_dataset, words, path, clean="clean", answer="answer", optional=["answer"])
    lacking, having = (2, 1) if "answer" in rows[0] and rows[0]["answer"] else (1, 2)
    assert error.code == "C317"
    assert error.message == f"a.jsonl, line {lacking}: missing column `answer`; found clean"
    assert error.hint == f"line {having} has it: give every prompt its answer, or none"


def test_a_column_of_nothing_is_absent(words: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps({**row, "answer": "Mary", "foil": None}) for row in ROWS))
    data = file_dataset(words, path, clean="clean", answer="answer", foil="foil", optional=["answer", "foil"])
    assert [foil for _, foil in targets(data)] == [(), ()]


# Scripts

MODEL = 'model tiny using bundled {\n  name = "ioi-4l"\n}\n'


def built(body: str, name: str = "s.circ") -> Dataset:
    found: Dataset = Builder(program_of(check_text(MODEL + body, name=name)), blocks()).get("d")
    return found


def codes(body: str) -> list[str]:
    return [each.code for each in check_text(MODEL + body).diagnostics]


def prompts(*keys: str) -> str:
    clean = 'clean = ["Then Mary met", "Then John met"]'
    return "dataset d using prompts {\n  model = tiny\n  " + "\n  ".join([clean, *keys]) + "\n}\n"


def test_scripts_have_ids() -> None:
    assert targets(built(prompts("answer_ids = 5", "foil_ids = [6, 7]"))) == [((5,), (6,)), ((5,), (7,))]
    assert targets(built(prompts("answer_ids = [[5, 8]]"))) == [((5, 8), ()), ((5, 8), ())]
    forced = built(prompts("answer_ids = [[5, 5], 6]", "teacher_forced = true"))
    assert [(*e.continuation, e.answer) for e in forced.examples] == [(5, 5), (6,)]


def test_scripts_name_a_column_of_ids(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("clean,answer,idx\nThen Mary met, John,5\n")
    body = 'dataset d using file {\n  model = tiny\n  path = "t.csv"\n  answer_ids = "idx"\n}\n'
    assert targets(built(body, str(tmp_path / "s.circ"))) == [((5,), ())]


def test_what_scripts_may_not_say_of_ids() -> None:
    assert codes(prompts("answer_ids = 5", 'answer = " John"')) == ["C106"]
    assert codes(prompts("answer_ids = -5")) == ["C202"]
    assert codes(prompts('answer_ids = "5"')) == ["C201"]
    assert codes(prompts("answer_ids = [5, 6, 7]")) == ["C233"]
    assert codes(prompts("answer_ids = [[5, 6]]", "foil_ids = 7", "teacher_forced = true")) == ["C245"]
    (number,) = check_text(MODEL + prompts("answer = 5")).diagnostics
    assert number.help == "write text in quotes; for token ids use `answer_ids` (in `prompts` and `file`)"


def test_a_metric_finds_answers_that_are_ids() -> None:
    rest = (
        "corruption none using zero {\n  data = d\n}\ngraph full using residual {\n  model = tiny\n}\n"
        "scores s using activation_patching {\n  graph = full\n  corruption = none\n  direction = noise\n"
        "  metric = logit_diff(at = end)\n}\n"
    )
    assert codes(prompts("answer_ids = 5", "foil_ids = 6") + rest) == []
    assert codes(prompts("answer_ids = 5") + rest) == ["C221"]
