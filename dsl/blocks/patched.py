"""What methods that patch a run have in common: graph, corruption, metric and prompts fit each other."""

from __future__ import annotations

from nncirc.circuits.names import Node
from nncirc.dsl.blocks.corruptions import CORRUPTIONS, RUNS
from nncirc.dsl.blocks.datasets import check_positions
from nncirc.dsl.blocks.metrics import check_measured
from nncirc.dsl.blocks.reference import check_node
from nncirc.dsl.check.declared import Meaning
from nncirc.dsl.check.scope import Draft
from nncirc.dsl.text.diagnostics import Label
from nncirc.dsl.text.source import Span

# What a graph may be split by, and what to do instead.
BY_POSITION = ("positions", "position", "give the positions in this block")
BY_NEURON = (
    "neurons",
    "neuron",
    "`activation_patching` and `attribution_patching` accept single neurons",
)


def check_method(meaning: Meaning, draft: Draft) -> None:
    """A method that has a corruption, a metric, and perhaps a graph and positions."""
    graph, corruption = meaning.get(draft, "graph"), meaning.get(draft, "corruption")
    draft.corruption = None if corruption is None else corruption.name
    data = meaning.data_of(draft)
    if graph is not None and data is not None:
        meaning.fits(draft, "graph", graph, "corruption", meaning.get(data, "model"))
        check_positions(
            meaning, data, graph, "positions", Label(data.place, f"the prompts of `{draft.name}`")
        )
    metric = meaning.get(draft, "metric")
    if metric is not None and corruption is not None:
        check_measured(meaning, draft.where("metric"), metric, corruption)
    for key in ("positions", "at"):
        if data is not None:
            check_positions(meaning, data, draft, key, Label(data.place, "these prompts"))


def check_whole(meaning: Meaning, draft: Draft, *split: tuple[str, str, str]) -> bool:
    """The graph is not split by what a method does not know; reports if it is."""
    graph = meaning.get(draft, "graph")
    for key, by, instead in split:
        if graph is not None and graph.values.get(key) is not None:
            problem = f"`{graph.name}` is split by {by}, but `{draft.implementation}` works on whole nodes"
            labels = (Label(graph.where(key), "split here"),)
            advice = f"use a graph without `{key}`; {instead}"
            meaning.report("C294", problem, draft.where("graph"), labels=labels, help=advice)
            return False
    return True


def check_nodes(meaning: Meaning, draft: Draft, *keys: str) -> bool:
    """A method of whole nodes: those that it names are some of its graph; False if that is split."""
    if not check_whole(meaning, draft, BY_POSITION, BY_NEURON):
        return False
    graph = meaning.get(draft, "graph")
    for key in keys:
        for node, span in nodes_under(draft, key):
            if graph is not None:
                check_node(meaning, graph, node, span)
    return True


def nodes_under(draft: Draft, key: str) -> list[tuple[Node, Span]]:
    """The nodes under a key, and where they stand."""
    return [(node, span) for node, span in draft.items(key) if isinstance(node, Node)]


def check_writes(meaning: Meaning, draft: Draft, key: str) -> None:
    """The nodes under a key are whole ones that write into the residual stream."""
    for node, span in nodes_under(draft, key):
        if node.kind in ("logits", "kv"):
            problem = f"`{node}` does not write to the residual stream"
            advice = "write heads, MLPs or `embed`"
            meaning.report("C293", problem, span, help=advice)
        elif node.input is not None:
            problem = f"expected a whole node, found the input `{node}`"
            meaning.report(
                "C293", problem, span, help=f"write `{str(node).partition('.')[0]}` to patch its output"
            )


def check_begins(meaning: Meaning, draft: Draft) -> None:
    """What begins in the corrupted run (`into = corrupt`, where there is a choice) needs one."""
    if draft.values.get("into", None if "into" in draft.spans else "corrupt") == "corrupt":
        instead = "write `into = clean`, or " if "into" in draft.values else ""
        check_reruns(meaning, draft, "into", f"`{draft.implementation}`", instead)


def check_denoised(meaning: Meaning, draft: Draft, key: str, word: str, other: str) -> None:
    """Denoising begins in a corrupted run, and zeros and means are none.

    Args:
        meaning: what is known.
        draft: the method.
        key: lets it begin in the corrupted run.
        word: the key's word for that.
        other: that for the other.
    """
    if draft.values.get(key) == word:
        check_reruns(meaning, draft, key, f"`{key} = {word}`", f"write `{key} = {other}`, or ")


def check_reruns(meaning: Meaning, draft: Draft, key: str, what: str, instead: str) -> None:
    """What a key asks for is only there in a run of the model."""
    corruption = meaning.get(draft, "source" if key == "source" else "corruption")
    if corruption is None or CORRUPTIONS[corruption.implementation].run:
        return
    meaning.report(
        "C237",
        f"{what} needs a corruption that re-runs the model; `{corruption.implementation}` only replaces "
        "activations",
        draft.where(key, "corruption"),
        labels=(Label(corruption.place, f"this corruption uses {corruption.implementation}"),),
        help=f"{instead}use {RUNS}",
    )
