"""Prompts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from nncirc.dsl.check.program import Choices, Declaration, NamedList, NextToken, RandomTokens, Template
from nncirc.engine.blocks.block import Block
from nncirc.engine.data.examples import NEXT, Dataset
from nncirc.engine.data.exhaustive import all_inputs
from nncirc.engine.data.prompt_files import file_dataset
from nncirc.engine.data.prompts import prompt_dataset
from nncirc.engine.data.sources import random_tokens
from nncirc.engine.data.tasks import task_dataset
from nncirc.engine.data.template import template_dataset, token_dataset
from nncirc.engine.program.build import Builder
from nncirc.engine.runs.batches import check_fits


def _fitting(
    make: Callable[[Any, Declaration], Dataset], builder: Builder, declaration: Declaration
) -> Dataset:
    """Prompts by a model's tokenizer, which fit into its context."""
    model = builder.model_of(declaration)
    dataset = make(model.tokenizer, declaration)
    check_fits(model, dataset)
    return dataset


def _template(tokenizer: Any, declaration: Declaration) -> Dataset:
    values: Any = declaration.values
    groups: dict[int, list[str]] = {}
    sources: dict[int, Any] = {}
    for slot in declaration.slots.values():
        groups.setdefault(slot.group, []).append(slot.name)
        match slot.generator:
            case Choices(items):
                sources[slot.group] = items
            case NamedList(name):
                sources[slot.group] = name
            case RandomTokens(length):
                sources[slot.group] = random_tokens(length)
    return template_dataset(
        tokenizer,
        prompt=[prompt.text for prompt in values["prompt"]],
        slots={tuple(names): sources[group] for group, names in groups.items()},
        size=values["size"],
        seed=values["seed"],
        answer=_answer(values["answer"]),
        foil=_answer(values["foil"]),
        teacher_forced=values["teacher_forced"],
    )


def _answer(value: Any) -> Any:
    match value:
        case NextToken():
            return NEXT
        case Template(text):
            return text
        case tuple():
            return [each.text if isinstance(each, Template) else each for each in value]
        case _:
            return value


def _prompts(tokenizer: Any, declaration: Declaration) -> Dataset:
    values: Any = declaration.values
    return prompt_dataset(
        tokenizer,
        clean=_answer(values["clean"]),
        corrupt=_answer(values["corrupt"]),
        answer=_one_or_all(_answer(values["answer"])),
        foil=_one_or_all(_answer(values["foil"])),
        answer_ids=_one_or_all(_answer(values["answer_ids"])),
        foil_ids=_one_or_all(_answer(values["foil_ids"])),
        teacher_forced=values["teacher_forced"],
    )


def _one_or_all(value: Any) -> Any:
    """A single answer, or a single set of answers, is that of every prompt."""
    alone = isinstance(value, list) and len(value) == 1 and isinstance(value[0], str | int)
    return value[0] if alone else value


def _file(tokenizer: Any, declaration: Declaration) -> Dataset:
    values: Any = declaration.values
    # A column that the script does not name is used if it is there.
    named = {key: values[key] for key in ("clean", "corrupt", "answer", "foil", "answer_ids", "foil_ids")}
    optional = [key for key in ("corrupt", "answer", "foil") if key not in declaration.spans]
    for key in ("answer", "foil"):
        if f"{key}_ids" in declaration.spans or (values["teacher_forced"] and key == "foil"):
            named[key] = None if key in optional else named[key]  # not asked for, and of no use
    return file_dataset(
        tokenizer,
        values["path"],
        size=values["size"],
        optional=optional,
        teacher_forced=values["teacher_forced"],
        **named,
    )


def _given(make: Callable[..., Dataset], *keys: str) -> Callable[[Builder, Declaration], Dataset]:
    """Prompts by a function that is given these keys as they are."""
    return partial(
        _fitting, lambda tokenizer, block: make(tokenizer, **{key: block.values[key] for key in keys})
    )


BLOCKS = {
    ("dataset", "template"): Block(partial(_fitting, _template)),
    ("dataset", "prompts"): Block(partial(_fitting, _prompts)),
    ("dataset", "file"): Block(partial(_fitting, _file)),
    ("dataset", "tokens"): Block(_given(token_dataset, "size", "seed", "length", "copies")),
    ("dataset", "all_inputs"): Block(_given(all_inputs, "length", "counterparts", "seed")),
    ("dataset", "task"): Block(_given(task_dataset, "task", "size", "seed", "corrupt")),
}
