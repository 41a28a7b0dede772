"""Circuits that are written down: can their nodes and paths be those of the graph?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

from nncirc.circuits.names import OTHER, Input, Node, Position
from nncirc.circuits.reference import Path, wrong_paths
from nncirc.circuits.words import did_you_mean, ticked
from nncirc.dsl.blocks.keys import one
from nncirc.dsl.check.declared import Implementation, Key, Meaning
from nncirc.dsl.check.program import EdgePath, Group, GroupRef, Term, Where
from nncirc.dsl.check.scope import Draft
from nncirc.dsl.check.types import Text
from nncirc.dsl.text.diagnostics import Label
from nncirc.dsl.text.source import Span

_MOST_PLACES = 5_000_000  # of terms of paths at positions of the graph: what is more, a run looks at


_PART = {
    "head": "heads",
    "kv": "heads",
    "attention": "attention",
    "mlp": "mlps",
    "neuron": "mlps",
    "pos_embed": "pos_embed",
}


def _check_reference(meaning: Meaning, draft: Draft) -> None:
    """What `where` picks heads by has numbers for heads; nodes exist, edges go forward, groups are used."""
    scope, graph = meaning.scope, meaning.get(draft, "graph")
    before = len(scope.diagnostics)
    checker = None if graph is None else _Reference(meaning, graph, draft.groups)
    for name, group in draft.groups.items():
        for member, span in zip(group, draft.member_spans[name], strict=True):
            if isinstance(member, Where):
                scores = meaning.drafts[member.scores.name]
                if (where := meaning.scores(scores).where) is not None:
                    where(meaning, scores, span)
                if checker is not None:
                    checker.part("heads", span)
            elif checker is not None:
                checker.exists(member, span)
    if graph is None or checker is None:
        return
    for path, places in zip(draft.paths, draft.path_spans, strict=True):
        checker.path(path.steps, places)
        if path.score is not None:
            checker.scored(path, places)
    used = {t.name for p in draft.paths for step in p.steps for t in step if isinstance(t, GroupRef)}
    for name, span in draft.group_spans.items():
        if draft.paths and name not in used:
            otherwise = "add it to a path, or remove it: its nodes are not part of the circuit"
            advice = did_you_mean(name, used, otherwise)
            scope.report(
                "C120", f"unused group `{name}`: no path has it", span, severity="warning", help=advice
            )
    if checker.shape is not None and not any(each.severity == "error" for each in scope.diagnostics[before:]):
        _check_edges(meaning, draft, graph)


def path_of(path: EdgePath) -> Path:
    """A path as `from_paths` takes it."""
    return [[_written(term) for term in step] for step in path.steps]


def _written(term: Term) -> tuple[str, Input | None]:
    if isinstance(term, Node):
        return str(replace(term, input=None)), term.input
    return term.name if term.position is None else f"{term.name}@{term.position}", term.input


def _check_edges(meaning: Meaning, draft: Draft, graph: Draft) -> None:
    """Every path makes edges, where the graph and the groups are known without a run."""
    known = {
        name: [str(member) for member in group]
        for name, group in draft.groups.items()
        if group and not any(isinstance(member, Where) for member in group)
    }
    paths = [
        path
        for path in draft.paths
        if all(t.name in known for step in path.steps for t in step if isinstance(t, GroupRef))
    ]
    found = meaning.graph(graph)
    terms = sum(len(step) for path in paths for step in path.steps)
    if found is None or terms * len(found.positions) > _MOST_PLACES:
        return

    scores = [path.score for path in paths]
    for number, error in wrong_paths(found, known, [path_of(path) for path in paths], scores):
        meaning.report(
            "C464" if error.code == "C464" else "C229",
            error.message,
            draft.span if number is None else paths[number].span,
            labels=(Label(graph.place, "the graph"),),
            help=error.hint,
        )


def check_node(meaning: Meaning, graph: Draft, node: Node, span: Span) -> None:
    """A node, or some node of a pattern, is in the graph and in the model."""
    _Reference(meaning, graph, {}).exists(node, span)


class _Reference:
    """The checks of nodes and paths in one graph."""

    def __init__(self, meaning: Meaning, graph: Draft, groups: Mapping[str, Group]) -> None:
        self.scope = meaning.scope
        self.graph = graph
        self.shape = meaning.shape(graph)
        self.d_mlp = meaning.d_mlp(graph)
        nodes, inputs = graph.values.get("nodes"), graph.values.get("inputs")
        self.nodes = nodes if isinstance(nodes, tuple) else None
        self.joined = inputs == ()
        self.at = graph.values.get("positions")
        self.split = graph.values.get("neurons")
        self.named = {*map(str, self.at), OTHER} if isinstance(self.at, tuple) else set[str]()
        self.scores: dict[tuple[str, str], Span] = {}
        self.ranks = {name: _ranks(group) for name, group in groups.items()}
        self.shared = {name for name, group in groups.items() if any(map(_is_shared, group))}

    def report(self, code: str, message: str, span: Span, advice: str | None = None, key: str = "") -> None:
        labels = (Label(self.graph.where(key) if key else self.graph.place, "the graph"),)
        self.scope.report(code, message, span, labels=labels, help=advice)

    def part(self, part: str, span: Span) -> None:
        if self.nodes is not None and part not in self.nodes:
            what = {"mlps": "MLPs", "attention": "attention layers", "pos_embed": "`pos_embed`"}.get(
                part, part
            )
            self.report("C230", f"this graph has no {what}", span, f"add `{part}` to its `nodes`", "nodes")

    def exists(self, node: Node, span: Span) -> None:
        """A node, or some node of a pattern, is in the graph and in the model."""
        if node.kind in _PART:
            self.part(_PART[node.kind], span)
        if node.input is not None and self.joined:
            problem = "the inputs of heads are joined in this graph"
            self.report("C230", problem, span, f"write `{replace(node, input=None)}`", "inputs")
        self.position(node.position, span)
        if node.kind == "neuron":
            self.neuron(node, span)
        if self.shape is None:
            return
        if node.layer is not None and node.layer >= self.shape.n_layers:
            problem = f"`{node}` is outside the model, which has {self.shape.n_layers} layers"
            self.report("C226", problem, span, f"layers are numbered 0 to {self.shape.n_layers - 1}")
            return
        count = self.shape.n_kv_heads if node.kind == "kv" else self.shape.n_heads
        what = "key-value groups" if node.kind == "kv" else "heads"
        if node.kind != "neuron" and node.index is not None and node.index >= count:
            problem = f"`{node}` is outside the model, which has {count} {what} per layer"
            self.report("C226", problem, span, f"they are numbered 0 to {count - 1}")

    def has(self, position: Position) -> bool:
        """Whether the graph is split at a position; unknown counts as yes."""
        name, length = str(position), self.graph.values.get("length")
        if self.at == "all":
            return name.isdigit() and not (isinstance(length, int) and int(name) >= length)
        if isinstance(self.at, tuple):
            return name in self.named
        return "positions" in self.graph.spans

    def position(self, position: Position | None, span: Span) -> None:
        """The graph is split at this position."""
        if position is None or self.has(position):
            return
        name = str(position)
        if self.at is None:
            advice = f"remove `@{name}`, or split the graph: `positions = [{name}]`"
            self.report("C230", "the nodes of this graph are not split by position", span, advice)
        elif self.at == "all":
            length = self.graph.values.get("length")
            last = f" to {length - 1}" if isinstance(length, int) else ", 1, 2, …"
            advice = f"its positions are token indices, 0{last}"
            self.report("C230", f"this graph has no position `{name}`", span, advice, "positions")
        elif isinstance(self.at, tuple):
            listed = ticked(dict.fromkeys((*map(str, self.at[:12]), OTHER)))
            near = did_you_mean(name, self.named, f"it is split at {listed}", shown="`@{}`")
            self.report("C230", f"this graph has no position `{name}`", span, near, "positions")

    def neuron(self, node: Node, span: Span) -> None:
        """The MLP of its layer is split, into so many."""
        split = self.split if isinstance(self.split, tuple) else ()
        layers = [layer for layer in split if isinstance(layer, int)]
        if node.layer is None:
            if self.split is None and "neurons" not in self.graph.spans:
                self.report(
                    "C230", "the graph does not split MLPs into neurons", span, "add `neurons = [0]` to it"
                )
        elif node.layer not in layers and (layers or "neurons" not in self.graph.spans):
            listed = ", ".join(map(str, sorted({*layers, node.layer})))
            advice = f"write `MLP{node.layer}` for the whole MLP, or `neurons = [{listed}]` in the graph"
            self.report("C230", f"the graph does not split MLP{node.layer} into neurons", span, advice)
        if node.index is not None and self.d_mlp is not None and node.index >= self.d_mlp:
            problem = f"`{node}` is outside the model, whose MLPs have {self.d_mlp} neurons"
            self.report("C226", problem, span, f"they are numbered 0 to {self.d_mlp - 1}")

    def scored(self, path: EdgePath, places: tuple[tuple[Span, ...], ...]) -> None:
        """A path with a score is one edge, and no other gives that edge a score."""
        terms = [term for step in path.steps for term in step]
        problem = None
        if len(path.steps) != 2 or len(terms) != 2:
            problem = "a score belongs to one edge; this path has several"
        elif any(isinstance(term, GroupRef) or "*" in str(term) for term in terms):
            problem = "a score belongs to one edge between two nodes; this path has a group or a pattern"
        elif self.at is not None and any(getattr(term, "position", None) is None for term in terms):
            problem = "a score belongs to one edge; a node without a position is at every position"
        elif getattr(terms[1], "kind", "") in ("head", "attention") and not (terms[1].input or self.joined):
            problem = f"a score belongs to one edge; `{terms[1]}` has three inputs"
        if problem is not None:
            self.scope.report(
                "C246", problem, path.span, help="write one edge per line, such as `L0H1 -> L2H3.k = 0.25`"
            )
            return
        key = (str(terms[0]), str(terms[1]))
        if key in self.scores:
            labels = (Label(self.scores[key], "first here"),)
            self.scope.report(
                "C246", "this edge has two scores", path.span, labels=labels, help="remove one of them"
            )
        self.scores.setdefault(key, places[0][0].to(places[-1][-1]))

    def path(self, steps: tuple[tuple[Term, ...], ...], places: tuple[tuple[Span, ...], ...]) -> None:
        last, absent = len(steps) - 1, set[Term]()
        for index, (step, spans) in enumerate(zip(steps, places, strict=True)):
            for term, span in zip(step, spans, strict=True):
                before = len(self.scope.diagnostics)
                self.term(term, span, first=index == 0, last=index == last)
                if any(each.code in ("C226", "C229", "C230") for each in self.scope.diagnostics[before:]):
                    absent.add(term)
        for (senders, receivers), spans in zip(pairwise(steps), places[1:], strict=True):
            if absent.intersection(senders):
                continue
            sent, known = {term.position for term in senders}, all(self.is_at(term) for term in senders)
            earliest = min((self.rank(term)[0] for term in senders), default=-math.inf)
            for receiver, span in zip(receivers, spans, strict=True):
                if receiver in absent:
                    continue
                # All senders are at other positions than the receiver, of those that the graph has.
                problem = f"no earlier step can send to `{span.text}`"
                if known and self.is_at(receiver) and receiver.position not in sent:
                    advice = (
                        "only heads move information between positions: end the path at a key or value, and "
                        "start a new one where the head writes"
                    )
                    self.report("C229", f"{problem}: an edge stays at its position", span, advice)
                elif earliest >= self.rank(receiver)[1]:
                    self.report("C229", f"{problem}: edges go only to later nodes", span)

    def term(self, term: Term, span: Span, *, first: bool, last: bool) -> None:
        kind = term.kind if isinstance(term, Node) else "group"
        if isinstance(term, Node):
            self.exists(term, span)
        else:
            self.position(term.position, span)
            if term.input is not None and self.joined:
                advice = f"write `{term.name}`"
                self.report("C230", "the inputs of heads are joined in this graph", span, advice, "inputs")
        if first and term.input is not None:
            problem = f"an edge starts at a node's output, not at its input `.{term.input}`"
            self.report("C229", problem, span, f"write `{span.text.replace(f'.{term.input}', '', 1)}`")
        if term.input in ("k", "v") and term.position is not None and not (first or last):
            self.report(
                "C229",
                f"a head whose key or value is at `{term.position}` writes at other positions too",
                span,
                "end this path here, and start a new one where the head writes: `L2H1@end -> …`",
            )
        if kind == "logits" and not last:
            self.report(
                "C229", "`logits` must be the last step of a path", span, "remove the steps after `logits`"
            )
        if kind in ("embed", "pos_embed") and not first:
            problem = f"`{kind}` must be the first step of a path"
            self.report("C229", problem, span, f"remove the steps before `{kind}`")
        shared = isinstance(term, GroupRef) and term.name in self.shared
        if (kind == "kv" or shared) and not last:
            self.report("C229", "a key-value group has no output", span, "use its heads, such as `L3H*`")

    def is_at(self, term: Term) -> bool:
        """Whether it is at one position, which the graph has."""
        return term.position is not None and self.has(term.position)

    def rank(self, term: Term) -> tuple[float, float]:
        """The places of a term's earliest and latest node in the computation."""
        return self.ranks.get(term.name, _ANYWHERE) if isinstance(term, GroupRef) else _ranks((term,))


_ANYWHERE = (-math.inf, math.inf)


def _ranks(members: Group) -> tuple[float, float]:
    earliest = min((_rank(member, lowest=True) for member in members), default=-math.inf)
    return earliest, max((_rank(member, lowest=False) for member in members), default=math.inf)


def _is_shared(member: Node | Where) -> bool:
    return isinstance(member, Node) and member.kind == "kv"


def _rank(member: Node | Where, *, lowest: bool) -> float:
    """The place of a node in the computation: two steps a layer, attention before the MLP."""
    if isinstance(member, Where):
        return -0.5 if lowest else math.inf
    if member.kind in ("embed", "pos_embed"):
        return -1
    if member.kind == "logits":
        return math.inf
    if member.layer is None:
        return 0 if lowest else 1e9
    return 2 * member.layer + (member.kind in ("mlp", "neuron"))


CIRCUITS = {
    "reference": Implementation(
        "A circuit written out by hand: groups of heads, and paths through them.",
        {
            "graph": Key(one("graph"), "the graph that the circuit is part of", required=True),
            "cite": Key(Text(), "where it was published"),
            "score": Key(Text(), "what the scores of its edges measure, with their unit"),
        },
        extra="edges",
        check=_check_reference,
    )
}
