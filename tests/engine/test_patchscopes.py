"""Patchscopes against one run with plain hooks for every state, and the logit lens as their special case."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st
from tests.engine import oracle
from tests.engine.loops import answers, positions, tokens_at, value
from tests.engine.tiny import Case, cases, random_prompts, tiny_gpt2, tiny_llama
from tests.refused import refused
from tests.some import some
from torch import Tensor

from nncirc.circuits.errors import MethodError
from nncirc.circuits.graph import stages
from nncirc.engine.methods.lens import READ, unembed
from nncirc.engine.methods.logit_lens import logit_lens
from nncirc.engine.methods.patchscopes import patched, patchscopes
from nncirc.engine.model.model import Model
from nncirc.engine.runs.capture import residual_stream


def layers_of(module: Any) -> list[Any]:
    """Every block, and the final norm: what reads the residual stream before a layer, or at the end."""
    if module.config.model_type == "gpt2":
        return [*module.transformer.h, module.transformer.ln_f]
    return [*module.model.layers, module.model.norm]


def states(module: Any, tokens: Tensor) -> list[Tensor]:
    found: list[Tensor] = []
    handles = [
        layer.register_forward_pre_hook(
            lambda _, a, k: found.append((a[0] if a else k["hidden_states"]).clone()), with_kwargs=True
        )
        for layer in layers_of(module)
    ]
    with oracle.hooks(handles):
        module(input_ids=tokens, use_cache=False)
    return found


def with_state(module: Any, tokens: Tensor, layer: int, at: int, state: Tensor) -> Tensor:
    """Logits of every position of one prompt with one state put in."""

    def put(_: Any, args: Any, kwargs: Any) -> Any:
        new = (args[0] if args else kwargs["hidden_states"]).clone()
        new[0, at] = state
        return ((new, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": new})

    with oracle.hooks([layers_of(module)[layer].register_forward_pre_hook(put, with_kwargs=True)]):
        logits: Tensor = module(input_ids=tokens, use_cache=False).logits[0]
    return logits


@settings(max_examples=12)
@given(
    cases(layers=2),
    st.sampled_from(READ),
    st.sampled_from(["A", "A.2", "B", "end"]),
    st.sampled_from(["A.2", "B", "end"]),
    st.sampled_from([None, 0, 1]),
    st.booleans(),
    st.sampled_from([None, 1]),
)
def test_every_state_is_a_run_of_its_own(
    case: Case, of: str, place: str, into: str, layer: int | None, paired: bool, batch: int | None
) -> None:
    model = case.model()
    source = random_prompts(size=case.size, lengths=case.lengths, seed=case.seed, uneven=True)
    target = random_prompts(size=case.size if paired else 1, lengths=(5, 7), seed=case.seed + 1, uneven=True)
    found = patchscopes(model, source, target, of=of, positions=[place], into=into, layer=layer, batch=batch)
    assert found.nodes == tuple(stages(model.shape, halves=False))
    for row, node in enumerate(found.nodes):
        total = 0.0
        for i, example in enumerate(source.examples):
            tokens = torch.tensor([example.tokens])
            other = target.examples[i if paired else 0]
            own = model.module(input_ids=tokens).logits[0]
            at = positions(source, example, place)
            goal = tokens_at(other, into)[-1]
            said = torch.stack(
                [
                    with_state(
                        model.module,
                        torch.tensor([other.tokens]),
                        row if layer is None else layer,
                        goal,
                        states(model.module, tokens)[row][0, p],
                    )[-1]
                    for p in at
                ]
            )
            right, wrong = answers(source, example, at)
            total += value(of, said, own[at], list(range(len(at))), right, wrong)
        assert found[node][0] == pytest.approx(total / len(source.examples), abs=2e-5)


@pytest.mark.parametrize("make", [tiny_gpt2, tiny_llama])
@pytest.mark.parametrize("of", READ)
def test_the_lens_is_the_state_where_the_final_norm_reads(make: Any, of: str) -> None:
    model: Model = make(layers=3, seed=7)
    source = random_prompts(size=3, lengths=(6, 7), seed=1)
    target = random_prompts(size=1, lengths=(5,), seed=2)
    lens = logit_lens(model, source, of=of, positions=["A.2", "end"])
    scope = patchscopes(model, source, target, of=of, positions=["A.2", "end"], layer=3)
    for row, node in some(enumerate(scope.nodes)):
        assert scope[node] == pytest.approx(lens[node], abs=2e-5)
        assert scope.made["top"][row] == lens.made["top"][lens.nodes.index(node)]


@pytest.mark.parametrize("make", [tiny_gpt2, tiny_llama])
def test_to_the_logit(make: Any) -> None:
    """Not a number of the lens but all its logits."""
    model: Model = make(layers=3, seed=7)
    tokens, target = torch.tensor([[3, 1, 4, 1, 5]]), torch.tensor([[9, 2, 6]])
    end = torch.tensor([2])
    for residual in some(residual_stream(model, tokens)):
        scope = patched(model, target, 3, end, residual[:, 1])
        torch.testing.assert_close(scope, unembed(model, residual[:, 1]), rtol=0, atol=1e-12)


def test_a_prompts_own_state_changes_nothing() -> None:
    model = tiny_llama(layers=3)
    data = random_prompts(size=2, lengths=(6,))
    own = logit_lens(model, data, of="logprob")
    same = patchscopes(model, data, data, of="logprob")
    for node in some(same.nodes):
        assert same[node] == pytest.approx(own[own.nodes[-1]], abs=2e-5)


def test_each_prompts_states_go_into_its_own_target() -> None:
    """Two states a prompt, targets of one length: all of them are rows of one run."""
    model = tiny_gpt2()
    source, target = random_prompts(size=3, seed=1), random_prompts(size=3, seed=2)
    together = patchscopes(model, source, target, of="logprob", positions="A")
    alone = [
        patchscopes(
            model,
            replace(source, examples=(one,)),
            replace(target, examples=(other,)),
            of="logprob",
            positions="A",
        )
        for one, other in zip(source.examples, target.examples, strict=True)
    ]
    for node in some(together.nodes):
        wanted = sum(each[node][0] for each in alone) / 3
        assert together[node][0] == pytest.approx(wanted, abs=1e-7)


def test_states_are_mapped_on_their_way() -> None:
    model = tiny_gpt2()
    data, target = random_prompts(size=2), random_prompts(size=1, seed=3)

    def doubled(states: Tensor) -> Tensor:
        return 2 * states

    found = patchscopes(model, data, target, of="logit_diff", layer=2, mapping=doubled)
    assert found.made["mapping"] == "doubled"
    tokens = torch.tensor([example.tokens for example in data.examples])
    for node, residual in zip(found.nodes, residual_stream(model, tokens, halves=False), strict=True):
        logits = unembed(model, 2 * residual[:, -1])
        rows = zip(logits, data.examples, strict=True)
        wanted = [float(row[e.answer] - row[e.foil]) for row, e in rows]
        assert found[node][0] == pytest.approx(sum(wanted) / 2, abs=1e-6)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"layer": 3}, "C574"),
        ({"layer": -1}, "C574"),
        ({"of": "top"}, "C572"),
        ({"into": "A.x"}, "C512"),
        ({"mapping": lambda states: states.float()}, "C502"),
        ({"mapping": lambda states: states / 0}, "C503"),
        ({"target": random_prompts(size=2)}, "C575"),
    ],
)
def test_what_is_asked_wrongly(options: dict[str, Any], code: str) -> None:
    given = {"target": random_prompts(size=1), **options}
    with refused(MethodError, code):
        patchscopes(tiny_gpt2(), random_prompts(size=3), **given)
