"""House rules that no linter knows."""

from __future__ import annotations

import ast
import re

import pytest
from tests.house.tree import ROOT, Module, imports, modules, tracked

ABSOLUTE = {
    "tests/dsl/broken/C209_file.circ": "an absolute path is what is wrong with it",
    "tests/dsl/broken/C209_file.txt": "and its message shows it",
    "tests/house/test_style.py": "the pattern itself",
}
"""Files with absolute paths, and why."""

PICKLES = {"pickle", "cPickle", "_pickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"}
PRINTS = {"src/nncirc/cli.py"}


def calls(module: Module) -> list[tuple[int, str]]:
    """Every call with its line: `torch.load`, `print`."""
    return [
        (node.lineno, ast.unparse(node.func)) for node in ast.walk(module.tree) if isinstance(node, ast.Call)
    ]


def test_nothing_is_pickled() -> None:
    bad = PICKLES | {"torch.load", "torch.save", "numpy.load"}
    found = [
        f"{module.path}:{line} {name}"
        for module in modules()
        for line, name in [*imports(module), *calls(module)]
        if name in bad or name.split(".")[0] in PICKLES
    ]
    assert not found


def test_nothing_is_evaluated() -> None:
    found = [
        f"{module.path}:{line} {name}"
        for module in modules()
        for line, name in calls(module)
        if name in ("eval", "exec", "compile", "__import__")
    ]
    assert not found


def test_only_the_command_line_prints() -> None:
    found = [
        f"{module.path}:{line} {name}"
        for module in modules()
        if module.path not in PRINTS
        for line, name in calls(module)
        if name in ("print", "input", "sys.stdout.write", "sys.stderr.write", "warnings.warn")
    ]
    assert not found


DOOR = "circuits/door.py"
RESOURCES = {
    "circuits/data/__init__.py",
    "circuits/models/__init__.py",
    "circuits/tasks/lists.py",
    "dsl/text/parser.py",
    "dsl/check/shapes.py",
    "src/nncirc/__init__.py",
}
"""They read files of the package itself, besides."""


def test_files_come_in_by_one_door() -> None:
    """Pathlib waits at pipes, reads devices without end, and raises where a folder may not be entered."""
    others = {"read_bytes", "is_file", "is_dir", "expanduser"}
    found = []
    for module in modules():
        if module.path == DOOR:
            continue
        bad = others if module.path in RESOURCES else {*others, "read_text"}
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                mode = ast.unparse(node.args[0]) if node.args else ""
                name = node.func.attr
                asks = name in ("exists", "resolve") and not node.args
                if name in bad or asks or (name == "open" and mode.startswith(("'r", "'w", "'a"))):
                    found.append(f"{module.path}:{node.lineno} {name}")
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "open":
                found.append(f"{module.path}:{node.lineno} open")
    assert not found


def test_no_paths_of_a_machine() -> None:
    bad = re.compile(rb"(?<![\w.~])/(home|root|tmp|work|Users|opt)/\w|[A-Z]:\\\\Users")
    found = []
    for name in tracked():
        path = ROOT / name
        if path.is_file() and not path.is_symlink() and path.suffix not in (".safetensors", ".png"):
            lines = path.read_bytes().splitlines()
            found += [f"{name}:{i}" for i, line in enumerate(lines, 1) if bad.search(line)]
    assert not [each for each in found if each.partition(":")[0] not in ABSOLUTE]


def test_links_stay_in_the_tree() -> None:
    links = [ROOT / name for name in tracked() if (ROOT / name).is_symlink()]
    assert {link.relative_to(ROOT).as_posix() for link in links} == {
        f"src/nncirc/{room}" for room in ("circuits", "dsl", "engine", "grammar")
    }
    assert all(link.resolve() == ROOT / link.name for link in links)


def test_nothing_is_left_to_do() -> None:
    """A TODO says why it waits: `TODO(reason)`."""
    found = []
    for name in tracked():
        if name.endswith((".py", ".lark", ".circ", ".toml")) and not name.startswith("tests/house/"):
            lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
            found += [
                f"{name}:{i}" for i, line in enumerate(lines, 1) if re.search(r"TODO(?!\()|FIXME|XXX", line)
            ]
    assert not found


@pytest.mark.parametrize("name", [module.path for module in modules()])
def test_docstring_says_what_a_module_is(name: str) -> None:
    (module,) = [each for each in modules() if each.path == name]
    assert module.path.endswith("grammar/__init__.py") or ast.get_docstring(module.tree)
