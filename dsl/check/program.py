"""The checked program: what `check` hands to the engine.

Every name in it is qualified and known to exist, every key of an implementation is present with its
default filled in, families are expanded, and declarations stand in an order in which they can be run.

    Type of the key               Python value
    number                        int or float
    text, word                    str
    boolean                       bool
    reference                     Ref
    list, "one or a list"         tuple (always a tuple, even of one)
    position                      Position
    node                          Node
    prompt, answer, foil          Template (`answer = next` is NextToken())
    sum of metrics and numbers    tuple in postfix order, of Ref, numbers and `+`, `-`, `*`, `/`
    absent and without default    None
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self, TypeAlias

from nncirc.circuits.arguments import public
from nncirc.circuits.names import Input, Node, Position
from nncirc.dsl.text.source import Source, Span

_PIECES = re.compile(r"\{\{|\}\}|\{[^{}]*\}|[{}]|[^{}]+")

Comparison: TypeAlias = Literal["==", "!=", "<=", ">=", "<", ">", "in"]


@dataclass(frozen=True, slots=True)
class Ref:
    """The qualified name of a declaration of the same program (`found`, `wang.ioi`, `found[0]`)."""

    name: str


@dataclass(frozen=True, slots=True)
class Where:
    """The heads whose statistic lies above and below given numbers (None: no limit on that side).

    `scores` is a declaration that scores heads, `statistic` one of its columns.
    """

    scores: Ref
    statistic: str
    above: float | None = None
    below: float | None = None


Group: TypeAlias = tuple[Node | Where, ...]


@dataclass(frozen=True, slots=True)
class GroupRef:
    """A named group of a reference circuit, entered through `input` (None: through every input).

    `position` leaves only those of its nodes that are there.
    """

    name: str
    input: Input | None = None
    position: Position | None = None


Term: TypeAlias = Node | GroupRef


@dataclass(frozen=True, slots=True)
class EdgePath:
    """`a -> [b, c.k] -> d`: every term of a step sends to every term of the next one.

    A term's input (`.q`, `.k`, `.v`) says how the edge *enters* it; it leaves by the output. A path that is
    one edge may have a score.
    """

    steps: tuple[tuple[Term, ...], ...]
    span: Span = field(compare=False, repr=False)
    score: float | None = None


@dataclass(frozen=True, slots=True)
class NextToken:
    """`answer = next`: at every measured position the answer is the token that comes next."""


@dataclass(frozen=True, slots=True)
class Placeholder:
    """`{S}` in a template: the `occurrence`-th `S` of it, from 1."""

    slot: str
    occurrence: int


@dataclass(frozen=True, slots=True)
class Template:
    """A text with slots: `parts` joined, placeholders filled, is the prompt (or answer, or foil)."""

    text: str
    parts: tuple[str | Placeholder, ...]

    @property
    def slots(self) -> tuple[str, ...]:
        """The slots in it, each once, in order of first occurrence."""
        return tuple(dict.fromkeys(part.slot for part in self.parts if isinstance(part, Placeholder)))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Split a text at its `{slot}`s; `{{` and `}}` stand for braces.

        Raises:
            ValueError: what is wrong, what to do, and the place of the brace concerned.
        """
        parts: list[str | Placeholder] = []
        counts: dict[str, int] = {}
        for match in _PIECES.finditer(text):
            piece, name = match[0], match[0][1:-1]
            problem = None
            if piece == "}":
                problem, advice = "unmatched `}`", "write a literal brace twice: `}}`"
            elif piece == "{":
                problem = "this `{` is never closed"
                advice = "add a closing `}`; write a literal brace twice: `{{`"
            elif piece[0] != "{" or piece == "{{":
                literal = piece[0] if piece in ("{{", "}}") else piece
                before = parts.pop() if parts and isinstance(parts[-1], str) else ""
                parts.append(f"{before}{literal}")
            elif not (name.isidentifier() and name.isascii()):
                problem = f"expected a slot name, found `{piece}`"
                advice = "write only the slot's name, such as `{S}`"
            else:
                counts[name] = counts.get(name, 0) + 1
                parts.append(Placeholder(name, counts[name]))
            if problem is not None:
                raise ValueError(problem, advice, match.start())
        return cls(text, tuple(parts))

    def count(self, slot: str) -> int:
        """How often a slot occurs in it."""
        return sum(isinstance(part, Placeholder) and part.slot == slot for part in self.parts)


@dataclass(frozen=True, slots=True)
class Choices:
    """A written list of strings."""

    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NamedList:
    """A list that comes with nncirc: `names`, `places` or `objects`."""

    name: Literal["names", "places", "objects"]


@dataclass(frozen=True, slots=True)
class RandomTokens:
    """`length` tokens drawn at random from the vocabulary."""

    length: int


Generator: TypeAlias = Choices | NamedList | RandomTokens


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot of a template dataset.

    Slots with the same `group` come from one line of the script: within a prompt they are drawn
    without replacement, so that they differ.
    """

    name: str
    generator: Generator
    group: int


@dataclass(frozen=True, slots=True)
class Replacement:
    """`S.2 -> C`: the second S becomes C; without an occurrence every S of the prompt does."""

    slot: str
    occurrence: int | None
    by: str


One: TypeAlias = bool | int | float | str | Ref | Position | Node | Template | NextToken
Value: TypeAlias = "One | tuple[Value, ...] | None"


def referred(values: Mapping[str, Value], groups: Mapping[str, Group]) -> Iterator[tuple[str, str]]:
    """Key or group, and name, of every declaration that a declaration refers to, in the order written."""
    for key, value in values.items():
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, Ref):
                yield key, item.name
    for name, group in groups.items():
        yield from ((name, member.scores.name) for member in group if isinstance(member, Where))


@public
@dataclass(frozen=True, slots=True)
class Declaration:
    """One block (or inline call) with everything that it says.

    Attributes:
        name: qualified; `found.metric` for what is written inline under `found`'s `metric`,
            `found[0]` for the first member of a family, `render.1` for an output without a label.
        kind: `model`, `dataset`, `corruption`, `graph`, `metric`, `scores`, `circuit`, `curve`,
            `compare`, `plot`, `render`.
        implementation: what follows `using`; an output's implementation is its kind.
        values: every key of the implementation, defaults filled in.
        span: the block's header or the inline call.
        spans: where each value that was written stands.
        slots: of a `template` dataset, by name.
        replacements: of a `replace` corruption.
        groups: of a `reference` circuit, by name.
        paths: of a `reference` circuit.
        family: the family's name where this is a member of one (`found` of `found[0]`).
    """

    name: str
    kind: str
    implementation: str
    values: Mapping[str, Value]
    span: Span = field(compare=False, repr=False)
    spans: Mapping[str, Span] = field(default_factory=dict, compare=False, repr=False)
    slots: Mapping[str, Slot] = field(default_factory=dict)
    replacements: tuple[Replacement, ...] = ()
    groups: Mapping[str, Group] = field(default_factory=dict)
    paths: tuple[EdgePath, ...] = ()
    family: str | None = None

    def references(self) -> tuple[str, ...]:
        """The names of the declarations that this one needs, each once, in the order written."""
        return tuple(dict.fromkeys(name for _, name in referred(self.values, self.groups)))


@dataclass(frozen=True, slots=True)
class Number:
    """A number in a claim."""

    value: int | float


@dataclass(frozen=True, slots=True)
class Range:
    """`[0.9, 1.1]`: all numbers from the one to the other, both among them."""

    low: int | float
    high: int | float


@dataclass(frozen=True, slots=True)
class Property:
    """`found.edges`, `found.nodes`: how many a circuit has."""

    circuit: Ref
    name: Literal["edges", "nodes"]


@dataclass(frozen=True, slots=True)
class Apply:
    """A function of declarations (`FUNCTIONS`), every argument filled in, the corruption too."""

    function: str
    arguments: Mapping[str, Value]


OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
"""What the signs of arithmetic do."""


@dataclass(frozen=True, slots=True)
class Calculation:
    """Two numbers of a claim and what is done with them."""

    left: Expression
    symbol: str
    right: Expression


Expression: TypeAlias = "Number | Range | Property | Apply | Calculation"


def leaves(expression: Expression) -> tuple[Number | Range | Property | Apply, ...]:
    """What a side of a claim is computed from."""
    if isinstance(expression, Calculation):
        return (*leaves(expression.left), *leaves(expression.right))
    return (expression,)


@public
@dataclass(frozen=True, slots=True)
class Assertion:
    """A claim. One about a family appears once for each member, which `about` names.

    `text` is the claim as written, without `assert`. On the right of `in` is a range, and nowhere else.
    """

    left: Expression
    comparison: Comparison
    right: Expression
    text: str
    span: Span = field(compare=False, repr=False)
    about: str | None = None

    def references(self) -> tuple[str, ...]:
        """The names of the declarations that the claim needs, each once."""
        found: list[Value] = []
        for side in (*leaves(self.left), *leaves(self.right)):
            if isinstance(side, Property):
                found.append(side.circuit)
            elif isinstance(side, Apply):
                found += side.arguments.values()
        return tuple(dict.fromkeys(each.name for each in found if isinstance(each, Ref)))


@public
@dataclass(frozen=True, slots=True)
class Program:
    """A script that checked without an error.

    Attributes:
        source: the script's text and name.
        constants: with `--set` applied, those of used files under their qualified names.
        declarations: by name, in an order in which each one's references come before it.
        families: a family's name -> its members' names, in the order of the list written.
        assertions: in the order written.
    """

    source: Source = field(compare=False)
    constants: Mapping[str, Value]
    declarations: Mapping[str, Declaration]
    families: Mapping[str, tuple[str, ...]]
    assertions: tuple[Assertion, ...]

    @public
    def of_kind(self, *kinds: str) -> tuple[Declaration, ...]:
        """The declarations of some kinds, in order."""
        return tuple(each for each in self.declarations.values() if each.kind in kinds)

    def needed(self, names: Iterable[str], known: Container[str] = ()) -> list[Declaration]:
        """Some declarations and all that they need, in order; not those that are known, nor what these need.

        Written without recursion: a script may chain any number of declarations.
        """
        found: set[str] = set()
        stack = list(names)
        while stack:
            name = stack.pop()
            if name not in found and name not in known:
                found.add(name)
                stack += self.declarations[name].references()
        return [each for name, each in self.declarations.items() if name in found]
