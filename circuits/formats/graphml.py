"""Circuits as GraphML, for Gephi, Cytoscape, yEd and igraph: what `to_networkx` makes, as XML.

Nodes and edges carry the attributes that `nncirc.circuits.formats.networks` names. Whoever edits such a file
elsewhere must keep the graph's attribute `nncirc`, which records which model's graph it is.
"""

from __future__ import annotations

import os
import re
from xml.etree.ElementTree import ParseError

from nncirc.circuits.arguments import public
from nncirc.circuits.atomic import require_ending, write_text
from nncirc.circuits.circuit import Circuit
from nncirc.circuits.errors import FileError
from nncirc.circuits.formats.json_input import read_utf8
from nncirc.circuits.formats.networks import from_networkx, to_networkx
from nncirc.circuits.graph import Graph


@public
def write_graphml(circuit: Circuit, path: str | os.PathLike[str]) -> None:
    """Write a circuit as GraphML; the same circuit gives the same bytes. The name ends in `.graphml`.

    Raises:
        FileError: C605, the file cannot be written, or `made` contains something that JSON cannot express;
            C631, its name has another extension.
    """
    require_ending(path, [".graphml"])
    import networkx as nx

    write_text(path, "\n".join(nx.generate_graphml(to_networkx(circuit))) + "\n")


@public
def read_graphml(path: str | os.PathLike[str], graph: Graph | None = None) -> Circuit:
    """Read a circuit from GraphML.

    Args:
        path: the file.
        graph: the graph that the circuit belongs to; by default the one that `write_graphml` noted.

    Raises:
        FileError: C601, the file cannot be read; C602 to C604, what was noted has been changed into something
            else; C632, it is not GraphML.
        GraphError: C452, no graph is given or noted; C454, an edge is not in the graph, or occurs twice;
            C458, a score is not finite.
    """
    import networkx as nx

    name = os.fspath(path)
    text = read_utf8(path, lambda why: _no_graphml(name, why))
    # Only UTF-8 has been looked at: a parser believes what is declared, and guesses where nothing is.
    declared = re.match(r"\ufeff?<\?xml[^>]*encoding\s*=\s*[\"']([^\"']*)", text)
    if "\0" in text or (declared and declared[1].lower() not in ("utf-8", "utf8", "us-ascii", "ascii")):
        raise _no_graphml(name, "it is not UTF-8")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise _no_graphml(name, "it declares entities, which GraphML does not need")
    try:
        network = nx.parse_graphml(text, force_multigraph=True)
    except ParseError as error:
        raise _no_graphml(name, str(error)) from error
    except (nx.NetworkXException, ValueError, KeyError, TypeError, AttributeError) as error:
        # What networkx raises of files that are XML and break the rules of GraphML.
        raise _no_graphml(name, f"{error}" or type(error).__name__) from error
    if not network.is_directed():
        raise _no_graphml(name, "its edges are undirected")
    return from_networkx(network, graph)


def _no_graphml(name: str, why: str) -> FileError:
    return FileError(
        "C632",
        f"{name!r} is not GraphML: {why.strip()[:200]}",
        hint="check that the file is complete and in this format",
    )
