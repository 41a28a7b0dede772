"""C0xx and C1xx: how a script is written, and what its names and values are."""

from __future__ import annotations

from collections.abc import Mapping

from nncirc.dsl.codes.entry import Entry

FORM: Mapping[str, Entry] = {
    "C001": Entry(
        "unexpected character",
        "Outside strings and comments, a script is plain ASCII: letters, digits, `_` and the language's "
        "punctuation.",
        "tau = 0·5",
        "tau = 0.5",
    ),
    "C002": Entry(
        "unexpected syntax",
        "A script consists of attributes (`key = value`), blocks (`kind name using implementation { … "
        "}`), paths (`a -> b`), `use` and `assert`, one per line.",
        'use wang as "ioi.circ"',
    ),
    "C003": Entry(
        "missing value or `=`",
        "An attribute is `key = value`, and the value starts on the line of its `=`. A list may span "
        "several lines once its bracket is open.",
        "tau =\n  0.5",
        "tau = 0.5",
    ),
    "C004": Entry(
        "unterminated string",
        'A string begins and ends with `"` on one line. Inside it, `\\"` is a quote and `\\n` a line break.',
        'name = "abc',
        'name = "abc"',
    ),
    "C005": Entry(
        "unclosed bracket",
        "Every `{`, `[` and `(` needs its closing bracket. The message points to the innermost one "
        "still open.",
        "taus = [0.1, 0.2\ntau = 0.5",
        ("0.2", "0.2]"),
    ),
    "C006": Entry(
        "unmatched closing bracket",
        "A `}` closes a block, and no block is open here.",
        "tau = 0.5\n}",
        "tau = 0.5",
    ),
    "C007": Entry(
        "two statements on one line",
        "A statement ends with its line. A key takes one value; write several as a list in square brackets.",
        "tau = 0.5 size = 3",
        ("0.5 size", "0.5\nsize"),
    ),
    "C008": Entry(
        "number too large",
        "Whole numbers have at most 18 digits; other numbers must fit a 64-bit float.",
        "tau = 1e999",
        "tau = 1e9",
    ),
    "C009": Entry(
        "unknown escape in a string",
        'The escapes are `\\"`, `\\\\`, `\\n` and `\\t`. Write a backslash as `\\\\`.',
        r'path = "data\prompts"',
        r'path = "data\\prompts"',
    ),
    "C010": Entry(
        "too much nesting",
        "A script has at most 50 levels of brackets, and one statement computes with at most 50 values. "
        "An expression may use at most 100 values, counting those in the metrics it names. Circuits "
        "built from other circuits are limited too, in depth and in number.",
    ),
    "C011": Entry(
        "script that is not UTF-8",
        "Scripts are UTF-8 text, with or without a byte order mark. Text passed from Python must not "
        "contain unpaired surrogates.",
    ),
    "C012": Entry(
        "unreadable script",
        "The file does not exist, is not a regular file, may not be read, or is too large for a script.",
    ),
    "C013": Entry(
        "name that denotes a node",
        "`L9H9`, `L3KV1`, `L5` and `MLP3` always denote nodes, so nothing else can have such a name.",
        "L9 = 0.5",
        "layer = 9",
    ),
    "C014": Entry(
        "missing or extra comma",
        "The items of a list and the arguments of a call are separated by single commas.",
        "taus = [0.1 0.2]",
        "taus = [0.1, 0.2]",
    ),
    "C015": Entry(
        "`=` and `==` confused",
        "`=` gives a key its value; `==` compares two values in an `assert`.",
        "assert found.edges = 10",
        "assert found.edges == 10",
    ),
    "C016": Entry(
        "malformed block header",
        "A block begins with `kind name using implementation {` on one line. Output blocks (`compare`, "
        "`plot`, `render`) have no `using`.",
        "metric loss logprob {\n}",
        ("logprob", "using logprob"),
    ),
    "C017": Entry(
        "malformed claim",
        "`assert` takes two values and one comparison between them: == != <= >= < >, or `in` before a "
        "range such as `[0.9, 1.1]`, endpoints included.",
        "assert found.edges",
        "assert found.edges > 0",
    ),
    "C101": Entry(
        "unknown kind of block",
        "The kinds of block are `model`, `dataset`, `corruption`, `graph`, `metric`, `scores`, "
        "`circuit`, `curve`, `compare`, `plot` and `render`. docs/language.md has a section for each.",
        "modle other using huggingface {\n}",
    ),
    "C102": Entry(
        "unknown implementation",
        "The name after `using`, or of an inline call, must be an implementation of the kind of block "
        "that is expected.",
        "metric loss using logit_dif {\n}",
        ("logit_dif", "logit_diff"),
    ),
    "C103": Entry(
        "unknown key",
        "Each implementation has its own keys, and each function its own arguments. An unknown key is "
        "an error; it is never ignored.",
        "metric loss using logprob {\n  att = end\n}",
        ("att", "at"),
    ),
    "C104": Entry(
        "unknown name",
        "A reference names a block, a constant, or a block of a used file (`wang.ioi`). The message "
        "suggests the nearest name of the right kind.",
        "assert fuond.edges <= 10",
        "assert found.edges <= 10",
    ),
    "C105": Entry(
        "missing key",
        "This key has no default, because no value would suit every experiment. Some blocks need one of "
        "several keys, a `replace` at least one replacement, and a `reference` at least one path.",
        'render {\n  file = "a.svg"\n}',
        ("file", "circuit = found\n  file"),
    ),
    "C106": Entry(
        "duplicate key",
        "A key, argument, inner block or replacement may be given only once: nncirc does not guess "
        "which of two values you meant. An answer given as text and as token ids counts as given twice.",
        "metric loss using logprob {\n  at = end\n  at = start\n}",
    ),
    "C107": Entry(
        "duplicate name",
        "Blocks, constants and used files share one set of names. Within a block, slots have different "
        "names, and so do groups.",
        "tau = 0.5\ntau = 0.6",
        "tau = 0.5",
    ),
    "C108": Entry(
        "name of the wrong kind",
        "The kind of a name is the kind of the block that declares it. The message says which kind is "
        "expected here.",
        'render {\n  circuit = recovered\n  file = "a.svg"\n}',
        ("recovered", "found"),
    ),
    "C109": Entry(
        "circular declarations",
        "A declaration must not depend on itself, directly or through others: nothing could be computed "
        "first.",
        "a = b\nb = a",
    ),
    "C110": Entry(
        "unknown function",
        "Claims have functions such as `faithfulness` and `recall`, slots have `random_tokens(24)`, "
        "groups have `where(…)`. docs/language.md lists them with their arguments.",
        "assert recal(found, small) >= 0.5",
        "assert recall(found, small) >= 0.5",
    ),
    "C111": Entry(
        "unreadable used file",
        "The path after `use` is relative to the folder of the script that contains it.",
        'use "nowhere.circ" as other',
    ),
    "C112": Entry(
        "circular or excessive `use`",
        "A used file must not use the script that uses it, directly or through other files. A script "
        "can use at most 100 files.",
    ),
    "C113": Entry(
        "errors in a used file", "The errors are shown with the used file's name and line numbers."
    ),
    "C114": Entry(
        "block without a name or `using`",
        "A block that others refer to needs a name and, after `using`, an implementation.",
        "metric loss {\n}",
        "metric loss using logprob {\n}",
    ),
    "C115": Entry(
        "`--set` of an unknown constant",
        "`--set` can change only top-level constants. To set a key from the command line, declare a "
        "constant above the blocks, `tau = 0.05`, and use it in the key, `threshold = tau`.",
    ),
    "C116": Entry(
        "reserved name",
        "`embed` and `logits` are nodes; `start` and `end` are positions.",
        "embed = 3",
        "embedding = 3",
    ),
    "C117": Entry(
        "unknown property",
        "A circuit has the properties `edges` and `nodes`, and only claims can use them. Use `score(…)` "
        "to read a score.",
        "assert found.edge <= 10",
        "assert found.edges <= 10",
    ),
    "C118": Entry(
        "misplaced statement",
        "Paths belong in `replace` and `reference`, `slots` in `template`, `groups` in `reference`; "
        "`use` and `assert` belong outside blocks.",
        "metric loss using logprob {\n  assert found.edges > 0\n}",
    ),
    "C120": Entry(
        "unused group",
        "This is a warning: no path uses the group, so its nodes are not part of the circuit. Perhaps a "
        "path misspells its name.",
        "circuit known using reference {\n  graph = full\n  groups {\n    early = [L0H1]\n"
        "    unused = [L1H1]\n  }\n  embed -> early -> logits\n}",
    ),
    "C121": Entry(
        "missing or misplaced arguments",
        "A required argument is missing or has the wrong form. In an inline block, only the first "
        "argument can be given without its key.",
        "assert recall(found) >= 0.5",
        "assert recall(found, small) >= 0.5",
    ),
    "C122": Entry(
        "claim that tests nothing",
        "A claim compares a result with a number, or two results. In a range, the lower number comes "
        "first; otherwise no number lies in it.",
        "assert 1 <= 2",
        "assert found.nodes <= 2",
    ),
    "C131": Entry(
        "too many errors to show",
        "Only the first errors are shown; the others are counted. Often most of them are one mistake "
        "repeated: fix it and check again.",
    ),
    "C132": Entry(
        "script too large",
        "A script and the files it uses have at most 4,000,000 characters and 300,000 words and signs. "
        "A name or number has at most 200 characters, and all families together have at most 100,000 "
        "members. Put thousands of prompts in a file of their own (`using file`).",
    ),
}
