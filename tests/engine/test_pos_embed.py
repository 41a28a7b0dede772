"""Positions as a sender of their own where they are learned: the graph with one embedding is the oracle."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings, strategies as st
from tests.engine.tiny import Case, contrast, tiny_gpt2, tiny_llama
from tests.refused import refused
from torch import Tensor

from nncirc.circuits.errors import ModelError
from nncirc.circuits.graph import Graph
from nncirc.circuits.names import Edge
from nncirc.engine.evaluation.faithfulness import cut_metric
from nncirc.engine.methods.acdc import acdc
from nncirc.engine.methods.activation_patching import activation_patching
from nncirc.engine.methods.attribution_patching import Along, attribution_patching, node_attribution
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.runs.capture import sender_outputs
from nncirc.engine.runs.corruptions import Mean, Zero
from nncirc.engine.runs.masked_forward import Mask, masked_forward

DIFF = Metric("logit_diff")


def both(edge: Edge) -> list[Edge]:
    """The edges of the graph with two embeddings that one of the other is."""
    return [edge, Edge("pos_embed", edge.receiver)] if edge.sender == "embed" else [edge]


def joined(apart: Tensor) -> Tensor:
    """Outputs by sender, the two embeddings as one."""
    return torch.cat([apart[:2].sum(0, keepdim=True), apart[2:]])


def test_the_two_are_the_models_own_tables() -> None:
    model = tiny_gpt2()
    tokens = torch.tensor([[3, 1, 4, 1], [5, 9, 2, 6]])
    found = sender_outputs(model, model.graph(pos_embed=True), tokens)
    body = model.module.transformer
    torch.testing.assert_close(found[0], body.wte.weight[tokens])
    torch.testing.assert_close(found[1], body.wpe.weight[:4].expand(2, -1, -1))
    torch.testing.assert_close(joined(found), sender_outputs(model, model.graph(), tokens))


@settings(max_examples=18)
@given(st.data(), st.sampled_from(["zero", "mean", "mean by position", "resample"]), st.booleans())
def test_cutting_both_is_cutting_the_embedding(data: st.DataObject, corruption: str, split: bool) -> None:
    case = Case("gpt2", corruption=corruption, split=split)  # type: ignore[arg-type]
    model = case.model()
    measured = case.contrast(model)
    whole = model.graph(split_inputs=split)
    apart = model.graph(split_inputs=split, pos_embed=True)
    cut = data.draw(st.lists(st.sampled_from(list(whole.edges())), unique=True, max_size=20))
    (batch,) = measured.batches

    def logits(graph: Graph, edges: list[Edge]) -> Tensor:
        mask = Mask.of(model, graph, [edges])
        return masked_forward(model, graph, batch.clean, mask, measured.substitute(batch, graph))

    found = logits(apart, [each for edge in cut for each in both(edge)])
    torch.testing.assert_close(found, logits(whole, cut), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("along", ["inputs", "activations"])
def test_attribution_of_both_sums_to_that_of_the_embedding(steps: int, along: Along) -> None:
    model = tiny_gpt2()
    measured = contrast(model, corruption=Zero())
    options = {"steps": steps, "along": along}
    whole = attribution_patching(measured, model.graph(), DIFF, **options).values  # type: ignore[arg-type]
    apart = attribution_patching(measured, model.graph(pos_embed=True), DIFF, **options).values  # type: ignore[arg-type]
    for edge, score in whole.items():
        assert sum(apart[each] for each in both(edge)) == pytest.approx(score, abs=5e-8)
    nodes = node_attribution(measured, model.graph(pos_embed=True), DIFF, **options)  # type: ignore[arg-type]
    out = sum(score for edge, score in apart.items() if edge.sender == "pos_embed")
    assert nodes.values[1][0] == pytest.approx(out, abs=5e-7)


@pytest.mark.parametrize("threshold", [0.0, 0.01, 0.3])
@pytest.mark.parametrize("ablation", [Zero(), Mean(), None])
def test_acdc_is_the_definition(ablation: Zero | Mean | None, threshold: float) -> None:
    model = tiny_gpt2(layers=1)
    measured, graph = contrast(model, corruption=ablation), model.graph(pos_embed=True)
    fast = acdc(measured, graph, DIFF, threshold=threshold, depth=4)
    assert fast.edges == acdc(measured, graph, DIFF, threshold=threshold, sequential=True).edges


def test_between_prompts_of_one_length_positions_change_nothing() -> None:
    model = tiny_gpt2()
    measured, graph = contrast(model), model.graph(pos_embed=True)
    found = acdc(measured, graph, DIFF, threshold=1e-9)
    assert "embed" in found.nodes and "pos_embed" not in found.nodes
    patched = activation_patching(measured, graph, DIFF, direction="noise")
    assert patched.values[1][0] == pytest.approx(measured.clean(DIFF), abs=1e-8)
    embed = activation_patching(measured, model.graph(), DIFF, direction="noise")
    assert patched.values[0] == pytest.approx(embed.values[0])


def test_patching_one_embedding_to_zero_leaves_the_other() -> None:
    model = tiny_gpt2()
    measured, graph = contrast(model, corruption=Zero()), model.graph(pos_embed=True)
    found = activation_patching(measured, graph, DIFF, direction="noise")
    for row, sender in enumerate(("embed", "pos_embed")):
        wanted = cut_metric(measured, graph, DIFF, [Edge(sender, receiver) for receiver in graph.receivers])
        assert found.values[row][0] == pytest.approx(float(wanted.mean()), abs=1e-8)


def test_rotated_positions_are_no_sender() -> None:
    with refused(ModelError, "C431"):
        tiny_llama().graph(pos_embed=True)
