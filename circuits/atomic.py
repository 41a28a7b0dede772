"""Files that are there in full or not at all: written under a temporary name, then renamed.

A full disk, an error or Ctrl-C leaves the file that stood there before as it was.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from nncirc.circuits.errors import FileError


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write text as UTF-8, with the newlines as they are in `text`.

    Raises:
        FileError: C605, the file cannot be written; what stood at `path` is unchanged.
    """
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise _cannot_write(path, f"character {error.start} of the text has no UTF-8 form") from error
    write_bytes(path, data)


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write bytes.

    A file that is replaced keeps its permissions; a link is followed and stays a link; a device or a
    pipe, such as `/dev/stdout`, is written to directly.

    Raises:
        FileError: C605, the file cannot be written; what stood at `path` is unchanged.
    """
    try:
        target = Path(os.path.realpath(path))
        mode = _mode(target)
        if mode is not None and not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            target.write_bytes(data)
        else:
            _replace(target, data, mode)
    except OSError as error:
        raise _cannot_write(path, error.strerror or str(error)) from error
    except ValueError as error:  # a null byte in the name
        raise _cannot_write(path, str(error)) from error


def _replace(target: Path, data: bytes, mode: int | None) -> None:
    # In the same folder, because a rename is only atomic within one file system.
    temporary = target.with_name(f".nncirc-{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            temporary.chmod(stat.S_IMODE(mode))
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


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
        hint="is the folder there, may it be written to, and is there space on the disk?",
        about=name,
    )
