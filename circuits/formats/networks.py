"""Circuits as networkx graphs, for centralities, paths or other programs' formats.

A circuit becomes a `MultiDiGraph` of whole nodes: an edge into a query, a key and a value of one head are
three parallel edges, with the attribute `input`. Attributes are strings and numbers only, so that GraphML,
GEXF and node-link JSON keep everything.

- nodes: `kind`, and where there is one `layer`, and `head`, `neuron` or `group` (of a shared key and value);
- edges: `input` (q, k or v; absent otherwise), `score` (absent where unknown);
- edges from a shared key and value to its heads, or from an MLP to its neurons: `shared` = True, so that
  paths lead on. They are no edges of the circuit;
- the graph: `nncirc`, a JSON text of the graph's shape, the named groups and how the circuit was made.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from nncirc.circuits.arguments import public, unfit
from nncirc.circuits.circuit import Circuit
from nncirc.circuits.errors import GraphError
from nncirc.circuits.formats.json import check_version, circuit_of, header
from nncirc.circuits.formats.json_input import parse_json
from nncirc.circuits.graph import Graph, owner
from nncirc.circuits.names import Edge, Node
from nncirc.circuits.words import visible


@public
def to_networkx(circuit: Circuit) -> Any:
    """The circuit as a `networkx.MultiDiGraph` of the nodes that an edge touches.

    >>> from nncirc.circuits.graph import Shape
    >>> graph = Graph(Shape(1, 1, 1, mlps=False))
    >>> network = to_networkx(Circuit(graph, {Edge("embed", "L0H0.v"): 0.5, Edge("L0H0", "logits"): None}))
    >>> list(network.edges(data=True))
    [('embed', 'L0H0', {'input': 'v', 'score': 0.5}), ('L0H0', 'logits', {})]
    """
    import networkx as nx

    network = nx.MultiDiGraph(nncirc=json.dumps(header(circuit)))
    for name in circuit.nodes:
        network.add_node(name, **_attributes(Node.parse(name)))
    for edge, score in circuit.scores.items():
        receiver = Node.parse(edge.receiver)
        data: dict[str, Any] = {} if receiver.input is None else {"input": receiver.input}
        if score is not None:
            data["score"] = score
        network.add_edge(edge.sender, str(replace(receiver, input=None)), **data)
    for name in circuit.nodes:
        for receiver_name in circuit.graph.inputs.get(name, ()):
            group = owner(receiver_name)
            if group != name and group in network and not network.has_edge(group, name):
                network.add_edge(group, name, shared=True)
    return network


@public
def from_networkx(network: Any, graph: Graph | None = None) -> Circuit:
    """The circuit of a networkx graph: a `DiGraph` or a `MultiDiGraph`, with the attributes named above.

    Args:
        network: nodes named as ours. Only the edges' `input`, `score` and `shared` are read.
        graph: the graph that the circuit belongs to; by default the one that `to_networkx` noted. If it is
            given, named groups and how the circuit was made are not read.

    Raises:
        GraphError: C452, no graph is given or noted; C454, an edge is not in the graph, or occurs twice;
            C458, a score is not finite.
        FileError: C602 to C604, what `to_networkx` noted was changed into something else.
    """
    if not (callable(getattr(network, "is_directed", None)) and network.is_directed()):
        raise unfit(
            "`network`", "a directed graph of networkx", network, hint="use the result of to_networkx"
        )
    scores: dict[Edge, float | None] = {}
    for sender, receiver, data in network.edges(data=True):
        shared = data.get("shared", False)
        if shared in (True, "true", "True"):
            continue
        if shared not in (False, "false", "False"):
            raise GraphError(
                "C454",
                f"expected `shared` of an edge to be True or False, found {visible(str(shared), 60)!r}",
                hint="set it to True on the links between the parts of a node, and omit it elsewhere",
            )
        which = data.get("input")
        name, at, position = str(receiver).partition("@")
        edge = Edge(str(sender), (f"{name}.{which}" if which else name) + at + position)
        if edge in scores:
            raise GraphError("C454", f"duplicate edge {edge} in the network")
        score = data.get("score")
        if isinstance(score, bool) or not (score is None or isinstance(score, int | float)):
            found = f"the score of {edge} is {score!r}; expected a number"
            raise GraphError("C458", found)
        scores[edge] = score
    if graph is not None:
        return Circuit(graph, scores)
    noted = network.graph.get("nncirc")
    if not isinstance(noted, str):
        raise GraphError(
            "C452",
            "the network does not record which graph its edges belong to",
            hint="pass the graph: from_networkx(network, Graph(Shape(12, 12, 12)))",
        )
    value = parse_json(noted, name="the network's attribute nncirc", what="a circuit's header")
    members = value.members(["format", "version", "graph", "groups", "made"])
    check_version(members)
    plain = circuit_of(members, {})
    return Circuit(plain.graph, scores, plain.groups, plain.made)


def _attributes(node: Node) -> dict[str, Any]:
    index = {"head": "head", "kv": "group", "neuron": "neuron"}.get(node.kind)
    found: dict[str, Any] = {"kind": node.kind}
    if node.layer is not None:
        found["layer"] = node.layer
    if index is not None:
        found[index] = node.index
    if node.position is not None:
        found["position"] = str(node.position)
    return found
