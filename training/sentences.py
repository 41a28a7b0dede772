"""The sentences that `ioi-4l` is trained on, and the combinations of words that training never shows.

    When Mary and John went to the store, John gave a drink to Mary.

Who receives is the name that was not repeated. Both orders of the first two names are equally likely, so that
order alone says nothing; when a third person gives, either of the first two receives. No torch here.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial

from nncirc.circuits.data import word_list

PHRASINGS = (
    "When {A} and {B} went to the {place}, {giver} gave a {gift} to {receiver}.",
    "Then, {A} and {B} went to the {place}. {adverb}, {giver} gave the {gift} to {receiver}.",
    "{when} {A} and {B} {went} the {place}, {giver} {gave} {a} {gift} to {receiver}.",
    "{adverb}, {when} {A} and {B} {went} the {place}, {giver} {gave} {a} {gift} to {receiver}.",
    "Then, {A} and {B} {went} the {place}. {giver} {gave} {a} {gift} to {receiver}.",
    "Then {A} and {B} {went} the {place}, and {giver} {gave} {a} {gift} to {receiver}.",
    "{adverb}, {A} and {B} {went} the {place} and {giver} {gave} {a} {gift} to {receiver}.",
    "{adverb}, {A} and {B} found {a} {gift} at the {place}. {adverb}, {giver} {gave} it to {receiver}.",
    "At the {place}, {A} and {B} found {a} {gift}, and {giver} {gave} it to {receiver}.",
    "The {place} was {quiet} {when} {A} and {B} came in, so {giver} {gave} {a} {gift} to {receiver}.",
    "The friends {A} and {B} {went} the {place}, where {giver} {gave} {a} {gift} to {receiver}.",
)
"""The sentences in which somebody gives to somebody; `{A}` and `{B}` are the first two names."""

ASIDES = (
    "{when} {A} and {B} {went} the {place}, {giver} found {a} {gift}.",
    "{when} {A} and {B} {went} the {place}, they found {a} {gift}.",
    "{adverb}, {A} {went} the {place} and found {a} {gift}.",
    "The {place} was {quiet} {when} {A} came in.",
)
"""Sentences in which nobody receives."""

CHOICES: dict[str, tuple[str, ...]] = {
    "when": ("When", "After", "While", "Once", "As"),
    "adverb": ("Today", "Yesterday", "Later", "Then", "Afterwards", "Finally"),
    "went": (
        "went to",
        "came to",
        "walked to",
        "drove to",
        "ran to",
        "were at",
        "met at",
        "arrived at",
        "worked at",
        "had a long day at",
        "had a lot of fun at",
    ),
    "gave": ("gave", "handed", "offered", "passed", "brought", "sold", "showed", "sent"),
    "a": ("a", "the"),
    "quiet": ("quiet", "busy", "dark", "warm"),
}
"""What fills the other slots; inside a sentence `{when}` is lower case."""

Choose = Callable[[tuple[str, ...]], str]

_SLOT = re.compile(r"\{(\w+)\}")
_PIECE = re.compile(r" ?\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of the training data and the words it combines.

    Attributes:
        text: without `<end>`.
        names: those that occur, in order of first occurrence.
        place: its place.
        gift: its object, or None.
        receives: whether it ends with a receiver, whose name stands before the full stop.
    """

    text: str
    names: tuple[str, ...]
    place: str
    gift: str | None
    receives: bool


@cache
def held_out(first: str, second: str) -> bool:
    """Whether a pair of words, in either order, never stands together in a training sentence.

    One pair in ten of two names, and one in ten of a place and an object: those whose SHA-256 is divisible
    by ten.
    """
    pair = "|".join(sorted((first, second)))
    return int.from_bytes(hashlib.sha256(pair.encode()).digest()) % 10 == 0


def seen_in_training(sentence: Sentence) -> bool:
    """Whether training may show this: no two of its names, nor its place and object, are held out."""
    names = sentence.names
    if any(held_out(a, b) for i, a in enumerate(names) for b in names[i + 1 :]):
        return False
    return sentence.gift is None or not held_out(sentence.place, sentence.gift)


def training_sentence(source: random.Random, names: Sequence[str] | None = None) -> Sentence:
    """Draw one sentence of the training data, about some of the names or about any.

    Of a hundred, 70 repeat one of the two names as the giver, 20 have a third giver, and 10 have no receiver.
    """
    while True:
        kind = source.random()
        first, second, third = source.sample(names or word_list("names"), 3)
        givers = (first, second) if kind < 0.7 or kind >= 0.9 else (third,)
        giver = source.choice(givers)
        receiver = source.choice([name for name in (first, second) if name != giver])
        phrasing = source.choice(PHRASINGS if kind < 0.9 else ASIDES)
        place, gift = source.choice(word_list("places")), source.choice(word_list("objects"))
        words = {"A": first, "B": second, "giver": giver, "receiver": receiver, "place": place, "gift": gift}
        sentence = Sentence(
            text=fill(phrasing, words, source.choice),
            names=tuple(dict.fromkeys(words[s] for s in _SLOT.findall(phrasing) if s in {"A", "B", "giver"})),
            place=place,
            gift=gift if "{gift}" in phrasing else None,
            receives=kind < 0.9,
        )
        if seen_in_training(sentence):
            return sentence


def fill(phrasing: str, words: Mapping[str, str], choose: Choose) -> str:
    """Put words into a phrasing's slots; slots of `CHOICES` are chosen among theirs."""

    def word(match: re.Match[str]) -> str:
        slot = match[1]
        if slot in words:
            return words[slot]
        chosen = choose(CHOICES[slot])
        return chosen.lower() if slot == "when" and match.start() else chosen

    return _SLOT.sub(word, phrasing)


def vocabulary() -> list[str]:
    """Every token of every sentence, with its leading space: names, places, objects, then the rest sorted."""
    listed = [f" {word}" for name in ("names", "places", "objects") for word in word_list(name)]
    any_word = dict.fromkeys(("A", "B", "giver", "receiver"), word_list("names")[0])
    any_word |= {"place": word_list("places")[0], "gift": word_list("objects")[0]}
    rest: set[str] = set()
    for phrasing in (*PHRASINGS, *ASIDES):
        for turn in range(max(map(len, CHOICES.values()))):
            rest.update(_PIECE.findall(fill(phrasing, any_word, partial(_in_turn, turn))))
    return [*listed, *sorted(rest - set(listed))]


def _in_turn(turn: int, words: tuple[str, ...]) -> str:
    return words[turn % len(words)]


TEMPLATES = (
    "When {A} and {B} went to the {place}, {giver} gave a {gift} to",
    "After {A} and {B} met at the {place}, {giver} handed the {gift} to",
    "Then, {A} and {B} had a lot of fun at the {place}. {giver} gave a {gift} to",
    "Today, {A} and {B} walked to the {place} and {giver} offered the {gift} to",
    "The friends {A} and {B} arrived at the {place}, where {giver} showed a {gift} to",
    "At the {place}, {A} and {B} found a {gift}, and {giver} gave it to",
)
"""Prompts on which the model is measured, the sentences of training up to the receiver."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt with its answer.

    Attributes:
        text: ends before the receiver; the giver's name occurs twice.
        unrepeated: the same with a third giver.
        receiver: the answer, without its space.
        giver: the wrong answer.
        third: who gives in `unrepeated`.
        place: its place.
        gift: its object.
    """

    text: str
    unrepeated: str
    receiver: str
    giver: str
    third: str
    place: str
    gift: str


def held_out_prompts(template: str, order: str, source: random.Random, size: int) -> list[Prompt]:
    """Prompts in which the two names, and the place and the object, are pairs that training never shows.

    Args:
        template: of `TEMPLATES`.
        order: "ABBA", the receiver is the first of the two names, or "BABA", the second.
        source: where the words are drawn from.
        size: how many prompts.
    """
    names, places, gifts = (word_list(name) for name in ("names", "places", "objects"))
    name_pairs = [(a, b) for a in names for b in names if a != b and held_out(a, b)]
    thing_pairs = [(place, gift) for place in places for gift in gifts if held_out(place, gift)]
    prompts = []
    for _ in range(size):
        receiver, giver = source.choice(name_pairs)
        place, gift = source.choice(thing_pairs)
        third = source.choice([name for name in names if name not in (receiver, giver)])
        first, second = (receiver, giver) if order == "ABBA" else (giver, receiver)
        words = {"A": first, "B": second, "giver": giver, "place": place, "gift": gift}
        prompts.append(
            Prompt(
                text=fill(template, words, source.choice),
                unrepeated=fill(template, words | {"giver": third}, source.choice),
                receiver=receiver,
                giver=giver,
                third=third,
                place=place,
                gift=gift,
            )
        )
    return prompts
