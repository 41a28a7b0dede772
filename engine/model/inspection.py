"""What is found about a model when it is loaded: its shape, what the guards measured, what is fast."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from nncirc.circuits.families import own_family
from nncirc.circuits.words import counted
from nncirc.engine.model.guards import GUARDS, Reach
from nncirc.engine.model.model import Model

PARTS = {"attention": "single heads", "MLPs": "single MLPs", "logits": "logits"}
"""What fast paths compute by itself, under the names by which guards know it."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a guard measured.

    Attributes:
        code: of the error that it raises.
        claim: what must hold.
        error: the largest relative error; None where the model has nothing that the claim is about.
        allowed: how large it may be.
    """

    code: str
    claim: str
    error: float | None
    allowed: float | None


@dataclass(frozen=True, slots=True)
class Refused:
    """A method that cannot be used on the model, the code of the error, and why."""

    what: str
    code: str
    why: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """What is found about a model.

    Attributes:
        facts: what it is, in words that can be printed, or numbers.
        guards: what each guard measured.
        fast: what can be computed by itself; where not, why. The results are the same, and take longer.
        refused: what cannot be used on it.
    """

    facts: dict[str, str | int | float]
    guards: tuple[Measured, ...]
    fast: dict[str, str]
    refused: tuple[Refused, ...]

    def as_json(self) -> dict[str, Any]:
        """JSON values only."""
        return asdict(self)


def inspect_model(model: Model) -> Inspection:
    """All that is known of a loaded model; its guards have run."""
    family, shape, config, graph = model.family, model.shape, model.module.config, model.graph()
    neurons = shape.mlps and family.mlp_output is not None
    own = own_family(config.model_type, config.to_dict()) is not None
    entry = config.model_type if own else f"{config.model_type}, of a package"
    after = [norm for norm in (family.after_attention, family.after_mlp) if norm]
    facts: dict[str, str | int | float] = {
        "model": model.name,
        "type": config.model_type,
        "family": str(model.made.get("family", entry)),
        "class": type(model.module).__name__,
        "layers": shape.n_layers,
        "heads": shape.n_heads,
        "key-value groups": shape.n_kv_heads,
        "width": model.d_model,
        "width of a head": model.d_head,
        "neurons of an MLP": (len(model.neuron_weights(0)) if neurons else "not known") if shape.mlps else 0,
        "vocabulary": model.vocabulary,
        "parameters": sum(weight.numel() for weight in model.module.parameters()),
        "dtype": str(model.dtype).removeprefix("torch."),
        "attention and MLP": "side by side" if shape.parallel else "one after the other",
        "norms after a block": ", ".join(after) or "none",
        "residual scale": family.residual_scale,
        "positions": f"added by {family.pos_embed}" if family.pos_embed else "within attention",
        "graph": f"{len(graph.senders):,} nodes and the logits, {graph.n_edges:,} edges",
        **_tokenizer(model.tokenizer),
    }
    measured = model.guard.measured if isinstance(model.guard, Reach) else {}
    guards = tuple(Measured(guard.code, guard.holds, *measured.get(guard, (None, None))) for guard in GUARDS)
    return Inspection(
        facts, guards, {PARTS[part]: model.slow.get(part, "") for part in PARTS}, _refused(model)
    )


def _tokenizer(tokenizer: Any) -> dict[str, str | int | float]:
    if tokenizer is None:
        return {"tokenizer": "none"}
    added = tokenizer("").input_ids
    first = f"{tokenizer.decode(added)} before every prompt" if added else "none before a prompt"
    return {
        "tokenizer": f"{type(tokenizer).__name__}, {counted(len(tokenizer), 'token')}",
        "special tokens": first,
    }


def _refused(model: Model) -> tuple[Refused, ...]:
    found = [
        Refused(what, "C419", f"{PARTS[part]} cannot be computed by themselves")
        for part in model.slow
        for what in ("path_patching", "attention statistics", "QK circuits", "correct_qk", "`of = pattern`")
    ][:5]
    if "logits" in model.slow:
        found.append(Refused("the lenses, logit_attribution", "C426", "logits are made otherwise"))
    if model.couples_heads:
        why = "a norm scales all heads of a layer together"
        found.append(Refused("steering of single heads, causal tracing of attention", "C419", why))
    if model.shape.mlps and model.family.activation is None:
        found.append(Refused("relp", "C547", "the adapter names no activation function"))
    if model.shape.mlps and model.family.mlp_output is None:
        found.append(Refused("neurons as nodes", "C435", "the adapter names no neurons"))
    if model.family.pos_embed is None:
        found.append(Refused("positions as a node of their own", "C431", "none are added to the stream"))
    return tuple(found)
