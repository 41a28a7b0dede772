"""What examples of errors come after: a script that is right, for `check`, and one that can also run."""

PREAMBLE = """\
model gpt2 using huggingface {
  id = "gpt2"
}
dataset ioi using template {
  model  = gpt2
  size   = 8
  prompt = "When {S} and {IO} went out, {S} gave a ring to"
  answer = " {IO}"
  foil   = " {S}"
  slots {
    IO, S, A = names
  }
}
corruption abc using replace {
  data = ioi
  IO -> A
}
graph full using residual {
  model = gpt2
}
metric recovered using logit_diff {
}
scores eap using attribution_patching {
  graph = full
  corruption = abc
  metric = recovered
}
circuit small using top {
  scores = eap
  edges = 10
}
circuit found using threshold {
  scores = eap
  threshold = 0.1
}
"""

RUNS = """\
model tiny using bundled {
  name = "ioi-4l"
}
model llama using huggingface {
  id = "./a/model/with/grouped/queries"
}
dataset ioi using template {
  model  = tiny
  size   = 4
  prompt = "When {IO} and {S} went to the store, {S} gave a drink to"
  answer = " {IO}"
  foil   = " {S}"
  slots {
    IO, S, A = names
  }
}
corruption abc using replace {
  data = ioi
  S.2 -> A
}
graph full using residual {
  model = tiny
}
metric recovered using logit_diff {
}
scores eap using attribution_patching {
  graph = full
  corruption = abc
  metric = recovered
}
circuit small using top {
  scores = eap
  edges = 10
}
"""
