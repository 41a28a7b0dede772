"""Datasets of prompts that are written out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

from nncirc.circuits.annotations import Accepts
from nncirc.circuits.arguments import public
from nncirc.circuits.errors import DataError
from nncirc.circuits.words import counted
from nncirc.engine.data.counts import MOST_PROMPTS, check_count
from nncirc.engine.data.encoding import require_offsets
from nncirc.engine.data.examples import NEXT, Dataset, Example, Next, Tokenizer, Value
from nncirc.engine.data.slots import render
from nncirc.engine.data.targets import (
    Given,
    Ids,
    Texts,
    TokenIds,
    answer_after,
    answered,
    asked_as,
    by_target,
    check_forced,
    check_known,
    forced,
    ids_known,
    target_after,
    target_notes,
    texts_of,
    token_ids,
    within,
)
from nncirc.engine.data.template import describe_tokenizer
from nncirc.engine.data.tokens import Frame, check_open_end, frame_of

# A number in place of a text is refused with what it is called by: ids of tokens have names of their own.
_Answer: TypeAlias = Annotated[
    str | Sequence[Texts] | Next | None, Accepts(str | int | Sequence[Texts | Ids] | Next | None)
]
_Foil: TypeAlias = Annotated[str | Sequence[Texts] | None, Accepts(str | int | Sequence[Texts | Ids] | None)]


@public
def prompt_dataset(
    tokenizer: Tokenizer,
    *,
    clean: str | Sequence[str],
    corrupt: str | Sequence[str] | None = None,
    answer: _Answer = None,
    foil: _Foil = None,
    answer_ids: int | Sequence[Ids] | None = None,
    foil_ids: int | Sequence[Ids] | None = None,
    teacher_forced: bool = False,
) -> Dataset:
    """Prompts as they are written, alone or in pairs.

    Args:
        tokenizer: a fast tokenizer.
        clean: the prompts.
        corrupt: the corrupted version of each.
        answer: the answer to each, or one for all; exactly one token, with its leading space, or a list of
            such of which each is right: `[[" is", " was"]]` for all prompts. Or NEXT.
        foil: the wrong answer to each, or one for all.
        answer_ids: in place of `answer`, the id of the token, or a list of ids of which each is right; one
            list in the list is for all prompts. With `teacher_forced` a list is one answer.
        foil_ids: likewise in place of `foil`.
        teacher_forced: answers may be several tokens, as `template_dataset` says.

    Raises:
        DataError: C303 to C306, C311, C313, C318, C319, C340, C343, C344, C348.
    """
    prompts = _texts("clean", clean)
    count = len(prompts)
    if not count:
        raise DataError("C318", "there are no prompts", hint="give at least one", about="clean")
    columns: dict[str, list[Given]] = {"clean": list(prompts)}
    made: dict[str, Any] = {"using": "prompts", "clean": prompts}
    targets = {"answer": answer, "foil": foil, "answer_ids": answer_ids, "foil_ids": foil_ids}
    for what, given in {"corrupt": corrupt, **targets}.items():
        if given is None or isinstance(given, Next):
            continue
        texts, single = _column(what, given)
        if single and what != "corrupt":
            texts *= count
        if len(texts) != count:
            each = what.removesuffix("_ids")
            thing = "text" if each == what else each
            raise DataError(
                "C318",
                f"{what} has {counted(len(texts), thing)} for {counted(count, 'clean prompt')}",
                hint="give every prompt its corrupted version"
                if what == "corrupt"
                else f"give every prompt its {each}, or one {thing} for all",
                about=what,
            )
        columns[what] = texts
        made[what] = [list(each.ids) if isinstance(each, TokenIds) else each for each in texts]
    made |= {"answer": NEXT.value} if answer is NEXT else {}
    return written_dataset(
        tokenizer,
        columns,
        made,
        where=lambda i: f"prompt {i + 1}",
        answer_next=answer is NEXT,
        teacher_forced=teacher_forced,
        kept={},
    )


def _column(what: str, given: str | int | Sequence[Texts | Ids]) -> tuple[list[Given], bool]:
    """Texts or ids, of answers and foils also sets, and whether it is one that may be for all prompts."""
    targets: list[Any] = [given] if isinstance(given, str | int) else list(given)
    single = len(targets) == 1 and not (isinstance(given, list | tuple) and isinstance(targets[0], str | int))
    if what.endswith("_ids"):
        return [token_ids(what, target) for target in targets], single
    return [
        _texts(what, target)
        if isinstance(target, list | tuple) and what != "corrupt"
        else _text(what, target)
        for target in targets
    ], single


def _texts(what: str, given: Texts) -> list[str]:
    return [_text(what, text) for text in texts_of(given)]


def _text(what: str, given: object) -> str:
    if not isinstance(given, str):
        raise DataError(
            "C311",
            f"{what} must be text, got {given!r} ({type(given).__name__})",
            hint=f"for token ids write {what}_ids"
            if isinstance(given, int) and what in ("answer", "foil")
            else "put it in quotes",
            about=what,
        )
    return given


def written_dataset(
    tokenizer: Tokenizer,
    given: Mapping[str, Sequence[Given]],
    made: dict[str, Any],
    *,
    where: Callable[[int], str],
    answer_next: bool,
    teacher_forced: bool,
    kept: Mapping[str, Sequence[str]],
) -> Dataset:
    """Prompts by column, and answers and foils as text or as ids.

    Args:
        tokenizer: a fast tokenizer.
        given: "clean", and as far as there are any "corrupt", "answer" or "answer_ids", "foil" or "foil_ids".
        made: how they came about.
        where: how messages call a prompt, by its index.
        answer_next: whether the answer is the next token.
        teacher_forced: whether answers are all their tokens, one after another.
        kept: further columns.
    """
    require_offsets(tokenizer)
    check_count(len(given["clean"]), MOST_PROMPTS, "prompts", about="size")
    frame = frame_of(tokenizer)
    columns = by_target(given, answer_next=answer_next)
    known = ids_known(tokenizer, columns)
    if teacher_forced:
        check_forced(NEXT if answer_next else columns.get("answer"), columns.get("foil"))
    if "answer" in columns:
        check_open_end(tokenizer, frame)
    examples: list[Example] = []
    counterparts: list[Example] = []
    for i in range(len(columns["clean"])):
        row = {what: texts[i] for what, texts in columns.items()}
        values: dict[str, Value] = {name: texts[i] for name, texts in kept.items()}
        with within(where(i)):
            for what, target in row.items():
                check_known(target, known, what=what)
            clean, corrupt = _pair(tokenizer, frame, row, values, teacher_forced=teacher_forced)
        examples.append(clean)
        counterparts += [corrupt] if corrupt else []
    made = {
        **made,
        **({"teacher_forced": True} if teacher_forced else {}),
        "tokenizer": describe_tokenizer(tokenizer),
    }
    answers: Literal["token", "next", "forced"] | None = (
        "forced" if teacher_forced else "next" if answer_next else "token" if "answer" in columns else None
    )
    paired = tuple(counterparts) if "corrupt" in columns else None
    first: dict[str, Given] = {what: columns[what][0] for what in ("answer", "foil") if what in columns}
    notes = target_notes(examples[0].text, first)
    return Dataset(tuple(examples), answers, paired, made, tuple(notes), tokenizer=tokenizer)


def _pair(
    tokenizer: Tokenizer,
    frame: Frame,
    row: Mapping[str, Given],
    values: dict[str, Value],
    *,
    teacher_forced: bool,
) -> tuple[Example, Example | None]:
    def example(text: str) -> Example:
        one = render(tokenizer, frame, (text,) if text else (), lambda _: "")
        return Example(text, one.tokens, {}, None, None, values)

    text = str(row["clean"])
    clean = example(text)
    if teacher_forced:
        clean = forced(clean, answer_after(tokenizer, text, row["answer"]))
    else:
        ids = {
            what: target_after(tokenizer, text, row[what], what=what)
            for what in ("answer", "foil")
            if what in row
        }
        clean = answered(tokenizer, clean, ids)
    return clean, asked_as(example(str(row["corrupt"])), clean) if "corrupt" in row else None
