"""From a script to a checked program.

One file is read in the order: used files, names, constants, blocks, what they mean together, claims.
At the end the program is put in order and its families are expanded (`sweeps.py`).
"""

from __future__ import annotations

import os.path
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeAlias

from nncirc.circuits.arguments import public
from nncirc.circuits.door import read_file
from nncirc.circuits.words import counted, did_you_mean, nearest, suggestions, ticked
from nncirc.dsl.blocks import KINDS
from nncirc.dsl.blocks.datasets import check_slots_used
from nncirc.dsl.check.block import Checks, read_block
from nncirc.dsl.check.claims import read_claim
from nncirc.dsl.check.constants import LONE, overridden, read_constants, value_of
from nncirc.dsl.check.declared import Known
from nncirc.dsl.check.nodes import ENDS, NODE
from nncirc.dsl.check.program import Assertion, Program, Value
from nncirc.dsl.check.scope import Broken, Constant, Draft, Module, Scope, method_in_words
from nncirc.dsl.check.shapes import Sizes, SizesProvider, model_sizes
from nncirc.dsl.check.sweeps import expand
from nncirc.dsl.text import syntax
from nncirc.dsl.text.diagnostics import Diagnostic, Label, sort_key
from nncirc.dsl.text.limits import MOST_BYTES, MOST_SHOWN, passed
from nncirc.dsl.text.parser import parse
from nncirc.dsl.text.source import Source, Span
from nncirc.dsl.text.syntax_errors import node_name

Loader: TypeAlias = Callable[[str], bytes]
"""Reads a used file by its path (joined with the folder of the script that uses it); raises OSError."""

_MOST_FILES = 100
_FIRST_KEYS = {
    word: {name: next(iter(each.keys)) for name, each in kind.implementations.items()}
    for word, kind in KINDS.items()
}


@public
@dataclass(frozen=True, slots=True)
class CheckResult:
    """What checking gave: a program if there is no error, and what was found, by position."""

    program: Program | None
    diagnostics: tuple[Diagnostic, ...]

    @property
    def ok(self) -> bool:
        """Whether there is a program to run."""
        return self.program is not None


def read_bytes(path: str) -> bytes:
    """The contents of a script.

    Raises:
        OSError: it cannot be read, is not a file, or is too large to be a script.
    """
    return read_file(path, at_most=MOST_BYTES)


@public
def check_file(
    path: str | os.PathLike[str],
    *,
    set: Mapping[str, object] | None = None,  # noqa: A002
    shapes: SizesProvider = model_sizes,
) -> CheckResult:
    """Check a script from disk. What cannot be read is a diagnostic, too.

    Args:
        path: the script; messages call it by this name.
        set: constants to set, by name (`tau`, `wang.tau`), as text or as numbers, strings and booleans.
        shapes: says how many layers and heads a model has.
    """
    name = os.fspath(path)
    try:
        data = read_bytes(name)
    except OSError as error:
        source = Source(name, "")
        reason = error.strerror or str(error)
        found = Diagnostic("C012", f"the script cannot be read: {reason}", Span(source, 0, 0))
        return CheckResult(None, (found,))
    return _Check(read_bytes, set or {}, shapes).run(name, data)


@public
def check_text(
    text: str | bytes,
    *,
    name: str = "<script>",
    set: Mapping[str, object] | None = None,  # noqa: A002
    loader: Loader | None = None,
    shapes: SizesProvider = model_sizes,
) -> CheckResult:
    """Check a script given as text.

    Args:
        text: the script.
        name: what messages call it; used files are looked for in its folder.
        set: constants to set, as for `check_file`.
        loader: reads used files; from disk by default.
        shapes: says how many layers and heads a model has.
    """
    return _Check(loader or read_bytes, set or {}, shapes).run(name, text)


class _Check:
    """One check of a script and of the files that it uses."""

    def __init__(self, loader: Loader, overrides: Mapping[str, object], sizes: SizesProvider) -> None:
        self.loader = loader
        self.overrides = overrides
        self.sizes = _remembered(sizes)
        self.known = Known()
        self.size = self.words = 0  # of all files
        self.diagnostics: list[Diagnostic] = []
        self.drafts: dict[str, Draft] = {}
        self.claims: list[Assertion] = []
        self.files = 0
        self.constants: dict[str, Constant] = {}

    def run(self, name: str, text: str | bytes) -> CheckResult:
        program = None
        with suggestions():
            scope = self.file(name, text, "", (), None)
            if scope is not None:
                self.unknown_overrides()
                check_slots_used(scope, self.drafts)
                program = self.program(scope)
        found = sorted(self.diagnostics, key=lambda d: (d.span.source.name != name, *sort_key(d)))
        # A file that is used twice says everything twice, from two sources.
        return CheckResult(program, _first(tuple(next(same) for _, same in groupby(found, sort_key))))

    def program(self, scope: Scope) -> Program | None:
        if _failed(self.diagnostics):
            return None
        declarations, families, assertions = expand(scope, self.drafts, self.claims)
        if _failed(self.diagnostics):
            return None
        constants = {name: value_of(constant.value) for name, constant in self.constants.items()}
        return Program(scope.source, constants, declarations, families, tuple(assertions))

    def file(
        self, name: str, text: str | bytes, prefix: str, above: tuple[str, ...], used: syntax.Use | None
    ) -> Scope | None:
        source, problem = _decode(name, text)
        problem = problem or self.too_much(source)
        if problem is not None:
            self.diagnostics.append(problem)
            return None
        script, syntax_errors = parse(source)
        self.diagnostics += syntax_errors
        if _failed(syntax_errors):
            return None
        scope = Scope(source, prefix, self.diagnostics, self.drafts, _FIRST_KEYS)
        here = (*above, os.path.normpath(name))
        for statement in script.statements:
            if isinstance(statement, syntax.Use):
                self.use(scope, statement, here)
        self.collect(scope, script)
        read_constants(scope, script, overridden(scope, script, self.overrides))
        for local, entry in scope.names.items():
            if isinstance(entry, Constant):
                self.constants[scope.qualified(local)] = entry
        checks = Checks(scope, self.sizes, self.known)
        self.blocks(scope, script, checks)
        if used is None:
            for statement in script.statements:
                if isinstance(statement, syntax.Assertion):
                    claim = read_claim(scope, statement, checks)
                    if claim is not None:
                        self.claims.append(claim)
        return scope

    def too_much(self, source: Source) -> Diagnostic | None:
        """What is wrong with the size of a file and of those before it, if anything."""
        self.size += len(source.text)
        self.words, place, problem = passed(source.text, self.words)
        if self.size > MOST_BYTES:
            place, problem = (
                0,
                f"script too large: it and the files it uses may have at most {MOST_BYTES:,} characters",
            )
        if problem is None:
            return None
        help_text = "move prompts into a data file (`using file`), or split the script"
        return Diagnostic("C132", problem, Span(source, place, place + 1), help=help_text)

    def use(self, scope: Scope, statement: syntax.Use, above: tuple[str, ...]) -> None:
        name = statement.name
        if self.taken(scope, name):
            return
        module = Module(name.text, name.span, None)
        scope.names[name.text] = module
        written = statement.path.value
        path = os.path.normpath(os.path.join(os.path.dirname(scope.source.name), written))  # noqa: PTH118, PTH120
        if odd := _no_script(written, path):
            scope.report("C209", f"the name of a used file must end in `.circ`; {odd}", statement.path.span)
            return
        if path in above:
            chain = " -> ".join(os.path.basename(p) for p in (*above[above.index(path) :], path))  # noqa: PTH119
            scope.report("C112", f"circular `use`: {chain}", statement.path.span)
            return
        self.files += 1
        if self.files > _MOST_FILES:
            scope.report(
                "C112", f"too many used files: at most {_MOST_FILES} are allowed", statement.path.span
            )
            return
        try:
            if not written:
                raise OSError("the name is empty")
            data = self.loader(path)
        except OSError as error:
            reason = error.strerror or str(error)
            problem = f'the used file "{written}" cannot be read: {reason}'
            advice = "write the path relative to the script's own folder"
            scope.report("C111", problem, statement.path.span, help=advice)
            return
        before = len(self.diagnostics)
        module.scope = self.file(path, data, f"{scope.prefix}{name.text}.", above, statement)
        if _failed(self.diagnostics[before:]):
            advice = "fix the errors shown for that file"
            scope.report("C113", f'the used file "{written}" has errors', statement.path.span, help=advice)

    def taken(self, scope: Scope, name: syntax.Name) -> bool:
        entry = scope.names.get(name.text)
        place = None if entry is None else entry.place
        if name.text in ENDS:
            scope.report(
                "C116", f"`{name.text}` is reserved for a node and cannot be used as a name", name.span
            )
            return True
        if NODE.fullmatch(name.text):
            # The lexer takes it for a name where only a name can stand, and for a node wherever it is used.
            self.diagnostics.append(node_name(name.text, name.span))
            scope.names[name.text] = Broken("", name.span)
            return True
        if place is None:
            return False
        problem = f"duplicate name `{name.text}`"
        scope.report("C107", problem, name.span, labels=(Label(place, "first here"),))
        return True

    def collect(self, scope: Scope, script: syntax.Script) -> None:
        """Enter the names of all blocks and constants, so that they may be used before they stand."""
        for statement in script.statements:
            if isinstance(statement, syntax.Block) and statement.label is not None:
                # A block of a misspelt kind has its name all the same: one error for one mistake.
                kind = statement.kind.text
                kind = kind if kind in KINDS else nearest(kind, KINDS) or ""
                if not self.taken(scope, statement.label):
                    scope.names[statement.label.text] = Broken(kind, statement.label.span)
            elif isinstance(statement, syntax.Attribute):
                for target in statement.targets:
                    if not self.taken(scope, target):
                        scope.names[target.text] = Broken("number", target.span)

    def blocks(self, scope: Scope, script: syntax.Script, checks: Checks) -> None:
        unnamed: dict[str, int] = {}
        blocks: list[tuple[syntax.Block, Draft]] = []
        for statement in script.statements:
            if isinstance(statement, syntax.Block):
                draft = self.enter(scope, statement, unnamed)
                if draft is not None:
                    blocks.append((statement, draft))
            elif isinstance(statement, syntax.Path):
                advice = "move it into `replace` or `reference`"
                scope.report("C118", "a path is allowed only inside a block", statement.span, help=advice)
        # First every block by itself, then what they mean together: they may stand in any order. Reference
        # circuits come last, since `where(…)` in them asks for values of another block.
        for block, draft in sorted(blocks, key=lambda pair: pair[1].implementation == "reference"):
            read_block(scope, block, draft, checks)
        checks.check()

    def enter(self, scope: Scope, block: syntax.Block, unnamed: dict[str, int]) -> Draft | None:
        kind = KINDS.get(block.kind.text)
        if kind is None:
            problem = f"unknown kind of block `{block.kind.text}`"
            advice = did_you_mean(block.kind.text, KINDS, f"expected one of {', '.join(KINDS)}")
            scope.report("C101", problem, block.kind.span, help=advice)
            return None
        word, label, implementation = block.kind.text, block.label, block.implementation
        known = ticked(kind.implementations)
        if kind.output and implementation is not None:
            advice = f"write `{word} {label.text} {{`" if label else f"write `{word} {{`"
            scope.report("C102", f"`{word}` takes no `using`", implementation.span, help=advice)
        elif not kind.output and label is None:
            advice = f"write `{word} name using … {{`"
            scope.report("C114", f"this `{word}` block has no name", block.header, help=advice)
            return None
        elif not kind.output and implementation is None:
            advice = f"add `using` and one of {known}"
            scope.report("C114", f"this `{word}` block has no `using`", block.header, help=advice)
            return None
        chosen = word if kind.output or implementation is None else implementation.text
        if implementation is not None and chosen not in kind.implementations:
            problem = f"unknown {method_in_words(word)} `{chosen}`"
            advice = did_you_mean(chosen, kind.implementations, f"expected one of {known}")
            scope.report("C102", problem, implementation.span, help=advice)
            return None
        if label is None:
            unnamed[word] = unnamed.get(word, 0) + 1
            local, place = f"{word}.{unnamed[word]}", block.kind.span
        else:
            local, place = label.text, label.span
        draft = Draft(scope.qualified(local), word, chosen, block.header, place)
        entry = scope.names.get(local)
        if label is None or (isinstance(entry, Broken) and entry.place == place):
            scope.names[local] = draft
            self.drafts[draft.name] = draft
        return draft

    def unknown_overrides(self) -> None:
        for name, value in self.overrides.items():
            if name in self.constants:
                continue
            otherwise = "declare a constant above the blocks: `tau = 0.05`"
            if self.constants:
                otherwise = f"its constants are {ticked(self.constants)}"
            advice = did_you_mean(name, self.constants, otherwise)
            place = Span(Source("--set", f"{name}={value}"), 0, len(name))
            self.diagnostics.append(Diagnostic("C115", f"unknown constant `{name}`", place, help=advice))


def _failed(found: Sequence[Diagnostic]) -> bool:
    return any(each.severity == "error" for each in found)


def _no_script(written: str, path: str) -> str | None:
    """Why a file is none to use: messages show its lines, and not those of whatever a script may name."""
    if not written.lower().endswith(".circ"):
        return f'"{written}" does not'
    try:
        target = os.path.realpath(path)
    except (OSError, ValueError):  # said where it is read
        return None
    return None if target.lower().endswith(".circ") else f'"{written}" links to "{target}"'


def _decode(name: str, text: str | bytes) -> tuple[Source, Diagnostic | None]:
    if isinstance(text, str):
        source = Source(name, text.removeprefix("\ufeff"))
        found = LONE.search(source.text)
        if found is None:
            return source, None
        span, code = Span(source, found.start(), found.end()), ord(found.group())
        return source, Diagnostic("C011", f"invalid text: unpaired surrogate U+{code:04X}", span)
    try:
        return Source(name, text.decode("utf-8").removeprefix("\ufeff")), None
    except UnicodeDecodeError as error:
        before = text[: error.start].decode("utf-8", "replace").removeprefix("\ufeff")
        source = Source(name, text.decode("utf-8", "replace").removeprefix("\ufeff"))
        span = Span(source, len(before), len(before) + 1)
        byte = text[error.start]
        help_text = "save the file as UTF-8"
        return source, Diagnostic("C011", f"invalid UTF-8: byte 0x{byte:02X}", span, help=help_text)


def _first(found: tuple[Diagnostic, ...]) -> tuple[Diagnostic, ...]:
    """As many as can be read, errors before warnings, and how many more there are."""
    if len(found) <= MOST_SHOWN:
        return found
    errors = [each for each in found if each.severity == "error"]
    warnings = [each for each in found if each.severity != "error"]
    chosen = set((errors + warnings)[:MOST_SHOWN])
    shown = [each for each in found if each in chosen]
    more, what = len(errors) - MOST_SHOWN, "error"
    if more <= 0:
        more, what = len(found) - MOST_SHOWN, "warning"
    problem = f"{counted(more, f'more {what}')} not shown; fix the ones above first"
    return (*shown, Diagnostic("C131", problem, shown[-1].span, severity="warning"))


def _remembered(sizes: SizesProvider) -> SizesProvider:
    """The sizes of each model are looked for once."""
    known: dict[object, Sizes | None] = {}

    def of_model(implementation: str, values: Mapping[str, Value]) -> Sizes | None:
        key = implementation, tuple(values.items())
        if key not in known:
            known[key] = sizes(implementation, values)
        return known[key]

    return of_model
