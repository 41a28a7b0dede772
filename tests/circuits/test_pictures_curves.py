"""Curves: every point is shown and named, and nothing is covered."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from nncirc.circuits.pictures.curves import Curve, curves


def test_steps_and_the_diagonal_of_chance(figures: list[Figure]) -> None:
    curves(Curve([0, 0.5, 1], [0, 0.8, 1], "a", steps=True), chance=True)
    (axes,) = figures[0].axes
    line, chance = axes.lines
    assert np.array_equal(np.asarray(chance.get_xydata()), [[0, 0], [1, 1]])
    assert line.get_drawstyle() == "steps-post"
    assert line.get_marker() == "o"
    assert axes.get_aspect() == 1
    curves(Curve(list(range(500)), [0.5] * 500))
    assert figures[1].axes[0].lines[0].get_marker() in (None, "None")  # markers would hide the line


def test_curves_have_every_point(figures: list[Figure]) -> None:
    low, high = [0.0, 0.4], [0.2, 0.6]
    curves(
        [Curve([50, 1000], [0.1, 0.5], "_a", low, high), Curve([50], [0.2], "b")],
        log_x=True,
        levels={"whole model": 1.0},
    )
    (axes,) = figures[0].axes
    lines: Any = axes.lines
    first, second, level = lines
    assert level.get_ydata() == [1.0, 1.0]
    assert first.get_xydata().tolist() == [[50, 0.1], [1000, 0.5]]
    assert first.get_linestyle() != second.get_linestyle()
    assert first.get_marker() != second.get_marker()
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text().strip("\u200b") for text in legend.get_texts()] == ["_a", "b", "whole model"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["50", "1,000"]
    assert len(axes.collections) == 2  # a band and its whiskers


@pytest.mark.parametrize(
    ("sizes", "scale"),
    [([1, 100, 32000], "log"), ([0, 1, 32000], "symlog"), ([100, 4000], "linear"), ([0, 0], "linear")],
)
def test_a_wide_axis_is_logarithmic_and_says_so(figures: list[Figure], sizes: list[int], scale: str) -> None:
    curves(Curve(sizes, [0.5] * len(sizes)))
    (axes,) = figures[0].axes
    assert axes.get_xscale() == scale
    assert ("logarithmic" in axes.get_xlabel()) == (scale != "linear")
    if scale != "linear":
        places = axes.transData.transform([(x, 0.5) for x in sizes])[:, 0]
        assert np.diff(places).min() > 20  # no two sizes fall into one place
        assert [label.get_text() for label in axes.get_xticklabels()] == [f"{x:,}" for x in sizes]


@pytest.mark.parametrize(
    ("sizes", "upright"),
    [
        ([5, 15, 35, 60, 80, 120, 239, 479], True),
        ([14, 35, 60, 120, 240], False),
        ([0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100], False),
        ([0, 1, 1000, 32491], False),
    ],
)
def test_few_points_have_each_a_tick_with_its_number(
    figures: list[Figure], sizes: list[float], upright: bool
) -> None:
    curves([Curve(sizes, [0.5] * len(sizes)), Curve(sizes[:1], [0.5])])
    (figure,) = figures
    (axes,) = figure.axes
    labels = axes.get_xticklabels()
    assert [label.get_text() for label in labels] == [f"{x:,}" for x in sizes]
    assert {label.get_rotation() for label in labels} == {90 if upright else 0}
    figure.canvas.draw()
    boxes = [label.get_window_extent() for label in labels]
    for left, right in pairwise(boxes):
        assert left.x1 < right.x0


def test_where_numbers_have_no_room_the_ticks_are_there(figures: list[Figure]) -> None:
    curves(Curve([10, 10000, 11000, 12000], [0.5] * 4))
    (axes,) = figures[0].axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["10", "12,000"]
    assert list(axes.get_xticks(minor=True)) == [10000, 11000]


def test_many_points_have_regular_ticks(figures: list[Figure]) -> None:
    curves(Curve(list(range(1000, 5000, 100)), [0.5] * 40))
    (axes,) = figures[0].axes
    figures[0].canvas.draw()
    assert {"1,000", "2,000", "3,000"} <= {label.get_text() for label in axes.get_xticklabels()}
    assert not len(axes.get_xticks(minor=True))


@pytest.mark.parametrize("names", [["a", "b"], ["helping, CPR 1.04, CMD 0.147", "mattering", "W" * 64]])
@pytest.mark.parametrize("chance", [False, True])
def test_the_legend_covers_nothing(figures: list[Figure], names: list[str], chance: bool) -> None:
    lines = [Curve([0, 1], [1, 1], name, [0, 0], [1, 1]) for name in names]
    curves(lines, levels={"whole model": 1.0}, chance=chance, title="Above", caption="Below")
    (figure,) = figures
    figure.canvas.draw()
    (axes,) = figure.axes
    legend, title = axes.get_legend(), figure._suptitle  # type: ignore[attr-defined]
    assert legend is not None
    shown = [text.get_text() for text in legend.get_texts()]
    assert [name.replace("\n", "") for name in shown] == [*names, "whole model", *["chance"] * chance]
    box = legend.get_window_extent()
    assert box.y0 >= axes.bbox.y1
    assert box.y1 <= title.get_window_extent().y0
    assert axes.bbox.height > 0.6 * figure.bbox.height - 150


def test_an_interval_without_bounds_is_not_drawn(figures: list[Figure]) -> None:
    """Of one prompt: neither a whisker without end nor an axis that reaches for it."""
    curves(Curve([1, 2], [0.5, 0.6], low=[-math.inf] * 2, high=[math.inf] * 2))
    curves(Curve([1, 2], [0.5, 0.6], low=[math.nan, 0.5], high=[math.nan, 0.7]))
    unbounded, half = (figure.axes[0] for figure in figures)
    assert not unbounded.collections
    assert unbounded.get_ylim()[1] < 1
    whiskers: Any = half.collections[1]
    drawn = [path.vertices.tolist() for path in whiskers.get_paths() if np.isfinite(path.vertices).all()]
    assert drawn == [[[2, 0.5], [2, 0.7]]]
