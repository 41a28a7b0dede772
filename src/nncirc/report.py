"""What the command line prints as tables: the report of a run, and what is found about a model."""

from __future__ import annotations

import os
import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

from nncirc.circuits.intervals import Estimate
from nncirc.circuits.words import visible
from nncirc.engine.model.inspection import Inspection, Measured
from nncirc.engine.program.captions import told
from nncirc.engine.program.run import Report

__all__ = ["print_inspection", "print_report"]


def print_report(report: Report, *, colored: bool) -> None:
    """Print it, on a terminal in colors if these are wanted."""
    console = _console(colored=colored)
    table = Table(box=None, pad_edge=False)
    for column in ("result", "using", "", "seconds", "file"):
        table.add_column(column, justify="right" if column == "seconds" else "left", overflow="fold")
    for result in report.results:
        seconds = "stored" if result.stored else f"{result.seconds:.1f}"
        table.add_row(*map(_plain, (result.name, result.using, result.summary, seconds, result.file or "")))
    console.print(table)
    for name, comparison in report.tables.items():
        console.print(_plain(f"\n{name}"))
        inner = Table(box=None, pad_edge=False)
        for column in comparison.columns:
            inner.add_column(column)
        for row in comparison.rows:
            inner.add_row(*(_plain(_cell(cell)) for cell in row))
        console.print(inner)
        if how := told(comparison.made):
            console.print(_plain(how))
    if report.claims:
        console.print()
    for claim in report.claims:
        mark, about = ("holds" if claim.holds else "FALSE"), claim.assertion.about
        left, right = _side(claim.left, claim.left_interval), _side(claim.right, claim.right_interval)
        measured = f"{left} {claim.assertion.comparison} {right}"
        of = f" [{about}]" if about else ""
        console.print(_plain(f"{mark}  {claim.assertion.text}{of}: {measured}"))
    for note in report.notes:
        console.print(_plain(f"note: {note}"))
    console.print(_plain(f"\nwritten to {report.folder}{os.sep}"))


def print_inspection(found: Inspection, *, colored: bool) -> None:
    """Print what is found about a model: what it is, what guards measured, what is fast, what is refused."""
    console = _console(colored=colored)
    facts = [
        (name, f"{fact:,}" if isinstance(fact, int) else str(fact)) for name, fact in found.facts.items()
    ]
    guards = [
        (each.code, each.claim, _small(each.error), _small(each.allowed), _verdict(each))
        for each in found.guards
    ]
    fast = [
        (what, f"no: {why}; the whole model runs instead" if why else "yes")
        for what, why in found.fast.items()
    ]
    refused = [(each.what, each.code, each.why) for each in found.refused]
    for title, columns, rows in (
        ("", (), facts),
        ("What the guards measured", ("code", "claim", "error", "allowed", ""), guards),
        ("Computed by itself, as fast paths do", (), fast),
        ("Refused", (), refused),
    ):
        if not rows:
            continue
        if title:
            console.print(f"\n{title}")
        table = Table(box=None, pad_edge=False, show_header=bool(columns))
        for index in range(len(rows[0])):
            table.add_column(columns[index] if columns else "", overflow="fold")
        for row in rows:
            table.add_row(*map(_plain, row))
        console.print(table)


def _small(number: float | None) -> str:
    return "-" if number is None else f"{number:.1e}" if number else "0"


def _verdict(guard: Measured) -> str:
    if guard.error is None or guard.allowed is None:
        return "nothing to test"
    return "holds" if guard.error <= guard.allowed else "does not hold, so fast paths are not taken"


def _console(*, colored: bool) -> Console:
    # Into a file or a pipe, rows are not folded to the width of a terminal.
    width = None if sys.stdout.isatty() else 160
    return Console(width=width, highlight=False, no_color=not colored)


def _cell(cell: str | float | None) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:.3f}" if cell == 0 or abs(cell) >= 0.001 else f"{cell:.2g}"
    return str(cell)


def _side(value: float | tuple[float, float], interval: Estimate | None) -> str:
    """A number of a claim, with its interval over prompts where there is one; or the ends of a range."""
    if isinstance(value, tuple):
        return f"[{value[0]:.6g}, {value[1]:.6g}]"
    return f"{value:.6g} {interval.interval(4) if interval else ''}".rstrip()


def _plain(text: str) -> Text:
    """Text of a script is no markup, and shows what a terminal would obey."""
    return Text(visible(text, lines=True))
