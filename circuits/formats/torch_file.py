"""Files of `torch.save`, read without unpickling: tensors, numbers, texts, lists and dictionaries only.

Such a file is a zip archive: `data.pkl` says how the object is put together, and each storage of numbers is
an entry of its own, as raw bytes. A pickle is a program for a small stack machine which can call any
function there is. Here its opcodes are only listed (`pickletools` disassembles and runs nothing) and read by
a machine of our own that knows how to make a tensor of a storage, and an empty ordered dictionary. It has no
way to import or to call anything: whatever else a file asks for is an error.
"""

from __future__ import annotations

import os
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any, NoReturn

from nncirc.circuits.door import open_file
from nncirc.circuits.errors import FileError
from nncirc.circuits.formats.json_input import cannot_read

_LARGEST_PROGRAM = 4_000_000  # bytes of data.pkl; those of real files are a tenth of it
_MOST_ENTRIES = 10_000  # of the archive; there is one for each tensor
_MOST_REPEATED = 1_000_000  # numbers that a tensor has beyond those of its storage: a stride of 0 repeats
_DTYPES = {
    "FloatStorage": ("float32", "f"),
    "DoubleStorage": ("float64", "d"),
    "HalfStorage": ("float16", "e"),
    "BFloat16Storage": ("bfloat16", "H"),
    "LongStorage": ("int64", "q"),
    "IntStorage": ("int32", "i"),
    "ByteStorage": ("uint8", "B"),
    "BoolStorage": ("bool", "?"),
}
_CODES = dict(_DTYPES.values())
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_GIVEN = {
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
}  # fmt: skip
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A tensor of a file; its numbers are decoded when they are asked for.

    Attributes:
        dtype: such as `float32`.
        shape: its sizes.
        strides: steps in the storage, in numbers.
        offset: its first number's place in the storage.
        storage: the numbers, as they lie in the file (little-endian).
    """

    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    storage: bytes

    def numbers(self) -> list[float]:
        """All numbers, the last dimension running fastest."""
        code = _CODES[self.dtype]
        values = struct.unpack_from(f"<{len(self.storage) // struct.calcsize(code)}{code}", self.storage)
        found = [values[place] for place in _places(self.shape, self.strides, self.offset)]
        if self.dtype == "bfloat16":  # the upper half of a float32
            return [struct.unpack("<f", struct.pack("<I", value << 16))[0] for value in found]
        return found


def read_torch(path: str | os.PathLike[str]) -> Any:
    """What `torch.save` wrote, with a `Tensor` for each tensor.

    Raises:
        FileError: C601, the file cannot be read; C630, it contains something other than plain data and
            tensors, is damaged, or is in the format before torch 1.6.
    """
    name = os.fspath(path)
    try:
        with open_file(path) as file, zipfile.ZipFile(file) as archive:
            return _read(name, archive)
    except zipfile.BadZipFile as error:
        raise _refused(
            name, "expected a zip archive, as torch writes since version 1.6; the file is older or incomplete"
        ) from error
    except OSError as error:
        raise cannot_read(path, error) from error
    except (zlib.error, RuntimeError, ValueError, EOFError) as error:  # compressed or encrypted oddly
        raise _refused(name, "its archive is damaged, or was not written by torch") from error


def _read(name: str, archive: zipfile.ZipFile) -> Any:
    entries = {entry.filename: entry for entry in archive.infolist()}
    programs = [each for each in entries if each.endswith("/data.pkl") and each.count("/") == 1]
    if len(programs) != 1 or len(entries) != len(archive.infolist()):
        raise _refused(name, "expected exactly one data.pkl in its archive")
    if len(entries) > _MOST_ENTRIES:
        raise _refused(name, "its archive has too many entries")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
        raise _refused(name, "its archive is compressed, and torch never compresses")
    if entries[programs[0]].file_size > _LARGEST_PROGRAM:
        raise _refused(name, "its data.pkl is too large for a description of tensors")
    folder = programs[0].removesuffix("data.pkl")
    if f"{folder}byteorder" in entries and archive.read(f"{folder}byteorder") != b"little":
        raise _refused(name, "its numbers are big-endian; expected little-endian")

    def storage(key: str) -> bytes | None:
        entry = entries.get(f"{folder}data/{key}")
        return None if entry is None else archive.read(entry)

    return _Machine(name, storage).run(archive.read(programs[0]))


@dataclass(frozen=True, slots=True)
class _Global:
    """The name of something that a pickle would import; here it stays a name."""

    name: str


@dataclass(frozen=True, slots=True)
class _Storage:
    dtype: str
    data: bytes


_ORDERED = _Global("collections OrderedDict")
_REBUILD = _Global("torch._utils _rebuild_tensor_v2")


class _Machine:
    """A stack machine for the few opcodes that plain data and tensors need."""

    def __init__(self, name: str, storage: Callable[[str], bytes | None]) -> None:
        self.name = name
        self.storage = storage
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # what lies under each mark
        self.memo: dict[int, Any] = {}
        self.loaded: dict[str, bytes] = {}

    def run(self, program: bytes) -> Any:
        try:
            for opcode, argument, _ in pickletools.genops(program):
                if opcode.name == "STOP":
                    break
                self.step(opcode.name, argument)
            (result,) = self.stack
            assert not self.below
        except FileError:
            raise
        except Exception as error:  # whatever a damaged program leads to: it is not what torch writes
            raise _refused(self.name, "its data.pkl is damaged") from error
        if isinstance(result, _Global | _Storage):
            self.refuse("it contains no data")
        return result

    def refuse(self, why: str) -> NoReturn:
        raise _refused(self.name, why)

    def step(self, opcode: str, argument: Any) -> None:
        stack = self.stack
        if opcode in ("PROTO", "FRAME"):
            return
        if opcode in _CONSTANTS:
            stack.append(_CONSTANTS[opcode])
        elif opcode in _GIVEN:
            stack.append(argument)
        elif opcode == "MARK":
            self.below.append(stack)
            self.stack = []
        elif opcode == "EMPTY_LIST":
            stack.append([])
        elif opcode == "EMPTY_DICT":
            stack.append({})
        elif opcode in _TUPLES:
            count = _TUPLES[opcode]
            assert len(stack) >= count
            stack[len(stack) - count :] = [tuple(stack[len(stack) - count :])]
        elif opcode == "TUPLE":
            values = self.since_mark()
            self.stack.append(tuple(values))
        elif opcode in ("APPEND", "APPENDS"):
            values = [stack.pop()] if opcode == "APPEND" else self.since_mark()
            self.top(list).extend(values)
        elif opcode in ("SETITEM", "SETITEMS"):
            values = [stack.pop(-2), stack.pop()] if opcode == "SETITEM" else self.since_mark()
            for key, value in zip(values[::2], values[1::2], strict=True):
                if not isinstance(key, str | int):
                    self.refuse("a key of a dictionary is neither a string nor a whole number")
                self.top(dict)[key] = value
        elif opcode in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memo[len(self.memo) if opcode == "MEMOIZE" else argument] = stack[-1]
        elif opcode in ("BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif opcode == "GLOBAL":
            stack.append(self.known(argument))
        elif opcode == "BINPERSID":
            stack.append(self.stored(stack.pop()))
        elif opcode == "REDUCE":
            arguments = stack.pop()
            stack.append(self.made(stack.pop(), arguments))
        else:
            self.refuse(f"its data.pkl uses {opcode}, which plain data and tensors do not need")

    def since_mark(self) -> list[Any]:
        values, self.stack = self.stack, self.below.pop()
        return values

    def top(self, kind: type) -> Any:
        assert isinstance(self.stack[-1], kind)
        return self.stack[-1]

    def known(self, name: str) -> _Global:
        module, _, last = name.partition(" ")
        if name not in (_ORDERED.name, _REBUILD.name) and (module != "torch" or last not in _DTYPES):
            shown = name.replace(" ", ".")[:100]
            self.refuse(f"it would import {shown!r}")
        return _Global(name)

    def stored(self, identity: Any) -> _Storage:
        kind, storage, key, _, count = identity
        assert kind == "storage"
        assert isinstance(storage, _Global)
        assert isinstance(key, str)
        dtype, code = _DTYPES[storage.name.removeprefix("torch ")]
        if key not in self.loaded:
            data = self.storage(key)
            if data is None:
                self.refuse(f"the numbers of storage {key[:20]!r} are missing")
            self.loaded[key] = data
        if len(self.loaded[key]) < count * struct.calcsize(f"<{code}"):
            self.refuse(f"the numbers of storage {key[:20]!r} are incomplete")
        return _Storage(dtype, self.loaded[key])

    def made(self, function: Any, arguments: Any) -> Any:
        if function == _ORDERED and arguments == ():
            return {}
        if function != _REBUILD:
            self.refuse("it calls a function that does not make a tensor")
        storage, offset, shape, strides, *_ = arguments
        assert isinstance(storage, _Storage)
        numbers = [offset, *shape, *strides]
        assert len(shape) == len(strides)
        assert all(type(each) is int and each >= 0 for each in numbers)
        code = _CODES[storage.dtype]
        last = offset + sum((size - 1) * step for size, step in zip(shape, strides, strict=True))
        if prod(shape) * struct.calcsize(f"<{code}") > len(storage.data) + _MOST_REPEATED:
            self.refuse("a tensor repeats its stored numbers too often")
        if prod(shape) and (last + 1) * struct.calcsize(f"<{code}") > len(storage.data):
            self.refuse("a tensor extends beyond its stored numbers")
        return Tensor(storage.dtype, tuple(shape), tuple(strides), offset, storage.data)


def _places(shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Iterable[int]:
    """Where the numbers of a tensor lie in its storage."""
    steps = [
        range(0, size * step, step) if step else [0] * size for size, step in zip(shape, strides, strict=True)
    ]
    return (offset + sum(place) for place in product(*steps))


def _refused(name: str, why: str) -> FileError:
    return FileError(
        "C630",
        f"refused to read {name!r}: {why}",
        hint="save it as JSON, or again with torch.save: nncirc reads only tensors and plain data",
    )
