"""The benchmarks run: on the smallest model, in this process, in a few seconds; they judge as they say."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.end_to_end.command import ROOT

from nncirc.circuits.circuit import Circuit
from nncirc.circuits.graph import Graph
from nncirc.engine.runs.contrast import Contrast


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Loads a module of theirs; the folder is a namespace package of the repository's root."""
    monkeypatch.syspath_prepend(str(ROOT))
    return lambda name: importlib.import_module(f"benchmarks.{name}")


@pytest.fixture
def results(load: Callable[[str], Any], tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """Runs the command quickly, and gives what it writes."""
    file = tmp_path / "results.json"

    def run(*arguments: str) -> list[dict[str, Any]]:
        assert load("__main__").main(["--quick", *arguments, "--json", str(file)]) == 0
        found: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["results"]
        return found

    return run


def made(load: Callable[[str], Any], **given: Any) -> Any:
    """A result with nothing to complain of, but for what is given."""
    about = {"method": "acdc", "size": "tiny", "setting": "", "edges": 1, "rows": 1}
    times = {"cpu_s": 1.0, "wall_s": 1.0, "plain_forward_s": 0.1, "lean_forward_s": 0.1, "forwards": 10.0}
    return load("measure").Result(**{**about, **times, **given})


@pytest.mark.parametrize("method", ["attribution", "integrated", "activation", "acdc"])
def test_a_method_is_measured_and_is_its_oracle(
    results: Callable[..., list[dict[str, Any]]], method: str
) -> None:
    (result,) = results("--method", method)
    assert result["same_as_oracle"] is True
    # Which of the two takes longer is the machine's business; that the ratio is theirs is ours.
    assert min(result["plain_forward_s"], result["cpu_s"]) > 0
    ratio = result["cpu_s"] / result["plain_forward_s"] / result["rows"]
    assert result["forwards"] == pytest.approx(ratio, rel=0.01)
    floor = result["multiplications"] / result["rate"] / result["plain_forward_s"] / result["rows"]
    assert result["floor"] == pytest.approx(floor, rel=0.01)
    assert result["of_floor"] == pytest.approx(result["forwards"] / result["floor"], rel=0.01)
    assert result["edges"] == 110
    assert result["peak_gib"] > 0


def test_a_family_is_measured_against_its_members_alone(
    results: Callable[..., list[dict[str, Any]]],
) -> None:
    (result,) = results("--case", "family/tiny/thresholds-0.001-0.01", "--no-floor")
    assert result["same_as_oracle"] is True
    assert result["kept"] == [63, 30]
    assert result["of_alone"] == pytest.approx(result["cpu_s"] / result["oracle_s"], rel=0.01)
    assert result["faster_than_oracle"] is None
    assert result["floor"] is None


@pytest.mark.parametrize(
    ("given", "good"),
    [
        ({}, True),
        ({"target": 10}, True),
        ({"target": 9.9}, False),
        ({"share": 1, "of_alone": 1.0}, True),
        ({"share": 1, "of_alone": 1.01}, False),
        ({"share": 1, "of_alone": 1.01, "once": True}, True),
        ({"share": 1}, True),
        ({"memory": 2, "peak_gib": 1.9}, True),
        ({"memory": 2, "peak_gib": 2.1}, False),
        ({"memory": 2}, True),
        ({"same_as_oracle": True}, True),
        ({"same_as_oracle": False}, False),
    ],
)
def test_what_is_missed_is_the_exit_status(
    load: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    given: dict[str, Any],
    good: bool,
) -> None:
    command, result = load("__main__"), made(load, **given)
    monkeypatch.setattr(command, "measure", lambda *_, **__: result)
    assert command.main(["--case", "acdc/tiny/spread-0.2-threshold-0.01"]) == (0 if good else 1)
    assert ("NO" in capsys.readouterr().out) is not good


def test_results_are_read_as_they_were_written(load: Callable[[str], Any]) -> None:
    report, result = load("report"), made(load, kept=[1, 2], tested=[3, 3], floor=0.25, same_as_oracle=True)
    assert report.read(report.as_json([result], load("clock").Conditions())) == [result]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--device", "abacus"], "'abacus'"),
        (["--device", "meta"], "'meta'"),
        (["--threads", "0"], "0 threads"),
        (["--size", "huge"], "there is no such case"),
    ],
)
def test_misuse_is_told_and_not_traced(
    load: Callable[[str], Any], capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        load("__main__").main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_long_cases_are_asked_for(load: Callable[[str], Any], capsys: pytest.CaptureFixture[str]) -> None:
    long = "activation/gpt2/all-positions"
    for arguments, there in ([], False), (["--full"], True), (["--case", long], True):
        assert load("__main__").main([*arguments, "--list"]) == 0
        assert (long in capsys.readouterr().out.split()) is there


def test_ratios_are_by_the_wall_where_cpu_time_says_little(load: Callable[[str], Any]) -> None:
    clock = load("clock")
    both = clock.Clock(cpu=3.0, wall=2.0)
    assert clock.Conditions().seconds(both) == 3
    assert clock.Conditions(threads=2).seconds(both) == 2
    assert clock.Conditions(device="cuda").seconds(both) == 2


def test_a_plain_forwards_multiplications_are_those_of_its_matrices(load: Callable[[str], Any]) -> None:
    setups, meter = load("setups"), load("multiplications").Meter()
    with meter:
        setups.plain_forward(setups.contrast_for("tiny", spread=0.02))()
    (layers, _, d), tokens = setups.SIZES["tiny"], setups.PROMPTS * setups.LENGTH
    # Queries, keys, values and their output are 4 d², an MLP 8 d²; scores and values are 2 · length · d.
    block = tokens * (12 * d * d + 2 * setups.LENGTH * d)
    assert meter.total == layers * block + tokens * d * setups.VOCABULARY


def test_backwards_multiplications_are_counted(load: Callable[[str], Any]) -> None:
    meter = load("multiplications").Meter()
    query, key, value = (torch.randn(2, 3, 5, 4, requires_grad=True) for _ in range(3))
    with meter:
        out = torch.nn.functional.scaled_dot_product_attention(query, key, value)
        forward = meter.total
        out.sum().backward()
    assert (forward, meter.total - forward) == (2 * 2 * 3 * 5 * 5 * 4, 5 * 2 * 3 * 5 * 5 * 4)


def test_an_oracle_tells_what_is_wrong(load: Callable[[str], Any]) -> None:
    """One score that is off, a node that is another's, an edge that is missing."""
    cases, setups, is_same = load("cases"), load("setups"), load("measure").is_same
    by_name = {case.name: case for case in cases.CASES}

    def both(name: str) -> tuple[Any, Any]:
        case = by_name[name]
        contrast = setups.contrast_for(case.size, spread=case.spread)
        graph = contrast.model.graph()
        return case.run(setups.fresh(contrast), graph), case.oracle(setups.fresh(contrast), graph)

    edges, table = both("integrated/tiny/5-steps")
    assert is_same(edges, table)
    first = next(iter(edges.values))
    assert not is_same(replace(edges, values={**edges.values, first: edges.values[first] + 1e-3}), table)
    nodes, table = both("activation/tiny/all-positions")
    assert is_same(nodes, table)
    assert not is_same(replace(nodes, values=tuple(reversed(nodes.values))), table)
    circuit, expected = both("acdc/tiny/spread-0.2-threshold-0.01")
    assert is_same(circuit, expected)
    _, *others = circuit.scores.items()
    assert not is_same(Circuit(circuit.graph, dict(others)), expected)


def test_the_grid_is_the_papers(load: Callable[[str], Any]) -> None:
    grid = load("cases").GRID
    assert torch.allclose(torch.tensor(grid), 10 ** torch.linspace(-4, 0, 21))


def test_all_nodes_are_counted(load: Callable[[str], Any]) -> None:
    cases, setups = load("cases"), load("setups")
    for size in ("tiny", "small"):
        assert cases.NODES[size] == len(setups.random_model(size).graph().senders)


def test_every_case_has_a_name_of_its_own(load: Callable[[str], Any]) -> None:
    names = [case.name for case in load("cases").CASES]
    assert len(set(names)) == len(names)


def test_parts_of_the_profile_are_there(load: Callable[[str], Any]) -> None:
    missing = [
        f"{owner.__name__}.{attribute}"
        for places in load("profiling").PARTS.values()
        for owner, attribute in places
        if not hasattr(owner, attribute)
    ]
    assert not missing


def test_a_bundled_model_is_given_its_prompts(load: Callable[[str], Any]) -> None:
    contrast: Contrast = load("setups").contrast_for("ioi-4l", spread=0.05)
    graph: Graph = contrast.model.graph()
    assert (contrast.model.name, len(contrast.dataset.examples), graph.n_edges) == ("ioi-4l", 32, 479)
