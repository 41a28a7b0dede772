from __future__ import annotations

import io
import math
from typing import Any

import networkx as nx
import pytest
from hypothesis import given
from tests.circuits.strategies import circuits
from tests.refused import refused

from nncirc.circuits.circuit import Circuit, prune
from nncirc.circuits.errors import FileError, GraphError
from nncirc.circuits.formats.networks import from_networkx, to_networkx
from nncirc.circuits.graph import Graph, Shape
from nncirc.circuits.names import Edge

GRAPH = Graph(Shape(1, 4, 2))
EXAMPLE = Circuit(
    GRAPH,
    {
        Edge("embed", "L0KV0.k"): 0.5,
        Edge("embed", "L0KV0.v"): None,
        Edge("L0H1", "MLP0"): 0.25,
        Edge("MLP0", "logits"): 1.0,
    },
    {"mover": ("L0H1",)},
)


@given(circuits())
def test_a_circuit_reads_back(circuit: Circuit) -> None:
    network = to_networkx(circuit)
    assert from_networkx(network) == circuit
    assert from_networkx(network, circuit.graph).scores == circuit.scores
    assert set(network) == set(circuit.nodes)


def test_a_circuit_survives_other_formats() -> None:
    network = to_networkx(EXAMPLE)
    assert (
        from_networkx(nx.node_link_graph(nx.node_link_data(network, edges="edges"), edges="edges")) == EXAMPLE
    )
    buffer = io.BytesIO()
    nx.write_graphml(network, buffer)
    buffer.seek(0)
    assert from_networkx(nx.read_graphml(buffer, force_multigraph=True)) == EXAMPLE


def test_attributes() -> None:
    network = to_networkx(EXAMPLE)
    assert dict(network.nodes(data=True)) == {
        "embed": {"kind": "embed"},
        "L0KV0": {"kind": "kv", "layer": 0, "group": 0},
        "L0H1": {"kind": "head", "layer": 0, "head": 1},
        "MLP0": {"kind": "mlp", "layer": 0},
        "logits": {"kind": "logits"},
    }
    assert [data for *_, data in network.edges("embed", data=True)] == [
        {"input": "k", "score": 0.5},
        {"input": "v"},
    ]
    assert list(network.edges("L0KV0", data=True)) == [("L0KV0", "L0H1", {"shared": True})]


@given(circuits())
def test_paths_lead_on_from_shared_keys(circuit: Circuit) -> None:
    pruned = prune(circuit)
    if pruned.edges:
        network = to_networkx(pruned)
        sources, sinks = ({n for n in network if end in n} for end in ("embed", "logits"))
        fed = sources.union(*(nx.descendants(network, source) for source in sources))
        assert set(network) == fed & sinks.union(*(nx.ancestors(network, sink) for sink in sinks))


def test_a_plain_network_with_a_graph() -> None:
    network: Any = nx.DiGraph([("embed", "L0H0", {"input": "q", "score": 1}), ("L0H0", "logits")])
    assert from_networkx(network, GRAPH).scores == {
        Edge("embed", "L0H0.q"): 1.0,
        Edge("L0H0", "logits"): None,
    }


@pytest.mark.parametrize(
    ("network", "graph", "code"),
    [
        (nx.DiGraph([("embed", "logits")]), None, "C452"),
        (nx.DiGraph([("logits", "embed")]), GRAPH, "C454"),
        (nx.DiGraph([(0, 1)]), GRAPH, "C454"),
        (nx.MultiDiGraph([("embed", "logits"), ("embed", "logits")]), GRAPH, "C454"),
        (nx.DiGraph([("embed", "logits", {"score": math.nan})]), GRAPH, "C458"),
        (nx.DiGraph([("embed", "logits", {"score": "high"})]), GRAPH, "C458"),
    ],
)
def test_not_a_network_of_a_circuit(network: Any, graph: Graph | None, code: str) -> None:
    with refused(GraphError, code):
        from_networkx(network, graph)


@pytest.mark.parametrize(("note", "code"), [("{", "C602"), ("{}", "C603")])
def test_a_changed_note(note: str, code: str) -> None:
    with refused(FileError, code, "the network's attribute nncirc"):
        from_networkx(nx.DiGraph(nncirc=note))
