"""The masked forward against loops that recompute every receiver's sum, on random models and masks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st
from tests.engine import oracle
from tests.engine.tiny import Case, cases, contrast, random_prompts, tiny_gpt2, tiny_llama
from tests.some import some
from torch import Tensor

from nncirc.circuits.names import Edge
from nncirc.engine.model.model import Model
from nncirc.engine.runs.capture import sender_outputs
from nncirc.engine.runs.masked_forward import Mask, masked_forward

CLOSE: dict[str, Any] = {"rtol": 0, "atol": 1e-9}
# Rotary embeddings are computed in float32, and in another order here.
ROTARY: dict[str, Any] = {"rtol": 0, "atol": 2e-5}


def close(model: Model) -> dict[str, Any]:
    return CLOSE if model.family.pos_embed is not None else ROTARY


def tokens_of(size: int, length: int, seed: int) -> Tensor:
    return torch.tensor([e.tokens for e in random_prompts(size=size, lengths=(length,), seed=seed).examples])


def as_cut(graph: Any, row: Tensor) -> dict[oracle.Pair, float]:
    index, senders = graph.receiver_index, graph.sender_index
    return {(e.sender, e.receiver): float(row[index[e.receiver], senders[e.sender]]) for e in graph.edges()}


@settings(max_examples=24)
@given(cases(), st.integers(0, 10_000), st.sampled_from(["binary", "sparse", "fractions"]))
def test_the_masked_forward_is_the_sum_written_out(case: Case, seed: int, kind: str) -> None:
    model = case.model()
    graph, about = case.graph(model), case.contrast(model)
    draw = torch.Generator().manual_seed(seed)
    for batch in some(about.batches):
        shape = (3, len(graph.receivers), len(graph.senders))
        cut = torch.rand(shape, generator=draw, dtype=torch.float64)
        if kind != "fractions":
            cut = (cut < (0.5 if kind == "binary" else 0.03)).double()
        cut *= Mask.everything(model, graph).cut > 0
        substitute = about.substitute(batch, graph)
        found = masked_forward(model, graph, batch.clean, Mask(cut), substitute)
        by_name = dict(zip(graph.senders, substitute, strict=True))
        for row, logits in some(zip(cut, found, strict=True)):
            wanted = oracle.forward(
                model.module,
                batch.clean,
                cut=as_cut(graph, row),
                substitute=by_name,
                attention=case.attention,
                split=case.split,
            )
            torch.testing.assert_close(logits, wanted.logits, **close(model))


@settings(max_examples=9)
@given(cases(corruption="resample"))
def test_nothing_cut_is_the_clean_run_and_everything_cut_the_corrupted(case: Case) -> None:
    model = case.model()
    graph, about = case.graph(model), case.contrast(model)
    for batch in some(about.batches):
        assert batch.corrupt is not None
        substitute = about.substitute(batch, graph)
        nothing, everything = Mask.of(model, graph, [[]]), Mask.everything(model, graph)
        assert torch.equal(everything.cut, Mask.of(model, graph, [graph.edges()]).cut)
        for mask, tokens in ((nothing, batch.clean), (everything, batch.corrupt)):
            found = masked_forward(model, graph, batch.clean, mask, substitute)[0]
            wanted = model.module(input_ids=tokens).logits
            torch.testing.assert_close(found, wanted, **CLOSE)
        # Nothing cut, but every site written.
        written = masked_forward(model, graph, batch.clean, Mask(everything.cut * 1e-300), substitute)[0]
        torch.testing.assert_close(written, model.module(input_ids=batch.clean).logits, **CLOSE)


@settings(max_examples=12)
@given(cases())
def test_senders_write_what_the_loops_write_and_sum_to_the_residual_stream(case: Case) -> None:
    model = case.model()
    graph = case.graph(model)
    tokens = tokens_of(3, 6, case.seed)
    found = sender_outputs(model, graph, tokens)
    run = oracle.forward(model.module, tokens, attention=case.attention, split=case.split)
    assert list(run.outputs) == list(graph.senders)
    torch.testing.assert_close(found, torch.stack(list(run.outputs.values())), **close(model))
    torch.testing.assert_close(run.logits, model.module(input_ids=tokens).logits, **close(model))

    final: list[Tensor] = []
    parts = oracle.parts_of(model.module)
    handle = parts.final_norm.register_forward_pre_hook(lambda _, inputs: final.append(inputs[0]))
    with oracle.hooks([handle]):
        model.module(input_ids=tokens)
    biases = sum((layer.out_bias for layer in parts.layers), start=torch.zeros(()))
    torch.testing.assert_close(found.sum(0) + biases, final[0], **CLOSE)


@settings(max_examples=12)
@given(cases())
def test_the_edges_of_the_graph_are_what_receivers_read(case: Case) -> None:
    model = case.model()
    graph = case.graph(model)
    read = oracle.forward(model.module, tokens_of(1, 4, 0), attention=case.attention, split=case.split).read
    assert {Edge(*pair) for pair in read} == set(graph.edges())
    assert graph.n_edges == len(read)


def test_the_shape_is_the_models() -> None:
    assert tiny_gpt2(layers=3, heads=2).graph().n_edges == sum(
        6 * (1 + 3 * n) + (1 + 3 * n + 2) for n in range(3)
    ) + (1 + 3 * 3)
    grouped = tiny_llama(layers=1, heads=4, kv_heads=2).graph()
    assert (len(grouped.senders), len(grouped.receivers), grouped.n_edges) == (6, 10, 8 + 5 + 6)
    only = tiny_gpt2(layers=2, heads=2, attention_only=True).graph()
    assert (len(only.senders), len(only.receivers), only.n_edges) == (5, 13, 6 + 18 + 5)


def test_logits_only_where_they_are_wanted() -> None:
    model = tiny_gpt2()
    graph, about = model.graph(), contrast(model)
    (batch,) = about.batches
    mask = Mask.of(model, graph, [[Edge("embed", "logits")], [Edge("L0H1", "MLP1"), Edge("embed", "L1H0.k")]])
    substitute = about.substitute(batch, graph)
    everywhere = masked_forward(model, graph, batch.clean, mask, substitute)
    some = masked_forward(model, graph, batch.clean, mask, substitute, keep=torch.tensor([1, 4]))
    assert some.shape == (2, 3, 2, 50)
    torch.testing.assert_close(some, everywhere[:, :, [1, 4]], **CLOSE)


def test_rows_do_not_mix() -> None:
    model = tiny_llama()
    graph, about = model.graph(), contrast(model)
    (batch,) = about.batches
    edges = list(graph.edges())
    rows = [edges[::2], [], edges[5:9], edges]
    substitute = about.substitute(batch, graph)
    together = masked_forward(model, graph, batch.clean, Mask.of(model, graph, rows), substitute)
    for row, logits in zip(rows, together, strict=True):
        alone = masked_forward(model, graph, batch.clean, Mask.of(model, graph, [row]), substitute)[0]
        torch.testing.assert_close(logits, alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("config", [{"scale_attn_by_inverse_layer_idx": True}, {"scale_attn_weights": False}])
def test_scaled_attention_of_gpt2(config: dict[str, Any]) -> None:
    """Both change what attention scores are multiplied by; the clean run must stay the model's own."""
    model = tiny_gpt2(layers=3, **config)
    graph, tokens = model.graph(), tokens_of(2, 6, 0)
    mask = Mask(Mask.everything(model, graph).cut * 1e-300)
    found = masked_forward(model, graph, tokens, mask, sender_outputs(model, graph, tokens))[0]
    torch.testing.assert_close(found, model.module(input_ids=tokens).logits, **CLOSE)
