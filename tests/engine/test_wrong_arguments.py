"""Everything public is called with one wrong argument at a time: what comes out is an error of the tree.

One value of each kind is tried for every argument; with `NNCIRC_WRONG_ARGUMENTS=all` all of them.
"""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
import torch
from tests.engine.calls import (
    CIRCUIT,
    CONTRAST,
    DATASET,
    GRAPH,
    METRIC,
    MODEL,
    SCORES,
    TOKENS,
    calls,
    files,
)
from tests.engine.surface import OFTEN, everything, inside, surface
from tests.engine.tiny import contrast, tiny_gpt2, tiny_llama
from tests.refused import refused

from nncirc import (
    ArgumentError,
    Circuit,
    EdgeScores,
    Gaussian,
    LowRank,
    Mask,
    Mean,
    Metric,
    Node,
    Resample,
    Zero,
    owner,
)
from nncirc.circuits.errors import FileError, NncircError
from nncirc.circuits.kinds import Function
from nncirc.circuits.names import Position

NUMBERS = [-1, 0, 3, 0.5, math.nan, math.inf, -math.inf, 1e308, np.int64(2), np.float32(0.5), True, 2j]
TEXTS = ["", "x", "L0H0", "S.2", "end", "\x00", "a/b", b"x", Path("x")]
CONTAINERS: list[Any] = [
    [], (), {}, set(), ["x"], ["L0H0"], [None], [[1.0]], [[]], [0.5, math.nan], ("S", 2), [("S", "2")],
    [("embed", "logits")], {"x": 1}, {"S.2": "A"}, {("S", 2): 3}, {None: None}, np.zeros(2), np.zeros((0, 2)),
    torch.zeros(2, 2), TOKENS, range(3), {"L0H0": "x"}, frozenset({"x"}),
]  # fmt: skip
OBJECTS = [None, object(), int, len, math, Metric, METRIC, GRAPH, CIRCUIT, SCORES, MODEL, CONTRAST, DATASET]
LARGE = contrast(tiny_gpt2(layers=3, heads=3), size=3, lengths=(7,))
SPLIT = replace(GRAPH, positions=("A", "other"))
MISFITS = [
    *(LARGE, LARGE.model, LARGE.dataset, LARGE.model.graph(), tiny_llama().graph(), SPLIT),
    *(Circuit.full(LARGE.model.graph()), Circuit.of(GRAPH, []), Circuit.of(SPLIT, [])),
    *(torch.full((1, 6), 10**6), torch.full((1, 6), -1), torch.ones((1, 10**3), dtype=torch.long)),
    *(torch.ones((0, 6), dtype=torch.long), Mask.everything(LARGE.model, LARGE.model.graph())),
    *(Metric("mse"), Metric("logit_diff", (Position("C", 1),)), Metric("kl_divergence", normalize=True)),
    *(["L5H0"], ["MLP0"], ["embed"], ["logits"], [("C", 1)], [("A", 9)], "all", [0.0, -1.0]),
    *([[1.0, 2.0], [1.0]], EdgeScores(GRAPH, {}, {}), Resample(LARGE.dataset.examples)),
    *(Mean(("slots", "prompts")), Zero(), Gaussian((Position("C", 1),))),
]
"""Of the right type, and of something else."""

KINDS = [NUMBERS, TEXTS, CONTAINERS, OBJECTS, MISFITS]
ALL = os.environ.get("NNCIRC_WRONG_ARGUMENTS") == "all"


def wrong(name: str) -> Iterator[Any]:
    """Values to try for an argument: by its name, so that they are the same in every run."""
    for kind in KINDS:
        yield from kind if ALL else [kind[crc32(name.encode()) % len(kind)]]


def test_everything_public_looks_at_its_arguments() -> None:
    found = surface()
    assert inside() <= everything().keys()
    assert {name for name, value in found.items() if not hasattr(called(value), "door")} == set(OFTEN)
    assert set(calls()) == set(found) - set(OFTEN)


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    files(tmp_path)


@pytest.mark.parametrize("name", sorted(calls()))
def test_the_right_call_is_right(name: str) -> None:
    function, arguments = calls()[name]
    try:
        function(**arguments)
    except FileError as error:
        assert error.code == "C611"  # no Graphviz for a PDF


@pytest.mark.parametrize("name", sorted(calls()))
def test_a_wrong_argument_is_an_error_of_the_tree(name: str) -> None:
    function, arguments = calls()[name]
    door = door_of(name)
    raw = []
    for each, kind in door.kinds.items():
        if each not in door.known or each in ("self", "cls"):
            continue
        for value in wrong(f"{name} {each}"):
            if callable(value) and any(
                isinstance(k, Function) for k in (kind, *getattr(kind, "options", ()))
            ):
                continue  # it fits, and what it does is its own
            try:
                function(**{**arguments, each: value})
            except NncircError as error:
                assert error.code != "C799"
            except IndexError:  # as Python asks of what can be gone through by its indices
                assert each == "at" and name.endswith("LowRank.__getitem__")
            except Exception as error:  # noqa: BLE001 - these are what is looked for
                raw.append(f"{each}={value!r:.40}: {type(error).__name__}: {error!s:.80}")
    assert not raw


OFTEN_ASKED: dict[str, Callable[[Any], object]] = {
    "Circuit.__contains__": CIRCUIT.__contains__,
    "Graph.__contains__": GRAPH.__contains__,
    "Graph.heard": GRAPH.heard,
    "Graph.order": GRAPH.order,
    "Node.parse": Node.parse,
    "Position.parse": Position.parse,
    "owner": owner,
}


def test_what_is_called_often_is_tried() -> None:
    """All but what only holds values, or is the parser's, or is called by functions of metrics."""
    holding = {"Edge", "Node", "Position", "RocPoint", "Logits"}
    parsing = {"Source.line", "Source.location", "Span", "Span.to"}
    assert OFTEN_ASKED.keys() == OFTEN.keys() - holding - parsing


@pytest.mark.parametrize("name", OFTEN_ASKED)
def test_what_is_called_often_says_itself_what_is_wrong(name: str) -> None:
    raw = []
    for value in [*chain(*KINDS), ([], "logits"), ("embed", {}), ("embed", 2), ("embed",), [[]], 10**9]:
        try:
            OFTEN_ASKED[name](value)
        except NncircError as error:
            assert error.code != "C799"
        except Exception as error:  # noqa: BLE001 - likewise
            raw.append(f"{value!r:.40}: {type(error).__name__}: {error!s:.80}")
    assert not raw


@pytest.mark.parametrize("where", [CIRCUIT, GRAPH], ids=["circuit", "graph"])
@pytest.mark.parametrize(
    "thing", [("embed",), ("embed", 2), ([], "logits"), ("a", "b", "c"), None, ["embed"]]
)
def test_what_is_no_edge_is_in_nothing(where: Any, thing: object) -> None:
    with refused(ArgumentError, "C751"):
        assert thing in where


def test_an_array_is_found_with_its_shape() -> None:
    low_rank: Any = LowRank(torch.ones(3, 1), torch.ones(1, 3))
    for wrong, found in (
        (torch.zeros(2, 1), "a `Tensor` of shape (2, 1) and type float32"),
        (np.zeros(3, dtype=np.int64), "a `ndarray` of shape (3) and type int64"),
    ):
        with pytest.raises(ArgumentError) as caught:
            _ = low_rank @ wrong
        assert str(caught.value.message).endswith(f"must be a `LowRank`, found {found}")


def test_matrices_that_have_no_product() -> None:
    with pytest.raises(ArgumentError, match="`right` must be a matrix of as many rows"):
        LowRank(torch.ones(3, 1), torch.ones(2, 3))
    with pytest.raises(ArgumentError, match="`other` must be a matrix of as many rows"):
        _ = LowRank(torch.ones(3, 1), torch.ones(1, 4)) @ LowRank(torch.ones(3, 1), torch.ones(1, 4))


def door_of(name: str) -> Any:
    return called(surface()[name]).door()


def called(value: Any) -> Any:
    return value.__init__ if inspect.isclass(value) else value
