"""Claims: `assert recall(found, expected, by = edges) >= 0.9`."""

from __future__ import annotations

from typing import Literal

from nncirc.circuits.words import did_you_mean, ticked
from nncirc.dsl.blocks import FUNCTIONS
from nncirc.dsl.blocks.functions import check_function
from nncirc.dsl.check.arithmetic import divides_by_zero
from nncirc.dsl.check.block import Checks, declare_inline
from nncirc.dsl.check.program import (
    OPERATORS,
    Apply,
    Assertion,
    Calculation,
    Comparison,
    Expression,
    Number,
    Property,
    Range,
    Ref,
    Value,
)
from nncirc.dsl.check.scope import Constant, Draft, Module, Scope
from nncirc.dsl.check.types import kinds_in_words
from nncirc.dsl.check.values import Wrong, convert, kind_of
from nncirc.dsl.text import syntax
from nncirc.dsl.text.diagnostics import Label
from nncirc.dsl.text.source import Span

_PROPERTIES = ("edges", "nodes")


def read_claim(scope: Scope, statement: syntax.Assertion, checks: Checks) -> Assertion | None:
    """The claim before families are expanded; None where something in it is wrong, which is then reported."""
    reader = _Reader(scope, checks, f"assert.{statement.span.line}")
    left = reader.expression(statement.left)
    right: Expression | None
    if statement.comparison == "in":
        right = reader.range(statement.right)
    else:
        right = reader.expression(statement.right)
    checks.check()
    if left is None or right is None:
        return None
    if isinstance(left, Number) and isinstance(right, Number | Range):
        advice = "compare a result: `assert found.edges <= 100`"
        scope.report("C122", "this claim does not involve any result", statement.span, help=advice)
        return None
    reader.functions(left, statement.left)
    reader.functions(right, statement.right)
    _possible(scope, left, right, statement.right.span)
    _possible(scope, right, left, statement.left.span)
    text = Span(scope.source, statement.left.span.start, statement.right.span.end).text
    comparison: Comparison = statement.comparison  # type: ignore[assignment]
    return Assertion(left, comparison, right, " ".join(text.split()), statement.span)


def _possible(scope: Scope, measured: Expression, number: Expression, span: Span) -> None:
    if not (isinstance(measured, Apply) and FUNCTIONS[measured.function].is_share):
        return
    match number:
        case Number(value):
            numbers: tuple[float, ...] = (value,)
        case Range(low, high):
            numbers = low, high
        case _:
            return
    for each in numbers:
        if not 0 <= each <= 1:
            advice = f"write {each / 100:g} for {each:g}%" if 1 < each <= 100 else None
            scope.report("C202", f"expected a number between 0 and 1, found {each:g}", span, help=advice)
            return


class _Reader:
    """Reads the two sides of one claim."""

    def __init__(self, scope: Scope, checks: Checks, name: str) -> None:
        self.scope = scope
        self.checks = checks
        self.name = scope.qualified(name)
        self.count = 0

    def expression(self, value: syntax.Value) -> Expression | None:
        match value:
            case syntax.Number():
                return Number(value.value)
            case syntax.Ref():
                return self.ref(value)
            case syntax.Call():
                return self.call(value)
            case syntax.Arithmetic():
                return self.calculation(value)
            case _:
                is_range = isinstance(value, syntax.List)
                problem = f"expected a number, found {kind_of(value)}"
                advice = "write a range after `in`: `assert found.edges in [10, 20]`" if is_range else None
                self.scope.report("C201", problem, value.span, help=advice)
                return None

    def range(self, value: syntax.Value) -> Range | None:
        """The value after `in`."""
        written = self.scope.actual(value)
        items = written.items if isinstance(written, syntax.List) else ()
        ends = [self.expression(item) for item in items]
        if None in ends:
            return None
        match ends:
            case [Number(low), Number(high)] if low <= high:
                return Range(low, high)
            case [Number(low), Number(high)]:
                problem = f"empty range: {low:g} is greater than {high:g}"
                advice = f"write `[{high:g}, {low:g}]`"
                self.scope.report("C122", problem, value.span, help=advice)
            case _:
                found = kind_of(written)
                if isinstance(written, syntax.List):
                    found = f"a list of {len(items)}" if len(items) != 2 else "a list with other values"
                problem = f"expected a range of two numbers, found {found}"
                advice = "write the lowest and the highest allowed number: `in [0.9, 1.1]`"
                self.scope.report("C201", problem, value.span, help=advice)
        return None

    def calculation(self, value: syntax.Arithmetic) -> Expression | None:
        left, right = self.expression(value.left), self.expression(value.right)
        if left is None or right is None:
            return None
        if divides_by_zero(self.scope, value, right.value if isinstance(right, Number) else None):
            return None
        if isinstance(left, Number) and isinstance(right, Number):
            return Number(OPERATORS[value.symbol](left.value, right.value))
        return Calculation(left, value.symbol, right)

    def ref(self, value: syntax.Ref) -> Expression | None:
        entry = self.scope.find(value.parts)
        if isinstance(entry, Constant):
            if isinstance(entry.value, syntax.Number):
                return Number(entry.value.value)
            labels = (Label(entry.place, f"declared as {kind_of(entry.value)} here"),)
            self.scope.report(
                "C201", f"expected a number, found {kind_of(entry.value)}", value.span, labels=labels
            )
            return None
        *parts, last = value.parts
        if isinstance(entry, Draft):
            advice = f"write `{value.text}.edges`, its number of edges" if entry.kind == "circuit" else None
            if entry.kind == "metric":
                advice = f"write `clean({value.text}, corruption = …)`"
            labels = (Label(entry.place, f"declared as {kinds_in_words([entry.kind])} here"),)
            problem = f"expected a number, found the {entry.kind} `{value.text}`"
            self.scope.report("C201", problem, value.span, labels=labels, help=advice)
            return None
        if not parts:
            if entry is None:
                known = (n for n, e in self.scope.names.items() if not isinstance(e, Module))
                advice = did_you_mean(last.text, known)
                self.scope.report("C104", f"unknown name `{last.text}`", value.span, help=advice)
            return None
        head = syntax.Ref(tuple(parts), parts[0].span.to(parts[-1].span))
        scores = self.scope.find(parts)
        if isinstance(scores, Draft) and scores.kind == "scores":
            problem = f"scores have no properties: `{head.text}.{last.text}`"
            labels = (Label(scores.place, "declared here"),)
            advice = f'write `score({head.text}, "{last.text}", column)`; omit a column that is the only one'
            self.scope.report("C117", problem, last.span, labels=labels, help=advice)
            return None
        circuit = self.scope.declaration(head, ("circuit",))
        if circuit is None:
            return None
        if last.text in _PROPERTIES:
            counted: Literal["edges", "nodes"] = last.text  # type: ignore[assignment]
            return Property(Ref(circuit.name), counted)
        problem = f"unknown property `{last.text}` of a circuit"
        advice = did_you_mean(last.text, _PROPERTIES, "expected `edges` or `nodes` (their numbers)")
        self.scope.report("C117", problem, last.span, help=advice)
        return None

    def call(self, call: syntax.Call) -> Expression | None:
        function = FUNCTIONS.get(call.function.text)
        if function is None:
            advice = did_you_mean(call.function.text, FUNCTIONS, f"expected one of {ticked(FUNCTIONS)}")
            problem = f"unknown function `{call.function.text}`"
            self.scope.report("C110", problem, call.function.span, help=advice)
            return None
        values: dict[str, Value] = {}
        given: set[str] = set()
        good = True
        for argument in call.arguments:
            free = [name for name in function.arguments if name not in given]
            name = argument.key.text if argument.key is not None else (free or [""])[0]
            key = function.arguments.get(name)
            if key is None or name in given:
                code, problem = ("C106", "duplicate") if name in given else ("C103", "unknown")
                shown = f"{problem} argument `{name}`" if name else "unexpected extra argument"
                span = argument.key.span if argument.key else argument.span
                advice = did_you_mean(name, free, f"its arguments are {', '.join(function.arguments)}")
                self.scope.report(code, f"{shown} of `{call.function.text}`", span, help=advice)
                good = False
                continue
            given.add(name)
            self.count += 1
            inline_name = f"{self.name}.{name}.{self.count}"
            value = convert(self.scope, argument.value, key.type, name, inline_name, self.inline)
            if isinstance(value, Wrong):
                good = False
            else:
                values[name] = value
        for name, key in function.arguments.items():
            if name not in given:
                values[name] = key.default
                if key.required:
                    good = False
                    problem = f"`{call.function.text}` needs `{name}`"
                    advice = f"add `{name} = …`: {key.doc}"
                    self.scope.report("C121", problem, call.span, help=advice)
        if good and "circuit" in values and values.get("corruption", "") is None:
            good = self.default_corruption(call, values)
        return (
            Apply(call.function.text, {name: values[name] for name in function.arguments}) if good else None
        )

    def default_corruption(self, call: syntax.Call, values: dict[str, Value]) -> bool:
        self.checks.check()  # a circuit written inline does not know its corruption before
        circuit = values["circuit"]
        assert isinstance(circuit, Ref)
        draft = self.scope.drafts[circuit.name]
        if draft.spans.keys() - draft.values.keys():
            return False  # it has an error of its own
        if draft.corruption is None:
            problem = f"`{call.function.text}` needs a corruption"
            labels = (Label(draft.place, "this circuit has no corruption of its own"),)
            advice = "add `corruption = …`"
            self.scope.report("C235", problem, call.span, labels=labels, help=advice)
            return False
        values["corruption"] = Ref(draft.corruption)
        return True

    def inline(self, call: syntax.Call, kinds: tuple[str, ...], name: str) -> str | None:
        return declare_inline(self.scope, call, kinds, name, self.checks)

    def functions(self, expression: Expression, value: syntax.Value) -> None:
        """Do the arguments fit each other?"""
        if isinstance(expression, Calculation) and isinstance(value, syntax.Arithmetic):
            self.functions(expression.left, value.left)
            self.functions(expression.right, value.right)
        if isinstance(expression, Apply) and isinstance(value, syntax.Call):
            check_function(self.checks.meaning, expression, value)
