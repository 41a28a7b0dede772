"""Files come in if they are regular and not too large; everything else says why, and nothing waits."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.refused import refused

from nncirc.circuits import door
from nncirc.circuits.atomic import append_bytes, make_folder, write_bytes
from nncirc.circuits.errors import FileError


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


NO_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "folder": (Path.mkdir, "it is a folder"),
    "pipe": (os.mkfifo, "it is not a regular file"),
    "socket": (_socket, "it is not a regular file"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "it is not a regular file"),
    "nothing": (lambda _: None, "No such file or directory"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "Too many levels of symbolic links"),
}


@pytest.mark.parametrize(("make", "why"), NO_FILES.values(), ids=NO_FILES)
def test_what_is_no_file_is_not_read(tmp_path: Path, make: Callable[[Path], object], why: str) -> None:
    path = tmp_path / "x"
    make(path)
    for read in (door.read_file, door.read_text, door.open_file, door.require_regular):
        with pytest.raises(OSError) as caught:
            read(path)
        assert caught.value.strerror == why
        assert caught.value.filename is not None


@pytest.mark.parametrize("name", ["null\0byte", "half \ud800 a character", "n" * 300, "f/" * 5000])
def test_names_that_no_file_has(tmp_path: Path, name: str) -> None:
    with pytest.raises(OSError):
        door.read_file(tmp_path / name)
    assert not door.is_there(tmp_path / name)
    assert not door.is_folder(tmp_path / name)


def test_a_file_may_be_so_large_and_no_larger(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"12345")
    assert door.read_file(path, at_most=5) == b"12345"
    with pytest.raises(OSError, match="larger than 0 kB"):
        door.read_file(path, at_most=4)
    assert door.read_file("/proc/self/stat") != b""  # its size is told as 0
    with pytest.raises(OSError, match="larger"):
        door.read_file("/proc/self/maps", at_most=10)


def test_a_link_is_followed_unless_it_must_not_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    (tmp_path / "link").symlink_to("file")
    assert door.read_file(tmp_path / "link") == b"1"
    with pytest.raises(OSError, match="it is a link"):
        door.read_file(tmp_path / "link", follow=False)


def test_a_folder_for_a_library(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "folder").mkdir()
    (tmp_path / "gone").symlink_to("nowhere")
    door.require_regular_files(tmp_path)
    os.mkfifo(tmp_path / "b.json")
    with pytest.raises(OSError, match="it is not a regular file") as caught:
        door.require_regular_files(tmp_path)
    assert Path(caught.value.filename).name == "b.json"


def test_no_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert door.at_home("~/x") == tmp_path / "x"
    assert door.at_home("~nosuch/x") == Path("~nosuch/x")


# Writing --------------------------------------------------------------------------------------------------


def test_a_pipe_without_a_reader_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with refused(FileError, "C605"):
        write_bytes(tmp_path / "pipe", b"1")


def test_a_pipe_with_a_reader_is_written_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_bytes(tmp_path / "pipe", b"123")
    assert os.read(reader, 10) == b"123"
    os.close(reader)
    inner, outer = os.pipe()
    write_bytes(f"/dev/fd/{outer}", b"456")
    assert os.read(inner, 10) == b"456"
    os.close(inner)
    os.close(outer)


def test_a_link_to_itself_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "x").symlink_to("x")
    with pytest.raises(FileError, match="Too many levels"):
        write_bytes(tmp_path / "x", b"")


def test_bytes_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "x"
    append_bytes(path, b"1")
    append_bytes(path, b"2", sync=True)
    assert path.read_bytes() == b"12"
    (tmp_path / "link").symlink_to("x")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "nowhere/x"):
        with pytest.raises(OSError):
            append_bytes(tmp_path / name, b"3")
    assert path.read_bytes() == b"12"


def test_thousands_of_folders_within_each_other(tmp_path: Path) -> None:
    deep = tmp_path / ("f/" * 1500)
    make_folder(deep)
    assert door.is_folder(deep)
    make_folder(deep)
    (tmp_path / "file").write_text("")
    for wrong in ("file", "file/x", "n" * 300, "g/" * 5000):
        with pytest.raises(OSError):
            make_folder(tmp_path / wrong)
    assert not (tmp_path / "g").exists()
    # What removes temporary folders goes down by recursion.
    place = deep
    while place != tmp_path:
        place.rmdir()
        place = place.parent
