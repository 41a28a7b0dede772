"""Files are written in full or not at all: under a temporary name, then renamed.

A full disk, an error or Ctrl-C leaves the file that stood there before as it was.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from nncirc.circuits.arguments import public
from nncirc.circuits.door import NO_LINK, is_folder, open_file
from nncirc.circuits.errors import FileError


def require_ending(path: str | os.PathLike[str], known: Sequence[str]) -> str:
    """The extension of a file's name, which determines its format.

    Raises:
        FileError: C631, it is not one of those known; C636, a pickle would be written.
    """
    name = os.fspath(path)
    ending = Path(name).suffix.lower()
    if ending == ".pt" and ending not in known:
        raise FileError(
            "C636",
            f"cannot write {name!r}: a .pt file is a pickle, which runs code when loaded",
            hint="write `--to FILE.json`: the EAP-IG package reads it too (`Graph.from_json`)",
        )
    if ending not in known:
        what = f"ends in {ending}" if ending else "has no ending"
        raise FileError(
            "C631",
            f"unknown format of {name!r}: it {what}",
            hint=f"expected a name ending in {', '.join(known)}",
        )
    return ending


@public
def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write text as UTF-8, with the newlines as they are in `text`.

    Raises:
        FileError: C605, the file cannot be written; what stood at `path` is unchanged.
    """
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise _cannot_write(
            path, f"character {error.start} of the text cannot be encoded as UTF-8"
        ) from error
    write_bytes(path, data)


@public
def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write bytes.

    A file that is replaced keeps its permissions; a link is followed and stays a link; a device or a
    pipe that somebody reads, such as `/dev/stdout`, is written to directly.

    Raises:
        FileError: C605, the file cannot be written; what stood at `path` is unchanged.
    """
    try:
        mode = _mode(Path(path))
        if mode is not None and not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            _pour(Path(path), data)
        else:
            _replace(Path(os.path.realpath(path)), data, mode)
    except OSError as error:
        raise _cannot_write(path, error.strerror or str(error)) from error
    except ValueError as error:  # a null byte in the name
        raise _cannot_write(path, str(error)) from error


def _replace(target: Path, data: bytes, mode: int | None) -> None:
    # In the same folder, because a rename is only atomic within one file system.
    temporary = target.with_name(f".nncirc-{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            # Until the file has its name, others can see that it is being written.
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            if mode is not None:
                temporary.chmod(stat.S_IMODE(mode))
            temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_leftovers(folder: str | os.PathLike[str]) -> None:
    """Remove the temporary files of processes that were killed while writing, from a folder.

    What another process is still writing stays: it holds a lock, which the system takes from a dead one.
    """
    for path in Path(folder).glob(".nncirc-????????????????.tmp"):
        with suppress(OSError), open_file(path, follow=False) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def _pour(target: Path, data: bytes) -> None:
    """Write into something that is no file; a pipe must have a reader, for which nobody knows how long to
    wait."""
    descriptor = os.open(target, os.O_WRONLY | os.O_NONBLOCK)
    os.set_blocking(descriptor, True)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)


def append_bytes(path: str | os.PathLike[str], data: bytes, *, sync: bool = False) -> None:
    """Append to a file, creating it if missing; in one piece, and never through a link.

    With `sync` it waits until the bytes are on the disk.

    Raises:
        OSError: it cannot be written in full.
    """
    # A pipe that nobody reads is an error at once, and no wait.
    how = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC | NO_LINK
    descriptor = os.open(path, how, 0o666)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", os.fspath(path))
        if os.write(descriptor, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fspath(path))
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: str | os.PathLike[str]) -> None:
    """Make a folder and its parent folders, if missing.

    Raises:
        OSError: one cannot be made.
    """
    with suppress(FileNotFoundError, NotADirectoryError):
        os.stat(path)  # noqa: PTH116 - a path that is too long is an error before any of it is made
    missing = []
    place = Path(path)
    while not is_folder(place) and place.parent != place:
        missing.append(place)
        place = place.parent
    for each in reversed(missing):  # not by recursion: a path may have thousands of folders
        with suppress(FileExistsError):
            each.mkdir()
    if missing and not is_folder(path):
        raise OSError(errno.ENOTDIR, "it is not a folder", os.fspath(path))


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _cannot_write(path: str | os.PathLike[str], why: str) -> FileError:
    name = os.fspath(path)
    return FileError(
        "C605",
        f"cannot write {name!r}: {why}",
        hint="check that the folder exists and is writable, and that the disk has space",
    )
