"""Word lists for prompts: names, places and objects, our own, each word one token of GPT-2 after a space.

A template whose slots are filled from one list keeps its length in tokens, in GPT-2 and in the bundled
models.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import cast

from nncirc.circuits.errors import DataError
from nncirc.circuits.words import did_you_mean, or_

WORD_LISTS = ("names", "objects", "places")
"""The names of all word lists."""


@cache
def word_list(name: str) -> tuple[str, ...]:
    """The words of one list, without leading spaces, in a fixed order.

    >>> word_list("places")[:3]
    ('store', 'garden', 'office')

    Raises:
        DataError: C305, there is no such list.
    """
    if name not in WORD_LISTS:
        found = f"unknown word list `{name}`; expected {or_(WORD_LISTS)}"
        raise DataError("C305", found, hint=did_you_mean(name, WORD_LISTS))
    text = (Path(__file__).parent / f"{name}.json").read_text(encoding="utf-8")
    return tuple(cast("list[str]", json.loads(text)))
