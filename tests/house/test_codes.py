"""Every code that is raised is explained, every one that is explained is raised, and means one thing."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterator

from tests.house.tree import Module, modules
from tests.some import some

import nncirc.circuits.errors as errors
from nncirc.dsl.codes import RUN, SCRIPT, entries

CLASSES = {
    "ScriptError": range(100, 300),
    "DataError": range(300, 400),
    "ModelError": range(400, 450),
    "GraphError": range(450, 500),
    "MethodError": range(500, 600),
    "FileError": range(600, 700),
    "ResourceError": range(700, 750),
    "ArgumentError": range(750, 760),
    "NncircError": (104, 206, 799),  # arguments of the command line; a fault of nncirc itself
    "Guard": (*range(413, 421), 425, 437),  # becomes a ModelError
}
OF_FILES = ("FileError", "GraphError")
"""What the dsl raises itself, where it reads and writes circuits as scripts."""
PLANNED: dict[str, str] = {}
"""Codes that are explained and not yet raised, and why."""


def raised(module: Module) -> Iterator[tuple[str, str, int]]:
    """Codes with the error's class and the line: `DataError("C301", ...)`."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            code, called = node.args[0].value, node.func
            if isinstance(code, str) and re.fullmatch(r"C\d{3}", code):
                yield code, called.id if isinstance(called, ast.Name) else ast.unparse(called), node.lineno


def of_runs() -> list[tuple[str, str, str]]:
    """Code, class and place of every error that is not the checker's."""
    return [
        (code, name, f"{module.path}:{line}")
        for module in modules()
        for code, name, line in raised(module)
        if module.room != "dsl" or name in OF_FILES
    ]


def test_every_code_is_explained_and_every_explained_code_raised() -> None:
    """The same for codes of scripts is a test of the dsl."""
    found = {code for code, _, _ in of_runs()}
    assert not found - set(entries()), "raised and not explained"
    assert not set(RUN) - found - set(PLANNED), "explained and not raised"
    assert not found & set(PLANNED), "no longer planned only: take it off the list"
    assert not set(PLANNED) - set(RUN)


def test_no_code_stands_in_both_catalogues() -> None:
    assert not set(SCRIPT) & set(RUN)


def test_no_code_is_explained_twice() -> None:
    """Of two entries under one key a dictionary keeps the last without a word."""
    explained = [
        key.value
        for module in modules()
        if module.path.startswith("dsl/codes/")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant) and re.fullmatch(r"C\d{3}", str(key.value))
    ]
    assert len(explained) >= len({*entries()})
    assert {code for code, count in Counter(explained).items() if count > 1} == set()


def test_every_code_is_of_its_class() -> None:
    wrong = [each for each in of_runs() if int(each[0][1:]) not in CLASSES.get(each[1], ())]
    assert not wrong


def test_every_code_is_raised_as_one_class() -> None:
    classes = defaultdict(set)
    for code, name, _ in of_runs():
        classes[code].add(name)
    assert {code: names for code, names in classes.items() if len(names) > 1} == {}


def test_every_error_has_a_code() -> None:
    """An error of the tree is made with a literal code, or passes on the code of another."""
    known = set(CLASSES) - {"Guard"}
    odd = []
    for module in modules():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in known:
                first = ast.unparse(node.args[0]) if node.args else ""
                if not re.fullmatch(r"'C\d{3}'|\w+\.code", first):
                    odd.append(f"{module.path}:{node.lineno} {first}")
    assert not odd


def test_codes_in_docstrings_exist() -> None:
    known = set(entries())
    for module in some(modules()):
        if not module.path.startswith("dsl/codes"):
            found = set(re.findall(r"\bC[1-7]\d\d\b", module.text))
            assert found <= known, f"{module.path}: {sorted(found - known)}"


def test_the_tree_of_errors_is_as_drawn() -> None:
    drawn = set(re.findall(r"[├└]── (\w+)", errors.__doc__ or ""))
    assert drawn == {
        cls.__name__ for cls in errors.NncircError.__subclasses__() if cls.__module__ == errors.__name__
    }
