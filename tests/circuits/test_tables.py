"""Scores as CSV."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from tests.circuits.strategies import circuits
from tests.refused import refused

from nncirc.circuits.circuit import Circuit
from nncirc.circuits.errors import FileError
from nncirc.circuits.formats.csv import read_edges, write_edges, write_nodes
from nncirc.circuits.formats.json_input import parse_json
from nncirc.circuits.graph import Graph, Shape
from nncirc.circuits.names import Edge

GRAPH = Graph(Shape(1, 2, 2))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables") / "file.csv"


@given(circuits())
def test_edges_read_back(file: Path, circuit: Circuit) -> None:
    write_edges(circuit, file)
    back = read_edges(file, circuit.graph)
    assert (back.graph, back.scores) == (circuit.graph, circuit.scores)


def test_edges(file: Path) -> None:
    write_edges(Circuit(GRAPH, {Edge("embed", "L0H0.q"): 0.1, Edge("L0H0", "logits"): None}), file)
    assert file.read_bytes() == b"sender,receiver,score\nembed,L0H0.q,0.1\nL0H0,logits,\n"
    write_edges(Circuit(GRAPH, {Edge("embed", "logits"): 0.0}), file)
    assert file.read_bytes() == b"sender,receiver,score\nembed,logits,0.0\n"


def test_tables_of_other_programs(file: Path) -> None:
    file.write_bytes(b'\xef\xbb\xbfrank,receiver,"sender"\r\n1,logits,"embed"\r\n')
    assert read_edges(file, GRAPH).scores == {Edge("embed", "logits"): None}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "expected exactly one column 'sender' in the first line"),
        ("sender,to\n", "expected exactly one column 'receiver' in the first line"),
        ("sender,sender,receiver\n", "expected exactly one column 'sender' in the first line"),
        ("sender,receiver\nembed\n", "line 2: the graph has no edge embed -> "),
        ("sender,receiver\nembed,L9H9.q\n", "line 2: the graph has no edge embed -> L9H9.q"),
        ("sender,receiver\nembed,logits\nembed,logits\n", "line 3: duplicate edge embed -> logits"),
        ("sender,receiver,score\nembed,logits,high\n", "line 2: expected a finite number, found 'high'"),
        ("sender,receiver,score\nembed,logits,inf\n", "line 2: expected a finite number, found 'inf'"),
        ('sender,receiver\n"embed,logits\n', "unexpected end of data"),
    ],
)
def test_no_tables(file: Path, text: str, problem: str) -> None:
    file.write_text(text)
    with refused(FileError, "C633", problem):
        read_edges(file, GRAPH)


def nodes(**changed: Any) -> Any:
    content = {
        "format": "nncirc node scores",
        "positions": ["IO", "end"],
        "scores": [["L0H0", 0.5, -1.0], ["MLP0", 0.0, 2.0]],
    }
    return parse_json(json.dumps(content | changed), name="file", what="scores")


def test_nodes(file: Path) -> None:
    write_nodes(nodes(), file)
    assert file.read_text() == "node,IO,end\nL0H0,0.5,-1.0\nMLP0,0.0,2.0\n"
    write_nodes(nodes(positions=[], scores=[["L0H0", 1]]), file)
    assert file.read_text() == "node,score\nL0H0,1.0\n"


def test_a_scale_of_steering_is_a_number(file: Path) -> None:
    """A spreadsheet computes nothing from it."""
    write_nodes(nodes(positions=["-2", "-1e-05"]), file)
    assert file.read_text().splitlines()[0] == "node,-2,-1e-05"
    for formula in ("-2+3", "-2 ", "-2\n=1", "-e5", "--2"):
        with pytest.raises(FileError, match="a spreadsheet would run"):
            write_nodes(nodes(positions=["end", formula]), file)


LOW = {"low": [["L0H0", 0.25, None], ["MLP0", 0.0, 1.5]]}
HIGH = {"high": [["L0H0", 0.75, None], ["MLP0", 0.0, 2.5]]}


def test_nodes_with_intervals(file: Path) -> None:
    write_nodes(nodes(**LOW, **HIGH), file)
    assert file.read_text().splitlines() == [
        "node,IO,IO low,IO high,end,end low,end high",
        "L0H0,0.5,0.25,0.75,-1.0,,",
        "MLP0,0.0,0.0,0.0,2.0,1.5,2.5",
    ]
    one = {"positions": [], "scores": [["L0H0", 1]], "low": [["L0H0", 0.5]], "high": [["L0H0", 1.5]]}
    write_nodes(nodes(**one), file)
    assert file.read_text() == "node,score,score low,score high\nL0H0,1.0,0.5,1.5\n"


@pytest.mark.parametrize(
    "changed",
    [
        {"positions": ["end"]},
        {"scores": [["L0H0", "a", 1]]},
        {"scores": [["L0H0", None, 1], ["MLP0", 0.0, 2.0]]},
        {"scores": [[1, 1, 1]]},
        {"scores": {}},
        LOW,
        {**LOW, "high": HIGH["high"][:1]},
        {**LOW, "high": HIGH["high"][::-1]},
        {**LOW, "high": [["L0H0", 0.75], ["MLP0", 0.0]]},
        {**LOW, "high": [["L0H0", "a", 1], ["MLP0", 0.0, 1]]},
    ],
)
def test_no_scores_of_nodes(tmp_path: Path, changed: Any) -> None:
    with refused(FileError, "C603"):
        write_nodes(nodes(**changed), tmp_path / "file")
    assert list(tmp_path.iterdir()) == []
