"""The rows and columns that scores are said to have before they are computed are those that they get."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tests.checked import program_of
from tests.engine.program.scripts import header
from tests.some import some

from nncirc import check_text
from nncirc.circuits.errors import NncircError
from nncirc.circuits.graph import Graph
from nncirc.dsl.blocks import SCORES as DECLARED, table_of
from nncirc.dsl.check.shapes import graph_of, model_sizes
from nncirc.dsl.check.tables import ONLY
from nncirc.engine.blocks import blocks
from nncirc.engine.methods.scores import NodeScores
from nncirc.engine.program.build import Builder
from nncirc.engine.program.plan import plan_program
from nncirc.engine.program.run import Options, run_program

pytestmark = pytest.mark.usefixtures("loaded_once")

HEAD = (
    header(2)
    + """\
graph layers using residual {
  model = small
  nodes = [embed, pos_embed, attention, mlps, logits]
}
graph split using residual {
  model     = small
  positions = [S.2, end]
}
"""
)
METHOD = "  corruption = abc\n  metric = ld\n"
SCORES = [
    "activation_patching {\n  graph = full\n" + METHOD,
    "activation_patching {\n  graph = layers\n  positions = [S.2, end]\n" + METHOD,
    "activation_patching {\n  graph = layers\n  positions = all\n" + METHOD,
    "attribution_patching {\n  graph = full\n  by = nodes\n" + METHOD,
    "attribution_patching {\n  graph = split\n  by = nodes\n" + METHOD,
    "causal_tracing {\n  positions = [S.2]\n  resamples = 2\n" + METHOD,
    "causal_tracing {\n  of = mlps\n  positions = [S.2]\n  resamples = 2\n" + METHOD,
    "causal_tracing {\n  of = attention\n  positions = [S.2]\n  resamples = 2\n" + METHOD,
    "path_patching {\n  graph = full\n  to = [L1H1.q, L1H*.v]\n" + METHOD,
    "path_patching {\n  graph = layers\n  to = logits\n  positions = [S]\n" + METHOD,
    "steering {\n  graph = full\n  nodes = [L3H1, L1H*, MLP2]\n  scale = [0, 1.5]\n" + METHOD,
    "steering {\n  graph = full\n  nodes = embed\n  shift = -1\n" + METHOD,
    "function_vector {\n  graph = full\n  heads = L1H*\n" + METHOD,
    "attention_statistics {\n  graph = full\n  data = ioi\n  of = [copying, previous_token]\n",
    "logit_attribution {\n  graph = full\n  data = ioi\n  positions = [S.2, end]\n",
    "logit_attribution {\n  graph = split\n  data = ioi\n",
    "logit_attribution {\n  graph = layers\n  data = ioi\n  positions = all\n",
    "logit_lens {\n  data = ioi\n",
    "patchscopes {\n  source = ioi\n  target = ioi\n  positions = end\n",
    "weight_statistics {\n  model = small\n  of = [matching, copying]\n",
    "composition {\n  model = small\n  of = q_composition\n",
    "in_context_learning {\n  data = ioi\n  early = 3\n  late = 7\n",
]


def test_every_kind_of_scores_is_tried() -> None:
    assert {scores.partition(" ")[0] for scores in SCORES} == {*DECLARED}


@pytest.mark.parametrize("scores", SCORES, ids=lambda text: text.partition(" ")[0])
def test_tables_are_as_they_were_said_to_be(scores: str) -> None:
    builder = Builder(program_of(check_text(f"{HEAD}scores s using {scores}}}\n")), blocks())
    found: NodeScores = builder.get("s")
    declared = builder.program.declarations["s"]
    sizes = model_sizes("bundled", {"name": "ioi-4l"})
    assert sizes is not None
    graph: Graph | None = None
    if "graph" in declared.values:
        graph = graph_of(sizes, builder.declaration(declared, "graph").values)
    table = table_of("s", declared.implementation, declared.values, graph, sizes.shape)
    assert table is not None
    assert table.rows is not None
    assert tuple(table.rows) == found.nodes
    names = found.positions or (ONLY,)
    if table.by_token:
        assert table.columns is None
        assert names == tuple(map(str, range(len(names))))
    else:
        assert table.columns is not None
        assert tuple(table.columns) == names


FILE = """\
model small using compiled {
  path = "MODEL"
}
dataset every using all_inputs {
  model  = small
  length = 4
  counterparts = 1
}
corruption other using counterpart {
  data = every
}
graph full using residual {
  model = small
}
metric off using mse {
}
scores sweep using activation_patching {
  graph = full
  corruption = other
  metric = off
  positions = all
}
assert score(sweep, "ROW", "COLUMN") >= 0
"""


def refused(text: str, folder: Path, **options: Any) -> list[Any]:
    """The errors with which a plan and a run refuse a script that checks."""
    program = program_of(check_text(text, **options))
    found = []
    for attempt in (
        lambda: plan_program(program),
        lambda: run_program(program, folder / "out", Options()),
    ):
        with pytest.raises(NncircError) as caught:
            attempt()
        found.append(caught.value)
    return found


@pytest.mark.parametrize(
    ("row", "column", "message"),
    [
        ("L9H1", "0", "unknown row `L9H1`"),
        ("L1H0", "5", "unknown column `5`"),
    ],
)
def test_what_the_checker_cannot_know_is_found_before_anything_is_computed(
    row: str, column: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many tokens prompts have is seen when they are there."""
    from nncirc.circuits.models import model_folder

    folder = str(model_folder("tracr-xproportion"))
    text = FILE.replace("MODEL", folder).replace("ROW", row).replace("COLUMN", column)

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("something was computed")

    monkeypatch.setattr("nncirc.engine.blocks.activation_patching.activation_patching", never)
    for error in some(refused(text, tmp_path, shapes=lambda *_: None)):
        assert error.code == "C579"
        assert re.search(message.replace("`", "."), str(error))


LENGTHS = """\
model small using bundled {
  name = "ioi-4l"
}
dataset two using prompts {
  model   = small
  clean   = [
    "When Mary and John went to the store, John gave a drink to",
    "When Mary and John met, John gave a drink to",
  ]
  corrupt = [
    "When Mary and James went to the store, James gave a drink to",
    "When Mary and James met, James gave a drink to",
  ]
  answer  = " Mary"
  foil    = " John"
}
corruption other using counterpart {
  data = two
}
graph full using residual {
  model = small
}
metric ld using logit_diff {
}
"""


@pytest.mark.parametrize(
    "scores",
    [
        "causal_tracing {\n  corruption = other\n  metric = ld\n",
        "activation_patching {\n  graph = full\n  corruption = other\n  metric = ld\n  positions = all\n",
        "logit_lens {\n  data = two\n  positions = all\n",
        "patchscopes {\n  source = two\n  target = two\n  positions = all\n",
    ],
    ids=lambda text: text.partition(" ")[0],
)
def test_all_tokens_of_prompts_of_two_lengths(scores: str, tmp_path: Path) -> None:
    """What a run refuses a plan refuses, and at the place of the scores."""
    for error in some(refused(f"{LENGTHS}scores s using {scores}}}\n", tmp_path)):
        assert error.code == "C334"
        assert error.diagnostic.span.text in ("all", "scores s using causal_tracing")


@pytest.mark.parametrize(("length", "code"), [(13, "C346"), (15, "C308")])
def test_a_graph_by_tokens_of_another_length(length: int, code: str, tmp_path: Path) -> None:
    text = HEAD.replace("positions = [S.2, end]", f"positions = all\n  length = {length}")
    scores = "attribution_patching {\n  graph = split\n" + METHOD
    for error in some(refused(f"{text}scores s using {scores}}}\n", tmp_path)):
        assert error.code == code
        assert error.diagnostic.span.text.startswith("scores s")
