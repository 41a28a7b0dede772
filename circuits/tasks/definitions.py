"""Every task."""

from __future__ import annotations

from collections.abc import Mapping

from nncirc.circuits.data import word_list
from nncirc.circuits.tasks import lists
from nncirc.circuits.tasks.task import Answers, Derived, Task, Words


def _slots(*slots: str) -> Answers:
    """The words of some slots, each after a space."""
    return lambda values, _: tuple(f" {values[slot]}" for slot in slots)


# Indirect objects

_GIVING = (
    "When {{{}}} and {{{}}} went to the {{place}}, {{S}} gave a {{gift}} to",
    "After {{{}}} and {{{}}} met at the {{place}}, {{S}} handed the {{gift}} to",
    "Then, {{{}}} and {{{}}} had a lot of fun at the {{place}}. {{S}} gave a {{gift}} to",
    "Today, {{{}}} and {{{}}} walked to the {{place}} and {{S}} offered the {{gift}} to",
    "The friends {{{}}} and {{{}}} arrived at the {{place}}, where {{S}} showed a {{gift}} to",
)

IOI = Task(
    name="ioi",
    doc="Indirect object identification: one of two people gives, so the other receives. Prompts alternate "
    "between receiver (IO) first (ABBA) and giver (S) first (BABA).",
    source="Wang et al. 2022",
    metric="logit_diff(at = end)",
    phrasings=tuple(text.format(*order) for text in _GIVING for order in (("IO", "S"), ("S", "IO"))),
    slots={
        ("IO", "S", "A", "B", "C"): word_list("names"),
        ("place",): word_list("places"),
        ("gift",): word_list("objects"),
    },
    corruptions={
        "abc": {"IO": "A", "S.1": "B", "S.2": "C"},
        "swapped": {"S.2": "IO"},
    },
    answers=_slots("IO"),
    foils=_slots("S"),
    differs="Five new sentences instead of the paper's fifteen.",
)


# Years


_YEARS = tuple(f"{year:02}" for year in range(100))

GREATER_THAN = Task(
    name="greater_than",
    doc="An event that began in the year XXYY ends in a later year of the same century: every two-digit "
    "token above YY is right, and every other one is wrong.",
    source="Hanna et al. 2023",
    metric="prob_diff(at = end)",
    phrasings=("The {noun} lasted from the year {XX}{YY} to {XX}",),
    slots={
        ("noun",): lists.EVENTS,
        ("XX",): tuple(map(str, range(12, 18))),
        ("first",): ("01",),
        ("YY",): _YEARS[10:99],
    },
    corruptions={"first_year": {"YY": "first"}},
    answers=lambda values, _: _YEARS[int(values["YY"]) + 1 :],
    foils=lambda values, _: _YEARS[: int(values["YY"]) + 1],
    differs="Years start at 10, and century 11 is omitted, because GPT-2 splits half of its years "
    "differently. A year that GPT-2 splits differently in one century is omitted from all.",
)


# Docstrings

_DEFINED, _ARGUMENT = ("A", "B", "C", "D"), ("E", "F", "G", "H", "I", "J")

DOCSTRING = Task(
    name="docstring",
    doc="A docstring lists a function's arguments in order: after A and B comes C.",
    source="Heimersheim and Janiak 2023; Conmy et al. 2023",
    metric="logit_diff(at = end)",
    phrasings=(
        'def {f}(self, {A}, {B}, {C}, {D}):\n    """{w1} {w2} {w3}\n\n'
        "    :param {A}: {w4} {w5}\n    :param {B}: {w6} {w7}\n    :param",
    ),
    slots={
        ("f",): lists.FUNCTIONS,
        (*_DEFINED, *_ARGUMENT): lists.ARGUMENTS,
        tuple(f"w{i}" for i in range(1, 8)): lists.DOCSTRING,
    },
    corruptions={
        # Other arguments in the definition, and yet others in the docstring.
        "random_random": {"A.1": "E", "B.1": "F", "C": "G", "D": "H", "A.2": "I", "B.2": "J"},
    },
    answers=_slots("C"),
    foils=_slots("A", "B", "D", *_ARGUMENT),
    differs="The papers compare with the highest wrong logit, this task with their mean.",
)


# Induction

INDUCTION = Task(
    name="induction",
    doc="Sixteen random tokens, repeated: each token of the second block can be predicted from the first.",
    source="Elhage et al. 2021; Olsson et al. 2022",
    metric="logprob(at = block.2)",
    phrasings=("{block}{block}",),
    slots={("block", "other"): 16},
    corruptions={"unrepeated": {"block.1": "other"}},
    answers=None,
    foils=None,
    differs="Conmy et al. 2023 use OpenWebText sentences in which a token is repeated.",
)


# Colours

_ON_THE_TABLE = (
    "On the table there is a {C} {O}, a {D} {P} and a {E} {Q}.",
    "On the table there is a {D} {P}, a {C} {O} and a {E} {Q}.",
    "On the table there is a {D} {P}, a {E} {Q} and a {C} {O}.",
)

COLORED_OBJECTS = Task(
    name="colored_objects",
    doc="Three objects of three colors: what color is O?",
    source="Merullo et al. 2024",
    metric="logit_diff(at = end)",
    phrasings=tuple(f"{text} What color is the {{O}}? The {{O}} is" for text in _ON_THE_TABLE),
    slots={("C", "D", "E"): lists.COLORS, ("O", "P", "Q"): lists.THINGS},
    corruptions={"another_object": {"O.2": "P", "O.3": "P"}},
    answers=_slots("C"),
    foils=_slots("D", "E"),
    differs="No solved example before the question; the question is about the first, second or third object.",
)


# Pronouns

_WOMEN = frozenset(woman for woman, _ in lists.PAIRS_OF_NAMES)
_OTHER_NAME = {a: b for pair in lists.PAIRS_OF_NAMES for a, b in (pair, pair[::-1])}

GENDERED_PRONOUNS = Task(
    name="gendered_pronouns",
    doc="The pronoun that matches a name: she or he.",
    source="Mathwin et al. 2023",
    metric="logit_diff(at = end)",
    phrasings=(
        "So {name} is such a good friend, isn't",
        "So {name} is a really great cook, isn't",
        "So {name} was a very happy child, wasn't",
    ),
    slots={("name",): tuple(_OTHER_NAME)},
    corruptions={"another_name": {"name": "other"}},
    answers=lambda values, _: (" she" if values["name"] in _WOMEN else " he",),
    foils=lambda values, _: (" he" if values["name"] in _WOMEN else " she",),
    derived={"other": Derived("name", _OTHER_NAME)},
)


# Agreement

_NUMBER = {**lists.PLURALS, **{plural: noun for noun, plural in lists.PLURALS.items()}}
_SINGULAR, _PLURAL = (" is", " was", " has"), (" are", " were", " have")

SUBJECT_VERB_AGREEMENT = Task(
    name="subject_verb_agreement",
    doc="The verb agrees with its subject across an intervening noun.",
    source="Newman et al. 2021; Finlayson et al. 2021; Hanna et al. 2024",
    metric="prob_diff(at = end)",
    phrasings=("The {subject} near the {noun}", "The {subject} behind the {noun}"),
    slots={
        ("subject",): tuple(_NUMBER),
        ("noun",): (*lists.PLACES, *lists.PLACES.values()),
    },
    corruptions={"another_number": {"subject": "flipped"}},
    answers=lambda values, _: _SINGULAR if values["subject"] in lists.PLURALS else _PLURAL,
    foils=lambda values, _: _PLURAL if values["subject"] in lists.PLURALS else _SINGULAR,
    derived={"flipped": Derived("subject", _NUMBER)},
    differs="Three singular and three plural verbs instead of all verbs.",
)


# Capitals

CAPITALS = Task(
    name="capitals",
    doc="The capital of a country.",
    source="Hanna et al. 2024",
    metric="logit_diff(at = end)",
    phrasings=(
        "The capital of {country} is",
        "The capital city of {country} is called",
        "The government of {country} has its seat in the city of",
    ),
    slots={("country", "other"): tuple(lists.CAPITALS)},
    corruptions={"another_country": {"country": "other"}},
    answers=_slots("capital"),
    foils=_slots("other_capital"),
    derived={
        "capital": Derived("country", lists.CAPITALS),
        "other_capital": Derived("other", lists.CAPITALS),
    },
)


# Multiple choice

_LETTERS = (" A", " B", " C", " D")
_OPTIONS = tuple(
    tuple(["C" if place == right else f"W{place - (place > right) + 1}" for place in range(4)])
    for right in range(4)
)


def _asked(options: tuple[str, ...]) -> str:
    lines = "".join(f"{letter[1:]}. {{{slot}}}\n" for letter, slot in zip(_LETTERS, options, strict=True))
    return f"The {{object}} is {{C}}. What color is the {{object}}?\n{lines}Answer:"


MULTIPLE_CHOICE = Task(
    name="multiple_choice",
    doc="The letter of the option that the first sentence names. Each letter is the answer equally often.",
    source="Mueller et al. 2025 (MIB), after Wiegreffe et al. 2025",
    metric="logit_diff(at = end)",
    phrasings=tuple(_asked(options) for options in _OPTIONS),
    slots={("object",): lists.THINGS, ("C", "W1", "W2", "W3"): lists.COLORS},
    corruptions={"another_color": {"C.1": "W1"}},
    answers=lambda _, phrasing: (_LETTERS[phrasing],),
    foils=lambda _, phrasing: (_LETTERS[_OPTIONS[phrasing].index("W1")],),
    differs="The foil is the letter that is right in the corrupted prompt, not every wrong letter.",
)


# Compiled programs


def _program(name: str, doc: str, symbols: Words) -> Task:
    """A bundled program's inputs of the five symbols that are the most it reads."""
    places = range(1, 6)
    return Task(
        name=name,
        doc=doc,
        source="Conmy et al. 2023; Lindner et al. 2023",
        metric=f"mse(at = [{', '.join(f't{i}' for i in places)}])",
        phrasings=(" ".join(f"{{t{i}}}" for i in places),),
        slots={(f"t{i}", f"o{i}"): symbols for i in places},
        corruptions={"another_input": {f"t{i}": f"o{i}" for i in places}},
        answers=None,
        foils=None,
        differs="The corrupted input has a different symbol at every position; the paper uses another "
        "input of the batch.",
        symbols=symbols,
    )


TRACR_REVERSE = _program(
    "tracr_reverse",
    "Five symbols from a set of three; the bundled program `tracr-reverse` reverses them.",
    ("1", "2", "3"),
)

TRACR_XPROPORTION = _program(
    "tracr_xproportion",
    "Five symbols from a set of four; the bundled program `tracr-xproportion` outputs the fraction so far "
    "that is x.",
    ("w", "x", "y", "z"),
)

TASKS: Mapping[str, Task] = {each.name: each for each in [*globals().values()] if isinstance(each, Task)}
"""Every task of this file by its name, in the order in which they stand."""
