"""C5xx: methods."""

from __future__ import annotations

from collections.abc import Mapping

from nncirc.dsl.codes.entry import Entry

METHODS: Mapping[str, Entry] = {
    "C501": Entry(
        "intervention that did not run",
        "The model's forward pass ended before it reached every module that the method reads: some are "
        "never called, or are called in another order. Without this check, the unpatched run would be "
        "measured as if it were patched. This is a fault of the model's adapter: please report it with "
        "the model's config.",
    ),
    "C502": Entry(
        "activation of another shape or type",
        "An activation was to be replaced by one with another shape or data type. torch would silently "
        "broadcast it over prompts or positions that were not meant. This is a fault of the model's "
        "adapter: please report it with the model's config.",
    ),
    "C503": Entry(
        "activation that is not finite",
        "The patched activation contains infinities or NaN, and so would everything after it; or it is "
        "so large that its norm is infinite, and the model's next norm would silently turn it into "
        "zeros. Use a smaller scale of noise or steering. float16 overflows in some models: load the "
        "model with `dtype = float32`.",
    ),
    "C511": Entry(
        "unknown metric",
        'In Python, metrics are named as in a script, `Metric("logit_diff")`; docs/language.md lists them '
        "under `metric`. The message lists all that are available, including those of installed packages.",
    ),
    "C512": Entry(
        "invalid position",
        'In Python, a position is a name, `"end"` or `"S.2"`, or a name and an occurrence, `("S", 2)`, '
        "where None means all occurrences. Give several as a list.",
    ),
    "C522": Entry(
        "no difference between clean and corrupted runs",
        "A normalized metric and faithfulness divide by the difference between the clean and the "
        "corrupted value. Here there is no difference, so the result would be rounding noise divided by "
        "rounding noise. The corruption does not affect what the metric reads: perhaps it changes a "
        "word after the measured position, or answer and foil stay equally likely.",
        "metric early using logit_diff {\n  at = IO\n  normalize = true\n}\n"
        "corruption later using replace {\n  data = ioi\n  S.2 -> A\n}\n"
        "scores effect using attribution_patching {\n  graph = full\n  corruption = later\n"
        "  metric = early\n}",
        ("at = IO", "at = end"),
    ),
    "C524": Entry(
        "unknown direction",
        "The direction is `denoise`, clean activations into the corrupted run, or `noise`, corrupted "
        "activations into the clean run. The two answer different questions, so nothing else is accepted.",
    ),
    "C525": Entry(
        "missing corruption",
        "A `Contrast` needs something to replace clean activations with: `Resample(examples)` with the "
        'corrupted version of every prompt, `Gaussian("S")`, `Zero()`, or `Mean()`. `replace` and '
        "`counterpart` give the examples that `Resample` takes.",
    ),
    "C531": Entry(
        "invalid threshold",
        "A threshold is a finite number, and for ACDC at least 0. ACDC removes an edge if the loss "
        "rises by less than the threshold: below 0 it would remove only edges whose removal helps the "
        "model, which is another method.",
    ),
    "C542": Entry(
        "too few steps",
        "Integrated gradients average over at least one step between the corrupted and the clean run.",
    ),
    "C543": Entry("invalid number of edges", "`top` keeps this many edges, at least 0."),
    "C544": Entry(
        "edges selected by node scores",
        "A circuit is a set of edges, and scores of nodes do not say which of a node's edges matter. "
        "Use `attribution_patching` with `by = edges`, or `acdc`.",
    ),
    "C545": Entry(
        "unknown rank",
        "Scores are ranked `absolute`, by magnitude, or `signed`, the most positive first. The two "
        "select different circuits.",
    ),
    "C546": Entry(
        "unknown path of integration",
        "Gradients are integrated along `inputs`, the embeddings, or along `activations`, the outputs "
        "of one place at a time: the embedding, a layer's attention, or an MLP.",
    ),
    "C551": Entry(
        "unknown attention statistic",
        "The statistics are `previous_token`, `current_token`, `first_token`, `duplicate_token`, "
        "`prefix_matching`, `induction`, `entropy` and `copying`.",
    ),
    "C552": Entry(
        "invalid interval",
        "An interval over prompts needs at least one resample (1000 is usual) and a level between 0 and "
        "1 (0.95 is usual).",
    ),
    "C553": Entry(
        "measure that divides by zero",
        "The measure divides by an effect, and on these prompts the effect is zero. Use other prompts, "
        "or a corruption that changes the metric.",
    ),
    "C554": Entry(
        "area without a value for each size",
        "CPR and CMD are areas under faithfulness at the circuit sizes of MIB. Give one value for each "
        "size, in the order of `mib_sizes`.",
    ),
    "C555": Entry(
        "ROC curve with an empty or complete reference",
        "The true positive rate divides by the number of edges (or nodes) in the reference, the false "
        "positive rate by the number outside it. If the reference is empty or complete, one of the two is "
        "undefined. With `by = nodes`, even a small reference often includes all nodes: compare by edges.",
    ),
    "C556": Entry(
        "random circuit larger than its graph",
        "Random circuits have exactly the requested number of edges, which cannot exceed that of the graph.",
    ),
    "C557": Entry(
        "no connected random circuit of this size",
        "Random circuits are grown so that every edge lies on a path from embed to logits. There may be "
        "no such circuit of this size, or very few: two edges, for instance, need a node with an edge "
        "from embed and an edge to logits. Compare with the size of a pruned circuit, or draw edges "
        "that need not be connected.",
    ),
    "C558": Entry(
        "no parts to knock out",
        "Completeness and minimality knock out parts of a circuit: nodes, edges, or the groups of a "
        "circuit that was written down. A circuit that a method found has no groups. The embedding is "
        "never knocked out.",
    ),
    "C559": Entry(
        "unknown kind of parts", "Parts of a circuit are knocked out by `nodes`, by `edges` or by `groups`."
    ),
    "C560": Entry(
        "ROC curve of patching scores without a scale",
        "Without `normalize`, activation patching gives the metric itself, and its value without any "
        "effect is not known. Normalized, that value is 0 for `denoise` and 1 for `noise`.",
        "scores swept using activation_patching {\n  graph = full\n  corruption = abc\n"
        "  metric = recovered\n}\n"
        "curve right using roc {\n  scores = swept\n  reference = small\n  by = nodes\n}",
        "metric scaled using logit_diff {\n  normalize = true\n}\n"
        "scores swept using activation_patching {\n  graph = full\n  corruption = abc\n  metric = scaled\n}\n"
        "curve right using roc {\n  scores = swept\n  reference = small\n  by = nodes\n}",
    ),
    "C561": Entry(
        "unbounded interval",
        "A single prompt gives no interval over prompts, and if some resamples have no effect to divide "
        "by, a normalized mean is unbounded. Scores of attribution and of weights have no intervals. "
        "Make a claim about the value itself, or use more prompts.",
    ),
    "C562": Entry(
        "number that is not finite",
        "NaN or infinity in a metric or a score cannot be ranked or compared with a threshold, so no "
        "result is made from it. Either the model overflows, as some do in float16, whose largest "
        "number is 65,504; or the metric computes a value that is too large: check its factors, or your "
        "own function. Metrics are limited to 1e300, so that they can be added up.",
        "metric huge using expression {\n  of = logit_diff(at = end) * 1e308 * 1e308\n}\n"
        "scores effect using attribution_patching {\n  graph = full\n  corruption = abc\n  metric = huge\n}",
        ("1e308 * 1e308", "1e6"),
    ),
    "C563": Entry(
        "noise too large to compute with",
        "The scale of `gaussian` is in standard deviations of the embedding's entries; Meng et al. "
        "(2022) use 3. With noise this large, the embeddings have no finite norm, and the model's first "
        "norm would silently turn them into zeros.",
        "corruption loud using gaussian {\n  data = ioi\n  at = S\n  scale = 1e160\n}\n"
        "scores effect using attribution_patching {\n  graph = full\n  corruption = loud\n"
        "  metric = recovered\n}",
        ("1e160", "3"),
    ),
    "C571": Entry(
        "norm that cannot be decomposed",
        "Direct contributions to logits and circuits in the weights need norms that are linear except for "
        "their scale: LayerNorm and RMSNorm. This one was tested on a vector and gave something else.",
    ),
    "C572": Entry(
        "quantity that cannot be read from logits",
        "The logit lens and patchscopes read `prob`, `logprob`, `logit_diff` or `rank` of the answer, "
        "or the `kl_divergence` of the model's own prediction from what is read.",
    ),
    "C573": Entry(
        "quantity that is not a sum over senders",
        "With the scale of the final norm frozen, a logit is the sum of every sender's contribution, and so "
        "is a difference of two logits: `answer_logit` and `logit_diff`. A probability is not such a sum.",
    ),
    "C574": Entry(
        "layer that the target does not have",
        "Layers of the target are counted from 0. The number of layers itself refers to what the final "
        "norm reads.",
        "scores inside using patchscopes {\n  source = ioi\n  target = ioi\n  layer = 99\n}",
        ("layer = 99", "layer = 1"),
    ),
    "C575": Entry(
        "targets that do not match the sources",
        "The state of each source prompt is patched into a target prompt: give one target for all, or "
        "one for each in the same order.",
        "dataset other using prompts {\n  model = tiny\n"
        '  clean = ["When Mary went to the store", "When Mary"]\n}\n'
        "scores inside using patchscopes {\n  source = ioi\n  target = other\n}",
        ('store", "When Mary"', 'store"'),
    ),
    "C576": Entry(
        "invalid head",
        "Heads are named `L1H0`: head 0 of layer 1, both counted from 0. In a virtual head, the second "
        "head must be in a later layer than the first, or it could not read what the first writes.",
    ),
    "C577": Entry(
        "unknown weight statistic",
        "Single heads have `copying`, `matching`, `q_composition`, `k_composition` and `v_composition`. "
        "Pairs of heads, in a model with at least two layers, have the three compositions and "
        "`virtual_copying`.",
    ),
    "C578": Entry(
        "loss at a token that does not exist",
        "The in-context learning score is the loss at a late token minus that at an early one. The "
        "first token has no loss, and every prompt must reach the late one.",
        "scores learning using in_context_learning {\n  data = ioi\n}",
        ("data = ioi", "data = ioi\n  early = 2\n  late = 8"),
    ),
    "C579": Entry(
        "row or column that the scores do not have",
        "`where(…)` selects heads by a column of scores, and `score(…)` reads one number. The scores "
        "have no such row or column, or no heads: perhaps the earlier head is not in the model, or the "
        "graph has whole attention layers.",
        "scores pairs using composition {\n  model = tiny\n  of = k_composition\n}\n"
        "circuit other using reference {\n  graph = full\n  groups {\n"
        "    readers = where(pairs.L99H0, above = 0)\n  }\n  readers -> logits\n}",
        ("pairs.L99H0", "pairs.L0H0"),
    ),
    "C580": Entry(
        "noise without effect",
        "In Python, `Gaussian` was given no position, a scale of 0, or no samples, so the corrupted run "
        "would equal the clean run.",
    ),
    "C582": Entry(
        "metric divided by zero",
        "A ratio is computed prompt by prompt, and for one prompt the divisor is zero. A divergence is zero "
        "on the clean run of every prompt. Divide by a number instead, such as a mean measured earlier.",
    ),
    "C583": Entry(
        "division by zero in a claim",
        "One side of the claim divides by a measured number that is zero, such as the number of edges "
        "in an empty circuit. Compare that number in a claim of its own.",
    ),
    "C584": Entry(
        "code that is not allowed to run",
        "A metric or corruption `using python` runs code that comes with the script, and that code can "
        "do anything you can. If you have read it, or trust its author, use `nncirc run --allow-code`.",
    ),
    "C585": Entry(
        "function that cannot be loaded",
        "The module, function or entry point does not exist, or the module raised an error when it was "
        "loaded. Modules are looked up next to the script first, then where Python looks. Stored "
        "results depend on the function's code: its module and everything that module imports. A module "
        "loaded later, under a name computed at run time, would not be seen, so it is refused: import "
        "it at the top.",
    ),
    "C586": Entry(
        "wrong signature or result of a function",
        "A metric is a function that takes `nncirc.Logits` and returns a float for every row, "
        "prompt and position. A corruption is a function that takes the `Dataset` and returns a text or "
        "token ids for every prompt, or a corruption such as `Zero()`.",
    ),
    "C587": Entry(
        "error in a function of your own",
        "The message names the function and the line that raised the error. For the full traceback, "
        "call the function from Python.",
    ),
    "C590": Entry(
        "numbers that cannot be plotted",
        "The rows and columns do not match their labels, there is nothing to draw, or a logarithmic "
        "axis cannot show a value. Plots are written as SVG, PNG and PDF.",
    ),
    "C591": Entry(
        "invalid target of causal tracing",
        "Causal tracing restores `states` (the residual stream after a layer), `mlps` or `attention`, "
        "and can sever what restored states act through: `mlps` or `attention`. An attention-only model "
        "has no MLPs.",
    ),
    "C592": Entry(
        "invalid window of layers",
        "MLPs and attention are restored in windows of one or more layers. A restored state includes "
        "the effect of all layers before it, so a window of states would be the same as its last one.",
    ),
    "C593": Entry(
        "`sever` without restored states",
        "Severing asks which layers a restored state acts through, so it needs `of = states`. It does "
        "not apply when the outputs of MLPs or attention are restored.",
    ),
    "C594": Entry(
        "paths that cannot be patched",
        "Paths end in nodes that read: inputs of heads, MLPs, `logits`. `logits` cannot be combined "
        "with other receivers: its input would be fixed to what the direct paths deliver, without the "
        "effect of the others. Activation patching, path patching and steering act on whole nodes and "
        "set their own positions, so use a graph that is not split by position; path patching and "
        "steering also need one that is not split by neuron.",
    ),
    "C595": Entry(
        "steering without valid factors",
        "What a node writes is multiplied by each factor of `scale`, or shifted by each factor of "
        "`shift` times the mean difference, in the clean or the corrupted run. The factors must be "
        "different numbers. `source`, the prompts of the mean difference, applies to `shift`.",
    ),
    "C596": Entry(
        "node that cannot be steered",
        "Heads, MLPs and embeddings write to the residual stream; `logits` and shared keys and values "
        "do not. In place of nodes, `layers` steers the residual stream after layers that the model has, "
        "counted from 0. A function vector is built from heads.",
    ),
    "C597": Entry(
        "invalid target of activation patching",
        "`of` names each part once: `outputs`, `q`, `k`, `v`, `pattern`, `resid_pre`, `resid_mid`, "
        "`resid_post`. In a layer whose attention and MLP read the same residual stream, as in Pythia, or "
        "without an MLP, there is no residual stream between the two.",
    ),
}
