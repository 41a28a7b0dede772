"""What earlier runs have computed: one file for each result, under a key of everything that it depends on.

    <folder>/ab/abcdef….json      a result, with a checksum
    <folder>/ab/abcdef….journal   what a run has decided or measured so far; a line for each step

Nothing here is trusted: what is damaged is said, and computed again. Nor is it needed: where the folder
cannot be written to, a run goes on without. Any number of processes may share a folder: a result is written
whole or not at all, and a journal's lines are appended whole and hold by themselves.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from nncirc.circuits.atomic import append_bytes, make_folder, remove_leftovers, write_text
from nncirc.circuits.door import at_home, is_folder, read_file
from nncirc.circuits.errors import NncircError
from nncirc.circuits.formats.json_input import Value, read_json

T = TypeVar("T")

FORMAT = "nncirc store"
VERSION = 1
FULL = {errno.ENOSPC, errno.EDQUOT}
SYNC_SECONDS = 0.5
_OURS = re.compile(r"[0-9a-f]{64}\.(json|journal)|\.nncirc-[0-9a-f]{16}\.tmp")


def default_folder() -> Path:
    """`$NNCIRC_CACHE`, or `nncirc` in the user's folder for caches."""
    named = os.environ.get("NNCIRC_CACHE")
    if named:
        return at_home(named)
    caches = os.environ.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else at_home("~/.cache")) / "nncirc"


@dataclass
class Store:
    """Results of earlier runs in a folder, which is made when there is something to write.

    Attributes:
        fresh: whether what other runs have stored is ignored and written anew.
        hits: how many results were found; `misses` how many were not.
        notes: sentences that a user should read.
    """

    folder: Path = field(default_factory=default_folder)
    fresh: bool = False
    hits: int = 0
    misses: int = 0
    _notes: dict[str, None] = field(default_factory=dict)
    _own: set[str] = field(default_factory=set)
    _broken: bool = False

    def __post_init__(self) -> None:
        if self.folder.parts[:1] and self.folder.parts[0].startswith("~"):
            self._broken = True
            self._notes[
                f"results are not stored for later runs: {self.folder.parts[0]} is not a home folder here;"
                " set NNCIRC_CACHE to a folder"
            ] = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of."""
        return tuple(self._notes)

    def has(self, key: str) -> bool:
        """Whether there is a result, whole or damaged."""
        return (not self.fresh or key in self._own) and os.path.lexists(self._file(key, "json"))

    def load(self, key: str, read: Callable[[Value], T]) -> T | None:
        """A result; None if it is not there, or damaged.

        It is made by `read`, which raises an NncircError at what it cannot be made of.
        """
        if not self.has(key):
            self.misses += 1
            return None
        path = self._file(key, "json")
        try:
            entry = read_json(path, what="a stored result")
            members = entry.members(["format", "version", "key", "sha256", "value"])
            head = (members["format"].text(), members["version"].integer(), members["key"].text())
            value = members["value"]
            if head != (FORMAT, VERSION, key) or members["sha256"].text() != _checksum(key, value.value):
                raise entry.wrong("its checksum does not fit")
            found = read(value)
        except (NncircError, RecursionError):
            self._notes["a stored result was damaged and has been recomputed"] = None
            # What is no file, a link for instance, would otherwise stand in the way.
            with suppress(OSError):
                path.unlink()
            self.misses += 1
            return None
        self.hits += 1
        return found

    def save(self, key: str, value: Any) -> None:
        """Keep a result, of JSON values; its journal is no longer needed."""
        if self._broken:
            return
        path = self._file(key, "json")
        try:
            entry = {"format": FORMAT, "version": VERSION, "key": key, "sha256": _checksum(key, value)}
            text = json.dumps({**entry, "value": value}, allow_nan=False)
            make_folder(path.parent)
            write_text(path, text + "\n")
        except (OSError, NncircError, ValueError, TypeError) as error:
            self._cannot_write(error)
            return
        self._own.add(key)
        with suppress(OSError):
            self._file(key, "journal").unlink()

    def journal(self, key: str) -> StoredJournal:
        """The journal of a result that is being computed, with what an interrupted run has left in it."""
        path = self._file(key, "journal")
        if self.fresh and key not in self._own:
            self._own.add(key)
            with suppress(OSError):
                path.unlink()
        return StoredJournal(path, key, self)

    def size(self) -> tuple[int, int]:
        """How many results are stored, and the bytes of all files."""
        results = total = 0
        for path in self._files():
            with suppress(OSError):
                total += path.stat().st_size
                results += path.suffix == ".json"
        return results, total

    def clear(self) -> int:
        """Remove what stores have written, and nothing else; how many results it was."""
        removed = 0
        for path in list(self._files()):
            with suppress(OSError):
                if path.suffix != ".tmp":
                    path.unlink()
                removed += path.suffix == ".json"
        for folder in self._folders():
            remove_leftovers(folder)
            with suppress(OSError):
                folder.rmdir()
        return removed

    def append(self, path: Path, line: bytes, *, sync: bool) -> None:
        """Write to the end of a file, whole; from the first failure on, nothing is written."""
        if self._broken:
            return
        try:
            make_folder(path.parent)
            append_bytes(path, line, sync=sync)
        except OSError as error:
            self._cannot_write(error)

    def _cannot_write(self, error: Exception) -> None:
        self._broken = True
        cause = error if isinstance(error, OSError) else error.__cause__
        why = (cause.strerror if isinstance(cause, OSError) else None) or str(error)
        self._notes[f"results are not stored for later runs in {self.folder}: {why}"] = None

    def _file(self, key: str, ending: str) -> Path:
        return self.folder / key[:2] / f"{key}.{ending}"

    def _folders(self) -> Iterator[Path]:
        with suppress(OSError):
            for folder in self.folder.iterdir():
                if (
                    re.fullmatch(r"[0-9a-f]{2}", folder.name)
                    and is_folder(folder)
                    and not folder.is_symlink()
                ):
                    yield folder

    def _files(self) -> Iterator[Path]:
        for folder in self._folders():
            with suppress(OSError):
                yield from (path for path in folder.iterdir() if _OURS.fullmatch(path.name))


class StoredJournal:
    """What a run has done so far, kept so that another run goes on from there.

    A line is one step with its own checksum: of ACDC a receiver and the senders that it kept with their
    rises, of activation patching a trace and all that was measured in it. What is torn or damaged is passed
    over: the step is done again, which comes to the same.
    """

    def __init__(self, path: Path, key: str, store: Store) -> None:
        self._path, self._key, self._store = path, key, store
        self._known = _decisions(path, key)
        # The last line of a run that was killed may have no end.
        self._before = b"\n"
        self._synced = 0.0

    def known(self, receiver: str) -> Mapping[str, float] | None:
        """What an earlier run found in a step, by name; None if it did not come so far."""
        return self._known.get(receiver)

    def decided(self, receiver: str, kept: Mapping[str, float]) -> None:
        """A step is done, and this was found."""
        decision = [receiver, dict(kept)]
        try:
            line = json.dumps([*decision, _checksum(self._key, decision)], allow_nan=False)
        except ValueError:  # a rise that is not finite
            return
        now = time.monotonic()
        sync = now - self._synced > SYNC_SECONDS
        self._store.append(self._path, self._before + line.encode() + b"\n", sync=sync)
        self._before = b""
        self._synced = now if sync else self._synced


def _decisions(path: Path, key: str) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    try:
        lines = read_file(path, follow=False).splitlines()
    except FileNotFoundError:
        return found
    except OSError:  # a link or a pipe, which would otherwise stand in the way
        with suppress(OSError):
            path.unlink()
        return found
    for line in lines:
        with suppress(ValueError, TypeError, RecursionError):
            receiver, kept, checksum = json.loads(line)
            if checksum == _checksum(key, [receiver, kept]):
                found.setdefault(receiver, kept)
    return found


def _checksum(key: str, value: Any) -> str:
    """Of a value and the key that it belongs to."""
    return hashlib.sha256(json.dumps([key, value], allow_nan=False).encode()).hexdigest()
