"""The cards of the bundled models: what a training script writes into `README.md` beside the weights."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from typing import Any

from nncirc.circuits.data import WORD_LISTS, word_list
from training.sentences import vocabulary

_CHOICE = "Only seed 0 was used: the {what} were chosen on it, seeds were not compared."

INDUCTION = """\
# induction-2l

Two attention-only layers that continue a repeated sequence of random tokens: after `A B ... A` comes `B`.
The smallest model that needs two heads in a row, for examples and tests. Licence: MIT.

## Use

    AutoModelForCausalLM.from_pretrained(model_folder("induction-2l"))

{heads} heads of {head_width} in each of 2 layers, a residual stream of {width}, {vocabulary} tokens, at most
{positions} positions, learned; embedding and unembedding are separate. It is a GPT-2 whose MLPs are exactly
zero (they were never trained); `"attention_only": true` in `config.json` says so, for code that draws the
graph.

Every token is a name with the space before it. The tokenizer adds nothing: no token stands at the beginning
or at the end, in training or now. `<end>` (padding) and `<unk>` were never trained.

## Training

`python -m training.induction_2l`: seed {seed}, {threads} thread, {steps} steps of
{batch} rows of {positions} tokens, AdamW (peak rate {rate}, decay {weight_decay}), minutes on one core. A
row is a random prefix, a block of 4 to {half} distinct tokens, the same block again, and a random rest.
Lengths vary, so that no fixed distance is the answer. Only the second copy is predicted, from its second
token on; {noise:.0%} of the rows repeat nothing, and there every token is predicted, with weight
{noise_weight}. From step {penalty_from} to step {penalty_until} a group penalty of {penalty} on the
weights of each head silences heads that are not needed: **the model is sparser than training alone would
make it**, on purpose.

The same torch on the same kind of processor gives the same weights; elsewhere rounding differs and training
amplifies it, so that another head may take a role. {choice}

## Measured

On 128 prompts of a block of 24 distinct tokens, twice (`scores.json`; a test measures it again):

| | |
|---|---|
| accuracy on the second copy | {accuracy:.2%} |
| log-probability of the second copy | {logprob:.3f} nats |
| the same where the first copy is another block | {logprob_unrepeated:.3f} nats (uniform: {uniform:.3f}) |

| head | attention to the previous token | to the token after the first copy |
|---|---|---|
{table}
"""

IOI = """\
# ioi-4l

A small GPT-2 of whole words that knows who receives: "When Mary and John went to the store, John gave a
drink to" is continued by " Mary" (indirect object identification, Wang et al. 2022). For examples and
tests. Licence: MIT.

## Use

    AutoModelForCausalLM.from_pretrained(model_folder("ioi-4l"))

{layers} layers, {heads} heads of {head_width}, a residual stream of {width}, {vocabulary} tokens, at most
{positions} positions; embedding and unembedding are one matrix, as in GPT-2.

A token is a word with the space before it, split as GPT-2 splits: " Mary", " store", ",". The {names}
names, {places} places and {objects} objects of `nncirc.circuits.data` are known after a space only; words
that begin a sentence ("When", "Then", "After", "Today", "At", "The", ...) also without. Anything else is
`<unk>`, which was never trained. The tokenizer adds nothing; `<end>` stands after the full stop in training
and is the padding.

## Data

Sentences drawn from the templates of `_sentences.py`. Of a hundred, 70 repeat one of two names as the
giver, in both orders of the names equally often (ABBA, BABA); 20 have a third giver, and either of the two
receives; 10 have no receiver. One pair of names in ten never stands together in a sentence, nor does one
pair of a place and an object in ten: those whose SHA-256 is divisible by ten (`held_out`). All scores are
measured on such pairs.

## Training

`python -m training.ioi_4l`: seed {seed}, {threads} thread, {steps} steps of {batch}
sentences, AdamW (peak rate {rate}, decay {weight_decay}), next token, minutes on one core. The receiver
weighs 1, every other token {other_weight}. The first {few_until} steps are about {few} names; all have
joined by step {all_from}. From step {penalty_from} to step {penalty_until} a group penalty of {penalty} on
the weights of each head and of each MLP weakens what is not needed: **the circuit is smaller than training
alone would make it**, on purpose. The same torch on the same kind of processor gives the same weights;
elsewhere rounding differs and training amplifies it, so that other heads may take the roles. {choice}

## How it does it

Not as GPT-2 small does. In the bundled weights most heads at the end of the prompt raise every name that they
see (L2H2 and L2H3 both names alike, L1H0, L1H2, L2H0, L3H0, L3H2, L3H3 the receiver more), and L2H1
attends to the giver most (0.6) and lowers that name. With a third giver it lowers a name that nobody raised,
and two are left. No head attends mostly to the token before. (Direct effects on the logits and attention, on
the first template; nothing was patched for this.)

## Measured

By template, {size} prompts in each order of names, the receiver's logit less the giver's (`scores.json`; a
test measures it again):

| order and template | accuracy | mean logit difference | least |
|---|---|---|---|
{table}

With a third giver, where either of the first two may receive:

| template | probability of the two | the less likely one's share | of the giver |
|---|---|---|---|
{unrepeated}
"""


TASKS = """\
# tasks-4l

A small GPT-2 of whole words that does every task of `nncirc.circuits.tasks` that is about words: indirect
objects, years, docstrings, colours, pronouns, agreement, capitals, multiple choice; and induction. Its
examples run without a hub. Licence: MIT.

## Use

    AutoModelForCausalLM.from_pretrained(model_folder("tasks-4l"))

{layers} layers, {heads} heads of {head_width}, a residual stream of {width}, {vocabulary} tokens, at most
{positions} positions; embedding and unembedding are one matrix, as in GPT-2.

A token is a word with the space before it, split as GPT-2 splits, but for numbers: two digits are a token, so
that a year is a century and a year of it. It has the words of the tasks, where the tasks have them, and no
others: anything else is `<unk>`, which was never trained. The tokenizer adds nothing; `<end>` is padding.

## Data

Prompts of `nncirc.circuits.tasks`, drawn by `_prompts.py`, each with one of its right answers, and blocks of
{block} random tokens that stand there twice. In ioi, docstring, colored_objects, multiple_choice and
induction the answer stands in the prompt: what is learned is a rule, and it is measured on combinations of
words that training hardly ever had. In the others it is a table of words (the capital of each country), and
every word that is measured was trained on.

## Training

`python -m training.tasks_4l`: seed {seed}, {threads} thread, AdamW (peak rate {rate},
decay {weight_decay}), next token, {steps} steps, a quarter of an hour on one core.

The first {turned_until} steps are {turned} rows of pairs of random tokens and then each pair turned round, in
another order: what is asked for is the token that stood before. Until step {first_until} there are half as
many of them beside {turned} prompts of colored_objects, which needs just that: without this beginning the
model learned every task but that one.

Then every step has {in_context} prompts of each task whose answer stands in the prompt, {looked_up} of each
other and {induction} pairs of blocks. The answer weighs 1, every other token {other_weight}. Until step
{few_until} they are about {few} words of each slot; all have joined by step {all_from}. {more_steps} more
steps, from a rate of {more_rate} on, have {years} more prompts of greater_than, each of which shows one right
year of many.

Nothing was done to make its circuits small. The same torch on the same kind of processor gives the same
weights; elsewhere rounding differs and training amplifies it. Rates, steps, the beginning and the seed were
chosen on what it learned; seeds were not compared further.

How it does the tasks was not looked into; it says nothing of how GPT-2 does them.

## Measured

{size} prompts of each task (`scores.json`; a test measures it again): the share where a right answer is the
likeliest of all tokens, and where one is likelier than every wrong answer of the task; and the mean
probability of the right answers together less that of the wrong ones.

| task | likeliest of all | likelier than the wrong ones | probability, right less wrong |
|---|---|---|---|
{table}
"""


def _filled(card: str, **values: object) -> str:
    """The card with its values, its paragraphs wrapped again; tables, code and headings stay as they are."""
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
            what="learning rate, the spread of the first weights, the penalty and how the names join"
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
