"""Reference circuits as `.circ` files: read without loading a model, and written from any circuit.

A file is read back before it is written, so that what is left on the disk is the same circuit: the same
graph, edges, scores and groups. How the circuit was made has no place in a script but its comments.
"""

from __future__ import annotations

import json
import os
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from nncirc.circuits.atomic import write_text
from nncirc.circuits.circuit import Circuit
from nncirc.circuits.compare import meaning_of_scores
from nncirc.circuits.errors import FileError
from nncirc.circuits.graph import Graph, owner
from nncirc.circuits.made import Made
from nncirc.circuits.names import Node
from nncirc.circuits.pictures.text import one_line, provenance
from nncirc.circuits.reference import from_paths
from nncirc.dsl.blocks.reference import path_of
from nncirc.dsl.check.checker import CheckResult, check_file, check_text
from nncirc.dsl.check.program import Declaration, Program, Ref
from nncirc.dsl.check.shapes import graph_of, model_sizes

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WIDTH = 100
_TAKEN = ("only_shape", "full")


def read_reference(path: str | os.PathLike[str], name: str | None = None) -> Circuit:
    """The reference circuit of a script, built from its graph's shape; no model is loaded.

    Args:
        path: the script.
        name: the circuit's block; by default the only one of the script that uses `reference`.

    Raises:
        FileError: C601, the script cannot be read; C620, it has errors; C621, it has no such circuit, or
            several and none is named; C622, the circuit cannot be built without its model.
        GraphError: C456, C457, C460, C467, C468: paths, nodes or scores that do not fit the graph.
    """
    file = os.fspath(path)
    return circuit_of(_checked(check_file(file), file), name)


def circuit_of(program: Program, name: str | None = None) -> Circuit:
    """A reference circuit of a checked script; as `read_reference`.

    Raises:
        FileError: C621, C622.
        GraphError: C456, C457, C460, C467, C468.
    """
    file = program.source.name
    found = {each.name: each for each in program.of_kind("circuit") if each.implementation == "reference"}
    own = [each for each in found if "." not in each]
    if name is None and len(own) == 1:
        name = own[0]
    if name is None or name not in found:
        problem = f"has no reference circuit {name!r}" if name else f"has {len(own)} reference circuits"
        known = ", ".join(found) or "none"
        advice = f"name one of its circuits after the file, as in FILE.circ:NAME; it has {known}"
        raise FileError("C621", f"{file!r} {problem}", hint=advice, about=file)
    declaration = found[name]
    groups = {group: list(_members(file, members)) for group, members in declaration.groups.items()}
    return built(_graph(program, declaration), groups, declaration, name)


def built(graph: Graph, groups: Mapping[str, Sequence[str]], declaration: Declaration, name: str) -> Circuit:
    """The circuit of a declaration's paths.

    Raises:
        GraphError: as `from_paths`.
    """
    paths = [path_of(path) for path in declaration.paths]
    circuit = from_paths(graph, groups, paths, [path.score for path in declaration.paths])
    values: Any = declaration.values
    made: Made = {"method": "reference", "cite": values["cite"], "name": name}
    if values["score"] is not None:
        made["score"] = values["score"]
    return replace(circuit, made=made)


def write_reference(circuit: Circuit, path: str | os.PathLike[str], *, name: str = "found") -> None:
    """Write a circuit as a script that others can use, check, draw and compare with.

    Args:
        circuit: the circuit.
        path: the file.
        name: what the circuit is called in it.

    Raises:
        FileError: C605, the file cannot be written; C623, the language has no words for the circuit.
    """
    write_text(path, reference_text(circuit, name=name))


def reference_text(circuit: Circuit, *, name: str = "found") -> str:
    """The script of a circuit.

    Raises:
        FileError: C623, the circuit has no edges, or a group or a graph that a script cannot describe.
    """
    if not circuit.edges:
        raise _no_words("it has no edges, but a reference circuit needs paths", "use a circuit with edges")
    for word in (name, *circuit.groups):
        if not _NAME.fullmatch(word) or word in _TAKEN:
            hint = "a name may have letters, digits and _, and cannot begin with a digit"
            raise _no_words(f"{one_line(word, 40)!r} cannot be a name in a script", hint)
    groups = {
        group: tuple(sorted(members, key=circuit.graph.node_index.__getitem__))
        for group, members in circuit.groups.items()
    }
    text = "\n".join(
        [*_comment(circuit), "", *_inputs(circuit.graph), "", *_block(circuit, name, groups), ""]
    )
    found = check_text(text, name=f"{name}.circ")
    if found.program is None:
        first = next(each for each in found.diagnostics if each.severity == "error")
        raise _no_words(first.message, first.help)
    back = circuit_of(found.program, name)
    if (back.graph, back.scores, back.groups) != (circuit.graph, circuit.scores, groups):
        raise _no_words(f"a script cannot express {circuit.graph}", "write it as JSON")
    return text


# Reading --------------------------------------------------------------------------------------------------


def _checked(result: CheckResult, file: str) -> Program:
    if result.program is not None:
        return result.program
    first = next(each for each in result.diagnostics if each.severity == "error")
    if first.code == "C012":
        raise FileError("C601", f"cannot read {file!r}: {first.message}", about=file)
    problem = f"{file!r} has errors; the first is {first.code}: {first.message}"
    raise FileError("C620", problem, hint="run `nncirc check` to see all of them", about=file)


def _members(file: str, members: Iterable[object]) -> Iterator[str]:
    for member in members:
        if not isinstance(member, Node):
            problem = f"{file!r} selects heads with `where(…)`, which needs a run"
            advice = "run the script, and use the circuit's .json file from its output folder"
            raise FileError("C622", problem, hint=advice, about=file)
        yield str(member)


def _graph(program: Program, circuit: Declaration) -> Graph:
    graph = program.declarations[_name(circuit, "graph")]
    model = program.declarations[_name(graph, "model")]
    sizes = model_sizes(model.implementation, model.values)
    file = program.source.name
    if sizes is None:
        problem = f"the shape of the model {model.name} in {file!r} is unknown until it is loaded"
        advice = f"write `model {model.name} using shape {{`, with its layers and heads"
        raise FileError("C622", problem, hint=advice, about=file)
    if graph.values["neurons"] and sizes.d_mlp is None:
        problem = (
            f"the graph {graph.name} in {file!r} splits MLPs into neurons, whose number is known "
            "only from the weights"
        )
        advice = "run the script, and use the circuit's .json file from its output folder"
        raise FileError("C622", problem, hint=advice, about=file)
    found = graph_of(sizes, graph.values)
    if found is None:
        raise FileError(
            "C622",
            f"the graph {graph.name} in {file!r} is split by token, and the number of tokens is known only "
            "from the prompts",
            hint="write `length = …` in place of `data`, or use the circuit's .json file from a run",
            about=file,
        )
    return found


def _name(declaration: Declaration, key: str) -> str:
    value = declaration.values[key]
    assert isinstance(value, Ref)
    return value.name


# Writing --------------------------------------------------------------------------------------------------


def _no_words(problem: str, hint: str | None) -> FileError:
    return FileError("C623", f"the circuit cannot be written as a script: {problem}", hint=hint)


def _comment(circuit: Circuit) -> list[str]:
    edges = "1 edge" if len(circuit) == 1 else f"{len(circuit):,} edges"
    said = [f"A circuit of {edges} and {len(circuit.nodes)} nodes."]
    if made := provenance(circuit.made):
        said.append(f"{made[0].upper()}{made[1:]}.")
    return [f"# {line}" for line in textwrap.wrap(" ".join(said), _WIDTH)]


def _inputs(graph: Graph) -> list[str]:
    shape = graph.shape
    attention = "heads" if graph.attention == "heads" else "attention"
    sources, mlps = ", ".join(graph.base.sources), "mlps, " if shape.mlps else ""
    by_token = graph.positions == tuple(map(str, range(len(graph.positions))))
    split = []
    if graph.positions:
        split += [f"  positions = {'all' if by_token else _listed(graph.positions, always=True)}"]
        split += [f"  length = {len(graph.positions)}"] if by_token else []
    if graph.neurons:
        split += [f"  neurons = {_listed([str(layer) for layer, _ in graph.neurons], always=True)}"]
    return [
        "model only_shape using shape {",
        f"  layers   = {shape.n_layers}",
        f"  heads    = {shape.n_heads}",
        f"  kv_heads = {shape.n_kv_heads}",
        f"  mlps     = {json.dumps(shape.mlps)}",
        f"  parallel = {json.dumps(shape.parallel)}",
        *([f"  d_mlp    = {graph.neurons[0][1]}"] if graph.neurons else []),
        "}",
        "",
        "graph full using residual {",
        "  model  = only_shape",
        f"  nodes  = [{sources}, {attention}, {mlps}logits]",
        f"  inputs = {'[q, k, v]' if graph.split_inputs else '[]'}",
        *split,
        "}",
    ]


def _block(circuit: Circuit, name: str, groups: Mapping[str, Sequence[str]]) -> Iterator[str]:
    yield f"circuit {name} using reference {{"
    yield "  graph = full"
    cite = circuit.made.get("cite")
    if isinstance(cite, str) and cite.strip():
        yield f"  cite  = {json.dumps(one_line(cite, 200), ensure_ascii=False)}"
    meaning = meaning_of_scores(circuit.made)
    if meaning is not None and meaning.strip():
        yield f"  score = {json.dumps(one_line(meaning, 200), ensure_ascii=False)}"
    if groups:
        yield ""
        yield "  groups {"
        for group, members in groups.items():
            yield from _wrapped(f"{group} = {_listed(members, always=True)}", "    ")
        yield "  }"
    yield ""
    for edge, score in circuit.scores.items():
        if score is not None:
            yield f"  {edge} = {score!r}"
    for senders, receivers in _hops(circuit):
        left, right = _named(senders, groups, ("",)), _named(receivers, groups, ("", ".q", ".k", ".v"))
        yield from _wrapped(f"{_listed(left)} -> {_listed(right)}", "  ")
    yield "}"


def _hops(circuit: Circuit) -> Iterator[tuple[Sequence[str], list[str]]]:
    """Receivers with the same senders, and these: all pairs of a hop are edges without a score.

    In a graph of positions they are all at one, as an edge stays at its position.
    """
    senders: dict[str, list[str]] = {}
    for edge, score in circuit.scores.items():
        if score is None:
            senders.setdefault(edge.receiver, []).append(edge.sender)
    alike: dict[tuple[str, ...], dict[str, None]] = {}
    for receiver, names in senders.items():
        alike.setdefault(tuple(names), {})[receiver] = None
    for common, receivers in alike.items():
        yield common, _whole(circuit.graph, receivers)


def _whole(graph: Graph, receivers: Mapping[str, None]) -> list[str]:
    """Heads that are entered by all their inputs are written without them."""
    found: dict[str, None] = {}
    covered: set[str] = set()
    for node, at in dict.fromkeys((owner(each), each.partition("@")[2]) for each in receivers):
        whole = node.partition("@")[0]
        inputs = [f"{each}@{at}" if at else each for each in graph.base.inputs.get(whole, ())]
        if len(inputs) > 1 and all(each in receivers for each in inputs):
            found[node] = None
            covered.update(inputs)
    return [*found, *(each for each in receivers if each not in covered)]


def _named(terms: Sequence[str], groups: Mapping[str, Sequence[str]], inputs: Sequence[str]) -> list[str]:
    """The terms, with whole groups by their names."""
    left = dict.fromkeys(terms)
    names = []
    for group, members in groups.items():
        for which in inputs:
            entered = [_by(member, which) for member in members]
            if all(each in left for each in entered):
                names.append(f"{group}{which}")
                for each in entered:
                    del left[each]
    return [*names, *left]


def _by(node: str, which: str) -> str:
    """One input of a node: `L2H1.k@S.2`."""
    name, at, position = node.partition("@")
    return f"{name}{which}{at}{position}"


def _listed(terms: Sequence[str], *, always: bool = False) -> str:
    return terms[0] if len(terms) == 1 and not always else f"[{', '.join(terms)}]"


def _wrapped(text: str, indent: str) -> list[str]:
    # Only after a comma of a list may a line end.
    lines = textwrap.wrap(
        re.sub(r"(?<!,) ", "\u00a0", text),
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace("\u00a0", " ") for line in lines]
