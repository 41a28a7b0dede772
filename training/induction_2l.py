"""Train `induction-2l`: two attention-only layers that continue a repeated sequence of random tokens.

    python -m training.induction_2l [--out DIR]

After `A B ... A` the only way to know `B` is to find the earlier `A` and copy what came after it. One layer
cannot: the key at `B` must say "the token before me was A", which a head of an earlier layer has to write
there (Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"; Olsson et al. 2022).
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

from nncirc.circuits.data import word_list
from training import MODELS
from training.cards import induction_card
from training.measure import induction_scores
from training.optimize import (
    BaseRecipe,
    Batch,
    blocks,
    command_line,
    head_norms,
    make_deterministic,
    new_model,
    save_folder,
    train,
    word_tokenizer,
)


@dataclass(frozen=True, slots=True)
class Recipe(BaseRecipe):
    """Everything that the weights depend on."""

    seed: int = 0
    threads: int = 1
    positions: int = 64
    layers: int = 2
    heads: int = 4
    width: int = 128
    spread: float = 0.02
    steps: int = 2500
    batch: int = 64
    rate: float = 2e-3
    weight_decay: float = 0.1
    penalty: float = 0.02
    penalty_from: int = 700
    penalty_until: int = 1700
    noise: float = 0.1
    noise_weight: float = 0.1


def make_tokenizer(recipe: Recipe) -> PreTrainedTokenizerFast:
    """One token per name of the word list, with its leading space."""
    words = [f" {name}" for name in word_list("names")]
    return word_tokenizer(words, positions=recipe.positions, add_prefix_space=True)


def make_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> GPT2LMHeadModel:
    """A GPT-2 whose MLPs are frozen at zero: attention-only for any code that loads a GPT-2."""
    model = new_model(tokenizer, recipe, n_inner=1, tie_word_embeddings=False)
    # Not a key of GPT-2: it tells the adapters of this package to leave the MLPs out of the graph.
    model.config.attention_only = True
    for block in blocks(model):
        for frozen in (block.ln_2, block.mlp):
            frozen.requires_grad_(False)
        for weight in block.mlp.parameters():
            torch.nn.init.zeros_(weight)
    return model


def make_batch(recipe: Recipe, source: random.Random, tokens: list[int]) -> Batch:
    """Rows of `positions` tokens: a random prefix, a block of random length, the block again, a random rest.

    Prefix and block lengths vary, so that no fixed distance is the answer. Only what can be known is
    predicted: the second copy, from its second token on; and, in a share of the sequences that repeat
    nothing, every token, so that without a repetition the prediction is uniform.
    """
    length = recipe.positions
    ids, weights = [], []
    for _ in range(recipe.batch):
        row = source.choices(tokens, k=length)
        weight = [recipe.noise_weight] * length
        if source.random() >= recipe.noise:
            size = source.randint(4, length // 2)
            start = source.randint(0, length - 2 * size)
            block = source.sample(tokens, size)
            row[start : start + 2 * size] = block + block
            second = start + size
            weight = [float(second < i < second + size) for i in range(length)]
        ids.append(row)
        weights.append(weight)
    return torch.tensor(ids), torch.tensor(weights)


def main() -> None:
    """Train, measure and save."""
    arguments = command_line(MODELS / "induction-2l", Recipe().seed)
    recipe = Recipe(seed=arguments.seed)
    make_deterministic(recipe.seed, recipe.threads)
    tokenizer = make_tokenizer(recipe)
    model = make_model(recipe, tokenizer)
    source = random.Random(recipe.seed)

    def penalty(step: int) -> Tensor:
        active = recipe.penalty_from <= step < recipe.penalty_until
        return (recipe.penalty if active else 0.0) * head_norms(model)

    tokens = [i for i in range(len(tokenizer)) if i not in tokenizer.all_special_ids]
    train(
        model,
        lambda _step: make_batch(recipe, source, tokens),
        steps=recipe.steps,
        rate=recipe.rate,
        weight_decay=recipe.weight_decay,
        penalty=penalty,
    )
    scores = induction_scores(model, tokenizer)
    print(scores)
    save_folder(arguments.out, model, tokenizer, scores=scores, card=induction_card(asdict(recipe), scores))


if __name__ == "__main__":
    main()
