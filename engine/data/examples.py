"""What a dataset is: prompts as tokens, where their slots are, and what the answer to each is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any, Final, Literal, Protocol, TypeAlias

from nncirc.circuits.annotations import Accepts
from nncirc.circuits.arguments import public
from nncirc.circuits.names import Position

Tokens: TypeAlias = tuple[int, ...]
Target: TypeAlias = int | Tokens | None
"""What should follow a prompt, or should not: one token, or several of which each is as good."""

Value: TypeAlias = str | Tokens
"""What a slot was filled with: text, or token ids where it was drawn by `random_tokens`."""

Span: TypeAlias = tuple[int, int]
"""A half-open range of token positions, [start, stop)."""


class Tokenizer(Protocol):
    """The part of a fast `transformers` tokenizer that is used here."""

    is_fast: bool

    def __call__(self, text: Any, **options: Any) -> Any:
        """Encode one text or a list of texts."""
        ...

    def decode(self, token_ids: Any, **options: Any) -> Any:
        """The text of token ids."""
        ...

    def get_vocab(self) -> dict[str, int]:
        """Every token and its id, added tokens among them."""
        ...

    def convert_ids_to_tokens(self, ids: Any) -> Any:
        """The tokens as the vocabulary writes them."""
        ...


class Next(Enum):
    """The type of `NEXT`."""

    NEXT = "next"

    def __repr__(self) -> str:
        return "NEXT"


NEXT: Final = Next.NEXT
"""As an answer: at every position p, the token at p + 1 of the clean prompt (`answer = next` in a script)."""


@public
@dataclass(frozen=True, slots=True)
class Example:
    """One prompt.

    Attributes:
        text: what was tokenized, without the tokens that the tokenizer adds itself; for prompts with
            blocks of random tokens, those tokens decoded, for display only.
        tokens: token ids as the model gets them, the added ones (`<s>`) among them, and behind the prompt
            those that are `forced`.
        spans: token range [start, stop) of every occurrence of every slot, in the order of the prompt.
        answer: the token that should come after `tokens`, or several, in ascending order, of which each
            is right; None if the dataset has none, or if its answers are the next tokens.
        foil: the token that should not, or several.
        values: what was drawn for each slot, also for those that only a corruption uses.
        phrasing: which of the dataset's phrasings this is, counted from 0.
        forced: how many tokens of an answer of several the model gets behind the prompt (teacher forcing):
            all but the last, which is `answer`.
    """

    text: str
    tokens: Tokens
    spans: Mapping[Position, Span]
    answer: Target
    foil: Target
    values: Mapping[str, Value]
    phrasing: int = 0
    forced: int = 0

    @property
    def end(self) -> int:
        """The position of the prompt's last token."""
        return len(self.tokens) - self.forced - 1

    @property
    def continuation(self) -> Tokens:
        """The tokens of the answer that the model gets."""
        return self.tokens[self.end + 1 :]


@public
@dataclass(frozen=True, slots=True)
class Field:
    """A slot where a template mentions it: `{S}`."""

    slot: str


Template: TypeAlias = tuple[str | Field, ...]
"""A prompt with slots, taken apart: literal text and fields in order."""


@public
@dataclass(frozen=True, slots=True)
class Dataset:
    """Prompts, all made in the same way.

    Attributes:
        examples: the clean prompts.
        answers: "token": every example has an `answer`; "next": the target at position p is
            `tokens[p + 1]` of the clean example; "forced": an answer of any number of tokens, which the model
            gets one after the other; None: no answers.
        counterparts: the corrupted column of a paired dataset, one for each example, carrying the
            answer and foil of the clean prompt: a metric asks both runs the same question.
        made: how the dataset came about, as JSON values.
        notes: what is worth a look though nothing is wrong, in sentences to show.
        phrasings: the templates that the examples were rendered from; () if they were not.
        tokenizer: what encoded them.
    """

    examples: tuple[Example, ...]
    answers: Literal["token", "next", "forced"] | None
    counterparts: tuple[Example, ...] | None
    made: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    phrasings: tuple[Template, ...] = ()
    # Without one there is nothing to show, and nothing to answer in words.
    tokenizer: Annotated[Tokenizer, Accepts(Tokenizer | None)] = field(
        repr=False, compare=False, kw_only=True
    )


@public
def tokens_of(target: Target) -> Tokens:
    """The tokens of an answer or a foil.

    >>> tokens_of(7), tokens_of((7, 9)), tokens_of(None)
    ((7,), (7, 9), ())
    """
    return () if target is None else (target,) if isinstance(target, int) else target


@public
def buckets(examples: Sequence[Example]) -> tuple[tuple[int, ...], ...]:
    """Indices of the examples grouped by their number of tokens, shortest first.

    Each group runs as one batch without padding, so that no result depends on padding.

    >>> def of(n): return Example("", tuple(range(n)), {}, None, None, {})
    >>> buckets([of(3), of(2), of(3)])
    ((1,), (0, 2))
    """
    groups: dict[int, list[int]] = {}
    for i, example in enumerate(examples):
        groups.setdefault(len(example.tokens), []).append(i)
    return tuple(tuple(groups[length]) for length in sorted(groups))
