"""Can the paths of a reference circuit be edges of its graph?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

from nncirc.dsl.diagnostics import Label, suggest
from nncirc.dsl.program import Group, GroupRef, NodePattern, Term, Where
from nncirc.dsl.scope import Draft, Scope
from nncirc.dsl.shapes import ModelShape
from nncirc.dsl.source import Span

__all__ = ["check_node", "check_reference"]

_PART = {"head": "heads", "kv": "heads", "attention": "attention", "mlp": "mlps", "pos_embed": "pos_embed"}


def check_reference(scope: Scope, draft: Draft, graph: Draft, shape: ModelShape | None) -> None:
    """Nodes exist in the graph, edges go forward, groups are used."""
    checker = _Reference(scope, graph, shape, draft.groups)
    for name, group in draft.groups.items():
        for member, span in zip(group, draft.member_spans[name], strict=True):
            if isinstance(member, NodePattern):
                checker.exists(member, span)
            elif isinstance(member, Where):
                checker.part("heads", span)
    for path, places in zip(draft.paths, draft.path_spans, strict=True):
        checker.path(path.steps, places)
    used = {t.name for p in draft.paths for step in p.steps for t in step if isinstance(t, GroupRef)}
    complete = len(draft.paths) > 0
    for name, span in draft.group_spans.items():
        if complete and name not in used:
            near = suggest(name, used)
            scope.report(
                "C120",
                f"no path uses the group `{name}`",
                span,
                severity="warning",
                help=f"did you mean `{near}`?" if near else "its nodes are not part of the circuit",
            )


def check_node(scope: Scope, graph: Draft, shape: ModelShape | None, node: NodePattern, span: Span) -> None:
    """A node, or some node of a pattern, is in the graph and in the model."""
    _Reference(scope, graph, shape, {}).exists(node, span)


class _Reference:
    """The checks of nodes and paths in one graph."""

    def __init__(
        self, scope: Scope, graph: Draft, shape: ModelShape | None, groups: Mapping[str, Group]
    ) -> None:
        self.scope = scope
        self.graph = graph
        self.groups = groups
        self.shape = shape
        nodes, inputs = graph.values.get("nodes"), graph.values.get("inputs")
        self.nodes = nodes if isinstance(nodes, tuple) else None
        self.joined = inputs == ()

    def report(self, code: str, message: str, span: Span, advice: str | None = None, key: str = "") -> None:
        labels = (Label(self.graph.where(key) if key else self.graph.place, "the graph"),)
        self.scope.report(code, message, span, labels=labels, help=advice)

    def part(self, part: str, span: Span) -> None:
        if self.nodes is not None and part not in self.nodes:
            self.report("C230", f"this graph has no {part}", span, f"add `{part}` to its `nodes`", "nodes")

    def exists(self, node: NodePattern, span: Span) -> None:
        """A node, or some node of a pattern, is in the graph and in the model."""
        if node.kind in _PART:
            self.part(_PART[node.kind], span)
        if node.input is not None and self.joined:
            self.report(
                "C230",
                "the inputs of heads are joined in this graph",
                span,
                "write the node without `.q`, `.k` or `.v`",
                "inputs",
            )
        if node.position is not None:
            self.report(
                "C230",
                "the nodes of this graph are not split by position",
                span,
                f"leave `@{node.position}` away",
            )
        if self.shape is None:
            return
        if node.layer is not None and node.layer >= self.shape.layers:
            self.report(
                "C226",
                f"`{node}` is beyond the model, which has {self.shape.layers} layers",
                span,
                f"layers count from 0 to {self.shape.layers - 1}",
            )
            return
        count = self.shape.kv_groups if node.kind == "kv" else self.shape.heads
        what = "key-value groups" if node.kind == "kv" else "heads"
        if node.head is not None and node.head >= count:
            self.report(
                "C226",
                f"`{node}` is beyond the model, which has {count} {what} a layer",
                span,
                f"they count from 0 to {count - 1}",
            )

    def path(self, steps: tuple[tuple[Term, ...], ...], places: tuple[tuple[Span, ...], ...]) -> None:
        last = len(steps) - 1
        for index, (step, spans) in enumerate(zip(steps, places, strict=True)):
            for term, span in zip(step, spans, strict=True):
                self.term(term, span, first=index == 0, last=index == last)
        for (senders, receivers), spans in zip(pairwise(steps), places[1:], strict=True):
            for receiver, span in zip(receivers, spans, strict=True):
                if not self.forward(senders, receiver):
                    self.report(
                        "C229", f"nothing before it sends to `{span.text}`: edges go to later nodes", span
                    )

    def term(self, term: Term, span: Span, *, first: bool, last: bool) -> None:
        kind = term.kind if isinstance(term, NodePattern) else "group"
        if isinstance(term, NodePattern):
            self.exists(term, span)
        elif term.input is not None and self.joined:
            self.report(
                "C230", "the inputs of heads are joined in this graph", span, f"write `{term.name}`", "inputs"
            )
        if first and term.input is not None:
            self.report(
                "C229",
                f"an edge leaves by a node's output, not by `.{term.input}`",
                span,
                "write the node alone",
            )
        if kind == "logits" and not last:
            self.report("C229", "no edge leaves `logits`", span, "a path ends there")
        if kind in ("embed", "pos_embed") and not first:
            self.report("C229", f"no edge enters `{kind}`", span, "a path begins there")
        if kind == "kv" and not last:
            self.report("C229", "a key-value group sends nothing by itself", span, "its heads do: `L3H*`")
        if isinstance(term, GroupRef) and not last:
            for member in self.groups.get(term.name, ()):
                if isinstance(member, NodePattern) and member.kind == "kv":
                    self.report(
                        "C229", "a key-value group sends nothing by itself", span, "its heads do: `L3H*`"
                    )

    def members(self, term: Term) -> tuple[NodePattern | Where, ...]:
        return self.groups.get(term.name, ()) if isinstance(term, GroupRef) else (term,)

    def forward(self, senders: tuple[Term, ...], receiver: Term) -> bool:
        """Whether some sender may come before some node of the receiver."""
        earliest = min(
            (_rank(m, lowest=True) for term in senders for m in self.members(term)), default=-math.inf
        )
        latest = max((_rank(m, lowest=False) for m in self.members(receiver)), default=math.inf)
        return earliest < latest


def _rank(member: NodePattern | Where, *, lowest: bool) -> float:
    """The place of a node in the computation: two steps a layer, attention before the MLP."""
    if isinstance(member, Where):
        return -0.5 if lowest else math.inf
    if member.kind in ("embed", "pos_embed"):
        return -1
    if member.kind == "logits":
        return math.inf
    if member.layer is None:
        return 0 if lowest else 1e9
    return 2 * member.layer + (member.kind == "mlp")
