"""Steering against one run with plain hooks for every node and factor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st
from tests.engine import oracle
from tests.engine.loops import measured, tokens_at
from tests.engine.tiny import Case, cases, contrast, random_prompts, tiny_gpt2, tiny_llama
from tests.refused import refused
from torch import Tensor

from nncirc import Example
from nncirc.circuits.errors import ArgumentError, GraphError, MethodError
from nncirc.circuits.graph import Graph
from nncirc.engine.methods.activation_patching import activation_patching
from nncirc.engine.methods.steering import function_vector, steering
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import Resample, Zero


def heads_of(module: Any, node: str) -> list[str]:
    """The activations that are a node's own: of an attention layer those of all its heads."""
    if node[0] == "L" and "H" not in node:
        return [f"{node}H{head}" for head in range(module.config.num_attention_heads)]
    return [node]


def tokens_of(found: Contrast) -> list[tuple[Tensor, Tensor]]:
    """Every prompt, clean and corrupted."""
    assert isinstance(found.corruption, Resample)
    pairs = zip(found.dataset.examples, found.corruption.examples, strict=True)
    return [(torch.tensor([a.tokens]), torch.tensor([b.tokens])) for a, b in pairs]


def mean_of(found: Contrast, run: Callable[[Example, Tensor, Tensor], Tensor], name: str) -> float:
    """The mean of a metric over prompts, of one run each."""
    total = 0.0
    for example, (clean, corrupt) in zip(found.dataset.examples, tokens_of(found), strict=True):
        plain = found.model.module(input_ids=clean).logits[0]
        total += measured(Metric(name), example, run(example, clean, corrupt)[0], plain)
    return total / len(found.dataset.examples)


@pytest.mark.parametrize("kind", ["scale", "shift"])
@pytest.mark.parametrize("place", [None, "A.2", "B"])
@settings(max_examples=4)
@given(
    case=cases(layers=2, corruption="resample"),
    data=st.data(),
    into=st.sampled_from(["clean", "corrupt"]),
    name=st.sampled_from(["logit_diff", "kl_divergence"]),
    batch=st.sampled_from([None, 1]),
)
def test_every_factor_is_a_run_of_its_own(
    case: Case, data: Any, place: str | None, into: Any, kind: str, name: str, batch: int | None
) -> None:
    model = case.model()
    module, graph = model.module, case.graph(model)
    node = data.draw(st.sampled_from(graph.senders))
    found, factors = case.contrast(model, batch), (-1.0, 0.5)
    options: Any = {kind: factors, "into": into, "at": place}
    scores = steering(found, graph, Metric(name), nodes=node, **options)
    assert scores.nodes == (node,) and scores.positions == ("-1", "0.5")
    mean: dict[str, Tensor | float] = {}
    count = 0
    for example, pair in zip(found.dataset.examples, tokens_of(found), strict=True):
        at = tokens_at(example, place)
        clean, corrupt = (oracle.activations(module, tokens) for tokens in pair)
        count += len(at)
        for part in heads_of(module, node):
            mean[part] = mean.get(part, 0.0) + (clean[part] - corrupt[part])[0, at].sum(0)

    for column, factor in enumerate(factors):

        def steered(example: Example, clean: Tensor, corrupt: Tensor, factor: float = factor) -> Tensor:
            tokens = clean if into == "clean" else corrupt
            values = oracle.activations(module, tokens)
            for part in heads_of(module, node):
                values[part] = (
                    factor * values[part] if kind == "scale" else values[part] + factor * mean[part] / count
                )
            return oracle.patched(module, tokens, node, values, [tokens_at(example, place)])

        assert scores.values[0][column] == pytest.approx(mean_of(found, steered, name), abs=2e-5)


@pytest.mark.parametrize("make", [tiny_gpt2, tiny_llama])
@pytest.mark.parametrize("place", [None, "A.2"])
def test_nodes_together_are_scaled_as_they_are_computed(make: Any, place: str | None) -> None:
    """A node behind another is scaled as it is there, not as it was in the run without."""
    model = make(layers=2, seed=4)
    module, found = model.module, contrast(model, size=2, lengths=(6, 7))
    scores = steering(
        found,
        model.graph(),
        Metric("logprob"),
        nodes=["MLP1", "L0H1", "L1H0"],
        scale=[2, 0],
        together=True,
        at=place,
    )
    assert scores.nodes == ("MLP1 + L0H1 + L1H0",)
    assert scores.made["together"] == ["L0H1", "L1H0", "MLP1"]
    _, outs, mlps = oracle.sites(module)
    width = oracle.d_head_of(module)

    for column, factor in enumerate((2.0, 0.0)):

        def steered(example: Example, clean: Tensor, _: Tensor, factor: float = factor) -> Tensor:
            at = tokens_at(example, place)

            def scaled(value: Tensor, head: int | None) -> Tensor:
                new = value.clone()
                part = slice(None) if head is None else slice(head * width, (head + 1) * width)
                new[:, at, part] *= factor
                return new

            handles = [
                outs[0].register_forward_pre_hook(lambda _, a: (scaled(a[0], 1), *a[1:])),
                outs[1].register_forward_pre_hook(lambda _, a: (scaled(a[0], 0), *a[1:])),
                mlps[1].register_forward_hook(lambda _, a, made: scaled(made, None)),
            ]
            with oracle.hooks(handles), torch.no_grad():
                logits: Tensor = module(input_ids=clean).logits
            return logits

        assert scores.values[0][column] == pytest.approx(mean_of(found, steered, "logprob"), abs=2e-5)


def blocks_of(module: Any) -> Any:
    return module.transformer.h if hasattr(module, "transformer") else module.model.layers


def after(module: Any, layer: int, tokens: Tensor) -> Tensor:
    """The residual stream after a layer, of one prompt."""
    seen: list[Tensor] = []

    def keep(_: Any, __: Any, out: Any) -> None:
        seen.append(out[0] if isinstance(out, tuple) else out)

    with oracle.hooks([blocks_of(module)[layer].register_forward_hook(keep)]), torch.no_grad():
        module(input_ids=tokens)
    return seen[0][0]


def changed_after(module: Any, layers: Sequence[int], change: Callable[[int, Tensor], None]) -> Any:
    """Hooks that change the residual stream after some layers, in place of a copy."""

    def hook(layer: int) -> Callable[[Any, Any, Any], Any]:
        def run(_: Any, __: Any, out: Any) -> Any:
            new = (out[0] if isinstance(out, tuple) else out).clone()
            change(layer, new)
            return (new, *out[1:]) if isinstance(out, tuple) else new

        return run

    return oracle.hooks([blocks_of(module)[n].register_forward_hook(hook(n)) for n in layers])


@pytest.mark.parametrize("kind", ["scale", "shift", "shift by others"])
@pytest.mark.parametrize("place", [None, "A.2"])
@pytest.mark.parametrize("into", ["clean", "corrupt"])
def test_the_stream_is_steered_after_a_layer(kind: str, place: str | None, into: Any) -> None:
    """Contrastive activation addition: the mean difference of a layer's output is added there."""
    model = tiny_gpt2(layers=3) if place is None else tiny_llama(layers=3, exact=True)
    found, module = contrast(model, size=2, lengths=(6, 7)), model.module
    source = contrast(model, size=3, lengths=(5, 6), seed=50) if kind == "shift by others" else None
    factors = (-1.0, 0.5)
    options: Any = {"layers": [2, 0], "into": into, "at": place, kind.split()[0]: factors}
    scores = steering(found, model.graph(), Metric("logit_diff"), source=source, **options)
    assert (scores.nodes, scores.made["rows"]) == (("L0.resid_post", "L2.resid_post"), "layers")
    assert scores.made.get("source", {}).get("prompts") == (None if source is None else 3)
    about = source or found
    for row, layer in zip(scores.values, (0, 2), strict=True):
        moved = []
        for example, (clean, corrupt) in zip(about.dataset.examples, tokens_of(about), strict=True):
            at = tokens_at(example, place)
            moved.append((after(module, layer, clean) - after(module, layer, corrupt))[at])
        mean = torch.cat(moved).mean(0)
        for value, factor in zip(row, factors, strict=True):
            run = partial(steered_once, module, layer, factor, mean if kind != "scale" else None, into, place)
            assert value == pytest.approx(mean_of(found, run, "logit_diff"), abs=2e-8)


def steered_once(
    module: Any,
    layer: int,
    factor: float,
    mean: Tensor | None,
    into: str,
    place: str | None,
    example: Example,
    clean: Tensor,
    corrupt: Tensor,
) -> Tensor:
    at = tokens_at(example, place)

    def change(_: int, stream: Tensor) -> None:
        stream[0, at] += stream[0, at] * (factor - 1) if mean is None else factor * mean

    with changed_after(module, [layer], change), torch.no_grad():
        logits: Tensor = module(input_ids=clean if into == "clean" else corrupt).logits
    return logits


def test_streams_are_steered_together() -> None:
    model = tiny_gpt2(layers=3)
    found = contrast(model, size=2)
    scores = steering(
        found, model.graph(), Metric("logit_diff"), layers="all", scale=[0.5], together=True, at="A.2"
    )
    assert scores.nodes == ("L0.resid_post + L1.resid_post + L2.resid_post",)

    def steered(example: Example, clean: Tensor, _: Tensor) -> Tensor:
        def change(_: int, stream: Tensor) -> None:
            stream[0, tokens_at(example, "A.2")] *= 0.5

        with changed_after(model.module, range(3), change), torch.no_grad():
            logits: Tensor = model.module(input_ids=clean).logits
        return logits

    assert scores.values[0][0] == pytest.approx(mean_of(found, steered, "logit_diff"), abs=2e-8)


def test_a_stream_that_cannot_be_steered() -> None:
    model = tiny_gpt2()
    found, graph, metric = contrast(model), model.graph(), Metric("logit_diff")
    for options in ({}, {"nodes": "L0H0", "layers": [0]}):
        with refused(MethodError, "C596", "either nodes or layers"):
            steering(found, graph, metric, shift=[1.0], **options)  # type: ignore[arg-type]
    with refused(MethodError, "C596", "tiny has no layer 2", hint="its layers are 0 to 1"):
        steering(found, graph, metric, layers=[0, 2], shift=[1.0])
    with refused(MethodError, "C595", "`source`"):
        steering(found, graph, metric, layers=[0], scale=[1.0], source=found)
    with refused(MethodError, "C523", "the mean difference of L0.resid_post"):
        steering(contrast(model, corruption=Zero()), graph, metric, layers=[0], shift=[1.0])
    with refused(ArgumentError, "C753", "the source's prompts"):
        steering(found, graph, metric, layers=[0], shift=[1.0], source=contrast(tiny_gpt2(seed=1)))


@pytest.mark.parametrize("make", [tiny_gpt2, tiny_llama])
@pytest.mark.parametrize("into", ["clean", "corrupt"])
def test_a_function_vector_is_added_behind_every_layer(make: Any, into: Any) -> None:
    model = make(layers=3, seed=8)
    module = model.module
    found = contrast(model, size=2, lengths=(6, 7))
    source = random_prompts(size=3, lengths=(5, 6), seed=77)
    scores = function_vector(
        found, model.graph(), Metric("logprob"), heads=["L0H1", "L2H*"], scale=[2.0], source=source, into=into
    )
    parts = oracle.parts_of(module).layers
    vector: Tensor | float = 0.0
    for example in source.examples:
        z = oracle.activations(module, torch.tensor([example.tokens]))
        for layer, head in [(0, 1), *((2, head) for head in range(module.config.num_attention_heads))]:
            vector = vector + z[f"L{layer}H{head}"][0, -1] @ parts[layer].out[head] / 3
    for layer, block in enumerate(oracle.blocks(module)):

        def steered(example: Example, clean: Tensor, corrupt: Tensor, block: Any = block) -> Tensor:
            def add(_: Any, __: Any, out: Any) -> Any:
                bare = (out[0] if isinstance(out, tuple) else out).clone()
                bare[0, -1] += 2 * vector
                return (bare, *out[1:]) if isinstance(out, tuple) else bare

            with oracle.hooks([block.register_forward_hook(add)]), torch.no_grad():
                logits: Tensor = module(input_ids=clean if into == "clean" else corrupt).logits
            return logits

        assert scores.values[layer][0] == pytest.approx(mean_of(found, steered, "logprob"), abs=2e-5)
    assert scores.nodes == ("MLP0", "MLP1", "MLP2")


def test_nothing_changed_and_nothing_left() -> None:
    """By 1 the run stays as it is, by 0 a node is zero-ablated; normalised where that is asked for."""
    model = tiny_gpt2(layers=2, seed=3)
    graph, metric = model.graph(pos_embed=True), Metric("logit_diff", normalize=True)
    found = contrast(model, size=2, lengths=(5, 6))
    zeroed = Contrast(model, found.dataset, Zero())
    scores = steering(found, graph, metric, nodes=["pos_embed", "L0H*", "MLP1", "embed"], scale=[1, 0])
    assert scores.nodes == ("embed", "pos_embed", "L0H0", "L0H1", "MLP1")
    assert [row[0] for row in scores.values] == pytest.approx([1.0] * 5, abs=1e-8)
    plain = activation_patching(zeroed, graph, Metric("logit_diff"), direction="noise")
    normal = found.normalizer(metric)
    for node in scores.nodes:
        assert scores[node][1] == pytest.approx(normal(plain[node][0]), abs=1e-7)
    still = steering(found, graph, metric, nodes="MLP0", shift=[0.0], into="corrupt")
    assert still.values == ((0.0,),)
    assert steering(zeroed, graph, Metric("prob"), nodes="embed", scale=[2.0]).made["corruption"] == "zero"


def test_the_clean_prompts_are_the_source() -> None:
    model = tiny_gpt2(seed=4)
    found, graph, metric = contrast(model), model.graph(attention="layers"), Metric("prob")
    one = function_vector(found, graph, metric, heads="L1")
    other = function_vector(found, graph, metric, heads=["L1"], source=found.dataset, at=["end"])
    assert one == other
    assert one.made["heads"] == ["L1"] and one.made["into"] == "corrupt" and one.made["steered"] == ["end"]


def test_what_cannot_be_steered() -> None:
    model = tiny_gpt2()
    found, graph, metric = contrast(model), model.graph(), Metric("prob")
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("C595", {"nodes": "MLP0"}),
        ("C595", {"nodes": "MLP0", "scale": [1.0], "shift": [1.0]}),
        ("C595", {"nodes": "MLP0", "scale": []}),
        ("C595", {"nodes": "MLP0", "scale": [2.0, 2.0]}),
        ("C595", {"nodes": "MLP0", "shift": [float("nan")]}),
        ("C596", {"nodes": ["logits"], "scale": [2.0]}),
        ("C596", {"nodes": [], "scale": [2.0]}),
        ("C512", {"nodes": "MLP0", "scale": [2.0], "at": ["A.x"]}),
    ]
    for code, options in wrong:
        with refused(MethodError, code):
            steering(found, graph, metric, **options)
    with refused(MethodError, "C596"):
        function_vector(found, graph, metric, heads=["L0H0", "MLP0"])
    with refused(MethodError, "C523"):
        steering(contrast(model, corruption=Zero()), graph, metric, nodes="MLP0", scale=[2.0], into="corrupt")
    with refused(MethodError, "C594"):
        steering(found, Graph(model.shape, positions=("start", "other")), metric, nodes="MLP0", scale=[2.0])
    with refused(GraphError, "C457"):
        steering(found, graph, metric, nodes="L7H0", scale=[2.0])
