"""From a value as written to a value of the type that its key wants, or a diagnostic."""

from __future__ import annotations

import os.path
import re
from dataclasses import replace
from enum import Enum
from pathlib import PurePosixPath, PureWindowsPath
from typing import Final, Literal, Protocol, TypeAlias

from nncirc.circuits.words import did_you_mean
from nncirc.dsl.check.arithmetic import postfix
from nncirc.dsl.check.nodes import ENDS, NODE, meant, node, position
from nncirc.dsl.check.program import NextToken, Ref, Template, Value
from nncirc.dsl.check.scope import Constant, Draft, Scope
from nncirc.dsl.check.types import (
    Boolean,
    Either,
    InputFile,
    Many,
    NodeType,
    Number,
    OutputFile,
    PositionType,
    Prompt,
    Reference,
    Sum,
    Text,
    Type,
    Word,
    describe,
    kinds_in_words,
)
from nncirc.dsl.text import syntax
from nncirc.dsl.text.diagnostics import Label
from nncirc.dsl.text.source import Span

# Of what is written: enough for people, and few enough for every file system, with what is put at the end.
_LONGEST_NAME, _LONGEST_PATH = 200, 1000
_HYPHENS = re.compile(r"[A-Za-z_]\w*(-\w+)+")


class Wrong(Enum):
    """The value was not usable, and a diagnostic says so."""

    WRONG = "wrong"


WRONG: Final = Wrong.WRONG
Result: TypeAlias = Value | Literal[Wrong.WRONG]


class Inline(Protocol):
    """Declares what is written inline; returns its name."""

    def __call__(self, call: syntax.Call, kinds: tuple[str, ...], name: str) -> str | None:
        """None where it cannot be declared, which has then been reported."""
        ...


def kind_of(value: syntax.Value) -> str:
    """What a value is, in words."""
    match value:
        case syntax.Ref():
            return f"the name `{value.text}`"
        case syntax.Node() | syntax.Placed():
            return f"the node `{value.span.text}`"
        case syntax.Call():
            return f"`{value.function.text}(…)`"
        case syntax.List():
            return "a list"
        case syntax.String():
            return "a string"
        case syntax.Number():
            return "a number"
        case syntax.Boolean():
            return "`true` or `false`"
        case syntax.Path():
            return "a path"
        case syntax.Arithmetic():
            return "arithmetic"


class _Converter:
    """Converts the values of one declaration."""

    def __init__(self, scope: Scope, key: str, name: str, inline: Inline) -> None:
        self.scope = scope
        self.key = key
        self.name = name  # of what is declared inline here
        self.inline = inline

    def wrong(
        self, value: syntax.Value, wanted: Type, help_text: str | None = None, via: Span | None = None
    ) -> Result:
        labels = () if via is None else (Label(value.span, "the constant gets this value here"),)
        if isinstance(value, syntax.Arithmetic) and _HYPHENS.fullmatch(value.span.text):
            in_quotes = isinstance(wanted, Text | Prompt | InputFile | OutputFile)
            help_text = (
                f'write it in quotes: "{value.span.text}"' if in_quotes else "a name cannot contain hyphens"
            )
        problem = f"`{self.key}` takes {describe(wanted)}, not {kind_of(value)}"
        self.scope.report("C201", problem, via or value.span, labels=labels, help=help_text)
        return WRONG

    def convert(self, value: syntax.Value, wanted: Type) -> Result:
        is_list = isinstance(self.scope.actual(value), syntax.List)
        match wanted:
            case Many():
                return self.many(value, wanted)
            case Prompt(several=True) | Text(several=True) | Number(several=True) if is_list:
                return self.several(value, wanted)
            case Either():
                return self.either(value, wanted)
            case Word():
                return self.word(value, wanted)
            case PositionType():
                return self.position(value, wanted)
            case NodeType():
                return self.node(value, wanted)
            case Reference():
                return self.reference(value, wanted)
            case Sum():
                return self.sum(value, wanted)
            case _:
                return self.plain(value, wanted)

    def plain(self, value: syntax.Value, wanted: Type) -> Result:
        """A number, string or boolean, possibly by way of a constant."""
        constant = self.scope.constant(value)
        via = value.span if constant is not None else None
        actual = value if constant is None else constant.value
        if constant is None and isinstance(value, syntax.Ref):
            return self.name_for_plain(value, wanted)
        if isinstance(actual, syntax.Number) and isinstance(wanted, Number):
            return self.number(actual, wanted, via)
        if isinstance(actual, syntax.Boolean) and isinstance(wanted, Boolean):
            return actual.value
        if isinstance(actual, syntax.String):
            return self.string(actual, wanted, via)
        help_text = None
        if isinstance(actual, syntax.List):
            help_text = "write a single value"
        elif isinstance(actual, syntax.Number | syntax.Node) and isinstance(wanted, Text | Prompt):
            help_text = f'write it in quotes: "{actual.span.text}"'
            if self.key in ("answer", "foil") and isinstance(actual, syntax.Number):
                help_text = (
                    f"write text in quotes; for token ids use `{self.key}_ids` (in `prompts` and `file`)"
                )
        return self.wrong(actual, wanted, help_text, via)

    def name_for_plain(self, value: syntax.Ref, wanted: Type) -> Result:
        entry = self.scope.find(value.parts)
        if entry is None and not isinstance(wanted, Number | Boolean):
            return self.wrong(value, wanted, f'write it in quotes: "{value.text}"')
        if entry is None and isinstance(wanted, Boolean):
            habit = {"yes": "true", "on": "true", "no": "false", "off": "false"}
            said = habit.get(value.text.lower(), value.text)
            return self.wrong(value, wanted, did_you_mean(said, ["true", "false"]))
        if entry is None:
            known = (name for name, each in self.scope.names.items() if isinstance(each, Constant))
            advice = did_you_mean(value.text, known, f"declare it above the blocks: `{value.text} = …`")
            self.scope.report("C104", f"unknown constant `{value.text}`", value.span, help=advice)
            return WRONG
        if isinstance(entry, Draft):
            problem = f"`{self.key}` takes {describe(wanted)}, found the {entry.kind} `{value.text}`"
            labels = (Label(entry.place, f"declared as {kinds_in_words([entry.kind])} here"),)
            self.scope.report("C201", problem, value.span, labels=labels)
        return WRONG

    def number(self, value: syntax.Number, wanted: Number, via: Span | None) -> Result:
        number = value.value
        span = via or value.span
        labels = () if via is None else (Label(value.span, "the constant gets this value here"),)
        if wanted.integer and isinstance(number, float):
            whole = number.is_integer()
            found = f"`{value.span.text}`" if whole else "a fraction"
            problem = f"`{self.key}` takes {describe(wanted)}, not {found}"
            advice = f"write `{number:.0f}`" if whole else None
            self.scope.report("C201", problem, span, labels=labels, help=advice)
            return WRONG
        low, high = wanted.low, wanted.high
        if (low is not None and number < low) or (high is not None and number > high):
            self.scope.report(
                "C202", f"`{self.key}` takes {describe(wanted)}, found {number:g}", span, labels=labels
            )
            return WRONG
        return number

    def string(self, value: syntax.String, wanted: Type, via: Span | None) -> Result:
        span = via or value.span
        if isinstance(wanted, Number | Boolean):
            bare = value.value.strip()
            looks = bare.replace(".", "", 1).isdigit() or bare in {"true", "false"}
            return self.wrong(value, wanted, f"remove the quotes: `{bare}`" if looks else None, via)
        if not value.value:
            self.scope.report("C204", f"empty string for `{self.key}`", span)
            return WRONG
        if isinstance(wanted, Prompt):
            parsed = template(self.scope, value)
            return WRONG if parsed is None else parsed
        if isinstance(wanted, Text) and wanted.choices and value.value not in wanted.choices:
            advice = did_you_mean(value.value, wanted.choices, wanted.otherwise, shown='"{}"')
            self.scope.report("C203", f"`{self.key}` takes {describe(wanted)}", span, help=advice)
            return WRONG
        if isinstance(wanted, OutputFile):
            return self.output(value, wanted, span)
        if isinstance(wanted, InputFile):
            if "\0" in value.value or not value.value.lower().endswith(wanted.extensions):
                self.scope.report("C209", f"`{self.key}` takes {describe(wanted)}", span)
                return WRONG
            return os.path.join(os.path.dirname(self.scope.source.name), value.value)  # noqa: PTH118, PTH120
        return value.value

    def output(self, value: syntax.String, wanted: OutputFile, span: Span) -> Result:
        text = value.value
        posix, windows = PurePosixPath(text), PureWindowsPath(text)
        problem = None
        if (
            posix.is_absolute()
            or windows.is_absolute()
            or windows.drive
            or windows.root
            or text.startswith("~")
        ):
            problem = "an output file name must be relative to the output folder"
        elif ".." in windows.parts:
            problem = "an output file must be inside the output folder: its name cannot contain `..`"
        elif "\\" in text or not text.isprintable():
            problem = "invalid file name: it contains a backslash or an unprintable character"
        elif len(text.encode()) > _LONGEST_PATH or any(len(p.encode()) > _LONGEST_NAME for p in posix.parts):
            problem = f"path too long: at most {_LONGEST_PATH} bytes, and {_LONGEST_NAME} for each name in it"
        if problem:
            advice = 'write a name such as "plots/circuit.svg"; choose the output folder with `--out`'
            self.scope.report("C209", problem, span, help=advice)
            return WRONG
        if posix.suffix.lower() not in wanted.extensions or not posix.stem:
            known = ", ".join(wanted.extensions)
            self.scope.report("C209", f"expected a file name ending in one of {known}", span)
            return WRONG
        return text

    def many(self, value: syntax.Value, wanted: Many) -> Result:
        constant = self.scope.constant(value)
        actual = constant.value if constant is not None and isinstance(constant.value, syntax.List) else value
        if not isinstance(actual, syntax.List):
            item = self.convert_item(actual, wanted) if wanted.single else None
            if item is not None:
                return WRONG if isinstance(item, Wrong) else (item,)
            words = getattr(wanted.item, "choices", None)
            fits = words is None or actual.span.text in words
            return self.wrong(
                actual, wanted, f"write it as a list: `[{actual.span.text[:60]}]`" if fits else None
            )
        if not actual.items and not wanted.empty:
            self.scope.report("C204", f"empty list for `{self.key}`", actual.span)
            return WRONG
        if wanted.exactly is not None and len(actual.items) != wanted.exactly:
            problem = f"`{self.key}` takes {describe(wanted)}, found {len(actual.items)}"
            self.scope.report("C204", problem, actual.span)
            return WRONG
        name = self.name
        found: list[Value] = []
        places: dict[Value, Span] = {}
        failed = False
        for index, element in enumerate(actual.items):
            self.name = f"{name}.{index}"
            each = self.convert_item(element, wanted)
            if isinstance(each, Wrong):
                failed = True
            elif wanted.distinct and each in places:
                first = places[each]
                problem = f"duplicate item `{element.span.text}`"
                self.scope.report("C205", problem, element.span, labels=(Label(first, "first here"),))
                failed = True
            else:
                found.append(each)
                places[each] = element.span
        self.name = name
        return WRONG if failed else tuple(found)

    def several(self, value: syntax.Value, wanted: Prompt | Text | Number) -> Result:
        """A set of strings, or numbers one after another; of one it is the string or number itself."""
        found = self.many(
            value, Many(replace(wanted, several=False), distinct=not isinstance(wanted, Number))
        )
        return found[0] if isinstance(found, tuple) and len(found) == 1 else found

    def convert_item(self, value: syntax.Value, wanted: Many) -> Result:
        if isinstance(value, syntax.List) and not getattr(wanted.item, "several", False):
            return self.wrong(value, wanted, "remove the inner brackets")
        return self.convert(value, wanted.item)

    def either(self, value: syntax.Value, wanted: Either) -> Result:
        if isinstance(value, syntax.Ref) and value.text in wanted.words:
            # Only `answer` has a word beside a free string, which must not be mistaken for it.
            return NextToken() if value.text == "next" else value.text
        if (
            isinstance(wanted.type, Prompt)
            and isinstance(value, syntax.Ref)
            and self.scope.find(value.parts) is None
        ):
            return self.wrong(value, wanted, did_you_mean(value.text, wanted.words))
        return self.convert(value, wanted.type)

    def word(self, value: syntax.Value, wanted: Word) -> Result:
        if isinstance(value, syntax.Ref) and value.text in wanted.choices:
            return value.text
        constant = self.scope.constant(value)
        if constant is not None and isinstance(constant.value, syntax.String):
            if constant.value.value in wanted.choices:
                return constant.value.value
            value = constant.value
        if isinstance(value, syntax.Ref | syntax.String):
            text = value.text if isinstance(value, syntax.Ref) else value.value
            advice = did_you_mean(text, wanted.choices, wanted.otherwise)
            if text in wanted.choices:
                advice = f"remove the quotes: `{text}`"
            self.scope.report("C203", f"`{self.key}` takes {describe(wanted)}", value.span, help=advice)
            return WRONG
        return self.wrong(value, wanted)

    def position(self, value: syntax.Value, wanted: Type) -> Result:
        if not isinstance(value, syntax.Ref):
            advice = "write `start`, `end` or a slot: `S.2`"
            if isinstance(value, syntax.String):
                advice = f"remove the quotes: `{value.value}`"
            return self.wrong(value, wanted, advice)
        found = position(self.scope, value)
        return WRONG if found is None else found

    def node(self, value: syntax.Value, wanted: Type) -> Result:
        found = node(self.scope, value)
        if isinstance(value, syntax.String) and (value.value in ENDS or NODE.match(value.value)):
            return self.wrong(value, wanted, f"remove the quotes: `{value.value}`")
        if found is None and (likely := meant(value)):
            return self.wrong(value, wanted, f"write `{likely}`")
        advice = "write a node such as `L9H9`, `L9H9.q`, `L5H*`, `MLP3`, `embed` or `logits`"
        return self.wrong(value, wanted, advice) if found is None else found

    def reference(self, value: syntax.Value, wanted: Reference) -> Result:
        if isinstance(value, syntax.Call):
            name = self.inline(value, wanted.kinds, self.name)
            return WRONG if name is None else Ref(name)
        if isinstance(value, syntax.Arithmetic) and "metric" in wanted.kinds:
            # The short form of a block: `metric = ld / 3` is `metric = expression(of = ld / 3)`.
            written = syntax.Argument(syntax.Name("of", value.span), value, value.span)
            call = syntax.Call(syntax.Name("expression", value.span), (written,), value.span)
            name = self.inline(call, wanted.kinds, self.name)
            return WRONG if name is None else Ref(name)
        if isinstance(value, syntax.Node) and value.text in self.scope.names:
            return WRONG  # said where it is declared
        if not isinstance(value, syntax.Ref):
            advice = self.scope.of_kind(wanted.kinds)
            if isinstance(value, syntax.String) and value.value in self.scope.names:
                advice = f"remove the quotes: `{value.value}`"
            return self.wrong(value, wanted, advice)
        draft = self.scope.declaration(value, wanted.kinds)
        return WRONG if draft is None else Ref(draft.name)

    def sum(self, value: syntax.Value, wanted: Sum) -> Result:
        """In postfix order: what is computed with, then what is done with it."""

        def operand(written: syntax.Value, place: str) -> tuple[Value, ...] | None:
            constant = self.scope.constant(written)
            actual = written if constant is None else constant.value
            if isinstance(actual, syntax.Number):
                return (actual.value,)
            if constant is not None or not isinstance(written, syntax.Ref | syntax.Call):
                self.wrong(actual, wanted, None, written.span if constant is not None else None)
                return None
            name, self.name = self.name, f"{self.name}{place}"
            found = self.reference(written, Reference((wanted.kind,)))
            self.name = name
            return None if isinstance(found, Wrong) else (found,)

        found = postfix(self.scope, value, operand)
        return WRONG if found is None else found


def convert(
    scope: Scope, value: syntax.Value, wanted: Type, key: str, name: str, inline: Inline, family: bool = False
) -> Result:
    """The value as `wanted`. With `family`, a list of numbers is one too, and gives a tuple."""
    converter = _Converter(scope, key, name, inline)
    if family and isinstance(scope.actual(value), syntax.List):
        return converter.many(value, Many(wanted))
    return converter.convert(value, wanted)


def template(scope: Scope, value: syntax.String) -> Template | None:
    """The string as a template; reports where its braces are wrong."""
    try:
        return Template.parse(value.value)
    except ValueError as error:
        problem, advice, place = error.args
        number = len(re.findall("[{}]", value.value[:place]))
        places = [i for i, c in enumerate(value.span.text) if c in "{}"]  # escapes never make braces
        start = value.span.start + places[number] if number < len(places) else None
        span = value.span if start is None else Span(value.span.source, start, start + 1)
        scope.report("C211", problem, span, help=advice)
        return None


def placeholder_span(value: Span, slot: str) -> Span:
    """The place of `{slot}` in the string, or the string."""
    found = value.text.find(f"{{{slot}}}")
    if found < 0:
        return value
    return Span(value.source, value.start + found, value.start + found + len(slot) + 2)
