"""JSON that others wrote: read strictly, and every complaint says where in the file."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn, cast

from nncirc.circuits.door import read_text
from nncirc.circuits.errors import FileError
from nncirc.circuits.made import Made


@dataclass(frozen=True, slots=True)
class Value:
    """A value of a JSON file, with its place in it, such as `edges[3][0]`; `what` the file is meant to be.

    The methods say what the value is taken for, and raise FileError C603 where it is something else.
    """

    value: Any
    file: str
    what: str
    where: str = ""

    def wrong(self, problem: str, *, hint: str | None = None) -> FileError:
        """The error for this place."""
        place = f"{self.where}: " if self.where else ""
        return FileError("C603", f"{self.file!r} is not {self.what}: {place}{problem}", hint=hint)

    def _expected(self, wanted: str) -> NoReturn:
        raise self.wrong(f"expected {wanted}, found {_shown(self.value)}")

    def items(self) -> Iterator[tuple[str, Value]]:
        """The members of an object."""
        if not isinstance(self.value, dict):
            self._expected("an object")
        for key, value in self.value.items():
            yield key, Value(value, self.file, self.what, f"{self.where}.{key}" if self.where else key)

    def made(self) -> Made:
        """What a result says of how it was made, as it is."""
        return cast(Made, {key: member.value for key, member in self.items()})

    def members(self, required: Collection[str], optional: Collection[str] = ()) -> dict[str, Value]:
        """An object with these members and no others."""
        found = self.open_members(required)
        for key in found:
            if key not in required and key not in optional:
                raise self.wrong(f"unknown key {_shown(key)}", hint=f"known keys: {', '.join(required)}")
        return found

    def open_members(self, required: Collection[str]) -> dict[str, Value]:
        """An object with at least these members."""
        found = dict(self.items())
        for key in required:
            if key not in found:
                raise self.wrong(f"the key {key!r} is missing")
        return found

    def elements(self) -> list[Value]:
        """The elements of a list."""
        if not isinstance(self.value, list):
            self._expected("a list")
        return [
            Value(value, self.file, self.what, f"{self.where}[{i}]") for i, value in enumerate(self.value)
        ]

    def text(self) -> str:
        """A string."""
        if not isinstance(self.value, str):
            self._expected("a string")
        return self.value

    def integer(self) -> int:
        """A whole number; `true` is none."""
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            self._expected("a whole number")
        return self.value

    def number(self) -> float:
        """A finite number."""
        if not isinstance(self.value, int | float) or isinstance(self.value, bool):
            self._expected("a number")
        try:
            return float(self.value)
        except OverflowError:
            self._expected("a number within the range of floats")

    def boolean(self) -> bool:
        """`true` or `false`."""
        if not isinstance(self.value, bool):
            self._expected("true or false")
        return self.value


def read_json(path: str | os.PathLike[str], *, what: str) -> Value:
    """The JSON value in a file that is meant to be something: `a circuit file`.

    Raises:
        FileError: C601, the file cannot be read; C602, it is not JSON.
    """
    name = os.fspath(path)
    return parse_json(read_utf8(path, lambda why: _not_json(name, why)), name=name, what=what)


def read_utf8(path: str | os.PathLike[str], wrong: Callable[[str], FileError]) -> str:
    """The text of a file.

    Raises:
        FileError: C601, the file cannot be read; what `wrong` makes of the reason, it is not UTF-8.
    """
    try:
        return read_text(path)
    except OSError as error:
        raise cannot_read(path, error) from error
    except UnicodeDecodeError as error:
        raise wrong(f"byte {error.start} is not UTF-8") from error


def parse_json(text: str, *, name: str, what: str) -> Value:
    """The JSON value in a text: no NaN, no infinity, no key twice.

    Raises:
        FileError: C602, the text is not JSON.
    """
    odd: list[str] = []

    def number(digits: str) -> float:
        value = float(digits)
        if not math.isfinite(value):
            odd.append(digits)
        return value

    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=number, parse_float=number)
    except json.JSONDecodeError as error:
        where = f"in line {error.lineno}, column {error.colno}"
        raise _not_json(name, f"{error.msg.removesuffix(' at')} {where}") from error
    except ValueError as error:
        raise _not_json(name, str(error)) from error
    except RecursionError as error:
        raise _not_json(name, "it is nested too deeply") from error
    if "\\ud" in text.lower() and not _is_text(value):
        raise _not_json(name, "it contains an unpaired surrogate, such as \\ud800")
    found = Value(value, name, what)
    if odd:
        where, number_found = _not_finite(found) or "it", _shown(odd[0]).strip("'")
        raise FileError(
            "C602",
            f"{name!r} is not JSON: {where} is {number_found}; expected a finite number",
            hint="compute the file again in float32: a score overflowed",
        )
    return found


def _is_text(value: Any) -> bool:
    """Whether all strings of a value have a form in UTF-8."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _not_finite(value: Value) -> str:
    """Where the first number of a file stands that is not finite."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one.value, dict):
            left += [each for _, each in one.items()][::-1]
        elif isinstance(one.value, list):
            left += one.elements()[::-1]
        elif isinstance(one.value, float) and not math.isfinite(one.value):
            return one.where
    return ""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"duplicate key {_shown(twice)} in one object")
    return found


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if not isinstance(value, str | int | float | None):  # files that are no JSON are checked here too
        return f"a {type(value).__name__.strip('_').lower()}"
    if isinstance(value, int) and abs(value) >= 10**20:  # `str` refuses numbers of very many digits
        return "a huge number"
    text = repr(value) if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def cannot_read(path: str | os.PathLike[str], error: OSError) -> FileError:
    """The error of a file that is not there or may not be read."""
    name = os.fspath(path)
    return FileError("C601", f"cannot read {name!r}: {error.strerror or error}")


def _not_json(name: str, why: str) -> FileError:
    return FileError(
        "C602",
        f"{name!r} is not JSON: {why}",
        hint="check that the file is complete and in this format",
    )
