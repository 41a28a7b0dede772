"""A small file may declare much, and hold names of any length: what nobody has is refused, in few words."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.refused import refused

from nncirc import Circuit, Graph, Shape, read_circuit, write_circuit
from nncirc.circuits.circuit import MOST_GROUPS
from nncirc.circuits.errors import ArgumentError, FileError, GraphError, NncircError
from nncirc.circuits.formats.csv import read_edges, write_nodes
from nncirc.circuits.formats.eap_ig import write_eap_ig
from nncirc.circuits.formats.graphml import read_graphml, write_graphml
from nncirc.circuits.formats.json import circuit_from_json
from nncirc.circuits.formats.json_input import parse_json
from nncirc.circuits.formats.mib import read_submission
from nncirc.circuits.formats.networks import from_networkx, to_networkx
from nncirc.circuits.formats.torch_file import read_torch
from nncirc.circuits.names import Edge

LONG = "x" * 1_000_000
GRAPH = {
    "n_layers": 2,
    "n_heads": 2,
    "n_kv_heads": 2,
    "mlps": True,
    "parallel": False,
    "attention": "heads",
    "split_inputs": True,
}


def file(graph: Mapping[str, Any] | None = None, **members: Any) -> str:
    """The text of a circuit's file, with some of it changed."""
    content = {
        "format": "nncirc circuit",
        "version": 1,
        "graph": {**GRAPH, **(graph or {})},
        "groups": {},
        "made": {},
        "edges": [],
    }
    return json.dumps({**content, **members})


def numbers(count: int) -> list[str]:
    return list(map(str, range(count)))


REFUSED = {
    "positions": file({"positions": numbers(50_000)}),
    "positions of a small graph": file({"n_layers": 1, "n_heads": 1, "positions": numbers(5_000)}),
    "a position twice": file({"positions": ["1"] * 50_000}),
    "a long position": file({"positions": [LONG]}),
    "many neurons": file({"n_layers": 1000, "neurons": [[layer, 1_000_000] for layer in range(1000)]}),
    "neurons of no layer": file({"neurons": [[layer % 7, 9] for layer in range(50_000)]}),
    "too many layers": file({"n_layers": 10**9}),
    "a huge number": file({"n_layers": 10**300}),
    "groups": file(groups={f"g{i}": ["L0H0"] for i in range(MOST_GROUPS + 1)}),
    "a node often": file(groups={"g": ["L0H0"] * 100_000}),
    "a long node": file(groups={"g": [LONG]}),
    "a long group": file(groups={LONG: ["x"]}),
    "a long edge": file(edges=[[LONG, LONG, 1.0]]),
    "a long key": json.dumps({**json.loads(file()), LONG: 1}),
    "a long format": json.dumps({"format": LONG, "version": 1}),
    "a long type": file({"attention": LONG}),
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_no_circuit_has_is_refused_in_few_words(text: str) -> None:
    with pytest.raises(NncircError) as caught:
        circuit_from_json(text)
    assert caught.value.code in ("C603", "C604", "C457")
    assert len(str(caught.value)) < 3000
    assert LONG[:1000] not in str(caught.value)


def test_an_error_with_all_of_a_long_name_loses_its_middle() -> None:
    error = FileError("C601", f"begin {LONG} end", hint=LONG)
    assert len(error.message) < 2000
    assert error.message.startswith("begin x")
    assert error.message.endswith("x end")
    assert len(str(error)) < 4100
    assert FileError("C601", "y" * 2000).message == "y" * 2000


def test_a_format_that_lists_every_edge_of_the_graph(tmp_path: Path) -> None:
    """300 bytes with 100,000 layers have ten thousand million edges."""
    circuit = circuit_from_json(
        file({"n_layers": 100_000, "n_heads": 1, "n_kv_heads": 1}, edges=[["L0H0", "logits", 0.5]])
    )
    with refused(GraphError, "C459", "lists every edge"):
        write_eap_ig(circuit, tmp_path / "x.json", d_model=1)
    assert not list(tmp_path.iterdir())
    assert Graph(Shape(48, 25, 25)).n_edges < 20_000_000 / 4, "GPT-2 XL is well within it"


# Files of torch -------------------------------------------------------------------------------------------


def description(path: Path, program: bytes, **more: bytes) -> Path:
    """A file of torch with some pickle in it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a/data.pkl", b"\x80\x02" + program)
        for name, data in more.items():
            archive.writestr(f"a/data/{name}", data)
    return path


@pytest.mark.parametrize(
    "program",
    [b"(" * 400_000 + b"t" * 400_000, b"(" * 400_000, b"]" + b"(e" * 400_000],
    ids=["nested", "marks", "lists"],
)
def test_a_description_is_read_once(tmp_path: Path, program: bytes) -> None:
    """Looking for the last mark from the beginning of the stack took hours."""
    path = description(tmp_path / "x.pt", program + b".")
    if program.endswith(b"("):
        with pytest.raises(FileError, match="damaged"):
            read_torch(path)
    else:
        assert read_torch(path) in ([], ()) or program.startswith(b"((")


def test_a_description_that_is_larger_than_any(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="too large for a description"):
        read_torch(description(tmp_path / "x.pt", b"N" * 5_000_000))
    with pytest.raises(FileError, match="too many entries"):
        read_torch(description(tmp_path / "x.pt", b"N.", **{f"x{i}": b"" for i in range(10_001)}))


def test_what_lies_under_a_mark_is_not_reached(tmp_path: Path) -> None:
    """As in Python's own machine, of which torch's files are written."""
    assert read_torch(description(tmp_path / "x.pt", b"N(\x89\x88t\x86.")) == (None, (False, True))
    for program in (b"N(\x85t.", b"](N(ee.", b"N\x86.", b"(N.", b"t."):
        with pytest.raises(FileError, match="damaged"):
            read_torch(description(tmp_path / "x.pt", program))


def test_a_few_numbers_repeated_without_end(tmp_path: Path) -> None:
    tensor = (
        b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
        b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQK\x00(J\x00\x00\x00\x10t(K\x00tN}tR."
    )
    with pytest.raises(FileError, match="repeats its stored numbers"):
        read_torch(description(tmp_path / "x.pt", tensor, **{"0": b"\0\0\0\0"}))
    few = tensor.replace(b"J\x00\x00\x00\x10", b"J\x00\x01\x00\x00")
    read = read_torch(description(tmp_path / "x.pt", few, **{"0": b"\0\0\x80?"}))
    assert read.numbers() == [1.0] * 256


# Tables ---------------------------------------------------------------------------------------------------


def table(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_table_of_many_columns(tmp_path: Path) -> None:
    """A dictionary of all columns for each row took hours."""
    columns = ",".join(numbers(100_000))
    rows = "".join("embed,L0H0.q,1\n" if i == 0 else "\n" for i in range(20_000))
    path = table(tmp_path / "x.csv", f"sender,receiver,score,{columns}\n{rows}")
    graph = Graph(Shape(2, 2, 2))
    assert read_edges(path, graph).scores == {Edge("embed", "L0H0.q"): 1.0}
    short = "".join(f"L0H0,L1H{i % 2}.{'qkv'[i // 2]}\n" for i in range(6))
    path = table(tmp_path / "x.csv", f"sender,receiver,score,{columns}\n{short}")
    assert len(read_edges(path, graph)) == 6


@pytest.mark.parametrize("text", [f"{LONG},receiver\n", f"sender,receiver\n{LONG[:100000]},L0H0.q\n"])
def test_a_table_of_long_names(tmp_path: Path, text: str) -> None:
    with refused(FileError, "C633") as caught:
        read_edges(table(tmp_path / "x.csv", text), Graph(Shape(2, 2, 2)))
    assert len(str(caught.value)) < 3000


def test_columns_of_a_table_may_stand_anywhere_and_scores_be_absent(tmp_path: Path) -> None:
    graph, edge = Graph(Shape(2, 2, 2)), Edge("embed", "L0H0.q")
    for text, score in (
        ("note,score,receiver,sender\nx,2,L0H0.q,embed\n", 2.0),
        ("receiver,sender\nL0H0.q,embed\n", None),
        ("sender,receiver,score\nembed,L0H0.q\n", None),
        ("sender,receiver,score\n\nembed,L0H0.q,\n\n", None),
    ):
        assert read_edges(table(tmp_path / "x.csv", text), graph).scores == {edge: score}
    for wrong in ("sender,receiver,score,score\nembed,L0H0.q,1,2\n", "", "sender\nembed\n"):
        with pytest.raises(FileError, match="exactly one column"):
            read_edges(table(tmp_path / "x.csv", wrong), graph)


def nodes(**members: Any) -> Any:
    content = {"format": "nncirc node scores", "positions": [], "scores": [["L0H0", 1.0]], **members}
    return parse_json(json.dumps(content), name="x.json", what="scores of nodes")


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({"scores": [[]]}, "expected a node and 1 score, found 0 cells"),
        ({"scores": [["L0H0"]]}, "expected a node and 1 score, found 1 cell"),
        ({"positions": ["a", "b"]}, "expected a node and 2 scores, found 2 cells"),
        ({"scores": [["=cmd|' /C calc'!A0", 1.0]]}, "a spreadsheet would run"),
        ({"scores": [["+1", 1.0]]}, "a spreadsheet would run"),
        ({"scores": [["\t=1", 1.0]]}, "a spreadsheet would run"),
        ({"positions": ["@SUM(1)"]}, "a spreadsheet would run"),
        ({"positions": ["-2+3"]}, "a spreadsheet would run"),
        ({"scores": [[5, 1.0]]}, "expected a string"),
    ],
)
def test_scores_of_nodes_that_are_no_table(tmp_path: Path, members: dict[str, Any], problem: str) -> None:
    with refused(FileError, "C603", problem):
        write_nodes(nodes(**members), tmp_path / "x.csv")
    assert not (tmp_path / "x.csv").exists()


# Text and networks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        file(edges=[["\ud800", "L0H0.q", 1.0]]),
        file(made={"cite": "a\udfff"}),
        file(made={"\udc80": 1}),
        file().replace("nncirc circuit", "\\uD800"),
    ],
)
def test_half_of_a_surrogate_pair_is_no_text(text: str) -> None:
    assert "\\ud" in text.lower()
    with refused(FileError, "C602", "an unpaired surrogate") as caught:
        circuit_from_json(text)
    assert str(caught.value).encode()


def test_whole_surrogate_pairs_and_backslashes_are_text() -> None:
    made = {"cite": "🐍 \\ud800", "other": "\\\\UDFFF"}
    text = file(made=made)
    assert "\\ud83d" in text
    assert dict(circuit_from_json(text).made) == made


SCORED = Circuit(Graph(Shape(1, 2, 2)), {Edge("embed", "L0H0.q"): 0.5})


def test_a_score_that_is_true_is_no_number(tmp_path: Path) -> None:
    write_graphml(SCORED, tmp_path / "x.graphml")
    text = (tmp_path / "x.graphml").read_text()
    text = text.replace('attr.name="score" attr.type="double"', 'attr.name="score" attr.type="boolean"')
    assert "boolean" in text
    (tmp_path / "x.graphml").write_text(text.replace(">0.5<", ">true<"))
    with refused(GraphError, "C458", "is True; expected a number"):
        read_graphml(tmp_path / "x.graphml")
    with pytest.raises(ArgumentError):
        Circuit(SCORED.graph, {Edge("embed", "L0H0.q"): True})


def test_edges_that_are_shared_in_words() -> None:
    network = to_networkx(SCORED)
    edge = next(iter(network.edges(data=True)))[2]
    for shared, there in ((False, True), ("false", True), (True, False), ("true", False)):
        edge["shared"] = shared
        assert bool(from_networkx(network).edges) == there
    edge["shared"] = "perhaps"
    with pytest.raises(GraphError, match="expected `shared` of an edge to be True or False, found 'perhaps'"):
        from_networkx(network)


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode("utf-16-le"),
        lambda text: text.encode("utf-16-be"),
        lambda text: text.encode("utf-32-le"),
        lambda text: text.encode("utf-16"),
        lambda text: text.replace("utf-8", "utf-16").encode(),
        lambda text: text.replace("utf-8", "iso-8859-1").encode(),
        lambda text: text.replace("utf-8", "cp037").encode(),
        lambda text: b"\xef\xbb\xbf" + text.replace("encoding='utf-8'", 'encoding = "UTF-7"').encode(),
    ],
)
def test_entities_cannot_hide_in_another_encoding(tmp_path: Path, encode: Callable[[str], bytes]) -> None:
    write_graphml(SCORED, tmp_path / "x.graphml")
    body = (tmp_path / "x.graphml").read_text()
    text = "<?xml version='1.0' encoding='utf-8'?>\n" + body[body.index("<graphml") :]
    (tmp_path / "x.graphml").write_text(text.replace("utf-8", "UTF-8"))
    assert read_graphml(tmp_path / "x.graphml") == SCORED
    (tmp_path / "x.graphml").write_bytes(encode(text))
    with refused(FileError, "C632", "UTF-8"):
        read_graphml(tmp_path / "x.graphml")


# Submissions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ["a.b/c.json", "a/b.c.json"],
        ["a.b/importances.json", "a/b.json"],
        ["a.b.c/importances.json", "a.b/c.json", "a/b.c.json"],
    ],
)
def test_two_circuits_of_one_name(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        path = tmp_path / name
        path.parent.mkdir()
        write_eap_ig(SCORED, path, d_model=8)
    with refused(FileError, "C635", "have the name"):
        read_submission(tmp_path)
    (tmp_path / names[-1]).unlink()
    assert len(read_submission(tmp_path)) == 1 if len(names) == 2 else True


def test_a_circuit_in_two_formats_is_one(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    write_eap_ig(SCORED, tmp_path / "a" / "b.json", d_model=8)
    (tmp_path / "a" / "b.pt").write_bytes(b"never read")
    (tmp_path / "a" / "c.json").write_bytes((tmp_path / "a" / "b.json").read_bytes())
    assert sorted(read_submission(tmp_path)) == ["a.b", "a.c"]


def test_a_circuit_of_the_largest_graph_reads_back(tmp_path: Path) -> None:
    """What is allowed is also fast enough to be read, written and pruned."""
    circuit = circuit_from_json(
        file({"n_layers": 1000, "n_heads": 100, "n_kv_heads": 100}, edges=[["L0H0", "logits", 0.5]])
    )
    write_circuit(circuit, tmp_path / "x.json")
    assert read_circuit(tmp_path / "x.json") == circuit
    assert len(circuit.nodes) == 2
