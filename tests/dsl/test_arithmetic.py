"""Arithmetic: how it is read, what a program makes of it, and where it does not stand."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st
from tests.checked import program_of

from nncirc import check_text
from nncirc.dsl.check.program import Apply, Assertion, Calculation, Number, Program, Ref, leaves
from nncirc.dsl.text import syntax
from nncirc.dsl.text.parser import parse, parse_value
from nncirc.dsl.text.source import Source

PREAMBLE = """\
model small using bundled {
  name = "ioi-4l"
}
dataset pairs using prompts {
  model = small
  clean = ["One two"]
  answer = " three"
  foil = " four"
}
corruption none using zero {
  data = pairs
}
graph full using residual {
  model = small
}
base = 4
metric ld using logit_diff {
}
metric lp using logprob {
}
"""


def program(text: str) -> Program:
    return program_of(check_text(PREAMBLE + text))


def shown(value: syntax.Value) -> str:
    if isinstance(value, syntax.Arithmetic):
        return f"({shown(value.left)}{value.symbol}{shown(value.right)})"
    return value.span.text


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a - b - c", "((a-b)-c)"),
        ("a-b", "(a-b)"),
        ("a - 1", "(a-1)"),
        ("a -1", "(a-1)"),
        ("a - -1", "(a--1)"),
        ("a + b * c", "(a+(b*c))"),
        ("(a + b) * c", "((a+b)*c)"),
        ("a / b / c", "((a/b)/c)"),
        ("a / (b * f(x = c))", "(a/(b*f(x = c)))"),
        ("a*b", "(a*b)"),
        ("2*L", "(2*L)"),
    ],
)
def test_products_before_sums_and_from_the_left(text: str, tree: str) -> None:
    value, errors = parse_value(Source("test", f"x = {text}"))
    assert not errors
    assert value is not None
    assert shown(value) == tree
    assert value.span.text == text


def test_a_path_is_no_difference() -> None:
    script, errors = parse(Source("test", "a -> b\nx = a->b"))
    assert not errors
    assert isinstance(script.statements[0], syntax.Path)


@pytest.mark.parametrize("text", ["a + b", "f(a, 1)", "[a - b]"])
def test_so_much_arithmetic_is_refused(text: str) -> None:
    """Every sign is a level of the tree, and whoever walks it calls itself for each."""
    _, errors = parse(Source("test", "x = " + " + ".join([text] * 500)))
    assert [error.code for error in errors] == ["C010"]


NUMBERS = st.integers(-9, 9).map(str)
SUMS = st.recursive(
    NUMBERS, lambda s: st.tuples(s, st.sampled_from("+-*/"), s).map(lambda t: f"({' '.join(t)})")
)


@given(SUMS)
def test_numbers_are_computed_at_once(text: str) -> None:
    """As Python computes them, which reads such a text alike."""
    found = check_text(f"{PREAMBLE}assert clean(ld, corruption = none) >= {text}")
    try:
        wanted = eval(text)
    except ZeroDivisionError:
        assert "C242" in {each.code for each in found.diagnostics}
        return
    if text.count("(") > 45:
        return
    assert program_of(found).assertions[0].right == Number(wanted)


def test_metrics_are_kept_in_postfix_order() -> None:
    made = program("metric m using expression {\n  of = (ld - 0.5 * lp) / (base - 1)\n}")
    assert made.declarations["m"].values["of"] == (Ref("ld"), 0.5, Ref("lp"), "*", "-", 3, "/")
    assert made.declarations["m"].references() == ("ld", "lp")
    assert made.declarations["m"].values["better"] is None


def test_the_short_form_is_the_same_block() -> None:
    block = "metric m using expression {\n  of = ld / base\n}\n"
    scores = "scores s using attribution_patching {\n  graph = full\n  corruption = none\n  metric = %s\n}"
    long, short = program(block + scores % "m"), program(scores % "ld / base")
    assert short.declarations["s.metric"].values == long.declarations["m"].values
    inline = program(scores % "logit_diff(at = end) - logprob(at = end)")
    assert [d.implementation for d in inline.of_kind("metric")][-3:] == [
        "logit_diff",
        "logprob",
        "expression",
    ]


def test_claims_compute_with_numbers() -> None:
    made = program("assert clean(ld - lp, corruption = none) / base - corrupt(ld, corruption = none) > 2 * 3")
    (claim,) = made.assertions
    assert isinstance(claim.left, Calculation)
    assert claim.left.symbol == "-"
    assert [leaf.function for leaf in leaves(claim.left) if isinstance(leaf, Apply)] == ["clean", "corrupt"]
    assert claim.right == Number(6)
    assert set(claim.references()) >= {"ld", "none"}


def test_claims_about_families_compute_with_each_member() -> None:
    made = program(
        "scores s using attribution_patching {\n  graph = full\n  corruption = none\n  metric = ld\n}\n"
        "circuit c using threshold {\n  scores = s\n  threshold = [0.1, 0.2]\n}\n"
        "assert c.edges / 2 + c.nodes <= 1000"
    )

    def circuits(claim: Assertion) -> set[str]:
        return set(claim.references())

    assert [circuits(claim) for claim in made.assertions] == [{"c[0]"}, {"c[1]"}]
