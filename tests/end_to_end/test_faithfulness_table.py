"""The table of methods: its arithmetic against the engine's, and the documentation against the command."""

from __future__ import annotations

import importlib
import re
from dataclasses import replace
from statistics import correlation
from typing import Any

import pytest
from tests.end_to_end.command import ROOT
from tests.some import some

from nncirc.circuits.areas import cmd
from nncirc.circuits.circuit import Circuit
from nncirc.circuits.graph import Graph
from nncirc.engine.evaluation.faithfulness import cut_metric, faithfulness
from nncirc.engine.model.loading import load_bundled
from nncirc.engine.runs.contrast import Contrast


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module; the folder is a namespace package of the repository's root."""
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("benchmarks.faithfulness")


@pytest.fixture
def contrast(table: Any) -> Contrast:
    made: Contrast = table.ioi(load_bundled("ioi-4l"), size=4, seed=0)
    return made


@pytest.fixture
def graph(contrast: Contrast) -> Graph:
    return contrast.model.graph()


def first(graph: Graph, edges: int) -> Circuit:
    return Circuit.of(graph, list(graph.edges())[:edges])


def test_edges_have_the_effect_of_their_nodes(table: Any, contrast: Contrast, graph: Graph) -> None:
    """A node is patched where every edge out of it is cut; an edge is worth its weaker end."""
    normal = contrast.normalizer(table.RECOVERED)
    effects = {}
    for node in ("embed", "L0H0", "MLP0", "L2H1", "L2H2"):
        out = [edge for edge in graph.edges() if edge.sender == node]
        effects[node] = 1 - float(normal(cut_metric(contrast, graph, table.RECOVERED, out).mean()))
    by_sender = table.node_patching(contrast, graph, ends=False)
    by_ends = table.node_patching(contrast, graph, ends=True)
    for sender, receiver, node in (
        ("embed", "L2H1.q", "L2H1"),
        ("MLP0", "L2H2.v", "L2H2"),
        ("L0H0", "MLP0", "MLP0"),
        ("L2H1", "logits", "L2H1"),
    ):
        weaker = min(effects[sender], effects[node], key=abs)
        assert by_sender[sender, receiver] == pytest.approx(effects[sender], abs=1e-6)
        assert by_ends[sender, receiver] == pytest.approx(weaker, abs=1e-6)


def test_the_largest_circuit_that_fits(table: Any, graph: Graph) -> None:
    circuits = [first(graph, edges) for edges in (40, 7, 90)]
    assert [len(table.largest(circuits, graph, edges)) for edges in (0, 6, 7, 39, 89, 478, 479)] == [
        *(0, 0, 7, 7, 40, 90, 479)
    ]


def test_thresholds_are_the_papers(table: Any) -> None:
    assert len(table.THRESHOLDS) == 31
    assert table.THRESHOLDS[0] == pytest.approx(1e-6)
    assert table.THRESHOLDS[-1] == pytest.approx(1)


def test_a_judge_says_what_the_engine_says(table: Any, contrast: Contrast, graph: Graph) -> None:
    sizes = tuple(first(graph, edges) for edges in (0, 0, 2, 4, 9, 60, 120, 300, 450, 479))
    judge, found = table.Judge(contrast, table.RECOVERED), table.Found("", "", (sizes,))
    expected = [faithfulness(contrast, circuit, table.RECOVERED) for circuit in sizes]
    assert judge.faithfulness(found) == pytest.approx(expected, abs=1e-9)
    estimate = judge.mean(found, cmd)
    assert estimate.value == pytest.approx(cmd(expected), abs=1e-9)
    assert estimate.low <= estimate.value <= estimate.high


def test_of_several_draws_the_mean_is_of_their_measures(table: Any, contrast: Contrast, graph: Graph) -> None:
    """Not the measure of their mean: one draw above 1 and one below are not as good as the model."""
    nothing, everything = (first(graph, edges) for edges in (0, 479))
    found = table.Found("random", "", ((nothing,) * 10, (everything,) * 10))
    judge = table.Judge(contrast, table.RECOVERED)
    assert judge.faithfulness(found) == pytest.approx([0.5] * 10)
    assert judge.mean(found, lambda f: f[0] ** 2).value == pytest.approx(0.5)


def test_what_an_edge_does_is_a_circuit_without_it(table: Any, contrast: Contrast, graph: Graph) -> None:
    effects = table.effects(contrast, graph)
    for edge in some(list(graph.edges())[::97]):
        without = Circuit.of(graph, [each for each in graph.edges() if each != edge])
        assert effects[edge] == pytest.approx(1 - faithfulness(contrast, without, table.RECOVERED), abs=1e-9)


def test_what_does_not_vary_has_no_correlation(table: Any) -> None:
    assert table.correlation([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]) == "1.00"
    assert table.correlation([1.0, 1.0], [2.0, 4.0]) == "none"


def rows(text: str) -> dict[str, list[float]]:
    """The numbers of every row of `EAP`, by its table and its rank."""
    found, heading = {}, ""
    for line in text.splitlines():
        if line.startswith("| method"):
            heading = line
        elif line.startswith("| EAP |"):
            name, _, rest = line.removeprefix("| EAP |").partition(" | ")
            found[f"{heading} {name}"] = [
                float(each) for each in re.findall(r"-?\d+\.?\d*", f"{name} {rest}")
            ]
    return found


def test_the_documentation_has_what_the_command_prints(
    table: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "agreement", lambda *_: None)  # cuts every edge, on all prompts
    assert table.main(["--method", "EAP"]) == 0
    printed = rows(capsys.readouterr().out)
    documented = rows((ROOT / "docs/evaluation.md").read_text(encoding="utf-8"))
    assert len(printed) == 6
    for name, numbers in printed.items():
        assert documented[name] == pytest.approx(numbers, abs=0.011), name


def test_scores_are_held_against_cuts(
    table: Any, contrast: Contrast, graph: Graph, capsys: pytest.CaptureFixture[str]
) -> None:
    (found, _) = table.find("EAP", contrast, graph, 1)
    table.agreement([replace(found, draws=())], contrast, graph)
    *_, line = capsys.readouterr().out.splitlines()
    cells = line.strip("| ").split(" | ")
    measured = table.effects(contrast, graph)
    rest = [edge for edge in graph.edges() if edge.receiver[-2:] not in (".q", ".k")]
    wanted = correlation([found.scores[edge] for edge in rest], [measured[edge] for edge in rest])
    assert float(cells[3]) == pytest.approx(wanted, abs=0.006)
    assert float(cells[5]) == pytest.approx(found.scores["embed", "MLP0"], abs=0.0006)


@pytest.mark.parametrize("method", ["ACDC, KL", "random"])
def test_it_runs_where_there_are_no_scores(
    table: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(table, "THRESHOLDS", (0.05, 0.5))
    options = ["--prompts", "4", "--held-out", "4", "--draws", "2"]
    assert table.main(["--method", method, *options]) == 0
    assert capsys.readouterr().out.count(f"| {method} |") == 3


def test_misuse_is_told(table: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        table.main(["--method", "magic"])
    assert stop.value.code == 2
    assert "'magic'" in capsys.readouterr().err
