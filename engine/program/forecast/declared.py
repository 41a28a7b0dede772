"""From declarations to work: what is counted of each method, from the keys of its block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from nncirc.circuits.areas import SHARES, mib_sizes
from nncirc.circuits.graph import Graph, stages
from nncirc.dsl.program import Declaration
from nncirc.engine.activation import columns_of, mask_of
from nncirc.engine.contrast import Zero
from nncirc.engine.data import Dataset
from nncirc.engine.direct import READ
from nncirc.engine.metrics import Metric
from nncirc.engine.model import Model
from nncirc.engine.paths import carriers_of, receivers_of
from nncirc.engine.plain import Prompts as Plain
from nncirc.engine.plain import batches, by_position, where
from nncirc.engine.program.forecast import interventions, methods, readings
from nncirc.engine.program.forecast.methods import Prompts, prompts_of
from nncirc.engine.program.forecast.prediction import STORED, Prediction, predicted
from nncirc.engine.program.forecast.rates import Rates
from nncirc.engine.program.forecast.sweep import Sweep, effects, reads_of
from nncirc.engine.program.forecast.work import NOTHING, Work
from nncirc.engine.program.methods.common import sweep_of
from nncirc.engine.program.methods.evaluation import is_measured
from nncirc.engine.program.methods.interventions import nodes_of
from nncirc.engine.program.methods.readings import read_positions
from nncirc.engine.program.methods.scores import patched_positions
from nncirc.engine.reading import Reading
from nncirc.engine.room import (
    acdc_room,
    attribution_room,
    edited_room,
    patching_room,
    paths_room,
    reading_room,
)
from nncirc.engine.scores import EdgeScores

if TYPE_CHECKING:
    from nncirc.engine.program.forecast.predict import Forecast

BOTH = ("clean", "corrupt")

Find: TypeAlias = Callable[["Forecast", Declaration], Prediction | None]

# Patching and attribution ----------------------------------------------------------------------------------


def _activation(forecast: Forecast, declaration: Declaration) -> Prediction:
    contrast, metric, rates = forecast.of_method(declaration)
    graph: Graph = forecast.builder.of(declaration, "graph")
    work = forecast.runs(_corruption(forecast, declaration), contrast, rates, *BOTH)
    columns = columns_of(contrast.dataset, patched_positions(declaration))[1]
    for batch, prompts in zip(contrast.batches, prompts_of(contrast, metric), strict=True):
        masks = [mask_of(batch, column, torch.device("cpu")) for column in columns]
        work += methods.forward(rates.sizes, prompts)
        work += methods.patching(rates.sizes, contrast, graph, metric, batch, masks)
    work += methods.intervals(contrast, len(graph.senders) * len(columns))
    unpatched = "clean" if declaration.values["direction"] == "noise" else "corrupt"
    work += forecast.values(_corruption(forecast, declaration), contrast, metric, rates, unpatched)
    return forecast.prediction(work, contrast, rates, memory=patching_room(contrast))


def _attribution(forecast: Forecast, declaration: Declaration) -> Prediction:
    values: Any = declaration.values
    contrast, metric, rates = forecast.of_method(declaration)
    graph: Graph = forecast.builder.of(declaration, "graph")
    # What is written in the run that is differentiated is kept of that.
    other = "corrupt" if values["base"] == "clean" else "clean"
    runs = BOTH if values["steps"] > 1 else (other,)
    work = forecast.runs(values["corruption"].name, contrast, rates, *runs)
    for prompts in prompts_of(contrast, metric):
        if metric.measure.against_clean:
            work += methods.measured(rates.sizes, prompts)
        each = methods.attribution(
            rates.sizes,
            graph,
            prompts,
            steps=values["steps"],
            along=values["along"],
            edges=values["by"] == "edges",
        )
        if values["correct_qk"]:
            each += methods.query_key(rates.sizes, graph, prompts)
        work += each * (rates.sizes.layers if values["grad_drop"] else 1)
    neurons = sum(graph.neuron_counts.values()) if values["by"] == "edges" else 0
    return forecast.prediction(work, contrast, rates, memory=attribution_room(contrast, neurons))


def _corruption(forecast: Forecast, declaration: Declaration) -> str:
    return forecast.builder.declaration(declaration, "corruption").name


# Circuits --------------------------------------------------------------------------------------------------


def _acdc(forecast: Forecast, declaration: Declaration) -> Prediction:
    threshold: Any = declaration.values["threshold"]
    contrast, metric, rates = forecast.of_method(declaration)
    graph: Graph = forecast.builder.of(declaration, "graph")
    about = sweep_of(declaration)
    prompts, memory = list(prompts_of(contrast, metric)), acdc_room(contrast, graph, metric)
    if graph.neuron_counts:
        # The definition, whose estimates would take as many vectors as there are neurons.
        most = forecast.masked(contrast, metric, rates, graph) * (2 + graph.n_edges)
        return forecast.prediction(most, contrast, rates, tested=graph.n_edges, at_most=True, memory=memory)
    if forecast.stand_in(contrast.model.name) is not None:
        most = sum((methods.measured(rates.sizes, p) for p in prompts), NOTHING) * (2 + graph.n_edges)
        return forecast.prediction(most, contrast, rates, tested=graph.n_edges, at_most=True, memory=memory)
    if about not in forecast.sweeps:
        reads, estimates = reads_of(contrast, metric), effects(contrast, graph, metric)
        loss: Any = declaration.values["loss"]
        forecast.sweeps[about] = Sweep(rates.sizes, graph, prompts, reads, estimates, rates.seconds, loss)
    sweep, others = forecast.sweeps[about], forecast.played.setdefault(about, [])
    if isinstance(contrast.corruption, Zero) and contrast.model.dtype != torch.float64:
        played = sweep.sequential(threshold)
    else:
        played = sweep.play(threshold, others)
        others.append(played)
    forecast.found[declaration.name] = played
    work = forecast.runs(_corruption(forecast, declaration), contrast, rates, *BOTH) + played.work
    return forecast.prediction(work, contrast, rates, tested=played.tested, memory=memory)


# Interventions ---------------------------------------------------------------------------------------------


def _tracing(forecast: Forecast, declaration: Declaration) -> Prediction:
    values: Any = declaration.values
    contrast, metric, rates = forecast.of_method(declaration)
    columns = columns_of(contrast.dataset, patched_positions(declaration))[1]
    layers = interventions.restored(rates.sizes.layers, values["of"], values["window"], values["sever"])
    rows = [each for each in layers for _ in columns]
    work = interventions.edited(rates.sizes, contrast, metric, rows)
    if values["of"] == "states":
        # The residual stream that is restored, beside the one that is edited.
        work += sum((methods.forward(rates.sizes, p) for p in prompts_of(contrast, None)), NOTHING)
    memory = edited_room(contrast, metric, len(rows), 2 if values["of"] == "states" else 1)
    return _intervened(forecast, declaration, work, BOTH, BOTH, memory)


def _steering(forecast: Forecast, declaration: Declaration) -> Prediction:
    values: Any = declaration.values
    contrast, metric, rates = forecast.of_method(declaration)
    graph: Graph = forecast.builder.of(declaration, "graph")
    layers = interventions.steered(graph, nodes_of(values["nodes"]), together=values["together"])
    factors = values["scale"] if values["shift"] is None else values["shift"]
    rows = [each for each in layers for _ in factors]
    work = interventions.edited(rates.sizes, contrast, metric, rows)
    written = (values["into"],) if values["shift"] is None else BOTH
    memory = edited_room(contrast, metric, len(rows))
    return _intervened(forecast, declaration, work, written, (values["into"],), memory)


def _function_vector(forecast: Forecast, declaration: Declaration) -> Prediction:
    values: Any = declaration.values
    contrast, metric, rates = forecast.of_method(declaration)
    graph: Graph = forecast.builder.of(declaration, "graph")
    source: Dataset = forecast.builder.of(declaration, "source") or contrast.dataset
    heads = len(interventions.steered(graph, nodes_of(values["heads"]), together=False))
    plain = batches(contrast.model, source, batch=contrast.batch, memory=contrast.memory)
    work = interventions.mean_outputs(rates.sizes, [_of(each) for each in plain], heads)
    layers = interventions.restored(rates.sizes.layers, "states", None, "none")
    rows = [each for each in layers for _ in values["scale"]]
    work += interventions.edited(rates.sizes, contrast, metric, rows)
    memory = edited_room(contrast, metric, len(rows))
    return _intervened(forecast, declaration, work, (values["into"],), (values["into"],), memory)


def _paths(forecast: Forecast, declaration: Declaration) -> Prediction:
    values: Any = declaration.values
    contrast, metric, rates = forecast.of_method(declaration)
    graph: Graph = forecast.builder.of(declaration, "graph")
    receivers = receivers_of(graph, nodes_of(values["to"]))
    carriers = carriers_of(graph, nodes_of(values["through"]))
    columns = columns_of(contrast.dataset, patched_positions(declaration))[1]
    work = interventions.paths(rates.sizes, contrast, graph, metric, receivers, carriers, len(columns))
    memory = paths_room(contrast, graph, metric, graph.reach[max(receivers)] * len(columns))
    patched = "clean" if values["direction"] == "noise" else "corrupt"
    return _intervened(forecast, declaration, work, BOTH, (patched,), memory)


def _intervened(
    forecast: Forecast,
    declaration: Declaration,
    work: Work,
    written: Sequence[str],
    measured: Sequence[str],
    memory: int,
) -> Prediction:
    """An intervention, with the runs that it starts from and those of which the metric is measured."""
    corruption = _corruption(forecast, declaration)
    contrast, metric, rates = forecast.of_method(declaration)
    work += forecast.runs(corruption, contrast, rates, *written)
    if metric.measure.against_clean:
        measured = ("clean", *measured)
    work += forecast.values(corruption, contrast, metric, rates, *measured)
    return forecast.prediction(work, contrast, rates, memory=memory)


# Readings --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Read:
    """What a reading starts from: the model, the prompts that run together, where each column is read."""

    model: Model
    plain: Sequence[Plain]
    prompts: Sequence[Prompts]
    columns: int
    metric: Metric
    rates: Rates

    def prediction(self, work: Work, room: Callable[[Prompts], int]) -> Prediction:
        """Of work on these prompts, of which each batch takes some room."""
        memory = max(room(prompts) for prompts in self.prompts)
        return predicted(work, self.rates, self.prompts, memory=memory)


def _of(prompts: Plain, read: int = 1) -> Prompts:
    count, length = prompts.tokens.shape
    return Prompts(count, length, read)


def _read(forecast: Forecast, declaration: Declaration, key: str, of: str | None) -> _Read:
    """A reading of the prompts under a key, and what it reads of answers; None for nothing."""
    builder, data = forecast.builder, forecast.builder.declaration(declaration, key)
    model, dataset = builder.model_of(data), builder.get(data.name)
    if of is None:
        plain = list(batches(model, dataset, batch=builder.batch, memory=builder.memory))
        prompts, metric = [_of(each) for each in plain], Metric("cross_entropy")
        rates = forecast.rates((data.name,), model, metric, _anywhere(model), prompts)
        return _Read(model, plain, prompts, 0, metric, rates)
    named, columns = by_position(dataset, read_positions(declaration.values["positions"]))
    plain = list(batches(model, named, batch=builder.batch, memory=builder.memory))
    widths = [sum(where(of, named, each, c, model).index.shape[1] for c in columns) for each in plain]
    prompts = [_of(each, width) for each, width in zip(plain, widths, strict=True)]
    one = replace(plain[0], examples=plain[0].examples[:1])
    metric, spots = Metric("prob" if of == "rank" else of), where(of, named, one, columns[0], model)
    rates = forecast.rates((data.name,), model, metric, spots, prompts)
    return _Read(model, plain, prompts, len(columns), metric, rates)


def _anywhere(model: Model) -> Reading:
    """Any token, read at the first position: of prompts without answers."""
    zero = torch.zeros(1, 1, dtype=torch.long, device=model.device)
    return Reading(zero[0], zero, torch.ones_like(zero).double(), zero[..., None], zero[..., None])


def _statistics(forecast: Forecast, declaration: Declaration) -> Prediction:
    values: Any = declaration.values
    read = _read(forecast, declaration, "data", None)
    sizes, shape, kinds = read.rates.sizes, read.model.shape, len(set(values["of"]) - {"copying"})
    work = sum((readings.statistics(sizes, p, kinds) for p in read.prompts), NOTHING) if kinds else NOTHING
    if "copying" in values["of"]:
        work += readings.copying(sizes)
    work += _intervals(read, shape.n_layers * shape.n_heads * len(values["of"]))

    def room(prompts: Prompts) -> int:
        # Queries and keys; of every pair of tokens and head its pattern, a product and that in float64.
        pairs = 4 * shape.n_layers * shape.n_heads * prompts.length / sizes.d_model
        return reading_room(read.model, prompts.tokens, kept=3 * shape.n_layers + pairs)

    return read.prediction(work, room)


def _lens(forecast: Forecast, declaration: Declaration) -> Prediction:
    read = _read(forecast, declaration, "data", str(declaration.values["of"]))
    rows, sizes = len(stages(read.model.shape)), read.rates.sizes
    each = (readings.lens(sizes, prompts, read.metric, rows, read.columns) for prompts in read.prompts)
    return read.prediction(
        sum(each, _intervals(read, rows * read.columns)),
        lambda p: reading_room(
            read.model, p.tokens, kept=rows, positions=p.positions, read=p.positions // read.columns
        ),
    )


def _patchscopes(forecast: Forecast, declaration: Declaration) -> Prediction:
    read = _read(forecast, declaration, "source", str(declaration.values["of"]))
    targets: Dataset = forecast.builder.of(declaration, "target")
    rows, sizes = len(stages(read.model.shape, halves=False)), read.rates.sizes
    work = _intervals(read, rows * read.columns)
    longest = max(len(example.tokens) for example in targets.examples)
    for plain, prompts in zip(read.plain, read.prompts, strict=True):
        ours = Counter(
            len(targets.examples[i if len(targets.examples) > 1 else 0].tokens) for i in plain.indices
        )
        into = [Prompts(count, length) for length, count in ours.items()]
        work += readings.patchscopes(sizes, prompts, into, read.metric, rows, read.columns)

    def room(prompts: Prompts) -> int:
        at_a_time = prompts.positions // read.columns
        return reading_room(
            read.model, prompts.tokens, kept=rows, positions=at_a_time, inside=at_a_time * longest
        )

    return read.prediction(work, room)


def _direct(forecast: Forecast, declaration: Declaration) -> Prediction:
    graph: Graph = forecast.builder.of(declaration, "graph").base
    read = _read(forecast, declaration, "data", READ[str(declaration.values["of"])])
    each = (readings.direct(read.rates.sizes, graph, p, read.columns) for p in read.prompts)
    kept = 2 * read.model.shape.n_layers + 1
    return read.prediction(
        sum(each, _intervals(read, len(graph.senders) * read.columns)),
        lambda p: reading_room(
            read.model, p.tokens, kept=kept, doubles=2 * len(graph.senders) * p.positions // read.columns
        ),
    )


def _in_context(forecast: Forecast, declaration: Declaration) -> Prediction:
    read = _read(forecast, declaration, "data", None)
    each = (readings.in_context(read.rates.sizes, prompts) for prompts in read.prompts)
    return read.prediction(
        sum(each, _intervals(read, 3)),
        lambda p: reading_room(read.model, p.tokens, positions=2 * p.count),
    )


def _intervals(read: _Read, cells: int) -> Work:
    return Work.of(1, interval=cells) if sum(prompts.count for prompts in read.prompts) > 1 else NOTHING


# Curves and comparisons ------------------------------------------------------------------------------------


def _faithfulness(forecast: Forecast, declaration: Declaration) -> Prediction:
    values: Any = declaration.values
    name = values["scores"].name
    scores: EdgeScores | None = forecast.builder.recalled(name)
    if scores is None:
        sizes: Any = SHARES if values["edges"] == "mib" else values["edges"]
        return _circuits(forecast, declaration, {name: len(sizes)}, len(sizes))
    sizes = mib_sizes(scores.graph) if values["edges"] == "mib" else values["edges"]
    circuits = [scores.top(size, rank=values["rank"]) for size in sizes]
    new = forecast.unmeasured(*_about(forecast, declaration), circuits)
    return _circuits(forecast, declaration, {name: new}, len(sizes))


def _compare(forecast: Forecast, declaration: Declaration) -> Prediction | None:
    values: Any = declaration.values
    if values["metric"] is None:
        return None
    about, draws = _about(forecast, declaration), values["draws"] or 0
    names = [ref.name for ref in values["circuits"]]
    new = {name: forecast.measurements(*about, name, values, draws=draws) for name in names}
    return _circuits(forecast, declaration, new, len(names))


def _about(forecast: Forecast, declaration: Declaration) -> tuple[Declaration, str]:
    """The corruption and the metric of a curve or a comparison."""
    corruption, metric = (forecast.builder.declaration(declaration, k) for k in ("corruption", "metric"))
    return corruption, metric.name


def _circuits(
    forecast: Forecast, declaration: Declaration, new: Mapping[str, int], intervals: int
) -> Prediction:
    """The faithfulness of some circuits.

    Args:
        forecast: what predicts.
        declaration: of a curve or a comparison.
        new: how many have to be measured, by the name of the circuit or the scores whose graph they are of.
        intervals: how many of all have an interval.
    """
    corruption, metric = _about(forecast, declaration)
    plain = not is_measured(forecast.builder, corruption, metric)
    if not any(new.values()) and not plain:
        return STORED
    contrast, measured, rates = forecast.setting(corruption, metric)
    work = forecast.values(corruption.name, contrast, measured, rates, *(BOTH if plain else ()))
    if any(new.values()):
        work += forecast.runs(corruption.name, contrast, rates, "corrupt")
    for name, count in new.items():
        if count:
            work += forecast.masked(contrast, measured, rates, forecast.graph_of(name)) * count
    resamples: Any = declaration.values["resamples"]
    work += methods.resampled(contrast, resamples, 3) * intervals
    return forecast.prediction(work, contrast, rates)


WORK: Mapping[tuple[str, str], Find] = {
    ("scores", "activation_patching"): _activation,
    ("scores", "attribution_patching"): _attribution,
    ("scores", "causal_tracing"): _tracing,
    ("scores", "steering"): _steering,
    ("scores", "function_vector"): _function_vector,
    ("scores", "path_patching"): _paths,
    ("scores", "attention_statistics"): _statistics,
    ("scores", "logit_lens"): _lens,
    ("scores", "logit_attribution"): _direct,
    ("scores", "patchscopes"): _patchscopes,
    ("scores", "in_context_learning"): _in_context,
    ("circuit", "acdc"): _acdc,
    ("curve", "faithfulness"): _faithfulness,
    ("compare", "compare"): _compare,
}
