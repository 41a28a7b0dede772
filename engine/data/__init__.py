"""From prompts to tokens: datasets, where their slots are, and their corrupted versions.

Nothing here imports torch; `transformers` is imported only by `load_tokenizer`, when it is called.
"""

from __future__ import annotations

from nncirc.engine.data.types import NEXT, Dataset, Example, Field, Next, Tokenizer, buckets

__all__ = ["NEXT", "Dataset", "Example", "Field", "Next", "Tokenizer", "buckets"]
