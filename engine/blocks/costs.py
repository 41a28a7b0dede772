"""What every method of the language costs, from the keys of its block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from nncirc.circuits.areas import SHARES
from nncirc.circuits.circuit import Circuit
from nncirc.circuits.graph import Graph, stages
from nncirc.circuits.reference import expand
from nncirc.dsl.check.program import Apply, Declaration, Ref
from nncirc.engine.blocks.common import sweep_of
from nncirc.engine.blocks.evaluation import is_measured
from nncirc.engine.blocks.interventions import nodes_of
from nncirc.engine.data.examples import Dataset
from nncirc.engine.methods import acdc_cost, costs
from nncirc.engine.methods.costs import FREE, Cost, Prompts
from nncirc.engine.methods.path_patching import receivers_of
from nncirc.engine.program.costing import Costing, CostOf, Priced, Setting
from nncirc.engine.runs.batches import batches
from nncirc.engine.runs.columns import by_position, columns_of
from nncirc.engine.runs.room import (
    acdc_room,
    attribution_room,
    edited_room,
    patching_room,
    paths_room,
    reading_room,
)

BOTH = ("clean", "corrupt")


# Patching and attribution ----------------------------------------------------------------------------------


def _activation(costing: Costing, declaration: Declaration) -> Priced:
    at = costing.setting(declaration)
    cost = costing.runs(at, *BOTH)
    positions: Any = declaration.values["positions"]
    columns = columns_of(at.contrast.dataset, positions)[1]
    cost += costs.patching(at.sizes, at.contrast, at.graph, at.metric, columns)
    return at.priced(replace(cost, memory=patching_room(at.contrast)))


def _attribution(costing: Costing, declaration: Declaration) -> Priced:
    values: Any = declaration.values
    at = costing.setting(declaration)
    by_edges = values["by"] == "edges"
    # What is written in the run that is differentiated is kept of that.
    other = "corrupt" if values["base"] == "clean" else "clean"
    cost = costing.runs(at, *(BOTH if values["steps"] > 1 else (other,)))

    def each(prompts: Prompts) -> Cost:
        how = {key: values[key] for key in ("steps", "along")}
        found = costs.attribution(at.sizes, at.graph, prompts, by_edges=by_edges, **how)
        if values["correct_qk"]:
            found += costs.query_key(at.sizes, at.graph, prompts)
        return found * (at.sizes.shape.n_layers if values["grad_drop"] else 1)

    neurons = sum(at.graph.neuron_counts.values()) if by_edges else 0
    return at.priced(replace(cost + at.total(each), memory=attribution_room(at.contrast, neurons)))


# Circuits --------------------------------------------------------------------------------------------------


def _acdc(costing: Costing, declaration: Declaration) -> Priced:
    threshold: Any = declaration.values["threshold"]
    at = costing.setting(declaration)
    memory = acdc_room(at.contrast, at.graph, at.metric)
    if at.graph.neuron_counts or costing.stand_in(at.contrast.model.name) is not None:
        most = acdc_cost.most(at.sizes, at.graph, at.prompts)
        return at.priced(replace(most, memory=memory))
    about, loss = sweep_of(declaration), declaration.values["loss"]
    if about not in costing.estimates:
        costing.estimates[about] = acdc_cost.effects(at.contrast, at.graph, at.metric)
    others = costing.decisions.setdefault(about, {})
    found, others[threshold] = acdc_cost.acdc(
        at.contrast,
        at.graph,
        at.metric,
        at.prompts,
        threshold,
        costing.estimates[about],
        tuple(others.values()),
        loss,  # type: ignore[arg-type]
    )
    return at.priced(replace(found, memory=memory))


# Interventions: at most so many whole runs -----------------------------------------------------------------


def _edited(costing: Costing, declaration: Declaration, rows: int, streams: int = 1) -> Priced:
    at = costing.setting(declaration)
    cost = costing.runs(at, *BOTH) + at.total(lambda prompts: costs.edited(at.sizes, prompts, rows))
    return at.priced(replace(cost, memory=edited_room(at.contrast, at.metric, rows, streams)))


def _tracing(costing: Costing, declaration: Declaration) -> Priced:
    contrast = costing.setting(declaration).contrast
    positions: Any = declaration.values["positions"]
    columns = columns_of(contrast.dataset, positions)[1]
    streams = 2 if declaration.values["of"] == "states" else 1
    return _edited(costing, declaration, contrast.model.shape.n_layers * len(columns), streams)


def _steering(costing: Costing, declaration: Declaration) -> Priced:
    values: Any = declaration.values
    graph: Graph = costing.builder.of(declaration, "graph")
    nodes = 1 if values["together"] else _expanded(graph, nodes_of(values["nodes"]))
    return _edited(costing, declaration, nodes * len(values["scale"] or values["shift"]))


def _expanded(graph: Graph, terms: Any) -> int:
    """How many nodes some patterns stand for."""
    return len(
        {name for term in ([terms] if isinstance(terms, str) else terms) for name in expand(graph, term)}
    )


def _function_vector(costing: Costing, declaration: Declaration) -> Priced:
    values: Any = declaration.values
    layers = costing.setting(declaration).contrast.model.shape.n_layers
    return _edited(costing, declaration, 1 + layers * len(values["scale"]))


def _paths(costing: Costing, declaration: Declaration) -> Priced:
    at = costing.setting(declaration)
    positions: Any = declaration.values["positions"]
    columns = columns_of(at.contrast.dataset, positions)[1]
    receivers = receivers_of(at.graph, nodes_of(declaration.values["to"]))
    rows = at.graph.reach[max(receivers)] * len(columns)
    # What is carried to the receivers, and from there on.
    cost = costing.runs(at, *BOTH) + at.total(lambda prompts: costs.edited(at.sizes, prompts, 2 * rows))
    return at.priced(replace(cost, memory=paths_room(at.contrast, at.graph, at.metric, rows)))


# Readings: at most so many runs and unembeddings -----------------------------------------------------------


def _reading(
    key: str, of: Callable[[Costing, Declaration, Any, Prompts, int, int], tuple[Cost, int]]
) -> CostOf:
    """The cost of a reading of the prompts under a key.

    Args:
        key: of the block.
        of: gives the cost of prompts, and the bytes held, from rows and columns that are read.
    """

    def cost(costing: Costing, declaration: Declaration) -> Priced:
        builder, data = costing.builder, costing.builder.declaration(declaration, key)
        model, dataset = builder.model_of(data), builder.get(data.name)
        columns = 0
        if "positions" in declaration.values:
            positions: Any = declaration.values["positions"]
            dataset, named = by_position(dataset, positions)
            columns = len(named)
        found, memory, prompts = FREE, 0, []
        for each in batches(model, dataset, batch=builder.batch, memory=builder.memory):
            prompts.append(Prompts(*each.clean.shape))
            one, held = of(costing, declaration, model, prompts[-1], columns, len(stages(model.shape)))
            found, memory = found + one, max(memory, held)
        return Priced(replace(found, memory=memory, at_most=True), model, prompts)

    return cost


def _statistics(
    costing: Costing, declaration: Declaration, model: Any, prompts: Prompts, _: int, __: int
) -> tuple[Cost, int]:
    sizes, shape = costing.sizes(model), model.shape
    found = costs.unread(sizes, prompts) * 2
    if "copying" in declaration.values["of"]:  # type: ignore[operator]
        d, h = sizes.d_model, sizes.d_head
        # Eigenvalues: about 25 n³ (Golub & Van Loan 2013, 7.5.6).
        each = d * d * h + d * h * h + 25 * h**3
        found += Cost(sizes.vocabulary * d * d + shape.n_layers * shape.n_heads * each)
    pairs = 4 * shape.n_layers * shape.n_heads * prompts.length / sizes.d_model
    return found, reading_room(model, prompts.tokens, kept=3 * shape.n_layers + pairs)


def _lens(
    costing: Costing, _: Declaration, model: Any, prompts: Prompts, columns: int, rows: int
) -> tuple[Cost, int]:
    sizes = costing.sizes(model)
    found = costs.unread(sizes, prompts) + Cost(2 * rows * columns * prompts.count * sizes.unembed)
    return found, reading_room(model, prompts.tokens, kept=rows, positions=prompts.count)


def _patchscopes(
    costing: Costing, declaration: Declaration, model: Any, prompts: Prompts, columns: int, rows: int
) -> tuple[Cost, int]:
    sizes = costing.sizes(model)
    target: Dataset = costing.builder.of(declaration, "target")
    into = Prompts(prompts.count, max(len(example.tokens) for example in target.examples))
    found = costs.unread(sizes, prompts) + costs.measured(sizes, into) * (rows * columns)
    return found, reading_room(model, prompts.tokens, kept=rows, positions=prompts.count, inside=into.tokens)


def _direct(
    costing: Costing, declaration: Declaration, model: Any, prompts: Prompts, columns: int, _: int
) -> tuple[Cost, int]:
    sizes = costing.sizes(model)
    graph: Graph = costing.builder.of(declaration, "graph").base
    read = Prompts(prompts.count, columns)
    products = Cost(8 * len(graph.senders) * read.tokens * sizes.d_model, columns)
    found = costs.measured(sizes, prompts) + costs.heads_apart(sizes, graph, read) + products
    doubles = 2 * len(graph.senders) * prompts.count
    return found, reading_room(model, prompts.tokens, kept=2 * model.shape.n_layers + 1, doubles=doubles)


def _in_context(
    costing: Costing, _: Declaration, model: Any, prompts: Prompts, __: int, ___: int
) -> tuple[Cost, int]:
    two = replace(prompts, read=2)
    return costs.measured(costing.sizes(model), two), reading_room(
        model, prompts.tokens, positions=two.positions
    )


# Curves, comparisons, claims: masked forwards of circuits --------------------------------------------------


def _circuits(costing: Costing, at: Setting, count: int, *, plain: bool) -> Priced:
    """The metric of so many circuits, and of both plain runs where nothing has measured it yet."""
    cost = costing.runs(at, "corrupt") + at.total(
        lambda prompts: (
            costs.masked(at.sizes, at.graph, prompts) * count
            + costs.heads_apart(at.sizes, at.graph, prompts)  # of the corrupted run
            + costs.measured(at.sizes, prompts) * (2 if plain else 0)
        )
    )
    return at.priced(replace(cost, at_most=True))


def _about(costing: Costing, declaration: Declaration, name: str) -> tuple[Setting, bool]:
    corruption, metric = (costing.builder.declaration(declaration, key) for key in ("corruption", "metric"))
    at = costing.measuring(corruption, metric.name, costing.graph_of(name))
    return at, not is_measured(costing.builder, corruption, metric.name)


def _faithfulness(costing: Costing, declaration: Declaration) -> Priced:
    values: Any = declaration.values
    at, plain = _about(costing, declaration, values["scores"].name)
    count = len(SHARES) if values["edges"] == "mib" else len(values["edges"])
    return _circuits(costing, at, count, plain=plain)


def _compare(costing: Costing, declaration: Declaration) -> Priced | None:
    values: Any = declaration.values
    if values["metric"] is None:
        return None
    at, plain = _about(costing, declaration, values["circuits"][0].name)
    return _circuits(costing, at, len(values["circuits"]) * (1 + (values["draws"] or 0)), plain=plain)


def of_claim(costing: Costing, claim: Apply) -> Priced | None:
    """At most what a function of a claim takes; None if it is about a result alone."""
    values: Any = claim.arguments
    corruption, metric, circuit = (values.get(key) for key in ("corruption", "metric", "circuit"))
    if not isinstance(corruption, Ref) or not isinstance(metric, Ref):
        return None
    about = costing.builder.program.declarations[corruption.name]
    plain = not is_measured(costing.builder, about, metric.name)
    if not isinstance(circuit, Ref):
        return _circuits(costing, costing.measuring(about, metric.name, None), 0, plain=plain)
    graph = costing.graph_of(circuit.name)
    runs = 1
    if claim.function == "random_p":
        runs += values["draws"]
    elif claim.function in ("incompleteness", "minimality"):
        parts = _parts(costing, circuit.name, graph, values["by"])
        searched = 1 + values["draws"] + values["greedy"] * parts if "draws" in values else 1 + parts
        runs = 2 * (parts + searched)
    return _circuits(costing, costing.measuring(about, metric.name, graph), runs, plain=plain)


def _parts(costing: Costing, name: str, graph: Graph, by: str) -> int:
    """At most how many parts a circuit has that can be knocked out."""
    circuit: Circuit | None = costing.builder.recalled(name)
    if circuit is not None:
        return {"nodes": len(circuit.nodes), "edges": len(circuit), "groups": len(circuit.groups)}[by]
    asked: Any = costing.builder.program.declarations[name].values.get("edges", graph.n_edges)
    edges = min(asked, graph.n_edges)
    return edges if by == "edges" else min(edges, len(graph.senders))


COSTS: dict[tuple[str, str], CostOf] = {
    ("scores", "activation_patching"): _activation,
    ("scores", "attribution_patching"): _attribution,
    ("scores", "causal_tracing"): _tracing,
    ("scores", "steering"): _steering,
    ("scores", "function_vector"): _function_vector,
    ("scores", "path_patching"): _paths,
    ("scores", "attention_statistics"): _reading("data", _statistics),
    ("scores", "logit_lens"): _reading("data", _lens),
    ("scores", "logit_attribution"): _reading("data", _direct),
    ("scores", "patchscopes"): _reading("source", _patchscopes),
    ("scores", "in_context_learning"): _reading("data", _in_context),
    ("circuit", "acdc"): _acdc,
    ("curve", "faithfulness"): _faithfulness,
    ("compare", "compare"): _compare,
}
