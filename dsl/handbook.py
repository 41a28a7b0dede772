"""The reference of the language, `docs/language.md`, written from `dsl/blocks/`.

python -m nncirc.dsl.handbook docs/language.md
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from nncirc.circuits.names import Position
from nncirc.dsl.blocks import FUNCTIONS, KINDS, Key
from nncirc.dsl.check.program import Value
from nncirc.dsl.check.types import describe
from nncirc.dsl.codes import SCRIPT

_INTRODUCTION = """\
# The .circ language

This file is generated from `dsl/blocks/` by `python -m nncirc.dsl.handbook docs/language.md`.

A script declares the parts of an experiment. Statements may be in any order; references between them must
not be circular. A newline ends a statement, `#` begins a comment.

| statement | meaning |
|---|---|
| `tau = 0.05` | a constant: a number, string, boolean, or a list of them; `--set tau=0.1` overrides it |
| `kind name using implementation { ... }` | a block: declares `name`, with one `key = value` per line |
| `plot name { ... }` | an output; its name is optional and must be unique |
| `use "file.circ" as name` | another script's blocks, as `name.block`; its outputs and claims are not run |
| `assert found.edges <= 100` | a claim; a false one makes the run fail; `in [90, 110]` claims a range |

**Inline.** Wherever the name of a block is allowed, an implementation may be called: `metric =
kl_divergence(at = end)`, `graph = residual(gpt2)`. An argument without a key is for the first key that takes
a reference.

**Families.** A list of numbers for a key marked *family* makes one member for each number: with `threshold =
[0.01, 0.02]`, `found` has the members `found[0]` and `found[1]`. Whatever refers to a family becomes a
family, member by member; a list of circuits includes all members; an output writes `name-0.svg`,
`name-1.svg`; a claim must hold for every member. One declaration cannot vary with two families.

**Nodes** are written as in the literature: `embed`, `L9H6` (head), `L9H6.q` (its query input), `L3KV1.k`
(key of a key-value group), `L5` (attention layer), `MLP3`, `MLP3N17` (a neuron), `logits`. `*` stands for
all: `L5H*`, `L*H*`, `MLP*`. If a graph's `nodes` include `pos_embed`, that node is the position embeddings,
and `embed` is the token embeddings alone. In a graph that is split by position, write a node's position after
`@`: `L9H6.q@end`, `MLP3@S.2`, `embed@other`, or a token index with `positions = all`, `L9H6@4`; a node
without a position stands for every position.

**Positions** are `start`, `end`, or a slot: `IO`, `S.2` (the second S). Without an index, a slot means all
its occurrences. In `tokens` data the repeated block is `block`.

**Paths.** In a `reference` circuit `embed -> early -> [late.k, MLP3] -> logits` lists edges: every node of
a step sends to every later node of the next step. `groups { early = [L0H1, L2H2] }` names nodes; a group may
also be `where(patterns.copying, above = 0.5)`, the heads with such a value in a block of
`attention_statistics`, `weight_statistics`, `logit_attribution` (`direct.end`) or `composition`
(`pairs.L0H2`). An input (`late.k`) says how the edge enters; without one, it enters through every input. An
edge stays at its position: `embed@S.2 -> L2H1.k@S.2` ends there, and another path starts where the head
writes, `L2H1@end -> logits`; `early@end` is the nodes of a group at `end`. A path of one edge may have a
score: `L0H1 -> L2H3.k = 0.25`.

**Intervals.** A mean over prompts has an interval (percentile bootstrap): prompts are resampled with
replacement, and each resample recomputes the mean and whatever normalizes it. A block without the keys
`resamples`, `level` and `seed` uses 1000 resamples, level 0.95 and seed 0. A mean ablation or a steering
direction is not recomputed. A single prompt has no interval. Neither do `attribution_patching` and weight
scores: an interval would not show how far off a first-order estimate is.

**Slots.** In a `template` dataset `slots { ... }` says what fills each `{slot}`: a list of strings, one of
the lists `names`, `places`, `objects`, or `random_tokens(24)`. Slots declared on one line (`IO, S = names`)
differ within a prompt.

**Answers of several tokens.** With `teacher_forced = true` an answer may be any text. Its tokens, all but the
last, are fed to the model after the prompt, in the corrupted run as well; a metric of the answer reads each
token where it is predicted, and its value is that of the whole answer: the sum of the log-probabilities
(`logprob`, `cross_entropy`), their product (`prob`), or whether each is the likeliest (`accuracy`: whether
greedy decoding would produce the answer). `end` remains the end of the prompt; in a graph split by position,
the tokens after it are `other`. A metric without an answer (`kl_divergence`), or your own function, reads
only at its `at`, where the answer is the token that follows.

**Answers as token ids.** Tables written by other programs often have token ids, such as EAP-IG's columns
`correct_idx` and `incorrect_idx`: in a `file` dataset `answer_ids = "correct_idx"` names such a column, with
a number or a JSON list of numbers in each row. `answer = "correct_idx"` would be the token of the text `262`.

**Replacements.** In a `replace` corruption `S.2 -> C` replaces the second S with slot C.
"""


def _value(value: Value) -> str:
    match value:
        case None:
            return ""
        case bool():
            return f"`{str(value).lower()}`"
        case tuple() if not isinstance(value, Position):
            inner = ", ".join(_value(each).strip("`") for each in value)
            return f"`{inner}`" if len(value) == 1 and isinstance(value[0], Position) else f"`[{inner}]`"
        case _:
            return f"`{value}`"


def _row(name: str, key: Key) -> str:
    kind = describe(key.type) + (" (family)" if key.family else "")
    default = "required" if key.required else _value(key.default)
    unit = f" [{key.unit}]" if key.unit else ""
    cells = (f"`{name}`", kind, default, key.doc + unit)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _table(what: str, keys: Mapping[str, Key]) -> list[str]:
    head = [f"| {what} | value | default | meaning |", "|---|---|---|---|"]
    return [*head, *(_row(name, key) for name, key in keys.items()), ""]


_EXTRA = {
    "slots": "Its body has a `slots { ... }` block.",
    "replacements": "Its body has replacements, `slot -> slot`.",
    "edges": "Its body has a `groups { ... }` block and paths.",
}


def handbook() -> str:
    """The whole reference as Markdown."""
    lines = [_INTRODUCTION]
    for word, kind in KINDS.items():
        lines += [f"## {word}", "", kind.doc, ""]
        for name, implementation in kind.implementations.items():
            if not kind.output:
                lines += [f"### {word} using {name}", ""]
            source = f" ({implementation.source})" if implementation.source else ""
            extra = f" {_EXTRA[implementation.extra]}" if implementation.extra else ""
            lines += [f"{implementation.doc}{source}{extra}", "", *_table("key", implementation.keys)]
    lines += [
        "## Claims",
        "",
        "`assert` compares two of these: a number, a constant, `circuit.edges`, `circuit.nodes`, a function.",
        "",
        "`in` claims a range, ends included: `assert faithfulness(found, metric = m) in [0.9, 1.1]`.",
        "A circuit above 1 overshoots the whole model and is less faithful again, although `>= 0.9` holds.",
        "",
    ]
    for name, function in FUNCTIONS.items():
        lines += [f"### {name}({', '.join(function.arguments)})", "", function.doc, ""]
        lines += _table("argument", function.arguments)
    lines += [
        "## Diagnostics",
        "",
        "`nncirc explain CODE` explains a code.",
        "",
        "| code | meaning |",
        "|---|---|",
    ]
    lines += [f"| {code} | {entry.title} |" for code, entry in sorted(SCRIPT.items())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(handbook(), encoding="utf-8")
