"""The command as its users meet it: in this process to save time, in one of its own where that matters."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from nncirc.cli import main

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"

SCRIPT = """\
tau = 0.05

model small using bundled {
  name = "ioi-4l"
}

dataset ioi using template {
  model  = small
  size   = 4
  prompt = "When {IO} and {S} went to the {place}, {S} gave a {gift} to"
  answer = " {IO}"
  foil   = " {S}"

  slots {
    IO, S, A, B, C = names
    place          = places
    gift           = objects
  }
}

corruption abc using replace {
  data = ioi
  IO  -> A
  S.1 -> B
  S.2 -> C
}

graph full using residual {
  model = small
}

metric recovered using logit_diff {
  normalize = true
}

scores eap using attribution_patching {
  graph      = full
  corruption = abc
  metric     = recovered
}

circuit quick using threshold {
  scores    = eap
  threshold = tau
}

circuit found using acdc {
  graph      = full
  corruption = abc
  metric     = recovered
  threshold  = tau
}

render diagram {
  circuit = found
  file    = "found.dot"
}

assert found.edges <= 100
assert faithfulness(found, metric = recovered) >= 0.5
"""
"""A whole experiment in a second; tests change what they are about."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command left behind."""

    status: int
    out: str
    err: str

    def fine(self) -> str:
        """What is printed where nothing is wrong."""
        assert (self.status, self.err) == (0, ""), self.out
        return self.out

    def refused(self, code: str) -> str:
        """The message of a wrong input: coded, for people, and with the status that says so."""
        assert self.status == 2, self.err
        assert f"[{code}]" in self.err, self.err
        assert "Traceback" not in self.err
        return self.err


class Command:
    """Runs `nncirc` in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *arguments: str | Path) -> Outcome:
        self.capsys.readouterr()
        try:
            status = main([str(each) for each in arguments])
        except SystemExit as left:  # argparse
            status = int(left.code or 0)
        said = self.capsys.readouterr()
        return Outcome(status, said.out, said.err)


def in_process_of_its_own(
    arguments: Sequence[str | Path], *, environment: Mapping[str, str] | None = None, folder: Path = ROOT
) -> Outcome:
    """Run Python with these arguments, `-m nncirc ...` for instance."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=folder,
        env=surroundings(environment),
        timeout=300,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def printed(
    code: str, *arguments: str | Path, environment: Mapping[str, str] | None = None, folder: Path = ROOT
) -> str:
    """What Python code prints in a process of its own, in which all must go well."""
    done = in_process_of_its_own(["-c", code, *arguments], environment=environment, folder=folder)
    assert done.status == 0, done.err
    return done.out


def surroundings(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a command, with nncirc where this test found it."""
    # A thread that waits gives its core away: several would take minutes on a busy machine.
    threads = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
    return {**os.environ, "PYTHONPATH": str(ROOT / "src"), **threads, **(more or {})}


def shared() -> Path:
    """The folder of test models and target scripts; without it the test is skipped."""
    folder = Path(os.environ.get("NNCIRC_SHARED") or ROOT.parent / "shared")
    if not folder.is_dir():
        pytest.skip("needs ../shared, or NNCIRC_SHARED")
    return folder
