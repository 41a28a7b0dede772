"""Datasets of prompts in files: CSV, or an object of JSON a line."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeAlias

from nncirc.circuits.arguments import public
from nncirc.circuits.door import is_folder, read_file
from nncirc.circuits.errors import DataError
from nncirc.circuits.words import counted, did_you_mean, visible
from nncirc.engine.data.counts import MOST_TARGETS, check_count, positive, repeated
from nncirc.engine.data.encoding import HALF
from nncirc.engine.data.examples import NEXT, Dataset, Next, Tokenizer
from nncirc.engine.data.prompts import written_dataset
from nncirc.engine.data.targets import Given, token_ids

Format: TypeAlias = Literal["csv", "jsonl"]

_LIKE_IDS = re.compile(r"(^|_)(idx|ids?)$")

LONGEST_FIELD = 100_000
"""Characters of the longest prompt that a file may hold; more is a broken file (an open quote)."""


@public
def file_dataset(
    tokenizer: Tokenizer,
    path: str | Path,
    *,
    clean: str,
    corrupt: str | None = None,
    answer: str | Next | None = None,
    foil: str | None = None,
    answer_ids: str | None = None,
    foil_ids: str | None = None,
    keep: Sequence[str] = (),
    optional: Sequence[str] = (),
    size: int | None = None,
    format: Format | None = None,  # noqa: A002 - the word that users know
    teacher_forced: bool = False,
) -> Dataset:
    """Prompts from a file with named columns.

    A `.csv` file has the names in its first line; a `.jsonl` file has one JSON object a line. UTF-8.

    Args:
        tokenizer: a fast tokenizer.
        path: the file.
        clean: the column of the prompts.
        corrupt: the column of their corrupted versions.
        answer: the column of their answers, or NEXT. A JSON list of texts is a set of answers, in `.csv` too.
        foil: the column of their wrong answers, likewise.
        answer_ids: in place of `answer`, the column of the ids of the right tokens, as published tables have
            them (`correct_idx`): a number, or a JSON list of numbers of which each is right. With
            `teacher_forced` a list is one answer.
        foil_ids: likewise in place of `foil`.
        keep: further columns, kept as text in `Example.values`.
        optional: which of "corrupt", "answer" and "foil" may be missing from the file.
        size: only so many rows, from the first.
        format: "csv" or "jsonl"; by default what the file's name ends with.
        teacher_forced: answers may be several tokens, as `template_dataset` says.

    Raises:
        DataError: C303 to C306, C311 to C313, C319, C340, C343, C344, C348, each with its line; C315, the
            file cannot be read; C316, a broken line; C317, a column is missing; C318, no rows.
    """
    if size is not None:
        positive("size", size)
    file = Path(path)
    kind = format or _format(file)
    content, text = _read(file)
    rows = _csv_rows(file, text) if kind == "csv" else _json_rows(file, text)
    if not rows:
        raise DataError("C318", f"{file.name} has no rows", hint="add at least one prompt")
    table = _Table(file, tuple(rows[:size]), header=kind == "csv")
    wanted = {"clean": clean, "corrupt": corrupt, "answer": answer, "foil": foil}
    wanted |= {"answer_ids": answer_ids, "foil_ids": foil_ids}
    named = {
        what: column
        for what, column in wanted.items()
        if isinstance(column, str) and (what not in optional or table.has(column))
    }
    columns = {what: table.column(column, what) for what, column in named.items()}
    kept = {name: [str(text) for text in table.column(name, "keep")] for name in keep}
    made = {
        "using": "file",
        "file": file.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "columns": {**named, **({"answer": NEXT.value} if answer is NEXT else {})},
        "keep": list(keep),
        "size": len(table.rows),
    }
    dataset = written_dataset(
        tokenizer,
        columns,
        made,
        where=lambda i: f"{file.name}, line {rows[i][0]}",
        answer_next=answer is NEXT,
        teacher_forced=teacher_forced,
        kept=kept,
    )
    return replace(dataset, notes=(*dataset.notes, *_notes(named, columns)))


def _notes(named: Mapping[str, str], columns: Mapping[str, Sequence[Given]]) -> list[str]:
    """A note if what is named like ids, and looks like ids, is taken for text."""
    return [
        f'the column {named[what]} is read as text: 262 means the token of "262"; to read token ids, write '
        f'{what}_ids = "{named[what]}"'
        for what in ("answer", "foil")
        if what in named
        and _LIKE_IDS.search(named[what])
        and all(isinstance(text, str) and text.isdecimal() for text in columns[what])
    ]


def _format(file: Path) -> Format:
    formats: Mapping[str, Format] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
    if (ending := file.suffix.lower()) not in formats:
        raise DataError(
            "C315",
            f"unknown format of {file.name}: expected .csv or .jsonl",
            hint='write format = "csv" or format = "jsonl"',
        )
    return formats[ending]


def _read(file: Path) -> tuple[bytes, str]:
    try:
        content = read_file(file)
    except FileNotFoundError:
        beside = [one.name for one in file.parent.iterdir()] if is_folder(file.parent) else []
        raise DataError(
            "C315",
            f"there is no file {file}",
            hint=did_you_mean(file.name, beside, "paths are relative to the script's folder"),
        ) from None
    except OSError as error:
        raise DataError(
            "C315",
            f"{file} cannot be read: {error.strerror or error}",
            hint="name a .csv or .jsonl file of prompts that you can read",
        ) from None
    try:
        return content, content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            "C315",
            f"{file.name}, line {line}: byte 0x{content[error.start]:02x} is not UTF-8",
            hint="save the file as UTF-8",
        ) from None


_Row: TypeAlias = tuple[int, dict[str, Any]]
"""The number of a line, from 1, and its columns."""


def _csv_rows(file: Path, text: str) -> list[_Row]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[_Row] = []
    header: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            if cells and header is None:
                header = cells
                _check_header(file, line, header)
            elif cells and header is not None:
                if len(cells) != len(header):
                    raise _broken(
                        file,
                        line,
                        f"found {counted(len(cells), 'field')}, "
                        f"but the header has {len(header)}: {_listed(header)}",
                        "write every field, even if it is empty"
                        if len(cells) < len(header)
                        else "put a field that contains a comma in double quotes",
                    )
                rows.append((line, dict(zip(header, cells, strict=True))))
            line = reader.line_num + 1
    except csv.Error as error:
        usual = str(error), 'put a field that contains a comma, a quote or a line break in "quotes"'
        said = next((words for key, words in _CSV_ERRORS.items() if key in str(error)), usual)
        raise _broken(file, line, *said) from None
    return rows


_CSV_ERRORS = {
    "end of data": (
        'a field that begins with " is never closed',
        'end it with ", and write "" for a quote inside it',
    ),
    "expected after": ('text after the closing " of a field', 'write "" for a quote inside a quoted field'),
    "field limit": (f"a field has more than {LONGEST_FIELD} characters", "check for an unclosed quote"),
}
"""What the csv reader says, by a part of it, and what to do, in words of the file's author."""


def _check_header(file: Path, line: int, header: Sequence[str]) -> None:
    twice = repeated(header)
    if twice is not None:
        raise _broken(
            file, line, f"duplicate column `{visible(twice, 40)}`", "give every column its own name"
        )


def _json_rows(file: Path, text: str) -> list[_Row]:
    rows: list[_Row] = []
    # Not splitlines: it also splits at characters that JSON allows inside a string.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=partial(_object, file, number))
        except json.JSONDecodeError as error:
            raise _broken(
                file,
                number,
                f"invalid JSON at column {error.colno}: {error.msg}",
                "write one JSON object per line",
            ) from None
        except ValueError:
            raise _broken(file, number, "a number has too many digits", "put it in quotes") from None
        except RecursionError:
            raise _broken(file, number, "the JSON is nested too deeply", "write a flat object") from None
        if not isinstance(row, dict):
            raise _broken(
                file,
                number,
                f"expected a JSON object, found a {type(row).__name__}",
                'write {"clean": "...", ...} on each line',
            )
        # Tables that were written with all columns have null where a row has nothing.
        rows.append((number, {column: value for column, value in row.items() if value is not None}))
    return rows


def _object(file: Path, line: int, members: list[tuple[str, Any]]) -> dict[str, Any]:
    _check_header(file, line, [name for name, _ in members])
    return dict(members)


def _listed(columns: Collection[str]) -> str:
    """The names of columns, as many as can be read."""
    more = [f"and {len(columns) - 20:,} more"] if len(columns) > 20 else []
    return ", ".join([*(visible(column, 40) for column in islice(columns, 20)), *more])


def _broken(file: Path, line: int, what: str, hint: str) -> DataError:
    return DataError("C316", f"{file.name}, line {line}: {what}", hint=hint)


@dataclass(frozen=True, slots=True)
class _Table:
    """The rows of a file.

    Attributes:
        file: where they are from.
        rows: their lines and columns.
        header: whether the first line of the file names the columns, so that all rows have the same.
    """

    file: Path
    rows: tuple[_Row, ...]
    header: bool

    def has(self, column: str) -> bool:
        """Whether any row has the column."""
        return any(column in row for _, row in self.rows)

    def column(self, name: str, what: str) -> list[Given]:
        """The texts of a column; of answers and foils also sets, or ids.

        Raises:
            DataError: C317, a row lacks it; C316, it holds something else; C344; C348.
        """
        found: list[Given] = []
        for line, row in self.rows:
            if name not in row:
                raise self._lacks(name, 1 if self.header else line, row, what)
            cell = _Cell(self.file, line, name, what, row[name])
            found.append(_READ[what](cell) if what in _READ else cell.text())
        return found

    def _lacks(self, name: str, line: int, row: Mapping[str, Any], what: str) -> DataError:
        there = _listed(row) or "no columns"
        other = next((number for number, each in self.rows if name in each), None)
        return DataError(
            "C317",
            f"{self.file.name}, line {line}: missing column `{name}`; found {there}",
            hint=did_you_mean(name, islice(row, 1000))
            or (
                f"name the column with the text for {what}"
                if other is None
                else f"line {other} has it: give every prompt its {what.removesuffix('_ids')}, or none"
            ),
            about=what,
        )


@dataclass(frozen=True, slots=True)
class _Cell:
    """What a row has in a column."""

    file: Path
    line: int
    column: str
    what: str
    value: Any

    def broken(self, problem: str, hint: str) -> DataError:
        """The error of what cannot be used."""
        return _broken(self.file, self.line, f"the column `{self.column}` {problem}", hint)

    def text(self) -> str:
        """A text."""
        if not isinstance(self.value, str):
            number = isinstance(self.value, int) and self.what in ("answer", "foil")
            raise self.broken(
                f"contains {json.dumps(self.value)[:40]}; expected text",
                f'for token ids write {self.what}_ids = "{self.column}"; put text in quotes'
                if number
                else "put it in quotes",
            )
        if len(self.value) > LONGEST_FIELD:
            raise self.broken(
                f"has {len(self.value)} characters, more than {LONGEST_FIELD}",
                "check for an unclosed quote",
            )
        if (half := HALF.search(self.value)) is not None:
            raise self.broken(
                f"contains the unpaired surrogate U+{ord(half.group()):04X}", "write the whole character"
            )
        return self.value


def _set_cell(cell: _Cell) -> Given:
    """A text, or the texts of a JSON list; ` [` alone is an answer like others."""
    given = cell.value
    if isinstance(given, str) and given.startswith('["') and given.endswith('"]'):
        with suppress(ValueError):
            given = json.loads(given)
    if isinstance(given, list) and given:
        check_count(len(given), MOST_TARGETS, f"texts in the column `{cell.column}`", about=cell.what)
        return [replace(cell, value=text).text() for text in given]
    return cell.text()


def _ids_cell(cell: _Cell) -> Given:
    """A number or a list of numbers, in JSON."""
    given = cell.value
    if isinstance(given, str):
        if len(given) > LONGEST_FIELD:
            return cell.text()
        with suppress(ValueError, RecursionError):
            given = json.loads(given)
    ids = given if isinstance(given, list) else [given]
    if not all(type(token) is int and token >= 0 for token in ids):
        raise cell.broken(
            f"contains {visible(json.dumps(cell.value), 40)}; expected a token id",
            f"ids are whole numbers from 0, or lists; for text write {cell.what.removesuffix('_ids')}",
        )
    return token_ids(cell.what, ids)


_READ = {"answer": _set_cell, "foil": _set_cell, "answer_ids": _ids_cell, "foil_ids": _ids_cell}
