"""Answers that go on where the prompt's last token would have been another, by the kind of tokenizer."""

from __future__ import annotations

import math
from typing import Any

import pytest
from tests.engine.data.vocabulary import subword_tokenizer

from nncirc.engine.data import (
    Tokenizer,
    prompt_dataset,
    random_tokens,
    template_dataset,
    tokens_of,
    with_answers,
)

KINDS = {"prepend": "y", "metaspace": "y", "bytes": "y", "plain": "y", "pieces": "##y"}
"""What "y" is behind " Lil"; " Lily" is one token everywhere."""


@pytest.fixture(params=KINDS)
def inside(request: pytest.FixtureRequest) -> tuple[Tokenizer, int, int]:
    """A tokenizer, its token for "y" inside a word, and the one for a word "y"."""
    tokenizer, names = subword_tokenizer(request.param), subword_tokenizer(request.param).get_vocab()
    alone = next(names[name] for name in ("▁y", "Ġy", "y") if name in names)
    return tokenizer, names[KINDS[request.param]], alone


def test_the_words_merge(inside: tuple[Tokenizer, int, int]) -> None:
    tokenizer, within, alone = inside
    encoded = tokenizer([" Lil", " Lily", " y"], add_special_tokens=False)["input_ids"]
    *_, lil, lily, y = (one[-1] for one in encoded)
    assert len({lil, lily, within, alone}) == 4
    assert y == alone


def test_an_answer_that_merges_with_the_prompt(inside: tuple[Tokenizer, int, int]) -> None:
    tokenizer, within, alone = inside
    texts: dict[str, Any] = {"answer": "y", "foil": " y"}
    (written,) = prompt_dataset(tokenizer, clean="a Lil", **texts).examples
    (drawn,) = template_dataset(
        tokenizer, prompt="a {X}", slots={"X": ["Lil"]}, size=1, answer="y", foil=" y"
    ).examples
    (bare,) = with_answers(prompt_dataset(tokenizer, clean="a Lil"), ["y"], [" y"]).examples
    for example in (written, drawn, bare):
        assert (example.answer, example.foil) == (within, alone)


def test_a_set_of_answers_that_merge(inside: tuple[Tokenizer, int, int]) -> None:
    tokenizer, within, alone = inside
    (example,) = prompt_dataset(tokenizer, clean="a Lil", answer=[["y", " y"]]).examples
    assert tokens_of(example.answer) == tuple(sorted((within, alone)))


def test_an_answer_of_several_tokens_that_merges(inside: tuple[Tokenizer, int, int]) -> None:
    tokenizer, within, alone = inside
    (example,) = prompt_dataset(tokenizer, clean="a Lil", answer="y y", teacher_forced=True).examples
    assert (*example.continuation, example.answer) == (within, alone)


@pytest.mark.parametrize("kind", ["prepend", "metaspace", "bytes", "plain"])
def test_text_behind_a_block_of_tokens_has_no_space_put_in_front(kind: str) -> None:
    """The tokens of a text that goes on, be it the prompt's, its slots' or the answer."""
    tokenizer = subword_tokenizer(kind)
    names = tokenizer.convert_ids_to_tokens
    options: dict[str, Any] = {"slots": {"B": random_tokens(2), "X": ["Lil"]}, "size": 1}
    (ended,) = template_dataset(tokenizer, prompt="{B}", answer="y", foil=" y", **options).examples
    (going_on,) = template_dataset(tokenizer, prompt="{B} {X}", answer="y", **options).examples
    mark = "▁" if kind in ("prepend", "metaspace") else "Ġ"
    assert names([ended.answer, ended.foil, going_on.answer]) == ["y", f"{mark}y", "y"]
    assert names(going_on.tokens[2:]) == [f"{mark}Lil"]
    assert going_on.spans["X", 1] == (2, 3)


# A real tokenizer of this kind, and its model


def test_values_are_those_of_plain_transformers(stories_model: Any) -> None:
    """`transformers` alone, in float64, of the token that is written `y` in the vocabulary."""
    from nncirc.engine.contrast import Contrast, Zero
    from nncirc.engine.metrics import Metric

    dataset = prompt_dataset(
        stories_model.tokenizer, clean="One day, a girl named Lil", answer="y", foil=" y"
    )
    about = Contrast(stories_model, dataset, Zero())
    assert float(about.clean_values(Metric("logprob"))[0]) == pytest.approx(-11.004905108375915, abs=1e-9)
    assert float(about.clean_values(Metric("logit_diff"))[0]) == pytest.approx(9.214249648213894, abs=1e-9)

    forced = prompt_dataset(stories_model.tokenizer, clean="Once upon a ti", answer="me", teacher_forced=True)
    wanted = -14.72587532045269 - 7.092725450825287
    value = Contrast(stories_model, forced, Zero()).clean_values(Metric("prob"))[0]
    assert math.log(float(value)) == pytest.approx(wanted, abs=1e-9)
