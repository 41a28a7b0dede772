from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, strategies as st
from tests.circuits.strategies import circuits, graphs, json_values
from tests.refused import refused

from nncirc.circuits.circuit import Circuit
from nncirc.circuits.collapse import join_heads, join_inputs, ungroup
from nncirc.circuits.errors import FileError, GraphError, NncircError
from nncirc.circuits.formats.eap_ig import read_eap_ig, write_eap_ig
from nncirc.circuits.graph import Graph, Shape
from nncirc.circuits.names import Edge

GRAPH = Graph(Shape(1, 2, 2))
EXAMPLE = Circuit(
    GRAPH, {Edge("embed", "L0H1.q"): 0.5, Edge("L0H1", "MLP0"): -1.0, Edge("MLP0", "logits"): None}
)
# Written by hand after the package's own writer (src/eap/graph.py, `to_json` and `add_edge`).
THEIRS: dict[str, Any] = {
    "cfg": {"n_layers": 1, "n_heads": 2, "parallel_attn_mlp": False, "d_model": 16},
    "nodes": {
        "input": {"in_graph": True},
        "a0.h0": {"in_graph": False},
        "a0.h1": {"in_graph": True},
        "m0": {"in_graph": True},
        "logits": {"in_graph": True},
    },
    "edges": {
        "input->a0.h0<q>": {"score": 0.0, "in_graph": False},
        "input->a0.h1<q>": {"score": 0.5, "in_graph": True},
        "input->a0.h0<k>": {"score": 0.0, "in_graph": False},
        "input->a0.h1<k>": {"score": 0.0, "in_graph": False},
        "input->a0.h0<v>": {"score": 0.0, "in_graph": False},
        "input->a0.h1<v>": {"score": 0.0, "in_graph": False},
        "input->m0": {"score": 0.0, "in_graph": False},
        "a0.h0->m0": {"score": 0.0, "in_graph": False},
        "a0.h1->m0": {"score": -1.0, "in_graph": True},
        "input->logits": {"score": 0.0, "in_graph": False},
        "a0.h0->logits": {"score": 0.0, "in_graph": False},
        "a0.h1->logits": {"score": 0.0, "in_graph": False},
        "m0->logits": {"score": 0.0, "in_graph": True},
    },
}


def test_a_file_as_the_package_writes_it(tmp_path: Path) -> None:
    write_eap_ig(EXAMPLE, tmp_path / "file.json", d_model=16)
    assert json.loads((tmp_path / "file.json").read_text()) == THEIRS


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("eap_ig") / "file.json"


@given(circuits(graphs(finest=True)), st.booleans())
def test_a_circuit_reads_back(file: Path, circuit: Circuit, everything: bool) -> None:
    write_eap_ig(circuit, file, d_model=16)
    back = read_eap_ig(file, n_kv_heads=circuit.graph.shape.n_kv_heads, everything=everything)
    assert back.graph == circuit.graph
    scores = {edge: score or 0.0 for edge, score in circuit.scores.items()}
    if everything:
        scores = dict.fromkeys(circuit.graph.edges(), 0.0) | scores
    assert back.scores == scores
    apart = read_eap_ig(file, everything=everything)
    assert apart.graph == ungroup(circuit).graph
    assert ungroup(back).scores == apart.scores


def test_more_than_is_read_does_no_harm(file: Path) -> None:
    theirs = json.loads(json.dumps(THEIRS))
    theirs["nodes"]["m0"] |= {"score": 1.0, "neurons": [True, False], "neurons_scores": [0.5, 0.25]}
    theirs["cfg"]["model"] = "gpt2"
    file.write_text(json.dumps(theirs))
    back = read_eap_ig(file)
    assert (back.graph, back.edges) == (GRAPH, EXAMPLE.edges)


def test_heads_of_a_group_that_differ(file: Path) -> None:
    write_eap_ig(Circuit(Graph(Shape(1, 2, 2)), {Edge("embed", "L0H0.k"): 1.0}), file, d_model=16)
    with refused(FileError, "C603", "edges: the edges merged into embed -> L0KV0.k differ") as caught:
        read_eap_ig(file, n_kv_heads=1)
    assert caught.value.hint is not None and caught.value.hint.endswith("omit n_kv_heads")


@pytest.mark.parametrize(("n_kv_heads", "code"), [(0, "C751"), (3, "C603"), (-1, "C751")])
def test_no_such_groups(file: Path, n_kv_heads: int, code: str) -> None:
    write_eap_ig(EXAMPLE, file, d_model=16)
    with refused(NncircError, code):
        read_eap_ig(file, n_kv_heads=n_kv_heads)


APART = Circuit.full(Graph(Shape(1, 2, 2), pos_embed=True))
AT = Circuit.full(Graph(Shape(1, 2, 2), positions=("0", "1")))
SPLIT = Circuit.full(Graph(Shape(1, 2, 2), neurons=((0, 2),)))


@pytest.mark.parametrize("coarse", [join_heads(EXAMPLE), join_inputs(EXAMPLE), APART, AT, SPLIT])
def test_coarse_circuits_are_not_written(tmp_path: Path, coarse: Circuit) -> None:
    with refused(GraphError, "C459"):
        write_eap_ig(coarse, tmp_path / "file.json", d_model=16)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"n_heads": 2', '"n_heads": 1', "nodes.a0.h1: the model has no node of this name"),
        ('"n_heads": 2', '"n_heads": 0', "cfg: impossible shape: 1 layers, 0 heads, 0 key-value heads"),
        (
            '"parallel_attn_mlp": false',
            '"parallel_attn_mlp": 0',
            "cfg.parallel_attn_mlp: expected true or false, found 0",
        ),
        ('"cfg"', '"config"', "the key 'cfg' is missing"),
        ('"m0": {', '"m1": {', "nodes.m1: the model has no node of this name"),
        ('"input->a0.h1<q>"', '"input->a0.h1"', "edges.input->a0.h1: the model has no such edge"),
        ('"a0.h1->m0"', '"m0->a0.h1<q>"', "edges.m0->a0.h1<q>: the model has no such edge"),
        ('"a0.h1->m0"', '"embed->m0"', "edges.embed->m0: the model has no such edge"),
        ('"a0.h1->m0"', '"a00.h1->m0"', "edges.a00.h1->m0: the model has no such edge"),
        ("-1.0", "null", "edges.a0.h1->m0.score: expected a number, found null"),
        ('"score": 0.5, ', "", "edges.input->a0.h1<q>: the key 'score' is missing"),
    ],
)
def test_not_such_a_file(file: Path, old: str, new: str, problem: str) -> None:
    text = json.dumps(THEIRS)
    assert old in text
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(FileError) as caught:
        read_eap_ig(file)
    message = f"{str(file)!r} is not a circuit of the EAP-IG package: {problem}"
    assert (caught.value.code, caught.value.message) == ("C603", message)


def test_an_edge_that_stands_twice(file: Path) -> None:
    file.write_text(json.dumps(THEIRS).replace("input->a0.h0<q>", "input->a0.h1<q>"))
    with refused(FileError, "C602", "duplicate key"):
        read_eap_ig(file)


@given(st.sampled_from(["cfg", "nodes", "edges"]), json_values, st.sampled_from([None, 1, 2]))
def test_anything_else(file: Path, key: str, value: Any, n_kv_heads: int | None) -> None:
    content = json.loads(json.dumps(THEIRS))
    if isinstance(value, dict):
        content[key] |= value
    else:
        content[key] = value
    file.write_text(json.dumps(content))
    try:
        read_eap_ig(file, n_kv_heads=n_kv_heads)
    except FileError as error:
        assert error.code == "C603"


def saved(circuit: Circuit, path: Path, **changed: Any) -> None:
    """The package's `.pt` layout (src/eap/graph.py, `to_pt`), written by torch: senders by receivers."""
    graph = circuit.graph
    heads, layers = range(graph.shape.n_heads), range(graph.shape.n_layers)
    src = ["input"] + [name for i in layers for name in (*(f"a{i}.h{h}" for h in heads), f"m{i}")]
    dst = [f"a{i}.h{h}<{q}>" if q != "m" else f"m{i}" for i in layers for q in "qkvm" for h in heads]
    dst = [*dict.fromkeys(dst), "logits"]
    scores, within = torch.full((len(src), len(dst)), 7.0), torch.ones(len(src), len(dst), dtype=torch.bool)
    for edge in graph.edges():
        names = [theirs(edge.sender), theirs(edge.receiver)]
        place = src.index(names[0]), dst.index(names[1])
        scores[place], within[place] = circuit.scores.get(edge) or 0.0, edge in circuit
    content = {
        "cfg": {"n_layers": len(layers), "n_heads": len(heads), "parallel_attn_mlp": False, "d_model": 16},
        "src_nodes": src,
        "dst_nodes": dst,
        "edges_scores": scores,
        "edges_in_graph": within,
        "nodes_in_graph": torch.ones(len(src), dtype=torch.bool),
    }
    torch.save({**content, **changed}, path)


def theirs(name: str) -> str:
    """`L0H1.q` as `a0.h1<q>`, written a second time."""
    name = {"embed": "input"}.get(name, name).replace("MLP", "m")
    return re.sub(
        r"L(\d+)H(\d+)(?:\.(.))?", lambda m: f"a{m[1]}.h{m[2]}" + (f"<{m[3]}>" if m[3] else ""), name
    )


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("eap_ig") / "file.pt"


@given(circuits(st.just(Graph(Shape(2, 2, 2)))), st.booleans())
def test_tables_read_as_the_json_of_the_same_circuit(
    file: Path, table: Path, circuit: Circuit, everything: bool
) -> None:
    halves = {edge: None if score is None else round(score % 8) / 2 for edge, score in circuit.scores.items()}
    circuit = Circuit(circuit.graph, halves)  # what float32 can hold
    saved(circuit, table)
    write_eap_ig(circuit, file, d_model=16)
    assert read_eap_ig(table, everything=everything) == read_eap_ig(file, everything=everything)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"cfg": {"n_layers": 1}}, "cfg: the key 'n_heads' is missing"),
        ({"cfg": torch.zeros(2)}, "cfg: expected an object, found a tensor"),
        ({"src_nodes": ["input", "a0.h7"]}, "src_nodes[1]: the model has no node of this name"),
        ({"src_nodes": ["input"]}, "expected src_nodes and dst_nodes to name every node of the model once"),
        (
            {"edges_scores": torch.zeros(2, 2)},
            "edges_scores: expected a tensor of 4 senders by 8 receivers, found shape [2, 2]",
        ),
        ({"edges_in_graph": [True]}, "edges_in_graph: expected a tensor of 4 senders by 8 receivers"),
        (
            {"dst_nodes": ["logits"] * 8},
            "expected src_nodes and dst_nodes to name every node of the model once",
        ),
        ({"src_nodes": [1, 2]}, "src_nodes[0]: expected a string, found 1"),
    ],
)
def test_not_such_tables(table: Path, changed: dict[str, Any], problem: str) -> None:
    saved(EXAMPLE, table, **changed)
    with refused(FileError, "C603", problem):
        read_eap_ig(table)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400"])
def test_an_edge_whose_score_is_no_number_is_named(file: Path, number: str) -> None:
    """As the package writes what overflowed."""
    file.write_text(json.dumps(THEIRS).replace("-1.0", number))
    with refused(FileError, "C602", "edges.a0.h1->m0.score is "):
        read_eap_ig(file, everything=True)


def test_a_score_that_is_no_number(table: Path) -> None:
    saved(EXAMPLE, table, edges_scores=torch.full((4, 8), float("nan")))
    with refused(GraphError, "C458"):
        read_eap_ig(table)
