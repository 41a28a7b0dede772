"""What the tests of this room look at: the project's files, and their syntax trees."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from tests.some import some

ROOT = Path(__file__).parents[2]
ROOMS = ("grammar", "circuits", "dsl", "engine")


@dataclass(frozen=True)
class Module:
    """A module of the package.

    Attributes:
        path: relative to the repository: `dsl/text/parser.py`.
        name: as it is imported: `nncirc.dsl.text.parser`.
        text: the source.
        tree: its syntax tree.
    """

    path: str
    name: str
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """The first folder; "" for the command line and the package itself."""
        first = self.path.split("/")[0]
        return first if first in ROOMS else ""


@cache
def modules() -> tuple[Module, ...]:
    """All modules of the package."""
    files = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    files += (ROOT / "src" / "nncirc").glob("*.py")
    found = []
    for file in sorted(files):
        path = file.relative_to(ROOT).as_posix()
        parts = path.removeprefix("src/nncirc/").removesuffix(".py").removesuffix("__init__").split("/")
        text = file.read_text(encoding="utf-8")
        found.append(Module(path, ".".join(["nncirc", *filter(None, parts)]), text, ast.parse(text)))
    return tuple(some(found))


def imports(module: Module) -> Iterator[tuple[int, str]]:
    """Every imported name with its line, those of functions too; `from a import b` is `a.b`."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = module.name.split(".")
            if not module.path.endswith("__init__.py"):
                package = package[:-1]
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, node.module] if node.module else base)
            yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)


def tracked() -> list[str]:
    """The files that git tracks, links included; the test is skipped where there is no repository."""
    if not (ROOT / ".git").exists():
        pytest.skip("no git repository: this is a copy of the tree")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return some(name for name in listed.stdout.split("\0") if name and (ROOT / name).exists())
