"""From claims to work: faithfulness, random circuits, completeness and minimality.

What knocking out parts of a circuit takes depends on how many it has, and for that the circuit must be found
first. ACDC's is the one that was played through; of others that are not written down it is the most possible.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from nncirc.circuits.circuit import Circuit
from nncirc.circuits.graph import Graph
from nncirc.circuits.nodes import Edge
from nncirc.dsl.program import Apply, Declaration, Ref
from nncirc.engine.program.forecast.methods import resampled
from nncirc.engine.program.forecast.prediction import NOTHING_RUNS, Prediction
from nncirc.engine.program.methods.evaluation import is_measured, knockouts_key

if TYPE_CHECKING:
    from nncirc.engine.program.forecast.predict import Forecast

LEAST_TOUCHED = 0.5
"""Of a model without one of its nodes: the share of receivers that hear of it, which are those behind it."""


class Runs(NamedTuple):
    """What knocking out parts comes to.

    Attributes:
        circuit: masked forwards of a circuit without parts.
        model: masked forwards of the model without parts.
        intervals: differences with an interval.
    """

    circuit: int
    model: int
    intervals: int


@dataclass(frozen=True, slots=True)
class Size:
    """How many parts a circuit has.

    Attributes:
        edges: its edges.
        nodes: the nodes that an edge leaves, but the embeddings.
        receivers: of each receiver that an edge enters how many do.
        groups: of each of its groups how many of these nodes it has.
        at_most: whether these are bounds.
    """

    edges: int
    nodes: int
    receivers: tuple[int, ...]
    groups: tuple[int, ...] = ()
    at_most: bool = False

    @classmethod
    def of(cls, graph: Graph, edges: Iterable[Edge], circuit: Circuit | None = None) -> Size:
        """Of a graph's circuit."""
        found = list(edges)
        nodes = {edge.sender for edge in found} - set(graph.sources)
        groups = () if circuit is None else circuit.groups.values()
        sizes = (sum(node in nodes for node in members) for members in groups)
        receivers = Counter(edge.receiver for edge in found)
        return cls(len(found), len(nodes), tuple(receivers.values()), tuple(each for each in sizes if each))

    def parts(self, by: str) -> int:
        """How many can be knocked out."""
        return {"nodes": self.nodes, "edges": self.edges, "groups": len(self.groups)}[by]

    def completeness(self, by: str, draws: int, greedy: int) -> Runs:
        """Nothing, each part, random sets, and a search, whose first step takes one of the parts."""
        parts = self.parts(by)
        steps = min(greedy, parts)
        searched = sum(parts - taken for taken in range(1, steps))
        runs = 1 + parts + draws + searched
        return Runs(runs, runs, 1 + parts + draws + max(0, steps - 1))

    def minimality(self, by: str) -> Runs:
        """Each part without and with what could do its work: all of its group, and all but the part."""
        parts = self.parts(by)
        groups = {"nodes": self.groups, "edges": self.receivers, "groups": ()}[by]
        # Of two all but one is the other, which is tried by itself.
        new = sum(1 + (size if size > 2 else 0) for size in groups if size > 1)
        return Runs(1 + parts + new, 0, parts + sum(size for size in groups if size > 1))


def size_of(forecast: Forecast, name: str, graph: Graph) -> Size:
    """The size of a circuit, as far as it is known before it is found."""
    circuit: Circuit | None = forecast.builder.recalled(name)
    if circuit is not None:
        return Size.of(graph, circuit.edges, circuit)
    if name in forecast.found:
        keeps = forecast.found[name].keeps.items()
        return Size.of(
            graph,
            (
                Edge(graph.senders[sender], graph.receivers[receiver])
                for receiver, stays in keeps
                for sender, stay in zip(graph.heard(receiver), stays, strict=True)
                if stay
            ),
        )
    asked: Any = forecast.builder.program.declarations[name].values.get("edges", graph.n_edges)
    edges, nodes = min(asked, graph.n_edges), len(graph.senders) - len(graph.sources)
    return Size(edges, min(edges, nodes), (edges,), at_most=True)


def of_claim(forecast: Forecast, claim: Apply) -> Prediction:
    """What a function of a claim takes; nothing if it is about a result alone."""
    values: Any = claim.arguments
    corruption, metric, circuit = (values.get(key) for key in ("corruption", "metric", "circuit"))
    if not isinstance(corruption, Ref) or not isinstance(metric, Ref):
        return NOTHING_RUNS
    about = forecast.builder.program.declarations[corruption.name]
    at_most, columns, knocked_out = False, 3, claim.function in ("incompleteness", "minimality")
    plain = not is_measured(forecast.builder, about, metric.name)
    if not isinstance(circuit, Ref):
        runs = Runs(0, 0, int(plain))
    elif not knocked_out:
        draws = values["draws"] if claim.function == "random_p" else 0
        new = forecast.measurements(about, metric.name, circuit.name, values, draws=draws)
        runs = Runs(new, 0, int(bool(new) and not draws))
    elif _is_known(forecast, claim, about, metric.name, circuit.name):
        return NOTHING_RUNS
    else:
        size = size_of(forecast, circuit.name, forecast.graph_of(circuit.name))
        by, at_most, columns = values["by"], size.at_most, 4
        if claim.function == "minimality":
            runs = size.minimality(by)
        else:
            runs = size.completeness(by, values["draws"], values["greedy"])
    if not any(runs) and not plain:
        return NOTHING_RUNS
    contrast, measured, rates = forecast.setting(about, metric.name)
    # What is knocked out is measured by itself, and looks up no plain run.
    which = ("clean", "corrupt") if plain or knocked_out else ()
    work = forecast.values(about.name, contrast, measured, rates, *which)
    if isinstance(circuit, Ref) and any(runs):
        graph = forecast.graph_of(circuit.name)
        work += forecast.masked(contrast, measured, rates, graph) * runs.circuit
        work += forecast.masked(contrast, measured, rates, graph, touched=LEAST_TOUCHED) * runs.model
        work += forecast.runs(about.name, contrast, rates, "corrupt")
    if runs.intervals:
        work += resampled(contrast, values["resamples"], columns) * runs.intervals
    return forecast.prediction(work, contrast, rates, at_most=at_most)


def _is_known(forecast: Forecast, claim: Apply, corruption: Declaration, metric: str, name: str) -> bool:
    """Whether knocking out parts of a circuit is in the store, as far as one can know."""
    circuit: Circuit | None = forecast.builder.recalled(name)
    if circuit is None:
        return False
    about = forecast.builder, corruption, metric, circuit, claim.arguments
    return not forecast.is_new(partial(knockouts_key, claim.function, *about))
