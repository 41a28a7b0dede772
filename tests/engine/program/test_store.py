"""The store's files: what is damaged is noticed, what cannot be written is done without."""

from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from nncirc.circuits.formats.json_input import Value
from nncirc.engine.program import store as module
from nncirc.engine.program.store import Store, default_folder

KEY, OTHER = "ab" * 32, "cd" * 32
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def whole(value: Value) -> Any:
    return [value.value]


def entry(store: Store, key: str = KEY) -> Path:
    return store.folder / key[:2] / f"{key}.json"


@given(value=JSON)
def test_what_was_saved_is_loaded(value: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("store")
    Store(folder).save(KEY, value)
    store = Store(folder)
    (found,) = store.load(KEY, whole) or [None]
    assert json.dumps(found) == json.dumps(value)
    assert store.load(OTHER, whole) is None
    assert (store.hits, store.misses, store.notes) == (1, 1, ())


@given(at=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_flipped_bit_is_noticed_or_changes_nothing(
    at: int, bit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = Store(tmp_path_factory.mktemp("store"))
    value = {"made": {"method": "acdc"}, "edges": [["embed", "L0H0.q", 0.125], ["L0H0", "logits", -3e-5]]}
    store.save(KEY, value)
    data = bytearray(entry(store).read_bytes())
    data[at % len(data)] ^= 1 << bit
    entry(store).write_bytes(data)
    found = store.load(KEY, whole)
    assert found is None or found == [value]
    assert bool(store.notes) == (found is None)


def good(store: Store) -> Any:
    return json.loads(entry(store).read_text())


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "null",
        "[]",
        "{}",
        "[" * 100_000,
        '{"format": "nncirc store", "version": 1, "key": "", "sha256": "", "value": 1}',
        "\0" * 300,
        "cut",
        "of another key",
        "with another value",
        "of another version",
        "folder",
        "link",
    ],
)
def test_damage_is_noticed_and_mended(damage: str, tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save(KEY, {"a": 0.1})
    store.save(OTHER, {"a": 0.2})
    path = entry(store)
    match damage:
        case "cut":
            path.write_text(path.read_text()[:-30])
        case "of another key":
            path.write_bytes(entry(store, OTHER).read_bytes())
        case "with another value":
            path.write_text(json.dumps({**good(store), "value": {"a": 0.3}}))
        case "of another version":
            path.write_text(json.dumps({**good(store), "version": 2}))
        case "folder":
            path.unlink()
            path.mkdir()
        case "link":
            path.unlink()
            path.symlink_to(tmp_path / "nowhere")
        case _:
            path.write_text(damage)
    assert store.load(KEY, whole) is None
    assert store.notes == ("a stored result was damaged and has been recomputed",)
    store.save(KEY, {"a": 0.1})
    assert store.load(KEY, whole) == (None if damage == "folder" else [{"a": 0.1}])
    assert store.load(OTHER, whole) == [{"a": 0.2}]


def test_a_value_of_another_kind_is_damage(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save(KEY, {"a": 0.1})
    assert store.load(KEY, Value.number) is None
    assert store.notes


def test_fresh_ignores_and_overwrites(tmp_path: Path) -> None:
    Store(tmp_path).save(KEY, 1)
    Store(tmp_path).journal(OTHER).decided("logits", {"embed": 0.5})
    fresh = Store(tmp_path, fresh=True)
    assert not fresh.has(KEY)
    assert fresh.load(KEY, whole) is None
    assert fresh.journal(OTHER).known("logits") is None
    fresh.save(KEY, 2)
    assert fresh.load(KEY, whole) == [2]
    assert Store(tmp_path).load(KEY, whole) == [2]


def test_clear_removes_only_what_stores_wrote(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert (store.size(), store.clear()) == ((0, 0), 0)
    store.save(KEY, 1)
    store.save(OTHER, 1)
    store.journal(OTHER[::-1]).decided("logits", {})
    (tmp_path / "ab" / ".nncirc-0123456789abcdef.tmp").write_text("half")
    mine = [tmp_path / "notes.json", tmp_path / "cd" / "notes.json", tmp_path / "abc" / f"{KEY}.json"]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    results, size = store.size()
    assert results == 2
    assert size > 200
    assert store.clear() == 2
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(mine)
    assert Store(tmp_path / "nowhere").clear() == 0


def test_the_default_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert str(default_folder()) == os.environ["NNCIRC_CACHE"]
    monkeypatch.delenv("NNCIRC_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "nncirc"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".cache" / "nncirc"


def test_where_nothing_can_be_written_a_note_says_so_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = Store(tmp_path / "file")
    for _ in range(2):
        assert store.load(KEY, whole) is None
        journal = store.journal(KEY)
        journal.decided("logits", {"embed": 1.0})
        store.save(KEY, 1)
    (note,) = store.notes
    assert "results are not stored for later runs" in note
    assert (store.size(), store.clear()) == ((0, 0), 0)


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    store.save(KEY, 1)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        store.save(OTHER, 2)
    assert store.notes[0].endswith(os.strerror(errno.ENOSPC))
    assert store.load(KEY, whole) == [1]
    assert store.load(OTHER, whole) is None
    assert not list(tmp_path.rglob("*.tmp"))


def test_what_is_no_json_is_not_stored(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save(KEY, float("nan"))
    assert store.load(KEY, whole) is None
    assert store.notes


# Journals -------------------------------------------------------------------------------------------------

DECISIONS = {"logits": {"embed": 0.1, "MLP3": 1 / 3}, "MLP3": {}, "L3H0.q": {"L0H0": 5e-324}}


def lines(store: Store) -> Path:
    return store.folder / KEY[:2] / f"{KEY}.journal"


def written(folder: Path) -> Store:
    store = Store(folder)
    journal = store.journal(KEY)
    for receiver, kept in DECISIONS.items():
        assert journal.known(receiver) is None
        journal.decided(receiver, kept)
    return store


def test_a_journal_gives_back_what_was_decided(tmp_path: Path) -> None:
    store = written(tmp_path)
    again = Store(tmp_path).journal(KEY)
    assert {receiver: again.known(receiver) for receiver in DECISIONS} == DECISIONS
    assert again.known("MLP2") is None
    assert store.journal(OTHER).known("logits") is None
    lines(store).rename(store.folder / "x")
    (store.folder / OTHER[:2]).mkdir()
    (store.folder / "x").rename(store.folder / OTHER[:2] / f"{OTHER}.journal")
    assert store.journal(OTHER).known("logits") is None


@given(end=st.integers(0, 400))
def test_a_torn_journal_is_read_up_to_there_and_goes_on(
    end: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = written(tmp_path_factory.mktemp("store"))
    data = lines(store).read_bytes()[:end]
    lines(store).write_bytes(data)
    journal = store.journal(KEY)
    known = [journal.known(receiver) for receiver in DECISIONS]
    whole = sum(known is not None for known in known)
    assert known[:whole] == list(DECISIONS.values())[:whole]
    assert whole >= data.count(b"\n") - 1
    for receiver, kept in list(DECISIONS.items())[whole:]:
        journal.decided(receiver, kept)
    again = store.journal(KEY)
    assert {receiver: again.known(receiver) for receiver in DECISIONS} == DECISIONS


@given(at=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_damaged_line_is_passed_over(at: int, bit: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    store = written(tmp_path_factory.mktemp("store"))
    data = bytearray(lines(store).read_bytes())
    data[at % len(data)] ^= 1 << bit
    lines(store).write_bytes(data)
    journal = store.journal(KEY)
    for receiver, kept in DECISIONS.items():
        assert journal.known(receiver) in (None, kept)


def test_two_processes_may_write_one_journal(tmp_path: Path) -> None:
    store = Store(tmp_path)
    one, two = store.journal(KEY), Store(tmp_path).journal(KEY)
    for receiver, kept in DECISIONS.items():
        one.decided(receiver, kept)
        two.decided(receiver, kept)
    assert {receiver: store.journal(KEY).known(receiver) for receiver in DECISIONS} == DECISIONS
    store.save(KEY, 1)
    two.decided("late", {})
    assert Store(tmp_path).load(KEY, whole) == [1]


def test_a_result_ends_its_journal(tmp_path: Path) -> None:
    store = written(tmp_path)
    assert lines(store).exists()
    store.save(KEY, 1)
    assert not lines(store).exists()


def test_lines_are_synced_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    monkeypatch.setattr(module, "SYNC_SECONDS", 1e9)
    monkeypatch.setattr(time, "monotonic", lambda: 2e9)
    written(tmp_path)
    assert len(synced) == 1
