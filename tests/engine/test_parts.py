"""Queries, keys, values, patterns and the residual stream patched, against plain hooks on modules.

The oracle knows nothing of families: where things are in a model is written out here for each kind once more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import pytest
import torch
from tests.engine.loops import measured, tokens_at
from tests.engine.tiny import VOCABULARY, contrast, tiny_gpt2, tiny_llama
from tests.refused import refused
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM

from nncirc.circuits.errors import MethodError, ModelError
from nncirc.circuits.graph import Graph
from nncirc.circuits.names import END, Position
from nncirc.circuits.parts import PARTS, Part
from nncirc.engine.methods.activation_patching import activation_patching
from nncirc.engine.methods.attention_statistics import attention_pattern
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.model import guards
from nncirc.engine.model.guards import Reach
from nncirc.engine.model.model import Model
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import Direction, Gaussian, Zero

METRICS: Mapping[Direction, Metric] = {
    "denoise": Metric("logit_diff"),
    "noise": Metric("kl_divergence", at=(Position("A", 1), END)),
}
PLACES = (END, Position("A"), None)


@dataclass(frozen=True)
class Layout:
    """Where a kind of model keeps what is patched, from a block.

    `attends` is what adds to the stream between attention and MLP. `unit` says which modules make the query,
    key or value of a head or group, and in which columns, of so many heads of a width.
    """

    blocks: Callable[[Any], Any]
    attends: str
    unit: Callable[[str, int, int, int], list[tuple[str, range]]]


def _at(start: int, width: int) -> range:
    return range(start, start + width)


def _latent(kind: str, n: int, heads: int, _: int) -> list[tuple[str, range]]:
    """DeepSeek's, with all widths 8 and a latent of 16: all heads have one key, and one value."""
    if kind == "q":
        return [("self_attn.q_b_proj", _at(16 * n, 16))]
    made = [("self_attn.kv_b_proj", _at(16 * head + 8 * (kind == "v"), 8)) for head in range(heads)]
    return [*made, *([("self_attn.kv_a_proj_with_mqa", _at(16, 8))] if kind == "k" else [])]


LAYOUTS: Mapping[str, Layout] = {
    "gpt2": Layout(
        lambda module: module.transformer.h,
        "attn.c_proj",
        lambda kind, n, heads, width: [("attn.c_attn", _at(("qkv".index(kind) * heads + n) * width, width))],
    ),
    "gpt_neox": Layout(
        lambda module: module.gpt_neox.layers,
        "attention.dense",
        lambda kind, n, _, width: [
            ("attention.query_key_value", _at((3 * n + "qkv".index(kind)) * width, width))
        ],
    ),
    "llama": Layout(
        lambda module: module.model.layers,
        "self_attn.o_proj",
        lambda kind, n, _, width: [(f"self_attn.{kind}_proj", _at(n * width, width))],
    ),
    "gemma3_text": Layout(
        lambda module: module.model.layers,
        "post_attention_layernorm",
        lambda kind, n, _, width: [(f"self_attn.{kind}_proj", _at(n * width, width))],
    ),
    "deepseek_v3": Layout(lambda module: module.model.layers, "self_attn.o_proj", _latent),
}


class ExactNorm(nn.Module):
    """A root-mean-square norm that computes in the dtype it is given."""

    def __init__(self, norm: Any, more: float) -> None:
        super().__init__()
        self.weight, self.eps = norm.weight + more, getattr(norm, "eps", None) or norm.variance_epsilon

    def forward(self, x: Tensor) -> Tensor:
        scaled: Tensor = self.weight * x * (x.square().mean(-1, keepdim=True) + self.eps).rsqrt()
        return scaled


SHAPE: Mapping[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "olmo": {"clip_qkv": 0.01},  # its values are clipped after they are made
    "gpt_neox": {"use_parallel_residual": True},
    "gemma3_text": {
        "num_key_value_heads": 2,
        "head_dim": 16,
        "sliding_window": 4,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "deepseek_v3": {
        "num_key_value_heads": 4,
        "q_lora_rank": 16,
        "kv_lora_rank": 16,
        "qk_rope_head_dim": 8,
        "qk_nope_head_dim": 8,
        "v_head_dim": 8,
        "first_k_dense_replace": 2,
    },
}


@cache
def model_of(name: str) -> Model:
    if name == "gpt2":
        return tiny_gpt2(layers=2, heads=2)
    if name == "llama":
        return tiny_llama(layers=2, heads=4, kv_heads=2, exact=True)
    torch.manual_seed(0)
    config = AutoConfig.for_model(name, **SHAPE, **CONFIGS[name])
    make: Any = AutoModelForCausalLM.from_config
    loaded = make(config, dtype=torch.float64).eval().requires_grad_(False)
    for weight in loaded.parameters():
        weight.copy_(weight + 0.3 * torch.randn(weight.shape))
    for module in list(loaded.modules()):
        for child_name, child in list(module.named_children()):
            if type(child).__name__ in ("Gemma3RMSNorm", "DeepseekV3RMSNorm"):
                setattr(module, child_name, ExactNorm(child, 1.0 if name.startswith("gemma") else 0.0))
    model = Model(loaded, name=name)
    _, slow = guards.check(model)
    return Model(loaded, name=name, guard=Reach.of(model, slow))


@contextmanager
def attention_by_loops(change: Callable[[int, Tensor], Tensor]) -> Iterator[None]:
    """Attention as it is defined, with every layer's pattern, `batch head at pos`, changed by its number."""
    count = 0

    def attend(
        query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, **options: Any
    ) -> Tensor:
        nonlocal count
        many = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(many, 1), value.repeat_interleave(many, 1)
        scores = query @ key.mT * (options.get("scale") or query.shape[-1] ** -0.5)
        seen = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
        if attn_mask is None:
            scores = scores.masked_fill(~seen, -torch.inf)
        elif attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, -torch.inf)
        else:
            scores = scores + attn_mask
        count += 1
        return change(count - 1, scores.softmax(-1)) @ value

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.functional, "scaled_dot_product_attention", attend)
        yield


@dataclass
class Seen:
    """What a run of one prompt has inside, by layer."""

    made: dict[tuple[int, str], Tensor]
    patterns: list[Tensor]
    stream: dict[str, Tensor]
    logits: Tensor


class Oracle:
    """Runs of the plain model, with one thing in them exchanged by a hook."""

    def __init__(self, model: Model, kind: str, noise: Tensor | None = None) -> None:
        self.model, self.module, self.layout = model, model.module, LAYOUTS[kind]
        self.blocks = list(self.layout.blocks(self.module))

    def run(self, tokens: Tensor, noise: Tensor | None = None) -> Seen:
        found = Seen({}, [], {}, torch.empty(0))
        modules = {path for kind in "qkv" for path, _ in self.layout.unit(kind, 0, 1, 1)}

        def keep(layer: int, pattern: Tensor) -> Tensor:
            found.patterns.append(pattern[0])
            return pattern

        with ExitStack() as stack:
            stack.enter_context(attention_by_loops(keep))
            self._noised(stack, noise)
            for n, block in enumerate(self.blocks):
                for path in modules:
                    self._on(stack, block, path, partial(self._made, found.made, (n, path)))
                self._before(stack, block, partial(self._kept, found.stream, f"L{n}.resid_pre", None))
                middle = partial(self._kept, found.stream, f"L{n}.resid_mid", f"L{n}.resid_pre")
                self._on(stack, block, self.layout.attends, middle)
                self._on(stack, block, "", partial(self._kept, found.stream, f"L{n}.resid_post", None))
            found.logits = self.module(input_ids=tokens).logits[0]
        return found

    @staticmethod
    def _made(into: dict[tuple[int, str], Tensor], key: tuple[int, str], out: Tensor) -> None:
        into[key] = out.flatten(0, -2)

    @staticmethod
    def _kept(into: dict[str, Tensor], name: str, plus: str | None, value: Tensor) -> None:
        into[name] = value[0] if plus is None else into[plus] + value[0]

    def patched(self, tokens: Tensor, noise: Tensor | None, name: str, other: Seen, at: list[int]) -> Tensor:
        """Logits of a run in which what has this name is as in another run, at some positions."""
        node, part = name.split(".")
        layer, *rest = map(int, re.findall("[0-9]+", node))
        index = rest[0] if rest else None
        block = self.blocks[layer]
        before: list[Tensor] = []

        def pattern(n: int, own: Tensor) -> Tensor:
            if part == "pattern" and n == layer:
                own = own.clone()
                heads = slice(None) if index is None else slice(index, index + 1)
                own[0, heads, at] = other.patterns[layer][heads][:, at]
            return own

        def stream(value: Tensor) -> Tensor:
            value = value.clone()
            value[0, at] = other.stream[name][at]
            return value

        def middle(added: Tensor) -> Tensor:
            added = added.clone()
            added[0, at] = (other.stream[name] - before[0][0])[at]
            return added

        with ExitStack() as stack:
            stack.enter_context(attention_by_loops(pattern))
            self._noised(stack, noise)
            if part in "qkv":
                heads = self.model.shape.n_heads if part == "q" else self.model.shape.n_kv_heads
                of = range(heads) if index is None else [index]
                shape = self.model.shape.n_heads, self.model.d_head
                for path, columns in [each for n in of for each in self.layout.unit(part, n, *shape)]:

                    def unit(out: Tensor, path: str = path, columns: range = columns) -> Tensor:
                        out = out.clone()
                        for position in at:
                            out.view(-1, out.shape[-1])[position, list(columns)] = other.made[layer, path][
                                position, list(columns)
                            ]
                        return out

                    self._on(stack, block, path, unit)
            elif part == "resid_pre":
                self._before(stack, block, stream)
            elif part == "resid_post":
                self._on(stack, block, "", stream)
            elif part == "resid_mid":
                self._before(stack, block, before.append)
                self._on(stack, block, self.layout.attends, middle)
            logits: Tensor = self.module(input_ids=tokens).logits[0]
        return logits

    def _on(self, stack: ExitStack, block: Any, path: str, change: Callable[[Tensor], Any]) -> None:
        """Change what a module gives, or look at it."""

        def hook(_: Any, __: Any, out: Any) -> Any:
            new = change(out[0] if isinstance(out, tuple) else out)
            if not isinstance(new, Tensor):
                return None
            return (new, *out[1:]) if isinstance(out, tuple) else new

        module = block.get_submodule(path)
        stack.callback(module.register_forward_hook(hook).remove)

    def _before(self, stack: ExitStack, block: Any, change: Callable[[Tensor], Any]) -> None:
        def hook(_: Any, given: Any) -> Any:
            new = change(given[0])
            return (new, *given[1:]) if isinstance(new, Tensor) else None

        stack.callback(block.register_forward_pre_hook(hook).remove)

    def _noised(self, stack: ExitStack, noise: Tensor | None) -> None:
        if noise is not None:
            self._before(stack, self.blocks[0], lambda x: x + noise)


def place_of(row: int, direction: Direction) -> int:
    """The place at which a row is tried: of every part each is."""
    return (row + (direction == "noise")) % len(PLACES)


def by_hooks(
    about: Contrast, kind: str, metric: Metric, direction: Direction, names: Sequence[str]
) -> list[float]:
    """The metric's mean for everything that is patched, each at its place: one plain run a prompt."""
    oracle = Oracle(about.model, kind)
    found = [0.0] * len(names)
    for batch in about.batches:
        assert batch.corrupt is not None
        noises = about.noise(batch)
        for row, example in enumerate(batch.examples):
            noise = None if noises is None else noises[row : row + 1]
            runs = [(batch.clean[row : row + 1], None), (batch.corrupt[row : row + 1], noise)]
            clean, other = (oracle.run(tokens, noise) for tokens, noise in runs)
            (tokens, noise), values = (runs[1], clean) if direction == "denoise" else (runs[0], other)
            for i, name in enumerate(names):
                at = tokens_at(example, PLACES[place_of(i, direction)])
                logits = oracle.patched(tokens, noise, name, values, at)
                found[i] += measured(metric, example, logits, clean.logits) / len(about.dataset.examples)
    return found


def sweep(
    about: Contrast, graph: Graph, metric: Metric, direction: Direction, of: Sequence[Part]
) -> dict[str, list[float]]:
    """What activation patching finds, not rounded, at all places."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Model, "digits", 15)
        named = activation_patching(about, graph, metric, of=of, direction=direction, positions=PLACES[:2])
        whole = activation_patching(about, graph, metric, of=of, direction=direction)
    assert named.nodes == whole.nodes
    return {name: [*named[name], *whole[name]] for name in named.nodes}


def parts_of(model: Model) -> list[Part]:
    """What a model has."""
    lacks = ["outputs", "resid_mid"] if model.shape.parallel else ["outputs"]
    return [part for part in PARTS if part not in lacks]


def within(model: Model, name: str) -> float:
    """Models that say their own pattern make it in float32."""
    return 1e-10 if model.alone or not name.endswith(".pattern") else 1e-5


def is_oracle(about: Contrast, kind: str, direction: Direction, graph: Graph | None = None) -> None:
    metric, of = METRICS[direction], parts_of(about.model)
    found = sweep(about, graph or about.model.graph(), metric, direction, of)
    wanted = by_hooks(about, kind, metric, direction, [*found])
    assert len({round(value, 6) for value in wanted}) > len(wanted) / 2  # it is not for nothing
    for i, (name, row) in enumerate(found.items()):
        found_there, allowed = row[place_of(i, direction)], within(about.model, name)
        assert found_there == pytest.approx(wanted[i], abs=allowed), name


@pytest.mark.parametrize("direction", METRICS)
@pytest.mark.parametrize("kind", LAYOUTS)
def test_every_part_is_one_run_with_a_hook(kind: str, direction: Direction) -> None:
    about = contrast(model_of(kind), size=2, lengths=(6, 7))
    is_oracle(about, kind, direction)


@pytest.mark.parametrize("direction", METRICS)
def test_all_heads_of_a_layer_are_patched_together(direction: Direction) -> None:
    model = model_of("llama")
    about = contrast(model, size=2, lengths=(6, 7))
    is_oracle(about, "llama", direction, model.graph(attention="layers"))


def test_noise_is_a_run_as_well() -> None:
    corruption = Gaussian((Position("A", 1), Position("B")), seed=1)
    is_oracle(contrast(model_of("gpt2"), size=2, corruption=corruption), "gpt2", "denoise")


@pytest.mark.parametrize("kind", ["gpt2", "gpt_neox", "gemma3_text"])
@pytest.mark.parametrize("direction", METRICS)
def test_whole_runs_find_the_same(kind: str, direction: Direction) -> None:
    model = model_of(kind)
    whole = replace(model, guard=Reach(40, {"attention": "so that the model runs as a whole"}))
    assert not whole.alone
    fast, slow = (
        sweep(contrast(each, lengths=(6, 7)), each.graph(), METRICS[direction], direction, parts_of(whole))
        for each in (model, whole)
    )
    assert [*fast] == [*slow]
    for name, row in fast.items():
        assert row == pytest.approx(slow[name], abs=within(whole, name)), name


def test_patches_that_are_the_other_run() -> None:
    """The whole stream, before the first layer or after the last."""
    model = model_of("llama")
    about, metric = contrast(model), Metric("logit_diff")
    for direction, wanted in (("denoise", about.clean(metric)), ("noise", about.corrupt(metric))):
        found = sweep(about, model.graph(), metric, direction, ["resid_pre", "resid_post"])  # type: ignore[arg-type]
        assert found["L0.resid_pre"][2] == pytest.approx(wanted, abs=1e-10)
        assert found["L1.resid_post"][2] == found["L1.resid_post"][0] == pytest.approx(wanted, abs=1e-10)
        assert found["L1.resid_pre"] == pytest.approx(found["L0.resid_post"], abs=1e-10)


def test_the_pattern_that_a_model_says_is_that_of_its_heads() -> None:
    model = model_of("gemma3_text")
    whole = replace(model, guard=Reach(40, {"attention": "so that the model says it"}))
    tokens = torch.arange(18).view(2, 9)
    told = attention_pattern(whole, tokens)
    assert told.shape == (2, 4, 2, 9, 9)
    torch.testing.assert_close(told, attention_pattern(model, tokens), rtol=0, atol=1e-6)
    assert model.module.config._attn_implementation == "sdpa"


def test_rows_are_in_the_order_of_what_is_asked_for() -> None:
    model = model_of("llama")
    found = activation_patching(
        contrast(model), model.graph(), Metric("logit_diff"), of=["v", "outputs", "resid_mid"]
    )
    keys = [f"L{layer}KV{group}.v" for layer in range(2) for group in range(2)]
    assert found.nodes == (*keys, *model.graph().senders, "L0.resid_mid", "L1.resid_mid")
    assert found.made["of"] == ["v", "outputs", "resid_mid"]
    whole = activation_patching(contrast(model), model.graph(), Metric("logit_diff"))
    assert found.values[4:-2] == whole.values
    assert "of" not in whole.made


def test_what_a_model_does_not_have_is_not_patched() -> None:
    metric = Metric("logit_diff")

    def patch(model: Model, *of: Any, **options: Any) -> None:
        activation_patching(contrast(model, **options), model.graph(), metric, of=of)

    with refused(MethodError, "C597", "tiny has no `resid_mid`: it has no MLPs"):
        patch(tiny_gpt2(attention_only=True), "q", "resid_mid")
    with refused(MethodError, "C597", "read the same residual stream", hint="use resid_pre or resid_post"):
        patch(model_of("gpt_neox"), "resid_mid")
    with refused(MethodError, "C597", "invalid `of`"):
        patch(model_of("gpt2"))
    with refused(MethodError, "C597", "invalid `of`"):
        patch(model_of("gpt2"), "q", "q")
    with refused(MethodError, "C523", "`of = k` needs a corruption that re-runs the model"):
        activation_patching(
            contrast(model_of("gpt2"), corruption=Zero()),
            model_of("gpt2").graph(),
            metric,
            of=["k"],
            direction="noise",
        )
    with refused(ModelError, "C419", "the attention pattern of olmo cannot be had"):
        patch(model_of("olmo"), "pattern")
