"""What is wrong is refused with an error of a kind, with its code, and in words that say what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest

from nncirc.circuits.errors import NncircError

Kind = TypeVar("Kind", bound=NncircError)


@contextmanager
def refused(
    kind: type[Kind], code: str, *words: str, hint: str | None = None
) -> Iterator[pytest.ExceptionInfo[Kind]]:
    """What is done within raises an error of that kind and code, whose message has the words."""
    with pytest.raises(kind) as caught:
        yield caught
    error = caught.value
    assert error.code == code, error
    for each in words:
        assert each in error.message
    assert hint is None or error.hint == hint
