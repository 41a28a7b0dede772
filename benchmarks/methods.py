"""The methods that are measured, each as a function of a contrast and a graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from nncirc.circuits.graph import Graph
from nncirc.circuits.names import Positions
from nncirc.engine.methods.acdc import acdc, acdc_family
from nncirc.engine.methods.activation_patching import activation_patching
from nncirc.engine.methods.attribution_patching import attribution_patching, node_attribution
from nncirc.engine.methods.scores import NodeScores
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import Base

LOGIT_DIFF, KL = Metric("logit_diff"), Metric("kl_divergence")

Method: TypeAlias = Callable[[Contrast, Graph], Any]


def attribution(steps: int, base: Base = "clean") -> Method:
    """All edges' attribution; integrated gradients with more than one step."""
    return lambda contrast, graph: attribution_patching(contrast, graph, LOGIT_DIFF, steps=steps, base=base)


def nodes(contrast: Contrast, graph: Graph) -> NodeScores:
    """All nodes' attribution, the gradient taken on the corrupted run."""
    return node_attribution(contrast, graph, LOGIT_DIFF, base="corrupted")


def activation(positions: Positions) -> Method:
    """Every node noised, at every one of these positions."""
    return lambda contrast, graph: activation_patching(
        contrast, graph, LOGIT_DIFF, direction="noise", positions=positions
    )


def discovery(threshold: float, metric: Metric = KL) -> Method:
    """ACDC, by KL divergence if nothing else is said."""
    return lambda contrast, graph: acdc(contrast, graph, metric, threshold=threshold)


def family(thresholds: tuple[float, ...]) -> Method:
    """ACDC at several thresholds together."""
    return lambda contrast, graph: acdc_family(contrast, graph, KL, thresholds=thresholds)
