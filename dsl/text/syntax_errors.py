"""Syntax errors in words.

A message depends on what the parser could have gone on with (its *situation*, a name for a set of
states) and on the token that it met. `SITUATIONS` names every state of the grammar: a test walks them.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from nncirc.dsl.text.diagnostics import Diagnostic, Label, suggest
from nncirc.dsl.text.source import Source, Span

_BRACKETS = {"LBRACE": ("{", "}"), "LSQB": ("[", "]"), "LPAR": ("(", ")")}
_WHAT = {"LBRACE": "block", "LSQB": "list", "LPAR": "call"}

_NEXT_KEY = re.compile(r",[ \t]*[A-Za-z_]\w*[ \t]*=(?!=)")

# What may come next, by situation.
EXPECTED = {
    "statement": "a statement: `key = value`, a block, a path, `use` or `assert`",
    "value": "a value",
    "member": "a name or a number behind the dot",
    "name": "a name",
    "file": "a file name in double quotes",
    "as": "`as` and a name",
    "first": "`=`, `{`, or the rest of a block's header",
    "targets": "`=` and a value, or one more name",
    "header": "`using` and an implementation, or `{`",
    "brace": "`{`",
    "comparison": "a comparison such as `>=`",
    "arrow": "`->` and where the path goes",
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
        return "the line ends"
    if kind == "$END":
        return "the script ends"
    return f"`{_short(text)}` stands there"


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."


def complain(context: Context, kind: str, text: str, span: Span) -> Diagnostic | None:
    """The message for a token that does not fit; None where it only echoes an earlier error."""
    where = situation(context.accepts)
    types = [each[0] for each in context.statement]
    if kind == "RBRACE" and context.opener is None:
        if context.again:
            return None
        return Diagnostic(
            "C006", "this `}` closes nothing", span, help="remove it, or add the block's header"
        )
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
    problem = f"expected `{close}`, but `{text}` stands there"
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
            f"this {what} is not closed",
            context.opened,
            labels=() if kind == "$END" else (Label(span, "expected before this"),),
            help=f"add `{close}`"
            + ("; `key = value` stands in `( )` or in a block only" if opening == "[" else ""),
        )
    problem = f"expected `,` or `{close}`, but {_found(kind, text)}"
    return Diagnostic("C014", problem, span, labels=begun, help=f"separate the items of a {what} by commas")


def _statement(kind: str, text: str, span: Span) -> Diagnostic:
    advice = {
        "LBRACE": "a block begins with its kind: `model gpt2 using huggingface {`",
        "EQUAL": "a name comes before the `=`",
        "USING": "`using` follows the kind and the name of a block, on the same line",
        "COMMA": "a statement cannot begin with a comma; does it belong to the line above?",
        "_ARROW": "a path stands on one line",
        "COMPARISON": "a claim begins with `assert`",
    }
    return Diagnostic(
        "C002", f"expected {EXPECTED['statement']}, but {_found(kind, text)}", span, help=advice.get(kind)
    )


def _value(context: Context, kind: str, text: str, span: Span) -> Diagnostic:
    before = context.statement[-1] if context.statement else None
    if context.accepts == {"NUMBER"}:
        found, advice = (
            _found(kind, text),
            "behind a path stands the score of its edge: `L0H1 -> L2H3.k = 0.25`",
        )
        return Diagnostic("C002", f"expected a number, but {found}", span, help=advice)
    if before is not None and before[0] == "EQUAL" and kind == "EQUAL":
        problem = "one `=` gives a key its value"
        return Diagnostic("C015", problem, before[2].to(span), help="`==` compares, and only in an `assert`")
    if kind in {"_NL", "$END", "RBRACE", "RPAR"} and before is not None:
        names = {"EQUAL": "=", "_ARROW": "->", "ASSERT": "assert", "COMPARISON": before[1]}
        sign = names.get(before[0], before[1])
        help_text = (
            "the value begins on the same line; a list may then go over several"
            if kind == "_NL"
            else "write a value, or remove the line"
        )
        return Diagnostic("C003", f"a value is missing behind `{sign}`", before[2], help=help_text)
    if kind == "LBRACE":
        problem = "`{` cannot begin a value"
        return Diagnostic(
            "C002", problem, span, help="a block is written without `=`: `slots {`; a list in square brackets"
        )
    if kind == "COMMA":
        return Diagnostic("C014", "there is nothing between these commas", span, help="remove one")
    return Diagnostic("C002", f"expected a value, but {_found(kind, text)}", span)


def _after(context: Context, types: list[str], kind: str, text: str, span: Span) -> Diagnostic:
    before = context.statement[-1] if context.statement else None
    if "ASSERT" in types and "COMPARISON" not in types:
        if kind == "EQUAL":
            return Diagnostic("C015", "a claim compares with `==`", span, help="write `==` here")
        advice = "write `assert found.edges <= 100`: a value, one of == != <= >= < > in, and a value"
        return Diagnostic("C017", f"this claim compares nothing: {_found(kind, text)}", span, help=advice)
    if "ASSERT" in types and (kind == "COMPARISON" or text in {"and", "or"}):
        both = "" if text == "or" else ": write two"
        what = "chains of comparisons are not read" if kind == "COMPARISON" else f"claims have no `{text}`"
        within = " (or a range: `assert found.edges in [10, 20]`)" if text != "or" else ""
        return Diagnostic("C017", what, span, help=f"one `assert` claims one comparison{both}{within}")
    path = "_ARROW" in types and "EQUAL" not in types
    if path and (text == "==" or kind == "NUMBER"):
        problem = "one `=` gives an edge its score" if text == "==" else "`=` is missing before this number"
        help_text = "the score of an edge stands behind its path: `L0H1 -> L2H3.k = 0.25`"
        return Diagnostic("C015", problem, span, help=help_text)
    if kind == "COMPARISON":
        advice = "begin the line with `assert`; chains are not read"
        return Diagnostic("C017", f"`{text}` stands only in a claim", span, help=advice)
    if kind == "LBRACE" and before is not None:
        return Diagnostic("C016", "a block's header is not written like this", span, help=_HEADER)
    words = [each for each in context.statement if each[2].line == span.line]
    equals = next((i for i, each in enumerate(words) if each[0] == "EQUAL"), len(words))
    if any(each[:2] == ("PLUS", "-") for each in words[equals + 1 :]):
        begin = words[equals + 1][2].start
        whole = re.compile(r"[^\s,{}()\[\]#\"]*").match(span.source.text, begin)
        bare = whole.group() if whole else text
        if begin + len(bare) >= span.end:  # without a space: a name with hyphens
            span = Span(span.source, begin, begin + len(bare))
            return Diagnostic(
                "C007", f"`{_short(bare)}` is no name", span, help=f'write it in quotes: "{bare}"'
            )
    if before is not None and before[0] == "NUMBER" and kind in {"NAME", "DOT", "NUMBER", "NODE"}:
        joined = before[2].end == span.start
        if joined and kind == "DOT":
            advice = "a decimal point stands between digits (`0.5`); a head is written `L9H9`"
            return Diagnostic("C007", "this is not a number", before[2].to(span), help=advice)
        if joined:
            advice = "units are not written, and a name does not begin with a digit"
            return Diagnostic("C007", f"`{_short(text)}` cannot follow a number", span, help=advice)
    if kind == "COMMA" and _NEXT_KEY.match(span.source.text, span.start):
        return Diagnostic("C007", "there is no comma between keys", span, help="write one key a line")
    if kind == "COMMA":
        return Diagnostic("C007", "a list stands in square brackets", span, help="write `[a, b]`")
    if kind == "EQUAL":
        return Diagnostic(
            "C015", "there is a second `=` on this line", span, help="write one statement a line"
        )
    advice = "write one statement a line"
    return Diagnostic("C007", f"expected the end of the line, but {_found(kind, text)}", span, help=advice)


_HEADER = "write `kind name using implementation {`, all on one line"


def _header(context: Context, where: str, types: list[str], kind: str, text: str, span: Span) -> Diagnostic:
    before = context.statement[-1] if context.statement else None
    first = context.statement[0] if context.statement else None
    if types == ["NAME", "NAME"] and first is not None and before is not None:
        if kind == "NAME" and suggest(text, ["using"]):
            return Diagnostic(
                "C016", f"expected `using`, but `{text}` stands there", span, help="did you mean `using`?"
            )
        if kind == "NAME":
            advice = f"write `{first[1]} {before[1]} using {_short(text)} {{`"
            return Diagnostic("C016", f"`using` is missing before `{_short(text)}`", span, help=advice)
        if kind == "EQUAL":
            return Diagnostic(
                "C016",
                f"`{first[1]} {before[1]}` cannot be given a value",
                first[2].to(before[2]),
                help=f"write `metric {before[1]} using expression {{`, and in it `of = …`"
                if first[1] == "metric"
                else f"a key is one word (`{first[1]}_{before[1]}`?); a block has no `=`",
            )
    if kind == "NODE":
        return node_name(text, span)
    if where == "first" and kind in {"NUMBER", "STRING", "BOOLEAN", "LSQB"} and before is not None:
        help_text = f"write `{before[1]} = {_short(text)}`"
        if before[1] in {"import", "include", "load"} and kind == "STRING":
            help_text = f"another script is used by `use {_short(text)} as name`"
        if before[1] in {"embed", "pos_embed", "logits"} and kind == "LSQB":
            help_text = f"a node's position stands behind `@`: `{before[1]}@end -> …`"
        return Diagnostic("C003", f"`=` is missing behind `{_short(before[1])}`", before[2], help=help_text)
    if kind == "_NL" and where in {"first", "targets"} and first is not None:
        return Diagnostic(
            "C003",
            f"`{_short(first[1])}` stands alone",
            first[2],
            help="a statement is `key = value`, a block, or a path `a -> b`; "
            "the `{` of a block stands on the header's line",
        )
    if kind in {"_NL", "$END"}:
        assert before is not None
        advice = "the `{` stands on the same line as the header"
        return Diagnostic("C016", "this block has no body: `{` is missing", before[2], help=advice)
    if kind == "COMPARISON":
        problem = f"`{text}` stands only in a claim"
        advice = "a key takes `=`; a claim begins with `assert`"
        return Diagnostic("C015" if text == "==" else "C017", problem, span, help=advice)
    problem = f"expected {EXPECTED[where]}, but {_found(kind, text)}"
    advice = _HEADER if where != "targets" else "write `a, b = value`"
    return Diagnostic("C016" if where in {"header", "brace"} else "C002", problem, span, help=advice)


def node_name(text: str, span: Span) -> Diagnostic:
    """A node stands where a name is declared."""
    problem = f"`{text}` is how a node is written, so nothing else can be called that"
    return Diagnostic("C013", problem, span, help="choose another name")


def _rest(context: Context, where: str, kind: str, text: str, span: Span) -> Diagnostic:
    before = context.statement[-1] if context.statement else None
    if where == "name" and kind == "NODE":
        return node_name(text, span)
    if before is not None and (where == "name" or before[0] == "AT"):
        what = {
            "USING": "the name of an implementation behind `using`",
            "AS": "a name behind `as`",
            "AT": "a position behind `@`, such as `end`, `S.2`, or a token's number",
        }.get(before[0], "a name behind the comma")
        return Diagnostic("C002", f"expected {what}, but {_found(kind, text)}", span)
    if where in {"file", "as"}:
        advice = 'write `use "file.circ" as name`'
        return Diagnostic("C002", f"expected {EXPECTED[where]}, but {_found(kind, text)}", span, help=advice)
    if where == "arrow" and kind == "COMPARISON":
        return _after(context, [], kind, text, span)
    if where == "arrow":
        return Diagnostic(
            "C002",
            "this value is not a statement by itself",
            context.statement[0][2] if context.statement else span,
            help="give it to a key (`key = value`), or go on with `->`",
        )
    if where == "comparison":
        return _after(context, ["ASSERT"], kind, text, span)
    return Diagnostic("C002", f"expected {EXPECTED[where]}, but {_found(kind, text)}", span)


def unclosed(kind: str, span: Span) -> Diagnostic:
    """The script ends inside a bracket."""
    close = _BRACKETS[kind][1]
    advice = f"add the missing `{close}`"
    return Diagnostic("C005", f"the {_WHAT[kind]} that begins here is never closed", span, help=advice)


def too_deep(span: Span, limit: int) -> Diagnostic:
    """More brackets within brackets than anything readable has."""
    advice = "name the inner parts in blocks of their own"
    return Diagnostic("C010", f"brackets are nested more than {limit} deep", span, help=advice)


def too_long(span: Span, limit: int) -> Diagnostic:
    """More arithmetic in one statement than anything readable has."""
    problem = f"more than {limit} values are computed with in one statement"
    advice = "name parts in blocks of their own: `metric part using expression { … }`"
    return Diagnostic("C010", problem, span, help=advice)


_LOOKALIKES = {
    "'": ("single quotes are not read", 'write strings in double quotes: "…"'),
    "\N{LEFT DOUBLE QUOTATION MARK}": ("curly quotes are not read", 'write straight double quotes: "…"'),
    "\N{RIGHT DOUBLE QUOTATION MARK}": ("curly quotes are not read", 'write straight double quotes: "…"'),
    "\N{LEFT SINGLE QUOTATION MARK}": ("curly quotes are not read", 'write straight double quotes: "…"'),
    "\N{RIGHTWARDS ARROW}": ("an arrow is written `->`", "write `->`"),
    "\N{MINUS SIGN}": ("this is a minus sign, not a hyphen", "write `-`"),
    "\N{EN DASH}": ("this is a dash, not a hyphen", "write `-`"),
    "\N{LESS-THAN OR EQUAL TO}": ("a comparison is written in ASCII", "write `<=`"),
    "\N{GREATER-THAN OR EQUAL TO}": ("a comparison is written in ASCII", "write `>=`"),
    "\N{NOT EQUAL TO}": ("a comparison is written in ASCII", "write `!=`"),
    "\N{NO-BREAK SPACE}": ("this is a no-break space", "write an ordinary space"),
    ":": ("a colon has no meaning here", "a key takes `=`"),
    ";": ("statements end with the line", "remove the semicolon, one statement a line"),
    "/": ("there is nothing to divide here", "a comment begins with `#`"),
    "+": ("there is nothing to add to here", "a number is written without `+`"),
    "*": ("there is nothing to multiply here", "in nodes `*` means all: `L*H*`, `MLP*`, `L5H*`"),
    "!": ("this is no operator", "`!=` means not equal"),
    "-": ("this is neither a number nor an arrow", "an arrow is `->`; a text with a hyphen stands in quotes"),
    ".": ("a dot stands between names or digits", "write `0.5`, not `.5`"),
    "%": ("numbers have no `%`", "write a share: 0.9 for 90%"),
    "$": ("there are no variables with `$`", "a constant is used by its name"),
    "\r": ("this is a carriage return without a line feed", "save the file with ordinary line ends"),
}


def complain_character(source: Source, position: int) -> Diagnostic:
    """No token begins with this character here."""
    character = source.text[position]
    if character == '"':
        line_end = re.compile(r"\r?\n|\Z").search(source.text, position)
        end = line_end.start() if line_end else position + 1
        return Diagnostic(
            "C004",
            "this string has no end on its line",
            Span(source, position, end),
            help='close it with `"`; a line break within a string is written `\\n`',
        )
    span = Span(source, position, position + 1)
    if character in _LOOKALIKES:
        message, advice = _LOOKALIKES[character]
        return Diagnostic("C001", message, span, help=advice)
    name = unicodedata.name(character, "")
    printable = character.isprintable() and not character.isspace()
    shown = f"`{character}`" if printable else f"U+{ord(character):04X}"
    if character == "\0":
        return Diagnostic(
            "C001", "this is a NUL byte, so the file is hardly a text", span, help="is it the right file?"
        )
    letters = character.isalpha()
    return Diagnostic(
        "C001",
        f"{shown} cannot be read here" + (f" ({name.lower()})" if name and not character.isascii() else ""),
        span,
        help="names are written with the letters a to z, digits and `_`" if letters else None,
    )
