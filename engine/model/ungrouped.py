"""A model under grouped-query attention, with a key and a value for every head.

Other packages count keys and values by query head, also where heads share them (EAP-IG and MIB: 1,592,881
edges of Llama 3.1 8B, where there are 805,681 by groups). Here the model itself is made so: each head has a
copy of its group's projections. It computes the same, and a head's key is cut without the others'.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from nncirc.circuits.errors import ModelError
from nncirc.circuits.families.family import Heads
from nncirc.circuits.graph import Graph
from nncirc.engine.model import guards
from nncirc.engine.model.configs import empty
from nncirc.engine.model.model import Model


def ungrouped(model: Model) -> Model:
    """The same model, in which no heads share a key or a value; itself, if none do.

    All weights but those of keys and values are shared with it. The guards run on it, too.

    Raises:
        ModelError: C441, the family's layers cannot be built that way, or weights are quantized.
    """
    shape = model.shape
    if shape.n_kv_heads == shape.n_heads:
        return model
    if "ungrouped" not in model.memo:
        model.memo["ungrouped"] = _made(model)
    found: Model = model.memo["ungrouped"]
    return found


def counts_by_heads(model: Model, graph: Graph) -> bool:
    """Whether a graph has a key and a value for each head where heads of the model share them."""
    return graph.shape.n_kv_heads > model.shape.n_kv_heads


def _made(model: Model) -> Model:
    shape, key = model.shape, model.family.keys.kv_heads
    if "quantize" in model.made:
        raise ModelError(
            "C441",
            f"the heads of {model.name} cannot have keys and values of their own: its weights are quantized",
            hint="load the model without quantize, or write kv = groups",
        )
    if not isinstance(key, str):
        raise ModelError(
            "C441",
            f"the heads of {model.name} cannot have keys and values of their own:"
            f" its layers are always built with {shape.n_kv_heads}",
            hint="write kv = groups",
        )
    config = copy.deepcopy(model.module.config)
    setattr(config, key, shape.n_heads)
    fresh = empty(config, model.dtype, model.name)
    fresh.set_attn_implementation(model.module.config._attn_implementation)
    _take(fresh, model)
    fresh.eval().requires_grad_(False)
    return guards.guarded(replace(model, module=fresh, made={**model.made, "kv": "heads"}))


def _take(fresh: Any, model: Model) -> None:
    """Give a module without weights those of a model, keys and values once for each head."""
    theirs = dict(model.module.named_parameters(remove_duplicate=False))
    wider = _wider(model)
    own = {name: wider(name, weight) for name, weight in theirs.items()}
    fresh.load_state_dict(own, assign=True, strict=False)  # buffers that are saved follow below
    for old, new in zip(model.module.modules(), fresh.modules(), strict=True):
        new._buffers.update(old._buffers)
        for name, value in vars(old).items():
            if isinstance(value, Tensor):
                setattr(new, name, value)


def _wider(model: Model) -> Any:
    """What a parameter becomes, by its name: those of the chains of units have rows for every head."""
    shape, family = model.shape, model.family
    before = model.units
    after = family.units.layout(Heads(shape.n_heads, shape.n_heads, model.d_head))
    groups = {(unit.kind, unit.number): unit for unit in before}
    rows: dict[str, list[int]] = {}
    for chain, steps in enumerate(family.units.chains):
        width = 1 + max(max(unit.columns[chain]) for unit in after if chain in unit.columns)
        places = [0] * width
        for unit in after:
            number = unit.number if unit.kind == "q" else shape.kv_of(unit.number)
            of = groups[unit.kind, number]
            for new, old in zip(unit.columns.get(chain, ()), of.columns.get(chain, ()), strict=True):
                places[new] = old
        rows.update({str(step): places for step in steps if isinstance(step, str)})

    def taken(name: str, weight: Tensor) -> Tensor:
        for path, places in rows.items():
            if name.startswith(f"{family.blocks}.") and name.rpartition(".")[0].endswith(f".{path}"):
                axis = 0 if family.transposed or weight.dim() == 1 else 1
                return weight.index_select(axis, torch.tensor(places, device=weight.device))
        return weight

    return taken
