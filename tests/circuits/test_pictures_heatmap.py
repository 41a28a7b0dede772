"""Heatmaps and curves: what is shown is what was given, and the same bytes every time."""

from __future__ import annotations

import math
import sys
import xml.etree.ElementTree as ET
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from tests.refused import refused
from tests.some import some

from nncirc.circuits.errors import MethodError
from nncirc.circuits.pictures.colours import Digits, Diverging, Sequential, power
from nncirc.circuits.pictures.curves import Curve, curves
from nncirc.circuits.pictures.heatmap import Panel, heatmap

PANEL = Panel([[0.0, 0.5], [-0.25, math.nan], [12.5, -0.001]], ["0", "1", "2"], ["S.1", "end"], title="heads")


def cells(figure: Figure, panel: int = 0) -> dict[tuple[float, float], str]:
    return {text.get_position(): text.get_text() for text in figure.axes[panel].texts}


def hatched(axes: Axes) -> set[tuple[int, int]]:
    """The column and the row of every cell that is hatched."""
    squares = [path for each in axes.collections if each.get_hatch() for path in each.get_paths()]
    middles = [np.asarray(path.vertices)[:4].mean(axis=0) for path in squares]
    return {(round(x), round(y)) for x, y in middles}


def unnamed(values: Any) -> Panel:
    """Numbers in rows and columns that have no names of their own."""
    rows, columns = np.shape(values)
    return Panel(values, [str(i) for i in range(rows)], [str(i) for i in range(columns)])


def test_numbers_labels_and_unit(figures: list[Figure]) -> None:
    heatmap(PANEL, unit="logits", title="Above", caption="Below", x_label="place", y_label="block")
    (figure,) = figures
    assert cells(figure) == {
        (0, 0): "0.00",
        (1, 0): "0.50",
        (0, 1): "\u22120.25",
        (0, 2): "12.50",
        (1, 2): "0.00",
    }
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
    assert hatched(axes) == {(1, 1)}
    assert all(line.get_hatch() for line in axes.collections)  # and no borders of what cannot be


def test_cells_that_cannot_be_are_blank(figures: list[Figure]) -> None:
    """Neither a number, nor the colour of one, nor the hatching of what was not measured."""
    possible = [[True, False], [False, True], [True, True]]
    heatmap(
        Panel([[9.0, 0.0], [0.0, math.nan], [1.0, 2.0]], ["0", "1", "2"], ["a", "b"], possible=possible),
        unit="x",
    )
    axes = figures[0].axes[0]
    assert cells(figures[0]) == {(0, 0): "9.00", (0, 2): "1.00", (1, 2): "2.00"}
    (numbers,) = axes.images
    shown: Any = numbers.get_array()
    assert shown.mask.tolist() == [[False, True], [True, True], [False, False]]
    assert hatched(axes) == {(1, 1)}  # which is possible, and was not measured
    (borders,) = (each for each in axes.collections if not each.get_hatch())
    drawn = {tuple(map(tuple, np.asarray(path.vertices).tolist())) for path in borders.get_paths()}
    assert {tuple(sorted(ends)) for ends in drawn} == {
        ((0.5, -0.5), (0.5, 0.5)),
        ((0.5, 0.5), (0.5, 1.5)),
        ((-0.5, 0.5), (0.5, 0.5)),
        ((-0.5, 1.5), (0.5, 1.5)),
        ((0.5, 0.5), (1.5, 0.5)),
    }


def test_what_cannot_be_has_no_part_in_the_scale(figures: list[Figure]) -> None:
    heatmap(Panel([[9.0, 1.0]], ["0"], ["a", "b"], possible=[[False, True]]), unit="x")
    assert figures[0].axes[0].images[0].get_clim() == (-1, 1)


def test_texts_stand_in_place_of_numbers(figures: list[Figure]) -> None:
    texts = [[" Mary", "a very, very long token"], ["", "$x$"]]
    heatmap(Panel([[0.5, 1], [2, math.nan]], ["0", "1"], ["a", "b"], texts=texts), unit="nats")
    assert cells(figures[0]) == {(0, 0): "Mary", (1, 0): "a very, very long\u2026"}


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
    heatmap(unnamed([[0.9, -0.5 if neutral else 0.0]]), unit="x", scale=Diverging(neutral))
    image: Any = figures[0].axes[0].images[0]
    assert image.get_clim() == pytest.approx(limits)
    red, green, blue, _ = image.cmap(image.norm(neutral))
    assert min(red, green, blue) > 0.96


def test_panels_share_one_scale(figures: list[Figure]) -> None:
    heatmap([PANEL, Panel([[3.0]], ["0"], ["a"])], unit="x")
    assert [axes.images[0].get_clim() for axes in figures[0].axes[:2]] == [(-12.5, 12.5)] * 2


def test_panels_of_another_unit_have_their_own_scale(figures: list[Figure]) -> None:
    def panel(value: float, unit: str | None, scale: Any = None) -> Panel:
        return Panel([[value]], ["0"], ["a"], unit=unit, scale=scale)

    panels = [
        panel(3.0, None),
        panel(2.0, None),
        panel(0.00002, "nats", Sequential(low=0.0)),
        panel(-5.0, None),
    ]
    heatmap(panels, unit="x")
    axes = [axes for axes in figures[0].axes if axes.images]
    bars = [axes for axes in figures[0].axes if not axes.images]
    assert [axes.images[0].get_clim() for axes in axes] == [(-3, 3), (-3, 3), (0, 2), (-5, 5)]
    assert [bar.get_ylabel() for bar in bars] == ["x", "nats \u00d7 10\u207b\u2075", "x"]
    assert [cells(figures[0], figures[0].axes.index(each)) for each in axes] == [
        {(0, 0): "3.00"},
        {(0, 0): "2.00"},
        {(0, 0): "2.00"},
        {(0, 0): "\u22125.00"},
    ]


@pytest.mark.parametrize("value", [0.0, 1.0, math.nan])
def test_all_cells_alike(value: float) -> None:
    assert heatmap(unnamed([[value, value]]), unit="x", scale=Diverging(1.0)).startswith(b"<?xml")


def test_grey_is_enough(figures: list[Figure]) -> None:
    """Luminance falls on both sides of the neutral value, and below it a stroke marks all that is seen."""
    values = np.linspace(-1, 1, 400).reshape(20, 20)
    heatmap(unnamed(values), unit="x")
    image: Any = figures[0].axes[0].images[0]
    grey = (image.cmap(np.linspace(0, 1, 255))[:, :3] @ [0.299, 0.587, 0.114])[:128]
    assert np.all(np.diff(grey) > 0)
    marked = cells(figures[0])
    assert set(marked.values()) == {"\u2212"}
    assert set(marked) == {(c, r) for (r, c), value in np.ndenumerate(values) if value < -0.01}
    plain = image.cmap(image.norm(0.0))
    unmarked = [value for (r, c), value in np.ndenumerate(values) if (c, r) not in marked and value < 0]
    assert unmarked
    for value in unmarked:  # as white as makes no difference
        assert image.cmap(image.norm(value)) == pytest.approx(plain, abs=0.03)
    assert figures[0].get_supxlabel() == "\u2212 in a cell: below 0."


def test_strokes_are_explained_only_where_there_are_any(figures: list[Figure]) -> None:
    many = np.full((20, 20), 7.5)
    heatmap(unnamed(many), unit="x", scale=Diverging(5.0), caption="Below")
    many[0, 0] = 4.0
    heatmap(unnamed(many), unit="x", scale=Diverging(5.0), caption="Below")
    heatmap(unnamed(many), unit="x", scale=Sequential())
    heatmap(unnamed([[-1.0, 1.0]]), unit="x")  # numbers say it themselves
    assert [figure.get_supxlabel() for figure in figures] == [
        "Below",
        "Below\n\u2212 in a cell: below 5.",
        "",
        "",
    ]


@pytest.mark.parametrize(("rows", "size"), [(48, 8), (90, 8), (100, 7), (120, 6), (145, 5)])
def test_every_row_is_named(figures: list[Figure], rows: int, size: float) -> None:
    """The figure grows, then letters shrink, and only then names are left out."""
    names = [f"MLP0N{i}" for i in range(rows)]
    heatmap(Panel(np.zeros((rows, 1)), names, ["end"]), unit="x")
    labels = figures[0].axes[0].get_yticklabels()
    assert [label.get_text() for label in labels] == names
    assert {label.get_fontsize() for label in labels} == {size}
    pitch = figures[0].axes[0].get_window_extent().height / rows
    assert all(label.get_window_extent().height <= pitch + 1 for label in labels)


def test_names_without_room_are_thinned(figures: list[Figure]) -> None:
    names = list(map(str, range(400)))
    heatmap(Panel(np.zeros((400, 400)), names, names), unit="x")
    axes = figures[0].axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()][:3] == ["0", "3", "6"]
    assert [label.get_text() for label in axes.get_xticklabels()][:3] == ["0", "3", "6"]


def test_columns_are_named_in_one_line_in_two_or_upright(figures: list[Figure]) -> None:
    heatmap(Panel(np.zeros((1, 2)), ["a"], ["end", "random (median)"]), unit="x")
    heatmap(Panel(np.zeros((1, 20)), ["a"], ["faithfulness"] * 20), unit="x")
    folded, upright = (figure.axes[0].get_xticklabels() for figure in figures)
    assert [label.get_text() for label in folded] == ["end", "random\n(median)"]
    assert {label.get_rotation() for label in folded} == {0}
    assert {label.get_rotation() for label in upright} == {90}


def test_cells_of_all_panels_are_as_high(figures: list[Figure]) -> None:
    panels = [Panel(np.zeros((n, 1)), list(map(str, range(n))), ["a"]) for n in (8, 16)]
    heatmap(panels, unit="x")
    low, high = (axes.get_window_extent() for axes in figures[0].axes[:2])
    assert high.height / low.height == pytest.approx(2, rel=0.15)
    assert low.y0 == pytest.approx(high.y0)
    heatmap(panels, unit="x", upward=False)
    low, high = (axes.get_window_extent() for axes in figures[1].axes[:2])
    assert low.y1 == pytest.approx(high.y1)


# Numbers


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([0.0012, 0.0031], ["0.0012", "0.0031"]),
        ([0.012, -0.5], ["0.01", "\u22120.50"]),
        ([0.0, -0.001, 3.0], ["0.00", "0.00", "3.00"]),
        ([12.345, 0.25], ["12.35", "0.25"]),
        ([345.67, 0.25], ["345.7", "0.2"]),
        ([54321.4, 1.0], ["54,321", "1"]),
        ([0.0], ["0.00"]),
    ],
)
def test_numbers_of_a_heatmap_are_written_alike(values: list[float], wanted: list[str]) -> None:
    assert list(map(Digits.of(Diverging(), values), values)) == wanted


def test_digits_tell_apart_what_lies_around_the_neutral_value() -> None:
    values = [0.9953, 1.0001, 1.0]
    assert list(map(Digits.of(Diverging(1.0), values), values)) == ["0.9953", "1.0001", "1.0000"]
    assert list(map(Digits.of(Sequential(), values), values)) == ["0.9953", "1.0001", "1.0000"]


def test_a_logarithmic_scale_has_three_digits() -> None:
    values = [1.0, 2.408, 11.83, 101.4, 31999.6]
    wanted = ["1.00", "2.41", "11.8", "101", "32,000"]
    assert list(map(Digits.of(Sequential(log=True), values), values)) == wanted


@given(st.lists(st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-9), min_size=2, max_size=9))
def test_what_differs_in_colour_differs_in_print(values: list[float]) -> None:
    """Two numbers that lie a twentieth of the scale apart are not written alike."""
    scaled = [value / 10.0 ** power(values) for value in values]
    digits = Digits.of(Sequential(), scaled)
    span = max(scaled) - min(scaled)
    for a in some(scaled):
        for b in some(scaled):
            far = abs(a - b) > span / 20 and span > 1e-6 * max(map(abs, scaled))
            assert digits(a) != digits(b) or not far


def test_panels_are_written_alike_with_a_third_decimal_where_one_needs_it(figures: list[Figure]) -> None:
    large = Panel([[0.99], [0.4]], ["a", "b"], ["x"])
    small = [Panel([[value]], ["n"], ["x"]) for value in (0.035, 0.0078)]
    heatmap([large, *small, Panel([[0.0]], ["z"], ["x"])], unit="x")
    heatmap([large, Panel([[0.25]], ["z"], ["x"])], unit="x")
    close = Panel([[0.9953], [1.0001]], ["a", "b"], ["x"])
    heatmap([close, Panel([[1.00016]], ["z"], ["x"])], unit="x", scale=Diverging(1.0))
    found = [
        [list(cells(figure, i).values()) for i, axes in enumerate(figure.axes) if axes.images]
        for figure in figures
    ]
    assert found == [
        [["0.990", "0.400"], ["0.035"], ["0.008"], ["0.000"]],
        [["0.99", "0.40"], ["0.25"]],
        [["0.9953", "1.0001"], ["1.0002"]],
    ]


def test_cells_are_written_as_the_colour_bar_is(figures: list[Figure]) -> None:
    heatmap(Panel([[0.25, -0.5]], ["a"], ["x", "y"]), unit="x")
    assert list(cells(figures[0]).values()) == ["0.25", "\u22120.50"]
    figures[0].canvas.draw()
    ticks = [tick.get_text() for tick in figures[0].axes[1].get_yticklabels()]
    assert {"\u22120.4", "0.0", "0.4"} <= {*ticks}


def test_very_small_numbers_have_a_factor_beside_the_unit(figures: list[Figure]) -> None:
    heatmap(Panel([[0.00012, -0.00031]], ["a"], ["x", "y"]), unit="nats")
    assert cells(figures[0]) == {(0, 0): "1.20", (1, 0): "\u22123.10"}
    axes, bar = figures[0].axes
    assert bar.get_ylabel() == "nats \u00d7 10\u207b\u2074"
    assert axes.images[0].get_clim() == pytest.approx((-3.1, 3.1))
    assert bar.get_ylim() == pytest.approx((-3.1, 3.1))


# Colours


def contrast(first: Any, second: Any) -> float:
    """WCAG 2.1, by matplotlib's numbers."""

    def luminance(colour: Any) -> float:
        rgb = np.asarray(to_rgb(colour))
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scale", [Diverging(), Sequential(), Sequential(dark="low")])
def test_numbers_are_read_on_every_colour(figures: list[Figure], scale: Any) -> None:
    heatmap(
        Panel(np.linspace(-1, 1, 60).reshape(6, 10), list("abcdef"), list("ABCDEFGHIJ")),
        unit="x",
        scale=scale,
    )
    image = figures[0].axes[0].images[0]
    for text in some(figures[0].axes[0].texts):
        column, row = map(int, text.get_position())
        cell = image.cmap(image.norm(np.asarray(image.get_array())[row, column]))[:3]
        assert contrast(cell, text.get_color()) > 4.5


@pytest.mark.parametrize("dark", ["low", "high"])
def test_a_sequential_scale_gets_darker_all_the_way(figures: list[Figure], dark: Any) -> None:
    heatmap(Panel([[1.0, 99.0]], ["a"], ["x", "y"]), unit="rank", scale=Sequential(dark=dark))
    image: Any = figures[0].axes[0].images[0]
    grey = image.cmap(np.linspace(0, 1, 255))[:, :3] @ [0.299, 0.587, 0.114]
    assert np.all(np.diff(grey if dark == "low" else -grey) > 0)
    ends = figures[0].axes[1].get_ylim()
    assert ends == ((99, 1) if dark == "low" else (1, 99))  # the dark end is above


def test_a_scale_has_its_ends_whatever_the_numbers(figures: list[Figure]) -> None:
    heatmap(Panel([[0.5, 0.75]], ["a"], ["x", "y"]), unit="share", scale=Sequential(0.0, 1.0))
    heatmap(Panel([[-0.5, 1.75]], ["a"], ["x", "y"]), unit="share", scale=Sequential(0.0, 1.0))
    heatmap(Panel([[0.5]], ["a"], ["x"]), unit="share", scale=Sequential())
    limits = [figure.axes[0].images[0].get_clim() for figure in figures]
    assert limits == [(0, 1), (-0.5, 1.75), (0.5, 1)]


def test_ranks_of_several_decades(figures: list[Figure]) -> None:
    heatmap(
        Panel([[1, 10, 100]], ["a"], ["x", "y", "z"]), unit="rank", scale=Sequential(1, dark="low", log=True)
    )
    image: Any = figures[0].axes[0].images[0]
    assert image.norm([1, 10, 100]).tolist() == pytest.approx([0, 0.5, 1])
    ticks = [label.get_text() for label in figures[0].axes[1].get_yticklabels() if label.get_text()]
    assert {"1", "10", "100"} <= {*ticks}
    with refused(MethodError, "C590"):
        heatmap(Panel([[0.0, 2.0]], ["a"], ["x", "y"]), unit="rank", scale=Sequential(log=True))


@pytest.mark.parametrize(
    "draw",
    [
        lambda: heatmap(Panel([[1.0]], ["a", "b"], ["c"]), unit="x"),
        lambda: heatmap(Panel([[1.0]], ["a"], ["c"], texts=[["x", "y"]]), unit="x"),
        lambda: heatmap(Panel([[1.0]], ["a"], ["c"], possible=[[True], [True]]), unit="x"),
        lambda: heatmap(Panel([[1.0], [1.0, 2.0]], ["a", "b"], ["c"]), unit="x"),
        lambda: heatmap(Panel([["x"]], ["a"], ["c"]), unit="x"),
        lambda: heatmap(Panel(np.zeros((0, 3)), [], ["a", "b", "c"]), unit="x"),
        lambda: heatmap([], unit="x"),
        lambda: heatmap(Panel([1.0, 2.0], ["a"], ["c"]), unit="x"),
        lambda: curves([]),
        lambda: curves(Curve([], [])),
        lambda: curves(Curve([1], [1, 2])),
        lambda: curves(Curve([1], [1], low=[0])),
        lambda: curves(Curve([0], [1]), log_x=True),
        lambda: curves(Curve([-1, 5], [1, 1]), log_x=True),
    ],
)
def test_what_cannot_be_drawn(draw: Any) -> None:
    with refused(MethodError, "C590"):
        draw()


def test_nothing_global_changes() -> None:
    before = dict(mpl.rcParams)
    heatmap(PANEL, unit="x")
    assert dict(mpl.rcParams) == before
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_a_user_style_changes_nothing() -> None:
    plain = heatmap(PANEL, unit="x")
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.fonttype": "none"}):
        assert heatmap(PANEL, unit="x") == plain


texts = st.text(max_size=20) | st.sampled_from(
    ["$", r"$\frac{1}{", "<b>&", "\x00", "\ud800", "x" * 400, "W " * 400, "_", "数", "\n", "{}", r"\textbf{"]
)


@settings(max_examples=9)
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
