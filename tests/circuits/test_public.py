from __future__ import annotations

import doctest
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import nncirc.circuits

MODULES = sorted(module.name for module in pkgutil.iter_modules(nncirc.circuits.__path__) if not module.ispkg)


def test_the_public_names() -> None:
    names = nncirc.circuits.__all__
    assert len(set(names)) == len(names)
    assert set(names) == set(nncirc.circuits._HOME)
    assert set(names) <= set(dir(nncirc.circuits))
    for name in names:
        value = getattr(nncirc.circuits, name)
        assert value.__name__ == name
        assert value.__module__ == f"nncirc.circuits.{nncirc.circuits._HOME[name]}"
        assert value.__doc__


def test_no_public_name_is_hidden_by_a_module() -> None:
    assert not set(nncirc.circuits.__all__) & set(MODULES)


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match=r"nncirc\.circuits.*no attribute 'circuits'"):
        nncirc.circuits.circuits  # noqa: B018


def loaded_by(code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after these statements."""
    src = Path(nncirc.circuits.__path__[0]).parents[1]
    program = f"import sys; sys.path.insert(0, {str(src)!r})\n{code}\nprint(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_importing_the_package_costs_nothing() -> None:
    loaded = loaded_by("import nncirc.circuits")
    assert {name for name in loaded if name.startswith("nncirc.circuits.")} == set()


def test_using_all_of_it_loads_neither_torch_nor_networkx() -> None:
    loaded = loaded_by("from nncirc.circuits import *")
    assert "nncirc.circuits.formats.networks" in loaded
    assert not loaded & {
        "torch",
        "networkx",
        "graphviz",
        "matplotlib",
        "numpy",
        "nncirc.dsl",
        "nncirc.engine",
    }


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_the_docstrings(name: str) -> None:
    module = importlib.import_module(f"nncirc.circuits.{name}")
    assert doctest.testmod(module).failed == 0
