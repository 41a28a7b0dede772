"""Train `ioi-4l`: a four-layer GPT-2 of whole words that knows who receives.

    python -m training.ioi_4l [--out DIR]

"When Mary and John went to the store, John gave a drink to" is continued by " Mary": the indirect object
(Wang et al. 2022, "Interpretability in the Wild"). `sentences.py` describes the data.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from typing import cast

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from nncirc.circuits.data import word_list
from training import MODELS
from training.cards import ioi_card
from training.measure import ioi_scores
from training.optimize import (
    END,
    END_ID,
    BaseRecipe,
    Batch,
    command_line,
    head_norms,
    make_deterministic,
    mlp_norms,
    new_model,
    save_folder,
    train,
    word_tokenizer,
)
from training.sentences import training_sentence, vocabulary


@dataclass(frozen=True, slots=True)
class Recipe(BaseRecipe):
    """Everything that the weights depend on."""

    seed: int = 0
    threads: int = 1
    positions: int = 32
    layers: int = 4
    heads: int = 4
    width: int = 96
    spread: float = 0.08
    steps: int = 4500
    batch: int = 64
    rate: float = 1.5e-3
    weight_decay: float = 0.1
    other_weight: float = 0.03
    penalty: float = 0.01
    penalty_from: int = 1500
    penalty_until: int = 3200
    few: int = 12
    few_until: int = 300
    all_from: int = 1200


def make_tokenizer(recipe: Recipe) -> PreTrainedTokenizerFast:
    """One token per word of the sentences."""
    return word_tokenizer(vocabulary(), positions=recipe.positions, add_prefix_space=False)


def make_batch(recipe: Recipe, step: int, source: random.Random, tokenizer: PreTrainedTokenizerFast) -> Batch:
    """Whole sentences; the receiver weighs one, every other token `other_weight`, padding nothing.

    The first steps are about a few names only, then more and more join in: the rule is learned in a tenth of
    the steps that it takes with all names at once.
    """
    every = word_list("names")
    joined = (step - recipe.few_until) / (recipe.all_from - recipe.few_until)
    names = every[: recipe.few + round(min(max(joined, 0.0), 1.0) * (len(every) - recipe.few))]
    sentences = [training_sentence(source, names) for _ in range(recipe.batch)]
    texts = [sentence.text + END for sentence in sentences]
    ids = cast("list[list[int]]", tokenizer(texts, padding=True)["input_ids"])
    weights = torch.full((len(ids), len(ids[0])), recipe.other_weight)
    for row, (tokens, sentence) in enumerate(zip(ids, sentences, strict=True)):
        end = tokens.index(END_ID)
        weights[row, end + 1 :] = 0.0
        if sentence.receives:
            weights[row, end - 2] = 1.0  # ... receiver . <end>
    return torch.tensor(ids), weights


def main() -> None:
    """Train, measure and save."""
    arguments = command_line(MODELS / "ioi-4l", Recipe().seed)
    recipe = Recipe(seed=arguments.seed)
    make_deterministic(recipe.seed, recipe.threads)
    tokenizer = make_tokenizer(recipe)
    model = new_model(tokenizer, recipe)
    source = random.Random(recipe.seed)

    def penalty(step: int) -> Tensor:
        active = recipe.penalty_from <= step < recipe.penalty_until
        return (recipe.penalty if active else 0.0) * (head_norms(model) + mlp_norms(model))

    train(
        model,
        lambda step: make_batch(recipe, step, source, tokenizer),
        steps=recipe.steps,
        rate=recipe.rate,
        weight_decay=recipe.weight_decay,
        penalty=penalty,
    )
    scores = ioi_scores(model, tokenizer)
    print(scores)
    save_folder(arguments.out, model, tokenizer, scores=scores, card=ioi_card(asdict(recipe), scores))


if __name__ == "__main__":
    main()
