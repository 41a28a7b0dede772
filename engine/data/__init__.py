"""From prompts to tokens: datasets, where their slots are, and their corrupted versions.

Nothing here imports torch; `transformers` is imported only by `load_tokenizer`, when it is called.
"""

from __future__ import annotations

from nncirc.engine.data.corrupt import alignment_table, check_alignment, counterpart, replace, shuffle
from nncirc.engine.data.examples import (
    NEXT,
    Dataset,
    Example,
    Field,
    Next,
    Target,
    Tokenizer,
    buckets,
    tokens_of,
)
from nncirc.engine.data.exhaustive import all_inputs
from nncirc.engine.data.files import file_dataset
from nncirc.engine.data.labels import labels_of, show_tokens
from nncirc.engine.data.load import load_tokenizer
from nncirc.engine.data.positions import resolve, roles
from nncirc.engine.data.prompts import prompt_dataset
from nncirc.engine.data.sources import RandomTokens, random_tokens
from nncirc.engine.data.targets import with_answers
from nncirc.engine.data.tasks import task_dataset
from nncirc.engine.data.template import template_dataset, token_dataset

__all__ = [
    "NEXT",
    "Dataset",
    "Example",
    "Field",
    "Next",
    "RandomTokens",
    "Target",
    "Tokenizer",
    "alignment_table",
    "all_inputs",
    "buckets",
    "check_alignment",
    "counterpart",
    "file_dataset",
    "labels_of",
    "load_tokenizer",
    "prompt_dataset",
    "random_tokens",
    "replace",
    "resolve",
    "roles",
    "show_tokens",
    "shuffle",
    "task_dataset",
    "template_dataset",
    "token_dataset",
    "tokens_of",
    "with_answers",
]
