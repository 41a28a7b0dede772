"""What may be declared, and what the checks of a declaration ask of the others.

Nothing is loaded here. A declaration that lacks a value, because that value was wrong, is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from nncirc.circuits.errors import GraphError
from nncirc.circuits.graph import Graph, Shape
from nncirc.circuits.names import OTHER
from nncirc.circuits.words import or_
from nncirc.dsl.check.program import Apply, Ref, Value
from nncirc.dsl.check.scope import Draft, Scope
from nncirc.dsl.check.shapes import Sizes, SizesProvider, graph_of, shape_of
from nncirc.dsl.check.tables import Asked, Table
from nncirc.dsl.check.types import Type
from nncirc.dsl.text import syntax
from nncirc.dsl.text.diagnostics import Label
from nncirc.dsl.text.limits import MOST_NODES
from nncirc.dsl.text.source import Span


@dataclass(frozen=True, slots=True)
class Key:
    """A key of an implementation. One that is not `required` and has no default may be absent (None)."""

    type: Type
    doc: str
    required: bool = False
    default: Value = None
    unit: str = ""
    family: bool = False  # a list of numbers makes one member for each


Check: TypeAlias = "Callable[[Meaning, Draft], None]"


def every(*checks: Check) -> Check:
    """Checks, one after another."""

    def check(meaning: Meaning, draft: Draft) -> None:
        for each in checks:
            each(meaning, draft)

    return check


@dataclass(frozen=True, slots=True)
class Implementation:
    """What may follow `using`.

    Attributes:
        extra: what its body holds besides keys.
        source: where the field has it from.
        check: whether its values go together, and with the declarations that it names; reports where not.
    """

    doc: str
    keys: Mapping[str, Key]
    extra: Literal["slots", "replacements", "edges"] | None = None
    source: str = ""
    check: Check | None = None


@dataclass(frozen=True, slots=True)
class Scores(Implementation):
    """A method that gives scores.

    Attributes:
        table: the rows and columns of its result; it gives None for scores of edges.
        effects: of what its scores say how much a metric depends on it; its key `by` says which, otherwise it
            is the first. Circuits are selected by such scores.
        is_metric: whether a score is the metric itself, so that its value without an effect is not 0.
        intervals: whether its numbers have intervals over prompts.
        of_weights: the columns that have none, as numbers of weights.
        statistics: the key that names its statistics of heads, by which `where` picks some; "heads" where
            there is one for each earlier head.
        where: what `where` demands of it besides; reports at a place.
    """

    table: Callable[[Asked], Table | None] = Asked.by_position
    effects: tuple[Literal["edges", "nodes"], ...] = ()
    is_metric: bool = False
    intervals: bool = True
    of_weights: tuple[str, ...] = ()
    statistics: str = ""
    where: Callable[[Meaning, Draft, Span], None] | None = None


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of block. An `output` has one implementation, which is not named, and may lack a label."""

    doc: str
    implementations: Mapping[str, Implementation]
    output: bool = False


@dataclass(frozen=True, slots=True)
class Function:
    """A function in a claim: its arguments, in the order in which they may stand without a key.

    Attributes:
        is_share: whether its values lie between 0 and 1.
        check: whether its arguments go together; reports where not.
    """

    doc: str
    arguments: Mapping[str, Key]
    is_share: bool = False
    check: Callable[[Meaning, Apply, syntax.Call], None] | None = None


@dataclass(slots=True)
class Known:
    """What is made once for all files of a script, by the names of declarations.

    Attributes:
        graphs: the graph, or the error that prevents it; None if it is unknown before the model is loaded.
        tables: of scores, with the names of the rows if they are known; None for scores of edges.
    """

    graphs: dict[str, Graph | GraphError | None] = field(default_factory=dict)
    tables: dict[str, tuple[Table, frozenset[str] | None] | None] = field(default_factory=dict)


class Meaning:
    """What checks ask of the declarations that a declaration refers to, directly or by way of others."""

    def __init__(
        self,
        scope: Scope,
        sizes: SizesProvider,
        known: Known,
        methods: Mapping[str, Scores],
    ) -> None:
        self.scope = scope
        self.drafts = scope.drafts
        self.sizes = sizes
        self.known = known
        self.methods = methods
        self.report = scope.report

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

    def scores(self, draft: Draft) -> Scores:
        """What is declared of the method of scores."""
        return self.methods[draft.implementation]

    def effect(self, scores: Draft) -> str:
        """Of what scores say how much a metric depends on it: `edges` or `nodes`; "" of nothing."""
        effects, by = self.scores(scores).effects, scores.values.get("by")
        return by if isinstance(by, str) and by in effects else next(iter(effects), "")

    def data_of(self, draft: Draft) -> Draft | None:
        """The dataset of the corruption that a method uses."""
        corruption = self.get(draft, "corruption")
        return None if corruption is None else self.get(corruption, "data")

    def model_of(self, draft: Draft) -> tuple[Draft | None, Shape | None]:
        """The model that a method runs, and its shape where that is known."""
        data = self.data_of(draft) or self.get(draft, "source") or self.get(draft, "data")
        model = self.get(draft, "model") or (None if data is None else self.get(data, "model"))
        sizes = self.sizes_of(model)
        return model, None if sizes is None else sizes.shape

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
        problem = f"`{key}` uses model `{model.name}`, but `{other_key}` uses model `{other.name}`"
        labels = (Label(draft.where(other_key), f"uses `{other.name}`"),)
        self.report("C224", problem, draft.where(key), labels=labels, help="use the same model for both")

    def same_model(self, a: Draft | None, b: Draft | None) -> bool:
        """Whether two declarations are of one model; unknown counts as yes."""
        if a is None or b is None or a is b:
            return True
        return a.implementation == b.implementation and a.values == b.values

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
            why = "they belong to different models"
        if why:
            self.report(
                "C225",
                f"`{a.name}` and `{b.name}` are circuits on different graphs: {why}",
                span,
                labels=(
                    Label(first.place, f"the graph of `{a.name}`"),
                    Label(second.place, f"the graph of `{b.name}`"),
                ),
                help="use the same graph for both",
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
            problem = f"`{circuit.name}` uses model `{own.name}`, but `{corruption.name}` uses `{other.name}`"
            self.report("C224", problem, span, help="use the same model for both")

    def counted(self, circuit: Draft | None, by: object, span: Span) -> None:
        """The graph has something of what circuits are compared by."""
        graph = self.drafts.get((circuit.graph if circuit else None) or "")
        nodes, inputs = (None if graph is None else graph.values.get(key) for key in ("nodes", "inputs"))
        for each in by if isinstance(by, tuple) else (by,):
            of = {"heads": {"heads", "attention"}, "mlps": {"mlps"}}.get(str(each), set[str]())
            is_input = each in ("q", "k", "v")
            lacks = (of and isinstance(nodes, tuple) and not of & {*nodes}) or (is_input and inputs == ())
            if lacks:
                assert graph is not None
                problem = f"this graph has no {each} to compare by"
                labels = (Label(graph.where("inputs" if is_input else "nodes"), "the graph"),)
                self.report("C462", problem, span, labels=labels, help="compare by `nodes` or by `edges`")

    def exactly_one(self, draft: Draft, keys: Sequence[str], code: str) -> bool:
        """Whether one of some keys is given, and no other; reports if not."""
        named, given = [f"`{key}`" for key in keys], [key for key in keys if key in draft.spans]
        if not given:
            problem = f"`{draft.implementation}` needs {or_(named)}"
            self.report(code, problem, draft.span, help=f"add {or_([f'`{key} = …`' for key in keys])}")
        elif len(given) > 1:
            problem = f"`{draft.implementation}` takes only one of {', '.join(named[:-1])} and {named[-1]}"
            self.report(code, problem, draft.where(given[-1]), help="remove all but one")
        return len(given) == 1

    def made_of(self, draft: Draft, key: str, most: int, deepest: int) -> None:
        """Of how much something is made of others of its kind; reports if of too much, and that once."""
        value, named = draft.values.get(key), {each.name: each for each in self.many(draft, key)}
        total, deep = 0, 0
        for item in value if isinstance(value, tuple) else ():
            part = named.get(item.name) if isinstance(item, Ref) else None
            if part is not None and part.parts is None:
                draft.parts = None
                return
            count, depth = (1, 0) if part is None or part.parts is None else part.parts
            total += 0 if isinstance(item, str) else count * (part.count if part else 1)
            deep = max(deep, depth)
        draft.parts = total, deep + 1
        if total > most or deep >= deepest:
            draft.parts = None
            problem = (
                f"`{draft.name}` has {total:,} parts, counting the parts of its parts; at most "
                f"{most:,} are allowed"
                if total > most
                else f"`{draft.name}` is nested {deep + 1} levels deep; at most {deepest} are allowed"
            )
            advice = "combine fewer at a time"
            self.report("C010", problem, draft.where(key), help=advice)

    def graph(self, graph: Draft) -> Graph | None:
        """The graph that a block declares, where it is known and not too large to be looked at; made once."""
        found = self.graph_or_error(graph)
        return found if isinstance(found, Graph) else None  # an error is said where it is declared

    def graph_or_error(self, graph: Draft) -> Graph | GraphError | None:
        """Likewise, or why there is no such graph."""
        graphs = self.known.graphs
        if graph.name not in graphs:
            sizes = self.sizes_of(self.get(graph, "model"))
            try:
                graphs[graph.name] = None if sizes is None else graph_of(sizes, graph.values, MOST_NODES)
            except GraphError as error:
                graphs[graph.name] = error
            except KeyError:
                graphs[graph.name] = None
        return graphs[graph.name]

    def sizes_of(self, model: Draft | None) -> Sizes | None:
        """The sizes of a model, where they are at hand."""
        return None if model is None else self.sizes(model.implementation, model.values)

    def shape(self, graph: Draft) -> Shape | None:
        """The shape of a graph, where its model's is at hand."""
        sizes = self.sizes_of(self.get(graph, "model"))
        return None if sizes is None else shape_of(sizes.shape, graph.values)

    def d_mlp(self, graph: Draft) -> int | None:
        """How many neurons the MLPs of a graph's model have, where that is known."""
        sizes = self.sizes_of(self.get(graph, "model"))
        return None if sizes is None else sizes.d_mlp

    def table(self, scores: Draft) -> tuple[Table, frozenset[str] | None] | None:
        """The table that scores will have, and its rows; None for scores of edges. Made once."""
        if scores.name not in self.known.tables:
            graph = self.get(scores, "graph")
            shape = self.model_of(scores)[1] if graph is None else self.shape(graph)
            known = None if graph is None else self.graph(graph)
            asked = Asked(scores.name, scores.values, known, shape)
            table = self.scores(scores).table(asked)
            rows = None if table is None or table.rows is None else frozenset(table.rows)
            self.known.tables[scores.name] = None if table is None else (table, rows)
        return self.known.tables[scores.name]


def _split(graph: Draft, key: str) -> object:
    """What a graph is split by; the tokens that are not named are a position in any case."""
    value = graph.values[key]
    return {*map(str, value)} - {OTHER} if isinstance(value, tuple) else value
