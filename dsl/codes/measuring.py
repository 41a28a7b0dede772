"""What is measured and what stands in the place of a clean run: C24x, C34x and C58x."""

from __future__ import annotations

from collections.abc import Mapping

from nncirc.dsl.codes.entry import Entry

__all__ = ["MEASURED", "MEASURING"]

MEASURING: Mapping[str, Entry] = {
    "C240": Entry(
        "a metric without a gradient",
        "Attribution patching follows the gradient of the metric. A share of right answers is a count: a "
        "small change of the model leaves it as it is, so its gradient is zero everywhere.",
        "scores other using attribution_patching {\n  graph = full\n  corruption = abc\n"
        "  metric = accuracy(at = end)\n}",
        "scores other using attribution_patching {\n  graph = full\n  corruption = abc\n"
        "  metric = prob_diff(at = end)\n}",
    ),
    "C241": Entry(
        "a mean over positions and slots",
        "Over all positions there is one mean, and over slots one for each occurrence of a slot and each "
        "token of the text between: a mean is one or the other.",
        "corruption other using mean {\n  data = ioi\n  over = [prompts, positions, slots]\n}",
        "corruption other using mean {\n  data = ioi\n  over = [prompts, slots]\n}",
    ),
    "C242": Entry(
        "a division by zero",
        "The number behind the `/` is zero, as it is written or once its parts are computed.",
        "metric rest using expression {\n  of = recovered / (1 - 1)\n}",
        "metric rest using expression {\n  of = recovered / 2\n}",
    ),
    "C243": Entry(
        "an expression of metrics that do not go together",
        "An expression is computed prompt by prompt, at one place. So all its metrics have the same `at`, "
        "none is normalised over prompts (the expression itself can be), and there is at least one.",
        "metric rest using expression {\n  of = recovered + logprob(at = IO)\n}",
        "metric rest using expression {\n  of = recovered + logprob(at = end)\n}",
    ),
    "C244": Entry(
        "a name that no function has",
        "A function of your own is named by its module and its name in it, with a colon between, or it is an "
        "entry point of an installed package.",
        'metric rest using python {\n  function = "my metrics.share"\n}',
        'metric rest using python {\n  function = "mymetrics:share"\n}',
    ),
    "C245": Entry(
        "an answer of several tokens where it has no meaning",
        "With `teacher_forced = true` the model gets the answer behind the prompt, token by token, and a "
        "metric of the answer reads each token where it is predicted, from `end` on. Log-probabilities are "
        "added, probabilities multiplied; for a difference from a foil, or a rank, there is no such rule.",
        'dataset other using prompts {\n  model = gpt2\n  clean = ["Then Mary met John"]\n'
        '  answer = " and Mary"\n  foil = " in"\n  teacher_forced = true\n}',
        'dataset other using prompts {\n  model = gpt2\n  clean = ["Then Mary met John"]\n'
        '  answer = " and Mary"\n  teacher_forced = true\n}',
    ),
}

MEASURED: Mapping[str, Entry] = {
    "C344": Entry(
        "token ids that cannot be answers",
        "`answer_ids` and `foil_ids` are ids of this tokenizer's vocabulary, whole numbers from 0. They take "
        "the place of `answer` and `foil`, and are not given beside them. Ids of another tokenizer would be "
        "other words.",
        'dataset other using prompts {\n  model = tiny\n  clean = ["Then Mary met"]\n  answer_ids = 50256\n}',
        'dataset other using prompts {\n  model = tiny\n  clean = ["Then Mary met"]\n  answer_ids = 5\n}',
    ),
    "C348": Entry(
        "more prompts, tokens or answers than can be run",
        "All inputs of a length are as many as the vocabulary to that power, and each stands there once for "
        "every counterpart. Only programs with a small vocabulary can be looked at as a whole. Other "
        "datasets have at most a million prompts, a hundred thousand tokens in each, and ten thousand "
        "answers in a set.",
        "dataset other using all_inputs {\n  model = tiny\n  length = 3\n}",
        "dataset other using all_inputs {\n  model = tiny\n  length = 1\n}",
    ),
    "C340": Entry(
        "a set of answers with nothing in it, or with a token twice",
        "Each token of a set of answers is as right as another, and each counts once. Two texts of the set "
        "are the same token, perhaps in some prompts only, where slots are filled in.",
        'dataset other using template {\n  model = tiny\n  size = 2\n  prompt = "Then {S} gave a drink to"\n'
        '  answer = [" {S}", " Mary"]\n  slots {\n    S = ["John", "Mary"]\n  }\n}',
        'dataset other using template {\n  model = tiny\n  size = 2\n  prompt = "Then {S} gave a drink to"\n'
        '  answer = [" {S}", " Mary"]\n  slots {\n    S = ["John", "Peter"]\n  }\n}',
    ),
    "C341": Entry(
        "a mean over prompts that lack a place",
        "With `over = [prompts, slots]` every token gets the mean of the tokens at the same place of the "
        "template: the same occurrence of a slot, or as far behind it in the same phrasing. The prompts of "
        "`source` have no such place. Take a source of the same template, or the mean over all positions.",
        'dataset other using template {\n  model = tiny\n  size = 2\n  prompt = "Then {S} went to the '
        'store"\n'
        '  slots {\n    S = ["John", "Peter"]\n  }\n}\n'
        "corruption average using mean {\n  data = ioi\n  source = other\n  over = [prompts, slots]\n}\n"
        "scores effect using activation_patching {\n  graph = full\n  corruption = average\n"
        "  metric = recovered\n  direction = noise\n}",
        "corruption average using mean {\n  data = ioi\n  over = [prompts, slots]\n}\n"
        "scores effect using activation_patching {\n  graph = full\n  corruption = average\n"
        "  metric = recovered\n  direction = noise\n}",
    ),
    "C342": Entry(
        "a prompt that has nobody to change with",
        "`shuffle` gives every prompt the activations of another one of as many tokens, with its slots at "
        "the same positions. This prompt has none, or all others are equal to it.",
        'dataset other using prompts {\n  model = tiny\n  clean = ["Then Mary met John", "Then Mary '
        'met"]\n}\n'
        "corruption changed using shuffle {\n  data = other\n}",
        'dataset other using prompts {\n  model = tiny\n  clean = ["Then Mary met John", "Then John met '
        'Mary"]\n}\n'
        "corruption changed using shuffle {\n  data = other\n}",
    ),
    "C343": Entry(
        "an answer of several tokens where it has no meaning",
        "The model gets such an answer token by token (`teacher_forced`), in the clean and in the corrupted "
        "run. It is one text, with no foil, and `logprob`, `cross_entropy`, `prob` and `accuracy` are of all "
        "its tokens, read from `end` on.",
    ),
    "C580": Entry(
        "noise that is none",
        "From Python, `Gaussian` was given no position, a scale of 0, or no samples: the corrupted run would "
        "be the clean one.",
    ),
    "C581": Entry(
        "metrics that do not go together",
        "The parts of an expression are read at the same positions and computed prompt by prompt, so none of "
        "them is normalised: normalise the whole. What is added has one unit: logits and nats are alike, and "
        "so are probabilities, shares and ratios. A metric divided by a number is a ratio.",
    ),
    "C582": Entry(
        "a metric that is divided by zero",
        "A ratio is taken prompt by prompt, and for one of them the divisor is zero. A divergence is zero on "
        "the clean run of every prompt. Divide by a number, such as the mean that was measured before.",
    ),
    "C583": Entry(
        "a claim that divides by what is zero",
        "A side of a claim divides by a number that was measured to be zero, such as the edges of an empty "
        "circuit. Compare it by itself.",
    ),
    "C584": Entry(
        "code that was not allowed",
        "A metric or corruption `using python` runs code that the script brings along, and code can do "
        "anything that you can. If you have read it, or trust whoever wrote it: `nncirc run --allow-code`.",
    ),
    "C585": Entry(
        "a function that cannot be loaded",
        "There is no such module, function or entry point, or the module raised an error when it was loaded. "
        "Modules are looked for beside the script first, and then where Python looks. Results are stored "
        "under the code of a function: its module, and all that this imports. A module that it loads later, "
        "by a name that is made as it runs, would not be seen, so it is refused: import it at the top.",
    ),
    "C586": Entry(
        "a function that gives something else",
        "A metric is a function of `nncirc.engine.Logits` and gives a float for every row, prompt "
        "and position. A corruption is a function of the `Dataset` and gives a text, or token numbers, for "
        "every prompt, or a corruption such as `Zero()`.",
    ),
    "C587": Entry(
        "a function of your own that raised an error",
        "The fault is in the function that is named, at the line that is named. To see all of it, call it "
        "from Python.",
    ),
}
