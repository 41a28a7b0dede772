"""A family of models: where a Hugging Face model keeps the modules that the engine reads and writes."""

from __future__ import annotations

from dataclasses import dataclass

from nncirc.circuits.arguments import public


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of a family's `config.json` that give the model's shape; the first one present is used.

    Attributes:
        layers: transformer blocks.
        heads: query heads per layer.
        kv_heads: key-value heads per layer, under grouped-query attention; by default as many as heads.
        d_mlp: neurons of each MLP.
        width: of the residual stream; where `d_mlp` says nothing, an MLP has four times as many neurons. None
            where that is not so.
    """

    layers: str = "num_hidden_layers"
    heads: str = "num_attention_heads"
    kv_heads: str = "num_key_value_heads"
    d_mlp: str = "intermediate_size"
    width: str | None = None


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
        keys: where the config says the shape.
        hub: models on the hub whose shape is known without a look: id, layers, heads, neurons of an MLP.
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
    keys: Keys = Keys()
    hub: tuple[tuple[str, int, int, int], ...] = ()
