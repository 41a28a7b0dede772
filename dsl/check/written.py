"""What a run writes, and that no two of it are one file."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

from nncirc.dsl.check.program import Declaration
from nncirc.dsl.check.scope import Draft, Scope
from nncirc.dsl.text.diagnostics import Label
from nncirc.dsl.text.source import Span

RESULTS = ("scores", "circuit", "curve", "compare")
"""The kinds of which a run writes each as JSON."""
DRAWN = ("plot", "render")
"""The kinds of which a run writes each to the file that it names."""
PROVENANCE = "run.json"
"""The file in which a run says what it did."""


def result_file(name: str) -> str:
    """The file of a named result; `found[1]` of a family is `found.1.json`."""
    return name.replace("[", ".").replace("]", "") + ".json"


def written(declarations: Iterable[Declaration]) -> tuple[Declaration, ...]:
    """The results and outputs that a run writes: the script's own, not those of files that it uses."""
    return tuple(each for each in declarations if _is_written(each))


def _is_written(declaration: Declaration | Draft) -> bool:
    # There is a dot in names of what other files declare, of what is inline, and of outputs without a label.
    unnamed = declaration.kind in ("compare", *DRAWN)
    return declaration.kind in (*RESULTS, *DRAWN) and (unnamed or "." not in declaration.name)


@dataclass(frozen=True, slots=True)
class _Written:
    """A file, and where the script says so."""

    file: str
    what: str
    draft: Draft | None = None

    @property
    def span(self) -> Span | None:
        if self.draft is None:
            return None
        return self.draft.spans.get("file", self.draft.place)


@dataclass(slots=True)
class Files:
    """The files that a run writes. `add` reports those that would be in one another's place.

    A name is compared as file systems do that tell neither upper from lower case, nor one way to write an
    accent from another.
    """

    scope: Scope
    files: dict[tuple[str, ...], _Written] = field(default_factory=dict)
    folders: dict[tuple[str, ...], _Written] = field(default_factory=dict)
    reported: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._enter(_Written(PROVENANCE, "the run is recorded"))

    def add(self, draft: Draft, name: str, file: object) -> None:
        """What a declaration writes, if it does.

        Args:
            draft: the declaration, as written.
            name: its own, or that of a member.
            file: the file that it names, of a picture.
        """
        if not _is_written(draft):
            return
        if draft.kind in RESULTS:
            self._enter(_Written(result_file(name), f"`{name}` is written", draft))
        elif isinstance(file, str):
            self._enter(_Written(file, f"`{draft.kind}` draws", draft))

    def _enter(self, new: _Written) -> None:
        parts = tuple(part for part in _folded(new.file).split("/") if part not in {"", "."})
        folders = [parts[:n] for n in range(1, len(parts))]
        below = next((self.files[each] for each in folders if each in self.files), None)
        other = self.files.get(parts) or self.folders.get(parts) or below
        if other is not None:
            self._report(new, other, alike=parts in self.files)
        self.files.setdefault(parts, new)
        for each in folders:
            self.folders.setdefault(each, new)

    def _report(self, new: _Written, other: _Written, *, alike: bool) -> None:
        draft = new.draft
        assert draft is not None and new.span is not None
        about = (draft.name, "" if other.draft is None else other.draft.name)
        if about in self.reported:  # of other members of the same families
            return
        self.reported.add(about)
        if alike and other.draft is None:
            problem = f"`{draft.name}` would be written to {PROVENANCE}, where {other.what}"
        elif alike and draft.kind in RESULTS:
            problem = (
                f"{new.what} to {new.file}, and {other.what} to {other.file}, which are the same "
                "file on some systems"
            )
        elif alike:
            problem = f'two outputs write the file "{new.file}"'
        else:
            problem = f'"{new.file}" and "{other.file}" cannot both be written: one is a folder of the other'
        labels = () if other.span is None else (Label(other.span, "the other one"),)
        self.scope.report("C210", problem, new.span, labels=labels, help="rename one of them")


def _folded(file: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", file).casefold())
