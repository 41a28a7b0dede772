"""Circuits as GraphML."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from tests.circuits.strategies import circuits
from tests.refused import refused

from nncirc.circuits.circuit import Circuit
from nncirc.circuits.errors import FileError, GraphError, NncircError
from nncirc.circuits.formats.graphml import read_graphml, write_graphml
from nncirc.circuits.graph import Graph, Shape
from nncirc.circuits.names import Edge

GRAPH = Graph(Shape(1, 2, 1))
EXAMPLE = Circuit(
    GRAPH,
    {Edge("embed", "L0KV0.k"): 0.5, Edge("embed", "L0H1.q"): None, Edge("L0H1", "logits"): -1e-300},
    {"head & <tail>": ("L0H1",)},
    {"method": 'a "quoted" name\x01'},
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("graphml") / "file.graphml"


@given(circuits())
def test_a_circuit_reads_back(file: Path, circuit: Circuit) -> None:
    write_graphml(circuit, file)
    assert read_graphml(file) == circuit


def test_the_same_bytes(tmp_path: Path) -> None:
    write_graphml(EXAMPLE, tmp_path / "a.graphml")
    write_graphml(read_graphml(tmp_path / "a.graphml"), tmp_path / "b.graphml")
    assert (tmp_path / "a.graphml").read_bytes() == (tmp_path / "b.graphml").read_bytes()
    assert (tmp_path / "a.graphml").read_text().startswith("<graphml")


def test_another_programs_file_needs_the_graph(tmp_path: Path) -> None:
    (tmp_path / "file.graphml").write_text(
        '<graphml xmlns="http://graphml.graphdrawing.org/xmlns"><graph edgedefault="directed">'
        '<node id="embed"/><node id="MLP0"/><edge source="embed" target="MLP0"/></graph></graphml>'
    )
    with refused(GraphError, "C452"):
        read_graphml(tmp_path / "file.graphml")
    assert read_graphml(tmp_path / "file.graphml", GRAPH).edges == (Edge("embed", "MLP0"),)


BOMB = '<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><graphml>&c;</graphml>'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no element found"),
        ("{}", "not well-formed"),
        ("<graphml", "unclosed token"),
        ("<html></html>", ""),
        (BOMB, "it declares entities"),
        ('<graphml xmlns="http://graphml.graphdrawing.org/xmlns"/>', ""),
    ],
)
def test_not_graphml(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "file.graphml").write_text(text)
    with refused(FileError, "C632", problem):
        read_graphml(tmp_path / "file.graphml")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("-1e-300", "nothing"),
        ("-1e-300", "nan"),
        ('attr.type="double"', 'attr.type="treble"'),
        ('source="L0H1"', 'source="L7H1"'),
        ('source="L0H1"', ""),
        ('key="', 'key="x'),
        ('edgedefault="directed"', 'edgedefault="undirected"'),
        ("nncirc circuit", "other circuit"),
    ],
)
def test_damaged_files(tmp_path: Path, old: str, new: str) -> None:
    write_graphml(EXAMPLE, tmp_path / "file.graphml")
    text = (tmp_path / "file.graphml").read_text()
    assert old in text
    (tmp_path / "file.graphml").write_text(text.replace(old, new, 1))
    with pytest.raises(NncircError):
        read_graphml(tmp_path / "file.graphml")


def test_no_text(tmp_path: Path) -> None:
    (tmp_path / "file.graphml").write_bytes(b"\xff")
    for path, code in ((tmp_path / "file.graphml", "C632"), (tmp_path / "nothing", "C601")):
        with refused(FileError, code):
            read_graphml(path)
