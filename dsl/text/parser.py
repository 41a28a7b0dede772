"""From text to syntax tree. Lark stays in this file.

After a syntax error the parser resumes at the next line that can begin a statement, so that one run
reports several. Lark's own recovery is not used: its states are popped here to the nearest one in
which a statement may begin.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedToken

from nncirc.dsl.text import syntax
from nncirc.dsl.text.diagnostics import Diagnostic
from nncirc.dsl.text.source import Source, Span
from nncirc.dsl.text.syntax_errors import Context, complain, complain_character, too_deep, too_long, unclosed

_DEEPEST = 50  # open brackets; a person's script has four
_MOST_ERRORS = 20
_OPERATORS = {"PLUS", "TIMES"}
_OPENING = {"LBRACE": "RBRACE", "LSQB": "RSQB", "LPAR": "RPAR"}
_TRIVIA = re.compile(r"(?:[ \t]+|\r?\n|#[^\n]*)*")
_SKIPPED = re.compile(r'"(?:\\.|[^"\\\n])*"|#[^\n]*|[{}]|\n|[^"#{}\n]+|"')
_BEGINS = re.compile(
    r"[ \t]*(?:\}|(?:assert|use)\b|[A-Za-z_]\w*[ \t]*(?:,[ \t]*[A-Za-z_]\w*[ \t]*)*(?:=(?!=)|\{)"
    r"|[A-Za-z_]\w*[ \t]+[A-Za-z_]\w*)"
)
_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}


@cache
def lark() -> Lark:
    """The parser; its tables are built in about 30 ms, which a cache on disk would not better by much."""
    grammar = files("nncirc.grammar").joinpath("circ.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", propagate_positions=True, maybe_placeholders=True)


def accepts(state: int) -> frozenset[str]:
    """The terminals that a parser state can go on with."""
    return frozenset(name for name in _table()[state] if name.isupper())


def states() -> tuple[int, ...]:
    """Every state of the parser's table."""
    return tuple(_table())


def _table() -> dict[int, dict[str, Any]]:
    table: dict[int, dict[str, Any]] = lark().parser.parser._parse_table.states
    return table


def parse(source: Source) -> tuple[syntax.Script, list[Diagnostic]]:
    """The tree of what could be read, and the syntax errors."""
    return _Parser(source).run()


def parse_value(source: Source) -> tuple[syntax.Value | None, list[Diagnostic]]:
    """The tree of the single value that a source such as `tau=0.1` gives."""
    script, found = parse(source)
    if found or len(script.statements) != 1 or not isinstance(script.statements[0], syntax.Attribute):
        return None, found
    return script.statements[0].value, []


class _Parser:
    """One run over one text."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.diagnostics: list[Diagnostic] = []
        self.open: list[Token] = []
        self.statement: list[Token] = []  # the tokens of the statement in hand
        self.interactive = lark().parse_interactive(source.text)
        self.state: Any = self.interactive.parser_state
        self.lexer: Any = self.interactive.lexer_thread

    def run(self) -> tuple[syntax.Script, list[Diagnostic]]:
        tree: Any = None
        while tree is None and len(self.diagnostics) < _MOST_ERRORS:
            try:
                for token in self.lexer.lex(self.state):
                    self.feed(token)
                    if len(self.open) > _DEEPEST:
                        self.diagnostics.append(too_deep(self.span(token), _DEEPEST))
                        return self.script(None)
                    if token.type in _OPERATORS and self.operators() > _DEEPEST:
                        self.diagnostics.append(too_long(self.span(token), _DEEPEST))
                        return self.script(None)
                tree = self.end()
            except UnexpectedToken as error:
                self.complain(error.token)
                # A newline that came too early is itself the place to go on from.
                self.resume(error.token.start_pos or 0)
            except UnexpectedCharacters as error:
                place = error.pos_in_stream or 0
                self.diagnostics.append(complain_character(self.source, place))
                self.resume(place)
        return self.script(tree)

    def script(self, tree: Any) -> tuple[syntax.Script, list[Diagnostic]]:
        if tree is None and len(self.diagnostics) >= _MOST_ERRORS:
            problem = f"parsing stopped after {_MOST_ERRORS} syntax errors; fix the ones above first"
            place = self.diagnostics[-1].span
            self.diagnostics.append(Diagnostic("C131", problem, place, severity="warning"))
        builder = _Builder(self.source)
        statements = () if tree is None or self.diagnostics else builder.statements(tree.children)
        comments = tuple(_comments(self.source))
        return syntax.Script(self.source, statements, comments), [*self.diagnostics, *builder.diagnostics]

    def operators(self) -> int:
        """How many values the statement in hand computes with: each is a level of the tree."""
        return sum(token.type in _OPERATORS for token in self.statement)

    def span(self, token: Token) -> Span:
        start = token.start_pos or 0
        return Span(self.source, start, start + len(token))

    def feed(self, token: Token) -> Any:
        result = self.state.feed_token(token, token.type == "$END")
        if token.type in _OPENING:
            self.open.append(token)
        elif token.type in _OPENING.values() and self.open:
            self.open.pop()
        if token.type in {"_NL", "LBRACE", "RBRACE"} and not (self.open and self.open[-1].type != "LBRACE"):
            self.statement.clear()
        else:
            self.statement.append(token)
        return result

    def end(self) -> Any:
        position = len(self.source.text)
        if self.open:
            if not self.diagnostics:
                self.diagnostics.append(unclosed(self.open[-1].type, self.span(self.open[-1])))
            return Tree("start", [])
        end = Token("$END", "", start_pos=position)
        try:
            return self.feed(end)
        except UnexpectedToken:
            self.complain(end)
            return Tree("start", [])

    def complain(self, token: Token) -> None:
        opener = self.open[-1] if self.open else None
        context = Context(
            kind=token.type,
            text=str(token),
            span=self.span(token),
            accepts=accepts(self.state.position),
            statement=tuple((each.type, str(each), self.span(each)) for each in self.statement),
            opener=opener.type if opener else None,
            opened=self.span(opener) if opener else None,
            again=bool(self.diagnostics),
        )
        found = complain(context)
        if found is not None:
            self.diagnostics.append(found)

    def resume(self, position: int) -> None:
        """Drop the current statement and resume after it, keeping track of the braces skipped."""
        # Within brackets, and where a value is on the next line, the lines that follow belong to the mistake.
        unfinished = bool(self.open) and self.open[-1].type != "LBRACE"
        unfinished = unfinished or bool(self.statement and self.statement[-1].type == "EQUAL")
        header = bool(self.statement) and self.statement[0].type == "NAME"
        while self.open and self.open[-1].type != "LBRACE":
            self.open.pop()
        while "ASSERT" not in accepts(self.state.position):
            self.state.state_stack.pop()
            self.state.value_stack.pop()
        self.statement.clear()
        # A key and its `=` may have been read before the error; a header's brace is still to come.
        for match in _SKIPPED.finditer(self.source.text, position):
            piece = match.group()
            if piece == "\n":
                position = match.end()
                if not unfinished or _BEGINS.match(self.source.text, position):
                    break
            elif piece == "{":
                self.force(Token("NAME", "?", start_pos=match.start()))
                self.force(Token("LBRACE", "{", start_pos=match.start()))
            elif piece == "}" and self.open:
                self.force(Token("RBRACE", "}", start_pos=match.start()))
                self.force(Token("_NL", "\n", start_pos=match.start()))
            position = match.end()
        trivia = _TRIVIA.match(self.source.text, position)
        position = trivia.end() if trivia else position
        if header and self.source.text[position : position + 1] == "{":
            # A header whose brace is on the next line: what follows is its body all the same.
            self.force(Token("NAME", "?", start_pos=position))
            self.force(Token("LBRACE", "{", start_pos=position))
            position += 1
        self.lexer.state.line_ctr.char_pos = position
        self.lexer.state.last_token = None

    def force(self, token: Token) -> None:
        try:
            self.feed(token)
        except UnexpectedToken:
            self.statement.clear()


def _comments(source: Source) -> Iterator[Span]:
    for match in _SKIPPED.finditer(source.text):
        if match.group().startswith("#"):
            yield Span(source, match.start(), match.end())


class _Builder:
    """From Lark's tree to ours. Brackets and operators are bounded by `_DEEPEST`, so recursion is safe."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.diagnostics: list[Diagnostic] = []

    def span(self, tree: Tree[Token] | Token) -> Span:
        if isinstance(tree, Token):
            return Span(self.source, tree.start_pos or 0, tree.end_pos or 0)
        return Span(self.source, tree.meta.start_pos, tree.meta.end_pos)

    def name(self, token: Any) -> syntax.Name:
        return syntax.Name(str(token), self.span(token))

    def statements(self, children: list[Any]) -> tuple[syntax.Statement, ...]:
        return tuple(self.statement(child) for child in children if isinstance(child, Tree))

    def statement(self, tree: Tree[Any]) -> syntax.Statement:
        span = self.span(tree)
        parts: list[Any] = tree.children
        if tree.data == "attribute":
            targets = tuple(self.name(t) for t in parts[0].children if t.type == "NAME")
            return syntax.Attribute(targets, self.value(parts[1]), span)
        if tree.data == "block":
            kind, label, using, _, *body, _ = parts
            last = using or label or kind
            return syntax.Block(
                self.name(kind),
                None if label is None else self.name(label.children[0]),
                None if using is None else self.name(using.children[0]),
                self.statements(body),
                self.span(kind).to(self.span(last)),
                span,
            )
        if tree.data == "use":
            path = self.value(parts[0])
            assert isinstance(path, syntax.String)
            return syntax.Use(path, self.name(parts[1]), span)
        if tree.data == "assertion":
            return syntax.Assertion(self.value(parts[0]), str(parts[1]), self.value(parts[2]), span)
        if tree.data == "scored":
            path, score = self.path(parts[0]), self.value(parts[1])
            assert isinstance(score, syntax.Number)
            return syntax.Path(path.terms, span, score)
        return self.path(tree)

    def path(self, tree: Tree[Any]) -> syntax.Path:
        return syntax.Path(tuple(self.value(t) for t in tree.children), self.span(tree))

    def position(self, tree: Tree[Any]) -> syntax.Ref:
        if isinstance(tree.children[0], Token):  # a token's number
            names = tuple(self.name(each) for each in tree.children)
            return syntax.Ref(names, names[0].span.to(names[-1].span))
        found = self.value(tree.children[0])
        assert isinstance(found, syntax.Ref)
        return found

    def value(self, tree: Tree[Any]) -> syntax.Value:
        span = self.span(tree)
        parts: list[Any] = tree.children
        match tree.data:
            case "ref":
                return syntax.Ref(tuple(self.name(t) for t in parts), span)
            case "node":
                at = None if parts[-1] is None else self.position(parts[-1])
                return syntax.Node(str(parts[0]), tuple(self.name(t) for t in parts[1:-1]), at, span)
            case "placed":
                ref = self.value(parts[0])
                assert isinstance(ref, syntax.Ref)
                return syntax.Placed(ref, self.position(parts[1]), span)
            case "call":
                arguments = tuple(self.argument(t) for t in parts[1:] if isinstance(t, Tree))
                return syntax.Call(self.name(parts[0]), arguments, span)
            case "list":
                return syntax.List(tuple(self.value(t) for t in parts if isinstance(t, Tree)), span)
            case "string":
                return syntax.String(self.string(parts[0]), span)
            case "number":
                return syntax.Number(self.number(str(parts[0]), span), span)
            case "boolean":
                return syntax.Boolean(str(parts[0]) == "true", span)
            case "sum" | "product":
                return syntax.Arithmetic(self.value(parts[0]), str(parts[1]), self.value(parts[2]), span)
            case "factor":
                return self.value(parts[1])
            case _:
                return self.path(tree)

    def argument(self, tree: Tree[Any]) -> syntax.Argument:
        if tree.data == "keyword":
            key, value = tree.children
            return syntax.Argument(self.name(key), self.value(value), self.span(tree))
        return syntax.Argument(None, self.value(tree), self.span(tree))

    def string(self, token: Token) -> str:
        start = (token.start_pos or 0) + 1
        pieces: list[str] = []
        last = 1
        odd: dict[str, tuple[int, int]] = {}  # where it is first, and how often
        for match in re.finditer(r"\\(.)", str(token), re.DOTALL):
            pieces.append(token[last : match.start()])
            last = match.end()
            escape = match.group(1)
            if escape in _ESCAPES:
                pieces.append(_ESCAPES[escape])
            else:
                first, count = odd.get(escape, (start - 1 + match.start(), 0))
                odd[escape] = first, count + 1
        for escape, (first, count) in odd.items():
            often = "" if count == 1 else f" ({count:,} times in this string)"
            self.diagnostics.append(
                Diagnostic(
                    "C009",
                    f"unknown escape `\\{escape}`{often}",
                    Span(self.source, first, first + 2),
                    help=r"write `\\` for a backslash; the escapes are `\"`, `\\`, `\n` and `\t`",
                )
            )
        pieces.append(token[last:-1])
        return "".join(pieces)

    def number(self, text: str, span: Span) -> int | float:
        whole = not any(c in text for c in ".eE")
        # Python refuses to read integers of many thousand digits; nobody needs more than these.
        if whole and len(text) <= 18:
            return int(text)
        value = math.inf if whole else float(text)
        if not math.isfinite(value):
            self.diagnostics.append(
                Diagnostic(
                    "C008",
                    "number too large",
                    span,
                    help="whole numbers may have 18 digits, others an exponent of up to 308",
                )
            )
            return 0
        return value
