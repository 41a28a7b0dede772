"""What of a model activation patching puts into another run, and what its rows are called.

`outputs` are what the senders of a graph write. The rest is inside a layer, or between layers:

    L2H1.q, L2H1.k, L2H1.v      a head's query, key and value; under grouped-query attention L2KV0.k, L2KV0.v
    L2H1.pattern                a head's attention pattern
    L2.resid_pre                the residual stream before layer 2
    L2.resid_mid                between its attention and its MLP
    L2.resid_post               after it
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias, get_args

from nncirc.circuits.graph import Graph, Shape

Part: TypeAlias = Literal["outputs", "q", "k", "v", "pattern", "resid_pre", "resid_mid", "resid_post"]

PARTS: tuple[Part, ...] = get_args(Part)
OUTPUTS: tuple[Part, ...] = ("outputs",)
INPUTS: tuple[Part, ...] = ("q", "k", "v")
STREAM: tuple[Part, ...] = ("resid_pre", "resid_mid", "resid_post")


def units(graph: Graph, part: Part) -> tuple[str, ...]:
    """A layer's heads or key-value groups that have a query, key, value or pattern each: `H0`, `KV0`.

    One that is "" for all of them, where a graph has whole layers of attention.
    """
    shape = graph.shape
    if graph.attention == "layers" or part in STREAM:
        return ("",)
    grouped = part in ("k", "v") and shape.n_kv_heads < shape.n_heads
    count = shape.n_kv_heads if grouped else shape.n_heads
    return tuple(f"{'KV' if grouped else 'H'}{index}" for index in range(count))


def rows_of(graph: Graph, of: Iterable[Part]) -> list[str]:
    """The names of what is patched, part by part, in each in the order of the computation."""
    found: list[str] = []
    for part in of:
        if part == "outputs":
            found += graph.senders
        else:
            layers = range(graph.shape.n_layers)
            found += [f"L{layer}{unit}.{part}" for layer in layers for unit in units(graph, part)]
    return found


def without_middle(shape: Shape, of: Sequence[str]) -> str | None:
    """Why a model has no `resid_mid` of its own, if that is asked for."""
    if "resid_mid" not in of:
        return None
    if not shape.mlps:
        return "it has no MLPs, so nothing lies between attention and MLP"
    return "its attention and MLP read the same residual stream" if shape.parallel else None
