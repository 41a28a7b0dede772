"""The wheel is the package and nothing else; the source distribution makes the same wheel."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from tests.house.tree import ROOMS, ROOT, tracked

import nncirc

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


PIN_LINES = [
    line
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
PINS = {_plain(name): pinned for name, _, pinned in (line.partition("==") for line in PIN_LINES)}


def build(source: Path, out: Path, *what: str) -> None:
    """Build without a network: hatchling is among the test extras."""
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", *what, "--outdir", str(out), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean copy of what git tracks, as a clone has it."""
    copy = tmp_path_factory.mktemp("clone")
    for name in tracked():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy / name, follow_symlinks=False)
    return copy


@pytest.fixture(scope="module")
def built(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    build(tree, out, "--sdist", "--wheel")
    return out


def contents(folder: Path) -> dict[str, bytes]:
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        return {name: file.read(name) for name in file.namelist() if not name.endswith("/")}


def test_the_wheel_is_the_tree(built: Path) -> None:
    found = {k: v for k, v in contents(built).items() if not k.startswith("nncirc-")}
    wanted = {
        f"nncirc/{name.removeprefix('src/nncirc/')}": (ROOT / name).read_bytes()
        for name in tracked()
        if (name.startswith("src/nncirc/") and not (ROOT / name).is_symlink()) or name.split("/")[0] in ROOMS
    }
    assert sorted(found) == sorted(wanted)
    assert found == wanted


def test_the_wheel_has_what_is_no_python(built: Path) -> None:
    names = set(contents(built))
    assert {"nncirc/py.typed", "nncirc/cli.py", "nncirc/__main__.py", "nncirc/grammar/circ.lark"} <= names
    for model in ("induction-2l", "ioi-4l", "tasks-4l", "tracr-reverse", "tracr-xproportion"):
        files = {"README.md", "config.json", "model.safetensors"}
        files |= set() if model.startswith("tracr") else {"tokenizer.json"}
        assert {f"nncirc/circuits/models/{model}/{file}" for file in files} <= names
    assert not [name for name in names if re.search(r"(^|/)(tests?|shared|examples|docs)/|\.pyc$", name)]
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_source_distribution_makes_the_same_wheel(built: Path, tmp_path: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
        file.extractall(tmp_path, filter="data")
    assert {"pyproject.toml", "README.md", "LICENSE", "Makefile", "tests/house/test_packaging.py"} <= names
    assert not [name for name in names if name.startswith(("shared/", ".venv/", "out/"))]
    (unpacked,) = tmp_path.iterdir()
    build(unpacked, tmp_path / "again", "--wheel")
    ours, again = contents(built), contents(tmp_path / "again")
    assert ours == again


def test_a_wheel_works_without_the_tree(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path)
    script = ROOT / "examples" / "ioi.circ"
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import nncirc, nncirc.circuits.models as models\n"
        f"assert nncirc.__file__.startswith({str(tmp_path)!r})\n"
        "assert models.model_info('ioi-4l').layers == 4\n"
        f"from nncirc.cli import main\nraise SystemExit(main(['check', {str(script)!r}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_one_version() -> None:
    assert PROJECT["project"]["version"] == nncirc.__version__
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[{re.escape(nncirc.__version__)}\]", changes, re.MULTILINE)


def test_everything_asked_for_is_pinned() -> None:
    assert len(PINS) == len(PIN_LINES)
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in PIN_LINES)
    assert PINS["torch"] == "2.13.0"
    assert not [name for name in PINS if name.startswith(("nvidia", "cuda", "triton"))]


def test_what_is_pinned_is_what_is_needed() -> None:
    """From the project through the requirements of requirements: all of it is pinned, and nothing else."""
    extras = PROJECT["project"]["optional-dependencies"]
    waiting = [_parsed(each) for each in PROJECT["project"]["dependencies"] + extras["test"]]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) in seen:
            continue
        try:
            needs = requires(name) or []
        except PackageNotFoundError:
            continue  # for another platform or Python
        seen.add((name, wanted))
        for need in needs:
            requirement, _, marker = need.partition(";")
            extra = re.search(r"""extra == ['"]([\w-]+)['"]""", marker)
            if extra is None or extra[1] in wanted:
                waiting.append(_parsed(requirement))
    assert {name for name, _ in seen} == set(PINS)


def _parsed(requirement: str) -> tuple[str, frozenset[str]]:
    match = re.match(r"([\w.-]+)(?:\[([^\]]*)\])?", requirement)
    assert match
    return _plain(match[1]), frozenset(re.findall(r"[\w-]+", match[2] or ""))


def test_make_says_what_it_can() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"@echo 'make (\w+)", text))
    targets = set(re.findall(r"^(\w+):", text, re.MULTILINE))
    assert named <= targets
    assert {"demo", "test", "format", "docs", "clean"} <= named
