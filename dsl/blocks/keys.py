"""Keys that several blocks share."""

from __future__ import annotations

import re

from nncirc.circuits.names import Position
from nncirc.dsl.check.declared import Key, Meaning
from nncirc.dsl.check.scope import Draft
from nncirc.dsl.check.types import (
    Boolean,
    Either,
    Many,
    NodeType,
    Number,
    PositionType,
    Reference,
    Text,
    Word,
)


def one(*kinds: str) -> Reference:
    """The name of a declaration of one of these kinds."""
    return Reference(kinds)


MODEL = Key(one("model"), "the model whose tokenizer reads the prompts", required=True)
GRAPH = Key(one("graph"), "the graph whose nodes and edges are scored or kept", required=True)
CORRUPTION = Key(one("corruption"), "the corruption of the corrupted run", required=True)
METRIC = Key(one("metric"), "what is measured", required=True)
PATCHED = {"graph": GRAPH, "corruption": CORRUPTION, "metric": METRIC}
"""What every method has that patches nodes of a graph."""
COUNT = Number(integer=True, low=1)
SIZE = Key(COUNT, "how many prompts to draw", required=True, unit="prompts")
SEED = Key(Number(integer=True, low=0), "seed of the random draw", default=0)
DEVICE = Key(Text(), "the device: `cpu`, `cuda`, `cuda:1`; it must support float64", default="cpu")
RANK = Key(
    Word(("absolute", "signed")),
    "rank scores by magnitude, or signed (most positive first)",
    default="absolute",
)
AT = Key(
    Many(PositionType(), single=True),
    "where the prediction is read; over several positions, the mean",
    default=(Position("end"),),
)
NORMALIZE = Key(Boolean(), "rescale so that the corrupted run is 0 and the clean run is 1", default=False)
FUNCTION = Key(
    Text(),
    'the function to call: `"module:function"`, with the module next to the script, or an entry point',
    required=True,
)
COUNTED = ("edges", "nodes", "heads", "mlps", "q", "k", "v")
BY = Key(
    Word(COUNTED),
    "what is counted: edges, nodes, heads, MLPs, or the queries, keys or values that edges enter",
    default="edges",
)
HELD_OUT = Key(
    one("corruption"), "how the rest of the model is corrupted; if omitted, as when the circuit was found"
)
INTERVAL = {
    "resamples": Key(
        Number(integer=True, low=1, high=100_000),
        "number of bootstrap resamples of the prompts for intervals (percentile bootstrap)",
        default=1000,
    ),
    "level": Key(
        Number(low=0.5, high=0.999),
        "confidence level: the share of resamples inside an interval",
        default=0.95,
    ),
    "seed": Key(Number(integer=True, low=0), "seed of all random draws", default=0),
}
DRAWS = Number(integer=True, low=1, high=100_000)
CONNECTED = Key(
    Boolean(),
    "draw random circuits whose edges all lie on paths from embed to logits; `false`: any edges",
    default=True,
)
SEVERAL_CIRCUITS = Many(one("circuit"))
SCORED = Key(one("scores"), "scores of edges: `attribution_patching`", required=True)
IMAGES = (".svg", ".png", ".pdf")

AT_POSITIONS = Either(Many(PositionType()), ("all",))
NODES = Many(NodeType(), single=True)
FACTORS = Many(Number(), single=True)
RUN = Word(("clean", "corrupt"))
DIRECTIONS = Word(("denoise", "noise"))
STEERED = Many(PositionType(), single=True)

READ_AT = Key(
    Either(Many(PositionType(), single=True), ("all",)),
    "where it is read, one column each; `all`: at every token",
    default=(Position("end"),),
)
OF_LOGITS = Key(
    Word(("prob", "logprob", "logit_diff", "rank", "kl_divergence")),
    "what is read: the answer's probability, log-probability (nats), logit minus the foil's, or rank "
    "(1: the best); or the KL divergence of the model's own prediction from the row's, in nats",
    default="prob",
)
WEIGHED = Key(one("model"), "the model whose weights are read", required=True)


_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(:[A-Za-z_]\w*)?|[\w-]+")


def check_function(meaning: Meaning, draft: Draft) -> None:
    """The name of a function of the user's own is one."""
    name = draft.values.get("function")
    if isinstance(name, str) and not _NAME.fullmatch(name):
        advice = 'write "module:function", such as "mine:share" for `share` in mine.py'
        meaning.report("C244", f"invalid function name `{name}`", draft.where("function"), help=advice)
