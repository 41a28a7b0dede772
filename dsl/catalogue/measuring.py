"""What is measured and what stands in the place of a clean run: C24x, C34x and C58x."""

from __future__ import annotations

from collections.abc import Mapping

from nncirc.dsl.catalogue.entry import Entry

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
}

MEASURED: Mapping[str, Entry] = {
    "C348": Entry(
        "more inputs than can be run",
        "All inputs of a length are as many as the vocabulary to that power, and each stands there once for "
        "every counterpart. Only programs with a small vocabulary can be looked at as a whole.",
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
}
