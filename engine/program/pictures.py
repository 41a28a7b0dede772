"""The pictures that a program asks for: circuits, heatmaps of scores, curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nncirc.circuits.circuit import Circuit
from nncirc.circuits.nodes import Node
from nncirc.circuits.pictures.heatmap import Curve as Line
from nncirc.circuits.pictures.heatmap import Panel, curves, head_grid, heatmap, write_picture
from nncirc.circuits.pictures.render import render
from nncirc.engine.program.results import Curve
from nncirc.engine.scores import EdgeScores, NodeScores

# Up to so many positions each gets a head grid of its own; beyond, a layer's heads are one row.
GRIDS = 6
# Up to so many heads each gets a row; beyond, a layer does.
ROWS = 48


def draw_circuit(
    circuit: Circuit, path: Path, *, highlight: Circuit | None = None, fold: int | None = None, title: str
) -> None:
    """A circuit, with a reference circuit highlighted."""
    options: dict[str, Any] = {} if fold is None else {"max_edges": fold}
    render(circuit, path, highlight=highlight, title=title, **options)


def draw_scores(scores: EdgeScores | NodeScores, path: Path, *, title: str) -> None:
    """Scores as heatmaps."""
    options: dict[str, Any] = {"unit": _unit(scores.made), "title": title, "caption": _caption(scores.made)}
    if isinstance(scores, EdgeScores):
        write_picture(path, heatmap, _by_layer(scores), x_label="to", y_label="from", **options)
        return
    options["neutral"] = _neutral(scores.made)
    heads = [Node.parse(name) for name in scores.nodes]
    is_grid = all(node.kind == "head" for node in heads)
    if is_grid and len(scores.positions) <= 1:
        write_picture(path, head_grid, _grid(scores, 0), **options)
    elif len(scores.positions) > GRIDS:
        write_picture(path, heatmap, _by_position(scores, options["neutral"]), y_label="", **options)
    else:
        labels = scores.positions or ("all positions",)
        panels = [_heads(scores, column, label) for column, label in enumerate(labels)]
        panels += [] if is_grid else [_others(scores, labels)]
        write_picture(path, heatmap, panels, x_label="head", **options)


def draw_curve(curve: Curve, path: Path, *, name: str, title: str) -> None:
    """Faithfulness over the number of edges."""
    line = Line([kept for _, kept, _ in curve.points], [value for *_, value in curve.points], name)
    write_picture(path, curves, [line], title=title, caption=_caption(curve.made), reference=1.0)


def _unit(made: Mapping[str, Any]) -> str:
    unit = f"{made.get('metric', '')}" + (", 0 corrupt to 1 clean" if made.get("normalized") else "")
    return unit if "metric" in made else str(made.get("score", ""))


def _neutral(made: Mapping[str, Any]) -> float:
    """The value of a patch without an effect."""
    patched = made.get("method") == "activation_patching" and made.get("direction") == "noise"
    return 1.0 if patched and made.get("normalized") else 0.0


def _caption(made: Mapping[str, Any]) -> str:
    keys = ("method", "direction", "corruption", "metric", "at", "steps", "prompts", "model", "dtype")
    words = [f"{key} {_text(made[key])}" for key in keys if made.get(key) is not None]
    return ", ".join([*words, *(["normalized"] if made.get("normalized") else [])])


def _text(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _layers(scores: NodeScores) -> list[int]:
    return sorted({n.layer for n in map(Node.parse, scores.nodes) if n.layer is not None})


def _grid(scores: NodeScores, column: int) -> list[list[float]]:
    """Layer x head; NaN where there is no such head."""
    found = {(n.layer, n.index or 0): row[column] for n, row in _rows(scores, ("head", "attention"))}
    width = 1 + max(head for _, head in found)
    return [[found.get((layer, head), float("nan")) for head in range(width)] for layer in _layers(scores)]


def _rows(scores: NodeScores, kinds: Sequence[str]) -> list[tuple[Node, tuple[float, ...]]]:
    pairs = zip(map(Node.parse, scores.nodes), scores.values, strict=True)
    return [(node, row) for node, row in pairs if node.kind in kinds]


def _heads(scores: NodeScores, column: int, title: str) -> Panel:
    grid = _grid(scores, column)
    heads = [str(head) for head in range(len(grid[0]))]
    return Panel(grid, list(map(str, _layers(scores))), heads, title)


def _others(scores: NodeScores, labels: Sequence[str]) -> Panel:
    """Embedding and MLPs by position."""
    rows = _rows(scores, ("embed", "pos_embed", "mlp"))
    names = [str(node) for node, _ in rows]
    return Panel([row for _, row in rows], names, list(labels), "embed, MLPs", x_label="position")


def _by_position(scores: NodeScores, neutral: float) -> list[Panel]:
    """Heads by position, or of each layer the one with the largest effect; embedding and MLPs beside it."""
    columns, heads = list(scores.positions), _rows(scores, ("head", "attention"))
    if len(heads) <= ROWS:
        panel = Panel([row for _, row in heads], [str(node) for node, _ in heads], columns, "heads")
        return [panel, _others(scores, columns)]
    strongest = []
    for layer in _layers(scores):
        rows = [row for node, row in _rows(scores, ("head", "attention")) if node.layer == layer]
        strongest.append([max(column, key=lambda v: abs(v - neutral)) for column in zip(*rows, strict=True)])
    layers = list(map(str, _layers(scores)))
    return [Panel(strongest, layers, columns, "strongest head of the layer"), _others(scores, columns)]


def _by_layer(scores: EdgeScores) -> Panel:
    """Sums of |score| between layers."""
    places = list(dict.fromkeys(map(_place, scores.graph.nodes)))
    total = dict.fromkeys(((a, b) for a in places for b in places), 0.0)
    for edge, score in scores.values.items():
        total[_place(edge.sender), _place(edge.receiver)] += abs(score)
    table = [[total[a, b] for b in places] for a in places]
    return Panel(table, places, places, "sum of |score| between layers")


def _place(name: str) -> str:
    node = Node.parse(name)
    return f"L{node.layer}" if node.kind in ("head", "kv", "attention") else name
