"""What fills a slot: words, a named word list, or random tokens; and drawing without replacement.

Of a named list those words are taken that are one token wherever the prompts use them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TypeAlias

from nncirc.circuits.arguments import public
from nncirc.circuits.errors import DataError
from nncirc.engine.data.counts import MOST_TOKENS, check_count, positive, repeated
from nncirc.engine.data.encoding import encode_raw, quote, unknown_ids
from nncirc.engine.data.examples import Field, Template, Tokenizer, Tokens, Value
from nncirc.engine.data.labels import show_tokens
from nncirc.engine.data.slots import filled, filled_text
from nncirc.engine.data.tokens import is_single_token, one_token, tokens_inside


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
    """Slots that are drawn together from one source, without replacement: words, or ids in blocks of `count`.

    `listed` is the name of the word list, if it is one.
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
            f"but only {self.pool} are available",
            hint="slots declared together are drawn without replacement: use more words or fewer slots"
            if not self.ids
            else "use shorter blocks",
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
    """Fill every slot: those that the prompt uses by the prompt's number, the others at random.

    The number is below the product of `Group.ways`.
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
    """Check the declared slots and join each with what it is drawn from: words, lists, or ids.

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
        raise DataError("C309", f"the slot {slot} has no words", hint="give at least one word", about=slot)
    for word in words:
        if not word:
            raise DataError(
                "C309",
                f"empty word for the slot {slot}: it would have no position",
                hint="remove it",
                about=slot,
            )
    twice = repeated(words)
    if twice is not None:
        raise DataError(
            "C309",
            f"duplicate word {quote(twice)} for the slot {slot}: "
            "slots drawn together could get the same word",
            hint="remove the duplicate",
            about=slot,
        )
    return words


def slots_need(names: Sequence[str]) -> str:
    """`the slot S needs`, `the slots IO, S need`."""
    return f"the slot {names[0]} needs" if len(names) == 1 else f"the slots {', '.join(names)} need"


# Words of a list ------------------------------------------------------------------------------------------


def single_tokens(
    tokenizer: Tokenizer,
    phrasings: Sequence[Template],
    targets: Sequence[Template],
    groups: Sequence[Group],
    listed: str,
) -> tuple[str, ...]:
    """The words of a list that are one token in every place where its slots stand."""
    mine = {name for group in groups if group.listed == listed for name in group.names}
    words = next(group.words for group in groups if group.listed == listed)
    others: dict[str, Value] = {
        name: group.words[0] if group.words else () for group in groups for name in group.names
    }
    kept = dict.fromkeys(words)
    for phrasing in phrasings:
        for before, after, inside in _surroundings(phrasing, mine, others):
            kept = dict.fromkeys(_one_token_between(tokenizer, tuple(kept), before, after, inside=inside))
        tail, inside = _last_run(filled(phrasing, others))
        for template in targets:
            if any(isinstance(part, Field) and part.slot in mine for part in template):
                answers = {
                    word: filled_text(template, {**others, **dict.fromkeys(mine, word)}) for word in kept
                }
                kept = dict.fromkeys(_one_token_answers(tokenizer, answers, tail, inside=inside))
    if not kept and sum(len(_alone(tokenizer, word)) == 1 for word in words) > len(words) / 2:
        # Not the words are at fault but what stands around them, which says so itself when it is rendered.
        return tuple(words)
    return tuple(kept)


def _alone(tokenizer: Tokenizer, word: str) -> list[int]:
    """The tokens of a word after a space; none for a word that the tokenizer does not know."""
    (one,) = encode_raw(tokenizer, [f"and {word}"], added=False)
    tokens = [one.ids[i] for i in tokens_inside(one, (4, 4 + len(word)))]
    return tokens if unknown_ids(tokenizer).isdisjoint(tokens) else []


def _surroundings(
    phrasing: Template, mine: set[str], others: Mapping[str, Value]
) -> Iterator[tuple[str, str, bool]]:
    """The text before and after every field of some slots up to the nearest blocks, and is one before it?"""
    pieces = filled(phrasing, others)
    for i, part in enumerate(phrasing):
        if isinstance(part, Field) and part.slot in mine:
            before, inside = _last_run(pieces[:i])
            yield before, "".join(_texts(pieces[i + 1 :])), inside


def _last_run(pieces: Sequence[Value]) -> tuple[str, bool]:
    """The text behind the last block of tokens, and whether there is such a block."""
    found = _texts(pieces[::-1])
    return "".join(found[::-1]), len(found) < len(pieces)


def _texts(pieces: Iterable[Value]) -> list[str]:
    """The texts up to the first block of tokens."""
    return [str(text) for text in takewhile(lambda piece: isinstance(piece, str), pieces)]


def _one_token_between(
    tokenizer: Tokenizer, words: Sequence[str], before: str, after: str, *, inside: bool
) -> list[str]:
    texts = [before + word + after for word in words]
    start = len(before)
    return [
        word
        for word, one in zip(words, encode_raw(tokenizer, texts, added=False, inside=inside), strict=True)
        if is_single_token(tokenizer, one, (start, start + len(word)))
    ]


def _one_token_answers(
    tokenizer: Tokenizer, filled: Mapping[str, str | None], tail: str, *, inside: bool
) -> list[str]:
    """The words of which the answer that they fill in is one token after the tail of a prompt."""
    kept = []
    for word, text in filled.items():
        try:
            if text is not None:
                one_token(tokenizer, tail, text, what="answer", inside=inside)
        except DataError:
            continue
        kept.append(word)
    return kept


def left_out_note(listed: str, left_out: Sequence[str], total: int) -> tuple[str, ...]:
    """A note if words of a list were left out."""
    if not left_out:
        return ()
    some = ", ".join(left_out[:5]) + (", ..." if len(left_out) > 5 else "")
    return (
        f"{len(left_out)} of the {total} words of `{listed}` are left out, "
        f"because they are not one token of this tokenizer wherever the prompts use them: {some}",
    )


def check_kept(
    tokenizer: Tokenizer, listed: str, groups: Sequence[Group], kept: Sequence[str], left_out: Sequence[str]
) -> None:
    """Refuse a word list of which too few words are left for the slots that are drawn from it.

    Raises:
        DataError: C309.
    """
    for group in groups:
        if group.listed != listed or len(kept) >= len(group.names):
            continue
        word = left_out[0]
        tokens = _alone(tokenizer, word)
        pieces = ", ".join(show_tokens(tokenizer, tokens))
        is_so = f"is {len(tokens)} after a space: {pieces}" if tokens else "is unknown to it"
        raise DataError(
            "C309",
            f"of the {len(kept) + len(left_out)} words of `{listed}`, {len(kept)} are single tokens of this "
            f"tokenizer wherever the prompts use them, but {slots_need(group.names)} {len(group.names)}; "
            f"for example, {quote(word)} {is_so}",
            hint="write out words that are single tokens of this tokenizer, or have equally many tokens",
            about=group.names[0],
        )
