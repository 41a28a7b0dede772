"""Where a file should be and something else is, a pipe or a device: said at once, never awaited."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.end_to_end.command import SCRIPT, Command

from nncirc.circuits.models import model_folder


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


MAKE = pytest.mark.parametrize("make", [os.mkfifo, _device], ids=["pipe", "device"])
LOCAL = SCRIPT.replace('using bundled {\n  name = "ioi-4l"', 'using huggingface {\n  id = "./model"')
WRITTEN = """\
model small using bundled {
  name = "ioi-4l"
}
dataset pairs using file {
  model = small
  path  = "pairs.csv"
}
corruption swapped using counterpart {
  data = pairs
}
circuit found using acdc {
  graph      = residual(small)
  corruption = swapped
  metric     = logit_diff(normalize = true)
  threshold  = 0.1
}
"""


@MAKE
def test_scripts(nncirc: Command, tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "x.circ")
    for command in ("check", "plan", "run"):
        assert "it is not a regular file" in nncirc(command, tmp_path / "x.circ").refused("C012")
    (tmp_path / "uses.circ").write_text('use "x.circ" as other\n')
    assert "it is not a regular file" in nncirc("check", tmp_path / "uses.circ").refused("C111")


@MAKE
@pytest.mark.parametrize("ending", ["json", "circ", "pt", "graphml", "csv"])
def test_circuits(
    nncirc: Command, script: Path, tmp_path: Path, make: Callable[[Path], None], ending: str
) -> None:
    make(tmp_path / f"x.{ending}")
    assert nncirc("run", script, "--out", tmp_path / "out", "--only", "found").status == 0
    like = tmp_path / "out" / "found.json"
    commands: list[list[str | Path]] = [
        ["diff", tmp_path / f"x.{ending}", like],
        ["import", tmp_path / f"x.{ending}", "--to", tmp_path / "to.json", "--like", like],
        ["export", tmp_path / f"x.{ending}", "--to", tmp_path / "to.json"],
    ]
    for arguments in commands:
        if ending != "csv" or "import" in arguments:
            assert "it is not a regular file" in nncirc(*arguments).refused("C601")


@MAKE
def test_prompts(nncirc: Command, tmp_path: Path, make: Callable[[Path], None]) -> None:
    (tmp_path / "script.circ").write_text(WRITTEN)
    make(tmp_path / "pairs.csv")
    for command in ("plan", "run"):
        assert "it is not a regular file" in nncirc(command, tmp_path / "script.circ").refused("C315")


@MAKE
@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "tokenizer.json", "generation_config.json"]
)
def test_models(
    nncirc: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[Path], None],
    name: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(model_folder("ioi-4l"), tmp_path / "model")
    (tmp_path / "model" / name).unlink(missing_ok=True)
    make(tmp_path / "model" / name)
    (tmp_path / "script.circ").write_text(LOCAL)
    assert nncirc("check", "script.circ").status == 0
    said = nncirc("run", "script.circ").refused("C403")
    assert f"cannot read {name}: it is not a regular file" in said
    if name != "model.safetensors":
        assert "it is not a regular file" in nncirc("plan", "script.circ").err


@pytest.mark.parametrize("name", ["found.dot", "found.json", "eap.json", "run.json"])
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to(path.name), Path.mkdir])
def test_outputs(
    nncirc: Command, script: Path, tmp_path: Path, make: Callable[[Path], None], name: str
) -> None:
    """Said before anything is computed: nothing else is there."""
    (tmp_path / "out").mkdir()
    make(tmp_path / "out" / name)
    assert name in nncirc("run", script, "--out", tmp_path / "out").refused("C605")
    assert [each.name for each in (tmp_path / "out").iterdir()] == [name]


@pytest.mark.parametrize("make", [os.mkfifo, _device], ids=["pipe", "device"])
@pytest.mark.parametrize("ending", ["json", "journal"])
def test_the_store(
    nncirc: Command, script: Path, tmp_path: Path, cache: Path, make: Callable[[Path], None], ending: str
) -> None:
    assert nncirc("run", script, "--out", tmp_path / "first").status == 0
    for path in [*cache.rglob("*.json")]:
        path.unlink()
        make(path.with_suffix(f".{ending}"))
    assert nncirc("run", script, "--out", tmp_path / "second").status == 0
    assert (tmp_path / "first" / "found.json").read_bytes() == (
        tmp_path / "second" / "found.json"
    ).read_bytes()
    assert all(path.is_file() and not path.is_symlink() for path in cache.rglob("*.*"))


def test_a_journal_is_not_followed_through_a_link(
    nncirc: Command, script: Path, tmp_path: Path, cache: Path
) -> None:
    (tmp_path / "mine").write_text("mine\n")
    assert nncirc("run", script, "--out", tmp_path / "first").status == 0
    for path in [*cache.rglob("*.json")]:
        path.unlink()
        path.with_suffix(".journal").symlink_to(tmp_path / "mine")
    assert nncirc("run", script, "--out", tmp_path / "second").status == 0
    assert (tmp_path / "mine").read_text() == "mine\n"
