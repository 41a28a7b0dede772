"""What is not finite is refused where it arises, with its cause: nothing is ranked, cut or written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.engine.tiny import contrast, tiny_gpt2, tiny_llama
from tests.refused import refused
from torch import Tensor

from nncirc.circuits.circuit import Circuit
from nncirc.circuits.errors import MethodError, ModelError, NncircError
from nncirc.circuits.names import END, Position
from nncirc.engine.evaluation.faithfulness import faithfulness_interval
from nncirc.engine.methods.acdc import acdc
from nncirc.engine.methods.activation_patching import activation_patching
from nncirc.engine.methods.attribution_patching import attribution_patching, node_attribution
from nncirc.engine.methods.causal_tracing import causal_tracing
from nncirc.engine.methods.logit_lens import logit_lens
from nncirc.engine.methods.path_patching import path_patching
from nncirc.engine.methods.steering import steering
from nncirc.engine.metrics.expressions import combined
from nncirc.engine.metrics.metric import Logits, Measure, Metric
from nncirc.engine.model import guards
from nncirc.engine.model.model import Model
from nncirc.engine.model.tracing import has_norm
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import Gaussian
from nncirc.engine.runs.normalization import between

LD = Metric("logit_diff")
SITE = (Position("A", 1),)


def times(metric: Metric, *factors: float) -> Metric:
    for factor in factors:
        metric = combined("*", metric, factor)
    return metric


def own(function: Callable[[Logits], Tensor]) -> Metric:
    return Metric("mine", own=Measure(function, ("answer",), 1, ""))


def plain(logits: Logits) -> Tensor:
    return logits.at(logits.answer, logits.patched)


METHODS: dict[str, Callable[[Contrast, Metric], Any]] = {
    "acdc": lambda c, m: acdc(c, c.model.graph(), m, threshold=0.1),
    "acdc by its definition": lambda c, m: acdc(c, c.model.graph(), m, threshold=0.1, sequential=True),
    "attribution by edges": lambda c, m: attribution_patching(c, c.model.graph(), m),
    "attribution by nodes": lambda c, m: node_attribution(c, c.model.graph(), m),
    "integrated gradients": lambda c, m: node_attribution(c, c.model.graph(), m, steps=2),
    "patching": lambda c, m: activation_patching(c, c.model.graph(), m, direction="noise"),
    "paths": lambda c, m: path_patching(c, c.model.graph(), m, to="logits"),
    "tracing": lambda c, m: causal_tracing(c, m),
    "steering": lambda c, m: steering(c, c.model.graph(), m, nodes="MLP0", scale=[0.5]),
    "faithfulness": lambda c, m: faithfulness_interval(c, Circuit.full(c.model.graph()), m),
    "clean": lambda c, m: c.clean(m),
    "corrupt": lambda c, m: c.corrupt(m),
}
NO_NUMBERS = {
    "infinite": times(LD, 1e308, 1e308),
    "infinite minus infinite": combined("-", times(LD, 1e308, 1e308), times(LD, 1e308, 1e308)),
    "too large to be added up": times(LD, 1e305),
    "a function's NaN": own(lambda logits: plain(logits) * torch.nan),
    "a function's infinity": own(lambda logits: plain(logits) / 0.0),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", NO_NUMBERS)
def test_a_metric_that_is_no_number(method: str, kind: str) -> None:
    about = contrast(tiny_gpt2(), size=2)
    with refused(MethodError, "C562", "finite"):
        METHODS[method](about, NO_NUMBERS[kind])


@pytest.mark.parametrize("method", METHODS)
def test_a_metric_that_is_no_number_on_one_prompt(method: str) -> None:
    """As a function that divides by what is zero somewhere."""
    about = contrast(tiny_gpt2(), size=4, batch=2)
    values = about.clean_values(LD)

    def odd(logits: Logits) -> Tensor:
        value = plain(logits) - logits.at(logits.foil, logits.patched)
        return torch.where((value - values[2]).abs() < 1e-9, torch.nan, value)

    metric = Metric("odd", own=Measure(odd, ("answer", "foil"), 1, ""))
    if method in ("corrupt", "integrated gradients"):  # they do not pass the clean run
        assert METHODS[method](about, metric)
        return
    with refused(MethodError, "C562"):
        METHODS[method](about, metric)


def test_a_quotient_that_overflows_is_not_divided_by_zero() -> None:
    about = contrast(tiny_gpt2(), size=2)
    with refused(MethodError, "C562"):
        about.clean(combined("/", times(LD, 1e308, 1e308), Metric("prob")))


@pytest.mark.parametrize(
    ("make", "dtype", "scale"),
    [
        (tiny_gpt2, torch.float64, 1e160),
        (tiny_gpt2, torch.float32, 1e38),
        (tiny_gpt2, torch.float32, 1e30),  # its square is infinite, and a norm makes zeros of it
        (tiny_llama, torch.float64, 1e30),  # its norms compute in float32
        (tiny_llama, torch.float32, 1e200),
        (tiny_llama, torch.float16, 1e6),
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_noise_beyond_all_numbers(
    make: Callable[..., Model], dtype: torch.dtype, scale: float, method: str
) -> None:
    about = contrast(make(dtype=dtype), size=2, corruption=Gaussian(SITE, scale=scale))
    if method in ("clean", "steering"):  # without a corrupted run
        assert METHODS[method](about, LD)
        return
    with refused(MethodError, "C563", f"{scale:g}"):
        METHODS[method](about, LD)


def test_noise_that_is_only_loud() -> None:
    """Up to there the corrupted run is that of the norms' limit: noise alone."""
    loud, louder = (
        contrast(tiny_gpt2(), size=2, corruption=Gaussian(SITE, scale=scale)) for scale in (1e9, 1e12)
    )
    assert loud.corrupt(LD) == pytest.approx(louder.corrupt(LD), rel=1e-6)


@pytest.mark.parametrize("make", [tiny_gpt2, tiny_llama])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_steering_beyond_all_numbers(make: Callable[..., Model], dtype: torch.dtype) -> None:
    about = contrast(make(dtype=dtype), size=2)
    for scale in (1e200, 1e25):
        for nodes in ("embed", "L1H0", "MLP0"):
            with refused(NncircError, "C503"):
                steering(about, about.model.graph(), LD, nodes=nodes, scale=[scale])


def test_what_has_a_norm() -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        values = torch.full((2, 3, 4), 1000.0, dtype=dtype)
        assert has_norm(values)
        for odd in (torch.inf, -torch.inf, torch.nan):
            values[1, 2, 3] = odd
            assert not has_norm(values)
    assert has_norm(torch.full((4,), 6e4, dtype=torch.float16))
    assert not has_norm(torch.tensor([3e19, 0.0]))


# A model that overflows ------------------------------------------------------------------------------------


def overflowing() -> Model:
    """A GPT-2 in float16 whose first MLP writes more than 65,504."""
    model = tiny_gpt2(dtype=torch.float16)
    with torch.no_grad():
        model.module.transformer.h[0].mlp.c_proj.bias.fill_(6e4)
        model.module.transformer.h[1].mlp.c_proj.bias.fill_(6e4)
    return model


def test_a_model_that_overflows_is_not_a_family_that_does_not_fit() -> None:
    with refused(ModelError, "C428", "float16"):
        guards.check(overflowing())


@pytest.mark.parametrize("method", METHODS)
def test_a_model_that_overflows_is_named(method: str) -> None:
    about = contrast(overflowing(), size=2)
    said = ["C503"] if method == "tracing" else ["C562", "logits"]  # what tracing restores is not finite
    with refused(MethodError, *said) as caught:
        METHODS[method](about, LD)
    assert "float16" in str(caught.value.hint)


def test_a_lens_of_a_model_that_overflows() -> None:
    model = overflowing()
    with refused(MethodError, "C562"):
        logit_lens(model, contrast(model).dataset, of="logit_diff", positions="end")


def test_a_gradient_that_overflows() -> None:
    """The metric is finite and the way back is not: a norm of small embeddings has a large gradient."""
    model = tiny_gpt2(dtype=torch.float16, tie_word_embeddings=False, layer_norm_epsilon=1e-16)
    with torch.no_grad():
        model.module.transformer.wte.weight.mul_(1e-6)
        model.module.transformer.wpe.weight.mul_(1e-6)
    about = contrast(model, size=2)
    assert abs(about.clean(LD)) < 100
    with refused(MethodError, "C562", "the score of embed -> ") as caught:
        attribution_patching(about, model.graph(), LD)
    assert "65,504" in str(caught.value.hint)


# Metrics without a gradient --------------------------------------------------------------------------------

WITHOUT = {
    "detached": own(lambda logits: plain(logits).detach()),
    "constant": own(lambda logits: torch.full(logits.patched.shape[:3], 3.0, dtype=torch.float64)),
    "by way of numpy": own(lambda logits: torch.from_numpy(plain(logits).detach().numpy().copy())),
    "zero everywhere": own(lambda logits: 0 * plain(logits) + 3),
}


@pytest.mark.parametrize("kind", WITHOUT)
def test_a_metric_without_a_gradient(kind: str) -> None:
    """It would rank edges by their place in the graph."""
    about = contrast(tiny_gpt2(), size=2)
    several: tuple[dict[str, Any], ...] = ({}, {"steps": 3}, {"grad_drop": True})
    for method in (attribution_patching, node_attribution):
        for options in several:
            with refused(MethodError, "C541"):
                method(about, about.model.graph(), WITHOUT[kind], **options)


def test_a_metric_without_a_gradient_may_be_tested() -> None:
    about = contrast(tiny_gpt2(), size=2)
    detached = replace(WITHOUT["detached"], at=(END,))
    found = acdc(about, about.model.graph(), detached, threshold=0.1)
    wanted = acdc(about, about.model.graph(), own(plain), threshold=0.1)
    assert found.edges == wanted.edges


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_runs_that_are_no_numbers_have_no_scale(number: float) -> None:
    for clean, corrupt in (([1.0, number], [0.0, 0.0]), ([1.0, 2.0], [number, 0.0])):
        with refused(MethodError, "C562"):
            between(LD, clean, corrupt)
