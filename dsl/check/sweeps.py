"""Families: `threshold = [0.01, 0.02]` makes one circuit for each number.

What refers to a family becomes one, member by member; a list of circuits takes all its members in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from nncirc.circuits.names import Position
from nncirc.dsl.blocks import KINDS
from nncirc.dsl.check.program import (
    Apply,
    Assertion,
    Calculation,
    Declaration,
    Expression,
    Group,
    Property,
    Ref,
    Value,
    Where,
)
from nncirc.dsl.check.scope import Draft, Scope, ordered
from nncirc.dsl.check.written import Files
from nncirc.dsl.text.diagnostics import Label
from nncirc.dsl.text.limits import MOST_IN_ALL, MOST_MEMBERS
from nncirc.dsl.text.source import Span


def expand(
    scope: Scope, drafts: Mapping[str, Draft], claims: Sequence[Assertion]
) -> tuple[dict[str, Declaration], dict[str, tuple[str, ...]], list[Assertion]]:
    """Declarations in order, families, and claims about single members."""
    expansion = _Expansion(scope, drafts)
    # What a used file draws is not drawn again: it is used for its declarations.
    wanted = {
        name: draft
        for name, draft in drafts.items()
        if not (KINDS[draft.kind].output and draft.span.source is not scope.source)
    }
    for name in ordered(wanted):
        expansion.declare(wanted[name])
    assertions = [each for claim in claims for each in expansion.claim(claim)]
    return expansion.declarations, expansion.families, assertions


class _Expansion:
    def __init__(self, scope: Scope, drafts: Mapping[str, Draft]) -> None:
        self.scope = scope
        self.drafts = drafts
        self.families: dict[str, tuple[str, ...]] = {}
        self.roots: dict[str, str] = {}  # a family -> the one whose list of numbers made it
        self.declarations: dict[str, Declaration] = {}
        self.files = Files(scope)
        self.total = 0  # members of families, and claims about them

    def fits(self, span: Span, members: int) -> bool:
        """Whether so many more members are not too many; reports if so, once."""
        before, self.total = self.total, self.total + members
        if before <= MOST_IN_ALL < self.total:
            problem = f"too many members: all families together may have at most {MOST_IN_ALL:,}"
            self.scope.report("C132", problem, span, help="use fewer numbers in the lists")
        return self.total <= MOST_IN_ALL

    def single(self, draft: Draft) -> list[str]:
        """The families that a draft refers to where one declaration is wanted, by their roots."""
        names = [value.name for value in draft.values.values() if isinstance(value, Ref)]
        names += [
            each.scores.name for group in draft.groups.values() for each in group if isinstance(each, Where)
        ]
        return [name for name in names if name in self.families]

    def declare(self, draft: Draft) -> None:
        used = self.single(draft)
        own = [draft.name] if draft.members else []
        roots = dict.fromkeys([*own, *(self.roots[name] for name in used)])
        if len(roots) > 1:
            first, second = list(roots)[:2]
            span = draft.span if draft.name not in roots else draft.where(draft.members or "")
            places = [
                Label(self.drafts[name].place, "a family") for name in (first, second) if name != draft.name
            ]
            problem = f"`{draft.name}` varies with both `{first}` and `{second}`"
            self.scope.report("C208", problem, span, labels=places, help="fix one of them to a single member")
            return
        if not roots:
            self.add(draft, draft.name, None, None)
            return
        root = next(iter(roots))
        numbers = draft.values[draft.members] if draft.members else self.families[root]
        assert isinstance(numbers, tuple)
        if len(numbers) > MOST_MEMBERS:
            self.scope.report(
                "C208",
                f"too many members: a family may have at most {MOST_MEMBERS}",
                draft.where(draft.members or ""),
            )
            return
        if not self.fits(draft.span, len(numbers)):
            return
        members = tuple(f"{draft.name}[{index}]" for index in range(len(numbers)))
        self.families[draft.name] = members
        self.roots[draft.name] = root
        for index, name in enumerate(members):
            self.add(draft, name, draft.name, index)

    def add(self, draft: Draft, name: str, family: str | None, index: int | None) -> None:
        values: dict[str, Value] = {}
        for key in KINDS[draft.kind].implementations[draft.implementation].keys:
            value = draft.values.get(key)
            if key == draft.members and isinstance(value, tuple) and index is not None:
                value = value[index]
            elif key == "file" and KINDS[draft.kind].output and isinstance(value, str) and index is not None:
                path = PurePosixPath(value)
                value = str(path.with_name(f"{path.stem}-{index}{path.suffix}"))
            values[key] = self.member(value, index)
        self.declarations[name] = Declaration(
            name=name,
            kind=draft.kind,
            implementation=draft.implementation,
            values=values,
            span=draft.span,
            spans=draft.spans,
            slots=draft.slots,
            replacements=draft.replacements,
            groups={key: self.group(group, index) for key, group in draft.groups.items()},
            paths=draft.paths,
            family=family,
        )
        self.files.add(draft, name, values.get("file"))
        if draft.implementation == "difference" and len(values["circuits"] or ()) != 2:  # type: ignore[arg-type]
            problem = "`difference` takes two circuits, found a family"
            self.scope.report("C208", problem, draft.where("circuits"), help="name two of its members")

    def member(self, value: Value, index: int | None) -> Value:
        """A reference to a family becomes one to its member; in a list, to all its members."""
        if isinstance(value, Ref) and value.name in self.families and index is not None:
            return Ref(self.families[value.name][index])
        if isinstance(value, tuple) and not isinstance(value, Position):
            flat: list[Value] = []
            for item in value:
                if isinstance(item, Ref) and item.name in self.families:
                    flat += [Ref(name) for name in self.families[item.name]]
                else:
                    flat.append(item)
            return tuple(flat)
        return value

    def group(self, group: Group, index: int | None) -> Group:
        if index is None:
            return group
        return tuple(
            replace(each, scores=Ref(self.families[each.scores.name][index]))
            if isinstance(each, Where) and each.scores.name in self.families
            else each
            for each in group
        )

    def claim(self, claim: Assertion) -> list[Assertion]:
        names = [name for name in claim.references() if name in self.families]
        roots = dict.fromkeys(self.roots[name] for name in names)
        if len(roots) > 1:
            problem = f"this claim varies with two families, `{names[0]}` and `{names[1]}`"
            labels = [Label(self.drafts[root].place, "a family") for root in roots]
            advice = "fix one of them to a single member"
            self.scope.report("C208", problem, claim.span, labels=labels, help=advice)
            return []
        if not names:
            return [claim]
        found: list[Assertion] = []
        if not self.fits(claim.span, len(self.families[names[0]])):
            return found
        for index, member in enumerate(self.families[names[0]]):

            def choose(value: Value, index: int = index) -> Value:
                return self.member(value, index)

            left, right = _with(claim.left, choose), _with(claim.right, choose)
            found.append(replace(claim, left=left, right=right, about=member))
        return found


def _with(expression: Expression, choose: Callable[[Value], Value]) -> Expression:
    if isinstance(expression, Calculation):
        left, right = _with(expression.left, choose), _with(expression.right, choose)
        return replace(expression, left=left, right=right)
    if isinstance(expression, Property):
        circuit = choose(expression.circuit)
        assert isinstance(circuit, Ref)
        return replace(expression, circuit=circuit)
    if isinstance(expression, Apply):
        return replace(expression, arguments={k: choose(v) for k, v in expression.arguments.items()})
    return expression
