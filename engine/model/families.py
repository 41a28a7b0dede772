"""Families of models: where a Hugging Face model keeps the parts that the engine reads and writes.

A family is data. Whether it is right for a model is not believed but tested when the model is loaded
(`engine.model.guards`). A package can add one through the entry point group `nncirc.families`, under its
`model_type`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points

from nncirc.circuits.arguments import public
from nncirc.circuits.errors import ModelError
from nncirc.dsl.check.model_types import GROUP, unadapted


@public
@dataclass(frozen=True, slots=True)
class Family:
    """Dotted paths of a family's modules: the first block of them from the model, the second from a block.

    Attributes:
        model_type: as in the model's `config.json`.
        blocks: the list of transformer blocks.
        final_norm: the norm before the unembedding.
        unembed: the unembedding.
        rotary: the module that computes rotary embeddings, or None for learned positions.
        pos_embed: the module whose weight's row p is added to the embedding of the token at position p; None
            if positions enter otherwise.
        attention_norm: the norm that attention reads the residual stream through.
        projections: the modules of query, key and value: three, or one that computes all (fused).
        output: the output projection, whose input is every head's z side by side.
        mlp_norm: the norm that the MLP reads the residual stream through.
        mlp: the MLP.
        attention: the attention module; its output is a tuple that begins with what it adds to the
            residual stream.
        transposed: whether projections keep their weight as [out, in] (`Linear`) or [in, out] (`Conv1D`).
        activation: the activation inside the MLP, from a block; None if it is no module.
        mlp_output: the MLP's output projection, whose input are its neurons' activations; None if the MLP is
            not made of neurons, or it is not known where.
        gated: the module whose input is the product of activation and gate; None if there is no gate.
        float32_norm: whether the norms compute in float32 whatever the model's dtype: then results are
            exact to float32's rounding only.
    """

    model_type: str
    blocks: str
    final_norm: str
    unembed: str
    rotary: str | None
    attention_norm: str
    attention: str
    projections: tuple[str, ...]
    output: str
    mlp_norm: str
    mlp: str
    transposed: bool = True
    float32_norm: bool = False
    activation: str | None = None
    gated: str | None = None
    mlp_output: str | None = None
    pos_embed: str | None = None


GPT2 = Family(
    model_type="gpt2",
    blocks="transformer.h",
    final_norm="transformer.ln_f",
    unembed="lm_head",
    rotary=None,
    attention_norm="ln_1",
    attention="attn",
    projections=("attn.c_attn",),
    output="attn.c_proj",
    mlp_norm="ln_2",
    mlp="mlp",
    transposed=False,
    activation="mlp.act",
    mlp_output="mlp.c_proj",
    pos_embed="transformer.wpe",
)

LLAMA = Family(
    model_type="llama",
    blocks="model.layers",
    final_norm="model.norm",
    unembed="lm_head",
    rotary="model.rotary_emb",
    attention_norm="input_layernorm",
    attention="self_attn",
    projections=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    output="self_attn.o_proj",
    mlp_norm="post_attention_layernorm",
    mlp="mlp",
    float32_norm=True,
    activation="mlp.act_fn",
    gated="mlp.down_proj",
    mlp_output="mlp.down_proj",
)


COMPILED = Family(
    model_type="compiled",
    blocks="blocks",
    final_norm="final_norm",
    unembed="unembed",
    rotary=None,
    attention_norm="attention_norm",
    attention="attention",
    projections=("attention.query", "attention.key", "attention.value"),
    output="attention.out",
    mlp_norm="mlp_norm",
    mlp="mlp",
    activation="mlp.activation",
    mlp_output="mlp.out",
    pos_embed="pos_embed",
)


OURS = {family.model_type: family for family in (GPT2, LLAMA, COMPILED)}


@cache
def families() -> dict[str, Family]:
    """The known families by `model_type`; those of packages come after our own and cannot replace them.

    What a package has that cannot be loaded is left out.
    """
    return {**_added()[0], **OURS}


def family_of(model_type: str, config: Mapping[str, object] | None = None) -> Family:
    """The family of a `model_type`.

    Args:
        model_type: as in the model's `config.json`.
        config: all of that file, for what is said where there is no family.

    Raises:
        ModelError: C411, no family is known for it; C436, the one that a package has for it is broken.
    """
    if model_type in OURS:  # without a look at packages, which may be broken
        return OURS[model_type]
    known = families()
    if model_type in known:
        return known[model_type]
    broken = _added()[1]
    if model_type in broken:
        raise ModelError(
            "C436",
            f"the adapter for models of type {model_type!r} cannot be loaded: {broken[model_type]}",
            hint="repair or update that package",
        )
    message, hint = unadapted(
        config or {"model_type": model_type}, tuple(sorted(known.keys() - {"compiled"}))
    )
    skipped = "".join(f"; the adapter {name!r} was skipped: {why}" for name, why in sorted(broken.items()))
    raise ModelError("C411", message, hint=hint + skipped)


def _added() -> tuple[dict[str, Family], dict[str, str]]:
    """What packages add: families by their type, and by the entry's name why one cannot be loaded."""
    found: dict[str, Family] = {}
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
        if isinstance(family, Family):
            found.setdefault(family.model_type, family)
        else:
            broken[entry.name] = f"expected a Family, found a value of type {type(family).__name__}{of}"
    return found, broken
