"""A tokenizer of whole words, made here."""

from __future__ import annotations

from typing import Any

from tokenizers import Tokenizer as Backend, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE, WordLevel, WordPiece
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from nncirc import Tokenizer

_TEXT = """Mary John Anna Paul Lucy Mark gave the a ball to and went store park , . When then
x y z red blue green cat dog"""
WORDS = tuple(_TEXT.split())


def word_tokenizer(*, before: str = "", after: str = "", words: tuple[str, ...] = WORDS) -> Tokenizer:
    """Whole words; `before` and `after` are put around every prompt."""
    vocabulary = {word: i for i, word in enumerate(["[UNK]", "<s>", "</s>", *words])}
    backend = Backend(WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = Whitespace()
    single = " ".join(part for part in (before, "$A", after) if part)
    if before or after:
        backend.post_processor = TemplateProcessing(
            single=single, special_tokens=[(one, vocabulary[one]) for one in (before, after) if one]
        )
    fast: Any = PreTrainedTokenizerFast  # untyped
    tokenizer: Any = fast(tokenizer_object=backend, unk_token="[UNK]", bos_token="<s>", eos_token="</s>")
    return tokenizer  # type: ignore[no-any-return]


def subword_tokenizer(kind: str) -> Tokenizer:
    """Parts of words: Llama's kind ("prepend", "metaspace"), GPT-2's ("plain") or that with a space put
    first ("bytes"), or BERT's ("pieces"). " Lily" is one token, and so are " Lil", " y" and "y".
    """
    mark = "▁" if kind in ("prepend", "metaspace") else "Ġ"
    letters = ["a", "b", "i", "l", "y", "L", "m", "e", mark, "Ċ", "<0x0A>", "<0x61>", "<0xE2>", "â"]
    merges = [("i", "l"), (mark, "L"), (mark + "L", "il"), (mark + "Lil", "y"), (mark, "y"), (mark, "a")]
    words = letters + [one + two for one, two in merges]
    if kind == "pieces":
        words = ["[UNK]", "a", "lil", "lily", "y", "##y", "me", "##me", "##il"]
    ids = {word: i for i, word in enumerate(words)}
    if kind == "pieces":
        backend = Backend(WordPiece(ids, unk_token="[UNK]"))
        backend.normalizer = normalizers.BertNormalizer()
        backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        backend.decoder = decoders.WordPiece()
    else:
        backend = Backend(BPE(ids, merges, byte_fallback=kind in ("prepend", "metaspace")))
    if kind == "prepend":
        backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    elif kind == "metaspace":
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    elif kind in ("bytes", "plain"):
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=kind == "bytes")
        backend.decoder = decoders.ByteLevel()
    if mark == "▁":
        parts = [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
        backend.decoder = decoders.Sequence(parts)
    fast: Any = PreTrainedTokenizerFast
    options = {"unk_token": "[UNK]"} if kind == "pieces" else {}
    tokenizer: Tokenizer = fast(tokenizer_object=backend, **options)
    return tokenizer
