"""Where a file should be and something else is, a pipe or a device: said at once, never awaited."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.end_to_end.command import SCRIPT, Command
from tests.some import some

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
    nncirc("check", tmp_path / "uses.circ").refused("C111" if make is os.mkfifo else "C209")


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
    for path in some(cache.rglob("*.json")):
        path.unlink()
        make(path.with_suffix(f".{ending}"))
    assert nncirc("run", script, "--out", tmp_path / "second").status == 0
    assert (tmp_path / "first" / "found.json").read_bytes() == (
        tmp_path / "second" / "found.json"
    ).read_bytes()
    assert all(path.is_file() and not path.is_symlink() for path in some(cache.rglob("*.*")))


def test_a_journal_is_not_followed_through_a_link(
    nncirc: Command, script: Path, tmp_path: Path, cache: Path
) -> None:
    (tmp_path / "mine").write_text("mine\n")
    assert nncirc("run", script, "--out", tmp_path / "first").status == 0
    for path in some(cache.rglob("*.json")):
        path.unlink()
        path.with_suffix(".journal").symlink_to(tmp_path / "mine")
    assert nncirc("run", script, "--out", tmp_path / "second").status == 0
    assert (tmp_path / "mine").read_text() == "mine\n"


LEFT = ".nncirc-0123456789abcdef.tmp"


def test_nothing_outside_the_output_folder_is_removed(nncirc: Command, tmp_path: Path) -> None:
    text = (
        SCRIPT.replace('"found.dot"', '"d/found.dot"') + 'plot {\n  scores = eap\n  file = "e/eap.svg"\n}\n'
    )
    (tmp_path / "script.circ").write_text(text)
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    (out / "e").mkdir(parents=True)
    elsewhere.mkdir()
    (out / "d").symlink_to(elsewhere)
    left = [elsewhere / LEFT, tmp_path / LEFT, out / LEFT, out / "e" / LEFT]
    for path in left:
        path.write_text("half")
    nncirc("run", tmp_path / "script.circ", "--only", "eap", "--out", out)
    assert [path.exists() for path in left] == [True, True, False, True]
    (out / "d").unlink()
    assert nncirc("run", tmp_path / "script.circ", "--out", out).status == 0
    assert [path.exists() for path in left] == [True, True, False, False]


# Folders that may not be entered, and paths that are too long ---------------------------------------------


@contextmanager
def as_somebody() -> Iterator[None]:
    """As a user who is not root, and who may not enter all folders; in a folder of its own."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        Path(name).chmod(0o777)
        patch.chdir(name)
        root = os.geteuid() == 0
        if root:
            os.seteuid(54321)
        try:
            yield
        finally:
            if root:
                os.seteuid(0)
            for each in (Path(name) / "closed", Path(name) / "closed" / "model"):
                each.chmod(0o777)


@pytest.mark.parametrize("mode", [0o000, 0o311, 0o555])
def test_folders_that_may_not_be_entered(
    nncirc: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    """Of mode 000 nothing is found in them, of 311 nothing can be listed, of 555 nothing written."""
    text = LOCAL.replace("./model", "./closed/model")
    # Everything is imported before another user, who may have no access to Python's own folders, needs it.
    monkeypatch.chdir(tmp_path)
    shutil.copytree(model_folder("ioi-4l"), "closed/model")
    Path("script.circ").write_text(text)
    assert nncirc("plan", "script.circ").status == nncirc("run", "script.circ").status == 0
    assert nncirc("export", "out/script/eap.json", "--to", "eap.csv").status == 0
    with as_somebody():
        Path("script.circ").write_text(text)
        Path("plain.circ").write_text(SCRIPT)
        Path("uses.circ").write_text('use "closed/model/x.circ" as other\n')
        shutil.copytree(model_folder("ioi-4l"), "closed/model", copy_function=shutil.copyfile)
        Path("closed/model/x.circ").write_text("tau = 1\n")
        monkeypatch.setenv("NNCIRC_CACHE", "closed/store")
        for each in (Path("closed/model"), Path("closed")):
            each.chmod(mode)
        assert nncirc("check", "script.circ").status == 0
        assert nncirc("check", "uses.circ").status == (2 if mode == 0 else 0)
        for command in ("plan", "run"):
            done = nncirc(command, "script.circ", *(["--only", "eap"] if command == "run" else []))
            if mode == 0o555:
                assert done.status == 0, done.err
            else:
                done.refused("C402" if mode == 0 else "C403")
                assert "Permission denied" in done.err
        done = nncirc("run", "plain.circ", "--only", "eap", "--out", "out")
        assert done.status == 0
        assert ("results are not stored for later runs" in done.out) == (mode != 0o311)
        assert nncirc("cache").status == nncirc("cache", "--clear").status == 0
        if mode == 0o311:
            assert nncirc("run", "plain.circ", "--only", "eap", "--out", "closed/out").status == 0
            assert nncirc("export", "out/eap.json", "--to", "closed/eap.csv").status == 0
        else:
            nncirc("run", "plain.circ", "--out", "closed/out").refused("C606")
            nncirc("export", "out/eap.json", "--to", "closed/eap.csv").refused("C605")
            nncirc("import", "closed", "--to", "to.json").refused("C601" if mode == 0 else "C603")
        nncirc("import", "closed/x.json", "--to", "to.json").refused("C601")


@pytest.mark.parametrize("long", ["n" * 300, "f/" * 3000 + "f", "x" * 5000], ids=["name", "folders", "path"])
def test_paths_that_are_too_long(nncirc: Command, script: Path, tmp_path: Path, long: str) -> None:
    assert "File name too long" in nncirc("run", script, "--out", tmp_path / long).refused("C606")
    assert "File name too long" in nncirc("check", tmp_path / long).refused("C012")
    assert "File name too long" in nncirc("diff", tmp_path / f"{long}.json", script).refused("C601")
    assert "File name too long" in nncirc("render", tmp_path / f"{long}.json").refused("C601")


def test_an_output_folder_in_thousands_of_folders(nncirc: Command, script: Path, tmp_path: Path) -> None:
    deep = tmp_path / ("f/" * 1100)
    assert nncirc("run", script, "--only", "eap", "--out", deep).status == 0
    for each in deep.iterdir():
        each.unlink()
    while deep != tmp_path:  # What removes temporary folders goes down by recursion.
        deep.rmdir()
        deep = deep.parent
