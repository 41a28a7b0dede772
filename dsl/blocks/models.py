"""Models."""

from __future__ import annotations

import json
from typing import Any

from nncirc.circuits.door import at_home, read_text
from nncirc.circuits.errors import GraphError, ModelError
from nncirc.circuits.families import adapted, may_be_adapted, own_family, unadapted
from nncirc.circuits.models import BUNDLED, COMPILED
from nncirc.dsl.blocks.keys import COUNT, DEVICE
from nncirc.dsl.check.declared import Implementation, Key, Meaning
from nncirc.dsl.check.scope import Draft
from nncirc.dsl.check.shapes import LARGEST, written_sizes
from nncirc.dsl.check.types import Boolean, Number, Text, Word
from nncirc.dsl.text.diagnostics import Label
from nncirc.dsl.text.source import Span


def is_only_shape(model: Draft) -> bool:
    """Whether it is only the shape of a model, so that nothing can be run on it."""
    return model.implementation == "shape"


def predicts(model: Draft) -> bool:
    """Whether a model's outputs are logits of tokens; programs give values, and so does one output."""
    if model.implementation == "transformer_lens":
        return (_config_of(model.values.get("path")) or {}).get("d_vocab_out") != 1
    return model.implementation != "compiled" and model.values.get("name") not in COMPILED


def needs_logits(meaning: Meaning, model: Draft | None, what: str, span: Span, advice: str) -> bool:
    """Whether a model's outputs are logits of tokens, which something needs; reports if not."""
    if model is None or predicts(model):
        return True
    problem = f"{what} needs logits of tokens, but `{model.name}` outputs values"
    why = "it has one output" if model.implementation == "transformer_lens" else "a program"
    meaning.report("C433", problem, span, labels=(Label(model.place, why),), help=advice)
    return False


def _check_shape(meaning: Meaning, model: Draft) -> None:
    """A shape that is written out is that of some model."""
    try:
        written_sizes(model.values)
    except GraphError as error:
        heads, groups = model.values.get("heads"), model.values.get("kv_heads")
        key, advice = "layers", "check `layers` and `heads`: the largest models have about 16,000 heads"
        if isinstance(heads, int) and isinstance(groups, int) and heads % groups:
            key, advice = (
                "kv_heads",
                f"use a divisor of {heads}, or omit `kv_heads` if every head has its own",
            )
        meaning.report("C238", error.message, model.where(key), help=advice)


def _config_of(folder: object) -> dict[str, Any] | None:
    """The config of a local folder; None where it is missing or damaged, which is said when it is loaded."""
    if not isinstance(folder, str) or not folder.isprintable():
        return None
    try:
        config = json.loads(read_text(at_home(folder) / "config.json", at_most=LARGEST))
    except (OSError, ValueError, RecursionError):
        return None
    return config if isinstance(config, dict) else None


def _check_adapter(meaning: Meaning, model: Draft) -> None:
    """A model in a local folder is of a type that the engine can take apart, as far as that is known."""
    bits = model.values.get("quantize")
    if bits is not None and bits != 4:
        problem = "only weights of 4 bits are supported: 8-bit modules of bitsandbytes round what they read"
        meaning.report("C439", problem, model.where("quantize"), help="write `quantize = 4`, or omit it")
    config = _config_of(model.values.get("id"))
    if config is None:
        return
    if not may_be_adapted(config):
        message, help_ = unadapted(config, adapted())
        meaning.report("C411", message, model.where("id"), help=help_)
        return
    try:
        own_family(str(config.get("model_type")), config)
    except ModelError as error:  # a kind of it that cannot be taken apart
        meaning.report("C411", error.message, model.where("id"), help=error.hint)
    except (KeyError, TypeError, ValueError):
        return  # damaged, as above


def check_runs(meaning: Meaning, dataset: Draft) -> None:
    """What reads prompts is more than a shape."""
    model = meaning.get(dataset, "model")
    if model is not None and is_only_shape(model):
        problem = f"`{model.name}` is only a model's shape: it has no tokenizer or weights"
        labels = (Label(model.place, "only a model's shape"),)
        advice = "use `bundled` or `huggingface` for a model to run"
        meaning.report("C239", problem, dataset.where("model"), labels=labels, help=advice)


DTYPE = Key(
    Word(("float32", "float64", "bfloat16", "float16")), "of parameters and activations", default="float32"
)
MODELS = {
    "huggingface": Implementation(
        "A language model from the Hugging Face Hub or a local folder.",
        {
            "id": Key(
                Text(), "Hub id (`openai-community/gpt2`), local folder, or `.gguf` file", required=True
            ),
            "revision": Key(Text(), "branch, tag or commit on the Hub; if omitted, the default branch"),
            "dtype": DTYPE,
            "device": DEVICE,
            "tokenizer": Key(Text(), "Hub id or folder of another tokenizer; if omitted, the model's own"),
            "attn_implementation": Key(
                Word(
                    ("eager", "sdpa"),
                    "flash attention knows no float64, in which models are checked when they are loaded;"
                    " use `sdpa`",
                ),
                "how transformers computes attention; if omitted, `sdpa` where the family has it",
            ),
            "device_map": Key(
                Text(), "handed to transformers instead of `device`; all weights must end up on one device"
            ),
            "quantize": Key(
                Number(integer=True, low=4, high=8),
                "`4`: weights of 4 bits, by bitsandbytes, where the engine does not need their matrices",
            ),
        },
        check=_check_adapter,
    ),
    "bundled": Implementation(
        "A small model that ships with nncirc and needs no network access: trained, or compiled "
        "from a program.",
        {
            "name": Key(
                Text(BUNDLED, otherwise="load other models with `using huggingface` and their `id`"),
                "`induction-2l` (two attention layers), `ioi-4l` and `tasks-4l` (four layers), or a program: "
                "`tracr-reverse`, `tracr-xproportion`",
                required=True,
            ),
            "dtype": Key(Word(("float64", "float32")), "of parameters and activations", default="float64"),
            "device": DEVICE,
        },
    ),
    "compiled": Implementation(
        "A program compiled to the weights of a transformer, so how it works is known.",
        {
            "path": Key(Text(), "a folder with `config.json` and `model.safetensors`", required=True),
            "dtype": Key(Word(("float64", "float32")), "of parameters and activations", default="float64"),
            "device": DEVICE,
        },
        source="Lindner et al. 2023",
    ),
    "transformer_lens": Implementation(
        "A model that was trained with TransformerLens: its state dict and its config.",
        {
            "path": Key(
                Text(),
                "a folder with `config.json`, the fields of `HookedTransformerConfig`, and "
                "`model.safetensors`, the `state_dict()` of the `HookedTransformer`",
                required=True,
            ),
            "dtype": DTYPE,
            "device": DEVICE,
            "tokenizer": Key(
                Text(),
                "Hub id or folder of the tokenizer; if omitted, that in the folder, and without one tokens "
                'are called by their numbers: `"3 0 12"`',
            ),
        },
    ),
    "shape": Implementation(
        "Only the shape of a model, for reference circuits: it has a graph but cannot be run.",
        {
            "layers": Key(COUNT, "transformer blocks", required=True),
            "heads": Key(COUNT, "query heads per layer", required=True),
            "kv_heads": Key(
                COUNT,
                "key-value heads per layer, for grouped-query attention; if omitted, as many as heads",
            ),
            "mlps": Key(Boolean(), "whether the blocks have MLPs", default=True),
            "parallel": Key(
                Boolean(), "whether attention and MLP of a block read the same residual stream", default=False
            ),
            "d_mlp": Key(COUNT, "neurons per MLP, for graphs with `neurons`"),
        },
        check=_check_shape,
    ),
}
