"""Tiny random models of every family: the guards pass, and every method is its definition."""

from __future__ import annotations

from collections import defaultdict
from copy import deepcopy
from dataclasses import replace
from operator import attrgetter
from random import Random

import pytest
import torch
from tests.engine.compared import by_mask
from tests.engine.every import ALONE, WHOLE, module_of
from tests.engine.tiny import contrast
from tests.refused import refused
from tests.some import some
from torch import Tensor
from transformers import AutoConfig

from nncirc.circuits.circuit import Circuit
from nncirc.circuits.collapse import ungroup
from nncirc.circuits.errors import ModelError
from nncirc.circuits.families import adapted, family_of
from nncirc.circuits.graph import Graph, Shape
from nncirc.circuits.names import END, Edge, Node
from nncirc.engine.evaluation.faithfulness import circuit_metric
from nncirc.engine.methods.acdc import acdc
from nncirc.engine.methods.activation_patching import activation_patching
from nncirc.engine.methods.attribution_patching import attribution_patching
from nncirc.engine.methods.causal_tracing import causal_tracing
from nncirc.engine.methods.path_patching import path_patching
from nncirc.engine.methods.steering import steering
from nncirc.engine.metrics.metric import Logits, Metric
from nncirc.engine.model import guards
from nncirc.engine.model.model import Model
from nncirc.engine.program.captions import told
from nncirc.engine.runs.capture import residual_stream, sender_outputs
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.masked_forward import Mask

METRIC = Metric("logit_diff", (END,))
METHODS = [
    "falcon 40B",
    "gemma3_text",
    "gpt_neox",
    "olmo2",
    "phi",
    "qwen3",
    "granite",
    "deepseek_v3",
    "opt",
    "bloom",
]


def tiny(name: str) -> Model:
    """A random model in float64 that has passed the guards."""
    module = module_of(name)
    model = Model(module, name=name)
    _, slow = guards.check(model)
    assert bool(slow) == (name in WHOLE), slow
    return Model(module, name=name, guard=guards.Reach.of(model, slow))


@pytest.mark.parametrize("name", [*ALONE, *WHOLE])
def test_guards_pass(name: str) -> None:
    """Which try the masked forward, with nothing cut and with everything."""
    tiny(name)


def test_every_family_is_tried() -> None:
    assert {name.split()[0] for name in (*ALONE, *WHOLE)} == {*adapted()}


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_their_definitions(name: str) -> None:
    """Float32 is what many norms compute in."""
    model = tiny(name)
    about, graph = contrast(model, size=2, lengths=(8,)), model.graph()
    scores = attribution_patching(about, graph, METRIC)
    gradient = -by_mask(about, graph, METRIC)
    largest = float(gradient.abs().max())
    for edge in graph.edges():
        receiver, sender = graph.order(edge)
        assert scores[edge] == pytest.approx(float(gradient[receiver, sender]), abs=1e-6 * largest), edge
    patched = activation_patching(about, graph, METRIC, direction="noise")
    for node in graph.senders:
        assert patched.value(node) == pytest.approx(without(about, node), abs=1e-4), node
    fast, slow = (acdc(about, graph, METRIC, threshold=0.02, sequential=each) for each in (False, True))
    assert fast.edges == slow.edges
    assert 0 < len(fast) < graph.n_edges


@pytest.mark.parametrize("name", [each for each in METHODS if each in ALONE])
def test_a_direct_path_is_an_edge(name: str) -> None:
    """With everything frozen between a sender and a receiver, patching the path is cutting the edge."""
    model = tiny(name)
    about, graph = contrast(model, size=2, lengths=(8,)), model.graph()
    for receiver in ("L0H1.q", "MLP0", graph.receivers[-4], "MLP1", "logits"):
        paths = path_patching(about, graph, METRIC, to=receiver, through="none", direction="noise")
        for sender in some(graph.senders[: graph.reach[graph.receiver_index[receiver]]]):
            edge = Edge(sender, receiver)
            assert paths.value(sender) == pytest.approx(cut(about, [edge]), abs=1e-4), edge


@pytest.mark.parametrize("name", METHODS)
def test_the_stream_is_the_sum_of_what_is_written(name: str) -> None:
    model = tiny(name)
    tokens = torch.arange(16).view(2, 8)
    outputs, graph = sender_outputs(model, model.graph(), tokens), model.graph()
    bias = torch.zeros(model.d_model, dtype=torch.float64)
    total = outputs[0]
    stream = iter(residual_stream(model, tokens))
    torch.testing.assert_close(next(stream), total)
    for layer, block in enumerate(attrgetter(model.family.blocks)(model.module)):
        own = getattr(attrgetter(model.family.output)(block), "bias", None)
        bias = bias if own is None else bias + own
        for names in ([f"L{layer}H{head}" for head in range(4)], [f"MLP{layer}"]):
            total = total + sum(outputs[graph.sender_index[each]] for each in names)
            torch.testing.assert_close(next(stream), total + bias, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["gemma3_text", "granite", "gpt_neox", "gpt_oss"])
def test_an_mlp_that_is_put_back_is_cut_everywhere(name: str) -> None:
    """Causal tracing puts the corrupted output of one MLP into the clean run."""
    about = contrast(tiny(name), size=2, lengths=(8,))
    traced = causal_tracing(about, METRIC, of="mlps", window=1, positions=None, direction="noise")
    whole = about.clean(METRIC)
    for node in ("MLP0", "MLP1"):
        assert traced.value(node) == pytest.approx(whole - without(about, node), abs=1e-4)


def test_heads_that_a_norm_scales_together_are_not_changed_alone() -> None:
    about = contrast(tiny("olmo2"), size=2, lengths=(8,))
    with refused(ModelError, "C419", "scales all heads"):
        steering(about, about.model.graph(), METRIC, nodes="L1H2", scale=[0.0])
    with refused(ModelError, "C419", "scales all heads"):
        causal_tracing(about, METRIC, of="attention", positions=None)


def without(about: Contrast, node: str) -> float:
    """The metric with every edge out of a node cut."""
    return cut(about, [edge for edge in about.model.graph().edges() if edge.sender == node])


def cut(about: Contrast, edges: list[Edge]) -> float:
    """The metric with edges cut."""
    graph = about.model.graph()
    mask = Mask.of(about.model, graph, [edges])
    values = about.measure(METRIC, lambda batch, where: about.masked(graph, batch, where, mask))
    return float(values.mean())


def test_a_family_that_cannot_be_parted_is_refused_by_name() -> None:
    config = AutoConfig.for_model("opt", do_layer_norm_before=False).to_dict()
    with refused(ModelError, "C411", hint="use another size of OPT: only OPT-350m is built like this"):
        family_of("opt", config)


# In other dtypes than float64 -----------------------------------------------------------------------------

HALF = {"bfloat16": (torch.bfloat16, 0.06), "float16": (torch.float16, 0.01)}
"""And how far results may be from those of float64, relative to the largest."""


def in_dtype(name: str, dtype: torch.dtype) -> Model:
    """A tiny model whose weights are rounded to a dtype, with transformers' own experts."""
    module = tiny(name).module.to(dtype)
    if name in ("mixtral", "gpt_oss"):
        module.set_experts_implementation("grouped_mm")
    model = Model(module, name=name)
    _, slow = guards.check(model)
    assert bool(slow) == (name in WHOLE)
    return Model(module, name=name, guard=guards.Reach.of(model, slow))


@pytest.mark.parametrize(
    ("name", "dtype"), [("gemma3_text", "bfloat16"), ("olmo2", "float16"), ("llama", "bfloat16")]
)
def test_half_precision(name: str, dtype: str) -> None:
    """Beside the same weights in float64."""
    kind, allowed = HALF[dtype]
    half = in_dtype(name, kind)
    exact = replace(half, module=deepcopy(half.module).double())
    seen = []

    def function(logits: Logits) -> Tensor:
        seen.append(logits.patched.dtype)
        return Metric("logit_diff").measure.function(logits)

    metric = Metric("logit_diff", own=replace(Metric("logit_diff").measure, function=function))
    found = []
    for model in (half, exact):
        about, graph = contrast(model, size=1), model.graph()
        edges, nodes = attribution_patching(about, graph, metric), activation_patching(about, graph, metric)
        circuit = acdc(about, graph, metric, threshold=0.02)
        assert 0 < len(circuit) < graph.n_edges
        for made in (edges.made, nodes.made, circuit.made):
            assert str(model.dtype).removeprefix("torch.") in told(made).split("; ")
        found.append([[*edges.values.values()], [row[0] for row in nodes.values]])
    for one, other in zip(*found, strict=True):
        assert one == pytest.approx(other, abs=allowed * max(map(abs, other)))
    assert set(some(seen)) == {torch.float64}


@pytest.mark.parametrize("name", ["mixtral", "gpt_oss"])
def test_experts_in_float32(name: str) -> None:
    """The way in which transformers runs them knows no float64, in which blocks are tried."""
    model = in_dtype(name, torch.float32)
    assert model.module.config._experts_implementation == "grouped_mm"


GROUPS = ["llama", "falcon 40B", "gemma3_text", "olmo2", "phi3"]


@pytest.mark.parametrize("name", GROUPS)
def test_by_heads_the_edges_of_a_group_are_those_of_its_heads(name: str) -> None:
    """Cut together they do what the group's edge does; to first order, their effects sum to its effect."""
    model = tiny(name)
    about, grouped, single = contrast(model, size=2, lengths=(8,)), model.graph(), model.graph(kv="heads")
    by_heads = about.by_heads
    assert by_heads.model.graph() == single
    torch.testing.assert_close(by_heads.clean_values(METRIC), about.clean_values(METRIC), rtol=0, atol=1e-5)
    draw = Random(0)
    for _ in range(3):
        circuit = Circuit(grouped, {edge: None for edge in grouped.edges() if draw.random() < 0.7})
        whole = circuit_metric(about, circuit, METRIC)
        apart = circuit_metric(by_heads, ungroup(circuit), METRIC)
        torch.testing.assert_close(apart, whole, rtol=0, atol=1e-5)
    scores = attribution_patching(about, grouped, METRIC)
    each = attribution_patching(by_heads, single, METRIC)
    of_heads: dict[Edge, float] = defaultdict(float)
    for edge in single.edges():
        of_heads[Edge(edge.sender, grouped_input(grouped, edge.receiver))] += each[edge]
    assert of_heads.keys() == {*grouped.edges()}
    for edge in grouped.edges():
        assert of_heads[edge] == pytest.approx(scores[edge], abs=1e-5), edge


def grouped_input(graph: Graph, receiver: str) -> str:
    """What a head's key or value is part of in a graph by groups."""
    node = Node.parse(receiver)
    if node.input not in ("k", "v") or node.index is None:
        return receiver
    return f"L{node.layer}KV{graph.shape.kv_of(node.index)}.{node.input}"


def test_by_heads_one_key_is_cut_without_the_others_of_its_group() -> None:
    """With what the group's other head writes cut, too, it is as if the whole group were cut."""
    about = contrast(tiny("llama"), size=2, lengths=(8,)).by_heads
    graph = about.model.graph()

    def value(*receivers: str, sender: str = "") -> Tensor:
        kept = [e for e in graph.edges() if e.receiver not in receivers and e.sender != sender]
        return circuit_metric(about, Circuit(graph, dict.fromkeys(kept)), METRIC)

    torch.testing.assert_close(value("L1H0.k", sender="L1H1"), value("L1H0.k", "L1H1.k", sender="L1H1"))
    assert not torch.allclose(value("L1H0.k"), value("L1H0.k", "L1H1.k"), rtol=0, atol=1e-3)


def test_by_heads_a_model_that_always_shares_keys_is_refused() -> None:
    with refused(ModelError, "C441"):
        _ = contrast(tiny("gpt_bigcode"), size=2, lengths=(8,)).by_heads


def test_by_heads_weights_of_four_bits_are_refused() -> None:
    """They are packed, so that rows of them are not heads."""
    model = replace(tiny("llama"), made={"quantize": 4})
    with refused(ModelError, "C441"):
        _ = contrast(model, size=2, lengths=(8,)).by_heads


def test_edges_by_heads_are_counted_as_in_other_packages() -> None:
    """Llama 3.1 8B in EAP-IG and MIB."""
    shape = Shape(n_layers=32, n_heads=32, n_kv_heads=8)
    counts = [Graph(each).n_edges for each in (shape, replace(shape, n_kv_heads=32))]
    assert counts == [805_681, 1_592_881]
