"""Transformers of another make than Hugging Face's: heads have a width of their own, every projection a bias.

Compiled programs, whose weights follow from a RASP program, so that it is known how they do what they do
(Lindner et al. 2023, "Tracr: Compiled Transformers as a Laboratory for Interpretability"): there are no
norms, and attention is not causal unless the config says so. Outputs are values, not logits: one for each
symbol of a categorical program, one in all for a numerical one.

Models that were trained with TransformerLens (its `HookedTransformer`): there may be norms, with weights or
folded into others, or no MLPs, and positions may be embedded or rotate queries and keys. Outputs are logits;
if there is only one, it is a value.

A folder of either holds `config.json` and `model.safetensors`.
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

_HOOKED = "the config of a TransformerLens model"
NORMS = (None, "LN", "LNPre", "RMS", "RMSPre")
ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "gelu_new": lambda: nn.GELU(approximate="tanh"),
    "gelu_pytorch_tanh": lambda: nn.GELU(approximate="tanh"),
    "silu": nn.SiLU,
}
# What a TransformerLens config may say only as its default, and what says nothing of what a model computes.
_ONLY: Mapping[str, tuple[Any, ...]] = {
    "use_qk_norm": (False, None),
    "use_local_attn": (False, None),
    "scale_attn_by_inverse_layer_idx": (False, None),
    "gated_mlp": (False, None),
    "n_key_value_heads": (None,),
    "post_embedding_ln": (False, None),
    "rotary_adjacent_pairs": (False, None),
    "load_in_4bit": (False, None),
    "num_experts": (None,),
    "use_normalization_before_and_after": (False, None),
    "attn_scores_soft_cap": (-1, None),
    "output_logits_soft_cap": (-1, None),
    "use_NTK_by_parts_rope": (False, None),
}
_IDLE = (
    "model_name",
    "use_attn_result",
    "use_split_qkv_input",
    "use_hook_mlp_in",
    "use_attn_in",
    "original_architecture",
    "from_checkpoint",
    "checkpoint_index",
    "checkpoint_label_type",
    "checkpoint_value",
    "tokenizer_name",
    "window_size",
    "attn_types",
    "init_mode",
    "device",
    "n_devices",
    "seed",
    "initializer_range",
    "init_weights",
    "n_params",
    "use_hook_tokens",
    "default_prepend_bos",
    "dtype",
    "tokenizer_prepends_bos",
    "trust_remote_code",
    "tie_word_embeddings",
    "ungroup_grouped_query_attention",
    "experts_per_token",
    "NTK_by_parts_low_freq_factor",
    "NTK_by_parts_high_freq_factor",
    "NTK_by_parts_factor",
    "NTK_original_ctx_len",
    "default_padding_side",
    "d_vocab_out",
    "d_mlp",
    "act_fn",
    "eps",
    "use_attn_scale",
    "attn_scale",
    "normalization_type",
    "attention_dir",
    "attn_only",
    "positional_embedding_type",
    "final_rms",
    "rotary_dim",
    "rotary_base",
    "parallel_attn_mlp",
    "n_heads",
)
BUFFERS = (".attn.mask", ".attn.IGNORE", ".attn.rotary_sin", ".attn.rotary_cos")
"""What a state dict of TransformerLens has beside weights; it follows from the config."""


@dataclass(frozen=True, slots=True)
class CompiledConfig:
    """Sizes, kinds and symbols of a model; the names of what other models have too are transformers'.

    Attributes:
        vocabulary: the symbols that it reads, by token id.
        bos: the symbol that every input begins with; None for a program without one.
        pad: the symbol that fills up; never part of an input.
        outputs: one symbol for each output of a categorical program; () for a numerical one.
        causal: whether a position attends to no later one.
        predicts_tokens: whether outputs are logits of the first so many tokens.
        hooked: whether its file is a state dict of TransformerLens.
        attention_only: whether there are no MLPs.
        parallel: whether attention and MLP of a block read the same residual stream.
        activation: of `ACTIVATIONS`.
        norm: of `NORMS`: with weights, or without them.
        final_norm: likewise, before the unembedding.
        norm_eps: added to the variance in norms.
        scaling: what attention scores are multiplied by; None for one over the root of a head's width.
        rotary_dim: how many entries of queries and keys are turned by their position; None if positions are
            embedded.
        rotary_base: of their frequencies.
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
    hooked: bool = False
    attention_only: bool = False
    parallel: bool = False
    activation: str = "relu"
    norm: str | None = None
    final_norm: str | None = None
    norm_eps: float = 1e-5
    scaling: float | None = None
    rotary_dim: int | None = None
    rotary_base: float = 10_000.0

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


def read_hooked(folder: Path) -> CompiledConfig:
    """The config of a folder with a TransformerLens model: the fields of its `HookedTransformerConfig`.

    Tokens are called by their numbers.

    Raises:
        FileError: C601 to C603, the file cannot be read or is something else.
        GraphError: C452, no model has so many layers or heads.
        ModelError: C432, a model of a kind that is not known here.
    """
    members = read_json(folder / "config.json", what=_HOOKED).open_members(
        ["n_layers", "d_model", "n_ctx", "d_head", "d_vocab"]
    )
    layers, width, positions, head, vocabulary = (
        _size(members[key]) for key in ("n_layers", "d_model", "n_ctx", "d_head", "d_vocab")
    )

    def said(key: str, default: Any) -> Any:
        value = members[key].value if key in members else None
        return default if value is None or (value == -1 and not isinstance(value, bool)) else value

    def size(key: str, default: int) -> int:
        return default if said(key, None) is None else _size(members[key])

    def number(key: str, default: float) -> float:
        return default if said(key, None) is None else members[key].number()

    def flag(key: str, default: bool) -> bool:
        return default if said(key, None) is None else members[key].boolean()

    attention_only = flag("attn_only", False)
    norm = members["normalization_type"].value if "normalization_type" in members else "LN"
    place = said("positional_embedding_type", "standard")
    activation = "relu" if attention_only else said("act_fn", None)
    for key, found, known in (
        ("normalization_type", norm, NORMS),
        ("act_fn", activation, tuple(ACTIVATIONS)),
        ("positional_embedding_type", place, ("standard", "rotary")),
        ("attention_dir", said("attention_dir", "causal"), ("causal", "bidirectional")),
        *((key, members[key].value, known) for key, known in _ONLY.items() if key in members),
    ):
        if found not in known:
            raise _unknown_kind(key, found, known)
    for key, member in members.items():
        if key not in (*_REQUIRED, *_ONLY, *_IDLE) and member.value not in (None, False):
            raise _unknown_kind(key, member.value, (None,))
    heads = size("n_heads", width // head)
    Shape(layers, heads, heads)
    scaled = flag("use_attn_scale", True)
    outputs = size("d_vocab_out", vocabulary)
    final = norm.replace("LN", "RMS") if norm is not None and flag("final_rms", False) else norm
    turned = size("rotary_dim", head) if place == "rotary" else None
    if turned is not None and (turned % 2 or turned > head):
        raise members["rotary_dim"].wrong(f"expected an even number up to d_head = {head}")
    if number("attn_scale", 1.0) <= 0:
        raise members["attn_scale"].wrong("expected a number above 0")
    return CompiledConfig(
        layers,
        heads,
        head,
        width,
        1 if attention_only else size("d_mlp", 4 * width),
        positions,
        tuple(map(str, range(vocabulary))),
        None,
        None,
        tuple(map(str, range(outputs))) if outputs > 1 else (),
        said("attention_dir", "causal") == "causal",
        predicts_tokens=outputs > 1,
        hooked=True,
        attention_only=attention_only,
        parallel=flag("parallel_attn_mlp", False) and not attention_only,
        activation=activation,
        norm=norm,
        final_norm=final,
        norm_eps=number("eps", 1e-5),
        scaling=1 / number("attn_scale", head**0.5) if scaled else 1.0,
        rotary_dim=turned,
        rotary_base=number("rotary_base", 10_000.0),
    )


_REQUIRED = ("n_layers", "d_model", "n_ctx", "d_head", "d_vocab")


def _unknown_kind(key: str, found: Any, known: tuple[Any, ...]) -> ModelError:
    wanted = " or ".join(map(repr, known))
    return ModelError(
        "C432",
        f"unsupported TransformerLens model: {key} = {found!r}"[:200] + f", expected {wanted}",
        hint="if it was loaded from the Hugging Face hub, load the original with `using huggingface`",
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
        self.heads, self.causal = config.num_attention_heads, config.causal
        self.scaling = config.head_dim**-0.5 if config.scaling is None else config.scaling

    def forward(
        self,
        x: Float[Tensor, "batch pos d_model"],
        position_embeddings: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Float[Tensor, "batch pos d_model"]]:
        """What all heads write, in a tuple as other models' attention gives it.

        Args:
            x: what it reads.
            position_embeddings: cosines and sines, each `1 pos rotary_dim`, or None.
        """
        query, key, value = (
            projection(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for projection in (self.query, self.key, self.value)
        )
        if position_embeddings is not None:
            query, key = _turned(query, *position_embeddings), _turned(key, *position_embeddings)
        z = scaled_dot_product_attention(query, key, value, is_causal=self.causal, scale=self.scaling)
        return (self.out(z.transpose(1, 2).flatten(2)),)


def _turned(
    heads: Float[Tensor, "batch head pos d_head"], cos: Tensor, sin: Tensor
) -> Float[Tensor, "batch head pos d_head"]:
    """The first entries turned in pairs, one of the first half with one of the second (Su et al. 2021)."""
    turning, rest = heads.split([cos.shape[-1], heads.shape[-1] - cos.shape[-1]], dim=-1)
    first, second = turning.chunk(2, dim=-1)
    return torch.cat([turning * cos + torch.cat([-second, first], dim=-1) * sin, rest], dim=-1)


def _norm(kind: str | None, config: CompiledConfig) -> nn.Module:
    if kind is None:
        return nn.Identity()
    make = nn.RMSNorm if kind.startswith("RMS") else nn.LayerNorm
    return make(config.hidden_size, eps=config.norm_eps, elementwise_affine=not kind.endswith("Pre"))


class CompiledMLP(nn.Module):
    """One hidden layer."""

    def __init__(self, config: CompiledConfig) -> None:
        super().__init__()
        self.hidden = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = ACTIVATIONS[config.activation]()
        self.out = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        """What the MLP writes."""
        written: Tensor = self.out(self.activation(self.hidden(x)))
        return written


class CompiledBlock(nn.Module):
    """Attention, then an MLP. Norms that do nothing are where a receiver's input is read."""

    def __init__(self, config: CompiledConfig) -> None:
        super().__init__()
        self.attention_norm = _norm(config.norm, config)
        self.attention = CompiledAttention(config)
        self.mlp_norm = _norm(None if config.attention_only else config.norm, config)
        self.mlp = CompiledMLP(config)
        self.parallel = config.parallel

    def forward(
        self, x: Float[Tensor, "batch pos d_model"], **positions: Any
    ) -> Float[Tensor, "batch pos d_model"]:
        """The residual stream after the block."""
        written = self.attention(self.attention_norm(x), **positions)[0]
        middle = x + written
        result: Tensor = middle + self.mlp(self.mlp_norm(x if self.parallel else middle))
        return result


class CompiledTransformer(nn.Module):
    """A model of a `CompiledConfig`; its forward takes what a Hugging Face model's takes."""

    def __init__(self, config: CompiledConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocab_size, config.hidden_size)
        if config.rotary_dim is None:
            self.pos_embed = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.blocks = nn.ModuleList(CompiledBlock(config) for _ in range(config.num_hidden_layers))
        self.final_norm = _norm(config.final_norm, config)
        self.unembed = nn.Linear(config.hidden_size, config.n_outputs, bias=config.hooked)

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
        x, positions = self.embed(input_ids), {}
        if self.config.rotary_dim is None:
            x = x + self.pos_embed.weight[: input_ids.shape[1]]
        else:
            positions = {"position_embeddings": self._rotation(input_ids.shape[1])}
        for block in self.blocks:
            x = block(x, **positions)
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        outputs: Tensor = self.unembed(self.final_norm(x)[:, kept])
        return outputs

    def _rotation(self, length: int) -> tuple[Tensor, Tensor]:
        """Cosines and sines of the angles by which entries are turned, each `1 pos rotary_dim`."""
        width = self.config.rotary_dim or 0
        at = torch.arange(length, dtype=torch.float64, device=self.device)
        powers = torch.arange(width // 2, dtype=torch.float64, device=self.device) / (width // 2)
        angles = (at[:, None] / self.config.rotary_base**powers).repeat(1, 2)[None]
        return angles.cos().to(self.dtype), angles.sin().to(self.dtype)


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
    if config.attention_only:
        # There is a place for MLPs all the same, with one that writes nothing.
        like = {key: tensor.shape for key, tensor in module.state_dict().items() if ".mlp." in key}
        state |= {key: torch.zeros(shape) for key, shape in like.items()}
    module.load_state_dict(state, assign=True)
    return module


def tensors(
    config: CompiledConfig,
) -> Iterator[tuple[str, tuple[int, ...], str, Callable[[Tensor], Tensor]]]:
    """The tensors of a file: name, shape, the parameter that it becomes, and how."""
    heads, key, width = config.num_attention_heads, config.head_dim, config.hidden_size
    hidden, hooked = config.intermediate_size, config.hooked
    yield "embed" + ".W_E" * hooked, (config.vocab_size, width), "embed.weight", Tensor.contiguous
    if config.rotary_dim is None:
        rows = config.max_position_embeddings
        yield "pos_embed" + ".W_pos" * hooked, (rows, width), "pos_embed.weight", Tensor.contiguous
    yield "unembed" + ".W_U" * hooked, (width, config.n_outputs), "unembed.weight", Tensor.t
    if hooked:
        yield "unembed.b_U", (config.n_outputs,), "unembed.bias", Tensor.contiguous
        yield from _norm_tensors(config.final_norm, width, "ln_final", "final_norm")
    for layer in range(config.num_hidden_layers):
        theirs, ours = f"{'blocks' if hooked else 'layers'}.{layer}.", f"blocks.{layer}."
        attention, mlp = (theirs + "attn." * hooked, theirs + "mlp." * hooked)
        for letter, projection in (("Q", "query"), ("K", "key"), ("V", "value")):
            part, shape = f"{ours}attention.{projection}", (heads, width, key)
            yield f"{attention}W_{letter}", shape, f"{part}.weight", lambda w: w.mT.flatten(0, 1)
            yield f"{attention}b_{letter}", (heads, key), f"{part}.bias", Tensor.flatten
        out = f"{ours}attention.out"
        yield f"{attention}W_O", (heads, key, width), f"{out}.weight", lambda w: w.flatten(0, 1).T
        yield f"{attention}b_O", (width,), f"{out}.bias", Tensor.contiguous
        yield from _norm_tensors(config.norm, width, f"{theirs}ln1", f"{ours}attention_norm")
        if config.attention_only:
            continue
        yield from _norm_tensors(config.norm, width, f"{theirs}ln2", f"{ours}mlp_norm")
        for end, part, rows, columns in (("in", "hidden", width, hidden), ("out", "out", hidden, width)):
            yield f"{mlp}W_{end}", (rows, columns), f"{ours}mlp.{part}.weight", Tensor.t
            yield f"{mlp}b_{end}", (columns,), f"{ours}mlp.{part}.bias", Tensor.contiguous


def _norm_tensors(
    kind: str | None, width: int, theirs: str, ours: str
) -> Iterator[tuple[str, tuple[int, ...], str, Callable[[Tensor], Tensor]]]:
    if kind in ("LN", "RMS"):
        yield f"{theirs}.w", (width,), f"{ours}.weight", Tensor.contiguous
    if kind == "LN":
        yield f"{theirs}.b", (width,), f"{ours}.bias", Tensor.contiguous


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
