"""Models of TransformerLens: what they compute, what is cut in them, and folders that are none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.engine.folders import not_loaded
from tests.engine.programs import HOOKED, write_hooked
from tests.refused import refused
from torch import Tensor
from torch.nn.functional import gelu, relu, silu

from nncirc import all_inputs, check_text, prompt_dataset
from nncirc.circuits.errors import DataError, ModelError, NncircError
from nncirc.engine.methods.acdc import acdc
from nncirc.engine.methods.weight_circuits import copying_scores
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.model.loading import load_transformer_lens
from nncirc.engine.model.model import Model
from nncirc.engine.program.plan import plan_program
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import Resample
from nncirc.engine.runs.masked_forward import Mask, masked_forward

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": relu,
    "silu": silu,
    "gelu": gelu,
    "gelu_new": lambda x: gelu(x, approximate="tanh"),
}


def forward(folder: Path, tokens: Tensor) -> Tensor:
    """TransformerLens's equations in float64, head by head, of the file's own tensors."""
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    w = {name: tensor.double() for name, tensor in load_file(folder / "model.safetensors").items()}
    kind, length, d_head = config["normalization_type"], tokens.shape[1], config["d_head"]

    def norm(x: Tensor, name: str, kind: str | None) -> Tensor:
        if kind is None:
            return x
        x = x - x.mean(-1, keepdim=True) if kind.startswith("LN") else x
        x = x / ((x * x).mean(-1, keepdim=True) + config["eps"]).sqrt()
        return x * w.get(f"{name}.w", torch.tensor(1.0)) + w.get(f"{name}.b", torch.tensor(0.0))

    def rotated(x: Tensor) -> Tensor:
        if config["positional_embedding_type"] == "standard":
            return x
        x, half = x.clone(), config["rotary_dim"] // 2
        for i in range(half):
            angle = torch.arange(length).double() / config.get("rotary_base", 10_000) ** (i / half)
            a, b = x[..., i].clone(), x[..., half + i].clone()
            x[..., i], x[..., half + i] = a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()
        return x

    x = w["embed.W_E"][tokens]
    if "pos_embed.W_pos" in w:
        x = x + w["pos_embed.W_pos"][:length]
    for layer in range(config["n_layers"]):
        at = f"blocks.{layer}"
        read, added = norm(x, f"{at}.ln1", kind), w[f"{at}.attn.b_O"]
        for head in range(config["n_heads"]):
            q, k, v = (read @ w[f"{at}.attn.W_{c}"][head] + w[f"{at}.attn.b_{c}"][head] for c in "QKV")
            scale = config.get("attn_scale", d_head**0.5) if config.get("use_attn_scale", True) else 1.0
            scores = rotated(q) @ rotated(k).transpose(1, 2) / scale
            if config["attention_dir"] == "causal":
                scores = scores.masked_fill(~torch.ones(length, length).tril().bool(), -torch.inf)
            added = added + scores.softmax(-1) @ v @ w[f"{at}.attn.W_O"][head]
        before, x = x, x + added
        if not config.get("attn_only"):
            read = norm(before if config.get("parallel_attn_mlp") else x, f"{at}.ln2", kind)
            hidden = ACTIVATIONS[config["act_fn"]](read @ w[f"{at}.mlp.W_in"] + w[f"{at}.mlp.b_in"])
            x = x + hidden @ w[f"{at}.mlp.W_out"] + w[f"{at}.mlp.b_out"]
    final = kind.replace("LN", "RMS") if kind and config.get("final_rms") else kind
    return norm(x, "ln_final", final) @ w["unembed.W_U"] + w["unembed.b_U"]


KINDS: list[dict[str, Any]] = [
    {},
    {"normalization_type": None, "act_fn": "relu", "attention_dir": "bidirectional"},
    {"normalization_type": "LNPre", "act_fn": "gelu_new"},
    {"normalization_type": "RMS", "act_fn": "silu"},
    {"normalization_type": "RMSPre", "d_head": 2},
    {"final_rms": True},
    {"attn_only": True, "normalization_type": None},
    {"positional_embedding_type": "rotary", "rotary_dim": 2},
    {"positional_embedding_type": "rotary", "d_head": 4, "rotary_dim": 4, "rotary_base": 50},
    {"parallel_attn_mlp": True},
    {"d_vocab_out": 1},
    {"d_vocab_out": 5, "attn_scale": 0.7},
    {"use_attn_scale": False},
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_model_is_what_the_file_says(tmp_path: Path, kind: dict[str, Any]) -> None:
    folder = write_hooked(tmp_path / "model", **kind)
    model, tokens = (
        load_transformer_lens(folder, dtype="float64"),
        torch.tensor([[0, 1, 11, 1], [5, 2, 7, 3]]),
    )
    wanted = forward(folder, tokens)
    torch.testing.assert_close(model.module(tokens), wanted, rtol=1e-12, atol=1e-12)
    assert not model.slow
    assert model.shape.mlps is not kind.get("attn_only", False)
    assert model.predicts_tokens is (kind.get("d_vocab_out") != 1)
    graph = model.graph(pos_embed=model.family.pos_embed is not None)
    nothing = Mask.of(model, graph, [()])
    substitute = torch.zeros(len(graph.senders), *tokens.shape, model.d_model, dtype=torch.float64)
    found = masked_forward(model, graph, tokens, nothing, substitute)[0]
    torch.testing.assert_close(found, wanted, rtol=1e-11, atol=1e-11)


def measured(model: Model) -> Contrast:
    data = prompt_dataset(
        model.tokenizer, clean=["3 0 11 2", "1 4 5 2"], corrupt=["3 9 11 2", "7 4 5 2"], answer=["1", "2"]
    )
    assert data.counterparts is not None
    assert data.examples[0].tokens == (3, 0, 11, 2)  # the numbers, and no BOS
    return Contrast(model, data, Resample(data.counterparts))


@pytest.mark.parametrize("kind", [KINDS[i] for i in (1, 8, 9, 11)], ids=str)
def test_acdc_is_its_definition(tmp_path: Path, kind: dict[str, Any]) -> None:
    model = load_transformer_lens(write_hooked(tmp_path / "model", **kind), dtype="float64")
    about, graph = measured(model), model.graph()
    fast, slow = (
        acdc(about, graph, Metric("kl_divergence"), threshold=1e-4, sequential=each) for each in (False, True)
    )
    assert fast.edges == slow.edges
    assert 0 < len(fast) < graph.n_edges


def test_outputs_are_fewer_than_tokens(tmp_path: Path) -> None:
    """Of addition modulo a prime, say: `=` is read and never given."""
    model = load_transformer_lens(write_hooked(tmp_path / "model", d_vocab_out=2))
    with refused(DataError, "C337", "token 2 is an answer", "outputs for 2 tokens only"):
        measured(model)
    with refused(ModelError, "C433", "reads 12 tokens and has 2 outputs"):
        copying_scores(model)


def test_a_single_output_is_a_value(tmp_path: Path) -> None:
    folder = write_hooked(tmp_path / "model", d_vocab_out=1)
    model = load_transformer_lens(folder)
    every = all_inputs(model.tokenizer, length=2)
    assert len(every.examples) == 144
    script = f"""
model small using transformer_lens {{
  path = "{folder}"
}}
dataset inputs using prompts {{
  model = small
  clean = ["3 0 11"]
  corrupt = ["3 1 11"]
}}
corruption others using counterpart {{
  data = inputs
}}
graph full using residual {{
  model = small
}}
scores edges using attribution_patching {{
  graph = full
  corruption = others
  metric = METRIC
  steps = 2
}}
"""
    wrong = check_text(script.replace("METRIC", "kl_divergence()")).diagnostics
    assert [each.labels[0].text for each in wrong if each.code == "C433"] == ["it has one output"]
    checked = check_text(script.replace("METRIC", "mse(at = end)"))
    assert checked.program is not None, checked.diagnostics
    assert "2 layers" in str(plan_program(checked.program))


def _config(**changed: Any) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        (folder / "config.json").write_text(json.dumps({**HOOKED, **changed}))

    return damage


def _weights(change: Callable[[dict[str, Tensor]], object]) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors")

    return damage


DAMAGED: list[tuple[Callable[[Path], object], str, str]] = [
    (_config(act_fn="solu_ln"), "C432", "act_fn = 'solu_ln', expected 'relu' or"),
    (_config(act_fn=None), "C432", "act_fn = None"),
    (_config(positional_embedding_type="shortformer"), "C432", "= 'shortformer', expected 'standard'"),
    (_config(normalization_type="batch"), "C432", "normalization_type = 'batch'"),
    (_config(attention_dir="both"), "C432", "attention_dir = 'both'"),
    (_config(gated_mlp=True), "C432", "gated_mlp = True"),
    (_config(n_key_value_heads=2), "C432", "n_key_value_heads = 2"),
    (_config(use_local_attn=True), "C432", "use_local_attn = True"),
    (_config(output_logits_soft_cap=30.0), "C432", "output_logits_soft_cap = 30.0"),
    (_config(something_new=2), "C432", "something_new = 2"),
    (_config(attn_only=1), "C603", "attn_only: expected true or false"),
    (_config(attn_scale=0), "C603", "attn_scale: expected a number above 0"),
    (
        _config(positional_embedding_type="rotary", rotary_dim=5),
        "C603",
        "rotary_dim: expected an even number",
    ),
    (_config(n_layers=0), "C603", "n_layers"),
    (lambda f: (f / "config.json").write_text("{}"), "C603", "the key 'n_layers' is missing"),
    (_config(d_head=2), "C404", "have the shape (4, 8, 3) instead of (4, 8, 2) for blocks.0.attn.W_Q"),
    (_config(normalization_type="LNPre"), "C429", "does not use the weights blocks.0.ln1.b"),
    (_config(n_layers=1), "C429", "blocks.1."),
    (_weights(lambda t: t.pop("unembed.b_U")), "C404", "lack unembed.b_U"),
    (_weights(lambda t: t["embed.W_E"].fill_(torch.nan)), "C405", "first in embed.weight"),
    (lambda f: (f / "model.safetensors").unlink(), "C402", "has no *.safetensors"),
]


@pytest.mark.parametrize(("damage", "code", "message"), DAMAGED, ids=[f"{c} {m[:30]}" for _, c, m in DAMAGED])
def test_what_is_no_such_model(
    tmp_path: Path, damage: Callable[[Path], object], code: str, message: str
) -> None:
    folder = write_hooked(tmp_path / "model")
    damage(folder)
    with refused(NncircError, code, message):
        load_transformer_lens(folder)


def test_a_pickle_is_not_read(tmp_path: Path) -> None:
    error = not_loaded(tmp_path / "model.pt", "C402", "is a pickle", load=load_transformer_lens)
    assert "weights_only=True" in str(error.hint)
