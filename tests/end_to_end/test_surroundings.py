"""The command in odd surroundings: streams closed or full, no home, other locales, Ctrl-C at the start."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.end_to_end.command import (
    EXAMPLES,
    ROOT,
    SCRIPT,
    Command,
    Outcome,
    in_process_of_its_own,
    surroundings,
)

from nncirc import Circuit, Graph, Shape, write_circuit
from nncirc.cli import main
from nncirc.engine.program import run


def shell(command: str, *, without: tuple[str, ...] = (), **environment: str) -> Outcome:
    """Run a line of a shell, in which `nncirc` is the command."""
    kept = {name: value for name, value in surroundings(environment).items() if name not in without}
    line = command.replace("nncirc", f"{sys.executable} -m nncirc", 1)
    done = subprocess.run(["sh", "-c", line], capture_output=True, cwd=ROOT, env=kept, check=False)
    return Outcome(done.returncode, done.stdout.decode("latin-1"), done.stderr.decode("latin-1"))


# Streams --------------------------------------------------------------------------------------------------

FULL = "No space left on device"


@pytest.mark.parametrize("command", ["check examples/ioi.circ", "models --json", "--help"])
def test_output_that_cannot_be_written(command: str) -> None:
    done = shell(f"nncirc {command} > /dev/full")
    assert (done.status, done.out) == (2, "")
    assert "error[C711]" in done.err
    assert FULL in done.err
    assert len(done.err.splitlines()) == 2
    assert shell(f"nncirc {command} > /dev/full 2> /dev/full").status == 2


@pytest.mark.parametrize("command", ["check examples/ioi.circ", "--version"])
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams(command: str, closed: str) -> None:
    done, plain = shell(f"nncirc {command} {closed}"), shell(f"nncirc {command}")
    assert done.status == plain.status == 0
    assert done.out == ("" if ">&-" in closed and closed != "2>&-" else plain.out)
    assert done.err == ""


def test_errors_that_nobody_reads() -> None:
    for where in ("2>&-", "2> /dev/full", ">&- 2>&-"):
        assert shell(f"nncirc check nowhere.circ {where}") == Outcome(2, "", "")


def test_what_is_closed_is_no_result(nncirc: Command, tmp_path: Path) -> None:
    """Otherwise the first file that is opened would be standard output, with what is printed in it."""
    write_circuit(Circuit.full(Graph(Shape(1, 2, 2))), tmp_path / "all.json")
    assert nncirc("render", tmp_path / "all.json", "--out", tmp_path / "open.svg").status == 0
    line = f"nncirc render {tmp_path}/all.json --out {tmp_path}/closed.svg"
    assert shell(f"{line} <&- >&- 2>&-") == Outcome(0, "", "")
    assert (tmp_path / "open.svg").read_bytes() == (tmp_path / "closed.svg").read_bytes()


# Locales and names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["iso8859-1", "ascii", "cp1252", "koi8-r"])
def test_locales_that_are_not_utf8(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding) for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    status = main(["run", str(script), "--only", "eap", "--out", str(tmp_path / "größer ≥ … 🐍")])
    said = out.buffer.getvalue()
    assert (status, err.buffer.getvalue()) == (0, b"")
    assert said.decode(encoding).rstrip().endswith("\\U0001f40d/")
    assert main(["check", "nowhère… 🐍"]) == 2
    err.flush()
    assert b"\\U0001f40d" in err.buffer.getvalue()


def test_names_that_are_not_utf8(nncirc: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = os.fsdecode(bytes(tmp_path) + b"/bad\xff")
    Path(f"{bad}.circ").write_text(SCRIPT)
    assert "bad\\xff.circ: 9 declarations" in nncirc("check", f"{bad}.circ").out
    monkeypatch.setenv("NNCIRC_CACHE", f"{bad}-store")
    assert "bad\\xff" in nncirc("run", f"{bad}.circ", "--out", bad).fine()
    assert Path(f"{bad}-store").is_dir()
    nncirc("render", f"{bad}/found.json", "--out", f"{bad}.svg").fine()
    assert Path(f"{bad}.svg").is_file()
    assert "bad\\xff" in nncirc("cache").out
    assert json.loads(nncirc("cache", "--json").out)["folder"] == f"{bad}-store"


# No home, other libraries' settings -----------------------------------------------------------------------

NO_HOME = f"""
import os, pwd, sys
sys.path.insert(0, {str(ROOT / "src")!r})

def nobody(_):
    raise KeyError

pwd.getpwuid = nobody
assert os.path.expanduser("~") == "~"
from nncirc.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("command", ["plan", "cache"])
def test_no_home(script: Path, command: str) -> None:
    """Of a user without an entry; a plan loads all libraries that look for settings there."""
    homeless = {
        k: v for k, v in surroundings().items() if k not in ("HOME", "NNCIRC_CACHE", "XDG_CACHE_HOME")
    }
    done = subprocess.run(
        [sys.executable, "-c", NO_HOME, command, *([str(script)] if command == "plan" else [])],
        cwd=script.parent,
        env=homeless,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if command == "cache":
        assert "results are not stored for later runs: ~ is not a home folder here" in done.stdout
    assert not (script.parent / "~").exists()


PROGRAM = """
model reverse using bundled {
  name = "tracr-reverse"
}
dataset inputs using all_inputs {
  model  = reverse
  length = 3
}
corruption zeros using zero {
  data = inputs
}
assert clean(mse(at = token), corruption = zeros) >= 0
"""


@pytest.mark.parametrize("name", ["~nosuch/x", "~nosuch"])
def test_a_home_that_is_not_there(
    nncirc: Command, script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NNCIRC_CACHE", name)
    done = nncirc("run", script, "--only", "found")
    assert done.status == 0
    assert "~nosuch is not a home folder here" in done.out
    assert "~nosuch is not a home folder here" in nncirc("cache").out
    assert not (tmp_path / "~nosuch").exists()
    scripts = (
        SCRIPT.replace('bundled {\n  name = "ioi-4l"', f'huggingface {{\n  id = "{name}"'),
        PROGRAM.replace('bundled {\n  name = "tracr-reverse"', f'compiled {{\n  path = "{name}"'),
    )
    for text in scripts:
        assert name in text
        script.write_text(text)
        for command in ("plan", "run"):
            assert "~nosuch" in nncirc(command, script).refused("C402")


@pytest.mark.parametrize(
    "backend", ["nosuch", "module://matplotlib_inline.backend_inline", "module://no.such"]
)
def test_backends_of_matplotlib_that_are_not_there(tmp_path: Path, backend: str) -> None:
    graph = Graph(Shape(1, 2, 2))
    write_circuit(Circuit.full(graph), tmp_path / "all.json")
    shell(f"nncirc render {tmp_path}/all.json --out {tmp_path}/all.png", MPLBACKEND=backend).fine()
    assert (tmp_path / "all.png").is_file()


# Arguments ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        ["--memory", "9" * 309],
        ["--memory", "1e5"],
        ["--memory", "0.2"],
        ["--memory", "9" * 30 + "TiB"],
        ["--batch", "9" * 5000],
        ["--threads", "0"],
        ["--threads", "2147483647"],
        ["--threads", "٣" * 5000],
    ],
    ids=lambda wrong: " ".join(wrong)[:30],
)
def test_numbers_that_are_none(nncirc: Command, script: Path, wrong: list[str]) -> None:
    done = nncirc("run", script, *wrong)
    assert done.status == 2
    assert "nncirc run: error: argument" in done.err
    assert len(done.err) < 2000


def test_no_more_threads_than_cores(nncirc: Command, script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand threads that get into each other's way do not end."""
    monkeypatch.chdir(script.parent)
    monkeypatch.setattr(run, "cores", lambda: 1)
    done = nncirc("run", script, "--only", "found", "--threads", "100000")
    assert done.status == 0
    assert "note: this machine has 1 core; no more threads were used" in done.out
    assert '"threads": 1,' in (script.parent / "out" / "script" / "run.json").read_text()


# Ctrl-C ---------------------------------------------------------------------------------------------------

EARLY = """
import os, signal, sys
when = sys.argv.pop(1)

class Interrupts:
    def find_spec(self, name, path, target=None):
        if name == when:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupts())
from nncirc.__main__ import main
sys.exit(main())
"""


@pytest.mark.parametrize("when", ["nncirc.cli", "argparse", "nncirc.streams", "nncirc.dsl", "lark"])
def test_interrupted_while_it_starts(when: str) -> None:
    """Ctrl-C while some module is imported."""
    done = in_process_of_its_own(["-c", EARLY, when, "check", EXAMPLES / "ioi.circ"])
    coded = when in ("nncirc.dsl", "lark")
    wanted = (1, "error[C702]: interrupted\n") if coded else (-signal.SIGINT, "")
    assert (done.status, done.err) == wanted
