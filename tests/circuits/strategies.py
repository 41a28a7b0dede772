"""Hypothesis strategies for shapes, graphs and circuits, for the tests of every room."""

from __future__ import annotations

from typing import Any, cast

from hypothesis import strategies as st

from nncirc.circuits.circuit import Circuit
from nncirc.circuits.graph import Graph, Shape
from nncirc.circuits.made import Made
from nncirc.circuits.names import Edge

scores = st.none() | st.floats(allow_nan=False, allow_infinity=False)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
made = st.dictionaries(st.text(), json_values, max_size=3)


@st.composite
def shapes(draw: st.DrawFn, *, max_layers: int = 3, max_heads: int = 4, grouped: bool | None = None) -> Shape:
    """Shapes of small models, with and without MLPs, parallel and not.

    `grouped`: True for fewer key-value heads than heads, False for as many, None for either.
    """
    n_layers = draw(st.integers(1, max_layers))
    n_heads = draw(st.integers(2 if grouped else 1, max_heads))
    kv = [n for n in range(1, n_heads + 1) if n_heads % n == 0]
    kv = {True: kv[:-1], False: kv[-1:], None: kv}[grouped]
    return Shape(n_layers, n_heads, draw(st.sampled_from(kv)), draw(st.booleans()), draw(st.booleans()))


@st.composite
def graphs(
    draw: st.DrawFn,
    *,
    of: st.SearchStrategy[Shape] | None = None,
    finest: bool = False,
    positions: bool = True,
    neurons: bool = True,
) -> Graph:
    """Graphs of small models.

    `finest`: only those of single heads with q, k and v apart; `positions`: also graphs of positions;
    `neurons`: also graphs in which some MLPs are split.
    """
    shape = draw(shapes() if of is None else of)
    if finest:
        return Graph(shape)
    layers = draw(st.booleans())
    may_join = layers or shape.n_kv_heads == shape.n_heads
    joined = may_join and draw(st.booleans())
    at = draw(st.sampled_from([(), (), (), ("0", "1", "2"), ("S.2", "end", "other")])) if positions else ()
    split = st.sets(st.integers(0, shape.n_layers - 1)) if neurons and shape.mlps else st.just(set[int]())
    counts = tuple((layer, draw(st.integers(1, 3))) for layer in sorted(draw(split)))
    return Graph(shape, "layers" if layers else "heads", not joined, draw(st.booleans()), at, counts)


@st.composite
def edge_sets(draw: st.DrawFn, graph: Graph) -> list[Edge]:
    """Subsets of a graph's edges, from none to all: about a quarter, a half or three quarters of them."""
    bits = st.integers(0, (1 << graph.n_edges) - 1)
    first, second = draw(bits), draw(bits)
    mask = draw(st.sampled_from([first, first & second, first | second, 0, (1 << graph.n_edges) - 1]))
    return [edge for i, edge in enumerate(graph.edges()) if mask >> i & 1]


@st.composite
def circuits(draw: st.DrawFn, of: st.SearchStrategy[Graph] | None = None) -> Circuit:
    """Circuits of small graphs, with scores, named groups and provenance."""
    graph = draw(graphs() if of is None else of)
    pool = draw(st.lists(scores, min_size=1, max_size=5))
    edges = draw(edge_sets(graph))
    members = st.lists(st.sampled_from(graph.nodes), max_size=3, unique=True).map(tuple)
    return Circuit(
        graph,
        {edge: pool[i % len(pool)] for i, edge in enumerate(edges)},
        draw(st.dictionaries(st.text(max_size=8), members, max_size=3)),
        cast(Made, draw(made)),
    )


@st.composite
def circuit_pairs(draw: st.DrawFn, of: st.SearchStrategy[Graph] | None = None) -> tuple[Circuit, Circuit]:
    """Two circuits of one graph."""
    first = draw(circuits(of))
    return first, draw(circuits(st.just(first.graph)))
