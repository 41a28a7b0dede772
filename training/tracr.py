"""Compile `tracr-reverse` and `tracr-xproportion`: programs, so that their circuits are known.

    pip install tracr-pypi safetensors
    python -m training.tracr [--out DIR]

Both are of the ACDC paper (Conmy et al. 2023): the sequence in reverse, and at each position the fraction of
tokens so far that are `x`. Tracr (Lindner et al. 2023) compiles RASP programs (Weiss et al. 2021) to weights
without any randomness. It needs jax, which nothing else here does: only this script imports it.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

from training import MODELS

LONGEST = 5
BOS = "BOS"

CARD = """\
# {name}

{what}
Compiled, not trained: every weight follows from a RASP program, so the true circuit, and what each of its
components does, is known. For examples and tests. License: MIT; made with `tracr-pypi` {version}
(Apache-2.0).

## Use

    model m using bundled {{ name = "{name}" }}

{layers} layers of one head of width {key}, a residual stream of width {width}, ReLU MLPs of width {hidden},
no norms, bidirectional attention, token and position embeddings. An input is `{bos}` followed by 1 to
{longest} of {symbols}; the output at `{bos}` has no meaning.
{output}

## Program

{program}

## How it was made

`python -m training.tracr`. `config.json` names the directions of the residual stream (`residual_labels`). The
output was compared with the program's on all {inputs:,} inputs of up to {longest} tokens (`scores.json`; a
test repeats it): {wrong} wrong, largest difference {error:.1e}.
"""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A program, and what its card says about it.

    Attributes:
        make: builds the program, from the modules `tracr.rasp.rasp` and `tracr.compiler.lib`.
        symbols: the tokens of inputs.
        what: a sentence saying what it computes.
        program: how, as code.
        output: what its output is.
    """

    make: Callable[[Any, Any], Any]
    symbols: tuple[str | int, ...]
    what: str
    program: str
    output: str


RECIPES: Mapping[str, Recipe] = {
    "tracr-reverse": Recipe(
        make=lambda rasp, lib: lib.make_reverse(rasp.tokens),
        symbols=(1, 2, 3),
        what="Reverses a sequence.",
        program="""\
    length     the number of tokens: selector width of "all", in layers 0 (attention) to 1 (MLP)
    opp_idx    length - indices, MLP of layer 1
    opp_idx-1  opp_idx - 1, MLP of layer 2
    reverse    the token where indices == opp_idx-1, head of layer 3""",
        output="At each position it is 1 for the symbol of the reversed sequence, 0 for the two others.",
    ),
    "tracr-xproportion": Recipe(
        make=lambda rasp, lib: lib.make_frac_prevs((rasp.tokens == "x").named("is_x")),
        symbols=("w", "x", "y", "z"),
        what="Outputs, at each position, the fraction of the tokens so far that are `x`.",
        program="""\
    is_x        tokens == "x", MLP of layer 0
    frac_prevs  the mean of is_x where indices <= own index, head of layer 1""",
        output="It is a single value from 0 to 1.",
    ),
}


def tensors(compiled: Any, unembed: Sequence[int]) -> dict[str, Any]:
    """The weights in the layout that `nncirc.engine.model.compiled` reads: vectors are rows.

    Args:
        compiled: what Tracr gives.
        unembed: which directions of the residual stream are the outputs.
    """
    import numpy as np

    params, config = compiled.params, compiled.model_config

    def of(module: str, name: str) -> Any:
        return np.asarray(params[module][name], dtype=np.float32)

    width = len(compiled.residual_labels)
    found = {
        "embed": of("token_embed", "embeddings"),
        "pos_embed": of("pos_embed", "embeddings"),
        "unembed": np.eye(width, dtype=np.float32)[:, list(unembed)],
    }
    heads, key = config.num_heads, config.key_size
    for layer in range(config.num_layers):
        module, at = f"transformer/layer_{layer}", f"layers.{layer}"
        for letter, name in (("Q", "query"), ("K", "key"), ("V", "value")):
            matrix = of(f"{module}/attn/{name}", "w").reshape(width, heads, key)
            found[f"{at}.W_{letter}"] = matrix.transpose(1, 0, 2)
            found[f"{at}.b_{letter}"] = of(f"{module}/attn/{name}", "b").reshape(heads, key)
        found[f"{at}.W_O"] = of(f"{module}/attn/linear", "w").reshape(heads, key, width)
        found[f"{at}.b_O"] = of(f"{module}/attn/linear", "b")
        for end, name in (("in", "linear_1"), ("out", "linear_2")):
            found[f"{at}.W_{end}"] = of(f"{module}/mlp/{name}", "w")
            found[f"{at}.b_{end}"] = of(f"{module}/mlp/{name}", "b")
    return {key: np.ascontiguousarray(value) for key, value in found.items()}


def inputs(recipe: Recipe) -> Iterator[tuple[str | int, ...]]:
    """All inputs of 1 to `LONGEST` tokens."""
    for length in range(1, LONGEST + 1):
        yield from product(recipe.symbols, repeat=length)


def verified(recipe: Recipe, program: Any, compiled: Any, *, categorical: bool) -> dict[str, Any]:
    """On all inputs, how often what was compiled differs from the program, and by how much at most."""
    wrong, largest, count = 0, 0.0, 0
    for tokens in inputs(recipe):
        decoded = compiled.apply([BOS, *tokens]).decoded[1:]
        wanted = program(list(tokens))
        count += 1
        if categorical:
            wrong += decoded != wanted
        else:
            error = max(abs(a - b) for a, b in zip(decoded, wanted, strict=True))
            largest = max(largest, error)
            wrong += error > 1e-6
    return {"inputs": count, "wrong": wrong, "largest_difference": float(f"{largest:.1e}")}


def build(name: str, folder: Path) -> None:
    """Compile a program, verify it, and write its folder."""
    from safetensors.numpy import save_file
    from tracr.compiler import compiling, lib  # type: ignore[import-not-found]
    from tracr.rasp import rasp  # type: ignore[import-not-found]

    recipe = RECIPES[name]
    program = recipe.make(rasp, lib)
    compiled = compiling.compile_rasp_to_model(
        program, vocab=set(recipe.symbols), max_seq_len=LONGEST, compiler_bos=BOS
    )
    # A direction is called after an expression, or after one and a value of it.
    mine = re.compile(rf"{re.escape(program.label)}(:.*)?")
    unembed = [i for i, label in enumerate(compiled.residual_labels) if mine.fullmatch(label)]
    config, categorical = compiled.model_config, hasattr(compiled.output_encoder, "encoding_map")

    def by_id(encoder: Any) -> list[list[Any]]:
        return sorted(([symbol, i] for symbol, i in encoder.encoding_map.items()), key=lambda pair: pair[1])

    written = {
        "name": name,
        "compiler": f"tracr-pypi {version('tracr-pypi')}",
        "n_layers": config.num_layers,
        "n_heads": config.num_heads,
        "key_size": config.key_size,
        "d_model": len(compiled.residual_labels),
        "mlp_hidden_size": config.mlp_hidden_size,
        "activation": "relu",
        "layer_norm": config.layer_norm,
        "causal": config.causal,
        "n_ctx": LONGEST + 1,
        "bos_token": BOS,
        "pad_token": "compiler_pad",
        "input_encoder": by_id(compiled.input_encoder),
        "output_encoder": by_id(compiled.output_encoder) if categorical else None,
        "residual_labels": compiled.residual_labels,
    }
    scores = verified(recipe, program, compiled, categorical=categorical)
    card = CARD.format(
        name=name,
        what=recipe.what,
        version=version("tracr-pypi"),
        layers=config.num_layers,
        key=config.key_size,
        width=len(compiled.residual_labels),
        hidden=config.mlp_hidden_size,
        longest=LONGEST,
        symbols=", ".join(f"`{symbol}`" for symbol in recipe.symbols),
        bos=BOS,
        output=recipe.output,
        program=recipe.program,
        inputs=scores["inputs"],
        wrong=scores["wrong"],
        error=scores["largest_difference"],
    )
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors(compiled, unembed), folder / "model.safetensors")
    for file, content in (("config.json", written), ("scores.json", scores)):
        (folder / file).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(card, encoding="utf-8")


def main() -> None:
    """Compile both."""
    parser = argparse.ArgumentParser(description="Compile the bundled Tracr models.")
    parser.add_argument("--out", type=Path, default=MODELS, help="folder to write the models to")
    out = parser.parse_args().out
    for name in RECIPES:
        build(name, out / name)


if __name__ == "__main__":
    main()
