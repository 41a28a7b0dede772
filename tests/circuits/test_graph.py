from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, strategies as st
from tests.circuits.strategies import graphs, shapes
from tests.refused import refused
from tests.some import some

from nncirc.circuits.errors import GraphError
from nncirc.circuits.graph import Graph, Shape, owner
from nncirc.circuits.names import Edge, Node


def test_gpt2_small_has_the_published_number_of_edges() -> None:
    graph = Graph(Shape(n_layers=12, n_heads=12, n_kv_heads=12))
    assert (len(graph.senders), len(graph.receivers), graph.n_edges) == (157, 445, 32_491)


@pytest.mark.parametrize(
    ("shape", "edges"),
    [
        # 2 layers of 2 heads: layer 0 reads embed, layer 1 reads embed, 2 heads and an MLP.
        (Shape(2, 2, 2), 6 + 3 + 6 * 4 + 6 + 7),
        (Shape(2, 2, 2, mlps=False), 6 + 6 * 3 + 5),
        (Shape(2, 2, 2, parallel=True), 6 + 1 + 6 * 4 + 4 + 7),
        # One key and one value a layer.
        (Shape(2, 2, 1), 4 + 3 + 4 * 4 + 6 + 7),
    ],
)
def test_edges_counted_by_hand(shape: Shape, edges: int) -> None:
    graph = Graph(shape)
    assert graph.n_edges == edges
    assert Graph(shape, pos_embed=True).n_edges == edges + len(graph.receivers)


def test_positions_are_a_sender_beside_the_tokens() -> None:
    graph = Graph(Shape(1, 1, 1), pos_embed=True)
    assert graph.senders == ("embed", "pos_embed", "L0H0", "MLP0")
    assert graph.nodes == ("embed", "pos_embed", "L0H0", "MLP0", "logits")
    assert Edge("pos_embed", "L0H0.k") in graph
    assert Edge("pos_embed", "L0H0.k") not in Graph(Shape(1, 1, 1))


def moment(name: str, graph: Graph, *, sends: bool) -> tuple[int, int]:
    """When a node is read or has been written, from its name alone."""
    node = Node.parse(name)
    if node.kind in ("embed", "pos_embed"):
        return (-1, 0)
    if node.kind == "logits":
        return (graph.shape.n_layers, 0)
    assert node.layer is not None
    if node.kind == "mlp":
        reads = 0 if graph.shape.parallel else 2
        return (node.layer, 3 if sends else reads)
    if node.kind == "neuron":
        return (node.layer, 3)
    return (node.layer, 1 if sends else 0)


@given(graphs())
def test_edges_are_those_of_the_clock(graph: Graph) -> None:
    expected = {
        (sender, receiver)
        for sender, receiver in product(graph.senders, graph.receivers)
        if moment(sender, graph, sends=True) < moment(receiver, graph, sends=False)
        and Node.parse(sender).position == Node.parse(receiver).position
    }
    edges = list(graph.edges())
    assert set(edges) == expected
    assert len(edges) == len(expected) == graph.n_edges
    for sender, receiver in product(graph.senders, graph.receivers):
        assert (Edge(sender, receiver) in graph) == ((sender, receiver) in expected)
    assert sorted(edges, key=graph.order) == edges


@given(graphs())
def test_edges_by_formula(graph: Graph) -> None:
    shape, heads = graph.shape, 1 if graph.attention == "layers" else graph.shape.n_heads
    if not graph.split_inputs:
        inputs = heads
    elif graph.attention == "layers":
        inputs = 3
    else:
        inputs = heads + 2 * shape.n_kv_heads
    total, before = 0, 1 + graph.pos_embed
    for layer in range(shape.n_layers):
        total += inputs * before
        total += shape.mlps * (before + (0 if shape.parallel else heads))
        before += heads + shape.mlps * dict(graph.neurons).get(layer, 1)
    assert graph.n_edges == (total + before) * max(1, len(graph.positions))


@given(graphs())
def test_names_are_unique_and_read_back(graph: Graph) -> None:
    for names in (graph.senders, graph.receivers, graph.nodes):
        assert len(set(names)) == len(names)
        for name in names:
            assert str(Node.parse(name)) == name
    assert set(graph.nodes) == {*graph.senders, *map(owner, graph.receivers)}


@given(graphs())
def test_inputs_and_outputs_are_each_others_inverse(graph: Graph) -> None:
    forth = {(s, r) for s, receivers in graph.inputs.items() for r in receivers}
    back = {(s, r) for r, senders in graph.outputs.items() for s in senders}
    assert forth == back
    assert set(graph.outputs) == set(graph.receivers)
    assert [s for s in graph.senders if graph.inputs[s] == ()] == list(graph.sources)
    assert all(graph.outputs[sink] == () for sink in graph.sinks)
    for sender, receivers in graph.inputs.items():
        if sender not in graph.sources:
            inputs = list(dict.fromkeys(Node.parse(r).input for r in receivers))
            split = graph.split_inputs and Node.parse(sender).kind not in ("mlp", "neuron")
            assert inputs == (["q", "k", "v"] if split else [None])


@given(graphs())
def test_only_keys_and_values_come_from_elsewhere(graph: Graph) -> None:
    """A head at a position reads its query there, and keys and values of all tokens up to it."""
    read = [(sender, name) for sender, receivers in graph.inputs.items() for name in receivers]
    for sender, name in some(read):
        here, there = Node.parse(sender), Node.parse(name)
        if there.position != here.position:
            assert there.input in (("k", "v") if graph.split_inputs else (None,))
            assert there.kind != "mlp"
            assert (str(there.position), str(here.position)) not in (
                ("1", "0"),
                ("2", "0"),
                ("2", "1"),
                ("end", "S.2"),
            )
        attended = {r for r in graph.receivers if owner(r).partition("@")[0] == owner(name).partition("@")[0]}
        if there.input in ("k", "v"):
            last = str(here.position) in ("None", "2", "end")
            same = {r for r in attended if Node.parse(r).input == there.input}
            assert not last or same <= set(graph.inputs[sender])


@pytest.mark.parametrize("positions", [("end", "end"), ("S.0",), ("a b",), ("",), ("@",), ("01",)])
def test_positions_that_are_none(positions: tuple[str, ...]) -> None:
    with refused(GraphError, "C465"):
        Graph(Shape(1, 1, 1), positions=positions)


def test_a_split_mlp_is_read_by_one_node_and_written_by_many() -> None:
    graph = Graph(Shape(2, 1, 1), neurons=((1, 3),))
    assert graph.senders == ("embed", "L0H0", "MLP0", "L1H0", "MLP1N0", "MLP1N1", "MLP1N2")
    assert graph.receivers[-2:] == ("MLP1", "logits")
    assert graph.inputs["MLP1N2"] == ("MLP1",)
    assert graph.outputs["MLP1"] == ("MLP1N0", "MLP1N1", "MLP1N2")
    assert graph.nodes == (
        *("embed", "L0H0", "MLP0", "L1H0", "MLP1", "MLP1N0", "MLP1N1", "MLP1N2", "logits"),
    )
    with pytest.raises(GraphError) as caught:
        graph.order(Edge("MLP1", "logits"))
    assert caught.value.hint == "MLP1 is not a sender of this graph"
    assert str(graph).endswith("q/k/v apart, MLP1 by its 3 neurons")


@pytest.mark.parametrize(
    "neurons",
    [((2, 1),), ((-1, 1),), ((1, 1), (0, 1)), ((0, 1), (0, 1)), ((0, 0),), ((0, 10**6), (1, 1))],
)
def test_neurons_that_no_layer_has(neurons: tuple[tuple[int, int], ...]) -> None:
    with refused(GraphError, "C467"):
        Graph(Shape(2, 1, 1), neurons=neurons)


def test_without_mlps_there_are_no_neurons() -> None:
    with refused(GraphError, "C467", hint="remove `neurons`"):
        Graph(Shape(2, 1, 1, mlps=False), neurons=((0, 1),))


@given(graphs())
def test_a_node_stands_behind_what_it_reads(graph: Graph) -> None:
    for sender, receiver in some(graph.edges()):
        assert graph.node_index[sender] < graph.node_index[owner(receiver)]


def test_heads_share_keys_in_consecutive_groups() -> None:
    graph = Graph(Shape(1, 4, 2))
    assert graph.inputs["L0H1"] == ("L0H1.q", "L0KV0.k", "L0KV0.v")
    assert graph.outputs["L0KV1.v"] == ("L0H2", "L0H3")


@given(shapes(grouped=True))
def test_joined_heads_cannot_share_keys(shape: Shape) -> None:
    with refused(GraphError, "C453"):
        Graph(shape, split_inputs=False)


@pytest.mark.parametrize("numbers", [(0, 1, 1), (1, 0, 1), (1, 1, 0), (1, 4, 3), (1, 2, 4), (10**9, 1, 1)])
def test_no_such_shape(numbers: tuple[int, int, int]) -> None:
    with refused(GraphError, "C452"):
        Shape(*numbers)


@pytest.mark.parametrize(
    ("edge", "why"),
    [
        (("L0H0", "L9H9.q"), "L9H9.q is not a receiver of this graph"),
        (("logits", "MLP0"), "logits is not a sender of this graph"),
        (("MLP1", "L0H0.q"), "MLP1 is computed after the input L0H0.q"),
        (("L0H0", "L0H1.q"), "L0H0 is computed after the input L0H1.q"),
    ],
)
def test_an_edge_that_is_not_there_says_why(edge: tuple[str, str], why: str) -> None:
    with refused(GraphError, "C454", hint=why):
        Graph(Shape(2, 2, 2)).order(Edge(*edge))


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            "L",
            "L1H",
            "9.10",
            "l1h1",
            "L1H1.o",
            "MLP",
            "MLP1.q",
            "MLP1N",
            "MLP1N01",
            "MLP1N2.q",
            "embed ",
            "embed.q",
            "L1KV",
            "L1.H1",
        ),
        *("L01H1", "L1H01", "MLP00", "L\u0661H1", "L1H1\n", "L" + "9" * 5000),
    ],
)
def test_not_a_name(name: str) -> None:
    with refused(GraphError, "C451"):
        Node.parse(name)


@given(st.text(alphabet="LHKVMPNqkv.0123456789embdlogits", max_size=10))
def test_a_name_that_parses_is_spelled_one_way(name: str) -> None:
    try:
        node = Node.parse(name)
    except GraphError:
        return
    assert str(node) == name


def test_graphs_say_what_they_are() -> None:
    assert str(Graph(Shape(2, 4, 2))) == (
        "2 layers of 4 heads sharing 2 keys and values, MLPs, by head, q/k/v apart"
    )
    assert str(Graph(Shape(1, 2, 2, parallel=True), "layers", split_inputs=False)) == (
        "1 layers of 2 heads, parallel MLPs, by attention layer, q/k/v joined"
    )
    assert str(Graph(Shape(2, 2, 2, mlps=False), pos_embed=True)) == (
        "2 layers of 2 heads, no MLPs, by head, q/k/v apart, tokens and positions apart"
    )
