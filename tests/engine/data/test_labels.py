"""Tokens as they are shown: every token of a vocabulary in its own way, and as its text where it has one."""

from __future__ import annotations

from typing import Any

from tests.engine.data.vocabulary import subword_tokenizer

from nncirc import Tokenizer, labels_of, prompt_dataset, show_tokens
from nncirc.circuits.pictures.text import token


def shown(tokenizer: Tokenizer, *names: str) -> list[str]:
    return labels_of(tokenizer, [tokenizer.get_vocab()[name] for name in names])


def test_a_space_in_front_is_part_of_the_label() -> None:
    for kind in ("prepend", "metaspace"):
        assert shown(subword_tokenizer(kind), "▁a", "a", "▁", "▁Lily") == [" a", "a", " ", " Lily"]
    for kind in ("bytes", "plain"):
        assert shown(subword_tokenizer(kind), "Ġa", "a", "Ġ", "ĠLily", "Ċ") == [" a", "a", " ", " Lily", "\n"]
    assert shown(subword_tokenizer("pieces"), "y", "##y") == ["y", "##y"]


def test_bytes_are_no_replacement_characters() -> None:
    llama = ["\n", "<0x61>", "<0xE2>", "a", "â"]
    assert shown(subword_tokenizer("prepend"), "<0x0A>", "<0x61>", "<0xE2>", "a", "â") == llama
    # In a byte-level vocabulary `â` is the byte 0xE2, the first of many characters.
    assert shown(subword_tokenizer("plain"), "â", "a") == ["<0xE2>", "a"]


def test_what_two_tokens_would_be_shown_as_is_told_apart() -> None:
    """GPT-NeoX has spaces twice: in the vocabulary of its merges, and added. `a` and `<0xE2>` are made up."""
    plain: Any = subword_tokenizer("plain")
    plain.add_tokens(["<0xE2>", " a"])
    ids = plain.get_vocab()
    found = labels_of(plain, [ids["Ġa"], ids[" a"], ids["â"], ids["<0xE2>"]])
    assert found == ["Ġa", " a", f"<0xE2> (id {ids['â']})", "<0xE2>"]


def test_a_token_that_the_tokenizer_lacks_is_its_number() -> None:
    """Models have rows to spare, and a bad one can be the likeliest."""
    assert labels_of(subword_tokenizer("plain"), [50_300]) == ["(id 50300)"]


def test_every_token_looks_its_own_way(any_tokenizer: Tokenizer) -> None:
    every = sorted(any_tokenizer.get_vocab().values())
    labels = labels_of(any_tokenizer, every)
    assert len(set(labels)) == len(every)
    assert len(set(map(token, labels))) == len(every)
    assert len(set(show_tokens(any_tokenizer, every))) == len(every)


def test_tokens_of_pictures_show_what_cannot_be_seen() -> None:
    pairs = {
        " a": "␣a", "a": "a", "  a ": "␣␣a␣", "a b": "a b", "␣": r"\u2423", "\\n": r"\\n", "\n": r"\n",
        "\xa0": r"\xa0", "\u200b": r"\u200b", "é": "é", "e\u0301": r"e\u0301", "\u0301": r"\u0301",
    }  # fmt: skip
    assert {text: token(text) for text in pairs} == pairs
    long = ["-" * 32, "-" * 64, " internationalized", " internationalizes", " internalized-----"]
    assert len({token(text) for text in long}) == len(long)
    assert max(len(token(text)) for text in long) <= 18


def test_results_tell_tokens_apart(stories_model: Any) -> None:
    """`▁`, `▁a` and `a` in a prompt, and a byte as the likeliest token."""
    import torch

    from nncirc.engine.methods.logit_lens import logit_lens
    from nncirc.engine.runs.columns import token_labels

    data = prompt_dataset(stories_model.tokenizer, clean="a a  aé", answer=" a")
    wanted = ["<s>", " a", " a", " ", " a", "é"]
    assert token_labels(data, range(len(data.examples[0].tokens))) == wanted
    found = logit_lens(stories_model, data, positions="all")
    assert found.made["tokens"] == wanted
    logits = stories_model.module(torch.tensor([data.examples[0].tokens])).logits[0]
    names = stories_model.tokenizer.convert_ids_to_tokens(logits.argmax(-1).tolist())
    assert [text.replace(" ", "▁") for text in found.made["top"][-1]] == names
