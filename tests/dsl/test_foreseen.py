"""What a run would refuse and the script tells, `check` says: with the run's own code, and no other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.checked import program_of
from tests.dsl.preamble import RUNS as PREAMBLE
from tests.refused import refused

from nncirc import check_text, render_diagnostics
from nncirc.circuits.errors import NncircError
from nncirc.circuits.graph import Shape
from nncirc.circuits.units import addable, unit_of
from nncirc.dsl.blocks.metrics import METRICS
from nncirc.dsl.check.scope import Scope
from nncirc.dsl.check.shapes import Sizes
from nncirc.engine.blocks import blocks
from nncirc.engine.program.build import Builder

LAYERLESS = """\
model two using bundled {
  name = "induction-2l"
}
dataset repeated using tokens {
  model = two
  size = 4
  length = 5
  copies = 2
}
corruption shuffled using shuffle {
  data = repeated
}
"""
PROGRAM = """\
model program using bundled {
  name = "tracr-reverse"
}
dataset inputs using all_inputs {
  model = program
  length = 2
  counterparts = 1
}
corruption others using counterpart {
  data = inputs
}
graph parts using residual {
  model = program
}
"""
SWEPT = (
    "scores swept using activation_patching {\n  graph = full\n  corruption = abc\n  metric = recovered\n}\n"
)
STEERED = "scores steered using steering {\n  graph = full\n  corruption = abc\n  metric = recovered\n"
NODES = SWEPT.replace("activation_patching {", "attribution_patching {\n  by = nodes")
SCALED = "metric scaled using logit_diff {\n  normalize = true\n}\n"
ROC = "curve right using roc {\n  scores = swept\n  reference = small\n  by = nodes\n}\n"
JOINED = PREAMBLE.replace("graph full using residual {", "graph full using residual {\n  inputs = []")


def template(answer: str, foil: str, size: int = 2, words: str = '["Mary", "John", "Anna"]') -> str:
    keys = "".join(f"  {key} = {value}\n" for key, value in (("answer", answer), ("foil", foil)) if value)
    prompt = '  prompt = "When {IO} and {S} went to the store, {S} gave a drink to"\n'
    return (
        f"dataset drawn using template {{\n  model = tiny\n  size = {size}\n{prompt}{keys}"
        f"  slots {{\n    IO, S = {words}\n  }}\n}}\n"
    )


# The text, the code, and the code with which a run refuses it, where it is built at all.
CASES = {
    "scores of nodes select no edges": (
        SWEPT + "circuit kept using threshold {\n  scores = swept\n  threshold = 0.1\n}\n",
        "C232",
        "C544",
    ),
    "scores of nodes by attribution": (
        NODES + "circuit kept using threshold {\n  scores = swept\n  threshold = 0.1\n}\n",
        "C232",
        "C544",
    ),
    "patched values without a scale": (SWEPT + ROC, "C560", "C560"),
    "more prompts than there are": (template("", "", size=7), "C310", "C310"),
    "a foil alone": (template("", '" {S}"'), "C304", "C304"),
    "a foil beside the next token": (template("next", '" {S}"'), "C304", "C304"),
    "the answer as foil": (template('" {S}"', '" {S}"'), "C304", "C304"),
    "one of the answers as foil": (template('[" {S}", " {IO}"]', '" {IO}"'), "C304", "C304"),
    "the answer as foil, written out": (
        'dataset written using prompts {\n  model = tiny\n  clean = ["When Mary went", "When John went"]\n'
        '  answer = [" Mary", " John"]\n  foil = [" John", " John"]\n}\n',
        "C304",
        "C304",
    ),
    "one prompt to shuffle": (
        template("", "", size=1) + "corruption shuffled using shuffle {\n  data = drawn\n}\n",
        "C342",
        "C342",
    ),
    "a graph without the MLPs": (
        "graph other using residual {\n  model = tiny\n  nodes = [embed, heads, logits]\n}\n",
        "C460",
        "C460",
    ),
    "no MLPs to trace": (
        LAYERLESS + "scores traced using causal_tracing {\n  corruption = shuffled\n"
        "  metric = prob(at = block.2)\n  of = mlps\n  positions = [block.1]\n}\n",
        "C591",
        "C591",
    ),
    "no MLPs to sever": (
        LAYERLESS + "scores traced using causal_tracing {\n  corruption = shuffled\n"
        "  metric = prob(at = block.2)\n  sever = mlps\n  positions = [block.1]\n}\n",
        "C591",
        "C591",
    ),
    "no stream between attention and nothing": (
        LAYERLESS + "graph two_layers using residual {\n  model = two\n}\n"
        "scores states using activation_patching {\n  graph = two_layers\n  corruption = shuffled\n"
        "  metric = prob(at = block.2)\n  of = [resid_pre, resid_mid]\n}\n",
        "C597",
        "C597",
    ),
    "queries of no run": (
        "corruption none using zero {\n  data = ioi\n}\n"
        + SWEPT.replace("abc", "none").replace("{\n", "{\n  of = [outputs, q]\n  direction = noise\n"),
        "C237",
        "C523",
    ),
    "nodes by what they read": (
        SCALED + SWEPT.replace("recovered", "scaled").replace("{\n", "{\n  of = q\n") + ROC,
        "C232",
        None,
    ),
    "a stream after no layer": (STEERED + "  layers = [0, 9]\n  shift = 1\n}\n", "C226", "C596"),
    "a mean difference that is not used": (
        STEERED + "  layers = all\n  scale = 0.5\n  source = abc\n}\n",
        "C293",
        "C595",
    ),
    "nodes and layers": (STEERED + "  nodes = L0H0\n  layers = 1\n  scale = 0\n}\n", "C293", "C596"),
    "a mean difference of no run": (
        "corruption none using zero {\n  data = ioi\n}\n"
        + STEERED
        + "  layers = 1\n  shift = 1\n  source = none\n}\n",
        "C237",
        "C523",
    ),
    "a layer beyond": (
        "scores carried using patchscopes {\n  source = ioi\n  target = ioi\n  layer = 5\n}\n",
        "C574",
        "C574",
    ),
    "a layer beyond, of a family": (
        "scores carried using patchscopes {\n  source = ioi\n  target = ioi\n  layer = [0, 9]\n}\n",
        "C574",
        "C574",
    ),
    "targets for some": (
        'dataset two using prompts {\n  model = tiny\n  clean = ["When Mary went", "When John went"]\n}\n'
        "scores carried using patchscopes {\n  source = ioi\n  target = two\n}\n",
        "C575",
        "C575",
    ),
    "a metric of tokens": (
        PROGRAM + "circuit found using acdc {\n  graph = parts\n  corruption = others\n"
        "  metric = kl_divergence()\n  threshold = 0.1\n}\n",
        "C433",
        "C433",
    ),
    "answers of a program": (
        PROGRAM + 'dataset asked using prompts {\n  model = program\n  clean = ["1 2"]\n  answer = "1"\n}\n',
        "C434",
        "C434",
    ),
    "copying of a program": (
        PROGRAM + "scores weighed using weight_statistics {\n  model = program\n  of = [copying]\n}\n",
        "C433",
        "C433",
    ),
    "units that are not added": (
        "metric sum using expression {\n  of = recovered + prob(at = end)\n}\n",
        "C581",
        "C581",
    ),
    "values and tokens": (
        "metric sum using expression {\n  of = kl_divergence(at = end) * mse(at = end)\n}\n",
        "C581",
        "C581",
    ),
    "one prompt without an interval": (
        template('" {IO}"', '" {S}"', size=1) + "corruption cut using zero {\n  data = drawn\n}\n"
        "assert clean(recovered, corruption = cut, bound = low) > -99\n",
        "C561",
        None,
    ),
    "heads of a graph without heads": (
        "graph wide using residual {\n  model = tiny\n  nodes = [embed, attention, mlps, logits]\n}\n"
        "scores direct using logit_attribution {\n  graph = wide\n  data = ioi\n}\n"
        "circuit known using reference {\n  graph = full\n  groups {\n"
        "    movers = where(direct.end, above = 0)\n  }\n  movers -> logits\n}\n",
        "C579",
        "C579",
    ),
}
NAMES = sorted(CASES)


@pytest.mark.parametrize("name", NAMES)
def test_said_by_the_check(name: str) -> None:
    text, code, _ = CASES[name]
    found = check_text(PREAMBLE + text).diagnostics
    assert [each.code for each in found] == [code], render_diagnostics(found)


@pytest.mark.parametrize("name", [name for name in NAMES if CASES[name][2]])
def test_refused_by_the_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check is not stricter than the run: without it, what is built ends with this code."""
    text, said, code = CASES[name]
    assert code is not None
    report = Scope.report

    def unsaid(scope: Scope, given: str, *rest: Any, **more: Any) -> None:
        if given != said:
            report(scope, given, *rest, **more)

    monkeypatch.setattr(Scope, "report", unsaid)
    program = program_of(check_text(PREAMBLE + text))
    builder = Builder(program, blocks())
    with refused(NncircError, code):
        for declaration in program.declarations.values():
            if declaration.name != "llama":
                builder.get(declaration.name)


def shaped(shape: Sizes) -> Callable[[str, object], Sizes]:
    return lambda implementation, values: shape


@pytest.mark.parametrize(
    ("shape", "text", "code"),
    [
        (Sizes(Shape(2, 8, 4)), "graph other using residual {\n  model = tiny\n  inputs = []\n}\n", "C453"),
        (
            Sizes(Shape(2, 4, 4), 2_000_000),
            "graph other using residual {\n  model = tiny\n  neurons = [0]\n}\n",
            "C467",
        ),
        (
            Sizes(Shape(100, 100, 100)),
            "graph other using residual {\n  model = tiny\n  positions = all\n  length = 9000\n}\n",
            "C465",
        ),
        (
            Sizes(Shape(2, 4, 4, parallel=True)),
            SWEPT.replace("{\n", "{\n  of = resid_mid\n"),
            "C597",
        ),
        (
            Sizes(Shape(1, 4, 4)),
            "scores other using attribution_patching {\n  graph = full\n  corruption = abc\n"
            "  metric = recovered\n  grad_drop = true\n}\n",
            "C547",
        ),
        (
            Sizes(Shape(1, 4, 4)),
            "scores other using composition {\n  model = tiny\n  of = q_composition\n}\n",
            "C577",
        ),
    ],
)
def test_said_of_a_model_of_another_shape(shape: Sizes, text: str, code: str) -> None:
    found = check_text(PREAMBLE + text, shapes=shaped(shape)).diagnostics
    assert [each.code for each in found] == [code], render_diagnostics(found)


@pytest.mark.parametrize("by", ["q", "k", "v"])
@pytest.mark.parametrize("how", ["compare", "recall", "roc"])
def test_nothing_to_compare_by(how: str, by: str) -> None:
    text = {
        "compare": f"compare {{\n  circuits = [small]\n  by = [nodes, {by}]\n}}\n",
        "recall": f"assert recall(small, small, by = {by}) >= 0\n",
        "roc": f"curve right using roc {{\n  circuits = [small]\n  reference = small\n  by = {by}\n}}\n",
    }[how]
    found = check_text(JOINED + text).diagnostics
    assert [each.code for each in found] == ["C462"], render_diagnostics(found)
    assert not check_text(PREAMBLE + text).diagnostics


@pytest.mark.parametrize(
    "text",
    [
        template('" {IO}"', '" {S}"', size=6),
        template('" {IO}"', '" {S}"', size=500, words="names"),
        template("next", ""),
        SCALED + SWEPT.replace("recovered", "scaled") + ROC,
        "scores carried using patchscopes {\n  source = ioi\n  target = ioi\n  layer = [0, 4]\n}\n",
        PROGRAM + "circuit found using acdc {\n  graph = parts\n  corruption = others\n"
        "  metric = mse()\n  threshold = 0.1\n}\n",
        "metric sum using expression {\n  of = recovered + 2 * logprob(at = end)\n}\n",
        "metric ratio using expression {\n  of = recovered / 3 + prob(at = end)\n}\n",
        'metric own using python {\n  function = "mine:share"\n}\n'
        "metric sum using expression {\n  of = own + recovered + prob(at = end) / own\n}\n",
        "assert recall(small, small, by = heads) >= 0\n",
        STEERED + "  layers = [1, 3]\n  shift = [0.5, 1]\n  source = abc\n  at = [S.2, end]\n}\n"
        'assert score(steered, "L3.resid_post", "0.5") >= 0\n',
        STEERED + "  layers = all\n  scale = 0\n  together = true\n}\n"
        'assert score(steered, "L0.resid_post + L1.resid_post + L2.resid_post + L3.resid_post") >= 0\n',
        SWEPT.replace("{\n", "{\n  of = [pattern, resid_mid]\n  positions = [end]\n")
        + 'assert score(swept, "L0H3.pattern") >= score(swept, "L1.resid_mid", "end")\n',
    ],
)
def test_what_is_right_is_left_alone(text: str) -> None:
    found = check_text(PREAMBLE + text).diagnostics
    assert not found, render_diagnostics(found)


def test_consequences_are_not_said() -> None:
    """Of prompts, graphs and metrics with something wrong in them nothing more is foreseen."""
    few = template("", "", size=9, words='["Mary"]')
    assert [each.code for each in check_text(PREAMBLE + few).diagnostics] == ["C217"]
    odd = "graph other using residual {\n  model = tiny\n  nodes = [heads, logits]\n}\n"
    assert [each.code for each in check_text(PREAMBLE + odd).diagnostics] == ["C227"]


def test_units() -> None:
    assert {METRICS[name].unit for name in ("logit_diff", "prob", "mse")} == {
        "logits",
        "probability",
        "squared outputs",
    }
    assert addable("logits", "nats")
    assert not addable("logits", "probability")
    assert [unit_of(*each) for each in (("*", "nats", None), ("*", None, "nats"), ("/", None, "nats"))] == [
        "nats",
        "nats",
        "1 / nats",
    ]
    assert unit_of("/", "nats", "logits") == unit_of("/", "share", None) == "ratio"
    assert unit_of("*", "nats", "logits") == "nats * logits"
