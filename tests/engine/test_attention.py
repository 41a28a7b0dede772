"""Attention statistics against loops over what transformers itself gives, and the bundled models."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st
from tests.engine import oracle
from tests.engine.tiny import Case, cases, dataset, tiny_gpt2, tiny_llama
from tests.refused import refused
from torch import Tensor, nn

from nncirc.circuits.errors import DataError, MethodError
from nncirc.circuits.models import model_folder
from nncirc.engine.methods.attention_statistics import STATISTICS, attention_pattern, attention_statistics
from nncirc.engine.methods.weight_circuits import copying_scores
from nncirc.engine.model.loading import load_bundled
from nncirc.engine.model.model import Model
from nncirc.engine.runs.capture import run_state

OF_KINDS = (
    "previous_token",
    "current_token",
    "first_token",
    "duplicate_token",
    "prefix_matching",
    "induction",
)
BY_PROMPTS = (*OF_KINDS, "entropy")


def eager(model: Model, tokens: Tensor) -> Tensor:
    """Every head's attention as transformers computes it: layer, head, batch, query, key."""
    model.module.set_attn_implementation("eager")
    found = model.module(input_ids=tokens, output_attentions=True).attentions
    model.module.set_attn_implementation("sdpa")
    return torch.stack(found).movedim(2, 1)


@settings(max_examples=12)
@given(cases(exact=None))
def test_patterns_are_the_models(case: Case) -> None:
    model = case.model()
    tokens = torch.randint(0, 50, (3, 7), generator=torch.Generator().manual_seed(case.seed))
    found = attention_pattern(model, tokens)
    torch.testing.assert_close(found, eager(model, tokens), rtol=0, atol=3e-6)  # its softmax is float32
    torch.testing.assert_close(found.sum(-1), torch.ones_like(found[..., 0]))


@pytest.mark.parametrize("name", ["tracr-reverse", "tracr-xproportion"])
def test_patterns_of_compiled_programs_see_both_sides(name: str) -> None:
    """What a pattern makes of the values is the z that the model computes."""
    model = load_bundled(name)
    tokens = torch.randint(0, 4, (3, 5), generator=torch.Generator().manual_seed(0))
    _, projected, zs = run_state(model, tokens)
    pattern = attention_pattern(model, tokens)
    for layer, (_query, _key, value) in enumerate(projected):
        torch.testing.assert_close(pattern[layer] @ value, zs[layer], rtol=0, atol=1e-9)
    assert float(pattern.triu(1).max()) > 0.1


def by_loops(model: Model, prompts: list[list[int]], name: str) -> tuple[list[list[float]], int]:
    """Position by position: the attention from those that have a target to their targets."""
    shape = model.shape
    total = [[0.0] * shape.n_heads for _ in range(shape.n_layers)]
    count = 0
    for tokens in prompts:
        pattern = eager(model, torch.tensor([tokens]))[:, :, 0]
        for query in range(len(tokens)):
            if name == "entropy":
                count += query > 0
                for layer in range(shape.n_layers):
                    for head in range(shape.n_heads):
                        row = pattern[layer, head, query, : query + 1].tolist()
                        total[layer][head] -= sum(p * math.log(p) for p in row if p)
                continue
            if name == "previous_token":
                targets = [query - 1] if query else []
            elif name in ("current_token", "first_token"):
                targets = [query if name == "current_token" else 0] if query else []
            else:
                before = [key for key in range(query) if tokens[key] == tokens[query]]
                before = before[-1:] if name == "induction" else before
                targets = before if name == "duplicate_token" else [key + 1 for key in before]
                targets = [key for key in targets if key < query]
            if not targets:
                continue
            count += 1
            for layer in range(shape.n_layers):
                for head in range(shape.n_heads):
                    total[layer][head] += sum(float(pattern[layer, head, query, key]) for key in targets)
    return total, count


@settings(max_examples=12)
@given(
    cases(),
    st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=8), min_size=1, max_size=4),
    st.sampled_from(BY_PROMPTS),
    st.sampled_from([None, 1]),
)
def test_statistics_are_means_over_positions(
    case: Case, prompts: list[list[int]], name: str, batch: int | None
) -> None:
    model = case.model()
    total, count = by_loops(model, prompts, name)
    if not count:
        with refused(DataError, "C335"):
            attention_statistics(model, dataset(prompts), [name])
        return
    found = attention_statistics(model, dataset(prompts), [name], batch=batch)
    assert found.positions == (name,)
    for layer in range(model.shape.n_layers):
        for head in range(model.shape.n_heads):
            wanted = total[layer][head] / count
            assert found[f"L{layer}H{head}"][0] == pytest.approx(wanted, abs=2e-5)


def centred(rows: Tensor, norm: Any) -> Tensor:
    return rows - rows.mean(-1, keepdim=True) if isinstance(norm, nn.LayerNorm) else rows


@pytest.mark.parametrize("make", [tiny_gpt2, tiny_llama])
@pytest.mark.parametrize("tied", [False, True])
def test_copying_is_of_the_full_circuit(make: Callable[..., Model], tied: bool) -> None:
    """Σ λ / Σ |λ| of the V x V matrix from token to token, head by head; a LayerNorm takes off the mean."""
    model = make(seed=3, tie_word_embeddings=tied)
    parts = oracle.parts_of(model.module)
    embed = model.module.get_input_embeddings().weight
    unembed: Any = parts.unembed
    final: Any = parts.final_norm
    found = copying_scores(model)
    seen = []
    for n, layer in enumerate(parts.layers):
        norm: Any = layer.attention_norm
        for head, out in enumerate(layer.out):
            value, _ = layer.value[head * len(layer.value) // len(layer.out)]
            read, written = centred(embed, norm) * norm.weight, centred(value @ out, final)
            circuit = read @ written @ (unembed.weight * final.weight).T
            eigenvalues = torch.linalg.eigvals(circuit)
            wanted = float(eigenvalues.real.sum() / eigenvalues.abs().sum())
            assert float(found[n, head]) == pytest.approx(wanted, abs=1e-6)
            seen.append(wanted)
    assert max(seen) > 0.2
    assert min(seen) < 0.1


def test_copying_is_one_for_a_head_that_copies() -> None:
    model = tiny_gpt2(layers=1, heads=1, d_head=8)
    block = model.module.transformer.h[0]
    for norm in (block.ln_1, model.module.transformer.ln_f):
        norm.weight.fill_(1)
    block.attn.c_attn.weight[:, 16:] = torch.eye(8, dtype=torch.float64)
    block.attn.c_proj.weight.copy_(torch.eye(8, dtype=torch.float64))
    assert float(copying_scores(model)) == pytest.approx(1)
    block.attn.c_proj.weight.copy_(-torch.eye(8, dtype=torch.float64))
    assert float(copying_scores(model)) == pytest.approx(-1)


def test_several_statistics_and_names() -> None:
    model = tiny_llama()
    data = dataset([[1, 2, 1, 2, 3, 1], [4, 4, 4]])
    found = attention_statistics(model, data, ["copying", *BY_PROMPTS])
    assert found.positions == ("copying", *BY_PROMPTS)
    assert found.nodes == tuple(f"L{n}H{h}" for n in range(2) for h in range(4))
    for column, name in enumerate(BY_PROMPTS, start=1):
        alone = attention_statistics(model, data, [name])
        assert [row[column] for row in found.values] == [row[0] for row in alone.values]
    assert {*found.positions} == {*STATISTICS}
    assert found.made["prompts"] == 2
    with refused(MethodError, "C551"):
        attention_statistics(model, data, ["previous"])


def test_the_bundled_induction_model_has_the_heads_that_its_card_names() -> None:
    folder = model_folder("induction-2l")
    if not (folder / "model.safetensors").exists():
        pytest.skip("needs the weights of induction-2l")
    model = load_bundled("induction-2l")
    draw = torch.Generator().manual_seed(0)
    vocabulary = model.module.config.vocab_size
    # Different tokens: each occurs once in a block, so that the last earlier occurrence is the only one.
    blocks = [torch.randperm(vocabulary // 2, generator=draw)[:12] + vocabulary // 2 for _ in range(20)]
    half = torch.stack(blocks)
    statistics = ["previous_token", "duplicate_token", "prefix_matching", "induction"]
    found = attention_statistics(model, dataset(torch.cat([half, half], 1).tolist()), statistics)
    heads = model.shape.n_heads
    assert [row[2] for row in found.values] == [row[3] for row in found.values]
    previous = max(row[0] for row in found.values[:heads])
    induction = max(row[2] for row in found.values[heads:])
    assert previous > 0.5
    assert induction > 0.5
    assert max(row[2] for row in found.values[:heads]) < 0.3
