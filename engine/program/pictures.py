"""The pictures that a program asks for: circuits, heatmaps of scores and comparisons, curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite, isnan, nan
from pathlib import Path
from typing import Any, TypeAlias

from nncirc.circuits.circuit import Circuit
from nncirc.circuits.made import Made
from nncirc.circuits.names import Node
from nncirc.circuits.parts import STREAM
from nncirc.circuits.pictures.colours import Diverging, Scale, Sequential
from nncirc.circuits.pictures.curves import Curve as Line, curves
from nncirc.circuits.pictures.figure import write_picture
from nncirc.circuits.pictures.heatmap import Panel, heatmap
from nncirc.circuits.pictures.render import render
from nncirc.circuits.pictures.text import token
from nncirc.engine.data.labels import ANSWER, OR
from nncirc.engine.methods.scores import EdgeScores, NodeScores
from nncirc.engine.program.captions import facts, in_field_words, metric_in_words, together, told
from nncirc.engine.program.results import Cell, Curve, Table, areas

# Up to so many positions each gets a head grid of its own; beyond, a layer's heads are one row.
GRIDS = 6
# Up to so many heads each gets a row; beyond, a layer does.
ROWS = 48
# So many neurons stand one above the other; the next ones beside them.
BLOCK = 16
# A rank as large as this needs a logarithmic scale, or the good ones all look alike.
_LOG = 30


def draw_circuit(
    circuit: Circuit, path: Path, *, highlight: Circuit | None = None, fold: int | None = None, title: str
) -> None:
    """A circuit, with a reference circuit highlighted."""
    options: dict[str, Any] = {} if fold is None else {"max_edges": fold}
    render(circuit, path, highlight=highlight, title=title, **options)


Scores: TypeAlias = EdgeScores | NodeScores
Layout: TypeAlias = Callable[[NodeScores], tuple[list[Panel], dict[str, str]]]
"""Panels of scores, and what their rows and columns are."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the numbers of a method's scores are, and how they are drawn.

    Attributes:
        score: what they are, `{metric}` standing for the metric; "" where only the result itself says it.
        is_effect: whether they are differences of the metric, not the metric of a run that was changed.
        scale: their colours where these do not follow from the value without an effect.
        layout: their panels where these are not heads by layer or by position.
    """

    score: str | Callable[[Scores], str] = ""
    is_effect: bool = False
    scale: Callable[[NodeScores, Sequence[float]], Scale | None] = lambda *_: None
    layout: Layout | None = None

    def in_words(self, scores: Scores) -> str:
        """What the numbers are, of which metric, and in which unit."""
        made = scores.made
        what = self.score if isinstance(self.score, str) else self.score(scores)
        if "metric" in made:
            ends = "share of clean \u2212 corrupt" if self.is_effect else "0 corrupt to 1 clean"
            unit = ends if made.get("normalized") else made.get("unit")
            metric = in_field_words(metric_in_words(made))
            what = (what or "{metric}").format(metric=metric) + (f", {unit}" if unit else "")
        else:
            what = what or str(made.get("score", ""))
        return f"sum of |score|: {what}" if isinstance(scores, EdgeScores) else what

    def neutral(self, scores: Scores) -> float | None:
        """The number that says "no effect"; None if it is unknown."""
        made = scores.made
        base = made.get("unsteered", made.get("unpatched"))
        if self.is_effect or (base is None and "metric" not in made):
            return 0.0
        if base is not None:
            return float(base)
        if not made.get("normalized"):
            return None
        return 1.0 if made.get("direction") == "noise" else 0.0

    def scale_of(self, scores: NodeScores) -> Scale:
        """Sequential where numbers have a best and a worst end, diverging where one says "no effect"."""
        values = [value for row in scores.values for value in row if isfinite(value)]
        if (own := self.scale(scores, values)) is not None:
            return own
        neutral = self.neutral(scores)
        return Sequential() if neutral is None else Diverging(neutral)


PLAIN = Look()
"""Of numbers that say themselves what they are."""


def draw_scores(scores: Scores, path: Path, *, title: str, look: Look) -> None:
    """Scores as heatmaps. No intervals are drawn, and so the caption says nothing of them."""
    caption = _caption(scores.made)
    options: dict[str, Any] = {"unit": look.in_words(scores), "title": title, "caption": caption}
    if isinstance(scores, EdgeScores):
        options["scale"] = Sequential(low=0.0)
        write_picture(path, heatmap, _by_layer(scores), x_label="to", y_label="from", **options)
        return
    options["scale"] = look.scale_of(scores)
    if look.layout is not None:
        panels, labels = look.layout(scores)
    elif "rows" in scores.made:  # names of layers or of nodes together, which need be no nodes
        panels, labels = [_as_it_is(scores)], {"y_label": _ROWS.get(str(scores.made["rows"]), "")}
    else:
        panels = _of_one_unit(scores, look.neutral(scores) or 0.0)
        labels = {"y_label": _layer_or_nothing(panels)}
    write_picture(path, heatmap, panels, **labels, **options)


def draw_curves(found: Mapping[str, Curve], path: Path, *, title: str) -> None:
    """Curves of one kind with their areas: faithfulness over circuit size, or ROC."""
    roc = all(curve.made["method"] == "roc" for curve in found.values())
    shares = not roc and all("% of edges" in curve.columns for curve in found.values())
    lines = [_line(name, curve, roc, shares) for name, curve in found.items()]
    captions = {name: [*areas(curve), *facts(curve.made)] for name, curve in found.items()}
    options: dict[str, Any] = {"title": title, "caption": together(captions)}
    if roc:
        axes = {"x_label": "false positive rate", "y_label": "true positive rate", "chance": True}
        write_picture(path, curves, lines, **axes, **options)
    else:
        x_label = "edges allowed (% of the graph's)" if shares else "edges kept"
        write_picture(path, curves, lines, x_label=x_label, levels={"whole model": 1.0}, **options)


def _line(name: str, curve: Curve, roc: bool, shares: bool) -> Line:
    label = ", ".join([name, *areas(curve, ends=False)])
    if roc:
        x, y = curve.column("false positive rate"), curve.column("true positive rate")
        return Line(x, y, label, steps=True)
    x = curve.column("% of edges" if shares else "edges after pruning")
    low, high = ([nan if end is None else end for end in curve.column(each)] for each in ("low", "high"))
    return Line(x, curve.column("faithfulness"), label, low, high)


def draw_table(table: Table, path: Path, *, title: str) -> None:
    """A comparison: overlaps of each with each, or a row of shares for each circuit."""
    options: dict[str, Any] = {"title": title, "caption": told(table.made), "upward": False}
    options |= {"x_label": "", "y_label": "", "scale": Sequential(low=0.0, high=1.0)}
    if "with" in table.columns:
        write_picture(path, heatmap, _overlaps(table), unit=_OVERLAP, **options)
        return
    shown = ("recall", "precision", "faithfulness", "random")
    shares = [column for column in table.columns if column.startswith(shown)]
    rows = [[_cell(table, row, column) for column in shares] for row in table.rows]
    texts = [[_in_words(table, row, column) for column in shares] for row in table.rows]
    panels = [Panel(rows, [str(row[0]) for row in table.rows], shares, texts=texts)]
    if table.pairs is not None:
        panels += [replace(panel, unit=_OVERLAP) for panel in _overlaps(table.pairs)]
    what = dict.fromkeys("faithfulness" if c.startswith(("f", "random")) else c.split()[0] for c in shares)
    write_picture(path, heatmap, panels, unit=", ".join(what), **options)


_OVERLAP = "overlap (Jaccard), 0 to 1"


def _overlaps(table: Table) -> list[Panel]:
    return [_pairs(table, column) for column in table.columns if column.startswith("jaccard")]


def _pairs(table: Table, column: str) -> Panel:
    names = list(dict.fromkeys(str(each) for row in table.rows for each in row[:2]))
    found = {(row[0], row[1]): _cell(table, row, column) for row in table.rows}
    rows = [[1.0 if a == b else found.get((a, b), found.get((b, a), nan)) for b in names] for a in names]
    return Panel(rows, names, names, column.removeprefix("jaccard ").replace("mlps", "MLPs"))


def _cell(table: Table, row: Sequence[Cell], column: str) -> float:
    cell = row[table.columns.index(column)]
    return float(cell) if isinstance(cell, int | float) else nan


def _in_words(table: Table, row: Sequence[Cell], column: str) -> str:
    """A number, with its interval if it has a finite one."""
    value = f"{_cell(table, row, column) + 0.0:.2f}".replace("-0.00", "0.00")
    if column == "faithfulness" and {"low", "high"} <= {*table.columns}:
        low, high = (_cell(table, row, end) for end in ("low", "high"))
        value += f" [{low:.2f}, {high:.2f}]" if isfinite(low) and isfinite(high) else ""
    return value.replace("-", "\u2212")


# What rows of the layers' states are, by what the result says they are.
_ROWS = {
    "residual stream": "residual stream after",
    "states": "state after",
    "mlps": "MLPs around",
    "attention": "attention around",
    "nodes": "node",
    "layers": "residual stream",
}
# What is no head and no neuron.
_OTHERS = ("embed", "pos_embed", "attention", "mlp", "logits")


# What lenses and statistics show --------------------------------------------------------------------------

EIGENVALUES: tuple[str, Scale] = ("\u03a3 \u03bb / \u03a3 |\u03bb|, \u22121 to 1", Diverging())
COMPOSITION: tuple[str, Scale] = ("composition, 0 to 1", Sequential(low=0.0))


def unsigned(_: NodeScores, values: Sequence[float]) -> Scale | None:
    """The colours of what is mostly not below zero."""
    return Sequential(low=0.0) if min(values, default=0.0) >= 0 else None


def of_tokens(scores: NodeScores, values: Sequence[float]) -> Scale | None:
    """The colours of what a lens reads."""
    match scores.made.get("of"):
        case "rank":
            return Sequential(low=1.0, dark="low", log=max(values, default=1.0) >= _LOG)
        case "prob" | "kl_divergence":
            return Sequential(low=0.0)
        case "logprob":
            return Sequential(high=0.0)
    return None


def of_pairs(scores: NodeScores) -> tuple[list[Panel], dict[str, str]]:
    """Heads that read by heads that write, as far as a head reads any and is read by any."""
    layers = [[Node.parse(name).layer or 0 for name in names] for names in (scores.nodes, scores.positions)]
    possible = [[written < read for written in layers[1]] for read in layers[0]]
    panel = _trimmed(Panel(scores.values, scores.nodes, scores.positions, possible=possible))
    return [panel], {"x_label": "head that writes", "y_label": "head that reads"}


def by_part(scores: NodeScores) -> tuple[list[Panel], dict[str, str]]:
    """Of activation patching: part by part, queries by layer and head, the residual stream by layer."""
    neutral, parts = PLAIN.neutral(scores) or 0.0, dict[str, list[int]]()
    for row, name in enumerate(scores.nodes):
        parts.setdefault(name.partition(".")[2], []).append(row)
    panels = [panel for part, rows in parts.items() for panel in _of_part(scores, part, rows, neutral)]
    if [*parts] == [""]:
        return panels, {"y_label": _layer_or_nothing(panels)}
    layers = all(row.isdecimal() for panel in panels for row in panel.rows)
    return panels, {"y_label": "layer" if layers else ""}


def _of_part(scores: NodeScores, part: str, rows: Sequence[int], neutral: float) -> list[Panel]:
    names, values = (
        [scores.nodes[row].removesuffix(f".{part}") for row in rows],
        [scores.values[row] for row in rows],
    )
    if part in STREAM:
        layers = [name.removeprefix("L") for name in names]
        return [Panel(values, layers, _columns(scores), part, x_label=_across(scores))]
    groups = "KV" in names[0]
    # Drawn as heads are, of which it has as many.
    named = tuple(name.replace("KV", "H") for name in names)
    panels = _of_one_unit(replace(scores, nodes=named, values=tuple(values), low=None, high=None), neutral)
    if not part:
        return panels
    return [_titled(_grouped(panel) if groups else panel, part) for panel in panels]


def _grouped(panel: Panel) -> Panel:
    """Key-value groups in place of heads."""
    return replace(
        panel,
        rows=[row.replace("H", "KV") for row in panel.rows],
        title=panel.title.replace("strongest head", "strongest group"),
        x_label="key-value group" if panel.x_label == "head" else panel.x_label,
    )


def _titled(panel: Panel, part: str) -> Panel:
    at = panel.title.removeprefix("heads").removeprefix("attention")
    return replace(panel, title=part + at if not at or at.startswith(" at ") else f"{part}: {at}")


def by_statistic(unit_of: Callable[[str], tuple[str, Scale]]) -> Layout:
    """Statistics of heads, with the unit and the colors that `unit_of` gives for the name of each."""

    def layout(scores: NodeScores) -> tuple[list[Panel], dict[str, str]]:
        columns: dict[tuple[str, Scale], list[int]] = {}
        for column, name in enumerate(scores.positions):
            columns.setdefault(unit_of(name), []).append(column)
        many = len(scores.positions) > GRIDS
        panels = []
        for (unit, scale), group in columns.items():
            part = replace(
                scores,
                positions=tuple(scores.positions[column] for column in group),
                values=tuple(tuple(row[column] for column in group) for row in scores.values),
                low=None,
                high=None,
            )
            if (unit, scale) == COMPOSITION:
                part = _with_earlier(part)
            found = (
                _by_position(part, 0.0)
                if many
                else [_heads(part, i, in_field_words(name)) for i, name in enumerate(part.positions)]
            )
            panels += [replace(panel, unit=unit, scale=scale, possible=_known(panel)) for panel in found]
        panels = [replace(panel, x_label="statistic") for panel in panels] if many else panels
        return panels, {"y_label": _layer_or_nothing(panels)}

    return layout


# Panels ---------------------------------------------------------------------------------------------------


def _layer_or_nothing(panels: Sequence[Panel]) -> str:
    return "layer" if panels[0].x_label == "head" else ""


def _caption(made: Made) -> str:
    read = "In the cells the likeliest token." if made.get("prompts") == 1 and made.get("top") else ""
    return "\n".join(filter(None, (told(made, without=("level", "resamples")), read)))


def _layers(scores: NodeScores) -> list[int]:
    """Layers with heads."""
    return sorted({n.layer for n, _ in _rows(scores, ("head",)) if n.layer is not None})


def _grid(scores: NodeScores, column: int) -> list[list[float]]:
    """Layer x head; NaN where a head was not measured."""
    found = {(n.layer, n.index or 0): row[column] for n, row in _rows(scores, ("head",))}
    width = 1 + max(head for _, head in found)
    return [[found.get((layer, head), nan) for head in range(width)] for layer in _layers(scores)]


def _rows(scores: NodeScores, kinds: Sequence[str]) -> list[tuple[Node, tuple[float, ...]]]:
    pairs = zip(map(Node.parse, scores.nodes), scores.values, strict=True)
    return [(node, row) for node, row in pairs if node.kind in kinds]


def _columns(scores: NodeScores) -> list[str]:
    """What is written at the columns: tokens where there are any, else names of positions, factors."""
    if tokens := scores.made.get("tokens"):
        return [_token(label) for label in tokens]
    names = list(scores.positions) or ["all positions"]
    return (
        [name.replace("-", "\u2212") for name in names] if scores.made.get("columns") == "factor" else names
    )


def _token(label: str) -> str:
    """A token of a result, or those of several prompts; it may be marked as the first of an answer."""
    mark = ANSWER if label.startswith(ANSWER) else ""
    several = label.removeprefix(mark).split(OR)
    tokens = several if all(several) else [label.removeprefix(mark)]
    return mark + OR.join(token(each, 18 if len(tokens) == 1 else 10) for each in tokens)


def _as_it_is(scores: NodeScores) -> Panel:
    """A row for each name; of a single prompt its tokens below, and the likeliest ones in the cells."""
    texts = None
    if scores.made.get("prompts") == 1 and scores.made.get("top"):
        texts = [list(map(token, row)) for row in scores.made["top"]]
    return Panel(scores.values, scores.nodes, _columns(scores), texts=texts, x_label=_across(scores))


def _across(scores: NodeScores) -> str:
    """What the columns are; of a single one for all positions its name says it."""
    return str(scores.made.get("columns", "position")) if scores.positions else ""


def _trimmed(panel: Panel) -> Panel:
    """A panel without rows and columns in which no number is possible."""
    possible = panel.possible or ()
    rows = [i for i, row in enumerate(possible) if any(row)]
    columns = [j for j, column in enumerate(zip(*possible, strict=True)) if any(column)]
    return replace(
        panel,
        values=[[panel.values[i][j] for j in columns] for i in rows],
        possible=[[possible[i][j] for j in columns] for i in rows],
        rows=[panel.rows[i] for i in rows],
        columns=[panel.columns[j] for j in columns],
    )


def _of_one_unit(scores: NodeScores, neutral: float) -> list[Panel]:
    labels = _columns(scores)
    if not _rows(scores, ("head",)):
        return _others(scores, labels, neutral)
    if len(labels) > GRIDS:
        return _by_position(scores, neutral)
    others = _others(scores, labels, neutral)
    names = [f"heads at {label}" for label in labels] if scores.positions else ["heads" if others else ""]
    return [*(_heads(scores, column, name) for column, name in enumerate(names)), *others]


def _with_earlier(scores: NodeScores) -> NodeScores:
    """Compositions of heads with earlier ones, which heads of layer 0 have none of: NaN."""
    pairs = zip(map(Node.parse, scores.nodes), scores.values, strict=True)
    values = tuple(row if node.layer else (nan,) * len(row) for node, row in pairs)
    return replace(scores, values=values)


def _known(panel: Panel) -> list[list[bool]]:
    return [[not isnan(value) for value in row] for row in panel.values]


def _heads(scores: NodeScores, column: int, title: str) -> Panel:
    grid = _grid(scores, column)
    heads = [str(head) for head in range(len(grid[0]))]
    return Panel(grid, list(map(str, _layers(scores))), heads, title, x_label="head")


def _others(scores: NodeScores, labels: Sequence[str], neutral: float) -> list[Panel]:
    """What is no head by position, if there is any: of many neurons those that do most."""
    rows = _rows(scores, _OTHERS)
    names = [str(node) for node, _ in rows]
    title = ", ".join(dict.fromkeys({"mlp": "MLPs"}.get(node.kind, node.kind) for node, _ in rows))
    x_label = _across(scores)
    panels = [Panel([row for _, row in rows], names, list(labels), title, x_label)] if rows else []
    if neurons := _rows(scores, ("neuron",)):
        most = sorted(neurons, key=lambda pair: -max(abs(value - neutral) for value in pair[1]))[:ROWS]
        title = "neurons" if len(most) == len(neurons) else f"strongest {ROWS} of {len(neurons):,} neurons"
        for start in range(0, len(most), BLOCK):
            block = most[start : start + BLOCK][::-1]  # the strongest above
            values, names = [row for _, row in block], [str(node) for node, _ in block]
            panels.append(Panel(values, names, list(labels), title, x_label))
            title = "(continued)"
    return panels


def _by_position(scores: NodeScores, neutral: float) -> list[Panel]:
    """Heads by position, or of each layer the one with the largest effect; embedding and MLPs beside it."""
    columns, heads = _columns(scores), _rows(scores, ("head",))
    if len(heads) <= ROWS:
        panel = Panel([row for _, row in heads], [str(node) for node, _ in heads], columns, "heads")
        return [panel, *_others(scores, columns, neutral)]
    strongest = []
    for layer in _layers(scores):
        rows = [row for node, row in heads if node.layer == layer]
        strongest.append([max(column, key=lambda v: abs(v - neutral)) for column in zip(*rows, strict=True)])
    layers = list(map(str, _layers(scores)))
    return [
        Panel(strongest, layers, columns, "strongest head of the layer"),
        *_others(scores, columns, neutral),
    ]


def _by_layer(scores: EdgeScores) -> Panel:
    """Sums of |score| between layers that write and layers that read."""
    places = list(dict.fromkeys(map(_place, scores.graph.nodes)))
    total: dict[tuple[str, str], float] = {}
    for edge, score in scores.written().items():
        between = _place(edge.sender), _place(edge.receiver)
        total[between] = total.get(between, 0.0) + abs(score)
    table = [[total.get((a, b), nan) for b in places] for a in places]
    possible = [[(a, b) in total for b in places] for a in places]
    return _trimmed(Panel(table, places, places, "sum of |score| between layers", possible=possible))


def _place(name: str) -> str:
    node = Node.parse(name)
    if node.kind == "neuron":
        return f"MLP{node.layer}"
    return f"L{node.layer}" if node.kind in ("head", "kv", "attention") else str(replace(node, position=None))
