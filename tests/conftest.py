"""No test reads or writes the store of who runs it; which tests are slow; and what several tests look at."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# How long an example takes says something of the machine, not of the code; and a run is as the one before.
# `HYPOTHESIS_PROFILE=long pytest` looks further.
settings.register_profile("ours", deadline=None, max_examples=30, derandomize=True)
settings.register_profile("long", deadline=None, max_examples=300)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ours"))

SLOW = Path(__file__).with_name("slow.txt")
"""Tests that `make fast` leaves out, written by `make slow`."""
SECONDS = 0.1
"""All cases of a test that is not slow take less, with what they prepare."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="leave out the tests of tests/slow.txt")
    parser.addoption("--note-slow", action="store_true", help="write tests/slow.txt anew")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--fast"):
        slow = set(SLOW.read_text(encoding="utf-8").split())
        left_out = [item for item in items if item.nodeid.partition("[")[0] in slow]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item.nodeid.partition("[")[0] not in slow]


_TOOK: Counter[str] = Counter()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _TOOK[report.nodeid.partition("[")[0]] += report.duration  # type: ignore[assignment]


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.getoption("--note-slow") and not hasattr(session.config, "workerinput"):
        slow = sorted(name for name, seconds in _TOOK.items() if seconds >= SECONDS)
        SLOW.write_text("".join(f"{name}\n" for name in slow), encoding="utf-8")


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
