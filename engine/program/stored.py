"""What a result depends on, as a key of the store, and how results are written there.

A key is made of contents, never of names: prompts by their tokens, a model by its weights and config, a
circuit by its edges. So it does not matter what a declaration is called, or in which script it stands.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Generic, TypeVar

from nncirc.circuits.circuit import Circuit
from nncirc.circuits.door import read_file
from nncirc.circuits.formats.json import graph_header, read_edges
from nncirc.circuits.formats.json_input import Value
from nncirc.circuits.graph import Graph
from nncirc.circuits.intervals import Estimate
from nncirc.engine.data.examples import Dataset, Example
from nncirc.engine.methods.scores import EdgeScores, NodeScores
from nncirc.engine.metrics.expressions import Combined
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.metrics.plugins import Checked
from nncirc.engine.metrics.user_code import code_of
from nncirc.engine.model.model import Model
from nncirc.engine.program.results import finite
from nncirc.engine.program.store import VERSION
from nncirc.engine.runs.corruptions import Gaussian, Mean, Resample, Zero

T = TypeVar("T")

# What of a model's config says where it lies or who wrote it, and nothing about its numbers.
_IDLE = ("_name_or_path", "transformers_version", "architectures", "quantization_config")


# Keys ------------------------------------------------------------------------------------------------------


def key_of(what: str, **parts: Any) -> str:
    """The key of a result: what it is, all that it is made of, and the code that makes it."""
    return _digest([VERSION, code(), what, parts])


def identity(value: Any) -> str:
    """The content of something that results depend on, as a digest."""
    return _digest([type(value).__name__, _content(value)])


@cache
def code() -> str:
    """The code that makes numbers: ours to the letter, that of others by version."""
    engine = Path(__file__).parents[1]
    circuits = engine.parent / "circuits"
    formulas = engine.parent / "dsl" / "blocks" / "metrics.py"  # of metrics
    made = ("build", "results", "stored")
    ours = {
        str(file.relative_to(engine.parent)): _of_file(file)
        for file in [
            *engine.rglob("*.py"),
            *circuits.glob("*.py"),
            *(circuits / "formats").glob("*.py"),
            formulas,
        ]
        if file.parent.name != "program" or file.stem in made
    }
    others = {name: version(name) for name in ("nncirc", "torch", "transformers", "nnsight")}
    return _digest([ours, others])


def _content(value: Any) -> Any:
    match value:
        case Model():
            return _of_model(value)
        case Dataset():
            return [value.answers, _examples(value.examples)]
        case Resample():
            return [value.name, _examples(value.examples)]
        case Gaussian():
            return [value.name, value.facts]
        case Zero():
            return [value.name]
        case Mean():
            return [value.name, list(value.over), None if value.source is None else _content(value.source)]
        case Graph():
            return graph_header(value)
        case Metric():
            return [
                value.name,
                value.at,
                value.normalize,
                _of_function(value.measure.function),
                *([value.measure.sign] if value.own else []),
            ]
        case Circuit():
            return [_content(value.graph), [list(edge) for edge in value.edges]]
    raise TypeError(f"no result depends on a {type(value).__name__}")


def _of_model(model: Model) -> Any:
    made = model.made
    weights = made.get("weights_sha256")
    if weights is None and re.fullmatch(r"[0-9a-f]{40}", str(made.get("revision"))):
        weights = [made.get("id"), made["revision"]]
    config = {key: value for key, value in model.module.config.to_dict().items() if key not in _IDLE}
    attention = getattr(model.module.config, "_attn_implementation", None)
    numbers = [str(model.dtype), str(model.device), attention, made.get("quantize")]
    # A layout is a function, which is another object in every process: what it lays out counts.
    units = [[unit.kind, unit.number, {c: [*at] for c, at in unit.columns.items()}] for unit in model.units]
    family = {**asdict(model.family), "units": [model.family.units.chains, units]}
    return [weights or _of_weights(model), config, family, *numbers]


def _of_weights(model: Model) -> str:
    digest = hashlib.sha256()
    for name, tensor in model.module.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.detach().cpu().double().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _examples(examples: Iterable[Example]) -> list[Any]:
    """All that a model and a metric see of prompts; not their text, nor how they were drawn."""
    return [
        [e.tokens, sorted([*place, *span] for place, span in e.spans.items()), e.answer, e.foil, e.forced]
        for e in examples
    ]


def _of_function(function: Any) -> Any:
    """A metric of another package is code that no version of ours tells."""
    if isinstance(function, Combined):
        return [function.symbol, _of_function(function.left), _of_function(function.right)]
    if isinstance(function, Checked):
        return [function.name, function.source]
    if isinstance(function, int | float):
        return function
    name = f"{function.__module__}.{function.__qualname__}"
    if function.__module__.startswith("nncirc."):
        return name
    return f"{name} {code_of(function.__module__).sha256}"


@cache
def _of_file(path: Path) -> str:
    return hashlib.sha256(read_file(path)).hexdigest()


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=_text)
    return hashlib.sha256(text.encode()).hexdigest()


def _text(value: object) -> str:
    """What JSON does not have, by its content: an object's address is another in every process."""
    if (type(value).__str__ is object.__str__ and type(value).__repr__ is object.__repr__) or callable(value):
        raise TypeError(f"a {type(value).__name__} has no content that a result could be stored by")
    return str(value)


# Results ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Form(Generic[T]):
    """How a kind of result is written, and strictly read."""

    write: Callable[[T], Any]
    read: Callable[[Value], T]


def _written_estimate(found: Estimate) -> list[float | None]:
    """JSON has no infinite numbers: an end that is not bounded is null."""
    return [found.value, finite(found.low), finite(found.high), found.prompts]


def _read_estimate(value: Value) -> Estimate:
    elements = value.elements()
    if len(elements) != 4:
        raise value.wrong("expected a value, the two ends of its interval, and a number of prompts")
    number, low, high, prompts = elements
    ends = _end(low, -math.inf), _end(high, math.inf)
    return Estimate(number.number(), *ends, None if prompts.value is None else prompts.integer())


def _end(value: Value, limit: float) -> float:
    return limit if value.value is None else value.number()


NUMBERS: Form[tuple[float, ...]] = Form(list, lambda value: tuple(each.number() for each in value.elements()))
ESTIMATE: Form[Estimate] = Form(_written_estimate, _read_estimate)


def _write_nodes(scores: NodeScores) -> Any:
    rows = [list(row) for row in scores.values]
    return {
        "made": dict(scores.made),
        "nodes": list(scores.nodes),
        "positions": list(scores.positions),
        "scores": rows,
        **{key: [list(map(finite, row)) for row in ends] for key, ends in scores.ends().items()},
    }


def _read_nodes(value: Value) -> NodeScores:
    members = value.members(["made", "nodes", "positions", "scores"], ["low", "high"])
    nodes, positions = (tuple(e.text() for e in members[key].elements()) for key in ("nodes", "positions"))

    def table(key: str, cell: Callable[[Value], float]) -> tuple[tuple[float, ...], ...]:
        rows = tuple(tuple(map(cell, row.elements())) for row in members[key].elements())
        if len(rows) != len(nodes) or {len(row) for row in rows} - {len(positions) or 1}:
            raise members[key].wrong("expected a row for each node and in it a number for each position")
        return rows

    scores, made = table("scores", Value.number), members["made"].made()
    if "low" not in members:
        return NodeScores(nodes, positions, scores, made)
    value.open_members(["high"])
    low, high = (
        table(key, partial(_end, limit=limit)) for key, limit in (("low", -math.inf), ("high", math.inf))
    )
    return NodeScores(nodes, positions, scores, made, low, high)


NODES: Form[NodeScores] = Form(_write_nodes, _read_nodes)


def edges_of(graph: Graph) -> Form[EdgeScores]:
    """Scores of a graph's edges, in the graph's order."""

    def write(scores: EdgeScores) -> Any:
        values = [scores.values[edge] for edge in graph.edges()]
        return {"made": dict(scores.made), "digits": scores.digits, "scores": values}

    def read(value: Value) -> EdgeScores:
        members = value.members(["made", "digits", "scores"])
        digits = members["digits"].integer()
        scores = [score.number() for score in members["scores"].elements()]
        edges = list(graph.edges())
        if len(scores) != len(edges):
            raise members["scores"].wrong(f"expected {len(edges)} scores, found {len(scores)}")
        return EdgeScores(graph, dict(zip(edges, scores, strict=True)), members["made"].made(), digits)

    return Form(write, read)


def circuit_of(graph: Graph) -> Form[Circuit]:
    """A circuit of a graph, with its scores."""

    def write(circuit: Circuit) -> Any:
        rows = [[*edge, score] for edge, score in circuit.scores.items()]
        return {"made": dict(circuit.made), "edges": rows}

    def read(value: Value) -> Circuit:
        members = value.members(["made", "edges"])
        return Circuit(graph, read_edges(graph, members["edges"]), made=members["made"].made())

    return Form(write, read)
