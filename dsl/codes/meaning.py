"""C2xx: what declarations mean together."""

from __future__ import annotations

from collections.abc import Mapping

from nncirc.dsl.codes.entry import Entry

__all__ = ["MEANING"]

MEANING: Mapping[str, Entry] = {
    "C201": Entry(
        "a value of the wrong type",
        "The message says which type the key takes; docs/language.md lists all keys.",
        "metric loss using logprob {\n  normalize = 1\n}",
        "metric loss using logprob {\n  normalize = true\n}",
    ),
    "C202": Entry(
        "a number out of its range",
        "The message says what the key takes. A share, in a claim too, lies between 0 and 1: 90% is written "
        "0.9.",
        "assert recall(found, small) >= 90",
        "assert recall(found, small) >= 0.9",
    ),
    "C203": Entry(
        "a word that is not one of the choices",
        "Where a key takes one of a few words, they are written without quotes.",
        "circuit other using threshold {\n  scores = eap\n  threshold = 0.1\n  rank = magnitude\n}",
        "circuit other using threshold {\n  scores = eap\n  threshold = 0.1\n  rank = absolute\n}",
    ),
    "C204": Entry(
        "a list or string of the wrong length",
        "It is empty, or has another number of items than the key takes.",
        "compare {\n  circuits = []\n}",
        "compare {\n  circuits = [found, small]\n}",
    ),
    "C205": Entry(
        "the same item twice",
        "In this list each item counts once, so a second one is a slip.",
        "compare {\n  circuits = [found, found]\n}",
        "compare {\n  circuits = [found, small]\n}",
    ),
    "C206": Entry(
        "`--set` with a value that the constant cannot take",
        "A constant keeps its type: a number stays a number. It is set once, and to text that a file can "
        "hold.",
    ),
    "C208": Entry(
        "two families at once",
        "A list of numbers makes a family: one circuit for each number. What refers to a family becomes one. "
        "Two families in one place would make every combination, which is not done silently.",
        "circuit a using top {\n  scores = eap\n  edges = [10, 20]\n}\n"
        "circuit b using top {\n  scores = eap\n  edges = [10, 20]\n}\nassert recall(a, b) >= 0.5",
    ),
    "C209": Entry(
        "a file name that is not allowed",
        "Outputs are written below the output folder, so their names are relative, without `..`, and end in "
        "a format that can be written. A used file ends in `.circ`: messages show lines of it.",
        'render {\n  circuit = found\n  file = "../a.svg"\n}',
        'render {\n  circuit = found\n  file = "a.svg"\n}',
    ),
    "C210": Entry(
        "two outputs write one file",
        "The second would overwrite the first. Upper and lower case are not told apart. Results are written, "
        "too: `found` to `found.json`, the members of a family to `found.0.json` and so on, what a family "
        "draws to `a-0.svg`; and what the run did to `run.json`. No file is a folder of another.",
        'render {\n  circuit = found\n  file = "a.svg"\n}\nrender {\n  circuit = small\n  file = "a.svg"\n}',
        'render {\n  circuit = found\n  file = "a.svg"\n}\nrender {\n  circuit = small\n  file = "b.svg"\n}',
    ),
    "C211": Entry(
        "a brace in a template that names no slot",
        "`{S}` stands for the slot S. A literal brace is written twice: `{{`.",
        'dataset other using template {\n  model = gpt2\n  size = 1\n  prompt = "When {S went"\n'
        "  slots {\n    S = names\n  }\n}",
    ),
    "C212": Entry(
        "a template names a slot that is not declared",
        "Every `{slot}` of prompts, answer and foil is declared in `slots { … }`.",
        'dataset other using template {\n  model = gpt2\n  size = 1\n  prompt = "When {T} went"\n'
        "  slots {\n    S = names\n  }\n}",
    ),
    "C213": Entry(
        "a slot that nothing uses",
        "No prompt has it and no replacement puts it in another's place.",
        'dataset other using template {\n  model = gpt2\n  size = 1\n  prompt = "When {S} went"\n'
        "  slots {\n    S, T = names\n  }\n}",
    ),
    "C214": Entry(
        "a replacement of slots that the dataset does not have",
        "Both sides of `S.2 -> C` are slots of the corruption's dataset.",
        "corruption other using replace {\n  data = ioi\n  S.2 -> D\n}",
        "corruption other using replace {\n  data = ioi\n  S.2 -> A\n}",
    ),
    "C215": Entry(
        "a replacement at an occurrence that no prompt has",
        "Occurrences are counted from 1 within a prompt.",
        "corruption other using replace {\n  data = ioi\n  S.3 -> A\n}",
        "corruption other using replace {\n  data = ioi\n  S.2 -> A\n}",
    ),
    "C216": Entry(
        "a replacement between slots of different length",
        "Clean and corrupted prompts have equally many tokens, or positions would not correspond.",
        'dataset other using template {\n  model = gpt2\n  size = 1\n  prompt = "{x}"\n  slots {\n'
        "    x = random_tokens(24)\n    y = random_tokens(12)\n  }\n}\n"
        "corruption replaced using replace {\n  data = other\n  x -> y\n}",
    ),
    "C217": Entry(
        "more slots than words to fill them",
        "Slots of one line differ within a prompt: they are drawn without replacement.",
        'dataset other using template {\n  model = gpt2\n  size = 1\n  prompt = "{x}{y}"\n  slots {\n'
        '    x, y = ["one"]\n  }\n}',
    ),
    "C218": Entry(
        "a position that the prompts do not have",
        "Positions are `start`, `end`, and slots with the number of their occurrence: `S.2`. Prompts from "
        "lists and files have no slots; repeated tokens are `block.1`, `block.2`. A node stands at a "
        "position of its graph: `L9H6@S.2`, or at a token where the graph is split by `all`: `L9H6@4`.",
        "metric loss using logit_diff {\n  at = T\n}\n"
        "circuit other using acdc {\n  graph = full\n  corruption = abc\n  metric = loss\n"
        "  threshold = 0.1\n}",
    ),
    "C219": Entry(
        "no token follows the end",
        "With `answer = next` the answer is the token behind each measured position.",
        "dataset random using tokens {\n  model = gpt2\n  size = 1\n  length = 5\n  copies = 2\n}\n"
        "corruption none using zero {\n  data = random\n}\n"
        "assert clean(logprob(at = end), corruption = none) >= -5",
    ),
    "C220": Entry(
        "the metric needs an answer",
        "The dataset does not say what the right continuation is.",
        'dataset plain using prompts {\n  model = gpt2\n  clean = ["One two"]\n}\n'
        "corruption none using zero {\n  data = plain\n}\n"
        "assert clean(logprob(at = end), corruption = none) >= -5",
    ),
    "C221": Entry(
        "the metric needs a foil",
        "The dataset does not say with which wrong continuation the answer is compared.",
        'dataset plain using prompts {\n  model = gpt2\n  clean = ["One two"]\n  answer = " three"\n}\n'
        "corruption none using zero {\n  data = plain\n}\n"
        "assert clean(logit_diff(at = end), corruption = none) >= 0",
    ),
    "C222": Entry(
        "the dataset has no counterparts",
        "`counterpart` reads the corrupted prompts of a paired dataset.",
        "corruption other using counterpart {\n  data = ioi\n}",
    ),
    "C223": Entry(
        "the gradient would be zero",
        "The KL divergence from the clean run has its minimum at the clean run, so its gradient there is "
        "exactly zero, and attribution patching with one step would give 0 everywhere.",
        "scores other using attribution_patching {\n  graph = full\n  corruption = abc\n"
        "  metric = kl_divergence(at = end)\n}",
        "scores other using attribution_patching {\n  graph = full\n  corruption = abc\n"
        "  metric = kl_divergence(at = end)\n  steps = 5\n}",
    ),
    "C224": Entry(
        "two models in one experiment",
        "The graph is of one model, and the prompts are tokenized for another.",
        'model other using huggingface {\n  id = "gpt2-medium"\n}\ngraph wrong using residual {\n'
        "  model = other\n}\n"
        "circuit cut using acdc {\n  graph = wrong\n  corruption = abc\n  metric = recovered\n"
        "  threshold = 1\n}",
    ),
    "C225": Entry(
        "circuits of different graphs",
        "Edges of one graph are not edges of another, so the circuits cannot be compared or combined.",
        "graph joined using residual {\n  model = gpt2\n  inputs = []\n}\n"
        "circuit other using reference {\n  graph = joined\n  embed -> L0H1 -> logits\n}\n"
        "assert recall(found, other) >= 0.5",
    ),
    "C226": Entry(
        "a node beyond the model",
        "Layers, heads and neurons count from 0. The sizes of a model are known without loading it if it is "
        "bundled, a local folder, or one of the GPT-2 models.",
        "circuit other using reference {\n  graph = full\n  embed -> L12H0 -> logits\n}",
        "circuit other using reference {\n  graph = full\n  embed -> L11H0 -> logits\n}",
    ),
    "C227": Entry(
        "these nodes make no graph",
        "A graph has `embed` and `logits`, and heads or whole attention layers (not both) or MLPs between.",
        "graph other using residual {\n  model = gpt2\n  nodes = [heads, logits]\n}",
        "graph other using residual {\n  model = gpt2\n  nodes = [embed, heads, mlps, logits]\n}",
    ),
    "C228": Entry(
        "some inputs of a head, but not all",
        "An edge enters a head as query, key or value. If only some of them were inputs of the graph, the "
        "others could neither be kept nor cut, and faithfulness would mean nothing.",
        "graph other using residual {\n  model = gpt2\n  inputs = [q, k]\n}",
        "graph other using residual {\n  model = gpt2\n  inputs = [q, k, v]\n}",
    ),
    "C229": Entry(
        "a path that no information can take",
        "Edges go from an output to the input of a later node, from `embed` to `logits`. In a graph of "
        "positions an edge stays at its position: what a head carries from one position to another enters "
        "it at its key or value, where the path ends, and another path begins where the head writes.",
        "circuit other using reference {\n  graph = full\n  embed -> L5H1 -> L3H1 -> logits\n}",
        "circuit other using reference {\n  graph = full\n  embed -> L3H1 -> L5H1 -> logits\n}",
    ),
    "C230": Entry(
        "a node or an input that the graph does not have",
        "The graph's `nodes` and `inputs` say what can be named in it, its `positions` where "
        "(`L9H6.k@S.2`), and its `neurons` which MLPs are split (`MLP3N17`).",
        "circuit other using reference {\n  graph = full\n  embed -> MLP1.q -> logits\n}",
        "circuit other using reference {\n  graph = full\n  embed -> MLP1 -> logits\n}",
    ),
    "C231": Entry(
        "a statistic that is not computed",
        "`where(…)` reads a column of scores of heads: what `attention_statistics` or `weight_statistics` "
        "list in their `of`, a position of `logit_attribution`, the earlier head of `composition`.",
        "circuit other using reference {\n  graph = full\n  groups {\n"
        "    a = where(eap.copying, above = 0.5)\n"
        "  }\n  embed -> a -> logits\n}",
    ),
    "C232": Entry(
        "scores that do not select edges",
        "`top` and `faithfulness` count edges, so they need scores of edges.",
        "scores sweep using activation_patching {\n  graph = full\n  corruption = abc\n"
        "  metric = recovered\n}\n"
        "circuit other using top {\n  scores = sweep\n  edges = 10\n}",
    ),
    "C233": Entry(
        "lists that do not correspond",
        "Corrupted prompts, answers and foils stand in the order of the clean prompts, one for each.",
        'dataset other using prompts {\n  model = gpt2\n  clean = ["a", "b"]\n  corrupt = ["c"]\n}',
        'dataset other using prompts {\n  model = gpt2\n  clean = ["a", "b"]\n  corrupt = ["c", "d"]\n}',
    ),
    "C234": Entry(
        "a replacement that changes nothing",
        "A slot is replaced by another one.",
        "corruption other using replace {\n  data = ioi\n  S.2 -> S\n}",
        "corruption other using replace {\n  data = ioi\n  S.2 -> IO\n}",
    ),
    "C235": Entry(
        "faithfulness without a corruption",
        "Everything outside the circuit is corrupted. A circuit that was found has a corruption of its own; "
        "for one that was written down, say which.",
        "circuit other using reference {\n  graph = full\n  embed -> L0H1 -> logits\n}\n"
        "assert faithfulness(other, metric = recovered) >= 0.5",
        "circuit other using reference {\n  graph = full\n  embed -> L0H1 -> logits\n}\n"
        "assert faithfulness(other, metric = recovered, corruption = abc) >= 0.5",
    ),
    "C236": Entry(
        "a mean over positions only",
        "A corruption takes away what a prompt says. The mean over one prompt's positions keeps it.",
        "corruption other using mean {\n  data = ioi\n  over = [positions]\n}",
        "corruption other using mean {\n  data = ioi\n  over = [prompts, positions]\n}",
    ),
    "C237": Entry(
        "denoising without a corrupted run",
        "`denoise`, the default, restores clean activations in a corrupted run. Zeros and means are no run.",
        "corruption none using zero {\n  data = ioi\n}\n"
        "scores effect using activation_patching {\n  graph = full\n  corruption = none\n"
        "  metric = recovered\n}",
        "corruption none using zero {\n  data = ioi\n}\n"
        "scores effect using activation_patching {\n  graph = full\n  corruption = none\n"
        "  metric = recovered\n  direction = noise\n}",
    ),
    "C238": Entry(
        "a shape that no model has",
        "Under grouped-query attention every key-value head serves as many heads, and there is an upper "
        "limit far beyond today's models.",
        "model other using shape {\n  layers = 2\n  heads = 4\n  kv_heads = 3\n}",
        "model other using shape {\n  layers = 2\n  heads = 4\n  kv_heads = 2\n}",
    ),
    "C239": Entry(
        "prompts for a model that is only a shape",
        "`model ... using shape` says how many layers and heads a model has, so that a circuit of it can be "
        "written down and compared without the model. It has no weights and no tokenizer: prompts need a "
        "model that can be run.",
        "model other using shape {\n  layers = 4\n  heads = 4\n}\n"
        'dataset more using prompts {\n  model = other\n  clean = ["A B"]\n}',
        "model other using shape {\n  layers = 4\n  heads = 4\n}\n"
        "graph bare using residual {\n  model = other\n}",
    ),
    "C290": Entry(
        "options of attribution patching that do not go together",
        "Integrated gradients (`steps` above 1), `relp`, and AtP* (`correct_qk`, `grad_drop`) each repair "
        "the gradient on the clean run in a way of their own.",
        "scores other using attribution_patching {\n  graph = full\n  corruption = abc\n"
        "  metric = recovered\n  steps = 5\n  rule = relp\n}",
        "scores other using attribution_patching {\n  graph = full\n  corruption = abc\n"
        "  metric = recovered\n  rule = relp\n}",
    ),
    "C291": Entry(
        "options of causal tracing that do not go together",
        "A restored state stands for all layers before it: windows are of `mlps` or `attention`. And "
        "`sever` says what restored states do not act through.",
        "scores other using causal_tracing {\n  corruption = abc\n  metric = recovered\n  window = 3\n}",
        "scores other using causal_tracing {\n  corruption = abc\n  metric = recovered\n"
        "  of = mlps\n  window = 3\n}",
    ),
    "C292": Entry(
        "receivers that no path can lead to",
        "Paths lead to nodes that read. `embed` reads nothing, and `logits` among other receivers would "
        "hide what these do: they read what the direct paths bring.",
        "scores other using path_patching {\n  graph = full\n  corruption = abc\n"
        "  metric = recovered\n  to = [L9H9.q, logits]\n}",
        "scores other using path_patching {\n  graph = full\n  corruption = abc\n"
        "  metric = recovered\n  to = [L9H9.q, L9H6.q]\n}",
    ),
    "C293": Entry(
        "steering that does not say what or by how much",
        "Whole nodes that write are steered: heads, MLPs, `embed`; function vectors are of heads. `scale` "
        "multiplies what they write, `shift` adds to it: one of the two.",
        "scores other using steering {\n  graph = full\n  corruption = abc\n  metric = recovered\n"
        "  nodes = L9H9\n}",
        "scores other using steering {\n  graph = full\n  corruption = abc\n  metric = recovered\n"
        "  nodes = L9H9\n  scale = [0, 2]\n}",
    ),
    "C294": Entry(
        "an intervention on a graph that is split by position or neuron",
        "Activation patching, path patching and steering are of whole nodes, and say themselves at which "
        "positions they intervene: `positions` and `at`. Take the graph without `positions`, and, but for "
        "activation patching, without `neurons`.",
        "graph split using residual {\n  model = gpt2\n  positions = [IO, S, end, other]\n}\n"
        "scores other using steering {\n  graph = split\n  corruption = abc\n  metric = recovered\n"
        "  nodes = MLP3\n  scale = 0\n}",
        "scores other using steering {\n  graph = full\n  corruption = abc\n  metric = recovered\n"
        "  nodes = MLP3\n  scale = 0\n  at = end\n}",
    ),
    "C281": Entry(
        "an early token that is not early",
        "The in-context-learning score is the loss at the token `late` minus the loss at the token `early`, "
        "which stands before it. Both are counted from 1.",
        "scores learning using in_context_learning {\n  data = ioi\n  early = 9\n  late = 4\n}",
        "scores learning using in_context_learning {\n  data = ioi\n  early = 4\n  late = 9\n}",
    ),
    "C261": Entry(
        "neurons of a layer that there is not",
        "`neurons` lists layers, counted from 0, whose MLPs are split: every neuron is then a sender, as "
        "`MLP3N17`. The model has no such layer, or no MLPs.",
        "graph fine using residual {\n  model = gpt2\n  neurons = [12]\n}",
        "graph fine using residual {\n  model = gpt2\n  neurons = [11]\n}",
    ),
    "C262": Entry(
        "neurons of a shape that does not say how many",
        "Weights say how wide a model's MLPs are. Of a model that is only a shape, `d_mlp` says it.",
        "model shaped using shape {\n  layers = 2\n  heads = 4\n}\n"
        "graph fine using residual {\n  model = shaped\n  neurons = [1]\n}",
        "model shaped using shape {\n  layers = 2\n  heads = 4\n  d_mlp = 64\n}\n"
        "graph fine using residual {\n  model = shaped\n  neurons = [1]\n}",
    ),
    "C246": Entry(
        "a score of more than one edge",
        "In a `reference` circuit `L0H1 -> L2H3.k = 0.25` is an edge with its score. An edge has one sender "
        "and enters one input of one receiver, in a graph of positions at one position; groups and patterns "
        "are several, and so is a head without `.q`, `.k` or `.v`. Every edge has one score at most.",
        "circuit other using reference {\n  graph = full\n  embed -> L5H1 = 0.25\n  L5H1 -> logits\n}",
        "circuit other using reference {\n  graph = full\n  embed -> L5H1.q = 0.25\n  L5H1 -> logits\n}",
    ),
    "C247": Entry(
        "a row or a column that scores do not have",
        "`score(scores, row, column)` reads one number of a table. Rows are nodes of the graph, or layers of "
        "the residual stream; columns are positions, statistics or factors. In a graph of positions a "
        "row is a node and a column a position. Attribution patching scores edges unless it says "
        "`by = nodes`.",
        "scores sweep using activation_patching {\n  graph = full\n  corruption = abc\n"
        "  metric = recovered\n  positions = [S.2, end]\n}\n"
        'assert score(sweep, "L9H9", "S.3") >= 0.5',
        "scores sweep using activation_patching {\n  graph = full\n  corruption = abc\n"
        "  metric = recovered\n  positions = [S.2, end]\n}\n"
        'assert score(sweep, "L9H9", "S.2") >= 0.5',
    ),
    "C260": Entry(
        "a graph by tokens of no prompts",
        "`positions = all` makes a node of every node at every token, so it has to know how many tokens the "
        "prompts have: `data` says whose, or `length` how many. Other positions are found in whatever "
        "prompts a method runs on.",
        "graph tokens using residual {\n  model = gpt2\n  positions = all\n}",
        "graph tokens using residual {\n  model = gpt2\n  positions = all\n  data = ioi\n}",
    ),
    "C265": Entry(
        "a corruption that the task does not have",
        "A task comes with corruptions by name (`docs/tasks.md`); `corrupt` says which of them `counterpart` "
        "is. Others are made with `replace`, from the slots of the task.",
        'dataset other using task {\n  task = "ioi"\n  model = gpt2\n  size = 4\n  corrupt = "cba"\n}',
        'dataset other using task {\n  task = "ioi"\n  model = gpt2\n  size = 4\n  corrupt = "abc"\n}',
    ),
    "C266": Entry(
        "the metric of prompts that are of no known task",
        "`metric paper using task { data = years }` is what the papers measure on a task by that name "
        "(`docs/tasks.md`). Prompts from a template or a file are of none: say what is measured.",
        "metric paper using task {\n  data = ioi\n}",
        'dataset other using task {\n  task = "ioi"\n  model = gpt2\n  size = 4\n}\n'
        "metric paper using task {\n  data = other\n}",
    ),
}
