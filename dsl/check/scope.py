"""Names while a script is being checked: what each of them stands for, and the errors found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeAlias

from nncirc.circuits.names import Position
from nncirc.circuits.words import nearest, ticked
from nncirc.dsl.check.program import EdgePath, Group, Replacement, Slot, Value, referred
from nncirc.dsl.check.types import kinds_in_words
from nncirc.dsl.text import syntax
from nncirc.dsl.text.diagnostics import Diagnostic, Label, Severity
from nncirc.dsl.text.source import Source, Span


@dataclass(slots=True)
class Draft:
    """A declaration in the making. A key with a wrong value is absent from `values`.

    A family key that was given a list holds a tuple, and `members` names the key.
    """

    name: str
    kind: str
    implementation: str
    span: Span
    place: Span  # of the name, for second labels
    values: dict[str, Value] = field(default_factory=dict)
    spans: dict[str, Span] = field(default_factory=dict)
    written: dict[str, syntax.Value] = field(default_factory=dict)
    slots: dict[str, Slot] = field(default_factory=dict)
    slot_spans: dict[str, Span] = field(default_factory=dict)
    replacements: tuple[Replacement, ...] = ()
    replacement_spans: list[syntax.Path] = field(default_factory=list)
    groups: dict[str, Group] = field(default_factory=dict)
    group_spans: dict[str, Span] = field(default_factory=dict)
    member_spans: dict[str, tuple[Span, ...]] = field(default_factory=dict)
    paths: tuple[EdgePath, ...] = ()
    path_spans: list[tuple[tuple[Span, ...], ...]] = field(default_factory=list)
    members: str | None = None
    graph: str | None = None  # of circuits and scores: the graph that they are of, once known
    corruption: str | None = None  # likewise the corruption that they were found with
    # What is made of others of its kind: of how many that are of no others, how deep; None if of too many.
    parts: tuple[int, int] | None = (1, 0)
    often: dict[str, tuple[int, int, int]] | None = None  # of prompts: how often their slots are in them
    unit: str = ""  # of a metric's values, where that is known

    @property
    def count(self) -> int:
        """How many it is: of a family its members."""
        numbers = self.values.get(self.members or "")
        return len(numbers) if isinstance(numbers, tuple) else 1

    @property
    def uses(self) -> Label:
        """Where it is declared, and what it uses."""
        return Label(self.place, f"uses {self.implementation}")

    def where(self, *keys: str) -> Span:
        """The place of the first of some values that is written, or of the header where all are defaults."""
        return next((self.spans[key] for key in keys if key in self.spans), self.span)

    def items(self, key: str) -> list[tuple[Value, Span]]:
        """The values under a key, those of a list each by itself, and where they stand."""
        value, written = self.values.get(key), self.written.get(key)
        values = value if isinstance(value, tuple) and not isinstance(value, Position) else (value,)
        spans = [item.span for item in written.items] if isinstance(written, syntax.List) else []
        if len(spans) != len(values):
            spans = [self.where(key)] * len(values)
        return list(zip(values, spans, strict=True))

    def reads(self) -> Iterator[tuple[str, str]]:
        """Key and name of every declaration that it refers to."""
        return referred(self.values, self.groups)


@dataclass(frozen=True, slots=True)
class Constant:
    """A top-level constant, down to the value that it finally has."""

    name: str
    value: syntax.Value
    place: Span


@dataclass(slots=True)
class Module:
    """A used file; `scope` is None where it could not be read."""

    name: str
    place: Span
    scope: Scope | None


@dataclass(frozen=True, slots=True)
class Broken:
    """A name whose declaration has an error of its own, so that nothing more is said about it."""

    kind: str
    place: Span


Entry: TypeAlias = Draft | Constant | Module | Broken


def method_in_words(kind: str) -> str:
    """What `using` names in a block of a kind: `circuit method`, `metric`."""
    return f"{kind} method" if kind in {"circuit", "scores"} else kind


@dataclass(slots=True)
class Scope:
    """One file. `drafts` and `diagnostics` are shared with the files that use it.

    `first_keys` has of every kind its implementations, and of each the key that comes first.
    """

    source: Source
    prefix: str
    diagnostics: list[Diagnostic]
    drafts: dict[str, Draft]
    first_keys: Mapping[str, Mapping[str, str]]
    names: dict[str, Entry] = field(default_factory=dict)

    def report(
        self,
        code: str,
        message: str,
        span: Span,
        *,
        labels: Iterable[Label] = (),
        help: str | None = None,  # noqa: A002
        severity: Severity = "error",
    ) -> None:
        """Note a finding."""
        self.diagnostics.append(Diagnostic(code, message, span, "", tuple(labels), help, severity))

    def qualified(self, name: str) -> str:
        """The name by which the whole program knows a name of this file."""
        return f"{self.prefix}{name}"

    def find(self, parts: Sequence[syntax.Name]) -> Entry | None:
        """What a dotted name stands for; None if the name is unknown."""
        entry = self.names.get(parts[0].text)
        for part in parts[1:]:
            if not isinstance(entry, Module):
                return None
            if entry.scope is None:
                return Broken("", entry.place)
            entry = entry.scope.names.get(part.text)
        return entry

    def constant(self, value: syntax.Value) -> Constant | None:
        """The constant that a value names, if it does."""
        if not isinstance(value, syntax.Ref):
            return None
        entry = self.find(value.parts)
        return entry if isinstance(entry, Constant) else None

    def actual(self, value: syntax.Value) -> syntax.Value:
        """The value of the constant that a value names, or the value itself."""
        constant = self.constant(value)
        return value if constant is None else constant.value

    def declaration(self, ref: syntax.Ref, kinds: Sequence[str]) -> Draft | None:
        """The declaration that a name stands for; reports if it is missing or of another kind."""
        entry = self.find(ref.parts)
        if isinstance(entry, Broken):
            return None
        if isinstance(entry, Draft) and entry.kind in kinds:
            return entry
        wanted = kinds_in_words(kinds)
        if entry is None:
            self._unknown(ref, kinds)
        elif isinstance(entry, Draft):
            problem = f"expected {wanted}, found the {entry.kind} `{ref.text}`"
            labels = (Label(entry.place, f"declared as {kinds_in_words([entry.kind])} here"),)
            self.report("C108", problem, ref.span, labels=labels, help=self.of_kind(kinds))
        else:
            what = "constant" if isinstance(entry, Constant) else "used file"
            inside = ""
            if isinstance(entry, Module) and entry.scope is not None:
                some = ticked(f"{ref.text}.{name}" for name in islice(entry.scope.known(kinds), 8))
                inside = f"it has {some}" if some else ""
            problem = f"expected {wanted}, found the {what} `{ref.text}`"
            advice = inside or self.of_kind(kinds)
            self.report("C108", problem, ref.span, labels=(Label(entry.place, "declared here"),), help=advice)
        return None

    def _unknown(self, ref: syntax.Ref, kinds: Sequence[str]) -> None:
        *parts, last = ref.parts
        head = self.find(parts) if parts else None
        wanted = kinds_in_words(kinds)
        if isinstance(head, Draft):
            problem = f"expected {wanted}, found `.{last.text}` of the {head.kind} `{head.name}`"
            labels = (Label(head.place, "declared here"),)
            only = "properties such as `found.edges` are allowed only in claims"
            advice = only if head.kind == "circuit" else None
            self.report("C117", problem, last.span, labels=labels, help=advice)
            return
        scope, prefix = self, ""
        if isinstance(head, Module) and head.scope is not None:
            scope, prefix = head.scope, f"{ref.text.rpartition('.')[0]}."
        elif len(ref.parts) > 1:
            last = ref.parts[0]
        near = nearest(last.text, scope.known(kinds)) or nearest(last.text, scope.names)
        where = f" in `{prefix[:-1]}`" if prefix else ""
        help_text = f"did you mean `{prefix}{near}`?" if near else None
        if help_text is None and not prefix:
            for kind in kinds:
                if first := self.first_keys[kind].get(ref.text):
                    help_text = f"to use it inline, write `{ref.text}({first} = …)`"
        problem = f"unknown {' or '.join(kinds)} `{last.text}`{where}"
        self.report("C104", problem, last.span, help=help_text or self.of_kind(kinds))

    def known(self, kinds: Sequence[str]) -> Iterator[str]:
        """The names of this file's declarations of some kinds."""
        return (n for n, e in self.names.items() if isinstance(e, Draft | Broken) and e.kind in kinds)

    def of_kind(self, kinds: Sequence[str]) -> str:
        """What to write where a declaration of some kinds is expected."""
        some = ticked(islice(self.known(kinds), 8))
        return f"this script has {some}" if some else f"declare one: `{kinds[0]} name using … {{`"


def ordered(
    drafts: Mapping[str, Draft], on_cycle: Callable[[Sequence[str]], None] | None = None
) -> list[str]:
    """The names sorted so that each follows what it refers to, otherwise in the order given.

    A reference that closes a circle is passed to `on_cycle` as the names along it, and then ignored.
    Written without recursion: a script may chain any number of declarations.
    """
    done: dict[str, None] = {}
    for start in drafts:
        path: dict[str, list[str]] = {}
        stack = [start] if start not in done else []
        while stack:
            name = stack[-1]
            if name not in path:
                path[name] = [n for _, n in drafts[name].reads() if n in drafts][::-1]
            if path[name]:
                following = path[name].pop()
                if following in path:
                    names = list(path)
                    if on_cycle is not None:
                        on_cycle(names[names.index(following) :])
                elif following not in done:
                    stack.append(following)
            else:
                del path[name]
                done[name] = None
                stack.pop()
    return list(done)
