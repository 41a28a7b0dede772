"""The grammar, the tree and its spans, and syntax errors in every state of the parser."""

from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest
from lark import Lark

from nncirc.dsl.text import syntax
from nncirc.dsl.text.diagnostics import render_diagnostic
from nncirc.dsl.text.parser import accepts, lark, parse, parse_value, states
from nncirc.dsl.text.source import Source, Span
from nncirc.dsl.text.syntax_errors import EXPECTED, Context, complain, complain_character, situation

HERE = Path(__file__).parent
GRAMMAR = HERE.parents[1] / "grammar" / "circ.lark"
SCRIPTS = sorted((HERE / "scripts").glob("*.circ"))


def read(text: str) -> syntax.Script:
    script, found = parse(Source("test", text))
    assert not found, render_diagnostic(found[0])
    return script


def test_the_grammar_is_small_and_free_of_conflicts() -> None:
    pytest.importorskip("interegular")
    text = GRAMMAR.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 100
    Lark(text, parser="lalr", strict=True)


def test_every_state_has_words_for_every_token_that_does_not_fit() -> None:
    source = Source("test", "a b")
    span = Span(source, 2, 3)
    tokens = {terminal.name for terminal in lark().terminals} | {"$END"}
    assert {situation(accepts(state)) for state in states()} <= set(EXPECTED)
    for state in states():
        for kind in sorted(tokens - accepts(state)):
            for opener in (None, "LBRACE", "LSQB", "LPAR"):
                context = Context(
                    kind=kind,
                    text=kind,
                    span=span,
                    accepts=accepts(state),
                    statement=(("NAME", "a", Span(source, 0, 1)),),
                    opener=opener,
                    opened=span if opener else None,
                    again=False,
                )
                found = complain(context)
                assert found is not None
                assert found.message
                assert not found.message.endswith(".")


@pytest.mark.parametrize("character", ["'", "€", "\0", "\x1b", "ü", "\u202e", "\U0001f600", "\ud800", "\r"])
def test_any_character_has_words(character: str) -> None:
    found = complain_character(Source("test", character), 0)
    assert character.isprintable() or character not in render_diagnostic(found)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("-3", -3),
        ("0.5", 0.5),
        ("1e-3", 0.001),
        ("1E2", 100.0),
        ('"a\\"b\\\\c\\n\\t"', 'a"b\\c\n\t'),
        ('"# no comment"', "# no comment"),
        ("true", True),
        ("false", False),
    ],
)
def test_literals(text: str, value: object) -> None:
    found, errors = parse_value(Source("test", f"x = {text}"))
    assert not errors
    assert isinstance(found, syntax.Number | syntax.String | syntax.Boolean)
    assert found.value == value
    assert type(found.value) is type(value)


@pytest.mark.parametrize(
    "text",
    ["L9H9", "L9H9.q", "L9H9.q@S.2", "L3KV1.k", "L3KV*", "L*KV*", "L*H*", "L5H*", "L5", "MLP*", "MLP3@end"],
)
def test_nodes(text: str) -> None:
    value, _ = parse_value(Source("test", f"x = {text}"))
    assert isinstance(value, syntax.Node)
    assert value.span.text == text


@pytest.mark.parametrize("text", ["L9H9x", "truely", "MLP", "LH", "using_it", "embed", "logits", "L"])
def test_names_that_look_like_something_else(text: str) -> None:
    assert isinstance(parse_value(Source("test", f"x = {text}"))[0], syntax.Ref)


def spans(part: object) -> list[tuple[object, Span]]:
    """Every part of a tree with its span."""
    found: list[tuple[object, Span]] = []
    if isinstance(part, tuple):
        for each in part:
            found += spans(each)
    elif is_dataclass(part) and not isinstance(part, Span | Source):
        span = getattr(part, "span", None)
        if isinstance(span, Span):
            found.append((part, span))
        for each in fields(part):
            found += spans(getattr(part, each.name))
    return found


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_spans(path: Path) -> None:
    """The text under a part's span, read by itself, is that part."""
    script = read(path.read_text(encoding="utf-8"))
    parts = spans(script)
    assert len(parts) > 50
    for part, span in parts:
        if isinstance(part, syntax.Name):
            assert span.text == part.text
        elif isinstance(part, syntax.Attribute | syntax.Block | syntax.Use | syntax.Assertion):
            assert read(span.text).statements == (part,)
        elif not isinstance(part, syntax.Argument | syntax.Script):
            assert parse_value(Source("test", f"x = {span.text}"))[0] == part


def test_comments_are_kept() -> None:
    script = read('# one\na = "# not one" # two\n\n# three')
    assert [span.text for span in script.comments] == ["# one", "# two", "# three"]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_line_ends_and_blanks_do_not_count(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    script = read(text)
    assert read(text.replace("\n", "\r\n")) == script
    assert read(text.replace("  ", "\t")) == script
    assert read(text.rstrip("\n")) == script
    assert read("\n\n# x\n" + text.replace("\n", "\n\n")) == script


def test_lists_and_calls_over_several_lines() -> None:
    assert read("a = [\n\n  1,\n  2,\n]") == read("a = [1, 2]")
    assert read("a = f(\n  x,\n  y = [\n1],\n)") == read("a = f(x, y = [1])")
    assert read("a = []").statements == read("a = [\n]").statements


def test_errors_are_found_in_several_places() -> None:
    _, found = parse(Source("test", "a = \nb = 1\nc = [1 2]\nblock x y {\n  d = 'x'\n}\ne = 1 2\n"))
    assert [(each.span.line, each.code) for each in found] == [
        (1, "C003"),
        (3, "C014"),
        (4, "C016"),
        (5, "C001"),
        (7, "C007"),
    ]


def test_the_number_of_errors_is_bounded() -> None:
    _, found = parse(Source("test", "a = = 1\n" * 1000))
    assert [each.severity for each in found] == ["error"] * 20 + ["warning"]
    assert found[-1].code == "C131"  # it is said that nothing more was read


@pytest.mark.parametrize("bracket", ["[", "(", "{", "f(", "a {\n", "x = [", "x = f("])
def test_deep_nesting(bracket: str) -> None:
    _, found = parse(Source("test", bracket * 100_000))
    assert found
    _, found = parse(Source("test", "x = " + bracket * 100_000))
    assert found
