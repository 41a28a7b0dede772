"""Scripts whose numbers overflow: nothing of them is written, and the error says what it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.checked import program_of
from tests.engine.program.scripts import header

from nncirc import check_text
from nncirc.circuits.errors import MethodError, NncircError
from nncirc.circuits.intervals import Estimate
from nncirc.engine.program.folder import write_result
from nncirc.engine.program.results import Curve, Table
from nncirc.engine.program.run import run_program

PREAMBLE = (
    header(2)
    + """\
corruption loud using gaussian {
  data  = ioi
  at    = S
  scale = 1e160
}
metric huge using expression {
  of = logit_diff(at = end) * 1e308 * 1e308
}
"""
)
RESULTS = {
    "patching": "scores found using activation_patching {",
    "attribution": "scores found using attribution_patching {",
    "acdc": "circuit found using acdc {\n  threshold = 0.1",
    "steering": "scores found using steering {\n  nodes = MLP0\n  scale = [1e200]",
}


def refused(text: str, out: Path) -> NncircError:
    program = program_of(check_text(PREAMBLE + text))
    with pytest.raises(NncircError) as caught:
        run_program(program, out)
    assert not (out / "found.json").exists()
    return caught.value


@pytest.mark.parametrize(
    ("result", "corruption", "metric", "code"),
    [
        ("patching", "abc", "huge", "C562"),
        ("attribution", "abc", "huge", "C562"),
        ("acdc", "abc", "huge", "C562"),
        ("patching", "loud", "ld", "C563"),
        ("attribution", "loud", "ld", "C563"),
        ("acdc", "loud", "ld", "C563"),
        ("steering", "abc", "ld", "C503"),
    ],
)
def test_what_overflows(result: str, corruption: str, metric: str, code: str, tmp_path: Path) -> None:
    text = f"{RESULTS[result]}\n  graph = full\n  corruption = {corruption}\n  metric = {metric}\n}}\n"
    assert refused(text, tmp_path).code == code


def test_a_claim_that_overflows(tmp_path: Path) -> None:
    error = refused("assert clean(metric = ld, corruption = abc) * 1e308 * 1e308 > 1\n", tmp_path)
    assert error.code == "C562"
    assert (tmp_path / "run.json").exists()


@pytest.mark.parametrize("number", [float("inf"), float("nan")])
def test_no_result_is_written_with_a_number_that_is_none(number: float, tmp_path: Path) -> None:
    exact = Estimate(1.0, 1.0, 1.0)
    results = [
        Curve(("edges", "faithfulness"), ((1, number),), {}, {}),
        Curve(("edges",), ((1,),), {"cpr": exact}, {"total": number}),
        Table(("circuit", "edges"), (("found", number),), {}),
    ]
    for result in results:
        with pytest.raises(MethodError) as caught:
            write_result(tmp_path, "found", result)
        assert caught.value.code == "C562"
    assert list(tmp_path.iterdir()) == []
