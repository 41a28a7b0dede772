"""The program that a check of a script gave."""

from __future__ import annotations

from nncirc import CheckResult, Program, render_diagnostics


def program_of(checked: CheckResult) -> Program:
    """The program of a script without errors."""
    assert checked.program is not None, render_diagnostics(checked.diagnostics)
    return checked.program
