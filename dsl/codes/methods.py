"""C5xx: methods."""

from __future__ import annotations

from collections.abc import Mapping

from nncirc.dsl.codes.entry import Entry

__all__ = ["METHODS"]

METHODS: Mapping[str, Entry] = {
    "C501": Entry(
        "an intervention that did not run",
        "The model's forward ended before all modules were read that the method names: they are never "
        "called, or in another order. Without this check the unpatched run would be measured and taken for "
        "the patched one. It is a fault of the model's adapter: please report it with the model's "
        "configuration.",
    ),
    "C502": Entry(
        "a write of another shape or type",
        "An activation was to be replaced by one that has not its shape and data type. Torch would spread it "
        "out silently, over prompts or positions that were not meant. It is a fault of the model's adapter: "
        "please report it with the model's configuration.",
    ),
    "C503": Entry(
        "an activation that is not finite",
        "The patched activation holds infinities or NaN, and so would everything behind it; or it is so "
        "large that its norm is infinite, and the model's next norm would make zeros of it without a word. "
        "Use a smaller scale of noise or steering. float16 overflows in some models: load the model with "
        "`dtype = float32`.",
    ),
    "C511": Entry(
        "an unknown metric",
        'From Python a metric is named as in a script, `Metric("logit_diff")`; docs/language.md lists them '
        "under `metric`. The message has all that there are, those of installed packages too.",
    ),
    "C512": Entry(
        "no position",
        'From Python, a position is a name, `"end"` or `"S.2"`, or a name and an occurrence, '
        '`("S", 2)`, where None means all occurrences. Several stand in a list.',
    ),
    "C521": Entry(
        "a mean over the wrong axes",
        "A corruption takes away what a prompt says. A mean over one prompt's positions keeps it, and a mean "
        "over nothing is the clean run. Average over prompts, or over prompts and positions.",
    ),
    "C522": Entry(
        "clean and corrupted runs measure the same",
        "A normalized metric and faithfulness divide by the difference between the clean and the corrupted "
        "value. Here there is none, so the result would be rounding noise divided by rounding noise. The "
        "corruption does not touch what the metric reads: perhaps it changes a word behind the position, or "
        "answer and foil stay equally likely.",
        "metric early using logit_diff {\n  at = IO\n  normalize = true\n}\n"
        "corruption later using replace {\n  data = ioi\n  S.2 -> A\n}\n"
        "scores effect using attribution_patching {\n  graph = full\n  corruption = later\n"
        "  metric = early\n}",
        "metric early using logit_diff {\n  at = end\n  normalize = true\n}\n"
        "corruption later using replace {\n  data = ioi\n  S.2 -> A\n}\n"
        "scores effect using attribution_patching {\n  graph = full\n  corruption = later\n"
        "  metric = early\n}",
    ),
    "C523": Entry(
        "denoising without a corrupted run",
        "`direction = denoise` starts from a corrupted run and restores one clean activation at a time, "
        "`base = corrupted` takes the gradient there. "
        "Zeros and means are no run of the model, so there is nothing to restore into. Use `direction = "
        "noise`, or a corruption that is a run: `replace` or `counterpart`.",
    ),
    "C524": Entry(
        "an unknown direction",
        "Patching goes `denoise`, clean activations into the corrupted run, or `noise`, corrupted "
        "activations into the clean run. The two answer different questions, so nothing else is guessed.",
    ),
    "C525": Entry(
        "no corruption",
        "A `Contrast` needs what takes the place of a clean activation: `Resample(examples)` with the "
        "corrupted version of every prompt, `Zero()`, or `Mean()`. `replace` and `counterpart` give the "
        "examples, which `Resample` takes.",
    ),
    "C531": Entry(
        "a threshold that cuts nowhere",
        "A threshold is a finite number. ACDC removes an edge if the loss rises by less than the threshold: "
        "below 0 only edges would go whose removal helps the model, which is another method.",
    ),
    "C541": Entry(
        "a gradient that is zero everywhere",
        "The KL divergence from the clean run is least on the clean run, so its gradient there is zero and "
        "attribution patching with one step gives 0 for every edge. Use `steps = 5`, or another metric. A "
        "count such as `accuracy` has no gradient at all, nor has a function of your own that leaves torch "
        "(`.item()`, `.detach()`, numpy) or does not look at the logits.",
    ),
    "C542": Entry(
        "too few steps",
        "Integrated gradients average over at least one step between the clean and the corrupted run.",
    ),
    "C543": Entry("a negative number of edges", "`top` keeps so many edges; the least is none, 0."),
    "C544": Entry(
        "edges selected by scores of nodes",
        "A circuit is a set of edges. Scores of nodes do not say which of a node's edges matter. Use "
        "`attribution_patching` with `by = edges`, or `acdc`.",
    ),
    "C545": Entry(
        "an unknown rank",
        "Scores are ranked `absolute`, by magnitude, or `signed`, the most positive first. The two select "
        "different circuits.",
    ),
    "C546": Entry(
        "an unknown way of integration",
        "Gradients are integrated along `inputs`, the embeddings, or along `activations`, what the senders "
        "of one place write.",
    ),
    "C547": Entry(
        "options of attribution patching that do not go together",
        "`relp`, `correct_qk`, `grad_drop` and integrated gradients (`steps` above 1) each repair the "
        "gradient on the clean run in a way of their own. `correct_qk` and `grad_drop` together are AtP*; "
        "the others stand alone. `correct_qk` is about edges into queries and keys: it needs `by = edges`. "
        "`base = corrupted` takes one gradient on the corrupted run, and goes with none of them.",
    ),
    "C551": Entry(
        "an unknown attention statistic",
        "There are `previous_token`, `current_token`, `first_token`, `duplicate_token`, `prefix_matching`, "
        "`induction`, `entropy` and `copying`.",
    ),
    "C560": Entry(
        "a ROC curve of patched values without a scale",
        "Activation patching without `normalize` gives the metric itself, and the value that it has without "
        "an effect is not known. Normalised, it is 0 for `denoise` and 1 for `noise`.",
        "scores swept using activation_patching {\n  graph = full\n  corruption = abc\n"
        "  metric = recovered\n}\n"
        "curve right using roc {\n  scores = swept\n  reference = small\n  by = nodes\n}",
        "metric scaled using logit_diff {\n  normalize = true\n}\n"
        "scores swept using activation_patching {\n  graph = full\n  corruption = abc\n  metric = scaled\n}\n"
        "curve right using roc {\n  scores = swept\n  reference = small\n  by = nodes\n}",
    ),
    "C561": Entry(
        "an interval without an end",
        "A single prompt says nothing of others, and where some resamples have no effect to divide by, "
        "a normalised mean has no bound. Scores of attribution and of weights have no intervals. Claim the "
        "value itself, or use more prompts.",
    ),
    "C562": Entry(
        "a number that is not finite",
        "A NaN or an infinity in a metric or a score has no place in a ranking, and no threshold stops it, "
        "so nothing is made of it. Either the model overflows, as some do in float16, which ends at 65,504; "
        "or what a metric computes is too large: its factors, or a function of your own. Metrics end at "
        "1e300, so that they can be added up.",
        "metric huge using expression {\n  of = logit_diff(at = end) * 1e308 * 1e308\n}\n"
        "scores effect using attribution_patching {\n  graph = full\n  corruption = abc\n  metric = huge\n}",
        "metric huge using expression {\n  of = logit_diff(at = end) * 1e6\n}\n"
        "scores effect using attribution_patching {\n  graph = full\n  corruption = abc\n  metric = huge\n}",
    ),
    "C563": Entry(
        "noise beyond all numbers",
        "The scale of `gaussian` is in standard deviations of the embedding's entries; Meng et al. (2022) "
        "use 3. With noise this large the embeddings have no finite norm, and the model's first norm would "
        "make zeros of them without a word.",
        "corruption loud using gaussian {\n  data = ioi\n  at = S\n  scale = 1e160\n}\n"
        "scores effect using attribution_patching {\n  graph = full\n  corruption = loud\n"
        "  metric = recovered\n}",
        "corruption loud using gaussian {\n  data = ioi\n  at = S\n  scale = 3\n}\n"
        "scores effect using attribution_patching {\n  graph = full\n  corruption = loud\n"
        "  metric = recovered\n}",
    ),
    "C571": Entry(
        "a norm that cannot be taken apart",
        "Direct contributions to logits and circuits in the weights need norms that are linear but for their "
        "scale: LayerNorm and RMSNorm. This one was tried on a vector and gave something else.",
    ),
    "C572": Entry(
        "something that cannot be read from logits",
        "The logit lens and patchscopes read `prob`, `logprob`, `logit_diff` or `rank` of the answer, or the "
        "`kl_divergence` of the model's own prediction.",
    ),
    "C573": Entry(
        "no sum over senders",
        "With the final norm's scale held fixed a logit is a sum of what every sender contributes, and so is "
        "a difference of two logits: `answer_logit` and `logit_diff`. Probabilities are no such sum.",
    ),
    "C574": Entry(
        "a layer that the target does not have",
        "Layers of the target are counted from 0. The number of layers itself means what the final norm "
        "reads.",
        "scores inside using patchscopes {\n  source = ioi\n  target = ioi\n  layer = 99\n}",
        "scores inside using patchscopes {\n  source = ioi\n  target = ioi\n  layer = 1\n}",
    ),
    "C575": Entry(
        "targets that do not correspond to the sources",
        "A state of every source prompt is put into a target prompt: one target for all of them, or one for "
        "each in the same order.",
        "dataset other using prompts {\n  model = tiny\n"
        '  clean = ["When Mary went to the store", "When Mary"]\n}\n'
        "scores inside using patchscopes {\n  source = ioi\n  target = other\n}",
        'dataset other using prompts {\n  model = tiny\n  clean = ["When Mary went to the store"]\n}\n'
        "scores inside using patchscopes {\n  source = ioi\n  target = other\n}",
    ),
    "C576": Entry(
        "no such head",
        "Heads are named `L1H0`: head 0 of layer 1, both counted from 0. In a virtual head the second head "
        "is of a later layer than the first, or it could not read what that writes.",
    ),
    "C577": Entry(
        "an unknown statistic of weights",
        "Of single heads there are `copying`, `matching`, `q_composition`, `k_composition` and "
        "`v_composition`; of pairs of heads, in a model of two layers or more, the three compositions and "
        "`virtual_copying`.",
    ),
    "C578": Entry(
        "losses at tokens that are not there",
        "The in-context-learning score is the loss at a late token minus that at an early one. The first "
        "token has no loss, and every prompt must reach the late one.",
        "scores learning using in_context_learning {\n  data = ioi\n}",
        "scores learning using in_context_learning {\n  data = ioi\n  early = 2\n  late = 8\n}",
    ),
    "C552": Entry(
        "an interval that cannot be drawn",
        "An interval over prompts is made of resamples, at least one of them (1000 is usual), at a level "
        "between 0 and 1 (0.95 is usual).",
    ),
    "C553": Entry(
        "a measure that the prompts leave without a value",
        "The measure divides by an effect, and on these prompts the effect is zero. Use other prompts, or a "
        "corruption that changes the metric.",
    ),
    "C554": Entry(
        "an area without a value for each size",
        "CPR and CMD are areas under faithfulness at the circuit sizes of MIB. Give one value for each "
        "size, in the order of `mib_sizes`.",
    ),
    "C555": Entry(
        "a ROC curve with nothing to find or nothing to leave",
        "The true positive rate divides by what the reference has, the false positive rate by what it lacks. "
        "A reference of nothing or of everything leaves one of the two undefined. By nodes, a reference soon "
        "has all of them: compare by edges.",
    ),
    "C556": Entry(
        "a random circuit larger than its graph",
        "Random circuits have exactly as many edges as asked for, and a graph has only so many.",
    ),
    "C557": Entry(
        "no connected random circuit of this size",
        "Random circuits are grown so that every edge lies on a path from embed to logits. There may be none "
        "of this size, or few: two edges, for instance, need a node that embed reaches and that reaches the "
        "logits. Compare with a size that a pruned circuit has, or draw edges without regard to paths.",
    ),
    "C558": Entry(
        "no parts to knock out",
        "Completeness and minimality knock out parts of a circuit: nodes, edges, or the groups of a circuit "
        "that was written down. A circuit that was found has no groups; the embedding is never knocked out.",
    ),
    "C559": Entry(
        "an unknown kind of parts",
        "Parts of a circuit are knocked out by `nodes`, by `edges` or by `groups`.",
    ),
    "C579": Entry(
        "a row or a column that scores do not have",
        "`where(…)` names heads by a column of scores, and `score(…)` reads one number of them. The scores "
        "have no such column, or no heads: the earlier head may be none of the model's, the graph may have "
        "whole attention layers.",
        "scores pairs using composition {\n  model = tiny\n  of = k_composition\n}\n"
        "circuit other using reference {\n  graph = full\n  groups {\n"
        "    readers = where(pairs.L99H0, above = 0)\n  }\n  readers -> logits\n}",
        "scores pairs using composition {\n  model = tiny\n  of = k_composition\n}\n"
        "circuit other using reference {\n  graph = full\n  groups {\n"
        "    readers = where(pairs.L0H0, above = 0)\n  }\n  readers -> logits\n}",
    ),
    "C591": Entry(
        "nothing to restore by that name",
        "Causal tracing restores `states`, the residual stream behind a layer, `mlps`, or `attention`, "
        "and can sever what restored states act through: `mlps` or `attention`. A model of attention "
        "alone has no MLPs.",
    ),
    "C592": Entry(
        "a window of layers that cannot be restored",
        "MLPs and attention are restored in windows of one layer or more. A restored state stands for all "
        "layers before it, so that a window of states would be its last.",
    ),
    "C593": Entry(
        "severed effects of what is no state",
        "Severing asks through which layers a restored state acts. What MLPs or attention give is "
        "restored by itself.",
    ),
    "C594": Entry(
        "paths that cannot be patched",
        "Paths lead to nodes that read: inputs of heads, MLPs, `logits`. The logits are the end of every "
        "path: among other receivers they would read what the direct paths bring, and nothing of the "
        "others. A graph that is split by position has no whole nodes; activation patching, path patching "
        "and steering say themselves where they intervene.",
    ),
    "C595": Entry(
        "steering without factors",
        "What a node writes is multiplied by each factor of `scale`, or shifted by each factor of `shift` "
        "times the mean difference, in the clean or the corrupted run. Factors are different numbers.",
    ),
    "C596": Entry(
        "a node that cannot be steered",
        "Heads, MLPs and embeddings write into the residual stream; `logits` and shared keys and values "
        "do not. A function vector is made of what heads write.",
    ),
    "C590": Entry(
        "numbers that cannot be plotted",
        "The rows and columns do not fit their labels, there is nothing to draw, or a logarithmic axis has "
        "no place for a value. Plots are written as SVG, PNG and PDF.",
    ),
}
