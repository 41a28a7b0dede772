"""Whatever stands in a script, checking it ends, with diagnostics if need be and never an exception."""

import random
import string
from pathlib import Path

from hypothesis import given, settings, strategies as st
from hypothesis.extra.lark import from_lark

from nncirc import CheckResult, check_text, diagnostics_to_json, render_diagnostics
from nncirc.dsl.blocks import KINDS
from nncirc.dsl.text.parser import lark, parse
from nncirc.dsl.text.source import Source

HERE = Path(__file__).parent
TEXTS = [
    path.read_text(encoding="utf-8")
    for path in sorted((*(HERE / "scripts").glob("*.circ"), *(HERE / "broken").glob("*.circ")))
]
WORDS = sorted(
    {
        "L9H9", "L99H99", "MLP*", "L3KV1", "->", "==", "<=", "@", ".2", "-1", "1e999", "{}", "{", "}", "[",
        "]", "(", ")", "=", ",", "where(", "random_tokens(", '"', "#", "\t", "\r\n", "\n", "\0", "é", "模",
        "next", "end", "true", "use", "assert", "using", "as", "embed", "logits", "gpt2", "found", "ioi",
        "wang.ioi", "tau",
    }
    | set(KINDS)
    | {name for kind in KINDS.values() for name in kind.implementations}
    | {key for kind in KINDS.values() for each in kind.implementations.values() for key in each.keys}
)  # fmt: skip
NAMES = st.sampled_from([word for word in WORDS if word.isidentifier() and word not in {"true", "embed"}])


def load(path: str) -> bytes:
    if path.endswith("ioi_wang2022.circ"):
        return (HERE / "scripts" / "ioi_wang2022.circ").read_bytes()
    raise FileNotFoundError(2, "No such file or directory")


def holds(text: str) -> CheckResult:
    result = check_text(text, loader=load)
    errors = [each for each in result.diagnostics if each.severity == "error"]
    assert (result.program is None) == bool(errors)
    for each in result.diagnostics:
        assert 0 <= each.span.start <= each.span.end <= len(each.span.source.text)
    places = [each.span.start for each in result.diagnostics if each.span.source.name == "<script>"]
    assert places == sorted(places)
    render_diagnostics(result.diagnostics, color=True).encode()
    diagnostics_to_json(result.diagnostics).encode()
    return result


@given(
    from_lark(
        lark(),
        start="start",
        explicit={
            "NAME": NAMES,
            "NODE": st.sampled_from(["L9H9", "L*H*", "L3KV1", "MLP0", "L5"]),
            "NUMBER": st.sampled_from(["0", "1", "-2", "0.5", "1e3", "12"]),
            "INDEX": st.sampled_from(["0", "1", "2"]),
            "STRING": st.sampled_from(['"gpt2"', '""', '"{S} and {IO}"', '"a.svg"', '"{"', '"x.circ"']),
            "BOOLEAN": st.sampled_from(["true", "false"]),
            "COMMENT": st.just("# a comment"),
            "_NL": st.just("\n"),
            "__IGNORE_0": st.just(" "),
            "USE": st.just(" use "),
            "ASSERT": st.just(" assert "),
            "USING": st.just(" using "),
            "AS": st.just(" as "),
        },
    )
)
@settings(max_examples=90)
def test_what_the_grammar_generates(text: str) -> None:
    holds(text)


@given(st.lists(st.one_of(st.sampled_from(WORDS), st.sampled_from([" ", "\n"])), max_size=60))
@settings(max_examples=120)
def test_words_in_any_order(words: list[str]) -> None:
    holds(" ".join(words))


@given(st.text(max_size=80))
@settings(max_examples=120)
def test_any_text(text: str) -> None:
    holds(text)


@given(st.binary(max_size=60))
@settings(max_examples=60)
def test_any_bytes(data: bytes) -> None:
    assert render_diagnostics(check_text(data).diagnostics) is not None


@given(st.sampled_from(TEXTS), st.randoms(use_true_random=False))
@settings(max_examples=240)
def test_mutated_scripts(text: str, chance: random.Random) -> None:
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(text) + 1)
        until = min(len(text), at + chance.choice([0, 0, 1, 3, 20, 80]))
        lines = text.splitlines(keepends=True) or [""]
        text = (
            text[:at]
            + chance.choice([*WORDS, "", chance.choice(lines), chance.choice(string.printable)])
            + text[until:]
        )
    holds(text)


@given(st.sampled_from(TEXTS), st.integers(0, 3000))
@settings(max_examples=60)
def test_scripts_cut_off(text: str, at: int) -> None:
    holds(text[:at])


@given(st.sampled_from(TEXTS), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_values_exchanged(text: str, chance: random.Random) -> None:
    """Syntax that holds, with meaning that does not."""
    lines = text.splitlines()
    keyed = [i for i, line in enumerate(lines) if " = " in line and "[" not in line.partition(" = ")[2]]
    for _ in range(min(3, len(keyed))):
        i, j = chance.choice(keyed), chance.choice(keyed)
        lines[i] = lines[i].partition(" = ")[0] + " = " + lines[j].partition(" = ")[2]
    holds("\n".join(lines))


@given(st.sampled_from(TEXTS))
@settings(max_examples=18)
def test_parsing_is_a_function_of_the_text(text: str) -> None:
    assert parse(Source("a", text))[0] == parse(Source("b", text))[0]
