"""Datasets of prompts that are written out, in the script or in a file."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace as with_fields
from pathlib import Path
from typing import Any, Literal, TypeAlias

from nncirc.circuits.door import is_folder, read_file
from nncirc.circuits.errors import DataError
from nncirc.circuits.words import counted
from nncirc.engine.data.encoding import require_offsets
from nncirc.engine.data.render import nearest, render
from nncirc.engine.data.sources import positive
from nncirc.engine.data.targets import (
    Texts,
    asked_as,
    check_foil,
    check_forced,
    forced,
    one_text,
    target_notes,
    text_target,
    texts_of,
)
from nncirc.engine.data.template import describe_tokenizer
from nncirc.engine.data.tokens import Frame, check_open_end, frame_of, tokens_after
from nncirc.engine.data.types import NEXT, Dataset, Example, Next, Tokenizer, Value

Format: TypeAlias = Literal["csv", "jsonl"]

LONGEST_FIELD = 100_000
"""Characters of the longest prompt that a file may hold; more is a broken file (an open quote)."""


def prompt_dataset(
    tokenizer: Tokenizer,
    *,
    clean: str | Sequence[str],
    corrupt: str | Sequence[str] | None = None,
    answer: str | Sequence[Texts] | Next | None = None,
    foil: str | Sequence[Texts] | None = None,
    teacher_forced: bool = False,
) -> Dataset:
    """Prompts as they are written, alone or in pairs.

    Args:
        tokenizer: a fast tokenizer.
        clean: the prompts.
        corrupt: the corrupted version of each.
        answer: the answer to each, or one for all; exactly one token, with its leading space, or a list of
            such of which each is right: `[[" is", " was"]]` for all prompts. Or NEXT.
        foil: the wrong answer to each, or one for all.
        teacher_forced: answers may be several tokens, as `template_dataset` says.

    Raises:
        DataError: C303 to C306, C311, C313, C318, C319, C340, C343.
    """
    prompts = _texts("clean", clean)
    count = len(prompts)
    if not count:
        raise DataError("C318", "there are no prompts", hint="give at least one", about="clean")
    columns: dict[str, list[Texts]] = {"clean": list(prompts)}
    for what, given in (("corrupt", corrupt), ("answer", answer), ("foil", foil)):
        if given is None or isinstance(given, Next):
            continue
        texts = _targets(what, given)
        if (
            what != "corrupt"
            and len(texts) == 1
            and (isinstance(given, str) or not isinstance(texts[0], str))
        ):
            texts *= count
        if len(texts) != count:
            raise DataError(
                "C318",
                f"there are {count} clean prompts and {counted(len(texts), 'text')} for {what}",
                hint="give every prompt its corrupted version"
                if what == "corrupt"
                else f"give every prompt its {what}, or one text for all",
                about=what,
            )
        columns[what] = texts
    made = {"using": "prompts", **columns, **({"answer": NEXT.value} if answer is NEXT else {})}
    return _dataset(
        tokenizer,
        columns,
        made,
        where=lambda i: f"prompt {i + 1}",
        answer_next=answer is NEXT,
        teacher_forced=teacher_forced,
        kept={},
    )


def file_dataset(
    tokenizer: Tokenizer,
    path: str | Path,
    *,
    clean: str,
    corrupt: str | None = None,
    answer: str | Next | None = None,
    foil: str | None = None,
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
        keep: further columns, kept as text in `Example.values`.
        optional: which of "corrupt", "answer" and "foil" may be missing from the file.
        size: only so many rows, from the first.
        format: "csv" or "jsonl"; by default what the file's name ends with.
        teacher_forced: answers may be several tokens, as `template_dataset` says.

    Raises:
        DataError: C303 to C306, C311 to C313, C319, C340, C343, each with its line; C315, the file cannot be
            read; C316, a broken line; C317, a column is missing; C318, no rows.
    """
    if size is not None:
        positive("size", size)
    file = Path(path)
    kind = _format(file, format)
    content, text = _read(file)
    rows = _csv_rows(file, text) if kind == "csv" else _json_rows(file, text)
    if not rows:
        raise DataError(
            "C318", f"{file.name} has no rows", hint="it needs at least one prompt", about=str(path)
        )
    rows = rows[:size]
    wanted = {"clean": clean, "corrupt": corrupt, "answer": answer, "foil": foil}
    there = rows[0][1]
    named = {
        what: column
        for what, column in wanted.items()
        if isinstance(column, str) and (what not in optional or column in there)
    }
    for what, name in [*named.items(), *(("keep", name) for name in keep)]:
        _check_column(file, 1 if kind == "csv" else rows[0][0], rows[0][1], name, what)
    columns: dict[str, list[Texts]] = {
        what: [
            (_set_cell if what in ("answer", "foil") else _cell)(file, line, row, name, what)
            for line, row in rows
        ]
        for what, name in named.items()
    }
    kept = {name: [_cell(file, line, row, name, "keep") for line, row in rows] for name in keep}
    made = {
        "using": "file",
        "file": file.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "columns": {**named, **({"answer": NEXT.value} if answer is NEXT else {})},
        "keep": list(keep),
        "size": len(rows),
    }
    return _dataset(
        tokenizer,
        columns,
        made,
        where=lambda i: f"{file.name}, line {rows[i][0]}",
        answer_next=answer is NEXT,
        teacher_forced=teacher_forced,
        kept=kept,
    )


def _targets(what: str, given: str | Sequence[Texts]) -> list[Texts]:
    """Texts, and for answers and foils lists of texts."""
    targets: list[Texts] = [given] if isinstance(given, str) else list(given)
    return [
        _texts(what, target)
        if isinstance(target, list | tuple) and what != "corrupt"
        else _text(what, target)
        for target in targets
    ]


def _texts(what: str, given: Texts) -> list[str]:
    return [_text(what, text) for text in texts_of(given)]


def _text(what: str, given: object) -> str:
    if not isinstance(given, str):
        raise DataError(
            "C311",
            f"{what} must be text; {given!r} is {type(given).__name__}",
            hint="put it in quotes",
            about=what,
        )
    return given


def _dataset(
    tokenizer: Tokenizer,
    columns: dict[str, list[Texts]],
    made: dict[str, Any],
    *,
    where: Callable[[int], str],
    answer_next: bool,
    teacher_forced: bool,
    kept: dict[str, list[str]],
) -> Dataset:
    require_offsets(tokenizer)
    frame = frame_of(tokenizer)
    if "foil" in columns and "answer" not in columns:
        raise DataError(
            "C304",
            "there is a foil and no answer that it could be compared with",
            hint="give answer = as well, or leave the foil out",
            about="foil",
        )
    if teacher_forced:
        check_forced(NEXT if answer_next else columns.get("answer"), columns.get("foil"))
    if "answer" in columns:
        check_open_end(tokenizer, frame)
    examples: list[Example] = []
    counterparts: list[Example] = []
    for i in range(len(columns["clean"])):
        row = {what: texts[i] for what, texts in columns.items()}
        values: dict[str, Value] = {name: texts[i] for name, texts in kept.items()}
        try:
            clean, corrupt = _pair(tokenizer, frame, row, values, teacher_forced=teacher_forced)
        except DataError as error:
            raise DataError(
                error.code, f"{where(i)}: {error.message}", hint=error.hint, about=error.about
            ) from None
        examples.append(clean)
        counterparts += [corrupt] if corrupt else []
    made = {
        **made,
        **({"teacher_forced": True} if teacher_forced else {}),
        "tokenizer": describe_tokenizer(tokenizer),
    }
    answers: Literal["token", "next", "forced"] | None = (
        "forced" if teacher_forced else "next" if answer_next else "token" if "answer" in columns else None
    )
    paired = tuple(counterparts) if "corrupt" in columns else None
    first: dict[str, Sequence[str]] = {
        what: texts_of(columns[what][0]) for what in ("answer", "foil") if what in columns
    }
    notes = target_notes(examples[0].text, first)
    return Dataset(tuple(examples), answers, paired, made, tuple(notes), tokenizer=tokenizer)


def _pair(
    tokenizer: Tokenizer,
    frame: Frame,
    row: dict[str, Texts],
    values: dict[str, Value],
    *,
    teacher_forced: bool,
) -> tuple[Example, Example | None]:
    def example(text: str) -> Example:
        one = render(tokenizer, frame, (text,) if text else (), lambda _: "")
        return Example(text, one.tokens, {}, None, None, values)

    text = str(row["clean"])
    clean = example(text)
    if teacher_forced:
        clean = forced(clean, tokens_after(tokenizer, text, one_text(row["answer"]), what="answer"))
    else:
        ids = {
            what: text_target(tokenizer, text, row[what], what=what)
            for what in ("answer", "foil")
            if what in row
        }
        check_foil(tokenizer, ids.get("answer"), ids.get("foil"))
        clean = with_fields(clean, answer=ids.get("answer"), foil=ids.get("foil"))
    return clean, asked_as(example(str(row["corrupt"])), clean) if "corrupt" in row else None


def _format(file: Path, given: str | None) -> Format:
    name = given if given is not None else file.suffix.lower().removeprefix(".")
    if name == "csv":
        return "csv"
    if name in ("jsonl", "ndjson"):
        return "jsonl"
    if given is not None:
        raise DataError("C315", f"there is no file format `{given}`; there are csv and jsonl", about="format")
    raise DataError(
        "C315",
        f"{file.name} ends neither in .csv nor in .jsonl",
        hint='say which it is: format = "csv" or format = "jsonl"',
        about=str(file),
    )


def _read(file: Path) -> tuple[bytes, str]:
    try:
        content = read_file(file)
    except FileNotFoundError:
        beside = [one.name for one in file.parent.iterdir()] if is_folder(file.parent) else []
        raise DataError(
            "C315",
            f"there is no file {file}",
            hint=nearest(file.name, beside) or "paths are relative to the folder of the script",
            about=str(file),
        ) from None
    except OSError as error:
        raise DataError(
            "C315",
            f"{file} cannot be read: {error.strerror or error}",
            hint="name a file of prompts, .csv or .jsonl",
            about=str(file),
        ) from None
    try:
        return content, content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            "C315",
            f"{file.name}, line {line}: byte 0x{content[error.start]:02x} is not UTF-8",
            hint="save the file as UTF-8",
            about=str(file),
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
                        f"{counted(len(cells), 'field')}, "
                        f"and the header has {len(header)}: {', '.join(header)}",
                        "leave no field out"
                        if len(cells) < len(header)
                        else "put a field that holds a comma in double quotes",
                    )
                rows.append((line, dict(zip(header, cells, strict=True))))
            line = reader.line_num + 1
    except csv.Error as error:
        raise _broken(file, line, *_csv_words(str(error))) from None
    return rows


def _csv_words(said: str) -> tuple[str, str]:
    """What the csv reader said, and what to do, in words of the file's author."""
    if "end of data" in said:
        return 'a field that begins with " is never closed', 'end it with ", and write "" for a " inside it'
    if "expected after" in said:
        return 'text behind the closing " of a field', 'write "" for a " inside a field in quotes'
    if "field limit" in said:
        return f"a field of more than {LONGEST_FIELD} characters", "a quote is left open, perhaps"
    return said, 'put a field that holds a comma, a quote or a line break in "quotes"'


def _check_header(file: Path, line: int, header: Sequence[str]) -> None:
    twice = [name for i, name in enumerate(header) if name in header[:i]]
    if twice:
        raise _broken(file, line, f"two columns are called `{twice[0]}`", "give every column its own name")


def _json_rows(file: Path, text: str) -> list[_Row]:
    rows: list[_Row] = []
    # Not splitlines: it also splits at characters that JSON allows inside a string.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise _broken(
                file, number, f"not JSON at column {error.colno}: {error.msg}", "write one JSON object a line"
            ) from None
        except ValueError:
            raise _broken(file, number, "a number with too many digits", "put it in quotes") from None
        except RecursionError:
            raise _broken(file, number, "JSON that is nested too deeply", "write a flat object") from None
        if not isinstance(row, dict):
            raise _broken(
                file,
                number,
                f"a JSON {type(row).__name__}, not an object",
                'write {"clean": "...", ...} on each line',
            )
        rows.append((number, row))
    return rows


def _broken(file: Path, line: int, what: str, hint: str) -> DataError:
    return DataError("C316", f"{file.name}, line {line}: {what}", hint=hint, about=str(file))


def _check_column(file: Path, line: int, row: dict[str, Any], column: str, what: str) -> None:
    if column in row:
        return
    there = f"is only {next(iter(row))}" if len(row) == 1 else f"are {', '.join(row) or 'none'}"
    raise DataError(
        "C317",
        f"{file.name}, line {line}: there is no column `{column}`; there {there}",
        hint=nearest(column, row) or f"name the column that holds the text for {what}",
        about=what,
    )


def _set_cell(file: Path, line: int, row: dict[str, Any], column: str, what: str) -> Texts:
    """A text, or the texts of a JSON list; ` [` alone is an answer like others."""
    given = row.get(column)
    if isinstance(given, str) and given.startswith('["') and given.endswith('"]'):
        with suppress(ValueError):
            given = json.loads(given)
    if isinstance(given, list) and given:
        return [_cell(file, line, {column: text}, column, what) for text in given]
    return _cell(file, line, row, column, what)


def _cell(file: Path, line: int, row: dict[str, Any], column: str, what: str) -> str:
    _check_column(file, line, row, column, what)
    value = row[column]
    if not isinstance(value, str):
        raise _broken(
            file, line, f"the column `{column}` holds {json.dumps(value)[:40]}, not text", "put it in quotes"
        )
    if len(value) > LONGEST_FIELD:
        raise _broken(
            file,
            line,
            f"the column `{column}` has {len(value)} characters, more than {LONGEST_FIELD}",
            "a quote is left open, perhaps",
        )
    return value
