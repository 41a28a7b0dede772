from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st
from tests.circuits.strategies import circuits, json_values
from tests.refused import refused

from nncirc.circuits.circuit import Circuit
from nncirc.circuits.errors import FileError
from nncirc.circuits.formats.eap_ig import write_eap_ig
from nncirc.circuits.formats.graphml import write_graphml
from nncirc.circuits.formats.json import circuit_from_json, circuit_to_json, read_circuit, write_circuit
from nncirc.circuits.graph import Graph, Shape
from nncirc.circuits.names import Edge

EXAMPLE = Circuit(
    Graph(Shape(2, 4, 4)),
    {Edge("L0H0", "logits"): None, Edge("embed", "L0H0.q"): 0.125},
    {"induction": ("L1H0",)},
    {"method": "acdc", "threshold": 0.01},
)
TEXT = """\
{
  "format": "nncirc circuit",
  "version": 1,
  "graph": {"n_layers": 2, "n_heads": 4, "n_kv_heads": 4, "mlps": true, "parallel": false, \
"attention": "heads", "split_inputs": true},
  "groups": {"induction": ["L1H0"]},
  "made": {"method": "acdc", "threshold": 0.01},
  "edges": [
    ["embed", "L0H0.q", 0.125],
    ["L0H0", "logits", null]
  ]
}
"""


def test_the_text_of_a_file() -> None:
    assert circuit_to_json(EXAMPLE) == TEXT


def test_a_file_says_which_mlps_are_split_where_any_are() -> None:
    fine = Circuit.of(Graph(Shape(2, 4, 4), neurons=((1, 2),)), [Edge("MLP1N1", "logits")])
    text = circuit_to_json(fine)
    assert '"split_inputs": true, "neurons": [[1, 2]]}' in text
    assert circuit_from_json(text) == fine
    for wrong in ("[[1, 2, 3]]", "[[5, 2]]", '[[1, "2"]]'):
        with refused(FileError, "C603"):
            circuit_from_json(text.replace("[[1, 2]]", wrong))


def test_a_file_says_that_positions_are_a_sender_where_they_are() -> None:
    apart = Circuit.of(Graph(Shape(2, 4, 4), pos_embed=True), [Edge("pos_embed", "L0H0.q")])
    text = circuit_to_json(apart)
    assert '"split_inputs": true, "pos_embed": true}' in text
    assert circuit_from_json(text) == apart


@given(circuits())
def test_a_circuit_reads_back(circuit: Circuit) -> None:
    text = circuit_to_json(circuit)
    back = circuit_from_json(text)
    assert back == circuit
    assert back.edges == circuit.edges
    assert list(back.groups) == list(circuit.groups)
    assert [repr(s) for s in back.scores.values()] == [repr(s) for s in circuit.scores.values()]
    assert circuit_to_json(back) == text
    assert text.isascii()
    json.loads(text)


@given(circuits())
def test_the_order_of_the_edges_does_not_matter(circuit: Circuit) -> None:
    shuffled = Circuit(
        circuit.graph, dict(reversed(list(circuit.scores.items()))), circuit.groups, circuit.made
    )
    assert circuit_to_json(shuffled) == circuit_to_json(circuit)


def test_a_circuit_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    write_circuit(EXAMPLE, path)
    assert path.read_text() == TEXT
    assert read_circuit(path) == EXAMPLE
    assert read_circuit(str(path)) == EXAMPLE


@pytest.mark.parametrize(
    ("write", "ending"),
    [(write_circuit, "json"), (write_graphml, "graphml"), (partial(write_eap_ig, d_model=8), "json")],
)
@pytest.mark.parametrize("name", ["found", "found.txt", "found.json.gz", "found.svg"])
def test_a_name_says_what_the_file_is(
    tmp_path: Path, write: Callable[[Circuit, Path], None], ending: str, name: str
) -> None:
    """A file that ends otherwise is read by no command."""
    with refused(FileError, "C631", hint=f"expected a name ending in .{ending}"):
        write(EXAMPLE, tmp_path / name)
    assert not list(tmp_path.iterdir())
    write(EXAMPLE, tmp_path / f"found.{ending}")


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        ({"x": float("nan")}, "'made' contains Out of range float values"),
        ({"x": {1: 2}}, "'made' contains the key 1, which is not a string"),
        ({"x": (1, 2)}, "'made' contains (1, 2), a tuple"),
        ({"x": [Path("/")]}, "a PosixPath"),
    ],
)
def test_what_json_has_no_word_for_is_not_written(tmp_path: Path, made: dict[str, Any], problem: str) -> None:
    with refused(FileError, "C605", problem):
        write_circuit(Circuit.of(EXAMPLE.graph, [], made=made), tmp_path / "file.json")
    assert list(tmp_path.iterdir()) == []


def test_made_that_holds_itself_is_not_written() -> None:
    made: dict[str, Any] = {}
    made["made"] = made
    with refused(FileError, "C605"):
        circuit_to_json(Circuit.of(EXAMPLE.graph, [], made=made))


MANY = "expected at most 100,000 heads, found 1,000,000 layers of 4"
FLOAT = "a number within the range of floats"


def failure(text: str) -> FileError:
    with pytest.raises(FileError) as caught:
        circuit_from_json(text, name="c.json")
    return caught.value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "Expecting value in line 1, column 1"),
        ("{", "Expecting property name enclosed in double quotes in line 1, column 2"),
        (TEXT[:-20], "Unterminated string starting in line 9, column 14"),
        (TEXT + "x", "Extra data in line 12, column 1"),
        (TEXT.replace("0.125", "NaN"), "edges[0][2] is NaN; expected a finite number"),
        (TEXT.replace("0.125", "-Infinity"), "edges[0][2] is -Infinity; expected a finite number"),
        (TEXT.replace("0.125", "1e999"), "edges[0][2] is 1e999; expected a finite number"),
        (TEXT.replace("0.125", "9" * 250 + "e99"), f"edges[0][2] is {'9' * 56}...; expected a finite number"),
        ('[1, {"a": [[], 2e308]}]', "[1].a[1] is 2e308; expected a finite number"),
        ("NaN", "it is NaN; expected a finite number"),
        (TEXT.replace('"made"', '"groups"'), "duplicate key 'groups' in one object"),
        ("[" * 100_000, "it is nested too deeply"),
        ("[" * 100_000 + "]" * 100_000, "it is nested too deeply"),
    ],
)
def test_not_json(text: str, problem: str) -> None:
    error = failure(text)
    assert (error.code, error.message) == ("C602", f"'c.json' is not JSON: {problem}")


def test_a_number_of_very_many_digits_is_not_read() -> None:
    assert failure(TEXT.replace("0.125", "9" * 5000)).code == "C602"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (TEXT, "[]", "expected an object, found a list"),
        (TEXT, "null", "expected an object, found null"),
        (TEXT, "{}", "the key 'format' is missing"),
        ('"nncirc circuit"', '"other"', "format: expected 'nncirc circuit'"),
        ('"version": 1', '"version": true', "version: expected a whole number, found true"),
        ('"made"', '"mode"', "the key 'made' is missing"),
        ('"made"', '"more": 1, "made"', "unknown key 'more'"),
        ('"n_layers": 2', '"n_layers": 2.0', "graph.n_layers: expected a whole number, found 2.0"),
        ('"n_layers": 2', '"n_layers": "2"', "graph.n_layers: expected a whole number, found '2'"),
        ('"n_heads": 4', '"n_heads": 3', "graph: impossible shape: 2 layers, 3 heads, 4 key-value heads"),
        ('"n_heads": 4', '"n_heads": -4', "graph: impossible shape: 2 layers, -4 heads, 4 key-value heads"),
        ('"n_layers": 2', '"n_layers": 1000000', f"graph: {MANY}"),
        ('"mlps": true', '"mlps": 1', "graph.mlps: expected true or false, found 1"),
        ('"heads"', '"neurons"', "graph.attention: expected 'heads' or 'layers'"),
        ('["L1H0"]', '["L7H0"]', "groups: expected a node of the graph in group induction, found 'L7H0'"),
        ('["L1H0"]', "[1]", "groups.induction[0]: expected a string, found 1"),
        ('["L1H0"]', '"L1H0"', "groups.induction: expected a list, found 'L1H0'"),
        ('"embed"', '"MLP1"', "edges[0]: the graph has no edge MLP1 -> L0H0.q"),
        ('"embed"', '"x"', "edges[0]: the graph has no edge x -> L0H0.q"),
        ('"embed"', "0", "edges[0][0]: expected a string, found 0"),
        ("null", '"much"', "edges[1][2]: expected a number, found 'much'"),
        ("null", "false", "edges[1][2]: expected a number, found false"),
        ("0.125", "9" * 400, f"edges[0][2]: expected {FLOAT}, found a huge number"),
        (', "logits", null', ', "logits"', "edges[1]: expected [sender, receiver, score], found 2 elements"),
        ('"L0H0", "logits"', '"embed", "L0H0.q"', "edges[1]: duplicate edge embed -> L0H0.q"),
    ],
)
def test_not_a_circuit(old: str, new: str, problem: str) -> None:
    assert old in TEXT
    error = failure(TEXT.replace(old, new, 1))
    assert (error.code, error.message) == ("C603", f"'c.json' is not a circuit file: {problem}")


def test_another_version() -> None:
    error = failure(TEXT.replace('"version": 1', '"version": 2, "novelty": true'))
    assert (error.code, error.message) == (
        "C604",
        "'c.json' has format version 2; this nncirc reads version 1",
    )


@pytest.mark.parametrize(
    ("make", "code", "problem"),
    [
        (lambda path: None, "C601", "No such file or directory"),
        (lambda path: path.mkdir(), "C601", "it is a folder"),
        (lambda path: os.mkfifo(path), "C601", "it is not a regular file"),
        (lambda path: path.symlink_to(path), "C601", "symbolic links"),
        (lambda path: path.write_bytes(b"\xff\xfe{"), "C602", "byte 0 is not UTF-8"),
        (lambda path: path.write_bytes(b"\x00" * 100), "C602", "Expecting value"),
    ],
)
def test_not_readable(tmp_path: Path, make: Callable[[Path], object], code: str, problem: str) -> None:
    make(tmp_path / "file")
    with refused(FileError, code, problem):
        read_circuit(tmp_path / "file")


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()

    def refuse(path: Path, flags: int) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", refuse)
    with refused(FileError, "C601", "Permission denied"):
        read_circuit(tmp_path / "file")


def test_a_name_that_no_file_can_have() -> None:
    with refused(FileError, "C601"):
        read_circuit("null\0byte")


def reads_or_says_why(text: str) -> None:
    """No exception but FileError; what is read can be written and read again."""
    try:
        circuit = circuit_from_json(text)
    except FileError as error:
        assert error.code in ("C602", "C603", "C604")
        str(error).encode()
    else:
        assert circuit_from_json(circuit_to_json(circuit)) == circuit


@given(st.text())
def test_any_text(text: str) -> None:
    reads_or_says_why(text)


@given(json_values)
def test_any_json(value: Any) -> None:
    reads_or_says_why(json.dumps(value))


@st.composite
def mutated(draw: st.DrawFn, value: Any) -> Any:
    """A JSON value with one part of it replaced, dropped or doubled."""
    if not isinstance(value, dict | list) or not value or draw(st.integers(0, 4)) == 0:
        return draw(json_values)
    keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = draw(st.sampled_from(keys))
    what = draw(st.sampled_from(["inside", "inside", "inside", "drop", "double"]))
    copy: Any = value.copy()
    if what == "inside":
        copy[key] = draw(mutated(value[key]))
    elif what == "drop":
        del copy[key]
    elif isinstance(copy, list):
        copy.append(copy[key])
    else:
        copy[draw(st.text())] = copy[key]
    return copy


@given(mutated(json.loads(TEXT)))
def test_a_mutated_file(value: Any) -> None:
    reads_or_says_why(json.dumps(value))


@given(st.integers(0, len(TEXT)), st.integers(0, 5), st.text(max_size=3))
def test_a_damaged_file(at: int, length: int, new: str) -> None:
    reads_or_says_why(TEXT[:at] + new + TEXT[at + length :])
