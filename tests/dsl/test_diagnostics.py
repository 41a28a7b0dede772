"""How diagnostics look, and the names that they suggest."""

import json
from pathlib import Path

import pytest
from tests.dsl.preamble import PREAMBLE

from nncirc import (
    Diagnostic,
    Label,
    Source,
    Span,
    check_text,
    diagnostics_to_json,
    render_diagnostic,
    render_diagnostics,
)
from nncirc.circuits.graph import Shape
from nncirc.circuits.names import Node, Position
from nncirc.circuits.words import nearest
from nncirc.dsl.check.shapes import Sizes, model_sizes


def at(text: str, part: str) -> Span:
    start = text.index(part)
    return Span(Source("a.circ", text), start, start + len(part))


def carets(text: str, part: str) -> tuple[str, str]:
    """The line shown and the line of carets, without the gutter."""
    lines = render_diagnostic(Diagnostic("C001", "message", at(text, part))).splitlines()
    return lines[3][4:], lines[4][4:]


def test_source() -> None:
    source = Source("a", "one\r\ntwo\n\nthree")
    assert source.line_count == 4
    assert [source.line(n) for n in (1, 2, 3, 4)] == ["one", "two", "", "three"]
    span = Span(source, 6, 8)
    assert (span.line, span.column, span.end_line, span.end_column) == (2, 2, 2, 4)
    assert (span.text, str(span)) == ("wo", "a:2:2")
    assert span.to(Span(source, 0, 1)) == Span(source, 0, 8)
    assert Span(source, 14, 14).line == 4
    assert Source("a", "") != Source("a", "")


@pytest.mark.parametrize(
    ("text", "shown", "marks"),
    [
        ("a = xx", "a = xx", "    ^^"),
        ("\ta\t= xx", "    a    = xx", "           ^^"),
        ("模 = xx", "模 = xx", "     ^^"),
        ("e\u0301 = xx", "e\u0301 = xx", "    ^^"),
        ("\x1b = xx", r"\x1b = xx", "       ^^"),
        ("\u202e = xx", r"\u202e = xx", "         ^^"),
    ],
)
def test_carets(text: str, shown: str, marks: str) -> None:
    assert carets(text, "xx") == (shown, marks)


def test_long_lines_are_cut() -> None:
    shown, marks = carets("a" * 500 + "xx" + "b" * 500, "xx")
    assert shown.startswith("…")
    assert shown.endswith("…")
    assert len(shown) <= 102
    assert shown[marks.index("^") : marks.rindex("^") + 1] == "xx"


def test_spans_over_lines_and_at_the_end() -> None:
    assert carets("x = [\n1]", "[\n1]") == ("x = [", "    ^")
    source = Source("a", "x\n")
    assert "^" in render_diagnostic(Diagnostic("C001", "message", Span(source, 2, 2)))
    # Nothing is shown of a text that has nothing in it, such as a script that cannot be read.
    assert render_diagnostic(Diagnostic("C001", "message", Span(Source("a", ""), 0, 0))).endswith("a:1:1")


def test_labels_in_other_files() -> None:
    here = at("x = y", "y")
    found = Diagnostic("C107", "twice", here, labels=(Label(Span(Source("b.circ", "y"), 0, 1), "first"),))
    assert render_diagnostic(found).splitlines() == [
        "error[C107]: twice",
        "  --> a.circ:1:5",
        "  |",
        "1 | x = y",
        "  |     ^",
        "  ::: b.circ:1:1",
        "1 | y",
        "  | - first",
    ]


def test_color() -> None:
    found = Diagnostic("C001", "message", at("x = y", "y"), help="help")
    text = render_diagnostic(found, color=True)
    assert "\x1b[1;31merror[C001]\x1b[0m" in text
    plain = text
    for code in ("\x1b[1;31m", "\x1b[1;34m", "\x1b[1m", "\x1b[0m"):
        plain = plain.replace(code, "")
    assert plain == render_diagnostic(found)


def test_names_of_files_stay_on_their_line() -> None:
    source = Source("no\udcff\n\x1b.circ", "x = y")
    label = Label(Span(Source("b\n.circ", "z"), 0, 1), "here")
    text = render_diagnostic(Diagnostic("C012", "message", Span(source, 0, 1), labels=(label,)))
    assert text.splitlines()[1] == r"  --> no\xff\n\x1b.circ:1:1"
    assert r"  ::: b\n.circ:1:1" in text.splitlines()


def test_counts() -> None:
    error = Diagnostic("C001", "message", at("x = y", "y"))
    warning = Diagnostic("C120", "message", at("x = y", "y"), severity="warning")
    assert render_diagnostics([]) == ""
    assert render_diagnostics([error, error, warning]).endswith("\n\n2 errors, 1 warning\n")


def test_json_can_always_be_written() -> None:
    text = diagnostics_to_json(check_text('x = "\ud800"\ny = \ud800').diagnostics)
    assert json.loads(text)[0]["code"] == "C011"
    assert text.encode("ascii")


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("logit_dif", "logit_diff"),
        ("LogitDiff", "logit_diff"),
        ("lgoprob", "logprob"),
        ("kl", "kl_divergence"),
        ("x", None),
        ("prbo", "prob"),
        ("divergence", "kl_divergence"),
        ("accuracy", None),
        ("", None),
        ("p" * 100_000, None),
    ],
)
def test_suggestions(word: str, near: str | None) -> None:
    assert nearest(word, ["logit_diff", "logprob", "prob", "kl_divergence"]) == near


def test_shapes(tmp_path: Path) -> None:
    assert model_sizes("huggingface", {"id": "gpt2"}) == Sizes(Shape(12, 12, 12), 3072)
    assert model_sizes("huggingface", {"id": "openai-community/gpt2-xl"}) == Sizes(Shape(48, 25, 25), 6400)
    assert model_sizes("huggingface", {"id": "nobody/nothing"}) is None
    assert model_sizes("bundled", {"name": "../dsl"}) is None
    config = {"num_hidden_layers": 2, "num_attention_heads": 8, "num_key_value_heads": 4}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert model_sizes("huggingface", {"id": str(tmp_path)}) == Sizes(Shape(2, 8, 4))
    (tmp_path / "config.json").write_text(json.dumps({**config, "intermediate_size": 40}))
    assert model_sizes("huggingface", {"id": str(tmp_path)}) == Sizes(Shape(2, 8, 4), 40)
    for text in ("{", "[]", '{"n_layer": "two"}', "\0"):
        (tmp_path / "config.json").write_text(text)
        assert model_sizes("huggingface", {"id": str(tmp_path)}) is None


def test_key_value_groups_beyond_the_model() -> None:
    text = PREAMBLE + "circuit other using reference {\n  graph = full\n  embed -> [L0KV3.k, L0KV4.v]\n}"
    found = check_text(text, shapes=lambda implementation, values: Sizes(Shape(2, 8, 4))).diagnostics
    assert [(each.code, each.span.text) for each in found] == [("C226", "L0KV4.v")]


def test_patterns_as_text() -> None:
    assert str(Node("head", 9, 6, "q", Position("S", 2))) == "L9H6.q@S.2"
    assert str(Node("head")) == "L*H*"
    assert str(Node("kv", 3)) == "L3KV*"
    assert str(Node("attention", 5)) == "L5"
    assert str(Node("mlp")) == "MLP*"
    assert str(Node("embed")) == "embed"
