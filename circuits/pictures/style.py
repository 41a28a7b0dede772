"""Colors and widths of the pictures: safe for color-blind readers, and readable when printed in gray.

The hues are those of Okabe & Ito (2008). No hue carries a meaning alone: inputs are told apart by where an
edge enters its head, signs by the arrow's head, groups by their name on the node.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from nncirc.circuits.pictures.text import one_line

Look: TypeAlias = Mapping[str, str | float]
"""Attributes of a line in DOT."""

INPUT_COLOUR = {"q": "#0072B2", "k": "#E69F00", "v": "#009E73"}
INPUT_SIDE = {"q": "sw", "k": "s", "v": "se"}  # of a box without ports
INPUT_NAME = {"q": "query", "k": "key", "v": "value"}
DIRECT = "#4D4D4D"  # edges into MLPs, joined heads and logits
MISSING = "#8C8C8C"
# What only one of two circuits has.
FIRST, SECOND = "#0072B2", "#D55E00"
FIRST_FILL, SECOND_FILL = "#BFDDF2", "#F6C9A0"
INK = "#1A1A1A"
FAINT = "#8C8C8C"
PAPER = "#FFFFFF"
LANE = "#F4F4F4"  # behind the nodes of one position

# Tints of the same hues, light enough for black text; neighbours differ in luminance as well.
GROUP_FILL = (
    "#F6C9A0", "#BFDDF2", "#F8F0A6", "#B5E0CF", "#E9C6DA", "#D9D9D9", "#FBE3B4", "#C9CCF0",
)  # fmt: skip

THINNEST, WIDEST, UNSCORED = 0.6, 4.2, 1.1


@dataclass(frozen=True, slots=True)
class Scale:
    """From |score| to width and opacity: both grow with the square root, so that weak edges stay visible.

    It goes from the smallest |score| drawn to the largest, which is 0 where nothing was measured.
    """

    low: float
    high: float

    @classmethod
    def of(cls, scores: Iterable[float | None]) -> Scale:
        """The scale of these scores."""
        sizes = [abs(score) for score in scores if score is not None]
        return cls(min(sizes, default=0.0), max(sizes, default=0.0))

    def share(self, score: float) -> float:
        """Where |score| lies between nothing (0) and the strongest (1), on the scale of the width."""
        if self.high == 0:
            return 0.0
        return math.sqrt(min(abs(score) / self.high, 1.0))

    def width(self, score: float | None) -> float:
        """Line width, in points."""
        if score is None:
            return UNSCORED
        return round(THINNEST + (WIDEST - THINNEST) * self.share(score), 3)

    def opacity(self, score: float | None) -> str:
        """Opacity as the two last digits of a color, from `73` (45 %) to `ff`."""
        if score is None:
            return "cc"
        return f"{round(255 * (0.45 + 0.55 * self.share(score))):02x}"


def arrow(score: float | None, any_scored: bool) -> Look:
    """Filled for a positive score, a bar for a negative one, hollow where only others were measured."""
    if score is None:
        return {"arrowhead": "empty" if any_scored else "normal"}
    return {"arrowhead": "tee", "arrowsize": 0.8} if score < 0 else {"arrowhead": "normal"}


def fills(groups: Sequence[str]) -> dict[str, str]:
    """A color for every group, in their order; beyond eight they repeat, and names tell groups apart."""
    return {group: GROUP_FILL[i % len(GROUP_FILL)] for i, group in enumerate(groups)}


def group_name(group: str, longest: int = 20) -> str:
    """A group as it is written on nodes and in the legend: `name_mover` as `name mover`."""
    return one_line(group.replace("_", " "), longest)


LINE_MISSING: Look = {"color": MISSING, "penwidth": 0.8, "style": "dashed", "arrowhead": "normal"}
"""How an edge is drawn that only the reference has."""

LINE_OF_SIDE: Mapping[str, Look] = {
    "both": {"color": INK, "style": "solid", "penwidth": 1.4, "arrowhead": "normal"},
    "first": {"color": FIRST, "style": "dashed", "penwidth": 1.4, "arrowhead": "normal"},
    "second": {"color": SECOND, "style": "dotted", "penwidth": 1.8, "arrowhead": "normal"},
    "mixed": {"color": f"{FIRST}:{SECOND}", "style": "solid", "penwidth": 1.0, "arrowhead": "normal"},
}
"""How an edge of two circuits is drawn: told apart by the dashes as well as by the color.

It is in both, only in one, or stands for edges of which this is mixed.
"""

LINE_SHARED: Look = {"color": FAINT, "penwidth": 0.9, "style": "dotted", "arrowhead": "none"}
"""How a head is joined to the group whose keys and values it reads: part of the head, not an edge."""
