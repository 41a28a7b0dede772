"""The engine finds what plain hooks on modules of transformers find."""

from __future__ import annotations

import pytest
import torch
from tests.engine.every import module_of
from tests.engine.independent import PLACES, Plain, acdc_by_definition, edge_attribution, node_patches
from tests.engine.tiny import contrast
from torch import Tensor

from nncirc.circuits.names import END
from nncirc.engine.methods.acdc import acdc
from nncirc.engine.methods.activation_patching import activation_patching
from nncirc.engine.methods.attribution_patching import attribution_patching
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.model import guards
from nncirc.engine.model.model import Model

METRIC = Metric("logit_diff", (END,))
COARSE = {"llama", "phi3", "gemma2", "cohere"}
"""Their norms compute in float32 also in a model in float64."""


@pytest.mark.parametrize("name", PLACES)
def test_the_engine_agrees_with_plain_hooks(name: str) -> None:
    module = module_of(name)
    model = Model(module, name=name)
    about, graph = (
        contrast(Model(module, name=name, guard=guards.Reach.of(model, {})), size=1, lengths=(6,)),
        model.graph(),
    )
    (batch,), (example,) = about.batches, about.dataset.examples
    assert batch.corrupt is not None
    close = 1e-6 if name in COARSE else 1e-8

    def value(logits: Tensor) -> Tensor:
        end = logits[0, -1].double()
        return end[example.answer] - end[example.foil]

    plain = Plain(module, PLACES[name])
    assert (plain.senders(), plain.receivers()) == ([*graph.senders], [*graph.receivers])
    with torch.no_grad():
        logits, _ = plain.run(batch.clean)
        corrupted, other = plain.run(batch.corrupt)
        everything = {receiver: dict.fromkeys(plain.before(receiver), 1.0) for receiver in plain.receivers()}
        cut, _ = plain.run(batch.clean, cut=everything, other=other)
        torch.testing.assert_close(cut, corrupted, rtol=0, atol=close)
        assert about.clean(METRIC) == pytest.approx(float(value(logits)), abs=close)
        patched = activation_patching(about, graph, METRIC, direction="noise")
        for node, expected in node_patches(plain, batch.clean, other, value).items():
            assert patched.value(node) == pytest.approx(expected, abs=close), node
        found = acdc(about, graph, METRIC, threshold=0.1)
        edges = acdc_by_definition(plain, batch.clean, other, value, 0.1)
    assert {(edge.sender, edge.receiver) for edge in found.edges} == edges
    assert 0 < len(edges) < graph.n_edges
    scores = attribution_patching(about, graph, METRIC)
    attributed = edge_attribution(plain, batch.clean, other, value)
    assert {(edge.sender, edge.receiver) for edge in graph.edges()} == attributed.keys()
    for edge in graph.edges():
        assert scores[edge] == pytest.approx(attributed[edge.sender, edge.receiver], abs=close), edge
