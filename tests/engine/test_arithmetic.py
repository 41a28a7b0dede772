"""Metrics made of metrics: prompt by prompt the arithmetic of their values, in every method."""

from __future__ import annotations

import operator
from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st
from tests.engine.tiny import Case, cases, contrast, random_logits, random_prompts, tiny_gpt2, with_sets
from tests.refused import refused

from nncirc import Example
from nncirc.circuits.errors import MethodError
from nncirc.circuits.names import END, Position
from nncirc.engine.methods.acdc import acdc
from nncirc.engine.methods.activation_patching import activation_patching
from nncirc.engine.methods.attribution_patching import attribution_patching
from nncirc.engine.metrics.expressions import combined, directed
from nncirc.engine.metrics.metric import Metric, measures
from nncirc.engine.metrics.reading import reading
from nncirc.engine.program.stored import identity

NAMES = [name for name in measures() if name != "mse"]
OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
LD, LP, KL = Metric("logit_diff"), Metric("logprob"), Metric("kl_divergence")


def tilted() -> Metric:
    """ld - 0.5 * lp."""
    return combined("-", LD, combined("*", 0.5, LP))


@settings(max_examples=36)
@given(
    st.sampled_from(NAMES),
    st.sampled_from([*NAMES, 2.5, -0.5]),
    st.sampled_from("+-*/"),
    st.booleans(),
    st.integers(0, 999),
)
def test_values_are_the_arithmetic_of_values(
    first: str, second: str | float, symbol: Any, turned: bool, seed: int
) -> None:
    """At every position by itself, then the mean; also for prompts that read at more than others."""
    data = with_sets(random_prompts(size=3, lengths=(6,), seed=seed, uneven=True), seed)
    patched, clean = random_logits(2, 3, 6, seed), random_logits(1, 3, 6, seed + 1)
    at = (Position("A"), Position("B"))
    left: Any = Metric(first, at=at)
    right: Any = Metric(second, at=at) if isinstance(second, str) else second
    if turned:
        left, right = right, left
    try:
        metric = combined(symbol, left, right)
    except MethodError as error:
        assert error.code == "C581"
        assert symbol in "+-"
        assert "cannot be added" in error.message
        return
    where = reading(metric, data, data.examples)
    reference = where.logprob(clean[:, :, where.kept])
    wanted = torch.zeros(2, 3, dtype=torch.float64)
    for i, example in enumerate(data.examples):
        at_each = sorted({p for span in example.spans.values() for p in range(*span)})
        for p in at_each:

            def value(part: Any, i: int = i, p: int = p, example: Example = example) -> Any:
                if isinstance(part, float):
                    return part
                here = Metric(part.name, at=(Position("X"),))
                only = Example(
                    "", example.tokens, {Position("X", 1): (p, p + 1)}, example.answer, example.foil, {}
                )
                one = reading(here, data, [only])
                return one.values(here, patched[:, i : i + 1, [p]], one.logprob(clean[:, i : i + 1, [p]]))[
                    :, 0
                ]

            wanted[:, i] += OPERATORS[symbol](value(left), value(right)) / len(at_each)
    if not wanted.isfinite().all():
        with refused(MethodError, "C582"):
            where.values(metric, patched[:, :, where.kept], reference)
        return
    found = where.values(metric, patched[:, :, where.kept], reference)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


@settings(max_examples=8)
@given(cases(layers=2), st.sampled_from([0.001, 0.03, 0.3]))
def test_acdc_is_its_definition(case: Case, threshold: float) -> None:
    """Of a sum, which columns or logits give, and of a ratio, of which nobody knows how rounding moves it."""
    model = case.model()
    graph, about = case.graph(model), case.contrast(model)
    for metric in (tilted(), combined("/", LD, 3.0), combined("/", LD, combined("+", LP, -1.0))):
        fast, slow = (acdc(about, graph, metric, threshold=threshold, sequential=s) for s in (False, True))
        assert fast.edges == slow.edges


def test_a_linear_combination_is_one_in_every_method() -> None:
    model = tiny_gpt2()
    about, graph = contrast(model), model.graph()
    metric = tilted()
    for direction in ("noise", "denoise"):
        of = [
            activation_patching(about, graph, each, direction=direction, positions=["end", "A"])
            for each in (metric, LD, LP)
        ]
        for whole, first, second in zip(*(each.values for each in of), strict=True):
            assert whole == pytest.approx([a - 0.5 * b for a, b in zip(first, second, strict=True)], abs=2e-8)
    scores = [attribution_patching(about, graph, each).values for each in (metric, LD, LP)]
    for edge, value in scores[0].items():
        assert value == pytest.approx(scores[1][edge] - 0.5 * scores[2][edge], abs=2e-8)
    assert about.clean(metric) == pytest.approx(about.clean(LD) - 0.5 * about.clean(LP))


def test_a_ratio_is_the_mean_of_ratios() -> None:
    about = contrast(tiny_gpt2())
    ratio = combined("/", LD, LP)
    each = about.clean_values(LD) / about.clean_values(LP)
    assert about.clean(ratio) == pytest.approx(float(each.mean()))
    assert about.clean(ratio) != pytest.approx(about.clean(LD) / about.clean(LP), rel=1e-3)


def test_names_units_and_what_is_better() -> None:
    prob, ce = Metric("prob"), Metric("cross_entropy")
    found = [
        (tilted(), "logit_diff - (0.5 * logprob)", "nats", 1),
        (combined("/", LD, 3.0), "logit_diff / 3", "ratio", 1),
        (combined("/", combined("-", LD, LP), LP), "(logit_diff - logprob) / logprob", "ratio", 1),
        (combined("-", 1.0, prob), "1 - prob", "probability", -1),
        (combined("*", -1.0, ce), "-1 * cross_entropy", "nats", 1),
        (combined("/", 1.0, prob), "1 / prob", "1 / probability", -1),
        (combined("*", LD, prob), "logit_diff * prob", "logits * probability", 1),
        (combined("/", ce, -2.0), "cross_entropy / -2", "ratio", 1),
        (directed(tilted(), "lower"), "logit_diff - (0.5 * logprob)", "nats", -1),
    ]
    for metric, name, unit, sign in found:
        assert (metric.name, metric.unit, metric.measure.sign) == (name, unit, sign)


def test_what_is_computed_again_only_if_it_has_to_be() -> None:
    """Columns are enough if they are for all parts; made of the same it is the same, also to the store."""
    assert combined("/", LD, 2.0).measure.columns
    assert not tilted().measure.columns
    assert tilted() == tilted()
    assert hash(tilted()) == hash(tilted())
    assert identity(tilted()) == identity(tilted())
    others = [LD, combined("/", LD, 2.0), combined("/", LD, 2.5), directed(tilted(), "lower"), tilted()]
    assert len({identity(each) for each in others}) == len(others)


@pytest.mark.parametrize(
    ("symbol", "left", "right", "said"),
    [
        ("+", LD, Metric("prob"), "logits and probability cannot be added"),
        ("-", LD, Metric("logprob", at=(Position("A"), END)), "different positions"),
        ("*", Metric("logprob", normalize=True), 2.0, "normalized"),
        ("/", LD, 0.0, "division by zero"),
        ("+", 1.0, 2.0, "at least one metric"),
        ("+", Metric("mse"), KL, "values"),
    ],
)
def test_what_does_not_go_together(symbol: Any, left: Any, right: Any, said: str) -> None:
    with refused(MethodError, "C581", said):
        combined(symbol, left, right)


def test_a_divisor_that_is_zero_and_a_gradient_that_is_not_there() -> None:
    about = contrast(tiny_gpt2())
    with refused(MethodError, "C582"):
        about.clean(combined("/", LD, KL))  # 0 on the clean run
    for metric in (combined("+", Metric("accuracy"), Metric("prob")), combined("-", LD, KL)):
        with refused(MethodError, "C541"):
            attribution_patching(about, about.model.graph(), metric)


@settings(max_examples=24)
@given(
    st.sampled_from([LD, LP, Metric("prob_diff")]),
    st.floats(-3, 3).filter(lambda x: abs(x) > 0.1),
    st.integers(0, 99),
)
def test_no_combination_moves_further_than_it_says(other: Metric, factor: float, seed: int) -> None:
    """When every logit moves by at most a little; ACDC trusts it with what rounding can decide."""
    data = random_prompts(size=3, seed=seed)
    scaled = combined("/", other, factor)
    for metric in (scaled, combined("*", factor, other), combined("-", combined("/", LD, 2.0), scaled)):
        where = reading(metric, data, data.examples)
        logits = random_logits(1, 3, 1, seed)
        ups = torch.zeros_like(logits).requires_grad_()
        (slope,) = torch.autograd.grad(where.values(metric, logits + ups).sum(), ups)
        value = float(where.values(metric, logits)[0, 0])
        assert float(slope.abs().sum((2, 3)).max()) <= metric.measure.sensitivity(value) * (1 + 1e-12)
    wide = combined("-", LD, combined("*", -1.0, LD)).measure.sensitivity(0.0)
    assert wide == pytest.approx(2 * LD.measure.sensitivity(0.0))
