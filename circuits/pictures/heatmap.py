"""Heatmaps and curves by matplotlib: scores by node and position, heads by layer, faithfulness by size.

Plain numbers and labels go in, bytes come out: no figure is shown, no global setting of matplotlib changes.
Cells that were not measured (NaN) are hatched, so that they cannot pass for a score near the neutral value.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from nncirc.circuits.atomic import write_bytes
from nncirc.circuits.errors import MethodError
from nncirc.circuits.pictures.render import picture_format
from nncirc.circuits.pictures.text import number, one_line, printable, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Numbers: TypeAlias = Sequence[Sequence[float]] | Any
"""Rows of numbers: nested sequences, or a numpy array of two dimensions."""

Format: TypeAlias = Literal["svg", "png", "pdf"]
_FORMATS: Mapping[str, None] = dict.fromkeys(("svg", "png", "pdf"))

_SETTINGS = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.0,
    "axes.titlesize": 9.0,
    "axes.linewidth": 0.6,
    "axes.unicode_minus": True,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "hatch.linewidth": 0.5,
    "hatch.color": "#8C8C8C",
    "svg.fonttype": "path",
    "svg.hashsalt": "nncirc",
    "text.parse_math": False,
    "text.usetex": False,
    "pdf.fonttype": 42,
    "savefig.dpi": 200.0,
}
# Blue and vermilion tell sign to colour-blind readers; both ends are dark, so in grey |score| is what is seen
# and the number or the mark in the cell tells the sign.
_BELOW, _NEUTRAL, _ABOVE = ("#053061", "#4393C3"), "#F7F7F7", ("#D6604D", "#67001F")
_CURVES = (
    ("#0072B2", "o", "-"), ("#D55E00", "s", "--"), ("#009E73", "^", "-."), ("#CC79A7", "D", ":"),
    ("#000000", "v", "-"), ("#E69F00", "P", "--"), ("#56B4E9", "X", "-."),
)  # fmt: skip
_MOST_ANNOTATED = 240
_MOST_MARKED = 48
_LONGEST_LABEL = 24
_LONGEST_TEXT = 10


@dataclass(frozen=True, slots=True)
class Panel:
    """One heatmap.

    Attributes:
        values: rows from the first to the last; NaN where nothing was measured.
        rows: a label for every row.
        columns: a label for every column.
        title: a line above the panel.
        x_label: what the columns are, where they are not what those of the other panels are.
        texts: what stands in the cells in place of the numbers, such as the likeliest tokens.
    """

    values: Numbers
    rows: Sequence[str]
    columns: Sequence[str]
    title: str = ""
    x_label: str | None = None
    texts: Sequence[Sequence[str]] | None = None


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a plot.

    Attributes:
        x: for faithfulness the number of edges kept.
        y: the value at each x.
        name: its name in the legend.
        low: with `high`, the lower and upper end of an interval at each x; empty where there is none.
        high: see `low`.
        steps: whether y stays the same up to the next x, as between the points of a ROC curve.
    """

    x: Sequence[float]
    y: Sequence[float]
    name: str = ""
    low: Sequence[float] = field(default=())
    high: Sequence[float] = field(default=())
    steps: bool = False


def heatmap(
    panels: Panel | Sequence[Panel],
    *,
    unit: str,
    neutral: float = 0.0,
    title: str = "",
    caption: str = "",
    x_label: str = "position",
    y_label: str = "layer",
    upward: bool = True,
    format: Format = "svg",  # noqa: A002 (the name that matplotlib and graphviz use)
) -> bytes:
    """Heatmaps side by side with one colour scale: scores of residual, heads and MLPs by layer and position.

    Args:
        panels: one panel, or several that share their scale.
        unit: what the numbers are, at the colour bar: `normalized logit difference (0 corrupted, 1 clean)`.
        neutral: the value without an effect, which is drawn white: 0 for denoising, 1 for noising.
        title: a line above all panels.
        caption: lines below: how the numbers were made.
        x_label: what the columns are.
        y_label: what the rows are.
        upward: whether the first row is at the bottom, as layers are drawn in circuits.
        format: `svg`, `png` or `pdf`.

    Raises:
        MethodError: C590, rows and labels differ in number, or there is nothing to draw.
    """
    drawn = [panels] if isinstance(panels, Panel) else list(panels)
    arrays = [_array(panel) for panel in drawn]
    if not drawn:
        raise _nothing("there is no panel")
    with _settings():
        figure = _figure_for(arrays, drawn, title, caption)
        axes = figure.subplots(1, len(drawn), squeeze=False)[0]
        reach = _reach(arrays, neutral)
        image: Any = None
        for i, (ax, panel, values) in enumerate(zip(axes, drawn, arrays, strict=True)):
            image = _draw_panel(ax, panel, values, neutral, reach, upward, _annotated(arrays))
            ax.set_xlabel(_label(x_label if panel.x_label is None else panel.x_label))
            if i == 0:
                ax.set_ylabel(_label(y_label))
        bar = figure.colorbar(image, ax=list(axes), fraction=0.05, pad=0.02, shrink=0.9)
        bar.set_label(_label(unit))
        bar.outline.set_linewidth(0.6)
        bar.ax.axhline(neutral, color="black", linewidth=0.8)
        return _bytes(figure, format)


def head_grid(
    values: Numbers,
    *,
    unit: str,
    neutral: float = 0.0,
    title: str = "",
    caption: str = "",
    format: Format = "svg",  # noqa: A002
) -> bytes:
    """Scores or attention statistics of heads, layers from the bottom to the top.

    Args:
        values: layers x heads.
        unit: what the numbers are, at the colour bar.
        neutral: the value without an effect, which is drawn white.
        title: a line above.
        caption: lines below.
        format: `svg`, `png` or `pdf`.

    Raises:
        MethodError: C590, there is nothing to draw.
    """
    shape = _numbers(values).shape
    if len(shape) != 2:
        raise _nothing(f"a head grid has layers and heads, and these numbers have the shape {shape}")
    panel = Panel(values, [str(i) for i in range(shape[0])], [str(i) for i in range(shape[1])])
    return heatmap(
        panel, unit=unit, neutral=neutral, title=title, caption=caption, x_label="head", format=format
    )


def curves(
    lines: Curve | Sequence[Curve],
    *,
    x_label: str = "edges kept",
    y_label: str = "faithfulness",
    title: str = "",
    caption: str = "",
    reference: float | None = None,
    diagonal: bool = False,
    log_x: bool = False,
    format: Format = "svg",  # noqa: A002
) -> bytes:
    """Curves: faithfulness by the number of edges kept, or ROC curves.

    Args:
        lines: one curve, or several with names; colour, marker and dashes differ, so that grey is enough.
        x_label: what x is, with its unit.
        y_label: what y is, with its unit.
        title: a line above.
        caption: lines below.
        reference: a level drawn as a thin line, such as 1 for the whole model.
        diagonal: whether y = x is drawn as a thin line, which is chance in a ROC curve.
        log_x: whether x is logarithmic; every x is then above 0.
        format: `svg`, `png` or `pdf`.

    Raises:
        MethodError: C590, a curve has no point, x and y differ in number, or a logarithmic x is not above 0.
    """
    drawn = [lines] if isinstance(lines, Curve) else list(lines)
    if not drawn:
        raise _nothing("there is no curve")
    for line in drawn:
        _check_curve(line, log_x)
    with _settings():
        figure = _figure(4.2, 2.7, title, caption)
        ax = figure.subplots()
        if reference is not None:
            ax.axhline(reference, color="#8C8C8C", linewidth=0.8, zorder=1)
        if diagonal:
            ax.plot([0, 1], [0, 1], color="#8C8C8C", linewidth=0.8, zorder=1)
        handles = []
        for i, line in enumerate(drawn):
            colour, marker, dashes = _CURVES[i % len(_CURVES)]
            name = one_line(line.name, 64)
            if len(line.low):
                ax.fill_between(line.x, line.low, line.high, color=colour, alpha=0.15, linewidth=0)
            handles += ax.plot(
                line.x, line.y, color=colour, linestyle=dashes, markersize=3.5, linewidth=1.2,
                marker=marker if len(line.x) <= _MOST_MARKED else None,
                drawstyle="steps-post" if line.steps else "default",
                # matplotlib leaves out of the legend what starts with an underscore.
                label=f"\u200b{name}" if name.startswith("_") else name,
            )  # fmt: skip
        if log_x:
            ax.set_xscale("log")
            _plain_ticks(ax, sorted({x for line in drawn for x in line.x}))
        ax.set_xlabel(_label(x_label))
        ax.set_ylabel(_label(y_label))
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(visible=True, color="#E6E6E6", linewidth=0.5)
        ax.set_axisbelow(True)
        if any(handle.get_label() for handle in handles):
            ax.legend(handles=handles, frameon=False, loc="best")
        return _bytes(figure, format)


def write_picture(path: str | os.PathLike[str], draw: Any, *arguments: Any, **options: Any) -> None:
    """Draw with `heatmap`, `head_grid` or `curves` into a file that ends in `.svg`, `.png` or `.pdf`.

    >>> write_picture("/dev/null.svg", head_grid, [[0.5]], unit="score")  # doctest: +SKIP

    Raises:
        FileError: C605, the file cannot be written; C610, its ending names no format.
        MethodError: C590, as `draw` has it.
    """
    write_bytes(path, draw(*arguments, format=picture_format(path, _FORMATS), **options))


@contextmanager
def _settings() -> Iterator[None]:
    import matplotlib as mpl

    # From the defaults and not from the user's style, or a picture would depend on the machine.
    settings: Any = {k: v for k, v in mpl.rcParamsDefault.items() if not k.startswith("backend")}
    with mpl.rc_context(settings | _SETTINGS):
        yield


def _array(panel: Panel) -> Any:
    values = _numbers(panel.values)
    wanted = len(panel.rows), len(panel.columns)
    if values.shape != wanted or 0 in wanted:
        raise _nothing(f"the numbers have the shape {values.shape}, the labels the shape {wanted}")
    if panel.texts is not None and [len(row) for row in panel.texts] != [wanted[1]] * wanted[0]:
        raise _nothing("there is not one text for every number")
    return values


def _numbers(values: Numbers) -> Any:
    import numpy as np

    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise _nothing("the rows differ in length, or hold something that is not a number") from error


def _nothing(why: str) -> MethodError:
    return MethodError("C590", f"cannot draw this: {why}", hint="give one number for every row and column")


def _reach(arrays: Sequence[Any], neutral: float) -> float:
    """The largest distance from the neutral value, for both sides, so that equal effects look equal."""
    import numpy as np

    finite = np.concatenate([values[np.isfinite(values)] for values in arrays])
    return float(np.abs(finite - neutral).max()) or 1.0 if finite.size else 1.0


def _figure_for(arrays: Sequence[Any], panels: Sequence[Panel], title: str, caption: str) -> Figure:
    cell = (0.4, 0.26) if _annotated(arrays) else (0.2, 0.2)
    if any(panel.texts is not None for panel in panels):
        cell = (0.62, 0.26)
    width = sum(max(values.shape[1] * cell[0], 1.8) + 0.5 for values in arrays) + 1.4
    longest = max(len(one_line(label, _LONGEST_LABEL)) for panel in panels for label in panel.columns)
    height = max(max(values.shape[0] * cell[1] for values in arrays), 1.8) + 0.9 + 0.05 * longest
    return _figure(min(width, 14.0), min(height, 14.0), title, caption)


def _figure(width: float, height: float, title: str, caption: str) -> Figure:
    """A figure with a title and a caption, higher by as much as these need; sizes in inches."""
    from matplotlib.figure import Figure

    above = wrapped(one_line(title, 300), max(30, int(width * 12)))
    below = wrapped(printable(caption)[:2000], max(30, int(width * 17)))
    height += 0.17 * len(above) + 0.12 * len(below)
    figure = Figure(figsize=(width, height), layout="constrained")
    if above:
        figure.suptitle("\n".join(above), fontsize=10, x=0.02, ha="left")
    if below:
        figure.supxlabel("\n".join(below), fontsize=7, color="#4D4D4D", x=0.02, ha="left")
    return figure


def _label(text: str) -> str:
    """A label of an axis, in at most three lines that a small figure has room for."""
    return "\n".join(wrapped(one_line(text, 84), 32)[:3])


def _draw_panel(
    ax: Axes, panel: Panel, values: Any, neutral: float, reach: float, upward: bool, annotated: bool
) -> Any:
    import numpy as np
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("signed", [*_BELOW, _NEUTRAL, *_ABOVE], N=255)
    ax.patch.set(facecolor="#FFFFFF", hatch="////", edgecolor="#8C8C8C")
    image = ax.imshow(
        np.ma.masked_invalid(values),
        cmap=colours,
        vmin=neutral - reach,
        vmax=neutral + reach,
        origin="lower" if upward else "upper",
        aspect="auto",
        interpolation="nearest",
    )
    rows = [one_line(label, _LONGEST_LABEL) for label in panel.rows]
    columns = [one_line(label, _LONGEST_LABEL) for label in panel.columns]
    ax.set_yticks(*_thinned(rows, 40))
    crowded = max(map(len, columns)) > 4
    ax.set_xticks(*_thinned(columns, 60), rotation=90 if crowded else 0)
    ax.tick_params(length=2)
    if panel.title:
        ax.set_title("\n".join(wrapped(one_line(panel.title, 72), 28)))
    for (row, column), value in np.ndenumerate(values):
        share = (value - neutral) / reach
        # Where there is no room for numbers, a stroke tells the sign of a clear effect to who prints in grey.
        shown = _in_cell(value) if annotated else "\u2212" if share < -0.15 else ""
        if panel.texts is not None:
            shown = one_line(panel.texts[row][column], _LONGEST_TEXT)
        if np.isfinite(value) and shown:
            colour = "white" if abs(share) > 0.55 else "black"
            ax.text(column, row, shown, ha="center", va="center", fontsize=6, color=colour)
    return image


def _annotated(arrays: Sequence[Any]) -> bool:
    return sum(int(values.size) for values in arrays) <= _MOST_ANNOTATED


def _in_cell(value: float) -> str:
    """Two decimals without the zero before the point, so that a cell holds them."""
    if abs(value) >= 10:
        return number(value)
    shown = f"{abs(value):.2f}".removeprefix("0")
    return f"\u2212{shown}" if value < 0 and shown != ".00" else shown


def _thinned(labels: Sequence[str], most: int) -> tuple[list[int], list[str]]:
    """Places and labels of the ticks: all of them, or every second, third ... where they would overlap."""
    step = -(-len(labels) // most)
    places = list(range(0, len(labels), step))
    return places, [labels[i] for i in places]


def _check_curve(line: Curve, log_x: bool) -> None:
    if not len(line.x) or len(line.x) != len(line.y):
        raise _nothing(f"the curve {line.name!r} has {len(line.x)} x and {len(line.y)} y")
    if len(line.low) != len(line.high) or len(line.low) not in (0, len(line.x)):
        raise _nothing(f"the interval of {line.name!r} has {len(line.low)} and {len(line.high)} ends")
    if log_x and min(line.x) <= 0:
        raise _nothing(f"a logarithmic axis has no place for {min(line.x)}, which {line.name!r} has")


def _plain_ticks(ax: Axes, places: Sequence[float]) -> None:
    """Numbers of edges as 1,000 and not as powers, which need the mathematical fonts."""
    from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.6g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    if len(places) <= 8:
        ax.set_xticks(places)
        ax.xaxis.set_minor_locator(NullLocator())


def _bytes(figure: Figure, format_: str) -> bytes:
    """The file, without a date, so that the same numbers give the same bytes."""
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}
    if format_ not in metadata:
        raise MethodError("C590", f"cannot draw as {format_!r}", hint="formats are svg, png and pdf")
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A token in a script that the font lacks is drawn as a box; where it stands is still right.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        figure.savefig(buffer, format=format_, metadata=metadata[format_])
    return buffer.getvalue()
