"""How far a run is, what an interrupted one leaves, and how it goes on. No clock is read."""

from __future__ import annotations

import errno
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pytest
from tests.end_to_end.command import SCRIPT, Command

from nncirc import cli
from nncirc.progress import SECONDS, Start, shown

LONG = SCRIPT.replace("tau = 0.05", "tau = 0.001").replace("<= 100", ">= 1").replace(">= 0.5", ">= 0") + (
    "scores sweep using activation_patching {\n  graph = full\n  corruption = abc\n  metric = recovered\n}\n"
)


class Watch:
    """Notes the progress that is reported, and interrupts a run where it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: dict[str, list[tuple[int, int]]] = {}
        self.stop: tuple[str, float] | None = None
        monkeypatch.setattr(cli, "shown", self.shown)

    @contextmanager
    def shown(self, _: TextIO) -> Iterator[Start]:
        yield self.start

    def start(self, name: str) -> Callable[[int, int], None]:
        def report(done: int, total: int) -> None:
            self.seen.setdefault(name, []).append((done, total))
            if self.stop and name == self.stop[0] and done >= self.stop[1] * total:
                raise KeyboardInterrupt

        return report


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(monkeypatch)


@pytest.fixture
def long(script: Path) -> Path:
    script.write_text(LONG)
    return script


@pytest.mark.parametrize("name", ["found", "sweep"])
def test_a_run_that_goes_on_reports_only_what_it_does(
    nncirc: Command, long: Path, tmp_path: Path, watch: Watch, name: str
) -> None:
    """Otherwise the time left is foreseen at the pace at which the store is read."""
    watch.stop = name, 0.5
    assert nncirc("run", long, "--out", tmp_path, "--batch", "1").status == 1
    done, total = watch.seen[name][-1]
    assert 0 < done < total
    watch.seen, watch.stop = {}, None
    assert nncirc("run", long, "--out", tmp_path, "--batch", "1").status == 0
    assert watch.seen[name][0][0] >= done
    assert watch.seen[name][-1] == (total, total)
    assert "eap" not in watch.seen, "a stored result has no progress"
    watch.seen = {}
    assert nncirc("run", long, "--out", tmp_path).status == 0
    assert watch.seen == {}


def test_an_interrupted_run_says_what_is_there(
    nncirc: Command, long: Path, tmp_path: Path, watch: Watch
) -> None:
    watch.stop = "sweep", 0.5
    done = nncirc("run", long, "--out", tmp_path / "out")
    assert done.status == 1
    assert (
        f"error[C702]: interrupted: eap, quick, found, found.dot are in {tmp_path / 'out'}/; sweep is missing"
        in done.err
    )
    assert "run the same command again to continue" in done.err
    assert "stored" not in done.out
    assert "found.json" in done.out
    assert "sweep" not in done.out
    watch.stop = "found", 0.0
    done = nncirc("run", long, "--out", tmp_path / "out", "--fresh")
    assert "interrupted: eap, quick are in " in done.err
    assert "; found, found.dot, sweep are missing" in done.err
    watch.stop = "eap", 0.0
    done = nncirc("run", long, "--out", tmp_path / "out", "--fresh", "--json")
    assert "interrupted before any result was finished" in done.out
    assert (done.status, done.err) == (1, "")


# What is shown --------------------------------------------------------------------------------------------


class Clock:
    """Seconds that only a test lets pass."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_log_has_a_line_now_and_then() -> None:
    stream, clock = io.StringIO(), Clock()
    with shown(stream, clock) as start:
        report = start("found\x1b[2J")
        for done in range(900, 1000):  # 900 were done before
            report(done, 1000)
            clock.now += 3.0
    lines = stream.getvalue().splitlines()
    assert lines[0] == "found\\x1b[2J: 910 of 1,000, about 0:04:30 left"  # 90 at 3 seconds each
    assert lines[-1] == "found\\x1b[2J: 990 of 1,000, about 0:00:30 left"
    assert len(lines) == 90 * 3 // SECONDS


def test_a_short_run_logs_nothing() -> None:
    stream, clock = io.StringIO(), Clock()
    with shown(stream, clock) as start:
        for name in ("eap", "found"):
            report = start(name)
            for done in range(10):
                report(done, 10)
                clock.now += (SECONDS - 1) / 20
    assert stream.getvalue() == ""


def test_a_log_that_is_full_ends_no_run() -> None:
    clock = Clock()
    with shown(Full(), clock) as start:
        clock.now += SECONDS
        start("found")(1, 2)


class Full(io.StringIO):
    def write(self, _: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_begins_with_the_first_that_is_done() -> None:
    """A result from the store reports nothing and has no bar, and what was done before is no pace."""
    stream, clock = Terminal(), Clock()
    with shown(stream, clock) as start:
        start("stored")
        report = start("found")
        for done in (900, 901, 902):
            report(done, 1000)
            clock.now += 3.0
        report(903, 1000)
    said = stream.getvalue()
    assert "found" in said
    assert "stored" not in said
    assert "0:04:51" in said  # 97 at 3 seconds each
