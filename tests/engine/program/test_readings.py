"""What scripts read is what the functions give, whatever the batch; it is stored, drawn, and names heads."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.checked import program_of
from tests.engine.program.scripts import header, model
from tests.some import some

from nncirc import Program, check_text
from nncirc.engine.blocks import blocks
from nncirc.engine.methods.attention_statistics import attention_statistics
from nncirc.engine.methods.direct_logit_attribution import logit_attribution
from nncirc.engine.methods.in_context_learning import in_context_learning
from nncirc.engine.methods.logit_lens import logit_lens
from nncirc.engine.methods.patchscopes import patchscopes
from nncirc.engine.methods.scores import NodeScores
from nncirc.engine.methods.weight_circuits import composition, weight_statistics
from nncirc.engine.program.build import Builder
from nncirc.engine.program.pictures import draw_scores
from nncirc.engine.program.run import run_program
from nncirc.engine.program.store import Store

pytestmark = pytest.mark.usefixtures("loaded_once")

SCRIPT = (
    header(5)
    + """\
dataset one using prompts {
  model  = small
  clean  = ["When Mary and John went to the store, John gave a drink to"]
  answer = " Mary"
}
scores seen using attention_statistics {
  graph = full
  data  = ioi
  of    = [previous_token, entropy, copying]
}
scores direct using logit_attribution {
  graph     = full
  data      = ioi
  positions = [S.2, end]
}
scores read using logit_lens {
  data      = one
  of        = rank
  positions = all
}
scores decided using logit_lens {
  data = ioi
  of   = kl_divergence
}
scores moved using patchscopes {
  source = ioi
  target = one
  of     = logit_diff
  into   = start
  layer  = [1, 4]
}
scores weighed using weight_statistics {
  model = small
  of    = [matching, k_composition]
}
scores pairs using composition {
  model = small
  of    = virtual_copying
}
scores learned using in_context_learning {
  data  = ioi
  early = 2
  late  = 9
}
circuit movers using reference {
  graph = full
  groups {
    mover = [where(direct.end, above = 0.1), where(pairs.L0H0, above = 0.9), where(direct.S.2, below = -0.05)]
  }
  mover -> logits
}
"""
)
RESULTS = ("seen", "direct", "read", "decided", "moved[0]", "moved[1]", "weighed", "pairs", "learned")


@cache
def program(more: str = "", without: str = "") -> Program:
    return program_of(check_text(SCRIPT.replace(without, "") + more))


def directly(builder: Builder) -> dict[str, NodeScores]:
    ioi, one, full = (builder.get(name) for name in ("ioi", "one", "full"))
    return {
        "seen": attention_statistics(model(), ioi, ["previous_token", "entropy", "copying"]),
        "direct": logit_attribution(model(), ioi, full, positions=["S.2", "end"]),
        "read": logit_lens(model(), one, of="rank", positions="all"),
        "decided": logit_lens(model(), ioi, of="kl_divergence"),
        "moved[0]": patchscopes(model(), ioi, one, of="logit_diff", into="start", layer=1),
        "moved[1]": patchscopes(model(), ioi, one, of="logit_diff", into="start", layer=4),
        "weighed": weight_statistics(model(), ["matching", "k_composition"]),
        "pairs": composition(model(), "virtual_copying"),
        "learned": in_context_learning(model(), ioi, early=2, late=9),
    }


@pytest.mark.parametrize("batch", [None, 2])
def test_scripts_give_what_the_functions_give(batch: int | None) -> None:
    builder = Builder(program(), blocks(), batch)
    for name, wanted in some(directly(builder).items()):
        found = builder.get(name)
        assert (found.nodes, found.positions, found.values) == (
            wanted.nodes,
            wanted.positions,
            wanted.values,
        ), name
        assert found.ends() == wanted.ends(), name
        assert bool(wanted.ends()) == (name not in ("read", "weighed", "pairs")), name
        assert {key: found.made[key] for key in wanted.made} == wanted.made, name
        assert found.made["model"] == model().name


def test_groups_are_of_the_heads_whose_column_is_in_range() -> None:
    builder = Builder(program(), blocks())
    direct, pairs = builder.get("direct"), builder.get("pairs")
    heads = [name for name in direct.nodes if name.startswith("L")]
    wanted = {head for head in heads if direct[head][1] > 0.1 or direct[head][0] < -0.05}
    wanted |= {head for head in heads if pairs[head][pairs.positions.index("L0H0")] > 0.9}
    assert {edge.sender for edge in builder.get("movers").edges} == wanted
    # MLPs are above the limit, too, and are no heads.
    assert any(direct[name][1] > 0.1 for name in direct.nodes if name not in heads)


def test_what_was_read_is_stored_and_comes_back(tmp_path: Path) -> None:
    first = run_program(program(), tmp_path / "a", store=Store(tmp_path / "store"))
    again = run_program(program(), tmp_path / "b", store=Store(tmp_path / "store"))
    assert not any(result.stored for result in first.results)
    assert {result.name for result in again.results if result.stored} == {*RESULTS}
    for name in some(path.name for path in (tmp_path / "a").iterdir() if path.name != "run.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("name", RESULTS)
def test_all_can_be_drawn(name: str, tmp_path: Path) -> None:
    found = Builder(program(), blocks()).get(name)
    look = blocks()["scores", program().declarations[name].implementation].look
    draw_scores(found, tmp_path / "picture.svg", title=name, look=look)
    assert (tmp_path / "picture.svg").stat().st_size > 5000


def test_the_columns_of_a_single_prompt_are_told_by_its_tokens() -> None:
    made: Any = Builder(program(), blocks()).get("read").made
    assert made["tokens"][:3] == ["When", " Mary", " and"]
    assert [len(row) for row in made["top"]] == [len(made["tokens"])] * 9
    assert made["top"][-1][-1] == " Mary"


CLAIMS = """\
assert score(direct, "L2H1", "end") == {direct}
assert score(decided, "embed") == {decided}
assert score(learned, node = "logits", column = "score") == {learned}
"""


def test_claims_are_about_single_numbers(tmp_path: Path) -> None:
    builder = Builder(program(), blocks())
    direct, decided, learned = (builder.get(name) for name in ("direct", "decided", "learned"))
    numbers = {"direct": direct["L2H1"][1], "decided": decided["embed"][0], "learned": learned["logits"][2]}
    assert run_program(program(CLAIMS.format(**numbers)), tmp_path).holds


@pytest.mark.parametrize(
    "claim", ['score(direct, "L2H1")', 'score(direct, "L2H1", "IO")', 'score(direct, "L9H9", "end")']
)
def test_claims_about_numbers_that_are_not_there(claim: str) -> None:
    found = check_text(f"{SCRIPT}assert {claim} > 0\n")
    assert [each.code for each in found.diagnostics] == ["C247"]
