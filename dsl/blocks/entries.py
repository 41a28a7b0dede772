"""What the table of the language is made of, and keys that several of its entries share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from nncirc.circuits.names import Position
from nncirc.dsl.check.program import Value
from nncirc.dsl.check.types import Boolean, Many, Number, PositionType, Reference, Text, Type, Word


@dataclass(frozen=True, slots=True)
class Key:
    """A key of an implementation. One that is not `required` and has no default may be absent (None)."""

    type: Type
    doc: str
    required: bool = False
    default: Value = None
    unit: str = ""
    family: bool = False  # a list of numbers makes one member for each


@dataclass(frozen=True, slots=True)
class Implementation:
    """What may stand behind `using`.

    Attributes:
        extra: what its body holds besides keys.
        source: where the field has it from.
        run: whether a corruption is a run of the model, so that one can begin in it.
    """

    doc: str
    keys: Mapping[str, Key]
    extra: Literal["slots", "replacements", "edges"] | None = None
    source: str = ""
    run: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of block. An `output` has one implementation, which is not named, and may lack a label."""

    doc: str
    implementations: Mapping[str, Implementation]
    output: bool = False


@dataclass(frozen=True, slots=True)
class Function:
    """A function in a claim: its arguments, in the order in which they may stand without a key."""

    doc: str
    arguments: Mapping[str, Key]


def one(*kinds: str) -> Reference:
    """The name of a declaration of one of these kinds."""
    return Reference(kinds)


MODEL = Key(one("model"), "the model whose tokenizer reads the prompts", required=True)
GRAPH = Key(one("graph"), "the graph whose nodes and edges are scored or kept", required=True)
CORRUPTION = Key(one("corruption"), "what the corrupted run is", required=True)
METRIC = Key(one("metric"), "what is measured", required=True)
SIZE = Key(Number(integer=True, low=1), "how many prompts are drawn", required=True, unit="prompts")
SEED = Key(Number(integer=True, low=0), "seed of the random draw", default=0)
DEVICE = Key(Text(), "where it runs: `cpu`, `cuda`, `cuda:1`; it must compute in float64", default="cpu")
RANK = Key(
    Word(("absolute", "signed")),
    "whether scores are ranked by magnitude, or signed (most positive first)",
    default="absolute",
)
AT = Key(
    Many(PositionType(), single=True),
    "where the prediction is read; over several positions the mean",
    default=(Position("end"),),
)
NORMALIZE = Key(Boolean(), "puts the corrupted run at 0 and the clean run at 1", default=False)
FUNCTION = Key(
    Text(),
    'what is called: `"module:function"`, the module beside the script, or an entry point',
    required=True,
)
COUNTED = ("edges", "nodes", "heads", "mlps", "q", "k", "v")
BY = Key(
    Word(COUNTED),
    "what is counted: edges, nodes, heads, MLPs, or the queries, keys or values that an edge enters",
    default="edges",
)
HELD_OUT = Key(one("corruption"), "what the rest becomes; absent: the one that it was found with")
INTERVAL = {
    "resamples": Key(
        Number(integer=True, low=1, high=100_000),
        "how often prompts are drawn anew for the intervals (percentile bootstrap)",
        default=1000,
    ),
    "level": Key(Number(low=0.5, high=0.999), "share of the resamples inside an interval", default=0.95),
    "seed": Key(Number(integer=True, low=0), "seed of all that is drawn", default=0),
}
DRAWS = Number(integer=True, low=1, high=100_000)
CONNECTED = Key(
    Boolean(),
    "random circuits whose edges all lie on paths from embed to logits; `false`: any edges",
    default=True,
)
SEVERAL_CIRCUITS = Many(one("circuit"))
SCORED = Key(one("scores"), "scores of edges: `attribution_patching`", required=True)
IMAGES = (".svg", ".png", ".pdf")
