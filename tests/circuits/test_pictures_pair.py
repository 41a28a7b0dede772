"""Two circuits as one picture."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st
from tests.circuits.strategies import circuit_pairs
from tests.refused import refused

from nncirc.circuits.circuit import Circuit
from nncirc.circuits.compare import compare
from nncirc.circuits.errors import FileError
from nncirc.circuits.graph import Graph, Shape
from nncirc.circuits.names import Edge
from nncirc.circuits.pictures.pair import pair_to_dot, render_pair
from nncirc.circuits.pictures.render import to_svg
from nncirc.circuits.pictures.style import FIRST_FILL, LINE_OF_SIDE, SECOND_FILL

GRAPH = Graph(Shape(2, 2, 2))
OURS = Circuit.of(GRAPH, [Edge("embed", "L0H0.q"), Edge("L0H0", "MLP1"), Edge("MLP1", "logits")])
THEIRS = Circuit.of(GRAPH, [Edge("embed", "L0H0.q"), Edge("L0H0", "L1H1.v"), Edge("L1H1", "logits")])
PAIR = compare(OURS, THEIRS)
NAMES = ("ours", "theirs")


def line(dot: str, edge: str) -> str:
    (found,) = [each for each in dot.splitlines() if f'tooltip="{edge}' in each]
    return found


def test_dashes_say_whose_an_edge_is() -> None:
    dot = pair_to_dot(PAIR, NAMES)
    both, ours, theirs = (line(dot, edge) for edge in ("embed -> L0H0.q", "L0H0 -> MLP1", "L0H0 -> L1H1.v"))
    assert 'style="solid"' in both and 'tooltip="embed -> L0H0.q: both"' in both
    assert 'style="dashed"' in ours and ': ours"' in ours
    assert 'style="dotted"' in theirs and ': theirs"' in theirs


def test_nodes_of_one_circuit_are_framed_as_its_edges_are_drawn() -> None:
    dot = pair_to_dot(PAIR, NAMES)
    for name, frame, fill in (
        ('"MLP1" [label="MLP1"', "filled,dashed", FIRST_FILL),
        ('"L1H1" [label="{L1H1|', "filled,dotted", SECOND_FILL),
        ('"L0H0" [label="{L0H0|', "filled", "#FFFFFF"),
        ('label="only ours"', "filled,dashed", FIRST_FILL),
        ('label="only theirs"', "filled,dotted", SECOND_FILL),
    ):
        (found,) = [each for each in dot.splitlines() if name in each and "fillcolor" in each]
        assert f'style="{frame}"' in found
        assert f'fillcolor="{fill}"' in found


def test_each_circuit_says_how_it_was_made() -> None:
    ours = replace(OURS, made={"method": "acdc", "metric": "prob"})
    said = pair_to_dot(compare(ours, THEIRS), NAMES, caption="Seen.").replace("\\l", " ")
    assert "Seen. ours: method acdc; metric prob. Edges in both: 1" in said
    assert "theirs: method" not in said


def luminance(colour: str) -> float:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_no_side_is_told_by_colour_alone() -> None:
    drawn = [LINE_OF_SIDE[side] for side in ("both", "first", "second")]
    assert len({each["style"] for each in drawn}) == 3
    lights = sorted(luminance(str(each["color"])) for each in drawn)
    assert all(light - dark > 0.05 for dark, light in pairwise(lights))
    assert ":" in str(LINE_OF_SIDE["mixed"]["color"])


def test_the_legend_and_the_caption_say_what_there_is() -> None:
    dot = pair_to_dot(PAIR, NAMES, title="A title", caption="A caption")
    for text in ('label="both"', 'label="only ours"', 'label="only theirs"', "A title", "A caption"):
        assert text in dot
    assert "Edges in both: 1; only in ours: 2; only in theirs: 2." in dot
    alone = pair_to_dot(compare(OURS, OURS), NAMES)
    assert "only ours" not in alone
    assert "some of each" not in alone


def test_pairs_of_graphs_of_positions_have_lanes() -> None:
    graph = Graph(Shape(1, 1, 1), positions=("S.2", "end"))
    both = [Edge("embed@S.2", "L0H0.v@S.2"), Edge("L0H0@end", "logits@end")]
    ours = Circuit.of(graph, [*both, Edge("embed@end", "MLP0@end"), Edge("MLP0@end", "logits@end")])
    dot = pair_to_dot(compare(ours, Circuit.of(graph, both)), NAMES)
    assert 'label="MLP0"' in dot
    assert 'label="S.2"' in dot
    assert to_svg(dot).startswith("<?xml")


@settings(max_examples=15)
@given(circuit_pairs(), st.sampled_from([1, 5, 40]))
def test_every_pair_can_be_drawn(pair: tuple[Circuit, Circuit], most: int) -> None:
    comparison = compare(*pair)
    dot = pair_to_dot(comparison, NAMES, max_edges=most)
    assert dot == pair_to_dot(compare(*pair), NAMES, max_edges=most)
    assert f"only in ours: {len(comparison.edges['first']):,}" in dot.replace("\\l", " ")
    assert to_svg(dot).startswith("<?xml")


def test_folded_lines_of_several_sides_are_striped() -> None:
    ours = [Edge("embed", "L0H0.q"), Edge("L0H0", "logits")]
    theirs = [Edge("embed", "L0H0.k"), Edge("L0H0", "logits")]
    dot = pair_to_dot(compare(Circuit.of(GRAPH, ours), Circuit.of(GRAPH, theirs)), NAMES, max_edges=2)
    assert "some of each" in dot
    assert 'color="#0072B2:#D55E00"' in line(dot, "embed -> L0H0 (q, k), 2 edges: mixed")


@pytest.mark.parametrize("name", ["a.dot", "a.svg", "a.png"])
def test_files(tmp_path: Path, name: str) -> None:
    render_pair(PAIR, NAMES, tmp_path / name)
    assert (tmp_path / name).stat().st_size > 500


def test_an_unknown_format(tmp_path: Path) -> None:
    with refused(FileError, "C610"):
        render_pair(PAIR, NAMES, tmp_path / "a.gif")
