"""What scripts begin with; a small experiment for tests of the store; and their model, loaded once."""

from __future__ import annotations

from functools import cache
from typing import Any

from tests.checked import program_of

from nncirc import Program, check_text
from nncirc.engine.model.loading import load_bundled
from nncirc.engine.model.model import Model

HEADER = """\
model small using bundled {
  name = "ioi-4l"
}
dataset ioi using template {
  model  = small
  size   = SIZE
  prompt = "When {IO} and {S} went to the {place}, {S} gave a {gift} to"
  answer = " {IO}"
  foil   = " {S}"
  slots {
    IO, S, A = names
    place    = places
    gift     = objects
  }
}
corruption abc using replace {
  data = ioi
  S.2 -> A
}
graph full using residual {
  model = small
}
metric ld using logit_diff {
}
"""


def header(size: int) -> str:
    """A model, so many prompts, a corruption, a graph and a metric."""
    return HEADER.replace("SIZE", str(size))


SCRIPT = """\
model {small} using bundled {{
  name = "ioi-4l"
}}

dataset {ioi} using template {{
  model  = {small}
  size   = {size}
  seed   = {seed}
  prompt = "When {{IO}} and {{S}} went to the {{place}}, {{S}} gave a {{gift}} to"
  answer = " {{IO}}"
  foil   = " {{S}}"

  slots {{
    IO, S, A, B, C = names
    place          = places
    gift           = objects
  }}
}}

corruption {abc} using replace {{
  data = {ioi}
  IO  -> A
  S.1 -> {by}
}}

graph {full} using residual {{
  model  = {small}
  inputs = {inputs}
}}

metric {score} using {metric} {{
  at        = {at}
  normalize = {normalize}
}}

scores {eap} using attribution_patching {{
  graph      = {full}
  corruption = {abc}
  metric     = {score}
  steps      = {steps}
}}

scores {nodes} using activation_patching {{
  graph      = {full}
  corruption = {abc}
  metric     = {score}
  direction  = {direction}
}}

scores {heads} using attention_statistics {{
  graph = {full}
  data  = {ioi}
  of    = {of}
}}

circuit {quick} using threshold {{
  scores    = {eap}
  threshold = {cut}
}}

circuit {found} using acdc {{
  graph      = {full}
  corruption = {abc}
  metric     = {score}
  threshold  = {tau}
  loss       = {loss}
}}

curve {kept} using faithfulness {{
  scores = {eap}
  metric = {score}
  edges  = {edges}
}}

render picture {{
  circuit = {found}
  file    = "{file}"
}}

assert faithfulness({found}, metric = {score}) in [0.1, 10]
assert clean({score}, corruption = {abc}) >= -100
"""

NAMES = ("small", "ioi", "abc", "full", "score", "eap", "nodes", "heads", "quick", "found", "kept")
USUAL: dict[str, Any] = {
    "size": 3,
    "seed": 0,
    "by": "B\n  S.2 -> C",
    "inputs": "[q, k, v]",
    "metric": "logit_diff",
    "at": "end",
    "normalize": "true",
    "steps": 1,
    "direction": "noise",
    "of": "[previous_token]",
    "cut": 0.05,
    "tau": 0.01,
    "loss": "metric",
    "edges": "[5, 20]",
    "file": "found.dot",
}


def program(**changes: Any) -> Program:
    """The experiment with some of its words changed, names of declarations among them."""
    text = SCRIPT.format(**{**{name: name for name in NAMES}, **USUAL, **changes})
    return program_of(check_text(text))


@cache
def model() -> Model:
    """The model of the experiment."""
    return load_bundled("ioi-4l")
