"""Random models in the layout of compiled programs, and their mathematics once more, slowly.

Nothing of the engine is used here but the names of nodes: the file's tensors, heads one by one, rows times
matrices, every receiver's input as a sum over the senders before it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.end_to_end.command import shared
from torch import Tensor

from nncirc import all_inputs
from nncirc.engine.model.model import Model
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import Corruption, Mean, Resample, Zero

Kind: TypeAlias = Literal["zero", "resample", "mean"]

SMALL: dict[str, Any] = {
    "n_layers": 2,
    "n_heads": 2,
    "key_size": 3,
    "d_model": 8,
    "mlp_hidden_size": 5,
    "n_ctx": 5,
    "activation": "relu",
    "layer_norm": False,
    "causal": False,
    "bos_token": "BOS",
    "pad_token": "pad",
    "input_encoder": [["b", 2], ["BOS", 0], [7, 1], ["pad", 3]],
    "output_encoder": [["yes", 0], ["no", 1], ["perhaps", 2]],
}


def write_program(folder: Path, *, seed: int = 0, **config: Any) -> Path:
    """A folder with a random model; `config` is what differs from `SMALL`."""
    folder.mkdir(exist_ok=True)
    sizes = {**SMALL, **config}
    layers, heads, key, width, hidden, positions = (
        sizes[name] for name in ("n_layers", "n_heads", "key_size", "d_model", "mlp_hidden_size", "n_ctx")
    )
    outputs = len(sizes["output_encoder"] or [0])
    generator = torch.Generator().manual_seed(seed)
    shapes: dict[str, tuple[int, ...]] = {
        "embed": (len(sizes["input_encoder"]), width),
        "pos_embed": (positions, width),
        "unembed": (width, outputs),
    }
    for layer in range(layers):
        at = f"layers.{layer}"
        for letter in "QKV":
            shapes |= {f"{at}.W_{letter}": (heads, width, key), f"{at}.b_{letter}": (heads, key)}
        shapes |= {f"{at}.W_O": (heads, key, width), f"{at}.b_O": (width,)}
        shapes |= {f"{at}.W_in": (width, hidden), f"{at}.b_in": (hidden,)}
        shapes |= {f"{at}.W_out": (hidden, width), f"{at}.b_out": (width,)}
    drawn = {name: 0.7 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    save_file(drawn, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(sizes))
    return folder


HOOKED: dict[str, Any] = {
    "n_layers": 2,
    "d_model": 8,
    "n_ctx": 6,
    "d_head": 3,
    "n_heads": 4,
    "d_mlp": 10,
    "act_fn": "gelu",
    "d_vocab": 12,
    "d_vocab_out": 12,
    "normalization_type": "LN",
    "attention_dir": "causal",
    "positional_embedding_type": "standard",
    "eps": 1e-5,
    "model_name": "custom",
    "dtype": "torch.float32",
}


def write_hooked(folder: Path, *, seed: int = 0, **config: Any) -> Path:
    """A folder with a random model as TransformerLens saves it; `config` is what differs from `HOOKED`."""
    folder.mkdir(exist_ok=True)
    sizes = {**HOOKED, **config}
    width, heads, head, hidden = (sizes[key] for key in ("d_model", "n_heads", "d_head", "d_mlp"))
    shapes: dict[str, tuple[int, ...]] = {
        "embed.W_E": (sizes["d_vocab"], width),
        "unembed.W_U": (width, sizes["d_vocab_out"]),
        "unembed.b_U": (sizes["d_vocab_out"],),
    }
    if sizes["positional_embedding_type"] == "standard":
        shapes["pos_embed.W_pos"] = (sizes["n_ctx"], width)
    norms = {"ln_final": sizes["normalization_type"]}
    if sizes.get("final_rms"):
        norms["ln_final"] = {"LN": "RMS"}.get(norms["ln_final"])
    buffers: dict[str, Tensor] = {}
    for layer in range(sizes["n_layers"]):
        at = f"blocks.{layer}"
        norms[f"{at}.ln1"] = sizes["normalization_type"]
        for letter in "QKV":
            shapes |= {f"{at}.attn.W_{letter}": (heads, width, head), f"{at}.attn.b_{letter}": (heads, head)}
        shapes |= {f"{at}.attn.W_O": (heads, head, width), f"{at}.attn.b_O": (width,)}
        buffers[f"{at}.attn.mask"] = torch.ones(sizes["n_ctx"], sizes["n_ctx"]).tril().bool()
        buffers[f"{at}.attn.IGNORE"] = torch.tensor(-torch.inf)
        if not sizes.get("attn_only"):
            norms[f"{at}.ln2"] = sizes["normalization_type"]
            shapes |= {f"{at}.mlp.W_in": (width, hidden), f"{at}.mlp.b_in": (hidden,)}
            shapes |= {f"{at}.mlp.W_out": (hidden, width), f"{at}.mlp.b_out": (width,)}
    shapes |= {f"{name}.w": (width,) for name, kind in norms.items() if kind in ("LN", "RMS")}
    shapes |= {f"{name}.b": (width,) for name, kind in norms.items() if kind == "LN"}
    generator = torch.Generator().manual_seed(seed)
    drawn = {name: 0.6 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    save_file({**drawn, **buffers}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(sizes))
    return folder


def published(name: str) -> Path:
    """The folder of a program that others compiled, with what they measured of it, or the test is skipped."""
    folder = shared() / "models" / name
    if not folder.is_dir():
        pytest.skip(f"needs {name} in ../shared/models")
    return folder


def all_against(model: Model, length: int, kind: Kind) -> Contrast:
    """All inputs of a length against zeros, their mean by position, or three others each."""
    dataset = all_inputs(model.tokenizer, length=length, counterparts=3 if kind == "resample" else 0)
    kinds: dict[str, Corruption] = {"zero": Zero(), "mean": Mean(("prompts",))}
    if dataset.counterparts is not None:
        kinds["resample"] = Resample(dataset.counterparts)
    return Contrast(model, dataset, kinds[kind])


class Slow:
    """A folder's model, in float64."""

    def __init__(self, folder: Path) -> None:
        self.config: dict[str, Any] = json.loads((folder / "config.json").read_text())
        tensors = load_file(folder / "model.safetensors")
        self.weights = {name: tensor.double() for name, tensor in tensors.items()}

    def run(
        self,
        tokens: Tensor,
        cut: Collection[tuple[str, str]] = (),
        substitute: Mapping[str, Tensor] | None = None,
        patch: Mapping[str, tuple[int, Tensor]] | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Outputs, and what every sender writes, of prompts `batch pos`.

        Args:
            tokens: the prompts.
            cut: edges that carry `substitute`.
            substitute: by sender.
            patch: senders that write something else at one position, for all that read from them.
        """
        weights, heads = self.weights, self.config["n_heads"]
        outputs: dict[str, Tensor] = {}
        constant = torch.zeros(self.config["d_model"], dtype=torch.float64)

        def wrote(name: str, value: Tensor) -> None:
            if patch and name in patch:
                position, other = patch[name]
                value = value.clone()
                value[:, position] = other[:, position]
            outputs[name] = value

        def reads(receiver: str) -> Tensor:
            total = constant.expand(*tokens.shape, -1)
            for sender, value in outputs.items():
                total = total + (substitute[sender] if substitute and (sender, receiver) in cut else value)
            return total

        wrote("embed", weights["embed"][tokens])
        wrote("pos_embed", weights["pos_embed"][: tokens.shape[1]].expand(len(tokens), -1, -1))
        for layer in range(self.config["n_layers"]):
            at = f"layers.{layer}"
            written = []
            for head in range(heads):
                query, key, value = (
                    reads(f"L{layer}H{head}.{letter.lower()}") @ weights[f"{at}.W_{letter}"][head]
                    + weights[f"{at}.b_{letter}"][head]
                    for letter in "QKV"
                )
                scores = query @ key.transpose(1, 2) / self.config["key_size"] ** 0.5
                if self.config["causal"]:
                    future = torch.ones(scores.shape[1:]).triu(1).bool()
                    scores = scores.masked_fill(future, -torch.inf)
                written.append(scores.softmax(-1) @ value @ weights[f"{at}.W_O"][head])
            for head, value in enumerate(written):
                wrote(f"L{layer}H{head}", value)
            constant = constant + weights[f"{at}.b_O"]
            hidden = (reads(f"MLP{layer}") @ weights[f"{at}.W_in"] + weights[f"{at}.b_in"]).relu()
            wrote(f"MLP{layer}", hidden @ weights[f"{at}.W_out"] + weights[f"{at}.b_out"])
        return reads("logits") @ weights["unembed"], outputs
