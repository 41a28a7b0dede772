"""What the type checker would have caught is refused at run time too, before a number comes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.engine.tiny import contrast, tiny_gpt2

from nncirc.circuits.circuit import Circuit
from nncirc.circuits.errors import NncircError
from nncirc.circuits.graph import Graph, Shape
from nncirc.circuits.measures import agreement
from nncirc.engine.activation import activation_patching
from nncirc.engine.attribution import attribution_patching
from nncirc.engine.contrast import Contrast
from nncirc.engine.metrics import END, Metric

MODEL = tiny_gpt2()
GRAPH = MODEL.graph()
ABOUT = contrast(MODEL)
METRIC = Metric("logit_diff")
ANY: Any = None


def scores() -> Any:
    return attribution_patching(ABOUT, GRAPH, METRIC)


@pytest.mark.parametrize(
    ("code", "call"),
    [
        ("C524", lambda: activation_patching(ABOUT, GRAPH, METRIC, direction="denoising")),  # type: ignore[arg-type]
        ("C512", lambda: activation_patching(ABOUT, GRAPH, METRIC, positions=[("end",)])),  # type: ignore[list-item]
        ("C512", lambda: Metric("logit_diff", at=[("S", "2")])),  # type: ignore[arg-type]
        ("C545", lambda: scores().top(3, rank="sigend")),
        ("C545", lambda: scores().threshold(0.1, rank="abs")),
        ("C543", lambda: scores().top("a")),
        ("C546", lambda: attribution_patching(ABOUT, GRAPH, METRIC, steps=2, along="input")),  # type: ignore[arg-type]
        ("C525", lambda: Contrast(MODEL, ABOUT.dataset, ABOUT.dataset.examples)),  # type: ignore[arg-type]
        ("C454", lambda: scores()["L9H9", "logits"]),
        ("C457", lambda: activation_patching(ABOUT, GRAPH, METRIC)["L9H9"]),
        ("C462", lambda: agreement(Circuit.full(GRAPH), Circuit.full(GRAPH), by="edge")),  # type: ignore[arg-type]
        ("C463", lambda: Graph(Shape(1, 1, 1), attention="head")),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_argument_is_refused(code: str, call: Callable[[], object]) -> None:
    with pytest.raises(NncircError) as caught:
        call()
    assert caught.value.code == code
    assert caught.value.hint


def test_positions_may_be_written_as_in_a_script() -> None:
    assert Metric("logit_diff", at="end").at == (END,)  # type: ignore[arg-type]
    assert Metric("logit_diff", at=["S.2", ("IO", None)]).at == (("S", 2), ("IO", None))  # type: ignore[arg-type]
    short = activation_patching(ABOUT, GRAPH, METRIC, positions=["end"])
    assert short == activation_patching(ABOUT, GRAPH, METRIC, positions=[END])
    assert scores()["embed", "logits"] == scores().values["embed", "logits"]
