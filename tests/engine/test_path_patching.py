"""Path patching against two runs with plain hooks for every sender, and against what it must equal."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st
from tests.engine import oracle
from tests.engine.loops import measured, tokens_at
from tests.engine.tiny import Case, cases, contrast, tiny_gpt2, tiny_llama
from tests.refused import refused
from tests.some import some
from torch import Tensor

from nncirc.circuits.errors import GraphError, MethodError
from nncirc.circuits.graph import Graph
from nncirc.circuits.names import Edge, Node, Position
from nncirc.engine.evaluation.faithfulness import cut_metric
from nncirc.engine.methods.activation_patching import activation_patching
from nncirc.engine.methods.path_patching import path_patching
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.runs.capture import sender_outputs
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import Gaussian, Resample, Zero


def norms(module: Any) -> list[tuple[Any, Any]]:
    """What attention and the MLP of every layer read through, and at the end what the unembedding does."""
    if module.config.model_type == "gpt2":
        found = [(block.ln_1, block.ln_2) for block in module.transformer.h]
        return [*found, (module.transformer.ln_f, None)]
    found = [(block.input_layernorm, block.post_attention_layernorm) for block in module.model.layers]
    return [*found, (module.model.norm, None)]


def projections(module: Any, layer: int) -> list[tuple[Any, str, int]]:
    """Modules whose outputs hold queries, keys and values side by side: the module, what, where it begins."""
    d_head, heads = oracle.d_head_of(module), module.config.num_attention_heads
    if module.config.model_type == "gpt2":
        fused = module.transformer.h[layer].attn.c_attn
        return [(fused, kind, n * heads * d_head) for n, kind in enumerate("qkv")]
    attention = module.model.layers[layer].self_attn
    return [(attention.q_proj, "q", 0), (attention.k_proj, "k", 0), (attention.v_proj, "v", 0)]


def first_run(
    module: Any, tokens: Tensor, sender: str, corrupt: Mapping[str, Tensor], carriers: Collection[str]
) -> dict[Any, Tensor]:
    """What every norm reads with the sender corrupted, and all but the carriers as in the clean run."""
    clean = oracle.activations(module, tokens)
    first, outs, mlps = oracle.sites(module)
    d_head = oracle.d_head_of(module)
    inputs: dict[Any, Tensor] = {}

    def hold(name: str, current: Tensor) -> Tensor:
        if name == sender or name.partition("H")[0] == sender:
            return corrupt[name]
        return current if name in carriers or name.partition("H")[0] in carriers else clean[name]

    def heads(layer: int, z: Tensor) -> Tensor:
        parts = z.split(d_head, dim=-1)
        return torch.cat([hold(f"L{layer}H{head}", part) for head, part in enumerate(parts)], dim=-1)

    handles = [first.register_forward_pre_hook(lambda _, a: (hold("embed", a[0]), *a[1:]))]
    for n, (out, mlp) in enumerate(zip(outs, mlps, strict=True)):
        handles.append(out.register_forward_pre_hook(lambda _, a, n=n: (heads(n, a[0]),)))
        handles.append(mlp.register_forward_hook(lambda _, a, made, n=n: hold(f"MLP{n}", made)))
    for pair in norms(module):
        handles += [
            norm.register_forward_pre_hook(lambda m, a: inputs.__setitem__(m, a[0].clone()))
            for norm in pair
            if norm is not None
        ]
    with oracle.hooks(handles), torch.no_grad():
        module(input_ids=tokens, use_cache=False)
    return inputs


def second_run(module: Any, tokens: Tensor, receivers: Collection[str], told: Mapping[Any, Tensor]) -> Tensor:
    """Logits of the clean run in which the receivers read something else."""
    d_head, handles = oracle.d_head_of(module), []
    pairs = norms(module)

    def replaced(which: str, layer: int, begin: int, made: Tensor) -> Tensor:
        norm = pairs[layer][0]
        (projection,) = [p for p, kind, _ in projections(module, layer) if kind == which]
        other = type(projection).forward(projection, type(norm).forward(norm, told[norm]))
        new = made.clone()
        for name in receivers:
            node = Node.parse(name)
            if node.layer == layer and node.kind != "mlp" and node.input in (which, None):
                width = slice(begin, begin + made.shape[-1])
                if node.index is not None:
                    width = slice(begin + node.index * d_head, begin + (node.index + 1) * d_head)
                elif module.config.model_type == "gpt2":
                    width = slice(begin, begin + made.shape[-1] // 3)
                new[..., width] = other[..., width]
        return new

    for layer, (_, mlp_norm) in enumerate(pairs[:-1]):
        for projection, kind, begin in projections(module, layer):
            handles.append(
                projection.register_forward_hook(
                    lambda _, a, made, k=kind, n=layer, b=begin: replaced(k, n, b, made)
                )
            )
        if f"MLP{layer}" in receivers:
            handles.append(mlp_norm.register_forward_pre_hook(lambda m, a: (told[m],)))
    if "logits" in receivers:
        handles.append(pairs[-1][0].register_forward_pre_hook(lambda m, a: (told[m],)))
    with oracle.hooks(handles), torch.no_grad():
        logits: Tensor = module(input_ids=tokens, use_cache=False).logits
    return logits


def slowly(
    found: Contrast,
    graph: Graph,
    name: str,
    receivers: Collection[str],
    carriers: Collection[str],
    place: str,
    direction: str = "noise",
) -> dict[str, float]:
    """The metric with every sender's paths patched, one prompt and one sender at a time.

    Denoising, the run that is patched is that of the corrupted prompt, and values come from the clean one.
    """
    module = found.model.module
    last = max(graph.receiver_index[each] for each in receivers)
    total = dict.fromkeys(graph.senders[: graph.reach[last]], 0.0)
    for i, example in enumerate(found.dataset.examples):
        tokens = clean_tokens = torch.tensor([example.tokens])
        if isinstance(found.corruption, Resample):
            elsewhere = torch.tensor([found.corruption.examples[i].tokens])
            if direction == "denoise":
                tokens, elsewhere = elsewhere, tokens
            other = oracle.activations(module, elsewhere)
        else:
            other = {key: torch.zeros_like(v) for key, v in oracle.activations(module, tokens).items()}
        clean = oracle.activations(module, tokens)
        at = tokens_at(example, place)
        for key, value in clean.items():
            mixed = value.clone()
            mixed[:, at] = other[key][:, at]
            other[key] = mixed
        with torch.no_grad():
            plain = module(input_ids=clean_tokens, use_cache=False).logits[0]
        for sender in total:
            told = first_run(module, tokens, sender, other, carriers)
            logits = second_run(module, tokens, receivers, told)[0]
            total[sender] += measured(Metric(name), example, logits, plain)
    return {sender: value / len(found.dataset.examples) for sender, value in total.items()}


@st.composite
def questions(draw: st.DrawFn) -> tuple[Case, list[str], str | list[str]]:
    """A case, receivers in it, and what carries."""
    case = draw(cases(layers=3, corruption=draw(st.sampled_from(["resample", "zero"]))))
    graph = case.graph(case.model())
    inner = [name for name in graph.receivers if name != "logits"]
    to = draw(
        st.one_of(st.just(["logits"]), st.lists(st.sampled_from(inner), min_size=1, max_size=3, unique=True))
    )
    some = st.lists(st.sampled_from(graph.senders), min_size=1, max_size=3, unique=True)
    through: Any = draw(st.one_of(st.sampled_from(["MLP*", "none", "all"]), some))
    return case, to, through


@settings(max_examples=9)
@given(
    questions(),
    st.sampled_from(["A.2", "B", "end"]),
    st.sampled_from([None, 1]),
    st.sampled_from(["noise", "denoise"]),
    st.sampled_from(["logit_diff", "kl_divergence"]),
)
def test_every_sender_is_two_runs(
    asked: tuple[Case, list[str], str | list[str]], place: str, batch: int | None, direction: Any, name: str
) -> None:
    case, to, through = asked
    model = case.model()
    if case.corruption != "resample":
        direction = "noise"
    graph = case.graph(model)
    found = case.contrast(model, batch)
    options: Any = {"to": to, "through": through, "positions": [place], "direction": direction}
    scores = path_patching(found, graph, Metric(name), **options)
    carriers = {"none": [], "all": graph.senders, "MLP*": [s for s in graph.senders if s[0] == "M"]}
    carrying = carriers[through] if isinstance(through, str) else through
    expected = slowly(found, graph, name, to, carrying, place, direction)
    assert list(scores.nodes) == list(expected)
    for sender, value in expected.items():
        assert scores[sender][0] == pytest.approx(value, abs=2e-5)
    assert scores.made["direction"] == direction
    assert scores.made["unpatched"] == pytest.approx(
        found.clean(Metric(name)) if direction == "noise" else found.corrupt(Metric(name)), abs=2e-5
    )


@pytest.mark.parametrize("make", [tiny_gpt2, tiny_llama])
def test_a_direct_path_is_an_edge(make: Any) -> None:
    model = make(layers=2, seed=5)
    found, graph, metric = contrast(model, size=2), model.graph(), Metric("logit_diff", normalize=True)
    for receiver in ("logits", "MLP1", "L1H1.q", graph.receivers[-3]):
        scores = path_patching(found, graph, metric, to=receiver, through="none")
        for sender in some(scores.nodes):
            cut = float(cut_metric(found, graph, metric, [Edge(sender, receiver)]).mean())
            assert scores[sender][0] == pytest.approx(found.normalizer(metric)(cut), abs=2e-5)


@pytest.mark.parametrize("direction", ["noise", "denoise"])
@pytest.mark.parametrize("corruption", [None, Gaussian((Position("A"),), samples=2)])
@pytest.mark.parametrize("make", [tiny_gpt2, tiny_llama])
def test_all_paths_are_the_whole_node(make: Any, corruption: Any, direction: Any) -> None:
    model = make(layers=2, seed=6)
    found = contrast(model, lengths=(6, 7), corruption=corruption)
    graph, metric = model.graph(), Metric("kl_divergence")
    options: Any = {"direction": direction, "positions": ["A", "end"]}
    scores = path_patching(found, graph, metric, to="logits", through="all", **options)
    whole = activation_patching(found, graph, metric, **options)
    assert scores.nodes == whole.nodes
    for sender in whole.nodes:
        assert scores[sender] == pytest.approx(whole[sender], abs=2e-5)


def test_mlps_carry_by_default() -> None:
    model = tiny_gpt2(layers=3, seed=1)
    found, graph, metric = contrast(model), model.graph(), Metric("logit_diff")
    by_default = path_patching(found, graph, metric, to="L2H1.v")
    assert (
        by_default.values == path_patching(found, graph, metric, to="L2H1.v", through=["MLP0", "MLP1"]).values
    )
    assert by_default.values != path_patching(found, graph, metric, to="L2H1.v", through="none").values
    assert by_default.made["direction"] == "noise"
    only = tiny_gpt2(attention_only=True)
    assert path_patching(contrast(only), only.graph(), metric, to="L1H0.q").nodes == ("embed", "L0H0", "L0H1")


def test_what_was_written_is_read() -> None:
    """The sum over senders of what a layer's outputs change is all that the residual stream changes by."""
    model = tiny_llama(layers=1, exact=True)
    found, graph = contrast(model), model.graph()
    batch = found.batches[0]
    assert torch.equal(found.clean_outputs(batch, graph), sender_outputs(model, graph, batch.clean))


def test_what_cannot_be_patched() -> None:
    model = tiny_gpt2()
    found, graph, metric = contrast(model), model.graph(), Metric("logit_diff")
    for to in ([], ["logits", "L1H0.q"], "embed"):
        with refused(MethodError, "C594"):
            path_patching(found, graph, metric, to=to)
    split = Graph(model.shape, positions=("start", "other"))
    with refused(MethodError, "C594"):
        path_patching(found, split, metric, to="logits")
    for code, to, through in (
        ("C457", "L9H9.q", "none"),
        ("C451", "head", "none"),
        ("C457", "logits", "MLP9"),
    ):
        with refused(GraphError, code):
            path_patching(found, graph, metric, to=to, through=through)
    with refused(MethodError, "C523"):
        path_patching(contrast(model, corruption=Zero()), graph, metric, to="logits", direction="denoise")
