"""No two things that a run writes are one file, nor is one a folder of the other."""

from __future__ import annotations

import pytest
from tests.checked import program_of
from tests.dsl.preamble import PREAMBLE

from nncirc import check_text, render_diagnostics
from nncirc.dsl.check.written import result_file, written

FAMILY = "circuit swept using top {\n  scores = eap\n  edges = [10, 20]\n}\n"


def render(circuit: str, file: str, name: str = "") -> str:
    return f'render {name} {{\n  circuit = {circuit}\n  file = "{file}"\n}}\n'


def top(name: str, kind: str = "circuit") -> str:
    return f"{kind} {name} using top {{\n  scores = eap\n  edges = 5\n}}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (render("found", "a.svg") + render("small", "./A.svg"), '"./A.svg"'),
        (render("found", "\u00e9.svg") + render("small", "e\u0301.svg"), "two outputs"),
        (top("run"), "`run` would be written to run.json, where the run is recorded"),
        (top("RUN"), "`RUN` would be written to run.json"),
        (
            "scores Run using weight_statistics {\n  model = gpt2\n  of = [copying]\n}",
            "`Run` would",
        ),
        ("compare run {\n  circuits = [found, small]\n}", "run.json"),
        (top("Found"), "`Found` is written to Found.json, and `found` is written to found.json"),
        # Families: known when they are expanded.
        (FAMILY + render("swept", "a.svg") + render("small", "a-0.svg"), 'the file "a-0.svg"'),
        (FAMILY + render("small", "A-1.svg") + render("swept", "a.svg"), 'the file "a-1.svg"'),
        (FAMILY + render("swept", "a.svg") + render("swept", "./a.svg"), "two outputs"),
        (FAMILY + render("swept", "a/b.svg") + render("small", "a/b-0.svg/c.svg"), "folder"),
        (
            FAMILY + top("Swept").replace("edges = 5", "edges = [1, 2]"),
            "`Swept[0]` is written to Swept.0.json",
        ),
        # One is a folder of the other.
        (render("found", "run.json/x.svg"), '"run.json/x.svg" and "run.json" cannot both be written'),
        (render("found", "found.json/x.svg"), "folder"),
        (render("found", "Found.JSON/y/x.svg"), "folder"),
        (FAMILY + render("found", "swept.1.json/x.svg"), "folder"),
        (render("found", "a.svg") + render("small", "a.svg/b.svg"), "folder"),
        (render("found", "a.svg/b/c.svg") + render("small", "a.svg"), "folder"),
    ],
)
def test_one_file_of_two(text: str, said: str) -> None:
    found = check_text(PREAMBLE + text).diagnostics
    assert [each.code for each in found] == ["C210"], render_diagnostics(found)
    assert said in found[0].message


@pytest.mark.parametrize(
    "text",
    [
        render("found", "a.svg") + render("small", "b/a.svg") + render("small", "b/c.svg"),
        FAMILY + render("swept", "a.svg") + render("small", "a-2.svg"),
        top("Swept") + FAMILY,  # Swept.json, swept.0.json
        top("runs") + render("found", "run.svg") + render("found", "runs/run.svg"),
        "metric run using logprob {\n}\ncorruption Found using zero {\n  data = ioi\n}\n",  # are not written
        'use "other.circ" as other\n' + render("other.run", "a.svg"),
    ],
)
def test_files_of_their_own(text: str) -> None:
    # What a used file declares and draws is not written.
    loader = {"other.circ": (PREAMBLE + top("run") + render("small", "run.json/x.svg")).encode()}
    found = check_text(PREAMBLE + text, loader=loader.__getitem__).diagnostics
    assert not found, render_diagnostics(found)


def test_errors_beside_it_do_not_hide_it() -> None:
    text = PREAMBLE + top("run") + render("found", "a.svg") + render("small", "a.svg") + "x = nothing\n"
    assert sorted(each.code for each in check_text(text).diagnostics) == ["C104", "C210", "C210"]


@pytest.mark.parametrize(
    "file",
    ["x" * 200 + ".svg", "é" * 120 + ".svg", "/".join(["a"] * 600) + ".svg", "a/" * 2100 + "x.svg"],
)
def test_paths_that_no_file_system_takes(file: str) -> None:
    found = check_text(PREAMBLE + render("found", file)).diagnostics
    assert [each.code for each in found] == ["C209"], render_diagnostics(found)


def test_what_is_written() -> None:
    text = PREAMBLE + FAMILY + "compare {\n  circuits = [found, small]\n}\n" + render("swept", "a.svg")
    text += "assert recall(union(circuits = [found, small]), small) >= 0\n"
    names = [each.name for each in written(program_of(check_text(text)).declarations.values())]
    assert sorted(names) == sorted(
        ["eap", "small", "found", "swept[0]", "swept[1]", "compare.1", "render.1[0]", "render.1[1]"]
    )
    assert result_file("swept[1]") == "swept.1.json"
