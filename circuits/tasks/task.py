"""The parts of a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Words: TypeAlias = tuple[str, ...]

Answers: TypeAlias = Callable[[Mapping[str, str], int], Words]
"""The right (or wrong) answers to a prompt, from what fills its slots and the number of its phrasing."""


@dataclass(frozen=True, slots=True)
class Derived:
    """A slot that is not drawn but follows from another: the capital from the country.

    Attributes:
        slot: the slot that is drawn.
        table: what follows from each of its words; both must be one token in the slot's place.
    """

    slot: str
    table: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Task:
    """A task, independent of tokenizer and model.

    Attributes:
        name: as scripts write it.
        doc: what is asked, in a sentence or two.
        source: the papers whose task it is.
        metric: what they measure, as a script writes it.
        phrasings: templates, slots in braces; they take turns.
        slots: by slots that are drawn together without replacement: words, or how many random tokens each is.
        corruptions: by name, slots and by which others they are filled (`S.2` is the second S). The
            first is the default.
        answers: the texts of which each is right; None: at every position the token that follows, or
            none at all if there are `symbols`.
        foils: the texts of which each is wrong; None where there are none.
        derived: slots for corruptions, answers and foils.
        differs: how the prompts or the metric differ from those of the papers.
        symbols: what a compiled program reads, if the prompts are its inputs: its tokenizer must know these
            and no others. Such prompts have no answers, for its outputs are values and no tokens.
    """

    name: str
    doc: str
    source: str
    metric: str
    phrasings: tuple[str, ...]
    slots: Mapping[tuple[str, ...], Words | int]
    corruptions: Mapping[str, Mapping[str, str]]
    answers: Answers | None
    foils: Answers | None
    derived: Mapping[str, Derived] = field(default_factory=dict[str, Derived])
    differs: str = ""
    symbols: Words = ()

    @property
    def slot_names(self) -> tuple[str, ...]:
        """Every slot, drawn or derived."""
        return (*(name for names in self.slots for name in names), *self.derived)

    @property
    def follows(self) -> bool:
        """Whether the answer is, at every position, the token that follows."""
        return self.answers is None and not self.symbols
