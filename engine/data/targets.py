"""Answers and foils: one token, a set of tokens of which each is as right or wrong, or one after another."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace as with_fields
from typing import TypeAlias

from nncirc.circuits.errors import DataError
from nncirc.engine.data.labels import show_tokens
from nncirc.engine.data.tokens import check_open_end, frame_of, joined_note, one_token
from nncirc.engine.data.types import Dataset, Example, Next, Target, Tokenizer, Tokens, tokens_of

Texts: TypeAlias = str | Sequence[str]
"""One text, or several that make up a set."""


def texts_of(target: Texts) -> tuple[str, ...]:
    """The texts of an answer or a foil."""
    return (target,) if isinstance(target, str) else tuple(target)


def target_of(tokenizer: Tokenizer, tokens: Sequence[int], *, what: str) -> Target:
    """The tokens of an answer or a foil as an example keeps them.

    Raises:
        DataError: C340, there are none, or one stands there twice.
    """
    if not tokens:
        raise DataError(
            "C340", f"the {what} has no tokens", hint="give at least one for every prompt", about=what
        )
    twice = [token for i, token in enumerate(tokens) if token in tokens[:i]]
    if twice:
        raise DataError(
            "C340",
            f"the token {show_tokens(tokenizer, twice[:1])[0]} stands twice in the {what}",
            hint="it would count twice: write it once",
            about=what,
        )
    return tokens[0] if len(tokens) == 1 else tuple(sorted(tokens))


def text_target(tokenizer: Tokenizer, prompt: str, target: Texts, *, what: str) -> Target:
    """The tokens that some texts are after a prompt, one token each.

    Raises:
        DataError: C303, a text is not exactly one token; C340.
    """
    return target_of(
        tokenizer, [one_token(tokenizer, prompt, text, what=what) for text in texts_of(target)], what=what
    )


def check_forced(answer: object, foil: object) -> None:
    """Refuse what answers of several tokens, one after another, cannot be.

    Raises:
        DataError: C343, there is no answer, or it is a set or the next token; or there is a foil.
    """
    if answer is None or isinstance(answer, Next):
        said = "there is none" if answer is None else "it is the next token, which the prompt has"
        raise DataError(
            "C343",
            f"`teacher_forced` gives the model the answer token by token, and {said}",
            hint="write the answer as text, or leave `teacher_forced` out",
            about="answer",
        )
    if foil is not None:
        raise DataError(
            "C343",
            "behind the tokens of a right answer there is no wrong one: `teacher_forced` takes no foil",
            hint="leave the foil out; a difference needs answers and foils of one token each",
            about="foil",
        )


def one_text(answer: Texts) -> str:
    """The text of an answer that is not a set.

    Raises:
        DataError: C343.
    """
    texts = texts_of(answer)
    if len(texts) != 1:
        raise DataError(
            "C343",
            f"the model can get one answer token by token, and here are {len(texts)} of which each is right",
            hint="write one, or leave `teacher_forced` out where each is one token",
            about="answer",
        )
    return texts[0]


def forced(example: Example, answer: Tokens) -> Example:
    """The same prompt with an answer of several tokens: the model gets all but the last behind the prompt."""
    prompt = example.tokens[: example.end + 1]
    return with_fields(example, tokens=prompt + answer[:-1], answer=answer[-1], forced=len(answer) - 1)


def asked_as(example: Example, clean: Example) -> Example:
    """A corrupted prompt that is asked for the answer of the clean one, and gets the same tokens of it."""
    return with_fields(
        example,
        tokens=example.tokens[: example.end + 1] + clean.continuation,
        answer=clean.answer,
        foil=clean.foil,
        forced=clean.forced,
    )


def check_foil(tokenizer: Tokenizer, answer: Target, foil: Target) -> None:
    """Refuse a foil that is an answer: it would be right and wrong at once.

    Raises:
        DataError: C304.
    """
    both = [token for token in tokens_of(answer) if token in tokens_of(foil)]
    if both:
        raise DataError(
            "C304",
            f"answer and foil are the same token, {show_tokens(tokenizer, both[:1])[0]}",
            hint="their difference is 0 whatever the model does; take another (slots drawn together differ)",
            about="foil",
        )


def target_notes(prompt: str, targets: Mapping[str, Sequence[str]]) -> list[str]:
    """What is worth a look about the answers and foils of the first prompt."""
    return [
        note
        for what, texts in targets.items()
        for text in texts
        for note in joined_note(prompt, text, what=what)
    ]


def with_answers(dataset: Dataset, answers: Sequence[Texts], foils: Sequence[Texts] | None = None) -> Dataset:
    """The same prompts with answers, and foils, of their own: what a task computes from each prompt.

    Args:
        dataset: the prompts, of text; their corrupted versions get the same answers.
        answers: for every prompt the texts that are right, each one token behind it.
        foils: likewise the texts that are wrong.

    Raises:
        DataError: C303, a text is not one token; C304, one is both right and wrong; C318, there are not as
            many as prompts; C319, nothing can follow a prompt; C340, a set is empty or has a token twice.
    """
    tokenizer = dataset.tokenizer
    check_open_end(tokenizer, frame_of(tokenizer))
    given = {"answer": answers, **({} if foils is None else {"foil": foils})}
    for what, sets in given.items():
        if len(sets) != len(dataset.examples):
            raise DataError(
                "C318",
                f"there are {len(dataset.examples)} clean prompts and {len(sets)} of {what}",
                hint=f"give every prompt its {what}",
                about=what,
            )

    targets: list[tuple[Target, Target]] = []
    for index, example in enumerate(dataset.examples):
        try:
            found = {
                what: text_target(tokenizer, example.text, sets[index], what=what)
                for what, sets in given.items()
            }
            check_foil(tokenizer, found["answer"], found.get("foil"))
        except DataError as error:
            raise in_prompt(error, index) from None
        targets.append((found["answer"], found.get("foil")))

    def changed(examples: Sequence[Example]) -> tuple[Example, ...]:
        return tuple(
            with_fields(example, tokens=example.tokens[: example.end + 1], answer=answer, foil=foil, forced=0)
            for example, (answer, foil) in zip(examples, targets, strict=True)
        )

    return with_fields(
        dataset,
        examples=changed(dataset.examples),
        answers="token",
        counterparts=None if dataset.counterparts is None else changed(dataset.counterparts),
        made={**dataset.made, "targets_sha256": hashlib.sha256(repr(targets).encode()).hexdigest()},
    )


def in_prompt(error: DataError, number: int) -> DataError:
    """The same error, saying which prompt it is about (counted from 1)."""
    return DataError(error.code, f"prompt {number + 1}: {error.message}", hint=error.hint, about=error.about)
