"""Figures of matplotlib: one style wherever they are drawn, bytes without a date, labels that are no markup.

No figure is shown, no global setting of matplotlib changes.
"""

from __future__ import annotations

import io
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from nncirc.circuits.atomic import write_bytes
from nncirc.circuits.errors import MethodError
from nncirc.circuits.pictures.render import picture_format
from nncirc.circuits.pictures.text import one_line, printable, wrapped

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import LayoutEngine

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

_GRID = 2.0**-16
"""What places in a figure are rounded to, as shares of it: no more than a hundredth of a point."""
_HASHED = re.compile(rb'\bid="([a-zA-Z]+[0-9a-f]{10})"')
"""An id that matplotlib makes of what the element holds, numbers to their last digit."""


def write_picture(path: str | os.PathLike[str], draw: Any, *arguments: Any, **options: Any) -> None:
    """Draw with `heatmap` or `curves` into a file that ends in `.svg`, `.png` or `.pdf`.

    >>> write_picture("/dev/null.svg", heatmap, Panel([[0.5]], ["0"], ["a"]), unit="score")  # doctest: +SKIP

    Raises:
        FileError: C605, the file cannot be written; C610, its extension is not a known format.
        MethodError: C590, as `draw` has it.
    """
    write_bytes(path, draw(*arguments, format=picture_format(path, _FORMATS), **options))


@contextmanager
def settings() -> Iterator[None]:
    """The style of the pictures, from the defaults: from the user's they would depend on the machine."""
    import matplotlib as mpl

    defaults: Any = {k: v for k, v in mpl.rcParamsDefault.items() if not k.startswith("backend")}
    with mpl.rc_context(defaults | _SETTINGS):
        yield


def framed(width: float, height: float, title: str, caption: str) -> Figure:
    """A figure with a title and a caption, higher by as much as these need; sizes in inches."""
    from matplotlib.figure import Figure

    above = wrapped(one_line(title, 300), max(30, int(width * 12)))
    below = wrapped(printable(caption)[:2000], max(30, int(width * 17)))
    height += 0.17 * len(above) + 0.12 * len(below)
    figure = Figure(figsize=(width, height), layout=spaced())
    if above:
        figure.suptitle("\n".join(above), fontsize=10, x=0.02, ha="left")
    if below:
        figure.set_layout_engine(spaced(h_pad=0.07))
        figure.supxlabel("\n".join(below), fontsize=7, color="#4D4D4D", x=0.02, ha="left")
    return figure


def spaced(h_pad: float | None = None, w_pad: float | None = None) -> LayoutEngine:
    """The layout of a figure: room for all labels, and places that are the same whenever it is computed.

    The solver goes through its unknowns in the order of their addresses, so that the last digits of what it
    finds differ from one time to the next. Places are rounded to fractions of a power of two, which sizes
    in inches and points never lie halfway between. Pads are in inches; None as matplotlib has them.
    """
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.transforms import Bbox

    class Rounded(ConstrainedLayoutEngine):
        def execute(self, fig: Figure) -> Any:
            grids = super().execute(fig)
            for axes in fig.axes:
                places = axes.get_position(original=True).bounds
                axes.set_position(Bbox.from_bounds(*(round(each / _GRID) * _GRID for each in places)))
                axes.set_in_layout(True)
            return grids

    return Rounded(h_pad=h_pad, w_pad=w_pad)


def label(text: str, width: int = 32) -> str:
    """A label of an axis, in at most four lines that a small figure has room for."""
    return "\n".join(wrapped(one_line(text, 4 * width - 20), width)[:4])


def nothing(why: str) -> MethodError:
    """The error for numbers that cannot be drawn."""
    return MethodError("C590", f"cannot draw this: {why}", hint="give one number for every row and column")


def as_bytes(figure: Figure, format_: Format) -> bytes:
    """The file, without a date, so that the same numbers give the same bytes."""
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A token in a script that the font lacks is drawn as a box; where it stands is still right.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        figure.savefig(buffer, format=format_, metadata=metadata[format_])
    return _numbered(buffer.getvalue()) if format_ == "svg" else buffer.getvalue()


def _numbered(svg: bytes) -> bytes:
    """An SVG whose elements are called by their order, not by hashes of what they hold."""
    names = {name: b"n%d" % i for i, name in enumerate(dict.fromkeys(_HASHED.findall(svg)))}
    return re.sub(
        rb'(?<=[#"])[a-zA-Z]+[0-9a-f]{10}(?=[")])', lambda found: names.get(found[0], found[0]), svg
    )
