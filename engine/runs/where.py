"""Where the positions of a graph are in prompts: each token of a prompt at exactly one of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from nncirc.circuits.errors import DataError
from nncirc.circuits.names import OTHER, Position
from nncirc.engine.data.examples import Example
from nncirc.engine.data.positions import resolve


def whereabouts(
    examples: Sequence[Example], positions: Sequence[str], *, device: torch.device, dtype: torch.dtype
) -> Float[Tensor, "position batch token"]:
    """1 where a prompt's token is at a position, 0 elsewhere; the prompts have one length.

    Args:
        examples: the prompts.
        positions: slots (`S`, `S.2`), `start`, `end`, numbers of tokens counted from 0, and `other`: all
            tokens that none of them names.
        device: of the result.
        dtype: of the result.

    Raises:
        DataError: C308, a prompt has no such position; C346, a token is at two of them, or at none.
    """
    at = torch.zeros(len(positions), len(examples), len(examples[0].tokens), dtype=dtype)
    for row, example in enumerate(examples):
        taken: dict[int, int] = {}
        for index, name in enumerate(positions):
            for token in _tokens(example, name):
                if token in taken:
                    raise DataError(
                        "C346",
                        f"token {token} of {example.text!r} is both {positions[taken[token]]} and {name}",
                        hint="positions of a graph do not overlap; end is the last token, S every S",
                    )
                taken[token] = index
        rest = [token for token in range(len(example.tokens)) if token not in taken]
        if OTHER in positions:
            taken.update(dict.fromkeys(rest, list(positions).index(OTHER)))
        elif rest:
            raise DataError(
                "C346",
                f"token {rest[0]} of {example.text!r} is at none of {', '.join(positions)}",
                hint=f"the graph has {len(positions)} tokens, and the prompt {len(example.tokens)}"
                if all(name.isdecimal() for name in positions)
                else "add other: all tokens that are not named",
            )
        for token, index in taken.items():
            at[index, row, token] = 1
    return at.to(device)


def _tokens(example: Example, name: str) -> tuple[int, ...]:
    if name == OTHER:
        return ()
    if name.isdecimal():
        if int(name) >= len(example.tokens):
            raise DataError(
                "C308",
                f"there is no token {name} in {example.text!r}, which has {len(example.tokens)} tokens",
                hint="tokens are counted from 0; a graph by tokens fits prompts of its own length",
            )
        return (int(name),)
    return resolve(example, *Position.parse(name))
