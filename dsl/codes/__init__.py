"""What each code means: the texts that `nncirc explain C104` shows.

`SCRIPT` has the codes that `check` reports (C0xx to C2xx); `RUN` has those of errors in a run: data (C3xx),
models and graphs (C4xx), methods (C5xx), files (C6xx), resources (C7xx). Tests run every example: `bad` gives
the code and `good` gives none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from nncirc.dsl.codes.data import DATA
from nncirc.dsl.codes.entry import Entry
from nncirc.dsl.codes.files import ARGUMENTS, COMMAND, FILES, RESOURCES
from nncirc.dsl.codes.form import FORM
from nncirc.dsl.codes.meaning import MEANING
from nncirc.dsl.codes.methods import METHODS
from nncirc.dsl.codes.models_and_graphs import GRAPHS, MODELS

__all__ = ["RUN", "SCRIPT", "Entry", "entries", "explain"]

_SAME = {
    "C332": "C219",
    "C343": "C245",
    "C352": "C265",
    "C452": "C238",
    "C455": "C225",
    "C468": "C246",
    "C521": "C236",
    "C523": "C237",
    "C541": "C223",
    "C547": "C290",
    "C581": "C243",
}
"""Codes of a run, and those of `check` for the same mistake, which have the text."""

SCRIPT: Mapping[str, Entry] = {**FORM, **MEANING}
RUN: Mapping[str, Entry] = {
    **COMMAND,
    **DATA,
    **MODELS,
    **GRAPHS,
    **METHODS,
    **FILES,
    **RESOURCES,
    **ARGUMENTS,
    **{code: replace(SCRIPT[same], bad="", fix="") for code, same in _SAME.items()},
}


@cache
def entries() -> Mapping[str, Entry]:
    """Every code, in order."""
    return dict(sorted({**SCRIPT, **RUN}.items()))


def explain(code: str) -> str | None:
    """The long form of a code (`C104`, `c104`) as text; None if there is no such code."""
    code = code.strip().upper()
    entry = entries().get(code)
    if entry is None:
        return None
    parts = [f"{code}: {entry.title}", entry.text]
    if entry.bad:
        parts.append("For example:\n\n" + _indented(entry.bad))
    if entry.good:
        parts.append("Corrected:\n\n" + _indented(entry.good))
    return "\n\n".join(parts) + "\n"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in text.splitlines())
