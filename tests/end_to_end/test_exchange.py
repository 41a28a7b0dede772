"""`diff`, `import` and `export`: circuits of a run, of papers and of other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.end_to_end.command import EXAMPLES, SCRIPT, Command, printed

from nncirc import Circuit, Edge, Graph, Shape, read_circuit, write_circuit

REFERENCE = EXAMPLES / "reference"
GRAPH = Graph(Shape(2, 4, 4, mlps=False))
FOUND = Circuit(
    GRAPH,
    {
        Edge("embed", "L0H2.v"): 0.5,
        Edge("L0H2", "L1H0.k"): 0.25,
        Edge("embed", "L1H3.q"): -0.125,
        Edge("L1H3", "logits"): 0.0625,
        Edge("L1H0", "logits"): 1.0,
    },
    made={"method": "acdc", "threshold": 0.01},
)


@pytest.fixture
def found(tmp_path: Path) -> Path:
    path = tmp_path / "found.json"
    write_circuit(FOUND, path)
    return path


def test_diff_with_a_paper(nncirc: Command, found: Path, tmp_path: Path) -> None:
    both = tmp_path / "both.svg"
    lines = nncirc("diff", found, REFERENCE / "induction_2l.circ", "--out", both).fine().splitlines()
    assert "only found.json 1 nodes 2 edges" in [" ".join(line.split()) for line in lines]
    assert "  embed -> L1H0.v" in lines[lines.index("only induction_2l.circ, edges:") :]
    svg = both.read_text()
    assert "only found.json" in svg
    assert "stroke-dasharray" in svg


def test_diff_as_json(nncirc: Command, found: Path) -> None:
    done = nncirc("diff", found, f"{REFERENCE / 'induction_2l.circ'}:induction", "--json")
    content = json.loads(done.out)
    assert content["edges"]["both"][0] == ["embed", "L0H2.v", 0.5, None]
    assert content["nodes"]["first"] == ["L1H3"]
    assert content["jaccard"]["edges"] == 0.5


def test_diff_of_different_graphs(nncirc: Command, found: Path, tmp_path: Path) -> None:
    write_circuit(Circuit.full(Graph(GRAPH.shape, split_inputs=False)), tmp_path / "joined.json")
    said = nncirc("diff", found, tmp_path / "joined.json").refused("C455")
    assert "--collapse" in said
    said = nncirc("diff", found, tmp_path / "joined.json", "--collapse").fine()
    assert "only found.json 0 nodes 0 edges" in " ".join(said.split())
    said = nncirc("diff", found, REFERENCE / "ioi_wang2022.circ").refused("C455")
    assert "two models" in said
    assert "--collapse" not in said
    nncirc("diff", found, REFERENCE / "ioi_wang2022.circ", "--collapse").refused("C459")


@pytest.mark.parametrize(
    ("kind", "said"), [("curve", "a curve"), ("table", "a comparison"), ("run", "a run")]
)
@pytest.mark.parametrize("target", ["out.csv", "out.circ", "out.json"])
def test_what_is_no_circuit_is_called_what_it_is(
    nncirc: Command, tmp_path: Path, kind: str, said: str, target: str
) -> None:
    (tmp_path / "kept.json").write_text(f'{{"format": "nncirc {kind}", "version": 1}}\n')
    refused = nncirc("export", tmp_path / "kept.json", "--to", tmp_path / target).refused("C603")
    assert said in refused
    assert "expected" not in refused
    (tmp_path / "kept.json").write_text('{"format": ["nncirc curve"], "version": 1}\n')
    nncirc("export", tmp_path / "kept.json", "--to", tmp_path / target).refused("C603")


def test_a_found_circuit_becomes_a_script_and_comes_back(
    nncirc: Command, found: Path, tmp_path: Path
) -> None:
    script = tmp_path / "found-2.circ"
    assert nncirc("export", found, "--to", script).out == f"{script}\n"
    nncirc("check", script).fine()
    assert nncirc("import", script, "--to", tmp_path / "back.json").status == 0
    back = read_circuit(tmp_path / "back.json")
    assert (back.graph, back.scores) == (FOUND.graph, FOUND.scores)
    user = tmp_path / "user.circ"
    user.write_text('use "found-2.circ" as old\nassert old.found_2.edges == 5\n')
    assert nncirc("run", user, "--out", tmp_path / "out").status == 0


@pytest.mark.parametrize("name", ["found.graphml", "found.csv", "theirs.json"])
def test_there_and_back(nncirc: Command, found: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / "out" / name
    target.parent.mkdir()
    assert nncirc("export", found, "--to", target, "--d-model", "64").status == 0
    back = tmp_path / "back.json"
    nncirc("import", target, "--to", back, "--like", found).fine()
    assert (read_circuit(back).graph, read_circuit(back).scores) == (FOUND.graph, FOUND.scores)


def test_a_submission_to_mib(nncirc: Command, found: Path, tmp_path: Path) -> None:
    entry = f"{tmp_path / 'submission' / 'ioi_gpt2'}/"
    assert nncirc("export", found, "--to", entry, "--d-model", "64").status == 0
    done = nncirc("import", tmp_path / "submission", "--to", tmp_path / "read")
    assert done.out == f"{tmp_path / 'read' / 'ioi_gpt2.json'}\n"
    back = read_circuit(tmp_path / "read" / "ioi_gpt2.json")
    assert len(back) == GRAPH.n_edges
    assert {edge: score for edge, score in back.scores.items() if score} == FOUND.scores
    assert nncirc("import", f"{entry}importances.json", "--to", tmp_path / "one.json").status == 0
    assert read_circuit(tmp_path / "one.json") == back
    (tmp_path / "other.json").write_bytes(Path(f"{entry}importances.json").read_bytes())
    nncirc("import", tmp_path / "other.json", "--to", tmp_path / "two.json")
    assert read_circuit(tmp_path / "two.json").scores == FOUND.scores
    nncirc("import", tmp_path / "other.json", "--to", tmp_path / "three.json", "--all")
    assert read_circuit(tmp_path / "three.json") == back


def test_an_entry_for_mib_comes_back_by_itself(nncirc: Command, found: Path, tmp_path: Path) -> None:
    entry = tmp_path / "ioi_gpt2"
    assert nncirc("export", found, "--to", f"{entry}/", "--d-model", "64").status == 0
    assert nncirc("import", entry, "--to", tmp_path / "one.json").out == f"{tmp_path / 'one.json'}\n"
    back = read_circuit(tmp_path / "one.json")
    assert {edge: score for edge, score in back.scores.items() if score} == FOUND.scores
    nncirc("import", entry, "--to", tmp_path / "folder")
    assert read_circuit(tmp_path / "folder" / "ioi_gpt2.json") == back
    (tmp_path / "two").mkdir()
    for name in ("a", "b"):
        nncirc("export", found, "--to", f"{tmp_path / 'two' / name}/", "--d-model", "64")
    said = nncirc("import", tmp_path / "two", "--to", tmp_path / "x.json").refused("C635")
    assert "has 2 circuits" in said
    assert "choose one entry: a, b" in said
    assert not (tmp_path / "x.json").exists()


def test_the_width_is_asked_for_only_where_the_circuit_does_not_say_it(
    nncirc: Command, script: Path, tmp_path: Path
) -> None:
    nncirc("run", script, "--only", "quick", "--out", tmp_path)
    theirs = tmp_path / "theirs.json"
    assert nncirc("export", tmp_path / "quick.json", "--to", theirs).status == 0
    assert json.loads(theirs.read_text())["cfg"]["d_model"] == 96
    assert nncirc("import", theirs, "--to", tmp_path / "back.json").status == 0
    assert nncirc("export", tmp_path / "back.json", "--to", tmp_path / "again.json").status == 0
    assert (tmp_path / "again.json").read_bytes() == theirs.read_bytes()
    wrong = nncirc("export", tmp_path / "quick.json", "--to", theirs, "--d-model", "64")
    assert "of width 96, not 64" in wrong.refused("C634")


def test_scores_are_not_taken_for_a_circuit(nncirc: Command, script: Path, tmp_path: Path) -> None:
    nncirc("run", script, "--only", "quick", "--only", "eap", "--out", tmp_path)
    eap, quick = tmp_path / "eap.json", tmp_path / "quick.json"
    commands: list[list[str | Path]] = [
        ["render", eap],
        ["render", quick, "--highlight", eap],
        ["diff", quick, eap],
        ["import", eap, "--to", tmp_path / "x.json"],
        ["export", eap, "--to", tmp_path / "x.circ"],
    ]
    for arguments in commands:
        assert "using top" in nncirc(*arguments).refused("C637")
    nncirc("export", quick, "--to", f"{tmp_path / 'entry'}/")
    nncirc("render", tmp_path / "entry" / "importances.json").refused("C637")
    assert not (tmp_path / "x.json").exists()
    assert not (tmp_path / "eap.svg").exists()
    assert nncirc("import", eap, "--to", tmp_path / "all.json", "--all").status == 0
    rows = json.loads(eap.read_text())["scores"]
    assert [[*edge, score] for edge, score in read_circuit(tmp_path / "all.json").scores.items()] == rows


def test_a_circuit_of_positions_and_neurons_becomes_a_script(nncirc: Command, tmp_path: Path) -> None:
    graph = Graph(Shape(2, 4, 4), positions=("S.2", "end", "other"), neurons=((1, 8),))
    edges = {Edge("embed@S.2", "L0H1.k@S.2"): 0.5, Edge("MLP1N7@end", "logits@end"): None}
    write_circuit(Circuit(graph, edges), tmp_path / "split.json")
    assert nncirc("export", tmp_path / "split.json", "--to", tmp_path / "split.circ").status == 0
    assert nncirc("check", tmp_path / "split.circ").err == ""
    done = nncirc("diff", tmp_path / "split.json", tmp_path / "split.circ", "--json")
    content = json.loads(done.out)["edges"]
    assert content["both"] == [
        ["embed@S.2", "L0H1.k@S.2", 0.5, 0.5],
        ["MLP1N7@end", "logits@end", None, None],
    ]
    assert content["first"] == content["second"] == []
    assert nncirc("render", tmp_path / "split.circ", "--out", tmp_path / "split.svg").status == 0


def test_a_script_is_drawn(nncirc: Command, found: Path, tmp_path: Path) -> None:
    script, out = REFERENCE / "induction_2l.circ", tmp_path / "picture.svg"
    assert nncirc("render", found, "--highlight", script, "--out", out).status == 0
    assert "only in the reference" in out.read_text()


def test_scores_of_a_run(nncirc: Command, script: Path, tmp_path: Path) -> None:
    nncirc("run", script, "--only", "eap", "--out", tmp_path / "out")
    table = tmp_path / "eap.csv"
    assert nncirc("export", tmp_path / "out" / "eap.json", "--to", table).status == 0
    rows = table.read_text().splitlines()
    scores = json.loads((tmp_path / "out" / "eap.json").read_text())["scores"]
    assert rows[0] == "sender,receiver,score"
    assert rows[1:] == [f"{sender},{receiver},{score!r}" for sender, receiver, score in scores]


def test_scores_of_nodes_and_their_intervals(nncirc: Command, script: Path, tmp_path: Path) -> None:
    lens = "scores lens using logit_lens {\n  data = ioi\n  positions = [S.2, end]\n}\n"
    script.write_text(SCRIPT + lens)
    nncirc("run", script, "--only", "lens", "--out", tmp_path / "out")
    written = json.loads((tmp_path / "out" / "lens.json").read_text())
    assert nncirc("export", tmp_path / "out" / "lens.json", "--to", tmp_path / "lens.csv").status == 0
    header, *rows = (line.split(",") for line in (tmp_path / "lens.csv").read_text().splitlines())
    assert header == ["node", *(f"{place}{end}" for place in ("S.2", "end") for end in ("", " low", " high"))]
    tables = [written[key] for key in ("scores", "low", "high")]
    for row, *cells in zip(rows, *tables, strict=True):
        assert {row[0]} == {name for name, *_ in cells}
        assert list(map(float, row[1:])) == [cell[at] for at in (1, 2) for cell in cells]
        assert all(float(row[at + 1]) <= float(row[at]) <= float(row[at + 2]) for at in (1, 4))
    assert written["low"] != written["high"]


def test_scores_of_nodes(nncirc: Command, tmp_path: Path) -> None:
    """Of a file without intervals too."""
    scores = {"format": "nncirc node scores", "version": 1, "made": {}, "positions": ["end"]}
    (tmp_path / "sweep.json").write_text(json.dumps({**scores, "scores": [["MLP0", 0.5]]}))
    assert nncirc("export", tmp_path / "sweep.json", "--to", tmp_path / "sweep.csv").status == 0
    assert (tmp_path / "sweep.csv").read_text() == "node,end\nMLP0,0.5\n"
    nncirc("export", tmp_path / "sweep.json", "--to", tmp_path / "sweep.graphml").refused("C603")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["export", "found.json", "--to", "x.gif"], "C631"),
        (["export", "found.json", "--to", "x"], "C631"),
        (["export", "found.json", "--to", "x.json"], "C634"),
        (["export", "found.json", "--to", "nowhere/x.csv"], "C605"),
        (["export", "nothing.json", "--to", "x.csv"], "C601"),
        (["import", "found.json", "--to", "x.csv"], "C631"),
        (["import", "found.png", "--to", "x.json"], "C631"),
        (["import", "table.csv", "--to", "x.json"], "C634"),
        (["import", "table.csv", "--to", "x.json", "--like", "found.json"], "C633"),
        (["import", "bad.pt", "--to", "x.json"], "C630"),
        (["import", "bad.graphml", "--to", "x.json"], "C632"),
        (["import", "bad.circ", "--to", "x.json"], "C620"),
        (["import", "empty", "--to", "x"], "C635"),
        (["import", "empty", "--to", "x.json"], "C635"),
        (["import", "nothing.csv", "--to", "x.json"], "C601"),
        (["import", "nothing", "--to", "x.json"], "C601"),
        (["import", "found.json", "--to", "x.pt"], "C636"),
        (["export", "found.json", "--to", "x.pt"], "C636"),
        (["import", "bad.json", "--to", "x.json"], "C602"),
        (["import", "list.json", "--to", "x.json"], "C603"),
        (["diff", "found.json", "bad.json"], "C602"),
        (["diff", "found.json", "found.json", "--out", "x.gif"], "C610"),
    ],
)
def test_wrong_files(
    nncirc: Command,
    found: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("bad.pt", "bad.graphml", "bad.circ", "bad.json", "table.csv"):
        Path(name).write_text("what is this")
    Path("list.json").write_text("[1]")
    Path("empty").mkdir()
    before = sorted(tmp_path.rglob("*"))
    nncirc(*arguments).refused(code)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_trap_in_a_pt_file_does_not_snap(nncirc: Command, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.mkdir, (tmp_path / "snapped",)

    torch.save({"cfg": Trap()}, tmp_path / "trap.pt")
    nncirc("import", tmp_path / "trap.pt", "--to", tmp_path / "x.json").refused("C630")
    assert not (tmp_path / "snapped").exists()


@pytest.mark.parametrize("command", [["diff"], ["import", "--to"], ["export", "--to"]])
def test_no_framework_is_loaded(found: Path, tmp_path: Path, command: list[str]) -> None:
    """Files of circuits are read and written without torch."""
    paths = [str(found), str(REFERENCE / "induction_2l.circ")]
    arguments = [command[0], *paths] if len(command) == 1 else [command[0], paths[1], "--to", "x.circ"]
    code = f"import sys\nfrom nncirc.cli import main\nmain({arguments!r})\nprint('torch' in sys.modules)"
    assert printed(code, folder=tmp_path).splitlines()[-1] == "False"
