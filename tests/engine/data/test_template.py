"""Prompts from templates: what is drawn, where it lies among the tokens, and what is refused."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from tests.end_to_end.command import printed
from tests.engine.data.conftest import shared
from tests.engine.data.vocabulary import word_tokenizer
from tests.some import some
from tokenizers import Tokenizer as Backend, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from nncirc import NEXT, Dataset, Tokenizer, random_tokens, resolve, template_dataset, token_dataset
from nncirc.circuits.data import word_list
from nncirc.circuits.errors import DataError
from nncirc.circuits.names import Position

PEOPLE = ["Mary", "John", "Anna", "Paul", "Lucy", "Mark"]
IOI = [
    "When {IO} and {S} went to the {place}, {S} gave a ball to",
    "When {S} and {IO} went to the {place}, {S} gave a ball to",
]


def ioi(tokenizer: Tokenizer, **options: Any) -> Dataset:
    default: dict[str, Any] = {
        "prompt": IOI,
        "slots": {("IO", "S", "A", "B", "C"): PEOPLE, "place": ["store", "park"]},
        "size": 8,
        "answer": " {IO}",
        "foil": " {S}",
    }
    return template_dataset(tokenizer, **{**default, **options})


def text_of(tokenizer: Tokenizer, tokens: tuple[int, ...]) -> str:
    return str(tokenizer.decode(list(tokens), clean_up_tokenization_spaces=False)).strip()


# What comes out


def test_the_tokens_are_those_of_the_text(any_tokenizer: Tokenizer) -> None:
    for example in some(ioi(any_tokenizer, answer=None, foil=None).examples):
        assert list(example.tokens) == any_tokenizer(example.text)["input_ids"]


def test_phrasings_take_turns(words: Tokenizer) -> None:
    assert [example.phrasing for example in ioi(words).examples] == [0, 1] * 4


def test_answer_and_foil_are_the_tokens_that_would_follow(gpt2: Tokenizer) -> None:
    for example in some(ioi(gpt2).examples):
        assert gpt2.decode([example.answer]) == f" {example.values['IO']}"
        assert gpt2.decode([example.foil]) == f" {example.values['S']}"


def test_slots_declared_together_differ(words: Tokenizer) -> None:
    for example in some(ioi(words, size=100).examples):
        assert len({example.values[slot] for slot in ("IO", "S", "A", "B", "C")}) == 5


def test_no_prompt_comes_twice_and_every_one_comes(words: Tokenizer) -> None:
    # 2 phrasings x 6 x 5 ways to name two people x 2 places
    examples = ioi(words, size=120).examples
    assert len({example.tokens for example in examples}) == 120


def test_every_filling_is_about_as_likely(words: Tokenizer) -> None:
    drawn = Counter(
        ioi(words, size=1, seed=seed, prompt="{S} gave {IO}", answer=None, foil=None).examples[0].text
        for seed in range(900)
    )
    assert len(drawn) == 30
    assert max(drawn.values()) < 3 * min(drawn.values())


def test_a_slot_that_only_a_corruption_uses_is_drawn_too(words: Tokenizer) -> None:
    assert len({ioi(words, seed=seed).examples[0].values["C"] for seed in range(40)}) == 6


def test_a_slot_with_a_space_of_its_own(gpt2: Tokenizer) -> None:
    dataset = template_dataset(gpt2, prompt="The{X} ran", slots={"X": [" cat", " dog"]}, size=2)
    assert {example.spans[Position("X", 1)] for example in dataset.examples} == {(1, 2)}


def test_braces(gpt2: Tokenizer) -> None:
    (example,) = template_dataset(gpt2, prompt="{{ {X} }}", slots={"X": ["cat"]}, size=1).examples
    assert (example.text, example.spans[Position("X", 1)]) == ("{ cat }", (1, 2))


def test_made_says_how(words: Tokenizer) -> None:
    made = ioi(words, seed=3).made
    assert made["prompt"] == IOI
    assert made["slots"] == [[["IO", "S", "A", "B", "C"], PEOPLE], [["place"], ["store", "park"]]]
    assert (made["size"], made["seed"], made["answer"], made["foil"]) == (8, 3, " {IO}", " {S}")


# Spans

WORD = st.one_of(
    st.sampled_from(["Mary", "cat", "Zoë", "naïve", "日本", "🎉", "e\u0301", "O'Neil", "x-y", "two words"]),
    st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=6),
)


@settings(max_examples=18)
@given(values=st.lists(WORD, min_size=2, max_size=2, unique=True), start=st.booleans())
@pytest.mark.parametrize("name", ["gpt2", "stories"])
def test_a_span_decodes_to_its_words(
    request: pytest.FixtureRequest, name: str, values: list[str], start: bool
) -> None:
    tokenizer = request.getfixturevalue(name)
    prompt = "{X} met {Y} and {X} end" if start else "Then {X} met {Y} and {X}"
    slots = {"X": [values[0]], "Y": [values[1]]}
    (example,) = template_dataset(tokenizer, prompt=prompt, slots=slots, size=1).examples
    assert list(example.spans) == [("X", 1), ("Y", 1), ("X", 2)]
    for (slot, _), (begin, end) in example.spans.items():
        assert text_of(tokenizer, example.tokens[begin:end]) == example.values[slot]
    covered = [p for begin, end in example.spans.values() for p in range(begin, end)]
    assert covered == sorted(set(covered))


@settings(max_examples=24)
@given(
    left=st.sampled_from(["un", "re", "a", "(", " ", ""]),
    word=WORD,
    right=st.sampled_from(["able", "s", ")", " ", ""]),
)
def test_a_span_is_exact_or_refused(gpt2: Tokenizer, left: str, word: str, right: str) -> None:
    prompt = left.replace("{", "{{") + "{X}" + right
    try:
        (example,) = template_dataset(gpt2, prompt=prompt, slots={"X": [word]}, size=1).examples
    except DataError as error:
        assert error.code == "C307"
        return
    begin, end = example.spans[Position("X", 1)]
    assert gpt2.decode(list(example.tokens[begin:end])).lstrip() == word.lstrip()


def bent(settings: str) -> Tokenizer:
    """GPT-2's tokenizer with other offsets, spaces, letters or lengths."""
    backend = Backend.from_file(str(shared("gpt2-tokenizer") / "tokenizer.json"))
    if settings == "offsets without the space":
        backend.post_processor = processors.ByteLevel(trim_offsets=True)
    elif settings == "a space in front":
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    elif settings == "no capitals, no accents":
        parts = [normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()]
        backend.normalizer = normalizers.Sequence(parts)
    elif settings == "cut and padded":
        backend.enable_truncation(3)
        backend.enable_padding(length=12)
    fast: Any = PreTrainedTokenizerFast
    tokenizer: Tokenizer = fast(tokenizer_object=backend)
    return tokenizer


@pytest.mark.parametrize(
    "settings_of",
    ["offsets without the space", "a space in front", "no capitals, no accents", "cut and padded"],
)
@pytest.mark.parametrize("word", ["Mary", "Élodie", "🎉", "hippopotamus", "two words"])
def test_spans_of_bent_tokenizers(settings_of: str, word: str) -> None:
    tokenizer = bent(settings_of)
    slots = {"X": [word], "Y": ["🎊"]}
    (example,) = template_dataset(tokenizer, prompt="{X} met 🎉{Y}, {X}!", slots=slots, size=1).examples
    wanted = {"X": word, "Y": "🎊"}
    if settings_of == "no capitals, no accents":
        wanted["X"] = word.lower().replace("é", "e")
    for (slot, _), (start, stop) in example.spans.items():
        assert text_of(tokenizer, example.tokens[start:stop]) == wanted[slot]
    assert text_of(tokenizer, example.tokens[-1:]) == "!"


def test_the_span_of_random_tokens_is_where_they_are(framed: Tokenizer) -> None:
    dataset = template_dataset(
        framed, prompt="the {a} and {b} {a}", slots={("a", "b"): random_tokens(3), "n": PEOPLE}, size=5
    )
    for example in some(dataset.examples):
        assert example.tokens[0] == framed.get_vocab()["<s>"]
        for (slot, _), (start, stop) in example.spans.items():
            assert example.tokens[start:stop] == example.values[slot]
        a, b = example.values["a"], example.values["b"]
        assert len({*a, *b}) == 6
        assert list(example.spans) == [("a", 1), ("b", 1), ("a", 2)]


def test_what_the_tokenizer_adds_stands_around_blocks_too(closed: Tokenizer) -> None:
    (example,) = template_dataset(closed, prompt="{a}", slots={"a": random_tokens(2)}, size=1).examples
    assert example.tokens[0] == closed.get_vocab()["<s>"]
    assert example.tokens[-1] == closed.get_vocab()["</s>"]
    assert example.spans[Position("a", 1)] == (1, 3)


def test_random_tokens_are_never_special(any_tokenizer: Tokenizer) -> None:
    special = set(any_tokenizer.all_special_ids)  # type: ignore[attr-defined]
    slots = {"a": random_tokens(10)}
    drawn = {
        token
        for example in template_dataset(any_tokenizer, prompt="{a}", slots=slots, size=200).examples
        for token in example.values["a"]
    }
    assert not drawn & special
    assert len(drawn) > 20


# The same on every machine


@pytest.mark.parametrize("small", [1, 5, 30])
def test_the_first_prompts_do_not_depend_on_the_size(words: Tokenizer, small: int) -> None:
    assert ioi(words, size=60).examples[:small] == ioi(words, size=small).examples


def test_seeds_differ(words: Tokenizer) -> None:
    assert ioi(words, seed=1).examples != ioi(words, seed=2).examples


def test_the_hash_seed_changes_nothing() -> None:
    program = (
        "from tests.engine.data.vocabulary import word_tokenizer\n"
        "from nncirc import random_tokens, template_dataset\n"
        "d = template_dataset(word_tokenizer(), prompt='{S} gave {a} {IO}', size=20,\n"
        "    slots={('IO', 'S', 'A'): ['Mary', 'John', 'Anna', 'Paul'], ('a', 'b'): random_tokens(3)})\n"
        "print(repr(d))\n"
    )
    found = {printed(program, environment={"PYTHONHASHSEED": seed}) for seed in ("0", "1", "77")}
    assert len(found) == 1
    assert "Mary" in found.pop()


def test_the_draws_are_pinned(words: Tokenizer) -> None:
    # A change here changes every published result: it needs a reason and a line in the changes.
    assert [example.text for example in ioi(words, size=3).examples] == [
        "When Mary and Mark went to the park, Mark gave a ball to",
        "When Paul and Lucy went to the store, Paul gave a ball to",
        "When John and Mary went to the park, Mary gave a ball to",
    ]


# Named lists


def test_a_named_list_keeps_the_words_that_are_one_token_everywhere(gpt2: Tokenizer) -> None:
    dataset = template_dataset(
        gpt2,
        prompt=["{S} saw {IO}", "and {IO} saw {S}"],
        slots={("IO", "S"): "names"},
        size=50,
        answer=" {IO}",
    )
    left_out = dataset.made["left_out"]["names"]
    for example in dataset.examples:
        assert all(stop - start == 1 for start, stop in example.spans.values())
        assert not {example.values["S"], example.values["IO"]} & set(left_out)
    # Which words are left out is exactly what encoding each by itself says.
    bad = [
        word
        for word in word_list("names")
        if any(len(gpt2(text, add_special_tokens=False)["input_ids"]) != 1 for text in (word, f" {word}"))
    ]
    assert left_out == bad


def test_a_list_of_the_user_is_taken_as_it_is(gpt2: Tokenizer) -> None:
    dataset = template_dataset(gpt2, prompt="the {X}", slots={"X": ["cat", "hippopotamus"]}, size=2)
    assert {stop - start for example in dataset.examples for start, stop in example.spans.values()} == {1, 3}


def test_words_that_a_vocabulary_lacks_are_left_out() -> None:
    names = word_list("names")
    tokenizer = word_tokenizer(words=(*names[:7], "saw"))
    dataset = template_dataset(tokenizer, prompt="{S} saw {IO}", slots={("IO", "S"): "names"}, size=42)
    assert dataset.made["left_out"]["names"] == list(names[7:])


# Random tokens alone


def test_token_dataset(any_tokenizer: Tokenizer) -> None:
    dataset = token_dataset(any_tokenizer, size=6, length=7, copies=3)
    assert dataset.answers == "next"
    for example in dataset.examples:
        blocks = [tuple(example.tokens[p] for p in resolve(example, "block", k)) for k in (1, 2, 3)]
        assert blocks == [example.values["block"]] * 3
        assert len(set(blocks[0])) == 7


def test_an_answer_can_be_a_random_token(words: Tokenizer) -> None:
    dataset = template_dataset(
        words, prompt="{a} x {a}", slots={("a", "b"): random_tokens(1)}, size=4, answer="{a}", foil="{b}"
    )
    for example in some(dataset.examples):
        assert ((example.answer,), (example.foil,)) == (example.values["a"], example.values["b"])


def test_next(words: Tokenizer) -> None:
    dataset = ioi(words, answer=NEXT, foil=None)
    assert (dataset.answers, dataset.examples[0].answer) == ("next", None)


def test_answers_of_llama_are_what_follows(stories: Tokenizer) -> None:
    dataset = template_dataset(
        stories, prompt="there was a {X}", slots={"X": ["girl", "boy"]}, size=2, answer=" She", foil=" He"
    )
    whole = stories("there was a girl She")["input_ids"]
    assert whole[-1] == dataset.examples[0].answer


# What is refused

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a slot nobody declared": (
        {"prompt": "{Iq} gave"},
        '[C308] the prompt "{Iq} gave" uses the undeclared slot Iq; '
        "the slots are IO, S, A, B, C, place\n  help: did you mean `IO`?",
    ),
    "an answer's slot nobody declared": (
        {"answer": " {plac}"},
        '[C308] the answer " {plac}" uses the undeclared slot plac; '
        "the slots are IO, S, A, B, C, place\n  help: did you mean `place`?",
    ),
    "an open brace": (
        {"prompt": "the {place gave"},
        "[C311] invalid template: this `{` is never closed\n"
        '    "the {place gave"\n'
        "         ^\n"
        "  help: add a closing `}`; write a literal brace twice: `{{`",
    ),
    "a name that is none": (
        {"prompt": "the {my place}"},
        "[C311] invalid template: expected a slot name, found `{my place}`\n"
        '    "the {my place}"\n'
        "         ^\n"
        "  help: write only the slot's name, such as `{S}`",
    ),
    "a phrasing twice": (
        {"prompt": ["{S} gave", "{S} gave"]},
        '[C311] duplicate phrasing "{S} gave"\n  help: remove one of them',
    ),
    "no prompt": ({"prompt": []}, "[C311] the template has no prompt\n  help: give at least one"),
    "an empty prompt": (
        {"prompt": "", "size": 1, "answer": None, "foil": None},
        '[C311] prompt 1: the prompt "" has no tokens\n  help: write something in it',
    ),
    "a slot called end": (
        {"slots": {"end": ["x"]}},
        "[C311] end is a position and cannot name a slot\n  help: use another name, such as end_word",
    ),
    "a slot twice": (
        {"slots": {("S", "IO"): PEOPLE, "S": PEOPLE}},
        "[C311] duplicate slot S\n  help: give each slot one source",
    ),
    "more slots than words": (
        {"slots": {("IO", "S", "A"): ["Mary", "John"], "place": ["park"]}},
        "[C309] the slots IO, S, A need 3 different words in every prompt, but only 2 are available\n"
        "  help: slots declared together are drawn without replacement: use more words or fewer slots",
    ),
    "a word twice": (
        {"slots": {("IO", "S"): ["Mary", "John", "Mary"], "place": ["park"]}},
        '[C309] duplicate word "Mary" for the slot IO: slots drawn together could get the same word\n'
        "  help: remove the duplicate",
    ),
    "no words": (
        {"slots": {"IO": [], "S": PEOPLE, "place": ["park"]}},
        "[C309] the slot IO has no words\n  help: give at least one word",
    ),
    "a word that is empty": (
        {"slots": {("IO", "S"): ["", "Mary"], "place": ["park"]}},
        "[C309] empty word for the slot IO: it would have no position\n  help: remove it",
    ),
    "more prompts than there are": (
        {"size": 121},
        "[C310] size = 121, but this template has only 120 different prompts\n"
        "  help: set size = 120 or less, or give the slots more words",
    ),
    "a size of 0": ({"size": 0}, "[C312] size must be a whole number of at least 1, got 0"),
    "a foil alone": (
        {"answer": None},
        "[C304] a foil needs an answer to be compared with\n  help: add answer = ..., or remove the foil",
    ),
    "a foil that is the answer": (
        {"foil": " {IO}"},
        '[C304] prompt 1: answer and foil are the same token, "Mary"\n'
        "  help: use another foil, or the difference is always 0; slots declared on one line always differ",
    ),
    "an answer of two words": (
        {"answer": " {IO} {S}"},
        '[C303] prompt 1: the answer " Mary Mark" must be exactly one token after the prompt, '
        'but is 2: "Mary", "Mark"\n'
        "  help: use words that are one token each, "
        "or measure the first token only and write just that as the answer; for all its tokens, "
        "set `teacher_forced = true`",
    ),
    "a word nobody knows": (
        {"prompt": "{S} frobnicated {IO}"},
        '[C306] prompt 1: "frobnicated" in "Mark frobnicated Paul" is unknown to the tokenizer: '
        "it becomes [UNK]\n"
        "  help: use words of the tokenizer's vocabulary; the model cannot tell unknown words apart",
    ),
    "a list nobody has": (
        {"slots": {("IO", "S"): "nmaes", "place": ["park"]}},
        "[C305] unknown word list `nmaes`; expected names, objects or places\n  help: did you mean `names`?",
    ),
    "a list of other words": (
        {"slots": {("IO", "S"): "objects", "place": ["park"]}},
        "[C309] of the 30 words of `objects`, 0 are single tokens of this tokenizer wherever the prompts use "
        'them, but the slots IO, S need 2; for example, "ring" is unknown to it\n'
        "  help: write out words that are single tokens of this tokenizer, or have equally many tokens",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(words: Tokenizer, name: str) -> None:
    options, message = REFUSED[name]
    with pytest.raises(DataError) as caught:
        ioi(words, **options)
    assert str(caught.value) == message


def message_of(*arguments: Any, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        template_dataset(*arguments, **{"size": 1, "slots": {"X": ["It"]}, **options})
    return str(caught.value)


def test_a_slot_inside_a_word(gpt2: Tokenizer) -> None:
    assert message_of(gpt2, prompt="He is {X}ly here", slots={"X": ["quick"]}) == (
        '[C307] prompt 1: the slot X = "quick" does not begin and end at token boundaries:\n'
        '      0  "He"\n'
        '      1  " is"\n'
        '  >   2  " quickly"\n'
        '      3  " here"\n'
        "  help: put spaces around the slot; otherwise its positions also cover the text beside it"
    )


def test_an_answer_without_its_space(gpt2: Tokenizer) -> None:
    assert message_of(gpt2, prompt="{X} is in", answer="Warsaw") == (
        '[C303] prompt 1: the answer "Warsaw" must be exactly one token after the prompt, but is '
        '2: "Wars", "aw"\n'
        '  help: " Warsaw" is one token; if you mean that, write answer = " Warsaw"'
    )


def test_an_answer_that_continues_a_word_is_noted(gpt2: Tokenizer) -> None:
    options: dict[str, Any] = {"prompt": "{X} said to", "slots": {"X": ["It"]}, "size": 1}
    assert template_dataset(gpt2, **options, answer="Mary").notes == (
        'the answer "Mary" continues the word "to"; if it is a word of its own, write " Mary"',
    )
    assert template_dataset(gpt2, **options, answer=" Mary").notes == ()


def test_a_prompt_that_ends_in_a_space(gpt2: Tokenizer) -> None:
    assert message_of(gpt2, prompt="{X} is in ", answer="Paris") == (
        '[C303] prompt 1: the prompt "It is in " ends in white space, which becomes part of the '
        'answer\'s token when "Paris" follows: the model never saw the two apart\n'
        "  help: remove the white space from the end of the prompt, and begin the answer and foil with it"
    )


def test_an_answer_after_a_closed_prompt(closed: Tokenizer) -> None:
    assert message_of(closed, prompt="{X}", slots={"X": ["cat"]}, answer="Mary") == (
        '[C319] the tokenizer puts "</s>" after every prompt, so no answer can follow it\n'
        "  help: turn this off in the tokenizer's configuration (often `add_eos_token = false`)"
    )


def test_a_start_token_written_out(framed: Tokenizer) -> None:
    assert message_of(framed, prompt="<s> {X}", slots={"X": ["cat"]}) == (
        '[C319] prompt 1: the prompt begins with "<s>" twice: it is written in the prompt, and '
        "the tokenizer adds it\n"
        '  help: remove "<s>" from the prompt'
    )


def test_a_slow_tokenizer() -> None:
    class Slow:
        is_fast = False
        __call__ = decode = get_vocab = convert_ids_to_tokens = str

    assert message_of(Slow(), prompt="{X}") == (
        "[C313] the tokenizer Slow does not map tokens to characters, so slots "
        "cannot be located among the tokens\n"
        "  help: use a model whose folder has a `tokenizer.json` (a fast tokenizer)"
    )


def test_a_block_as_an_answer(words: Tokenizer) -> None:
    assert message_of(words, prompt="{X}", slots={"X": random_tokens(2)}, answer="{X}") == (
        '[C303] prompt 1: the answer "{X}" must be one token, but contains a block of random tokens\n'
        "  help: use one slot of random_tokens(1) alone"
    )


def test_a_named_list_of_which_nothing_is_left(stories: Tokenizer) -> None:
    assert message_of(stories, prompt="the {X}", slots={"X": "names"}) == (
        "[C309] of the 100 words of `names`, 0 are single tokens of this tokenizer wherever the "
        'prompts use them, but the slot X needs 1; for example, "Aaron" is 3 after a space: "A", "ar", "on"\n'
        "  help: write out words that are single tokens of this tokenizer, or have equally many tokens"
    )


def test_two_fillings_that_read_the_same(words: Tokenizer) -> None:
    # cat + " dog x" and "cat dog" + " x" are one prompt, and are counted as one
    slots = {"A": ["cat", "cat dog"], "B": [" dog x", " x"]}
    assert len(template_dataset(words, prompt="{A}{B}", slots=slots, size=3).examples) == 3
    with pytest.raises(DataError, match="has only 3 different prompts"):
        template_dataset(words, prompt="{A}{B}", slots=slots, size=4)
