"""Steering."""

from __future__ import annotations

from collections.abc import Sequence

from nncirc.circuits.graph import Graph
from nncirc.circuits.reference import expand
from nncirc.dsl.blocks.datasets import check_positions
from nncirc.dsl.blocks.keys import FACTORS, NODES, PATCHED, RUN, STEERED, one
from nncirc.dsl.blocks.patched import check_begins, check_method, check_nodes, check_reruns, check_writes
from nncirc.dsl.check.declared import Key, Meaning, Scores
from nncirc.dsl.check.scope import Draft
from nncirc.dsl.check.tables import Asked, Table, names
from nncirc.dsl.check.types import Boolean, Either, Many, Number
from nncirc.dsl.text.diagnostics import Label


def _check(meaning: Meaning, draft: Draft) -> None:
    check_method(meaning, draft)
    if not check_nodes(meaning, draft, "nodes"):
        return
    check_begins(meaning, draft)
    meaning.exactly_one(draft, ("nodes", "layers"), "C293")
    meaning.exactly_one(draft, ("scale", "shift"), "C293")
    check_writes(meaning, draft, "nodes")
    _check_layers(meaning, draft)
    _check_source(meaning, draft)


def _check_layers(meaning: Meaning, draft: Draft) -> None:
    """The model has the layers, and there is a difference of what the residual stream is after them."""
    graph = meaning.get(draft, "graph")
    shape = None if graph is None else meaning.shape(graph)
    for layer, span in draft.items("layers"):
        if shape is not None and isinstance(layer, int) and layer >= shape.n_layers:
            problem = f"the model has no layer {layer}"
            meaning.report("C226", problem, span, help=f"its layers are 0 to {shape.n_layers - 1}")
    if "layers" in draft.spans and "shift" in draft.spans:
        key = "corruption" if meaning.get(draft, "source") is None else "source"
        check_reruns(meaning, draft, key, "the mean difference of the residual stream", "steer `nodes`, or ")


def _check_source(meaning: Meaning, draft: Draft) -> None:
    """The prompts of the mean difference are for the same model, have the positions, and there is one."""
    source, data = meaning.get(draft, "source"), meaning.data_of(draft)
    if source is None:
        return
    if "shift" not in draft.spans:
        problem = "`source` is of the mean difference, but `scale` adds none"
        meaning.report("C293", problem, draft.where("source"), help="remove `source`, or write `shift`")
    own = meaning.get(source, "data")
    if own is None or data is None:
        return
    models = meaning.get(own, "model"), meaning.get(data, "model")
    if not meaning.same_model(*models):
        meaning.models_differ(draft, "source", models[0], "corruption", models[1])
    check_positions(meaning, own, draft, "at", Label(own.place, "the prompts of `source`"))


def by_factor(asked: Asked, rows: Sequence[str] | None, key: str = "scale") -> Table:
    """A table with a column for each factor of a key."""
    given = asked.values.get(key)
    columns = tuple(f"{factor:g}" for factor in given) if isinstance(given, tuple) else None
    return Table(asked.name, rows, columns, asked.whole, key)


def _table(asked: Asked) -> Table:
    def rows(graph: Graph) -> list[str]:
        if (layers := asked.values["layers"]) is not None:
            depth = graph.shape.n_layers
            wanted = layers if isinstance(layers, tuple) else range(depth)
            return [f"L{layer}.resid_post" for layer in range(depth) if layer in wanted]
        chosen = {each for term in names(asked.values["nodes"]) or () for each in expand(graph, term)}
        return [sender for sender in graph.senders if sender in chosen]

    key = "scale" if asked.values.get("scale") is not None else "shift"
    if asked.values.get("together"):
        layers = asked.values.get("layers") is not None
        nodes = asked.of_graph(rows) if layers else names(asked.values.get("nodes"))
        return by_factor(asked, None if nodes is None else [" + ".join(nodes)], key)
    return by_factor(asked, asked.of_graph(rows), key)


SCORES = {
    "steering": Scores(
        "The metric with a node's output, or the residual stream after a layer, scaled or shifted by a mean "
        "difference (contrastive activation addition). One row per node or layer, one column per factor.",
        {
            **PATCHED,
            "nodes": Key(NODES, "the nodes, each steered separately; write this or `layers`"),
            "layers": Key(
                Either(Many(Number(integer=True, low=0), single=True), ("all",)),
                "steer the residual stream after each of these layers (`L2.resid_post`) in place of what "
                "nodes write; `all`: after every layer",
            ),
            "together": Key(Boolean(), "steer all nodes at once: one row", default=False),
            "scale": Key(FACTORS, "factors for the output; 0 removes it, 1 leaves it unchanged"),
            "shift": Key(
                FACTORS,
                "factors for the mean difference of the output, clean minus corrupted, which is added; "
                "write this or `scale`",
            ),
            "source": Key(
                one("corruption"),
                "the prompts over which the mean difference is taken; if omitted, those of `corruption`",
            ),
            "into": Key(RUN, "the run that is steered", default="clean"),
            "at": Key(STEERED, "where it is steered; if omitted, at every token"),
        },
        source="Rimsky et al. 2024",
        check=_check,
        table=_table,
    )
}
