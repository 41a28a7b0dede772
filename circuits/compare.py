"""Two circuits side by side: what only the first has, what only the second has, and what both have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from nncirc.circuits.arguments import public
from nncirc.circuits.circuit import Circuit, require_same_graph
from nncirc.circuits.collapse import collapse_to
from nncirc.circuits.measures import jaccard
from nncirc.circuits.names import Edge
from nncirc.circuits.pictures.text import number
from nncirc.circuits.words import counted

Side: TypeAlias = Literal["both", "first", "second"]
SIDES: tuple[Side, ...] = ("both", "first", "second")


@public
@dataclass(frozen=True, slots=True)
class Comparison:
    """Two circuits on one graph, and what they share.

    Attributes:
        first: a circuit.
        second: another.
        nodes: the nodes of `both`, `first` (only) and `second` (only), in the order of the computation.
        edges: likewise the edges.
    """

    first: Circuit
    second: Circuit
    nodes: Mapping[Side, tuple[str, ...]]
    edges: Mapping[Side, tuple[Edge, ...]]


@public
def compare(first: Circuit, second: Circuit) -> Comparison:
    """Compare two circuits.

    Raises:
        GraphError: C455, the circuits are on different graphs.
    """
    require_same_graph(first, second)
    graph = first.graph
    nodes, edges = _sides(first.nodes, second.nodes), _sides(first.edges, second.edges)
    return Comparison(
        first,
        second,
        {side: tuple(sorted(names, key=graph.node_index.__getitem__)) for side, names in nodes.items()},
        {side: tuple(sorted(found, key=graph.order)) for side, found in edges.items()},
    )


def collapsed(first: Circuit, second: Circuit) -> tuple[Circuit, Circuit]:
    """Both circuits on the finest graph that both can be collapsed to; scores are added.

    Raises:
        GraphError: C459, the circuits are of different models.
    """
    ours, theirs = first.graph, second.graph
    layers = "layers" in (ours.attention, theirs.attention)
    split = ours.split_inputs and theirs.split_inputs
    shape = min(ours.shape, theirs.shape, key=lambda shape: -shape.n_kv_heads)
    if not split and not layers:  # joined heads have a key and a value each
        shape = replace(shape, n_kv_heads=shape.n_heads)
    graph = replace(
        ours,
        shape=shape,
        attention="layers" if layers else "heads",
        split_inputs=split,
        pos_embed=ours.pos_embed and theirs.pos_embed,
        positions=ours.positions if ours.positions == theirs.positions else (),
        neurons=tuple(each for each in ours.neurons if each in theirs.neurons),
    )
    image = [each if each.graph == graph else collapse_to(each, graph) for each in (first, second)]
    return image[0], image[1]


def as_json(comparison: Comparison, names: Sequence[str]) -> dict[str, Any]:
    """The comparison as JSON values: sizes, overlap, and every node and edge; scores beside edges."""
    circuits = (comparison.first, comparison.second)
    sizes = [
        {"name": name, "nodes": len(circuit.nodes), "edges": len(circuit), "made": dict(circuit.made)}
        for name, circuit in zip(names, circuits, strict=True)
    ]
    return {
        "first": sizes[0],
        "second": sizes[1],
        "jaccard": {"nodes": jaccard(*circuits, by="nodes"), "edges": jaccard(*circuits, by="edges")},
        "nodes": {side: list(comparison.nodes[side]) for side in SIDES},
        "edges": {
            side: [[*edge, *_scores(comparison, side, edge)] for edge in comparison.edges[side]]
            for side in SIDES
        },
    }


def as_text(comparison: Comparison, names: Sequence[str]) -> str:
    """The comparison as lines: sizes, then nodes and edges by side; a score for each circuit that has one.

    The meaning of each circuit's scores is given with its size: it may differ between the two.
    """
    heads = {"both": "both", "first": f"only {names[0]}", "second": f"only {names[1]}"}
    lines = []
    for name, circuit in zip(names, (comparison.first, comparison.second), strict=True):
        lines.append(f"{name}: {counted(len(circuit.nodes), 'node')}, {counted(len(circuit), 'edge')}")
        if (meaning := meaning_of_scores(circuit.made)) is not None:
            lines[-1] += f"; scores: {meaning}"
    lines.append("")
    width = max(map(len, heads.values()))
    for side in SIDES:
        counts = f"{len(comparison.nodes[side]):>6,} nodes {len(comparison.edges[side]):>8,} edges"
        lines.append(f"{heads[side]:<{width}} {counts}")
    shares = [jaccard(comparison.first, comparison.second, by=by) for by in ("nodes", "edges")]
    lines.append(f"overlap (Jaccard): nodes {shares[0]:.3f}, edges {shares[1]:.3f}")
    for side in SIDES:
        if comparison.nodes[side]:
            names_of = comparison.nodes[side]
            rows = [f"  {' '.join(names_of[i : i + 12])}" for i in range(0, len(names_of), 12)]
            lines += ["", f"{heads[side]}, nodes:", *rows]
    for side in SIDES:
        if comparison.edges[side]:
            lines += ["", f"{heads[side]}, edges:", *_edge_lines(comparison, side)]
    return "\n".join(lines)


def _sides(first: Sequence[Any], second: Sequence[Any]) -> dict[Side, list[Any]]:
    ours, theirs = set(first), set(second)
    return {
        "both": [each for each in first if each in theirs],
        "first": [each for each in first if each not in theirs],
        "second": [each for each in second if each not in ours],
    }


def _scores(comparison: Comparison, side: Side, edge: Edge) -> list[float | None]:
    held = {
        "both": [comparison.first, comparison.second],
        "first": [comparison.first],
        "second": [comparison.second],
    }
    return [circuit.scores[edge] for circuit in held[side]]


def meaning_of_scores(made: object) -> str | None:
    """What the scores of a circuit are, as its provenance says; of what was made of others, of the first."""
    while isinstance(made, Mapping):
        if made.get("method") == "collapse":
            inner = meaning_of_scores(made["of"][0])
            return None if inner is None else f"{inner}; summed where edges became one"
        if isinstance(made.get("score"), str):
            return str(made["score"])
        made = made.get("scores")
    return None


def _edge_lines(comparison: Comparison, side: Side) -> Iterator[str]:
    edges = comparison.edges[side]
    width = max(len(str(edge)) for edge in edges)
    for edge in edges:
        scores = ["-" if score is None else number(score) for score in _scores(comparison, side, edge)]
        shown = "" if set(scores) == {"-"} else "".join(f"  {score:>10}" for score in scores)
        yield f"  {edge!s:<{width}}{shown}".rstrip()
