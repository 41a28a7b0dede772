"""Pictures of circuits: folding loses nothing, no text is markup, the same bytes every time."""

from __future__ import annotations

import hashlib
import os
import random
import re
import stat
import time
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings, strategies as st
from tests.circuits.strategies import circuits
from tests.end_to_end.command import printed
from tests.refused import refused

from nncirc.circuits.circuit import Circuit, prune
from nncirc.circuits.errors import FileError, GraphError
from nncirc.circuits.graph import Graph, Shape, owner
from nncirc.circuits.names import Edge
from nncirc.circuits.pictures import style
from nncirc.circuits.pictures.dot import to_dot
from nncirc.circuits.pictures.drawing import arrange
from nncirc.circuits.pictures.fold import fold
from nncirc.circuits.pictures.render import render, to_png, to_svg
from nncirc.circuits.pictures.text import number, one_line, printable, provenance, quoted, record, wrapped

SMALL = Graph(Shape(2, 2, 2))
GPT2 = Graph(Shape(12, 12, 12))
SVG = "{http://www.w3.org/2000/svg}"
TITLE = "{http://www.w3.org/1999/xlink}title"

FOUND = {
    Edge("embed", "L0H1.q"): 0.5,
    Edge("embed", "L1H0.v"): 0.25,
    Edge("L0H1", "L1H0.k"): -0.125,
    Edge("L0H1", "MLP1"): 0.0,
    Edge("L1H0", "logits"): 0.75,
    Edge("MLP1", "logits"): None,
}
MADE = {
    "method": "acdc",
    "metric": "kl_divergence",
    "direction": "noise",
    "corruption": "abc",
    "threshold": 0.05,
    "seed": 0,
}


def found(**rest: object) -> Circuit:
    return Circuit(SMALL, FOUND, **rest)  # type: ignore[arg-type]


def scored(graph: Graph, size: int, seed: int = 0) -> Circuit:
    rng = random.Random(seed)
    edges = rng.sample(list(graph.edges()), size)
    return prune(Circuit(graph, {edge: rng.gauss(0, 1) for edge in edges}))


def statements(dot: str) -> dict[str, dict[str, str]]:
    """The attributes of every node and edge statement, by what stands before the bracket."""
    parsed: dict[str, dict[str, str]] = {}
    for line in dot.splitlines():
        match = re.fullmatch(r'\s*("(?:[^"\\]|\\.)*"[^\[{}]*?) \[(.*)\]', line)
        if match:
            pairs = re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|[^,\]]+)', match[2])
            parsed.setdefault(match[1], {}).update({key: value.strip('"') for key, value in pairs})
    return parsed


def drawn_edges(dot: str) -> dict[str, dict[str, str]]:
    edges = {what: how for what, how in statements(dot).items() if "->" in what and "legend" not in what}
    return {what.replace('"', ""): how for what, how in edges.items() if "rank 0" not in what}


def words(svg: str) -> list[str]:
    return ["".join(text.itertext()) for text in ET.fromstring(svg).iter(f"{SVG}text")]


def hovers(svg: str) -> set[str]:
    return {a.attrib[TITLE] for a in ET.fromstring(svg).iter(f"{SVG}a")}


# What is drawn


def test_every_edge_enters_where_it_is_read() -> None:
    assert set(drawn_edges(to_dot(found()))) == {
        "embed:n -> L0H1:q:s",
        "embed:n -> L1H0:v:s",
        "L0H1:n -> L1H0:k:s",
        "L0H1:n -> MLP1",
        "L1H0:n -> logits",
        "MLP1:n -> logits",
    }


def test_inputs_have_their_colours_and_their_legend() -> None:
    dot = to_dot(found())
    edges = drawn_edges(dot)
    for edge, which in (
        ("embed:n -> L0H1:q:s", "q"),
        ("L0H1:n -> L1H0:k:s", "k"),
        ("embed:n -> L1H0:v:s", "v"),
    ):
        assert edges[edge]["color"].startswith(style.INPUT_COLOUR[which])
    assert edges["L1H0:n -> logits"]["color"].startswith(style.DIRECT)
    samples = {
        how["tooltip"]: how for what, how in statements(dot).items() if "from" in what and "->" in what
    }
    assert samples["query"]["color"] == style.INPUT_COLOUR["q"]
    assert samples["key"]["color"] == style.INPUT_COLOUR["k"]
    assert samples["value"]["color"] == style.INPUT_COLOUR["v"]
    assert {"query", "key", "value", "MLP or logits", "positive", "negative", "no score"} <= set(
        words(to_svg(dot))
    )


def test_legend_names_only_what_is_there() -> None:
    dot = to_dot(Circuit(SMALL, {Edge("embed", "L0H1.q"): 0.5, Edge("L0H1", "logits"): 0.25}))
    said = set(words(to_svg(dot)))
    assert "query" in said
    assert not {"key", "value", "positive", "negative", "no score", "only in the reference"} & said


def test_kinds_have_their_shapes() -> None:
    nodes = statements(to_dot(found()))
    assert nodes['"L0H1"']["shape"] == "record"
    assert nodes['"MLP1"']["shape"] == "ellipse"
    assert "rounded" in nodes['"embed"']["style"]


def test_neurons_are_drawn_above_their_mlp_as_it_is() -> None:
    graph = Graph(Shape(1, 1, 1), neurons=((0, 3),))
    circuit = Circuit.of(graph, [Edge("embed", "MLP0"), Edge("MLP0N0", "logits"), Edge("MLP0N2", "logits")])
    dot = to_dot(circuit)
    nodes = statements(dot)
    assert nodes['"MLP0N2"']["shape"] == nodes['"MLP0"']["shape"] == "ellipse"
    assert "MLP0 -> MLP0N2 [color" in dot.replace('"', "")


def many_neurons(count: int, targets: list[str], score: float = 0.5) -> Circuit:
    """Neurons of one MLP, each with an edge to one of the targets in turn."""
    graph = Graph(Shape(2, 4, 4), neurons=((0, 100),))
    edges = {Edge(f"MLP0N{i}", targets[i % len(targets)]): score + i / 1000 for i in range(count)}
    heads = {Edge(target.split(".")[0], "logits"): 1.0 for target in targets if target != "logits"}
    return Circuit(graph, {Edge("embed", "MLP0"): 1.0} | edges | heads)


def test_many_neurons_that_do_alike_are_one_node() -> None:
    circuit = many_neurons(40, ["L1H0.v", "L1H1.k", "logits"])
    dot = to_dot(circuit)
    said = words(to_svg(dot))
    assert {"MLP0: 14 neurons", "MLP0: 13 neurons"} <= set(said)
    # A line of several edges still enters where these do, as wide as the strongest of them.
    line = drawn_edges(dot)["MLP0N0:n -> L1H0:v:s"]
    assert line["tooltip"] == "MLP0N0 -> L1H0 (v), 14 edges: score 0.539"
    drawing = arrange(circuit, None, 120)
    assert sum(len(line.edges) for line in drawing.lines) == len(circuit)
    assert not drawing.counted
    assert "are one node" in " ".join(said)


def test_neurons_of_other_signs_are_not_one_node() -> None:
    for_, against = many_neurons(20, ["logits"]), many_neurons(40, ["logits"], score=-0.5)
    late = {edge: score for edge, score in against.scores.items() if edge not in for_.scores}
    said = words(to_svg(to_dot(Circuit(for_.graph, {**for_.scores, **late}))))
    assert said.count("MLP0: 20 neurons") == 2


def test_few_neurons_are_single_and_joined_to_their_mlp() -> None:
    said = " ".join(words(to_svg(to_dot(many_neurons(12, ["logits"])))))
    assert "MLP0N11" in said
    assert "neuron of an MLP" in said
    assert "A neuron reads what its MLP reads." in said
    assert "keys and values" not in said


def test_neurons_only_in_the_reference_are_drawn_with_their_group() -> None:
    circuit = many_neurons(40, ["logits"])
    reference = many_neurons(40, ["L1H0.v"])
    drawing = arrange(circuit, reference, 120)
    assert {(line.tail, line.head, len(line.edges)) for line in drawing.missing} == {
        ("MLP0N0", "L1H0", 40),
        ("L1H0", "logits", 1),
    }


def test_long_ranks_are_folded_into_rows() -> None:
    graph = Graph(Shape(2, 40, 40))
    edges = [(Edge("embed", f"L0H{i}.v"), Edge(f"L0H{i}", "logits")) for i in range(40)]
    drawing = arrange(Circuit.of(graph, [edge for pair in edges for edge in pair]), None, 120)
    rows = [names for stage, names in drawing.stages.items() if stage.layer == 0]
    assert [len(names) for names in rows] == [13, 13, 14]
    assert [name for names in rows for name in names] == [f"L0H{i}" for i in range(40)]
    svg = to_svg(to_dot(drawing.circuit))
    width = float(ET.fromstring(svg).attrib["viewBox"].split()[2])
    assert width < 1400  # 40 in a row take 2,300
    assert words(svg).count("layer 0") == 1


# Positions

LANES = Graph(Shape(2, 2, 2), positions=("S.1", "S.2", "end"))
MOVED = {
    Edge("embed@S.2", "L1H0.v@S.2"): 0.5,
    Edge("L1H0@end", "logits@end"): 0.5,
    Edge("embed@S.1", "MLP0@S.1"): 0.5,
    Edge("MLP0@S.1", "L1H1.k@S.1"): 0.25,
    Edge("L1H1@end", "logits@end"): 0.25,
}


def at(svg: str) -> dict[str, tuple[float, float]]:
    """Where the text of each node is."""
    found = {}
    for group in ET.fromstring(svg).iter(f"{SVG}g"):
        title, text = group.find(f"{SVG}title"), group.find(f".//{SVG}text")
        if group.attrib.get("class") == "node" and title is not None and title.text and text is not None:
            found[title.text] = float(text.attrib["x"]), -float(text.attrib["y"])
    return found


def test_each_position_has_a_lane_in_its_order() -> None:
    svg = to_svg(to_dot(Circuit(LANES, MOVED)))
    places = at(svg)
    spans = []
    for position in LANES.positions:
        xs = [x for name, (x, _) in places.items() if name.endswith(f"@{position}")]
        spans += [min(xs), max(xs)]
    assert spans == sorted(spans)
    assert max(x for name, (x, _) in places.items() if name.startswith("rank")) < spans[0]
    # Layers go up all the same, side by side in all lanes.
    assert places["embed@S.1"][1] == places["embed@S.2"][1] < places["MLP0@S.1"][1] < places["L1H1@S.1"][1]
    feet = [places[f"lane {i}"] for i in range(3)]
    assert len({y for _, y in feet}) == 1
    assert feet[0][1] < places["embed@S.1"][1]


@pytest.mark.parametrize("title", ["t", None])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("shape", "size"), [(Shape(12, 12, 12), 3000), (Shape(4, 8, 2), 700)])
def test_lanes_are_apart_and_no_two_neighbours_are_parted(
    shape: Shape, size: int, seed: int, title: str | None
) -> None:
    """In the order of the positions, or now and then in its mirror image; without the ladder in any."""
    graph = Graph(shape, positions=("S", "end", "other"))
    drawing = arrange(scored(graph, size, seed), None, 120)
    places = at(to_svg(to_dot(drawing.circuit, title=title)))
    spans = [[places[name][0] for name in names] for names in drawing.lanes.values()]
    feet = [places[f"lane {i}"][0] for i in range(len(spans))]
    assert sorted(feet) in (feet, feet[::-1])
    ordered = sorted(spans)
    assert all(max(left) < min(right) for left, right in pairwise(ordered))


def test_positions_are_not_folded_into_one() -> None:
    edges = [
        Edge(f"embed@{p}", f"L0H{i}.{which}@{p}") for p in ("S.1", "end") for i in (0, 1) for which in "qkv"
    ]
    edges += [Edge(f"L0H{i}@{p}", f"logits@{p}") for p in ("S.1", "end") for i in (0, 1)]
    folding = fold(Circuit.of(LANES, edges), 4, {})
    assert len(folding.lines) == 4
    assert folding.members["embed@S.1"] == ("embed@S.1",)
    assert folding.members["L0H0@end"] == ("L0H0@end", "L0H1@end")


def test_names_in_lanes_are_short_and_lanes_are_named() -> None:
    dot = to_dot(Circuit(LANES, MOVED))
    said = words(to_svg(dot))
    assert {"S.1", "S.2", "end", "L1H0", "MLP0", "embed", "logits"} <= set(said)
    assert not any("@" in word for word in said)
    assert statements(dot)['"L1H0@end"']["tooltip"] == "L1H0@end"
    assert "keys and values of a head at another position" in said


def test_positions_without_nodes_have_no_lane() -> None:
    edges = [Edge("embed@end", "MLP0@end"), Edge("MLP0@end", "logits@end")]
    drawing = arrange(Circuit.of(LANES, edges), None, 120)
    assert list(drawing.lanes) == ["end"]
    assert not arrange(found(), None, 120).lanes


def test_lanes_are_folded_alike() -> None:
    graph = Graph(Shape(1, 12, 12), positions=("S.1", "end"))
    edges = [Edge("embed@S.1", f"L0H{i}.v@S.1") for i in range(12)]
    edges += [Edge(f"L0H{i}@end", "logits@end") for i in range(12)]
    drawing = arrange(Circuit.of(graph, edges), None, 120)
    rows = [names for stage, names in drawing.stages.items() if stage.layer == 0]
    assert [len(names) for names in rows] == [12, 12]
    assert rows[0] == tuple(f"L0H{i}@{p}" for p in ("S.1", "end") for i in range(6))


def test_the_sign_is_seen() -> None:
    edges = drawn_edges(to_dot(found()))
    assert edges["L0H1:n -> L1H0:k:s"]["arrowhead"] == "tee"
    assert edges["embed:n -> L0H1:q:s"]["arrowhead"] == "normal"
    assert edges["L0H1:n -> MLP1"]["arrowhead"] == "normal"
    assert edges["MLP1:n -> logits"]["arrowhead"] == "empty"


def test_without_any_score_edges_are_neutral() -> None:
    edges = drawn_edges(to_dot(Circuit.of(SMALL, FOUND)))
    assert {how["arrowhead"] for how in edges.values()} == {"normal"}
    assert {how["penwidth"] for how in edges.values()} == {str(style.UNSCORED)}


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=20))
def test_width_and_opacity_grow_with_the_score(scores: list[float]) -> None:
    scale = style.Scale.of(scores)
    ranked = sorted(scores, key=abs)
    widths = [scale.width(score) for score in ranked]
    opacities = [int(scale.opacity(score), 16) for score in ranked]
    assert widths == sorted(widths)
    assert opacities == sorted(opacities)
    assert widths[-1] == (style.WIDEST if any(scores) else style.THINNEST)
    assert widths[0] >= style.THINNEST


def test_widths_in_the_picture() -> None:
    edges = drawn_edges(to_dot(found()))
    widths = [
        float(edges[edge]["penwidth"])
        for edge in (
            "L0H1:n -> MLP1",
            "L0H1:n -> L1H0:k:s",
            "embed:n -> L1H0:v:s",
            "embed:n -> L0H1:q:s",
            "L1H0:n -> logits",
        )
    ]
    assert all(thin < wide for thin, wide in pairwise(widths))


def test_layers_go_up_and_heads_are_below_their_mlp() -> None:
    # No two of these nodes are joined, so that nothing but their ranks puts one above the other.
    order = ["L0H0", "MLP0", "L1H1", "MLP1"]
    edges = [Edge("embed", f"{node}.v" if "H" in node else node) for node in order]
    svg = to_svg(to_dot(Circuit.of(SMALL, [*edges, *(Edge(node, "logits") for node in order)])))
    height = {}
    for group in ET.fromstring(svg).iter(f"{SVG}g"):
        title = group.find(f"{SVG}title")
        text = group.find(f".//{SVG}text")
        if title is not None and title.text is not None and text is not None:
            height[title.text] = -float(text.attrib["y"])
    ranks = [height[name] for name in ("embed", *order, "logits")]
    assert ranks == sorted(set(ranks))


def test_shared_keys_and_values_are_joined_to_their_heads() -> None:
    graph = Graph(Shape(1, 4, 2))
    edges = [Edge("embed", "L0H3.q"), Edge("embed", "L0KV1.k"), Edge("L0H3", "logits")]
    drawn = drawn_edges(to_dot(Circuit.of(graph, edges)))
    assert drawn["L0KV1 -> L0H3"]["style"] == "dotted"
    assert "embed:n -> L0KV1:k:s" in drawn
    assert not any("L0KV0" in edge for edge in drawn)


def test_empty_circuit_is_drawn() -> None:
    said = set(words(to_svg(to_dot(Circuit.of(SMALL, [])))))
    assert said >= {"embed", "logits", "0 of 46 edges."}


def test_caption_says_how_it_was_made() -> None:
    said = " ".join(words(to_svg(to_dot(found(made=MADE), title="Found", caption="Ours."))))
    for part in (
        "Found",
        "Ours.",
        "Method acdc; direction noise; corruption abc; metric kl_divergence; threshold 0.05.",
        "6 of 46 edges.",
    ):
        assert part in said


# References


def test_missing_edges_are_dashed_and_counted() -> None:
    reference = Circuit.of(SMALL, [Edge("embed", "L0H1.q"), Edge("embed", "L1H1.k"), Edge("L1H1", "logits")])
    dot = to_dot(found(), highlight=reference)
    dashed = {edge for edge, how in drawn_edges(dot).items() if how.get("style") == "dashed"}
    assert dashed == {"embed:n -> L1H1:k:s", "L1H1:n -> logits"}
    nodes = statements(dot)
    assert "dashed" in nodes['"L1H1"']["style"]
    assert "dashed" not in nodes['"L0H1"']["style"]
    said = " ".join(words(to_svg(dot)))
    assert "only in the reference" in said
    assert "Edges of the reference: 3; in the circuit: 1; missing: 2 (dashed)." in said


def test_groups_fill_nodes_and_are_named() -> None:
    groups = {"previous_token": ("L0H1",), "absent": ("L0H0",), "induction": ("L1H0", "L0H1")}
    dot = to_dot(found(), highlight=Circuit.of(SMALL, FOUND, groups=groups))
    nodes = statements(dot)
    assert nodes['"L0H1"']["fillcolor"] == style.GROUP_FILL[0]
    assert nodes['"L1H0"']["fillcolor"] == style.GROUP_FILL[1]
    boxes = {
        how["label"]: how["fillcolor"]
        for what, how in nodes.items()
        if "legend" in what and "fillcolor" in how
    }
    assert boxes == {"previous token": style.GROUP_FILL[0], "induction": style.GROUP_FILL[1]}
    assert nodes['"L0H1"']["label"].startswith(r"{L0H1\nprevious\ntoken|")


def test_own_groups_are_used_without_a_reference() -> None:
    assert statements(to_dot(found(groups={"mine": ("L0H1",)})))['"L0H1"']["fillcolor"] == style.GROUP_FILL[0]


def test_reference_of_another_graph() -> None:
    with refused(GraphError, "C455"):
        to_dot(found(), highlight=Circuit.of(GPT2, []))


def test_a_large_reference_is_capped_and_counted() -> None:
    reference = Circuit.of(GPT2, random.Random(0).sample(list(GPT2.edges()), 900))
    drawing = arrange(scored(GPT2, 3000), reference, 50)
    assert len(drawing.missing) == 50
    said = " ".join(words(to_svg(to_dot(scored(GPT2, 3000), highlight=reference, max_edges=50))))
    edges = sum(len(line.edges) for line in drawing.missing)
    assert f"missing: {drawing.n_missing} (dashed: {edges} of them, as 50 lines)" in said


# Folding


@given(circuits(), st.integers(1, 40))
def test_no_edge_and_no_node_is_lost(circuit: Circuit, most: int) -> None:
    folding = fold(circuit, most, {})
    assert folding.drawn + folding.left_out == len(circuit)
    edges = [edge for line in folding.lines for edge in line.edges]
    assert len(edges) == len(set(edges)) == folding.drawn
    members = [node for nodes in folding.members.values() for node in nodes]
    assert sorted([*members, *folding.unseen]) == sorted(circuit.nodes)
    for line in folding.lines:
        for edge in line.edges:
            assert edge.sender in folding.members[line.tail]
            assert owner(edge.receiver) in folding.members[line.head]


def test_few_edges_are_not_folded() -> None:
    folding = fold(found(), len(FOUND), {})
    assert [line.edges for line in folding.lines] == [(edge,) for edge in found().edges]
    assert not folding.merged


def test_inputs_are_merged_first_by_the_strongest() -> None:
    scores = {
        Edge("embed", f"L0H0.{which}"): score for which, score in zip("qkv", (0.1, -0.7, 0.3), strict=True)
    }
    circuit = Circuit(SMALL, scores | {Edge("L0H0", "logits"): 0.2})
    folding = fold(circuit, 2, {})
    assert folding.merged
    assert folding.left_out == 0
    assert [(line.tail, line.head, line.inputs, line.score) for line in folding.lines] == [
        ("embed", "L0H0", "qkv", -0.7),
        ("L0H0", "logits", "", 0.2),
    ]
    dot = to_dot(circuit, max_edges=2)
    assert drawn_edges(dot)["embed:n -> L0H0"]["color"].count("#") == 3
    said = " ".join(words(to_svg(dot)))
    assert "several inputs" in said
    assert "Folded: query, key and value edges" in said


@pytest.mark.parametrize("graph", [GPT2, Graph(Shape(6, 8, 2))])
def test_the_strongest_are_drawn_with_their_paths(graph: Graph) -> None:
    circuit = scored(graph, 1500)
    folding = fold(circuit, 60, {})
    assert 40 < len(folding.lines) <= 60
    kept = {edge for line in folding.lines for edge in line.edges}
    assert prune(Circuit.of(graph, kept)).edges == tuple(e for e in circuit.edges if e in kept)
    stronger = {edge for edge, score in circuit.scores.items() if abs(score or 0.0) >= folding.least}
    assert stronger <= kept
    assert len(stronger) > 5


def test_what_is_not_drawn_is_said() -> None:
    circuit = scored(GPT2, 1500)
    folding = fold(circuit, 60, {})
    text = words(to_svg(to_dot(circuit, max_edges=60)))
    said = " ".join(text)
    assert f"Drawn: the {len(folding.lines)} strongest, down to |score| {number(folding.least)}" in said
    assert f"Not drawn: {folding.left_out:,} weaker edges; nodes that only these touch (+): " in said
    counts = [re.fullmatch(r"\+(?:(\d+) heads?|MLP)", line) for line in text]
    assert sum(int(count[1] or 1) for count in counts if count) == len(folding.unseen)


def test_unscored_heads_are_folded_by_layer_and_group() -> None:
    edges = [Edge("embed", f"L0H{i}.{which}") for i in range(12) for which in "qkv"]
    edges += [Edge(f"L0H{i}", "logits") for i in range(12)]
    groups = {"early": ("L0H3", "L0H4")}
    circuit = Circuit.of(GPT2, edges, groups=groups)
    folding = fold(circuit, 8, {"L0H3": "early", "L0H4": "early"})
    assert {len(members) for members in folding.members.values()} == {1, 2, 10}
    assert [(line.tail, line.head, len(line.edges)) for line in folding.lines] == [
        ("embed", "L0H0", 30),
        ("embed", "L0H3", 6),
        ("L0H0", "logits", 10),
        ("L0H3", "logits", 2),
    ]
    dot = to_dot(circuit, max_edges=8)
    assert {"L0: 10 heads", "L0: 2 heads", "early", "2 edges", "30 edges"} <= set(words(to_svg(dot)))
    widths = {edge: float(how["penwidth"]) for edge, how in drawn_edges(dot).items()}
    assert widths["L0H0:n -> logits"] > widths["L0H3:n -> logits"]


@pytest.mark.parametrize("size", [300, 3000, 30000])
def test_layout_is_quick(size: int) -> None:
    dot = to_dot(scored(GPT2, size))
    to_svg("digraph {}")  # compiling the WebAssembly is not the layout's time
    start = time.process_time()
    to_svg(dot)
    assert time.process_time() - start < 3


# Text

NASTY = [
    '"',
    "<script>alert(1)</script>",
    "a\nb\r\nc",
    "\\",
    "\\N\\G\\E",
    "\x00\x1b",
    "&amp;&lt;",
    "{a|<b>c}",
    "]];}",
]
names = st.text(max_size=30) | st.sampled_from(
    [*NASTY, "x" * 5000, "\ud800", "\ufffe", "\u202edrow", "É-数-🙂", " ", ""]
)


@settings(max_examples=36)
@given(names, names, names, names)
@example("-->", "]]>", "%s", "--")
@example("\f", "", "", "")  # white space to Python, and a forbidden character to XML
def test_no_text_is_markup(title: str, caption: str, group: str, method: str) -> None:
    circuit = found(groups={group: ("L0H1", "MLP1", "embed")}, made={"method": method, method: title})
    svg = to_svg(to_dot(circuit, title=title, caption=caption, highlight=circuit))
    root = ET.fromstring(svg)
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        "svg", "g", "title", "polygon", "polyline", "path", "text", "ellipse", "a",
    }  # fmt: skip
    ends = {node.text for node in root.iter(f"{SVG}title") if node.text and "->" in node.text}
    assert len([end for end in ends if "legend" not in end]) == len(FOUND)
    assert {printable(line) for line in wrapped(one_line(title, 300), 80)} <= set(
        map(str.rstrip, words(svg))
    ) | {""}


@pytest.mark.parametrize("nasty", NASTY)
def test_text_is_shown_as_it_is(nasty: str) -> None:
    circuit = found(groups={nasty: ("L0H1", "MLP1")})
    svg = to_svg(to_dot(circuit, title=f"T{nasty}T", caption=f"C{nasty}C"))
    shown = words(svg)
    assert one_line(f"T{nasty}T", 300) in shown
    assert all(line in shown for line in wrapped(f"C{nasty}C", 100))
    backslash = str.maketrans("\\", "\u2216")
    assert f"L0H1: {one_line(nasty, 80).translate(backslash)}" in hovers(svg)
    for line in wrapped(style.group_name(nasty), 12)[:2]:
        assert shown.count(line) >= 2  # the head is a record, the MLP is not


def test_scores_are_in_the_hover_text() -> None:
    assert "L0H1 -> L1H0.k: score \u22120.125" in hovers(to_svg(to_dot(found())))


def test_quoting() -> None:
    assert quoted('a"b\\') == r'"a\"b\\"'
    assert quoted("a", "b", end=r"\l") == r'"a\lb\l"'
    assert quoted("\x00") == '"\ufffd"'
    assert record(["{a|b}"], "qk") == r'"{\{a\|b\}|{<q>q|<k>k}}"'
    assert one_line("a  b\n" + "c" * 50, 10) == "a b ccccc…"
    assert wrapped("one two three\nfour " + "x" * 12, 7) == ["one two", "three", "four", "xxxxxxx", "xxxxx"]
    assert wrapped("four " + "x" * 7, 12) == ["four xxxxxxx"]


def test_provenance_of_nested_values() -> None:
    made = {
        "method": "union",
        "of": [{"method": "acdc"}, {"method": "top"}],
        "normalized": True,
        "metric": None,
    }
    assert provenance(made) == "method union; normalized; of acdc, top"
    assert provenance({"metric": {"name": "kl", "at": "end"}, "threshold": -0.5, "model": {}}) == (
        "metric kl; threshold \u22120.5"
    )


@pytest.mark.parametrize(
    ("model", "shown"),
    [
        ("/data/models/stories260K", "stories260K"),
        ("../shared/models/stories260K/", "stories260K"),
        ("./gpt2", "gpt2"),
        ("~/gpt2", "gpt2"),
        ("a/b/c", "c"),
        ("C:\\models\\gpt2", "gpt2"),
        ("openai-community/gpt2", "openai-community/gpt2"),
        ("gpt2", "gpt2"),
        ("/", "/"),
        ("", ""),
    ],
)
def test_a_model_is_called_by_its_name_not_by_its_path(model: str, shown: str) -> None:
    assert provenance({"method": "acdc", "model": model}) == "; ".join(
        ["model " + shown] * bool(shown) + ["method acdc"]
    )


SCORED = {
    "method": "attribution_patching", "direction": "noise", "corruption": "abc", "metric": "logit_diff",
    "normalized": True, "prompts": 16, "model": "small",
}  # fmt: skip


def test_a_circuit_says_what_its_scores_say() -> None:
    """Selected by scores, and put together from circuits: what all have in common, and no more."""
    top = {"method": "top", "edges": 60, "rank": "absolute", "scores": SCORED}
    told = "direction noise; corruption abc; metric logit_diff; normalized; 16 prompts"
    assert provenance(top) == (
        "model small; method top; scores attribution_patching; ranked by absolute score; "
        f"{told}; edges asked for 60"
    )
    acdc = {**SCORED, "method": "acdc", "threshold": 0.05}
    assert (
        provenance({"method": "union", "of": [top, acdc]})
        == f"model small; method union; {told}; of top, acdc"
    )
    other = {**acdc, "metric": "prob"}
    assert "metric" not in provenance({"method": "union", "of": [top, other]})
    assert provenance({"method": "reference", "cite": "A 2021", "model": "small", "name": "x"}) == (
        "model small; method reference; A 2021"
    )


# Files

DIGEST = """
import hashlib
from nncirc.circuits.pictures.dot import to_dot
from nncirc.circuits.pictures.render import to_png, to_svg
from tests.circuits.test_pictures_circuit import GPT2, found, scored
dot = to_dot(scored(GPT2, 400), highlight=scored(GPT2, 200, 1), title="t")
small = to_dot(found(groups={"a": ("L0H1",), "b": ("L1H0",)}))
print(hashlib.sha256(dot.encode() + to_svg(dot).encode() + to_png(small)).hexdigest())
"""


def test_the_same_bytes_in_every_process() -> None:
    digests = {printed(DIGEST, environment={"PYTHONHASHSEED": seed}) for seed in ("0", "1")}
    dot = to_dot(scored(GPT2, 400), highlight=scored(GPT2, 200, 1), title="t")
    small = to_dot(found(groups={"a": ("L0H1",), "b": ("L1H0",)}))
    digests.add(f"{hashlib.sha256(dot.encode() + to_svg(dot).encode() + to_png(small)).hexdigest()}\n")
    assert len(digests) == 1


def test_the_ending_says_the_format(tmp_path: Path) -> None:
    for ending, start in ((".dot", b"digraph"), (".svg", b"<?xml"), (".PNG", b"\x89PNG")):
        render(found(), tmp_path / f"a{ending}", title="t")
        assert (tmp_path / f"a{ending}").read_bytes().startswith(start)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("name", ["circuit.jpg", "circuit"])
def test_unknown_format(tmp_path: Path, name: str) -> None:
    with refused(FileError, "C610") as caught:
        render(found(), tmp_path / name)
    assert ".svg" in str(caught.value.hint)
    assert not list(tmp_path.iterdir())


def test_a_png_has_ink(tmp_path: Path) -> None:
    from PIL import Image

    render(found(), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.width > 400
        colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 24) or []}
    assert {(255, 255, 255), (0x1A, 0x1A, 0x1A)} <= colours


def test_no_graphviz_for_a_pdf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with refused(FileError, "C611") as caught:
        render(found(), tmp_path / "a.pdf")
    assert ".svg" in str(caught.value.hint)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a shell script")
@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("cat > /dev/null; echo '%PDF-1.7'", None),
        ("echo 'syntax error' >&2; exit 1", "C612"),
        ("cat", "C612"),
    ],
)
def test_a_pdf_is_written_by_the_installed_graphviz(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, code: str | None
) -> None:
    program = tmp_path / "dot"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    if code is None:
        render(found(), tmp_path / "a.pdf")
        assert (tmp_path / "a.pdf").read_bytes() == b"%PDF-1.7\n"
        return
    with refused(FileError, code):
        render(found(), tmp_path / "a.pdf")
    assert not (tmp_path / "a.pdf").exists()


def test_what_graphviz_refuses_has_a_code() -> None:
    with refused(FileError, "C612"):
        to_svg("digraph {")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with refused(FileError, "C605"):
        render(found(), tmp_path / "no" / "a.svg")
