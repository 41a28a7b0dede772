from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st
from tests.refused import refused

from nncirc.circuits import atomic
from nncirc.circuits.errors import FileError


@contextmanager
def failing(call: str, error: BaseException) -> Iterator[None]:
    """Let one step of writing fail: `os.fsync`, or a method of `Path`."""

    def fail(*_: Any, **__: Any) -> None:
        raise error

    owner: Any = os if call == "fsync" else Path
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, call, fail)
        yield


@pytest.mark.parametrize("call", ["open", "fsync", "chmod", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_what_stood_there_stays(tmp_path: Path, call: str, error: BaseException) -> None:
    path = tmp_path / "circuit.json"
    path.write_text("old")
    with failing(call, error), pytest.raises((FileError, KeyboardInterrupt)) as caught:
        atomic.write_text(path, "new")
    if isinstance(caught.value, FileError):
        assert caught.value.code == "C605"
        assert "No space left on device" in caught.value.message
    else:
        assert isinstance(error, KeyboardInterrupt)
    assert os.listdir(tmp_path) == ["circuit.json"]  # noqa: PTH208 (`Path` is patched above)
    assert path.read_text() == "old"


def test_an_interrupted_write_leaves_no_half_file(tmp_path: Path) -> None:
    with failing("fsync", KeyboardInterrupt()), pytest.raises(KeyboardInterrupt):
        atomic.write_bytes(tmp_path / "new.json", b"half")
    assert list(tmp_path.iterdir()) == []


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_text_is_written_as_it_is(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("text") / "file"
    atomic.write_text(path, text)
    assert path.read_bytes() == text.encode()


def test_a_replaced_file_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o640)
    atomic.write_text(path, "new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").write_text("")
    atomic.write_text(tmp_path / "file", "new")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    target, link = tmp_path / "folder" / "target", tmp_path / "link"
    link.symlink_to(target)
    atomic.write_text(link, "new")
    assert link.is_symlink() and target.read_text() == "new"


def test_a_device_is_written_to() -> None:
    atomic.write_text("/dev/null", "nothing")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


@pytest.mark.parametrize("name", ["folder", "missing/file", "file/below", "null\0byte", "x" * 5000])
def test_where_no_file_can_be(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with refused(FileError, "C605", "cannot write"):
        atomic.write_text(tmp_path / name, "text")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


def test_text_without_a_utf8_form(tmp_path: Path) -> None:
    with refused(FileError, "C605", "character 2"):
        atomic.write_text(tmp_path / "file", "ab\ud800")


# What others write ----------------------------------------------------------------------------------------

LEFT = ".nncirc-0123456789abcdef.tmp"


def test_what_another_process_is_writing_is_left_alone(tmp_path: Path) -> None:
    """And is removed when that process is dead, which the test plays by closing its file."""
    (tmp_path / ".nncirc-mine.tmp").write_text("not ours")
    (tmp_path / LEFT.replace("0", "f")).symlink_to(".nncirc-mine.tmp")
    seen: list[str] = []
    fsync = os.fsync

    def other(descriptor: int) -> None:
        fsync(descriptor)
        atomic.remove_leftovers(tmp_path)
        seen.extend(each.name for each in tmp_path.glob(".nncirc-????????????????.tmp"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", other)
        atomic.write_text(tmp_path / "file", "whole")
    assert len(seen) == 2
    assert (tmp_path / "file").read_text() == "whole"
    (tmp_path / LEFT).write_text("half")
    atomic.remove_leftovers(tmp_path)
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        ".nncirc-f123456789abcdef.tmp",
        ".nncirc-mine.tmp",
        "file",
    ]
