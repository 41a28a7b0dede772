"""Answers that go on where the prompt's last token would have been another, by the kind of tokenizer."""

from __future__ import annotations

import math
from typing import Any

import pytest
from tests.engine.data.vocabulary import subword_tokenizer
from tests.refused import refused
from tokenizers import Tokenizer as Backend, normalizers, pre_tokenizers
from tokenizers.models import BPE, WordLevel, WordPiece
from transformers import PreTrainedTokenizerFast

from nncirc import Tokenizer, prompt_dataset, random_tokens, template_dataset, tokens_of, with_answers
from nncirc.circuits.errors import DataError
from nncirc.circuits.names import Position

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
    assert going_on.spans[Position("X", 1)] == (2, 3)


# What a vocabulary lacks


def bare(model: Any, **options: Any) -> Tokenizer:
    """A tokenizer that splits at white space and has no more than a vocabulary."""
    backend = Backend(model)
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    fast: Any = PreTrainedTokenizerFast
    tokenizer: Tokenizer = fast(tokenizer_object=backend, **options)
    return tokenizer


KNOWN = {"the": 0, "cat": 1, "gave": 2, "Mary": 3}
LACKING = {
    "no token for unknown words": bare(WordLevel(KNOWN, unk_token="[UNK]")),
    "one that the vocabulary lacks": bare(WordLevel(KNOWN, unk_token="[UNK]"), unk_token="[UNK]"),
    "one that the settings do not name": bare(WordLevel({**KNOWN, "[UNK]": 4}, unk_token="[UNK]")),
    "pieces without one": bare(WordPiece(KNOWN, unk_token="[UNK]")),
    "letters that are dropped": bare(BPE({c: i for i, c in enumerate("thecagvMry")}, [])),
}


@pytest.mark.parametrize("name", LACKING)
def test_unknown_words_are_refused(name: str) -> None:
    """Whatever becomes of them: an error of the library, a token that nobody named, or nothing."""
    tokenizer = LACKING[name]
    options: dict[str, Any] = {"answer": "Mary"} if "letters" not in name else {"answer": "M"}
    assert prompt_dataset(tokenizer, clean="the cat gave", **options).examples
    for given, code in (
        ({"clean": "the dog gave"}, "C306"),
        ({"clean": "the cat", "corrupt": "the dog"}, "C306"),
        ({"clean": "the cat", "answer": "dog"}, "C303"),
    ):
        with refused(DataError, code):
            prompt_dataset(tokenizer, **given)  # type: ignore[arg-type]
    with refused(DataError, "C309"):
        template_dataset(tokenizer, prompt="the {X}", slots={("X", "Y"): "names"}, size=1)


def test_letters_that_join_are_not_dropped() -> None:
    """An accent that becomes part of the letter before it has no token of its own, and is in one."""
    backend = Backend(BPE({"e": 0, "é": 1, "각": 2, "ᄀ": 3, "ᅡ": 4, "ᆨ": 5, "\u0301": 6}, []))
    backend.normalizer = normalizers.NFC()
    fast: Any = PreTrainedTokenizerFast
    tokenizer: Tokenizer = fast(tokenizer_object=backend)
    (example,) = prompt_dataset(tokenizer, clean="e\u0301각e").examples
    assert example.tokens == (1, 2, 0)


# A real tokenizer of this kind, and its model


def test_values_are_those_of_plain_transformers(stories_model: Any) -> None:
    """`transformers` alone, in float64, of the token that is written `y` in the vocabulary."""
    from nncirc.engine.metrics.metric import Metric
    from nncirc.engine.runs.contrast import Contrast
    from nncirc.engine.runs.corruptions import Zero

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
