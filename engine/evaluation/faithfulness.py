"""How much of a metric a circuit keeps, prompt by prompt and with intervals over prompts.

Everything is measured in one direction: the model runs on clean prompts, and each edge outside the circuit
carries the corruption's value (noising). On that scale 0 is the corrupted run and 1 the clean one. The areas
over circuit sizes, CPR and CMD, are in `circuits.areas`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

from jaxtyping import Float
from torch import Tensor

from nncirc.circuits.annotations import SOME, Positive
from nncirc.circuits.arguments import public, require_arguments, require_lengths
from nncirc.circuits.chance import Null, random_circuits
from nncirc.circuits.circuit import Circuit
from nncirc.circuits.graph import Graph
from nncirc.circuits.intervals import USUAL, Estimate, Resampling, bootstrap
from nncirc.circuits.names import Edge
from nncirc.circuits.rounding import decimals
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.masked_forward import Mask
from nncirc.engine.runs.normalization import between


@public
def cut_metric(
    contrast: Contrast, graph: Graph, metric: Metric, cut: Iterable[Edge]
) -> Float[Tensor, " prompt"]:
    """The metric of every prompt with some edges cut, not normalised, in float64."""
    mask = Mask.of(contrast.model, graph, [cut])
    return contrast.measure(metric, lambda batch, where: contrast.masked(graph, batch, where, mask))[0]


@public
def circuit_metric(contrast: Contrast, circuit: Circuit, metric: Metric) -> Float[Tensor, " prompt"]:
    """The metric of every prompt with all edges outside the circuit cut, not normalised, in float64."""
    outside = (edge for edge in circuit.graph.edges() if edge not in circuit)
    return cut_metric(contrast, circuit.graph, metric, outside)


@public
def faithfulness(contrast: Contrast, circuit: Circuit, metric: Metric) -> float:
    """The part of the metric that a circuit keeps: 0 for no edges, 1 for all of them.

    (m(circuit) − m(no edge)) / (m(model) − m(no edge)), of means over prompts (Wang et al. 2022;
    Hanna et al. 2024). It can be above 1 or below 0. For `kl_divergence`, 1 − KL(circuit) / KL(no edge).

    Raises:
        MethodError: C522, clean and corrupted runs do not differ by this metric.
    """
    kept = float(circuit_metric(contrast, circuit, metric).mean())
    return float(contrast.normalized(metric)(kept))


@public
@dataclass(frozen=True, slots=True)
class Baseline:
    """A metric prompt by prompt on the two runs between which a circuit lies, not normalised.

    Attributes:
        metric: what was measured.
        clean: on the clean run.
        corrupt: on the corrupted run, or with every sender ablated.
    """

    metric: Metric
    clean: Annotated[Sequence[float], SOME]
    corrupt: Annotated[Sequence[float], SOME]

    def __post_init__(self) -> None:
        require_lengths(
            "the numbers of `clean` and `corrupt`", [self.clean, self.corrupt], len(self.clean), "prompt"
        )

    @classmethod
    @public
    def of(cls, contrast: Contrast, metric: Metric) -> Baseline:
        """The two runs of a contrast."""
        clean, corrupt = contrast.clean_values(metric), contrast.corrupt_values(metric)
        return cls(metric, clean.tolist(), corrupt.tolist())

    @public
    def faithfulness(self, values: Sequence[float], how: Resampling = USUAL) -> Estimate:
        """The faithfulness of what a circuit leaves of the metric, prompt by prompt, with its interval.

        A resample takes the same prompts of the circuit and of the two runs, and is a ratio of means itself.

        Raises:
            MethodError: C522, clean and corrupted runs do not differ by this metric.
        """
        return self.statistic([values], lambda kept: kept, how)

    @public
    def statistic(
        self, rows: Sequence[Sequence[float]], function: Callable[..., float], how: Resampling
    ) -> Estimate:
        """A function of the faithfulness of several circuits, with its interval; errors as above.

        Args:
            rows: for every circuit the metric of every prompt.
            function: from the circuits' faithfulness, one argument for each, to the number.
            how: the interval.
        """
        require_lengths("the numbers of each circuit", rows, len(self.clean), "prompt")
        require_arguments("`function`", function, len(rows))
        normal = between(self.metric, self.clean, self.corrupt)

        def of_means(clean: float, corrupt: float, *kept: float) -> float | None:
            if not normal.apart(clean, corrupt):
                return None
            return function(*((each - corrupt) / (clean - corrupt) for each in kept))

        return bootstrap([self.clean, self.corrupt, *rows], of_means, how)

    @public
    def mean(self, values: Sequence[float], how: Resampling = USUAL) -> Estimate:
        """The mean over prompts, normalised if the metric asks for it; errors as above."""
        if self.metric.normalize:
            return self.faithfulness(values, how)
        return bootstrap([values], lambda mean: mean, how)


def of_whole(found: Estimate, digits: int) -> Estimate:
    """A share of the whole effect, or a difference of such, to digits that are stable: the whole is 1."""
    return found.rounded(decimals([1.0, found.value], digits))


@public
def faithfulness_interval(
    contrast: Contrast, circuit: Circuit, metric: Metric, how: Resampling = USUAL
) -> Estimate:
    """`faithfulness` with a percentile bootstrap interval over prompts; errors as there."""
    values = circuit_metric(contrast, circuit, metric).tolist()
    return Baseline.of(contrast, metric).faithfulness(values, how)


@public
def random_faithfulness(
    contrast: Contrast,
    circuit: Circuit,
    metric: Metric,
    *,
    draws: Positive = 100,
    seed: int = 0,
    connected: bool = True,
) -> Null:
    """The faithfulness of a circuit beside that of random circuits with as many edges.

    Args:
        contrast: model, prompts and corruption.
        circuit: what is compared.
        metric: what is measured.
        draws: how many random circuits.
        seed: of the draws.
        connected: whether every edge of theirs lies on a path from embed to logits; see `random_circuits`.

    Raises:
        MethodError: C522, as of `faithfulness`; C557, no connected circuit of this size was found.
    """
    drawn = random_circuits(circuit.graph, len(circuit), draws, seed=seed, connected=connected)
    values = tuple(faithfulness(contrast, each, metric) for each in drawn)
    return Null(faithfulness(contrast, circuit, metric), values)
