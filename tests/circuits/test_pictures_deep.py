"""Circuits of models with many layers, which should fit on a page, and names that fit into their boxes."""

from __future__ import annotations

import random
import re
import xml.etree.ElementTree as ET
from collections import defaultdict

import pytest
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from nncirc.circuits.circuit import Circuit
from nncirc.circuits.graph import Graph, Shape
from nncirc.circuits.names import Edge, Node
from nncirc.circuits.pictures.dot import to_dot
from nncirc.circuits.pictures.drawing import arrange
from nncirc.circuits.pictures.fold import fold
from nncirc.circuits.pictures.render import to_svg
from nncirc.circuits.pictures.text import ems

SVG = "{http://www.w3.org/2000/svg}"
DEEP = Graph(Shape(30, 9, 3))
"""As many layers, heads and key-value groups as SmolLM-135M has."""


def walked(graph: Graph, edges: int, seed: int = 0, *, scored: bool = True) -> Circuit:
    """Random paths from `embed` to `logits`."""
    rng = random.Random(seed)
    found: dict[Edge, float | None] = {}
    while len(found) < edges:
        read = ["logits"]
        while read:
            receiver = rng.choice(read)
            heard = [graph.senders[i] for i in graph.heard(graph.receiver_index[receiver])]
            sender = heard[0] if rng.random() < 0.1 else rng.choice(heard[-40:])
            found[Edge(sender, receiver)] = rng.gauss(0, 1) if scored else None
            read = list(graph.inputs[sender])
    return Circuit.of(graph, found)


def nodes(svg: str) -> dict[str, ET.Element]:
    """The node of each name."""
    groups = [each for each in ET.fromstring(svg).iter(f"{SVG}g") if each.get("class") == "node"]
    return {title.text or "": each for each in groups for title in each.iter(f"{SVG}title")}


def boxed(node: ET.Element) -> tuple[float, float, float, float]:
    """Where a node is: from left to right, from top to bottom, in points."""
    for each in node.iter(f"{SVG}ellipse"):
        x, y, across, down = (float(each.attrib[key]) for key in ("cx", "cy", "rx", "ry"))
        return x - across, x + across, y - down, y + down
    for shape, key in (("polygon", "points"), ("path", "d")):
        for each in node.iter(f"{SVG}{shape}"):
            places = re.findall(r"(-?[\d.]+),(-?[\d.]+)", each.attrib[key])
            xs, ys = [float(x) for x, _ in places], [float(y) for _, y in places]
            return min(xs), max(xs), min(ys), max(ys)
    raise AssertionError("a node without a shape")


@pytest.mark.parametrize("scored", [True, False])
@pytest.mark.parametrize("edges", [100, 600])
def test_a_layer_of_a_deep_model_is_one_rank(edges: int, scored: bool) -> None:
    circuit = walked(DEEP, edges, scored=scored)
    drawing = arrange(circuit, None, 120)
    svg = to_svg(to_dot(circuit))
    middles: dict[int | None, list[float]] = defaultdict(list)
    for name, node in nodes(svg).items():
        if name in drawing.nodes:
            _, _, top, bottom = boxed(node)
            middles[Node.parse(name).layer].append((top + bottom) / 2)
    middles.pop(None)
    assert len(middles) > 20
    assert all(max(each) - min(each) < 1 for each in middles.values())
    assert len(drawing.stages) == len(middles) + 2
    ((height,),) = (re.findall(r"(\d+)pt", each) for each in [ET.fromstring(svg).attrib["height"]])
    assert int(height) / 72 < 24  # inches; with three ranks a layer it is 40


@pytest.mark.parametrize("seed", range(3))
def test_no_line_is_lost_between_nodes_of_one_rank(seed: int) -> None:
    """Graphviz draws none between neighbours in a rank one of which is a record."""
    reference, circuit = walked(DEEP, 60, seed + 10), walked(DEEP, 60, seed)
    drawing = arrange(circuit, reference, 120)
    drawn = list(ET.fromstring(to_svg(to_dot(circuit, highlight=reference))).iter(f"{SVG}g"))
    titles = [
        title.text or ""
        for each in drawn
        if each.get("class") == "edge"
        for title in each.iter(f"{SVG}title")
    ]
    ends = [re.sub(r":\w+", "", title) for title in titles if "legend" not in title]
    wanted = [f"{line.tail}->{line.head}" for line in (*drawing.lines, *drawing.missing)]
    wanted += [f"{group}->{head}" for group, head in drawing.shared]
    assert sorted(ends) == sorted(wanted)
    assert any(Node.parse(line.tail).layer == Node.parse(line.head).layer for line in drawing.lines)


def test_layers_without_a_node_have_no_rank_and_are_counted() -> None:
    circuit = walked(DEEP, 900)
    folding = fold(circuit, 40, {})
    drawing = arrange(circuit, None, 40)
    svg = to_svg(to_dot(circuit, max_edges=40))
    text = ["".join(each.itertext()) for each in ET.fromstring(svg).iter(f"{SVG}text")]
    layers = {int(each.removeprefix("layer ")) for each in text if re.fullmatch(r"layer \d+", each)}
    assert layers == {Node.parse(name).layer for name in drawing.nodes} - {None}
    assert len(layers) < 30
    counts = [re.fullmatch(r"\+(?:(\d+) (?:head|key-value group)s?|MLP)", line) for line in text]
    beside = sum(int(each[1] or 1) for each in counts if each)
    unseen = set(folding.unseen) - set(drawing.nodes)
    said = (
        f"nodes that only these touch (+): {len(unseen)}, of these {len(unseen) - beside} in layers without"
    )
    assert said in " ".join(text)


def test_where_no_letter_is_on_a_head_its_side_says_the_input() -> None:
    """So that who prints in grey can tell a query from a key."""
    dot = to_dot(walked(DEEP, 60))
    assert "record" not in dot
    entries = set(re.findall(r'"L\d+\w+":(\w+) \[color="(#\w{6})', dot))
    assert entries == {("sw", "#0072B2"), ("s", "#E69F00"), ("se", "#009E73")}
    assert {"query (left)", "key (middle)", "value (right)"} <= set(re.findall(r'label="([^"]+)"', dot))


def test_twelve_layers_keep_their_letters() -> None:
    graph = Graph(Shape(12, 12, 12))
    edges = {
        edge: 0.5 for i in range(12) for edge in (Edge("embed", f"L{i}H{i}.q"), Edge(f"L{i}H{i}", f"MLP{i}"))
    }
    dot = to_dot(Circuit.of(graph, edges | {Edge(f"MLP{i}", "logits"): 0.5 for i in range(12)}))
    assert dot.count('shape="record"') == 12


NAMES = [
    "embed",
    "pos_embed",
    "logits",
    "L29KV2",
    "L9H9",
    "MLP29",
    "MLP10N1234",
    "mmmm",
    "WWWW",
    "M@%",
    "iiiiiiii",
]


@pytest.mark.parametrize("group", ["name_mover", "mmmmmmmmmmmm", "WWWWWWWWWWWW", "S-inhibition", "illi"])
def test_names_do_not_touch_their_boxes(group: str) -> None:
    """In DejaVu Sans, the widest of the fonts that a reader may have."""
    graph = Graph(Shape(2, 2, 1), pos_embed=True, neurons=((1, 2000),))
    edges = {
        Edge(sender, receiver): 0.5
        for sender, receiver in [
            ("embed", "L0KV0.k"), ("embed", "L0H1.q"), ("pos_embed", "L0KV0.v"), ("L0H1", "MLP0"),
            ("MLP0", "L1H0.q"), ("L1H0", "MLP1"), ("MLP1N1234", "logits"), ("L1H0", "logits"),
        ]
    }  # fmt: skip
    svg = to_svg(to_dot(Circuit.of(graph, edges, groups={group: ("L1H0", "MLP0", "L0KV0")})))
    seen = 0
    for name, node in nodes(svg).items():
        if name.startswith(("rank", "legend")):
            continue
        left, right, _, _ = boxed(node)
        for text in node.iter(f"{SVG}text"):
            size = float(text.attrib["font-size"])
            width = (
                TextPath((0, 0), text.text or " ", size, prop=FontProperties("DejaVu Sans"))
                .get_extents()
                .width
            )
            assert width + (8 if node.find(f"{SVG}path") is not None else 3) < right - left, text.text
            seen += 1
    assert seen >= 10


@pytest.mark.parametrize("name", NAMES)
def test_a_line_is_no_wider_than_it_is_said_to_be(name: str) -> None:
    width = TextPath((0, 0), name, 1, prop=FontProperties("DejaVu Sans")).get_extents().width
    assert width <= ems(name) < 1.5 * width + 0.5
