"""What fills a slot: words, a named word list, or random tokens; and drawing without replacement."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from nncirc.circuits.arguments import public
from nncirc.circuits.errors import DataError
from nncirc.engine.data.encoding import quote
from nncirc.engine.data.examples import Tokens, Value
from nncirc.engine.data.limits import MOST_TOKENS, check_count, repeated


@public
@dataclass(frozen=True, slots=True)
class RandomTokens:
    """Blocks of random tokens; made by `random_tokens`."""

    count: int


@public
def random_tokens(count: int) -> RandomTokens:
    """A source of blocks of `count` distinct tokens, uniform over the vocabulary without special tokens.

    Slots declared together share no token within a prompt.

    Raises:
        DataError: C312, the count is not a positive whole number; C348, it is too large.
    """
    check_count(positive("random_tokens", count), MOST_TOKENS, "tokens in a block", about="random_tokens")
    return RandomTokens(count)


Source: TypeAlias = str | Sequence[str] | RandomTokens
"""The name of a word list ("names", "places", "objects"), words written out, or random tokens."""


@dataclass(frozen=True, slots=True)
class Group:
    """Slots that are drawn together from one source, without replacement.

    Attributes:
        names: the slots.
        words: what is drawn, for text.
        ids: what is drawn, for random tokens.
        count: tokens of a block; 1 for text.
        listed: the name of the word list, if it is one.
    """

    names: tuple[str, ...]
    words: tuple[str, ...] = ()
    ids: Tokens = ()
    count: int = 1
    listed: str | None = None

    @property
    def pool(self) -> int:
        """How many things there are to draw from."""
        return len(self.words) or len(self.ids)

    def ways(self, slots: int) -> int:
        """In how many ways so many of the slots can be filled."""
        return math.perm(self.pool, slots * self.count)

    def check(self) -> None:
        """Refuse a source that is too small for its slots.

        Raises:
            DataError: C309.
        """
        wanted = len(self.names) * self.count
        if self.pool >= wanted:
            return
        things = "tokens" if self.ids else "words"
        blocks = f" ({self.count} each)" if self.count > 1 else ""
        raise DataError(
            "C309",
            f"{slots_need(self.names)} {wanted} different {things} in every prompt{blocks}, "
            f"and there are {self.pool} to draw from",
            hint="slots declared together are drawn without replacement: give more words or fewer slots"
            if not self.ids
            else "make the blocks shorter",
            about=self.names[0],
        )


@dataclass(slots=True)
class Urn:
    """Numbers below `size`, drawn uniformly without replacement; nothing is stored but what was drawn.

    This is the Fisher-Yates shuffle with the untouched part of the array left unwritten, so the urn may
    be astronomically large.
    """

    size: int
    drawn: int = 0
    moved: dict[int, int] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """True if every number was drawn."""
        return self.drawn >= self.size

    def take(self, step: int) -> int:
        """The number that lies `step` places behind those drawn; `step` < size − drawn."""
        here = self.drawn + step
        number = self.moved.get(here, here)
        self.moved[here] = self.moved.get(self.drawn, self.drawn)
        self.drawn += 1
        return number

    def draw(self, rng: random.Random) -> int:
        """A random one of the numbers left."""
        return self.take(rng.randrange(self.size - self.drawn))


def draw_values(
    groups: Sequence[Group], used: frozenset[str], index: int, rng: random.Random
) -> dict[str, Value]:
    """Fill every slot: those in the prompt by the prompt's number, the others at random.

    Args:
        groups: the slots, all of them.
        used: the slots that the prompt mentions.
        index: which of the prompt's fillings, below the product of `Group.ways`.
        rng: for the slots that only a corruption uses.
    """
    values: dict[str, Value] = {}
    for group in groups:
        urn = Urn(group.pool)
        for name in sorted(group.names, key=lambda name: name not in used):
            picks = []
            for _ in range(group.count):
                if name in used:
                    index, step = divmod(index, urn.size - urn.drawn)
                    picks.append(urn.take(step))
                else:
                    picks.append(urn.draw(rng))
            values[name] = tuple(group.ids[pick] for pick in picks) if group.ids else group.words[picks[0]]
    return values


def make_groups(
    slots: Mapping[str | tuple[str, ...], Source], lists: Mapping[str, tuple[str, ...]], ids: Tokens
) -> tuple[Group, ...]:
    """Check the declared slots and join each with what it is drawn from.

    Args:
        slots: source by slot, or by several slots that are drawn together.
        lists: the word lists that are mentioned.
        ids: what random tokens are drawn from.

    Raises:
        DataError: C309, a source is empty or holds a thing twice; C311, a slot's name.
    """
    groups = []
    for key, source in slots.items():
        names = (key,) if isinstance(key, str) else tuple(key)
        if isinstance(source, RandomTokens):
            group = Group(names, ids=ids, count=source.count)
        elif isinstance(source, str):
            group = Group(names, words=lists[source], listed=source)
        else:
            group = Group(names, words=_words(names[0] if names else "", source))
        groups.append(group)
    return tuple(groups)


def _words(slot: str, source: Sequence[str]) -> tuple[str, ...]:
    words = tuple(source)
    if not words:
        raise DataError("C309", f"the slot {slot} has no words", hint="give at least one", about=slot)
    for word in words:
        if not word:
            raise DataError(
                "C309",
                f"a word of the slot {slot} is empty, so it would have no position",
                hint="leave it out",
                about=slot,
            )
    twice = repeated(words)
    if twice is not None:
        raise DataError(
            "C309",
            f"the slot {slot} has {quote(twice)} twice: slots drawn together could get the same word",
            hint="give each word once",
            about=slot,
        )
    return words


def positive(name: str, value: object) -> int:
    """A whole number from 1.

    Raises:
        DataError: C312.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise DataError("C312", f"{name} must be a whole number from 1; it is {value!r}", about=name)
    return value


def slots_need(names: Sequence[str]) -> str:
    """`the slot S needs`, `the slots IO, S need`."""
    return f"the slot {names[0]} needs" if len(names) == 1 else f"the slots {', '.join(names)} need"
