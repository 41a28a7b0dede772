"""Scripts of any size are checked in time that grows with the size, or are refused at once."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from tests.dsl.preamble import PREAMBLE
from tests.refused import refused

from nncirc import (
    Diagnostic,
    Source,
    Span,
    check_text,
    diagnostics_to_json,
    render_diagnostic,
    render_diagnostics,
)
from nncirc.circuits.errors import GraphError
from nncirc.circuits.graph import Graph, Shape
from nncirc.circuits.reference import Path, Term, from_paths, wrong_paths
from nncirc.dsl.text.limits import LONGEST_NAME, MOST_SHOWN, MOST_WORDS, passed

SHAPE = (
    "model m using shape {{\n  layers = {layers}\n  heads = {heads}\n}}\n"
    "graph g using residual {{\n  model = m\n{more}}}\ncircuit c using reference {{\n  graph = g\n"
)
SMALL = SHAPE.format(layers=4, heads=12, more="")


def heads(count: int) -> Iterator[str]:
    return (f"L{n // 12 % 4}H{n % 12}" for n in range(count))


def many(text: str, count: int) -> str:
    """A text so many times: `$i` is which, `$j` the next one, `$h` some head."""
    numbered = enumerate(heads(count))
    return "".join(text.replace("$i", str(i)).replace("$j", str(i + 1)).replace("$h", h) for i, h in numbered)


METHOD = (
    "scores swept$i using activation_patching {\n  graph = full\n  corruption = abc\n  metric = recovered\n"
)
SWEPT = PREAMBLE + METHOD.replace("$i", "") + "}\n"
DRAWN = PREAMBLE + "dataset d using template {\n  model = gpt2\n  size = 2\n  prompt = "
EXPRESSION = "metric u$j using expression {\n  of = u$i + 1\n}\n"

# What stands before something, what is there many times, and what stands behind it.
SCRIPTS = {
    "a list": ("a = [", "$i, ", "1]\n"),
    "constants": ("", "a$i = $i\n", ""),
    "constants of each other": ("", "a$i = a$j\n", "a = 1\n"),
    "names that are nothing": ("", "a$i = b$i\n", ""),
    "escapes": ('a = "', "\\q", '"\n'),
    "strings with escapes": ("", 'a$i = "\\q"\n', ""),
    "blocks": ("", 'model a$i using bundled {\n  name = "ioi-4l"\n}\n', ""),
    "kinds that are none": ("", "modle a$i using bundled {\n}\n", ""),
    "models that are none": ("", "graph a$i using residual {\n  model = z$i\n}\n", ""),
    "keys that are none": ("model a using bundled {\n", "  z$i = 1\n", "}\n"),
    "names declared twice": ("", "a = 1\n", ""),
    "claims": (PREAMBLE, "assert recall(small, found) >= 0.5\n", ""),
    "claims about scores": (SWEPT, 'assert score(swept, "L1H1") >= 0.5\n', ""),
    "claims about rows that are none": (SWEPT, 'assert score(swept, "R$i") >= 0.5\n', ""),
    "claims that are none": ("tau = 1\n", "assert tau < 3\n", ""),
    "scored edges": (SMALL, "  embed -> $h.q = 0.5\n", "}\n"),
    "paths": (SMALL, "  embed -> $h -> logits\n", "}\n"),
    "paths that are none": (SMALL, "  logits -> $h\n", "}\n"),
    "a long step": (SMALL + "  embed -> [", "$h, ", "L0H0] -> logits\n}\n"),
    "a group": (SMALL + "  groups {\n    x = [", "$h, ", "L0H0]\n  }\n  embed -> x -> logits\n}\n"),
    "uses of a group": (SMALL + "  groups {\n    x = [L0H*, L1H*]\n  }\n", "  embed -> x -> logits\n", "}\n"),
    "groups": (SMALL + "  groups {\n", "    x$i = [$h]\n", "  }\n  embed -> x0 -> logits\n}\n"),
    "unions": (PREAMBLE, "circuit u$i using union {\n  circuits = [small, found]\n}\n", ""),
    "a chain of unions": (
        PREAMBLE + "circuit u0 using union {\n  circuits = [small]\n}\n",
        "circuit u$j using union {\n  circuits = [u$i]\n}\n",
        "",
    ),
    "a chain of metrics": (PREAMBLE + "metric u0 using logprob {\n}\n", EXPRESSION, ""),
    "a circle of metrics": (PREAMBLE + "metric u0 using expression {\n  of = u60\n}\n", EXPRESSION, ""),
    "outputs of one file": (PREAMBLE, 'render {\n  circuit = found\n  file = "a.svg"\n}\n', ""),
    "methods": (PREAMBLE, METHOD + "  positions = [S, IO, S.1, S.2]\n}\n", ""),
    "positions that are none": (SWEPT[:-2] + "  positions = [", "Z.$j, ", "Z]\n}\n"),
    "slots": (DRAWN + '"a"\n  slots {\n', "    S$i = names\n", "  }\n}\n"),
    "slots that are none": (DRAWN + '"', "{S$i} ", '"\n  slots {\n    X = names\n  }\n}\n'),
    "replacements": (PREAMBLE + "corruption r using replace {\n  data = ioi\n", "  S.$j -> A\n", "}\n"),
    "phrasings": (DRAWN + "[", '"$i {X}", ', '"{X}"]\n  slots {\n    X = names\n  }\n}\n'),
    "prompts": (
        PREAMBLE + "dataset d using prompts {\n  model = gpt2\n  clean = [",
        '"a b", ',
        '"c"]\n  answer = " c"\n  foil = " d"\n}\n',
    ),
    "a dotted name": ("a = b", ".c", "\n"),
    "comments": ("", "# no\n", ""),
    "a string without an end": ('a = "', "x", "\n"),
}


def script(name: str, count: int) -> str:
    before, some, behind = SCRIPTS[name]
    return before + many(some, count) + behind


def calls(text: str) -> int:
    """How many functions are called to check a text: a measure of time that no machine changes."""
    count = 0

    def seen(*_: object) -> None:
        nonlocal count
        count += 1

    check_text("a = 1")  # the parser's tables
    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        check_text(text)
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("name", SCRIPTS)
def test_twice_the_script_takes_twice_the_time(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nncirc.circuits.words._MOST_LETTERS", 2000)  # spent at this size, too
    once, twice = (calls(script(name, count)) for count in (60, 120))
    assert twice < 2.2 * once


@pytest.mark.parametrize(
    ("name", "count"),
    [(name, 400) for name in ("names that are nothing", "kinds that are none", "strings with escapes")]
    + [("models that are none", 150), ("keys that are none", 300), ("paths that are none", 130)],
)
def test_a_hundred_errors_are_shown_and_the_others_counted(name: str, count: int) -> None:
    found = check_text(script(name, count)).diagnostics
    assert [each.severity for each in found] == ["error"] * MOST_SHOWN + ["warning"]
    assert found[-1].code == "C131"
    text = render_diagnostics(found)
    more = int(found[-1].message.split()[0].replace(",", ""))
    assert MOST_SHOWN + more >= count
    assert f"{more:,} more error" in text
    assert text.endswith("100 errors, 1 warning\n")
    assert len(text) < 60_000


def test_errors_are_counted_one_by_one() -> None:
    found = check_text("".join(f"a{i} = b{i}\n" for i in range(101))).diagnostics
    assert found[-1].message == "1 more error not shown; fix the ones above first"
    assert len(check_text("".join(f"a{i} = b{i}\n" for i in range(100))).diagnostics) == 100


def test_every_bad_escape_of_a_string_is_said_once() -> None:
    found = check_text('a = "' + "\\q" * 300_000 + "\\w" + '"\n').diagnostics
    assert [(each.code, each.message) for each in found] == [
        ("C009", "unknown escape `\\q` (300,000 times in this string)"),
        ("C009", "unknown escape `\\w`"),
    ]
    assert len(render_diagnostics(found)) < 1000


LONG = "n" * 190
LISTS = {
    "a long string": f'dataset d using file {{\n  path = "{"x" * 100_000}"\n}}\n',
    "a long name": f"{LONG} = {LONG}\n",
    "a circle": PREAMBLE + many(f"metric {LONG}$i using expression {{\n  of = {LONG}$j\n}}\n", 30)
    + f"metric {LONG}30 using expression {{\n  of = {LONG}0\n}}\n",
    "many positions": PREAMBLE + "graph h using residual {\n  model = gpt2\n  positions = ["
    + ", ".join(f"{LONG}{i}" for i in range(200))
    + "]\n}\ncircuit r using reference {\n  graph = h\n  embed@X -> logits\n}\n",
    "many constants": many(f"{LONG}$i = 1\n", 200),
    "a dotted name": "a = " + ".".join([LONG] * 500) + "\n",
}  # fmt: skip


@pytest.mark.parametrize("name", LISTS)
def test_no_error_is_longer_than_a_screen(name: str) -> None:
    found = check_text(LISTS[name], set={"zzz": 1} if name == "many constants" else None).diagnostics
    assert found
    for each in found:
        assert len(render_diagnostic(each)) < 2500
        assert len(diagnostics_to_json([each])) < 6000


def test_texts_of_an_error_are_cut() -> None:
    span = Span(Source("a", "b"), 0, 1)
    found = Diagnostic("C001", "m" * 10_000, span, "l" * 1000, help="h" * 10_000)
    assert (len(found.message), len(found.label), len(found.help or "")) == (600, 100, 600)
    assert found.message.endswith("m…")
    assert len(Diagnostic("C301", "line\n" * 200, span).message) == 1000  # a table of tokens


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = [" + "1," * 1_000_000 + "1]\n", "words"),
        ("\n" * 3_000_000, "words"),
        ("#\n" * 1_000_000, "words"),
        ("a" * 1_000_000 + " = 1\n", "name or number too long"),
        ("a = " + "1" * 1_000_000 + "\n", "name or number too long"),
        ("a = b" + ".b" * 1_000_000 + "\n", "words"),
        ('a = "' + "x" * 4_000_001 + '"\n', "4,000,000 characters"),
    ],
    ids=["a list", "lines", "comments", "a name", "a number", "a dotted name", "a string"],
)
def test_what_is_too_much_is_not_read(text: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nncirc.dsl.check.checker.parse", lambda _: pytest.fail("it was read"))
    (found,) = check_text(text).diagnostics
    assert found.code == "C132"
    assert said in found.message
    assert len(render_diagnostic(found)) < 1000


def test_used_files_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nncirc.dsl.text.limits.MOST_WORDS", 1000)
    main = 'use "half.circ" as a\nuse "half.circ" as b\n'
    for lines, codes in ((240, set()), (249, {"C113", "C132"})):
        found = check_text(main, loader=dict.fromkeys(["half.circ"], b"#\n" * lines).__getitem__).diagnostics
        assert {each.code for each in found} == codes


def test_words_are_counted_as_they_are_read() -> None:
    """GPT-2's whole graph, an edge with its score a line, is within what a script may hold."""
    line = "  L10H11 -> L11H10.k = -1.25e-05\n"
    assert passed(line, 0)[0] == 8
    assert MOST_WORDS > 32_491 * 8
    assert passed('a = "say \\" # 1 2 3" # a comment\n', 0)[0] == 5
    assert passed("n" * LONGEST_NAME + " = 1", 0)[2] is None


# Graphs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [70, 120])
def test_paths_of_too_many_edges(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are counted, and not made."""
    monkeypatch.setattr("nncirc.circuits.reference.Edge", lambda *_: pytest.fail("an edge was made"))
    text = SHAPE.format(layers=size, heads=size, more="") + "  embed -> L*H* -> L*H* -> logits\n}\n"
    (found,) = check_text(text).diagnostics
    assert found.code == "C464"
    edges = 3 * size**2 + 3 * size**2 * size * (size - 1) // 2
    assert f"{edges:,} edges" in found.message
    with refused(GraphError, "C464"):
        heads = [("L*H*", None)]
        from_paths(
            Graph(Shape(size, size, size)), {}, [[[("embed", None)], heads, heads, [("logits", None)]]]
        )


def test_a_graph_at_many_positions_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "nncirc.circuits.graph.Graph._at_positions",
        lambda self, names: tuple(names) if not self.positions else pytest.fail("nodes were made"),
    )
    more = "  positions = all\n  length = {length}\n"
    for length, codes in ((10_000, ["C465"]), (95, [])):
        text = (
            SHAPE.format(layers=2000, heads=1, more=more.format(length=length)) + "  embed@0 -> logits@0\n}\n"
        )
        assert [each.code for each in check_text(text).diagnostics] == codes


def test_families_have_so_many_members_in_all() -> None:
    numbers = ", ".join(str(i + 1) for i in range(1000))
    family = f"circuit many using top {{\n  scores = eap\n  edges = [{numbers}]\n}}\n"
    claims = "assert many.edges > 0\n"
    assert not check_text(PREAMBLE + family + claims * 99).diagnostics
    found = check_text(PREAMBLE + family + claims * 150).diagnostics
    assert [each.code for each in found] == ["C132"]


def test_wrong_paths_are_those_that_make_no_circuit() -> None:
    graph = Graph(Shape(3, 2, 1))
    groups = {"early": ["L0H*"], "late": ["L2H1", "MLP2"], "shared": ["L1KV0"]}
    names = ["embed", "logits", "L0H1", "L1H*", "L1KV0", "MLP1", "MLP9", "L9H0", "nothing", *groups]
    terms: list[Term] = [(name, which) for name in names for which in (None, "q", "k")]
    right = wrong = 0
    for first in terms:
        for second in terms:
            path: Path = [[first], [second]]
            try:
                from_paths(graph, groups, [path])
                expected = []
                right += 1
            except GraphError as error:
                expected = [(0, error.code, error.message, error.hint)]
                wrong += 1
            found = wrong_paths(graph, groups, [path])
            assert [(n, each.code, each.message, each.hint) for n, each in found] == expected
    assert right > 50
    assert wrong > 300
    assert [
        number for number, _ in wrong_paths(graph, groups, [[[("embed", None)]], [[("x", None)]] * 2])
    ] == [0, 1]
    assert [number for number, _ in wrong_paths(graph, {"x": ["L9H9"]}, [])] == [None]
