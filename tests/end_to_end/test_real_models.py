"""Two real language models, where NNCIRC_REAL_MODELS names their folder (`make real` makes it)."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest
import torch
from tests.some import some

from nncirc.engine.data.corrupt import counterpart
from nncirc.engine.data.tasks import task_dataset
from nncirc.engine.evaluation.faithfulness import cut_metric
from nncirc.engine.methods.activation_patching import activation_patching
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.model.loading import load_huggingface
from nncirc.engine.model.model import Model
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import Resample

FOLDER = os.environ.get("NNCIRC_REAL_MODELS")
NAMES = {"smollm2-135m": (0.92, 70_651), "gemma-3-270m": (0.85, 5_644)}
"""The probability of " Mary", and the edges of the graph."""

pytestmark = pytest.mark.skipif(
    FOLDER is None, reason="set NNCIRC_REAL_MODELS to the folder that `make real` makes (real/)"
)


@cache
def model(name: str) -> Model:
    return load_huggingface(Path(str(FOLDER)) / name)


@pytest.mark.parametrize("name", NAMES)
def test_they_load_and_solve_ioi(name: str) -> None:
    found = model(name)
    probability, edges = NAMES[name]
    text = "When Mary and John went to the store, John gave a drink to"
    with torch.no_grad():
        logits = found.module(**found.tokenizer(text, return_tensors="pt")).logits[0, -1]
    (mary,) = found.tokenizer(" Mary", add_special_tokens=False).input_ids
    assert float(logits.softmax(-1)[mary]) == pytest.approx(probability, abs=0.01)
    assert found.alone
    assert found.graph().n_edges == edges


@pytest.mark.parametrize("name", NAMES)
def test_a_patched_node_is_one_whose_edges_are_all_cut(name: str) -> None:
    found = model(name)
    data = task_dataset(found.tokenizer, "ioi", size=1)
    about = Contrast(found, data, Resample(counterpart(data)))
    graph, metric = found.graph(), Metric("logit_diff")
    patched = activation_patching(about, graph, metric, direction="noise")
    layers = found.shape.n_layers
    for node in some(["embed", "L0H0", f"L{layers // 2}H1", f"MLP{layers // 2}", f"MLP{layers - 1}"]):
        removed = frozenset(edge for edge in graph.edges() if edge.sender == node)
        cut = float(cut_metric(about, graph, metric, removed).mean())
        assert patched.value(node) == pytest.approx(cut, abs=1e-3), node
