"""Families of models, one file each: every module here that has a `FAMILY` is one.

A family is data. Whether it fits a model is tested when the model is loaded
(`nncirc.engine.model.guards`). A package can add one through the entry point group `nncirc.families`, under
its `model_type`. Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from nncirc.circuits.errors import ModelError
from nncirc.circuits.families.family import Config, Entry, Family
from nncirc.circuits.families.table import FAMILIES

GROUP = "nncirc.families"
"""The group of entry points by which packages add adapters, each under the type that it is for."""


def entry_points(*, group: str) -> Any:
    """What packages add. The library for it takes longer to import than all of this folder."""
    from importlib.metadata import entry_points as installed

    return installed(group=group)


_HEADS = ("num_attention_heads", "n_head", "num_heads", "n_heads", "encoder_attention_heads")


def adapted() -> tuple[str, ...]:
    """The types of Hugging Face models with an adapter of our own."""
    return tuple(sorted(FAMILIES.keys() - {"compiled"}))


@cache
def families() -> dict[str, Entry]:
    """The known families by `model_type`; those of packages come after our own and cannot replace them.

    Families of packages that cannot be loaded are omitted.
    """
    return {**_added()[0], **FAMILIES}


def own_family(model_type: str, config: Config) -> Family | None:
    """Our own family for a `model_type`, or None."""
    entry = FAMILIES.get(model_type)
    return None if entry is None else _made(entry, config)


def is_known(model_type: str) -> bool:
    """Whether there is an entry for a `model_type`, ours or of a package, which may be broken."""
    return model_type in FAMILIES or model_type in families() or model_type in _added()[1]


def _made(entry: Entry, config: Config) -> Family:
    return entry if isinstance(entry, Family) else entry(config)


def family_of(model_type: str, config: Mapping[str, object] | None = None) -> Family:
    """The family for a `model_type`; entries and messages may depend on `config`, the whole `config.json`.

    Raises:
        ModelError: C411, there is no family for it; C436, the family that a package adds for it is broken.
    """
    entry = FAMILIES.get(model_type)  # without a look at packages, which may be broken
    known = families() if entry is None else {}
    entry = entry or known.get(model_type)
    if entry is not None:
        return _made(entry, config or {})
    broken = _added()[1]
    if model_type in broken:
        raise ModelError(
            "C436",
            f"the adapter for models of type {model_type!r} cannot be loaded: {broken[model_type]}",
            hint="update or repair the package that provides it",
        )
    message, hint = unadapted(
        config or {"model_type": model_type}, tuple(sorted(known.keys() - {"compiled"}))
    )
    skipped = "".join(f"; the adapter {name!r} was skipped: {why}" for name, why in sorted(broken.items()))
    raise ModelError("C411", message, hint=hint + skipped)


def _added() -> tuple[dict[str, Entry], dict[str, str]]:
    """What packages add: families by their type, and by the entry's name why one cannot be loaded."""
    found: dict[str, Entry] = {}
    broken: dict[str, str] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        package = getattr(getattr(entry, "dist", None), "name", None)
        of = f" of the package {package}" if package else ""
        try:
            family = entry.load()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - another's code raises what it likes
            said = (str(error).strip().splitlines() or [""])[0][:200]
            broken[entry.name] = f"{type(error).__name__}: {said}{of}"
            continue
        if isinstance(family, Family) or callable(family):
            found.setdefault(entry.name, family)
        else:
            broken[entry.name] = f"expected a Family, found a value of type {type(family).__name__}{of}"
    return found, broken


def may_be_adapted(config: Mapping[str, object]) -> bool:
    """Whether there is an adapter, or may be: what packages add is not loaded here, and no module is made."""
    known = config.get("model_type") in adapted() or any(entry_points(group=GROUP))
    return known or may_have_structure(config)


def may_have_structure(config: Mapping[str, object]) -> bool:
    """Whether a model of a type without an adapter may have heads and predict tokens, as far as is said."""
    kind = config.get("model_type")
    return isinstance(kind, str) and unadapted(config, ())[0] == f"unsupported model type {kind[:60]!r}"


def unadapted(config: Mapping[str, object], known: tuple[str, ...]) -> tuple[str, str]:
    """What is wrong with a config of a type without an adapter, and what to do; types with one are known."""
    kind, made_by = config.get("model_type"), config.get("architectures")
    architecture = made_by[0] if isinstance(made_by, list) and made_by else None
    instead = f"use a decoder-only language model: {', '.join(known)}"
    if "input_encoder" in config and "key_size" in config:
        return (
            "expected a language model, found a compiled program",
            "load it with `using compiled`, with its folder as `path`",
        )
    if "d_vocab" in config and "d_head" in config:
        return (
            "expected a model of transformers, found one of TransformerLens",
            "load it with `using transformer_lens`, with its folder as `path`",
        )
    if not isinstance(kind, str):
        return "its config.json has no model_type", "use the config.json that was saved with the weights"
    message = f"unsupported model type {kind[:60]!r}"
    if config.get("is_encoder_decoder") is True:
        return f"{message}: it has an encoder and a decoder", instead
    if isinstance(architecture, str) and not architecture.endswith(("ForCausalLM", "LMHeadModel")):
        return f"{message}: a {architecture[:60]} does not predict the next token", instead
    if isinstance(architecture, str) and not any(key in config for key in _HEADS):
        return f"{message}: its config has no attention heads, as in state-space models", instead
    return message, (
        f"there are adapters for {', '.join(known)}; a package can add one under the name {kind[:60]!r}"
        f" in the entry point group {GROUP!r}"
    )
