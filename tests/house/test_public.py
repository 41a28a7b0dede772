"""Public surfaces are sorted and complete, and every example in a docstring holds."""

from __future__ import annotations

import ast
import doctest
import importlib

import pytest
from tests.house.tree import TRAINING, Module, modules
from tests.some import some

PACKAGES = ["nncirc.circuits", "nncirc.dsl", "nncirc.engine.data"]
EXAMPLES = [
    module.name
    for module in modules()
    if ">>>" in module.text and module.path not in TRAINING and not module.path.endswith("__main__.py")
]


def exported(module: Module) -> list[str] | None:
    """The names of `__all__`; None if the module has none."""
    for node in module.tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return None


SURFACES = {module.name: names for module in modules() if (names := exported(module)) is not None}


def sorting(name: str) -> tuple[int, str]:
    """Constants, classes, functions, as ruff sorts them."""
    return (0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2, name)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_says_what_is_public(name: str) -> None:
    assert name in SURFACES


@pytest.mark.parametrize("name", SURFACES)
def test_a_surface_is_sorted_and_there(name: str) -> None:
    names = SURFACES[name]
    assert names == sorted(set(names), key=sorting)
    module = importlib.import_module(name)
    for each in names:
        assert not each.startswith("_") or each == "__version__"
        assert getattr(module, each) is not None
        assert each in dir(module)


@pytest.mark.parametrize("name", [*PACKAGES, "nncirc.engine"])
def test_no_public_thing_is_called_as_a_module_beside_it(name: str) -> None:
    """Importing `package.thing` would put the module in the thing's place."""
    beside = {each.name.removeprefix(f"{name}.") for each in modules() if each.name.startswith(f"{name}.")}
    assert not beside & set(SURFACES[name])


@pytest.mark.parametrize("name", [name for name in PACKAGES if name != "nncirc.circuits"])
def test_a_package_exports_all_that_it_imports(name: str) -> None:
    """What an `__init__` imports is its surface; `circuits` loads lazily and has tests of its own."""
    (module,) = [each for each in modules() if each.name == name]
    imported = {
        alias.asname or alias.name
        for node in module.tree.body
        if isinstance(node, ast.ImportFrom) and node.module != "__future__"
        for alias in node.names
    }
    assert imported == set(SURFACES[name])


@pytest.mark.parametrize("name", PACKAGES)
def test_public_things_are_documented(name: str) -> None:
    module = importlib.import_module(name)
    for each in some(SURFACES[name]):
        value = getattr(module, each)
        if callable(value):
            assert value.__doc__, each


def test_there_are_examples() -> None:
    assert {name.split(".")[1] for name in EXAMPLES} >= {"circuits", "dsl", "engine"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_in_docstrings_hold(name: str) -> None:
    module = importlib.import_module(name)
    assert any(test.examples for test in doctest.DocTestFinder().find(module))
    assert doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0
