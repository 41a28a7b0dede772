"""Text to tokens, with the characters that each stands for, and back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from string import ascii_letters
from typing import Any, Final

from nncirc.circuits.errors import DataError
from nncirc.engine.data.examples import Span, Tokenizer, Tokens

HALF: Final = re.compile("[\ud800-\udfff]")
"""Half of a character beyond 16 bits: JSON can write one, and no text has any."""

UNKNOWN: Final = 2**32 - 1
"""No token: stands for a text of which a tokenizer has none, not even one for what it does not know."""

LONGEST_QUOTE: Final = 400
"""Characters of a text that messages quote."""

LEADS: Final = ("\n", *ascii_letters)
"""What a text is put behind to see its tokens inside a longer one; few texts merge with a line end."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A text as tokens.

    Attributes:
        offsets: for each token the characters [start, stop) of the text that it stands for.
        added: True for tokens that the tokenizer adds by itself.
    """

    text: str
    ids: Tokens
    offsets: tuple[Span, ...]
    added: tuple[bool, ...]


def require_offsets(tokenizer: Tokenizer) -> None:
    """Refuse a tokenizer that does not say which characters a token stands for.

    Raises:
        DataError: C313.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise DataError(
            "C313",
            f"the tokenizer {type(tokenizer).__name__} does not map tokens to characters, "
            "so slots cannot be located among the tokens",
            hint="use a model whose folder has a `tokenizer.json` (a fast tokenizer)",
        )


def encode(tokenizer: Tokenizer, text: str, *, added: bool = True, inside: bool = False) -> Encoded:
    """Encode one text, by default with the tokens that the tokenizer adds by itself (`<s>`).

    Where it goes on behind something else, and so is `inside`, nothing is added.

    Raises:
        DataError: C306, the text has something that the vocabulary lacks.
    """
    (encoded,) = encode_raw(tokenizer, [text], added=added, inside=inside)
    refuse_unknown(tokenizer, encoded)
    return encoded


def encode_raw(
    tokenizer: Tokenizer, texts: Sequence[str], *, added: bool = True, inside: bool = False
) -> list[Encoded]:
    """`encode` several texts, without a word on what the vocabulary lacks.

    Raises:
        DataError: C311, a text has half of a character.
    """
    if not texts:
        return []
    for text in texts:
        if (half := HALF.search(text)) is not None:
            raise DataError(
                "C311",
                f"{quote(text)} contains the unpaired surrogate U+{ord(half.group()):04X}",
                hint="write the whole character",
            )
    encoded = _encoded(tokenizer, texts, added=added and not inside)
    if inside and _puts_space_first(tokenizer):
        return [next(continuations(tokenizer, one.text), one) for one in encoded]
    return encoded


def _encoded(tokenizer: Tokenizer, texts: Sequence[str], *, added: bool) -> list[Encoded]:
    try:
        # `truncation` and `padding` are said aloud: a tokenizer.json may switch them on.
        batch = tokenizer(
            list(texts), add_special_tokens=added, truncation=False, padding=False, verbose=False
        ).encodings
    except Exception as error:
        # The library raises bare Exceptions: "Missing [UNK] token", "`unk_id` is missing".
        if "unk" not in str(error).lower():
            raise
        if len(texts) > 1:
            return [one for text in texts for one in _encoded(tokenizer, [text], added=added)]
        return [Encoded(texts[0], (UNKNOWN,), ((0, len(texts[0])),), (False,))]
    return [
        Encoded(text, tuple(one.ids), tuple(one.offsets), tuple(map(bool, one.special_tokens_mask)))
        for text, one in zip(texts, batch, strict=True)
    ]


def continuations(tokenizer: Tokenizer, text: str) -> Iterator[Encoded]:
    """The tokens of a text behind each of `LEADS` that does not merge with it.

    Where characters merge by rank or by likelihood, all are the same. Where words go on in tokens of their
    own (`##ing`), those behind letters are such tokens.
    """
    for lead in LEADS:
        before, whole = encode_raw(tokenizer, [lead, lead + text], added=False)
        n = len(before.ids)
        if whole.ids[:n] == before.ids:
            offsets = tuple((max(0, a - len(lead)), max(0, b - len(lead))) for a, b in whole.offsets[n:])
            yield Encoded(text, whole.ids[n:], offsets, whole.added[n:])


def _puts_space_first(tokenizer: Tokenizer) -> bool:
    """Whether a text alone is encoded as if a space came before it, as Llama 1 and 2 do."""
    (alone,) = encode_raw(tokenizer, ["a"], added=False)
    return next(continuations(tokenizer, "a"), alone).ids != alone.ids


def unknown_ids(tokenizer: Tokenizer) -> frozenset[int]:
    """The ids that stand for whatever a tokenizer does not know.

    The vocabulary's own may be another than the one that the tokenizer's settings name, or they name none.
    """
    model = getattr(getattr(tokenizer, "backend_tokenizer", None), "model", None)
    name = getattr(model, "unk_token", None)
    own = None if model is None or name is None else model.token_to_id(name)
    found = (UNKNOWN, own, getattr(tokenizer, "unk_token_id", None))
    return frozenset(token for token in found if token is not None)


def refuse_unknown(tokenizer: Tokenizer, encoded: Encoded) -> None:
    """Refuse a text that has something that the vocabulary lacks.

    Raises:
        DataError: C306.
    """
    problem = _unknown(tokenizer, encoded) or _dropped(tokenizer, encoded)
    if problem is not None:
        raise DataError(
            "C306",
            problem,
            hint="use words of the tokenizer's vocabulary; the model cannot tell unknown words apart",
        )


def _unknown(tokenizer: Tokenizer, encoded: Encoded) -> str | None:
    unknown = unknown_ids(tokenizer)
    if unknown.isdisjoint(encoded.ids):
        return None
    if UNKNOWN in encoded.ids:
        return (
            f"{quote(encoded.text)} has a word unknown to the tokenizer, which has no token for unknown words"
        )
    for token, (start, stop), added in zip(encoded.ids, encoded.offsets, encoded.added, strict=True):
        written = encoded.text[start:stop]
        name = str(tokenizer.convert_ids_to_tokens([token])[0])
        if token in unknown and not added and written.strip() != name:
            return f"{quote(written)} in {quote(encoded.text)} is unknown to the tokenizer: it becomes {name}"
    return None


def _dropped(tokenizer: Tokenizer, encoded: Encoded) -> str | None:
    """What no token stands for: a vocabulary of letters may pass over those that it lacks."""
    end = 0
    for start, stop in (*encoded.offsets, (len(encoded.text), len(encoded.text))):
        for character in encoded.text[end:start].strip():
            # What joins the character before it, as an accent does, may be part of that one's token.
            (alone,) = encode_raw(tokenizer, [character], added=False)
            if not alone.ids and not character.isspace():
                return (
                    f"{quote(character)} in {quote(encoded.text)} is unknown to the tokenizer, which drops it"
                )
        end = max(end, stop)
    return None


def decode(tokenizer: Tokenizer, tokens: Sequence[int]) -> str:
    """The text of tokens, special ones written out."""
    text: Any = tokenizer.decode(list(tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return str(text)


def quote(text: str) -> str:
    """Text in double quotes: white space and control characters made visible, of long text both ends.

    >>> quote(" Mary\\n")
    '" Mary\\\\n"'
    """
    if len(text) > LONGEST_QUOTE:
        text = f"{text[: LONGEST_QUOTE // 2]} … {text[-LONGEST_QUOTE // 2 :]}"
    body = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(_visible(c) for c in body) + '"'


def _visible(character: str) -> str:
    if character == " " or character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")
