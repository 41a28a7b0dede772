"""Compiled programs: what they compute, what is cut in them, and folders that are none."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from hypothesis import given, settings, strategies as st
from safetensors.torch import load_file, save_file
from tests.engine.programs import SMALL, Slow, all_against, published, write_program
from tests.refused import refused
from torch import Tensor

from nncirc import all_inputs, prompt_dataset, resolve
from nncirc.circuits.errors import NncircError
from nncirc.circuits.models import COMPILED, model_folder
from nncirc.circuits.names import Position
from nncirc.engine.methods import activation_patching as activation
from nncirc.engine.methods.acdc import acdc
from nncirc.engine.methods.activation_patching import activation_patching
from nncirc.engine.methods.attention_statistics import attention_pattern
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.model.loading import load_bundled, load_compiled
from nncirc.engine.model.model import Model
from nncirc.engine.runs.capture import sender_outputs
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import Direction, Resample, Zero
from nncirc.engine.runs.masked_forward import Mask, masked_forward

CHANGE = Metric("mse", at=(Position("token"),))


# What they compute -----------------------------------------------------------------------------------------


def outputs(model: Model, symbols: tuple[Any, ...]) -> Tensor:
    """At the positions behind BOS."""
    tokens = model.tokenizer([" ".join(map(str, symbols))])["input_ids"]
    found: Tensor = model.module(torch.tensor(tokens))[0, 1:]
    return found


def test_reverse_reverses_every_input() -> None:
    model = load_bundled("tracr-reverse")
    for length in range(1, 6):
        for symbols in product((1, 2, 3), repeat=length):
            assert [1 + int(i) for i in outputs(model, symbols).argmax(-1)] == list(reversed(symbols))


def test_xproportion_is_the_fraction_of_x_on_every_input() -> None:
    model = load_bundled("tracr-xproportion")
    for length in range(1, 6):
        for symbols in product("wxyz", repeat=length):
            wanted = [Fraction(symbols[: i + 1].count("x"), i + 1) for i in range(length)]
            assert outputs(model, symbols)[:, 0].tolist() == pytest.approx(list(map(float, wanted)), abs=1e-6)


@pytest.mark.parametrize("name", COMPILED)
def test_ours_are_the_weights_that_others_compiled(name: str) -> None:
    ours, theirs = (
        load_file(folder / "model.safetensors") for folder in (model_folder(name), published(name))
    )
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


# Any such model against the file's own tensors -------------------------------------------------------------


CHANGED: list[dict[str, Any]] = [
    {},
    {"causal": True},
    {"output_encoder": None},
    {"n_heads": 1, "n_layers": 3},
]


@pytest.mark.parametrize("changed", CHANGED)
def test_the_model_is_what_the_file_says(tmp_path: Path, changed: dict[str, Any]) -> None:
    folder = write_program(tmp_path / "model", **changed)
    model, tokens = load_compiled(folder), torch.tensor([[0, 1, 2, 1], [0, 2, 2, 3]])
    wanted, senders = Slow(folder).run(tokens)
    torch.testing.assert_close(model.module(tokens), wanted, rtol=1e-12, atol=1e-12)
    graph = model.graph(pos_embed=True)
    assert graph.senders == tuple(senders)
    found = sender_outputs(model, graph, tokens)
    torch.testing.assert_close(found, torch.stack(list(senders.values())), rtol=1e-12, atol=1e-12)


@settings(max_examples=18)
@given(st.integers(0, 10_000), st.booleans(), st.sampled_from(["zero", "resample"]), st.data())
def test_any_edges_cut(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    causal: bool,
    kind: Literal["zero", "resample"],
    data: st.DataObject,
) -> None:
    folder = write_program(tmp_path_factory.mktemp("any") / "model", seed=seed, causal=causal)
    model, slow = load_compiled(folder), Slow(folder)
    graph = model.graph(pos_embed=True)
    cut = data.draw(st.lists(st.sampled_from(list(graph.edges())), max_size=12, unique=True))
    tokens, other = torch.tensor([[0, 1, 2, 1], [0, 2, 2, 1]]), torch.tensor([[0, 2, 1, 1], [0, 1, 2, 2]])
    substitute = slow.run(other)[1]
    if kind == "zero":
        substitute = {name: torch.zeros_like(value) for name, value in substitute.items()}
    wanted = slow.run(tokens, cut, substitute)[0]
    stacked = torch.stack([substitute[name] for name in graph.senders])
    found = masked_forward(model, graph, tokens, Mask.of(model, graph, [cut]), stacked)[0]
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("direction", ["noise", "denoise"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("read", [None, 1])
def test_a_patch_at_one_token_reaches_those_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: int | None, causal: bool, direction: Direction
) -> None:
    # One patch a trace: none is computed from where another begins.
    monkeypatch.setattr(activation, "TOKENS_IN_A_TRACE", 1)
    at = slice(1, None) if read is None else slice(read, read + 1)
    metric = Metric("mse", at=(Position("token", read),))
    folder = write_program(tmp_path / "model", causal=causal)
    model, slow = load_compiled(folder), Slow(folder)
    dataset = all_inputs(model.tokenizer, length=3, counterparts=1)
    assert dataset.counterparts is not None
    measured = Contrast(model, dataset, Resample(dataset.counterparts))
    graph = model.graph(pos_embed=True)
    found = activation_patching(measured, graph, metric, direction=direction, positions="all")
    clean, corrupt = (
        torch.tensor([e.tokens for e in column]) for column in (dataset.examples, dataset.counterparts)
    )
    reference = slow.run(clean)[0][:, at]
    largest = max(abs(value) for row in found.values for value in row)  # what digits are relative to
    into, source = (clean, corrupt) if direction == "noise" else (corrupt, clean)
    for row, sender in enumerate(graph.senders):
        for position in range(4):
            patch = {sender: (position, slow.run(source)[1][sender])}
            patched = slow.run(into, patch=patch)[0][:, at]
            assert found.values[row][position] == pytest.approx(
                float((patched - reference).square().mean()), abs=1e-7 * largest
            )


@settings(max_examples=9)
@given(st.integers(0, 10_000), st.sampled_from(["zero", "resample"]), st.sampled_from([0.0, 0.001, 0.1, 1.0]))
def test_acdc_is_the_definition(
    tmp_path_factory: pytest.TempPathFactory, seed: int, kind: Literal["zero", "resample"], threshold: float
) -> None:
    model = load_compiled(write_program(tmp_path_factory.mktemp("any") / "model", seed=seed))
    measured = all_against(model, 2, kind)
    graph = model.graph(pos_embed=True)
    fast = acdc(measured, graph, CHANGE, threshold=threshold, depth=3)
    slow = acdc(measured, graph, CHANGE, threshold=threshold, sequential=True)
    assert fast.edges == slow.edges


@pytest.mark.parametrize("causal", [False, True])
def test_heads_attend_to_what_they_may(tmp_path: Path, causal: bool) -> None:
    model = load_compiled(write_program(tmp_path / "model", causal=causal))
    pattern = attention_pattern(model, torch.tensor([[0, 1, 2]]))
    assert bool((pattern.triu(1) > 0).any()) is not causal
    assert pattern.sum(-1).flatten().tolist() == pytest.approx([1.0] * pattern[..., 0].numel())


# What is no compiled model ---------------------------------------------------------------------------------


def _weights(change: Callable[[dict[str, Tensor]], object]) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors")

    return damage


def _config(**changed: Any) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        (folder / "config.json").write_text(json.dumps({**SMALL, **changed}))

    return damage


DAMAGED: list[tuple[str, Callable[[Path], object], str, str]] = [
    ("no config", lambda f: (f / "config.json").unlink(), "C402", "has no config.json"),
    ("no weights", lambda f: (f / "model.safetensors").unlink(), "C402", "has no *.safetensors"),
    ("cut off", lambda f: (f / "model.safetensors").write_bytes(b"12"), "C403", "cannot be loaded"),
    ("one missing", _weights(lambda t: t.pop("layers.1.W_in")), "C404", "lack layers.1.W_in"),
    (
        "another shape",
        _weights(lambda t: t.update(unembed=torch.zeros(8, 2))),
        "C404",
        "have the shape (8, 2) instead of (8, 3) for unembed",
    ),
    ("not finite", _weights(lambda t: t["embed"].fill_(torch.nan)), "C405", "first in embed.weight"),
    ("norms", _config(layer_norm=True), "C432", "layer_norm = True, expected False"),
    ("another activation", _config(activation="gelu"), "C432", "activation = 'gelu', expected 'relu'"),
    ("no such sizes", _config(n_heads=0), "C603", "n_heads: expected a number of at least 1"),
    ("too many heads", _config(n_heads=10**9), "C452", "at most 100,000 heads"),
    ("a size that is text", _config(d_model="8"), "C603", "d_model: expected a whole number"),
    ("a symbol twice", _config(input_encoder=[["b", 0], ["b", 1]]), "C603", "exactly once"),
    ("an id that is missing", _config(input_encoder=[["BOS", 0], ["b", 2]]), "C603", "exactly once"),
    ("a symbol that is none", _config(output_encoder=[[None, 0]]), "C603", "expected a symbol: a string"),
    ("a symbol as two values", _config(output_encoder=[[True, 0], ["true", 1]]), "C603", "exactly once"),
    ("half of a pad", _config(pad_token="\ud800"), "C602", "unpaired surrogate"),
    ("half of a symbol", _config(input_encoder=[["\ud800", 0]]), "C602", "unpaired surrogate"),
    ("a symbol with a space", _config(input_encoder=[["BOS", 0], ["a b", 1]]), "C603", "without white space"),
    ("no pair", _config(input_encoder=[["BOS"]]), "C603", "expected a symbol and its id"),
    ("no symbols", _config(output_encoder=[]), "C603", "output_encoder: expected symbols"),
    ("another bos", _config(bos_token="<s>"), "C603", "expected a symbol of the input encoder, found '<s>'"),
    ("no JSON", lambda f: (f / "config.json").write_text("{"), "C602", "is not JSON"),
]


@pytest.mark.parametrize(("damage", "code", "message"), [d[1:] for d in DAMAGED], ids=[d[0] for d in DAMAGED])
def test_what_is_no_compiled_model(
    tmp_path: Path, damage: Callable[[Path], object], code: str, message: str
) -> None:
    folder = write_program(tmp_path / "model")
    damage(folder)
    with refused(NncircError, code, message):
        load_compiled(folder)


# Prompts and metrics ---------------------------------------------------------------------------------------


def test_symbols_are_tokens() -> None:
    tokenizer = load_bundled("tracr-xproportion").tokenizer
    dataset = prompt_dataset(tokenizer, clean=["x y w"], corrupt=["x x z"])
    assert dataset.examples[0].tokens == (0, 3, 4, 2)
    with refused(NncircError, "C306", '"a" in "x a w" is unknown'):
        prompt_dataset(tokenizer, clean=["x a w"])


def test_a_program_without_bos_and_of_truth_values(tmp_path: Path) -> None:
    """Nothing is put before its inputs; `true`, `false` and 0.5 are symbols like others."""
    folder = write_program(
        tmp_path / "model",
        bos_token=None,
        pad_token=None,
        input_encoder=[[True, 0], [False, 1], [0.5, 2]],
        output_encoder=[[False, 0], [True, 1]],
    )
    model = load_compiled(folder)
    assert model.module.config.outputs == ("false", "true")
    data = prompt_dataset(model.tokenizer, clean=["true", "0.5 false true"])
    assert [e.tokens for e in data.examples] == [(0,), (2, 1, 0)]
    assert resolve(data.examples[1], "start") == (0,)
    every = all_inputs(model.tokenizer, length=3)
    assert len(every.examples) == 27
    tokens = torch.tensor([e.tokens for e in every.examples])
    assert tokens.shape == (27, 3)
    wanted, _ = Slow(folder).run(tokens)
    torch.testing.assert_close(model.module(tokens).double(), wanted, rtol=1e-5, atol=1e-5)


def test_all_inputs_each_with_others() -> None:
    tokenizer = load_bundled("tracr-reverse").tokenizer
    plain = all_inputs(tokenizer, length=2)
    assert [e.text for e in plain.examples] == [f"{a} {b}" for a in "123" for b in "123"]
    assert {e.tokens[0] for e in plain.examples} == {3}
    assert plain.examples[0].spans == {("token", 1): (1, 2), ("token", 2): (2, 3)}
    assert plain.counterparts is None
    paired = all_inputs(tokenizer, length=2, counterparts=8)
    assert paired.counterparts is not None
    pairs = {(a.text, b.text) for a, b in zip(paired.examples, paired.counterparts, strict=True)}
    texts = [e.text for e in plain.examples]
    assert pairs == {(a, b) for a in texts for b in texts if a != b}
    some = [all_inputs(tokenizer, length=2, counterparts=2, seed=seed).counterparts for seed in (0, 0, 1)]
    assert some[0] == some[1] != some[2]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"length": 2, "counterparts": 9}, "C310"),
        ({"length": 0}, "C312"),
        ({"length": 2, "counterparts": -1}, "C312"),
        ({"length": 12}, "C348"),
        ({"length": 7, "counterparts": 100}, "C348"),
    ],
)
def test_inputs_that_are_too_many_or_too_few(options: dict[str, int], code: str) -> None:
    tokenizer = load_bundled("tracr-reverse").tokenizer
    with refused(NncircError, code):
        all_inputs(tokenizer, **options)


@pytest.mark.parametrize("name", ["kl_divergence", "logit_diff", "prob"])
def test_values_are_no_logits(name: str) -> None:
    model = load_bundled("tracr-reverse")
    measured = Contrast(model, all_inputs(model.tokenizer, length=1), Zero())
    with refused(NncircError, "C433") as caught:
        measured.clean(Metric(name))
    assert caught.value.hint is not None and "mse" in caught.value.hint


def test_values_have_no_answers() -> None:
    model = load_bundled("tracr-reverse")
    with refused(NncircError, "C434"):
        Contrast(model, prompt_dataset(model.tokenizer, clean=["1 2"], answer=["3"]), Zero())


def test_mse_is_the_mean_square_over_outputs_and_positions() -> None:
    model = load_bundled("tracr-reverse")
    measured = Contrast(model, all_inputs(model.tokenizer, length=2), Zero())
    assert measured.clean(CHANGE) == 0
    # Nothing is written, so that all outputs are 0: one of three was 1.
    assert measured.corrupt(CHANGE) == pytest.approx(1 / 3, abs=1e-5)
