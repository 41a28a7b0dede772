"""ROC curves of circuits against a reference (Conmy et al. 2023): true over false positive rate.

A point is a circuit: the reference's share that it has, over the share that it has of what the reference
lacks. Between two points nothing was measured, and the curve is pessimistic there: it stays at the lower
rate until the next point (steps). So the area under it (AUC) is a lower bound, and what scores equally is
counted as if its false positives came first. `auc_linear` joins the points by straight lines instead; for
scores it is the probability that a part of the reference scores higher than another one, ties counting half.
The corners are points of every curve: the circuit of nothing and that of everything.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from nncirc.circuits.arguments import public, require_lengths
from nncirc.circuits.circuit import Circuit
from nncirc.circuits.errors import MethodError
from nncirc.circuits.graph import owner
from nncirc.circuits.measures import By, agreement, members
from nncirc.circuits.names import Edge


@dataclass(frozen=True, slots=True)
class RocPoint:
    """One circuit of a ROC curve.

    Attributes:
        false_positive_rate: the share that it has of what the reference lacks, 0 to 1.
        true_positive_rate: the share that it has of the reference (recall), 0 to 1.
        threshold: the least score or the threshold that makes the circuit; None where it has none.
    """

    false_positive_rate: float
    true_positive_rate: float
    threshold: float | None = None


@public
@dataclass(frozen=True, slots=True)
class Roc:
    """A ROC curve: points from the fewest false positives to the most, corners included."""

    points: tuple[RocPoint, ...]

    @property
    def auc(self) -> float:
        """The area under the steps, 0 to 1: at every false positive rate the best circuit not beyond it."""
        area, best = 0.0, 0.0
        for here, after in pairwise(self.points):
            best = max(best, here.true_positive_rate)
            area += best * (after.false_positive_rate - here.false_positive_rate)
        return area

    @property
    def auc_linear(self) -> float:
        """The area under straight lines between the points, 0 to 1."""
        pairs = pairwise(self.points)
        return math.fsum(
            (b.false_positive_rate - a.false_positive_rate)
            * (a.true_positive_rate + b.true_positive_rate)
            / 2
            for a, b in pairs
        )


@public
def roc_of_circuits(
    circuits: Iterable[Circuit],
    reference: Circuit,
    *,
    by: By = "edges",
    thresholds: Sequence[float | None] | None = None,
) -> Roc:
    """The ROC curve of several circuits, such as a family of thresholds.

    Args:
        circuits: on one graph; they need not be nested.
        reference: what counts as right.
        by: what is counted.
        thresholds: what the points are called, one for each circuit.

    Raises:
        MethodError: C555, the reference is empty or complete, so that one of the rates is undefined.
        GraphError: C455, C462 as of `agreement`.
    """
    circuits = tuple(circuits)
    named: Sequence[float | None] = [None] * len(circuits) if thresholds is None else thresholds
    require_lengths("`thresholds`", [named], len(circuits), "circuit")
    found = [RocPoint(0.0, 0.0), RocPoint(1.0, 1.0)]
    ours, universe = members(reference, by)
    _defined(len(ours), universe, by)
    for circuit, threshold in zip(circuits, named, strict=True):
        counts = agreement(circuit, reference, by=by)
        found.append(RocPoint(counts.false_positive_rate, counts.recall, threshold))
    found.sort(key=lambda point: (point.false_positive_rate, point.true_positive_rate))
    return Roc(tuple(found))


@public
def roc_of_scores(scores: Mapping[str, float] | Mapping[Edge, float], right: Iterable[str | Edge]) -> Roc:
    """The curve of all circuits that keep what scores at least so much.

    Every score is a threshold; circuits are not pruned, so that each contains the one before.

    Args:
        scores: what a node or an edge counts, highest first. To rank by magnitude, give magnitudes.
        right: the nodes or edges of the reference; what has no score is passed over.

    Raises:
        MethodError: C555, all or none of what is scored is right.

    >>> roc_of_scores({"L0H0": 0.9, "L0H1": 0.5, "MLP0": 0.1}, ["L0H0", "MLP0"]).auc
    0.5
    """
    wanted = set(right) & set(scores)
    _defined(len(wanted), len(scores), "scores")
    by_score: dict[float, list[bool]] = {}
    for each, score in scores.items():
        by_score.setdefault(score, []).append(each in wanted)
    found = [RocPoint(0.0, 0.0)]
    true = false = 0
    for score in sorted(by_score, reverse=True):
        true += sum(by_score[score])
        false += len(by_score[score]) - sum(by_score[score])
        found.append(RocPoint(false / (len(scores) - len(wanted)), true / len(wanted), score))
    return Roc(tuple(found))


@public
def node_scores(scores: Mapping[Edge, float]) -> dict[str, float]:
    """What edges say of nodes: the highest score of an edge that touches the node.

    A circuit of the edges that score at least so much has then just the nodes that do.
    """
    found: dict[str, float] = {}
    for edge, score in scores.items():
        for node in (edge.sender, owner(edge.receiver)):
            found[node] = max(score, found.get(node, -math.inf))
    return found


def _defined(right: int, universe: int, by: str) -> None:
    if not 0 < right < universe:
        raise MethodError(
            "C555",
            f"a ROC curve needs a reference that is neither empty nor complete; this one has {right} of"
            f" {universe} {by}",
            hint="use a reference that is part of the graph, or compare by edges",
        )
