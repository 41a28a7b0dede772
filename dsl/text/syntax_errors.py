"""Messages for syntax errors.

A message depends on what the parser could have gone on with (its *situation*, a name for a set of
states) and on the token that it met. `situation` names every state of the grammar: a test walks them.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from nncirc.dsl.text.diagnostics import Diagnostic, Label, suggest
from nncirc.dsl.text.source import Source, Span

_BRACKETS = {"LBRACE": ("{", "}"), "LSQB": ("[", "]"), "LPAR": ("(", ")")}
_WHAT = {"LBRACE": "block", "LSQB": "list", "LPAR": "call"}

_CALL = re.compile(r"[ \t]*([A-Za-z_]\w{0,40})\(([^(),\n]{0,60})\)[ \t]*(?:#|\r?$)", re.MULTILINE)
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


@dataclass(frozen=True, slots=True)
class Context:
    """Where the parser stood when a token did not fit.

    Attributes:
        accepts: the terminals that it could have gone on with.
        statement: type, text and place of the tokens of the statement so far.
        opener: the terminal of the innermost open bracket.
        opened: its place.
        again: an earlier error was reported, so that an unmatched brace may be its echo.
    """

    accepts: frozenset[str]
    statement: tuple[tuple[str, str, Span], ...]
    opener: str | None
    opened: Span | None
    again: bool


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


def _found(kind: str, text: str) -> str:
    if kind == "_NL":
        return "the end of the line"
    if kind == "$END":
        return "the end of the script"
    return f"`{_short(text)}`"


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."


def complain(context: Context, kind: str, text: str, span: Span) -> Diagnostic | None:
    """The message for a token that does not fit; None where it only echoes an earlier error."""
    where = situation(context.accepts)
    types = [each[0] for each in context.statement]
    if kind == "RBRACE" and context.opener is None:
        if context.again:
            return None
        return Diagnostic("C006", "unmatched `}`", span, help="remove it, or add the header of its block")
    if kind in {"RBRACE", "RSQB", "RPAR"} and context.opener is not None:
        close = _BRACKETS[context.opener][1]
        if text != close and not (where == "value" and context.opener == "LBRACE"):
            return _mismatch(context, text, close, span)
    if context.statement and context.statement[0][0] == "NODE" and kind == "EQUAL":
        return node_name(context.statement[0][1], context.statement[0][2])
    if context.opener in {"LSQB", "LPAR"} and where != "value":
        return _in_brackets(context, kind, text, span)
    if where == "statement":
        return _statement(kind, text, span)
    if where == "value":
        return _value(context, kind, text, span)
    if where == "after":
        return _after(context, types, kind, text, span)
    if where in {"first", "targets", "header", "brace"}:
        return _header(context, where, types, kind, text, span)
    return _rest(context, where, kind, text, span)


def _mismatch(context: Context, text: str, close: str, span: Span) -> Diagnostic:
    assert context.opener is not None and context.opened is not None
    problem = f"expected `{close}`, found `{text}`"
    advice = f"close the {_WHAT[context.opener]} with `{close}`"
    labels = (Label(context.opened, f"the {_WHAT[context.opener]} begins here"),)
    return Diagnostic("C005", problem, span, labels=labels, help=advice)


def _in_brackets(context: Context, kind: str, text: str, span: Span) -> Diagnostic:
    assert context.opener is not None and context.opened is not None
    opening, close = _BRACKETS[context.opener]
    what = _WHAT[context.opener]
    begun = (Label(context.opened, f"the {what} begins here"),)
    # A name on a line of its own begins the next statement more likely than it goes on with a list.
    lines = context.statement[-1][0] == "_NL"
    if kind in {"EQUAL", "COMPARISON", "LBRACE", "RBRACE", "USING", "$END"} or (lines and kind == "NAME"):
        return Diagnostic(
            "C005",
            f"this {what} is never closed",
            context.opened,
            labels=() if kind == "$END" else (Label(span, "expected before this"),),
            help=f"add `{close}`"
            + ("; `key = value` is allowed only in `( )` or in a block" if opening == "[" else ""),
        )
    problem = f"expected `,` or `{close}`, found {_found(kind, text)}"
    return Diagnostic("C014", problem, span, labels=begun, help=f"separate the items of a {what} with commas")


def _statement(kind: str, text: str, span: Span) -> Diagnostic:
    advice = {
        "LBRACE": "a block begins with its kind: `model gpt2 using huggingface {`",
        "EQUAL": "write a key before the `=`: `key = value`",
        "USING": "`using` follows the kind and the name of a block, on the same line",
        "COMMA": "a statement cannot begin with a comma; does it belong to the line above?",
        "_ARROW": "write the whole path on one line",
        "COMPARISON": "begin a claim with `assert`",
    }
    return Diagnostic(
        "C002", f"expected {EXPECTED['statement']}, found {_found(kind, text)}", span, help=advice.get(kind)
    )


def _value(context: Context, kind: str, text: str, span: Span) -> Diagnostic:
    before = context.statement[-1] if context.statement else None
    if context.accepts == {"NUMBER"}:
        found, advice = (
            _found(kind, text),
            "write the edge's score after its path: `L0H1 -> L2H3.k = 0.25`",
        )
        return Diagnostic("C002", f"expected a number, found {found}", span, help=advice)
    if before is not None and before[0] == "EQUAL" and kind == "EQUAL":
        problem = "expected `=`, found `==`"
        return Diagnostic("C015", problem, before[2].to(span), help="write `=`; `==` is only for `assert`")
    if kind in {"_NL", "$END", "RBRACE", "RPAR"} and before is not None:
        names = {"EQUAL": "=", "_ARROW": "->", "ASSERT": "assert", "COMPARISON": before[1]}
        sign = names.get(before[0], before[1])
        help_text = (
            "begin the value on this line; a list may continue on the next lines"
            if kind == "_NL"
            else "write a value, or remove the line"
        )
        return Diagnostic("C003", f"expected a value after `{sign}`", before[2], help=help_text)
    if kind == "LBRACE":
        problem = "a value cannot begin with `{`"
        return Diagnostic(
            "C002",
            problem,
            span,
            help="for a block, remove the `=`: `slots {`; for a list, use square brackets",
        )
    if kind == "COMMA":
        return Diagnostic("C014", "extra comma", span, help="remove it")
    return Diagnostic("C002", f"expected a value, found {_found(kind, text)}", span)


def _after(context: Context, types: list[str], kind: str, text: str, span: Span) -> Diagnostic:
    before = context.statement[-1] if context.statement else None
    if "ASSERT" in types and "COMPARISON" not in types:
        if kind == "EQUAL":
            return Diagnostic("C015", "expected `==`, found `=`", span, help="write `==`")
        advice = "write `assert found.edges <= 100`: a value, one of == != <= >= < > in, and a value"
        return Diagnostic(
            "C017", f"incomplete claim: expected a comparison, found {_found(kind, text)}", span, help=advice
        )
    if "ASSERT" in types and (kind == "COMPARISON" or text in {"and", "or"}):
        what = (
            "a claim cannot chain comparisons"
            if kind == "COMPARISON"
            else f"`{text}` is not allowed in a claim"
        )
        within = " (or a range: `assert found.edges in [10, 20]`)" if text != "or" else ""
        return Diagnostic("C017", what, span, help=f"write one `assert` for each comparison{within}")
    path = "_ARROW" in types and "EQUAL" not in types
    if path and (text == "==" or kind == "NUMBER"):
        problem = "expected `=`, found `==`" if text == "==" else "expected `=` before this number"
        help_text = "write the edge's score after its path: `L0H1 -> L2H3.k = 0.25`"
        return Diagnostic("C015", problem, span, help=help_text)
    if kind == "COMPARISON":
        advice = "begin the line with `assert`, one comparison for each"
        return Diagnostic("C017", f"`{text}` is allowed only in a claim", span, help=advice)
    if kind == "LBRACE" and before is not None:
        return Diagnostic("C016", "malformed block header", span, help=_HEADER)
    words = [each for each in context.statement if each[2].line == span.line]
    equals = next((i for i, each in enumerate(words) if each[0] == "EQUAL"), len(words))
    if any(each[:2] == ("PLUS", "-") for each in words[equals + 1 :]):
        begin = words[equals + 1][2].start
        whole = re.compile(r"[^\s,{}()\[\]#\"]*").match(span.source.text, begin)
        bare = whole.group() if whole else text
        if begin + len(bare) >= span.end:  # without a space: a name with hyphens
            span = Span(span.source, begin, begin + len(bare))
            return Diagnostic(
                "C007", f"expected a name, found `{_short(bare)}`", span, help=f'write "{bare}"'
            )
    if before is not None and before[0] == "NUMBER" and kind in {"NAME", "DOT", "NUMBER", "NODE"}:
        joined = before[2].end == span.start
        if joined and kind == "DOT":
            pair = re.fullmatch(r"(\d+)\.(\d+)", before[1])
            head = f"L{pair[1]}H{pair[2]}" if pair else "L9H9"
            advice = f"write `0.5` for a decimal, `{head}` for a head"
            return Diagnostic("C007", f"invalid number `{before[1]}.`", before[2].to(span), help=advice)
        if joined:
            advice = "remove the unit; a name cannot begin with a digit"
            return Diagnostic("C007", f"unexpected `{_short(text)}` after a number", span, help=advice)
    if kind == "COMMA" and _NEXT_KEY.match(span.source.text, span.start):
        return Diagnostic(
            "C007", "expected the end of the line, found `,`", span, help="write one key per line"
        )
    if kind == "COMMA":
        return Diagnostic("C007", "expected a list in square brackets", span, help="write `[a, b]`")
    if kind == "EQUAL":
        return Diagnostic(
            "C015", "unexpected second `=` on this line", span, help="write one statement per line"
        )
    advice = "write one statement per line"
    return Diagnostic("C007", f"expected the end of the line, found {_found(kind, text)}", span, help=advice)


_HEADER = "write `kind name using implementation {`, all on one line"


def _header(context: Context, where: str, types: list[str], kind: str, text: str, span: Span) -> Diagnostic:
    before = context.statement[-1] if context.statement else None
    first = context.statement[0] if context.statement else None
    if types == ["NAME", "NAME"] and first is not None and before is not None:
        if kind == "NAME" and suggest(text, ["using"]):
            return Diagnostic("C016", f"expected `using`, found `{text}`", span, help="write `using`")
        if kind == "NAME":
            advice = f"write `{first[1]} {before[1]} using {_short(text)} {{`"
            return Diagnostic("C016", f"expected `using` before `{_short(text)}`", span, help=advice)
        if kind == "EQUAL":
            return Diagnostic(
                "C016",
                "a block cannot be assigned with `=`",
                first[2].to(before[2]),
                help=f"write `{first[1]} {before[1]} using {call[1]} {{ {call[2].strip()} }}`"
                if (call := _CALL.match(span.source.text, span.end))
                else f"write `metric {before[1]} using expression {{` with `of = …` inside"
                if first[1] == "metric"
                else f"for a key, write one word: `{first[1]}_{before[1]} = …`; for a block, remove the `=`",
            )
    if kind == "NODE":
        return node_name(text, span)
    if where == "first" and kind in {"NUMBER", "STRING", "BOOLEAN", "LSQB"} and before is not None:
        help_text = f"write `{before[1]} = {_short(text)}`"
        if before[1] in {"import", "include", "load"} and kind == "STRING":
            help_text = f"to use another script, write `use {_short(text)} as name`"
        if before[1] in {"embed", "pos_embed", "logits"} and kind == "LSQB":
            help_text = f"write a node's position after `@`: `{before[1]}@end -> …`"
        return Diagnostic("C003", f"expected `=` after `{_short(before[1])}`", before[2], help=help_text)
    if kind == "_NL" and where in {"first", "targets"} and first is not None:
        return Diagnostic(
            "C003",
            f"incomplete statement: `{_short(first[1])}`",
            first[2],
            help=f"write `{_short(first[1])} = value`, a path `{_short(first[1])} -> b`, "
            "or a block with its `{` on this line",
        )
    if kind in {"_NL", "$END"}:
        assert before is not None
        advice = "put `{` on this line"
        return Diagnostic("C016", "expected `{` after the block's header", before[2], help=advice)
    if kind == "COMPARISON":
        problem = f"`{text}` is allowed only in a claim"
        advice = "write `=` for a key, or begin the line with `assert` for a claim"
        return Diagnostic("C015" if text == "==" else "C017", problem, span, help=advice)
    problem = f"expected {EXPECTED[where]}, found {_found(kind, text)}"
    advice = _HEADER if where != "targets" else "write `a, b = value`"
    return Diagnostic("C016" if where in {"header", "brace"} else "C002", problem, span, help=advice)


def node_name(text: str, span: Span) -> Diagnostic:
    """A node is written where a name is declared."""
    problem = f"`{text}` always denotes a node and cannot be used as a name"
    return Diagnostic("C013", problem, span, help="choose another name")


def _rest(context: Context, where: str, kind: str, text: str, span: Span) -> Diagnostic:
    before = context.statement[-1] if context.statement else None
    if where == "name" and kind == "NODE":
        return node_name(text, span)
    if before is not None and (where == "name" or before[0] == "AT"):
        what = {
            "USING": "the name of an implementation after `using`",
            "AS": "a name after `as`",
            "AT": "a position after `@`, such as `end`, `S.2`, or a token index",
        }.get(before[0], "a name after the comma")
        return Diagnostic("C002", f"expected {what}, found {_found(kind, text)}", span)
    if where in {"file", "as"}:
        advice = 'write `use "file.circ" as name`'
        return Diagnostic(
            "C002", f"expected {EXPECTED[where]}, found {_found(kind, text)}", span, help=advice
        )
    if where == "arrow" and kind == "COMPARISON":
        return _after(context, [], kind, text, span)
    if where == "arrow":
        return Diagnostic(
            "C002",
            "expected a statement, found a value",
            context.statement[0][2] if context.statement else span,
            help="write `key = value`, or continue the path with `->`",
        )
    if where == "comparison":
        return _after(context, ["ASSERT"], kind, text, span)
    return Diagnostic("C002", f"expected {EXPECTED[where]}, found {_found(kind, text)}", span)


def unclosed(kind: str, span: Span) -> Diagnostic:
    """The script ends inside a bracket."""
    close = _BRACKETS[kind][1]
    advice = f"add the missing `{close}`"
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
    "\r": ("found a carriage return without a line feed", "save the file with ordinary line endings"),
}


def complain_character(source: Source, position: int) -> Diagnostic:
    """No token begins with this character here."""
    character = source.text[position]
    if character == '"':
        line_end = re.compile(r"\r?\n|\Z").search(source.text, position)
        end = line_end.start() if line_end else position + 1
        return Diagnostic(
            "C004",
            "unterminated string",
            Span(source, position, end),
            help='add a closing `"`; write a line break as `\\n`',
        )
    span = Span(source, position, position + 1)
    if character in _LOOKALIKES:
        message, advice = _LOOKALIKES[character]
        if decimal := re.compile(r"\.\d+").match(source.text, position):
            advice = f"write `0{decimal.group()}`"
        return Diagnostic("C001", message, span, help=advice)
    name = unicodedata.name(character, "")
    printable = character.isprintable() and not character.isspace()
    shown = f"`{character}`" if printable else f"U+{ord(character):04X}"
    if character == "\0":
        return Diagnostic(
            "C001",
            "found a NUL byte; this does not look like a text file",
            span,
            help="check that this is the right file",
        )
    letters = character.isalpha()
    return Diagnostic(
        "C001",
        f"unexpected character {shown}" + (f" ({name.lower()})" if name and not character.isascii() else ""),
        span,
        help="names may contain only the letters a to z, digits and `_`" if letters else None,
    )
