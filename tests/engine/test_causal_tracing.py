"""Causal tracing against one run with plain hooks for every restoration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings, strategies as st
from tests.engine import oracle
from tests.engine.loops import measured, tokens_at
from tests.engine.tiny import Case, cases, contrast, random_prompts, tiny_gpt2, tiny_llama
from tests.refused import refused
from tests.some import some
from torch import Tensor

from nncirc.circuits.errors import DataError, MethodError
from nncirc.circuits.intervals import Resampling, bootstrap
from nncirc.circuits.names import Position
from nncirc.engine.methods import causal_tracing as restoration
from nncirc.engine.methods.activation_patching import activation_patching
from nncirc.engine.methods.causal_tracing import causal_tracing
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import Gaussian, Resample, Zero


class Traced:
    """One prompt: what every part gives in a run, and runs with some of it put into another."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.noise: Tensor | None = None

    def modules(self, part: str) -> list[Any]:
        """Every layer's module whose output is that part."""
        if part == "states":
            return list(oracle.blocks(self.module))
        if part == "mlps":
            return oracle.sites(self.module)[2]
        # What attention adds to the stream is the output of its output projection.
        return oracle.sites(self.module)[1]

    def run(self, tokens: Tensor, put: Mapping[Any, tuple[Tensor, Sequence[int]]]) -> dict[Any, Any]:
        found: dict[Any, Any] = {}

        def keep(key: tuple[str, int], out: Any) -> Any:
            bare = out[0] if isinstance(out, tuple) else out
            if key in put:
                value, at = put[key]
                bare = bare.clone()
                bare[0, list(at)] = value[0, list(at)]
            found[key] = bare.clone()
            return (bare, *out[1:]) if isinstance(out, tuple) else bare

        handles = []
        if self.noise is not None:
            noise = self.noise
            handles.append(
                self.module.get_input_embeddings().register_forward_hook(lambda _, a, out: out + noise)
            )
        for part in ("states", "mlps", "attention"):
            for layer, module in enumerate(self.modules(part)):
                handles.append(module.register_forward_hook(lambda _, a, out, k=(part, layer): keep(k, out)))
        with oracle.hooks(handles), torch.no_grad():
            found["logits"] = self.module(input_ids=tokens, use_cache=False).logits[0]
        return found


def traced(
    found: Contrast,
    name: str,
    of: str,
    window: int,
    sever: str,
    place: str | int,
    noise: Any = None,
    direction: str = "denoise",
) -> list[list[tuple[float, float, float]]]:
    """For every layer and prompt the metric restored (noising: corrupted there), clean and corrupted."""
    module, depth = found.model.module, found.model.shape.n_layers
    one, metric = Traced(module), Metric(name)
    rows: list[list[tuple[float, float, float]]] = [[] for _ in range(depth)]
    for i, example in enumerate(found.dataset.examples):
        clean_tokens = torch.tensor([example.tokens])
        other = clean_tokens
        if isinstance(found.corruption, Resample):
            other = torch.tensor([found.corruption.examples[i].tokens])
        at = tokens_at(example, place)
        clean = one.run(clean_tokens, {})
        one.noise = None if noise is None else noise(i)
        corrupt = one.run(other, {})
        # What is patched, into which run.
        source, base, tokens = (clean, corrupt, other)
        if direction == "noise":
            source, base, tokens, one.noise = corrupt, clean, clean_tokens, None
        for layer in range(depth):
            layers = [n for n in range(layer - window // 2, layer - window // 2 + window) if 0 <= n < depth]
            put = {(of, n): (source[of, n], at) for n in layers}
            if sever != "none":
                put.update({(sever, n): (base[sever, n], at) for n in range(layer + 1, depth)})
            restored = one.run(tokens, put)
            runs = (restored, clean, corrupt)
            values = (measured(metric, example, run["logits"], clean["logits"]) for run in runs)
            rows[layer].append(tuple(values))  # type: ignore[arg-type]
        one.noise = None
    return rows


def effect(direction: str, prompt: tuple[float, float, float]) -> float:
    """Of one prompt, not normalised."""
    value, clean, corrupt = prompt
    return value - corrupt if direction == "denoise" else clean - value


DIRECTIONS = st.sampled_from(["denoise", "noise"])


@settings(max_examples=7)
@given(
    cases(layers=3, corruption="resample"),
    st.sampled_from([("states", 1), ("mlps", 1), ("mlps", 2), ("attention", 3)]),
    st.sampled_from(["none", "mlps", "attention"]),
    st.sampled_from(["A.2", "B", "end", "A"]),
    st.sampled_from(["prob", "logit_diff", "kl_divergence"]),
    st.sampled_from([None, 1]),
    DIRECTIONS,
)
def test_every_restoration_is_a_run_of_its_own(
    case: Case,
    restored: tuple[str, int],
    sever: str,
    place: str,
    name: str,
    batch: int | None,
    direction: str,
) -> None:
    of, window = restored
    sever = sever if of == "states" else "none"
    model = case.model()
    assume(model.shape.mlps or "mlps" not in (of, sever))
    found = case.contrast(model, batch)
    options: Any = {"of": of, "window": window, "sever": sever, "positions": [place]}
    scores = causal_tracing(found, Metric(name), direction=direction, **options)  # type: ignore[arg-type]
    expected = traced(found, name, of, window, sever, place, direction=direction)
    for row, prompts in some(zip(scores.values, expected, strict=True)):
        mean = sum(effect(direction, prompt) for prompt in prompts) / len(prompts)
        assert row[0] == pytest.approx(mean, abs=2e-5)
    assert scores.made["direction"] == direction


DEPTH = 4
PLACES = ("A.2", "end")
SETTINGS = [
    *(("states", 1, sever) for sever in ("none", "mlps", "attention")),
    *((of, window, "none") for of in ("mlps", "attention") for window in range(1, DEPTH + 2)),
]
"""Everything that can be restored and severed, in windows of one layer and of up to more than there are."""


@cache
def four_layers(family: str) -> Contrast:
    make: Any = {"gpt2": tiny_gpt2, "llama": tiny_llama}[family]
    return contrast(make(layers=DEPTH, seed=7), size=1, seed=7)


@cache
def effects(family: str, of: str, window: int, sever: str, direction: str) -> Tensor:
    """The indirect effects by runs with hooks: a row for each layer, a column for each place."""
    columns = []
    for place in PLACES:
        rows = traced(four_layers(family), "logit_diff", of, window, sever, place, direction=direction)
        columns.append([sum(effect(direction, prompt) for prompt in row) / len(row) for row in rows])
    return torch.tensor(columns).T


def off(family: str, of: Any, window: int, sever: Any, direction: Any = "denoise") -> float:
    """By how much an effect at most differs from what runs with hooks say."""
    options: Any = {"of": of, "window": window, "sever": sever, "positions": list(PLACES)}
    scores = causal_tracing(four_layers(family), Metric("logit_diff"), direction=direction, **options)
    return float((torch.tensor(scores.values) - effects(family, of, window, sever, direction)).abs().max())


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize(("of", "window", "sever"), SETTINGS)
def test_every_window_and_severing(family: str, of: str, window: int, sever: str) -> None:
    for direction in ("denoise", "noise"):
        assert off(family, of, window, sever, direction) < 2e-5


def window_off(begin: int, end: int) -> Callable[..., range]:
    """A window that begins and ends by so many layers elsewhere."""

    def faulty(layer: int, width: int, depth: int) -> range:
        start = layer - width // 2
        return range(max(0, start + begin), min(depth, start + width + end))

    return faulty


SEVERED = [setting for setting in SETTINGS if setting[2] != "none"]
WINDOWED = [setting for setting in SETTINGS if setting[0] != "states"]
FAULTS: Mapping[str, tuple[str, Callable[..., range], list[tuple[str, int, str]]]] = {
    "a window a layer too late": ("_window", window_off(1, 1), WINDOWED),
    "a window a layer too early": ("_window", window_off(-1, -1), WINDOWED),
    "a window without its first layer": ("_window", window_off(1, 0), WINDOWED),
    "a window without its last layer": ("_window", window_off(0, -1), WINDOWED),
    "a window of a layer more": ("_window", window_off(0, 1), WINDOWED),
    "severed from a layer too late": (
        "_behind",
        lambda layers, depth: range(layers.stop + 1, depth),
        SEVERED,
    ),
    "severed at one layer only": ("_behind", lambda layers, depth: range(depth)[layers.stop :][:1], SEVERED),
    "severed but at the last": ("_behind", lambda layers, depth: range(layers.stop, depth - 1), SEVERED),
}
"""Faults by what they are: what is put in the place of which function, and the settings that must show it."""


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_show_in_every_setting(fault: str, family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the test above is known to tell a window or a severing from one that is a layer off."""
    name, faulty, settings = FAULTS[fault]
    monkeypatch.setattr(restoration, name, faulty)
    unseen = [setting for setting in settings if off(family, *setting) < 1e-3]
    assert settings and not unseen


@pytest.mark.parametrize("direction", ["denoise", "noise"])
@pytest.mark.parametrize("make", [tiny_gpt2, tiny_llama])
def test_noise_and_its_samples(make: Any, direction: Any) -> None:
    """The corrupted run has noise on its embeddings; of several samples the mean is a prompt's value."""
    model = make(layers=2, seed=3)
    clean = random_prompts(size=2, lengths=(6, 7), seed=1)
    found = Contrast(model, clean, Gaussian((Position("A"),), samples=3, seed=5))
    noises: dict[tuple[int, int], Tensor] = {}
    for batch in found.batches:
        noise = found.noise(batch)
        assert noise is not None
        for index, each in zip(batch.indices, noise, strict=True):
            noises[divmod(index, 3)] = each
    scores = causal_tracing(found, Metric("prob"), direction=direction, positions=["A.1", "end"])
    for column, place in enumerate(("A.1", "end")):
        samples = [
            traced(found, "prob", "states", 1, "none", place, lambda i, s=sample: noises[i, s], direction)
            for sample in range(3)
        ]
        for layer in range(2):
            found_there = [effect(direction, prompt) for each in samples for prompt in each[layer]]
            assert scores.values[layer][column] == pytest.approx(sum(found_there) / 6, abs=2e-5)


@pytest.mark.parametrize("direction", ["denoise", "noise"])
@pytest.mark.parametrize("normalize", [False, True])
def test_effects_and_their_intervals(normalize: bool, direction: Any) -> None:
    found = contrast(tiny_gpt2(seed=2), size=4)
    how = Resampling(50, 0.9, 3)
    metric = Metric("logit_diff", normalize=normalize)
    scores = causal_tracing(found, metric, direction=direction, positions=["A.2"], how=how)
    assert scores.nodes == ("MLP0", "MLP1")
    rows = traced(found, "logit_diff", "states", 1, "none", "A.2", direction=direction)
    for layer, prompts in enumerate(rows):
        restored, clean, corrupt = map(list, zip(*prompts, strict=True))

        def of_means(r: float, c: float, k: float) -> float:
            moved = r - k if direction == "denoise" else c - r
            return moved / (c - k) if normalize else moved

        expected = bootstrap([restored, clean, corrupt], of_means, how)
        got = scores.estimate(scores.nodes[layer])
        assert got is not None
        assert (got.value, got.low, got.high) == pytest.approx(
            (expected.value, expected.low, expected.high), abs=1e-6
        )
        whole = bootstrap([clean, corrupt], lambda c, k: c - k, how)
        assert scores.made["total"] == pytest.approx([whole.value, whole.low, whole.high], abs=1e-6)


def test_all_tokens() -> None:
    """Restored at every token at once, the first layer's state is the clean run; a token by itself is not."""
    found = contrast(tiny_gpt2(seed=4), size=2)
    for direction in ("denoise", "noise"):
        whole = causal_tracing(found, Metric("logit_diff"), direction=direction, positions=None)
        assert whole.values[0][0] == pytest.approx(whole.made["total"][0], abs=1e-8)
    each = causal_tracing(found, Metric("logit_diff"))
    assert each.positions == tuple("012345")
    for place in (1, 5):
        expected = traced(found, "logit_diff", "states", 1, "none", place)
        for layer, prompts in enumerate(expected):
            mean = sum(value - corrupt for value, _, corrupt in prompts) / 2
            assert each.values[layer][place] == pytest.approx(mean, abs=1e-7)


def test_a_window_of_one_mlp_is_activation_patching() -> None:
    model = tiny_llama(seed=1, exact=True)
    found = contrast(model, size=3)
    metric = Metric("logit_diff")
    patched = activation_patching(found, model.graph(), metric, positions=["B"])
    traces = causal_tracing(found, metric, of="mlps", window=1, positions=["B"])
    for node in some(traces.nodes):
        assert traces[node][0] == pytest.approx(patched[node][0] - found.corrupt(metric), abs=2e-5)


def test_what_cannot_be_traced() -> None:
    found, metric = contrast(tiny_gpt2()), Metric("prob")
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("C592", {"window": 3}),
        ("C592", {"of": "mlps", "window": 0}),
        ("C593", {"of": "mlps", "sever": "attention"}),
    ]
    for code, options in wrong:
        with refused(MethodError, code):
            causal_tracing(found, metric, **options)
    for direction in ("denoise", "noise"):
        with refused(MethodError, "C523"):
            causal_tracing(contrast(tiny_gpt2(), corruption=Zero()), metric, direction=direction)
    with refused(MethodError, "C591"):
        causal_tracing(contrast(tiny_gpt2(attention_only=True)), metric, sever="mlps")
    with refused(DataError, "C334"):
        causal_tracing(contrast(tiny_gpt2(), lengths=(5, 7)), metric)
