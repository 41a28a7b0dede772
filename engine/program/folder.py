"""The folder that a run leaves behind: a file for each named result, the pictures, and `run.json`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nncirc.circuits.atomic import make_folder, remove_leftovers, write_text
from nncirc.circuits.circuit import Circuit
from nncirc.circuits.door import is_folder, is_there, require_regular
from nncirc.circuits.errors import FileError, MethodError, ResourceError
from nncirc.circuits.formats.json import circuit_to_json, graph_header
from nncirc.dsl.check.written import result_file
from nncirc.engine.methods.scores import EdgeScores, NodeScores
from nncirc.engine.program.results import Curve, Table, finite
from nncirc.engine.program.store import FULL

VERSION = 1
KINDS = {EdgeScores: "edge scores", NodeScores: "node scores", Curve: "curve", Table: "table"}


def prepare(folder: Path) -> None:
    """Make the folder.

    Raises:
        FileError: C606, it is a file, or cannot be made.
    """
    if is_there(folder) and not is_folder(folder):
        raise FileError(
            "C606",
            f"expected an output folder, found the file {folder}",
            hint="choose another folder with --out",
        )
    try:
        make_folder(folder)
    except OSError as error:
        raise FileError(
            "C606",
            f"cannot create the folder {folder}: {error.strerror}",
            hint="choose another folder with --out",
        ) from None


def tidy(folder: Path, drawn: Iterable[str] = ()) -> None:
    """Remove what a run that was killed while it wrote a file left beside it; nothing outside the folder."""
    whole = os.path.realpath(folder)
    for place in {os.path.realpath((folder / name).parent) for name in ("run.json", *drawn)}:
        if Path(place).is_relative_to(whole):
            remove_leftovers(place)


@contextmanager
def disk() -> Iterator[None]:
    """Tell a full disk from other failures to write.

    Raises:
        ResourceError: C703.
    """
    try:
        yield
    except FileError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno in FULL:
            hint = (
                "free some space, or choose another folder with --out, and rerun: finished results are kept"
            )
            raise ResourceError("C703", f"the disk is full: {error.message}", hint=hint) from error
        raise


def inside(folder: Path, name: str) -> Path:
    """A file of the folder, with the folders that it stands in made.

    Raises:
        FileError: as `writable`; C606, a folder cannot be made.
    """
    path = writable(folder, name)
    prepare(path.parent)
    return path


def writable(folder: Path, name: str) -> Path:
    """A file of the folder, if it may be written; nothing is made.

    Raises:
        FileError: C605, something that is no file is there; C607, the path leaves the folder, by a link for
            instance.
    """
    path = folder / name
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise FileError("C607", f"{name} points outside the output folder {folder}", hint="remove the link")
    if os.path.lexists(path):
        try:
            require_regular(path)
        except FileNotFoundError:  # a link to a file that is not there yet
            pass
        except OSError as error:
            raise FileError(
                "C605", f"cannot write {str(path)!r}: {error.strerror}", hint="remove it", about=str(path)
            ) from error
    return path


def write_json(path: Path, value: Any) -> None:
    """JSON with an object's members on lines of their own."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_result(folder: Path, name: str, result: Any) -> str | None:
    """Write what is saved of a result; the name of its file, or None if nothing is.

    Raises:
        MethodError: C562, a number in it is not finite: then nothing is written.
    """
    file = result_file(name)
    if isinstance(result, Circuit):
        write_text(inside(folder, file), circuit_to_json(result))
    elif isinstance(result, EdgeScores | NodeScores | Curve | Table):
        members = (f'  "{key}": {_member(value, name)}' for key, value in _content(result).items())
        write_text(inside(folder, file), "{\n" + ",\n".join(members) + "\n}\n")
    else:
        return None
    return file


def _member(value: Any, name: str) -> str:
    """A table has a line for each row; everything else is on one line."""
    try:
        if isinstance(value, list) and value and isinstance(value[0], list):
            rows = ",\n".join(f"    {json.dumps(row, ensure_ascii=False, allow_nan=False)}" for row in value)
            return f"[\n{rows}\n  ]"
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError:
        hint = "check the metric's factors, and its values on both runs"
        raise MethodError("C562", f"{name} contains a number that is not finite", hint=hint) from None


def _content(result: EdgeScores | NodeScores | Curve | Table) -> Mapping[str, Any]:
    kind = KINDS[type(result)]
    head: dict[str, Any] = {"format": f"nncirc {kind}", "version": VERSION}
    if isinstance(result, EdgeScores):
        graph = graph_header(result.graph)
        scores = [[*edge, score] for edge, score in result.written().items()]
        return {**head, "graph": graph, "made": dict(result.made), "scores": scores}
    if isinstance(result, NodeScores):
        made = {"made": dict(result.made), "positions": list(result.positions)}
        ends = {key: [list(map(finite, row)) for row in table] for key, table in result.ends().items()}
        tables = {
            key: [[node, *row] for node, row in zip(result.nodes, table, strict=True)]
            for key, table in {"scores": result.values, **ends}.items()
        }
        return {**head, **made, **tables}
    if isinstance(result, Curve):
        points = [list(point) for point in result.points]
        about = {"made": dict(result.made), "areas": _areas(result), "columns": list(result.columns)}
        return {**head, **about, "points": points}
    rows = [list(row) for row in result.rows]
    found = {**head, "made": dict(result.made), "columns": list(result.columns), "rows": rows}
    if result.pairs is not None:
        found["pairs"] = {key: _content(result.pairs)[key] for key in ("made", "columns", "rows")}
    return found


def _areas(curve: Curve) -> dict[str, dict[str, float | None]]:
    return {
        name: {key: finite(getattr(area, key)) for key in ("value", "low", "high")}
        for name, area in curve.areas.items()
    }
