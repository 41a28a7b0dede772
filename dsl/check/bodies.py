"""What a block's body holds besides keys: slots, replacements, groups and paths."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from itertools import chain
from typing import Literal

from nncirc.circuits.data import WORD_LISTS
from nncirc.circuits.names import Input, Node
from nncirc.circuits.words import did_you_mean, ticked
from nncirc.dsl.blocks import SCORES
from nncirc.dsl.check.nodes import ENDS, at_position, meant, node, position
from nncirc.dsl.check.program import (
    Choices,
    EdgePath,
    Generator,
    GroupRef,
    NamedList,
    RandomTokens,
    Ref,
    Replacement,
    Slot,
    Term,
    Where,
)
from nncirc.dsl.check.scope import Draft, Scope
from nncirc.dsl.check.values import kind_of
from nncirc.dsl.text import syntax
from nncirc.dsl.text.diagnostics import Label
from nncirc.dsl.text.source import Span


def _attributes(scope: Scope, block: syntax.Block, example: str) -> Iterator[syntax.Attribute]:
    """The attributes of an inner block; anything else in it is reported."""
    if block.label is not None or block.implementation is not None:
        odd = block.label or block.implementation
        assert odd is not None
        problem = f"a `{block.kind.text}` block takes no name"
        advice = f"write `{block.kind.text} {{`"
        scope.report("C118", problem, odd.span, help=advice)
    for statement in block.body:
        if isinstance(statement, syntax.Attribute):
            yield statement
        else:
            problem = f"a `{block.kind.text}` block takes only `name = value`"
            scope.report("C118", problem, statement.span, help=f"for example, `{example}`")


def _is_free(
    scope: Scope, name: syntax.Name, taken: Mapping[str, Span], what: str, of: str, reserved: Container[str]
) -> bool:
    """Whether something may have a name: not one of those reserved for an `of`; reports if not."""
    if name.text in reserved:
        problem = f"`{name.text}` is reserved for a {of} and cannot name a {what}"
        scope.report("C116", problem, name.span, help="choose another name")
    elif name.text in taken:
        labels = (Label(taken[name.text], "first here"),)
        scope.report("C107", f"duplicate {what} `{name.text}`", name.span, labels=labels)
    return name.text not in taken and name.text not in reserved


def read_slots(scope: Scope, block: syntax.Block, draft: Draft) -> None:
    """`slots { IO, S = names }`."""
    for number, statement in enumerate(_attributes(scope, block, 'place = ["store", "garden"]')):
        generator = _generator(scope, statement.value, statement.targets[0].text)
        for target in statement.targets:
            if _is_free(scope, target, draft.slot_spans, "slot", "position", {"start", "end"}):
                draft.slot_spans[target.text] = target.span
                if generator is not None:
                    draft.slots[target.text] = Slot(target.text, generator, number)
        if isinstance(generator, Choices) and len(statement.targets) > len(generator.items):
            scope.report(
                "C217",
                f"{len(statement.targets)} slots need as many different words, found {len(generator.items)}",
                statement.value.span,
                help="add words, or declare the slots on separate lines (they may then be equal)",
            )


def _generator(scope: Scope, value: syntax.Value, name: str) -> Generator | None:
    actual = scope.actual(value)
    match actual:
        case syntax.Ref() if actual.text in WORD_LISTS:
            named: Literal["names", "places", "objects"] = actual.text  # type: ignore[assignment]
            return NamedList(named)
        case syntax.Ref():
            otherwise = "expected `names`, `places`, `objects` or a list of strings"
            advice = did_you_mean(actual.text, WORD_LISTS, otherwise)
            scope.report("C203", f"unknown word list `{actual.text}`", actual.span, help=advice)
            return None
        case syntax.List(items=items):
            words = [item for item in items if isinstance(item, syntax.String)]
            for item in items:
                if not isinstance(item, syntax.String):
                    scope.report("C201", f"a slot's words must be strings, found {kind_of(item)}", item.span)
            if not items:
                scope.report("C204", f"the list for the slot `{name}` is empty", actual.span)
            first: dict[str, Span] = {}
            for word in words:
                if word.value in first:
                    labels = (Label(first[word.value], "first here"),)
                    scope.report("C205", f"duplicate item {word.span.text}", word.span, labels=labels)
                first.setdefault(word.value, word.span)
                if not word.value:
                    scope.report("C204", "a slot's word is empty", word.span)
            return Choices(tuple(w.value for w in words)) if len(words) == len(items) and items else None
        case syntax.Call(function=function, arguments=arguments):
            return _random_tokens(scope, function, arguments, actual.span)
        case _:
            scope.report(
                "C201",
                "a slot takes a list of strings, `names`, `places`, `objects` or `random_tokens(24)`, "
                f"not {kind_of(actual)}",
                actual.span,
            )
            return None


def _random_tokens(
    scope: Scope, function: syntax.Name, arguments: tuple[syntax.Argument, ...], span: Span
) -> RandomTokens | None:
    if function.text != "random_tokens":
        advice = did_you_mean(function.text, ["random_tokens"], "expected `random_tokens(24)`")
        scope.report("C110", f"unknown function `{function.text}` for a slot", function.span, help=advice)
        return None
    if len(arguments) == 1 and (arguments[0].key is None or arguments[0].key.text == "length"):
        value = scope.actual(arguments[0].value)
        if isinstance(value, syntax.Number) and isinstance(value.value, int):
            if value.value < 1:
                scope.report("C202", "`random_tokens` needs at least 1 token", arguments[0].span)
                return None
            return RandomTokens(value.value)
    scope.report(
        "C121", "`random_tokens` needs a whole number of tokens", span, help="write `random_tokens(24)`"
    )
    return None


def read_replacement(scope: Scope, path: syntax.Path) -> Replacement | None:
    """`S.2 -> C`."""
    if len(path.terms) != 2:
        advice = "write `S.2 -> C`: the second S becomes C"
        scope.report("C118", "a replacement has exactly two sides", path.span, help=advice)
        return None
    left, right = path.terms
    for side in path.terms:
        if not isinstance(side, syntax.Ref):
            scope.report("C201", f"expected a slot, found {kind_of(side)}", side.span)
    if not isinstance(left, syntax.Ref) or not isinstance(right, syntax.Ref):
        return None
    found = position(scope, left)
    if len(right.parts) > 1:
        advice = f"write `{right.parts[0].text}`"
        scope.report("C118", "the replacement must be a slot name without an index", right.span, help=advice)
        return None
    return None if found is None else Replacement(found.name, found.occurrence, right.text)


def read_groups(scope: Scope, block: syntax.Block, draft: Draft) -> None:
    """`groups { induction = [L5H5, L6H9] }`."""
    for statement in _attributes(scope, block, "induction = [L5H5, L6H9]"):
        members: list[Node | Where] = []
        places: list[Span] = []
        items = statement.value.items if isinstance(statement.value, syntax.List) else (statement.value,)
        if not items:
            scope.report("C204", f"the group `{statement.targets[0].text}` is empty", statement.value.span)
        for item in items:
            member = _member(scope, item)
            if member is not None:
                members.append(member)
                places.append(item.span)
        for target in statement.targets:
            if _is_free(scope, target, draft.group_spans, "group", "node", ENDS):
                draft.group_spans[target.text] = target.span
                draft.groups[target.text] = tuple(members)
                draft.member_spans[target.text] = tuple(places)


def _member(scope: Scope, item: syntax.Value) -> Node | Where | None:
    if isinstance(item, syntax.Call):
        return _where(scope, item)
    found = node(scope, item)
    if found is None:
        likely = meant(item)
        problem = f"a group takes nodes such as `L5H5`, or `where(…)`, not {kind_of(item)}"
        scope.report("C201", problem, item.span, help=f"write `{likely}`" if likely else None)
    elif found.kind in ENDS:
        scope.report("C201", f"`{found}` cannot be in a group; write it in the path itself", item.span)
        return None
    elif found.input is not None:
        advice = f"write the input in the path: `embed -> group.{found.input}`"
        scope.report("C230", "a group takes whole nodes, not their inputs", item.span, help=advice)
        return None
    return found


def _where(scope: Scope, call: syntax.Call) -> Where | None:
    if call.function.text != "where":
        problem = f"unknown function `{call.function.text}` for a group"
        advice = did_you_mean(
            call.function.text, ["where"], "expected `where(scores.statistic, above = 0.5)`"
        )
        scope.report("C110", problem, call.function.span, help=advice)
        return None
    limits: dict[str, float] = {}
    subject: syntax.Ref | None = None
    for argument in call.arguments:
        key, value = argument.key, argument.value
        if key is None and subject is None and isinstance(value, syntax.Ref):
            subject = value
            continue
        if key is None or key.text not in {"above", "below"}:
            problem = "`where` takes a statistic, and `above` or `below`"
            scope.report("C121", problem, argument.span, help="write `where(scores.copying, above = 0.5)`")
            return None
        if key.text in limits:
            scope.report("C106", f"duplicate argument `{key.text}`", key.span)
        actual = scope.actual(value)
        if not isinstance(actual, syntax.Number):
            scope.report("C201", f"`{key.text}` takes a number, not {kind_of(value)}", value.span)
            return None
        limits[key.text] = actual.value
    if subject is None or not limits:
        missing = "a statistic" if subject is None else "`above` or `below`"
        scope.report(
            "C121", f"`where` needs {missing}", call.span, help="write `where(scores.copying, above = 0.5)`"
        )
        return None
    if len(subject.parts) < 2:
        advice = f"write `{subject.text}.copying`, or another statistic computed there"
        scope.report("C121", "`where` needs a statistic", subject.span, help=advice)
        return None
    # What follows the scores is the column, and some columns have a dot in them: `direct.S.2`.
    shorter = (n for n in range(1, len(subject.parts)) if isinstance(scope.find(subject.parts[:n]), Draft))
    count = next(shorter, len(subject.parts) - 1)
    parts, rest = subject.parts[:count], subject.parts[count:]
    ref, column = syntax.Ref(parts, parts[0].span.to(parts[-1].span)), ".".join(part.text for part in rest)
    draft = scope.declaration(ref, ("scores",))
    if draft is None or not _has_column(scope, draft, ref.text, column, rest):
        return None
    return Where(Ref(draft.name), column, limits.get("above"), limits.get("below"))


def _has_column(scope: Scope, draft: Draft, name: str, column: str, parts: tuple[syntax.Name, ...]) -> bool:
    """Whether `where(name.column)` names a number that scores have for every head; reports if not."""
    key = SCORES[draft.implementation].statistics
    span = parts[0].span.to(parts[-1].span)
    if not key:
        others = ticked(other for other, each in SCORES.items() if each.statistics)
        advice = f"use scores made with {others}"
        labels = (draft.uses,)
        scope.report("C231", f"`{name}` has no head scores for `where`", span, labels=labels, help=advice)
        return False
    if key == "heads":
        if re.fullmatch(r"L\d+H\d+", column):
            return True
        help_text = f"its columns are heads: write `{name}.L0H2`"
        scope.report("C231", f"unknown column `{column}` in `{name}`", span, help=help_text)
        return False
    given = draft.values.get(key)
    known = [str(each) for each in given] if isinstance(given, tuple) else None
    if known is None or column in known:
        return True
    does, it = (
        ("does not compute", "it computes these")
        if key == "of"
        else ("is not read at", "it is read at these positions")
    )
    problem = f"`{name}` {does} `{column}`"
    near = did_you_mean(column, known, f"add `{column}` to its `{key}`")
    scope.report("C231", problem, span, labels=(Label(draft.where(key), it),), help=near)
    return False


def read_path(
    scope: Scope, path: syntax.Path, groups: dict[str, Span]
) -> tuple[EdgePath, tuple[tuple[Span, ...], ...]] | None:
    """`embed -> [a, b.k] -> logits`, and the places of its terms."""
    steps: list[tuple[Term, ...]] = []
    places: list[tuple[Span, ...]] = []
    good = True
    for value in path.terms:
        items = value.items if isinstance(value, syntax.List) else (value,)
        if not items:
            scope.report("C204", "empty step in the path", value.span)
        terms = [_term(scope, item, groups) for item in items]
        good = good and bool(items) and None not in terms
        steps.append(tuple(term for term in terms if term is not None))
        places.append(tuple(item.span for item in items))
    score = None if path.score is None else path.score.value
    return (EdgePath(tuple(steps), path.span, score), tuple(places)) if good else None


def _term(scope: Scope, value: syntax.Value, groups: dict[str, Span]) -> Term | None:
    found = node(scope, value)
    if found is not None:
        return found
    at = None
    if isinstance(value, syntax.Placed):
        at = position(scope, value.position)
        value = value.ref
    if not isinstance(value, syntax.Ref):
        likely = meant(value)
        advice = f"write `{likely}`" if likely else None
        scope.report("C201", f"expected a node or a group, found {kind_of(value)}", value.span, help=advice)
        return None
    first, *rest = value.parts
    if first.text in ENDS:
        problem = f"`{first.text}` has no inputs of its own"
        advice = at_position(first.text, rest) or f"write `{first.text}`"
        scope.report("C230", problem, value.span, help=advice)
        return None
    if first.text not in groups:
        if likely := meant(value):
            problem = f"expected a node, found `{value.text}`"
            scope.report("C104", problem, value.span, help=f"write `{likely}`")
            return None
        advice = did_you_mean(first.text, chain(groups, ENDS), "declare it in `groups { … }`")
        scope.report("C104", f"unknown group or node `{first.text}`", first.span, help=advice)
        return None
    if len(rest) > 1 or (rest and rest[0].text not in {"q", "k", "v"}):
        scope.report("C230", "unknown input of a group; expected `.q`, `.k` or `.v`", value.span)
        return None
    entry: Input | None = rest[0].text if rest else None  # type: ignore[assignment]
    return GroupRef(first.text, entry, at)
