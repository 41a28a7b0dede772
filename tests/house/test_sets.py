"""What the language declares is built, costed, documented and shown in an example: one set, everywhere."""

from __future__ import annotations

import re
from functools import cache

from tests.checked import program_of
from tests.house.tree import ROOT
from tests.some import some

from nncirc import check_text
from nncirc.circuits.made import Made
from nncirc.circuits.pictures import text
from nncirc.dsl.blocks import FUNCTIONS, KINDS
from nncirc.dsl.check.program import Apply, Program, leaves
from nncirc.engine.blocks import blocks
from nncirc.engine.blocks.functions import _OF_PROMPTS, _OF_RESULTS
from nncirc.engine.metrics.metric import measures
from nncirc.engine.program import captions

DECLARED = {(kind, name) for kind, each in KINDS.items() for name in each.implementations}
RUN = {"corruption", "data", "source"}
"""Keys of what a model is run on: a result without them is of weights, or of results that are there."""
NOT_SHOWN = {
    *(("corruption", "python"), ("metric", "python")),
    *(("model", "compiled"), ("model", "transformer_lens")),
}
"""What needs files of the user's own; `docs` and tests have scripts of it."""


@cache
def examples() -> tuple[Program, ...]:
    """All examples, checked."""
    paths = some(sorted((ROOT / "examples").rglob("*.circ")))
    return tuple(program_of(check_text(path.read_text(), name=str(path))) for path in paths)


def test_what_is_declared_is_built_or_drawn() -> None:
    assert {*blocks()} == DECLARED
    for (kind, name), block in some(blocks().items()):
        assert (block.build is None) == (block.draw is not None) == (kind in ("plot", "render")), name


def test_a_file_of_the_engine_is_called_as_that_of_the_language() -> None:
    """But for what the files of a room share."""
    language, engine = (
        {path.stem for path in (ROOT / room / "blocks").glob("[a-z]*.py")} for room in ("dsl", "engine")
    )
    assert language - {"keys", "patched", "unpatched"} == engine - {"block"}


def test_what_runs_a_model_has_a_cost() -> None:
    for (kind, name), block in some(blocks().items()):
        runs = kind in ("scores", "circuit", "curve", "compare") and RUN & {
            *KINDS[kind].implementations[name].keys
        }
        assert bool(runs) == (block.cost is not None), name


def test_what_is_told_of_a_result_is_what_it_can_say() -> None:
    assert {*some([*captions._FACTS, *text._TOLD])} <= {*Made.__annotations__}


def test_a_metric_is_computed() -> None:
    assert {*KINDS["metric"].implementations} == {*measures(), "task", "expression", "python"}


def test_a_function_of_claims_is_computed() -> None:
    assert {*_OF_PROMPTS, *_OF_RESULTS} == {*FUNCTIONS}
    assert not _OF_PROMPTS.keys() & _OF_RESULTS.keys()


def test_what_is_declared_is_documented() -> None:
    text = (ROOT / "docs" / "language.md").read_text()
    assert {*re.findall(r"^### (\w+) using (\w+)$", text, re.MULTILINE)} == {
        each for each in DECLARED if not KINDS[each[0]].output
    }
    assert {*re.findall(r"^## ([a-z]+)$", text, re.MULTILINE)} == {*KINDS}
    assert {*re.findall(r"^### (\w+)\(", text, re.MULTILINE)} == {*FUNCTIONS}


def test_what_is_declared_is_in_an_example() -> None:
    shown = {
        (each.kind, each.implementation) for program in examples() for each in program.declarations.values()
    }
    shown.add(("metric", "task"))  # checked, it is the metric that it stands for
    assert shown | NOT_SHOWN == DECLARED
    assert not shown & NOT_SHOWN


def test_a_function_of_claims_is_in_an_example() -> None:
    called = {
        part.function
        for program in examples()
        for claim in program.assertions
        for side in (claim.left, claim.right)
        for part in leaves(side)
        if isinstance(part, Apply)
    }
    assert called == {*FUNCTIONS}
