"""C4xx: models and graphs."""

from __future__ import annotations

from collections.abc import Mapping

from nncirc.dsl.codes.entry import Entry

__all__ = ["GRAPHS", "MODELS"]

_GUARD = (
    "When a model is loaded, the engine runs it on a few tokens and compares the result with its own "
    "arithmetic. Here they part by more than rounding, so every score and every circuit of this model would "
    "be wrong, and would look like any other. "
)
_ADAPTER = (
    "The family needs an adapter of its own (entry point group `nncirc.families`); there is no switch that "
    "turns the guard off."
)

MODELS: Mapping[str, Entry] = {
    "C401": Entry(
        "an unknown bundled model",
        "The models that come with nncirc are `induction-2l`, `ioi-4l`, `tasks-4l`, `tracr-reverse` and "
        "`tracr-xproportion`. Others are loaded from a folder or from the hub, by "
        "`model name using huggingface`.",
    ),
    "C402": Entry(
        "a folder that holds no model",
        "A model's folder has a `config.json` and its weights as `*.safetensors`. Other formats of weights "
        "are pickles, which can run code when they are read, so they are never opened. Save the model again "
        "with `model.save_pretrained(folder)`. A name counts as a folder if it is there, or begins with `.`, "
        "`/` or `~`.",
        'model other using huggingface {\n  id = "./no/such/folder"\n}',
    ),
    "C403": Entry(
        "model files that cannot be loaded",
        "The folder has all files, and safetensors refused them: they are damaged, cut off, or do not belong "
        "together. Or one of them is no regular file, or not in the folder: weights are read from "
        "`model.safetensors`, or from the files that `model.safetensors.index.json` lists beside it. Or "
        "these hold one weight twice, and nobody knows which is meant. Copy them again.",
    ),
    "C404": Entry(
        "weights that are missing, of another shape, or whole numbers",
        "The configuration describes parameters that the file does not have. They would be filled with "
        "random numbers, and every result would be one of an untrained part. Use the configuration that was "
        "saved with these weights. Whole numbers are quantized weights, whose scale is not with them: save "
        "the model as float32.",
    ),
    "C405": Entry(
        "weights that are not finite",
        "A parameter holds infinities or NaN, which spread into every number that depends on it. Either the "
        "file is damaged, or the values do not fit the data type: float16 ends at 65,504. Try "
        "`dtype = float32`.",
    ),
    "C406": Entry(
        "a device that is not there or too small",
        "torch cannot use the device, or the model does not fit into its memory, or it has no float64, in "
        "which all metrics are computed (`mps` has none). Nothing is moved elsewhere silently: the same "
        "script would then give other rounding on another machine without a word.",
        'model other using bundled {\n  name = "ioi-4l"\n  device = "cuda:99"\n}',
        'model other using bundled {\n  name = "ioi-4l"\n  device = "cpu"\n}',
    ),
    "C411": Entry(
        "a type of model without an adapter",
        "To take a model apart into heads and MLPs, the engine must know where it keeps them, and whether "
        "anything stands between them and the residual stream. Guessing by names gives wrong numbers for "
        "some models. A package can add an adapter for a decoder-only model through the entry point group "
        "`nncirc.families`. Models with an encoder, and those without attention heads, have no graph here.",
    ),
    "C412": Entry(
        "a layer whose width is not that of its heads",
        "Heads are told apart by their place in the projections. If heads times width is not the "
        "projection's size, heads would be cut in the wrong places. The configuration does not describe "
        "these weights, or the adapter does not fit.",
    ),
    "C413": Entry(
        "guard: heads do not stand side by side",
        _GUARD + "The output projection of attention should read all heads next to each other, so that a "
        "head's output is its own columns. " + _ADAPTER,
    ),
    "C414": Entry(
        "guard: blocks do not just add to the residual stream",
        _GUARD + "Each block should add the output of attention, then that of the MLP. Models with parallel "
        "blocks, with norms behind the sublayers or with scaled residuals do otherwise. " + _ADAPTER,
    ),
    "C415": Entry(
        "guard: the parts do not sum to the residual stream",
        _GUARD + "Embedding, all heads, all MLPs and their biases should sum to what the final norm reads: "
        "otherwise some part of the model is no node, and no circuit could hold it. " + _ADAPTER,
    ),
    "C416": Entry(
        "guard: nothing cut is not the clean run",
        _GUARD + "With no edge cut the masked forward should give the clean logits. " + _ADAPTER,
    ),
    "C417": Entry(
        "guard: everything cut is not the corrupted run",
        _GUARD + "With all edges cut the masked forward should give the corrupted logits: otherwise "
        "something reaches the output by a way that is no edge. " + _ADAPTER,
    ),
    "C418": Entry(
        "guard: MLPs that the graph leaves out write something",
        _GUARD + "The graph has no MLPs since the model is said to have none, and they do write. " + _ADAPTER,
    ),
    "C419": Entry(
        "guard: single heads attend otherwise than the layer",
        _GUARD + "Queries, keys and values of one head by itself should give what the whole layer gives it. "
        "Attention with a window, soft caps or sinks does otherwise. A window shows only in prompts that are "
        "longer, so this is tested again when a prompt is longer than all before. " + _ADAPTER,
    ),
    "C420": Entry(
        "guard: positions are embedded otherwise",
        _GUARD
        + "Without what the family says is added for its position, the embedding of a token should be the "
        "same everywhere. Offsets, or positions that enter in another way, do otherwise. " + _ADAPTER,
    ),
    "C421": Entry(
        "a folder without a tokenizer",
        "The tokenizer is read from the model's folder, or from the key `tokenizer`, and neither the folder "
        "nor a tokenizer file in it was found. Save it beside the model: "
        "`tokenizer.save_pretrained(folder)`.",
    ),
    "C422": Entry(
        "damaged files of a model or tokenizer",
        "A JSON file cannot be parsed or is no object, or the tokenizer's files contradict each other. Copy "
        "them again, or save them again with `save_pretrained`.",
    ),
    "C423": Entry(
        "the hub cannot be reached",
        "The model or tokenizer was not downloaded before, and huggingface.co did not answer within a few "
        "seconds. Connect and try again, or give a local folder as `id`. The bundled models need no network.",
    ),
    "C424": Entry(
        "the hub does not give this model",
        "There is no model of that name or no such revision, or it is private or gated. Accept a gated "
        "model's terms on its page and log in with `hf auth login`. Naming a commit as `revision` keeps "
        "results the same when the model's repository changes.",
    ),
    "C431": Entry(
        "positions as a node of a model that embeds none",
        "With `pos_embed` among a graph's nodes, the learned embedding of positions is a sender of its own. "
        "Models with rotary embeddings add nothing to the residual stream for a position.",
        "graph apart using residual {\n  model = llama\n  nodes = [embed, pos_embed, heads, mlps, logits]\n}",
        "graph apart using residual {\n  model = llama\n  nodes = [embed, heads, mlps, logits]\n}",
    ),
    "C432": Entry(
        "a kind of compiled model that is not known",
        "Compiled programs have no norms and ReLU in their MLPs. A folder that says otherwise would be run "
        "as something that it is not.",
    ),
    "C433": Entry(
        "a metric of logits on a model whose outputs are values",
        "A compiled program gives values: a fraction, or 1 for the right symbol and 0 for the others. They "
        "are no logits, so that a softmax of them is no prediction. `mse` compares them with the clean "
        "run's.",
        'model program using bundled {\n  name = "tracr-reverse"\n}\n'
        "dataset inputs using all_inputs {\n  model = program\n  length = 2\n}\n"
        "corruption nothing using zero {\n  data = inputs\n}\n"
        "graph parts using residual {\n  model = program\n}\n"
        "circuit other using acdc {\n  graph = parts\n  corruption = nothing\n"
        "  metric = kl_divergence()\n  threshold = 0.01\n}",
        'model program using bundled {\n  name = "tracr-reverse"\n}\n'
        "dataset inputs using all_inputs {\n  model = program\n  length = 2\n}\n"
        "corruption nothing using zero {\n  data = inputs\n}\n"
        "graph parts using residual {\n  model = program\n}\n"
        "circuit other using acdc {\n  graph = parts\n  corruption = nothing\n"
        "  metric = mse(at = token)\n  threshold = 0.01\n}",
    ),
    "C434": Entry(
        "answers for a model that predicts no tokens",
        "An answer is a token that should come next, and a compiled program gives values instead. Leave "
        "`answer` and `foil` out, and measure `mse`.",
        'model program using bundled {\n  name = "tracr-reverse"\n}\n'
        'dataset inputs using prompts {\n  model = program\n  clean = ["1 2 3"]\n  answer = ["3"]\n}',
        'model program using bundled {\n  name = "tracr-reverse"\n}\n'
        'dataset inputs using prompts {\n  model = program\n  clean = ["1 2 3"]\n}',
    ),
}

GRAPHS: Mapping[str, Entry] = {
    "C451": Entry(
        "a name that is no node",
        "Nodes are `embed`, `pos_embed`, `L9H6`, `L9H6.q`, `L9KV2.k`, `L9`, `MLP3`, `MLP3N17` and `logits`, "
        "in a graph of positions with their position, `L9H6.q@end`. `*` stands for all numbers. A group has "
        "another name than a node.",
    ),
    "C452": Entry(
        "a shape that no model has",
        "Layers, heads and key-value heads are at least 1, the key-value heads divide the heads, and there "
        "is an upper limit far beyond today's models. A file that says otherwise is another file; a network "
        "of networkx must be told which graph it is of.",
    ),
    "C453": Entry(
        "joined inputs under grouped-query attention",
        "Several heads share one key and one value, so an edge into all inputs of one head alone does not "
        "exist: cutting it would change its neighbours as well. Keep the inputs apart.",
        "graph joined using residual {\n  model = llama\n  inputs = []\n}",
        "graph joined using residual {\n  model = llama\n  inputs = [q, k, v]\n}",
    ),
    "C454": Entry(
        "an edge that the graph does not have",
        "Edges go from a node's output to an input of a later node; which nodes and inputs there are is the "
        "graph's choice. In a network an edge stands once.",
    ),
    "C455": Entry(
        "circuits of different graphs",
        "Edges are compared by name, and the same name in another graph is another edge, so recall and "
        "precision would be numbers about nothing. Find both on one graph, or collapse both to the coarser "
        "one.",
    ),
    "C456": Entry(
        "a path that makes no edge",
        "Two neighbouring steps of a path have no edge between them, or a node that is written out takes "
        "part in none. It would be missing from the circuit without a word, and recall against the circuit "
        "would be too high.",
    ),
    "C457": Entry(
        "a node, group or input that the graph does not have",
        "Layers, heads and neurons count from 0. A graph has the nodes that its block lists in `nodes`, at "
        "its `positions` where it has some (`L9H6@end`), and single neurons in the layers of `neurons`. "
        "Heads are entered as `.q`, `.k` and `.v` unless `inputs = []` joins them. A group holds whole "
        "nodes, at least one; the input stands behind the group's name in the path: `embed -> early.q`. The "
        "message says what the graph has.",
    ),
    "C458": Entry(
        "a score that is not finite",
        "A circuit's scores are finite numbers or absent: NaN compares as false with every threshold, so "
        "which edges are kept would depend on how the comparison is written. A metric or a gradient "
        "overflowed: load the model with `dtype = float32`, and look at the metric on both runs.",
    ),
    "C459": Entry(
        "a circuit that has no image in this graph or format",
        "Collapsing joins inputs or heads and never tells more apart, as nothing says to which part an edge "
        "belongs. Regrouping keys and values needs equal edges for all heads of a group. The EAP-IG format "
        "holds single heads with q, k and v apart: export before you collapse.",
    ),
    "C460": Entry(
        "a graph without MLPs for a model that has them",
        "The MLPs write into the residual stream. As no nodes, they could be neither kept nor cut, and with "
        "everything cut the model would not be at its corrupted run, so faithfulness would have no zero.",
        "graph other using residual {\n  model = tiny\n  nodes = [embed, heads, logits]\n}",
        "graph other using residual {\n  model = tiny\n  nodes = [embed, heads, mlps, logits]\n}",
    ),
    "C461": Entry(
        "a `where(…)` that no head satisfies",
        "The group would be empty, and the circuit would silently lack its paths. The message names the head "
        "that comes nearest: change the limit, or look whether the prompts show the pattern at all.",
        "scores patterns using attention_statistics {\n  graph = full\n  data = ioi\n"
        "  of = [previous_token]\n}\ncircuit other using reference {\n  graph = full\n  groups {\n"
        "    early = where(patterns.previous_token, above = 1)\n  }\n  embed -> early -> logits\n}",
        "scores patterns using attention_statistics {\n  graph = full\n  data = ioi\n"
        "  of = [previous_token]\n}\ncircuit other using reference {\n  graph = full\n  groups {\n"
        "    early = where(patterns.previous_token, above = 0)\n  }\n  embed -> early -> logits\n}",
    ),
    "C464": Entry(
        "paths that stand for too many edges",
        "`embed -> L*H* -> L*H* -> logits` is the whole graph of attention, and grows with the square of "
        "the number of heads. A circuit is listed edge by edge wherever it is used; write down those that it "
        "has.",
    ),
    "C465": Entry(
        "positions that nodes cannot be at",
        "In a graph of positions every node is split into one at each: slots (`S.2`), `start`, `end`, token "
        "numbers. Each is named once; tokens that none of them names are `other`. Every node at every "
        "position is a node of the graph, of which there is a largest number: name the positions that "
        "matter.",
    ),
    "C468": Entry(
        "a score of several edges, or several of one",
        "A path may have a score if it is one edge: one sender, one input of one receiver, at one position. "
        "Every edge has one score at most. Write a path for each edge.",
    ),
    "C467": Entry(
        "neurons that no graph has",
        "A graph's MLPs are split layer by layer: each layer is named once, counted from 0, and has as many "
        "neurons as the model's MLP is wide. Every neuron is a node; choose the layers that matter, found "
        "with whole MLPs first.",
    ),
    "C425": Entry(
        "neurons that do not make the MLP",
        "When a model is loaded, what its MLPs' neurons write is summed up and compared with what the MLPs "
        "write. Here they differ, so that scores of neurons would be wrong: the family's `mlp_output` is not "
        "the module whose input are the activations, or something comes behind it. Or they are not what the "
        "`activation` gives, as in a gated MLP whose `gated` the family does not name.",
    ),
    "C426": Entry(
        "guard: logits are not those of the unembedding",
        _GUARD + "The logits should be the final norm's output times the unembedding, and nothing more. "
        "Models that scale their logits, or cap them softly, do otherwise: metrics that are read from the "
        "unembedding would be of other logits than the model's. " + _ADAPTER,
    ),
    "C427": Entry(
        "a model that does not run as its adapter says",
        "The adapter names modules that this model does not have, or that its forward reaches in another "
        "order, or the model cannot be run block by block in float64 with these parts read. " + _ADAPTER,
    ),
    "C428": Entry(
        "a plain run that overflows",
        "The weights are finite, and what the model computes from them in its dtype is not: float16 ends at "
        "65,504, and the activations of some models are larger. It is no fault of the family's adapter. Load "
        "the model with `dtype = float32`, or with `bfloat16`, which has the range of float32.",
    ),
    "C429": Entry(
        "weights that the config has no place for",
        "The files hold parameters that no part of the model would use: layers beyond those of the config, "
        "biases of projections that it says have none, a norm of queries. Whoever trained them used them, so "
        "the model would be another one than that of the files, without a word. Use the configuration that "
        "was saved with these weights. If they are meant to be left out, load the model with transformers "
        "and save it again: then they are gone.",
    ),
    "C430": Entry(
        "a config that no model can have",
        "A size is not a whole number, a name is not known, or what transformers makes of `config.json` "
        "cannot be built or run. Quantized weights are refused too, since the engine computes with plain "
        "ones. Use the configuration that was saved with the weights.",
    ),
    "C436": Entry(
        "a broken adapter",
        "An installed package says, in the entry point group `nncirc.families`, that it has an adapter for "
        "models of this type, and loading it raises an error or gives something else. Other models are not "
        "concerned: an adapter that nobody asks for is skipped.",
    ),
    "C435": Entry(
        "neurons nobody knows the place of",
        "Splitting an MLP takes the module that turns its neurons' activations into what the MLP writes. "
        "The family's adapter does not name one as its `mlp_output`: such models have MLPs as whole nodes.",
    ),
    "C462": Entry(
        "compared by something else",
        "Circuits are compared by `nodes` or by `edges`. What is counted decides recall and precision, so "
        "nothing else is guessed.",
    ),
    "C463": Entry(
        "attention divided into something else",
        "The nodes of attention are single `heads` or whole `layers`.",
    ),
}
