"""Which parts of a model the nodes of a graph are, as indices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nncirc.circuits.graph import Graph


def attention_receivers(graph: Graph, layer: int) -> slice:
    """The receivers of a layer's attention, which stand side by side."""
    per_layer = (len(graph.receivers) - 1) // graph.shape.n_layers
    start = layer * per_layer
    return slice(start, start + per_layer - graph.shape.mlps)


def unit_receivers(graph: Graph, layer: int) -> list[int]:
    """For every query head, key group and value group of a layer the receiver it reads through.

    Indices are within `attention_receivers(graph, layer)`; the units are all queries, then keys, then values.
    """
    start = attention_receivers(graph, layer).start
    unit = "H" if graph.shape.n_kv_heads == graph.shape.n_heads else "KV"
    counts = {"q": graph.shape.n_heads, "k": graph.shape.n_kv_heads, "v": graph.shape.n_kv_heads}
    found = []
    for which, count in counts.items():
        for index in range(count):
            head = "" if graph.attention == "layers" else f"{'H' if which == 'q' else unit}{index}"
            name = f"L{layer}{head}" + (f".{which}" if graph.split_inputs else "")
            found.append(graph.receiver_index[name] - start)
    return found


@dataclass(frozen=True, slots=True)
class Stage:
    """Receivers that read the residual stream at the same place: a layer's attention, an MLP, the logits."""

    kind: str
    layer: int
    receivers: range


def stages(graph: Graph) -> tuple[Stage, ...]:
    """The stages of a graph in the order of the computation."""
    found = []
    for layer in range(graph.shape.n_layers):
        inside = attention_receivers(graph, layer)
        found.append(Stage("attention", layer, range(inside.start, inside.stop)))
        if graph.shape.mlps:
            found.append(Stage("mlp", layer, range(inside.stop, inside.stop + 1)))
    last = len(graph.receivers) - 1
    return (*found, Stage("logits", graph.shape.n_layers, range(last, last + 1)))


@dataclass(frozen=True, slots=True)
class Wiring:
    """Which parts of the model a graph's nodes are, as indices.

    Attributes:
        stages: in order; `stage_of[receiver]` is the index of a receiver's stage.
        units: for every attention receiver the projections it enters: (0 query | 1 key | 2 value, index).
        feeds: for every receiver the senders computed from it.
        head_sender: for every layer and head the sender it writes as.
        kv_of: for every head its key-value group (grouped-query attention).
        mlp_sender: for every layer the index of its MLP among the senders, or that of its first neuron.
    """

    graph: Graph
    stages: tuple[Stage, ...]
    stage_of: tuple[int, ...]
    units: Mapping[int, tuple[tuple[int, int], ...]]
    feeds: tuple[tuple[int, ...], ...]
    head_sender: tuple[tuple[int, ...], ...]
    kv_of: tuple[int, ...]
    mlp_sender: tuple[int, ...]

    @classmethod
    def of(cls, graph: Graph) -> Wiring:
        """The wiring of a graph."""
        where = stages(graph)
        stage_of = [0] * len(graph.receivers)
        units: dict[int, list[tuple[int, int]]] = {}
        for i, stage in enumerate(where):
            for receiver in stage.receivers:
                stage_of[receiver] = i
            if stage.kind == "attention":
                kinds = (graph.shape.n_heads, graph.shape.n_kv_heads, graph.shape.n_kv_heads)
                names = [(kind, index) for kind, count in enumerate(kinds) for index in range(count)]
                for unit, receiver in zip(names, unit_receivers(graph, stage.layer), strict=True):
                    units.setdefault(stage.receivers.start + receiver, []).append(unit)
        index = graph.sender_index
        feeds = tuple(tuple(index[s] for s in graph.outputs[r]) for r in graph.receivers)
        layers, heads = range(graph.shape.n_layers), range(graph.shape.n_heads)
        whole = graph.attention == "layers"
        return cls(
            graph,
            where,
            tuple(stage_of),
            {receiver: tuple(found) for receiver, found in units.items()},
            feeds,
            tuple(tuple(index[f"L{n}" if whole else f"L{n}H{h}"] for h in heads) for n in layers),
            tuple(map(graph.shape.kv_of, heads)),
            tuple(feeds[graph.receiver_index[f"MLP{n}"]][0] for n in layers) if graph.shape.mlps else (),
        )
