"""A family of models: where a Hugging Face model keeps the modules that the engine reads and writes.

Attention is always the model's own: rotary embeddings of any kind, norms of queries and keys, windows, soft
caps, sinks and ALiBi need no entry here. An entry says what is left: which modules read the residual stream,
which columns of whose output are a head's query, key and value, and what is added to the stream.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from nncirc.circuits.arguments import public

Step: TypeAlias = str | int
"""A module's path from a block, or how many of the columns made so far go on to the next step."""

Config: TypeAlias = Mapping[str, Any]
"""The content of a `config.json`; keys that it leaves out have the defaults of transformers."""


class Heads(NamedTuple):
    """Query heads, key-value groups, and the width of a head's query."""

    heads: int
    groups: int
    width: int


class Unit(NamedTuple):
    """The query of a head, or the key or value of a key-value group.

    Attributes:
        kind: `q`, `k` or `v`.
        number: of the head, or of the group.
        columns: by the index of a chain, which columns of what it makes.
    """

    kind: str
    number: int
    columns: Mapping[int, Sequence[int]]


@dataclass(frozen=True, slots=True)
class Units:
    """The queries, keys and values of a layer.

    Attributes:
        chains: what makes them of the normalised residual stream, one module after the other; mostly a single
            linear one.
        layout: which columns of what the chains make are whose, all queries first, then keys, then values.
    """

    chains: tuple[tuple[Step, ...], ...]
    layout: Callable[[Heads], Sequence[Unit]]


def side_by_side(*chains: str | tuple[Step, ...]) -> Units:
    """Queries, keys and values of one module each, or side by side in one; heads side by side in each."""

    def layout(n: Heads) -> list[Unit]:
        found, start = [], 0
        for chain, (kind, count) in enumerate((("q", n.heads), ("k", n.groups), ("v", n.groups))):
            if len(chains) > 1:
                start = 0
            for index in range(count):
                columns = range(start, start := start + n.width)
                found.append(Unit(kind, index, {chain if len(chains) > 1 else 0: columns}))
        return found

    return Units(tuple((chain,) if isinstance(chain, str) else chain for chain in chains), layout)


def by_group(module: str) -> Units:
    """Group by group in one module: its queries, its key, its value."""

    def layout(n: Heads) -> list[Unit]:
        each = n.heads // n.groups

        def at(group: int, place: int) -> dict[int, range]:
            start = (group * (each + 2) + place) * n.width
            return {0: range(start, start + n.width)}

        queries = [Unit("q", head, at(*divmod(head, each))) for head in range(n.heads)]
        keys = [Unit("k", group, at(group, each)) for group in range(n.groups)]
        return [*queries, *keys, *(Unit("v", group, at(group, each + 1)) for group in range(n.groups))]

    return Units(((module,),), layout)


def in_four_parts(module: str) -> Units:
    """CodeGen's: in one module four parts, of each the queries, then the values, then the keys."""

    def layout(n: Heads) -> list[Unit]:
        each = n.heads // 4

        def at(head: int, place: int) -> dict[int, range]:
            part, inside = divmod(head, each)
            start = ((part * 3 + place) * each + inside) * n.width
            return {0: range(start, start + n.width)}

        places = (("q", 0), ("k", 2), ("v", 1))
        return [Unit(kind, head, at(head, place)) for kind, place in places for head in range(n.heads)]

    return Units(((module,),), layout)


def latent(config: Config, *query: Step) -> Units:
    """Multi-head latent attention: all keys share one rotary part, so that they are one group.

    Args:
        config: of the model.
        query: the chain that makes the queries.
    """
    plain, rotary = int(config["qk_nope_head_dim"]), int(config["qk_rope_head_dim"])
    value, rank = int(config["v_head_dim"]), int(config["kv_lora_rank"])
    made = "self_attn.kv_a_proj_with_mqa"
    chains = (query, (made,), (made, rank, "self_attn.kv_a_layernorm", "self_attn.kv_b_proj"))

    def layout(n: Heads) -> list[Unit]:
        wide = plain + rotary
        starts = [head * (plain + value) for head in range(n.heads)]
        keys = [column for start in starts for column in range(start, start + plain)]
        values = [column for start in starts for column in range(start + plain, start + plain + value)]
        return [
            *(Unit("q", h, {0: range(h * wide, (h + 1) * wide)}) for h in range(n.heads)),
            Unit("k", 0, {1: range(rank, rank + rotary), 2: keys}),
            Unit("v", 0, {2: values}),
        ]

    return Units(chains, layout)


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of a family's `config.json` that give the model's shape; the first one present is used.

    Attributes:
        layers: transformer blocks.
        heads: query heads per layer.
        kv_heads: key-value groups per layer, under grouped-query attention; by default as many as heads.
        d_mlp: neurons of each MLP.
        d_head: the width of a head; by default that of the residual stream, divided by the heads.
        width: of the residual stream; where `d_mlp` says nothing, an MLP has four times as many neurons. None
            where that is not so.
    """

    layers: str = "num_hidden_layers"
    heads: str = "num_attention_heads"
    kv_heads: str | int = "num_key_value_heads"
    d_mlp: str = "intermediate_size"
    d_head: str = "head_dim"
    width: str | None = None


@public
@dataclass(frozen=True, slots=True)
class Family:
    """Dotted paths of a family's modules.

    Those of `blocks`, `final_norm`, `unembed` and `pos_embed` begin at the model, the others at a block.

    Attributes:
        blocks: the list of transformer blocks.
        final_norm: the norm before the unembedding.
        unembed: the unembedding.
        attention_norm: the norm that attention reads the residual stream through; None if it reads it plain.
        attention: the attention module.
        units: which columns of whose output are queries, keys and values.
        output: the output projection, whose input is every head's z side by side.
        mlp_norm: the norm that the MLP reads the residual stream through. None if it reads the stream plain,
            or in parallel blocks what attention reads.
        mlp: what is called with what the MLP reads.
        mlp_writes: the module whose output the MLP adds to the residual stream; None for `mlp`.
        parallel: whether attention and MLP read the same residual stream.
        after_attention: the norm of what attention adds to the residual stream, or None.
        after_mlp: the norm of what the MLP adds, or None.
        residual_scale: what both are multiplied by before they are added.
        pos_embed: the module whose row p + `position_offset` is added to the embedding of the token at
            position p; None if positions enter otherwise.
        position_offset: of the rows of `pos_embed`.
        interleaved: whether rotary embeddings turn neighboring entries, as GPT-J's, and not those of the two
            halves.
        transposed: whether projections keep their weight as [out, in] (`Linear`) or [in, out] (`Conv1D`).
        activation: the activation inside the MLP; None if it is no module.
        gated: the module whose input is the product of activation and gate; None if there is no gate.
        mlp_output: the MLP's output projection, whose input are its neurons' activations; None if the MLP is
            not made of neurons.
        keys: where the config says the shape.
        hub: models on the hub whose shape is known without a look: id, layers, heads, neurons of an MLP.
    """

    blocks: str
    final_norm: str
    attention_norm: str | None
    attention: str
    units: Units
    output: str
    mlp_norm: str | None
    mlp: str
    unembed: str = "lm_head"
    mlp_writes: str | None = None
    parallel: bool = False
    after_attention: str | None = None
    after_mlp: str | None = None
    residual_scale: float = 1.0
    pos_embed: str | None = None
    position_offset: int = 0
    interleaved: bool = False
    transposed: bool = True
    activation: str | None = None
    gated: str | None = None
    mlp_output: str | None = None
    keys: Keys = Keys()
    hub: tuple[tuple[str, int, int, int], ...] = ()


Entry: TypeAlias = Family | Callable[[Config], Family]
"""A family, or what makes one of a model's config."""


def places(family: Family, layer: int | str = 0) -> list[tuple[str, str]]:
    """The modules that an entry names, by its fields: paths from the model, into the block of a layer."""
    chains = [("units", step) for chain in family.units.chains for step in chain if isinstance(step, str)]
    paths = [(name, getattr(family, name)) for name in _OF_A_BLOCK]
    inside = [(name, f"{family.blocks}.{layer}.{path}") for name, path in (*paths, *chains) if path]
    return [*((name, path) for name in _OF_THE_MODEL if (path := getattr(family, name))), *inside]


_OF_THE_MODEL = ("blocks", "final_norm", "unembed", "pos_embed")
_OF_A_BLOCK = (
    "attention_norm",
    "attention",
    "output",
    "after_attention",
    "mlp_norm",
    "mlp",
    "mlp_writes",
    "after_mlp",
    "mlp_output",
    "activation",
    "gated",
)
