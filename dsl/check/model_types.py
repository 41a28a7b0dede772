"""Which types of models the engine can take apart, and what to say of others: from a `config.json` alone."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["ADAPTED", "GROUP", "may_be_adapted", "unadapted"]

ADAPTED = ("gpt2", "llama")
"""Types with an adapter of our own; the engine has the adapters, and a test that these are all."""

GROUP = "nncirc.families"
"""The group of entry points by which packages add adapters, each under the type that it is for."""

_HEADS = ("num_attention_heads", "n_head", "num_heads", "n_heads", "encoder_attention_heads")


def may_be_adapted(config: Mapping[str, object]) -> bool:
    """Whether there is an adapter, or may be: what packages add is not loaded here."""
    from importlib.metadata import entry_points

    return config.get("model_type") in ADAPTED or any(entry_points(group=GROUP))


def unadapted(config: Mapping[str, object], known: tuple[str, ...] = ADAPTED) -> tuple[str, str]:
    """What is wrong with a config of a type that has no adapter, and what to do.

    Args:
        config: the content of a `config.json`.
        known: the types that have one.
    """
    kind, made_by = config.get("model_type"), config.get("architectures")
    architecture = made_by[0] if isinstance(made_by, list) and made_by else None
    instead = f"use a decoder-only language model: {', '.join(known)}"
    if "input_encoder" in config and "key_size" in config:
        return (
            "this is a compiled program",
            "load it with `using compiled`, and its folder as `path`",
        )
    if not isinstance(kind, str):
        return "its config.json has no model_type", "use the config.json that was saved with the weights"
    message = f"models of type {kind[:60]!r} have no adapter"
    if config.get("is_encoder_decoder") is True:
        return f"{message}: they have an encoder and a decoder", instead
    if isinstance(architecture, str) and not architecture.endswith(("ForCausalLM", "LMHeadModel")):
        return f"{message}: a {architecture[:60]} does not predict the next token", instead
    if isinstance(architecture, str) and not any(key in config for key in _HEADS):
        return f"{message}: its config names no attention heads, as those of state-space models", instead
    return message, (
        f"there are adapters for {', '.join(known)}; a package can add one under the name {kind[:60]!r}"
        f" in the entry point group {GROUP!r}"
    )
