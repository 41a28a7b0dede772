"""What declarations mean together: do models, data, metrics and methods fit each other?

Nothing here is loaded. A declaration that lacks a value, because that value was wrong, is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from nncirc.circuits.errors import GraphError
from nncirc.circuits.graph import Graph
from nncirc.circuits.names import OTHER, Position
from nncirc.dsl.check.attribution import check_attribution
from nncirc.dsl.check.corruptions import check_corruption, check_denoised
from nncirc.dsl.check.datasets import check_positions, check_prompts, check_targets, check_template
from nncirc.dsl.check.edges import check_reference
from nncirc.dsl.check.evaluation import check_compare, check_curve, check_curves
from nncirc.dsl.check.foreseen import (
    check_drawn,
    check_foil,
    check_graph,
    check_heads,
    check_layers,
    check_outputs,
    check_paired,
    check_shuffled,
)
from nncirc.dsl.check.graphs import graph_of
from nncirc.dsl.check.interventions import INTERVENTIONS, check_intervention, check_whole
from nncirc.dsl.check.metrics import (
    check_expression,
    check_function,
    check_gradient,
    check_measured,
    check_unit,
)
from nncirc.dsl.check.neurons import check_neurons
from nncirc.dsl.check.outputs import Files
from nncirc.dsl.check.positions import check_graph_positions, check_split
from nncirc.dsl.check.program import Ref, Where
from nncirc.dsl.check.readings import READINGS, check_reading
from nncirc.dsl.check.scope import Draft, Scope
from nncirc.dsl.check.shapes import ModelShape, ShapeProvider, check_adapter, check_runs, check_shape
from nncirc.dsl.check.tables import Table
from nncirc.dsl.check.tasks import check_task, measure_as
from nncirc.dsl.text.diagnostics import Label
from nncirc.dsl.text.limits import MOST_NODES, check_parts
from nncirc.dsl.text.source import Span

__all__ = ["Known", "Meaning", "check_slots_used", "ordered", "reads"]

_PARTS = ("heads", "attention", "mlps")


def reads(draft: Draft) -> tuple[tuple[str, str], ...]:
    """Key and name of every declaration that a draft refers to."""
    found: list[tuple[str, str]] = []
    for key, value in draft.values.items():
        items = value if isinstance(value, tuple) else (value,)
        found += [(key, item.name) for item in items if isinstance(item, Ref)]
    for name, group in draft.groups.items():
        found += [(name, each.scores.name) for each in group if isinstance(each, Where)]
    return tuple(found)


def ordered(
    drafts: Mapping[str, Draft], on_cycle: Callable[[Sequence[str]], None] | None = None
) -> list[str]:
    """The names so that each stands behind what it refers to, otherwise in the order given.

    A reference that closes a circle is passed to `on_cycle` as the names along it, and then ignored.
    Written without recursion: a script may chain any number of declarations.
    """
    done: dict[str, None] = {}
    for start in drafts:
        path: dict[str, list[str]] = {}
        stack = [start] if start not in done else []
        while stack:
            name = stack[-1]
            if name not in path:
                path[name] = [n for _, n in reads(drafts[name]) if n in drafts][::-1]
            if path[name]:
                following = path[name].pop()
                if following in path:
                    names = list(path)
                    if on_cycle is not None:
                        on_cycle(names[names.index(following) :])
                elif following not in done:
                    stack.append(following)
            else:
                del path[name]
                done[name] = None
                stack.pop()
    return list(done)


@dataclass(slots=True)
class Known:
    """What is made once for all files of a script, by the names of declarations.

    Attributes:
        graphs: why there is none, or None for those that are not known.
        tables: of scores, with the names of the rows if they are known; None for scores of edges.
    """

    graphs: dict[str, Graph | GraphError | None] = field(default_factory=dict)
    tables: dict[str, tuple[Table, frozenset[str] | None] | None] = field(default_factory=dict)


class Meaning:
    """The checks of one file's declarations."""

    def __init__(
        self,
        scope: Scope,
        drafts: Mapping[str, Draft],
        shapes: ShapeProvider,
        known: Known | None = None,
    ) -> None:
        self.known = known or Known()
        self.scope = scope
        self.drafts = drafts
        self.shapes = shapes
        self.mine: dict[str, Draft] = {}
        self.files = Files(scope)

    def add(self, draft: Draft) -> None:
        """A declaration that was read; one whose name another has is nothing that others refer to."""
        known = self.drafts.get(draft.name) is draft
        self.mine[draft.name if known else f"{draft.name} at {draft.place.start}"] = draft

    def check(self) -> None:
        """All checks, on everything added."""
        mine = dict(sorted(self.mine.items(), key=lambda item: item[1].span.start))
        for draft in mine.values():
            # Of a family each member is written, as `families.py` knows; of a used file nothing is.
            if self.drafts.get(draft.name) is draft and not draft.members and not self.scope.prefix:
                self.files.add(draft, draft.name, draft.values.get("file"))
        for name in ordered(mine, self.cycle):
            draft = mine[name]
            check = getattr(self, f"_{draft.kind}", None)
            if check is not None:
                check(draft)
        self.mine.clear()  # claims add more, and are checked by themselves

    def cycle(self, names: Sequence[str]) -> None:
        """Report a circle of references, and forget the last of them."""
        last, first = self.mine[names[-1]], names[0]
        local = [name.removeprefix(self.scope.prefix) for name in (*names, first)]
        key = next(key for key, name in reads(last) if name == first)
        self.scope.report(
            "C109",
            f"these declarations need each other: {' -> '.join(local)}",
            last.where(key),
            labels=[Label(self.mine[name].place, f"`{self.mine[name].name}`") for name in names[:4]],
            help="one of them must be computed without the others",
        )
        last.values.pop(key, None)

    def get(self, draft: Draft, key: str) -> Draft | None:
        """The declaration that a key refers to."""
        value = draft.values.get(key)
        return self.drafts.get(value.name) if isinstance(value, Ref) else None

    def many(self, draft: Draft, key: str) -> list[Draft]:
        """The declarations that a key refers to."""
        value = draft.values.get(key)
        items = value if isinstance(value, tuple) else (value,)
        return [
            self.drafts[item.name] for item in items if isinstance(item, Ref) and item.name in self.drafts
        ]

    # One method a kind, called by name from `check`.

    def _model(self, draft: Draft) -> None:
        check_shape(self.scope, draft)
        check_adapter(self.scope, draft)

    def _dataset(self, draft: Draft) -> None:
        check_runs(self.scope, draft, self.get(draft, "model"))
        check_targets(self.scope, draft)
        if draft.implementation == "template":
            check_template(self.scope, draft)
        elif draft.implementation == "prompts":
            check_prompts(self.scope, draft)
        elif draft.implementation == "task":
            check_task(self.scope, draft)
        check_drawn(self, draft)
        check_foil(self, draft)
        check_outputs(self, draft)

    def _corruption(self, draft: Draft) -> None:
        check_corruption(self, draft)
        check_shuffled(self, draft)

    def _metric(self, draft: Draft) -> None:
        if draft.implementation == "task":
            measure_as(self.scope, draft, self.get(draft, "data"))
        check_parts(self, draft)
        check_expression(self, draft)
        check_unit(self, draft)
        check_function(self.scope, draft)

    def _graph(self, draft: Draft) -> None:
        before = len(self.scope.diagnostics)
        check_split(self, draft)
        check_neurons(self, draft)
        nodes, inputs = draft.values.get("nodes"), draft.values.get("inputs")
        if isinstance(nodes, tuple):
            span = draft.where("nodes")
            for needed in ("embed", "logits"):
                if needed not in nodes:
                    self.scope.report(
                        "C227",
                        f"a graph needs the node `{needed}`",
                        span,
                        help=f"add `{needed}`: edges begin at embed and end at logits",
                    )
            if "heads" in nodes and "attention" in nodes:
                self.scope.report(
                    "C227",
                    "`heads` and `attention` exclude each other: a layer's output would count twice",
                    span,
                    help="remove one",
                )
            elif not any(part in nodes for part in _PARTS):
                self.scope.report(
                    "C227",
                    "this graph has nothing between embed and logits",
                    span,
                    help="add `heads` or `mlps`",
                )
        if isinstance(inputs, tuple) and len(inputs) not in {0, 3}:
            missing = " and ".join(f"`{each}`" for each in ("q", "k", "v") if each not in inputs)
            self.scope.report(
                "C228",
                f"an edge into {missing} could neither be kept nor cut",
                draft.where("inputs"),
                help="write `[q, k, v]` to separate the inputs of a head, or `[]` to join them",
            )
        if len(self.scope.diagnostics) == before:
            check_graph(self, draft)

    def _scores(self, draft: Draft) -> None:
        graph = self.get(draft, "graph")
        draft.graph = None if graph is None else graph.name
        check_layers(self, draft)
        if draft.implementation in READINGS:
            check_reading(self, draft)
            check_paired(self, draft)
            check_outputs(self, draft)
            return
        self.method(draft)
        positions = draft.values.get("positions")
        data = self.data_of(draft)
        if isinstance(positions, tuple) and data is not None:
            listed = tuple(each for each in positions if isinstance(each, Position))
            check_positions(self.scope, data, listed, draft, "positions", Label(data.place, "these prompts"))
        if draft.implementation in INTERVENTIONS:
            check_intervention(self, draft)
        elif draft.implementation == "activation_patching":
            check_whole(self, draft)
        check_denoised(self, draft)
        check_attribution(self.scope, draft)
        check_gradient(self, draft)

    def _circuit(self, draft: Draft) -> None:
        match draft.implementation:
            case "acdc":
                graph = self.get(draft, "graph")
                draft.graph = None if graph is None else graph.name
                self.method(draft)
            case "threshold" | "top":
                self.selects(draft)
            case "reference":
                graph = self.get(draft, "graph")
                draft.graph = None if graph is None else graph.name
                check_heads(self, draft)
                if graph is not None:
                    check_reference(self, draft, graph)
            case _:
                check_parts(self, draft)
                parts = self.many(draft, "circuits")
                if parts:
                    draft.graph = parts[0].graph
                    used = {part.corruption for part in parts}
                    draft.corruption = used.pop() if len(used) == 1 else None
                    for part in parts[1:]:
                        self.same_graph(draft.where("circuits"), parts[0], part)

    def _curve(self, draft: Draft) -> None:
        check_curve(self, draft)

    def _compare(self, draft: Draft) -> None:
        check_compare(self, draft)

    def _plot(self, draft: Draft) -> None:
        given = [key for key in ("scores", "curve", "compare") if key in draft.spans]
        if len(given) != 1:
            message = "`plot` draws `scores`, a `curve` or a `compare`" + (
                ", and one of them" if given else ""
            )
            self.scope.report("C105", message, draft.span, help="give one of the three keys")
        check_curves(self, draft)

    def _render(self, draft: Draft) -> None:
        circuit, highlight = self.get(draft, "circuit"), self.get(draft, "highlight")
        if circuit is not None and highlight is not None and circuit is not highlight:
            self.same_graph(draft.where("highlight"), circuit, highlight)

    # What they share.

    def selects(self, draft: Draft) -> None:
        """`threshold`, `top`, and a curve of it: are these scores that select a circuit?"""
        scores = self.get(draft, "scores")
        if scores is None:
            return
        draft.graph, draft.corruption = scores.graph, scores.corruption
        label = (Label(scores.place, f"uses {scores.implementation}"),)
        if scores.implementation in (*READINGS, *INTERVENTIONS):
            self.scope.report(
                "C232",
                f"`{scores.implementation}` does not say how much a metric depends on an edge",
                draft.where("scores"),
                labels=label,
                help="use `attribution_patching`; a `reference` circuit can pick heads with `where(…)`",
            )
        elif scores.implementation == "activation_patching" or scores.values.get("by") == "nodes":
            self.scope.report(
                "C232",
                f"edges are selected here, but `{scores.name}` scores nodes",
                draft.where("scores"),
                labels=label,
                help="use `attribution_patching` with `by = edges`",
            )

    def method(self, draft: Draft) -> None:
        """A method that has a graph, a corruption and a metric."""
        graph, corruption = self.get(draft, "graph"), self.get(draft, "corruption")
        draft.corruption = None if corruption is None else corruption.name
        data = None if corruption is None else self.get(corruption, "data")
        if graph is not None and data is not None:
            self.fits(draft, "graph", graph, "corruption", self.get(data, "model"))
        check_graph_positions(self, draft)
        metric = self.get(draft, "metric")
        if metric is not None and corruption is not None:
            self.measured(draft.where("metric"), metric, corruption)

    def data_of(self, draft: Draft) -> Draft | None:
        """The dataset of the corruption that a method uses."""
        corruption = self.get(draft, "corruption")
        return None if corruption is None else self.get(corruption, "data")

    def fits(self, draft: Draft, key: str, graph: Draft, other_key: str, model: Draft | None) -> None:
        """The graph is of the model that reads the prompts."""
        own = self.get(graph, "model")
        if not self.same_model(own, model):
            self.models_differ(draft, other_key, model, key, own)

    def models_differ(
        self, draft: Draft, key: str, model: Draft | None, other_key: str, other: Draft | None
    ) -> None:
        """Two keys of a declaration lead to two models."""
        assert model is not None and other is not None
        self.scope.report(
            "C224",
            f"`{key}` is for the model `{model.name}`, but `{other_key}` is for `{other.name}`",
            draft.where(key),
            labels=(Label(draft.where(other_key), f"for `{other.name}`"),),
            help="use one model for both",
        )

    def same_model(self, a: Draft | None, b: Draft | None) -> bool:
        """Whether two declarations are of one model; unknown counts as yes."""
        if a is None or b is None or a is b:
            return True
        return a.implementation == b.implementation and a.values == b.values

    def measured(self, span: Span, metric: Draft, corruption: Draft) -> None:
        """The dataset has what the metric reads, where it reads it."""
        check_measured(self, span, metric, corruption)

    def same_graph(self, span: Span, a: Draft, b: Draft) -> None:
        """Circuits of two graphs have no common edges to speak of."""
        first, second = self.drafts.get(a.graph or ""), self.drafts.get(b.graph or "")
        if first is None or second is None or first is second:
            return
        why = None
        for key in ("nodes", "inputs"):
            one, other = first.values.get(key), second.values.get(key)
            if isinstance(one, tuple) and isinstance(other, tuple) and {*one} != {*other}:
                why = f"their `{key}` differ"
        for key in ("positions", "neurons"):
            if key in first.values and key in second.values and _split(first, key) != _split(second, key):
                why = f"their `{key}` differ"
        own_model, other_model = self.get(first, "model"), self.get(second, "model")
        # Another file's model may be the same one under another id; the engine compares the shapes.
        if first.span.source is second.span.source and not self.same_model(own_model, other_model):
            why = "they are of different models"
        if why:
            self.scope.report(
                "C225",
                f"`{a.name}` and `{b.name}` are circuits of different graphs: {why}",
                span,
                labels=(Label(first.place, f"of `{a.name}`"), Label(second.place, f"of `{b.name}`")),
                help="use one graph for both",
            )

    def circuit_fits(self, span: Span, circuit: Draft | None, corruption: Draft) -> None:
        """The circuit's graph is of the model that reads the corruption's prompts."""
        graph = self.drafts.get((circuit.graph if circuit else None) or "")
        data = self.get(corruption, "data")
        if circuit is None or graph is None or data is None:
            return
        own, other = self.get(graph, "model"), self.get(data, "model")
        same_file = graph.span.source is data.span.source
        if own is not None and other is not None and same_file and not self.same_model(own, other):
            self.scope.report(
                "C224",
                f"`{circuit.name}` is for the model `{own.name}`, "
                f"but `{corruption.name}` is for `{other.name}`",
                span,
                help="use one model for both",
            )

    def graph(self, graph: Draft) -> Graph | None:
        """The graph that a block declares, where it is known and not too large to be looked at; made once."""
        found = self.graph_or_error(graph)
        return found if isinstance(found, Graph) else None  # an error is said where it is declared

    def graph_or_error(self, graph: Draft) -> Graph | GraphError | None:
        """Likewise, or why there is no such graph."""
        graphs = self.known.graphs
        if graph.name not in graphs:
            shape = self.shape(graph)
            try:
                graphs[graph.name] = None if shape is None else graph_of(shape, graph.values, MOST_NODES)
            except GraphError as error:
                graphs[graph.name] = error
            except KeyError:
                graphs[graph.name] = None
        return graphs[graph.name]

    def shape(self, graph: Draft) -> ModelShape | None:
        """The shape of a graph's model, where it is at hand."""
        model = self.get(graph, "model")
        return None if model is None else self.shapes(model.implementation, model.values)


def _split(graph: Draft, key: str) -> object:
    """What a graph is split by; the tokens that are not named are a position in any case."""
    value = graph.values[key]
    return {*map(str, value)} - {OTHER} if isinstance(value, tuple) else value


def check_slots_used(scope: Scope, drafts: Mapping[str, Draft]) -> None:
    """Every slot of the script's own templates is used by a prompt or by a replacement somewhere."""
    used: dict[str, set[str]] = {}
    for draft in drafts.values():
        data = draft.values.get("data")
        if draft.implementation == "replace" and isinstance(data, Ref):
            used.setdefault(data.name, set()).update(each.by for each in draft.replacements)
    for draft in drafts.values():
        prompts = draft.values.get("prompt")
        if (
            draft.implementation != "template"
            or draft.span.source is not scope.source
            or not isinstance(prompts, tuple)
        ):
            continue
        targets = [draft.values.get("answer"), draft.values.get("foil")]
        texts = [*prompts, *(t for each in targets for t in (each if isinstance(each, tuple) else (each,)))]
        mentioned: set[str] = {slot for text in texts for slot in getattr(text, "slots", ())}
        if not mentioned <= set(draft.slot_spans):
            continue  # a misspelt placeholder would leave its slot unused
        for name, span in draft.slot_spans.items():
            if name not in mentioned and name not in used.get(draft.name, set()):
                scope.report(
                    "C213",
                    f"no prompt has the slot `{name}`, and no replacement uses it",
                    span,
                    help=f"write `{{{name}}}` in the prompt, or remove the slot",
                )
