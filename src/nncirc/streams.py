"""Standard output and standard error, which may be closed, full, or limited to few characters."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

from nncirc.circuits.errors import ResourceError

__all__ = ["usable"]


@contextmanager
def usable() -> Iterator[None]:
    """The standard streams are there, and able to take every character, within it.

    A closed stream is what `2>&-` leaves. Without something in its place, the next file that is opened would
    get its number, and whatever a library prints would go into that file.

    Raises:
        ResourceError: C711, from whatever prints: what was printed cannot be written.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, so this one
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = cast("TextIO", _Output(_encoding(sys.stdout))), _encoding(sys.stderr)
    try:
        yield
    finally:
        _finish(sys.stdout)
        sys.stdout, sys.stderr = before


def _encoding(stream: TextIO | None) -> TextIO:
    if stream is None:
        return os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")
    if isinstance(stream, io.TextIOWrapper):
        # A locale without an ellipsis, say, gets it spelled out.
        stream.reconfigure(errors="backslashreplace")
    return stream


class _Output:
    """Standard output, whose failures are errors of ours: no other file is written without being named."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with _failing():
            return self._stream.write(text)

    def flush(self) -> None:
        with _failing():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def _failing() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # its reader went away, which is no failure
        raise
    except OSError as error:
        raise ResourceError(
            "C711",
            f"cannot write to standard output: {error.strerror or error}",
            hint="redirect the output elsewhere; the results of a run are in its output folder all the same",
        ) from error


def _finish(stream: TextIO) -> None:
    """Write what is left; what cannot be written goes nowhere, as Python would complain of it at its end."""
    try:
        stream.flush()
    except (OSError, ResourceError):
        with suppress(OSError, ValueError):  # not a real one
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
