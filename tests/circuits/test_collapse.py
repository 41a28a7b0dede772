from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import assume, given, strategies as st
from tests.circuits.strategies import circuit_pairs, circuits, graphs, shapes
from tests.refused import refused

from nncirc.circuits.circuit import Circuit, intersection, prune, union
from nncirc.circuits.collapse import (
    Scores,
    collapse_to,
    join_heads,
    join_inputs,
    join_neurons,
    regroup,
    ungroup,
)
from nncirc.circuits.errors import GraphError
from nncirc.circuits.graph import Graph, Shape
from nncirc.circuits.names import Edge, Node


@st.composite
def coarser(draw: st.DrawFn, fine: Graph) -> Graph:
    """Any graph that a circuit of this one may be collapsed to, itself among them."""
    shape = draw(st.sampled_from([fine.shape, replace(fine.shape, n_kv_heads=fine.shape.n_heads)]))
    attention = draw(st.sampled_from([fine.attention, "layers"]))
    split = fine.split_inputs and draw(st.booleans())
    assume(split or attention == "layers" or shape.n_kv_heads == shape.n_heads)
    pos_embed = fine.pos_embed and draw(st.booleans())
    positions = draw(st.sampled_from([fine.positions, ()]))
    neurons = tuple(each for each in fine.neurons if draw(st.booleans()))
    return Graph(shape, "layers" if attention == "layers" else "heads", split, pos_embed, positions, neurons)


def images(name: str, fine: Graph, coarse: Graph) -> set[str]:
    """Every node of the coarse graph that stands for a node of the fine one, by what heads it concerns."""

    def concerns(name: str, graph: Graph) -> set[tuple[object, ...]]:
        node = Node.parse(name)
        where = node.position if coarse.positions else None
        n_heads, n_kv = graph.shape.n_heads, graph.shape.n_kv_heads
        if node.kind in ("embed", "pos_embed", "logits", "mlp"):
            return {(node.kind, node.layer, where)}
        inputs = "qkv" if node.input is None and not graph.split_inputs else (node.input,)
        if node.kind == "attention":
            heads = range(n_heads)
        elif node.kind == "kv":
            heads = range(n_heads)
            shared = [h for h in heads if h // (n_heads // n_kv) == node.index]
            return {(node.layer, h, i, where) for h in shared for i in inputs}
        else:
            assert node.index is not None
            heads = range(node.index, node.index + 1)
        return {(node.layer, h, i, where) for h in heads for i in inputs}

    here = concerns(name, fine)
    return {r for r in coarse.receivers if concerns(r, coarse) & here}


@given(st.data())
def test_an_edge_goes_where_its_ends_go(data: st.DataObject) -> None:
    circuit = data.draw(circuits())
    fine, coarse = circuit.graph, data.draw(coarser(circuit.graph))
    expected = set()
    for sender, receiver in circuit.edges:
        node = Node.parse(sender)
        to_layer = coarse.attention == "layers" and node.kind == "head"
        coarse_sender = f"L{node.layer}" if to_layer else sender.partition("@")[0]
        if node.kind == "pos_embed" and not coarse.pos_embed:
            coarse_sender = "embed"
        if node.kind == "neuron" and node.layer not in dict(coarse.neurons):
            coarse_sender = f"MLP{node.layer}"
        if coarse.positions:
            coarse_sender += f"@{node.position}"
        expected |= {Edge(coarse_sender, image) for image in images(receiver, fine, coarse)}
    assert set(collapse_to(circuit, coarse, scores="max_abs").edges) == expected


@given(st.data())
def test_collapse_keeps_unions_and_the_whole(data: st.DataObject) -> None:
    first, second = data.draw(circuit_pairs())
    coarse = data.draw(coarser(first.graph))
    collapse = partial(collapse_to, graph=coarse, scores="max_abs")  # sums of any floats may overflow
    both = collapse(union(first, second))
    assert both.edges == union(collapse(first), collapse(second)).edges
    shared = collapse(intersection(first, second))
    assert set(shared.edges) <= set(intersection(collapse(first), collapse(second)).edges)
    assert collapse(Circuit.full(first.graph)).edges == Circuit.full(coarse).edges


@given(st.data())
def test_collapse_keeps_paths(data: st.DataObject) -> None:
    circuit = prune(data.draw(circuits(graphs(of=shapes(grouped=False)))))
    collapsed = collapse_to(circuit, data.draw(coarser(circuit.graph)), scores="max_abs")
    assert prune(collapsed) == collapsed


@given(circuits(graphs(finest=True)), st.sampled_from(["sum", "max_abs"]))
def test_collapse_in_steps_is_collapse_at_once(circuit: Circuit, scores: Scores) -> None:
    assume(all(score is None or abs(score) < 1e100 for score in circuit.scores.values()))
    shape = replace(circuit.graph.shape, n_kv_heads=circuit.graph.shape.n_heads)
    steps = join_heads(join_inputs(circuit, scores=scores), scores=scores)
    once = collapse_to(circuit, Graph(shape, "layers", split_inputs=False), scores=scores)
    assert steps.edges == once.edges
    if scores == "max_abs":
        assert steps.scores == once.scores
    grouped = circuit.graph.shape.n_kv_heads < circuit.graph.shape.n_heads
    if not grouped:
        other = join_inputs(join_heads(circuit, scores=scores), scores=scores)
        assert other.edges == once.edges
        for edge, score in once.scores.items():
            size = sum(abs(s) for s in circuit.scores.values() if s is not None)
            for way in (steps, other):
                assert (way.scores[edge] is None) == (score is None)
                assert way.scores[edge] == (None if score is None else pytest.approx(score, abs=1e-9 * size))


@given(circuits(graphs(of=shapes(grouped=False), finest=True)))
def test_sums_stay_what_they_are(circuit: Circuit) -> None:
    values = [s for s in circuit.scores.values() if s is not None]
    assume(len(values) == len(circuit) and all(abs(s) < 1e100 for s in values))
    for collapsed in (join_inputs(circuit), join_heads(circuit)):
        total = math.fsum(s for s in collapsed.scores.values() if s is not None)
        assert total == pytest.approx(math.fsum(values), abs=1e-9 * sum(map(abs, values)))


FINE = Graph(Shape(2, 4, 4))


@pytest.mark.parametrize(
    ("q", "k", "summed", "largest"),
    [
        (1.0, 2.0, 3.0, 2.0),
        (1.0, -2.0, -1.0, -2.0),
        (-2.0, 2.0, 0.0, 2.0),
        (None, 2.0, None, None),
        (None, None, None, None),
    ],
)
def test_scores(q: float | None, k: float | None, summed: float | None, largest: float | None) -> None:
    circuit = Circuit(FINE, {Edge("embed", "L0H0.q"): q, Edge("embed", "L0H0.k"): k})
    assert join_inputs(circuit).scores == {Edge("embed", "L0H0"): summed}
    assert join_inputs(circuit, scores="max_abs").scores == {Edge("embed", "L0H0"): largest}


def test_a_sum_that_overflows_is_refused() -> None:
    circuit = Circuit(FINE, {Edge("embed", "L0H0.q"): 1e308, Edge("embed", "L0H0.k"): 1e308})
    with refused(GraphError, "C458", "embed -> L0H0"):
        join_inputs(circuit)


def test_a_shared_key_enters_every_head_of_its_group() -> None:
    circuit = Circuit(
        Graph(Shape(2, 4, 2)),
        {Edge("L0H3", "L1KV0.k"): 0.5, Edge("L0H3", "L1H1.q"): 0.25},
        {"heads": ("L1KV0", "L1H3")},
    )
    joined = join_inputs(circuit)
    assert joined.graph == Graph(Shape(2, 4, 4), split_inputs=False)
    assert joined.scores == {Edge("L0H3", "L1H0"): 0.5, Edge("L0H3", "L1H1"): 0.75}
    assert joined.groups == {"heads": ("L1H0", "L1H1", "L1H3")}
    layers = join_heads(circuit)
    assert layers.graph == Graph(Shape(2, 4, 2), "layers")
    assert layers.scores == {Edge("L0", "L1.q"): 0.25, Edge("L0", "L1.k"): 0.5}
    assert layers.groups == {"heads": ("L1",)}


def test_collapse_says_how_it_was_made() -> None:
    circuit = Circuit.of(FINE, [], made={"method": "acdc"})
    assert join_heads(circuit, scores="max_abs").made == {
        "method": "collapse",
        "scores": "max_abs",
        "of": [{"method": "acdc"}],
    }


@given(circuits(graphs(finest=True)))
def test_regroup_undoes_ungroup(circuit: Circuit) -> None:
    apart = ungroup(circuit)
    assert apart.graph.shape.n_kv_heads == apart.graph.shape.n_heads
    back = regroup(apart, circuit.graph.shape.n_kv_heads)
    assert (back.graph, back.scores, back.made) == (circuit.graph, circuit.scores, circuit.made)


@pytest.mark.parametrize("scores", [{"L0H0.k": 1.0}, {"L0H0.k": 1.0, "L0H1.k": 2.0}])
def test_heads_that_differ_are_no_group(scores: dict[str, float]) -> None:
    circuit = Circuit(Graph(Shape(1, 2, 2)), {Edge("embed", r): s for r, s in scores.items()})
    with pytest.raises(
        GraphError, match=r"embed -> L0KV0\.k .* L0H0\.k: 1\.0, L0H1\.k: (absent|2\.0)"
    ) as caught:
        regroup(circuit, 1)
    assert caught.value.code == "C459"


@pytest.mark.parametrize(
    ("fine", "coarse"),
    [
        (FINE, Graph(Shape(3, 4, 4))),
        (FINE, Graph(Shape(2, 4, 2))),
        (FINE, Graph(Shape(2, 4, 4, parallel=True))),
        (FINE, Graph(Shape(2, 4, 4, mlps=False))),
        (Graph(Shape(2, 4, 4), "layers"), FINE),
        (FINE, Graph(Shape(2, 4, 4), pos_embed=True)),
        (Graph(Shape(2, 4, 4), split_inputs=False), FINE),
        (Graph(Shape(2, 4, 4), split_inputs=False), Graph(Shape(2, 4, 4), "layers")),
    ],
)
def test_no_collapse_to_what_is_not_coarser(fine: Graph, coarse: Graph) -> None:
    with refused(GraphError, "C459"):
        collapse_to(Circuit.full(fine), coarse)


@pytest.mark.parametrize("graph", [Graph(Shape(2, 4, 4), "layers"), Graph(Shape(2, 4, 2))])
def test_only_single_heads_can_be_put_into_groups(graph: Graph) -> None:
    with refused(GraphError, "C459"):
        regroup(Circuit.full(graph), 2)


def test_neurons_join_to_their_mlp() -> None:
    fine = Circuit(
        Graph(Shape(2, 1, 1), neurons=((0, 2), (1, 2))),
        {Edge("MLP0N0", "MLP1"): 1.0, Edge("MLP0N1", "MLP1"): -3.0, Edge("MLP1N1", "logits"): 0.5},
    )
    assert dict(join_neurons(fine).scores) == {Edge("MLP0", "MLP1"): -2.0, Edge("MLP1", "logits"): 0.5}
    half = collapse_to(fine, replace(fine.graph, neurons=((1, 2),)))
    assert dict(half.scores) == {Edge("MLP0", "MLP1"): -2.0, Edge("MLP1N1", "logits"): 0.5}
    for other in (((0, 3), (1, 2)), ((0, 2), (1, 4))):
        with refused(GraphError, "C459"):
            collapse_to(fine, replace(fine.graph, neurons=other))
