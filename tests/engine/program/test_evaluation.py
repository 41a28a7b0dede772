"""What scripts say of circuits, against the same asked of the engine, number by number."""

from __future__ import annotations

import json
import statistics
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.checked import program_of
from tests.engine.program.scripts import header
from tests.refused import refused

from nncirc import check_text
from nncirc.circuits.areas import cmd, cpr, mib_sizes
from nncirc.circuits.chance import overlap_p, random_circuits
from nncirc.circuits.circuit import Circuit
from nncirc.circuits.errors import MethodError, NncircError
from nncirc.circuits.formats.json import read_circuit
from nncirc.circuits.intervals import Estimate, Resampling
from nncirc.circuits.measures import agreement
from nncirc.circuits.pictures.text import provenance
from nncirc.circuits.roc import roc_of_circuits
from nncirc.dsl.check.program import Apply
from nncirc.engine.blocks import blocks, functions
from nncirc.engine.evaluation.completeness import completeness, incompleteness, least, minimality
from nncirc.engine.evaluation.faithfulness import faithfulness, faithfulness_interval, random_faithfulness
from nncirc.engine.methods.acdc import acdc
from nncirc.engine.program import pictures
from nncirc.engine.program.build import Builder
from nncirc.engine.program.captions import told
from nncirc.engine.program.run import Report, run_program
from nncirc.engine.program.store import Store

pytestmark = pytest.mark.usefixtures("loaded_once")

PREAMBLE = """\
corruption without using zero {
  data = ioi
}
metric recovered using logit_diff {
  normalize = true
}
scores eap using attribution_patching {
  graph      = full
  corruption = abc
  metric     = recovered
}
scores patched using activation_patching {
  graph      = full
  corruption = abc
  metric     = recovered
  direction  = noise
}
circuit quick using top {
  scores = eap
  edges  = 30
}
circuit right using top {
  scores = eap
  edges  = 60
  rank   = signed
}
circuit family using threshold {
  scores    = eap
  threshold = [0.02, 0.1, 0.3]
}
"""


def built(text: str = "", size: int = 5) -> Builder:
    return Builder(program_of(check_text(header(size) + PREAMBLE + text)), blocks())


@cache
def usual() -> tuple[Any, ...]:
    """Contrast, metric, scores and two circuits of the script."""
    builder = built()
    contrast = builder.contrast(builder.program.declarations["abc"])
    return contrast, *(builder.get(name) for name in ("recovered", "eap", "quick", "right"))


def run(out: Path, text: str, size: int = 5, store: Store | None = None) -> Report:
    return run_program(built(text, size).program, out, store=store)


def claimed(tmp_path: Path, *claims: str, size: int = 5) -> list[tuple[float, Any]]:
    """The left of claims, and its interval."""
    report = run(tmp_path / "out", "".join(f"assert {claim} >= 0\n" for claim in claims), size)
    return [(claim.left, claim.left_interval) for claim in report.claims]


TESTED = """\
circuit {name} using acdc {{
  graph      = full
  corruption = abc
  metric     = recovered
  threshold  = [0.003, 0.01]
  loss       = {loss}
}}
"""


def test_losses_find_the_circuits_of_the_engine_and_say_so(tmp_path: Path) -> None:
    """Also beside each other: members of a family share what they measure, other losses do not."""
    contrast, metric, *_ = usual()
    text = TESTED.format(name="rising", loss="metric") + TESTED.format(name="near", loss="distance")
    run(tmp_path / "out", text)
    for name, loss in (("rising", "metric"), ("near", "distance")):
        for number, threshold in enumerate((0.003, 0.01)):
            found = read_circuit(tmp_path / f"out/{name}.{number}.json")
            wanted = acdc(contrast, contrast.model.graph(), metric, threshold=threshold, loss=loss)  # type: ignore[arg-type]
            assert found.edges == wanted.edges
            assert found.made["loss"] == loss
            assert ("loss distance" in provenance(found.made)) == (loss == "distance")
    first = [read_circuit(tmp_path / f"out/{name}.0.json") for name in ("rising", "near")]
    assert first[0].edges != first[1].edges


def test_a_range_has_both_its_ends(tmp_path: Path) -> None:
    _, _, eap, quick, _ = usual()
    size, kept = len(quick), "faithfulness(quick, metric = recovered, corruption = abc)"
    assert eap.top(30).edges == quick.edges
    claims = [
        (f"quick.edges in [{size}, {size + 1}]", True),
        (f"quick.edges in [{size - 1}, {size}]", True),
        (f"quick.edges in [{size}, {size}]", True),
        (f"quick.edges in [{size + 1}, 1000]", False),
        (f"quick.edges in [0, {size - 1}]", False),
        (f"{kept} in [-10, 10]", True),
    ]
    text = "".join(f"assert {claim}\n" for claim, _ in claims)
    report = run(tmp_path / "out", text)
    assert [(claim.assertion.text, claim.holds) for claim in report.claims] == claims
    assert report.claims[-1].left_interval is not None
    said = json.loads((tmp_path / "out/run.json").read_text())["assertions"]
    assert said[0] == {
        "claim": claims[0][0],
        "about": None,
        "left": size,
        "right": [size, size + 1],
        "holds": True,
    }


def test_a_circuit_that_overshoots_is_no_silent_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faithfulness of 1.62 holds as `>= 0.8`: it is said, beside the claim and in the record."""
    of = "faithfulness(quick, metric = recovered)"
    claims = [
        f"{of} >= 0.8",
        f"0.8 < {of}",
        f"{of} >= 0.8 * 1",
        f"{of} <= 2",  # what is asked for is not that it be large
        f"{of} in [0.8, 2]",
        f"{of} >= 1.7",  # does not hold
        f"{of} - 1 >= 0.1",
        "random_p(quick, metric = recovered, draws = 1) >= 0",
    ]
    text = "".join(f"assert {claim}\n" for claim in claims)

    def notes(value: float) -> tuple[str, ...]:
        found = Estimate(value, value - 0.1, value + 0.1, 5)
        monkeypatch.setattr(functions.Measuring, "faithfulness", lambda *_: found)
        return run(tmp_path / "out", text).notes

    assert notes(1.1) == ()
    said = notes(1.62)
    assert [note.split("`")[1] for note in said] == claims[:3]
    assert all("1.62" in note and "in [0.9, 1.1]" in note and "loss = distance" in note for note in said)
    record = json.loads((tmp_path / "out/run.json").read_text())["assertions"]
    assert [each["note"] for each in record if "note" in each] == list(said)


def test_claims_are_what_the_engine_says(tmp_path: Path) -> None:
    contrast, metric, _, quick, right = usual()
    found = claimed(
        tmp_path,
        "faithfulness(quick, metric = recovered)",
        "faithfulness(quick, metric = recovered, bound = low, resamples = 50, level = 0.8, seed = 3)",
        "faithfulness(quick, metric = recovered, bound = high, resamples = 50, level = 0.8, seed = 3)",
        "random_p(quick, metric = recovered, draws = 5, seed = 1)",
        "incompleteness(quick, metric = recovered, draws = 2, resamples = 20)",
        "minimality(quick, metric = recovered, resamples = 20)",
        "jaccard(quick, right, by = heads)",
        "overlap_p(quick, right)",
    )
    how = Resampling(50, 0.8, 3)
    interval = faithfulness_interval(contrast, quick, metric, how)
    null = random_faithfulness(contrast, quick, metric, draws=5, seed=1)
    worst = incompleteness(completeness(contrast, quick, metric, draws=2))
    wanted = [
        faithfulness(contrast, quick, metric),
        interval.low,
        interval.high,
        null.p,
        worst.difference.value,
        least(minimality(contrast, quick, metric)).difference.value,
        agreement(quick, right, by="heads").jaccard,
        overlap_p(quick, right),
    ]
    assert [left for left, _ in found] == pytest.approx(wanted, abs=1e-7)
    assert [each is not None for _, each in found] == [True, True, True, False, True, True, False, False]
    assert found[1][1] == found[2][1] == interval.rounded(8)


def test_a_curve_at_the_sizes_of_mib(tmp_path: Path) -> None:
    contrast, metric, scores, *_ = usual()
    text = "curve growing using faithfulness {\n  scores = eap\n  metric = recovered\n  edges = mib\n}\n"
    report = run(tmp_path, text + "assert cpr(growing) >= 0\nassert cmd(growing, bound = high) >= 0\n")
    curve = json.loads((tmp_path / "growing.json").read_text())
    circuits = [scores.top(edges) for edges in mib_sizes(scores.graph)]
    kept = [faithfulness(contrast, circuit, metric) for circuit in circuits]
    columns = list(zip(*curve["points"], strict=True))
    assert columns[0] == mib_sizes(scores.graph)
    assert list(columns[1]) == [len(circuit) for circuit in circuits]
    assert list(columns[2]) == pytest.approx(kept, abs=1e-7)
    assert all(low <= value <= high for _, _, value, low, high, _ in curve["points"])
    assert columns[5] == (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
    assert curve["areas"]["cpr"]["value"] == pytest.approx(cpr(kept), abs=1e-7)
    assert curve["areas"]["cmd"]["value"] == pytest.approx(cmd(kept), abs=1e-7)
    assert [claim.left for claim in report.claims] == [
        curve["areas"]["cpr"]["value"],
        curve["areas"]["cmd"]["high"],
    ]
    told = {key: curve["made"][key] for key in ("rank", "direction", "corruption", "held_out", "resamples")}
    assert told == {
        "rank": "absolute",
        "direction": "noise",
        "corruption": "replace",
        "held_out": False,
        "resamples": 1000,
    }


def test_a_curve_on_other_prompts(tmp_path: Path) -> None:
    """Ranked under one corruption, measured under another."""
    text = "curve away using faithfulness {\n  scores = eap\n  metric = recovered\n  edges = [30]\n"
    run(tmp_path, text + "  corruption = without\n}\n")
    curve = json.loads((tmp_path / "away.json").read_text())
    ((wanted, _),) = claimed(tmp_path, "faithfulness(quick, metric = recovered, corruption = without)")
    assert curve["points"][0][2] == wanted
    assert curve["made"]["held_out"] is True
    assert curve["made"]["corruption"] == "zero"


@pytest.mark.parametrize("by", ["edges", "nodes"])
def test_a_roc_curve_of_scores_is_one_of_all_their_thresholds(tmp_path: Path, by: Any) -> None:
    _, _, scores, _, right = usual()
    text = f"curve roc_curve using roc {{\n  scores = eap\n  reference = right\n  by = {by}\n}}\n"
    run(tmp_path, text)
    curve = json.loads((tmp_path / "roc_curve.json").read_text())
    values = sorted({abs(score) for score in scores.values.values()})
    circuits = [
        Circuit.of(scores.graph, [e for e, score in scores.values.items() if abs(score) >= value])
        for value in values
    ]
    wanted = roc_of_circuits(circuits, right, by=by)
    assert curve["areas"]["auc"]["value"] == pytest.approx(wanted.auc, abs=1e-6)
    assert curve["areas"]["auc by lines"]["value"] == pytest.approx(wanted.auc_linear, abs=1e-6)


def test_a_roc_curve_of_circuits_and_one_of_patched_nodes() -> None:
    text = (
        "curve few using roc {\n  circuits = [family, quick]\n  reference = right\n}\n"
        "curve nodes using roc {\n  scores = patched\n  reference = quick\n  by = nodes\n}\n"
    )
    builder = built(text)
    few, nodes = builder.get("few"), builder.get("nodes")
    assert {point[2] for point in few.points} == {None, 0.02, 0.1, 0.3, 30}
    assert (few.made["direction"], few.made["corruption"]) == ("noise", "replace")
    # Noised, a node without an effect leaves 1: what falls furthest from 1 comes first.
    patched = builder.get("patched")
    best = max(patched.nodes, key=lambda node: abs(1 - patched[node][0]))
    assert nodes.points[1][2] == pytest.approx(abs(1 - patched[best][0]))
    # The scores have intervals, and the curve has none.
    assert "intervals" in nodes.made["scores"]
    assert "intervals" not in nodes.made


def test_a_comparison_with_a_metric(tmp_path: Path) -> None:
    contrast, metric, _, quick, right = usual()
    text = (
        "compare report {\n  circuits = [quick, right]\n  reference = right\n  by = [edges, q]\n"
        '  metric = recovered\n  draws = 3\n}\nplot drawn {\n  compare = report\n  file = "a.svg"\n}\n'
    )
    report = run(tmp_path, text)
    table = report.tables["report"]
    row = dict(zip(table.columns, table.rows[0], strict=True))
    drawn = random_circuits(quick.graph, len(quick), 3)
    random_kept = [faithfulness(contrast, each, metric) for each in drawn]
    interval = faithfulness_interval(contrast, quick, metric)
    assert row == {
        "circuit": "quick",
        "edges": len(quick),
        "nodes": len(quick.nodes),
        "recall by edges": round(agreement(quick, right).recall, 4),
        "precision by edges": round(agreement(quick, right).precision, 4),
        "p by edges": overlap_p(quick, right),
        "recall by q": round(agreement(quick, right, by="q").recall, 4),
        "precision by q": round(agreement(quick, right, by="q").precision, 4),
        "p by q": overlap_p(quick, right, by="q"),
        "faithfulness": pytest.approx(interval.value, abs=1e-7),
        "low": pytest.approx(interval.low, abs=1e-7),
        "high": pytest.approx(interval.high, abs=1e-7),
        "random (median)": pytest.approx(statistics.median(random_kept), abs=1e-7),
        "p": (1 + sum(each >= interval.value for each in random_kept)) / 4,
    }
    assert table.made["direction"] == "noise"
    assert (tmp_path / "a.svg").stat().st_size > 1000


def test_each_with_each(tmp_path: Path) -> None:
    _, _, _, quick, right = usual()
    text = 'compare pairs {\n  circuits = [quick, right]\n}\nplot {\n  compare = pairs\n  file = "a.svg"\n}\n'
    table = run(tmp_path, text).tables["pairs"]
    assert table.columns == (
        *("circuit", "with", "jaccard by nodes", "p by nodes"),
        *("jaccard by edges", "p by edges"),
    )
    assert table.rows[0][4:] == (round(agreement(quick, right).jaccard, 4), overlap_p(quick, right))


def test_each_with_each_and_a_metric(tmp_path: Path) -> None:
    text = "compare %s {\n  circuits = [quick, right]\n  by = [heads, q]\n%s}\n"
    text = (
        text % ("alone", "")
        + text % ("both", "  metric = recovered\n")
        + (
            "compare one {\n  circuits = [quick]\n  metric = recovered\n}\n"
            'plot {\n  compare = both\n  file = "a.svg"\n}\n'
        )
    )
    tables = run(tmp_path, text).tables
    assert list(tables) == ["alone", "both", "both, each with each", "one"]
    assert tables["both"].columns == ("circuit", "edges", "nodes", "faithfulness", "low", "high")
    found, wanted = tables["both, each with each"], tables["alone"]
    assert (found.columns, found.rows, found.made) == (wanted.columns, wanted.rows, wanted.made)
    written = json.loads((tmp_path / "both.json").read_text())
    assert written["pairs"]["columns"] == list(wanted.columns)
    assert written["pairs"]["rows"] == [list(row) for row in wanted.rows]
    assert "pairs" not in json.loads((tmp_path / "one.json").read_text())


def test_a_curve_is_titled_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    titles: list[str] = []
    monkeypatch.setattr(pictures, "draw_curves", lambda *_, title: titles.append(title))
    curve = "curve %s using faithfulness {\n  scores = eap\n  metric = recovered\n  edges = [30]\n}\n"
    plot = 'plot %s{\n  curve = [c, d]\n  file = "%s.svg"\n}\n'
    run(tmp_path, curve % "c" + curve % "d" + plot % ("", "a") + plot % ("named ", "b"))
    assert titles == ["c, d", "named"]


@pytest.mark.parametrize("error", [MethodError("C590", "cannot draw this"), ValueError("of matplotlib")])
def test_a_picture_that_fails_takes_nothing_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(pictures, "draw_scores", fail)
    text = 'plot {\n  scores = eap\n  file = "a.svg"\n}\nrender {\n  circuit = quick\n  file = "b.dot"\n}\n'
    reports: list[Report] = []
    with pytest.raises((NncircError, ValueError), match=r"cannot draw this|of matplotlib"):
        run_program(built(text + "assert quick.edges <= 30\n").program, tmp_path, finished=reports.append)
    (report,) = reports
    assert [result.name for result in report.results][-2:] == ["family[2]", "render.1"]
    assert (tmp_path / "b.dot").exists()
    assert report.holds
    assert len(report.claims) == 1
    written = json.loads((tmp_path / "run.json").read_text())
    assert [each["holds"] for each in written["assertions"]] == [True]


def test_one_prompt_bounds_nothing(tmp_path: Path) -> None:
    text = "curve one using faithfulness {\n  scores = eap\n  metric = recovered\n  edges = [30]\n}\n"
    ((_, interval),) = claimed(tmp_path, "faithfulness(quick, metric = recovered)", size=1)
    assert interval.low == -float("inf")
    assert json.loads((tmp_path / "out/run.json").read_text())["assertions"][0]["left_interval"] == [None] * 2
    run(tmp_path / "curve", text + 'plot {\n  curve = one\n  file = "a.svg"\n}\n', size=1)
    assert json.loads((tmp_path / "curve/one.json").read_text())["points"][0][3:] == [None, None]
    said = told(json.loads((tmp_path / "curve/one.json").read_text())["made"])
    assert "one prompt, so no intervals; model" in said
    for bound in ("low", "high"):
        with refused(NncircError, "C561"):
            functions.bounded(interval, Apply("faithfulness", {"bound": bound}))


@pytest.mark.parametrize("size", [5, 1])
def test_a_second_run_finds_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    text = (
        "compare report {\n  circuits = [quick, right]\n  metric = recovered\n  draws = 2\n}\n"
        "assert minimality(quick, metric = recovered, resamples = 10) >= 0\n"
        "assert clean(recovered, corruption = abc) == 1\n"
    )
    first = run(tmp_path / "first", text, size, store=Store(tmp_path / "store"))

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("the model runs")

    for name in ("faithfulness", "completeness"):
        module = __import__(f"nncirc.engine.evaluation.{name}", fromlist=["cut_metric"])
        monkeypatch.setattr(module, "cut_metric", refuse)
    second = run(tmp_path / "second", text, size, store=Store(tmp_path / "store"))
    assert first.claims == second.claims
    assert first.tables == second.tables
