"""C2xx: values of keys, and declarations that do not fit together."""

from __future__ import annotations

from collections.abc import Mapping

from nncirc.dsl.codes.entry import Entry

_CURVE = "curve growing using faithfulness {\n  scores = eap\n  metric = recovered\n"

MEANING: Mapping[str, Entry] = {
    "C201": Entry(
        "value of the wrong type",
        "The message says which type the key takes; docs/language.md lists all keys.",
        "metric loss using logprob {\n  normalize = 1\n}",
        ("normalize = 1", "normalize = true"),
    ),
    "C202": Entry(
        "number out of range",
        "The message gives the allowed range. A proportion, in a claim too, lies between 0 and 1: write "
        "90% as 0.9.",
        "assert recall(found, small) >= 90",
        "assert recall(found, small) >= 0.9",
    ),
    "C203": Entry(
        "unknown choice",
        "This key takes one of a few words, which the message lists. Words that are part of the "
        "language are written without quotes.",
        "circuit other using threshold {\n  scores = eap\n  threshold = 0.1\n  rank = magnitude\n}",
        ("magnitude", "absolute"),
    ),
    "C204": Entry(
        "list or string of the wrong length",
        "The list or string is empty, or the list has a different number of items than the key takes.",
        "compare {\n  circuits = []\n}",
        ("[]", "[found, small]"),
    ),
    "C205": Entry(
        "duplicate item in a list",
        "Each item of this list counts once, so a second copy is a mistake.",
        "compare {\n  circuits = [found, found]\n}",
        ("circuits = [found, found]", "circuits = [found, small]"),
    ),
    "C206": Entry(
        "invalid `--set` value",
        "A constant keeps its type: a number stays a number. Set each constant once, as `--set "
        "NAME=VALUE`, with a value that is valid UTF-8 text.",
    ),
    "C208": Entry(
        "two families in one place",
        "A list of numbers makes a family: one circuit for each number, at most 1000. Whatever refers "
        "to a family becomes a family too. Two families in one place would mean every combination, "
        "which nncirc does not compute silently. Write out the members of one of them.",
        "circuit a using top {\n  scores = eap\n  edges = [10, 20]\n}\n"
        "circuit b using top {\n  scores = eap\n  edges = [10, 20]\n}\nassert recall(a, b) >= 0.5",
    ),
    "C209": Entry(
        "invalid file name",
        "Outputs are written inside the output folder, so their names are relative, contain no `..`, and end "
        "in a supported extension. A used file must end in `.circ`, because messages show lines of it.",
        'render {\n  circuit = found\n  file = "../a.svg"\n}',
        ('"../a.svg"', '"a.svg"'),
    ),
    "C210": Entry(
        "two outputs with one file name",
        "The second output would overwrite the first. Upper and lower case count as the same. Results "
        "take names too: `found` is written to `found.json`, the members of a family to `found.0.json` "
        "and so on, pictures of a family to `a-0.svg`, and the record of the run to `run.json`. A file "
        "cannot have the name of a folder that holds another output.",
        'render {\n  circuit = found\n  file = "a.svg"\n}\nrender {\n  circuit = small\n  file = "a.svg"\n}',
        'render {\n  circuit = found\n  file = "a.svg"\n}\nrender {\n  circuit = small\n  file = "b.svg"\n}',
    ),
    "C211": Entry(
        "stray brace in a template",
        "`{S}` stands for the slot S. Write a literal brace twice: `{{`.",
        'dataset other using template {\n  model = gpt2\n  size = 1\n  prompt = "When {S went"\n'
        "  slots {\n    S = names\n  }\n}",
    ),
    "C212": Entry(
        "undeclared slot in a template",
        "Every `{slot}` in a prompt, answer or foil must be declared in `slots { … }`.",
        'dataset other using template {\n  model = gpt2\n  size = 1\n  prompt = "When {T} went"\n'
        "  slots {\n    S = names\n  }\n}",
    ),
    "C213": Entry(
        "unused slot",
        "No prompt contains this slot, and no replacement uses it.",
        'dataset other using template {\n  model = gpt2\n  size = 1\n  prompt = "When {S} went"\n'
        "  slots {\n    S, T = names\n  }\n}",
    ),
    "C214": Entry(
        "replacement of an unknown slot",
        "Both sides of `S.2 -> C` must be slots of the corruption's dataset.",
        "corruption other using replace {\n  data = ioi\n  S.2 -> D\n}",
        ("S.2 -> D", "S.2 -> A"),
    ),
    "C215": Entry(
        "replacement of a missing occurrence",
        "Occurrences are counted from 1 within a prompt. No prompt contains the slot that many times.",
        "corruption other using replace {\n  data = ioi\n  S.3 -> A\n}",
        ("S.3", "S.2"),
    ),
    "C216": Entry(
        "replacement of a different length",
        "Clean and corrupted prompts must have the same number of tokens, or their positions would not "
        "correspond.",
        'dataset other using template {\n  model = gpt2\n  size = 1\n  prompt = "{x}"\n  slots {\n'
        "    x = random_tokens(24)\n    y = random_tokens(12)\n  }\n}\n"
        "corruption replaced using replace {\n  data = other\n  x -> y\n}",
    ),
    "C217": Entry(
        "fewer words than slots",
        "Slots declared on one line differ within a prompt: they are drawn without replacement.",
        'dataset other using template {\n  model = gpt2\n  size = 1\n  prompt = "{x}{y}"\n  slots {\n'
        '    x, y = ["one"]\n  }\n}',
    ),
    "C218": Entry(
        "unknown position",
        "Positions are `start`, `end`, and slots with the number of their occurrence: `S.2`. Prompts "
        "from lists and files have no slots; repeated tokens have `block.1` and `block.2`. In a graph "
        "split by position, a node includes its position, `L9H6@S.2`; if the graph has `positions = "
        "all`, that is a token number, `L9H6@4`.",
        "metric loss using logit_diff {\n  at = T\n}\n"
        "circuit other using acdc {\n  graph = full\n  corruption = abc\n  metric = loss\n"
        "  threshold = 0.1\n}",
    ),
    "C219": Entry(
        "no next token to measure",
        "With `answer = next`, the answer is the token after each measured position, and no token follows "
        "the last position of a prompt. Measure at an earlier position, such as `at = block.2`.",
        "dataset random using tokens {\n  model = gpt2\n  size = 1\n  length = 5\n  copies = 2\n}\n"
        "corruption none using zero {\n  data = random\n}\n"
        "assert clean(logprob(at = end), corruption = none) >= -5",
    ),
    "C220": Entry(
        "metric without an answer",
        "The metric reads the right continuation, and the dataset has no `answer`.",
        'dataset plain using prompts {\n  model = gpt2\n  clean = ["One two"]\n}\n'
        "corruption none using zero {\n  data = plain\n}\n"
        "assert clean(logprob(at = end), corruption = none) >= -5",
    ),
    "C221": Entry(
        "metric without a foil",
        "The metric compares the answer with a wrong continuation, and the dataset has no `foil`.",
        'dataset plain using prompts {\n  model = gpt2\n  clean = ["One two"]\n  answer = " three"\n}\n'
        "corruption none using zero {\n  data = plain\n}\n"
        "assert clean(logit_diff(at = end), corruption = none) >= 0",
    ),
    "C222": Entry(
        "dataset without corrupted prompts",
        "`counterpart` uses the corrupted prompts of a paired dataset, and this dataset has none.",
        "corruption other using counterpart {\n  data = ioi\n}",
    ),
    "C223": Entry(
        "gradient that is zero everywhere",
        "A divergence from the clean run (`kl_divergence`, `mse`) has its minimum at the clean run, so its "
        "gradient there is zero, and one-step attribution patching would give 0 everywhere. Use `steps = 5` "
        "(integrated gradients), `base = corrupted`, or another metric. `accuracy` is piecewise constant "
        "and has no useful gradient. A function of your own has none if it leaves torch (`.item()`, "
        "`.detach()`, numpy) or does not depend on the logits.",
        "scores other using attribution_patching {\n  graph = full\n  corruption = abc\n"
        "  metric = kl_divergence(at = end)\n}",
        ("metric = kl_divergence(at = end)", "metric = kl_divergence(at = end)\n  steps = 5"),
    ),
    "C224": Entry(
        "two models in one experiment",
        "The graph belongs to one model, and the prompts are tokenized for another.",
        'model other using huggingface {\n  id = "gpt2-medium"\n}\ngraph wrong using residual {\n'
        "  model = other\n}\n"
        "circuit cut using acdc {\n  graph = wrong\n  corruption = abc\n  metric = recovered\n"
        "  threshold = 1\n}",
    ),
    "C225": Entry(
        "circuits of different graphs",
        "Edges are compared by name, and the same name in another graph is a different edge, so these "
        "circuits cannot be compared or combined. Find both on one graph, or collapse both to the coarser "
        "one.",
        "graph joined using residual {\n  model = gpt2\n  inputs = []\n}\n"
        "circuit other using reference {\n  graph = joined\n  embed -> L0H1 -> logits\n}\n"
        "assert recall(found, other) >= 0.5",
    ),
    "C226": Entry(
        "node outside the model",
        "Layers, heads and neurons are counted from 0. nncirc knows the size of a model without loading "
        "it if the model is bundled, in a local folder, or one of the GPT-2 models.",
        "circuit other using reference {\n  graph = full\n  embed -> L12H0 -> logits\n}",
        ("L12H0", "L11H0"),
    ),
    "C227": Entry(
        "invalid set of graph nodes",
        "A graph needs `embed` and `logits`, with MLPs or attention between them. Attention is split "
        "into `heads` or kept as whole `attention` layers, not both.",
        "graph other using residual {\n  model = gpt2\n  nodes = [heads, logits]\n}",
        ("heads", "embed, heads, mlps"),
    ),
    "C228": Entry(
        "incomplete inputs of a head",
        "An edge enters a head as query, key or value. If only some of these were inputs of the graph, "
        "edges into the others could be neither kept nor cut, and faithfulness would be meaningless. "
        "Give all three, or `[]` to join them.",
        "graph other using residual {\n  model = gpt2\n  inputs = [q, k]\n}",
        ("inputs = [q, k]", "inputs = [q, k, v]"),
    ),
    "C229": Entry(
        "impossible path",
        "An edge goes from a node's output to an input of a later node; `embed` comes first and "
        "`logits` last. In a graph split by position, an edge stays at its position. A path into a "
        "head's key or value ends there, and what the head moves to another position begins a new path, "
        "at the position where the head writes.",
        "circuit other using reference {\n  graph = full\n  embed -> L5H1 -> L3H1 -> logits\n}",
        ("L5H1 -> L3H1", "L3H1 -> L5H1"),
    ),
    "C230": Entry(
        "node or input not in the graph",
        "The graph's `nodes` and `inputs` determine what it contains, its `positions` where "
        "(`L9H6.k@S.2`), and its `neurons` which MLPs are split (`MLP3N17`).",
        "circuit other using reference {\n  graph = full\n  embed -> MLP1.q -> logits\n}",
        ("MLP1.q", "MLP1"),
    ),
    "C231": Entry(
        "statistic that the scores do not have",
        "`where(…)` reads a column of head scores: a statistic listed in the `of` of `attention_statistics` "
        "or `weight_statistics`, a position of `logit_attribution`, or the earlier head of a `composition`.",
        "circuit other using reference {\n  graph = full\n  groups {\n"
        "    a = where(eap.copying, above = 0.5)\n"
        "  }\n  embed -> a -> logits\n}",
    ),
    "C232": Entry(
        "scores of the wrong kind",
        "`top` and `faithfulness` count edges, so they need scores of edges. A ROC curve needs scores "
        "of what it counts, edges or nodes.",
        "scores sweep using activation_patching {\n  graph = full\n  corruption = abc\n"
        "  metric = recovered\n}\n"
        "circuit other using top {\n  scores = sweep\n  edges = 10\n}",
    ),
    "C233": Entry(
        "lists of different lengths",
        "Corrupted prompts, answers and foils are listed in the order of the clean prompts, one for "
        "each. One answer or foil may serve all prompts.",
        'dataset other using prompts {\n  model = gpt2\n  clean = ["a", "b"]\n  corrupt = ["c"]\n}',
        ('["c"]', '["c", "d"]'),
    ),
    "C234": Entry(
        "replacement of a slot by itself",
        "This would change nothing. Replace the slot by a different one.",
        "corruption other using replace {\n  data = ioi\n  S.2 -> S\n}",
        ("S.2 -> S", "S.2 -> IO"),
    ),
    "C235": Entry(
        "faithfulness without a corruption",
        "Everything outside the circuit is corrupted. A circuit that a method found has the corruption "
        "it was found with; for other circuits, add `corruption = …`.",
        "circuit other using reference {\n  graph = full\n  embed -> L0H1 -> logits\n}\n"
        "assert faithfulness(other, metric = recovered) >= 0.5",
        ("recovered", "recovered, corruption = abc"),
    ),
    "C236": Entry(
        "mean over the wrong axes",
        "A corruption must remove what is specific to a prompt. A mean over one prompt's positions keeps "
        "it, and a mean over nothing is the clean run. Average over prompts, or over prompts and either "
        "positions or slots.",
        "corruption other using mean {\n  data = ioi\n  over = [positions]\n}",
        ("positions", "prompts, positions"),
    ),
    "C237": Entry(
        "denoising without a corrupted run",
        "`direction = denoise` restores clean activations in a corrupted run, and `base = corrupted` takes "
        "the gradient there. Zeros and means only replace activations, so there is no corrupted run. Use "
        "`direction = noise`, or a corruption that re-runs the model: `replace`, `counterpart` or "
        "`gaussian`.",
        "corruption none using zero {\n  data = ioi\n}\n"
        "scores effect using activation_patching {\n  graph = full\n  corruption = none\n"
        "  metric = recovered\n}",
        ("metric = recovered", "metric = recovered\n  direction = noise"),
    ),
    "C238": Entry(
        "impossible model shape",
        "A model has at least one layer, one head and one key-value head. Under grouped-query attention "
        "every key-value head serves the same number of heads, so `kv_heads` divides `heads`. There is also "
        "an upper limit, far above today's models. A file with other numbers is probably the wrong file; "
        "with a network from networkx, pass the graph it belongs to.",
        "model other using shape {\n  layers = 2\n  heads = 4\n  kv_heads = 3\n}",
        ("kv_heads = 3", "kv_heads = 2"),
    ),
    "C239": Entry(
        "prompts for a model without weights",
        "`model ... using shape` gives only a model's number of layers and heads, so that its circuits "
        "can be written down and compared without the model. It has no weights and no tokenizer; "
        "prompts need a model that can be run.",
        "model other using shape {\n  layers = 4\n  heads = 4\n}\n"
        'dataset more using prompts {\n  model = other\n  clean = ["A B"]\n}',
        (
            'dataset more using prompts {\n  model = other\n  clean = ["A B"]',
            "graph bare using residual {\n  model = other",
        ),
    ),
    "C240": Entry(
        "metric without a gradient",
        "Attribution patching follows the gradient of the metric. A proportion of right answers is piecewise "
        "constant: a small change to the model leaves it unchanged, so its gradient is zero everywhere.",
        "scores other using attribution_patching {\n  graph = full\n  corruption = abc\n"
        "  metric = accuracy(at = end)\n}",
        ("accuracy", "prob_diff"),
    ),
    "C241": Entry(
        "mean over positions and slots",
        "A mean over positions has one value for all of them; a mean over slots has one for each "
        "occurrence of a slot and each token of the text in between. Choose one.",
        "corruption other using mean {\n  data = ioi\n  over = [prompts, positions, slots]\n}",
        ("positions, slots", "slots"),
    ),
    "C242": Entry(
        "division by zero",
        "The number after the `/` is zero, as written or once its parts are computed.",
        "metric rest using expression {\n  of = recovered / (1 - 1)\n}",
        ("(1 - 1)", "2"),
    ),
    "C243": Entry(
        "incompatible metrics in an expression",
        "An expression is computed prompt by prompt, at one position. All its metrics need the same `at`, "
        "and none can be normalized over prompts (the expression itself can be). It contains at least one "
        "metric. Terms of a sum need the same unit; logits count as nats, and probabilities, proportions "
        "and ratios count as the same. A metric divided by a number is a ratio.",
        "metric rest using expression {\n  of = recovered + logprob(at = IO)\n}",
        ("of = recovered + logprob(at = IO)", "of = recovered + logprob(at = end)"),
    ),
    "C244": Entry(
        "invalid function name",
        "Write the function as `module:function`, or name an entry point of an installed package.",
        'metric rest using python {\n  function = "my metrics.share"\n}',
        ('"my metrics.share"', '"mymetrics:share"'),
    ),
    "C245": Entry(
        "answer of several tokens where one is needed",
        "With `teacher_forced = true` the model is given the answer after the prompt, token by token, in "
        "the corrupted run too. `logprob`, `cross_entropy`, `prob` and `accuracy` then measure all its "
        "tokens, each where it is predicted, from `end` on: log-probabilities are added and probabilities "
        "multiplied. There is no such rule for a set of answers, for a difference from a foil, or for a "
        "rank.",
        'dataset other using prompts {\n  model = gpt2\n  clean = ["Then Mary met John"]\n'
        '  answer = " and Mary"\n  foil = " in"\n  teacher_forced = true\n}',
        ('foil = " in"\n  teacher_forced', "teacher_forced"),
    ),
    "C246": Entry(
        "score of several edges, or several scores of one",
        "In a `reference` circuit, `L0H1 -> L2H3.k = 0.25` is an edge with its score. An edge has one "
        "sender and enters one input of one receiver; in a graph split by position, it is at one position. "
        "Groups and patterns stand for several edges, and so does a head without `.q`, `.k` or `.v`, unless "
        "the graph joins them. Write one path per edge, and one score for each.",
        "circuit other using reference {\n  graph = full\n  embed -> L5H1 = 0.25\n  L5H1 -> logits\n}",
        ("embed -> L5H1 = 0.25", "embed -> L5H1.q = 0.25"),
    ),
    "C247": Entry(
        "row or column that the scores do not have",
        "`score(scores, row, column)` reads one number of a table. Rows are nodes of the graph, or "
        "layers of the residual stream; columns are positions, statistics or factors. In a graph split "
        "by position, a row is a node and a column a position. Attribution patching gives scores of "
        "edges unless `by = nodes`.",
        "scores sweep using activation_patching {\n  graph = full\n  corruption = abc\n"
        "  metric = recovered\n  positions = [S.2, end]\n}\n"
        'assert score(sweep, "L9H9", "S.3") >= 0.5',
        ('"S.3"', '"S.2"'),
    ),
    "C260": Entry(
        "graph split by token without a number of tokens",
        "`positions = all` makes a node of every node at every token, so the graph needs the number of "
        "tokens: `data` takes it from a dataset, `length` gives it directly. Other positions are found "
        "in whatever prompts a method runs on.",
        "graph tokens using residual {\n  model = gpt2\n  positions = all\n}",
        ("positions = all", "positions = all\n  data = ioi"),
    ),
    "C261": Entry(
        "neurons of a missing layer",
        "`neurons` lists the layers, counted from 0, whose MLPs are split so that every neuron is a "
        "sender, such as `MLP3N17`. The model has no such layer, or no MLPs.",
        "graph fine using residual {\n  model = gpt2\n  neurons = [12]\n}",
        ("neurons = [12]", "neurons = [11]"),
    ),
    "C262": Entry(
        "unknown number of neurons",
        "The width of a model's MLPs is read from its weights. A model that is only a shape needs `d_mlp`.",
        "model shaped using shape {\n  layers = 2\n  heads = 4\n}\n"
        "graph fine using residual {\n  model = shaped\n  neurons = [1]\n}",
        ("heads = 4", "heads = 4\n  d_mlp = 64"),
    ),
    "C265": Entry(
        "unknown corruption of a task",
        "A task has corruptions by name (`docs/tasks.md`); `corrupt` chooses the one that `counterpart` "
        "uses. Make others with `replace`, from the slots of the task.",
        'dataset other using task {\n  task = "ioi"\n  model = gpt2\n  size = 4\n  corrupt = "cba"\n}',
        ('"cba"', '"abc"'),
    ),
    "C266": Entry(
        "task metric for prompts without a task",
        "`metric paper using task { data = years }` is what the papers measure on that task "
        "(`docs/tasks.md`). Prompts from a template or a file belong to no task: name a metric instead, "
        "such as `using logit_diff`.",
        "metric paper using task {\n  data = ioi\n}",
        'dataset other using task {\n  task = "ioi"\n  model = gpt2\n  size = 4\n}\n'
        "metric paper using task {\n  data = other\n}",
    ),
    "C270": Entry(
        "area under the wrong curve",
        "`cpr` and `cmd` are areas under a curve `using faithfulness` with `edges = mib`; at other sizes "
        "they could not be compared with published numbers. `auc` is the area under a curve `using roc`.",
        _CURVE + "  edges = [5, 10]\n}\nassert cpr(growing) >= 0.5",
        ("[5, 10]", "mib"),
    ),
    "C271": Entry(
        "key without effect",
        "In a comparison, `corruption`, `draws` and intervals apply to faithfulness, so they need a "
        "`metric`. In a ROC curve, `rank` applies to scores, and scores rank only edges or nodes. A key "
        "without effect would hide a mistake.",
        "compare report {\n  circuits = [small, found]\n  draws = 20\n}",
        ("draws", "metric = recovered\n  draws"),
    ),
    "C272": Entry(
        "different kinds of curves in one plot",
        "A plot has one pair of axes: edges and faithfulness, or false positive rate and true positive rate.",
        _CURVE + "  edges = [5, 10]\n}\n"
        "curve right using roc {\n  scores = eap\n  reference = found\n}\n"
        'plot both {\n  curve = [growing, right]\n  file = "both.svg"\n}',
        "curve right using roc {\n  scores = eap\n  reference = found\n}\n"
        "curve nodes using roc {\n  scores = eap\n  reference = found\n  by = nodes\n}\n"
        'plot both {\n  curve = [right, nodes]\n  file = "both.svg"\n}',
    ),
    "C273": Entry(
        "groups of a circuit without groups",
        "Only a circuit that is written out with `reference` has groups. A circuit that a method found "
        "has nodes and edges.",
        "assert minimality(found, metric = recovered, by = groups) >= 0",
        "assert minimality(found, metric = recovered, by = nodes) >= 0",
    ),
    "C281": Entry(
        "`early` token that is not before `late`",
        "The in-context learning score is the loss at token `late` minus the loss at token `early`, "
        "which must come first. Both are counted from 1.",
        "scores learning using in_context_learning {\n  data = ioi\n  early = 9\n  late = 4\n}",
        ("9\n  late = 4", "4\n  late = 9"),
    ),
    "C290": Entry(
        "incompatible options of attribution patching",
        "Integrated gradients (`steps` above 1), `relp`, and AtP* (`correct_qk`, `grad_drop`) each correct "
        "the gradient at the clean run in their own way. Use only one of the three, and none with `base = "
        "corrupted`, which takes one gradient, at the corrupted run. `correct_qk` applies to edges into "
        "queries and keys, so it needs `by = edges`.",
        "scores other using attribution_patching {\n  graph = full\n  corruption = abc\n"
        "  metric = recovered\n  steps = 5\n  rule = relp\n}",
        ("steps = 5\n  rule", "rule"),
    ),
    "C291": Entry(
        "incompatible options of causal tracing",
        "A restored state includes the effect of all layers before it, so `window` applies only to `mlps` "
        "and `attention`. `sever` blocks what restored states act through, so it needs `of = states`.",
        "scores other using causal_tracing {\n  corruption = abc\n  metric = recovered\n  window = 3\n}",
        ("window", "of = mlps\n  window"),
    ),
    "C292": Entry(
        "invalid receiver",
        "Paths end in nodes that read, and `embed` reads nothing. `logits` cannot be combined with "
        "other receivers: its input would be fixed to what the direct paths deliver, which would hide "
        "the effect of the other receivers.",
        "scores other using path_patching {\n  graph = full\n  corruption = abc\n"
        "  metric = recovered\n  to = [L9H9.q, logits]\n}",
        ("logits", "L9H6.q"),
    ),
    "C293": Entry(
        "incomplete steering",
        "Steering acts on whole nodes that write, heads, MLPs, `embed`, or with `layers` on the residual "
        "stream after a layer. A function vector is built from heads. Give either `scale`, which multiplies "
        "what is there, or `shift`, which adds the mean difference, by default of the method's own prompts, "
        "or of those of `source`.",
        "scores other using steering {\n  graph = full\n  corruption = abc\n  metric = recovered\n"
        "  nodes = L9H9\n}",
        ("nodes = L9H9", "nodes = L9H9\n  scale = [0, 2]"),
    ),
    "C294": Entry(
        "intervention on a graph split by position or neuron",
        "Activation patching, path patching and steering act on whole nodes and set their own positions "
        "with `positions` or `at`. Use a graph without `positions` and, except for activation patching, "
        "without `neurons`.",
        "graph split using residual {\n  model = gpt2\n  positions = [IO, S, end, other]\n}\n"
        "scores other using steering {\n  graph = split\n  corruption = abc\n  metric = recovered\n"
        "  nodes = MLP3\n  scale = 0\n}",
        "scores other using steering {\n  graph = full\n  corruption = abc\n  metric = recovered\n"
        "  nodes = MLP3\n  scale = 0\n  at = end\n}",
    ),
}
