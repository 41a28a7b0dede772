"""Killed or interrupted at any moment and started again, a run ends in the same files.

A moment is a call of the progress callback, or a step of writing a file: neither depends on the clock. One
process that has loaded everything forks a child for each run, so that starting up is paid for once.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.end_to_end.command import ROOT, SCRIPT, Command, in_process_of_its_own, surroundings

KILLS = 6

LONG = (
    SCRIPT.replace("using logit_diff {\n  normalize = true", "using kl_divergence {\n  at = end")
    .replace("tau = 0.05", "tau = 0.0001")
    .replace("found.edges <= 100", "found.edges >= 1")
    .replace("metric = recovered) >= 0.5", "metric = recovered) >= 0")
    + """
curve kept using faithfulness {
  scores = eap
  metric = recovered
  edges  = [10, 40, 100]
}
scores nodes using activation_patching {
  graph      = full
  corruption = abc
  metric     = recovered
  positions  = [IO, S.1, S.2, end]
}
"""
)
LONG = LONG.replace(
    "  metric     = recovered\n}\n\ncircuit quick",
    "  metric     = recovered\n  steps      = 2\n}\n\ncircuit quick",
)

DRIVER = """
import json, os, pathlib, signal, sys, traceback
import torch
torch.set_num_threads(1)
from nncirc.engine.model import loading
from nncirc import check_file
from nncirc.engine.model.loading import load_bundled
from nncirc.engine.program import store, stored
from nncirc.engine.program.run import Options, run_program
from nncirc.engine.program.store import Store

program = check_file(sys.argv[1]).program
model = load_bundled("ioi-4l")
loading.load_bundled = lambda *_, **__: model
stored.code()
store.SYNC_SECONDS = -1  # always, so that the number of moments is always the same
moments = fatal = 0
way = signal.SIGKILL

def tick():
    global moments
    moments += 1
    if moments == fatal:
        os.kill(os.getpid(), way)

def ticking(function):
    def wrapped(*arguments, **options):
        tick()
        result = function(*arguments, **options)
        tick()
        return result
    return wrapped

os.fsync, pathlib.Path.replace = ticking(os.fsync), ticking(pathlib.Path.replace)
pathlib.Path.open, pathlib.Path.unlink = ticking(pathlib.Path.open), ticking(pathlib.Path.unlink)

def run(out, folder):
    report = run_program(
        program,
        out,
        Options(threads=1),
        store=Store(pathlib.Path(folder)),
        progress=lambda _: lambda *_: tick(),
    )
    (pathlib.Path(out) / "claims").write_text(repr([(each.left, each.right) for each in report.claims]))

for line in sys.stdin:
    out, folder, fatal, name = json.loads(line)
    way = getattr(signal, name)
    if (child := os.fork()) == 0:
        try:
            run(out, folder)
        except KeyboardInterrupt:
            os._exit(130)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        (pathlib.Path(out).parent / "moments").write_text(str(moments))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Driver:
    """Runs the script in children of one process."""

    def __init__(self, folder: Path) -> None:
        script = folder / "long.circ"
        script.write_text(LONG)
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=surroundings(),
        )

    def __call__(self, out: Path, store: Path, *, at: int = 0, by: str = "SIGKILL") -> int:
        """Run, to be killed at a moment; the exit status."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps([str(out), str(store), at, by]), file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def contents(out: Path) -> dict[str, bytes]:
    found = {path.name: path.read_bytes() for path in out.iterdir()}
    return {**found, "run.json": json.dumps(_lasting(json.loads(found["run.json"]))).encode()}


MOMENTARY = ("seconds", "began", "stored", "memory")


def _lasting(run: Any) -> Any:
    """All of `run.json` but what it took, and which results were there before."""
    if isinstance(run, dict):
        return {k: _lasting(v) for k, v in run.items() if k not in MOMENTARY}
    return [_lasting(each) for each in run] if isinstance(run, list) else run


def test_killed_at_any_moment_a_run_ends_in_the_same_bytes(tmp_path: Path) -> None:
    drawn = random.Random(0)
    run = Driver(tmp_path)
    try:
        assert run(tmp_path / "whole", tmp_path / "store") == 0
        moments = int((tmp_path / "moments").read_text())
        assert moments > 100
        wanted = contents(tmp_path / "whole")
        fatal = sorted(drawn.randint(1, moments) for _ in range(KILLS))
        for number, at in enumerate(fatal):
            out, store = tmp_path / f"out{number}", tmp_path / f"store{number}"
            assert run(out, store, at=at) == -9
            assert run(out, store) == 0
            assert contents(out) == wanted, f"killed at {at} of {moments}"
        # The same run again and again, until it gets through.
        out, store = tmp_path / "out", tmp_path / "all"
        for at in (5, 20, 20, 40, 40, 80):
            assert run(out, store, at=at) == -9
        assert run(out, store) == 0
        assert contents(out) == wanted
        for at in fatal[::5]:
            out, store = tmp_path / f"interrupted{at}", tmp_path / f"interrupted store{at}"
            assert run(out, store, at=at, by="SIGINT") == 130
            assert not list(out.rglob("*.tmp"))
            assert run(out, store) == 0
            assert contents(out) == wanted, f"interrupted at {at} of {moments}"
            assert not list(store.rglob("*.journal"))
    finally:
        run.close()


FULL = """
import errno, os, sys
def full(_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
os.fsync = full
from nncirc.cli import main
sys.exit(main(["run", *sys.argv[1:]]))
"""


def test_on_a_full_disk_the_run_says_so_and_goes_on_later(
    nncirc: Command, script: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = in_process_of_its_own(["-c", FULL, script, "--out", out])
    assert "[C703]" in done.refused("C703")
    assert list(out.iterdir()) == []
    assert nncirc("run", script, "--out", out).status == 0
    assert nncirc("run", script, "--out", tmp_path / "fresh", "--fresh").status == 0
    names = ("eap.json", "found.json", "quick.json", "found.dot")
    assert all((out / name).read_bytes() == (tmp_path / "fresh" / name).read_bytes() for name in names)


# The command ----------------------------------------------------------------------------------------------


def test_the_cache_is_shown_and_cleared(nncirc: Command, script: Path, tmp_path: Path, cache: Path) -> None:
    assert f"{cache}/: 0 results" in nncirc("cache").out
    first = nncirc("run", script, "--out", tmp_path / "out")
    second = nncirc("run", script, "--out", tmp_path / "again")
    assert ("stored" in first.out, "stored" in second.out) == (False, True)
    shown = json.loads(nncirc("cache", "--json").out)
    assert shown["folder"] == str(cache)
    assert shown["results"] >= 3
    assert shown["bytes"] > 1000
    assert "stored" not in nncirc("run", script, "--out", tmp_path / "fresh", "--fresh").out
    assert f"removed {shown['results']} of them" in nncirc("cache", "--clear").out
    assert list(cache.iterdir()) == []
    assert "stored" not in nncirc("run", script, "--out", tmp_path / "cleared").out


def test_a_run_says_where_nothing_can_be_stored(
    nncirc: Command, script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NNCIRC_CACHE", str(tmp_path / "file"))
    done = nncirc("run", script, "--out", tmp_path / "out")
    assert done.status == 0
    assert "note: results are not stored for later runs in" in done.out
