"""Circuits from and to files of every known format, which a file's ending names.

.json      ours: a circuit, or the scores of edges that a run has written; or that of the EAP-IG package
.circ      a script with a reference circuit; FILE.circ:NAME where it has several
.pt        tables of the EAP-IG package, which are never unpickled (read only)
.graphml   GraphML
.csv       a table of edges, or of nodes' scores (written only)
a folder   a submission to MIB's circuit track
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nncirc.circuits.atomic import make_folder, require_ending
from nncirc.circuits.circuit import Circuit
from nncirc.circuits.door import is_folder, require_regular
from nncirc.circuits.errors import FileError
from nncirc.circuits.formats.csv import read_edges, write_edges, write_nodes
from nncirc.circuits.formats.eap_ig import read_eap_ig, write_eap_ig
from nncirc.circuits.formats.graphml import read_graphml, write_graphml
from nncirc.circuits.formats.json import EDGE_SCORES, NODE_SCORES, circuit_in, scores_of, write_circuit
from nncirc.circuits.formats.json_input import Value, cannot_read, read_json
from nncirc.circuits.formats.mib import IMPORTANCES, read_submission
from nncirc.circuits.graph import Graph
from nncirc.dsl.references import read_reference, write_reference

_READ = (".json", ".circ", ".pt", ".graphml", ".csv")
_WRITTEN = (".json", ".circ")
_EXPORTED = (".circ", ".json", ".graphml", ".csv")
_RESULTS = {"nncirc curve": "a curve", "nncirc table": "a comparison", "nncirc run": "the record of a run"}


def read_any(
    path: str,
    *,
    like: Graph | None = None,
    n_kv_heads: int | None = None,
    everything: bool = False,
    scores: bool = False,
) -> Circuit:
    """The circuit of a file of any format.

    Args:
        path: the file; `FILE.circ:NAME` names one of a script's circuits.
        like: the graph of a table, and of GraphML that does not name its own.
        n_kv_heads: of a file of the EAP-IG package: the model's key-value heads.
        everything: of a file of the EAP-IG package: all edges with their scores, not only the circuit's. So
            in any case of a file that is called `importances`, as in MIB's submissions.
        scores: take the scores of all edges too, which a run or a submission has in place of a circuit; they
            become a circuit of all edges.

    Raises:
        FileError: C601 to C604, C620 to C622, C630, C632, C633: the file is not what its ending says; C631,
            its ending names no format; C634, a table is given without a graph; C637, the file has the scores
            of all edges, and these are not asked for.
        GraphError: edges, nodes or scores that do not fit the graph.
    """
    script, _, name = path.partition(".circ:")
    if name:
        return read_reference(f"{script}.circ", name)
    ending = require_ending(path, _READ)
    if Path(path).stem == IMPORTANCES:
        if not scores:
            raise _no_circuit(path)
        everything = True
    if ending == ".circ":
        return read_reference(path)
    if ending == ".pt":
        return read_eap_ig(path, n_kv_heads=n_kv_heads, everything=everything)
    if ending == ".graphml":
        return read_graphml(path, like)
    if ending == ".csv":
        if like is None:
            _require(path)
            problem = f"{path!r} does not record which graph its edges belong to"
            advice = "add --like CIRCUIT, a circuit on the same graph"
            raise FileError("C634", problem, hint=advice, about=path)
        return read_edges(path, like)
    file = read_json(path, what="a circuit file")
    kind = file.value.get("format") if isinstance(file.value, dict) else None
    if kind == EDGE_SCORES:
        if not scores:
            raise _no_circuit(path)
        return scores_of(file)
    if kind == NODE_SCORES:
        raise file.wrong("it contains scores of nodes, but a circuit has edges", hint="export it as .csv")
    if isinstance(kind, str) and kind in _RESULTS:
        raise file.wrong(f"it contains {_RESULTS[kind]}, not a circuit", hint="give the file of a `circuit`")
    if kind is None and isinstance(file.value, dict) and "cfg" in file.value:
        return read_eap_ig(path, n_kv_heads=n_kv_heads, everything=everything)
    return circuit_in(file)


def import_file(
    source: str,
    target: str,
    *,
    like: Graph | None = None,
    n_kv_heads: int | None = None,
    everything: bool = False,
) -> list[str]:
    """Bring another program's circuit here, as `.json` or `.circ`; of a submission to MIB, a file an entry.

    A folder with a single entry, or an entry by itself, may become a file too.

    Args:
        source: the file, or the submission's folder.
        target: the file, or the folder for the circuits of a submission.
        like: as for `read_any`, like the rest.
        n_kv_heads: the model's key-value heads.
        everything: all edges with their scores.

    Returns:
        The files that were written.

    Raises:
        FileError: as `read_any`; C605, a file cannot be written; C635, the folder is no submission, or has
            more than the one circuit that a file can hold; C636, `.pt` files are not written.
        GraphError: as `read_any`.
    """
    if is_folder(source):
        circuits = read_submission(source, n_kv_heads=n_kv_heads)
        if Path(target).suffix.lower() in _WRITTEN:
            if len(circuits) > 1:
                problem = f"{source!r} has {len(circuits)} circuits, but {target!r} can hold only one"
                advice = f"give a folder, or choose one entry: {', '.join(sorted(circuits)[:5])}"
                raise FileError("C635", problem, hint=advice, about=source)
            _write(next(iter(circuits.values())), target)
            return [target]
        _make_folder(target)
        written = {os.path.join(target, f"{name}.json"): circuit for name, circuit in circuits.items()}  # noqa: PTH118
        for path, circuit in written.items():
            write_circuit(circuit, path)
        return [*written]
    require_ending(target, _WRITTEN)
    if not Path(source).suffix:
        _require(source)  # a folder that is not there
    scores = everything or Path(source).stem == IMPORTANCES
    circuit = read_any(source, like=like, n_kv_heads=n_kv_heads, everything=everything, scores=scores)
    _write(circuit, target)
    return [target]


def _write(circuit: Circuit, target: str) -> None:
    if Path(target).suffix.lower() == ".circ":
        write_reference(circuit, target, name=_identifier(target))
    else:
        write_circuit(circuit, target)


def export_file(source: str, target: str, *, d_model: int | None = None) -> str:
    """Write a circuit or scores of ours for another program, in the format that the target's ending names.

    `.json` is the format of the EAP-IG package; a folder becomes an entry of a submission to MIB, with the
    file `importances.json`.

    Args:
        source: a circuit, or the scores of edges; for a `.csv` also the scores of nodes.
        target: the file or folder.
        d_model: width of the model's residual stream, which the EAP-IG package's format wants; by default
            what the circuit says of its model.

    Returns:
        The file that was written.

    Raises:
        FileError: as `read_any`; C605, the file cannot be written; C623, a script cannot say the circuit;
            C634, the width is missing, or is not what the circuit says; C636, `.pt` files are not written.
        GraphError: C459, the format has no room for the circuit's graph.
    """
    folder = is_folder(target) or target.endswith(("/", os.sep))
    ending = ".json" if folder else require_ending(target, _EXPORTED)
    if ending == ".csv" and (nodes := _scores_of_nodes(source)) is not None:
        write_nodes(nodes, target)
        return target
    # A script has circuits; the other formats have edges with their scores.
    circuit = read_any(source, scores=ending != ".circ")
    if ending == ".json":
        d_model = _width(circuit.made, d_model, target)
        if folder:
            _make_folder(target)
            target = str(Path(target) / f"{IMPORTANCES}.json")
        write_eap_ig(circuit, target, d_model=d_model)
    elif ending == ".circ":
        write_reference(circuit, target, name=_identifier(target))
    elif ending == ".graphml":
        write_graphml(circuit, target)
    else:
        write_edges(circuit, target)
    return target


def _scores_of_nodes(path: str) -> Value | None:
    if Path(path).suffix != ".json":
        return None
    file = read_json(path, what="scores of nodes")
    return file if isinstance(file.value, dict) and file.value.get("format") == NODE_SCORES else None


def _width(made: Mapping[str, Any], given: int | None, target: str) -> int:
    """Width of the residual stream: what is given, or what the circuit says of its model."""
    said = set(_widths(made))
    if given is None and len(said) != 1:
        problem = "the EAP-IG format needs the width of the residual stream"
        raise FileError("C634", problem, hint="add --d-model 768 (GPT-2 small)", about=target)
    if given is not None and len(said) == 1 and given not in said:
        problem = f"the circuit's model has a residual stream of width {next(iter(said))}, not {given}"
        raise FileError("C634", problem, hint="remove --d-model: the circuit records it", about=target)
    return given or next(iter(said))


def _widths(made: Mapping[str, Any]) -> Iterator[int]:
    """The widths that a circuit's provenance tells, its own and those of what it was made from."""
    if isinstance(width := made.get("d_model"), int):
        yield width
    inner = made.get("of")
    for each in (made.get("model_made"), made.get("scores"), *(inner if isinstance(inner, list) else ())):
        if isinstance(each, Mapping):
            yield from _widths(each)


def _require(path: str) -> None:
    try:
        require_regular(path)
    except OSError as error:
        raise cannot_read(path, error) from error


def _no_circuit(path: str) -> FileError:
    return FileError(
        "C637",
        f"{path!r} contains scores of all edges, not a circuit",
        hint="select edges in the script with `circuit quick using top "
        "{` or `using threshold {`, and use the "
        "file that a run then writes; to write a table of scores, use `export --to scores.csv`",
        about=path,
    )


def _identifier(path: str) -> str:
    """The file's name as a name in a script: `found-2.circ` as `found_2`."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", Path(path).stem)
    return f"circuit_{name}" if name[:1].isdigit() or name in ("", "embed", "logits") else name


def _make_folder(path: str) -> None:
    try:
        make_folder(path)
    except OSError as error:
        problem = f"cannot write {path!r}: {error.strerror or error}"
        advice = "check that the name is not taken by a file, and that the folder is writable"
        raise FileError("C605", problem, hint=advice, about=path) from error
