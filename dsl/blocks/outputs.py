"""Tables and pictures."""

from __future__ import annotations

from collections.abc import Sequence

from nncirc.dsl.blocks.keys import (
    BY,
    CONNECTED,
    COUNT,
    COUNTED,
    DRAWS,
    HELD_OUT,
    IMAGES,
    INTERVAL,
    SEVERAL_CIRCUITS,
    one,
)
from nncirc.dsl.blocks.metrics import check_measured
from nncirc.dsl.check.declared import Implementation, Key, Meaning
from nncirc.dsl.check.program import Ref
from nncirc.dsl.check.scope import Draft
from nncirc.dsl.check.types import Many, OutputFile, Word
from nncirc.dsl.text.diagnostics import Label


def _check_compare(meaning: Meaning, draft: Draft) -> None:
    """A comparison: one graph, and a metric for what needs one."""
    parts, reference = meaning.many(draft, "circuits"), meaning.get(draft, "reference")
    against = parts[:1] if reference is None else [reference]
    for part in parts:
        for other in against:
            if part is not other:
                meaning.same_graph(draft.where("circuits"), other, part)
    meaning.counted(parts[0] if parts else None, draft.values.get("by"), draft.where("by"))
    metric, given = meaning.get(draft, "metric"), meaning.get(draft, "corruption")
    if "metric" not in draft.spans:
        _unused(meaning, draft, ("corruption", "draws", "connected", "resamples", "level", "seed"), "metric")
        return
    if "draws" not in draft.spans:
        _unused(meaning, draft, ("connected",), "draws")
    found = {part.corruption for part in parts}
    corruption = given or (meaning.drafts.get(found.pop() or "") if len(found) == 1 else None)
    if corruption is None:
        if parts and "corruption" not in draft.spans:
            problem = "faithfulness needs a corruption"
            labels = (Label(draft.where("circuits"), "these circuits do not share one corruption"),)
            meaning.report("C235", problem, draft.where("metric"), labels=labels, help="add `corruption = …`")
        return
    draft.values["corruption"] = Ref(corruption.name)
    if metric is not None:
        check_measured(meaning, draft.where("metric"), metric, corruption)
    for part in parts:
        meaning.circuit_fits(draft.where("metric"), part, corruption)


def _unused(meaning: Meaning, draft: Draft, keys: Sequence[str], needed: str) -> None:
    for key in keys:
        if key in draft.spans:
            advice = f"add `{needed} = …`, or remove it"
            meaning.report("C271", f"`{key}` has no effect without `{needed}`", draft.where(key), help=advice)


def _check_curves(meaning: Meaning, draft: Draft) -> None:
    """The curves of one plot have the same axes."""
    found = {each.implementation: each for each in meaning.many(draft, "curve")}
    if len(found) > 1:
        meaning.report(
            "C272",
            f"one plot cannot have both {' and '.join(f'`{each}`' for each in found)}: their axes differ",
            draft.where("curve"),
            labels=[Label(each.place, f"uses {name}") for name, each in found.items()],
            help="draw two plots",
        )


def _check_plot(meaning: Meaning, draft: Draft) -> None:
    meaning.exactly_one(draft, ("scores", "curve", "compare"), "C105")
    _check_curves(meaning, draft)


def _check_render(meaning: Meaning, draft: Draft) -> None:
    circuit, highlight = meaning.get(draft, "circuit"), meaning.get(draft, "highlight")
    if circuit is not None and highlight is not None and circuit is not highlight:
        meaning.same_graph(draft.where("highlight"), circuit, highlight)


COMPARISONS = {
    "compare": Implementation(
        "A table of circuits: recall and precision against a reference, or otherwise the overlap of each "
        "pair; with a metric also their faithfulness, with intervals over prompts, and that of random "
        "circuits. `p` of an overlap is the probability that unrelated circuits of these sizes share as much "
        "(hypergeometric); `p` of faithfulness is the share of random circuits that are as faithful.",
        {
            "circuits": Key(SEVERAL_CIRCUITS, "what is compared", required=True),
            "reference": Key(one("circuit"), "what they are compared with; if omitted, each with each other"),
            "by": Key(
                Many(Word(COUNTED)),
                f"what is counted; {BY.doc.partition(': ')[2]}",
                default=("nodes", "edges"),
            ),
            "metric": Key(one("metric"), "adds the faithfulness of every circuit"),
            "corruption": HELD_OUT,
            "draws": Key(
                DRAWS, "how many random circuits with as many edges to compare with", unit="circuits"
            ),
            "connected": CONNECTED,
            **INTERVAL,
        },
        source="Wang et al. 2022; Merullo et al. 2024",
        check=_check_compare,
    )
}
PLOTS = {
    "plot": Implementation(
        "A heatmap of scores or of a comparison, or curves. Write one of `scores`, `curve` and `compare`.",
        {
            "scores": Key(one("scores"), "drawn as a heatmap"),
            "curve": Key(Many(one("curve"), single=True), "drawn as lines, intervals as bands"),
            "compare": Key(one("compare"), "drawn as a heatmap"),
            "file": Key(OutputFile(IMAGES), "the file to write, inside the output folder", required=True),
        },
        check=_check_plot,
    )
}
RENDERINGS = {
    "render": Implementation(
        "A picture of a circuit.",
        {
            "circuit": Key(one("circuit"), "what is drawn", required=True),
            "highlight": Key(
                one("circuit"),
                "a circuit to compare with: edges of it that the drawn circuit lacks are dashed",
            ),
            "file": Key(
                OutputFile((*IMAGES, ".dot")), "the file to write, inside the output folder", required=True
            ),
            "fold": Key(
                COUNT,
                "draw single edges up to this many; beyond that, fold the heads of a layer into one node",
                unit="edges",
            ),
        },
        check=_check_render,
    )
}
