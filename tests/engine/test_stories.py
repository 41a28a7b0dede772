"""A real trained model: a Llama of 260,000 weights that tells " She" from " He"."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.engine import oracle
from tests.engine.data.conftest import shared
from tests.engine.texts import BOYS, GIRLS
from tests.some import some

from nncirc import Dataset, Example
from nncirc.circuits.circuit import Circuit
from nncirc.engine.evaluation.faithfulness import circuit_metric, faithfulness
from nncirc.engine.methods.acdc import acdc
from nncirc.engine.methods.activation_patching import activation_patching
from nncirc.engine.methods.attribution_patching import attribution_patching
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.model import guards
from nncirc.engine.model.loading import load_huggingface
from nncirc.engine.model.model import Model
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import Resample

METRIC = Metric("logit_diff")


@pytest.fixture(scope="module")
def model() -> Model:
    return load_huggingface(shared("stories260K"), dtype="float64")


def pronouns(model: Model) -> Contrast:
    she, he = (model.tokenizer(word, add_special_tokens=False).input_ids[-1] for word in (" She", " He"))

    def examples(texts: tuple[str, ...]) -> tuple[Example, ...]:
        return tuple(Example(t, tuple(model.tokenizer(t).input_ids), {}, she, he, {}) for t in texts)

    clean: Any = Dataset(examples(GIRLS), "token", None, {}, tokenizer=model.tokenizer)
    return Contrast(model, clean, Resample(examples(BOYS)))


def test_it_tells_she_from_he(model: Model) -> None:
    about = pronouns(model)
    (batch, *_) = [one for one in about.batches if 0 in one.indices]
    row = batch.indices.index(0)
    assert batch.corrupt is not None
    for tokens, wanted in ((batch.clean, 6.98), (batch.corrupt, -4.36)):
        logits = model.module(input_ids=tokens[row : row + 1]).logits[0, -1]
        example = about.dataset.examples[0]
        assert float(logits[example.answer] - logits[example.foil]) == pytest.approx(wanted, abs=0.005)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_guards_pass(dtype: Any) -> None:
    found = load_huggingface(shared("stories260K"), dtype=dtype).made["guards"]
    assert len(found) == len(guards.GUARDS)
    assert max(found.values()) < (1e-5 if dtype == "float32" else 0.05)


def test_a_random_circuit_is_what_the_loops_say(model: Model) -> None:
    about, graph = pronouns(model), model.graph()
    draw = torch.Generator().manual_seed(0)
    edges = [edge for edge in graph.edges() if float(torch.rand((), generator=draw)) < 0.5]
    found = circuit_metric(about, Circuit.of(graph, edges), METRIC)
    for batch in some(about.batches):
        cut = {(e.sender, e.receiver): 1.0 for e in graph.edges() if e not in set(edges)}
        other = dict(zip(graph.senders, about.substitute(batch, graph), strict=True))
        logits = oracle.forward(model.module, batch.clean, cut=cut, substitute=other).logits[:, -1]
        for row, index in some(enumerate(batch.indices)):
            example = about.dataset.examples[index]
            assert example.answer is not None
            assert example.foil is not None
            wanted = float(logits[row, example.answer] - logits[row, example.foil])
            assert float(found[index]) == pytest.approx(wanted, abs=1e-4)


def test_acdc_is_the_definition(model: Model) -> None:
    about = pronouns(model)
    graph = model.graph()
    metric = Metric("logit_diff", normalize=True)
    slow = acdc(about, graph, metric, threshold=0.06, sequential=True)
    fast = acdc(about, graph, metric, threshold=0.06)
    assert fast.edges == slow.edges
    assert list(fast.scores.values()) == pytest.approx(list(slow.scores.values()), abs=1e-4)
    assert slow.made["tested"] > 300
    assert len(slow) > 1


def test_attribution_finds_what_is_faithful(model: Model) -> None:
    """The 300 edges with the highest scores keep most of the difference, those with the lowest do not."""
    about = pronouns(model)
    scores = attribution_patching(about, model.graph(), METRIC, steps=5)
    best = faithfulness(about, scores.top(300, rank="signed"), METRIC)
    worst = Circuit.of(model.graph(), scores.ranked("signed")[-300:])
    assert best > 0.5
    assert faithfulness(about, worst, METRIC) < 0.3


def test_the_name_carries_the_difference(model: Model) -> None:
    """Nothing before `girl` differs; restoring the embeddings restores the run."""
    about = pronouns(model)
    metric = Metric("logit_diff", normalize=True)
    restored = activation_patching(about, model.graph(), metric, direction="denoise")
    assert restored["embed"][0] > 0.2
    start = activation_patching(about, model.graph(), metric, positions=[("start", None)])
    assert all(row[0] == pytest.approx(0, abs=1e-5) for row in start.values)
