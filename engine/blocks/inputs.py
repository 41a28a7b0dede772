"""What a program starts from: models, prompts, corruptions, graphs, metrics; a function an implementation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace as with_fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from nncirc.circuits.errors import GraphError
from nncirc.circuits.graph import Attention, Graph, Shape
from nncirc.dsl.blocks.metrics import METRICS
from nncirc.dsl.check.program import (
    Choices,
    Declaration,
    NamedList,
    NextToken,
    RandomTokens,
    Ref,
    Template,
)
from nncirc.dsl.check.shapes import full_shape, model_shape, positions_of
from nncirc.engine.data.corrupt import counterpart, replace, shuffle
from nncirc.engine.data.examples import NEXT, Dataset
from nncirc.engine.data.exhaustive import all_inputs
from nncirc.engine.data.prompt_files import file_dataset
from nncirc.engine.data.prompts import prompt_dataset
from nncirc.engine.data.sources import random_tokens
from nncirc.engine.data.tasks import task_dataset
from nncirc.engine.data.template import template_dataset, token_dataset
from nncirc.engine.metrics.expressions import combined, directed
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.metrics.plugins import own_corruption, own_measure
from nncirc.engine.model.loading import load_bundled, load_compiled, load_huggingface
from nncirc.engine.model.model import Model
from nncirc.engine.runs.batches import check_fits
from nncirc.engine.runs.columns import columns_of
from nncirc.engine.runs.corruptions import Corruption, Gaussian, Mean, Resample, Zero

if TYPE_CHECKING:
    from nncirc.engine.program.build import Builder

Build: TypeAlias = "Callable[[Builder, Declaration], Any]"


def _huggingface(builder: Builder, declaration: Declaration) -> Model:
    return builder.model(declaration, lambda: load_huggingface(**_options(declaration)))


def _bundled(builder: Builder, declaration: Declaration) -> Model:
    return builder.model(declaration, lambda: load_bundled(**_options(declaration)))


@dataclass(frozen=True, slots=True)
class OnlyShape:
    """What stands for a model of which no more than the shape is given: it has a graph, and cannot be run.

    Attributes:
        name: what messages call it.
        shape: layers and heads.
        made: the shape, as it was written; JSON values only.
    """

    name: str
    shape: Shape
    made: Mapping[str, Any]

    def neurons(self, layers: Iterable[int]) -> tuple[tuple[int, int], ...]:
        """Some layers, each with as many neurons as its MLP was said to have."""
        return tuple((layer, self.made["d_mlp"]) for layer in sorted(layers))

    def graph(
        self, *, attention: Attention = "heads", split_inputs: bool = True, pos_embed: bool = False
    ) -> Graph:
        """The computation graph of such a model."""
        return Graph(self.shape, attention, split_inputs, pos_embed)


def _shape(_: Builder, declaration: Declaration) -> OnlyShape:
    given = model_shape("shape", declaration.values)
    assert given is not None
    return OnlyShape(declaration.name, full_shape(given), dict(declaration.values))


def _compiled(builder: Builder, declaration: Declaration) -> Model:
    return builder.model(declaration, lambda: load_compiled(**_options(declaration)))


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
        teacher_forced=values["teacher_forced"],
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
        answer_ids=_one_or_all(_answer(values["answer_ids"])),
        foil_ids=_one_or_all(_answer(values["foil_ids"])),
        teacher_forced=values["teacher_forced"],
    )
    return _fitting(builder, declaration, dataset)


def _one_or_all(value: Any) -> Any:
    """A single answer, or a single set of them, stands for every prompt."""
    alone = isinstance(value, list) and len(value) == 1 and isinstance(value[0], str | int)
    return value[0] if alone else value


def _file(builder: Builder, declaration: Declaration) -> Dataset:
    values: Any = declaration.values
    # A column that the script does not name is used if it is there.
    named = {key: values[key] for key in ("clean", "corrupt", "answer", "foil", "answer_ids", "foil_ids")}
    optional = [key for key in ("corrupt", "answer", "foil") if key not in declaration.spans]
    for key in ("answer", "foil"):
        if f"{key}_ids" in declaration.spans or (values["teacher_forced"] and key == "foil"):
            named[key] = None if key in optional else named[key]  # not asked for, and of no use
    dataset = file_dataset(
        builder.model_of(declaration).tokenizer,
        values["path"],
        size=values["size"],
        optional=optional,
        teacher_forced=values["teacher_forced"],
        **named,
    )
    return _fitting(builder, declaration, dataset)


def _tokens(builder: Builder, declaration: Declaration) -> Dataset:
    values: Any = declaration.values
    options = {key: values[key] for key in ("size", "seed", "length", "copies")}
    dataset = token_dataset(builder.model_of(declaration).tokenizer, **options)
    return _fitting(builder, declaration, dataset)


def _task(builder: Builder, declaration: Declaration) -> Dataset:
    values: Any = declaration.values
    options = {key: values[key] for key in ("task", "size", "seed", "corrupt")}
    return _fitting(builder, declaration, task_dataset(builder.model_of(declaration).tokenizer, **options))


def _all_inputs(builder: Builder, declaration: Declaration) -> Dataset:
    values: Any = declaration.values
    options = {key: values[key] for key in ("length", "counterparts", "seed")}
    return _fitting(builder, declaration, all_inputs(builder.model_of(declaration).tokenizer, **options))


def _replace(builder: Builder, declaration: Declaration) -> Resample:
    replacements = {(r.slot, r.occurrence): r.by for r in declaration.replacements}
    return Resample(replace(builder.of(declaration, "data"), replacements), "replace")


def _counterpart(builder: Builder, declaration: Declaration) -> Resample:
    return Resample(counterpart(builder.of(declaration, "data")), "counterpart")


def _shuffle(builder: Builder, declaration: Declaration) -> Resample:
    seed: Any = declaration.values["seed"]
    return Resample(shuffle(builder.of(declaration, "data"), seed=seed), "shuffle")


def _gaussian(_: Builder, declaration: Declaration) -> Gaussian:
    values: Any = declaration.values
    return Gaussian(values["at"], values["scale"], values["samples"], values["seed"])


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
    split_inputs = bool(declaration.values["inputs"])
    graph = model.graph(attention=attention, split_inputs=split_inputs, pos_embed="pos_embed" in nodes)
    layers: Any = declaration.values["neurons"]
    neurons = model.neurons(layers) if layers else ()
    return with_fields(graph, positions=_graph_positions(builder, declaration), neurons=neurons)


def _graph_positions(builder: Builder, declaration: Declaration) -> tuple[str, ...]:
    dataset: Dataset | None = builder.of(declaration, "data")
    length: Any = declaration.values["length"]
    return positions_of(declaration.values, length if dataset is None else len(columns_of(dataset, "all")[0]))


def _expression(builder: Builder, declaration: Declaration) -> Metric:
    values: Any = declaration.values
    stack: list[Any] = []
    for item in values["of"]:
        if isinstance(item, str):
            right = stack.pop()
            stack.append(combined(item, stack.pop(), right))  # type: ignore[arg-type]
        else:
            stack.append(builder.get(item.name) if isinstance(item, Ref) else item)
    metric = stack[0] if isinstance(stack[0], Metric) else combined("*", 1, stack[0])
    metric = directed(metric, values["better"]) if values["better"] else metric
    return with_fields(metric, normalize=values["normalize"])


def _own_metric(builder: Builder, declaration: Declaration) -> Metric:
    values: Any = declaration.values
    name = values["function"]
    measure = own_measure(name, _folder(declaration), allowed=builder.allow_code)
    metric = Metric(name, values["at"], own=measure)
    metric = directed(metric, values["better"]) if values["better"] else metric
    return with_fields(metric, normalize=values["normalize"])


def _own_corruption(builder: Builder, declaration: Declaration) -> Corruption:
    name: Any = declaration.values["function"]
    dataset: Dataset = builder.of(declaration, "data")
    return own_corruption(name, dataset, _folder(declaration), allowed=builder.allow_code)


def _folder(declaration: Declaration) -> Path:
    return Path(declaration.span.source.name).parent


def _metric(_: Builder, declaration: Declaration) -> Metric:
    values: Any = declaration.values
    return Metric(declaration.implementation, values["at"], values["normalize"])


INPUTS: Mapping[str, Mapping[str, Build]] = {
    "model": {"huggingface": _huggingface, "bundled": _bundled, "compiled": _compiled, "shape": _shape},
    "dataset": {
        "template": _template,
        "prompts": _prompts,
        "file": _file,
        "tokens": _tokens,
        "all_inputs": _all_inputs,
        "task": _task,
    },
    "corruption": {
        "replace": _replace,
        "counterpart": _counterpart,
        "shuffle": _shuffle,
        "gaussian": _gaussian,
        "zero": lambda builder, declaration: Zero(),  # noqa: ARG005
        "mean": _mean,
        "python": _own_corruption,
    },
    "graph": {"residual": _residual},
    "metric": {**dict.fromkeys(METRICS, _metric), "expression": _expression, "python": _own_metric},
}
