"""Traces: what a body raises keeps its type, and the next trace works."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from tests.engine.tiny import tiny_gpt2, tiny_llama
from tests.refused import refused

from nncirc.circuits.errors import DataError, MethodError, ModelError
from nncirc.engine.model.model import Model
from nncirc.engine.model.tracing import checked, run

TOKENS = torch.tensor([[1, 2, 3]])


@pytest.fixture(params=[tiny_gpt2, tiny_llama])
def model(request: pytest.FixtureRequest) -> Model:
    made: Model = request.param()
    return made


def works(model: Model) -> None:
    """A trace that must succeed, whatever happened before it."""
    found = run(model.envoy, model.inputs(TOKENS), lambda: model.unembed.output.clone())
    torch.testing.assert_close(found, model.module(input_ids=TOKENS).logits)


@pytest.mark.parametrize(
    "error",
    [
        DataError("C301", "no"),
        ModelError("C404", "no", hint="none"),
        MethodError("C503", "no", about="it"),
        KeyboardInterrupt(),
        MemoryError("full"),
    ],
)
@pytest.mark.parametrize("late", [False, True])
def test_errors_of_the_body_keep_their_type_and_code(model: Model, error: BaseException, late: bool) -> None:
    def body() -> Any:
        if late:
            _ = model.blocks[1].mlp.output
        raise error

    with pytest.raises(type(error)) as caught:
        run(model.envoy, model.inputs(TOKENS), body)
    assert caught.value is error
    works(model)


def test_other_errors_come_out_too_and_leave_no_lock_behind(model: Model) -> None:
    def body() -> Any:
        return model.blocks[0].mlp.output @ torch.zeros(3, 3)

    with pytest.raises(Exception, match=r"mat1 and mat2|shapes cannot be multiplied|size"):
        run(model.envoy, model.inputs(TOKENS), body)
    works(model)


@pytest.mark.parametrize("never", [False, True])
def test_a_module_that_the_forward_has_passed_or_never_reaches(model: Model, never: bool) -> None:
    model.module.extra = torch.nn.Linear(2, 2)

    def body() -> Any:
        _ = model.unembed.output
        return model.envoy.extra.output if never else model.blocks[0].mlp.output

    with refused(MethodError, "C501"):
        run(model.envoy, model.inputs(TOKENS), body)
    works(model)


def test_an_error_of_the_model_itself(model: Model) -> None:
    with pytest.raises(Exception, match=r"."):
        run(model.envoy, model.inputs(torch.tensor([[10_000]])), lambda: model.unembed.output.clone())
    works(model)


def test_what_can_be_written() -> None:
    old = torch.zeros(2, 3)
    assert checked(old + 1, old, "here").sum() == 6
    for new, code in (
        (torch.zeros(3, 2), "C502"),
        (torch.zeros(1, 3), "C502"),
        (torch.zeros(2, 3, dtype=torch.float64), "C502"),
        (torch.tensor([[0, 0, 0], [0, 0, torch.nan]]), "C503"),
        (torch.tensor([[0, 0, 0], [0, 0, torch.inf]]), "C503"),
    ):
        with refused(MethodError, code, "here"):
            checked(new, old, "here")


def test_autograd_records_only_when_asked(model: Model) -> None:
    start = torch.zeros(1, 3, model.d_model, dtype=model.dtype, requires_grad=True)

    def body() -> torch.Tensor:
        model.blocks[0].block.input = start
        logits: torch.Tensor = model.unembed.output
        return logits

    assert not run(model.envoy, model.inputs(TOKENS), body).requires_grad
    assert run(model.envoy, model.inputs(TOKENS), body, grad=True).requires_grad
    assert torch.is_grad_enabled()


def test_threads_take_turns(model: Model) -> None:
    """Many traces from several threads at once: each gets its own numbers."""
    inputs = [torch.randint(0, 50, (1, 4), generator=torch.Generator().manual_seed(i)) for i in range(8)]
    found: dict[int, torch.Tensor] = {}

    def one(i: int) -> None:
        found[i] = run(model.envoy, model.inputs(inputs[i]), lambda: model.unembed.output.clone())

    _ = model.blocks
    threads = [threading.Thread(target=one, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert len(found) == 8
    for i, tokens in enumerate(inputs):
        torch.testing.assert_close(found[i], model.module(input_ids=tokens).logits)
