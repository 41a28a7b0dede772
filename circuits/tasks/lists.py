"""The words of the tasks, our own lists; each was chosen to be one token of GPT-2 after a space."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from nncirc.circuits.tasks.task import Words

_LISTS: dict[str, Any] = json.loads(
    (files("nncirc.circuits.data") / "tasks.json").read_text(encoding="utf-8")
)

PAIRS_OF_NAMES: tuple[tuple[str, str], ...] = tuple((woman, man) for woman, man in _LISTS["pairs_of_names"])
"""A woman's name and a man's."""

CAPITALS: dict[str, str] = _LISTS["capitals"]
"""The capital of each country."""

PLURALS: dict[str, str] = {noun: f"{noun}s" for noun in _LISTS["nouns"]}
"""The plural of each noun."""

PLACES: dict[str, str] = {place: f"{place}s" for place in _LISTS["places"]}
"""What a subject can stand beside, and its plural."""

COLORS: Words = tuple(_LISTS["colors"])
"""Colors that follow `a`."""

THINGS: Words = tuple(_LISTS["things"])
"""Things that can have any color, and follow `a`."""

EVENTS: Words = tuple(_LISTS["events"])
"""What can last for years."""

ARGUMENTS: Words = tuple(_LISTS["arguments"])
"""Names of arguments."""

FUNCTIONS: Words = tuple(_LISTS["functions"])
"""Names of functions."""

DOCSTRING: Words = tuple(_LISTS["docstring"])
"""Words of a docstring; none is the name of an argument."""
