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
        problem = f"the graph lacks the MLPs of {name}, so they could be neither cut nor corrupted"
        advice = "add `mlps` to `nodes`"
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
        problem = "`positions = all` needs the number of tokens"
        advice = "add `data = …` (prompts of one length) or `length = …`"
        meaning.report("C260", problem, graph.where("positions"), help=advice)
    elif given and not is_all:
        problem = f"`{given[0]}` has no effect without `positions = all`"
        meaning.report("C260", problem, graph.where(given[0]), help="remove it, or write `positions = all`")
    elif len(given) > 1:
        problem = "`data` and `length` both give the number of tokens"
        labels = (Label(graph.where("data"), "the other one"),)
        meaning.report("C260", problem, graph.where("length"), labels=labels, help="remove one of them")


def _check_neurons(meaning: Meaning, graph: Draft) -> None:
    """The layers exist and have MLPs, and the model says of how many neurons."""
    layers, model = graph.values.get("neurons"), meaning.get(graph, "model")
    if not isinstance(layers, tuple) or model is None:
        return
    where = graph.where("neurons")
    shape = meaning.shape(graph)
    if is_only_shape(model) and shape is not None and shape.mlps and meaning.d_mlp(graph) is None:
        problem = f"`{model.name}` is only a model's shape, and its number of neurons is missing"
        labels = (Label(model.place, "only a model's shape"),)
        advice = "add `d_mlp = …` to the model: 3072 for GPT-2 small"
        meaning.report("C262", problem, where, labels=labels, help=advice)
        return
    if shape is None:
        return
    if not shape.mlps:
        advice = "remove `neurons`"
        meaning.report("C261", f"`{model.name}` has no MLPs to split into neurons", where, help=advice)
        return
    beyond = [layer for layer in layers if isinstance(layer, int) and layer >= shape.n_layers]
    if beyond:
        problem = f"layer {beyond[0]} is outside `{model.name}`, whose layers are 0 to {shape.n_layers - 1}"
        meaning.report("C261", problem, where, help="write layers of the model in `neurons`")


def _check_nodes(meaning: Meaning, draft: Draft) -> None:
    nodes, inputs = draft.values.get("nodes"), draft.values.get("inputs")
    if isinstance(nodes, tuple):
        span = draft.where("nodes")
        for needed in ("embed", "logits"):
            if needed not in nodes:
                advice = f"add `{needed}` to `nodes`"
                meaning.report("C227", f"a graph needs the node `{needed}`", span, help=advice)
        if "heads" in nodes and "attention" in nodes:
            problem = "`heads` and `attention` cannot both be nodes: each layer's output would count twice"
            meaning.report("C227", problem, span, help="remove one of them")
        elif not any(part in nodes for part in _PARTS):
            advice = "add `heads` or `mlps` to `nodes`"
            meaning.report("C227", "this graph has no nodes between embed and logits", span, help=advice)
    if isinstance(inputs, tuple) and len(inputs) not in {0, 3}:
        missing = " and ".join(f"`{each}`" for each in ("q", "k", "v") if each not in inputs)
        problem = f"`inputs` lacks {missing}: edges into it could be neither kept nor cut"
        advice = "write `[q, k, v]` to separate a head's inputs, or `[]` to join them"
        meaning.report("C228", problem, draft.where("inputs"), help=advice)


GRAPHS = {
    "residual": Implementation(
        "Senders write to the residual stream, later receivers read from it; an edge joins the two.",
        {
            "model": Key(one("model"), "the model whose graph this is", required=True),
            "nodes": Key(
                Many(Word(("embed", "pos_embed", "heads", "attention", "mlps", "logits"))),
                "what the nodes are: single heads or whole attention layers, MLPs; always `embed` and "
                "`logits`; with `pos_embed`, position embeddings are a node and `embed` is the tokens alone",
                default=("embed", "heads", "mlps", "logits"),
            ),
            "inputs": Key(
                Many(Word(("q", "k", "v")), empty=True),
                "`[q, k, v]`: an edge enters a head as query, key or value; `[]`: as all three",
                default=("q", "k", "v"),
            ),
            "kv": Key(
                Word(("groups", "heads")),
                "under grouped-query attention, a key and a value for each group (`L3KV1.k`), or for each "
                "head (`L3H4.k`), as EAP-IG and MIB count edges",
                default="groups",
            ),
            "positions": Key(
                AT_POSITIONS,
                "split every node by position; tokens that are not named are joined as `other`; "
                "`all`: by token",
            ),
            "neurons": Key(
                Many(Number(integer=True, low=0)),
                "layers whose MLPs are split into neurons, each its own sender (`MLP3N17`)",
            ),
            "data": Key(one("dataset"), "the prompts whose tokens `positions = all` counts"),
            "length": Key(
                Number(integer=True, low=1, high=10_000),
                "how many tokens `positions = all` stands for, if there is no `data`",
                unit="tokens",
            ),
        },
        source="Elhage et al. 2021; Conmy et al. 2023",
        check=check_graph,
    )
}
