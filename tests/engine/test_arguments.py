"""What the type checker would have caught is refused at run time too, before a number comes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tests.engine.tiny import contrast, tiny_gpt2
from tests.refused import refused

import nncirc
from nncirc import ArgumentError, Circuit, Metric, NncircError, attribution_patching
from nncirc.circuits.names import END

MODEL = tiny_gpt2()
GRAPH = MODEL.graph()
ABOUT = contrast(MODEL)
METRIC = Metric("logit_diff")
FULL = Circuit.full(GRAPH)
# What a type checker would say is not asked here.
ANY: Any = nncirc


def scores() -> Any:
    return attribution_patching(ABOUT, GRAPH, METRIC)


@pytest.mark.parametrize(
    ("code", "call"),
    [
        ("C512", lambda: ANY.Metric("logit_diff", at="S.x")),
        ("C512", lambda: ANY.activation_patching(ABOUT, GRAPH, METRIC, positions=[])),
        ("C531", lambda: scores().threshold(float("nan"))),
        ("C543", lambda: scores().top(-1)),
        ("C454", lambda: scores()["L9H9", "logits"]),
        ("C457", lambda: ANY.activation_patching(ABOUT, GRAPH, METRIC)["L9H9"]),
    ],
)
def test_a_wrong_value_is_refused(code: str, call: Callable[[], object]) -> None:
    with refused(NncircError, code) as caught:
        call()
    assert caught.value.hint


@pytest.mark.parametrize(
    ("call", "said", "hint"),
    [
        (
            lambda: ANY.acdc(ABOUT, GRAPH, "logit_diff", threshold=0.1),
            "acdc: `metric` must be a `Metric`, found the string 'logit_diff'",
            'write Metric("logit_diff")',
        ),
        (
            lambda: ANY.acdc(GRAPH, ABOUT, METRIC, threshold=0.1),
            "acdc: `contrast` must be a `Contrast`"
            ", found a `Graph`; `graph` must be a `Graph`, found a `Contrast`",
            "these arguments are swapped: write acdc(contrast, graph, metric, threshold=...)",
        ),
        (
            lambda: ANY.acdc(ABOUT, GRAPH, METRIC, threshold=True),
            "acdc: `threshold` must be a number, found True",
            None,
        ),
        (
            lambda: ANY.acdc(ABOUT, GRAPH, METRIC, threshold=0.1, depth=0),
            "acdc: `depth` must be a whole number of at least 1 or None, found 0",
            None,
        ),
        (
            lambda: ANY.attention_statistics(MODEL, ABOUT.dataset, "induction"),
            "attention_statistics: `of` must be a list of strings that is not empty"
            ", found the string 'induction'",
            "write ['induction']",
        ),
        (
            lambda: ANY.attention_statistics(MODEL, ABOUT.dataset, []),
            "attention_statistics: `of` must be a list of strings that is not empty, found the list []",
            None,
        ),
        (
            lambda: ANY.weight_statistics(MODEL, {"copying", "matching"}),
            "weight_statistics: `of` must be a list of strings that is not empty, found the set ...",
            "write sorted(...): a set has no order",
        ),
        (
            lambda: ANY.incompleteness([]),
            "incompleteness: `knockouts` must be a list of `Knockout`s that is not empty, found the list []",
            None,
        ),
        (
            lambda: ANY.replace(ABOUT.dataset, {"S.2": "A"}),
            "replace: `replacements`: key 'S.2' must be a tuple (string, whole number or None)"
            ", found the string 'S.2'",
            'write ("S", 2)',
        ),
        (
            lambda: ANY.sender_outputs(MODEL, GRAPH, "When Mary"),
            "sender_outputs: `tokens` must be an int tensor of shape (batch, pos)"
            ", found the string 'When Mary'",
            None,
        ),
        (
            lambda: ANY.activation_patching(ABOUT, GRAPH, METRIC, direction="denoising"),
            'activation_patching: `direction` must be "denoise" or "noise", found the string \'denoising\'',
            'write "denoise"',
        ),
        (
            lambda: ANY.activation_patching(ABOUT, GRAPH, METRIC, positions=("S", 2)),
            "activation_patching: `positions`[1] must be a string or a tuple (string, whole number or None)"
            ", found 2",
            "write [('S', 2)]",
        ),
        (
            lambda: ANY.faithfulness(ABOUT, scores(), METRIC),
            "faithfulness: `circuit` must be a `Circuit`, found an `EdgeScores`",
            "select a circuit: scores.top(100) or scores.threshold(0.01)",
        ),
        (
            lambda: ANY.Contrast(MODEL, ABOUT.dataset, ABOUT.dataset.examples),
            "Contrast: `corruption` must be a `Resample`, a `Gaussian`, a `Zero` or a `Mean`"
            ", found the tuple ...",
            "write Resample(replace(dataset, {...}))",
        ),
        (
            lambda: ANY.load_bundled("ioi-4l", dtype=torch.float32),
            'load_bundled: `dtype` must be "float32", "float64", "bfloat16" or "float16", found a `dtype`',
            'write "float32"',
        ),
        (
            lambda: ANY.agreement(FULL, FULL, by="edge"),
            'agreement: `by` must be "nodes", "edges", "heads", "mlps", "q", "k" or "v"'
            ", found the string 'edge'",
            'write "edges"',
        ),
    ],
)
def test_what_does_not_fit_is_named_and_put_right(
    call: Callable[[], object], said: str, hint: str | None
) -> None:
    with refused(ArgumentError, "C751") as caught:
        call()
    before, dots, _ = said.partition("...")
    assert caught.value.message.startswith(before) if dots else caught.value.message == said
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("call", "said", "hint"),
    [
        (
            lambda: ANY.acdc(ABOUT, GRAPH, METRIC, treshold=0.1),
            "acdc has no argument `treshold`",
            "did you mean `threshold`?",
        ),
        (
            lambda: ANY.acdc(ABOUT, GRAPH, METRIC),
            "acdc needs `threshold`",
            "write acdc(contrast, graph, metric, threshold=...)",
        ),
        (
            lambda: ANY.acdc(ABOUT, GRAPH, METRIC, 0.1),
            "acdc takes 3 positional arguments, got 4",
            "pass the rest by keyword: threshold=...",
        ),
        (
            lambda: ANY.Metric("logit_diff", name="prob"),
            "Metric: `name` is given twice, by position and by keyword",
            "write Metric(name, at, normalize, own)",
        ),
    ],
)
def test_a_call_that_does_not_fit_the_signature(call: Callable[[], object], said: str, hint: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        call()
    assert (caught.value.code, caught.value.message, caught.value.hint) == ("C752", said, hint)


def test_a_graph_of_another_model_is_refused() -> None:
    """Its nodes would be those of this model by chance, as far as there are any."""
    for layers, heads in ((1, 2), (2, 1), (3, 2)):
        other = tiny_gpt2(layers=layers, heads=heads).graph()
        for function, arguments in (
            (ANY.acdc, {"contrast": ABOUT, "graph": other, "metric": METRIC, "threshold": 0.1}),
            (ANY.attribution_patching, {"contrast": ABOUT, "graph": other, "metric": METRIC}),
            (ANY.faithfulness, {"contrast": ABOUT, "circuit": Circuit.full(other), "metric": METRIC}),
            (ANY.sender_outputs, {"model": MODEL, "graph": other, "tokens": torch.tensor([[1, 2]])}),
        ):
            with refused(ArgumentError, "C753", "does not belong to"):
                function(**arguments)


def test_numbers_of_numpy_are_numbers() -> None:
    found = scores().top(np.int64(3))
    assert len(found) <= 3
    assert type(found.made["edges"]) is int
    steps = [np.float32(0.5), np.float64(0.25)]
    family = ANY.acdc_family(ABOUT, GRAPH, METRIC, thresholds=np.array(steps))
    assert [each.made["threshold"] for each in family] == [0.5, 0.25]
    assert all(type(each.made["threshold"]) is float for each in family)


def test_positions_may_be_written_as_in_a_script() -> None:
    assert ANY.Metric("logit_diff", at="end").at == (END,)
    assert ANY.Metric("logit_diff", at=["S.2", ("IO", None)]).at == (("S", 2), ("IO", None))
    short = ANY.activation_patching(ABOUT, GRAPH, METRIC, positions=["end"])
    assert short == ANY.activation_patching(ABOUT, GRAPH, METRIC, positions=[END])
    assert scores()["embed", "logits"] == scores().values["embed", "logits"]
