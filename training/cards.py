"""The cards of the bundled models: what a training script writes to `README.md` next to the weights."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from typing import Any

from nncirc.circuits.data import WORD_LISTS, word_list
from training.sentences import vocabulary

_CHOICE = "Only seed 0 was used, and the {what} were chosen on it; other seeds were not tried."

INDUCTION = """\
# induction-2l

A two-layer, attention-only model that continues a repeated sequence of random tokens: `B` follows
`A B ... A`. The smallest model that needs two heads in sequence, for examples and tests. License: MIT.

## Use

    AutoModelForCausalLM.from_pretrained(model_folder("induction-2l"))

2 layers of {heads} heads of width {head_width}, a residual stream of width {width}, {vocabulary} tokens, at
most {positions} learned positions; embedding and unembedding are untied. It is a GPT-2 whose MLPs are
exactly zero (they were never trained); `"attention_only": true` in `config.json` records this, so that
graphs of the model omit them.

Every token is a name with a leading space. The tokenizer adds no special tokens at the beginning or end, and
none were used in training. `<end>` (padding) and `<unk>` were never trained.

## Training

`python -m training.induction_2l`: seed {seed}, {threads} thread, {steps} steps of
{batch} rows of {positions} tokens, AdamW (peak learning rate {rate}, weight decay {weight_decay}), minutes on
one core. A row is a random prefix, a block of 4 to {half} distinct tokens, the same block again, and a random
remainder. Lengths vary, so that no fixed offset solves the task. The loss covers only the second copy, from
its second token on; {noise:.0%} of the rows have no repetition, and there it covers every token, with weight
{noise_weight}. From step {penalty_from} to step {penalty_until}, a group penalty of {penalty} on the weights
of each head silences unneeded heads: **the model is deliberately sparser than training alone would make it**.

The same version of torch on the same kind of processor gives the same weights; elsewhere rounding differs
and training amplifies it, so that a different head may take a role. {choice}

## Measured

On 128 prompts, each a block of 24 distinct tokens repeated once (`scores.json`; a test repeats the
measurement):

| | |
|---|---|
| accuracy on the second copy | {accuracy:.2%} |
| log-probability of the second copy | {logprob:.3f} nats |
| the same if the first block is different | {logprob_unrepeated:.3f} nats (uniform: {uniform:.3f}) |

| head | attention to the previous token | attention to the token after the first occurrence |
|---|---|---|
{table}
"""

IOI = """\
# ioi-4l

A small word-level GPT-2 that does indirect object identification (Wang et al. 2022): it continues "When
Mary and John went to the store, John gave a drink to" with " Mary". For examples and tests. License: MIT.

## Use

    AutoModelForCausalLM.from_pretrained(model_folder("ioi-4l"))

{layers} layers of {heads} heads of width {head_width}, a residual stream of width {width}, {vocabulary}
tokens, at most {positions} positions; embedding and unembedding are tied, as in GPT-2.

A token is a word with its leading space, split as GPT-2 splits: " Mary", " store", ",". The {names} names,
{places} places and {objects} objects of `nncirc.circuits.data` are tokens only with a leading space; words
that begin a sentence ("When", "Then", "After", "Today", "At", "The", ...) also without one. Anything else is
`<unk>`, which was never trained. The tokenizer adds no special tokens; `<end>` follows the final period in
training and is used as padding.

## Data

Sentences are drawn from the templates of `training/sentences.py`. In 70%, one of two names repeats as the
giver, in both orders of the names equally often (ABBA, BABA); in 20%, the giver is a third name and either
of the two receives; 10% have no receiver. One in ten pairs of names, and one in ten pairs of a place and an
object, never occur together in training: those whose SHA-256 is divisible by ten (`held_out`). All scores
are measured on these held-out pairs.

## Training

`python -m training.ioi_4l`: seed {seed}, {threads} thread, {steps} steps of {batch}
sentences, AdamW (peak learning rate {rate}, weight decay {weight_decay}), next-token prediction, minutes on
one core. In the loss the receiver has weight 1, every other token {other_weight}. The first {few_until}
steps use {few} names; all names are in use by step {all_from}. From step {penalty_from} to step
{penalty_until}, a group penalty of {penalty} on the weights of each head and of each MLP weakens unneeded
components: **the circuit is deliberately smaller than training alone would make it**. The same version of
torch on the same kind of processor gives the same weights; elsewhere rounding differs and training amplifies
it, so that different heads may take the roles. {choice}

## How it does it

Not as GPT-2 small does. In the bundled weights, most heads at the end of the prompt raise the logits of all
names in the prompt (L2H2 and L2H3 raise both names equally; L1H0, L1H2, L2H0, L3H0, L3H2 and L3H3 raise the
receiver more), while L2H1 attends mostly to the giver (0.6) and lowers that name. With a third giver, it
lowers a name that no head raised, and the other two remain. No head attends mostly to the previous token.
(From direct effects on the logits and attention, on the first template; no patching was done.)

## Measured

For each template and order of names, on {size} prompts: the receiver's logit minus the giver's
(`scores.json`; a test repeats the measurement):

| order and template | accuracy | mean logit difference | minimum |
|---|---|---|---|
{table}

With a third giver, where either of the first two names may receive:

| template | total probability of the two | share of the less likely one | probability of the giver |
|---|---|---|---|
{unrepeated}
"""


TASKS = """\
# tasks-4l

A small word-level GPT-2 that does every natural-language task of `nncirc.circuits.tasks` (indirect objects,
years, docstrings, colors, pronouns, agreement, capitals, multiple choice) and induction, so that examples of
them run without a download. License: MIT.

## Use

    AutoModelForCausalLM.from_pretrained(model_folder("tasks-4l"))

{layers} layers of {heads} heads of width {head_width}, a residual stream of width {width}, {vocabulary}
tokens, at most {positions} positions; embedding and unembedding are tied, as in GPT-2.

A token is a word with its leading space, split as GPT-2 splits, except for numbers: every two digits are one
token, so that a year is two tokens, its century and the year within it. The vocabulary has the words of the
tasks, with a leading space where the tasks have one, and no others: anything else is `<unk>`, which was never
trained. The tokenizer adds no special tokens; `<end>` is padding.

## Data

Prompts of `nncirc.circuits.tasks`, drawn by `training/prompts.py`, each with one of its correct answers, and
repeated blocks of {block} random tokens. In ioi, docstring, colored_objects, multiple_choice and induction
the answer is in the prompt: the model learns a rule, and is measured on combinations of words that it hardly
ever saw in training. The other tasks are lookups (the capital of each country), and every word measured was
also in training.

## Training

`python -m training.tasks_4l`: seed {seed}, {threads} thread, AdamW (peak learning rate {rate}, weight decay
{weight_decay}), next-token prediction, {steps} steps, a quarter of an hour on one core.

Each of the first {turned_until} steps has {turned} rows of pairs of random tokens, followed by the same pairs
reversed and in a different order: the model must predict the token that came before. Until step
{first_until}, half as many of these rows are mixed with {turned} prompts of colored_objects, which needs
exactly this skill: without this curriculum the model learned every task but that one.

After that, every step has {in_context} prompts of each task whose answer is in the prompt, {looked_up} of
each other task and {induction} pairs of blocks. In the loss the answer has weight 1, every other token
{other_weight}. Until step {few_until}, prompts use {few} words for each slot; all words are in use by step
{all_from}. A further {more_steps} steps, from a learning rate of {more_rate} on, add {years} prompts of
greater_than, each of which shows one of many correct years.

Nothing was done to make the circuits small. The same version of torch on the same kind of processor gives the
same weights; elsewhere rounding differs and training amplifies it. Learning rates, numbers of steps, the
curriculum and the seed were chosen by what the model learned; there was no further comparison of seeds.

How the model does the tasks was not studied, and need not be how GPT-2 does them.

## Measured

On {size} prompts of each task (`scores.json`; a test repeats the measurement): the share of prompts where a
correct answer is the most likely of all tokens; the share where one is more likely than every wrong answer
of the task; and the mean probability of the correct answers minus that of the wrong ones.

| task | top-1 accuracy | correct above wrong answers | probability, correct minus wrong |
|---|---|---|---|
{table}
"""


def _filled(card: str, **values: object) -> str:
    """The card with its values, paragraphs rewrapped; tables, code and headings stay as they are."""
    paragraphs = card.format(**values).rstrip().split("\n\n")
    fixed = ("    ", "|", "#")
    wrapped = (
        p if p.startswith(fixed) else textwrap.fill(p, 110, break_on_hyphens=False) for p in paragraphs
    )
    return "\n\n".join(wrapped) + "\n"


def induction_card(recipe: Mapping[str, Any], scores: Mapping[str, Any]) -> str:
    """The card of `induction-2l`, from everything its weights depend on and what was measured."""
    previous, matching = scores["previous_token"], scores["prefix_matching"]
    names = len(word_list("names"))
    return _filled(
        INDUCTION,
        **recipe,
        **{key: scores[key] for key in ("accuracy", "logprob", "logprob_unrepeated")},
        head_width=recipe["width"] // recipe["heads"],
        half=recipe["positions"] // 2,
        vocabulary=names + 2,
        uniform=-math.log(names),
        table="\n".join(f"| {head} | {previous[head]:.3f} | {matching[head]:.3f} |" for head in previous),
        choice=_CHOICE.format(what="size of the penalty and the steps in which it acts"),
    )


def ioi_card(recipe: Mapping[str, Any], scores: Mapping[str, Any]) -> str:
    """The card of `ioi-4l`, from everything its weights depend on and what was measured."""
    return _filled(
        IOI,
        **recipe,
        **{name: len(word_list(name)) for name in WORD_LISTS},
        head_width=recipe["width"] // recipe["heads"],
        vocabulary=len(vocabulary()) + 2,
        size=scores["prompts"],
        table="\n".join(
            f"| {name} | {score['accuracy']:.2%} | {score['logit_diff']:.2f} | {score['least']:.2f} |"
            for name, score in scores["templates"].items()
        ),
        unrepeated="\n".join(
            f"| {name} | {score['either']:.3f} | {score['balance']:.3f} | {score['third']:.4f} |"
            for name, score in scores["unrepeated"].items()
        ),
        choice=_CHOICE.format(
            what="learning rate, the scale of the initial weights, the penalty and the schedule of names"
        ),
    )


def tasks_card(recipe: Mapping[str, Any], scores: Mapping[str, Any], vocabulary: int, block: int) -> str:
    """The card of `tasks-4l`, from everything its weights depend on and what was measured."""
    return _filled(
        TASKS,
        **recipe,
        head_width=recipe["width"] // recipe["heads"],
        vocabulary=vocabulary,
        block=block,
        size=scores["prompts"],
        table="\n".join(
            f"| {name} | {each['accuracy']:.2%} | "
            + (f"{each['preferred']:.2%} | {each['difference']:.3f} |" if "preferred" in each else "| |")
            for name, each in scores["tasks"].items()
        ),
    )
