"""Tokens as people read them: two different tokens never look the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from nncirc.circuits.arguments import public
from nncirc.engine.data.encoding import decode, encode_raw, quote
from nncirc.engine.data.examples import Tokenizer, Tokens

ANSWER: Final = "answer: "
"""What marks the label of the first token of an answer that the model gets."""

OR: Final = " / "
"""What stands between the tokens of several prompts at one position."""
MORE: Final = "\u2026"
"""What stands for those that are not shown."""


@public
def labels_of(tokenizer: Tokenizer, tokens: Sequence[int]) -> list[str]:
    """Each token as its text, or where that is not its own, as the vocabulary writes it.

    A text is that of the token which it is encoded as inside a longer text: "A" of Llama's `A`, not of its
    `<0x41>`. Bytes that are no whole character are written as `<0xE2>`. Where what stands for a token is the
    text of another one, the token's id is added.

    Args:
        tokenizer: a fast tokenizer.
        tokens: ids; one that the tokenizer lacks, as models with spare rows have them, is `(id 50300)`.
    """
    return [
        _spelled(tokenizer, token) if text is None else text
        for token, text in zip(tokens, _own_texts(tokenizer, tokens), strict=True)
    ]


@public
def show_tokens(tokenizer: Tokenizer, tokens: Sequence[int]) -> list[str]:
    """Each token in quotes as its text, or where that is not its own, without quotes as in `labels_of`."""
    return [
        quote(_spelled(tokenizer, token))[1:-1] if text is None else quote(text)
        for token, text in zip(tokens, _own_texts(tokenizer, tokens), strict=True)
    ]


def _own_texts(tokenizer: Tokenizer, tokens: Sequence[int]) -> list[str | None]:
    """The text of each token; None if it is no whole characters, or another token's."""
    names = tokenizer.convert_ids_to_tokens(list(tokens))
    # Decoding one token loses the leading space that some tokenizers mark with "▁".
    texts = [
        name.replace("▁", " ") if isinstance(name, str) and "▁" in name else decode(tokenizer, [token])
        for token, name in zip(tokens, names, strict=True)
    ]
    return [
        text if ids == (token,) and "\ufffd" not in text else None
        for token, text, ids in zip(tokens, texts, _read(tokenizer, texts), strict=True)
    ]


def _read(tokenizer: Tokenizer, texts: Sequence[str]) -> list[Tokens]:
    """What texts are encoded as inside a longer one."""
    return [one.ids for one in encode_raw(tokenizer, texts, inside=True)]


def _spelled(tokenizer: Tokenizer, token: int) -> str:
    """A token that has no text of its own."""
    name = tokenizer.convert_ids_to_tokens([token])[0] or ""
    found = _bytes(name, decode(tokenizer, [token])) or name
    (ids,) = _read(tokenizer, [found])
    taken = not found or (len(ids) == 1 and _own_texts(tokenizer, ids) == [found])
    return f"{found} (id {token})".lstrip() if taken else found


def _bytes(name: str, text: str) -> str:
    """The bytes of a token of a byte-level vocabulary that are no whole characters; "" for any other."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    table: Any = bytes_to_unicode  # untyped
    known = {character: byte for byte, character in table().items()}
    found = bytes(known[character] for character in name) if known.keys() >= set(name) else b""
    partial = "\ufffd" in text and found.decode("utf-8", "replace") == text
    return "".join(f"<0x{byte:02X}>" for byte in found) if partial else ""
