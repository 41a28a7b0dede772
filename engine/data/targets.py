"""Answers and foils: one token, a set of tokens of which each is as right or wrong, or one after another."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace as with_fields
from typing import TypeAlias

from nncirc.circuits.arguments import public
from nncirc.circuits.errors import DataError
from nncirc.circuits.words import counted, visible
from nncirc.engine.data.counts import MOST_TARGETS, check_count, repeated
from nncirc.engine.data.encoding import require_offsets
from nncirc.engine.data.examples import Dataset, Example, Next, Target, Tokenizer, Tokens, tokens_of
from nncirc.engine.data.labels import show_tokens
from nncirc.engine.data.tokens import check_open_end, frame_of, joined_note, one_token_each, tokens_after

Texts: TypeAlias = str | Sequence[str]
"""One text, or several that make up a set."""

Ids: TypeAlias = int | Sequence[int]
"""One token id, or several that make up a set; of an answer that is `teacher_forced`, one after another."""


@dataclass(frozen=True, slots=True)
class TokenIds:
    """An answer or a foil that is given as token ids: one, or several."""

    ids: Tokens


Given: TypeAlias = Texts | TokenIds


def texts_of(target: Texts) -> tuple[str, ...]:
    """The texts of an answer or a foil."""
    return (target,) if isinstance(target, str) else tuple(target)


def token_ids(what: str, given: object) -> TokenIds:
    """Token ids, if `answer_ids` or `foil_ids` are such: whole numbers from 0.

    Raises:
        DataError: C344, something else; C348, too many.
    """
    ids = tuple(given) if isinstance(given, Sequence) and not isinstance(given, str | bytes) else (given,)
    check_count(len(ids), MOST_TARGETS, f"ids in {what}", about=what)
    for token in ids:
        if isinstance(token, bool) or not isinstance(token, int) or token < 0:
            raise DataError(
                "C344",
                f"{what} must be whole numbers from 0; found {visible(repr(token), 40)}",
                hint=f"for text write {what.removesuffix('_ids')}" if isinstance(token, str) else None,
                about=what,
            )
    return TokenIds(ids)


def by_target(
    columns: Mapping[str, Sequence[Given] | None], *, answer_next: bool = False
) -> dict[str, Sequence[Given]]:
    """The same columns, with answers and foils that are ids under "answer" and "foil" like those of text.

    Raises:
        DataError: C304, there are foils and no answers; C344, there are both texts and ids.
    """
    found: dict[str, Sequence[Given]] = {}
    for column, given in columns.items():
        what = column.removesuffix("_ids")
        if given is not None and (what in found or (what == "answer" and answer_next)):
            raise DataError(
                "C344", f"both {what} and {column} are given", hint="remove one of them", about=column
            )
        if given is not None:
            found[what] = given
    check_compared(found)
    return found


def check_compared(targets: Collection[str]) -> None:
    """Refuse foils without answers.

    Raises:
        DataError: C304.
    """
    if "foil" in targets and "answer" not in targets:
        raise DataError(
            "C304",
            "a foil needs an answer to be compared with",
            hint="add answer = ..., or remove the foil",
            about="foil",
        )


def ids_known(tokenizer: Tokenizer, columns: Mapping[str, Sequence[Given]]) -> frozenset[int]:
    """The ids that a tokenizer has, if any answer or foil is given as ids; otherwise none."""
    given = any(isinstance(each, TokenIds) for sets in columns.values() for each in sets)
    return frozenset(tokenizer.get_vocab().values() if given else ())


def check_known(given: Given, known: frozenset[int], *, what: str) -> None:
    """Refuse token ids that the tokenizer does not have.

    Raises:
        DataError: C344.
    """
    missing = [token for token in given.ids if token not in known] if isinstance(given, TokenIds) else []
    if missing:
        raise DataError(
            "C344",
            f"{what}_ids has {missing[0]}, which is not in this tokenizer's vocabulary (0 to {max(known)})",
            hint="use token ids of the model's own tokenizer",
            about=f"{what}_ids",
        )


def target_of(tokenizer: Tokenizer, tokens: Sequence[int], *, what: str) -> Target:
    """The tokens of an answer or a foil as an example keeps them.

    Raises:
        DataError: C340, there are none, or one stands there twice; C348, there are too many.
    """
    check_count(len(tokens), MOST_TARGETS, f"tokens in the {what}", about=what)
    if not tokens:
        raise DataError(
            "C340", f"the {what} has no tokens", hint="give at least one for every prompt", about=what
        )
    twice = repeated(tokens)
    if twice is not None:
        raise DataError(
            "C340",
            f"duplicate token {show_tokens(tokenizer, [twice])[0]} in the {what}",
            hint="remove one; it would count twice",
            about=what,
        )
    return tokens[0] if len(tokens) == 1 else tuple(sorted(tokens))


def target_after(tokenizer: Tokenizer, prompt: str, target: Given, *, what: str) -> Target:
    """The tokens that some texts are after a prompt, one token each, or that are given.

    Raises:
        DataError: C303, a text is not exactly one token; C340; C348.
    """
    if isinstance(target, TokenIds):
        return target_of(tokenizer, target.ids, what=what)
    texts = texts_of(target)
    check_count(len(texts), MOST_TARGETS, f"texts in the {what}", about=what)
    return target_of(tokenizer, one_token_each(tokenizer, prompt, texts, what=what), what=what)


def check_forced(answer: object, foil: object) -> None:
    """Refuse what answers of several tokens, one after another, cannot be.

    Raises:
        DataError: C343, there is no answer, or it is a set or the next token; or there is a foil.
    """
    if answer is None or isinstance(answer, Next):
        said = "there is no answer" if answer is None else "answer = next is already in the prompt"
        raise DataError(
            "C343",
            f"`teacher_forced` feeds the model the answer token by token, but {said}",
            hint="write the answer as text, or remove `teacher_forced`",
            about="answer",
        )
    if foil is not None:
        raise DataError(
            "C343",
            "`teacher_forced` does not support a foil",
            hint="remove the foil; a difference needs answers and foils of one token each",
            about="foil",
        )


def answer_after(tokenizer: Tokenizer, prompt: str, answer: Given) -> Tokens:
    """All tokens of an answer, one after another, after a prompt.

    Raises:
        DataError: C303, it is unknown; C343, it is a set; C344, there are no ids.
    """
    if not isinstance(answer, TokenIds):
        return tokens_after(tokenizer, prompt, one_text(answer))
    if not answer.ids:
        raise DataError("C344", "answer_ids is empty", hint="give at least one token id", about="answer_ids")
    return answer.ids


def one_text(answer: Texts) -> str:
    """The text of an answer that is not a set.

    Raises:
        DataError: C343.
    """
    texts = texts_of(answer)
    if len(texts) != 1:
        raise DataError(
            "C343",
            f"`teacher_forced` takes one answer, got a set of {len(texts)}",
            hint="write one answer, or remove `teacher_forced` if each is one token",
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


def answered(tokenizer: Tokenizer, example: Example, targets: Mapping[str, Target]) -> Example:
    """The same prompt with its answer and its foil.

    Raises:
        DataError: C304, the foil is an answer: it would be right and wrong at once.
    """
    answer, foil = targets.get("answer"), targets.get("foil")
    both = [token for token in tokens_of(answer) if token in tokens_of(foil)]
    if both:
        raise DataError(
            "C304",
            f"answer and foil are the same token, {show_tokens(tokenizer, both[:1])[0]}",
            hint="use another foil, or the difference is always 0; slots declared on one line always differ",
            about="foil",
        )
    return with_fields(example, answer=answer, foil=foil)


def target_notes(prompt: str, targets: Mapping[str, Given]) -> list[str]:
    """What is worth a look about the answers and foils of the first prompt."""
    return [
        note
        for what, given in targets.items()
        for text in (() if isinstance(given, TokenIds) else texts_of(given))
        for note in joined_note(prompt, text, what=what)
    ]


@public
def with_answers(
    dataset: Dataset,
    answers: Sequence[Texts] | None = None,
    foils: Sequence[Texts] | None = None,
    *,
    answer_ids: Sequence[Ids] | None = None,
    foil_ids: Sequence[Ids] | None = None,
) -> Dataset:
    """The same prompts with answers, and foils, of their own: what a task computes from each prompt.

    Args:
        dataset: the prompts, of text; their corrupted versions get the same answers.
        answers: for every prompt the texts that are right, each one token behind it.
        foils: likewise the texts that are wrong.
        answer_ids: in place of `answers`, for every prompt the ids of the tokens that are right.
        foil_ids: likewise in place of `foils`.

    Raises:
        DataError: C303, a text is not one token; C304, one is both right and wrong; C318, there are not as
            many as prompts; C319, nothing can follow a prompt; C340, a set is empty or has a token twice;
            C344, ids that cannot be used; C348, a set is too large.
    """
    tokenizer = dataset.tokenizer
    require_offsets(tokenizer)
    check_open_end(tokenizer, frame_of(tokenizer))
    ids = {
        what: None if sets is None else [token_ids(what, each) for each in sets]
        for what, sets in (("answer_ids", answer_ids), ("foil_ids", foil_ids))
    }
    given = by_target({"answer": answers, "foil": foils, **ids})
    if "answer" not in given:
        raise DataError("C318", "there are no answers", hint="give every prompt its answer", about="answer")
    known = ids_known(tokenizer, given)
    for what, sets in given.items():
        if len(sets) != len(dataset.examples):
            raise DataError(
                "C318",
                f"{what} has {counted(len(sets), 'item')} for {counted(len(dataset.examples), 'prompt')}",
                hint=f"give every prompt its {what}",
                about=what,
            )

    examples: list[Example] = []
    for index, example in enumerate(dataset.examples):
        plain = with_fields(example, tokens=example.tokens[: example.end + 1], forced=0)
        with within(f"prompt {index + 1}"):
            for what, sets in given.items():
                check_known(sets[index], known, what=what)
            found = {
                what: target_after(tokenizer, example.text, sets[index], what=what)
                for what, sets in given.items()
            }
            examples.append(answered(tokenizer, plain, found))
    targets = [(example.answer, example.foil) for example in examples]
    return with_fields(
        dataset,
        examples=tuple(examples),
        answers="token",
        counterparts=dataset.counterparts and tuple(map(asked_as, dataset.counterparts, examples)),
        made={**dataset.made, "targets_sha256": hashlib.sha256(repr(targets).encode()).hexdigest()},
    )


@contextmanager
def within(place: str) -> Iterator[None]:
    """What is raised says which prompt it is about."""
    try:
        yield
    except DataError as error:
        said = f"{place}: {error.message}"
        raise DataError(error.code, said, hint=error.hint, about=error.about) from None
