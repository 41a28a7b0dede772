"""Corrupted prompts: only the named places change, and pairs that do not align are shown."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings, strategies as st
from tests.refused import refused
from tests.some import some

from nncirc import (
    Dataset,
    Example,
    Tokenizer,
    buckets,
    check_alignment,
    counterpart,
    prompt_dataset,
    replace,
    resolve,
    template_dataset,
    token_dataset,
)
from nncirc.circuits.errors import DataError
from nncirc.circuits.names import Position

PEOPLE = ["Mary", "John", "Anna", "Paul", "Lucy", "Mark"]
PLACES = [("IO", 1), ("S", 1), ("S", 2), ("place", 1)]


def ioi(tokenizer: Tokenizer, **options: Any) -> Dataset:
    default: dict[str, Any] = {
        "prompt": [
            "When {IO} and {S} went to the {place}, {S} gave a ball to",
            "When {S} and {IO} went to the {place}, {S} gave a ball to",
        ],
        "slots": {("IO", "S", "A", "B", "C"): PEOPLE, ("place", "other"): ["store", "park"]},
        "size": 6,
        "answer": " {IO}",
        "foil": " {S}",
    }
    return template_dataset(tokenizer, **{**default, **options})


# What changes


@settings(max_examples=24)
@given(
    replacements=st.dictionaries(st.sampled_from(PLACES), st.sampled_from(["A", "B", "C"]), min_size=1),
    seed=st.integers(0, 5),
)
@pytest.mark.parametrize("name", ["words", "framed", "gpt2"])
def test_replace_changes_exactly_the_named_places(
    request: pytest.FixtureRequest, name: str, replacements: dict[tuple[str, int | None], str], seed: int
) -> None:
    tokenizer = request.getfixturevalue(name)
    replacements.pop(("place", 1), None)
    assume(replacements)
    dataset = ioi(tokenizer, seed=seed)
    for clean, corrupt in some(zip(dataset.examples, replace(dataset, replacements), strict=True)):
        places = {p for (slot, k) in replacements for p in resolve(clean, slot, k)}
        assert {
            p for p, pair in enumerate(zip(clean.tokens, corrupt.tokens, strict=True)) if len({*pair}) > 1
        } == places
        for (slot, k), source in replacements.items():
            start, stop = corrupt.spans[Position(slot, k or 1)]
            written = tokenizer.decode(list(corrupt.tokens[start:stop])).strip()
            assert written == clean.values[source]
        assert (corrupt.answer, corrupt.foil, corrupt.values) == (clean.answer, clean.foil, clean.values)


@pytest.mark.parametrize("name", ["words", "framed", "gpt2", "stories"])
def test_replacing_a_slot_by_itself_gives_the_same_prompts(request: pytest.FixtureRequest, name: str) -> None:
    dataset = ioi(request.getfixturevalue(name), answer=None, foil=None)
    assert replace(dataset, {("S", None): "S"}) == dataset.examples


def test_replacements_happen_at_once(words: Tokenizer) -> None:
    dataset = ioi(words, prompt="{S} gave {IO} a ball")
    swapped = replace(dataset, {("S", None): "IO", ("IO", None): "S"})
    for clean, corrupt in some(zip(dataset.examples, swapped, strict=True)):
        assert corrupt.text == f"{clean.values['IO']} gave {clean.values['S']} a ball"


def test_an_occurrence_wins_over_its_slot(words: Tokenizer) -> None:
    dataset = ioi(words, prompt="{S} and {S} and {S}", answer=None, foil=None)
    clean, (corrupt, *_) = dataset.examples[0], replace(dataset, {("S", None): "A", ("S", 2): "B"})
    a, b = clean.values["A"], clean.values["B"]
    assert corrupt.text == f"{a} and {b} and {a}"


def test_a_block_of_random_tokens(any_tokenizer: Tokenizer) -> None:
    dataset = token_dataset(any_tokenizer, size=5, length=4, copies=2)
    corrupt = replace(dataset, {("block", 1): "other"})
    check_alignment(dataset, corrupt)
    for clean, other in some(zip(dataset.examples, corrupt, strict=True)):
        first, second = resolve(other, "block", 1), resolve(other, "block", 2)
        assert tuple(other.tokens[p] for p in first) == clean.values["other"]
        assert tuple(other.tokens[p] for p in second) == clean.values["block"]


def test_counterpart(words: Tokenizer) -> None:
    dataset = prompt_dataset(words, clean=["cat ball"], corrupt=["dog ball"], answer="Mary")
    (other,) = counterpart(dataset)
    assert other.text == "dog ball"
    assert other.answer == dataset.examples[0].answer


# Alignment


def obviously_aligned(clean: Example, corrupt: Example) -> bool:
    """The oracle: at every position the same slot, or the same lack of one, and nothing left over."""

    def slots(example: Example) -> list[Position | None]:
        return [
            next((name for name, (a, b) in example.spans.items() if a <= p < b), None)
            for p in range(len(example.tokens))
        ]

    return slots(clean) == slots(corrupt)


@settings(max_examples=24)
@given(
    words_of=st.lists(
        st.sampled_from(["cat", "elephant", "elephantine", "hippopotamus", "dog house", "Zoë", "x"]),
        min_size=2,
        max_size=5,
        unique=True,
    ),
    seed=st.integers(0, 3),
    place=st.sampled_from([("X", 1), ("X", 2), ("X", None)]),
)
def test_alignment_agrees_with_the_oracle(
    gpt2: Tokenizer, words_of: list[str], seed: int, place: tuple[str, int | None]
) -> None:
    dataset = template_dataset(
        gpt2, prompt="A {X} saw a {X}", slots={("X", "Y"): words_of}, size=2, seed=seed
    )
    corrupt = replace(dataset, {place: "Y"})
    pairs = zip(dataset.examples, corrupt, strict=True)
    bad = [i for i, (one, other) in enumerate(pairs) if not obviously_aligned(one, other)]
    if not bad:
        check_alignment(dataset, corrupt)
        return
    with refused(DataError, "C301", f"{len(bad)} of 2 ", f"the first is prompt {bad[0] + 1} "):
        check_alignment(dataset, corrupt)


def message_of(dataset: Dataset, *replacements: Any) -> str:
    with pytest.raises(DataError) as caught:
        check_alignment(dataset, replace(dataset, *replacements) if replacements else counterpart(dataset))
    return str(caught.value)


def test_a_longer_word(gpt2: Tokenizer) -> None:
    slots = {"X": ["cat"], "Y": ["hippopotamus"]}
    dataset = template_dataset(gpt2, prompt="The {X} saw me", slots=slots, size=1)
    assert message_of(dataset, {("X", None): "Y"}) == (
        "[C301] 1 of 1 clean and corrupted prompts do not align; the first is prompt 1 (4 and 6 tokens):\n"
        "     position  clean      corrupted\n"
        '            0  "The"      "The"\n'
        '            1  " cat"  X  " hipp"    X\n'
        '  >         2  " saw"     "opot"     X\n'
        '            3  " me"      "amus"     X\n'
        '            4             " saw"\n'
        '            5             " me"\n'
        "  help: use words with the same number of tokens, so that positions correspond "
        "(named lists such as `names` do this automatically)"
    )


def test_as_many_tokens_at_other_places(gpt2: Tokenizer) -> None:
    slots = {("X", "Y"): ["cat", "elephantine"]}
    dataset = template_dataset(gpt2, prompt="The {X} saw the {Y}", slots=slots, size=2)
    assert message_of(dataset, {("X", None): "Y", ("Y", None): "X"}) == (
        "[C301] 2 of 2 clean and corrupted prompts do not align; the first is prompt 1 (6 tokens "
        "each, with slots at different positions):\n"
        "     position  clean           corrupted\n"
        '            0  "The"           "The"\n'
        '            1  " elephant"  X  " cat"       X\n'
        '  >         2  "ine"        X  " saw"\n'
        '            3  " saw"          " the"\n'
        '            4  " the"          " elephant"  Y\n'
        '            5  " cat"       Y  "ine"        Y\n'
        "  help: use words with the same number of tokens, so that positions correspond "
        "(named lists such as `names` do this automatically)"
    )


def test_a_far_place_of_a_long_prompt(words: Tokenizer) -> None:
    clean = "the " * 12 + "cat" + " a" * 12
    dataset = prompt_dataset(words, clean=[clean, "x y"], corrupt=[clean.replace("cat", "cat dog"), "x z"])
    assert message_of(dataset) == (
        "[C301] 1 of 2 clean and corrupted prompts do not align; the first is prompt 1 (25 and 26 tokens):\n"
        "     position  clean    corrupted\n"
        "          ...\n"
        '            9  "the"    "the"\n'
        '           10  "the"    "the"\n'
        '           11  "the"    "the"\n'
        '           12  "cat"    "cat"\n'
        '  >        13  "a"      "dog"\n'
        '           14  "a"      "a"\n'
        '           15  "a"      "a"\n'
        '           16  "a"      "a"\n'
        '           17  "a"      "a"\n'
        "          ...\n"
        "  help: change or remove these pairs: patching needs position p to mean the same in both prompts"
    )


def test_a_start_token_is_no_slot(stories: Tokenizer) -> None:
    slots = {("X", "Y"): ["Lily", "Benjamin"]}
    dataset = template_dataset(stories, prompt="a girl named {X}.", slots=slots, size=2)
    assert message_of(dataset, {("X", None): "Y"}) == (
        "[C301] 2 of 2 clean and corrupted prompts do not align; the first is prompt 1 (12 and 8 tokens):\n"
        "     position  clean        corrupted\n"
        "          ...\n"
        '            3  "ir"         "ir"\n'
        '            4  "l"          "l"\n'
        '            5  " named"     " named"\n'
        '            6  " B"      X  " Lily"    X\n'
        '  >         7  "en"      X  "."\n'
        '            8  "j"       X\n'
        '            9  "am"      X\n'
        '           10  "in"      X\n'
        '           11  "."\n'
        "  help: use words with the same number of tokens, so that positions correspond "
        "(named lists such as `names` do this automatically)"
    )


def test_a_corruption_that_changes_nothing(words: Tokenizer) -> None:
    slots = {"X": ["cat", "dog"], "Y": ["cat"]}
    dataset = template_dataset(words, prompt="the {X} went", slots=slots, size=2)
    assert message_of(dataset, {("X", None): "Y"}) == (
        '[C302] the corruption leaves 1 of 2 prompts unchanged, for example prompt 2: "the cat went"\n'
        "  help: draw the slots on one line, such as S, C = names, so that they always differ"
    )


def test_a_counterpart_that_changes_nothing(words: Tokenizer) -> None:
    dataset = prompt_dataset(words, clean=["the cat", "the dog"], corrupt=["a cat", "the dog"])
    assert message_of(dataset) == (
        '[C302] the corruption leaves 1 of 2 prompts unchanged, for example prompt 2: "the dog"\n'
        "  help: remove these pairs: every score on them is 0 whatever the model does"
    )


def test_a_nearly_named_slot(words: Tokenizer) -> None:
    assert message_of(ioi(words), {("IO", None): "plaec"}) == (
        "[C308] IO -> plaec: unknown slot plaec; the slots are IO, S, A, B, C, place, other\n"
        "  help: did you mean `place`?"
    )


def test_an_occurrence_that_a_phrasing_lacks(words: Tokenizer) -> None:
    dataset = ioi(words, prompt=["{S} gave {IO} a ball", "{S} and {S} gave {IO} a ball"])
    assert message_of(dataset, {("S", 2): "A"}) == (
        '[C308] S.2 -> A changes nothing in "{S} gave {IO} a ball", which has S, IO\n'
        "  help: replace a slot of every phrasing, or use a dataset of the phrasings that have it"
    )


def test_prompts_without_slots(words: Tokenizer) -> None:
    assert message_of(prompt_dataset(words, clean="the cat"), {("S", 2): "A"}) == (
        "[C314] these prompts have no slots to replace\n"
        "  help: use a template dataset, or counterpart with a column of corrupted prompts"
    )


def test_nothing_to_replace(words: Tokenizer) -> None:
    assert message_of(ioi(words), {}) == (
        "[C314] `replace` has no replacements\n  help: add one, such as S.2 -> C"
    )


def test_no_counterparts(words: Tokenizer) -> None:
    assert message_of(ioi(words)) == (
        "[C314] these prompts have no counterparts\n  help: use replace, with one of their slots"
    )


# Positions


def test_positions_by_name(framed: Tokenizer) -> None:
    example = ioi(framed).examples[0]
    assert example.text.startswith("When ")
    assert resolve(example, "start") == (0,)
    assert resolve(example, "end") == (len(example.tokens) - 1,)
    assert resolve(example, "IO") == resolve(example, "IO", 1) == (2,)
    assert resolve(example, "S", 1) + resolve(example, "S", 2) == resolve(example, "S")


def test_a_slot_of_several_tokens_means_all_of_them(gpt2: Tokenizer) -> None:
    (example,) = template_dataset(gpt2, prompt="A {X} ran", slots={"X": ["hippopotamus"]}, size=1).examples
    assert resolve(example, "X") == (1, 2, 3)
    assert gpt2.decode([example.tokens[p] for p in (1, 2, 3)]) == " hippopotamus"


def position_message(example: Example, *name: Any) -> str:
    with pytest.raises(DataError) as caught:
        resolve(example, *name)
    return str(caught.value)


def test_positions_that_are_not_there(words: Tokenizer) -> None:
    example = ioi(words, prompt="{S} gave {IO} to {S}").examples[0]
    names: list[tuple[Any, ...]] = [("I0",), ("S", 3), ("IO", 0), ("C",), ("end", 2)]
    assert [position_message(example, *name) for name in names] == [
        '[C308] the prompt "Mark gave Paul to Mark" has no position I0; it has S, IO, start, end\n'
        "  help: did you mean `IO`?",
        '[C308] the prompt "Mark gave Paul to Mark" has no S.3; it has S.1, S.2\n'
        "  help: occurrences are counted from 1, in the order of the prompt",
        '[C308] the prompt "Mark gave Paul to Mark" has no IO.0; it has only IO\n'
        "  help: occurrences are counted from 1, in the order of the prompt",
        '[C308] the prompt "Mark gave Paul to Mark" has no position C '
        "(the slot was drawn, but this prompt does not use it); it has S, IO, start, end",
        "[C308] end is a single position and has no index\n  help: write end",
    ]


# Batches


@given(st.lists(st.integers(1, 6), max_size=20))
def test_buckets_hold_every_example_once_by_length(lengths: list[int]) -> None:
    examples = [Example("", tuple(range(n)), {}, None, None, {}) for n in lengths]
    found = buckets(examples)
    assert sorted(i for bucket in found for i in bucket) == list(range(len(lengths)))
    assert [lengths[bucket[0]] for bucket in found] == sorted(set(lengths))
    for bucket in found:
        assert len({lengths[i] for i in bucket}) == 1
        assert list(bucket) == sorted(bucket)
