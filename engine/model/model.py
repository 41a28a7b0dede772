"""A model as the engine sees it: its shape, its modules as nnsight envoys, its weights by head."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nncirc.circuits.arguments import public
from nncirc.circuits.errors import ModelError
from nncirc.circuits.families import family_of
from nncirc.circuits.families.family import Family
from nncirc.circuits.graph import Attention, Graph, Shape
from nncirc.engine.model import tracing


@dataclass(frozen=True, slots=True)
class Block:
    """The envoys of one transformer block; call them inside a trace only."""

    block: Any
    attention_norm: Any
    attention: Any
    projections: tuple[Any, ...]
    output: Any
    mlp_norm: Any
    mlp: Any
    mlp_output: Any


@dataclass(frozen=True, slots=True)
class HeadWeights:
    """The weights of one attention layer by head; views of the model's parameters, nothing is copied.

    Attributes:
        query: what turns a normalised residual into each head's query.
        key: the same for the keys of key-value groups.
        value: the same for their values.
        out: each head's slice of the output projection.
    """

    query: Float[Tensor, "head d_model d_head"]
    key: Float[Tensor, "kv_head d_model d_head"]
    value: Float[Tensor, "kv_head d_model d_head"]
    query_bias: Float[Tensor, "head 1 d_head"] | None
    key_bias: Float[Tensor, "kv_head 1 d_head"] | None
    value_bias: Float[Tensor, "kv_head 1 d_head"] | None
    out: Float[Tensor, "head d_head d_model"]

    @property
    def projections(self) -> tuple[tuple[Tensor, Tensor | None], ...]:
        """Matrix and bias of the queries, the keys and the values."""
        return (
            (self.query, self.query_bias),
            (self.key, self.key_bias),
            (self.value, self.value_bias),
        )


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
    """

    module: Any
    tokenizer: Any = None
    made: Mapping[str, Any] = field(default_factory=dict)
    name: str = "model"
    guard: Callable[[Model, int], None] = field(default=lambda *_: None, compare=False, repr=False)

    @cached_property
    def family(self) -> Family:
        """Where the model's parts are.

        Raises:
            ModelError: C411, there is no adapter for the model's type.
        """
        return family_of(self.module.config.model_type)

    @cached_property
    def shape(self) -> Shape:
        """Layers and heads, from the model's config."""
        config = self.module.config
        heads = config.num_attention_heads
        return Shape(
            n_layers=config.num_hidden_layers,
            n_heads=heads,
            n_kv_heads=getattr(config, "num_key_value_heads", None) or heads,
            mlps=not getattr(config, "attention_only", False),
        )

    @public
    def graph(
        self,
        *,
        attention: Attention = "heads",
        split_inputs: bool = True,
        pos_embed: bool = False,
        neurons: Iterable[int] = (),
    ) -> Graph:
        """The computation graph of the model; `neurons` are the layers whose MLPs are split into neurons.

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
        return Graph(self.shape, attention, split_inputs, pos_embed, neurons=self.neurons(neurons))

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
        return int(self.module.config.hidden_size)

    @cached_property
    def d_head(self) -> int:
        """Width of a head."""
        config = self.module.config
        return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the residual stream."""
        dtype = self.module.dtype
        assert isinstance(dtype, torch.dtype)
        return dtype

    @property
    def resolution(self) -> float:
        """The relative rounding error of the model's arithmetic."""
        coarse = self.family.float32_norm and self.dtype == torch.float64
        return float(torch.finfo(torch.float32 if coarse else self.dtype).eps)

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
        return tracing.wrap(self.module)

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The envoys of the transformer blocks."""
        return tuple(self._block(block) for block in attrgetter(self.family.blocks)(self.envoy))

    def _block(self, block: Any) -> Block:
        family = self.family
        return Block(
            block,
            attrgetter(family.attention_norm)(block),
            attrgetter(family.attention)(block),
            tuple(attrgetter(path)(block) for path in family.projections),
            attrgetter(family.output)(block),
            attrgetter(family.mlp_norm)(block),
            attrgetter(family.mlp)(block),
            None if family.mlp_output is None else attrgetter(family.mlp_output)(block),
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
    def weights(self) -> tuple[HeadWeights, ...]:
        """Every layer's attention weights by head.

        Raises:
            ModelError: C412, a projection is not as wide as the heads that the config tells of.
        """
        return tuple(map(self.head_weights, range(self.shape.n_layers)))

    def head_weights(self, layer: int) -> HeadWeights:
        """A layer's attention weights by head, as they are now.

        Raises:
            ModelError: C412, as `weights`.
        """
        family, shape, d_head = self.family, self.shape, self.d_head
        block = attrgetter(family.blocks)(self.module)[layer]
        counts = (shape.n_heads, shape.n_kv_heads, shape.n_kv_heads)
        widths = [count * d_head for count in counts]
        projections = [attrgetter(path)(block) for path in family.projections]
        # [in, out] for every projection, then query, key and value side by side
        matrices = [p.weight.T if family.transposed else p.weight for p in projections]
        biases = [p.bias for p in projections]
        if len(projections) == 1:
            self._check_width(layer, family.projections[0], matrices[0].shape[1], sum(widths))
            matrices = list(matrices[0].split(widths, dim=1))
            biases = [None] * 3 if biases[0] is None else list(biases[0].split(widths))
        for path, matrix, width in zip(family.projections * 3, matrices, widths, strict=False):
            self._check_width(layer, path, matrix.shape[1], width)
        output = attrgetter(family.output)(block)
        out = output.weight.T if family.transposed else output.weight
        self._check_width(layer, family.output, out.shape[0], shape.n_heads * d_head)
        query, key, value = (
            m.unflatten(1, (n, d_head)).transpose(0, 1) for m, n in zip(matrices, counts, strict=True)
        )
        query_bias, key_bias, value_bias = (
            None if b is None else b.view(n, 1, d_head) for b, n in zip(biases, counts, strict=True)
        )
        out = out.unflatten(0, (shape.n_heads, d_head))
        return HeadWeights(query, key, value, query_bias, key_bias, value_bias, out)

    def _check_width(self, layer: int, path: str, found: int, wanted: int) -> None:
        if found != wanted:
            raise ModelError(
                "C412",
                f"layer {layer}: {path} has width {found}, but {self.shape.n_heads} heads"
                f" ({self.shape.n_kv_heads} for keys and values) of width {self.d_head} need {wanted}",
                hint="the config does not describe these weights, or the family's adapter does not fit",
            )

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
        return weight.T if family.transposed else weight

    def unembed_columns(self, tokens: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape d_model"] | None:
        """What the final norm's output is multiplied by to give the logits of some tokens.

        None if that is not all: the unembedding has a bias.
        """
        unembed = attrgetter(self.family.unembed)(self.module)
        return None if getattr(unembed, "bias", None) is not None else unembed.weight[tokens]

    def shift_embedding(self, by: Float[Tensor, "batch pos d_model"] | None) -> None:
        """Inside a trace, before the first read: add something to the residual stream where it begins."""
        if by is not None:
            first = self.blocks[0].block
            first.input = tracing.checked(first.input + by, first.input, first.path)

    def skip_logits(self) -> None:
        """Inside a trace, after the last read: nobody reads this run's logits, so they are not computed."""
        self.unembed.skip(self.final_norm.output[..., :1])

    def scaling(self, layer: int) -> float:
        """What attention scores are multiplied by."""
        block = attrgetter(self.family.blocks)(self.module)[layer]
        return float(attrgetter(self.family.attention)(block).scaling)

    def rotary(self, tokens: Int[Tensor, "batch pos"]) -> tuple[Tensor, Tensor] | None:
        """Cosine and sine of the rotary embedding, each `pos d_head`; None if positions are learned."""
        if self.family.rotary is None:
            return None
        positions = torch.arange(tokens.shape[1], device=self.device)[None]
        probe = torch.zeros(1, 1, dtype=self.dtype, device=self.device)
        with torch.no_grad():
            cos, sin = attrgetter(self.family.rotary)(self.module)(probe, positions)
        return cos[0], sin[0]

    def pos_embed(self, length: int) -> Float[Tensor, "pos d_model"] | None:
        """What is added to the embeddings of the first so many tokens; None if that is nothing."""
        if self.family.pos_embed is None:
            return None
        weight: Tensor = attrgetter(self.family.pos_embed)(self.module).weight
        return weight[:length]

    def sees(self, at: Int[Tensor, " at"], length: int) -> Bool[Tensor, "at pos"]:
        """Which of `length` positions each of those `at` may attend to."""
        last = at if self.causal else torch.full_like(at, length)
        return torch.arange(length, device=at.device) <= last[:, None]

    @staticmethod
    def rotate(
        heads: Float[Tensor, "*head pos d_head"],
        rotary: tuple[Tensor, Tensor] | None,
        at: Tensor | slice = slice(None),
    ) -> Float[Tensor, "*head pos d_head"]:
        """Queries or keys, at the positions `at`, with their rotary embedding (Su et al. 2021)."""
        if rotary is None:
            return heads
        cos, sin = rotary[0][at], rotary[1][at]
        first, second = heads.chunk(2, dim=-1)
        return heads * cos + torch.cat([-second, first], dim=-1) * sin

    @staticmethod
    def logits_of(output: Any) -> Float[Tensor, "batch kept vocab"]:
        """The logits in what the module's forward gives."""
        logits: Tensor = output if isinstance(output, Tensor) else output.logits
        return logits

    def inputs(self, tokens: Int[Tensor, "batch pos"], keep: Tensor | int = 0) -> dict[str, Any]:
        """Arguments of the forward; logits are computed at the positions `keep` (0: at all)."""
        return {"input_ids": tokens, "use_cache": False, "logits_to_keep": keep}
