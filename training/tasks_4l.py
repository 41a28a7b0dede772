"""Train `tasks-4l`: a four-layer GPT-2 of whole words that does every task of `nncirc.circuits.tasks`.

    python -m training.tasks_4l [--out DIR]

Indirect objects, years, docstrings, colours, pronouns, agreement, capitals, multiple choice, and induction on
random tokens. `prompts.py` draws the prompts.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from typing import TypeAlias, cast

import torch
from tokenizers import Regex, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from nncirc.circuits.tasks import TASKS, Task
from training import MODELS
from training.cards import tasks_card
from training.measure import task_scores
from training.optimize import (
    END_ID,
    BaseRecipe,
    Batch,
    command_line,
    make_deterministic,
    new_model,
    save_folder,
    train,
    word_tokenizer,
)
from training.prompts import IN_CONTEXT, WORDED, every_text, prompt

SPLIT = r"'(?:s|t|re|ve|m|ll|d)| ?\p{L}+| ?\p{N}{1,2}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""As GPT-2 splits text, but numbers into pairs of digits, so that a year is a century and a year of it."""

BLOCK = 16
"""Tokens of a block of random tokens, which stands there twice."""

Row: TypeAlias = tuple[list[int], list[float]]
"""Tokens, and the weight of predicting each."""


@dataclass(frozen=True, slots=True)
class Recipe(BaseRecipe):
    """Everything that the weights depend on."""

    seed: int = 1
    threads: int = 1
    positions: int = 48
    layers: int = 4
    heads: int = 4
    width: int = 96
    spread: float = 0.08
    steps: int = 4000
    rate: float = 2e-3
    weight_decay: float = 0.1
    other_weight: float = 0.01
    turned: int = 64
    turned_until: int = 800
    first_until: int = 1000
    few: int = 12
    few_until: int = 1300
    all_from: int = 2400
    in_context: int = 16
    looked_up: int = 8
    induction: int = 8
    more_steps: int = 800
    more_rate: float = 1.5e-3
    years: int = 64


def make_tokenizer(recipe: Recipe) -> PreTrainedTokenizerFast:
    """One token per word, pair of digits or mark of the prompts."""
    split = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    pieces = {piece for text in every_text() for piece, _ in split.pre_tokenize_str(text)}
    return word_tokenizer(sorted(pieces), positions=recipe.positions, add_prefix_space=False, split=split)


def make_batch(recipe: Recipe, step: int, source: random.Random, tokenizer: PreTrainedTokenizerFast) -> Batch:
    """Pairs that are turned round at first, then coloured objects as well, then every task, and blocks twice.

    The answer weighs one, every other token `other_weight`. Where the answer stands in the prompt, the first
    steps are about a few words only, then more join in: the rule is learned in a tenth of the steps that it
    takes with all words at once.
    """
    if step < recipe.turned_until:
        return _padded([_turned(source, len(tokenizer)) for _ in range(recipe.turned)])
    if step < recipe.first_until:
        first = [TASKS["colored_objects"]] * recipe.turned
        turned = [_turned(source, len(tokenizer)) for _ in range(recipe.turned // 2)]
        return _padded([*_answered(recipe, first, 1.0, source, tokenizer), *turned])
    joined = (step - recipe.few_until) / (recipe.all_from - recipe.few_until)
    share = min(max(joined, 0.0), 1.0)
    return _every(recipe, share, 0, source, tokenizer)


def _every(
    recipe: Recipe, share: float, years: int, source: random.Random, tokenizer: PreTrainedTokenizerFast
) -> Batch:
    """Prompts of every task, more of the years if asked for, and blocks twice."""
    looked_up = [task for task in WORDED if task.name not in IN_CONTEXT]
    in_context = [task for task in WORDED if task.name in IN_CONTEXT]
    rows = _answered(recipe, looked_up * recipe.looked_up, 1.0, source, tokenizer)
    if years:
        rows += _answered(recipe, [TASKS["greater_than"]] * years, 1.0, source, tokenizer)
    rows += _answered(recipe, in_context * recipe.in_context, share, source, tokenizer)
    return _padded([*rows, *(_twice(source, len(tokenizer)) for _ in range(recipe.induction))])


def _answered(
    recipe: Recipe, tasks: list[Task], share: float, source: random.Random, tokenizer: PreTrainedTokenizerFast
) -> list[Row]:
    """A prompt of each task, with one of its answers."""
    drawn = [prompt(task, source, share, recipe.few) for task in tasks]
    texts = [each.text + source.choice(each.answers) for each in drawn]
    ids = cast("list[list[int]]", tokenizer(texts)["input_ids"])
    return [(row, [recipe.other_weight] * (len(row) - 1) + [1.0]) for row in ids]


def _twice(source: random.Random, vocabulary: int) -> Row:
    """A block of random tokens, twice: induction."""
    block = source.sample(range(END_ID + 1, vocabulary), BLOCK)
    return block * 2, [0.0] * (BLOCK + 1) + [2 / BLOCK] * (BLOCK - 1)


def _turned(source: random.Random, vocabulary: int) -> Row:
    """Pairs of random tokens, and then in another order each turned round: a b c d ... d c b a.

    What stood before a token is what coloured objects ask for, and without this it was not found.
    """
    block = source.sample(range(END_ID + 1, vocabulary), BLOCK)
    pairs = list(zip(block[::2], block[1::2], strict=True))
    source.shuffle(pairs)
    turned = [token for pair in pairs for token in reversed(pair)]
    return block + turned, [0.0] * BLOCK + [0.0, 4 / BLOCK] * (BLOCK // 2)


def _padded(rows: list[Row]) -> Batch:
    longest = max(len(tokens) for tokens, _ in rows)
    ids = [tokens + [END_ID] * (longest - len(tokens)) for tokens, _ in rows]
    weights = [weight + [0.0] * (longest - len(weight)) for _, weight in rows]
    return torch.tensor(ids), torch.tensor(weights)


def main() -> None:
    """Train, measure and save."""
    arguments = command_line(MODELS / "tasks-4l", Recipe().seed)
    recipe = Recipe(seed=arguments.seed)
    make_deterministic(recipe.seed, recipe.threads)
    tokenizer = make_tokenizer(recipe)
    model = new_model(tokenizer, recipe)
    source = random.Random(recipe.seed)
    train(
        model,
        lambda step: make_batch(recipe, step, source, tokenizer),
        steps=recipe.steps,
        rate=recipe.rate,
        weight_decay=recipe.weight_decay,
    )
    more = random.Random(recipe.seed + 1)
    train(
        model,
        lambda _: _every(recipe, 1.0, recipe.years, more, tokenizer),
        steps=recipe.more_steps,
        rate=recipe.more_rate,
        weight_decay=recipe.weight_decay,
    )
    scores = task_scores(model, tokenizer, block=BLOCK)
    print(scores)
    card = tasks_card(asdict(recipe), scores, len(tokenizer), BLOCK)
    save_folder(arguments.out, model, tokenizer, scores=scores, card=card)


if __name__ == "__main__":
    main()
