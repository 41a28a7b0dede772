"""Circuits in the JSON format of the EAP-IG package (Hanna et al., 2024), which MIB uses too.

    {"cfg": {"n_layers": 12, "n_heads": 12, "parallel_attn_mlp": false, "d_model": 768},
     "nodes": {"input": {"in_graph": true}, "a0.h0": {"in_graph": false}, "m0": ..., "logits": ...},
     "edges": {"input->a0.h0<q>": {"score": 0.1, "in_graph": true}, "a0.h0->m0": ..., ...}}

The format lists every edge of the graph, has only single heads with separate q, k and v, and no groups of
heads: models with grouped-query attention are written with a key and a value for every head.

The package's `.pt` files hold the same as tables of senders by receivers: `cfg`, the names `src_nodes` and
`dst_nodes`, and the tensors `edges_scores` and `edges_in_graph`. They are read without being unpickled.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from itertools import product, starmap
from pathlib import Path
from typing import Any

from nncirc.circuits.annotations import Positive
from nncirc.circuits.arguments import public
from nncirc.circuits.atomic import require_ending, write_text
from nncirc.circuits.circuit import Circuit
from nncirc.circuits.collapse import regroup, ungroup
from nncirc.circuits.errors import GraphError
from nncirc.circuits.formats.json_input import Value, read_json
from nncirc.circuits.formats.torch_file import Tensor, read_torch
from nncirc.circuits.graph import Graph, Shape
from nncirc.circuits.made import Made
from nncirc.circuits.names import Edge, Node

_WHAT = "a circuit of the EAP-IG package"
_NUMBER = r"(0|[1-9][0-9]{0,5})"
_MOST_EDGES = 20_000_000
_HEAD = re.compile(rf"a{_NUMBER}\.h{_NUMBER}(?:<([qkv])>)?")
_MLP = re.compile(rf"m{_NUMBER}")


@public
def write_eap_ig(circuit: Circuit, path: str | os.PathLike[str], *, d_model: Positive) -> None:
    """Write a circuit for the EAP-IG package.

    Shared keys and values are copied to every head of their group. The format cannot record groups of nodes,
    how the circuit was made, or that a score is unknown: an edge without one is written with score 0, as are
    edges that are not in the circuit.

    Args:
        circuit: a circuit of single heads with separate q, k and v.
        path: the file; its name ends in `.json`.
        d_model: width of the model's residual stream, which the format requires.

    Raises:
        GraphError: C459, the circuit is of joined heads or joined inputs, has two embeddings, or is split by
            position or neuron.
        FileError: C605, the file cannot be written; C631, C636, its name has another extension.
    """
    require_ending(path, [".json"])
    graph = circuit.graph
    for is_wrong, what, hint in (
        (
            graph.attention != "heads" or not graph.split_inputs,
            f"needs single heads with separate q, k and v, found {graph}",
            "export the circuit before collapsing it",
        ),
        (
            graph.pos_embed,
            "has one embedding node, but this circuit separates token and position embeddings",
            "find the circuit on a graph without pos_embed, or collapse it in Python with "
            "`nncirc.collapse_to`",
        ),
        (
            graph.positions or graph.neurons,
            f"needs whole heads and MLPs without positions, found {graph}",
            "find the circuit on a graph without positions and neurons, or join them in Python with "
            "`nncirc.join_positions` and `join_neurons`",
        ),
        (
            graph.n_edges > _MOST_EDGES,
            f"lists every edge of the graph, at most {_MOST_EDGES:,}; this one has more: {graph}",
            "write .circ, .graphml or .csv, which list only the edges of the circuit",
        ),
    ):
        if is_wrong:
            raise GraphError("C459", f"the EAP-IG format {what}", hint=hint)
    circuit = ungroup(circuit)
    shape, touched = circuit.graph.shape, set(circuit.nodes)
    content: dict[str, Any] = {
        "cfg": {
            "n_layers": shape.n_layers,
            "n_heads": shape.n_heads,
            "parallel_attn_mlp": shape.parallel,
            "d_model": d_model,
        },
        "nodes": {_to_theirs(node): {"in_graph": node in touched} for node in circuit.graph.nodes},
        "edges": {
            f"{_to_theirs(edge.sender)}->{_to_theirs(edge.receiver)}": {
                "score": circuit.scores.get(edge) or 0.0,
                "in_graph": edge in circuit,
            }
            for edge in circuit.graph.edges()
        },
    }
    write_text(path, json.dumps(content, allow_nan=False) + "\n")


@public
def read_eap_ig(
    path: str | os.PathLike[str], *, n_kv_heads: Positive | None = None, everything: bool = False
) -> Circuit:
    """Read a circuit that the EAP-IG package wrote: a `.pt` file, or else JSON.

    Node scores and neurons are not read. A model without any `m` node is one without MLPs. The tables of a
    `.pt` file have places for pairs that are no edges; what stands there is not read.

    Args:
        path: the file.
        n_kv_heads: under grouped-query attention, the model's key-value heads, which the format does not
            say: the equal edges of a group's heads become the group's. Without it every head keeps its own.
        everything: read every edge of the file with its score, not only those in the circuit.

    Raises:
        FileError: C601, the file cannot be read; C602, it is not JSON; C603, it is a file of something else,
            or the edges of a group's heads differ; C630, a `.pt` file that holds more than plain data.
        GraphError: C458, a score is not finite.
    """
    if Path(path).suffix == ".pt":
        return _regrouped(
            *_of_tables(Value(read_torch(path), os.fspath(path), _WHAT), everything), n_kv_heads
        )
    return _regrouped(*_of_json(read_json(path, what=_WHAT), everything), n_kv_heads)


def _of_json(file: Value, everything: bool) -> tuple[Circuit, Value]:
    members = file.open_members(["cfg", "nodes", "edges"])
    graph, made = _graph(members["cfg"], dict(members["nodes"].items()))
    scores = {}
    for name, value in members["edges"].items():
        info = value.open_members(["score", "in_graph"])
        if info["in_graph"].boolean() or everything:
            scores[_edge(graph, name, value)] = info["score"].number()
    return Circuit(graph, scores, made=made), members["edges"]


def _of_tables(file: Value, everything: bool) -> tuple[Circuit, Value]:
    members = file.open_members(["cfg", "src_nodes", "dst_nodes", "edges_scores", "edges_in_graph"])
    named = {end: members[f"{end}_nodes"].elements() for end in ("src", "dst")}
    nodes = {name.text().partition("<")[0]: name for names in named.values() for name in names}
    graph, made = _graph(members["cfg"], nodes)
    senders, receivers = ([_to_ours(name.text()) or "" for name in names] for names in named.values())
    if sorted(senders) != sorted(graph.senders) or sorted(receivers) != sorted(graph.receivers):
        raise file.wrong("expected src_nodes and dst_nodes to name every node of the model once")
    tables = [
        _table(members[key], len(senders), len(receivers)) for key in ("edges_scores", "edges_in_graph")
    ]
    scores = {
        edge: score
        for edge, score, within in zip(starmap(Edge, product(senders, receivers)), *tables, strict=True)
        if (within or everything) and edge in graph
    }
    return Circuit(graph, scores, made=made), members["edges_scores"]


def _table(value: Value, rows: int, columns: int) -> Iterable[float]:
    tensor = value.value
    if not isinstance(tensor, Tensor) or tensor.shape != (rows, columns):
        found = f"shape {list(tensor.shape)}" if isinstance(tensor, Tensor) else "something else"
        raise value.wrong(f"expected a tensor of {rows} senders by {columns} receivers, found {found}")
    return tensor.numbers()


def _graph(cfg: Value, nodes: Mapping[str, Value]) -> tuple[Graph, Made]:
    """The graph of a file, and what a circuit of it says of how it was made."""
    sizes = cfg.open_members(["n_layers", "n_heads", "parallel_attn_mlp"])
    made: Made = {"method": "read from a file of the EAP-IG package"}
    if "d_model" in sizes:
        made["d_model"] = sizes["d_model"].integer()
    n_heads = sizes["n_heads"].integer()
    mlps = any(_MLP.fullmatch(name) for name in nodes)
    try:
        graph = Graph(
            Shape(sizes["n_layers"].integer(), n_heads, n_heads, mlps, sizes["parallel_attn_mlp"].boolean())
        )
    except GraphError as error:
        raise cfg.wrong(error.message, hint=error.hint) from error
    for name, node in nodes.items():
        if (ours := _to_ours(name)) is None or ours not in graph.node_index:
            raise node.wrong("the model has no node of this name")
    return graph, made


def _regrouped(circuit: Circuit, edges: Value, n_kv_heads: int | None) -> Circuit:
    if n_kv_heads is None:
        return circuit
    try:
        return regroup(circuit, n_kv_heads)
    except GraphError as error:
        hint = f"{error.hint}: omit n_kv_heads" if error.code == "C459" else error.hint
        raise edges.wrong(error.message, hint=hint) from error


def _edge(graph: Graph, name: str, value: Value) -> Edge:
    sender, arrow, receiver = name.partition("->")
    edge = Edge(_to_ours(sender) or "", _to_ours(receiver) or "")
    if not arrow or edge not in graph:
        raise value.wrong("the model has no such edge", hint="write edges as a0.h1->a2.h3<q> or m0->logits")
    return edge


def _to_theirs(name: str) -> str:
    node = Node.parse(name)
    if node.kind == "embed":
        return "input"
    if node.kind == "logits":
        return "logits"
    if node.kind == "mlp":
        return f"m{node.layer}"
    return f"a{node.layer}.h{node.index}" + (f"<{node.input}>" if node.input else "")


def _to_ours(name: str) -> str | None:
    if name == "logits":
        return name
    if name == "input":
        return "embed"
    if match := _MLP.fullmatch(name):
        return f"MLP{match[1]}"
    if match := _HEAD.fullmatch(name):
        return f"L{match[1]}H{match[2]}" + (f".{match[3]}" if match[3] else "")
    return None
