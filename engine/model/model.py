"""A model as the engine sees it: its shape, its modules as nnsight envoys, its weights by head."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import pairwise
from operator import attrgetter
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nncirc.circuits.arguments import public
from nncirc.circuits.errors import ModelError
from nncirc.circuits.families import family_of
from nncirc.circuits.families.family import Family, Heads, Keys, Unit
from nncirc.circuits.graph import Attention, Graph, Shape
from nncirc.engine.model import tracing
from nncirc.engine.model.norms import norm_parts

_ON_LOGITS = ("final_logit_softcapping", "logits_scaling", "logit_scale")
"""What configs call what is done to logits at the end."""


def module_of(block: Any, path: str | None) -> Any:
    """A module of a block; None where the family has no such module."""
    return None if path is None else attrgetter(path)(block)


def first_of(output: Any) -> Tensor:
    """What a module gives, or the first of it: some give tuples."""
    found: Tensor = output[0] if isinstance(output, tuple) else output
    return found


@dataclass(frozen=True, slots=True)
class Block:
    """The envoys of one transformer block; call and read them inside a trace only.

    None where the family has no such module; see `Family`.
    """

    block: Any
    attention_norm: Any
    attention: Any
    chains: tuple[tuple[Any, ...], ...]
    output: Any
    mlp_norm: Any
    mlp: Any
    mlp_writes: Any
    mlp_output: Any
    after_attention: Any
    after_mlp: Any
    parallel: bool
    scale: float

    @property
    def projections(self) -> tuple[Any, ...]:
        """The modules of whose outputs queries, keys and values are columns."""
        return tuple(chain[-1] for chain in self.chains)

    @property
    def attention_end(self) -> Any:
        """The module whose output, times `scale`, attention adds to the residual stream."""
        return self.output if self.after_attention is None else self.after_attention

    @property
    def mlp_end(self) -> Any:
        """The module whose output, times `scale`, the MLP adds to the residual stream."""
        return self.mlp_writes if self.after_mlp is None else self.after_mlp

    def attention_read(self, stream: Tensor) -> Tensor:
        """What attention reads of a residual stream."""
        found: Tensor = stream if self.attention_norm is None else self.attention_norm(stream)
        return found

    def mlp_read(self, stream: Tensor) -> Tensor:
        """What the MLP reads of a residual stream."""
        norm = self.attention_norm if self.parallel and self.mlp_norm is None else self.mlp_norm
        found: Tensor = stream if norm is None else norm(stream)
        return found

    def mlp_adds(self, stream: Float[Tensor, "*batch pos d_model"]) -> Float[Tensor, "*batch pos d_model"]:
        """What the MLP adds to the residual stream when it reads `stream`."""
        made = first_of(self.mlp(self.mlp_read(stream).flatten(0, -3)))
        made = made if self.after_mlp is None else self.after_mlp(made)
        return self.scaled(made.view(stream.shape))

    def attention_adds(self, z: Float[Tensor, "*batch pos z"]) -> Float[Tensor, "*batch pos d_model"]:
        """What attention adds to the residual stream, from the z of all heads side by side."""
        made: Tensor = self.output(z)
        return self.scaled(made if self.after_attention is None else self.after_attention(made))

    def scaled(self, made: Tensor) -> Tensor:
        """What attention or the MLP makes, as it is added to the residual stream."""
        return made if self.scale == 1 else made * self.scale

    def middle(self, stream: Tensor) -> Tensor:
        """The residual stream that the MLP reads, where attention read `stream`."""
        if self.parallel:
            return stream
        found: Tensor = (self.mlp if self.mlp_norm is None else self.mlp_norm).input
        return found.view(stream.shape)


@dataclass(frozen=True, slots=True)
class HeadWeights:
    """The weights that make one layer's queries, keys and values, by head.

    Views of the model's parameters; copies where heads do not stand in equal distances.

    Attributes:
        query: what turns a normalised residual into each head's query.
        key: the same for the keys of key-value groups.
        value: the same for their values.
    """

    query: Float[Tensor, "head d_model d_head"]
    key: Float[Tensor, "kv_head d_model d_head"]
    value: Float[Tensor, "kv_head d_model d_head"]
    query_bias: Float[Tensor, "head 1 d_head"] | None
    key_bias: Float[Tensor, "kv_head 1 d_head"] | None
    value_bias: Float[Tensor, "kv_head 1 d_head"] | None

    @property
    def projections(self) -> tuple[tuple[Tensor, Tensor | None], ...]:
        """Matrix and bias of the queries, the keys and the values."""
        return (
            (self.query, self.query_bias),
            (self.key, self.key_bias),
            (self.value, self.value_bias),
        )


def _by_unit(
    matrix: Float[Tensor, "rows width"], columns: Sequence[Sequence[int]]
) -> Float[Tensor, "unit rows d_head"]:
    """The columns of each unit; a view where these stand in equal distances."""
    starts, width = [each[0] for each in columns], len(columns[0])
    steps = {after - before for before, after in pairwise(starts)} or {width}
    if len(steps) == 1 and min(steps) > 0:
        return matrix[:, starts[0] : starts[-1] + width].unfold(1, width, steps.pop()).movedim(1, 0)
    return torch.stack([matrix[:, each[0] : each[0] + width] for each in columns])


@public
@dataclass(frozen=True)
class Model:
    """A loaded model.

    Args:
        module: a Hugging Face causal language model, or a `CompiledTransformer`, in evaluation mode.
        tokenizer: its fast tokenizer, or None where only tokens are used.
        made: where the model came from; JSON values only.
        name: what messages call it.
        guard: called with the model and a length of prompts; raises an error where they would get wrong
            numbers (`nncirc.engine.model.guards.Reach`).
        entry: the type of models whose family this one's parts are found by; None for its own.
    """

    module: Any
    tokenizer: Any = None
    made: Mapping[str, Any] = field(default_factory=dict)
    name: str = "model"
    guard: Callable[[Model, int], None] = field(default=lambda *_: None, compare=False, repr=False)
    entry: str | None = None

    @cached_property
    def family(self) -> Family:
        """Where the model's parts are.

        Raises:
            ModelError: C411, there is no adapter for the model's type.
        """
        config = self.module.config
        return family_of(self.entry or config.model_type, config.to_dict())

    @cached_property
    def shape(self) -> Shape:
        """Layers and heads, from the model's config.

        Raises:
            ModelError: C412, it does not say them under the family's keys.
        """
        config, keys = self.module.config, self.family.keys
        heads, groups = self._size("heads"), keys.kv_heads
        return Shape(
            n_layers=self._size("layers"),
            n_heads=heads,
            n_kv_heads=groups if isinstance(groups, int) else getattr(config, groups, None) or heads,
            mlps=not getattr(config, "attention_only", False),
            parallel=self.family.parallel,
        )

    def _size(self, size: str) -> int:
        key = getattr(self.family.keys, size)
        config = self.module.config
        found = getattr(config, key, None) or getattr(config, getattr(Keys(), size), None)
        if not isinstance(found, int) or found < 1:
            raise ModelError(
                "C412",
                f"the config of {self.name} does not give the number of {size} as {key}",
                hint=f"set `{size}` in the `keys` of the family's adapter",
            )
        return found

    @public
    def graph(
        self,
        *,
        attention: Attention = "heads",
        split_inputs: bool = True,
        pos_embed: bool = False,
        neurons: Iterable[int] = (),
        kv: Literal["groups", "heads"] = "groups",
    ) -> Graph:
        """The computation graph of the model.

        Args:
            attention: as in `Graph`.
            split_inputs: as in `Graph`.
            pos_embed: as in `Graph`.
            neurons: the layers whose MLPs are split into neurons.
            kv: under grouped-query attention, whether there is a key and a value for each group or for each
                head; for the latter run methods on `contrast.by_heads`.

        Raises:
            ModelError: C431, positions as a sender, where none are added to the residual stream; C435,
                neurons of a model whose adapter does not say where they are.
            GraphError: C467, neurons of a layer that the model does not have.
        """
        if pos_embed and self.family.pos_embed is None:
            raise ModelError(
                "C431",
                f"{self.name} has no position embeddings in the residual stream",
                hint="remove pos_embed from the graph's nodes",
            )
        shape = self.shape if kv == "groups" else replace(self.shape, n_kv_heads=self.shape.n_heads)
        return Graph(shape, attention, split_inputs, pos_embed, neurons=self.neurons(neurons))

    @public
    def neurons(self, layers: Iterable[int]) -> tuple[tuple[int, int], ...]:
        """Layers, in order, each with the number of its MLP's neurons: as `Graph` takes them.

        Raises:
            ModelError: C435, as `neuron_weights` says.
        """
        # A layer that there is not is for the graph to refuse.
        known = range(self.shape.n_layers if self.shape.mlps else 0)
        return tuple((n, len(self.neuron_weights(n)) if n in known else 1) for n in sorted(layers))

    @property
    def causal(self) -> bool:
        """Whether a position attends to no later one."""
        return bool(getattr(self.module.config, "causal", True))

    @property
    def predicts_tokens(self) -> bool:
        """Whether the outputs are logits of tokens; those of a compiled program are values."""
        return bool(getattr(self.module.config, "predicts_tokens", True))

    @property
    def vocabulary(self) -> int:
        """How many tokens the model reads."""
        return int(self.module.get_input_embeddings().num_embeddings)

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        width = getattr(self.module.config, "hidden_size", None)
        return int(width or self.module.get_input_embeddings().embedding_dim)

    @cached_property
    def d_head(self) -> int:
        """Width of a head."""
        width = getattr(self.module.config, self.family.keys.d_head, None)
        return int(width or self.d_model // self.shape.n_heads)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the residual stream."""
        dtype = self.module.dtype
        assert isinstance(dtype, torch.dtype)
        return dtype

    @property
    def resolution(self) -> float:
        """The relative rounding error of the model's arithmetic."""
        return float(torch.finfo(torch.float32 if self.coarse_norms else self.dtype).eps)

    @cached_property
    def coarse_norms(self) -> bool:
        """Whether norms compute in float32 where the model is in float64."""
        if self.dtype != torch.float64:
            return False
        probe = torch.linspace(-1, 2, self.d_model, dtype=torch.float64, device=self.device)[None, None]
        norm = attrgetter(self.family.final_norm)(self.module)
        with torch.no_grad():
            return bool(torch.equal(norm(probe), norm(probe.float().double())))

    @cached_property
    def memo(self) -> dict[Any, Any]:
        """What is found out about the model once, by whoever does."""
        return {}

    @property
    def slow(self) -> Mapping[str, str]:
        """Which parts cannot be computed by themselves, and why (`nncirc.engine.model.guards.Reach`)."""
        return getattr(self.guard, "slow", {})

    @property
    def alone(self) -> bool:
        """Whether heads, MLPs and logits can be computed by themselves, as the fast paths do."""
        return not self.slow

    @property
    def couples_heads(self) -> bool:
        """Whether a norm scales all heads of a layer together, so that each depends on the others."""
        return self.family.after_attention is not None

    @property
    def digits(self) -> int:
        """Significant digits of a result's largest number that another batch or number of threads leaves.

        In float64 they are nine also where norms are in float32: the same inputs are rounded to the same.
        """
        return 9 if self.dtype == torch.float64 else 6

    @property
    def device(self) -> torch.device:
        """The device that the model is on."""
        return torch.device(self.module.device)

    @cached_property
    def envoy(self) -> Any:
        """The nnsight envoy of the whole model."""
        # Norms are tried out for these, which inside a trace would count as the model's own run.
        _ = self.gains, self.coarse_norms
        return tracing.wrap(self.module)

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The envoys of the transformer blocks."""
        return tuple(self._block(block) for block in attrgetter(self.family.blocks)(self.envoy))

    def _block(self, block: Any) -> Block:
        family, at = self.family, partial(module_of, block)
        return Block(
            block,
            at(family.attention_norm),
            at(family.attention),
            tuple(tuple(s if isinstance(s, int) else at(s) for s in chain) for chain in family.units.chains),
            at(family.output),
            at(family.mlp_norm),
            at(family.mlp),
            at(family.mlp_writes or family.mlp),
            at(family.mlp_output),
            at(family.after_attention),
            at(family.after_mlp),
            family.parallel,
            family.residual_scale,
        )

    @cached_property
    def final_norm(self) -> Any:
        """The envoy of the norm before the unembedding."""
        return attrgetter(self.family.final_norm)(self.envoy)

    @cached_property
    def unembed(self) -> Any:
        """The envoy of the unembedding."""
        return attrgetter(self.family.unembed)(self.envoy)

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """The queries, keys and values of a layer, in this order."""
        shape = self.shape
        return tuple(self.family.units.layout(Heads(shape.n_heads, shape.n_kv_heads, self.d_head)))

    @cached_property
    def columns_of_chains(self) -> tuple[tuple[tuple[int, list[int]], ...], ...]:
        """For every chain its units, each with its columns of what the chain makes, in the order of these."""
        return tuple(
            tuple(
                sorted(
                    ((n, list(u.columns[chain])) for n, u in enumerate(self.units) if chain in u.columns),
                    key=lambda unit: unit[1],
                )
            )
            for chain in range(len(self.family.units.chains))
        )

    @cached_property
    def unit_columns(self) -> Int[Tensor, " width"] | None:
        """The columns of what a layer's chains make, side by side, unit after unit; None if as they are."""
        block, start, found = attrgetter(self.family.blocks)(self.module)[0], 0, []
        starts = []
        for chain in self.family.units.chains:
            starts.append(start)
            module = attrgetter(str(chain[0]))(block)
            width = module.weight.shape[0 if self.family.transposed else 1]
            start += getattr(module, "out_features", width)  # quantized weights have another shape
        for unit in self.units:
            found += [starts[chain] + column for chain, columns in unit.columns.items() for column in columns]
        return None if found == list(range(start)) else torch.tensor(found, device=self.device)

    @cached_property
    def linear(self) -> bool:
        """Whether every query, key and value is a matrix times what attention reads."""
        chains = self.family.units.chains
        block = attrgetter(self.family.blocks)(self.module)[0]
        return (
            all(len(chain) == 1 for chain in chains)
            and all(
                len(unit.columns) == 1 and len(columns) == self.d_head
                for unit in self.units
                for columns in unit.columns.values()
            )
            and all(attrgetter(str(path))(block).weight.is_floating_point() for (path,) in chains)
        )

    @cached_property
    def weights(self) -> tuple[HeadWeights, ...]:
        """Every layer's weights of queries, keys and values by head, where they are `linear`.

        Raises:
            ModelError: C412, a projection is not as wide as the heads that the config tells of.
        """
        return tuple(map(self.head_weights, range(self.shape.n_layers)))

    def head_weights(self, layer: int) -> HeadWeights:
        """A layer's weights of queries, keys and values by head, as they are now.

        Raises:
            ModelError: C412, as `weights`.
        """
        family, shape = self.family, self.shape
        block = attrgetter(family.blocks)(self.module)[layer]
        paths = [str(path) for (path,) in family.units.chains]
        modules = [attrgetter(path)(block) for path in paths]
        if not all(module.weight.is_floating_point() for module in modules):
            raise ModelError(
                "C439",
                f"the queries, keys and values of {self.name} come from quantized weights, whose matrices are"
                " not available",
                hint="omit quantize",
            )
        for chain, (path, module) in enumerate(zip(paths, modules, strict=True)):
            wanted = 1 + max(max(u.columns[chain]) for u in self.units if chain in u.columns)
            self._check_width(layer, path, module.weight.shape[0 if family.transposed else 1], wanted)
        found: list[tuple[Tensor, Tensor | None]] = []
        start = 0
        for count in (shape.n_heads, shape.n_kv_heads, shape.n_kv_heads):
            units = [unit.columns for unit in self.units[start : start + count]]
            (chain,) = {chain for unit in units for chain in unit}
            weight, bias = modules[chain].weight, modules[chain].bias
            columns = [unit[chain] for unit in units]
            matrix = _by_unit(weight.T if family.transposed else weight, columns)
            found.append((matrix, None if bias is None else _by_unit(bias[None], columns)))
            start += count
        (query, query_bias), (key, key_bias), (value, value_bias) = found
        return HeadWeights(query, key, value, query_bias, key_bias, value_bias)

    @cached_property
    def outs(self) -> tuple[Float[Tensor, "head d_value d_model"], ...]:
        """Every layer's output projection by head, times what it is multiplied by on its way to the stream.

        Raises:
            ModelError: C412, its input cannot be parted into heads.
        """
        return tuple(map(self.head_out, range(self.shape.n_layers)))

    def head_out(self, layer: int) -> Float[Tensor, "head d_value d_model"]:
        """A layer's output projection by head, as it is now; errors as `outs`."""
        family, heads = self.family, self.shape.n_heads
        block = attrgetter(family.blocks)(self.module)[layer]
        output = attrgetter(family.output)(block)
        out: Tensor = output.weight.T if family.transposed else output.weight
        self._check_width(layer, family.output, len(out), len(out) // heads * heads)
        gain = self.gains[layer][0]
        if gain is not None:
            out = (out * gain).to(out.dtype)
        if family.residual_scale != 1:
            out = out * family.residual_scale
        return out.unflatten(0, (heads, -1))

    def _check_width(self, layer: int, path: str, found: int, wanted: int) -> None:
        if found != wanted:
            raise ModelError(
                "C412",
                f"layer {layer}: {path} has width {found}, but {self.shape.n_heads} heads"
                f" ({self.shape.n_kv_heads} for keys and values) of width {self.d_head} need {wanted}",
                hint="the config does not describe these weights, or the family's adapter does not fit",
            )

    @cached_property
    def gains(self) -> tuple[tuple[Tensor | None, Tensor | None], ...]:
        """Of every layer what the norms after attention and after the MLP multiply each direction by.

        In float32 at least, in which Gemma's norms add 1 to their weights, whatever the model's dtype.

        Raises:
            MethodError: C571, such a norm does more than divide and multiply.
        """
        wide = torch.promote_types(self.dtype, torch.float32)
        like = torch.zeros(self.d_model, dtype=self.dtype, device=self.device)

        def gain(block: Any, path: str | None) -> Tensor | None:
            norm = module_of(block, path)
            return None if norm is None else norm_parts(norm, like).gain.to(self.device, wide)

        paths = self.family.after_attention, self.family.after_mlp
        layers = attrgetter(self.family.blocks)(self.module)
        return tuple((gain(block, paths[0]), gain(block, paths[1])) for block in layers)

    def neuron_weights(self, layer: int) -> Float[Tensor, "neuron d_model"]:
        """What each neuron of a layer's MLP writes for an activation of 1.

        Raises:
            ModelError: C435, the family's adapter does not say where the neurons are.
        """
        family = self.family
        if family.mlp_output is None:
            raise ModelError(
                "C435",
                f"the adapter of {self.name} does not declare its MLP neurons",
                hint="remove neurons from the graph, or set `mlp_output` in the family's adapter",
            )
        block = attrgetter(family.blocks)(self.module)[layer]
        weight: Tensor = attrgetter(family.mlp_output)(block).weight
        weight = weight.T if family.transposed else weight
        gain = self.gains[layer][1]
        if gain is not None:
            weight = (weight * gain).to(weight.dtype)
        return weight * family.residual_scale if family.residual_scale != 1 else weight

    def unembed_columns(self, tokens: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape d_model"] | None:
        """What the final norm's output is multiplied by to give the logits of some tokens.

        None if that is not all: the unembedding has a bias.
        """
        unembed = attrgetter(self.family.unembed)(self.module)
        return None if getattr(unembed, "bias", None) is not None else unembed.weight[tokens]

    @property
    def plain_logits(self) -> bool:
        """Whether logits are what the unembedding makes, and nothing is done to them."""
        return not any(getattr(self.module.config, key, None) not in (None, 1) for key in _ON_LOGITS)

    def logits(self, made: Float[Tensor, "*batch vocab"]) -> Float[Tensor, "*batch vocab"]:
        """Logits from what the unembedding makes: some families scale them, or cap them softly."""
        cap, divide, multiply = (getattr(self.module.config, key, None) for key in _ON_LOGITS)
        if cap is not None:
            made = cap * torch.tanh(made / cap)
        made = made if divide is None else made / divide
        return made if multiply is None else made * multiply

    def unembedded(self, normed: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch vocab"]:
        """Inside a trace: logits of what the final norm gives."""
        return self.logits(self.unembed(normed))

    @property
    def logits_output(self) -> Float[Tensor, "batch kept vocab"]:
        """Inside a trace, as its last read: the logits that the model itself gives."""
        return self.logits_of(self.envoy.output)

    def shift_embedding(self, by: Float[Tensor, "batch pos d_model"] | None) -> None:
        """Inside a trace, before the first read: add something to the residual stream where it begins."""
        if by is not None:
            first = self.blocks[0].block
            first.input = tracing.checked(first.input + by, first.input, first.path)

    def skip_logits(self) -> None:
        """Inside a trace, after the last read: nobody reads this run's logits, so they are not computed."""
        self.unembed.skip(self.final_norm.output[..., :1])

    def pos_embed(self, length: int) -> Float[Tensor, "pos d_model"] | None:
        """What is added to the embeddings of the first so many tokens; None if that is nothing."""
        if self.family.pos_embed is None:
            return None
        weight: Tensor = attrgetter(self.family.pos_embed)(self.module).weight
        return weight[self.family.position_offset :][:length]

    @staticmethod
    def logits_of(output: Any) -> Float[Tensor, "batch kept vocab"]:
        """The logits in what the module's forward gives."""
        logits: Tensor = output if isinstance(output, Tensor) else output.logits
        return logits

    def inputs(self, tokens: Int[Tensor, "batch pos"], keep: Tensor | int = 0) -> dict[str, Any]:
        """Arguments of the forward; logits are computed at the positions `keep` (0: at all)."""
        return {"input_ids": tokens, "use_cache": False, "logits_to_keep": keep}
