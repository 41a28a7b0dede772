"""Faithfulness over circuit size as one number: CPR and CMD (Mueller et al. 2025, MIB).

    f(k) = (m(C_k) − m(∅)) / (m(M) − m(∅))      CPR = ∫ f(k) dk      CMD = ∫ |1 − f(k)| dk

over the share k of the graph's edges that the circuit C_k may have, by the trapezoid rule over ten shares
from 0.1 % to 100 %. The integral starts at the smallest share, so a circuit that is the whole model at every
size has CPR 0.999 and CMD 0. CPR rewards whatever raises the metric, and f above 1 does not lower it; CMD
rewards doing what the model does, and counts f above 1 against the circuit.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from nncirc.circuits.arguments import public
from nncirc.circuits.errors import MethodError
from nncirc.circuits.graph import Graph

SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""MIB's circuit sizes, as shares of the graph's edges."""


@public
def mib_sizes(graph: Graph) -> tuple[int, ...]:
    """MIB's circuit sizes in edges, rounded down; small graphs have sizes of no edge.

    >>> from nncirc.circuits.graph import Shape
    >>> mib_sizes(Graph(Shape(12, 12, 12)))
    (32, 64, 162, 324, 649, 1624, 3249, 6498, 16245, 32491)
    """
    # In thousandths, which are whole: 0.57 * 100 would be 56.99...
    return tuple(round(share * 1000) * graph.n_edges // 1000 for share in SHARES)


@public
def cpr(faithfulness: Sequence[float], shares: Sequence[float] = SHARES) -> float:
    """The circuit performance ratio: the area under faithfulness, higher is better.

    Args:
        faithfulness: of the circuit of each share, 0 corrupted and 1 clean.
        shares: the parts of the edges that the circuits were allowed, increasing.

    Raises:
        MethodError: C554, not one value for each share, or fewer than two.
    """
    return _area(faithfulness, shares)


@public
def cmd(faithfulness: Sequence[float], shares: Sequence[float] = SHARES) -> float:
    """The circuit-model distance: the area between faithfulness and 1, lower is better.

    Arguments and errors as of `cpr`. As in MIB the trapezoids join |1 − f| and not f.
    """
    return _area([abs(1 - f) for f in faithfulness], shares)


def _area(values: Sequence[float], shares: Sequence[float]) -> float:
    if len(values) != len(shares) or len(shares) < 2:
        raise MethodError(
            "C554",
            f"an area needs one value per size and at least 2 sizes, found {len(values)} values and"
            f" {len(shares)} sizes",
            hint="measure faithfulness at the sizes of mib_sizes",
        )
    points = list(zip(shares, values, strict=True))
    return sum((x1 - x0) * (y0 + y1) / 2 for (x0, y0), (x1, y1) in pairwise(points))
