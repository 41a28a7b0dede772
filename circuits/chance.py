"""Chance baselines: the overlap of unrelated circuits, and random circuits of the same size."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

from nncirc.circuits.annotations import Count
from nncirc.circuits.arguments import public
from nncirc.circuits.circuit import Circuit
from nncirc.circuits.errors import MethodError
from nncirc.circuits.graph import Graph
from nncirc.circuits.made import Made
from nncirc.circuits.measures import By, agreement
from nncirc.circuits.names import Edge

_RESTARTS = 100


@public
def overlap_p(first: Circuit, second: Circuit, *, by: By = "edges") -> float:
    """The probability that unrelated circuits of these sizes share at least so much, 0 to 1.

    The tail of the hypergeometric distribution, exact: one circuit is fixed, the other one is any set of as
    many edges (nodes, heads, ...) of the graph with equal probability. Circuits are connected and prefer
    some layers, which this ignores, so a small value alone is weak evidence; connected random circuits
    (`random_circuits`) are a stronger baseline.

    Raises:
        GraphError: C455, C462 as of `agreement`.
    """
    counts = agreement(first, second, by=by)
    return hypergeometric_tail(
        counts.found,
        counts.found + counts.extra,
        counts.found + counts.missed,
        counts.found + counts.extra + counts.missed + counts.absent,
    )


@public
def hypergeometric_tail(shared: int, first: int, second: int, universe: int) -> float:
    """P(X ≥ shared), X the overlap of a set of `first` with a random set of `second` of `universe` things.

    In whole numbers up to the last division, so it is the nearest float however small.

    >>> hypergeometric_tail(2, 2, 2, 4)
    0.16666666666666666
    """
    least, most = max(shared, first + second - universe, 0), min(first, second)
    if least > most:
        return 0.0
    term = math.comb(first, least) * math.comb(universe - first, second - least)
    ways = 0
    for x in range(least, most + 1):
        ways += term
        # C(K, x+1) C(N−K, n−x−1) from C(K, x) C(N−K, n−x), without a remainder
        term = term * (first - x) * (second - x) // ((x + 1) * (universe - first - second + x + 1))
    return ways / math.comb(universe, second)


@public
@dataclass(frozen=True, slots=True)
class Null:
    """A statistic of a circuit, and the same statistic of random circuits.

    Attributes:
        observed: of the circuit.
        values: of the random circuits, in the order in which they were drawn.
    """

    observed: float
    values: tuple[float, ...]

    @property
    def p(self) -> float:
        """The share of circuits at least as high, the circuit itself among them: it is never 0.

        (1 + #{random ≥ observed}) / (1 + #random), the p-value of a Monte Carlo test (Davison & Hinkley
        1997, section 4.2).
        """
        return (1 + sum(value >= self.observed for value in self.values)) / (1 + len(self.values))

    @property
    def quantile(self) -> float:
        """The share of random circuits that are lower, 0 to 1."""
        return sum(value < self.observed for value in self.values) / len(self.values)


@public
def random_circuits(
    graph: Graph, edges: int, count: Count, *, seed: int = 0, connected: bool = True
) -> Iterator[Circuit]:
    """Random circuits with a given number of edges.

    Args:
        graph: whose edges are drawn.
        edges: how many each circuit has, exactly.
        count: how many circuits.
        seed: of the draws; a longer list with the same seed begins with the shorter one.
        connected: whether every edge lies on a path from embed to logits, as in circuits that were found.
            Such a circuit grows by random edges, each with a random way to it from what embed feeds and a
            random way from it to what the logits hear; of circuits of this size not all are equally
            probable. False: any edges, with equal probability; they rarely join embed to the logits.

    Raises:
        MethodError: C556, the graph has fewer edges; C557, no connected circuit of this size was found.
    """
    if not 0 <= edges <= graph.n_edges:
        raise MethodError(
            "C556",
            f"requested {edges:,} edges from a graph of {graph.n_edges:,}",
            hint=f"use 0 to {graph.n_edges:,} edges",
        )
    draw, everything = random.Random(seed), tuple(graph.edges())
    for number in range(count):
        kept = _connected(graph, everything, edges, draw) if connected else draw.sample(everything, edges)
        made: Made = {
            "method": "random",
            "edges": edges,
            "seed": seed,
            "draw": number,
            "connected": connected,
        }
        yield Circuit.of(graph, kept, made=made)


def _connected(graph: Graph, everything: tuple[Edge, ...], edges: int, draw: random.Random) -> set[Edge]:
    for _ in range(_RESTARTS):
        grown = _grown(graph, everything, edges, draw)
        if grown is not None:
            return grown
    raise MethodError(
        "C557",
        f"found no connected circuit of {edges} edges in {_RESTARTS} attempts",
        hint="use the number of edges of a pruned circuit, or set connected = false",
    )


def _grown(graph: Graph, everything: tuple[Edge, ...], edges: int, draw: random.Random) -> set[Edge] | None:
    """A connected circuit, or None where what was drawn leaves no way to go on to this size."""
    kept: set[Edge] = set()
    fed, heard = (
        set(graph.sources),
        set(graph.sinks),
    )  # senders reached from embed, receivers that reach logits
    refused = 0
    while len(kept) < edges:
        edge = everything[draw.randrange(len(everything))]
        ways = {edge, *_back(graph, edge.sender, fed, draw), *_on(graph, edge.receiver, heard, draw)}
        if edge in kept or len(kept | ways) > edges:
            refused += 1
            if refused > 4 * len(everything):
                return None
            continue
        refused = 0
        kept |= ways
        for each in ways:
            fed.add(each.sender)
            heard.add(each.receiver)
            fed.update(sender for sender in graph.outputs[each.receiver])
            heard.update(graph.inputs[each.sender])
    return kept


def _back(graph: Graph, sender: str, fed: set[str], draw: random.Random) -> Iterator[Edge]:
    """A random way from what is fed to a sender."""
    while sender not in fed:
        receiver = draw.choice(graph.inputs[sender])
        sender = graph.senders[draw.choice(graph.heard(graph.receiver_index[receiver]))]
        yield Edge(sender, receiver)


def _on(graph: Graph, receiver: str, heard: set[str], draw: random.Random) -> Iterator[Edge]:
    """A random way from a receiver to what is heard."""
    while receiver not in heard:
        sender = draw.choice(graph.outputs[receiver])
        index = graph.sender_index[sender]
        later = [r for i, r in enumerate(graph.receivers) if index in graph.heard(i)]
        receiver = draw.choice(later)
        yield Edge(sender, receiver)
