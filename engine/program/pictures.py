"""The pictures that a program asks for: circuits, heatmaps of scores, curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan
from pathlib import Path
from typing import Any

from nncirc.circuits.circuit import Circuit
from nncirc.circuits.nodes import Node
from nncirc.circuits.pictures.heatmap import Curve as Line
from nncirc.circuits.pictures.heatmap import Panel, curves, head_grid, heatmap, write_picture
from nncirc.circuits.pictures.render import render
from nncirc.engine.program.results import Cell, Curve, Table, areas, told
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
    options: dict[str, Any] = {"unit": _unit(scores.made), "title": title, "caption": told(scores.made)}
    if isinstance(scores, EdgeScores):
        write_picture(path, heatmap, _by_layer(scores), x_label="to", y_label="from", **options)
        return
    options["neutral"] = _neutral(scores.made)
    nodes = [Node.parse(name) for name in scores.nodes]
    is_grid = all(node.kind == "head" for node in nodes)
    if "rows" in scores.made or not any(n.kind in ("head", "attention") for n in nodes):
        write_picture(path, heatmap, _as_it_is(scores), y_label="", **options)
    elif is_grid and len(scores.positions) <= 1:
        write_picture(path, head_grid, _grid(scores, 0), **options)
    elif len(scores.positions) > GRIDS:
        write_picture(path, heatmap, _by_position(scores, options["neutral"]), y_label="", **options)
    else:
        labels = scores.positions or ("all positions",)
        panels = [_heads(scores, column, label) for column, label in enumerate(labels)]
        panels += _others(scores, labels, options["neutral"])
        write_picture(path, heatmap, panels, x_label="head", **options)


def draw_curves(found: Mapping[str, Curve], path: Path, *, title: str) -> None:
    """Curves of one kind with their areas: faithfulness over circuit size, or ROC."""
    roc = all(curve.made["method"] == "roc" for curve in found.values())
    shares = not roc and all("% of edges" in curve.columns for curve in found.values())
    lines = [_line(name, curve, roc, shares) for name, curve in found.items()]
    options: dict[str, Any] = {"title": title, "caption": "\n".join(_told(found))}
    if roc:
        axes = {"x_label": "false positive rate", "y_label": "true positive rate", "diagonal": True}
        write_picture(path, curves, lines, **axes, **options)
    elif shares:
        axes = {"x_label": "edges allowed (% of the graph's)", "log_x": True, "reference": 1.0}
        write_picture(path, curves, lines, **axes, **options)
    else:
        write_picture(path, curves, lines, reference=1.0, **options)


def _line(name: str, curve: Curve, roc: bool, shares: bool) -> Line:
    label = ", ".join([name, *areas(curve, ends=False)])
    if roc:
        x, y = curve.column("false positive rate"), curve.column("true positive rate")
        return Line(x, y, label, steps=True)
    x = curve.column("% of edges" if shares else "edges after pruning")
    low, high = ([nan if end is None else end for end in curve.column(each)] for each in ("low", "high"))
    return Line(x, curve.column("faithfulness"), label, low, high)


def _told(found: Mapping[str, Curve]) -> list[str]:
    """How curves were made: once if all were made alike."""
    lines = {name: "; ".join([*areas(curve), told(curve.made)]) for name, curve in found.items()}
    if len(set(lines.values())) == 1:
        return [next(iter(lines.values()))]
    return [f"{name}: {line}" for name, line in lines.items()]


def draw_table(table: Table, path: Path, *, title: str) -> None:
    """A comparison: overlaps of each with each, or a row of shares for each circuit."""
    options: dict[str, Any] = {"title": title, "caption": told(table.made), "upward": False}
    if "with" in table.columns:
        pairs = [c for c in table.columns if c.startswith("jaccard")]
        panels = [_pairs(table, column) for column in pairs]
        write_picture(path, heatmap, panels, unit="share, 0 to 1", x_label="", y_label="", **options)
        return
    shown = ("recall", "precision", "faithfulness", "low", "high", "random")
    shares = [column for column in table.columns if column.startswith(shown)]
    rows = [[_cell(table, row, column) for column in shares] for row in table.rows]
    names = [str(row[0]) for row in table.rows]
    panel = Panel(rows, names, shares)
    write_picture(path, heatmap, panel, unit="share, or faithfulness", x_label="", y_label="", **options)


def _pairs(table: Table, column: str) -> Panel:
    names = list(dict.fromkeys(str(each) for row in table.rows for each in row[:2]))
    found = {(row[0], row[1]): _cell(table, row, column) for row in table.rows}
    rows = [[1.0 if a == b else found.get((a, b), found.get((b, a), nan)) for b in names] for a in names]
    return Panel(rows, names, names, column)


def _cell(table: Table, row: Sequence[Cell], column: str) -> float:
    cell = row[table.columns.index(column)]
    return float(cell) if isinstance(cell, int | float) else nan


def _unit(made: Mapping[str, Any]) -> str:
    unit = f"{made.get('metric', '')}" + (", 0 corrupt to 1 clean" if made.get("normalized") else "")
    return unit if "metric" in made else str(made.get("score", ""))


def _neutral(made: Mapping[str, Any]) -> float:
    """The value of a patch without an effect, of the run that is steered, the best rank; 0 of all else."""
    if "unsteered" in made:
        return float(made["unsteered"])
    if made.get("of") == "rank":
        return 1.0
    # Attribution estimates by how much the metric falls, not where it comes to lie.
    patched = made.get("direction") == "noise" and made.get("method") != "attribution_patching"
    return 1.0 if patched and made.get("normalized") else 0.0


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


def _as_it_is(scores: NodeScores) -> Panel:
    """A row for each name; of a single prompt its tokens below, and the likeliest ones in the cells."""
    columns: Sequence[str] = scores.made.get("tokens") or scores.positions or ("all positions",)
    texts = scores.made.get("top") if scores.made.get("prompts") == 1 else None
    x_label = scores.made.get("columns", "position")
    return Panel(scores.values, scores.nodes, columns, texts=texts, x_label=x_label)


def _heads(scores: NodeScores, column: int, title: str) -> Panel:
    grid = _grid(scores, column)
    heads = [str(head) for head in range(len(grid[0]))]
    return Panel(grid, list(map(str, _layers(scores))), heads, title)


def _others(scores: NodeScores, labels: Sequence[str], neutral: float) -> list[Panel]:
    """Embedding, MLPs and neurons by position, if there are any: of many neurons those that do most."""
    rows = _rows(scores, ("embed", "pos_embed", "mlp"))
    names = [str(node) for node, _ in rows]
    panel = Panel([row for _, row in rows], names, list(labels), "embed, MLPs", x_label="position")
    panels = [panel] if rows else []
    if neurons := _rows(scores, ("neuron",)):
        most = sorted(neurons, key=lambda pair: -max(abs(value - neutral) for value in pair[1]))[:ROWS]
        title = "neurons" if len(most) == len(neurons) else f"strongest {ROWS} of {len(neurons):,} neurons"
        names = [str(node) for node, _ in most]
        panels.append(Panel([row for _, row in most], names, list(labels), title, x_label="position"))
    return panels


def _by_position(scores: NodeScores, neutral: float) -> list[Panel]:
    """Heads by position, or of each layer the one with the largest effect; embedding and MLPs beside it."""
    columns, heads = list(scores.positions), _rows(scores, ("head", "attention"))
    if len(heads) <= ROWS:
        panel = Panel([row for _, row in heads], [str(node) for node, _ in heads], columns, "heads")
        return [panel, *_others(scores, columns, neutral)]
    strongest = []
    for layer in _layers(scores):
        rows = [row for node, row in _rows(scores, ("head", "attention")) if node.layer == layer]
        strongest.append([max(column, key=lambda v: abs(v - neutral)) for column in zip(*rows, strict=True)])
    layers = list(map(str, _layers(scores)))
    return [
        Panel(strongest, layers, columns, "strongest head of the layer"),
        *_others(scores, columns, neutral),
    ]


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
    if node.kind == "neuron":
        return f"MLP{node.layer}"
    return f"L{node.layer}" if node.kind in ("head", "kv", "attention") else name
