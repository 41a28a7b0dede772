"""Answers and foils that are sets of tokens: from templates, lists, files, and computed by a task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.refused import refused
from tests.some import some

from nncirc import Tokenizer, file_dataset, prompt_dataset, template_dataset, tokens_of, with_answers
from nncirc.circuits.errors import DataError

CLEAN = ["the cat gave", "the dog gave"]


def ids(tokenizer: Tokenizer, *words: str) -> tuple[int, ...]:
    """The tokens of words, ascending, as sets of them are kept."""
    return tuple(sorted(tokenizer.get_vocab()[word] for word in words))


def test_lists_in_a_list_are_sets(words: Tokenizer) -> None:
    data = prompt_dataset(
        words, clean=CLEAN, corrupt=CLEAN[::-1], answer=[["John", "Mary"]], foil=["Anna", ["Paul", "Lucy"]]
    )
    both = ids(words, "John", "Mary")
    assert [e.answer for e in data.examples] == [both, both]
    assert [tokens_of(e.foil) for e in data.examples] == [ids(words, "Anna"), ids(words, "Paul", "Lucy")]
    assert data.counterparts is not None
    assert [(e.answer, e.foil) for e in data.counterparts] == [(e.answer, e.foil) for e in data.examples]


def test_one_of_a_set_is_the_token_itself(words: Tokenizer) -> None:
    """So that whoever writes it in brackets gets the same prompts, and the same key in the store."""
    plain = prompt_dataset(words, clean=CLEAN, answer="Mary", foil=["John", "Anna"])
    listed = prompt_dataset(words, clean=CLEAN, answer=[["Mary"]], foil=[["John"], ["Anna"]])
    assert plain.examples == listed.examples
    assert type(plain.examples[0].answer) is int


def test_templates_have_sets_in_which_slots_are_filled(words: Tokenizer) -> None:
    data = template_dataset(
        words,
        prompt="the {A} gave",
        slots={"A": ["cat", "dog"], ("B", "C"): ["John", "Mary", "Anna"]},
        size=2,
        answer=["{B}", "{C}"],
        foil=["Paul", "Lucy"],
    )
    for example in data.examples:
        assert example.answer == ids(words, str(example.values["B"]), str(example.values["C"]))
        assert example.foil == ids(words, "Paul", "Lucy")
    assert data.made["answer"] == ["{B}", "{C}"]


def test_words_of_a_list_are_one_token_in_every_answer_of_a_set(gpt2: Tokenizer) -> None:
    data = template_dataset(
        gpt2, prompt="Then {S} met", slots={("S", "O"): "names"}, size=20, answer=[" {O}", "{O}"], foil=" {S}"
    )
    for example in some(data.examples):
        assert len(tokens_of(example.answer)) == 2


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_files_have_sets_as_json_lists(words: Tokenizer, tmp_path: Path, kind: str) -> None:
    cells: list[Any] = [["John", "Mary"], "Anna"]
    path = tmp_path / f"prompts.{kind}"
    if kind == "jsonl":
        rows = [json.dumps({"clean": c, "answer": a}) for c, a in zip(CLEAN, cells, strict=True)]
    else:
        rows = ["clean,answer", f'{CLEAN[0]},"[""John"", ""Mary""]"', f"{CLEAN[1]},Anna"]
    path.write_text("\n".join(rows), encoding="utf-8")
    data = file_dataset(words, path, clean="clean", answer="answer")
    assert [tokens_of(e.answer) for e in data.examples] == [ids(words, "John", "Mary"), ids(words, "Anna")]


def test_a_task_computes_them(words: Tokenizer) -> None:
    """The same as if they had been written down; counterparts ask the same question."""
    bare = prompt_dataset(words, clean=CLEAN, corrupt=CLEAN[::-1])
    answers, foils = [["John", "Mary"], "Anna"], ["Paul", ["Lucy", "John"]]
    data = with_answers(bare, answers, foils)
    wanted = prompt_dataset(words, clean=CLEAN, corrupt=CLEAN[::-1], answer=answers, foil=foils)
    assert (data.examples, data.counterparts, data.answers) == (
        wanted.examples,
        wanted.counterparts,
        wanted.answers,
    )
    assert with_answers(bare, answers).examples[0].foil is None
    assert data.made != with_answers(bare, answers[::-1]).made


@pytest.mark.parametrize(
    ("answer", "foil", "code", "said"),
    [
        ([["John", "John"]], None, "C340", 'duplicate token "John"'),
        ([["John", "Mary"]], "Mary", "C304", '"Mary"'),
        ([["John", "the cat"]], None, "C303", "exactly one token"),
        ([[], "John"], None, "C340", "the answer has no tokens"),
        ([["John"], ["Mary"], ["Anna"]], None, "C318", "answer has 3 texts"),
    ],
)
def test_what_is_no_set(words: Tokenizer, answer: Any, foil: Any, code: str, said: str) -> None:
    with refused(DataError, code, said):
        prompt_dataset(words, clean=CLEAN, answer=answer, foil=foil)


@pytest.mark.parametrize(
    ("answers", "foils", "code", "said"),
    [
        (["John"], None, "C318", "answer has 1 item for 2 prompts"),
        (["John", "Mary"], ["Anna", ["Paul", "Mary"]], "C304", "prompt 2:"),
        (["John", []], None, "C340", "prompt 2:"),
    ],
)
def test_what_a_task_may_not_compute(
    words: Tokenizer, answers: Any, foils: Any, code: str, said: str
) -> None:
    with refused(DataError, code, said):
        with_answers(prompt_dataset(words, clean=CLEAN), answers, foils)


def test_a_tokenizer_that_closes_prompts_has_no_answers(closed: Tokenizer) -> None:
    with refused(DataError, "C319"):
        with_answers(prompt_dataset(closed, clean=CLEAN), ["John", "Mary"])
