"""C4xx: models and graphs."""

from __future__ import annotations

from collections.abc import Mapping

from nncirc.dsl.codes.entry import Entry

_GUARD = (
    "When a model is loaded, the engine runs it on a few tokens and compares the result with its own "
    "arithmetic. Here they differ by more than rounding, so every score and circuit of this model would be "
    "wrong without looking wrong. "
)
_ADAPTER = (
    "The model's family needs its own adapter (entry point group `nncirc.families`); the guard cannot be "
    "turned off."
)

MODELS: Mapping[str, Entry] = {
    "C401": Entry(
        "unknown bundled model",
        "The models that come with nncirc are `induction-2l`, `ioi-4l`, `tasks-4l`, `tracr-reverse` and "
        "`tracr-xproportion`. Load others from a folder or the hub, with `model name using huggingface`.",
    ),
    "C402": Entry(
        "folder without a model",
        "A model's folder has a `config.json` and its weights as `*.safetensors`. Other weight formats are "
        "pickles, which can run code when they are read, so they are never opened. Save the model again with "
        "`model.save_pretrained(folder)`, with any adapter (such as LoRA) merged into the weights. A name "
        "refers to a folder if that folder exists, or if the name begins with `.`, `/` or `~`.",
        'model other using huggingface {\n  id = "./no/such/folder"\n}',
    ),
    "C403": Entry(
        "model files that cannot be loaded",
        "The files are damaged, cut off, or do not belong together; or one of them is not a regular "
        "file in the folder; or they contain the same weight twice, and it is unclear which one is "
        "meant. Weights are read from `model.safetensors`, or from the files next to "
        "`model.safetensors.index.json` that it lists. Copy the files again.",
    ),
    "C404": Entry(
        "weights that are missing, of another shape, or integers",
        "The config describes parameters that the file lacks or has in another shape. Missing ones "
        "would be filled with random numbers, and every result would include an untrained part. Use the "
        "config that was saved with these weights. Integers are quantized weights without their scale: "
        "save the model as float32.",
    ),
    "C405": Entry(
        "weights that are not finite",
        "A parameter contains infinities or NaN, which spread to every number that depends on it. "
        "Either the file is damaged, or the values do not fit the data type: the largest float16 is "
        "65,504. Try `dtype = float32`.",
    ),
    "C406": Entry(
        "unusable device",
        "torch cannot use the device, the model does not fit into its memory, or the device has no float64, "
        "in which all metrics are computed (`mps` has none). nncirc never moves work to another device "
        "silently: the same script would then round differently on another machine without notice.",
        'model other using bundled {\n  name = "ioi-4l"\n  device = "cuda:99"\n}',
        ('"cuda:99"', '"cpu"'),
    ),
    "C411": Entry(
        "model type without an adapter",
        "To split a model into heads and MLPs, the engine must know where they are, and whether anything "
        "lies between them and the residual stream. Guessing from names gives wrong numbers for some models. "
        "A package can add an adapter for a decoder-only model through the entry point group "
        "`nncirc.families`. Models with an encoder, and models without attention heads, have no graph here.",
    ),
    "C412": Entry(
        "layer width that does not match its heads",
        "A head is a slice of the projections. If the number of heads times their width is not the size "
        "of the projection, the slices would be cut in the wrong places. The config does not describe "
        "these weights, or the adapter does not fit: its `keys` say under which names the config gives "
        "layers, heads and neurons.",
    ),
    "C413": Entry(
        "guard: heads are not side by side",
        _GUARD
        + "The output projection of attention should read all heads side by side, so that a head's output "
        "is its own block of columns. " + _ADAPTER,
    ),
    "C414": Entry(
        "guard: blocks do not just add to the residual stream",
        _GUARD + "Each block should add the output of attention, then that of the MLP. Models with parallel "
        "blocks, with norms after the sublayers or with scaled residuals do something else. " + _ADAPTER,
    ),
    "C415": Entry(
        "guard: the parts do not sum to the residual stream",
        _GUARD
        + "The embedding, all heads, all MLPs and their biases should sum to what the final norm reads. "
        "Otherwise some part of the model is not a node, and no circuit could contain it. " + _ADAPTER,
    ),
    "C416": Entry(
        "guard: cutting nothing does not give the clean run",
        _GUARD + "With no edge cut, the masked forward pass should give the clean logits. " + _ADAPTER,
    ),
    "C417": Entry(
        "guard: cutting everything does not give the corrupted run",
        _GUARD + "With all edges cut, the masked forward pass should give the corrupted logits. Otherwise "
        "something reaches the output by a route that is not an edge. " + _ADAPTER,
    ),
    "C418": Entry(
        "guard: MLPs outside the graph write something",
        _GUARD
        + "The graph has no MLPs because the model's config says it has none, but its MLPs do write. "
        + _ADAPTER,
    ),
    "C419": Entry(
        "the method needs heads that can be computed by themselves",
        "Activation patching, attribution patching and ACDC run the whole model where a single head, MLP or "
        "logit cannot be computed by itself; they are exact there, and slower. The other methods compute "
        "such parts, which was compared with the model when it was loaded and did not match: attention with "
        "sinks or ALiBi, for example, or experts that are called another way. Windows matter only in longer "
        "prompts, so it is compared again whenever a prompt is longer than all before. Attention patterns "
        "are then those that the model itself gives, if these times the values are what its heads write.",
    ),
    "C420": Entry(
        "guard: positions are embedded differently",
        _GUARD + "Without what the family adds for its position, the embedding of a token should be the same "
        "everywhere. This fails if the model offsets its positions, or if positions enter in some other "
        "way. " + _ADAPTER,
    ),
    "C421": Entry(
        "folder without a tokenizer",
        "The tokenizer is read from the model's folder, or from the key `tokenizer`. The folder, or a "
        "tokenizer file in it, was not found. Save the tokenizer next to the model: "
        "`tokenizer.save_pretrained(folder)`.",
    ),
    "C422": Entry(
        "damaged model or tokenizer files",
        "A JSON file cannot be parsed or is not an object, or the tokenizer's files contradict each "
        "other. Copy them again, or save them again with `save_pretrained`.",
    ),
    "C423": Entry(
        "hub that cannot be reached",
        "The model or tokenizer was not downloaded before, and huggingface.co did not answer within a few "
        "seconds. Connect and try again, or give a local folder as `id`. The bundled models need no network.",
    ),
    "C424": Entry(
        "model not available on the hub",
        "No model has this name or revision, or the model is private or gated. Accept a gated model's "
        "terms on its page and log in with `hf auth login`. With a commit as `revision`, results stay "
        "the same when the model's repository changes.",
    ),
    "C438": Entry(
        "missing package for a way of loading",
        "Reading `.gguf` files needs the packages `gguf` and `accelerate`, `device_map` needs `accelerate`, "
        "and `quantize` also `bitsandbytes`. They are not installed with nncirc. The message has the command "
        "that installs what is missing.",
    ),
    "C440": Entry(
        "`.gguf` file that says more than is taken over",
        "transformers makes a config of the settings in a `.gguf` file, and skips those that it does not "
        "know, how rotary embeddings are scaled for example. The model would silently be a different one, so "
        "every setting is compared with the config. Load the original model, from which the file was "
        "converted.",
    ),
    "C439": Entry(
        "loading option that the model does not allow",
        "Not every family in transformers has every way to compute attention: those with sinks, for "
        "example, have no `sdpa`. What all layers write is added up on one device, so a `device_map` may not "
        "spread a model over several. Weights of 4 bits have no matrices for methods that need those of "
        "queries, keys and values; modules of 8 bits round what they read, so their gradients are not those "
        "of what they compute. The message says what can be used instead.",
    ),
    "C431": Entry(
        "position embeddings as a node of a model without them",
        "With `pos_embed` among a graph's nodes, the learned position embedding is a separate sender. Models "
        "with rotary embeddings add no position embedding to the residual stream: remove `pos_embed`.",
        "graph apart using residual {\n  model = llama\n  nodes = [embed, pos_embed, heads, mlps, logits]\n}",
        ("pos_embed, heads", "heads"),
    ),
    "C432": Entry(
        "unknown kind of compiled or TransformerLens model",
        "Compiled programs have no norms, and their MLPs use ReLU. Of TransformerLens's models, those with "
        "other positions than standard or rotary ones, gated MLPs, grouped queries, local attention and SoLU "
        "are not supported. The model would be run as another.",
    ),
    "C433": Entry(
        "metric of logits for a model that outputs values",
        "A compiled program outputs values: a fraction, or 1 for the right symbol and 0 for the others. "
        "These are not logits, so their softmax is not a prediction. Measure `mse`, which compares them "
        "with the values of the clean run.",
        'model program using bundled {\n  name = "tracr-reverse"\n}\n'
        "dataset inputs using all_inputs {\n  model = program\n  length = 2\n}\n"
        "corruption nothing using zero {\n  data = inputs\n}\n"
        "graph parts using residual {\n  model = program\n}\n"
        "circuit other using acdc {\n  graph = parts\n  corruption = nothing\n"
        "  metric = kl_divergence()\n  threshold = 0.01\n}",
        ("kl_divergence()", "mse(at = token)"),
    ),
    "C434": Entry(
        "answers for a model that predicts no tokens",
        "An answer is a token that should come next, but a compiled program outputs values. Omit "
        "`answer` and `foil`, and measure `mse`.",
        'model program using bundled {\n  name = "tracr-reverse"\n}\n'
        'dataset inputs using prompts {\n  model = program\n  clean = ["1 2 3"]\n  answer = ["3"]\n}',
        ('  answer = ["3"]\n', ""),
    ),
}

GRAPHS: Mapping[str, Entry] = {
    "C451": Entry(
        "invalid node name",
        "Nodes are `embed`, `pos_embed`, `L9H6`, `L9H6.q`, `L9KV2.k`, `L9`, `MLP3`, `MLP3N17` and "
        "`logits`; in a graph split by position, the name includes the position, `L9H6.q@end`. `*` "
        "stands for all numbers. A group cannot have the name of a node.",
    ),
    "C453": Entry(
        "joined inputs under grouped-query attention",
        "Several heads share one key and one value, so there is no edge into all inputs of one head alone: "
        "cutting it would change the other heads of its key-value group as well. Keep the inputs separate.",
        "graph joined using residual {\n  model = llama\n  inputs = []\n}",
        ("[]", "[q, k, v]"),
    ),
    "C454": Entry(
        "edge that the graph does not have",
        "Edges go from a node's output to an input of a later node; the graph determines which nodes "
        "and inputs there are. In a network, each edge occurs once.",
    ),
    "C456": Entry(
        "path that makes no edge",
        "Two consecutive steps of a path have no edge between them, or a node that is written out takes "
        "part in none. It would be missing from the circuit without notice, and recall against the "
        "circuit would be too high.",
    ),
    "C457": Entry(
        "node, group or input that the graph does not have",
        "Layers, heads and neurons are counted from 0. A graph has the nodes that its block lists in "
        "`nodes`, at its `positions` if it has any (`L9H6@end`), and single neurons in the layers of "
        "`neurons`. Heads have the inputs `.q`, `.k` and `.v` unless `inputs = []` joins them. A group "
        "holds one or more whole nodes; a path names the input after the group: `embed -> early.q`. The "
        "message says what the graph has.",
    ),
    "C458": Entry(
        "score that is not finite",
        "A circuit's scores are finite numbers or absent. NaN compares as false with every threshold, "
        "so which edges are kept would depend on how the comparison is written. A metric or a gradient "
        "overflowed: load the model with `dtype = float32`, and check the metric on both runs.",
    ),
    "C459": Entry(
        "circuit that the graph or format cannot represent",
        "Collapsing joins inputs or heads and never separates them, because nothing says which part an edge "
        "belongs to. Regrouping keys and values needs equal edges for all heads of a key-value group. The "
        "EAP-IG format has single heads with separate q, k and v: export before you collapse.",
    ),
    "C460": Entry(
        "graph without the MLPs of its model",
        "The MLPs write to the residual stream. If they are not nodes, they can be neither kept nor "
        "cut, and with everything cut the model would not be at its corrupted run, so faithfulness "
        "would have no zero point. Add `mlps` to the graph's `nodes`.",
        "graph other using residual {\n  model = tiny\n  nodes = [embed, heads, logits]\n}",
        ("logits", "mlps, logits"),
    ),
    "C461": Entry(
        "`where(…)` that no head satisfies",
        "The group would be empty, and its paths would silently be missing from the circuit. The "
        "message names the heads with the lowest and the highest value. Change the limit, or check "
        "whether the prompts show the pattern at all.",
        "scores patterns using attention_statistics {\n  graph = full\n  data = ioi\n"
        "  of = [previous_token]\n}\ncircuit other using reference {\n  graph = full\n  groups {\n"
        "    early = where(patterns.previous_token, above = 1)\n  }\n  embed -> early -> logits\n}",
        (
            "early = where(patterns.previous_token, above = 1)",
            "early = where(patterns.previous_token, above = 0)",
        ),
    ),
    "C464": Entry(
        "paths with too many edges",
        "`embed -> L*H* -> L*H* -> logits` is the whole graph of attention, and grows with the square "
        "of the number of heads. A circuit is listed edge by edge wherever it is used; write down only "
        "the edges it has.",
    ),
    "C465": Entry(
        "invalid graph positions",
        "In a graph split by position, every node is split into one at each position: slots (`S.2`), "
        "`start`, `end`, token numbers. Name each position once; tokens that none of them names are at "
        "`other`. Every node at every position is a node of the graph, and their number is limited: "
        "name the positions that matter.",
    ),
    "C467": Entry(
        "invalid graph neurons",
        "MLPs are split layer by layer: list each layer once, in order, counted from 0. A layer has as "
        "many neurons as its MLP is wide. Every neuron is a node, and their number is limited: choose "
        "the layers that matter, found with whole MLPs first.",
    ),
    "C437": Entry(
        "guard: a query, key or value moves other heads",
        _GUARD
        + "Each query, key and value is exchanged at one token for that of another prompt. That should move "
        "the heads it belongs to and no other, and a query only its own token. Otherwise the adapter names "
        "the wrong columns, or the config the wrong number of heads. " + _ADAPTER,
    ),
    "C441": Entry(
        "keys and values that heads can only share",
        "With `kv = heads` every head gets a copy of the key and value that it shares with others: the model "
        "is built with as many key-value heads as heads. Layers of this family always have the same number "
        "of keys and values, whatever the config says, or its weights are quantized, so that they cannot be "
        "copied head by head. Write `kv = groups`, or load the model without `quantize`.",
    ),
    "C425": Entry(
        "guard: neurons do not sum to their MLP",
        "When a model is loaded, the outputs of the neurons of its MLPs are summed and compared with "
        "the outputs of the MLPs. Here they differ, so scores of neurons would be wrong. Either the "
        "family's `mlp_output` is not the module whose input is the activations, or something comes "
        "after it; or the activations are not what `activation` gives, as in a gated MLP whose `gated` "
        "the family does not name; or what `gated` reads is not those times a linear gate.",
    ),
    "C426": Entry(
        "logits are not those of the unembedding",
        "The lenses and direct logit attribution compute logits from the final norm's output and the "
        "unembedding. In this model something else is done to them, which no setting of its config says, so "
        "what they show would not be about the model's own logits.",
    ),
    "C427": Entry(
        "model that does not match its adapter",
        "The adapter names modules that this model does not have or that its forward pass reaches in another "
        "order, or the model cannot be run block by block in float64 while these parts are read. " + _ADAPTER,
    ),
    "C428": Entry(
        "overflow in a plain run",
        "The weights are finite, but what the model computes from them in its dtype is not: the largest "
        "float16 is 65,504, and the activations of some models are larger. The family's adapter is not at "
        "fault. Load the model with `dtype = float32`, or with `bfloat16`, which has the range of float32.",
    ),
    "C429": Entry(
        "weights that the config does not use",
        "The files contain parameters that no part of the model would use: layers beyond those in the "
        "config, biases of projections that should have none, a norm on queries. The trained model used "
        "them, so without them it would silently be a different model. Use the config that was saved "
        "with these weights. If they are meant to be left out, load the model with transformers and "
        "save it again, which drops them.",
    ),
    "C430": Entry(
        "invalid config",
        "A size is not a whole number, a name is unknown, or transformers cannot build or run the model "
        "that `config.json` describes. Quantized weights are refused too, because the engine computes "
        "with plain ones. Use the config that was saved with the weights.",
    ),
    "C436": Entry(
        "broken adapter",
        "An installed package declares, in the entry point group `nncirc.families`, an adapter for "
        "models of this type, but loading it raises an error or gives something else. Other models are "
        "not affected: an adapter that is not needed is skipped.",
    ),
    "C435": Entry(
        "unknown location of neurons",
        "To split an MLP, the engine needs the module that turns the activations of its neurons into "
        "the MLP's output. The family's adapter does not name one as `mlp_output`, so MLPs of such "
        "models are whole nodes only.",
    ),
    "C462": Entry(
        "invalid basis for comparing circuits",
        "Circuits are compared by `nodes`, `edges`, `heads`, `mlps`, `q`, `k` or `v`, if the graph has "
        "them. The choice determines recall and precision, so it is never guessed.",
    ),
    "C463": Entry(
        "invalid division of attention", "The nodes of attention are single `heads` or whole `layers`."
    ),
}
