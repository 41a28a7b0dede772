"""Top-level constants, and setting them from outside."""

from __future__ import annotations

import re
from collections.abc import Mapping

from nncirc.circuits.words import did_you_mean
from nncirc.dsl.blocks import KINDS
from nncirc.dsl.check.program import Value
from nncirc.dsl.check.scope import Broken, Constant, Scope
from nncirc.dsl.check.values import kind_of
from nncirc.dsl.text import syntax
from nncirc.dsl.text.diagnostics import Label
from nncirc.dsl.text.parser import parse_value
from nncirc.dsl.text.source import Source, Span

LONE = re.compile("[\ud800-\udfff]")
"""Half of a surrogate pair: text that no file can hold."""


def value_of(value: syntax.Value) -> Value:
    """The Python value of a constant."""
    match value:
        case syntax.Number() | syntax.String() | syntax.Boolean():
            return value.value
        case syntax.List(items=items):
            return tuple(value_of(item) for item in items)
        case _:
            raise TypeError(f"not a constant: {value!r}")


def overridden(
    scope: Scope, script: syntax.Script, overrides: Mapping[str, object]
) -> dict[str, syntax.Value]:
    """The values set from outside for this file's constants, by their names in it."""
    written = {
        target.text: statement.value
        for statement in script.statements
        if isinstance(statement, syntax.Attribute)
        for target in statement.targets
    }
    found: dict[str, syntax.Value] = {}
    for name, given in overrides.items():
        local = name.removeprefix(scope.prefix)
        if name.startswith(scope.prefix) and local in written:
            value = _outside(scope, local, given, written[local])
            if value is not None:
                found[local] = value
    return found


def _outside(scope: Scope, name: str, given: object, written: syntax.Value) -> syntax.Value | None:
    text = given if isinstance(given, str) else _text(given)
    source = Source("--set", f"{name}={text}")
    span = Span(source, len(name) + 1, len(source.text))
    if LONE.search(text):
        scope.report("C206", f"the value of `{name}` is not valid UTF-8", span, help="write it in UTF-8")
        return None
    # Behind `--set id=` a shell leaves no quotes, so text is taken as it stands.
    if isinstance(written, syntax.String) and not text.startswith('"'):
        return syntax.String(text, span)
    value, found = parse_value(source)
    if value is None or found:
        advice = f"for example, `--set {name}={written.span.text}`"
        scope.report("C206", f"invalid value `{text}` for `{name}`", span, help=advice)
        return None
    numbers = (syntax.Number, syntax.List)
    same = type(value) is type(written) or (isinstance(value, numbers) and isinstance(written, numbers))
    if not same and not isinstance(written, syntax.Ref):
        labels = (Label(written.span, f"declared as {kind_of(written)} here"),)
        scope.report(
            "C206", f"`{name}` must be {kind_of(written)}, got {kind_of(value)}", span, labels=labels
        )
        return None
    return value


def _text(given: object) -> str:
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, list | tuple):
        return f"[{', '.join(_text(item) for item in given)}]"
    return str(given)


def read_constants(scope: Scope, script: syntax.Script, given: Mapping[str, syntax.Value]) -> None:
    """Enter the constants of a file with their final values."""
    written: dict[str, tuple[syntax.Name, syntax.Value]] = {}
    for statement in script.statements:
        if isinstance(statement, syntax.Attribute):
            for target in statement.targets:
                entry = scope.names.get(target.text)
                if isinstance(entry, Broken) and entry.place == target.span:
                    written[target.text] = (target, given.get(target.text, statement.value))
    failed: set[str] = set()
    for name in written:
        _resolve(scope, name, written, failed)


def _resolve(
    scope: Scope, start: str, written: Mapping[str, tuple[syntax.Name, syntax.Value]], failed: set[str]
) -> None:
    """Follow `a = b`, `b = 0.5` from `start` to a value, which all names on the way then have."""
    chain: dict[str, None] = {}
    name = start
    while True:
        if name in chain:
            names = list(chain)
            circle = names[names.index(name) :]
            text = " -> ".join([*circle[:6], *(["…"] if len(circle) > 6 else []), name])
            span = written[name][0].span
            scope.report("C109", f"circular definition: {text}", span)
            failed.update(chain)
            return
        if name in failed:
            failed.update(chain)
            return
        chain[name] = None
        value = written[name][1]
        entry = scope.find(value.parts) if isinstance(value, syntax.Ref) else None
        if isinstance(entry, Constant):
            value = entry.value
        elif isinstance(value, syntax.Ref) and value.text in written:
            name = value.text
            continue
        break
    if not _is_constant(scope, name, value, known=entry is not None):
        failed.update(chain)
        return
    for each in chain:
        scope.names[each] = Constant(each, value, written[each][0].span)


def _is_constant(scope: Scope, name: str, value: syntax.Value, *, known: bool) -> bool:
    """Whether a constant can have this value; reports where not."""
    if isinstance(value, syntax.Ref) and not known:
        others = (each for each in scope.names if each != name)
        advice = did_you_mean(value.text, others, "if it is a string, write it in double quotes")
        scope.report("C104", f"unknown constant `{value.text}`", value.span, help=advice)
        return False
    entry = scope.find(value.parts) if isinstance(value, syntax.Ref) else None
    if isinstance(entry, Broken) and entry.kind not in KINDS:
        return False  # it has an error of its own
    for item in value.items if isinstance(value, syntax.List) else (value,):
        if not isinstance(item, syntax.Number | syntax.String | syntax.Boolean):
            problem = f"expected a number, string, boolean or list of them, found {kind_of(item)}"
            scope.report("C201", problem, item.span, help="write the value in its block's key")
            return False
    return True
