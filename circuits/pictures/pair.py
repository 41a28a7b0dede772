"""Two circuits in one picture: what both have, and what only one of them has.

Edges are told apart by their dashes as well as by their color: solid and black in both circuits, dashed and
blue in the first only, dotted and orange in the second only; and so are the frames of nodes.
"""

from __future__ import annotations

import os
from dataclasses import replace

from nncirc.circuits.annotations import Positive
from nncirc.circuits.arguments import public
from nncirc.circuits.atomic import write_bytes
from nncirc.circuits.circuit import Circuit
from nncirc.circuits.compare import SIDES, Comparison
from nncirc.circuits.pictures import style
from nncirc.circuits.pictures.dot import written
from nncirc.circuits.pictures.drawing import MAX_EDGES, Pair, arrange
from nncirc.circuits.pictures.render import FORMATS, picture_format
from nncirc.circuits.pictures.text import one_line, provenance

__all__ = ["pair_to_dot", "render_pair"]


@public
def pair_to_dot(
    comparison: Comparison,
    names: tuple[str, str],
    *,
    title: str | None = None,
    caption: str | None = None,
    max_edges: Positive = MAX_EDGES,
) -> str:
    """Two circuits as DOT text, the same to the byte for the same circuits.

    Args:
        comparison: the circuits, side by side.
        names: what the picture calls them.
        title: a line above the picture.
        caption: a line or more below it; how each was made, and how many edges are whose, follow in any case.
        max_edges: the maximum number of lines to draw. More edges are folded as those of one circuit are,
            but nodes of different sides never into one; scores are ignored, as their units may differ.
    """
    pair = Pair(names, {edge: side for side in SIDES for edge in comparison.edges[side]})
    only = {pair.only(0): comparison.nodes["first"], pair.only(1): comparison.nodes["second"]}
    groups = {name: nodes for name, nodes in only.items() if nodes}
    drawing = arrange(Circuit.of(comparison.first.graph, pair.sides, groups=groups), None, max_edges)
    # A node of one circuit has the hue of that circuit's edges.
    tints = dict(zip(only, (style.FIRST_FILL, style.SECOND_FILL), strict=True))
    fills = {group: tints[group] for group in drawing.fills}
    made = [provenance(circuit.made) for circuit in (comparison.first, comparison.second)]
    told = [f"{one_line(name, 60)}: {how}." for name, how in zip(names, made, strict=True) if how]
    below = "\n".join([*([caption] if caption else []), *told])
    return written(replace(drawing, pair=pair, fills=fills), title=title, caption=below)


@public
def render_pair(
    comparison: Comparison,
    names: tuple[str, str],
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    max_edges: Positive = MAX_EDGES,
) -> None:
    """Draw two circuits into a file in the format of its extension: `.dot`, `.svg`, `.png` or `.pdf`.

    Arguments as of `pair_to_dot`; the names are two different ones.

    Raises:
        FileError: C605, C610 to C612, as `render`.
    """
    ending = picture_format(path, FORMATS)
    dot = pair_to_dot(comparison, names, title=title, max_edges=max_edges)
    write_bytes(path, FORMATS[ending](dot))
