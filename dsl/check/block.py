"""One block, or one inline call, against its declaration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nncirc.circuits.words import did_you_mean, nearest, ticked
from nncirc.dsl.blocks import KINDS, SCORES, Implementation
from nncirc.dsl.check.bodies import read_groups, read_path, read_replacement, read_slots
from nncirc.dsl.check.declared import Known, Meaning
from nncirc.dsl.check.scope import Draft, Scope, method_in_words, ordered
from nncirc.dsl.check.shapes import SizesProvider
from nncirc.dsl.check.types import Reference, describe, kinds_in_words
from nncirc.dsl.check.values import Wrong, convert
from nncirc.dsl.check.written import Files
from nncirc.dsl.text import syntax
from nncirc.dsl.text.diagnostics import Label
from nncirc.dsl.text.source import Span

_INNER = {"slots": "slots", "edges": "groups"}


class Checks:
    """The declarations of one file that are to be checked, each by what is declared of it."""

    def __init__(self, scope: Scope, sizes: SizesProvider, known: Known) -> None:
        self.meaning = Meaning(scope, sizes, known, SCORES)
        self.drafts = scope.drafts
        self.mine: dict[str, Draft] = {}
        self.files = Files(scope)

    def add(self, draft: Draft) -> None:
        """A declaration that was read; one whose name another has is nothing that others refer to."""
        known = self.drafts.get(draft.name) is draft
        self.mine[draft.name if known else f"{draft.name} at {draft.place.start}"] = draft

    def check(self) -> None:
        """All checks, on everything added."""
        mine = dict(sorted(self.mine.items(), key=lambda item: item[1].span.start))
        for draft in mine.values():
            # Of a family each member is written, as `sweeps.py` knows; of a used file nothing is.
            known = self.drafts.get(draft.name) is draft
            if known and not draft.members and not self.meaning.scope.prefix:
                self.files.add(draft, draft.name, draft.values.get("file"))
        for name in ordered(mine, self.cycle):
            draft = mine[name]
            graph = self.meaning.get(draft, "graph")
            if graph is not None:
                draft.graph = graph.name
            implementation = KINDS[draft.kind].implementations[draft.implementation]
            if implementation.check is not None:
                implementation.check(self.meaning, draft)
        self.mine.clear()  # claims add more, and are checked by themselves

    def cycle(self, names: Sequence[str]) -> None:
        """Report a circle of references, and forget the last of them."""
        last, first = self.mine[names[-1]], names[0]
        local = [name.removeprefix(self.meaning.scope.prefix) for name in (*names, first)]
        key = next(key for key, name in last.reads() if name == first)
        problem = f"circular declarations: {' -> '.join(local)}"
        labels = [Label(self.mine[name].place, f"`{self.mine[name].name}`") for name in names[:4]]
        advice = "one of them must not depend on the others"
        self.meaning.report("C109", problem, last.where(key), labels=labels, help=advice)
        last.values.pop(key, None)


@dataclass(frozen=True, slots=True)
class _Given:
    """A key and its value, as written in a block or a call."""

    key: str
    place: Span
    value: syntax.Value


def read_block(scope: Scope, block: syntax.Block, draft: Draft, checks: Checks) -> None:
    """Fill a draft from its block, and hand it to `checks`."""
    implementation = KINDS[draft.kind].implementations[draft.implementation]
    given: list[_Given] = []
    inner: dict[str, syntax.Block] = {}
    paths: list[syntax.Path] = []
    for statement in block.body:
        match statement:
            case syntax.Attribute(targets=(target,)):
                given.append(_Given(target.text, target.span, statement.value))
            case syntax.Attribute():
                problem = "only `slots` accepts several names on the left of `=`"
                scope.report("C118", problem, statement.span, help="write one key per line")
            case syntax.Block():
                _inner_block(scope, statement, implementation, draft, inner)
            case syntax.Path() if implementation.extra in {"replacements", "edges"}:
                paths.append(statement)
            case syntax.Path():
                advice = "paths are allowed in `replace` (slots) and `reference` (nodes)"
                scope.report("C118", f"`{draft.implementation}` takes no paths", statement.span, help=advice)
            case syntax.Use() | syntax.Assertion():
                word = "use" if isinstance(statement, syntax.Use) else "assert"
                scope.report(
                    "C118", f"`{word}` is not allowed inside a block", statement.span, help="move it outside"
                )
    _fill(scope, draft, implementation, given, checks)
    if "slots" in inner:
        read_slots(scope, inner["slots"], draft)
    if "groups" in inner:
        read_groups(scope, inner["groups"], draft)
    _read_paths(scope, draft, implementation, paths)
    checks.add(draft)


def _inner_block(
    scope: Scope,
    block: syntax.Block,
    implementation: Implementation,
    draft: Draft,
    inner: dict[str, syntax.Block],
) -> None:
    word = block.kind.text
    allowed = _INNER.get(implementation.extra or "")
    if word == allowed and word not in inner:
        inner[word] = block
        return
    if word == allowed:
        labels = (Label(inner[word].kind.span, "first here"),)
        scope.report("C106", f"duplicate block `{word}`", block.kind.span, labels=labels)
        return
    if word in KINDS:
        help_text = "move it outside this block; is a `}` missing above?"
    elif word in implementation.keys:
        help_text = f"`{word}` is a key: write `{word} = …`"
    else:
        help_text = f"its only inner block is `{allowed} {{`" if allowed else "it takes only keys"
    scope.report(
        "C118", f"`{draft.implementation}` takes no inner block `{word}`", block.kind.span, help=help_text
    )


def _fill(
    scope: Scope, draft: Draft, implementation: Implementation, given: Sequence[_Given], checks: Checks
) -> None:
    """Convert what was given, and fill in defaults."""
    seen: dict[str, Span] = {}

    def inline(call: syntax.Call, kinds: tuple[str, ...], name: str) -> str | None:
        return declare_inline(scope, call, kinds, name, checks)

    for each in given:
        key = implementation.keys.get(each.key)
        if key is None:
            _unknown_key(scope, draft, implementation, each)
        elif each.key in seen:
            labels = (Label(seen[each.key], "first here"),)
            scope.report("C106", f"duplicate key `{each.key}`", each.place, labels=labels)
        else:
            seen[each.key] = each.place
            name = f"{draft.name}.{each.key}"
            value = convert(scope, each.value, key.type, each.key, name, inline, key.family)
            draft.spans[each.key] = each.value.span
            draft.written[each.key] = each.value
            if not isinstance(value, Wrong):
                draft.values[each.key] = value
                if key.family and isinstance(value, tuple):
                    draft.members = each.key
    for name, key in implementation.keys.items():
        if name in seen:
            continue
        if key.required:
            near = {nearest(each.key, [name]) for each in given if each.key not in implementation.keys}
            if name not in near:
                problem = f"missing key `{name}` in `{draft.implementation}`"
                advice = f"add `{name} = …`: {key.doc} ({describe(key.type)})"
                scope.report("C105", problem, draft.span, help=advice)
        else:
            draft.values[name] = key.default


def _unknown_key(scope: Scope, draft: Draft, implementation: Implementation, given: _Given) -> None:
    known = ticked(implementation.keys)
    others = [name for name, each in KINDS[draft.kind].implementations.items() if given.key in each.keys]
    otherwise = f"its keys are {known}"
    if others:
        otherwise = f"`{others[0]}` has this key; `{draft.implementation}` has {known}"
    advice = did_you_mean(given.key, implementation.keys, otherwise)
    problem = f"unknown key `{given.key}` in `{draft.implementation}`"
    scope.report("C103", problem, given.place, help=advice)


def _read_paths(
    scope: Scope, draft: Draft, implementation: Implementation, paths: Sequence[syntax.Path]
) -> None:
    if implementation.extra == "replacements":
        found = []
        for path in paths:
            replacement = read_replacement(scope, path)
            if replacement is not None:
                found.append(replacement)
                draft.replacement_spans.append(path)
        draft.replacements = tuple(found)
        if not paths:
            scope.report(
                "C105", "`replace` has no replacements", draft.span, help="add a line such as `S.2 -> C`"
            )
    elif implementation.extra == "edges":
        read = [each for each in (read_path(scope, path, draft.group_spans) for path in paths) if each]
        draft.paths = tuple(path for path, _ in read)
        draft.path_spans = [places for _, places in read]
        if not paths:
            advice = "add a line such as `embed -> L5H5 -> logits`"
            scope.report("C105", "`reference` has no paths", draft.span, help=advice)


def declare_inline(
    scope: Scope, call: syntax.Call, kinds: tuple[str, ...], name: str, checks: Checks
) -> str | None:
    """`kl_divergence(at = end)` for a metric; an argument without a key is the first reference."""
    wanted = call.function.text
    kind = next((each for each in kinds if wanted in KINDS[each].implementations), None)
    if kind is None or KINDS[kind].output:
        known = [each for k in kinds for each in KINDS[k].implementations]
        help_text = did_you_mean(wanted, known, f"expected one of {ticked(known)}")
        elsewhere = [k for k, each in KINDS.items() if wanted in each.implementations]
        if elsewhere:
            help_text = f"`{wanted}` is for {kinds_in_words(elsewhere[:1])}; {help_text}"
        made = " or ".join(map(method_in_words, kinds))
        scope.report("C102", f"unknown {made} `{wanted}`", call.function.span, help=help_text)
        return None
    implementation = KINDS[kind].implementations[wanted]
    if implementation.extra:
        advice = f"write a block, `{kind} name using {wanted} {{`, and use its name here"
        scope.report("C118", f"`{wanted}` cannot be used inline", call.span, help=advice)
        return None
    draft = Draft(name, kind, wanted, call.span, call.function.span)
    given: list[_Given] = []
    first = next((k for k, each in implementation.keys.items() if isinstance(each.type, Reference)), None)
    for argument in call.arguments:
        if argument.key is not None:
            given.append(_Given(argument.key.text, argument.key.span, argument.value))
        elif first is not None and not given:
            given.append(_Given(first, argument.span, argument.value))
        else:
            keys = ", ".join(implementation.keys)
            advice = f"write `{wanted}(key = value)`; its keys are {keys}"
            scope.report("C121", f"argument without a key in `{wanted}`", argument.span, help=advice)
            return None
    _fill(scope, draft, implementation, given, checks)
    scope.drafts[name] = draft
    checks.add(draft)
    return name
