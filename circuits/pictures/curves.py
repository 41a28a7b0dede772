"""Curves by matplotlib: faithfulness by circuit size, true over false positives.

Plain numbers and labels go in, bytes come out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, log10, nan
from typing import TYPE_CHECKING

from nncirc.circuits.arguments import public
from nncirc.circuits.pictures.figure import Format, as_bytes, framed, label, nothing, settings, spaced
from nncirc.circuits.pictures.text import ems, one_line, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Curve", "curves"]

_STYLES = (
    ("#0072B2", "o", "-"), ("#D55E00", "s", "--"), ("#009E73", "^", "-."), ("#CC79A7", "D", ":"),
    ("#000000", "v", "-"), ("#E69F00", "P", "--"), ("#56B4E9", "X", "-."),
)  # fmt: skip
_LEVEL = "#8C8C8C"
_MOST_MARKED = 48
_MOST_TICKS = 16
"""Up to so many places have each a tick of its own."""
_ROOM = 0.12
"""The share of an axis that the label of a tick takes."""
_WIDTH = 3.0
"""Inches from the first place of a plot to the last, or more."""
_EM, _BESIDE, _LINE = 8 / 72, 0.07, 0.15
"""Inches: the size of labels, the room between two of them, and what an upright one takes."""
_HANDLE, _ROW = 0.55, 0.17
"""Inches: what stands before a name in the legend, and a row of it."""
_PAD = 0.1
"""Inches around the axes, so that they do not end where the image does."""
_WIDE = 50
"""From so many times the least x on, an axis is logarithmic: small sizes would fall into one place."""


@public
@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a plot.

    Attributes:
        x: for faithfulness the number of edges kept.
        y: the value at each x.
        name: its name in the legend.
        low: with `high`, the lower and upper end of an interval at each x, not drawn where either is not
            finite; empty where there is none at all.
        high: see `low`.
        steps: whether y stays the same up to the next x, as between the points of a ROC curve.
    """

    x: Sequence[float]
    y: Sequence[float]
    name: str = ""
    low: Sequence[float] = field(default=())
    high: Sequence[float] = field(default=())
    steps: bool = False


@public
def curves(
    lines: Curve | Sequence[Curve],
    *,
    x_label: str = "edges kept",
    y_label: str = "faithfulness",
    title: str = "",
    caption: str = "",
    levels: Mapping[str, float] | None = None,
    chance: bool = False,
    log_x: bool | None = None,
    format: Format = "svg",  # noqa: A002 (the name that matplotlib and graphviz use)
) -> bytes:
    """Curves: faithfulness by the number of edges kept, or ROC curves.

    A logarithmic axis says so in its label; where an x is 0 it is linear below the smallest other one. Few
    places have a tick each. The legend stands above the axes, so that it covers nothing.

    Args:
        lines: one curve, or several with names; color, marker and dashes differ, so that gray is enough.
        x_label: what x is, with its unit.
        y_label: what y is, with its unit.
        title: a line above.
        caption: lines below.
        levels: levels drawn as thin lines, by their names: `{"whole model": 1.0}`.
        chance: whether both axes are rates, on a square plot, with y = x drawn as a thin line.
        log_x: whether x is logarithmic; None: if it spans a factor of 50 or more.
        format: `svg`, `png` or `pdf`.

    Raises:
        MethodError: C590, a curve has no point, x and y differ in number, or a logarithmic x is below 0.
    """
    drawn = [lines] if isinstance(lines, Curve) else list(lines)
    if not drawn:
        raise nothing("expected at least one curve")
    for line in drawn:
        _check(line)
    places = sorted({float(x) for line in drawn for x in line.x})
    above = [x for x in places if x > 0]
    if log_x is None:
        log_x = not chance and places[0] >= 0 and bool(above) and above[-1] >= _WIDE * above[0]
    if log_x and (places[0] < 0 or not above):
        raise nothing(f"a logarithmic axis needs values above 0, found {places[0]}")
    width, height = (3.4, 3.4) if chance else (4.2, 2.7)
    names = [
        name for name in (*(line.name for line in drawn), *(levels or {}), *(["chance"] * chance)) if name
    ]
    rows, columns = _legend(names, width)
    with settings():
        figure = framed(width, height + _ROW * rows, title, caption)
        figure.set_layout_engine(spaced(h_pad=_PAD, w_pad=_PAD))
        ax = figure.subplots()
        handles = []
        for i, line in enumerate(drawn):
            colour, marker, dashes = _STYLES[i % len(_STYLES)]
            _interval(ax, line, colour)
            handles += ax.plot(
                line.x, line.y, color=colour, linestyle=dashes, markersize=3.5, linewidth=1.2,
                marker=marker if len(line.x) <= _MOST_MARKED else None,
                drawstyle="steps-post" if line.steps else "default", label=_named(line.name, width),
            )  # fmt: skip
        for name, level in (levels or {}).items():
            handles.append(
                ax.axhline(level, color=_LEVEL, linewidth=0.8, zorder=1, label=_named(name, width))
            )
        if chance:
            ax.set_aspect("equal")
            handles += ax.plot([0, 1], [0, 1], color=_LEVEL, linewidth=0.8, zorder=1, label="chance")
        if log_x:
            if places[0] > 0:
                ax.set_xscale("log")
            else:
                room = 1.2 * _ROOM * log10(above[-1] / above[0])  # of the piece from 0 on, in decades
                ax.set_xscale("symlog", linthresh=above[0], linscale=max(room, 0.5))
                ax.set_xlim(left=-0.1 * above[0])
        if not chance:
            _ticks(ax, places)
        ax.set_xlabel(label(f"{x_label}, logarithmic" if log_x else x_label, 48))
        ax.set_ylabel(label(y_label))
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(visible=True, color="#E6E6E6", linewidth=0.5)
        ax.set_axisbelow(True)
        if names:
            ax.legend(
                handles=[handle for handle in handles if handle.get_label()], ncols=columns,
                loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.3, frameon=False,
            )  # fmt: skip
        return as_bytes(figure, format)


def _check(line: Curve) -> None:
    if not len(line.x) or len(line.x) != len(line.y):
        raise nothing(f"the curve {line.name!r} needs one y per x, found {len(line.x)} x and {len(line.y)} y")
    if len(line.low) != len(line.high) or len(line.low) not in (0, len(line.x)):
        raise nothing(
            f"the interval of {line.name!r} needs one low and one high end for each of {len(line.x)} points,"
            f" found {len(line.low)} and {len(line.high)}"
        )


def _interval(ax: Axes, line: Curve, colour: str) -> None:
    """A band between the points, and a whisker at each: a point without neighbors has no band."""
    ends = [(x, low, high) for x, low, high in zip(line.x, line.low, line.high, strict=len(line.low) > 0)]
    if not any(isfinite(low) and isfinite(high) for _, low, high in ends):
        return
    bounded = [each if isfinite(each[1]) and isfinite(each[2]) else (each[0], nan, nan) for each in ends]
    x, low, high = zip(*bounded, strict=True)
    ax.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    if len(x) <= _MOST_MARKED:
        ax.vlines(x, low, high, color=colour, alpha=0.5, linewidth=0.8)


def _named(name: str, width: float) -> str:
    """A name in the legend, in as many lines as it needs, and not left out because of an underscore."""
    shown = one_line(name, 64)
    letters = int(len(shown) * (width - _HANDLE) / max(_EM * ems(shown), 0.01))
    lines = wrapped(shown, max(letters, 1))
    return (
        "\n".join([f"\u200b{lines[0]}" if shown.startswith("_") else lines[0], *lines[1:]]) if lines else ""
    )


def _legend(names: Sequence[str], width: float) -> tuple[int, int]:
    """How many rows a legend has, and how many names there is room for in one."""
    shown = [_named(name, width) for name in names]
    if any("\n" in name for name in shown):
        return sum(1 + name.count("\n") for name in shown), 1
    longest = max(map(ems, shown), default=0.0)
    columns = max(1, int(width / (_HANDLE + _EM * longest)))
    return -(-len(names) // columns), columns


def _ticks(ax: Axes, places: Sequence[float]) -> None:
    """Numbers of edges as 1,000 and not as powers, which need the mathematical fonts.

    Few places have a tick each, named side by side, or else upright; where even that has no room, the tick
    alone is there.
    """
    from matplotlib.ticker import FuncFormatter, NullFormatter

    ax.xaxis.set_major_formatter(FuncFormatter(_plain))
    ax.xaxis.set_minor_formatter(NullFormatter())
    if len(places) > _MOST_TICKS:
        return
    widths = [_BESIDE + _EM * ems(_plain(x)) for x in places]
    named = _apart(ax, places, widths)
    is_upright = len(named) < len(places)
    if is_upright:
        named = _apart(ax, places, [_LINE] * len(places))
    ax.set_xticks(named, map(_plain, named), rotation=90 if is_upright else 0)
    ax.set_xticks([x for x in places if x not in named], minor=True)


def _plain(x: float, _: object = None) -> str:
    return f"{x:,.6g}"


def _apart(ax: Axes, places: Sequence[float], widths: Sequence[float]) -> list[float]:
    """Those of the places whose labels do not overlap: the last, and before it all that have room."""
    at = [float(each) for each in ax.xaxis.get_transform().transform(list(places))]
    inch = _WIDTH / ((at[-1] - at[0]) or 1.0)
    kept = [len(at) - 1]
    for i in reversed(range(len(at) - 1)):
        if inch * (at[kept[-1]] - at[i]) >= (widths[i] + widths[kept[-1]]) / 2:
            kept.append(i)
    return [places[i] for i in reversed(kept)]
