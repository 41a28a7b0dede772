"""Heatmaps and curves as files: the same bytes every time, and nothing heavy before they are drawn."""

from __future__ import annotations

import io
import math
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.end_to_end.command import printed
from tests.refused import refused

from nncirc.circuits.errors import FileError
from nncirc.circuits.pictures.curves import Curve, curves
from nncirc.circuits.pictures.figure import write_picture
from nncirc.circuits.pictures.heatmap import Panel, heatmap

PANEL = Panel([[0.0, 0.5], [-0.25, math.nan], [12.5, -0.001]], ["0", "1", "2"], ["S.1", "end"], title="heads")

CODE = """
import hashlib, sys
from nncirc.circuits.pictures.curves import Curve, curves
from nncirc.circuits.pictures.heatmap import Panel, heatmap
panel = Panel([[0.1, -0.2], [0.3, float("nan")]], ["0", "1"], ["a", "b"])
line = Curve([1, 2], [0.1, 0.9], "a", [0, 0.8], [0.2, 1])
for f in ("svg", "png", "pdf"):
    drawn = heatmap(panel, unit="x", title="t", caption="c", format=f) + curves(line, format=f)
    print(hashlib.sha256(drawn).hexdigest())
assert "matplotlib.pyplot" not in sys.modules
"""


def test_the_same_bytes_in_every_process() -> None:
    surroundings = [{"PYTHONHASHSEED": seed, "PYTHONWARNINGS": "error"} for seed in ("0", "1")]
    first, second = (printed(CODE, environment=each) for each in surroundings)
    assert first == second


@pytest.mark.usefixtures("unsteady")
@pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
@pytest.mark.parametrize(
    "draw",
    [
        lambda kind: heatmap([PANEL, replace(PANEL, unit="y"), PANEL], unit="x", title="t", format=kind),
        lambda kind: curves(Curve([1, 2], [0.1, 0.9], "a", [0, 0.8], [0.2, 1]), caption="c", format=kind),
        lambda kind: curves(Curve([0, 1], [0.1, 0.9], steps=True), chance=True, format=kind),
    ],
    ids=["panels", "curves", "rates"],
)
def test_the_last_digits_of_the_layout_are_not_seen(draw: Any, kind: Any) -> None:
    assert draw(kind) == draw(kind)


def test_parts_of_an_svg_are_called_by_their_order() -> None:
    """Hashes of what they hold would be other ones with another last digit."""
    svg = heatmap(PANEL, unit="x").decode()
    names = [name for each in ET.fromstring(svg).iter() if (name := each.get("id"))]
    assert len(names) == len(set(names))
    assert not [name for name in names if re.fullmatch("[a-z]+[0-9a-f]{10}", name)]
    assert {name for name in names if re.fullmatch(r"n\d+", name)} >= {"n0", "n1"}
    asked = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
    assert asked
    assert asked <= set(names)


def test_files(tmp_path: Path) -> None:
    for ending, start in ((".svg", b"<?xml"), (".png", b"\x89PNG"), (".pdf", b"%PDF")):
        write_picture(tmp_path / f"a{ending}", heatmap, PANEL, unit="x")
        assert (tmp_path / f"a{ending}").read_bytes().startswith(start)
    with Image.open(io.BytesIO((tmp_path / "a.png").read_bytes())) as image:
        assert image.width > 300


@pytest.mark.parametrize(("name", "code"), [("a.dot", "C610"), ("no/a.svg", "C605")])
def test_files_that_cannot_be(tmp_path: Path, name: str, code: str) -> None:
    with refused(FileError, code):
        write_picture(tmp_path / name, heatmap, PANEL, unit="x")
