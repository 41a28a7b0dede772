"""Models for a forecast: the one itself where it is at hand and not too large, or one of the same sizes."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch

from nncirc.circuits.door import at_home
from nncirc.circuits.errors import ModelError, ResourceError
from nncirc.circuits.words import memory_in_words
from nncirc.dsl.program import Declaration
from nncirc.engine.data.load import first_line, is_local
from nncirc.engine.families import family_of
from nncirc.engine.memory import default_memory
from nncirc.engine.model import Model

STAND_IN_LAYERS = 2


def is_at_hand(declaration: Declaration, size: int) -> bool:
    """Whether the weights of a model, so many bytes, are on this machine and loading them costs little.

    Args:
        declaration: of the model.
        size: of its weights.
    """
    if size > default_memory(torch.device("cpu")) // 4:
        return False
    if declaration.implementation == "bundled":
        return True
    name, revision = str(declaration.values["id"]), declaration.values["revision"]
    if is_local(name):
        return any(at_home(name).glob("*.safetensors"))
    from huggingface_hub import try_to_load_from_cache

    files = ("model.safetensors", "model.safetensors.index.json")
    wanted = str(revision) if revision else None
    return any(isinstance(try_to_load_from_cache(name, file, revision=wanted), str) for file in files)


def parameters(config: Any) -> int:
    """How many parameters a config makes, tied ones once: counted on the model itself, without its memory.

    Raises:
        ModelError: C411, there is no adapter for the model's type; C422, no model can be made of the config.
    """
    return sum(weight.numel() for weight in _empty(config, torch.float32).parameters())


def stand_in(config: Any, dtype: torch.dtype) -> Model:
    """A model of a config's sizes and few layers, whose weights are no one's: for how fast it is.

    Args:
        config: of transformers.
        dtype: of weights and activations.

    Raises:
        ModelError: as `parameters`.
        ResourceError: C701, even that is too large for this machine.
    """
    small = deepcopy(config)
    small.num_hidden_layers = min(STAND_IN_LAYERS, config.num_hidden_layers)
    module = _empty(small, dtype)
    needed, free = sum(weight.nbytes for weight in module.parameters()), default_memory(torch.device("cpu"))
    if needed > free:
        raise ResourceError(
            "C701",
            f"{STAND_IN_LAYERS} layers of such a model take {memory_in_words(needed)},"
            f" and {memory_in_words(free)} may be used",
        )
    module = module.to_empty(device="cpu").eval().requires_grad_(False)
    for tensor in [*module.parameters(), *module.buffers()]:
        # Memory as it was found may hold numbers so small that arithmetic with them is slow.
        tensor.fill_(0.01)
    return Model(module, name="stand-in")


def _empty(config: Any, dtype: torch.dtype) -> Any:
    """The model of a config, with shapes and no memory."""
    from transformers import AutoModelForCausalLM

    family_of(config.model_type)
    make: Any = AutoModelForCausalLM.from_config
    try:
        with torch.device("meta"):
            return make(config, dtype=dtype)
    except Exception as error:  # noqa: BLE001 - a config can be wrong in any way
        raise ModelError(
            "C422",
            f"no model can be made of its config: {first_line(error)}",
            hint="use the config.json that was saved with the weights",
        ) from None
