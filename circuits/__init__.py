"""The computation graph, circuits and their algebra, serialisation and pictures. No torch here.

Names are loaded when they are first used (PEP 562), so that importing this package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nncirc.circuits.areas import cmd, cpr, mib_sizes
    from nncirc.circuits.atomic import write_bytes, write_text
    from nncirc.circuits.chance import Null, hypergeometric_tail, overlap_p, random_circuits
    from nncirc.circuits.circuit import Circuit, difference, intersection, keep, prune, union
    from nncirc.circuits.collapse import (
        collapse_to,
        join_heads,
        join_inputs,
        join_neurons,
        join_positions,
        regroup,
        ungroup,
    )
    from nncirc.circuits.comparison import Comparison, compare
    from nncirc.circuits.errors import (
        ArgumentError,
        DataError,
        FileError,
        GraphError,
        MethodError,
        ModelError,
        NncircError,
        ResourceError,
        ScriptError,
    )
    from nncirc.circuits.formats.eap_ig import read_eap_ig, write_eap_ig
    from nncirc.circuits.formats.graphml import read_graphml, write_graphml
    from nncirc.circuits.formats.json import circuit_from_json, circuit_to_json, read_circuit, write_circuit
    from nncirc.circuits.formats.mib import read_submission
    from nncirc.circuits.formats.networks import from_networkx, to_networkx
    from nncirc.circuits.graph import Graph, Shape, owner
    from nncirc.circuits.intervals import Estimate, Resampling, bootstrap
    from nncirc.circuits.measures import Agreement, agreement, f1, jaccard, precision, recall
    from nncirc.circuits.names import Edge, Node
    from nncirc.circuits.reference import expand, from_paths
    from nncirc.circuits.roc import Roc, RocPoint, node_scores, roc_of_circuits, roc_of_scores

__all__ = [
    "Agreement",
    "ArgumentError",
    "Circuit",
    "Comparison",
    "DataError",
    "Edge",
    "Estimate",
    "FileError",
    "Graph",
    "GraphError",
    "MethodError",
    "ModelError",
    "NncircError",
    "Node",
    "Null",
    "Resampling",
    "ResourceError",
    "Roc",
    "RocPoint",
    "ScriptError",
    "Shape",
    "agreement",
    "bootstrap",
    "circuit_from_json",
    "circuit_to_json",
    "cmd",
    "collapse_to",
    "compare",
    "cpr",
    "difference",
    "expand",
    "f1",
    "from_networkx",
    "from_paths",
    "hypergeometric_tail",
    "intersection",
    "jaccard",
    "join_heads",
    "join_inputs",
    "join_neurons",
    "join_positions",
    "keep",
    "mib_sizes",
    "node_scores",
    "overlap_p",
    "owner",
    "precision",
    "prune",
    "random_circuits",
    "read_circuit",
    "read_eap_ig",
    "read_graphml",
    "read_submission",
    "recall",
    "regroup",
    "roc_of_circuits",
    "roc_of_scores",
    "to_networkx",
    "ungroup",
    "union",
    "write_bytes",
    "write_circuit",
    "write_eap_ig",
    "write_graphml",
    "write_text",
]

_MODULES = {
    "atomic": ("write_bytes", "write_text"),
    "circuit": ("Circuit", "difference", "intersection", "keep", "prune", "union"),
    "collapse": (
        "collapse_to",
        "join_heads",
        "join_inputs",
        "join_neurons",
        "join_positions",
        "regroup",
        "ungroup",
    ),
    "comparison": ("Comparison", "compare"),
    "formats.eap_ig": ("read_eap_ig", "write_eap_ig"),
    "errors": (
        "ArgumentError",
        "DataError",
        "FileError",
        "GraphError",
        "MethodError",
        "ModelError",
        "NncircError",
        "ResourceError",
        "ScriptError",
    ),
    "formats.json": ("circuit_from_json", "circuit_to_json", "read_circuit", "write_circuit"),
    "graph": ("Graph", "Shape", "owner"),
    "formats.graphml": ("read_graphml", "write_graphml"),
    "measures": ("Agreement", "agreement", "f1", "jaccard", "precision", "recall"),
    "formats.mib": ("read_submission",),
    "formats.networks": ("from_networkx", "to_networkx"),
    "names": ("Edge", "Node"),
    "reference": ("expand", "from_paths"),
    "areas": ("cmd", "cpr", "mib_sizes"),
    "chance": ("Null", "hypergeometric_tail", "overlap_p", "random_circuits"),
    "intervals": ("Estimate", "Resampling", "bootstrap"),
    "roc": ("Roc", "RocPoint", "node_scores", "roc_of_circuits", "roc_of_scores"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
