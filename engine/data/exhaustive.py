"""All inputs of one length: what a program with a small vocabulary computes can be looked at as a whole."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import product

from nncirc.circuits.arguments import public
from nncirc.circuits.errors import DataError
from nncirc.circuits.names import Position
from nncirc.engine.data.counts import MOST_TOKENS, check_count, in_words, positive
from nncirc.engine.data.encoding import decode
from nncirc.engine.data.examples import Dataset, Example, Tokenizer
from nncirc.engine.data.template import describe_tokenizer
from nncirc.engine.data.tokens import frame_of, plain_token_ids

MOST = 200_000
"""More prompts than this would take days, and are no small program's."""


@public
def all_inputs(tokenizer: Tokenizer, *, length: int, counterparts: int = 0, seed: int = 0) -> Dataset:
    """Every sequence of `length` tokens, without special tokens, in the order of their ids.

    Tokens are the slot `token`: `token` is every position but those of tokens that the tokenizer adds
    (BOS), `token.2` the second.

    Args:
        tokenizer: the model's.
        length: tokens of each input.
        counterparts: how many other inputs each is paired with; 0 for none. Each makes a prompt: with 3 every
            input stands there three times. They are drawn without replacement: with one less than there are
            inputs each is paired with every other.
        seed: of the draw.

    Raises:
        DataError: C310, fewer other inputs than counterparts; C312, an option; C348, too many prompts.
    """
    positive("length", length)
    if counterparts:
        positive("counterparts", counterparts)
    check_count(length, MOST_TOKENS, "tokens in each input", about="length")
    check_count(counterparts, MOST, "counterparts of each input", about="counterparts")
    ids = plain_token_ids(tokenizer)
    count = len(ids) ** length
    prompts = count * max(1, counterparts)
    if counterparts >= count:
        raise DataError(
            "C310",
            f"counterparts = {counterparts}, but each input has only {in_words(count - 1)} others",
            hint="use fewer counterparts, or longer inputs",
            about="counterparts",
        )
    if prompts > MOST:
        raise DataError(
            "C348",
            f"{len(ids)} tokens at length {length} give {in_words(count)} inputs "
            f"and {in_words(prompts)} prompts",
            hint=f"at most {MOST:,} can be run: use shorter inputs"
            + (", or fewer counterparts" if counterparts > 1 else ", or random inputs (using tokens)"),
            about="length",
        )
    frame = frame_of(tokenizer)

    def example(tokens: tuple[int, ...]) -> Example:
        start = len(frame.prefix)
        spans = {Position("token", i + 1): (start + i, start + i + 1) for i in range(length)}
        return Example(
            decode(tokenizer, tokens), (*frame.prefix, *tokens, *frame.suffix), spans, None, None, {}
        )

    examples = [example(tokens) for tokens in product(ids, repeat=length)]
    made = {
        "using": "all_inputs",
        "length": length,
        "counterparts": counterparts,
        "seed": seed,
        "tokenizer": describe_tokenizer(tokenizer),
    }
    if not counterparts:
        return Dataset(tuple(examples), None, None, made, tokenizer=tokenizer)
    pairs = [(i, other) for i in range(count) for other in _others(i, count, counterparts, seed)]
    clean, corrupt = (tuple(examples[i] for i in column) for column in zip(*pairs, strict=True))
    return Dataset(clean, None, corrupt, made, tokenizer=tokenizer)


def _others(index: int, count: int, wanted: int, seed: int) -> Iterator[int]:
    """Some of the numbers below `count` but one, each at most once."""
    draw = random.Random(f"{seed} {index}")
    for other in draw.sample(range(count - 1), wanted):
        yield other + (other >= index)
