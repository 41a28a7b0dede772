"""Diagnostics: what is wrong, where, and what to do; as text with carets, and as JSON."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from nncirc.circuits.arguments import public
from nncirc.circuits.words import visible
from nncirc.dsl.text.source import Span

Severity: TypeAlias = Literal["error", "warning"]

_WIDTH = 100  # columns of source shown; a longer line is cut around the place that matters
_TAB = 4
_MOST_LABELS = 6
_COLORS = {"error": "\x1b[1;31m", "warning": "\x1b[1;33m", "label": "\x1b[1;34m", "bold": "\x1b[1m"}


@public
@dataclass(frozen=True, slots=True)
class Label:
    """A second place that helps explain the first."""

    span: Span
    text: str


@public
@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding.

    Attributes:
        code: stable, such as `C104`; `nncirc explain C104` knows it.
        message: one sentence without a period: what was found and what was expected.
        span: the exact place.
        label: a few words shown next to the carets, or empty.
        labels: further places.
        help: what to do, or None.
        severity: a script with a warning still runs.
    """

    code: str
    message: str
    span: Span
    label: str = ""
    labels: tuple[Label, ...] = ()
    help: str | None = None
    severity: Severity = "error"

    def __post_init__(self) -> None:
        """No message is longer than a screen, whatever a script calls its things."""
        several = "\n" in self.message  # a table of tokens, or what a file has
        object.__setattr__(self, "message", _cut(self.message, 5000 if several else 600))
        object.__setattr__(self, "label", _cut(self.label, 100))
        object.__setattr__(self, "help", self.help and _cut(self.help, 600))
        labels = tuple(Label(each.span, _cut(each.text, 100)) for each in self.labels[:_MOST_LABELS])
        object.__setattr__(self, "labels", labels)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def sort_key(diagnostic: Diagnostic) -> tuple[str, int, int, str, str]:
    """Order within a file: by position, then by code."""
    span = diagnostic.span
    return (span.source.name, span.start, span.end, diagnostic.code, diagnostic.message)


def _shown(character: str) -> str:
    """A character as it can stand in a terminal without moving anything else."""
    return " " * _TAB if character == "\t" else visible(character)


def _columns(character: str) -> int:
    if len(shown := _shown(character)) > 1:
        return len(shown)
    if unicodedata.combining(character) or unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def clean(text: str) -> str:
    """Text that may come from a script, safe to print."""
    return visible(text.replace("\t", " " * _TAB), lines=True)


def _paint(text: str, style: str, color: bool) -> str:
    return f"{_COLORS[style]}{text}\x1b[0m" if color and text else text


def _snippet(span: Span, mark: str, text: str, gutter: int, style: str, color: bool) -> list[str]:
    """The line where a span begins, and the carets beneath it."""
    number, column = span.source.location(span.start)
    line = span.source.line(number)
    start = min(column - 1, len(line))
    end = span.end_column - 1 if span.end_line == number else len(line)
    end = max(start, min(end, len(line)))
    first, last = 0, len(line)
    if len(line) > _WIDTH:
        first = max(0, min(start - _WIDTH // 4, len(line) - _WIDTH))
        last = min(len(line), first + _WIDTH)
        end = min(end, last)
    head = "…" if first else ""
    tail = "…" if last < len(line) else ""
    shown = head + "".join(map(_shown, line[first:last])) + tail
    indent = len(head) + sum(map(_columns, line[first:start]))
    carets = mark * max(1, sum(map(_columns, line[start:end])))
    bar = _paint("|", "label", color)
    number_text = _paint(f"{number:>{gutter}}", "label", color)
    note = _paint(f"{carets} {text}".rstrip(), style, color)
    return [f"{number_text} {bar} {shown}".rstrip(), f"{'':{gutter}} {bar} {' ' * indent}{note}"]


@public
def render_diagnostic(diagnostic: Diagnostic, *, color: bool = False) -> str:
    """The diagnostic as a person reads it: message, place, the line with carets, help."""
    span = diagnostic.span
    gutter = max(len(str(place.line)) for place in (span, *(label.span for label in diagnostic.labels)))
    bar = _paint("|", "label", color)
    head = _paint(f"{diagnostic.severity}[{diagnostic.code}]", diagnostic.severity, color)
    lines = [f"{head}: {_paint(clean(diagnostic.message), 'bold', color)}"]
    lines.append(f"{'':{gutter}} {_paint('-->', 'label', color)} {visible(str(span))}")
    if not span.source.text:  # a script that could not be read has no line to show
        if diagnostic.help:
            lines.append(f"  = help: {clean(diagnostic.help)}")
        return "\n".join(lines)
    lines.append(f"{'':{gutter}} {bar}")
    lines += _snippet(span, "^", clean(diagnostic.label), gutter, diagnostic.severity, color)
    shown = span.line  # a label on the line just shown needs no second copy of it
    for label in diagnostic.labels:
        if label.span.source is not span.source:
            lines.append(f"{'':{gutter}} {_paint(':::', 'label', color)} {visible(str(label.span))}")
        elif label.span.line != shown:
            lines.append(f"{'':{gutter}} {bar}")
        snippet = _snippet(label.span, "-", clean(label.text), gutter, "label", color)
        again = label.span.source is span.source and label.span.line == shown
        lines += snippet[1:] if again and len(snippet[0]) <= _WIDTH else snippet
        shown = label.span.line if label.span.source is span.source else 0
    if diagnostic.help:
        lines.append(f"{'':{gutter}} {_paint('=', 'label', color)} help: {clean(diagnostic.help)}")
    return "\n".join(lines)


@public
def render_diagnostics(diagnostics: Sequence[Diagnostic], *, color: bool = False) -> str:
    """All of them with a blank line between, and a line that counts them; "" for none."""
    if not diagnostics:
        return ""
    errors = sum(each.severity == "error" for each in diagnostics)
    counts = [(errors, "error"), (len(diagnostics) - errors, "warning")]
    summary = ", ".join(f"{n} {word}{'s' if n > 1 else ''}" for n, word in counts if n)
    return "\n\n".join([*(render_diagnostic(each, color=color) for each in diagnostics), summary]) + "\n"


def _place(span: Span) -> dict[str, object]:
    return {
        "file": span.source.name,
        "start": {"offset": span.start, "line": span.line, "column": span.column},
        "end": {"offset": span.end, "line": span.end_line, "column": span.end_column},
    }


@public
def diagnostics_to_json(diagnostics: Iterable[Diagnostic]) -> str:
    """A JSON array; lines and columns count from 1, columns and offsets in characters."""
    entries = [
        {
            "code": each.code,
            "severity": each.severity,
            "message": each.message,
            **_place(each.span),
            "label": each.label,
            "labels": [{**_place(label.span), "text": label.text} for label in each.labels],
            "help": each.help,
        }
        for each in diagnostics
    ]
    return json.dumps(entries, indent=2)
