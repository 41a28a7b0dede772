from __future__ import annotations

import re
from itertools import pairwise, product

import pytest
from hypothesis import given, strategies as st
from tests.circuits.strategies import graphs
from tests.refused import refused

from nncirc.circuits.circuit import Circuit
from nncirc.circuits.errors import GraphError
from nncirc.circuits.graph import Graph, Shape, owner
from nncirc.circuits.names import Edge, Input, Node
from nncirc.circuits.reference import Path, Term, expand, from_paths

GPT2 = Graph(Shape(12, 12, 12))
SMALL = Graph(Shape(3, 4, 4))
SHARED = Graph(Shape(3, 4, 2))

THERE_IS = "the graph has layers 0 to 2 with heads 0 to 3 and MLPs"
SHARING = "the graph has layers 0 to 2 with heads 0 to 3 that share keys and values 0 to 1 and MLPs"
LAYERS = "the graph has layers 0 to 2 with whole attention layers and MLPs"
NO_MLPS = "the graph has layers 0 to 0 with heads 0 to 0, and no MLPs"
ONLY_ATTENTION = "only attention has the inputs q, k and v"
FIRST = "embeddings read nothing: they must be the first step of a path"
LAST = "logits sends nothing: it must be the last step of a path"


def path(text: str) -> Path:
    """`a.q, b -> c` as plain data."""
    steps: list[list[tuple[str, Input | None]]] = []
    for step in text.split(" -> "):
        terms: list[tuple[str, Input | None]] = []
        for term in step.split(", "):
            name, _, which = term.partition(".")
            terms.append((name, which or None))  # type: ignore[arg-type]
        steps.append(terms)
    return steps


def edges(graph: Graph, *paths: str, **groups: list[str]) -> list[str]:
    return [str(edge) for edge in from_paths(graph, groups, [path(text) for text in paths]).edges]


def test_indirect_object_identification() -> None:
    """The groups of Wang et al. (2022), and the paths that the target script of the language gives."""
    groups = {
        "duplicate_token": ["L0H1", "L0H10", "L3H0"],
        "previous_token": ["L2H2", "L4H11"],
        "induction": ["L5H5", "L5H8", "L5H9", "L6H9"],
        "s_inhibition": ["L7H3", "L7H9", "L8H6", "L8H10"],
        "mover": ["L9H6", "L9H9", "L10H0", "L10H7", "L11H10"],
    }
    paths = [
        "embed -> duplicate_token -> s_inhibition.v",
        "embed -> previous_token -> induction.k",
        "induction -> s_inhibition.v",
        "s_inhibition -> mover.q",
        "mover -> logits",
    ]
    circuit = from_paths(GPT2, groups, [path(text) for text in paths])
    assert len(circuit) == 3 * 3 + 3 * 4 + 2 * 3 + 2 * 4 + 4 * 4 + 4 * 5 + 5
    assert circuit.groups["mover"] == ("L9H6", "L9H9", "L10H0", "L10H7", "L11H10")
    assert circuit.made == {"method": "reference"}
    assert circuit.nodes == (
        "embed",
        *(n for n in GPT2.nodes if any(n in g for g in groups.values())),
        "logits",
    )


def test_a_head_is_entered_by_all_its_inputs() -> None:
    assert edges(SMALL, "embed -> L1H2") == ["embed -> L1H2.q", "embed -> L1H2.k", "embed -> L1H2.v"]
    assert edges(SHARED, "embed -> L1H2") == ["embed -> L1H2.q", "embed -> L1KV1.k", "embed -> L1KV1.v"]
    assert edges(Graph(SMALL.shape, split_inputs=False), "embed -> L1H2") == ["embed -> L1H2"]
    assert edges(Graph(SMALL.shape, "layers"), "embed -> L1.v -> L2.q") == ["embed -> L1.v", "L1 -> L2.q"]


def test_heads_of_a_group_share_an_edge() -> None:
    assert edges(SHARED, "embed -> L1H2.k, L1H3.k") == ["embed -> L1KV1.k"]
    assert edges(SHARED, "embed -> L1KV1") == ["embed -> L1KV1.k", "embed -> L1KV1.v"]


def test_a_middle_step_is_entered_by_its_input_and_left_by_its_output() -> None:
    assert edges(SMALL, "embed -> L0H1.v -> L1H0.k, MLP2 -> logits") == [
        "embed -> L0H1.v",
        "L0H1 -> L1H0.k",
        "L0H1 -> MLP2",
        "L1H0 -> logits",
        "MLP2 -> logits",
    ]


def test_patterns_skip_what_would_go_back_in_time() -> None:
    assert edges(SMALL, "MLP* -> MLP*") == ["MLP0 -> MLP1", "MLP0 -> MLP2", "MLP1 -> MLP2"]
    assert edges(SMALL, "late -> L*H3.q", late=["L1H0", "L2H0"]) == ["L1H0 -> L2H3.q"]
    assert edges(SMALL, "input -> input", input=["embed", "MLP*"])[:2] == ["embed -> MLP0", "embed -> MLP1"]


@st.composite
def names(draw: st.DrawFn, graph: Graph) -> str:
    at = draw(st.sampled_from(["", *(f"@{position}" for position in graph.positions)]))
    return draw(whole_names(graph.base)) + at


@st.composite
def whole_names(draw: st.DrawFn, graph: Graph) -> str:
    name = draw(st.sampled_from(graph.nodes))
    node = Node.parse(name)
    if node.kind == "mlp":
        return draw(st.sampled_from([name, "MLP*"]))
    if node.kind == "neuron":
        return draw(st.sampled_from([name, f"MLP{node.layer}N*", f"MLP*N{node.index}", "MLP*N*"]))
    if node.kind == "head":
        return draw(st.sampled_from([name, f"L{node.layer}H*", f"L*H{node.index}", "L*H*"]))
    return name


@given(st.data())
def test_paths_by_brute_force(data: st.DataObject) -> None:
    graph = data.draw(graphs())
    groups = data.draw(st.dictionaries(st.sampled_from("ab"), st.lists(names(graph), min_size=1), max_size=2))
    at = st.sampled_from(["", *(f"@{position}" for position in graph.positions)])
    group = st.tuples(st.sampled_from([*groups] or ["embed"]), at).map("".join)
    term = names(graph) | group
    inputs: st.SearchStrategy[Input | None] = st.sampled_from([None, None, "q", "k", "v"])
    step = st.lists(st.tuples(term, inputs), min_size=1, max_size=2)
    steps = data.draw(st.lists(step, min_size=2, max_size=3))

    def nodes(name: str) -> set[str]:
        name, _, position = name.partition("@")
        if name in groups:
            found = {node for member in groups[name] for node in nodes(member)}
        elif graph.positions:
            found = {f"{node}@{at}" for node in whole_nodes(name) for at in graph.positions}
        else:
            found = whole_nodes(name)
        return {node for node in found if not position or node.partition("@")[2] == position}

    def whole_nodes(name: str) -> set[str]:
        wanted = re.findall(r"\*|\d+|[^\d*]+", name)
        return {
            node
            for node in graph.base.nodes
            if len(parts := re.findall(r"\d+|\D+", node)) == len(wanted)
            and all(
                w in (part, "*" if part.isdigit() else None) for w, part in zip(wanted, parts, strict=True)
            )
        }

    expected: set[Edge] = set()
    for senders, receivers in pairwise(steps):
        for (sender, _), (receiver, which) in product(senders, receivers):
            for a, b in product(nodes(sender), nodes(receiver)):
                entered = {
                    r
                    for r in graph.receivers
                    if (owner(r) == b or b in graph.outputs[r])
                    and r.partition("@")[2] == b.partition("@")[2]
                    and (which is None or r.partition("@")[0].endswith(f".{which}"))
                }
                expected |= {Edge(a, r) for r in entered if Edge(a, r) in graph}
    try:
        circuit = from_paths(graph, groups, [steps])
    except GraphError as error:
        assert error.code in ("C456", "C457")
        assert error.hint
    else:
        assert set(circuit.edges) == expected


def scored(text: str, *scores: float | None) -> Circuit:
    graph = Graph(Shape(2, 2, 2, mlps=False), positions=("S", "other"))
    paths = [[[term(each)] for each in one.split(" -> ")] for one in text.split("; ")]
    return from_paths(graph, {"early": ["L0H*@S"]}, paths, scores)


def term(text: str) -> Term:
    """`L0H1.k@S` as `from_paths` takes it."""
    whole, at, position = text.partition("@")
    name, _, which = whole.partition(".")
    return name + at + position, which or None  # type: ignore[return-value]


def test_scores_of_paths() -> None:
    """A score stands whether the edge is named before or behind it by another path."""
    circuit = scored(
        "embed@S -> early; embed@S -> L0H1.k@S; L0H0@S -> logits@S; early -> logits", None, 2, -1, None
    )
    assert {str(edge): score for edge, score in circuit.scores.items() if score is not None} == {
        "embed@S -> L0H1.k@S": 2,
        "L0H0@S -> logits@S": -1,
    }
    assert len(circuit) == 8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "embed@S -> L0H1@S",
            "a score belongs to one edge; this path has 3, such as embed@S -> L0H1.q@S and embed@S -> ",
        ),
        (
            "embed -> logits",
            "a score belongs to one edge; this path has 2, such as embed@S -> logits@S and embed@other -> ",
        ),
        ("embed@S -> logits@S; embed@S -> logits@S", "the edge embed@S -> logits@S has two scores"),
    ],
)
def test_scores_of_several_edges(text: str, message: str) -> None:
    with refused(GraphError, "C468", message):
        scored(text, *[0.5] * (text.count(";") + 1))


def test_nodes_at_positions_are_entered_there() -> None:
    circuit = scored("embed@S -> L1H0.k@S; embed -> early@S; early -> L1H1")
    assert [str(edge) for edge in circuit.edges if edge.receiver.startswith("L1H")] == [
        "L0H0@S -> L1H1.q@S",
        "L0H1@S -> L1H1.q@S",
        "embed@S -> L1H0.k@S",
        "L0H0@S -> L1H1.k@S",
        "L0H1@S -> L1H1.k@S",
        "L0H0@S -> L1H1.v@S",
        "L0H1@S -> L1H1.v@S",
    ]


@pytest.mark.parametrize(
    ("text", "code", "hint"),
    [
        ("embed@S -> logits@other", "C456", "edges join nodes at the same position"),
        ("embed@end -> logits", "C457", "and is split at S, other"),
        ("embed -> early@other", "C457", "positions of the graph: S, other"),
    ],
)
def test_wrong_positions(text: str, code: str, hint: str) -> None:
    with refused(GraphError, code) as caught:
        scored(text)
    assert hint in str(caught.value.hint)


@given(graphs(neurons=False))
def test_patterns_name_the_whole_graph(graph: Graph) -> None:
    heads = "L*" if graph.attention == "layers" else "L*H*"
    senders = [*graph.base.sources, heads] + ["MLP*"] * graph.shape.mlps
    receivers = [heads] + ["MLP*"] * graph.shape.mlps + ["logits"]
    steps: Path = [[(name, None) for name in step] for step in (senders, receivers)]
    try:
        circuit = from_paths(graph, {}, [steps])
    except GraphError as error:
        assert error.code == "C456"
    else:
        assert circuit.edges == Circuit.full(graph).edges


@pytest.mark.parametrize(
    ("text", "code", "message", "hint"),
    [
        ("embed -> L*", "C457", "L* matches no node of the graph", THERE_IS),
        (
            "embed -> mover",
            "C451",
            "expected a group or a node, found 'mover'",
            "groups: early; nodes are embed, pos_embed, L9H6, L5H*, MLP3, MLP3N17, logits",
        ),
        ("embed -> L9H0", "C457", "the graph has no node L9H0", THERE_IS),
        ("embed -> L9H*", "C457", "L9H* matches no node of the graph", THERE_IS),
        ("embed -> L0", "C457", "the graph has no node L0", THERE_IS),
        ("embed -> MLP0.q", "C457", "MLP0 has no input .q (MLP0.q)", ONLY_ATTENTION),
        ("embed -> early.q", "C457", "MLP0 has no input .q (early.q)", ONLY_ATTENTION),
        (
            "L2H0 -> early",
            "C456",
            "the graph has no edge L2H0 -> early",
            "L2H0 is computed after the input L0H0.q; edges go only to later nodes",
        ),
        (
            "L0H0, L2H2 -> L1H0",
            "C456",
            "L2H2 has no edge in [L0H0, L2H2] -> L1H0",
            "L2H2 is computed after the input L1H0.q; edges go only to later nodes",
        ),
        ("L0H0 -> embed", "C456", "the graph has no edge L0H0 -> embed", FIRST),
        ("logits -> L0H0", "C456", "the graph has no edge logits -> L0H0", LAST),
        ("embed", "C456", "a path needs at least two steps: a -> b", "add a receiver: `-> logits`"),
    ],
)
def test_wrong_paths(text: str, code: str, message: str, hint: str) -> None:
    with pytest.raises(GraphError) as caught:
        from_paths(SMALL, {"early": ["L0H0", "MLP0"]}, [path(text)])
    assert (caught.value.code, caught.value.message, caught.value.hint) == (code, message, hint)


@pytest.mark.parametrize(
    ("graph", "text", "code", "hint"),
    [
        (SHARED, "L1KV0 -> logits", "C456", "L1KV0 has no output of its own: name the heads that share it"),
        (
            SHARED,
            "embed -> L1KV0.q",
            "C457",
            "key-value heads share only .k and .v; each head has its own .q",
        ),
        (SHARED, "embed -> L9KV0", "C457", SHARING),
        (Graph(Shape(1, 1, 1, mlps=False)), "embed -> MLP*", "C457", NO_MLPS),
        (
            Graph(SMALL.shape, split_inputs=False),
            "embed -> L0H0.q",
            "C457",
            "the graph joins q, k and v: omit the input, or set inputs = [q, k, v] in the graph",
        ),
        (Graph(SMALL.shape, "layers"), "embed -> L0H0", "C457", LAYERS),
    ],
)
def test_wrong_paths_of_other_graphs(graph: Graph, text: str, code: str, hint: str) -> None:
    with refused(GraphError, code, hint=hint):
        from_paths(graph, {}, [path(text)])


@pytest.mark.parametrize(
    ("group", "members", "code"),
    [
        ("L0H0", ["L0H1"], "C451"),
        ("MLP*", ["MLP0"], "C451"),
        ("early", [], "C457"),
        ("early", ["L7H7"], "C457"),
        ("early", ["L0H0.q"], "C457"),
        ("early", ["late"], "C451"),
    ],
)
def test_wrong_groups(group: str, members: list[str], code: str) -> None:
    with refused(GraphError, code):
        from_paths(SMALL, {group: members}, [])


def test_expand() -> None:
    assert expand(SMALL, "L*H1") == ("L0H1", "L1H1", "L2H1")
    assert expand(SHARED, "L2KV*") == ("L2KV0", "L2KV1")
    assert expand(Graph(Shape(12, 12, 12)), "L1H1") == ("L1H1",)


def test_paths_over_neurons() -> None:
    graph = Graph(Shape(2, 1, 1), neurons=((1, 2),))
    assert edges(graph, "MLP0 -> MLP1", "MLP1N* -> logits") == [
        *("MLP0 -> MLP1", "MLP1N0 -> logits", "MLP1N1 -> logits")
    ]
    hint = "MLP1 is split into neurons: name them, MLP1N*, or do not split it"
    with refused(GraphError, "C456", hint=hint):
        edges(graph, "MLP1 -> logits")
