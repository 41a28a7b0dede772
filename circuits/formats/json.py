"""Circuits as JSON files.

    {
      "format": "nncirc circuit",
      "version": 1,
      "graph": {"n_layers": 2, "n_heads": 4, "n_kv_heads": 4, "mlps": true, "parallel": false,
                "attention": "heads", "split_inputs": true},
      "groups": {"induction": ["L1H0"]},
      "made": {"method": "acdc", "threshold": 0.01},
      "edges": [
        ["embed", "L0H0.q", 0.125],
        ["L0H0", "logits", null]
      ]
    }

One edge a line, in the order of the computation, so that two files can be compared line by line. The same
circuit gives the same bytes on every machine. Scores are written as the shortest decimal that reads back as
the same float; round them beforehand for fewer digits.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from nncirc.circuits.arguments import public
from nncirc.circuits.atomic import require_ending, write_text
from nncirc.circuits.circuit import Circuit
from nncirc.circuits.errors import FileError, GraphError
from nncirc.circuits.formats.json_input import Value, parse_json, read_json
from nncirc.circuits.graph import Attention, Graph, Shape
from nncirc.circuits.names import Edge

FORMAT = "nncirc circuit"
EDGE_SCORES = "nncirc edge scores"
NODE_SCORES = "nncirc node scores"
VERSION = 1
_WHAT = "a circuit file"
_ATTENTION: Mapping[str, Attention] = {"heads": "heads", "layers": "layers"}


@public
def write_circuit(circuit: Circuit, path: str | os.PathLike[str]) -> None:
    """Write a circuit as JSON, whole or not at all; the file's name ends in `.json`.

    Raises:
        FileError: C605, the file cannot be written, or `made` contains something that JSON cannot express;
            C631, its name has another extension.
    """
    require_ending(path, [".json"])
    write_text(path, circuit_to_json(circuit))


@public
def read_circuit(path: str | os.PathLike[str]) -> Circuit:
    """Read a circuit that `write_circuit` wrote.

    Raises:
        FileError: C601, the file cannot be read; C602, it is not JSON; C603, it is JSON but not a circuit
            (the message says where); C604, it has another version.
    """
    return circuit_in(read_json(path, what=_WHAT))


def scores_of(file: Value) -> Circuit:
    """The scores of a graph's edges, as a run writes them (`eap.json`): all edges, each with its score.

    Raises:
        FileError: C603, the JSON is something else; C604, it has another version.
    """
    check_version(file.open_members(["format", "version"]), EDGE_SCORES)
    members = file.members(["format", "version", "graph", "made", "scores"])
    graph = read_graph(members["graph"])
    return Circuit(graph, read_edges(graph, members["scores"]), made=members["made"].made())


@public
def circuit_to_json(circuit: Circuit) -> str:
    """The text of a circuit's file.

    Raises:
        FileError: C605, `made` contains something that JSON cannot express.
    """
    head = ",\n".join(f'  "{key}": {_line(value, key)}' for key, value in header(circuit).items())
    edges = ",\n".join(f"    {json.dumps([*edge, score])}" for edge, score in circuit.scores.items())
    return f'{{\n{head},\n  "edges": [' + (f"\n{edges}\n  ]" if edges else "]") + "\n}\n"


@public
def circuit_from_json(text: str, *, name: str = "<text>") -> Circuit:
    """The circuit of a text that `circuit_to_json` made; `name` is what messages call it.

    Raises:
        FileError: C602, C603, C604, as `read_circuit`.
    """
    return circuit_in(parse_json(text, name=name, what=_WHAT))


def header(circuit: Circuit) -> dict[str, Any]:
    """A circuit without its edges, as JSON values."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "graph": graph_header(circuit.graph),
        "groups": {group: list(members) for group, members in circuit.groups.items()},
        "made": dict(circuit.made),
    }


def graph_header(graph: Graph) -> dict[str, Any]:
    """A graph as JSON values; what most graphs lack is left out where it is absent."""
    optional = {
        "pos_embed": graph.pos_embed,
        "positions": list(graph.positions),
        "neurons": [list(pair) for pair in graph.neurons],
    }
    return {
        **asdict(graph.shape),
        "attention": graph.attention,
        "split_inputs": graph.split_inputs,
        **{key: value for key, value in optional.items() if value},
    }


def circuit_of(members: Mapping[str, Value], scores: Mapping[Edge, float | None]) -> Circuit:
    """The circuit of a header's members and of edges of its graph.

    Raises:
        FileError: C603.
    """
    groups = {
        group: tuple(node.text() for node in nodes.elements()) for group, nodes in members["groups"].items()
    }
    made = members["made"].made()
    try:
        return Circuit(read_graph(members["graph"]), scores, groups, made)
    except GraphError as error:
        raise members["groups"].wrong(error.message, hint=error.hint) from error


def check_version(members: Mapping[str, Value], wanted: str = FORMAT) -> None:
    """Refuse a header of another format or version.

    Raises:
        FileError: C603, C604.
    """
    if members["format"].text() != wanted:
        raise members["format"].wrong(f"expected {wanted!r}")
    version = members["version"]
    if version.integer() != VERSION:
        raise FileError(
            "C604",
            f"{version.file!r} has format version {str(version.value)[:20]}; this nncirc reads version"
            f" {VERSION}",
            hint="read it with the version of nncirc that wrote it, or compute the circuit again",
        )


def read_graph(value: Value) -> Graph:
    """The graph of a header.

    Raises:
        FileError: C603.
    """
    keys = ["n_layers", "n_heads", "n_kv_heads", "mlps", "parallel", "attention", "split_inputs"]
    graph = value.members(keys, optional=["pos_embed", "positions", "neurons"])
    attention = _ATTENTION.get(graph["attention"].text())
    if attention is None:
        raise graph["attention"].wrong("expected 'heads' or 'layers'")
    n_layers, n_heads, n_kv_heads = (graph[key].integer() for key in keys[:3])
    mlps, parallel, split_inputs = (graph[key].boolean() for key in ("mlps", "parallel", "split_inputs"))
    pos_embed = "pos_embed" in graph and graph["pos_embed"].boolean()
    positions = tuple(p.text() for p in graph["positions"].elements()) if "positions" in graph else ()
    neurons = tuple(_pair(p) for p in graph["neurons"].elements()) if "neurons" in graph else ()
    try:
        shape = Shape(n_layers, n_heads, n_kv_heads, mlps, parallel)
        return Graph(shape, attention, split_inputs, pos_embed, positions, neurons)
    except GraphError as error:
        raise value.wrong(error.message, hint=error.hint) from error


def _pair(value: Value) -> tuple[int, int]:
    cells = value.elements()
    if len(cells) != 2:
        raise value.wrong(f"expected [layer, number of neurons], found {len(cells)} elements")
    return cells[0].integer(), cells[1].integer()


def circuit_in(file: Value) -> Circuit:
    """The circuit of a file's JSON.

    Raises:
        FileError: C603, C604, as `read_circuit`.
    """
    # The version first: what another version holds is not known here.
    check_version(file.open_members(["format", "version"]))
    members = file.members(["format", "version", "graph", "groups", "made", "edges"])
    return circuit_of(members, read_edges(read_graph(members["graph"]), members["edges"]))


def read_edges(graph: Graph, rows: Value) -> dict[Edge, float | None]:
    """The edges of a file, each with its score.

    Raises:
        FileError: C603.
    """
    scores: dict[Edge, float | None] = {}
    for row in rows.elements():
        cells = row.elements()
        if len(cells) != 3:
            raise row.wrong(f"expected [sender, receiver, score], found {len(cells)} elements")
        edge = Edge(cells[0].text(), cells[1].text())
        if edge in scores:
            raise row.wrong(f"duplicate edge {edge}")
        try:
            graph.order(edge)
        except GraphError as error:
            raise row.wrong(error.message, hint=error.hint) from error
        scores[edge] = None if cells[2].value is None else cells[2].number()
    return scores


def _line(value: object, key: str) -> str:
    try:
        _require_plain(value)
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise FileError(
            "C605", f"cannot write the circuit: {key!r} contains {error}", hint="use only JSON values"
        ) from error


def _require_plain(value: object) -> None:
    """Refuse what JSON would silently turn into something else: tuples, and keys that are not strings."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise TypeError(f"the key {key!r}, which is not a string")
            _require_plain(inner)
    elif isinstance(value, list):
        for inner in value:
            _require_plain(inner)
    elif value is not None and not isinstance(value, str | int | float):
        raise TypeError(f"{value!r}, a {type(value).__name__}")
