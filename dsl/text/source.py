"""Source text, and places in it."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

from nncirc.circuits.arguments import public


@public
@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A text and the name under which messages speak of it (a path, `<stdin>`, `--set tau`).

    Two sources are equal only if they are the same object: a span belongs to one of them.
    """

    name: str
    text: str = field(repr=False)
    _starts: tuple[int, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        starts = [0]
        found = self.text.find("\n")
        while found >= 0:
            starts.append(found + 1)
            found = self.text.find("\n", found + 1)
        object.__setattr__(self, "_starts", tuple(starts))

    @property
    def line_count(self) -> int:
        """The number of lines; a text that ends with a newline ends with an empty line."""
        return len(self._starts)

    def location(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, both counted from 1, the column in characters."""
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def line(self, number: int) -> str:
        """The text of a line (counted from 1) without its line end."""
        start = self._starts[number - 1]
        end = self._starts[number] - 1 if number < len(self._starts) else len(self.text)
        return self.text[start:end].removesuffix("\r")


@dataclass(frozen=True, slots=True)
class Span:
    """The characters `start` to `end` (exclusive) of a source, as offsets from 0."""

    source: Source
    start: int
    end: int

    @property
    def text(self) -> str:
        """The characters themselves."""
        return self.source.text[self.start : self.end]

    @property
    def line(self) -> int:
        """The line of the first character, from 1."""
        return self.source.location(self.start)[0]

    @property
    def column(self) -> int:
        """The column of the first character, from 1, in characters."""
        return self.source.location(self.start)[1]

    @property
    def end_line(self) -> int:
        """The line of the position after the last character."""
        return self.source.location(self.end)[0]

    @property
    def end_column(self) -> int:
        """The column of the position after the last character."""
        return self.source.location(self.end)[1]

    def to(self, other: Span) -> Span:
        """The span from the start of this one to the end of `other`."""
        return Span(self.source, min(self.start, other.start), max(self.end, other.end))

    def __str__(self) -> str:
        return f"{self.source.name}:{self.line}:{self.column}"
