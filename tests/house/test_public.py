"""The public surface is there and documented, `__all__` is sorted, and every example in a docstring holds."""

from __future__ import annotations

import ast
import doctest
import importlib
from types import FunctionType

import pytest
from tests.house.tree import Module, modules

import nncirc

EXAMPLES = [
    module.name for module in modules() if ">>>" in module.text and not module.path.endswith("__main__.py")
]


def exported(module: Module) -> list[str] | None:
    """The names of `__all__`; None if the module has none, or lists them in its stub."""
    for node in module.tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return None if module.name == "nncirc" else list(ast.literal_eval(node.value))
    return None


SURFACES = {module.name: names for module in modules() if (names := exported(module)) is not None}


def sorting(name: str) -> tuple[int, str]:
    """Constants, classes, functions, as ruff sorts them."""
    return (0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2, name)


@pytest.mark.parametrize("name", SURFACES)
def test_a_surface_is_sorted_and_there(name: str) -> None:
    names = SURFACES[name]
    assert names == sorted(set(names), key=sorting)
    module = importlib.import_module(name)
    for each in names:
        assert not each.startswith("_")
        assert getattr(module, each) is not None
        assert each in dir(module)


@pytest.mark.parametrize("name", nncirc.__all__)
def test_a_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(nncirc, name)
    assert name in dir(nncirc)
    if isinstance(value, type | FunctionType):
        assert (value.__module__, value.__name__) == (nncirc._HOME[name], name)
        assert value.__doc__


def test_public_names_are_told_apart_from_modules() -> None:
    """Importing `nncirc.thing` would put the module in the thing's place."""
    beside = {each.name.split(".")[1] for each in modules() if each.name.startswith("nncirc.")}
    assert beside >= {"circuits", "cli", "dsl", "engine"}
    assert not beside & set(nncirc.__all__)


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match=r"'nncirc' has no attribute 'circus'"):
        nncirc.circus  # type: ignore[attr-defined] # noqa: B018


def test_there_are_examples() -> None:
    assert {f"{name}.".split(".")[1] for name in EXAMPLES} >= {"", "circuits", "engine"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_in_docstrings_hold(name: str) -> None:
    module = importlib.import_module(name)
    assert any(test.examples for test in doctest.DocTestFinder().find(module))
    assert doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0
