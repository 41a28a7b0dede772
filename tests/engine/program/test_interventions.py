"""Scripts that intervene give what the functions give, whatever the batch; results are stored and drawn."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.checked import program_of
from tests.engine.program.scripts import header, model
from tests.refused import refused

from nncirc import Program, check_text
from nncirc.circuits.errors import NncircError
from nncirc.circuits.intervals import Resampling
from nncirc.dsl.check.program import Ref
from nncirc.engine.blocks import blocks
from nncirc.engine.blocks.functions import evaluate
from nncirc.engine.methods.attribution_patching import node_attribution
from nncirc.engine.methods.causal_tracing import causal_tracing
from nncirc.engine.methods.path_patching import path_patching
from nncirc.engine.methods.scores import NodeScores
from nncirc.engine.methods.steering import function_vector, steering
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.program.build import Builder
from nncirc.engine.program.captions import told
from nncirc.engine.program.claims import Claim, measure
from nncirc.engine.program.pictures import draw_scores
from nncirc.engine.program.results import Table
from nncirc.engine.program.run import summarize
from nncirc.engine.program.store import Store

pytestmark = pytest.mark.usefixtures("loaded_once")

SCRIPT = (
    header(3)
    + """\
dataset others using template {
  model  = small
  size   = 3
  prompt = "When {IO} and {S} met, {S} gave a drink to"
  slots {
    IO, S = names
  }
}
corruption noised using gaussian {
  data = ioi
  at = IO
  samples = 2
}
metric scaled using logit_diff {
  normalize = true
}
scores states using causal_tracing {
  corruption = noised
  metric = ld
  sever = attention
  resamples = 20
}
scores window using causal_tracing {
  corruption = noised
  metric = scaled
  of = mlps
  window = 2
  positions = [S.2, end]
  level = 0.5
}
scores mlps_carry using path_patching {
  graph = full
  corruption = abc
  metric = ld
  to = [L2H*.q, MLP3]
}
scores some_carry using path_patching {
  graph = full
  corruption = abc
  metric = scaled
  to = logits
  through = [L3H1, MLP*]
  positions = [S.2]
}
scores alone using path_patching {
  graph = full
  corruption = abc
  metric = ld
  to = L3H0
  through = none
}
scores louder using steering {
  graph = full
  corruption = abc
  metric = ld
  nodes = [MLP1, L2H*, embed]
  scale = [0, 2]
  at = [S.2, end]
}
scores moved using steering {
  graph = full
  corruption = abc
  metric = scaled
  nodes = L2H0
  shift = 1
  into = corrupt
}
scores attributed using attribution_patching {
  graph = full
  corruption = abc
  metric = ld
  by = nodes
}
scores lost using causal_tracing {
  corruption = noised
  metric = scaled
  direction = noise
  sever = mlps
  positions = [S.2]
}
scores given using path_patching {
  graph = full
  corruption = noised
  metric = ld
  direction = denoise
  to = [L2H*.q, MLP3]
}
scores there using attribution_patching {
  graph = full
  corruption = noised
  metric = scaled
  base = corrupted
  by = nodes
}
scores added using function_vector {
  graph = full
  corruption = abc
  metric = ld
  heads = [L3H*, L2H1]
  source = others
  scale = [1, -1]
}
"""
)


@cache
def program() -> Program:
    return program_of(check_text(SCRIPT))


def directly(builder: Builder) -> dict[str, NodeScores]:
    full, others = builder.get("full"), builder.get("others")
    noised, abc = (builder.contrast(program().declarations[name]) for name in ("noised", "abc"))
    ld, scaled = Metric("logit_diff"), Metric("logit_diff", normalize=True)
    how = {"states": Resampling(20), "window": Resampling(level=0.5)}
    options: dict[str, Any] = {"of": "mlps", "window": 2, "positions": ["S.2", "end"]}
    added: dict[str, Any] = {"heads": ["L2H1", "L3H*"], "source": others, "scale": [1, -1]}
    return {
        "states": causal_tracing(noised, ld, sever="attention", how=how["states"]),
        "window": causal_tracing(noised, scaled, how=how["window"], **options),
        "lost": causal_tracing(noised, scaled, direction="noise", sever="mlps", positions=["S.2"]),
        "given": path_patching(noised, full, ld, direction="denoise", to=["L2H*.q", "MLP3"]),
        "mlps_carry": path_patching(abc, full, ld, to=["L2H*.q", "MLP3"]),
        "some_carry": path_patching(
            abc, full, scaled, to="logits", through=["L3H1", "MLP*"], positions=["S.2"]
        ),
        "alone": path_patching(abc, full, ld, to="L3H0", through="none"),
        "louder": steering(abc, full, ld, nodes=["embed", "MLP1", "L2H*"], scale=[0, 2], at=["S.2", "end"]),
        "moved": steering(abc, full, scaled, nodes="L2H0", shift=[1], into="corrupt"),
        "added": function_vector(abc, full, ld, **added),
    }


@pytest.mark.parametrize("batch", [None, 2])
def test_scripts_give_what_the_functions_give(batch: int | None) -> None:
    builder = Builder(program(), blocks(), batch)
    for name, wanted in directly(Builder(program(), blocks())).items():
        found = builder.get(name)
        assert (found.nodes, found.positions) == (wanted.nodes, wanted.positions), name
        for key, table in {"values": wanted.values, **wanted.ends()}.items():
            for row, expected in zip(getattr(found, key), table, strict=True):
                assert row == pytest.approx(expected, abs=1e-7), (name, key)
        assert set(wanted.ends()) == {"low", "high"}
        assert found.made["intervals"] == wanted.made["intervals"]
        assert found.made["model"] == model().name
        assert found.made.get("direction") == wanted.made.get("direction")
    assert builder.get("states").made["tokens"][:4] == ["When", "{IO}", " and", "{S.1}"]
    assert builder.get("states").made["tokens"][7] == "{place}"
    abc = builder.contrast(program().declarations["abc"])
    assert builder.get("louder").made["unsteered"] == pytest.approx(abc.clean(Metric("logit_diff")), abs=1e-7)
    assert builder.get("moved").made["unsteered"] == 0
    noised = builder.contrast(program().declarations["noised"])
    scaled = Metric("logit_diff", normalize=True)
    there = node_attribution(noised, builder.get("full"), scaled, base="corrupted")
    for node in there.nodes:
        assert builder.get("there")[node] == pytest.approx(there[node], abs=1e-7)
    assert builder.get("there").made["direction"] == "denoise"


def claim(text: str) -> Claim:
    claimed = program_of(check_text(f"{SCRIPT}assert {text}"))
    return measure(Builder(claimed, blocks()), claimed.assertions[0])


def test_claims_are_about_effects_and_the_ends_of_their_intervals() -> None:
    found = Builder(program(), blocks()).get("window")
    low, high = (found.ends()[end][2][1] for end in ("low", "high"))
    effect = 'score(window, "MLP2", "end"'
    assert claim(f"{effect}, bound = low) >= 0").left == low
    assert claim(f"{effect}, bound = high) >= 0").left == high
    assert low < found["MLP2"][1] < high
    whole = claim(f"{effect}) >= 0")
    assert (whole.left, whole.left_interval) == (found["MLP2"][1], found.estimate("MLP2", "end"))
    alone = Builder(program(), blocks()).get("alone")
    assert claim('score(alone, "L0H0") >= -9').left_interval == alone.estimate("L0H0")
    result = check_text(SCRIPT + 'assert score(attributed, "L0H0", bound = low) >= 0\n')
    assert [each.code for each in result.diagnostics] == ["C561"]
    asked = {"scores": Ref("attributed"), "node": "L0H0", "column": None, "bound": "low"}
    with refused(NncircError, "C561"):
        evaluate(Builder(program(), blocks()), "score", asked)


def test_what_is_stored_is_read_and_drawn(tmp_path: Path) -> None:
    names = ("states", "some_carry", "louder", "lost", "given", "there")
    first = Builder(program(), blocks(), store=Store(tmp_path / "store"))
    made = {name: first.get(name) for name in names}
    again = Builder(program(), blocks(), store=Store(tmp_path / "store"))
    for name in names:
        assert again.get(name) == made[name]
        assert name in again.restored
        look = blocks()["scores", again.program.declarations[name].implementation].look
        draw_scores(made[name], tmp_path / f"{name}.svg", title=name, look=look)
    assert "S.1" in (tmp_path / "states.svg").read_text()


def test_captions_say_the_direction() -> None:
    builder = Builder(program(), blocks())
    for name, said in {
        "states": "states restored; direction denoise",
        "lost": "states corrupted; mlps severed; direction noise",
        "given": "direction denoise",
        "there": "direction denoise; gradient on the corrupted run",
    }.items():
        caption = told(builder.get(name).made)
        assert all(each in caption for each in said.split("; ")), (name, caption)
    scores = {name: builder.get(name).made["score"] for name in ("states", "lost", "there", "attributed")}
    assert scores == {
        "states": "indirect effect: the metric restored minus corrupted",
        "lost": "indirect effect: the metric clean minus patched",
        "there": "estimated rise of the metric when the node is restored",
        "attributed": "estimated fall of the metric when the node is patched",
    }


def test_of_one_row_the_summary_is_singular() -> None:
    assert summarize(NodeScores(("MLP0",), ("0", "1"), ((1.0, 2.0),), {})) == "1 node x 2"
    assert summarize(NodeScores(("MLP0", "MLP1"), (), ((1.0,), (2.0,)), {})) == "2 nodes"
    assert summarize(Table(("circuit",), (("a",),), {})) == "1 row"
