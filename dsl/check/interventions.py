"""Whether the options of causal tracing, path patching and steering go together, and name what there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nncirc.circuits.names import Position
from nncirc.dsl.blocks.corruptions import CORRUPTIONS
from nncirc.dsl.blocks.interventions import INTERVENTIONS
from nncirc.dsl.check.datasets import check_positions
from nncirc.dsl.check.edges import check_node
from nncirc.dsl.check.program import NodePattern
from nncirc.dsl.check.scope import Draft
from nncirc.dsl.text import syntax
from nncirc.dsl.text.diagnostics import Label
from nncirc.dsl.text.source import Span

if TYPE_CHECKING:
    from nncirc.dsl.check.meaning import Meaning

__all__ = ["INTERVENTIONS", "check_intervention", "check_whole"]

_NODES = {"path_patching": ("to", "through"), "steering": ("nodes",), "function_vector": ("heads",)}

# What a graph may be split by, and what to do instead.
_BY_POSITION = ("positions", "position", "this block says itself where it intervenes")
_BY_NEURON = ("neurons", "neuron", "activation_patching and attribution_patching know single neurons")


def check_intervention(meaning: Meaning, draft: Draft) -> None:
    """One of `INTERVENTIONS` by itself."""
    graph = meaning.get(draft, "graph")
    if graph is not None:
        if not check_whole(meaning, draft):
            return
        for key in _NODES[draft.implementation]:
            for node, span in _nodes(draft, key):
                check_node(meaning.scope, graph, meaning.shape(graph), node, span)
    _check_run(meaning, draft)
    data = meaning.data_of(draft)
    at = draft.values.get("at")
    if isinstance(at, tuple) and data is not None:
        listed = tuple(each for each in at if isinstance(each, Position))
        check_positions(meaning.scope, data, listed, draft, "at", Label(data.place, "these prompts"))
    match draft.implementation:
        case "causal_tracing":
            _check_tracing(meaning, draft)
        case "path_patching":
            _check_paths(meaning, draft)
        case _:
            _check_steered(meaning, draft)


def check_whole(meaning: Meaning, draft: Draft) -> bool:
    """The graph's nodes are whole, where a method is of whole nodes; reports if not."""
    graph = meaning.get(draft, "graph")
    neurons = draft.implementation == "activation_patching"
    for key, by, advice in (_BY_POSITION,) if neurons else (_BY_POSITION, _BY_NEURON):
        if graph is not None and graph.values.get(key) is not None:
            meaning.scope.report(
                "C294",
                f"`{graph.name}` is split by {by}, and `{draft.implementation}` is of whole nodes",
                draft.where("graph"),
                labels=(Label(graph.where(key), "split here"),),
                help=f"use a graph without `{key}`; {advice}",
            )
            return False
    return True


def _nodes(draft: Draft, key: str) -> list[tuple[NodePattern, Span]]:
    """The nodes under a key, and where they stand."""
    value, written = draft.values.get(key), draft.written.get(key)
    nodes = [each for each in value if isinstance(each, NodePattern)] if isinstance(value, tuple) else []
    items = written.items if isinstance(written, syntax.List) else ()
    spans = [item.span for item in items] if len(items) == len(nodes) else [draft.where(key)] * len(nodes)
    return list(zip(nodes, spans, strict=True))


def _check_run(meaning: Meaning, draft: Draft) -> None:
    """What begins in the corrupted run needs one."""
    corruption = meaning.get(draft, "corruption")
    begins = draft.implementation == "causal_tracing" or draft.values.get("into") == "corrupt"
    if not begins or corruption is None or CORRUPTIONS[corruption.implementation].run:
        return
    runs = ", ".join(f"`{name}`" for name, each in CORRUPTIONS.items() if each.run)
    meaning.scope.report(
        "C237",
        f"`{draft.implementation}` begins in a corrupted run, and `{corruption.implementation}` is none",
        draft.where("into" if "into" in draft.spans else "corruption"),
        labels=(Label(corruption.place, f"this corruption uses {corruption.implementation}"),),
        help=("write `into = clean`, or " if "into" in draft.values else "")
        + f"take a corruption that is a run of the model: {runs}",
    )


def _check_tracing(meaning: Meaning, draft: Draft) -> None:
    """Windows are of MLPs and attention, and what is severed is what states act through."""
    of, window = draft.values.get("of"), draft.values.get("window")
    if of == "states" and isinstance(window, int) and window > 1:
        meaning.scope.report(
            "C291",
            "a restored state stands for all layers before it, so there is no window of states",
            draft.where("window"),
            help="leave `window` out, or restore `mlps` or `attention`",
        )
    if of not in ("states", None) and draft.values.get("sever") not in ("none", None):
        meaning.scope.report(
            "C291",
            f"`sever` says what restored states do not act through, and `{of}` are restored",
            draft.where("sever"),
            help="write `of = states`, or leave `sever` out",
        )


def _check_paths(meaning: Meaning, draft: Draft) -> None:
    """Receivers read something, and each of them counts; what carries is a whole node."""
    nodes = _nodes(draft, "to")
    for node, span in nodes:
        if node.kind in ("embed", "pos_embed"):
            meaning.scope.report(
                "C292", f"`{node}` reads nothing", span, help="paths lead to heads, MLPs or `logits`"
            )
        elif node.kind == "logits" and len(nodes) > 1:
            meaning.scope.report(
                "C292",
                "`logits` read what the direct paths bring, so that no other receiver could change them",
                span,
                help="patch the paths to `logits` in a block of their own",
            )
    for node, span in _nodes(draft, "through"):
        _check_writes(meaning, node, span)


def _check_steered(meaning: Meaning, draft: Draft) -> None:
    """Nodes that write are scaled or shifted; function vectors are of heads."""
    if draft.implementation == "steering" and ("scale" in draft.spans) == ("shift" in draft.spans):
        meaning.scope.report(
            "C293",
            "`steering` takes `scale` or `shift`" + (", and not both" if "scale" in draft.spans else ""),
            draft.where("shift"),
            help="such as `scale = [0, 2]`, or `shift = [1, -1]`",
        )
    for node, span in _nodes(draft, "nodes"):
        _check_writes(meaning, node, span)
    for node, span in _nodes(draft, "heads"):
        _check_writes(meaning, node, span)
        if node.kind in ("mlp", "embed", "pos_embed"):
            meaning.scope.report("C293", f"`{node}` is no head", span, help="name heads: `L9H6`, `L5H*`")
    source, data = meaning.get(draft, "source"), meaning.data_of(draft)
    if source is not None and data is not None:
        own, other = meaning.get(source, "model"), meaning.get(data, "model")
        if not meaning.same_model(own, other):
            meaning.models_differ(draft, "source", own, "corruption", other)


def _check_writes(meaning: Meaning, node: NodePattern, span: Span) -> None:
    """A whole node that writes into the residual stream."""
    if node.kind in ("logits", "kv"):
        meaning.scope.report("C293", f"`{node}` writes nothing", span, help="name heads, MLPs or `embed`")
    elif node.input is not None:
        meaning.scope.report(
            "C293", f"`{node}` is an input, and a whole node writes", span, help="leave the input away"
        )
