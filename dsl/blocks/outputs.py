"""Tables and pictures."""

from __future__ import annotations

from nncirc.dsl.blocks.entries import (
    BY,
    CONNECTED,
    COUNTED,
    DRAWS,
    HELD_OUT,
    IMAGES,
    INTERVAL,
    SEVERAL_CIRCUITS,
    Implementation,
    Key,
    one,
)
from nncirc.dsl.check.types import Many, Number, OutputFile, Word

COMPARE = Implementation(
    "A table of circuits: recall and precision against a reference, or else the overlap of each with each; "
    "with a metric also their faithfulness, with intervals over prompts, and that of random circuits. `p` of "
    "an overlap is the probability that unrelated circuits of these sizes share as much (hypergeometric), "
    "`p` of faithfulness the share of random circuits that are as faithful.",
    {
        "circuits": Key(SEVERAL_CIRCUITS, "what is compared", required=True),
        "reference": Key(one("circuit"), "what they are compared with; absent: each with each"),
        "by": Key(
            Many(Word(COUNTED)), f"what is counted; {BY.doc.partition(': ')[2]}", default=("nodes", "edges")
        ),
        "metric": Key(one("metric"), "adds the faithfulness of every circuit"),
        "corruption": HELD_OUT,
        "draws": Key(DRAWS, "compares with so many random circuits of as many edges", unit="circuits"),
        "connected": CONNECTED,
        **INTERVAL,
    },
    source="Wang et al. 2022; Merullo et al. 2024",
)
PLOT = Implementation(
    "A heatmap of scores or of a comparison, or curves. One of `scores`, `curve` and `compare` is given.",
    {
        "scores": Key(one("scores"), "drawn as a heatmap"),
        "curve": Key(Many(one("curve"), single=True), "drawn as lines, intervals as bands"),
        "compare": Key(one("compare"), "drawn as a heatmap"),
        "file": Key(OutputFile(IMAGES), "where it is written, below the output folder", required=True),
    },
)
RENDER = Implementation(
    "A picture of a circuit.",
    {
        "circuit": Key(one("circuit"), "what is drawn", required=True),
        "highlight": Key(
            one("circuit"), "a circuit that it is held against: what of that it lacks is drawn dashed"
        ),
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
