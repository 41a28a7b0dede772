"""Models in one `.gguf` file, as llama.cpp has them: config, tokenizer and weights.

transformers reads it, with the package `gguf`, and makes plain weights of quantized ones. What it does not
know in such a file it skips without a word: settings (how a rotary embedding is scaled) as well as tensors.
So every setting is compared with the config that it makes, and every tensor must have a place in the model.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nncirc.circuits.door import open_file
from nncirc.circuits.errors import ModelError

SUFFIX = ".gguf"
NAME = "model.gguf"

_CONFIG: Mapping[str, tuple[str, ...]] = {
    "block_count": ("num_hidden_layers",),
    "context_length": ("max_position_embeddings",),
    "embedding_length": ("hidden_size",),
    "feed_forward_length": ("intermediate_size", "n_inner"),
    "vocab_size": ("vocab_size",),
    "attention.head_count": ("num_attention_heads",),
    "attention.head_count_kv": ("num_key_value_heads", "num_attention_heads"),
    "attention.layer_norm_rms_epsilon": ("rms_norm_eps", "norm_eps"),
    "attention.layer_norm_epsilon": ("layer_norm_eps", "layer_norm_epsilon", "norm_epsilon"),
    "attention.sliding_window": ("sliding_window",),
    "attn_logit_softcapping": ("attn_logit_softcapping",),
    "final_logit_softcapping": ("final_logit_softcapping",),
    "expert_count": ("num_experts", "num_local_experts"),
    "expert_used_count": ("num_experts_per_tok",),
    "expert_feed_forward_length": ("moe_intermediate_size", "intermediate_size"),
    "use_parallel_residual": ("use_parallel_residual",),
}
"""What a setting is called in configs; the first that a config has."""


def require(packages: tuple[str, ...], what: str) -> None:
    """Refuse what needs packages that are not installed.

    Raises:
        ModelError: C438, one is missing.
    """
    if missing := [name for name in packages if find_spec(name) is None]:
        raise ModelError(
            "C438",
            f"{what} needs the package{'s' * (len(missing) > 1)} {' and '.join(missing)}",
            hint=f"pip install {' '.join(missing)}",
        )


@contextmanager
def alone(file: Path) -> Iterator[str]:
    """A folder with nothing but a `.gguf` file, as `NAME`, so that nothing beside it is read.

    Raises:
        ModelError: C402, there is no such file; C403, it is something else; C438, a package is missing.
    """
    try:
        with open_file(file) as stream:
            begins = stream.read(4)
    except OSError as error:
        raise ModelError(
            "C402", f"the model {file} cannot be read: {error.strerror or error}", hint="check the path"
        ) from None
    if begins != b"GGUF":
        raise ModelError(
            "C403", f"{file} is not a gguf file: it does not begin with GGUF", hint="copy the file again"
        )
    require(("gguf", "accelerate"), f"reading {file.name}")
    with tempfile.TemporaryDirectory(prefix="nncirc-") as folder:
        lone = Path(folder) / NAME
        try:
            lone.symlink_to(file.absolute())
        except OSError:  # no links there
            shutil.copyfile(file, lone)
        yield folder


def check_said(file: Path, config: Any, module: Any) -> list[str]:
    """Compare what a file says with the model that was made of it; returns the types of its tensors.

    Raises:
        ModelError: C440, a setting has no counterpart in the config, or another value there; C429, a tensor
            has no place in the model.
    """
    gguf: Any = import_module("gguf")
    reader = gguf.GGUFReader(file)
    architecture = str(reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        setting, value = name.removeprefix(f"{architecture}."), field.contents()
        if setting != name and not _agrees(setting, value, config):
            raise ModelError(
                "C440",
                f"{file.name} has {name} = {value!r}"[:200] + ", which transformers does not take over",
                hint="load the original model, from which the file was converted",
            )
    _check_tensors(file.name, architecture, reader.tensors, module)
    return sorted({tensor.tensor_type.name for tensor in reader.tensors})


def _agrees(setting: str, value: Any, config: Any) -> bool:
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    rotary = getattr(config, "rope_parameters", None) or {}
    if setting in ("attention.key_length", "attention.value_length"):
        return bool(value == width)
    if setting == "rope.dimension_count":
        partial = rotary.get("partial_rotary_factor") or getattr(config, "partial_rotary_factor", None) or 1.0
        return bool(value == int(width * partial))
    if setting in ("rope.freq_base", "rope.freq_base_swa"):
        kinds = [each for each in (rotary, *rotary.values()) if isinstance(each, dict)]
        return any(_equal(value, each["rope_theta"]) for each in kinds if "rope_theta" in each)
    if setting == "rope.scaling.type":
        return bool(value == "none")
    said = [getattr(config, name, None) for name in _CONFIG.get(setting, ())]
    said = [each for each in said if each is not None]
    return bool(said) and _equal(value, said[0])


def _equal(one: Any, other: Any) -> bool:
    """Numbers in float32, as such files have them."""
    if isinstance(one, float) and isinstance(other, int | float):
        return abs(one - other) <= 1e-6 * abs(other)
    return bool(one == other)


def _check_tensors(name: str, architecture: str, tensors: Sequence[Any], module: Any) -> None:
    """Every number of the file is one of the model's parameters."""
    there = sum(int(tensor.n_elements) for tensor in tensors)
    used = sum(weight.numel() for weight in module.parameters())
    if there == used:
        return
    gguf: Any = import_module("gguf")
    (kind,) = [each for each, known in gguf.MODEL_ARCH_NAMES.items() if known == architecture]
    names = gguf.get_tensor_name_map(kind, module.config.num_hidden_layers)
    places = {names.get_name(key.rpartition(".")[0]) for key in module.state_dict()}
    extra = [tensor.name for tensor in tensors if tensor.name.rpartition(".")[0] not in places]
    what = ", ".join(extra[:3]) or f"{there:,} numbers, where the model has {used:,}"
    raise ModelError(
        "C429",
        f"transformers does not use all tensors of {name}: {what}",
        hint="load the original model, from which the file was converted",
    )
