"""C24x, C34x and C58x: metrics, answers, and what replaces clean activations."""

from __future__ import annotations

from collections.abc import Mapping

from nncirc.dsl.codes.entry import Entry

MEASURING: Mapping[str, Entry] = {
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
}

MEASURED: Mapping[str, Entry] = {
    "C344": Entry(
        "invalid token ids for answers",
        "`answer_ids` and `foil_ids` are ids from this tokenizer's vocabulary, whole numbers from 0. "
        "Give them instead of `answer` and `foil`, not with them. Ids from another tokenizer would be "
        "different words.",
        'dataset other using prompts {\n  model = tiny\n  clean = ["Then Mary met"]\n  answer_ids = 50256\n}',
        ("50256", "5"),
    ),
    "C348": Entry(
        "too many prompts, tokens or answers",
        "`all_inputs` runs every input of `length` tokens: the size of the vocabulary to that power, "
        "once for every counterpart. Only programs with a small vocabulary can be run on all inputs. "
        "Other datasets have at most a million prompts, a hundred thousand tokens per prompt, and ten "
        "thousand answers in a set.",
        "dataset other using all_inputs {\n  model = tiny\n  length = 3\n}",
        ("length = 3", "length = 1"),
    ),
    "C340": Entry(
        "empty answer set, or the same token twice",
        "The tokens in a set of answers are equally right, and each counts once. Either the set is empty, or "
        "two of its texts are the same token, possibly in some prompts only, once the slots are filled in.",
        'dataset other using template {\n  model = tiny\n  size = 2\n  prompt = "Then {S} gave a drink to"\n'
        '  answer = [" {S}", " Mary"]\n  slots {\n    S = ["John", "Mary"]\n  }\n}',
        ('"Mary"', '"Peter"'),
    ),
    "C341": Entry(
        "mean over prompts that lack a place of the template",
        "With `over = [prompts, slots]` every token gets the mean of the tokens at the same place of "
        "the template: the same occurrence of a slot, or the same distance after it in the same "
        "phrasing. The prompts of `source` have no such place. Use a source with the same template, or "
        "the mean over all positions.",
        'dataset other using template {\n  model = tiny\n  size = 2\n  prompt = "Then {S} went to the '
        'store"\n'
        '  slots {\n    S = ["John", "Peter"]\n  }\n}\n'
        "corruption average using mean {\n  data = ioi\n  source = other\n  over = [prompts, slots]\n}\n"
        "scores effect using activation_patching {\n  graph = full\n  corruption = average\n"
        "  metric = recovered\n  direction = noise\n}",
        ("  source = other\n", ""),
    ),
    "C342": Entry(
        "prompt without a partner to shuffle with",
        "`shuffle` gives every prompt the activations of another prompt with the same number of tokens "
        "and its slots at the same positions. This prompt has no such partner, or all its partners are "
        "equal to it.",
        'dataset other using prompts {\n  model = tiny\n  clean = ["Then Mary met John", "Then Mary '
        'met"]\n}\n'
        "corruption changed using shuffle {\n  data = other\n}",
        ('"Then Mary met"]', '"Then John met Mary"]'),
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
}
