"""Graphs."""

from __future__ import annotations

from nncirc.circuits.errors import GraphError
from nncirc.dsl.blocks.keys import AT_POSITIONS, one
from nncirc.dsl.blocks.models import is_only_shape
from nncirc.dsl.check.declared import Implementation, Key, Meaning
from nncirc.dsl.check.scope import Draft
from nncirc.dsl.check.types import Many, Number, Word
from nncirc.dsl.text.diagnostics import Label

_PARTS = ("heads", "attention", "mlps")


def check_graph(meaning: Meaning, draft: Draft) -> None:
    """A graph by itself, and of its model."""
    before = len(meaning.scope.diagnostics)
    _check_split(meaning, draft)
    _check_neurons(meaning, draft)
    _check_nodes(meaning, draft)
    if len(meaning.scope.diagnostics) == before:
        _check_made(meaning, draft)


def _check_made(meaning: Meaning, graph: Draft) -> None:
    """The model has such a graph; what is wrong with a key by itself has been said."""
    shape, nodes = meaning.shape(graph), graph.values.get("nodes")
    if shape is None or not isinstance(nodes, tuple):
        return
    model = meaning.get(graph, "model")
    name = "the model" if model is None else f"`{model.name}`"
    if shape.mlps and "mlps" not in nodes:
        problem = f"the MLPs of {name} write into the residual stream, and this graph leaves them out"
        advice = "add `mlps`: what is no node could be neither cut nor corrupted"
        meaning.report("C460", problem, graph.where("nodes"), help=advice)
        return
    error = meaning.graph_or_error(graph)
    if isinstance(error, GraphError):
        key = {"C453": "inputs", "C465": "positions", "C467": "neurons"}.get(error.code, "nodes")
        meaning.report(error.code, error.message, graph.where(key), help=error.hint)


def _check_split(meaning: Meaning, graph: Draft) -> None:
    """`all` counts the tokens of some prompts; what else is said of prompts is said for nothing."""
    is_all = graph.values.get("positions") == "all"
    given = [key for key in ("data", "length") if key in graph.spans]
    if is_all and not given:
        problem = "`positions = all` splits nodes by token, and nothing says how many tokens there are"
        advice = "add `data = …`, a dataset whose prompts have one length, or `length = …`"
        meaning.report("C260", problem, graph.where("positions"), help=advice)
    elif given and not is_all:
        problem = f"`{given[0]}` says how many tokens `positions = all` stands for, and has no other use here"
        meaning.report("C260", problem, graph.where(given[0]), help="remove it, or write `positions = all`")
    elif len(given) > 1:
        problem = "`data` and `length` both say how many tokens there are"
        labels = (Label(graph.where("data"), "the other one"),)
        meaning.report("C260", problem, graph.where("length"), labels=labels, help="remove one of them")


def _check_neurons(meaning: Meaning, graph: Draft) -> None:
    """The layers exist and have MLPs, and the model says of how many neurons."""
    layers, model = graph.values.get("neurons"), meaning.get(graph, "model")
    if not isinstance(layers, tuple) or model is None:
        return
    where = graph.where("neurons")
    shape = meaning.shape(graph)
    if is_only_shape(model) and shape is not None and shape.mlps and shape.d_mlp is None:
        meaning.report(
            "C262",
            f"`{model.name}` is only the shape of a model, which does not say how many neurons its MLPs have",
            where,
            labels=(Label(model.place, "only a shape"),),
            help="add `d_mlp = …` to it: 3072 for GPT-2 small",
        )
        return
    if shape is None:
        return
    if not shape.mlps:
        advice = "leave `neurons` out"
        meaning.report("C261", f"`{model.name}` has no MLPs to split into neurons", where, help=advice)
        return
    beyond = [layer for layer in layers if isinstance(layer, int) and layer >= shape.layers]
    if beyond:
        problem = f"`{model.name}` has no layer {beyond[0]} whose MLP could be split"
        meaning.report("C261", problem, where, help=f"its layers are 0 to {shape.layers - 1}")


def _check_nodes(meaning: Meaning, draft: Draft) -> None:
    nodes, inputs = draft.values.get("nodes"), draft.values.get("inputs")
    if isinstance(nodes, tuple):
        span = draft.where("nodes")
        for needed in ("embed", "logits"):
            if needed not in nodes:
                advice = f"add `{needed}`: edges begin at embed and end at logits"
                meaning.report("C227", f"a graph needs the node `{needed}`", span, help=advice)
        if "heads" in nodes and "attention" in nodes:
            problem = "`heads` and `attention` exclude each other: a layer's output would count twice"
            meaning.report("C227", problem, span, help="remove one")
        elif not any(part in nodes for part in _PARTS):
            advice = "add `heads` or `mlps`"
            meaning.report("C227", "this graph has nothing between embed and logits", span, help=advice)
    if isinstance(inputs, tuple) and len(inputs) not in {0, 3}:
        missing = " and ".join(f"`{each}`" for each in ("q", "k", "v") if each not in inputs)
        problem = f"an edge into {missing} could neither be kept nor cut"
        advice = "write `[q, k, v]` to separate the inputs of a head, or `[]` to join them"
        meaning.report("C228", problem, draft.where("inputs"), help=advice)


GRAPHS = {
    "residual": Implementation(
        "Senders write into the residual stream, later receivers read from it; an edge joins the two.",
        {
            "model": Key(one("model"), "the model whose graph this is", required=True),
            "nodes": Key(
                Many(Word(("embed", "pos_embed", "heads", "attention", "mlps", "logits"))),
                "what is a node: single heads or whole attention layers, MLPs; `embed` and `logits` always; "
                "with `pos_embed` learned positions are a node, and `embed` is the tokens alone",
                default=("embed", "heads", "mlps", "logits"),
            ),
            "inputs": Key(
                Many(Word(("q", "k", "v")), empty=True),
                "`[q, k, v]`: an edge enters a head as query, key or value; `[]`: as all three",
                default=("q", "k", "v"),
            ),
            "positions": Key(
                AT_POSITIONS,
                "split every node by position, the tokens not named being one (`other`); `all`: by token",
            ),
            "neurons": Key(
                Many(Number(integer=True, low=0)),
                "layers whose MLPs are split into neurons, each a sender of its own (`MLP3N17`)",
            ),
            "data": Key(one("dataset"), "the prompts whose tokens `positions = all` counts"),
            "length": Key(
                Number(integer=True, low=1, high=10_000),
                "how many tokens `positions = all` stands for, where no `data` says it",
                unit="tokens",
            ),
        },
        source="Elhage et al. 2021; Conmy et al. 2023",
        check=check_graph,
    )
}
