"""Prompts, a module of functions and a script that several tests use."""

GIRLS = (
    "Once upon a time, there was a little girl named Lily.",
    "One day, a little girl named Lily went to the park.",
)


BOYS = (
    "Once upon a time, there was a little boy named Tim.",
    "One day, a little boy named Tim went to the park.",
)


MODULE = """
import torch
from nncirc.engine.metrics.metric import Measure
from nncirc import Zero

def difference(logits):
    return logits.at(logits.answer, logits.patched) - logits.at(logits.foil, logits.patched)

measure = Measure(difference, ("answer", "foil"), -1, "logits", columns=True)

def flat(logits): return logits.patched.mean()
def whole(logits): return torch.zeros(logits.patched.shape[:3], dtype=torch.long)
def failing(logits):
    return logits.patched[0].nothing
def two(logits, more): return logits
number = 3
def leaving(logits):
    import sys
    sys.exit(7)
def base(logits):
    raise BaseException("lowest")
class Mute(Exception):
    def __str__(self): raise ValueError
def speechless(logits):
    raise Mute
def sneaking(logits):
    import importlib, sys
    sys.path.insert(0, HERE)
    importlib.import_module("my_" + "late")
    sys.path.remove(HERE)
HERE = __file__.rpartition("/")[0]

def swapped(dataset):
    return [example.text.replace("store", "park") for example in dataset.examples]
def tokens(dataset):
    return [list(reversed(example.tokens)) for example in dataset.examples]
def zero(dataset): return Zero()
def few(dataset): return ["one"]
def odd(dataset): return [3.5 for _ in dataset.examples]
"""


SCRIPT = """
model small using bundled {
  name = "ioi-4l"
}
dataset ioi using template {
  model  = small
  size   = 3
  prompt = "When {IO} and {S} went to the store, {S} gave a drink to"
  answer = " {IO}"
  foil   = " {S}"
  slots {
    IO, S = names
  }
}
metric mine using python {
  function = "METRIC"
}
corruption other using python {
  data = ioi
  function = "CORRUPTION"
}
"""
