"""What each declaration of a checked program stands for: models, prompts, graphs, scores, circuits.

One function an implementation, in one table a kind. A declaration is built when something needs it, once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from dataclasses import replace as with_fields
from functools import partial, reduce
from typing import Any, TypeAlias, TypeVar

from nncirc.circuits.circuit import Circuit, difference, intersection, union
from nncirc.circuits.errors import GraphError, MethodError, NncircError
from nncirc.circuits.graph import Graph
from nncirc.circuits.measures import agreement
from nncirc.circuits.reference import from_paths
from nncirc.dsl.diagnostics import Diagnostic
from nncirc.dsl.program import (
    Choices,
    Declaration,
    NamedList,
    NextToken,
    NodePattern,
    Position,
    Program,
    RandomTokens,
    Ref,
    Template,
    Where,
)
from nncirc.dsl.source import Span
from nncirc.engine.acdc import Measured, acdc
from nncirc.engine.activation import activation_patching
from nncirc.engine.attention import attention_statistics
from nncirc.engine.attribution import attribution_patching, node_attribution
from nncirc.engine.contrast import Contrast, Mean, Resample, Zero, check_fits
from nncirc.engine.data import (
    NEXT,
    Dataset,
    counterpart,
    file_dataset,
    prompt_dataset,
    random_tokens,
    replace,
    template_dataset,
    token_dataset,
)
from nncirc.engine.evaluate import faithfulness
from nncirc.engine.loading import load_bundled, load_huggingface
from nncirc.engine.metrics import Metric
from nncirc.engine.model import Model
from nncirc.engine.program import stored
from nncirc.engine.program.store import Store
from nncirc.engine.scores import EdgeScores, NodeScores

T = TypeVar("T")

Progress: TypeAlias = Callable[[int, int], None]
Build: TypeAlias = "Callable[[Builder, Declaration], Any]"

# The key of a block that an error is about, where the code tells; otherwise the block itself.
_KEYS = {
    "C303": ("answer", "foil"),
    "C304": ("foil", "answer"),
    "C306": ("prompt", "clean"),
    "C307": ("prompt",),
    "C309": ("slots",),
    "C310": ("size",),
    "C311": ("prompt", "clean"),
    "C315": ("path",),
    "C316": ("path",),
    "C317": ("clean", "corrupt", "path"),
    "C332": ("at",),
    "C334": ("positions",),
    "C402": ("id", "name"),
    "C403": ("id", "name"),
    "C404": ("id", "name"),
    "C405": ("id", "dtype"),
    "C406": ("device",),
    "C411": ("id",),
    "C421": ("tokenizer", "id"),
    "C422": ("tokenizer", "id"),
    "C423": ("id",),
    "C424": ("revision", "id"),
    "C460": ("nodes",),
    "C523": ("direction",),
}


class ProgramError(NncircError):
    """An error of a run with its place in the script."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.code, diagnostic.message, hint=diagnostic.help)
        self.diagnostic = diagnostic


@dataclass(frozen=True, slots=True)
class Curve:
    """Faithfulness of circuits of growing size.

    Attributes:
        points: for each number of edges asked for: that number, the edges left after pruning, faithfulness.
        made: how it was made; JSON values only.
    """

    points: tuple[tuple[int, int, float], ...]
    made: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """A comparison of circuits: a header and rows."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str | int | float, ...], ...]


@dataclass
class Builder:
    """Builds what declarations stand for.

    Args:
        program: the checked program.
        batch: most prompts in one trace; None for all of one length.
        progress: gives each declaration's name a callback for work done and work in all.
        store: results of earlier runs; None to compute everything.
    """

    program: Program
    batch: int | None = None
    progress: Callable[[str], Progress | None] = lambda _: None
    store: Store | None = None
    built: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    restored: set[str] = field(default_factory=set)
    _models: dict[str, Model] = field(default_factory=dict)
    _identities: dict[str, Any] = field(default_factory=dict)
    _contrasts: dict[str, Contrast] = field(default_factory=dict)
    _measured: dict[tuple[str, ...], Measured] = field(default_factory=dict)

    def get(self, name: str) -> Any:
        """What a declaration stands for.

        Raises:
            ProgramError: whatever went wrong, with the declaration's place.
        """
        if name not in self.built:
            declaration = self.program.declarations[name]
            for needed in declaration.references():
                self.get(needed)
            wall, cpu = time.perf_counter(), time.process_time()
            hits, misses = (self.store.hits, self.store.misses) if self.store else (0, 0)
            with placed(declaration):
                made = BUILDERS[declaration.kind][declaration.implementation](self, declaration)
            self.built[name] = made
            if self.store and self.store.hits > hits and self.store.misses == misses:
                self.restored.add(name)
            self.seconds[name] = {
                "wall": round(time.perf_counter() - wall, 4),
                "cpu": round(time.process_time() - cpu, 4),
            }
        return self.built[name]

    def of(self, declaration: Declaration, key: str) -> Any:
        """What the declaration under a key stands for; None if there is none."""
        value = declaration.values[key]
        return self.get(value.name) if isinstance(value, Ref) else None

    def declaration(self, declaration: Declaration, key: str) -> Declaration:
        """The declaration under a key."""
        value = declaration.values[key]
        assert isinstance(value, Ref)
        return self.program.declarations[value.name]

    def model_of(self, dataset: Declaration) -> Model:
        """The model whose tokenizer reads a dataset."""
        return self.of(dataset, "model")

    def contrast(self, corruption: Declaration) -> Contrast:
        """The clean prompts of a corruption against it."""
        if corruption.name not in self._contrasts:
            dataset = self.declaration(corruption, "data")
            with placed(corruption):
                self._contrasts[corruption.name] = Contrast(
                    self.model_of(dataset), self.of(corruption, "data"), self.get(corruption.name), self.batch
                )
        return self._contrasts[corruption.name]

    def contrast_of(self, declaration: Declaration) -> Contrast:
        """The contrast of a method's `corruption` key."""
        return self.contrast(self.declaration(declaration, "corruption"))

    def check(self, declaration: Declaration) -> None:
        """Find what is wrong with a method's prompts, positions and answers before long work starts."""
        if isinstance(declaration.values.get("corruption"), Ref):
            contrast = self.contrast_of(declaration)
            metric = self.of(declaration, "metric")
            with placed(self.declaration(declaration, "metric")):
                for batch in contrast.batches:
                    contrast.reading(batch, metric)
                # That runs the model; a result that is there has passed it.
                if not (self.store and self.store.has(self.key(declaration))):
                    contrast.normalizer(metric)

    def kept(self, key: Callable[[], str], form: stored.Form[T], make: Callable[[], T]) -> T:
        """A result from the store, or else made and stored."""
        if self.store is None:
            return make()
        under = key()
        found = self.store.load(under, form.read)
        if found is None:
            found = make()
            self.store.save(under, form.write(found))
        return found

    def key(self, declaration: Declaration) -> str:
        """The store's key of what a method gives: references stand for the content of what they name."""
        parts = {
            key: self.identity(value.name) if isinstance(value, Ref) else value
            for key, value in declaration.values.items()
        }
        return stored.key_of(declaration.implementation, **parts)

    def identity(self, name: str) -> Any:
        """The content of what a declaration stands for, with the model and prompts that it is about."""
        if name not in self._identities:
            declaration = self.program.declarations[name]
            about = {"dataset": "model", "corruption": "data"}.get(declaration.kind)
            rest = [self.identity(self.declaration(declaration, about).name)] if about else []
            self._identities[name] = [stored.identity(self.get(name)), *rest]
        return self._identities[name]

    def measured(self, declaration: Declaration) -> Measured:
        """What runs of ACDC that differ from this one in the threshold have measured so far."""
        about = tuple(self.declaration(declaration, key).name for key in ("graph", "corruption", "metric"))
        return self._measured.setdefault(about, Measured())

    def number(
        self, what: str, corruption: Declaration, metric: str, circuit: Circuit | None = None
    ) -> float:
        """The faithfulness of a circuit, or a metric's clean or corrupt value, to stable digits."""
        contrast, measured = self.contrast(corruption), self.get(metric)

        def key() -> str:
            about = [self.identity(corruption.name), self.identity(metric)]
            return stored.key_of(what, about=about, circuit=circuit and stored.identity(circuit))

        def make() -> float:
            if circuit is not None:
                value = faithfulness(contrast, circuit, measured)
            else:
                normal = contrast.normalizer(measured)
                raw = contrast.clean if what == "clean" else contrast.corrupt
                value = float(normal(raw(measured)))
            return round(value, contrast.model.digits)

        return self.kept(key, stored.NUMBER, make)

    def model(self, declaration: Declaration, load: Callable[[], Model]) -> Model:
        """Two declarations that say the same are one model."""
        key = json.dumps([declaration.implementation, sorted(declaration.values.items())], default=str)
        if key not in self._models:
            self._models[key] = load()
        return self._models[key]

    def facts(self, corruption: Declaration) -> dict[str, Any]:
        """What a result says of its model and prompts."""
        contrast = self.contrast(corruption)
        dataset = self.declaration(corruption, "data")
        return {
            "model": contrast.model.name,
            "model_made": {k: v for k, v in contrast.model.made.items() if k not in ("guards", "device")},
            "dataset": {"name": dataset.name, **contrast.dataset.made},
        }


class placed:  # noqa: N801 - reads as a word of a with statement
    """Errors inside get the place of a declaration, unless they have one."""

    def __init__(self, declaration: Declaration) -> None:
        self.declaration = declaration

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, NncircError) and not isinstance(error, ProgramError):
            span = span_of(self.declaration, error.code)
            raise ProgramError(Diagnostic(error.code, error.message, span, help=error.hint)) from error


def span_of(declaration: Declaration, code: str) -> Span:
    """Where an error of this code stands in a declaration."""
    for key in _KEYS.get(code, ()):
        if key in declaration.spans:
            return declaration.spans[key]
    return declaration.span


# Models, prompts, corruptions, graphs, metrics -------------------------------------------------------------


def _huggingface(builder: Builder, declaration: Declaration) -> Model:
    return builder.model(declaration, lambda: load_huggingface(**_options(declaration)))


def _bundled(builder: Builder, declaration: Declaration) -> Model:
    return builder.model(declaration, lambda: load_bundled(**_options(declaration)))


def _options(declaration: Declaration) -> Any:
    return dict(declaration.values)


def _fitting(builder: Builder, declaration: Declaration, dataset: Dataset) -> Dataset:
    check_fits(builder.model_of(declaration), dataset)
    return dataset


def _template(builder: Builder, declaration: Declaration) -> Dataset:
    values: Any = declaration.values
    groups: dict[int, list[str]] = {}
    sources: dict[int, Any] = {}
    for slot in declaration.slots.values():
        groups.setdefault(slot.group, []).append(slot.name)
        match slot.generator:
            case Choices(items):
                sources[slot.group] = items
            case NamedList(name):
                sources[slot.group] = name
            case RandomTokens(length):
                sources[slot.group] = random_tokens(length)
    dataset = template_dataset(
        builder.model_of(declaration).tokenizer,
        prompt=[prompt.text for prompt in values["prompt"]],
        slots={tuple(names): sources[group] for group, names in groups.items()},
        size=values["size"],
        seed=values["seed"],
        answer=_answer(values["answer"]),
        foil=_answer(values["foil"]),
    )
    return _fitting(builder, declaration, dataset)


def _answer(value: Any) -> Any:
    match value:
        case NextToken():
            return NEXT
        case Template(text):
            return text
        case tuple():
            return [each.text if isinstance(each, Template) else each for each in value]
        case _:
            return value


def _prompts(builder: Builder, declaration: Declaration) -> Dataset:
    values: Any = declaration.values
    dataset = prompt_dataset(
        builder.model_of(declaration).tokenizer,
        clean=_answer(values["clean"]),
        corrupt=_answer(values["corrupt"]),
        answer=_one_or_all(_answer(values["answer"])),
        foil=_one_or_all(_answer(values["foil"])),
    )
    return _fitting(builder, declaration, dataset)


def _one_or_all(value: Any) -> Any:
    """A single answer stands for every prompt."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _file(builder: Builder, declaration: Declaration) -> Dataset:
    values: Any = declaration.values
    # A column that the script does not name is used if it is there.
    named = {key: values[key] for key in ("clean", "corrupt", "answer", "foil")}
    optional = [key for key in ("corrupt", "answer", "foil") if key not in declaration.spans]
    dataset = file_dataset(
        builder.model_of(declaration).tokenizer,
        values["path"],
        size=values["size"],
        optional=optional,
        **named,
    )
    return _fitting(builder, declaration, dataset)


def _tokens(builder: Builder, declaration: Declaration) -> Dataset:
    values: Any = declaration.values
    options = {key: values[key] for key in ("size", "seed", "length", "copies")}
    dataset = token_dataset(builder.model_of(declaration).tokenizer, **options)
    return _fitting(builder, declaration, dataset)


def _replace(builder: Builder, declaration: Declaration) -> Resample:
    replacements = {(r.slot, r.occurrence): r.by for r in declaration.replacements}
    return Resample(replace(builder.of(declaration, "data"), replacements), "replace")


def _counterpart(builder: Builder, declaration: Declaration) -> Resample:
    return Resample(counterpart(builder.of(declaration, "data")), "counterpart")


def _mean(builder: Builder, declaration: Declaration) -> Mean:
    over: Any = declaration.values["over"]
    return Mean(over, builder.of(declaration, "source"))


def _residual(builder: Builder, declaration: Declaration) -> Graph:
    nodes: Any = declaration.values["nodes"]
    model: Model = builder.of(declaration, "model")
    if model.shape.mlps and "mlps" not in nodes:
        raise GraphError(
            "C460",
            f"the MLPs of {model.name} write into the residual stream, and the graph leaves them out",
            hint="add mlps to nodes: what is no node could be neither cut nor corrupted",
        )
    attention: Any = "layers" if "attention" in nodes else "heads"
    return model.graph(attention=attention, split_inputs=bool(declaration.values["inputs"]))


def _metric(_: Builder, declaration: Declaration) -> Metric:
    values: Any = declaration.values
    at = tuple((place.name, place.occurrence) for place in values["at"])
    return Metric(declaration.implementation, at, values["normalize"])


# Scores and circuits ---------------------------------------------------------------------------------------


def _activation(builder: Builder, declaration: Declaration) -> NodeScores:
    positions: Any = declaration.values["positions"]
    if isinstance(positions, tuple):
        positions = [(place.name, place.occurrence) for place in positions if isinstance(place, Position)]
    direction: Any = declaration.values["direction"]
    method = partial(
        activation_patching,
        builder.contrast_of(declaration),
        builder.of(declaration, "graph"),
        builder.of(declaration, "metric"),
        direction=direction,
        positions=positions,
        progress=builder.progress(declaration.name),
    )
    return _scored(builder, declaration, stored.NODES, method)


def _attribution(builder: Builder, declaration: Declaration) -> EdgeScores | NodeScores:
    by_edges, graph = declaration.values["by"] == "edges", builder.of(declaration, "graph")
    values: Any = declaration.values
    method: Callable[[], Any] = partial(
        attribution_patching if by_edges else node_attribution,
        builder.contrast_of(declaration),
        graph,
        builder.of(declaration, "metric"),
        steps=values["steps"],
        along=values["along"],
        progress=builder.progress(declaration.name),
    )
    return _scored(builder, declaration, stored.edges_of(graph) if by_edges else stored.NODES, method)


def _scored(
    builder: Builder, declaration: Declaration, form: stored.Form[Any], method: Callable[[], Any]
) -> Any:
    found = builder.kept(lambda: builder.key(declaration), form, method)
    facts = builder.facts(builder.declaration(declaration, "corruption"))
    return with_fields(found, made={**found.made, **facts})


def _statistics(builder: Builder, declaration: Declaration) -> NodeScores:
    of: Any = declaration.values["of"]
    dataset: Dataset = builder.of(declaration, "data")
    model = builder.model_of(builder.declaration(declaration, "data"))
    method = partial(attention_statistics, model, dataset, of)
    scores = builder.kept(lambda: builder.key(declaration), stored.NODES, method)
    return with_fields(scores, made={**scores.made, "model": model.name, "dataset": dict(dataset.made)})


def _acdc(builder: Builder, declaration: Declaration) -> Circuit:
    threshold: Any = declaration.values["threshold"]
    graph = builder.of(declaration, "graph")

    def method() -> Circuit:
        return acdc(
            builder.contrast_of(declaration),
            graph,
            builder.of(declaration, "metric"),
            threshold=threshold,
            journal=builder.store.journal(builder.key(declaration)) if builder.store else None,
            measured=builder.measured(declaration),
            progress=builder.progress(declaration.name),
        )

    found: Circuit = _scored(builder, declaration, stored.circuit_of(graph), method)
    return found


def _threshold(builder: Builder, declaration: Declaration) -> Circuit:
    values: Any = declaration.values
    return _edge_scores(builder, declaration).threshold(values["threshold"], rank=values["rank"])


def _top(builder: Builder, declaration: Declaration) -> Circuit:
    values: Any = declaration.values
    return _edge_scores(builder, declaration).top(values["edges"], rank=values["rank"])


def _edge_scores(builder: Builder, declaration: Declaration) -> EdgeScores:
    scores = builder.of(declaration, "scores")
    if not isinstance(scores, EdgeScores):
        raise MethodError(
            "C544",
            f"{declaration.implementation} selects edges, and these scores are of nodes",
            hint="use attribution_patching by edges, or acdc",
        )
    return scores


def _reference(builder: Builder, declaration: Declaration) -> Circuit:
    graph: Graph = builder.of(declaration, "graph")
    groups = {
        name: [node for member in group for node in _members(builder, member)]
        for name, group in declaration.groups.items()
    }
    paths = [[[_term(term) for term in step] for step in path.steps] for path in declaration.paths]
    circuit = from_paths(graph, groups, paths)
    made = {"method": "reference", "cite": declaration.values["cite"], "name": declaration.name}
    return with_fields(circuit, made={**circuit.made, **made})


def _members(builder: Builder, member: NodePattern | Where) -> list[str]:
    if isinstance(member, NodePattern):
        return [str(member)]
    scores: NodeScores = builder.get(member.scores.name)
    column = scores.positions.index(member.statistic)
    above = -float("inf") if member.above is None else member.above
    below = float("inf") if member.below is None else member.below
    found = [n for n, row in zip(scores.nodes, scores.values, strict=True) if above < row[column] < below]
    if not found:
        best = max(zip(scores.nodes, scores.values, strict=True), key=lambda each: each[1][column])
        raise GraphError(
            "C461",
            f"no head has {member.statistic} in the wanted range; the highest is {best[0]} with"
            f" {best[1][column]:.3g}",
            hint="change the limit of where(...)",
        )
    return found


def _term(term: Any) -> tuple[str, Any]:
    if isinstance(term, NodePattern):
        return str(with_fields(term, input=None)), term.input
    return term.name, term.input


def _algebra(operation: Callable[[Circuit, Circuit], Circuit]) -> Build:
    def build(builder: Builder, declaration: Declaration) -> Circuit:
        refs: Any = declaration.values["circuits"]
        return reduce(operation, [builder.get(ref.name) for ref in refs])

    return build


# Curves and comparisons ------------------------------------------------------------------------------------


def _faithfulness(builder: Builder, declaration: Declaration) -> Curve:
    values: Any = declaration.values
    scores = _edge_scores(builder, declaration)
    corruption = builder.declaration(builder.declaration(declaration, "scores"), "corruption")
    contrast, metric = builder.contrast(corruption), builder.declaration(declaration, "metric").name
    report = builder.progress(declaration.name)
    points = []
    for done, edges in enumerate(values["edges"], 1):
        circuit = scores.top(edges, rank=values["rank"])
        points.append((edges, len(circuit), builder.number("faithfulness", corruption, metric, circuit)))
        if report is not None:
            report(done, len(values["edges"]))
    made = {"method": "faithfulness", "rank": values["rank"], "scores": dict(scores.made)}
    facts = contrast.facts(builder.get(metric))
    return Curve(tuple(points), {**made, **facts, **builder.facts(corruption)})


def _compare(builder: Builder, declaration: Declaration) -> Table:
    values: Any = declaration.values
    named = [(ref.name, builder.get(ref.name)) for ref in values["circuits"]]
    reference = builder.of(declaration, "reference")
    rows: list[tuple[str | int | float, ...]] = []
    if reference is None:
        columns = ("circuit", "with", *(f"jaccard by {by}" for by in values["by"]))
        for i, (name, circuit) in enumerate(named):
            for other_name, other in named[i + 1 :]:
                found = [round(agreement(circuit, other, by=by).jaccard, 4) for by in values["by"]]
                rows.append((name, other_name, *found))
        return Table(columns, tuple(rows))
    columns = ("circuit", "edges", "nodes")
    for by in values["by"]:
        columns += (f"recall by {by}", f"precision by {by}")
    for name, circuit in named:
        row: list[str | int | float] = [name, len(circuit), len(circuit.nodes)]
        for by in values["by"]:
            found_by = agreement(circuit, reference, by=by)
            row += [round(found_by.recall, 4), round(found_by.precision, 4)]
        rows.append(tuple(row))
    return Table(columns, tuple(rows))


BUILDERS: Mapping[str, Mapping[str, Build]] = {
    "model": {"huggingface": _huggingface, "bundled": _bundled},
    "dataset": {"template": _template, "prompts": _prompts, "file": _file, "tokens": _tokens},
    "corruption": {
        "replace": _replace,
        "counterpart": _counterpart,
        "zero": lambda builder, declaration: Zero(),  # noqa: ARG005
        "mean": _mean,
    },
    "graph": {"residual": _residual},
    "metric": dict.fromkeys(("logit_diff", "logprob", "prob", "kl_divergence"), _metric),
    "scores": {
        "activation_patching": _activation,
        "attribution_patching": _attribution,
        "attention_statistics": _statistics,
    },
    "circuit": {
        "acdc": _acdc,
        "threshold": _threshold,
        "top": _top,
        "reference": _reference,
        "union": _algebra(union),
        "intersection": _algebra(intersection),
        "difference": _algebra(difference),
    },
    "curve": {"faithfulness": _faithfulness},
    "compare": {"compare": _compare},
}
