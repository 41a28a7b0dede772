"""Models for a plan: the one itself where it is at hand and not too large, or one of the same sizes."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch

from nncirc.circuits.door import at_home
from nncirc.circuits.errors import NncircError
from nncirc.dsl.check.program import Declaration
from nncirc.engine.data.load import is_local
from nncirc.engine.model.configs import empty, impossible
from nncirc.engine.model.model import Model
from nncirc.engine.model.structure import entries_of
from nncirc.engine.runs.capture import written
from nncirc.engine.runs.memory import default_memory

STAND_IN_LAYERS = 2


def is_at_hand(declaration: Declaration, size: int) -> bool:
    """Whether the weights of a model, so many bytes, are on this machine and loading them costs little."""
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


def stand_in(config: Any, dtype: torch.dtype, place: str = "the model") -> Model | None:
    """A model of a config's sizes and few layers, whose weights are no one's: for how fast it is.

    None if even that is too large for this machine.

    Raises:
        ModelError: C430, no model can be made of the config, or none that runs.
    """
    small = deepcopy(config)
    small.num_hidden_layers = min(STAND_IN_LAYERS, config.num_hidden_layers)
    module = empty(small, dtype, place)
    if sum(weight.nbytes for weight in module.parameters()) > default_memory(torch.device("cpu")):
        return None
    module = module.to_empty(device="cpu").eval().requires_grad_(False)
    for tensor in [*module.parameters(), *module.buffers()]:
        # Memory as it was found may hold numbers so small that arithmetic with them is slow.
        tensor.fill_(0.01)
    made = Model(module, name="stand-in", entry=entries_of(module)[0])
    tokens = torch.zeros(1, 1, dtype=torch.long)
    try:
        with torch.no_grad():
            module(**made.inputs(tokens, 1))
            written(made, tokens)
    except NncircError:
        raise
    except Exception as error:  # noqa: BLE001 - a module made of a wrong config raises anything
        raise impossible(place, error, run=True) from None
    return made
