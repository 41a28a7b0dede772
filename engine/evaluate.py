"""How much of a metric a circuit keeps."""

from __future__ import annotations

from collections.abc import Iterable

from jaxtyping import Float
from torch import Tensor

from nncirc.circuits.circuit import Circuit
from nncirc.circuits.graph import Graph
from nncirc.circuits.nodes import Edge
from nncirc.engine.contrast import Contrast
from nncirc.engine.forward import Mask
from nncirc.engine.metrics import Metric


def cut_metric(
    contrast: Contrast, graph: Graph, metric: Metric, cut: Iterable[Edge]
) -> Float[Tensor, " prompt"]:
    """The metric of every prompt with some edges cut, not normalised, in float64."""
    mask = Mask.of(contrast.model, graph, [cut])
    return contrast.measure(metric, lambda batch, where: contrast.masked(graph, batch, where, mask))[0]


def circuit_metric(contrast: Contrast, circuit: Circuit, metric: Metric) -> Float[Tensor, " prompt"]:
    """The metric of every prompt with all edges outside the circuit cut, not normalised, in float64."""
    outside = (edge for edge in circuit.graph.edges() if edge not in circuit)
    return cut_metric(contrast, circuit.graph, metric, outside)


def faithfulness(contrast: Contrast, circuit: Circuit, metric: Metric) -> float:
    """The part of the metric that a circuit keeps: 0 for no edges, 1 for all of them.

    (m(circuit) − m(no edge)) / (m(model) − m(no edge)), of means over prompts (Wang et al. 2022;
    Hanna et al. 2024). It can be above 1 or below 0. For `kl_divergence`, 1 − KL(circuit) / KL(no edge).

    Raises:
        MethodError: C522, clean and corrupted runs do not differ by this metric.
    """
    kept = float(circuit_metric(contrast, circuit, metric).mean())
    return float(contrast.normalized(metric)(kept))
