"""The one table of the language: kinds, implementations, keys.

The checker, the suggestions and the reference (`docs/language.md`) are driven by it. A new metric is
one entry here and one function in the engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from nncirc.dsl.keytypes import (
    Boolean,
    Either,
    InputFile,
    Many,
    Number,
    OutputFile,
    PositionType,
    Prompt,
    Reference,
    Text,
    Type,
    Word,
)
from nncirc.dsl.program import Position, Value

__all__ = ["FUNCTIONS", "KINDS", "Function", "Implementation", "Key", "Kind"]


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
    """What may stand behind `using`. `extra` is what its body holds besides keys."""

    doc: str
    keys: Mapping[str, Key]
    extra: Literal["slots", "replacements", "edges"] | None = None
    source: str = ""


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


def _one(*kinds: str) -> Reference:
    return Reference(kinds)


_MODEL = Key(_one("model"), "the model whose tokenizer reads the prompts", required=True)
_GRAPH = Key(_one("graph"), "the graph whose nodes and edges are scored or kept", required=True)
_CORRUPTION = Key(_one("corruption"), "what the corrupted run is", required=True)
_METRIC = Key(_one("metric"), "what is measured", required=True)
_SIZE = Key(Number(integer=True, low=1), "how many prompts are drawn", required=True, unit="prompts")
_SEED = Key(Number(integer=True, low=0), "seed of the random draw", default=0)
_DEVICE = Key(Text(), "where it runs: `cpu`, `cuda`, `cuda:1`, `mps`", default="cpu")
_RANK = Key(
    Word(("absolute", "signed")),
    "whether scores are ranked by magnitude, or signed (most positive first)",
    default="absolute",
)
_AT = Key(
    Many(PositionType(), single=True),
    "where the prediction is read; over several positions the mean",
    default=(Position("end"),),
)
_NORMALIZE = Key(Boolean(), "puts the corrupted run at 0 and the clean run at 1", default=False)
_CIRCUITS = Many(_one("circuit"))
_FAMILY_OF_SIZES = Number(integer=True, low=1)
_IMAGES = (".svg", ".png", ".pdf")

_MODELS = {
    "huggingface": Implementation(
        "A language model from the Hugging Face hub or a local folder.",
        {
            "id": Key(Text(), "hub id (`openai-community/gpt2`) or local folder", required=True),
            "revision": Key(Text(), "branch, tag or commit on the hub; absent: the default branch"),
            "dtype": Key(
                Word(("float32", "float64", "bfloat16", "float16")),
                "of parameters and activations",
                default="float32",
            ),
            "device": _DEVICE,
            "tokenizer": Key(Text(), "hub id or folder of another tokenizer; absent: the model's own"),
        },
    ),
    "bundled": Implementation(
        "A small trained model that comes with nncirc and needs no network.",
        {
            "name": Key(
                Text(("induction-2l", "ioi-4l")),
                "`induction-2l` (two attention layers) or `ioi-4l` (four layers)",
                required=True,
            ),
            "dtype": Key(Word(("float64", "float32")), "of parameters and activations", default="float64"),
            "device": _DEVICE,
        },
    ),
}

_DATASETS = {
    "template": Implementation(
        "Prompts filled in from one or several phrasings; every phrasing is used equally often.",
        {
            "model": _MODEL,
            "size": _SIZE,
            "seed": _SEED,
            "prompt": Key(
                Many(Prompt(), single=True), "the phrasings, slots in braces: `{S}`", required=True
            ),
            "answer": Key(
                Either(Prompt(), ("next",)),
                "the right continuation; `next`: at each position the token that follows",
            ),
            "foil": Key(Prompt(), "the wrong continuation that it is compared with"),
        },
        extra="slots",
    ),
    "prompts": Implementation(
        "Prompts written out, clean and corrupted in pairs.",
        {
            "model": _MODEL,
            "clean": Key(Many(Text(), distinct=False), "the prompts", required=True),
            "corrupt": Key(
                Many(Text(), distinct=False), "for each its corrupted counterpart, of as many tokens"
            ),
            "answer": Key(
                Many(Text(), single=True, distinct=False),
                "the right continuation, one for all or one for each",
            ),
            "foil": Key(
                Many(Text(), single=True, distinct=False),
                "the wrong continuation, one for all or one for each",
            ),
        },
    ),
    "file": Implementation(
        "Prompts from a table with a line of column names (CSV), or an object a line (JSON lines).",
        {
            "path": Key(InputFile((".csv", ".jsonl")), "the file, relative to the script", required=True),
            "model": _MODEL,
            "clean": Key(Text(), "column of the prompts", default="clean"),
            "corrupt": Key(Text(), "column of their counterparts", default="corrupt"),
            "answer": Key(Text(), "column of the right continuations", default="answer"),
            "foil": Key(Text(), "column of the wrong continuations", default="foil"),
            "size": Key(
                Number(integer=True, low=1), "use the first so many rows; absent: all", unit="prompts"
            ),
        },
    ),
    "tokens": Implementation(
        "Random tokens, repeated: position `block.2` is the second copy, and the answer is the next token.",
        {
            "model": _MODEL,
            "size": _SIZE,
            "seed": _SEED,
            "length": Key(
                Number(integer=True, low=1), "how long the random block is", required=True, unit="tokens"
            ),
            "copies": Key(Number(integer=True, low=1), "how often the block stands in a row", default=1),
        },
    ),
}

_CORRUPTIONS = {
    "replace": Implementation(
        "The same prompts with slots filled by other slots: `S.2 -> C`; without a number every occurrence.",
        {"data": Key(_one("dataset"), "a `template` dataset", required=True)},
        extra="replacements",
    ),
    "counterpart": Implementation(
        "The other column of a paired dataset.",
        {"data": Key(_one("dataset"), "a dataset with corrupted prompts (`prompts`, `file`)", required=True)},
    ),
    "zero": Implementation(
        "Activations are replaced by zero.",
        {"data": Key(_one("dataset"), "the prompts of the clean run", required=True)},
    ),
    "mean": Implementation(
        "Activations are replaced by their mean.",
        {
            "data": Key(_one("dataset"), "the prompts of the clean run", required=True),
            "over": Key(
                Many(Word(("prompts", "positions"))),
                "what is averaged over; `[prompts]` keeps a mean for each position and needs equal lengths",
                default=("prompts", "positions"),
            ),
            "source": Key(_one("dataset"), "the prompts whose mean is taken; absent: `data`"),
        },
    ),
}

_GRAPHS = {
    "residual": Implementation(
        "Senders write into the residual stream, later receivers read from it; an edge joins the two.",
        {
            "model": Key(_one("model"), "the model whose graph this is", required=True),
            "nodes": Key(
                Many(Word(("embed", "heads", "attention", "mlps", "logits"))),
                "what is a node: single heads or whole attention layers, MLPs; `embed` and `logits` always",
                default=("embed", "heads", "mlps", "logits"),
            ),
            "inputs": Key(
                Many(Word(("q", "k", "v")), empty=True),
                "`[q, k, v]`: an edge enters a head as query, key or value; `[]`: as all three",
                default=("q", "k", "v"),
            ),
        },
        source="Elhage et al. 2021; Conmy et al. 2023",
    ),
}

_METRICS = {
    "logit_diff": Implementation(
        "Logit of the answer minus logit of the foil.",
        {"at": _AT, "normalize": _NORMALIZE},
        source="Wang et al. 2022",
    ),
    "logprob": Implementation(
        "Log-probability of the answer, in nats.", {"at": _AT, "normalize": _NORMALIZE}
    ),
    "prob": Implementation("Probability of the answer.", {"at": _AT, "normalize": _NORMALIZE}),
    "kl_divergence": Implementation(
        "KL divergence D(clean || patched) of the predictions, in nats: 0 on the clean run.",
        {
            "at": _AT,
            "normalize": Key(
                Boolean(),
                "1 - D / D(clean || corrupt): puts the corrupted run at 0 and the clean run at 1",
                default=False,
            ),
        },
        source="Conmy et al. 2023",
    ),
}

_SCORES = {
    "activation_patching": Implementation(
        "One node at a time takes its value from the other run.",
        {
            "graph": _GRAPH,
            "corruption": _CORRUPTION,
            "metric": _METRIC,
            "direction": Key(
                Word(("denoise", "noise")),
                "`denoise`: clean values into the corrupted run; `noise`: the reverse",
                default="denoise",
            ),
            "positions": Key(
                Either(Many(PositionType()), ("all",)),
                "patch at each of these by itself; `all`: at every token; absent: the whole sequence at once",
            ),
        },
        source="Meng et al. 2022; Zhang & Nanda 2024",
    ),
    "attribution_patching": Implementation(
        "The linear estimate of what cutting an edge or a node does: difference times gradient.",
        {
            "graph": _GRAPH,
            "corruption": _CORRUPTION,
            "metric": _METRIC,
            "steps": Key(
                Number(integer=True, low=1, high=1000),
                "gradients averaged between clean and corrupt (integrated gradients); 1: at the clean run",
                default=1,
            ),
            "along": Key(
                Word(("inputs", "activations")),
                "what goes from corrupted to clean in steps: embeddings, or one place's outputs at a time",
                default="inputs",
            ),
            "by": Key(Word(("edges", "nodes")), "what is scored", default="edges"),
        },
        source="Nanda 2023; Syed et al. 2023; Hanna et al. 2024",
    ),
    "attention_statistics": Implementation(
        "How much each head attends as a known pattern says, 0 to 1.",
        {
            "graph": Key(_one("graph"), "the graph whose heads are measured", required=True),
            "data": Key(_one("dataset"), "the prompts on which attention is measured", required=True),
            "of": Key(
                Many(Word(("previous_token", "duplicate_token", "prefix_matching", "copying"))),
                "the statistics",
                required=True,
            ),
        },
        source="Elhage et al. 2021; Olsson et al. 2022",
    ),
}

_FOUND = {"graph": _GRAPH, "corruption": _CORRUPTION, "metric": _METRIC}
_SCORED = Key(_one("scores"), "`activation_patching` or `attribution_patching`", required=True)

_CIRCUIT_KINDS = {
    "acdc": Implementation(
        "Edges whose removal costs less than the threshold are removed, from the output back.",
        {
            **_FOUND,
            "threshold": Key(
                Number(low=0),
                "largest loss of the metric that an edge may cost and be removed",
                required=True,
                unit="of the metric",
                family=True,
            ),
        },
        source="Conmy et al. 2023, algorithm 1",
    ),
    "threshold": Implementation(
        "What scores at least so much, without what has no path from embed to logits.",
        {
            "scores": _SCORED,
            "threshold": Key(
                Number(), "smallest score that is kept", required=True, unit="of the metric", family=True
            ),
            "rank": _RANK,
        },
    ),
    "top": Implementation(
        "The edges with the highest scores, without what has no path from embed to logits.",
        {
            "scores": _SCORED,
            "edges": Key(
                _FAMILY_OF_SIZES, "how many edges are taken", required=True, unit="edges", family=True
            ),
            "rank": _RANK,
        },
        source="Syed et al. 2023",
    ),
    "reference": Implementation(
        "A circuit written down: groups of heads, and paths through them.",
        {
            "graph": Key(_one("graph"), "the graph that it is a part of", required=True),
            "cite": Key(Text(), "where it was published"),
        },
        extra="edges",
    ),
    "union": Implementation(
        "Edges in any of the circuits.", {"circuits": Key(_CIRCUITS, "of one graph", required=True)}
    ),
    "intersection": Implementation(
        "Edges in all of the circuits.", {"circuits": Key(_CIRCUITS, "of one graph", required=True)}
    ),
    "difference": Implementation(
        "Edges of the first circuit that are not in the second.",
        {"circuits": Key(Many(_one("circuit"), exactly=2), "two circuits of one graph", required=True)},
    ),
}

_CURVES = {
    "faithfulness": Implementation(
        "Faithfulness of the circuits of the highest-scoring edges, by their number.",
        {
            "scores": _SCORED,
            "metric": _METRIC,
            "edges": Key(
                Many(Number(integer=True, low=1)), "the numbers of edges", required=True, unit="edges"
            ),
            "rank": _RANK,
        },
        source="Hanna et al. 2024; Mueller et al. 2025",
    ),
}

_COMPARE = Implementation(
    "A table of circuits: sizes, and recall and precision against a reference.",
    {
        "circuits": Key(_CIRCUITS, "what is compared", required=True),
        "reference": Key(_one("circuit"), "what they are compared with; absent: each with each"),
        "by": Key(Many(Word(("nodes", "edges"))), "what is counted", default=("nodes", "edges")),
    },
)
_PLOT = Implementation(
    "A heatmap of scores, or a curve. One of `scores` and `curve` is given.",
    {
        "scores": Key(_one("scores"), "drawn as a heatmap"),
        "curve": Key(_one("curve"), "drawn as a line"),
        "file": Key(OutputFile(_IMAGES), "where it is written, below the output folder", required=True),
    },
)
_RENDER = Implementation(
    "A picture of a circuit.",
    {
        "circuit": Key(_one("circuit"), "what is drawn", required=True),
        "highlight": Key(_one("circuit"), "a circuit whose nodes and edges stand out"),
        "file": Key(
            OutputFile((*_IMAGES, ".dot")), "where it is written, below the output folder", required=True
        ),
        "fold": Key(
            Number(integer=True, low=1),
            "draw single edges up to this many; beyond, fold the heads of a layer into one",
            unit="edges",
        ),
    },
)

KINDS: Mapping[str, Kind] = {
    "model": Kind("A transformer language model.", _MODELS),
    "dataset": Kind("Prompts and what should follow them.", _DATASETS),
    "corruption": Kind("What stands in the place of the clean run.", _CORRUPTIONS),
    "graph": Kind("The computation graph: which parts of the model are nodes.", _GRAPHS),
    "metric": Kind("A number for how well the model does the task.", _METRICS),
    "scores": Kind("A number for each node or edge.", _SCORES),
    "circuit": Kind("A part of the graph: a set of edges.", _CIRCUIT_KINDS),
    "curve": Kind("A number as it depends on another.", _CURVES),
    "compare": Kind("A table of circuits.", {"compare": _COMPARE}, output=True),
    "plot": Kind("A plot of scores or of a curve.", {"plot": _PLOT}, output=True),
    "render": Kind("A picture of a circuit.", {"render": _RENDER}, output=True),
}

_OF = Key(_one("circuit"), "the circuit that the claim is about", required=True)
_BY = Key(Word(("edges", "nodes")), "what is counted", default="edges")
_AGAINST = Key(_one("circuit"), "the circuit that counts as right", required=True)
_UNDER = Key(_one("corruption"), "what the corrupted run is", required=True)

FUNCTIONS: Mapping[str, Function] = {
    "recall": Function(
        "Share of the reference that the circuit has, 0 to 1.",
        {"circuit": _OF, "reference": _AGAINST, "by": _BY},
    ),
    "precision": Function(
        "Share of the circuit that the reference has, 0 to 1.",
        {"circuit": _OF, "reference": _AGAINST, "by": _BY},
    ),
    "faithfulness": Function(
        "What remains of the metric with everything outside the circuit corrupted: 0 corrupted, 1 clean.",
        {
            "circuit": _OF,
            "metric": Key(_one("metric"), "what is measured", required=True),
            "corruption": Key(
                _one("corruption"), "what the rest becomes; absent: the one that the circuit was found with"
            ),
        },
    ),
    "clean": Function(
        "Mean of the metric over the unpatched clean run.",
        {"metric": Key(_one("metric"), "what is measured", required=True), "corruption": _UNDER},
    ),
    "corrupt": Function(
        "Mean of the metric over the unpatched corrupted run.",
        {"metric": Key(_one("metric"), "what is measured", required=True), "corruption": _UNDER},
    ),
}
