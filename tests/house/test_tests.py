"""No test passes because there was nothing to look at."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from tests.house.tree import ROOT
from tests.some import some

CHECKS = ("raises", "warns", "assert_close", "assert_allclose", "refused", "fine")
"""Calls that assert something, beside the statement."""
PASSED_ON = (
    "enumerate",
    "itertools.permutations",
    "itertools.product",
    "list",
    "pairwise",
    "product",
    "reversed",
    "sorted",
    "zip",
)
"""What goes through all that it is given, so that it is not empty where that is not."""


def written_in(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """The tests of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
            yield node


def is_check(node: ast.AST) -> bool:
    """Whether this asserts something."""
    match node:
        case ast.Call(func=ast.Attribute(attr=called) | ast.Name(id=called)):
            return called in CHECKS
        case _:
            return isinstance(node, ast.Assert)


def loops_of_checks(test: ast.FunctionDef) -> list[list[ast.For]]:
    """For every assertion the loops that it is in."""

    def below(node: ast.AST, around: list[ast.For]) -> Iterator[list[ast.For]]:
        for child in ast.iter_child_nodes(node):
            inside = [*around, child] if isinstance(child, ast.For) else around
            if is_check(child):
                yield inside
            yield from below(child, inside)

    return list(below(test, []))


def is_something(things: ast.expr, names: dict[str, ast.expr]) -> bool:
    """Whether there is anything in what a loop goes through, as far as it is written there."""
    match things:
        case ast.Tuple() | ast.List() | ast.Set():
            return bool(things.elts)
        case ast.Dict():
            return bool(things.keys)
        case ast.Constant():
            return bool(things.value)
        case ast.Starred():
            return is_something(things.value, names)
        case ast.ListComp(generators=[ast.comprehension(iter=through, ifs=[])]):
            return is_something(through, names)
        case ast.Name():
            return things.id in names and is_something(names[things.id], names)
        case ast.Call(func=ast.Attribute(value=of, attr="items" | "values" | "keys")):
            return is_something(of, names)
        case ast.Call():
            called = ast.unparse(things.func)
            return called in ("some", "range") or (
                called in PASSED_ON and any(is_something(each, names) for each in things.args)
            )
        case _:
            return False


def assigned(body: ast.AST) -> dict[str, ast.expr]:
    """What names are given."""
    found: dict[str, ast.expr] = {}
    for node in ast.walk(body):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                found[name] = value
            case ast.Assign(targets=[ast.Tuple(elts=several)], value=ast.Tuple(elts=values)):
                pairs = zip(several, values, strict=False)
                found |= {name.id: value for name, value in pairs if isinstance(name, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                found[name] = value
    return found


def vacuous(text: str) -> list[str]:
    """Tests whose assertions are all in loops over what may be nothing."""
    tree = ast.parse(text)
    found, known = [], assigned(tree)
    for test in written_in(tree):
        names = known | assigned(test)
        checks = loops_of_checks(test)
        if checks and not any(all(is_something(loop.iter, names) for loop in loops) for loops in checks):
            found.append(test.name)
    return found


def test_every_test_asserts_something_outside_of_loops_that_may_be_empty() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in some((ROOT / "tests").rglob("test_*.py"))
        for name in vacuous(path.read_text(encoding="utf-8"))
    ]
    assert not found, "go through some(...) of tests/some.py"


def test_no_test_imports_another() -> None:
    """What several tests need lies beside them, in a module that is no test."""
    found = [
        f"{path.relative_to(ROOT)}: {line}"
        for path in some((ROOT / "tests").rglob("*.py"))
        for line in re.findall(
            r"^from [\w.]*\btest_\w+ import .*", path.read_text(encoding="utf-8"), re.MULTILINE
        )
        if path.stem not in line
    ]
    assert not found


def test_what_is_said_to_be_slow_is_there() -> None:
    there = {
        f"{path.relative_to(ROOT).as_posix()}::{test.name}"
        for path in some((ROOT / "tests").rglob("test_*.py"))
        for test in written_in(ast.parse(path.read_text(encoding="utf-8")))
    }
    slow = (ROOT / "tests" / "slow.txt").read_text(encoding="utf-8").split()
    gone = set(slow) - there
    assert not gone, "remove these lines, or write the file anew: make slow"
    assert slow == sorted(set(slow))


@pytest.mark.parametrize(
    ("body", "is_vacuous"),
    [
        ("for x in f():\n  assert x", True),
        ("for x in sorted(path.glob('*')):\n  assert x", True),
        ("for x in zip(a, b):\n  for y in (1, 2):\n    assert x", True),
        ("for x in f():\n  with pytest.raises(E):\n    x()", True),
        ("for x in []:\n  assert x", True),
        ("for x in (1, 2):\n  assert x", False),
        ("for x in enumerate(sorted(ALL)):\n  assert x", False),
        ("for x in some(f()):\n  assert x", False),
        ("assert g()\nfor x in f():\n  assert x", False),
        ("for x in f():\n  y = x\nassert y", False),
        ("cases: list[int] = [1]\nfor x in cases:\n  assert x", False),
        ("a, b = (1, 2), f()\nfor x in a:\n  assert x", False),
        ("a, b = (1, 2), f()\nfor x in b:\n  assert x", True),
        ("for x in {1: 2}.items():\n  assert x", False),
        ("for x in [y + 1 for y in ALL]:\n  assert x", False),
        ("for x in [y + 1 for y in ALL if y > 5]:\n  assert x", True),
        ("run()", False),
    ],
)
def test_what_may_be_empty_is_seen(body: str, is_vacuous: bool) -> None:
    text = "ALL = [1, 2]\ndef test_it():\n  " + body.replace("\n", "\n  ")
    assert vacuous(text) == ["test_it"] * is_vacuous


def test_nothing_is_not_some() -> None:
    assert some(iter("ab")) == ["a", "b"]
    with pytest.raises(AssertionError, match="nothing to look at"):
        some(iter(""))
