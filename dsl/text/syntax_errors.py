"""Messages for syntax errors.

A message depends on what the parser could have gone on with (its *situation*, a name for a set of
states) and on the token that it met. `situation` names every state of the grammar: a test walks them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container
from dataclasses import dataclass
from typing import TypeAlias

from nncirc.circuits.words import nearest
from nncirc.dsl.text.diagnostics import Diagnostic, Label
from nncirc.dsl.text.source import Source, Span

_BRACKETS = {"LBRACE": ("{", "}"), "LSQB": ("[", "]"), "LPAR": ("(", ")")}
_WHAT = {"LBRACE": "block", "LSQB": "list", "LPAR": "call"}

_CALL = re.compile(r"[ \t]*([A-Za-z_]\w{0,40})\(([^(),\n]{0,60})\)[ \t]*(?:#|\r?$)", re.MULTILINE)
_LAST = re.compile(r",[ \t]*(?:#|\r?$)", re.MULTILINE)
_NEXT_KEY = re.compile(r",[ \t]*[A-Za-z_]\w*[ \t]*=(?!=)")

# What may come next, by situation.
EXPECTED = {
    "statement": "a statement: `key = value`, a block, a path, `use` or `assert`",
    "value": "a value",
    "member": "a name or a number after the dot",
    "name": "a name",
    "file": "a file name in double quotes",
    "as": "`as` and a name",
    "first": "`=`, `{`, or the rest of a block's header",
    "targets": "`=` and a value, or another name",
    "header": "`using` and an implementation, or `{`",
    "brace": "`{`",
    "comparison": "a comparison such as `>=`",
    "arrow": "`->` and the next step of the path",
    "after": "the end of the line",
    "end": "the end of the script",
}


Piece: TypeAlias = tuple[str, str, Span]
"""Type, text and place of a token."""


@dataclass(frozen=True, slots=True)
class Context:
    """A token that does not fit, and where the parser stood when it met it.

    Attributes:
        kind: the token's type.
        text: the token itself.
        span: its place.
        accepts: the terminals that the parser could have gone on with.
        statement: the tokens of the statement so far.
        opener: the terminal of the innermost open bracket.
        opened: its place.
        again: an earlier error was reported, so that an unmatched brace may be its echo.
    """

    kind: str
    text: str
    span: Span
    accepts: frozenset[str]
    statement: tuple[Piece, ...]
    opener: str | None
    opened: Span | None
    again: bool

    @property
    def found(self) -> str:
        """The token in words."""
        ends = {"_NL": "the end of the line", "$END": "the end of the script"}
        return ends.get(self.kind, f"`{_short(self.text)}`")

    @property
    def first(self) -> Piece | None:
        """The token that begins the statement."""
        return self.statement[0] if self.statement else None

    @property
    def before(self) -> Piece | None:
        """The token before this one, in its statement."""
        return self.statement[-1] if self.statement else None

    def error(self, code: str, message: str, advice: str | None = None, at: Span | None = None) -> Diagnostic:
        """The diagnostic, at the token if no other place is given."""
        return Diagnostic(code, message, at or self.span, help=advice)


def situation(accepts: frozenset[str]) -> str:
    """The name of a state, by the terminals that it accepts."""
    if "ASSERT" in accepts:
        return "statement"
    if "NUMBER" in accepts:
        return "value"
    if "INDEX" in accepts:
        return "member"
    if "LBRACE" in accepts:
        return "first" if "EQUAL" in accepts else "header" if "USING" in accepts else "brace"
    single = {"NAME": "name", "STRING": "file", "AS": "as", "COMPARISON": "comparison", "_ARROW": "arrow"}
    if len(accepts) == 1 and (name := single.get(next(iter(accepts)))):
        return name
    if accepts <= {"COMMA", "EQUAL"} and accepts:
        return "targets"
    return "after" if accepts & {"_NL", "RBRACE", "RSQB", "RPAR"} else "end"


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."


def complain(context: Context) -> Diagnostic | None:
    """The message for a token that does not fit; None where it only echoes an earlier error."""
    where, kind, first = situation(context.accepts), context.kind, context.first
    if kind == "RBRACE" and context.opener is None:
        advice = "remove it, or add the header of its block"
        return None if context.again else context.error("C006", "unmatched `}`", advice)
    if kind in {"RBRACE", "RSQB", "RPAR"} and context.opener is not None:
        close = _BRACKETS[context.opener][1]
        if context.text != close and not (where == "value" and context.opener == "LBRACE"):
            return _mismatch(context, close)
    if first is not None and first[0] == "NODE" and kind == "EQUAL":
        return node_name(first[1], first[2])
    if kind in {"PLUS", "TIMES", "DOT"} and where in {"statement", "value"}:
        return complain_character(context.span.source, context.span.start)
    if context.opener in {"LSQB", "LPAR"} and where != "value":
        return _in_brackets(context)
    if where == "statement":
        return _statement(context)
    if where == "value":
        return _value(context)
    if where == "after":
        return _after(context, {each[0] for each in context.statement})
    if where in {"first", "targets", "header", "brace"}:
        return _header(context, where)
    return _rest(context, where)


def _mismatch(context: Context, close: str) -> Diagnostic:
    assert context.opener is not None and context.opened is not None
    what = _WHAT[context.opener]
    labels = (Label(context.opened, f"the {what} begins here"),)
    problem, advice = f"expected `{close}`, found `{context.text}`", f"close the {what} with `{close}`"
    return Diagnostic("C005", problem, context.span, labels=labels, help=advice)


def _in_brackets(context: Context) -> Diagnostic:
    assert context.opener is not None and context.opened is not None
    kind, span = context.kind, context.span
    opening, close = _BRACKETS[context.opener]
    what = _WHAT[context.opener]
    # A name on a line of its own begins the next statement more likely than it goes on with a list.
    begins = kind == "NAME" and context.statement[-1][0] == "_NL"
    if begins or kind in {"EQUAL", "COMPARISON", "LBRACE", "RBRACE", "USING", "$END"}:
        labels = () if kind == "$END" else (Label(span, "expected before this"),)
        advice = f"add `{close}`"
        if opening == "[":
            advice += "; `key = value` is allowed only in `( )` or in a block"
        return Diagnostic("C005", f"this {what} is never closed", context.opened, labels=labels, help=advice)
    labels = (Label(context.opened, f"the {what} begins here"),)
    problem = f"expected `,` or `{close}`, found {context.found}"
    advice = f"separate the items of a {what} with commas"
    return Diagnostic("C014", problem, span, labels=labels, help=advice)


_BEGIN = {
    "LBRACE": "a block begins with its kind: `model gpt2 using huggingface {`",
    "EQUAL": "write a key before the `=`: `key = value`",
    "USING": "`using` follows the kind and the name of a block, on the same line",
    "COMMA": "a statement cannot begin with a comma; does it belong to the line above?",
    "_ARROW": "write the whole path on one line",
    "COMPARISON": "begin a claim with `assert`",
}


def _statement(context: Context) -> Diagnostic:
    problem = f"expected {EXPECTED['statement']}, found {context.found}"
    return context.error("C002", problem, _BEGIN.get(context.kind))


_SCORE = "write the edge's score after its path: `L0H1 -> L2H3.k = 0.25`"


def _value(context: Context) -> Diagnostic:
    kind, span, before = context.kind, context.span, context.before
    if context.accepts == {"NUMBER"}:
        return context.error("C002", f"expected a number, found {context.found}", _SCORE)
    if before is not None and before[0] == "EQUAL" and kind == "EQUAL":
        advice = "write `=`; `==` is only for `assert`"
        return context.error("C015", "expected `=`, found `==`", advice, before[2].to(span))
    if kind in {"_NL", "$END", "RBRACE", "RPAR"} and before is not None:
        advice = "write a value, or remove the line"
        if kind == "_NL":
            advice = "begin the value on this line; a list may continue on the next lines"
        return context.error("C003", f"expected a value after `{before[1]}`", advice, before[2])
    if kind == "LBRACE":
        slot = re.compile(r"\{\w+\}").match(span.source.text, span.start)
        advice = "for a block, remove the `=`: `slots {`; for a list, use square brackets"
        advice = f'write it in quotes: "{slot.group()}"' if slot else advice
        return context.error("C002", "a value cannot begin with `{`", advice)
    if kind == "COMMA":
        return context.error("C014", "extra comma", "remove it")
    return context.error("C002", f"expected a value, found {context.found}")


def _after(context: Context, types: Container[str]) -> Diagnostic:
    """After a complete statement, of tokens of these types."""
    kind, text, span, before = context.kind, context.text, context.span, context.before
    if "ASSERT" in types and "COMPARISON" not in types:
        if kind == "EQUAL":
            return context.error("C015", "expected `==`, found `=`", "write `==`")
        problem = f"expected a comparison in this claim, found {context.found}"
        return context.error("C017", problem, "add a comparison, as in `assert found.edges <= 100`")
    if "ASSERT" in types and (kind == "COMPARISON" or text in {"and", "or"}):
        chained = kind == "COMPARISON"
        problem = "a claim cannot chain comparisons" if chained else f"`{text}` is not allowed in a claim"
        within = ", or claim a range: `assert found.edges in [10, 20]`" if text != "or" else ""
        return context.error("C017", problem, f"write one `assert` for each comparison{within}")
    if "_ARROW" in types and "EQUAL" not in types and (text == "==" or kind == "NUMBER"):
        problem = "expected `=`, found `==`" if text == "==" else "expected `=` before this number"
        return context.error("C015", problem, _SCORE)
    if kind == "COMPARISON":
        advice = "to claim it, begin the line with `assert`"
        return context.error("C017", f"`{text}` is allowed only in a claim", advice)
    if kind == "LBRACE" and before is not None:
        return context.error("C016", "malformed block header", _HEADER)
    words = [each for each in context.statement if each[2].line == span.line]
    equals = next((i for i, each in enumerate(words) if each[0] == "EQUAL"), len(words))
    value = words[equals + 1 :]
    if any(each[:2] == ("PLUS", "-") for each in value):
        begin = value[0][2].start
        whole = re.compile(r"[^\s,{}()\[\]#\"]*").match(span.source.text, begin)
        bare = whole.group() if whole else text
        if begin + len(bare) >= span.end:  # without a space: a name with hyphens
            place = Span(span.source, begin, begin + len(bare))
            return context.error("C007", f"expected a name, found `{_short(bare)}`", f'write "{bare}"', place)
    if before is not None and before[1] == "head" and (pair := re.fullmatch(r"(\d+)\.(\d+)", text)):
        place = before[2].to(span)
        return context.error(
            "C007", f"expected a head, found `head {text}`", f"write `L{pair[1]}H{pair[2]}`", place
        )
    joined = before is not None and before[0] == "NUMBER" and before[2].end == span.start
    if before is not None and joined and kind == "DOT":
        pair = re.fullmatch(r"(\d+)\.(\d+)", before[1])
        head = f"L{pair[1]}H{pair[2]}" if pair else "L9H9"
        advice = f"write `0.5` for a decimal, `{head}` for a head"
        return context.error("C007", f"invalid number `{before[1]}.`", advice, before[2].to(span))
    if joined and kind in {"NAME", "NUMBER", "NODE"}:
        advice = "remove the unit; a name cannot begin with a digit"
        return context.error("C007", f"unexpected `{_short(text)}` after a number", advice)
    if kind == "COMMA" and _NEXT_KEY.match(span.source.text, span.start):
        return context.error("C007", "expected the end of the line, found `,`", "write one key per line")
    if kind == "COMMA" and _LAST.match(span.source.text, span.start):
        return context.error("C007", "unexpected `,` at the end of the line", "remove it")
    if kind == "COMMA":
        begun = span.source.text[value[0][2].start :] if value else "a, b"
        line = begun.partition("\n")[0].partition("#")[0].strip()
        return context.error("C007", "expected a list in square brackets", f"write `[{_short(line)}]`")
    advice = "write one statement per line"
    if kind == "EQUAL":
        return context.error("C015", "unexpected second `=` on this line", advice)
    return context.error("C007", f"expected the end of the line, found {context.found}", advice)


_HEADER = "write `kind name using implementation {`, all on one line"


def _header(context: Context, where: str) -> Diagnostic:
    kind, text, span = context.kind, context.text, context.span
    first, before = context.first, context.before
    assert first is not None and before is not None
    word, name = first[1], before[1]
    named = [each[0] for each in context.statement] == ["NAME", "NAME"]
    if named and kind == "NAME" and nearest(text, ["using"]):
        return context.error("C016", f"expected `using`, found `{text}`", "write `using`")
    if named and kind == "NAME" and word == "for":
        advice = "write a list in the key: `threshold = [0.1, 0.2]`"
        return context.error("C016", "a script has no loops", advice, first[2])
    if named and kind == "NAME":
        advice = f"write `{word} {name} using {_short(text)} {{`"
        return context.error("C016", f"expected `using` before `{_short(text)}`", advice)
    if named and kind == "EQUAL":
        advice = f"for a key, write one word: `{word}_{name} = …`; for a block, remove the `=`"
        if word == "metric":
            advice = f"write `metric {name} using expression {{` with `of = …` inside"
        if call := _CALL.match(span.source.text, span.end):
            advice = f"write `{word} {name} using {call[1]} {{ {call[2].strip()} }}`"
        problem = "a block is declared with `using`, not with `=`"
        return context.error("C016", problem, advice, first[2].to(before[2]))
    if kind == "NODE":
        return node_name(text, span)
    if where == "first" and kind in {"NUMBER", "STRING", "BOOLEAN", "LSQB"}:
        advice = f"write `{name} = {_short(text)}`"
        if name in {"import", "include", "load"} and kind == "STRING":
            advice = f"to use another script, write `use {_short(text)} as name`"
        if name in {"embed", "pos_embed", "logits"} and kind == "LSQB":
            advice = f"write a node's position after `@`: `{name}@end -> …`"
        return context.error("C003", f"expected `=` after `{_short(name)}`", advice, before[2])
    if kind == "_NL" and where in {"first", "targets"}:
        word = _short(word)
        advice = f"write `{word} = value`, a path `{word} -> b`, or a block with its `{{` on this line"
        return context.error("C003", f"incomplete statement: `{word}`", advice, first[2])
    if kind in {"_NL", "$END"}:
        return context.error(
            "C016", "expected `{` after the block's name", "end this line with `{`", before[2]
        )
    if kind == "COMPARISON":
        advice = "write `=` for a key, or begin the line with `assert` for a claim"
        code = "C015" if text == "==" else "C017"
        return context.error(code, f"`{text}` is allowed only in a claim", advice)
    advice = _HEADER if where != "targets" else "write `a, b = value`"
    code = "C016" if where in {"header", "brace"} else "C002"
    return context.error(code, f"expected {EXPECTED[where]}, found {context.found}", advice)


def node_name(text: str, span: Span) -> Diagnostic:
    """A node is written where a name is declared."""
    problem = f"`{text}` always denotes a node and cannot be used as a name"
    return Diagnostic("C013", problem, span, help="choose another name")


_NAMED = {
    "USING": "the name of an implementation after `using`",
    "AS": "a name after `as`",
    "AT": "a position after `@`, such as `end`, `S.2`, or a token index",
}


def _rest(context: Context, where: str) -> Diagnostic:
    first, before = context.first, context.before
    if where == "name" and context.kind == "NODE":
        return node_name(context.text, context.span)
    if where == "comparison":
        return _after(context, {"ASSERT"})
    if where == "arrow" and context.kind == "COMPARISON":
        return _after(context, ())
    if where == "arrow":
        advice = "write `key = value`, or continue the path with `->`"
        return context.error("C002", "expected a statement, found a value", advice, first and first[2])
    what, usage = EXPECTED[where], 'write `use "file.circ" as name`' if where in {"file", "as"} else None
    if before is not None and (where == "name" or before[0] == "AT"):
        what = _NAMED.get(before[0], "a name after the comma")
    return context.error("C002", f"expected {what}, found {context.found}", usage)


def unclosed(kind: str, span: Span) -> Diagnostic:
    """The script ends inside a bracket."""
    advice = f"add the missing `{_BRACKETS[kind][1]}`"
    return Diagnostic("C005", f"this {_WHAT[kind]} is never closed", span, help=advice)


def too_deep(span: Span, limit: int) -> Diagnostic:
    """More brackets within brackets than anything readable has."""
    advice = "move the inner parts into blocks of their own"
    return Diagnostic("C010", f"brackets are nested more than {limit} deep", span, help=advice)


def too_long(span: Span, limit: int) -> Diagnostic:
    """More arithmetic in one statement than anything readable has."""
    problem = f"this statement has more than {limit} operands"
    advice = "move parts into blocks of their own: `metric part using expression { … }`"
    return Diagnostic("C010", problem, span, help=advice)


_LOOKALIKES = {
    "'": ("single quotes are not allowed", 'write strings in double quotes: "…"'),
    "\N{LEFT DOUBLE QUOTATION MARK}": ("curly quotes are not allowed", 'write straight double quotes: "…"'),
    "\N{RIGHT DOUBLE QUOTATION MARK}": ("curly quotes are not allowed", 'write straight double quotes: "…"'),
    "\N{LEFT SINGLE QUOTATION MARK}": ("curly quotes are not allowed", 'write straight double quotes: "…"'),
    "\N{RIGHTWARDS ARROW}": ("unexpected arrow character", "write `->`"),
    "\N{MINUS SIGN}": ("expected a hyphen, found a minus sign", "write `-`"),
    "\N{EN DASH}": ("expected a hyphen, found a dash", "write `-`"),
    "\N{LESS-THAN OR EQUAL TO}": ("a comparison must be written in ASCII", "write `<=`"),
    "\N{GREATER-THAN OR EQUAL TO}": ("a comparison must be written in ASCII", "write `>=`"),
    "\N{NOT EQUAL TO}": ("a comparison must be written in ASCII", "write `!=`"),
    "\N{NO-BREAK SPACE}": ("found a no-break space", "write an ordinary space"),
    ":": ("unexpected `:`", "write `key = value`"),
    ";": ("unexpected `;`", "remove it; write one statement per line"),
    "/": ("unexpected `/`", "begin a comment with `#`"),
    "+": ("unexpected `+`", "write a positive number without `+`"),
    "*": ("unexpected `*`", "in nodes `*` means all: `L*H*`, `MLP*`, `L5H*`"),
    "!": ("unexpected `!`", "write `!=` for not equal"),
    "-": ("unexpected `-`", "write an arrow as `->`; put text with a hyphen in quotes"),
    ".": ("unexpected `.`", "write `0.5`, not `.5`"),
    "%": ("unexpected `%`", "write a fraction: 0.9 for 90%"),
    "$": ("unexpected `$`", "use a constant by its name alone: `tau`"),
    "\0": ("found a NUL byte; this does not look like a text file", "check that this is the right file"),
    "\r": ("found a carriage return without a line feed", "save the file with ordinary line endings"),
}


def complain_character(source: Source, position: int) -> Diagnostic:
    """No token begins with this character here."""
    character = source.text[position]
    span, advice = Span(source, position, position + 1), None
    if character == '"':
        line_end = re.compile(r"\r?\n|\Z").search(source.text, position)
        span = Span(source, position, line_end.start() if line_end else position + 1)
        advice = 'add a closing `"`; write a line break as `\\n`'
        return Diagnostic("C004", "unterminated string", span, help=advice)
    if character in _LOOKALIKES:
        problem, advice = _LOOKALIKES[character]
        if decimal := re.compile(r"\.\d+").match(source.text, position):
            advice = f"write `0{decimal.group()}`"
    else:
        name = unicodedata.name(character, "")
        printable = character.isprintable() and not character.isspace()
        problem = f"unexpected character {f'`{character}`' if printable else f'U+{ord(character):04X}'}"
        problem += f" ({name.lower()})" if name and not character.isascii() else ""
        if character.isalpha():
            advice = "names may contain only the letters a to z, digits and `_`"
    return Diagnostic("C001", problem, span, help=advice)
