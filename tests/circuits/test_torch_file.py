"""Files of torch are read as torch reads them, and nothing that they ask for is done."""

from __future__ import annotations

import io
import os
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, strategies as st

from nncirc.circuits.errors import FileError
from nncirc.circuits.formats.torch_file import Tensor, read_torch

DTYPES = [
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.uint8,
    torch.bool,
]  # fmt: skip


def plain(value: Any) -> Any:
    """Tensors of either kind as dtype, shape and numbers."""
    if isinstance(value, Tensor):
        return value.dtype, value.shape, list(value.numbers())
    if isinstance(value, torch.Tensor):
        return str(value.dtype).removeprefix("torch."), tuple(value.shape), value.flatten().tolist()
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list | tuple) else value


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("torch") / "file.pt"


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_tensors_as_torch_reads_them(file: Path, dtype: torch.dtype) -> None:
    whole = (torch.arange(24, dtype=torch.float64) * 3.25 - 20).abs().to(dtype).reshape(2, 3, 4)
    given = {
        "whole": whole,
        "view": whole[1, :, 1:3],
        "turned": whole.permute(2, 0, 1),
        "spread": whole[:1, :1, :1].expand(2, 3, 1),
        "none": whole[:, :0],
        "number": whole[1, 1, 1],
    }
    torch.save(given, file)
    assert plain(read_torch(file)) == plain(torch.load(file, weights_only=True)) == plain(given)


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(
            st.text(st.characters(codec="utf-8"), max_size=5) | st.integers(0, 9), inner, max_size=4
        )
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), inner, max_size=1).map(
            OrderedDict
        )
    ),
    max_leaves=20,
)


@given(VALUES)
def test_plain_data_as_torch_reads_it(file: Path, value: Any) -> None:
    torch.save(value, file)
    assert read_torch(file) == torch.load(file, weights_only=True)


class Calls:
    """An object whose pickle calls a function when it is loaded."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.what = (function, arguments)

    def __reduce__(self) -> Any:
        return self.what


def refused(path: Path) -> str:
    with pytest.raises(FileError) as caught:
        read_torch(path)
    assert caught.value.code == "C630"
    assert caught.value.hint
    return caught.value.message


@pytest.mark.parametrize("where", [lambda x: x, lambda x: {"cfg": x}, lambda x: [torch.zeros(2), x]])
def test_nothing_is_called(tmp_path: Path, where: Any) -> None:
    trap = tmp_path / "trap"
    torch.save(where(Calls(os.mkdir, str(trap))), tmp_path / "file.pt")
    assert "would import 'posix.mkdir'" in refused(tmp_path / "file.pt")
    torch.save(where(Calls(eval, "1 + 1")), tmp_path / "file.pt")
    assert "would import '__builtin__.eval'" in refused(tmp_path / "file.pt")
    assert not trap.exists()


def archive(path: Path, program: bytes, compress: int = zipfile.ZIP_STORED, /, **more: bytes) -> Path:
    with zipfile.ZipFile(path, "w", compress) as file:
        file.writestr("a/data.pkl", program)
        for name, data in more.items():
            file.writestr(f"a/{name}", data)
    return path


@pytest.mark.parametrize(
    ("program", "problem"),
    [
        (b"cos\nsystem\n(S'true'\ntR.", "would import 'os.system'"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "uses STACK_GLOBAL"),
        (b"(ios\nsystem\n.", "uses INST"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n.", "contains no data"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n}b.", "uses BUILD"),
        (b"ctorch\nFloatStorage\n)R.", "calls a function"),
        (b"ccollections\nOrderedDict\n(K\x01tR.", "calls a function"),
        (b"\x82\x01.", "uses EXT1"),
        (b"", "damaged"),
        (b"K", "damaged"),
        (b".", "damaged"),
        (b"(.", "damaged"),
        (b"h\x07.", "damaged"),
        (b"}K\x01\x85K\x02s.", "neither a string nor a whole number"),
        (b"K\x01K\x02.", "damaged"),
        (b"K\x01a.", "damaged"),
    ],
)
def test_odd_programs(tmp_path: Path, program: bytes, problem: str) -> None:
    assert problem in refused(archive(tmp_path / "file.pt", program))


@given(st.data())
def test_damaged_files(file: Path, data: st.DataObject) -> None:
    """Whatever a byte is changed to, what comes out is data or an error with a code."""
    buffer = io.BytesIO()
    torch.save({"cfg": {"n": 2}, "scores": torch.arange(6.0).reshape(2, 3), "names": ["a", "b"]}, buffer)
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(content[: data.draw(st.sampled_from([len(content), 100, 600]))])
    try:
        plain(read_torch(file))
    except FileError as error:
        assert error.code in ("C601", "C630")


def saved(value: Any) -> dict[str, bytes]:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    with zipfile.ZipFile(buffer) as file:
        return {name.partition("/")[2]: file.read(name) for name in file.namelist()}


def test_numbers_that_are_not_there(tmp_path: Path) -> None:
    parts = saved(torch.arange(4.0))
    program = parts["data.pkl"]
    assert "missing" in refused(archive(tmp_path / "a.pt", program))
    assert "incomplete" in refused(archive(tmp_path / "b.pt", program, **{"data/0": bytes(8)}))
    beyond = program.replace(b"K\x04\x85", b"K\x09\x85")
    assert beyond != program
    assert "beyond its stored numbers" in refused(archive(tmp_path / "c.pt", beyond, **{"data/0": bytes(16)}))


def test_a_tensor_of_too_many_numbers(tmp_path: Path) -> None:
    torch.save(torch.zeros(1).expand(10**6, 10**6), tmp_path / "file.pt")
    assert "repeats its stored numbers" in refused(tmp_path / "file.pt")


def test_archives_that_torch_does_not_write(tmp_path: Path) -> None:
    assert "compressed" in refused(archive(tmp_path / "a.pt", b"K\x01.", zipfile.ZIP_DEFLATED))
    assert "big-endian" in refused(archive(tmp_path / "b.pt", b"K\x01.", byteorder=b"big"))
    with zipfile.ZipFile(tmp_path / "c.pt", "w") as empty:
        empty.writestr("a/other", b"")
    assert "exactly one data.pkl" in refused(tmp_path / "c.pt")


def test_files_of_before_1_6_are_pickles_and_not_read(tmp_path: Path) -> None:
    torch.save({"a": 1}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert "expected a zip archive" in refused(tmp_path / "old.pt")
    (tmp_path / "bare.pt").write_bytes(b"\x80\x04}\x8c\x01aK\x01s.")
    assert "expected a zip archive" in refused(tmp_path / "bare.pt")


def test_what_cannot_be_read_at_all(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.pt", tmp_path):
        with pytest.raises(FileError) as caught:
            read_torch(path)
        assert caught.value.code == "C601"
