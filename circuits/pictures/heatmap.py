"""Heatmaps by matplotlib: scores by node and position, heads by layer, circuits beside circuits.

Plain numbers and labels go in, bytes come out. Cells that were not measured (NaN) are hatched, so that they
cannot pass for a score near the neutral value; where there is nothing to measure, cells are blank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from math import inf
from typing import TYPE_CHECKING, Any, TypeAlias

from nncirc.circuits.arguments import public
from nncirc.circuits.pictures.colours import (
    Digits,
    Diverging,
    Scale,
    Sequential,
    digits_of,
    ink,
    is_log,
    mapped,
    normed,
    power,
    times,
)
from nncirc.circuits.pictures.figure import Format, as_bytes, framed, label, nothing, settings
from nncirc.circuits.pictures.text import number, one_line, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

__all__ = ["Panel", "heatmap"]

Numbers: TypeAlias = Sequence[Sequence[float]] | Any
"""Rows of numbers: nested sequences, or a numpy array of two dimensions."""

_MOST_ANNOTATED = 240
_LONGEST_LABEL = 24
_LONGEST_TEXT = 18
# Inches: the largest figure, the least panel, the colour bar's width, a letter in a cell and one of a label.
_MOST, _LEAST_WIDTH, _LEAST_HEIGHT, _BAR, _LETTER, _LABEL_LETTER = 14.0, 1.2, 1.8, 0.12, 0.058, 0.075
_LINE = "#8C8C8C"
# Sizes of labels in points, and how far apart lines of one point are, in inches.
_LABEL_SIZES = (8.0, 7.0, 6.0, 5.0)
_PITCH = 1.25 / 72


@public
@dataclass(frozen=True, slots=True)
class Panel:
    """One heatmap.

    Attributes:
        values: rows from the first to the last; NaN where nothing was measured.
        rows: a label for every row.
        columns: a label for every column.
        title: a line above the panel.
        x_label: what the columns are, if different from the other panels.
        texts: texts shown in the cells in place of the numbers, such as the most likely tokens.
        unit: what the numbers are, if different from the other panels.
        scale: its colors, likewise. Panels beside each other with one unit and scale share a color bar.
        possible: for every cell whether there is such a number at all, as there is none of an edge that the
            graph cannot have; None: of every cell. What `values` has elsewhere is not looked at.
    """

    values: Numbers
    rows: Sequence[str]
    columns: Sequence[str]
    title: str = ""
    x_label: str | None = None
    texts: Sequence[Sequence[str]] | None = None
    unit: str | None = None
    scale: Scale | None = None
    possible: Sequence[Sequence[bool]] | None = None


@dataclass(frozen=True, slots=True)
class _Sheet:
    """A panel as it is drawn: numbers, labels, what stands in the cells, and the size of these, in inches."""

    panel: Panel
    values: Any
    texts: list[list[str]] | None
    width: float
    height: float

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.panel.rows), len(self.panel.columns)


@dataclass(frozen=True, slots=True)
class _Group:
    """Panels that share their colors, the finite numbers that are drawn, and what stands at their bar."""

    sheets: list[_Sheet]
    scale: Scale
    finite: list[float]
    unit: str

    @classmethod
    def of(cls, panels: Sequence[Panel], unit: str, scale: Scale, numbered: bool) -> _Group:
        """Of panels with one unit and scale."""
        arrays = [_array(panel) for panel in panels]
        exponent = power(_finite(*arrays))
        arrays = [values / 10.0**exponent for values in arrays]
        scale = _divided(scale, 10.0**exponent)
        finite = _finite(*arrays)
        if is_log(scale) and min(scale.limits(finite)) <= 0:
            raise nothing("a logarithmic scale needs values above 0")
        digits = digits_of([_finite(values) for values in arrays], scale) if numbered else None
        sheets = [_sheet(panel, values, digits) for panel, values in zip(panels, arrays, strict=True)]
        return cls(sheets, scale, finite, f"{unit} {times(exponent)}")

    @property
    def marked(self) -> float:
        """Below which numbers have a stroke where there is no room for numbers: what is seen as blue."""
        return self.scale.seen_below(self.finite) if isinstance(self.scale, Diverging) else -inf

    def told(self) -> str:
        """What the strokes say, if there are any."""
        if not isinstance(self.scale, Diverging):
            return ""
        strokes = any((sheet.values < self.marked).any() for sheet in self.sheets if sheet.texts is None)
        return f"\u2212 in a cell: below {number(self.scale.neutral)}." if strokes else ""

    def draw(self, figure: Figure, axes: Sequence[Axes], upward: bool) -> None:
        """The cells, and a color bar beside them."""
        mapping, norm = mapped(self.scale), normed(self.scale, self.finite)
        drawn = [
            _draw(ax, sheet, mapping, norm, self.marked, upward)
            for ax, sheet in zip(axes, self.sheets, strict=True)
        ]
        width = sum(sheet.width for sheet in self.sheets)
        height = max(sheet.height for sheet in self.sheets)
        bar = figure.colorbar(
            drawn[0],
            ax=axes,
            fraction=min(2 * _BAR / width, 0.3),
            pad=0.02,
            shrink=0.95,
            aspect=height / _BAR,
        )
        bar.set_label(label(self.unit))
        _ticks(bar, self.scale, self.finite)


@public
def heatmap(
    panels: Panel | Sequence[Panel],
    *,
    unit: str,
    scale: Scale = Diverging(),  # noqa: B008 (frozen)
    title: str = "",
    caption: str = "",
    x_label: str = "position",
    y_label: str = "layer",
    upward: bool = True,
    format: Format = "svg",  # noqa: A002 (the name that matplotlib and graphviz use)
) -> bytes:
    """Heatmaps side by side: scores of residual, heads and MLPs by layer and position.

    They have one color scale, but for panels with a unit and a scale of their own.

    Numbers in the cells have as many digits as they need to be told apart; see `digits_of`. Very small and
    very large ones are divided by a power of ten, which then stands beside the unit.

    Args:
        panels: one panel, or several that share their scale.
        unit: what the numbers are, at the color bar: `normalized logit difference (0 corrupted, 1 clean)`.
        scale: the colors: around a neutral value, or from one end to the other.
        title: a line above all panels.
        caption: lines below: how the numbers were made.
        x_label: what the columns are.
        y_label: what the rows are.
        upward: whether the first row is at the bottom, as layers are drawn in circuits.
        format: `svg`, `png` or `pdf`.

    Raises:
        MethodError: C590, rows and labels differ in number, there is nothing to draw, or a number on a
            logarithmic scale is not above 0.
    """
    drawn = [panels] if isinstance(panels, Panel) else list(panels)
    if not drawn:
        raise nothing("expected at least one panel")
    numbered = sum(int(_array(panel).size) for panel in drawn) <= _MOST_ANNOTATED
    alike = groupby(drawn, lambda panel: (panel.unit or unit, panel.scale or scale))
    groups = [_Group.of(list(members), *shared, numbered) for shared, members in alike]
    sheets = [sheet for group in groups for sheet in group.sheets]
    caption = "\n".join(filter(None, (caption, *dict.fromkeys(group.told() for group in groups))))
    with settings():
        figure, axes = _axes_for(sheets, title, caption, upward, len(groups))
        axes[0].set_ylabel(label(y_label))
        for ax, sheet in zip(axes, sheets, strict=True):
            ax.set_xlabel(label(x_label if sheet.panel.x_label is None else sheet.panel.x_label))
        left = iter(axes)
        for group in groups:
            group.draw(figure, list(islice(left, len(group.sheets))), upward)
        return as_bytes(figure, format)


def _array(panel: Panel) -> Any:
    import numpy as np

    try:
        values = np.asarray(panel.values, dtype=float)
    except (TypeError, ValueError) as error:
        raise nothing("expected rows of numbers, all of one length") from error
    wanted = len(panel.rows), len(panel.columns)
    if values.shape != wanted or 0 in wanted:
        raise nothing(f"expected values of shape {wanted}, from the labels, found {values.shape}")
    for each, what in ((panel.texts, "text"), (panel.possible, "entry of `possible`")):
        if each is not None and [len(row) for row in each] != [wanted[1]] * wanted[0]:
            raise nothing(f"expected one {what} per value")
    return values if panel.possible is None else np.where(panel.possible, values, np.nan)


def _finite(*arrays: Any) -> list[float]:
    import numpy as np

    return [float(value) for values in arrays for value in values[np.isfinite(values)]]


def _divided(scale: Scale, factor: float) -> Scale:
    """The scale of numbers that are all divided by a factor."""
    if isinstance(scale, Diverging):
        return Diverging(scale.neutral / factor)
    low, high = (None if end is None else end / factor for end in (scale.low, scale.high))
    return replace(scale, low=low, high=high)


def _sheet(panel: Panel, values: Any, digits: Digits | None) -> _Sheet:
    """What stands in a panel's cells, and how large they then are."""
    texts = None
    if panel.texts is not None:
        texts = [[one_line(text, _LONGEST_TEXT) for text in row] for row in panel.texts]
    elif digits is not None:
        texts = [[digits(float(value)) for value in row] for row in values]
    longest = max((len(text) for row in texts for text in row), default=0) if texts else 0
    cell = (max(0.4, _LETTER * longest + 0.08), 0.26) if texts else (0.2, 0.2)
    rows, columns = values.shape
    return _Sheet(
        panel, values, texts, max(columns * cell[0], _LEAST_WIDTH), max(rows * cell[1], _LEAST_HEIGHT)
    )


def _axes_for(
    sheets: Sequence[_Sheet], title: str, caption: str, upward: bool, bars: int
) -> tuple[Figure, list[Axes]]:
    """A figure with room for the panels, their rows and columns named, cells of all panels about as high."""
    beside = [max(map(len, _short(sheet.panel.rows))) for sheet in sheets]
    widths = [sheet.width + 0.3 + 0.07 * letters for sheet, letters in zip(sheets, beside, strict=True)]
    heights = [sheet.height for sheet in sheets]
    wanted = sum(widths) + 1.2 * bars
    width, high = min(wanted, _MOST), max(heights)
    across = width / wanted
    below = [_columns(sheet, across) for sheet in sheets]
    letters = max((max(map(len, names)) for names, is_upright in below if not is_upright), default=2)
    height = min(high + 0.9 + 0.05 * letters, _MOST)
    down = min((height - 0.9) / high, 1.0)
    figure = framed(width, height, title, caption)
    # Lower panels take the lower rows of the grid, or the upper ones where the first row is above.
    steps = sorted(set(heights))
    ratios = [step - under for step, under in zip(steps, [0.0, *steps], strict=False)]
    grid = figure.add_gridspec(
        len(steps), len(sheets), width_ratios=widths, height_ratios=ratios[::-1] if upward else ratios
    )
    axes = []
    for i, (sheet, (names, is_upright)) in enumerate(zip(sheets, below, strict=True)):
        taken = steps.index(sheet.height) + 1
        ax = figure.add_subplot(grid[slice(len(steps) - taken, None) if upward else slice(0, taken), i])
        axes.append(ax)
        size, step = (_LABEL_SIZES[0], 1) if is_upright else _fitted(sheet.width * across / len(names))
        places = range(0, len(names), step)
        ax.set_xticks(places, names[::step], rotation=0 if is_upright else 90, fontsize=size)
        names = _short(sheet.panel.rows)
        size, step = _fitted(sheet.height * down / len(names))
        ax.set_yticks(range(0, len(names), step), names[::step], fontsize=size)
        ax.tick_params(length=2)
    return figure, axes


def _short(labels: Sequence[str]) -> list[str]:
    return [one_line(label, _LONGEST_LABEL) for label in labels]


def _columns(sheet: _Sheet, across: float) -> tuple[list[str], bool]:
    """Names of the columns, and whether there is room for them side by side, each in at most two lines."""
    names = _short(sheet.panel.columns)
    room = int(sheet.width * across / len(names) / _LABEL_LETTER)
    if max((len(word) for name in names for word in name.split()), default=0) <= room:
        folded = [wrapped(name, max(room, 1)) for name in names]
        if max(map(len, folded)) <= 2:
            return ["\n".join(lines) for lines in folded], True
    return names, False


def _fitted(pitch: float) -> tuple[float, int]:
    """The size of labels so many inches apart, and which of them remain: every one, every second ..."""
    for size in _LABEL_SIZES:
        if size * _PITCH <= pitch:
            return size, 1
    return _LABEL_SIZES[-1], -int(-_LABEL_SIZES[-1] * _PITCH // pitch)


def _draw(
    ax: Axes, sheet: _Sheet, mapping: Colormap, norm: Normalize, marked: float, upward: bool
) -> AxesImage:
    """The cells of a panel, and what stands in them; without numbers a stroke in what is below `marked`."""
    import numpy as np

    panel, values = sheet.panel, sheet.values
    image = ax.imshow(
        np.ma.masked_invalid(values),
        cmap=mapping,
        norm=norm,
        origin="lower" if upward else "upper",
        aspect="auto",
        interpolation="nearest",
    )
    possible = np.broadcast_to(True if panel.possible is None else np.asarray(panel.possible), values.shape)
    _empty(ax, possible & np.isnan(values), possible)
    if panel.title:
        ax.set_title("\n".join(wrapped(one_line(panel.title, 72), max(12, int(sheet.width / 0.075)))))
    for (row, column), value in np.ndenumerate(values):
        # Without room for numbers, a stroke tells the sign of what is blue to who prints in grey.
        stroke = "\u2212" if value < marked else ""
        shown = stroke if sheet.texts is None else sheet.texts[row][column]
        if np.isfinite(value) and shown:
            colour = ink(mapping(norm(value)))
            ax.text(column, row, shown, ha="center", va="center", fontsize=6, color=colour)
    return image


def _empty(ax: Axes, unmeasured: Any, possible: Any) -> None:
    """Hatching where nothing was measured; a line around bare paper, so that pale cells are seen as cells."""
    import numpy as np
    from matplotlib.collections import LineCollection, PolyCollection

    def corners(row: float, column: float) -> list[tuple[float, float]]:
        return [(column + x, row + y) for x, y in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))]

    hatched = [corners(*cell) for cell in np.argwhere(unmeasured)]
    beside = [corners(*cell)[1:3] for cell in np.argwhere(possible[:, 1:] != possible[:, :-1])]
    above = [corners(*cell)[2:] for cell in np.argwhere(possible[1:] != possible[:-1])]
    if hatched:
        paper = PolyCollection(hatched, facecolor="#FFFFFF", edgecolor=_LINE, linewidth=0)
        paper.set_hatch("////")
        ax.add_collection(paper)
    if beside or above:
        ax.add_collection(LineCollection(beside + above, colors=_LINE, linewidths=0.6, capstyle="projecting"))


def _ticks(bar: Any, scale: Scale, finite: Sequence[float]) -> None:
    """Plain numbers at the color bar: powers need the mathematical fonts; a line at the neutral value."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    bar.outline.set_linewidth(0.6)
    if isinstance(scale, Diverging):
        bar.ax.axhline(scale.neutral, color="black", linewidth=0.8)
    elif is_log(scale):
        low, high = scale.limits(finite)
        bar.ax.yaxis.set_major_locator(LogLocator(subs=(1.0,) if high >= 30 * low else (1.0, 2.0, 5.0)))
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.6g}"))
        bar.ax.yaxis.set_minor_formatter(NullFormatter())
    if isinstance(scale, Sequential) and scale.dark == "low":
        bar.ax.invert_yaxis()
