"""The logit lens and direct logit attribution against sums and norms written out, position by position."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st
from tests.engine import oracle
from tests.engine.loops import answers, positions, value
from tests.engine.tiny import Case, cases, random_prompts, tiny_gpt2, tiny_llama
from tests.refused import refused
from tests.some import some
from torch import Tensor, nn
from transformers.models.gemma3.modeling_gemma3 import Gemma3RMSNorm

from nncirc.circuits.errors import DataError, MethodError
from nncirc.circuits.graph import stages
from nncirc.engine.data.examples import Dataset
from nncirc.engine.methods.direct_logit_attribution import logit_attribution
from nncirc.engine.methods.lens import READ, likeliest, rank
from nncirc.engine.methods.logit_lens import logit_lens
from nncirc.engine.metrics.metric import Logits
from nncirc.engine.model.model import Model
from nncirc.engine.model.norms import norm_parts
from nncirc.engine.runs.batches import batches


def lens_by_loops(model: Model, dataset: Dataset, of: str, places: list[str]) -> dict[str, list[float]]:
    """Every prompt by itself; the residual stream is an explicit sum over senders."""
    parts: Any = oracle.parts_of(model.module)
    found: dict[str, list[float]] = {}
    for name in stages(model.shape):
        found[name] = []
        for place in places:
            total = 0.0
            for example in dataset.examples:
                run = oracle.forward(model.module, torch.tensor([example.tokens]))
                stream = through(run, parts, name)
                logits, own = parts.unembed(parts.final_norm(stream))[0], run.logits[0]
                at = positions(dataset, example, place)
                total += value(of, logits, own, at, *answers(dataset, example, at))
            found[name].append(total / len(dataset.examples))
    return found


def through(run: oracle.Run, parts: Any, last: str) -> Tensor:
    """The residual stream when a node has written, as a sum of what was written until then."""
    total: Tensor = run.outputs["embed"].clone()
    if last == "embed":
        return total
    for n, layer in enumerate(parts.layers):
        for head in range(len(layer.query)):
            total = total + run.outputs[f"L{n}H{head}"]
        total = total + layer.out_bias
        if last == f"L{n}":
            return total
        if parts.mlps:
            total = total + run.outputs[f"MLP{n}"]
        if last == f"MLP{n}":
            return total
    raise AssertionError(last)


@settings(max_examples=15)
@given(
    cases(),
    st.sampled_from(READ),
    st.lists(st.sampled_from(["A", "A.2", "B"]), min_size=1, max_size=3, unique=True),
    st.booleans(),
    st.sampled_from([None, 1]),
)
def test_the_lens_is_the_stream_through_norm_and_unembedding(
    case: Case, of: str, places: list[str], follows: bool, batch: int | None
) -> None:
    follows = follows and of != "logit_diff"
    model = case.model()
    data = random_prompts(
        size=case.size,
        lengths=case.lengths,
        seed=case.seed,
        answers="next" if follows else "token",
        uneven=True,
    )
    names = places if follows else [*places, "end"]
    found = logit_lens(model, data, of=of, positions=names, batch=batch)
    wanted = lens_by_loops(model, data, of, names)
    assert found.nodes == tuple(wanted)
    assert found.positions == tuple("B" if name == "B" else name for name in names)
    for node, row in wanted.items():
        assert found[node] == pytest.approx(row, abs=2e-5), node


@pytest.mark.parametrize("make", [tiny_gpt2, tiny_llama])
@pytest.mark.parametrize("follows", ["token", "next"])
def test_all_positions_and_the_likeliest_tokens(make: Any, follows: Any) -> None:
    model = make(seed=2)
    data = random_prompts(size=1, lengths=(5,), answers=follows)
    found = logit_lens(model, data, of="logprob", positions="all")
    count = 5 - (follows == "next")
    assert found.positions == tuple(map(str, range(count)))
    wanted = lens_by_loops(model, data, "logprob", list(found.positions))
    for node, row in wanted.items():
        assert found[node] == pytest.approx(row, abs=2e-5)
    run = oracle.forward(model.module, torch.tensor([data.examples[0].tokens]))
    parts: Any = oracle.parts_of(model.module)
    for node, tokens in zip(found.nodes, found.made["top"], strict=True):
        best = parts.unembed(parts.final_norm(through(run, parts, node)))[0].argmax(-1)
        assert tokens == [str(int(token)) for token in best[:count]]


def test_the_rank_of_several_answers_is_that_of_the_best() -> None:
    patched = torch.tensor([[[[0.5, 4.0, 3.0, 2.0]], [[1.0, 1.0, 0.0, 2.0]]]], dtype=torch.float64)
    answers = torch.tensor([[[0, 2]], [[1, -1]]])
    assert rank(Logits(patched, None, answers, answers)).tolist() == [[[2.0], [2.0]]]


def test_the_likeliest_token_is_that_of_most_prompts() -> None:
    model = tiny_gpt2()
    data = random_prompts(size=7)
    tokens = torch.tensor([example.tokens for example in data.examples])
    best = model.module(input_ids=tokens).logits[:, -1].argmax(-1).tolist()
    wanted = min(best, key=lambda token: (-best.count(token), token))
    assert logit_lens(model, data).made["top"][-1] == [str(wanted)]
    assert likeliest(data, [[Counter({9: 1, 5: 2, 3: 2, 7: 2})], [Counter({4: 1})]]) == [["3"], ["4"]]


# Direct logit attribution ---------------------------------------------------------------------------------


def normed_parts(module: Any, x: Tensor, part: Tensor) -> Tensor:
    """A part of x through a norm whose scale is that of x, by the norm's own formula; without its bias."""
    if isinstance(module, nn.LayerNorm):
        centred = x - x.mean(-1, keepdim=True)
        scale = (centred.square().mean(-1, keepdim=True) + module.eps).sqrt()
        return (part - part.mean(-1, keepdim=True)) / scale * module.weight
    eps = getattr(module, "eps", None) or module.variance_epsilon
    scaled: Tensor = part / (x.square().mean(-1, keepdim=True) + eps).sqrt() * module.weight
    return scaled


@settings(max_examples=15)
@given(
    cases(),
    st.sampled_from(["logit_diff", "answer_logit"]),
    st.lists(st.sampled_from(["A", "A.2", "B", "end"]), min_size=1, max_size=3, unique=True),
    st.sampled_from([None, 1]),
)
def test_contributions_are_each_senders_through_the_frozen_norm(
    case: Case, of: str, places: list[str], batch: int | None
) -> None:
    model = case.model()
    graph = case.graph(model)
    data = random_prompts(size=case.size, lengths=case.lengths, seed=case.seed, uneven=True)
    found = logit_attribution(model, data, graph, of=of, positions=places, batch=batch)
    parts: Any = oracle.parts_of(model.module)
    matrix = parts.unembed.weight
    for column, place in some(enumerate(places)):
        wanted = dict.fromkeys([*graph.senders, "bias", "total"], 0.0)
        for example in data.examples:
            run = oracle.forward(model.module, torch.tensor([example.tokens]), attention=case.attention)
            at = positions(data, example, place)
            direction = matrix[example.answer] - (matrix[example.foil] if of == "logit_diff" else 0.0)
            x = run.inputs["logits"]
            outputs = {**run.outputs, "bias": x - sum(run.outputs.values())}
            for name, output in outputs.items():
                each = (normed_parts(parts.final_norm, x, output) @ direction)[0, at]
                wanted[name] += float(each.mean()) / len(data.examples)
            logits = run.logits[0, at]
            logit = logits[:, example.answer] - (logits[:, example.foil] if of == "logit_diff" else 0.0)
            wanted["total"] += float(logit.mean()) / len(data.examples)
        for name in graph.senders:
            assert found[name][column] == pytest.approx(wanted[name], abs=2e-5), name
        bias = found.made["bias"]
        assert bias["output_projections"][column] == pytest.approx(wanted["bias"], abs=2e-5)
        assert found.made["total"][column] == pytest.approx(wanted["total"], abs=2e-5)
        summed = sum(found[name][column] for name in graph.senders) + sum(
            row[column] for row in bias.values()
        )
        assert summed == pytest.approx(wanted["total"], abs=1e-4)


def test_contributions_and_biases_sum_to_the_logit_with_a_biased_unembedding() -> None:
    model = tiny_gpt2(seed=4)
    head = nn.Linear(model.d_model, 50, dtype=torch.float64).requires_grad_(False)
    model.module.lm_head = head
    data = random_prompts(size=3)
    found = logit_attribution(model, data, model.graph(), of="answer_logit")
    tokens = torch.tensor([example.tokens for example in data.examples])
    right = torch.tensor([example.answer for example in data.examples])
    logits = model.module(input_ids=tokens).logits[:, -1].gather(1, right[:, None])
    assert found.made["total"] == pytest.approx([float(logits.mean())], abs=1e-7)
    assert found.made["bias"]["unembedding"] == pytest.approx([float(head.bias[right].mean())], abs=1e-7)
    assert found.made["bias"]["final_norm"] != [0.0]


def test_of_next_tokens_the_answer_is_what_follows() -> None:
    model = tiny_llama(exact=True)
    data = random_prompts(size=2, answers="next")
    found = logit_attribution(model, data, model.graph(), of="answer_logit", positions="all")
    assert found.positions == ("0", "1", "2", "3", "4")
    tokens = torch.tensor([example.tokens for example in data.examples])
    logits = model.module(input_ids=tokens).logits[:, :-1].gather(-1, tokens[:, 1:, None])[..., 0]
    assert found.made["total"] == pytest.approx(logits.mean(0).tolist(), abs=2e-5)


# What is asked wrongly ------------------------------------------------------------------------------------


class Strange(nn.Module):
    """A norm that is none: it squares."""

    def forward(self, x: Tensor) -> Tensor:
        return x.square()


def test_a_norm_that_is_none_is_refused() -> None:
    model = tiny_gpt2()
    model.module.transformer.ln_f = Strange()
    with refused(MethodError, "C571"):
        logit_attribution(model, random_prompts(size=1), model.graph())


def test_a_norm_without_weights_has_gain_one() -> None:
    found = norm_parts(nn.Identity(), torch.zeros(2, 3))
    assert (found.gain.tolist(), found.shift.tolist(), found.centred) == ([1.0] * 3, [0.0] * 3, False)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_gain_that_is_one_more_is_told_beside_gains_of_hundreds(dtype: torch.dtype) -> None:
    norm = Gemma3RMSNorm(64).to(dtype)
    norm.weight.data = torch.cat([torch.linspace(-1, 1, 60), torch.full((4,), 800.0)]).to(dtype)
    assert torch.equal(norm_parts(norm, torch.zeros(64, dtype=dtype)).gain, 1 + norm.weight.double())


@pytest.mark.parametrize(
    ("of", "answers", "code"), [("surprise", "token", "C572"), ("rank", None, "C331"), ("prob", None, "C331")]
)
def test_the_lens_says_what_it_cannot_read(of: str, answers: Any, code: str) -> None:
    with pytest.raises((MethodError, DataError)) as caught:
        logit_lens(tiny_gpt2(), random_prompts(size=2, answers=answers), of=of)
    assert caught.value.code == code


def test_attribution_says_what_it_cannot_take_apart() -> None:
    model = tiny_gpt2()
    for of, kind, code in [
        ("prob", "token", "C573"),
        ("logit_diff", None, "C331"),
        ("logit_diff", "next", "C331"),
    ]:
        with pytest.raises((MethodError, DataError)) as caught:
            logit_attribution(model, random_prompts(size=2, answers=kind), model.graph(), of=of)  # type: ignore[arg-type]
        assert caught.value.code == code


def test_all_positions_need_one_length() -> None:
    with refused(DataError, "C334"):
        logit_lens(tiny_gpt2(), random_prompts(size=2, lengths=(5, 6)), positions="all")


def test_prompts_are_split_by_memory() -> None:
    model, data = tiny_gpt2(), random_prompts(size=5, lengths=(6, 5))
    sizes = [len(each.indices) for each in batches(model, data, memory=1)]
    assert sizes == [1] * 5
    together = list(batches(model, data))
    assert [each.indices for each in together] == [(1, 3), (0, 2, 4)]
    assert [list(each.clean.shape) for each in together] == [[2, 5], [3, 6]]
