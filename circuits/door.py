"""The one place where files are read: regular files only, up to a size limit.

What is said to be a file may be a pipe that nobody writes to, a device that has no end, or a folder. Whoever
reads one asks here, and gets an `OSError` whose `strerror` says why there is nothing to read. Libraries that
open files by themselves are let in after `require_regular` or `require_regular_files`.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

LARGEST = 1_000_000_000
"""Bytes of a file of which nothing else is known: a circuit of all edges of GPT-2 XL has a fifth of it."""

_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
NO_LINK = getattr(os, "O_NOFOLLOW", 0)


def read_file(path: str | os.PathLike[str], *, at_most: int = LARGEST, follow: bool = True) -> bytes:
    """The bytes of a file, through a link only if it may be followed.

    Raises:
        OSError: there is no such file, it may not be read, is not a regular file, or larger than `at_most`.
    """
    with open_file(path, follow=follow) as file:
        # The size that the system tells may be 0 (of /proc), or grow meanwhile.
        if os.fstat(file.fileno()).st_size > at_most or len(data := file.read(at_most + 1)) > at_most:
            raise _refused(errno.EFBIG, f"it is larger than {_size(at_most)}", path)
    return data


def read_text(path: str | os.PathLike[str], *, at_most: int = LARGEST) -> str:
    """The text of a file in UTF-8.

    Raises:
        OSError: as `read_file`.
        UnicodeDecodeError: it is not UTF-8.
    """
    return read_file(path, at_most=at_most).decode("utf-8")


def open_file(path: str | os.PathLike[str], *, follow: bool = True) -> BinaryIO:
    """A regular file, opened for reading.

    Raises:
        OSError: as `read_file`, at any size.
    """
    # Looked at before it is opened, because opening a device may do something.
    require_regular(path, follow=follow)
    descriptor = os.open(path, _READ | (0 if follow else NO_LINK))
    try:
        _check(os.fstat(descriptor).st_mode, path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def require_regular(path: str | os.PathLike[str], *, follow: bool = True) -> None:
    """Refuse anything that is not a regular file.

    Raises:
        OSError: there is no such file, or it is something else.
    """
    try:
        mode = os.stat(path, follow_symlinks=follow).st_mode  # noqa: PTH116 - it makes no difference
    except ValueError as error:  # a null byte, or half a character, in the name
        raise _refused(errno.EINVAL, "this is not a valid file name", path) from error
    _check(mode, path)


def require_regular_files(folder: str | os.PathLike[str]) -> None:
    """Refuse a folder in which a library may come upon something that never ends, under whatever name.

    Raises:
        OSError: the folder cannot be listed, or what the error's `filename` names is not a regular file.
    """
    for name in sorted(os.listdir(folder)):  # noqa: PTH208
        path = os.path.join(folder, name)  # noqa: PTH118
        if is_there(path) and not is_folder(path):
            require_regular(path)


def _check(mode: int, path: str | os.PathLike[str]) -> None:
    if stat.S_ISDIR(mode):
        raise _refused(errno.EISDIR, "it is a folder", path)
    if stat.S_ISLNK(mode):
        raise _refused(errno.ELOOP, "it is a link", path)
    if not stat.S_ISREG(mode):
        raise _refused(errno.EINVAL, "it is not a regular file", path)


def _refused(number: int, why: str, path: str | os.PathLike[str]) -> OSError:
    return OSError(number, why, os.fspath(path))


def _size(size: int) -> str:
    return f"{size / 1_000_000:,.0f} MB" if size >= 1_000_000 else f"{size / 1000:,.0f} kB"


def is_there(path: str | os.PathLike[str]) -> bool:
    """Whether a path leads to something. Where nothing can be seen, nothing is there: this never fails."""
    return os.path.exists(path)  # noqa: PTH110 - pathlib's raises where a folder may not be entered


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether a path leads to a folder; likewise."""
    return os.path.isdir(path)  # noqa: PTH112


def at_home(path: str | os.PathLike[str]) -> Path:
    """A path with `~` and `~name` replaced by a home folder; unchanged where there is none, as in a shell."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - pathlib's raises where there is no home
