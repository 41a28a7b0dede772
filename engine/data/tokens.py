"""What stands among a prompt's tokens: what the tokenizer adds, slots as spans, and the answers behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from nncirc.circuits.errors import DataError
from nncirc.circuits.names import Position
from nncirc.engine.data.encoding import (
    UNKNOWN,
    Encoded,
    continuations,
    decode,
    encode_raw,
    quote,
    refuse_unknown,
    unknown_ids,
)
from nncirc.engine.data.examples import Example, Span, Tokenizer, Tokens
from nncirc.engine.data.labels import show_tokens


@dataclass(frozen=True, slots=True)
class Frame:
    """The tokens that a tokenizer puts before and after every prompt."""

    prefix: Tokens
    suffix: Tokens


def frame_of(tokenizer: Tokenizer) -> Frame:
    """What the tokenizer adds around a prompt, found by encoding something."""
    one = _added(tokenizer, "a")
    if one is None:  # a tokenizer that drops what it does not know: give it a word of its own
        one = _added(tokenizer, max(tokenizer.get_vocab(), key=lambda word: (len(word), word)))
    return one or Frame((), ())


def _added(tokenizer: Tokenizer, text: str) -> Frame | None:
    encoded = encode_raw(tokenizer, [text])[0]
    if False not in encoded.added or UNKNOWN in encoded.ids:
        return None
    first = encoded.added.index(False)
    last = len(encoded.added) - encoded.added[::-1].index(False)
    return Frame(encoded.ids[:first], encoded.ids[last:])


def plain_token_ids(tokenizer: Tokenizer) -> Tokens:
    """Ids of the vocabulary, ascending, without special and added tokens: the pool of random tokens."""
    vocabulary = set(tokenizer.get_vocab().values())
    excluded = set(getattr(tokenizer, "all_special_ids", ()))
    excluded |= set(getattr(tokenizer, "added_tokens_decoder", {}))
    return tuple(sorted(vocabulary - excluded))


def tokens_inside(encoded: Encoded, characters: Span) -> list[int]:
    """Positions of the tokens that share a character with [start, stop)."""
    begin, end = characters
    return [
        i
        for i, ((start, stop), added) in enumerate(zip(encoded.offsets, encoded.added, strict=True))
        if not added and start < end and stop > begin
    ]


def is_single_token(tokenizer: Tokenizer, encoded: Encoded, characters: Span) -> bool:
    """True if one known token stands for the characters and for nothing else but white space before them."""
    inside = tokens_inside(encoded, characters)
    if len(inside) != 1 or encoded.ids[inside[0]] in unknown_ids(tokenizer):
        return False
    start, stop = encoded.offsets[inside[0]]
    before, after = encoded.text[start : characters[0]], encoded.text[stop : characters[1]]
    return not (before + after).strip() and stop <= characters[1]


def find_span(tokenizer: Tokenizer, encoded: Encoded, characters: Span, *, slot: str) -> Span:
    """The tokens [start, stop) that stand for the characters [start, stop).

    A token may begin with the white space in front of the slot (GPT-2's " Mary"); with any other
    character outside the slot it would stand for both, and a position would not be the slot's.

    Raises:
        DataError: C307, a token crosses the slot's edge, or no token stands for it.
    """
    begin, end = characters
    inside = tokens_inside(encoded, characters)
    text = encoded.text
    value = text[begin:end]
    if not inside:
        raise DataError(
            "C307",
            f"the slot {slot} = {quote(value)} has no token in {quote(text)}",
            hint="use words that the tokenizer keeps" if value else "a slot's words cannot be empty",
            about=slot.partition(".")[0],
        )
    first, last = inside[0], inside[-1]
    before = text[encoded.offsets[first][0] : begin]
    after = text[end : encoded.offsets[last][1]]
    contiguous = inside == list(range(first, last + 1))
    if before.strip() or after or not contiguous:
        crossing = {first} if before.strip() else set()
        crossing |= {last} if after else set()
        rows = [
            f"  {'>' if i in crossing else ' '} {i:>3}  {piece}"
            for i, piece in enumerate(show_tokens(tokenizer, encoded.ids))
            if first - 2 <= i <= last + 2
        ]
        raise DataError(
            "C307",
            f"the slot {slot} = {quote(value)} does not begin and end at token boundaries:\n"
            + "\n".join(rows),
            hint="put spaces around the slot; otherwise its positions also cover the text beside it",
            about=slot.partition(".")[0],
        )
    return first, last + 1


def check_doubled(tokenizer: Tokenizer, frame: Frame, tokens: Tokens) -> None:
    """Refuse a prompt that writes out the `<s>` which the tokenizer adds by itself.

    Raises:
        DataError: C319.
    """
    n = len(frame.prefix)
    if n and tokens[n : 2 * n] == frame.prefix:
        name = show_tokens(tokenizer, frame.prefix)[0]
        raise DataError(
            "C319",
            f"the prompt begins with {name} twice: it is written in the prompt, and the tokenizer adds it",
            hint=f"remove {name} from the prompt",
        )


def check_open_end(tokenizer: Tokenizer, frame: Frame) -> None:
    """Refuse a tokenizer that closes every prompt where an answer is to follow.

    Raises:
        DataError: C319.
    """
    if frame.suffix:
        name = " ".join(show_tokens(tokenizer, frame.suffix))
        raise DataError(
            "C319",
            f"the tokenizer puts {name} after every prompt, so no answer can follow it",
            hint="turn this off in the tokenizer's configuration (often `add_eos_token = false`)",
        )


def one_token(tokenizer: Tokenizer, prompt: str, text: str, *, what: str, inside: bool = False) -> int:
    """The one token that `text` is after `prompt`, as `tokens_after` finds it.

    Raises:
        DataError: C303, it is not exactly one token, or unknown; C306, the prompt holds an unknown word.
    """
    return one_token_each(tokenizer, prompt, [text], what=what, inside=inside)[0]


def one_token_each(
    tokenizer: Tokenizer, prompt: str, texts: Sequence[str], *, what: str, inside: bool = False
) -> list[int]:
    """`one_token` of several texts after the same prompt."""
    found = _each_after(tokenizer, prompt, texts, what=what, inside=inside)
    for text, tokens in zip(texts, found, strict=True):
        if len(tokens) != 1:
            pieces = ", ".join(show_tokens(tokenizer, tokens[:8])) or "none"
            raise DataError(
                "C303",
                f"the {what} {quote(text)} must be exactly one token after the prompt, "
                f"but is {len(tokens)}: {pieces}{', ...' if len(tokens) > 8 else ''}",
                hint=_space_hint(tokenizer, prompt, text, what),
            )
    return [token for (token,) in found]


def tokens_after(tokenizer: Tokenizer, prompt: str, text: str, *, inside: bool = False) -> Tokens:
    """The tokens that the answer `text` is after `prompt`, which more comes before if it is `inside`.

    What counts is how the prompt goes on: the tokens of prompt + text behind those of the prompt.
    Where the two merge over the seam (" 17" + "32" is one token of GPT-2, " Lil" + "y" of Llama), those that
    `text` is behind something else, so that both decode to prompt + text.

    Raises:
        DataError: C303, it is empty or unknown; C306, the prompt holds an unknown word.
    """
    return _each_after(tokenizer, prompt, [text], what="answer", inside=inside)[0]


def _each_after(
    tokenizer: Tokenizer, prompt: str, texts: Sequence[str], *, what: str, inside: bool
) -> list[Tokens]:
    """`tokens_after` of several texts."""
    if "" in texts:
        raise DataError(
            "C303", f"the {what} is empty", hint=f'write the token as text, such as {what} = " Mary"'
        )
    before, *wholes = encode_raw(
        tokenizer, [prompt, *(prompt + text for text in texts)], added=False, inside=inside
    )
    return [_after(tokenizer, before, whole, text, what) for whole, text in zip(wholes, texts, strict=True)]


def _after(tokenizer: Tokenizer, before: Encoded, whole: Encoded, text: str, what: str) -> Tokens:
    prompt, n = before.text, len(before.ids)
    follows = whole.ids[:n] == before.ids
    if not follows and prompt[-1:].isspace():
        raise DataError(
            "C303",
            f"the prompt {quote(prompt)} ends in white space, which becomes part of the {what}'s "
            f"token when {quote(text)} follows: the model never saw the two apart",
            hint="remove the white space from the end of the prompt, and begin the answer and foil with it",
        )
    found = whole if follows else _behind(tokenizer, before, whole, text)
    try:
        refuse_unknown(tokenizer, found)
    except DataError:
        refuse_unknown(tokenizer, before)
        raise DataError(
            "C303",
            f"the {what} {quote(text)} is unknown to the tokenizer",
            hint=_space_hint(tokenizer, prompt, text, what, unknown=True),
        ) from None
    if not follows:
        refuse_unknown(tokenizer, before)
    return found.ids[n:] if follows else found.ids


def _behind(tokenizer: Tokenizer, before: Encoded, whole: Encoded, text: str) -> Encoded:
    """The tokens of a text that merges with the prompt, behind the prompt's own."""
    (alone,) = encode_raw(tokenizer, [text], added=False)
    wanted = decode(tokenizer, whole.ids)
    for one in chain([alone], continuations(tokenizer, text)):
        if decode(tokenizer, (*before.ids, *one.ids)) == wanted:
            return one
    # Whoever splits at white space has forgotten it: "gave" + "Mary" decodes to "gave Mary".
    return next(continuations(tokenizer, text), alone)


def joined_note(prompt: str, text: str, *, what: str) -> tuple[str, ...]:
    """A note if an answer continues the prompt's last word: mostly, a space was forgotten.

    >>> joined_note("a drink to", "Mary", what="answer")
    ('the answer "Mary" continues the word "to"; if it is a word of its own, write " Mary"',)
    >>> joined_note("a drink to", " Mary", what="answer")
    ()
    """
    last = prompt.split()[-1:]
    if not last or not (prompt[-1] + text[:1]).isalpha() or not (prompt[-1] + text[:1]).isascii() or not text:
        return ()
    return (
        f"the {what} {quote(text)} continues the word {quote(last[0])}; "
        f"if it is a word of its own, write {quote(' ' + text)}",
    )


def _space_hint(tokenizer: Tokenizer, prompt: str, text: str, what: str, *, unknown: bool = False) -> str:
    other = text.lstrip() if text[:1].isspace() else f" {text}"
    if other:
        before, whole = encode_raw(tokenizer, [prompt, prompt + other], added=False)
        known = unknown_ids(tokenizer).isdisjoint(whole.ids[len(before.ids) :])
        if known and whole.ids[: len(before.ids)] == before.ids and len(whole.ids) == len(before.ids) + 1:
            if other == f" {text}" and unknown:
                return f"begin the {what} with a space: write {what} = {quote(other)}"
            return f"{quote(other)} is one token; if you mean that, write {what} = {quote(other)}"
    if unknown:
        return "use words of the tokenizer's vocabulary; the model cannot tell unknown words apart"
    several = "" if what == "foil" else "; for all its tokens, set `teacher_forced = true`"
    return (
        "use words that are one token each, or measure the first token only and write just that as the "
        f"{what}{several}"
    )


def slot_at(example: Example, position: int) -> Position | None:
    """The occurrence of a slot that a position belongs to."""
    for occurrence, (start, stop) in example.spans.items():
        if start <= position < stop:
            return occurrence
    return None
