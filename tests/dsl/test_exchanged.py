"""One value exchanged at a time, in every example: whatever is wrong then is said, and never by an exception.

Some hundreds of the tens of thousands of exchanges are made, spread evenly over them. To make more:
`NNCIRC_EXCHANGES=100000 pytest tests/dsl/test_exchanged.py` makes all.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import pytest
from tests.dsl.preamble import PREAMBLE

from nncirc import check_text, diagnostics_to_json, render_diagnostics
from nncirc.dsl.codes import SCRIPT

EXAMPLES = Path(__file__).parents[2] / "examples"
VALUES = (
    """
1|-1|0|0.5|1e300|"x"|""|"a.svg"|true|[]|[1, 1]|[1, 2]|[0.1, 0.2]|["x", "y"]|[["x"], "y"]|end|S.2|nothing|all
none|next|names|
L0H0|L*H*.q|MLP0|L1|[L0H0, embed]|logits|[q, k, v]|[heads, mlps]|[prompts]|logit_diff(at = end)
kl_divergence()|union(circuits = [found, small])|zero(data = ioi)|residual(gpt2)|ioi|abc
full|found|recovered|eap|[found, found]|2 * recovered|recovered / 0|a -> b|{x}|(|
""".replace("|\n", "|")
    .replace("\n", "|")
    .strip("|")
    .split("|")
)
"""Values of every kind, the name of something of every kind, what is no value, and nothing."""

# A key of a block with all of its value, and one within a call.
KEYED = re.compile(
    r"^[ \t]*[A-Za-z_][\w, ]*?= *(?P<value>.*)$|\w = (?P<inner>[^,()\[\]\n]+)(?=[,)])", re.MULTILINE
)


def texts() -> Iterator[tuple[str, str]]:
    """Name and text of every example, of the catalogue's too."""
    for path in sorted(EXAMPLES.rglob("*.circ")):
        yield str(path), path.read_text(encoding="utf-8")
    for code, entry in SCRIPT.items():
        if entry.good:
            yield f"{code}.circ", PREAMBLE + entry.good


def exchanges() -> Iterator[tuple[str, str]]:
    """Name and text of every example with one value exchanged, or with the whole key left out."""
    for name, text in texts():
        for match in KEYED.finditer(text):
            if "#" in match.group() or match.group().lstrip().startswith("assert"):
                continue
            start, end = match.span("inner" if match["value"] is None else "value")
            yield name, text[: match.start()] + text[match.end() :]
            yield from ((name, text[:start] + value + text[end:]) for value in VALUES)


def holds(name: str, text: str) -> None:
    """It is checked, and there is a program exactly where there is no error."""
    try:
        result = check_text(text, name=name)
        errors = [each for each in result.diagnostics if each.severity == "error"]
        assert (result.program is None) == bool(errors)
        render_diagnostics(result.diagnostics, color=True).encode()
        diagnostics_to_json(result.diagnostics)
    except Exception as error:
        raise AssertionError(f"{type(error).__name__} from\n{text}") from error


def test_one_value_exchanged() -> None:
    total = sum(1 for _ in exchanges())
    assert total > 10_000
    step = max(1, total // int(os.environ.get("NNCIRC_EXCHANGES", "200")))
    made = 0
    for name, text in islice(exchanges(), 0, None, step):
        holds(name, text)
        made += 1
    assert made >= 200


STEERED = """
scores steered using steering {{
  graph = full
  corruption = abc
  metric = recovered
  nodes = {nodes}
  together = true
  scale = [0, 2]
}}
assert score(steered, "L1H0 + L1H1", "2") > 0
"""


@pytest.mark.parametrize("nodes", ["1", "[]", "nothing", '"L1H0"', "[L1H0, L99H0]"])
def test_nodes_that_are_wrong_are_no_rows(nodes: str) -> None:
    found = check_text(PREAMBLE + STEERED.format(nodes=nodes)).diagnostics
    assert found
    assert not {each.code for each in found} - {"C104", "C201", "C204", "C226", "C247"}, render_diagnostics(
        found
    )


@pytest.mark.parametrize(
    "metrics",
    [
        {"a": "b", "b": "a"},
        {"a": "a"},
        {"a": "b + 1", "b": "2 * c", "c": "a / recovered"},
        {"a": "b + recovered", "b": "b - recovered"},
    ],
)
def test_metrics_that_need_each_other(metrics: dict[str, str]) -> None:
    blocks = [f"metric {name} using expression {{\n  of = {of}\n}}\n" for name, of in metrics.items()]
    claim = "assert clean(a, corruption = abc) > 0\n"
    found = check_text(PREAMBLE + "".join(blocks) + claim).diagnostics
    assert [each.code for each in found] == ["C109"], render_diagnostics(found)


def test_an_expression_of_a_metric_that_has_none() -> None:
    found = check_text(
        PREAMBLE + "metric a using expression {\n  at = end\n}\nmetric b using expression {\n  of = a\n}\n"
    ).diagnostics
    assert [each.code for each in found] == ["C103", "C105"] or [each.code for each in found] == [
        "C105",
        "C103",
    ]


def chained(kind: str, first: str, following: str, length: int) -> str:
    """A declaration, and so many that are each made of the one before."""
    blocks = [f"{kind} x0 {first}\n"]
    blocks += [f"{kind} x{n} {following.format(before=f'x{n - 1}')}\n" for n in range(1, length + 1)]
    return PREAMBLE + "".join(blocks)


METRICS = ("metric", "using logit_diff {\n}", "using expression {{\n  of = {before} + 1\n}}")
DOUBLED = ("metric", "using logit_diff {\n}", "using expression {{\n  of = {before} + {before}\n}}")
CIRCUITS = (
    "circuit",
    "using top {\n  scores = eap\n  edges = 3\n}",
    "using union {{\n  circuits = [{before}, small]\n}}",
)


@pytest.mark.parametrize(
    ("chain", "longest"),
    [(METRICS, 99), (DOUBLED, 6), (CIRCUITS, 50)],
    ids=["metrics", "doubled", "circuits"],
)
def test_chains_have_a_longest(chain: tuple[str, str, str], longest: int) -> None:
    """What is computed and written level by level has so many levels; past them it is said once."""
    assert not check_text(chained(*chain, longest)).diagnostics
    for length in (longest + 1, 600):
        found = check_text(chained(*chain, length)).diagnostics
        assert [each.code for each in found] == ["C010"], render_diagnostics(found)
        assert f"`x{longest + 1}`" in found[0].message


def test_all_members_of_a_family_are_joined() -> None:
    wide = "threshold = [" + ", ".join(str(n / 1000) for n in range(1000)) + "]"
    family = f"circuit wide using threshold {{\n  scores = eap\n  {wide}\n}}\n"
    assert not check_text(
        PREAMBLE + family + "circuit all_of using union {\n  circuits = [wide]\n}\n"
    ).diagnostics


def test_chains_that_close_a_circle_late() -> None:
    text = chained("metric", "using expression {\n  of = x2000\n}", METRICS[2], 2000)
    assert [each.code for each in check_text(text).diagnostics] == ["C109", "C010"]


def test_exchanges_are_of_every_kind() -> None:
    """The keys are found: in blocks, in calls, and above the blocks."""
    text = "tau = 1\nmetric m using x {\n  of   = a + 0.5 * b(at = end)\n  at = [S, end]\n}\n"
    found = [match["value"] or match["inner"] for match in KEYED.finditer(text)]
    assert found == ["1", "a + 0.5 * b(at = end)", "[S, end]"]
    assert next(count(len(VALUES))) > 40
