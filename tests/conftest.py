"""No test reads or writes the store of who runs it; and what several tests look at."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@pytest.fixture(scope="session", autouse=True)
def _no_store_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """For fixtures that outlive a test; commands in processes of their own inherit it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NNCIRC_CACHE", str(tmp_path_factory.mktemp("store")))
        yield


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the store that commands use in this test, and in no other."""
    folder = tmp_path_factory.mktemp("store")
    monkeypatch.setenv("NNCIRC_CACHE", str(folder))
    return folder


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Every figure that is written, to look at what matplotlib was told."""
    from matplotlib.figure import Figure

    seen: list[Figure] = []
    savefig = Figure.savefig

    def note(figure: Figure, *arguments: Any, **options: Any) -> None:
        seen.append(figure)
        savefig(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", note)
    return seen


_SOLVER = "do_constrained_layout"


@pytest.fixture
def unsteady(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last digits of every layout differ from one time to the next, as the solver's may."""
    from matplotlib import layout_engine
    from matplotlib.transforms import Bbox

    chance = random.Random(0)
    laid_out: Any = getattr(layout_engine, _SOLVER)

    def shaken(figure: Figure, **options: Any) -> Any:
        grids = laid_out(figure, **options)
        for axes in figure.axes:
            places = axes.get_position(original=True).bounds
            axes.set_position(Bbox.from_bounds(*(x * (1 + chance.uniform(-1e-12, 1e-12)) for x in places)))
            axes.set_in_layout(True)
        return grids

    monkeypatch.setattr(layout_engine, _SOLVER, shaken)
