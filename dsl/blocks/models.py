"""Models."""

from __future__ import annotations

from nncirc.dsl.blocks.entries import DEVICE, Implementation, Key
from nncirc.dsl.check.types import Boolean, Number, Text, Word

MODELS = {
    "huggingface": Implementation(
        "A language model from the Hugging Face hub or a local folder.",
        {
            "id": Key(Text(), "hub id (`openai-community/gpt2`) or local folder", required=True),
            "revision": Key(Text(), "branch, tag or commit on the hub; absent: the default branch"),
            "dtype": Key(
                Word(("float32", "float64", "bfloat16", "float16")),
                "of parameters and activations",
                default="float32",
            ),
            "device": DEVICE,
            "tokenizer": Key(Text(), "hub id or folder of another tokenizer; absent: the model's own"),
        },
    ),
    "bundled": Implementation(
        "A small model that comes with nncirc and needs no network: trained, or compiled from a program.",
        {
            "name": Key(
                Text(
                    ("induction-2l", "ioi-4l", "tasks-4l", "tracr-reverse", "tracr-xproportion"),
                    otherwise="others are loaded by `using huggingface`, with their `id`",
                ),
                "`induction-2l` (two attention layers), `ioi-4l` and `tasks-4l` (four layers), or a program: "
                "`tracr-reverse`, `tracr-xproportion`",
                required=True,
            ),
            "dtype": Key(Word(("float64", "float32")), "of parameters and activations", default="float64"),
            "device": DEVICE,
        },
    ),
    "compiled": Implementation(
        "A program compiled to the weights of a transformer: it is known how it does what it does.",
        {
            "path": Key(Text(), "a folder with `config.json` and `model.safetensors`", required=True),
            "dtype": Key(Word(("float64", "float32")), "of parameters and activations", default="float64"),
            "device": DEVICE,
        },
        source="Lindner et al. 2023",
    ),
    "shape": Implementation(
        "Only the shape of a model, for reference circuits: it has a graph, and nothing can be run on it.",
        {
            "layers": Key(Number(integer=True, low=1), "transformer blocks", required=True),
            "heads": Key(Number(integer=True, low=1), "query heads a layer", required=True),
            "kv_heads": Key(
                Number(integer=True, low=1),
                "key-value heads a layer, under grouped-query attention; absent: as many as heads",
            ),
            "mlps": Key(Boolean(), "whether the blocks have MLPs", default=True),
            "parallel": Key(
                Boolean(), "whether attention and MLP of a block read the same residual", default=False
            ),
            "d_mlp": Key(Number(integer=True, low=1), "neurons of each MLP, for graphs with `neurons`"),
        },
    ),
}
