"""What a model's `config.json` says, before any weight is read: which class it is, and how large."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import torch

from nncirc.circuits.errors import ModelError
from nncirc.circuits.families import family_of, is_known, may_have_structure
from nncirc.engine.model.structure import entries_of
from nncirc.engine.shortage import shortage

AttentionImplementation: TypeAlias = Literal["eager", "sdpa"]
"""What transformers computes attention with: products and a softmax, or torch's fused function."""

# What a config may say that does not describe the model, and how the engine runs one.
_RUN = {"return_dict": True, "output_hidden_states": False, "use_cache": False}
# What would have other files read than those of the folder, or other code run than that of its class.
_ELSEWHERE = ("transformers_weights", "fusion_config")
_SIZES = (
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "hidden_size",
    "vocab_size",
    "max_position_embeddings",
)


def read_config(
    place: str, *, revision: str | None = None, offline: bool = True, gguf_file: str | None = None
) -> Any:
    """The config of a folder or a hub id, as transformers has it, with what only says how to run it set.

    Args:
        place: the folder or id.
        revision: branch, tag or commit on the hub.
        offline: whether the hub is not asked.
        gguf_file: the name of a file in the folder that says it, instead of `config.json`.

    Raises:
        ModelError: C411, there is no adapter for models of its type; C430, no model can be built from it.
    """
    from transformers import CONFIG_MAPPING, AutoConfig, PretrainedConfig

    options = {"revision": revision} if revision else {}
    options |= {"gguf_file": gguf_file} if gguf_file else {}
    given, _ = PretrainedConfig.get_config_dict(place, local_files_only=offline, **options)
    kind = str(given.get("model_type"))
    strange = may_have_structure(given) and not is_known(kind) and kind in CONFIG_MAPPING
    if not strange:
        family_of(kind, given)
    if "quantization_config" in given:
        raise ModelError(
            "C430",
            f"the weights of {place} are quantized; the engine needs plain ones",
            hint="use the original model, or save this one again after model.dequantize()",
        )
    said = {name: value for name, value in _RUN.items() if name in given}
    try:
        config = AutoConfig.from_pretrained(
            place, local_files_only=offline, trust_remote_code=False, **options, **said
        )
    except Exception as error:  # noqa: BLE001 - a config can be wrong in any way
        raise impossible(place, error) from None
    for name in _ELSEWHERE:
        if hasattr(config, name):
            delattr(config, name)
    for name in _SIZES:
        size = getattr(config, name, None)
        if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
            raise _wrong(place, name, size, "a whole number of at least 1")
    if not isinstance(getattr(config, "is_causal", True), bool):
        raise _wrong(place, "is_causal", config.is_causal, "true or false")
    if strange:
        entries_of(empty(config, torch.float32, place))
    return config


def _wrong(place: str, name: str, found: Any, wanted: str) -> ModelError:
    return ModelError(
        "C430",
        f"the config.json of {place} has {name} = {found!r}"[:300] + f"; expected {wanted}",
        hint="use the config.json that was saved with the weights",
    )


def impossible(place: str, error: Exception, *, run: bool = False) -> Exception:
    """The error to raise where no model can be made of a config, or none that runs."""
    what = "a plain run fails for the model built from" if run else "cannot build a model from"
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    return shortage(error) or ModelError(
        "C430",
        f"{what} the config.json of {place}: {type(error).__name__}: {' '.join(lines[:2])[:300]}",
        hint="use the config.json that was saved with the weights",
    )


def empty(
    config: Any,
    dtype: torch.dtype,
    place: str = "the model",
    attention: AttentionImplementation | None = None,
) -> Any:
    """The model of a config, with shapes and no memory; its config has the attention that it is to run with.

    Raises:
        ModelError: C430, no model can be built from it; C439, its family has no such attention.
    """
    from transformers import AutoModelForCausalLM

    make: Any = AutoModelForCausalLM.from_config
    try:
        with torch.device("meta"):
            module = make(config, dtype=dtype, attn_implementation="eager")
    except Exception as error:  # noqa: BLE001 - a config can be wrong in any way
        raise impossible(place, error) from None
    if attention == "sdpa" and not module._supports_sdpa:
        raise ModelError(
            "C439",
            f"models of type {config.model_type} have no sdpa attention in transformers",
            hint='omit attn_implementation, or use "eager"',
        )
    if attention is None:
        # Families without it take the slow way: what they compute is the same.
        sdpa = module._supports_sdpa and module._can_set_attn_implementation()
        attention = "sdpa" if sdpa else "eager"
    module.config._attn_implementation = attention
    return module


def parameters(config: Any) -> int:
    """How many parameters a config makes, tied ones once.

    Raises:
        ModelError: C430, no model can be made of it.
    """
    return sum(weight.numel() for weight in empty(config, torch.float32).parameters())
