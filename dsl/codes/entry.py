"""An entry of the catalogue of codes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """A code's long form.

    Attributes:
        title: a short noun phrase or statement, without a period.
        text: why it is an error, and what to do.
        bad: part of a script that gives the code, or "".
        fix: what is wrong in `bad`, and what takes its place; or all of it, corrected; or "".
    """

    title: str
    text: str
    bad: str = ""
    fix: tuple[str, str] | str = ""

    @property
    def good(self) -> str:
        """The script of `bad`, corrected, or ""."""
        return self.bad.replace(*self.fix) if isinstance(self.fix, tuple) else self.fix
