"""Submissions to MIB's circuit track."""

from __future__ import annotations

from pathlib import Path

from tests.refused import refused

from nncirc.circuits.circuit import Circuit
from nncirc.circuits.errors import FileError
from nncirc.circuits.formats.eap_ig import write_eap_ig
from nncirc.circuits.formats.mib import read_submission
from nncirc.circuits.graph import Graph, Shape
from nncirc.circuits.names import Edge

GRAPH = Graph(Shape(1, 2, 2))
SCORED = Circuit(GRAPH, {edge: float(i) for i, edge in enumerate(GRAPH.edges())})
SMALL = Circuit(GRAPH, {Edge("embed", "MLP0"): 1.0, Edge("MLP0", "logits"): 2.0})


def submit(folder: Path, name: str, circuit: Circuit) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    write_eap_ig(circuit, folder / name, d_model=16)


def test_a_submission(tmp_path: Path) -> None:
    submit(tmp_path, "ioi_gpt2/importances.json", SMALL)
    submit(tmp_path, "mcqa_qwen2.5/0.1.json", SMALL)
    submit(tmp_path, "mcqa_qwen2.5/0.5.json", SCORED)
    (tmp_path / "README.md").write_text("A method.")
    (tmp_path / "notes").mkdir()
    found = read_submission(tmp_path)
    assert list(found) == ["ioi_gpt2", "mcqa_qwen2.5.0.1", "mcqa_qwen2.5.0.5"]
    assert found["ioi_gpt2"].scores == {edge: SMALL.scores.get(edge, 0.0) for edge in GRAPH.edges()}
    assert found["mcqa_qwen2.5.0.1"].scores == SMALL.scores
    assert found["mcqa_qwen2.5.0.5"].scores == SCORED.scores


def test_grouped_queries(tmp_path: Path) -> None:
    shared = Circuit(Graph(Shape(1, 2, 1)), {Edge("embed", "L0KV0.k"): 1.0})
    submit(tmp_path, "ioi_llama3/importances.json", shared)
    assert read_submission(tmp_path, n_kv_heads=1)["ioi_llama3"].graph == shared.graph


def test_no_submission(tmp_path: Path) -> None:
    (tmp_path / "ioi_gpt2").mkdir()
    (tmp_path / "ioi_gpt2/notes.txt").write_text("")
    with refused(FileError, "C635"):
        read_submission(tmp_path)
    with refused(FileError, "C601"):
        read_submission(tmp_path / "nothing")


def test_a_damaged_entry_is_named(tmp_path: Path) -> None:
    (tmp_path / "ioi_gpt2").mkdir()
    (tmp_path / "ioi_gpt2/importances.json").write_text("{}")
    with refused(FileError, "C603", "ioi_gpt2"):
        read_submission(tmp_path)
