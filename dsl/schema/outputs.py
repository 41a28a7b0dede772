"""Tables and pictures."""

from __future__ import annotations

from nncirc.dsl.keytypes import Many, Number, OutputFile, Word
from nncirc.dsl.schema.entries import IMAGES, SEVERAL_CIRCUITS, Implementation, Key, one

COMPARE = Implementation(
    "A table of circuits: sizes, and recall and precision against a reference.",
    {
        "circuits": Key(SEVERAL_CIRCUITS, "what is compared", required=True),
        "reference": Key(one("circuit"), "what they are compared with; absent: each with each"),
        "by": Key(Many(Word(("nodes", "edges"))), "what is counted", default=("nodes", "edges")),
    },
)
PLOT = Implementation(
    "A heatmap of scores, or a curve. One of `scores` and `curve` is given.",
    {
        "scores": Key(one("scores"), "drawn as a heatmap"),
        "curve": Key(one("curve"), "drawn as a line"),
        "file": Key(OutputFile(IMAGES), "where it is written, below the output folder", required=True),
    },
)
RENDER = Implementation(
    "A picture of a circuit.",
    {
        "circuit": Key(one("circuit"), "what is drawn", required=True),
        "highlight": Key(one("circuit"), "a circuit whose nodes and edges stand out"),
        "file": Key(
            OutputFile((*IMAGES, ".dot")), "where it is written, below the output folder", required=True
        ),
        "fold": Key(
            Number(integer=True, low=1),
            "draw single edges up to this many; beyond, fold the heads of a layer into one",
            unit="edges",
        ),
    },
)
