"""Datasets from templates: slots drawn at random, every prompt different."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeAlias, cast

from nncirc.circuits.annotations import Accepts
from nncirc.circuits.arguments import public
from nncirc.circuits.data import word_list
from nncirc.circuits.errors import DataError
from nncirc.circuits.words import counted, did_you_mean
from nncirc.engine.data.counts import MOST_PROMPTS, MOST_TOKENS, check_count, positive, repeated
from nncirc.engine.data.encoding import quote, require_offsets
from nncirc.engine.data.examples import NEXT, Dataset, Example, Next, Template, Tokenizer, Value
from nncirc.engine.data.slots import (
    RESERVED,
    Rendered,
    answer_token,
    answer_tokens,
    filled_text,
    occurrences,
    parse_template,
    render,
    unparse,
)
from nncirc.engine.data.sources import (
    Group,
    RandomTokens,
    Source,
    Urn,
    check_kept,
    draw_values,
    left_out_note,
    make_groups,
    random_tokens,
    single_tokens,
)
from nncirc.engine.data.targets import (
    Texts,
    answered,
    check_compared,
    check_forced,
    forced,
    one_text,
    target_notes,
    target_of,
    texts_of,
    within,
)
from nncirc.engine.data.tokens import check_open_end, frame_of, plain_token_ids

# Of its keys a mapping is invariant, so the type checker is told less than is taken.
Slots: TypeAlias = Mapping[Annotated[Any, Accepts(str | tuple[str, ...])], Source]
"""A source by slot, or by several slots that are drawn together."""


@public
def template_dataset(
    tokenizer: Tokenizer,
    *,
    prompt: str | Sequence[str],
    slots: Slots | None = None,
    size: int,
    seed: int = 0,
    answer: Texts | Next | None = None,
    foil: Texts | None = None,
    teacher_forced: bool = False,
) -> Dataset:
    """Prompts from one or more phrasings, with slots drawn at random.

    Phrasings take turns. No prompt comes twice, every filling of a phrasing is equally likely, and the
    first n examples do not depend on the size. Slots that no phrasing mentions are drawn too, for
    corruptions to use. Words of a named list that are not one token in every place where the prompts,
    the answer or the foil use them are left out, and `made["left_out"]` says which.

    Args:
        tokenizer: a fast tokenizer.
        prompt: one or several templates: "When {S} and {IO} left, {S} called".
        slots: what fills them: `{("IO", "S"): "names", "place": ["store", "park"]}`. Slots that share a
            key are drawn without replacement within a prompt.
        size: how many prompts.
        seed: of the draws.
        answer: a template that is one token after every prompt (" {IO}"), several of which each is right, or
            NEXT.
        foil: the same for the wrong answer.
        teacher_forced: the answer may be several tokens, one after another. The model gets them behind the
            prompt, all but the last, in the corrupted run as well, and a metric of the answer reads each
            where it is predicted. One text, and no foil.

    Raises:
        DataError: C303 to C313, C319, C340, C343 and C348; each says what it found and what to do.
    """
    if teacher_forced:
        check_forced(answer, foil)
        one_text(cast("Texts", answer))
    check_count(positive("size", size), MOST_PROMPTS, "prompts", about="size")
    require_offsets(tokenizer)
    phrasings = _phrasings(prompt)
    targets = _targets(answer, foil)
    declared: dict[str | tuple[str, ...], Source] = dict(slots or {})
    _check_names(declared, phrasings, targets)

    frame = frame_of(tokenizer)
    if targets:
        check_open_end(tokenizer, frame)
    names = sorted({source for source in declared.values() if isinstance(source, str)})
    lists = {name: word_list(name) for name in names}
    blocks = any(isinstance(source, RandomTokens) for source in declared.values())
    ids = plain_token_ids(tokenizer) if blocks else ()
    groups = make_groups(declared, lists, ids)
    left_out: dict[str, list[str]] = {}
    notes: list[str] = []
    for name in names:
        asked = [template for templates in targets.values() for template in templates if not teacher_forced]
        kept = single_tokens(tokenizer, phrasings, asked, groups, name)
        left_out[name] = [word for word in lists[name] if word not in kept]
        check_kept(tokenizer, name, groups, kept, left_out[name])
        notes += left_out_note(name, left_out[name], len(lists[name]))
        lists[name] = kept
    groups = make_groups(declared, lists, ids)
    for group in groups:
        group.check()

    examples: list[Example] = []
    rendered: set[tuple[int, ...]] = set()
    for phrasing, values in _draws(phrasings, groups, size, seed):
        with within(f"prompt {len(examples) + 1}"):
            one = render(tokenizer, frame, phrasings[phrasing], lambda at: values[at.name])  # noqa: B023
            if one.tokens in rendered:  # two fillings can read the same: "{A}{B}" with a + bc and ab + c
                continue
            example = Example(one.text, one.tokens, one.spans, None, None, values, phrasing)
            if teacher_forced:
                (template,) = targets["answer"]
                example = forced(example, answer_tokens(tokenizer, template, values, one))
            else:
                example = _answered(tokenizer, example, targets, one)
        if not examples:
            texts = {
                what: [filled_text(template, values) or "" for template in templates]
                for what, templates in targets.items()
            }
            notes += target_notes(one.tail, texts)
        rendered.add(one.tokens)
        examples.append(example)
        if len(examples) == size:
            break
    if len(examples) < size:
        raise _exhausted(size, len(examples))
    return Dataset(
        tuple(examples),
        "forced" if teacher_forced else "next" if answer is NEXT else "token" if answer is not None else None,
        None,
        {
            "using": "template",
            "prompt": [unparse(phrasing) for phrasing in phrasings],
            "slots": [[list(group.names), _described(group)] for group in groups],
            "size": size,
            "seed": seed,
            "answer": answer.value if isinstance(answer, Next) else _written(answer),
            "foil": _written(foil),
            **({"teacher_forced": True} if teacher_forced else {}),
            "left_out": left_out,
            "tokenizer": describe_tokenizer(tokenizer),
        },
        tuple(notes),
        phrasings,
        tokenizer=tokenizer,
    )


@public
def token_dataset(
    tokenizer: Tokenizer,
    *,
    size: int,
    seed: int = 0,
    length: int,
    copies: int = 1,
    answer: Next | None = NEXT,
) -> Dataset:
    """Random tokens, repeated: `length` distinct tokens, `copies` times over.

    The copies are the slot `block` (`block.1`, `block.2`, ...). A second slot, `other`, is drawn beside it
    and shares no token with it, so that `block.1 -> other` makes prompts that no longer repeat.

    Raises:
        DataError: C309, the vocabulary is too small; C310, too few prompts; C312, an option; C348, prompts
            that are too long.
    """
    positive("length", length)
    positive("copies", copies)
    check_count(length * copies, MOST_TOKENS, "tokens in each prompt", about="copies")
    dataset = template_dataset(
        tokenizer,
        prompt="{block}" * copies,
        slots={("block", "other"): random_tokens(length)},
        size=size,
        seed=seed,
        answer=answer,
    )
    made = {**dataset.made, "using": "tokens", "length": length, "copies": copies}
    return dataclasses.replace(dataset, made=made)


def describe_tokenizer(tokenizer: Tokenizer) -> dict[str, Any]:
    """Class, vocabulary size and a checksum of the vocabulary: what tells two tokenizers apart."""
    vocabulary = tokenizer.get_vocab()
    content = "\n".join(sorted(f"{token} {word!r}" for word, token in vocabulary.items()))
    return {
        "class": type(tokenizer).__name__,
        "vocabulary": len(vocabulary),
        "sha256": hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest(),
    }


def _phrasings(prompt: str | Sequence[str]) -> tuple[Template, ...]:
    texts = [prompt] if isinstance(prompt, str) else list(prompt)
    if not texts:
        raise DataError("C311", "the template has no prompt", hint="give at least one", about="prompt")
    twice = repeated(texts)
    if twice is not None:
        raise DataError(
            "C311", f"duplicate phrasing {quote(twice)}", hint="remove one of them", about="prompt"
        )
    return tuple(parse_template(text) for text in texts)


def _targets(answer: Texts | Next | None, foil: Texts | None) -> dict[str, tuple[Template, ...]]:
    found = {
        what: tuple(parse_template(text) for text in texts_of(given))
        for what, given in {"answer": answer, "foil": foil}.items()
        if given is not None and not isinstance(given, Next)
    }
    check_compared(found)
    return found


def _written(target: Texts | None) -> str | list[str] | None:
    return target if target is None or isinstance(target, str) else list(target)


def _check_names(
    declared: Mapping[str | tuple[str, ...], Source],
    phrasings: Sequence[Template],
    targets: Mapping[str, Sequence[Template]],
) -> None:
    known: list[str] = []
    for key in declared:
        names = (key,) if isinstance(key, str) else key
        if not names:
            raise DataError("C311", "a word source must name the slots it fills", hint="add a slot's name")
        for name in names:
            if name in known:
                raise DataError(
                    "C311", f"duplicate slot {name}", hint="give each slot one source", about=name
                )
            if name in RESERVED:
                raise DataError(
                    "C311",
                    f"{name} is a position and cannot name a slot",
                    hint=f"use another name, such as {name}_word",
                    about=name,
                )
            known.append(name)
    places = [(f"the prompt {quote(unparse(one))}", one) for one in phrasings]
    places += [(f"the {what} {quote(unparse(one))}", one) for what, ones in targets.items() for one in ones]
    for where, template in places:
        for slot, _ in occurrences(template):
            if slot not in known:
                have = f"the slots are {', '.join(known)}" if known else "no slots are declared"
                raise DataError(
                    "C308",
                    f"{where} uses the undeclared slot {slot}; {have}",
                    hint=did_you_mean(slot, known, f"declare it: {slot} = [...]"),
                    about=slot,
                )


def _draws(
    phrasings: Sequence[Template], groups: Sequence[Group], size: int, seed: int
) -> Iterator[tuple[int, dict[str, Value]]]:
    """Phrasing and values of one prompt after the other, until every filling of every phrasing came once."""
    rng = random.Random(seed)
    used = [frozenset(slot for slot, _ in occurrences(phrasing)) for phrasing in phrasings]
    urns = [
        Urn(math.prod(group.ways(len(names.intersection(group.names))) for group in groups)) for names in used
    ]
    most = sum(urn.size for urn in urns)
    if most < size:
        raise _exhausted(size, most)
    while not all(urn.empty for urn in urns):
        for phrasing, urn in enumerate(urns):
            if not urn.empty:
                yield phrasing, draw_values(groups, used[phrasing], urn.draw(rng), rng)


def _exhausted(size: int, distinct: int) -> DataError:
    there = counted(distinct, "different prompt")
    return DataError(
        "C310",
        f"size = {size}, but this template has only {there}",
        hint=f"set size = {distinct} or less, or give the slots more words",
        about="size",
    )


def _answered(
    tokenizer: Tokenizer, example: Example, targets: Mapping[str, Sequence[Template]], prompt: Rendered
) -> Example:
    ids = {
        what: target_of(
            tokenizer,
            [answer_token(tokenizer, template, example.values, prompt, what=what) for template in templates],
            what=what,
        )
        for what, templates in targets.items()
    }
    return answered(tokenizer, example, ids)


def _described(group: Group) -> Any:
    if group.ids:
        return {"random_tokens": group.count}
    return {"list": group.listed} if group.listed else list(group.words)
