"""Prompts."""

from __future__ import annotations

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


def _fitting(builder: Builder, declaration: Declaration, dataset: Dataset) -> Dataset:
    check_fits(builder.model_of(declaration), dataset)
    return dataset


def _template(builder: Builder, declaration: Declaration) -> Dataset:
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
    dataset = template_dataset(
        builder.model_of(declaration).tokenizer,
        prompt=[prompt.text for prompt in values["prompt"]],
        slots={tuple(names): sources[group] for group, names in groups.items()},
        size=values["size"],
        seed=values["seed"],
        answer=_answer(values["answer"]),
        foil=_answer(values["foil"]),
        teacher_forced=values["teacher_forced"],
    )
    return _fitting(builder, declaration, dataset)


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


def _prompts(builder: Builder, declaration: Declaration) -> Dataset:
    values: Any = declaration.values
    dataset = prompt_dataset(
        builder.model_of(declaration).tokenizer,
        clean=_answer(values["clean"]),
        corrupt=_answer(values["corrupt"]),
        answer=_one_or_all(_answer(values["answer"])),
        foil=_one_or_all(_answer(values["foil"])),
        answer_ids=_one_or_all(_answer(values["answer_ids"])),
        foil_ids=_one_or_all(_answer(values["foil_ids"])),
        teacher_forced=values["teacher_forced"],
    )
    return _fitting(builder, declaration, dataset)


def _one_or_all(value: Any) -> Any:
    """A single answer, or a single set of them, stands for every prompt."""
    alone = isinstance(value, list) and len(value) == 1 and isinstance(value[0], str | int)
    return value[0] if alone else value


def _file(builder: Builder, declaration: Declaration) -> Dataset:
    values: Any = declaration.values
    # A column that the script does not name is used if it is there.
    named = {key: values[key] for key in ("clean", "corrupt", "answer", "foil", "answer_ids", "foil_ids")}
    optional = [key for key in ("corrupt", "answer", "foil") if key not in declaration.spans]
    for key in ("answer", "foil"):
        if f"{key}_ids" in declaration.spans or (values["teacher_forced"] and key == "foil"):
            named[key] = None if key in optional else named[key]  # not asked for, and of no use
    dataset = file_dataset(
        builder.model_of(declaration).tokenizer,
        values["path"],
        size=values["size"],
        optional=optional,
        teacher_forced=values["teacher_forced"],
        **named,
    )
    return _fitting(builder, declaration, dataset)


def _tokens(builder: Builder, declaration: Declaration) -> Dataset:
    values: Any = declaration.values
    options = {key: values[key] for key in ("size", "seed", "length", "copies")}
    dataset = token_dataset(builder.model_of(declaration).tokenizer, **options)
    return _fitting(builder, declaration, dataset)


def _task(builder: Builder, declaration: Declaration) -> Dataset:
    values: Any = declaration.values
    options = {key: values[key] for key in ("task", "size", "seed", "corrupt")}
    return _fitting(builder, declaration, task_dataset(builder.model_of(declaration).tokenizer, **options))


def _all_inputs(builder: Builder, declaration: Declaration) -> Dataset:
    values: Any = declaration.values
    options = {key: values[key] for key in ("length", "counterparts", "seed")}
    return _fitting(builder, declaration, all_inputs(builder.model_of(declaration).tokenizer, **options))


BLOCKS = {
    ("dataset", "template"): Block(_template),
    ("dataset", "prompts"): Block(_prompts),
    ("dataset", "file"): Block(_file),
    ("dataset", "tokens"): Block(_tokens),
    ("dataset", "all_inputs"): Block(_all_inputs),
    ("dataset", "task"): Block(_task),
}
