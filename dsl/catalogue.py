"""What each code means: the texts behind `nncirc explain C104`.

The codes of scripts (C0xx to C2xx) stand here, those of data, models, methods, files and resources
(C3xx to C7xx) in `catalogue_run.py`. A test checks every example of this file: `bad` gives the code and
`good` gives none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

__all__ = ["Entry", "entries", "explain"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A code's long form.

    Attributes:
        title: a short sentence without a full stop.
        text: why it is an error, and what to do.
        bad: a piece of a script that gives the code, or "".
        good: the same put right, or "".
    """

    title: str
    text: str
    bad: str = ""
    good: str = ""


@cache
def entries() -> Mapping[str, Entry]:
    """Every code, in order."""
    from nncirc.dsl.catalogue_run import RUN  # read only when a code is asked for

    return dict(sorted({**SCRIPT, **RUN}.items()))


def explain(code: str) -> str | None:
    """The long form of a code (`C104`, `c104`) as text; None where there is no such code."""
    code = code.strip().upper()
    entry = entries().get(code)
    if entry is None:
        return None
    parts = [f"{code}: {entry.title}", entry.text]
    if entry.bad:
        parts.append("For example:\n\n" + _indented(entry.bad))
    if entry.good:
        parts.append("Put right:\n\n" + _indented(entry.good))
    return "\n\n".join(parts) + "\n"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in text.splitlines())


SCRIPT: Mapping[str, Entry] = {
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
        "brackets within brackets within brackets",
        "More than 50 levels are refused: such a script is an accident, not a description.",
    ),
    "C011": Entry("not UTF-8", "Scripts are UTF-8 text, with or without a byte order mark."),
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
        "`assert` takes two values and one comparison between them: == != <= >= < >.",
        "assert found.edges",
        "assert found.edges > 0",
    ),
    "C101": Entry(
        "an unknown kind of block",
        "The kinds are fixed; docs/language.md lists them.",
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
        "Claims, slots and groups have a few functions of their own.",
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
        "Only top-level constants can be set from outside; a key can be made to depend on one.",
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
        "A claim compares something measured with a number, or two measured things.",
        "assert 1 <= 2",
        "assert found.nodes <= 2",
    ),
    "C201": Entry(
        "a value of the wrong type",
        "The message says which type the key takes; docs/language.md lists all keys.",
        "metric loss using logprob {\n  normalize = 1\n}",
        "metric loss using logprob {\n  normalize = true\n}",
    ),
    "C202": Entry(
        "a number out of its range",
        "The key, or the quantity in the claim, cannot have this value.",
        "assert recall(found, small) >= 90",
        "assert recall(found, small) >= 0.9",
    ),
    "C203": Entry(
        "a word that is not one of the choices",
        "Where a key takes one of a few words, they are written without quotes.",
        "circuit other using threshold {\n  scores = eap\n  threshold = 0.1\n  rank = magnitude\n}",
        "circuit other using threshold {\n  scores = eap\n  threshold = 0.1\n  rank = absolute\n}",
    ),
    "C204": Entry(
        "a list or string of the wrong length",
        "It is empty, or has another number of items than the key takes.",
        "compare {\n  circuits = []\n}",
        "compare {\n  circuits = [found, small]\n}",
    ),
    "C205": Entry(
        "the same item twice",
        "In this list each item counts once, so a second one is a slip.",
        "compare {\n  circuits = [found, found]\n}",
        "compare {\n  circuits = [found, small]\n}",
    ),
    "C206": Entry(
        "`--set` with a value that the constant cannot take",
        "A constant keeps its type: a number stays a number.",
    ),
    "C208": Entry(
        "two families at once",
        "A list of numbers makes a family: one circuit for each number. What refers to a family becomes one. "
        "Two families in one place would make every combination, which is not done silently.",
        "circuit a using top {\n  scores = eap\n  edges = [10, 20]\n}\n"
        "circuit b using top {\n  scores = eap\n  edges = [10, 20]\n}\nassert recall(a, b) >= 0.5",
    ),
    "C209": Entry(
        "a file name that is not allowed",
        "Outputs are written below the output folder, so their names are relative, without `..`, and end in "
        "a format that can be written.",
        'render {\n  circuit = found\n  file = "../a.svg"\n}',
        'render {\n  circuit = found\n  file = "a.svg"\n}',
    ),
    "C210": Entry(
        "two outputs write one file",
        "The second would overwrite the first. Upper and lower case are not told apart.",
        'render {\n  circuit = found\n  file = "a.svg"\n}\nrender {\n  circuit = small\n  file = "a.svg"\n}',
        'render {\n  circuit = found\n  file = "a.svg"\n}\nrender {\n  circuit = small\n  file = "b.svg"\n}',
    ),
    "C211": Entry(
        "a brace in a template that names no slot",
        "`{S}` stands for the slot S. A literal brace is written twice: `{{`.",
        'dataset other using template {\n  model = gpt2\n  size = 1\n  prompt = "When {S went"\n'
        "  slots {\n    S = names\n  }\n}",
    ),
    "C212": Entry(
        "a template names a slot that is not declared",
        "Every `{slot}` of prompts, answer and foil is declared in `slots { … }`.",
        'dataset other using template {\n  model = gpt2\n  size = 1\n  prompt = "When {T} went"\n'
        "  slots {\n    S = names\n  }\n}",
    ),
    "C213": Entry(
        "a slot that nothing uses",
        "No prompt has it and no replacement puts it in another's place.",
        'dataset other using template {\n  model = gpt2\n  size = 1\n  prompt = "When {S} went"\n'
        "  slots {\n    S, T = names\n  }\n}",
    ),
    "C214": Entry(
        "a replacement of slots that the dataset does not have",
        "Both sides of `S.2 -> C` are slots of the corruption's dataset.",
        "corruption other using replace {\n  data = ioi\n  S.2 -> D\n}",
        "corruption other using replace {\n  data = ioi\n  S.2 -> A\n}",
    ),
    "C215": Entry(
        "a replacement at an occurrence that no prompt has",
        "Occurrences are counted from 1 within a prompt.",
        "corruption other using replace {\n  data = ioi\n  S.3 -> A\n}",
        "corruption other using replace {\n  data = ioi\n  S.2 -> A\n}",
    ),
    "C216": Entry(
        "a replacement between slots of different length",
        "Clean and corrupted prompts have equally many tokens, or positions would not correspond.",
        'dataset other using template {\n  model = gpt2\n  size = 1\n  prompt = "{x}"\n  slots {\n'
        "    x = random_tokens(24)\n    y = random_tokens(12)\n  }\n}\n"
        "corruption replaced using replace {\n  data = other\n  x -> y\n}",
    ),
    "C217": Entry(
        "more slots than words to fill them",
        "Slots of one line differ within a prompt: they are drawn without replacement.",
        'dataset other using template {\n  model = gpt2\n  size = 1\n  prompt = "{x}{y}"\n  slots {\n'
        '    x, y = ["one"]\n  }\n}',
    ),
    "C218": Entry(
        "a position that the prompts do not have",
        "Positions are `start`, `end`, and slots with the number of their occurrence: `S.2`.",
        "metric loss using logit_diff {\n  at = T\n}\n"
        "circuit other using acdc {\n  graph = full\n  corruption = abc\n  metric = loss\n"
        "  threshold = 0.1\n}",
    ),
    "C219": Entry(
        "no token follows the end",
        "With `answer = next` the answer is the token behind each measured position.",
        "dataset random using tokens {\n  model = gpt2\n  size = 1\n  length = 5\n  copies = 2\n}\n"
        "corruption none using zero {\n  data = random\n}\n"
        "assert clean(logprob(at = end), corruption = none) >= -5",
    ),
    "C220": Entry(
        "the metric needs an answer",
        "The dataset does not say what the right continuation is.",
        'dataset plain using prompts {\n  model = gpt2\n  clean = ["One two"]\n}\n'
        "corruption none using zero {\n  data = plain\n}\n"
        "assert clean(logprob(at = end), corruption = none) >= -5",
    ),
    "C221": Entry(
        "the metric needs a foil",
        "The dataset does not say with which wrong continuation the answer is compared.",
        'dataset plain using prompts {\n  model = gpt2\n  clean = ["One two"]\n  answer = " three"\n}\n'
        "corruption none using zero {\n  data = plain\n}\n"
        "assert clean(logit_diff(at = end), corruption = none) >= 0",
    ),
    "C222": Entry(
        "the dataset has no counterparts",
        "`counterpart` reads the corrupted prompts of a paired dataset.",
        "corruption other using counterpart {\n  data = ioi\n}",
    ),
    "C223": Entry(
        "the gradient would be zero",
        "The KL divergence from the clean run has its minimum at the clean run, so its gradient there is "
        "exactly zero, and attribution patching with one step would give 0 everywhere.",
        "scores other using attribution_patching {\n  graph = full\n  corruption = abc\n"
        "  metric = kl_divergence(at = end)\n}",
        "scores other using attribution_patching {\n  graph = full\n  corruption = abc\n"
        "  metric = kl_divergence(at = end)\n  steps = 5\n}",
    ),
    "C224": Entry(
        "two models in one experiment",
        "The graph is of one model, and the prompts are tokenized for another.",
        'model other using huggingface {\n  id = "gpt2-medium"\n}\ngraph wrong using residual {\n'
        "  model = other\n}\n"
        "circuit cut using acdc {\n  graph = wrong\n  corruption = abc\n  metric = recovered\n"
        "  threshold = 1\n}",
    ),
    "C225": Entry(
        "circuits of different graphs",
        "Edges of one graph are not edges of another, so the circuits cannot be compared or combined.",
        "graph joined using residual {\n  model = gpt2\n  inputs = []\n}\n"
        "circuit other using reference {\n  graph = joined\n  embed -> L0H1 -> logits\n}\n"
        "assert recall(found, other) >= 0.5",
    ),
    "C226": Entry(
        "a node beyond the model",
        "Layers and heads count from 0. The sizes of a model are known without loading it if it is bundled, "
        "a local folder, or one of the GPT-2 models.",
        "circuit other using reference {\n  graph = full\n  embed -> L12H0 -> logits\n}",
        "circuit other using reference {\n  graph = full\n  embed -> L11H0 -> logits\n}",
    ),
    "C227": Entry(
        "these nodes make no graph",
        "A graph has `embed` and `logits`, and heads or whole attention layers (not both) or MLPs between.",
        "graph other using residual {\n  model = gpt2\n  nodes = [heads, logits]\n}",
        "graph other using residual {\n  model = gpt2\n  nodes = [embed, heads, logits]\n}",
    ),
    "C228": Entry(
        "some inputs of a head, but not all",
        "An edge enters a head as query, key or value. If only some of them were inputs of the graph, the "
        "others could neither be kept nor cut, and faithfulness would mean nothing.",
        "graph other using residual {\n  model = gpt2\n  inputs = [q, k]\n}",
        "graph other using residual {\n  model = gpt2\n  inputs = [q, k, v]\n}",
    ),
    "C229": Entry(
        "a path that no information can take",
        "Edges go from an output to the input of a later node, from `embed` to `logits`.",
        "circuit other using reference {\n  graph = full\n  embed -> L5H1 -> L3H1 -> logits\n}",
        "circuit other using reference {\n  graph = full\n  embed -> L3H1 -> L5H1 -> logits\n}",
    ),
    "C230": Entry(
        "a node or an input that the graph does not have",
        "The graph's `nodes` and `inputs` say what can be named in it.",
        "circuit other using reference {\n  graph = full\n  embed -> MLP1.q -> logits\n}",
        "circuit other using reference {\n  graph = full\n  embed -> MLP1 -> logits\n}",
    ),
    "C231": Entry(
        "a statistic that is not computed",
        "`where(…)` reads what an `attention_statistics` block lists in its `of`.",
        "circuit other using reference {\n  graph = full\n  groups {\n"
        "    a = where(eap.copying, above = 0.5)\n"
        "  }\n  embed -> a -> logits\n}",
    ),
    "C232": Entry(
        "scores that do not select edges",
        "`top` and `faithfulness` count edges, so they need scores of edges.",
        "scores sweep using activation_patching {\n  graph = full\n  corruption = abc\n"
        "  metric = recovered\n}\n"
        "circuit other using top {\n  scores = sweep\n  edges = 10\n}",
    ),
    "C233": Entry(
        "lists that do not correspond",
        "Corrupted prompts, answers and foils stand in the order of the clean prompts, one for each.",
        'dataset other using prompts {\n  model = gpt2\n  clean = ["a", "b"]\n  corrupt = ["c"]\n}',
        'dataset other using prompts {\n  model = gpt2\n  clean = ["a", "b"]\n  corrupt = ["c", "d"]\n}',
    ),
    "C234": Entry(
        "a replacement that changes nothing",
        "A slot is replaced by another one.",
        "corruption other using replace {\n  data = ioi\n  S.2 -> S\n}",
        "corruption other using replace {\n  data = ioi\n  S.2 -> IO\n}",
    ),
    "C235": Entry(
        "faithfulness without a corruption",
        "Everything outside the circuit is corrupted. A circuit that was found has a corruption of its own; "
        "for one that was written down, say which.",
        "circuit other using reference {\n  graph = full\n  embed -> L0H1 -> logits\n}\n"
        "assert faithfulness(other, metric = recovered) >= 0.5",
        "circuit other using reference {\n  graph = full\n  embed -> L0H1 -> logits\n}\n"
        "assert faithfulness(other, metric = recovered, corruption = abc) >= 0.5",
    ),
    "C236": Entry(
        "a mean over positions only",
        "A corruption takes away what a prompt says. The mean over one prompt's positions keeps it.",
        "corruption other using mean {\n  data = ioi\n  over = [positions]\n}",
        "corruption other using mean {\n  data = ioi\n  over = [prompts, positions]\n}",
    ),
    "C237": Entry(
        "denoising without a corrupted run",
        "`denoise`, the default, restores clean activations in a corrupted run. Zeros and means are no run.",
        "corruption none using zero {\n  data = ioi\n}\n"
        "scores effect using activation_patching {\n  graph = full\n  corruption = none\n"
        "  metric = recovered\n}",
        "corruption none using zero {\n  data = ioi\n}\n"
        "scores effect using activation_patching {\n  graph = full\n  corruption = none\n"
        "  metric = recovered\n  direction = noise\n}",
    ),
}
