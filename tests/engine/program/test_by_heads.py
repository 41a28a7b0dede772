"""`kv = heads` in a script: every kind of result, on a model whose heads share keys and values."""

from __future__ import annotations

from pathlib import Path

from tests.checked import program_of
from tests.engine.data.conftest import shared
from tests.engine.texts import BOYS, GIRLS
from tests.some import some

from nncirc import check_text
from nncirc.circuits.graph import Graph, Shape
from nncirc.engine.blocks import blocks
from nncirc.engine.program.build import Builder
from nncirc.engine.program.plan import plan_program
from nncirc.engine.program.run import run_program

SCRIPT = """
model m using huggingface {
  id = "PATH"
  dtype = float64
}
dataset girls using prompts {
  model = m
  clean = CLEAN
  corrupt = CORRUPT
  answer = " She"
  foil = " He"
}
corruption boys using counterpart {
  data = girls
}
graph full using residual {
  model = m
  kv = heads
}
metric ld using logit_diff {
  normalize = true
}
scores eap using attribution_patching {
  graph = full
  corruption = boys
  metric = ld
}
scores sweep using activation_patching {
  graph = full
  corruption = boys
  metric = ld
  of = k
}
scores looks using attention_statistics {
  graph = full
  data = girls
  of = [previous_token]
}
circuit best using top {
  scores = eap
  edges = 400
}
curve growing using faithfulness {
  scores = eap
  metric = ld
  edges = [400]
}
compare all {
  circuits = [best]
  metric = ld
}
assert faithfulness(best, metric = ld) in [-10, 10]
assert incompleteness(best, metric = ld) <= 100
assert score(sweep, "L1H3.k") <= 1
"""


def script() -> str:
    texts = {"PATH": str(shared("stories260K")), "CLEAN": GIRLS, "CORRUPT": BOYS}
    found = SCRIPT
    for name, value in texts.items():
        text = value if isinstance(value, str) else "[" + ", ".join(f'"{each}"' for each in value) + "]"
        found = found.replace(name, text)
    return found


def test_every_result_has_a_key_and_a_value_for_each_head(tmp_path: Path) -> None:
    program = program_of(check_text(script()))
    foretold = {step.name: step for step in plan_program(program).steps}
    assert f"{Graph(Shape(5, 8, 8)).n_edges:,} edges" in foretold["full"].what
    report = run_program(program, tmp_path)
    assert [claim.holds for claim in report.claims] == [True] * 3
    builder = Builder(program, blocks())
    eap, sweep = builder.get("eap"), builder.get("sweep")
    heads = [f"L{layer}H{head}.k" for layer in range(5) for head in range(8)]
    assert [*sweep.nodes] == heads
    for head in some(heads):
        assert any(edge.receiver == head for edge in eap.graph.edges()), head
