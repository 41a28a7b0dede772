"""C0xx and C1xx: how a script is written, and what its names and values are."""

from __future__ import annotations

from collections.abc import Mapping

from nncirc.dsl.codes.entry import Entry

__all__ = ["FORM"]

FORM: Mapping[str, Entry] = {
    "C001": Entry(
        "a character that means nothing here",
        "The language is written in ASCII; other characters stand in strings and comments only.",
        "tau = 0·5",
        "tau = 0.5",
    ),
    "C002": Entry(
        "something else was expected here",
        "A script consists of attributes (`key = value`), blocks (`kind name using implementation { … }`), "
        "paths (`a -> b`), `use` and `assert`, one on a line.",
        'use wang as "ioi.circ"',
    ),
    "C003": Entry(
        "a value is missing",
        "A value begins on the line of its `=`. A list may go over several lines once its bracket is open.",
        "tau =\n  0.5",
        "tau = 0.5",
    ),
    "C004": Entry(
        "a string without an end",
        'A string begins and ends with `"` on one line. Inside, `\\"` is a quote and `\\n` a line break.',
        'name = "abc',
        'name = "abc"',
    ),
    "C005": Entry(
        "a bracket that is never closed",
        "Every `{`, `[` and `(` has its counterpart. The message shows the one that was opened last.",
        "taus = [0.1, 0.2\ntau = 0.5",
        "taus = [0.1, 0.2]\ntau = 0.5",
    ),
    "C006": Entry(
        "a bracket that closes nothing", "A `}` stands where no block is open.", "tau = 0.5\n}", "tau = 0.5"
    ),
    "C007": Entry(
        "two statements on one line",
        "A statement ends with its line; a value is one thing, and several are a list in square brackets.",
        "tau = 0.5 size = 3",
        "tau = 0.5\nsize = 3",
    ),
    "C008": Entry(
        "a number that is too large",
        "Whole numbers have up to 18 digits; other numbers must fit a 64-bit float.",
        "tau = 1e999",
        "tau = 1e9",
    ),
    "C009": Entry(
        "an unknown escape in a string",
        r"The escapes are `\"`, `\\`, `\n` and `\t`.",
        r'path = "data\prompts"',
        r'path = "data\\prompts"',
    ),
    "C010": Entry(
        "something within something within something",
        "More than 50 levels of brackets are refused: such a script is an accident, not a description. So "
        "are more than 50 values in one statement's arithmetic; an expression that comes to more than 100 "
        "values with those of the metrics that it names; and circuits made of circuits, over and over.",
    ),
    "C011": Entry(
        "not UTF-8",
        "Scripts are UTF-8 text, with or without a byte order mark; Python text has no halves of pairs.",
    ),
    "C012": Entry(
        "the script cannot be read", "It does not exist, is not a file, may not be read, or is huge."
    ),
    "C013": Entry(
        "the name is how a node is written",
        "`L9H9`, `L3KV1`, `L5`, `MLP3` are nodes wherever they stand, so nothing can be called that.",
        "L9 = 0.5",
        "layer = 9",
    ),
    "C014": Entry(
        "a comma is missing or stands alone",
        "The items of a list and the arguments of a call are separated by commas.",
        "taus = [0.1 0.2]",
        "taus = [0.1, 0.2]",
    ),
    "C015": Entry(
        "`=` and `==` confused",
        "`=` gives a key its value; `==` compares, in a claim.",
        "assert found.edges = 10",
        "assert found.edges == 10",
    ),
    "C016": Entry(
        "a block's header is not complete",
        "A block begins `kind name using implementation {` on one line; outputs (`compare`, `plot`, "
        "`render`) "
        "have no `using`.",
        "metric loss logprob {\n}",
        "metric loss using logprob {\n}",
    ),
    "C017": Entry(
        "a claim that compares nothing",
        "`assert` takes two values and one comparison between them: == != <= >= < >, or `in` before a range "
        "such as `[0.9, 1.1]`, whose ends are among what is right.",
        "assert found.edges",
        "assert found.edges > 0",
    ),
    "C101": Entry(
        "an unknown kind of block",
        "A block is a `model`, `dataset`, `corruption`, `graph`, `metric`, `scores`, `circuit`, `curve`, "
        "`compare`, `plot` or `render`. There are no others; docs/language.md has a section for each.",
        "modle other using huggingface {\n}",
    ),
    "C102": Entry(
        "an unknown implementation",
        "What stands behind `using`, or is called inline, is one of the implementations of that kind.",
        "metric loss using logit_dif {\n}",
        "metric loss using logit_diff {\n}",
    ),
    "C103": Entry(
        "an unknown key",
        "Each implementation has its own keys; a key that is not known is never ignored.",
        "metric loss using logprob {\n  att = end\n}",
        "metric loss using logprob {\n  at = end\n}",
    ),
    "C104": Entry(
        "an unknown name",
        "A reference names a block, a constant, or a block of a used file (`wang.ioi`). The message suggests "
        "the nearest name of the kind that belongs there.",
        "assert fuond.edges <= 10",
        "assert found.edges <= 10",
    ),
    "C105": Entry(
        "a key is missing",
        "This key has no default, because no value would be right for every experiment.",
        'render {\n  file = "a.svg"\n}',
        'render {\n  circuit = found\n  file = "a.svg"\n}',
    ),
    "C106": Entry(
        "given twice",
        "A key, an argument or a replacement stands once: which of two values holds is not guessed.",
        "metric loss using logprob {\n  at = end\n  at = start\n}",
    ),
    "C107": Entry(
        "a name is declared twice",
        "Blocks, constants and used files share one set of names.",
        "tau = 0.5\ntau = 0.6",
        "tau = 0.5",
    ),
    "C108": Entry(
        "a name of the wrong kind",
        "The type of a name is the kind of its block.",
        'render {\n  circuit = recovered\n  file = "a.svg"\n}',
        'render {\n  circuit = found\n  file = "a.svg"\n}',
    ),
    "C109": Entry(
        "declarations that need each other",
        "References must not lead back to where they began: nothing could be computed first.",
        "a = b\nb = a",
    ),
    "C110": Entry(
        "an unknown function",
        "Claims have functions such as `faithfulness` and `recall`, slots have `random_tokens(24)`, groups "
        "have `where(…)`. docs/language.md lists them with their arguments.",
        "assert recal(found, small) >= 0.5",
        "assert recall(found, small) >= 0.5",
    ),
    "C111": Entry(
        "a used file cannot be read",
        "The path behind `use` is relative to the folder of the script in which it stands.",
        'use "nowhere.circ" as other',
    ),
    "C112": Entry("files that use each other", "Used files must not lead back to the script that uses them."),
    "C113": Entry("a used file has errors", "They are shown with the used file's name and lines."),
    "C114": Entry(
        "a block without a name or without `using`",
        "Whatever others refer to has a name, and says how it is done.",
        "metric loss {\n}",
        "metric loss using logprob {\n}",
    ),
    "C115": Entry(
        "`--set` for a constant that does not exist",
        "Only top-level constants can be set from outside. To change a key by `--set`, write a constant "
        "above the blocks, `tau = 0.05`, and let the key take it, `threshold = tau`.",
    ),
    "C116": Entry(
        "a reserved name",
        "`embed` and `logits` are nodes, `start` and `end` positions.",
        "embed = 3",
        "embedding = 3",
    ),
    "C117": Entry(
        "an unknown property",
        "A circuit has `edges` and `nodes`, and they stand in claims.",
        "assert found.edge <= 10",
        "assert found.edges <= 10",
    ),
    "C118": Entry(
        "a statement that does not belong here",
        "Paths stand in `replace` and `reference`, `slots` in `template`, `groups` in `reference`; "
        "`use` and `assert` outside of blocks.",
        "metric loss using logprob {\n  assert found.edges > 0\n}",
    ),
    "C120": Entry(
        "a group that no path uses",
        "A warning: its nodes are not part of the circuit. Perhaps a path misspells it.",
        "circuit known using reference {\n  graph = full\n  groups {\n    early = [L0H1]\n"
        "    unused = [L1H1]\n  }\n  embed -> early -> logits\n}",
    ),
    "C121": Entry(
        "arguments that a function does not take",
        "Behind the first argument, give the others with their keys.",
        "assert recall(found) >= 0.5",
        "assert recall(found, small) >= 0.5",
    ),
    "C122": Entry(
        "a claim that says nothing",
        "A claim compares something measured with a number, or two measured things. A range goes from its "
        "lower number to its higher one: no number is in another.",
        "assert 1 <= 2",
        "assert found.nodes <= 2",
    ),
    "C131": Entry(
        "more errors than are shown",
        "The first of them are shown, and the others counted. Most are one mistake that is made again and "
        "again: put it right, and check again.",
    ),
    "C132": Entry(
        "more than a script may hold",
        "A script is a description. With the files that it uses it has at most 4,000,000 characters and "
        "300,000 words and signs, no name or number has more than 200 characters, and all families together "
        "have at most 100,000 members. Prompts by the thousand stand in a file of their own (`using file`).",
    ),
}
