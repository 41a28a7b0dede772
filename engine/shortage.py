"""Running out of memory or threads, which libraries report in many ways and wrap in errors of their own."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator

from nncirc.circuits.errors import NncircError, ResourceError

_SAID = re.compile(
    r"out of memory|not enough memory|(can't|can ?not|could not|unable to) allocate|allocate memory"
    r"|can't start new thread|os error (11|12)\b|resource temporarily unavailable",
    re.IGNORECASE,
)
_NUMBERS = (errno.ENOMEM, errno.EAGAIN)


def shortage(error: BaseException) -> ResourceError | None:
    """The error to raise instead, if memory or threads ran out; None if an exception means something else."""
    if isinstance(error, NncircError):
        return None
    for one in causes(error):
        said = str(one)
        if isinstance(one, MemoryError) or getattr(one, "errno", None) in _NUMBERS or _SAID.search(said):
            first = (said.strip().splitlines() or [""])[0]
            return ResourceError(
                "C701",
                f"not enough memory or threads{': ' + first if first else ''}",
                hint="allow less for activations (--memory, --batch), or use fewer or shorter prompts, a"
                " smaller model, a narrower dtype, fewer --threads",
            )
    return None


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception, what it was raised from, and so on."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
