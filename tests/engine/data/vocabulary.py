"""A tokenizer of whole words, made here."""

from __future__ import annotations

from typing import Any

from tokenizers import Tokenizer as Backend
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from nncirc.engine.data import Tokenizer

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
