"""Compiled programs: transformers whose weights follow from a RASP program, so that it is known how they do
what they do (Lindner et al. 2023, "Tracr: Compiled Transformers as a Laboratory for Interpretability").

A folder holds `config.json` and `model.safetensors`. There are no norms, attention is not causal unless the
config says so, the width of heads is given, and every projection has a bias. Outputs are values, not
logits: one for each symbol of a categorical program, one in all for a numerical one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from nncirc.circuits.errors import ModelError
from nncirc.circuits.formats.json_input import Value, read_json
from nncirc.circuits.graph import Shape
from nncirc.engine.data.examples import Tokenizer

_WHAT = "the config of a compiled model"
_NUMBERS = ("n_layers", "n_heads", "key_size", "d_model", "mlp_hidden_size", "n_ctx")


@dataclass(frozen=True, slots=True)
class CompiledConfig:
    """Sizes and symbols of a compiled model; the names of what other models have too are transformers'.

    Attributes:
        vocabulary: the symbols that it reads, by token id.
        bos: the symbol that every input begins with; None for a program without one.
        pad: the symbol that fills up; never part of an input.
        outputs: one symbol for each output of a categorical program; () for a numerical one.
        causal: whether a position attends to no later one.
    """

    num_hidden_layers: int
    num_attention_heads: int
    head_dim: int
    hidden_size: int
    intermediate_size: int
    max_position_embeddings: int
    vocabulary: tuple[str, ...]
    bos: str | None
    pad: str | None
    outputs: tuple[str, ...]
    causal: bool
    model_type: str = "compiled"
    predicts_tokens: bool = False

    @property
    def vocab_size(self) -> int:
        """How many symbols it reads."""
        return len(self.vocabulary)

    @property
    def n_outputs(self) -> int:
        """Values at each position."""
        return len(self.outputs) or 1

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def read_config(folder: Path) -> CompiledConfig:
    """The config of a compiled model's folder.

    Raises:
        FileError: C601 to C603, the file cannot be read or is something else.
        GraphError: C452, no model has so many layers or heads.
        ModelError: C432, a compiled model of a kind that is not known here.
    """
    members = read_json(folder / "config.json", what=_WHAT).open_members(
        [*_NUMBERS, "activation", "layer_norm", "causal", "input_encoder", "output_encoder"]
    )
    for key, known in (("activation", "relu"), ("layer_norm", False)):
        if members[key].value != known:
            raise ModelError(
                "C432",
                f"unsupported compiled model: {key} = {members[key].value!r}, expected {known!r}",
                hint="compile the program without it",
            )
    sizes = [_size(members[key]) for key in _NUMBERS]
    n_layers, n_heads, key_size, d_model, hidden, positions = sizes
    Shape(n_layers, n_heads, n_heads)
    vocabulary = _symbols(members["input_encoder"])
    encoder = members["output_encoder"]
    outputs = () if encoder.value is None else _symbols(encoder)
    bos, pad = (
        _symbol(members[key]) if key in members and members[key].value is not None else None
        for key in ("bos_token", "pad_token")
    )
    if bos is not None and bos not in vocabulary:
        raise members["bos_token"].wrong(f"expected a symbol of the input encoder, found {bos!r}")
    return CompiledConfig(
        n_layers,
        n_heads,
        key_size,
        d_model,
        hidden,
        positions,
        vocabulary,
        bos,
        pad,
        outputs,
        members["causal"].boolean(),
    )


def _size(value: Value) -> int:
    if value.integer() < 1:
        raise value.wrong("expected a number of at least 1")
    return value.integer()


def _symbol(value: Value) -> str:
    """A value of the program as text; numbers and truth values as in JSON: `0.5`, `true`."""
    if not isinstance(value.value, str | int | float):
        raise value.wrong("expected a symbol: a string, a number, true or false")
    symbol = value.value if isinstance(value.value, str) else json.dumps(value.value)
    if not symbol or symbol.split() != [symbol]:
        raise value.wrong("expected a symbol without white space")
    return symbol


def _symbols(value: Value) -> tuple[str, ...]:
    """The symbols of an encoder, `[[symbol, id], ...]`, by id."""
    found: dict[int, str] = {}
    for pair in value.elements():
        cells = pair.elements()
        if len(cells) != 2:
            raise pair.wrong("expected a symbol and its id")
        found[cells[1].integer()] = _symbol(cells[0])
    if sorted(found) != list(range(len(value.elements()))) or len(set(found.values())) < len(found):
        raise value.wrong("expected every symbol and every id from 0 exactly once")
    if not found:
        raise value.wrong("expected symbols")
    return tuple(found[i] for i in range(len(found)))


class CompiledAttention(nn.Module):
    """Attention with heads of a given width; every projection has a bias."""

    def __init__(self, config: CompiledConfig) -> None:
        super().__init__()
        width = config.num_attention_heads * config.head_dim
        self.query = nn.Linear(config.hidden_size, width)
        self.key = nn.Linear(config.hidden_size, width)
        self.value = nn.Linear(config.hidden_size, width)
        self.out = nn.Linear(width, config.hidden_size)
        self.heads, self.scaling, self.causal = (
            config.num_attention_heads,
            config.head_dim**-0.5,
            config.causal,
        )

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> tuple[Float[Tensor, "batch pos d_model"]]:
        """What all heads write, in a tuple as other models' attention gives it."""
        query, key, value = (
            projection(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for projection in (self.query, self.key, self.value)
        )
        z = scaled_dot_product_attention(query, key, value, is_causal=self.causal, scale=self.scaling)
        return (self.out(z.transpose(1, 2).flatten(2)),)


class CompiledMLP(nn.Module):
    """One hidden layer with ReLU."""

    def __init__(self, config: CompiledConfig) -> None:
        super().__init__()
        self.hidden = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = nn.ReLU()
        self.out = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        """What the MLP writes."""
        written: Tensor = self.out(self.activation(self.hidden(x)))
        return written


class CompiledBlock(nn.Module):
    """Attention, then an MLP. The norms do nothing: they are where a receiver's input is read."""

    def __init__(self, config: CompiledConfig) -> None:
        super().__init__()
        self.attention_norm = nn.Identity()
        self.attention = CompiledAttention(config)
        self.mlp_norm = nn.Identity()
        self.mlp = CompiledMLP(config)

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        """The residual stream after the block."""
        x = x + self.attention(self.attention_norm(x))[0]
        result: Tensor = x + self.mlp(self.mlp_norm(x))
        return result


class CompiledTransformer(nn.Module):
    """A compiled program as the engine runs it; its forward takes what a Hugging Face model's takes."""

    def __init__(self, config: CompiledConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocab_size, config.hidden_size)
        self.pos_embed = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.blocks = nn.ModuleList(CompiledBlock(config) for _ in range(config.num_hidden_layers))
        self.final_norm = nn.Identity()
        self.unembed = nn.Linear(config.hidden_size, config.n_outputs, bias=False)

    @property
    def dtype(self) -> torch.dtype:
        """Of its weights."""
        return self.unembed.weight.dtype

    @property
    def device(self) -> torch.device:
        """Of its weights."""
        return self.unembed.weight.device

    def get_input_embeddings(self) -> nn.Embedding:
        """The embedding of tokens."""
        return self.embed

    def forward(
        self,
        input_ids: Int[Tensor, "batch pos"],
        use_cache: bool = False,  # noqa: ARG002 - what is asked of other models; nothing is kept
        logits_to_keep: int | Int[Tensor, " kept"] = 0,
    ) -> Float[Tensor, "batch kept output"]:
        """Outputs at the last so many positions (0: all), or at those given."""
        x = self.embed(input_ids) + self.pos_embed.weight[: input_ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        outputs: Tensor = self.unembed(self.final_norm(x)[:, kept])
        return outputs


def build(config: CompiledConfig, weights: Mapping[str, Tensor], name: str) -> CompiledTransformer:
    """The model of a config and of a file's tensors.

    In the file vectors are rows, x @ W; `W_Q`, `W_K` and `W_V` are `head d_model key`, `W_O` is
    `head key d_model`.

    Raises:
        ModelError: C404, a tensor is missing, of another shape, or has no fractions.
    """
    state = {}
    for key, shape, parameter, convert in tensors(config):
        found = tuple(weights[key].shape) if key in weights else None
        if found != shape:
            what = "lack" if found is None else f"have the shape {found} instead of {shape} for"
            raise ModelError(
                "C404",
                f"the weights of {name} {what} {key}",
                hint="use the config saved with these weights, or copy the weights again",
            )
        if not weights[key].is_floating_point():
            raise ModelError(
                "C404",
                f"the weights of {name} have type"
                f" {str(weights[key].dtype).removeprefix('torch.')} for {key}; expected floating point",
                hint="save them as float32 or float64",
            )
        state[parameter] = convert(weights[key]).contiguous()
    # No memory is allocated: the file's tensors become its parameters.
    with torch.device("meta"):
        module = CompiledTransformer(config)
    module.load_state_dict(state, assign=True)
    return module


def tensors(
    config: CompiledConfig,
) -> Iterator[tuple[str, tuple[int, ...], str, Callable[[Tensor], Tensor]]]:
    """The tensors of a file: name, shape, the parameter that it becomes, and how."""
    heads, key, width = config.num_attention_heads, config.head_dim, config.hidden_size
    hidden = config.intermediate_size
    yield "embed", (config.vocab_size, width), "embed.weight", Tensor.contiguous
    yield "pos_embed", (config.max_position_embeddings, width), "pos_embed.weight", Tensor.contiguous
    yield "unembed", (width, config.n_outputs), "unembed.weight", Tensor.t
    for layer in range(config.num_hidden_layers):
        theirs, ours = f"layers.{layer}.", f"blocks.{layer}."
        for letter, projection in (("Q", "query"), ("K", "key"), ("V", "value")):
            part = f"{ours}attention.{projection}"
            yield f"{theirs}W_{letter}", (heads, width, key), f"{part}.weight", lambda w: w.mT.flatten(0, 1)
            yield f"{theirs}b_{letter}", (heads, key), f"{part}.bias", Tensor.flatten
        yield f"{theirs}W_O", (heads, key, width), f"{ours}attention.out.weight", lambda w: w.flatten(0, 1).T
        yield f"{theirs}b_O", (width,), f"{ours}attention.out.bias", Tensor.contiguous
        for end, part, rows, columns in (("in", "hidden", width, hidden), ("out", "out", hidden, width)):
            yield f"{theirs}W_{end}", (rows, columns), f"{ours}mlp.{part}.weight", Tensor.t
            yield f"{theirs}b_{end}", (columns,), f"{ours}mlp.{part}.bias", Tensor.contiguous


def symbol_tokenizer(config: CompiledConfig) -> Tokenizer:
    """A tokenizer whose tokens are the symbols: white space between them, and `bos`, if any, before them."""
    from tokenizers import Tokenizer as Fast, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    names = (f"<unk{number or ''}>" for number in count())
    unknown = next(name for name in names if name not in config.vocabulary)
    ids = {symbol: i for i, symbol in enumerate([*config.vocabulary, unknown])}
    fast: Any = Fast(models.WordLevel(ids, unk_token=unknown))
    fast.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if config.bos is not None:
        fast.post_processor = processors.TemplateProcessing(
            single=f"{config.bos} $A", special_tokens=[(config.bos, ids[config.bos])]
        )
    special = {"bos_token": config.bos, "unk_token": unknown, "pad_token": config.pad}
    tokenizer: Any = PreTrainedTokenizerFast
    found: Tokenizer = tokenizer(
        tokenizer_object=fast,
        clean_up_tokenization_spaces=False,
        model_max_length=config.max_position_embeddings,
        **{key: symbol for key, symbol in special.items() if symbol is not None},
    )
    return found
