"""Datasets."""

from __future__ import annotations

from nncirc.circuits.tasks import TASKS
from nncirc.dsl.blocks.entries import MODEL, SEED, SIZE, Implementation, Key
from nncirc.dsl.check.types import Boolean, Either, InputFile, Many, Number, Prompt, Text

TEACHER_FORCED = Key(
    Boolean(),
    "the answer may be several tokens: the model gets them one after another behind the prompt, in the "
    "corrupted run too, and `logprob`, `cross_entropy`, `prob` and `accuracy` are of all of them; no foil",
    default=False,
)

IDS = Many(Number(integer=True, low=0, several=True), single=True, distinct=False)

DATASETS = {
    "template": Implementation(
        "Prompts filled in from one or several phrasings; every phrasing is used equally often.",
        {
            "model": MODEL,
            "size": SIZE,
            "seed": SEED,
            "prompt": Key(
                Many(Prompt(), single=True), "the phrasings, slots in braces: `{S}`", required=True
            ),
            "answer": Key(
                Either(Prompt(several=True), ("next",)),
                "the right continuation, or several of which each is right; `next`: at each position the "
                "token that follows",
            ),
            "foil": Key(Prompt(several=True), "the wrong continuation that it is compared with, or several"),
            "teacher_forced": TEACHER_FORCED,
        },
        extra="slots",
    ),
    "prompts": Implementation(
        "Prompts written out, clean and corrupted in pairs.",
        {
            "model": MODEL,
            "clean": Key(Many(Text(), distinct=False), "the prompts", required=True),
            "corrupt": Key(
                Many(Text(), distinct=False), "for each its corrupted counterpart, of as many tokens"
            ),
            "answer": Key(
                Many(Text(several=True), single=True, distinct=False),
                "the right continuation, one for all or one for each; a list in the list is a set of which "
                'each is right: `[[" is", " was"]]` for all',
            ),
            "foil": Key(
                Many(Text(several=True), single=True, distinct=False),
                "the wrong continuation, or a set of them, one for all or one for each",
            ),
            "answer_ids": Key(
                IDS,
                "in place of `answer`, ids of tokens; a list in the list is a set, and with `teacher_forced` "
                "one answer",
            ),
            "foil_ids": Key(IDS, "in place of `foil`, ids of tokens"),
            "teacher_forced": TEACHER_FORCED,
        },
    ),
    "file": Implementation(
        "Prompts from a table with a line of column names (CSV), or an object a line (JSON lines).",
        {
            "path": Key(InputFile((".csv", ".jsonl")), "the file, relative to the script", required=True),
            "model": MODEL,
            "clean": Key(Text(), "column of the prompts", default="clean"),
            "corrupt": Key(Text(), "column of their counterparts", default="corrupt"),
            "answer": Key(
                Text(), "column of the right continuations; a JSON list is a set", default="answer"
            ),
            "foil": Key(Text(), "column of the wrong continuations", default="foil"),
            "answer_ids": Key(
                Text(),
                "in place of `answer`, the column of the tokens' ids (`correct_idx` in published tables); a "
                "JSON list is a set, and with `teacher_forced` one answer",
            ),
            "foil_ids": Key(Text(), "in place of `foil`, the column of the tokens' ids"),
            "teacher_forced": TEACHER_FORCED,
            "size": Key(
                Number(integer=True, low=1), "use the first so many rows; absent: all", unit="prompts"
            ),
        },
    ),
    "task": Implementation(
        "Prompts of a known task with answers and corrupted counterparts (`docs/tasks.md`); its slots are "
        "positions, and can be replaced.",
        {
            "task": Key(Text(choices=tuple(TASKS)), "which task", required=True),
            "model": MODEL,
            "size": SIZE,
            "seed": SEED,
            "corrupt": Key(Text(), "which of its corruptions `counterpart` is; absent: the task's first"),
        },
    ),
    "all_inputs": Implementation(
        "Every sequence of one length: for programs with a small vocabulary. Position `token` is every token "
        "but those that the tokenizer adds (BOS), `token.2` the second.",
        {
            "model": MODEL,
            "length": Key(
                Number(integer=True, low=1), "how long each input is", required=True, unit="tokens"
            ),
            "counterparts": Key(
                Number(integer=True, low=0),
                "with how many other inputs each is paired, drawn at random; 0: no corrupted prompts",
                default=0,
                unit="prompts",
            ),
            "seed": SEED,
        },
    ),
    "tokens": Implementation(
        "Random tokens, repeated: position `block.2` is the second copy, and the answer is the next token.",
        {
            "model": MODEL,
            "size": SIZE,
            "seed": SEED,
            "length": Key(
                Number(integer=True, low=1), "how long the random block is", required=True, unit="tokens"
            ),
            "copies": Key(Number(integer=True, low=1), "how often the block stands in a row", default=1),
        },
    ),
}
