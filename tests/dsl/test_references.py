"""Published circuits, and circuits that become scripts and circuits again."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from hypothesis import assume, given, settings, strategies as st
from tests.checked import program_of
from tests.circuits.strategies import circuits, graphs
from tests.refused import refused
from tests.some import some

from nncirc import check_file, check_text
from nncirc.circuits.circuit import Circuit
from nncirc.circuits.errors import FileError
from nncirc.circuits.graph import Graph, Shape
from nncirc.circuits.made import Made
from nncirc.circuits.names import Edge
from nncirc.dsl import references
from nncirc.dsl.references import circuit_of, read_reference, reference_text, write_reference

REFERENCE = Path(__file__).parents[2] / "examples" / "reference"
GPT2 = Graph(Shape(12, 12, 12))


def reference(name: str) -> Circuit:
    return read_reference(REFERENCE / f"{name}.circ")


def entered(circuit: Circuit) -> set[str]:
    """Queries, keys and values that edges lead to: Conmy et al. count one more edge for each."""
    return {edge.receiver for edge in circuit.edges if "." in edge.receiver}


def heads(text: str) -> list[str]:
    return [f"L{layer}H{head}" for layer, _, head in (each.partition(".") for each in text.split())]


def joined(senders: list[str], receivers: list[str], inputs: str = "") -> set[Edge]:
    """Every pair in the order of the computation, by head and input one by one."""
    ends = [f"{r}.{i}" for r, i in product(receivers, inputs)] if inputs else receivers
    return {Edge(sender, end) for sender, end in product(senders, ends) if Edge(sender, end) in GPT2}


@pytest.mark.parametrize(
    ("name", "edges", "published"),
    [
        ("ioi_wang2022", 963, 1041),
        ("greater_than_hanna2023", 235, 262),
        ("docstring_heimersheim2023", 24, 37),
    ],
)
def test_as_many_edges_as_published(name: str, edges: int, published: int) -> None:
    circuit = reference(name)
    assert len(circuit) == edges
    assert len(circuit) + len(entered(circuit)) == published
    assert circuit.made["cite"]


def test_indirect_object_identification() -> None:
    """Wang et al. 2022, as Conmy et al. 2023 compare with it: every edge of an MLP is kept."""
    duplicate, previous = heads("0.1 0.10 3.0"), heads("2.2 4.11")
    induction, inhibition = heads("5.5 5.8 5.9 6.9"), heads("7.3 7.9 8.6 8.10")
    movers = heads("9.9 10.0 9.6 10.10 10.6 10.2 10.1 11.2 9.7 9.0 11.9 10.7 11.10")
    mlps = [f"MLP{i}" for i in range(12)]
    all_heads = duplicate + previous + induction + inhibition + movers
    expected = (
        joined(["embed"], previous + duplicate, "qkv")
        | joined(["embed"], inhibition, "q")
        | joined(["embed"], movers, "kv")
        | joined(previous, induction, "kv")
        | joined(induction + duplicate, inhibition, "kv")
        | joined(inhibition, movers, "q")
        | joined(movers, ["logits"])
        | joined(mlps, all_heads, "qkv")
        | joined(["embed", *mlps, *all_heads], mlps)
        | joined(["embed", *mlps], ["logits"])
    )
    circuit = reference("ioi_wang2022")
    assert set(circuit.edges) == expected
    assert sorted(node for group in circuit.groups.values() for node in group) == sorted(all_heads)


def test_greater_than() -> None:
    """Hanna et al. 2023, as Conmy et al. 2023 compare with it."""
    early, first, middle = heads("0.3 0.5"), heads("0.1"), heads("5.5 6.1 6.9 7.10 8.11 9.1")
    mlps = [f"MLP{i}" for i in range(12)]
    expected = (
        joined(["embed"], early + first, "qkv")
        | joined(["embed", *first], mlps[:4])
        | joined(early + first + mlps[:4], middle, "qkv")
        | joined(middle, [*mlps[8:], "logits"])
        | joined(mlps[:9], mlps[:9])
        | joined(mlps[8:], [*mlps[8:], "logits"])
        | joined(mlps[:9], middle, "q")
    )
    assert set(reference("greater_than_hanna2023").edges) == expected


def test_docstring() -> None:
    assert [str(edge) for edge in reference("docstring_heimersheim2023").edges] == [
        "embed -> L0H5.v",
        "embed -> L1H2.q",
        "L0H5 -> L1H2.q",
        "embed -> L1H2.k",
        "L0H5 -> L1H2.k",
        "embed -> L1H4.v",
        "L0H5 -> L1H4.v",
        "embed -> L2H0.q",
        "L0H5 -> L2H0.q",
        "embed -> L2H0.k",
        "L0H5 -> L2H0.k",
        "L1H4 -> L2H0.v",
        "L1H4 -> L3H0.q",
        "L1H4 -> L3H6.q",
        "L1H2 -> L3H0.k",
        "L2H0 -> L3H0.k",
        "L1H2 -> L3H6.k",
        "L2H0 -> L3H6.k",
        "embed -> L3H0.v",
        "L0H5 -> L3H0.v",
        "embed -> L3H6.v",
        "L0H5 -> L3H6.v",
        "L3H0 -> logits",
        "L3H6 -> logits",
    ]


def test_a_bundled_model_has_its_own_graph() -> None:
    circuit = reference("induction_2l")
    assert circuit.graph == Graph(Shape(2, 4, 4, mlps=False))
    assert circuit.groups == {"previous_token": ("L0H2",), "induction_head": ("L1H0",)}


GROUPS = st.sampled_from(["mover", "early_heads", "a", "_1"])


def said(graph: Graph) -> bool:
    """Whether scripts have words for a graph: in theirs all split MLPs have as many neurons."""
    return len({count for _, count in graph.neurons}) < 2


@settings(max_examples=36)
@given(circuits(graphs()), st.data())
def test_a_circuit_becomes_a_script_and_is_the_same(circuit: Circuit, data: st.DataObject) -> None:
    assume(circuit.edges and said(circuit.graph))
    ends = {*circuit.graph.sources, *circuit.graph.sinks}
    inner = [node for node in circuit.graph.nodes if node not in ends]
    members = st.lists(st.sampled_from(inner), min_size=1, max_size=3, unique=True)
    groups = data.draw(st.dictionaries(GROUPS, members.map(tuple), max_size=2))
    circuit = Circuit(circuit.graph, circuit.scores, groups, circuit.made)
    text = reference_text(circuit)
    back = circuit_of(program_of(check_text(text)))
    assert (back.graph, back.scores) == (circuit.graph, circuit.scores)
    assert {group: set(nodes) for group, nodes in back.groups.items()} == {
        group: set(nodes) for group, nodes in circuit.groups.items()
    }
    assert reference_text(Circuit(back.graph, back.scores, back.groups, circuit.made)) == text


def circuits_of_papers() -> list[tuple[Path, str]]:
    """Every reference circuit beside the examples, by file and name."""
    found = []
    for path in some(sorted(REFERENCE.glob("*.circ"))):
        circuits = program_of(check_file(path)).of_kind("circuit")
        found += [(path, each.name) for each in circuits if "." not in each.name]
    return found


@pytest.mark.parametrize(("path", "name"), circuits_of_papers(), ids=lambda each: getattr(each, "stem", each))
def test_a_published_circuit_is_written_again(path: Path, name: str, tmp_path: Path) -> None:
    circuit = read_reference(path, name)
    write_reference(circuit, tmp_path / "again.circ", name="again")
    back = read_reference(tmp_path / "again.circ")
    assert (back.graph, back.edges, back.groups) == (circuit.graph, circuit.edges, circuit.groups)
    assert (back.made["cite"], back.made["name"]) == (circuit.made["cite"], "again")


SMALL = Graph(Shape(2, 2, 2))
ONE = [Edge("embed", "logits")]


@pytest.mark.parametrize(
    ("circuit", "problem"),
    [
        (Circuit.of(SMALL, []), "it has no edges"),
        (Circuit.of(SMALL, ONE, groups={"name mover": ("L0H0",)}), "'name mover' cannot be a name"),
        (Circuit.of(SMALL, ONE, groups={"a]\n}": ("L0H0",)}), "cannot be a name"),
        (Circuit.of(SMALL, ONE, groups={"full": ("L0H0",)}), "'full' cannot be a name"),
        (Circuit.of(SMALL, ONE, groups={"empty": ()}), "the group `empty` is empty"),
        (Circuit.of(SMALL, ONE, groups={"ends": ("embed",)}), "`embed` cannot be in a group"),
        (Circuit.of(SMALL, ONE, groups={"L1H1": ("L0H0",)}), ""),
        (Circuit.of(SMALL, ONE, groups={"use": ("L0H0",)}), ""),
    ],
)
def test_what_a_script_cannot_say(tmp_path: Path, circuit: Circuit, problem: str) -> None:
    with refused(FileError, "C623", problem):
        write_reference(circuit, tmp_path / "file.circ")
    assert list(tmp_path.iterdir()) == []


SPLIT = Graph(Shape(2, 2, 2), positions=("S.2", "end", "other"), neurons=((1, 3),))


def test_positions_neurons_and_scores_as_they_are_written() -> None:
    edges = {
        Edge("embed@S.2", "L0H1.k@S.2"): 0.125,
        Edge("L0H1@S.2", "L1H0.v@S.2"): -1e-05,
        Edge("embed@end", "L1H0.q@end"): None,
        Edge("embed@end", "L1H0.k@end"): None,
        Edge("embed@end", "L1H0.v@end"): None,
        Edge("L0H1@end", "L1H1.k@end"): None,
        Edge("L1H0@end", "MLP1@end"): None,
        Edge("MLP1N2@end", "logits@end"): None,
    }
    groups = {"early": ("L0H1@S.2", "L0H1@end"), "detector": ("MLP1N2@end",)}
    made: Made = {"method": "top", "score": "share of recovered"}
    text = reference_text(Circuit(SPLIT, edges, groups, made))
    _, _, body = text.partition("graph full")
    assert (
        body
        == """ using residual {
  model  = only_shape
  nodes  = [embed, heads, mlps, logits]
  inputs = [q, k, v]
  positions = [S.2, end, other]
  neurons = [1]
}

circuit found using reference {
  graph = full
  score = "share of recovered"

  groups {
    early = [L0H1@S.2, L0H1@end]
    detector = [MLP1N2@end]
  }

  embed@S.2 -> L0H1.k@S.2 = 0.125
  L0H1@S.2 -> L1H0.v@S.2 = -1e-05
  embed@end -> L1H0@end
  L0H1@end -> L1H1.k@end
  L1H0@end -> MLP1@end
  detector -> logits@end
}
"""
    )
    assert circuit_of(program_of(check_text(text))).made["score"] == "share of recovered"


def test_a_graph_by_token_says_how_many(tmp_path: Path) -> None:
    graph = Graph(Shape(1, 1, 1), positions=("0", "1"))
    edges = {Edge("embed@0", "L0H0.v@0"): None, Edge("L0H0@1", "logits@1"): None}
    write_reference(Circuit(graph, edges), tmp_path / "file.circ")
    assert "  positions = all\n  length = 2\n" in (tmp_path / "file.circ").read_text()
    assert read_reference(tmp_path / "file.circ").graph == graph


@pytest.mark.parametrize(
    ("graph", "edge"),
    [
        (Graph(Shape(2, 1, 1), neurons=((0, 2), (1, 3))), Edge("MLP1N2", "logits")),
        (Graph(Shape(1, 1, 1), positions=("S", "end")), Edge("embed@end", "logits@end")),
        (Graph(Shape(1, 1, 1), positions=("other", "end")), Edge("embed@end", "logits@end")),
        (Graph(Shape(1, 1, 1), positions=("1", "0")), Edge("embed@1", "logits@1")),
    ],
)
def test_graphs_that_no_script_makes(tmp_path: Path, graph: Graph, edge: Edge) -> None:
    """MLPs of different widths, and positions that scripts order and complete in another way."""
    with refused(FileError, "C623"):
        write_reference(Circuit.of(graph, [edge]), tmp_path / "file.circ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("shape", "graph", "message"),
    [
        (
            'bundled {\n  name = "ioi-4l"',
            "positions = all\n  data = d",
            "the number of tokens is known only from the prompts",
        ),
        ('huggingface {\n  id = "somebody/unknown"', "neurons = [1]", "the shape of the model m"),
    ],
)
def test_graphs_that_only_a_run_knows(tmp_path: Path, shape: str, graph: str, message: str) -> None:
    head = HEAD.replace("shape {\n  layers = 2\n  heads = 2", shape).replace(
        "model = m", f"model = m\n  {graph}"
    )
    data = 'dataset d using prompts {\n  model = m\n  clean = ["a b"]\n}\n' if "data" in graph else ""
    (tmp_path / "file.circ").write_text(head + data + CIRCUIT % "a")
    with refused(FileError, "C622", message):
        read_reference(tmp_path / "file.circ")


def test_neurons_of_a_bundled_model_are_known_without_it(tmp_path: Path) -> None:
    head = HEAD.replace("shape {\n  layers = 2\n  heads = 2", 'bundled {\n  name = "ioi-4l"')
    split = head.replace("model = m", "model = m\n  neurons = [3, 1]")
    (tmp_path / "file.circ").write_text(split + CIRCUIT % "a")
    graph = read_reference(tmp_path / "file.circ").graph
    assert graph.neurons == ((1, 384), (3, 384))


def test_what_would_not_be_the_same_circuit_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were the writer wrong, no wrong file would be left behind."""
    right = references._hops
    monkeypatch.setattr(references, "_hops", lambda circuit: list(right(circuit))[1:])
    with refused(FileError, "C623", "a script cannot express"):
        write_reference(reference("induction_2l"), tmp_path / "file.circ")
    assert list(tmp_path.iterdir()) == []


HEAD = "model m using shape {\n  layers = 2\n  heads = 2\n}\ngraph g using residual {\n  model = m\n}\n"
CIRCUIT = "circuit %s using reference {\n  graph = g\n  embed -> logits\n}\n"


@pytest.mark.parametrize(
    ("text", "name", "code", "message"),
    [
        ("circuit", None, "C620", "has errors; the first is C0"),
        (HEAD, None, "C621", "has 0 reference circuits"),
        (HEAD + CIRCUIT % "a" + CIRCUIT % "b", None, "C621", "has 2 reference circuits"),
        (HEAD + CIRCUIT % "a", "b", "C621", "has no reference circuit 'b'"),
        (
            HEAD.replace("shape {\n  layers = 2\n  heads = 2", 'huggingface {\n  id = "somebody/unknown"')
            + CIRCUIT % "a",
            None,
            "C622",
            "the shape of the model m in",
        ),
    ],
)
def test_scripts_without_a_circuit(
    tmp_path: Path, text: str, name: str | None, code: str, message: str
) -> None:
    (tmp_path / "file.circ").write_text(text)
    with refused(FileError, code, message):
        read_reference(tmp_path / "file.circ", name)


def test_one_of_several(tmp_path: Path) -> None:
    (tmp_path / "file.circ").write_text(HEAD + CIRCUIT % "a" + CIRCUIT % "b")
    assert read_reference(tmp_path / "file.circ", "b").made["name"] == "b"


def test_heads_by_what_they_attend_to_need_a_run() -> None:
    with refused(FileError, "C622", "which needs a run"):
        read_reference(REFERENCE.parent / "induction.circ", "expected")


def test_no_such_file(tmp_path: Path) -> None:
    with refused(FileError, "C601"):
        read_reference(tmp_path / "nothing.circ")


def test_a_graph_without_the_mlps_of_its_model(tmp_path: Path) -> None:
    nodes = "  model = m\n  nodes = [embed, heads, logits]"
    (tmp_path / "file.circ").write_text(HEAD.replace("  model = m", nodes) + CIRCUIT % "a")
    with refused(FileError, "C620", "C460"):
        read_reference(tmp_path / "file.circ")
