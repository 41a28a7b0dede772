"""Clean prompts against a corruption: what every method starts from.

A `Contrast` is a model, its clean prompts, and a corruption: what takes the place of a clean activation.
Prompts run in batches of equal length, without padding, in a fixed order; what is measured on them is
put together prompt by prompt in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nncirc.circuits.annotations import Positive
from nncirc.circuits.arguments import public, related
from nncirc.circuits.circuit import Circuit
from nncirc.circuits.errors import MethodError, ResourceError
from nncirc.circuits.graph import Graph
from nncirc.circuits.made import Made
from nncirc.circuits.words import counted, memory_in_words
from nncirc.engine.data.corrupt import check_alignment
from nncirc.engine.data.examples import Dataset
from nncirc.engine.metrics.metric import Metric, check_metric
from nncirc.engine.metrics.reading import Reading, reading
from nncirc.engine.model.fits import check_graph
from nncirc.engine.model.model import Model
from nncirc.engine.model.ungrouped import ungrouped
from nncirc.engine.runs.batches import Batch, check_fits, in_batches
from nncirc.engine.runs.capture import Written, read_and_written, written
from nncirc.engine.runs.columns import whereabouts
from nncirc.engine.runs.corruptions import (
    Ablation,
    Base,
    Corruption,
    Direction,
    Gaussian,
    Mean,
    Resample,
    Run,
    noise_of,
    spread_of,
)
from nncirc.engine.runs.masked_forward import Mask, run_masked
from nncirc.engine.runs.memory import Large, default_memory, pass_bytes
from nncirc.engine.runs.normalization import Loss, Normalizer, between, loss, mean


@public
@dataclass(frozen=True, eq=False)
class Contrast:
    """A model, clean prompts and a corruption.

    Args:
        model: the model.
        dataset: the clean prompts.
        corruption: what takes a clean activation's place.
        batch: most prompts in one trace; None for as many of one length as memory is there for. It changes
            memory and speed, and results only by rounding.
        most_memory: bytes that activations may take beside the model; None for half of what is free. It is
            kept to as far as methods can be split: by prompts, receivers, senders, rows of a trace.

    Raises:
        DataError: C301 and others of `check_alignment`, where clean and corrupted prompts do not align;
            C333, a mean by position over prompts of several lengths.
        MethodError: C525, it is not a corruption.
    """

    model: Model
    dataset: Dataset
    corruption: Corruption
    batch: Positive | None = None
    most_memory: Positive | None = None
    batches: tuple[Batch, ...] = field(init=False, repr=False)
    _cache: dict[Any, Any] = field(init=False, repr=False, default_factory=dict)
    _large: Large = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_fits(self.model, self.dataset)
        if not isinstance(self.corruption, Corruption):
            raise MethodError(
                "C525",
                f"expected a corruption, found {type(self.corruption).__name__}",
                hint='write Resample(replace(dataset, ...)), Gaussian("S"), Zero() or Mean()',
            )
        if isinstance(self.corruption, Gaussian):
            for example in self.dataset.examples:
                self.corruption.positions(example)
        if isinstance(self.corruption, Resample):
            check_alignment(self.dataset, self.corruption.examples)
        object.__setattr__(self, "_large", Large(self.memory // 4))
        examples = self.dataset.examples
        others = self.corruption.examples if isinstance(self.corruption, Resample) else None
        others = examples if isinstance(self.corruption, Gaussian) else others
        found = in_batches(self.model, examples, self._at_once, others=others, samples=self.samples)
        object.__setattr__(self, "batches", tuple(found))

    @cached_property
    def memory(self) -> int:
        """Bytes that activations may take beside the model."""
        return default_memory(self.model.device) if self.most_memory is None else self.most_memory

    @property
    def samples(self) -> int:
        """How often each prompt runs, each time with other noise."""
        return self.corruption.samples if isinstance(self.corruption, Gaussian) else 1

    def noise(self, batch: Batch) -> Float[Tensor, "batch pos d_model"] | None:
        """What is added to the embeddings in the corrupted run of a batch; None if nothing is.

        Raises:
            MethodError: C563, it is too large for the model's norms.
        """
        if not isinstance(self.corruption, Gaussian):
            return None
        spread = self._once("spread", lambda: spread_of(self.model))
        return noise_of(self.model, self.corruption, batch, spread)

    def begins(
        self, batch: Batch, base: Base
    ) -> tuple[Int[Tensor, "batch pos"], Float[Tensor, "batch pos d_model"] | None]:
        """The tokens of a batch in one of the two runs, and what is added to their embeddings there."""
        if base == "clean":
            return batch.clean, None
        assert batch.corrupt is not None, "`require_run` is asked before"
        return batch.corrupt, self.noise(batch)

    @cached_property
    def by_heads(self) -> Contrast:
        """The same with a model in which each head has its own key and value: for graphs with `kv="heads"`.

        Raises:
            ModelError: C441, heads of this family can only share them.
        """
        model = ungrouped(self.model)
        return self if model is self.model else replace(self, model=model)

    def fitting(self, length: int) -> int:
        """How many prompts of a length fit into one pass: by half of the memory.

        A quarter is for what is kept between passes, a quarter for what a method unfolds.
        """
        return self.memory // 2 // pass_bytes(self.model, length)

    def _at_once(self, length: int) -> int:
        """How many prompts of a length run together.

        Raises:
            ResourceError: C704, the memory that the user allows is not enough for one.
        """
        needed, fitting = pass_bytes(self.model, length), self.fitting(length)
        if not fitting and self.most_memory is not None:
            raise ResourceError(
                "C704",
                f"{self.model.name} needs about {memory_in_words(2 * needed)} for one prompt of"
                f" {counted(length, 'token')}; {memory_in_words(self.memory)} is allowed",
                hint="allow more with --memory, or use shorter prompts",
            )
        return max(1, fitting if self.batch is None else min(self.batch, fitting))

    def reading(self, batch: Batch, metric: Metric) -> Reading:
        """Where the metric reads in a batch."""

        def make() -> Reading:
            check_metric(metric, self.model)
            return reading(metric, self.dataset, batch.examples, self.model.device)

        return self._once(("reading", batch.number, metric), make)

    def clean_logits(self, batch: Batch, metric: Metric) -> Float[Tensor, "1 batch kept vocab"]:
        """Logits of the clean run where the metric reads."""
        return self._large.once(
            ("clean logits", batch.number, metric),
            lambda: self._run(batch, "clean", self.reading(batch, metric)),
        )

    def reference(self, batch: Batch, metric: Metric) -> Float[Tensor, "batch read vocab"] | None:
        """Log-probabilities or outputs of the clean run, for a metric that compares with it."""
        if not metric.measure.against_clean:
            return None
        return self._large.once(
            ("reference", batch.number, metric),
            lambda: self.reading(batch, metric).reference(metric, self.clean_logits(batch, metric)),
        )

    def clean_outputs(self, batch: Batch, graph: Graph) -> Float[Tensor, "sender batch pos d_model"]:
        """What every sender writes in the clean run; senders are those of the graph without positions."""
        graph = graph.base
        return self._large.once(
            ("clean outputs", batch.number, graph), lambda: self.clean_written(batch, graph).outputs(graph)
        )

    def where(self, batch: Batch, graph: Graph) -> Float[Tensor, "position batch pos"] | None:
        """Which tokens are at which of a graph's positions; None if it has none.

        Raises:
            DataError: C308, C346, as `whereabouts` says.
        """
        if not graph.positions:
            return None
        device, dtype = self.model.device, self.model.dtype
        return self._once(
            ("where", batch.number, graph.positions),
            lambda: whereabouts(batch.examples, graph.positions, device=device, dtype=dtype),
        )

    def clean_written(self, batch: Batch, graph: Graph | None = None) -> Written:
        """What the parts of the model write in the clean run, and the neurons that a graph has as senders."""
        neurons = () if graph is None else tuple(graph.neuron_counts)
        return self._large.once(
            ("clean", batch.number, neurons),
            lambda: written(self.model, batch.clean, neurons=neurons),
        )

    def keep_written(self, batch: Batch, found: Written, base: Base = "clean") -> None:
        """Take over what is written in the clean or the corrupted run from a run that was made anyway."""
        run = "clean" if base == "clean" else "written"
        self._large.once((run, batch.number, tuple(found.neurons)), lambda: found)

    def substitute(self, batch: Batch, graph: Graph) -> Float[Tensor, "sender batch pos d_model"]:
        """What takes the place of every sender's output on a cut edge; senders as of `clean_outputs`."""
        graph = graph.base
        return self._large.once(
            ("substitute", batch.number, graph), lambda: self.substitute_written(batch, graph).outputs(graph)
        )

    def substitute_written(self, batch: Batch, graph: Graph | None = None) -> Written:
        """What takes the place of what the parts of the model write, and of a graph's neurons."""
        neurons = () if graph is None else tuple(graph.neuron_counts)
        return self._large.once(("written", batch.number, neurons), lambda: self._substitute(batch, neurons))

    def _substitute(self, batch: Batch, neurons: tuple[int, ...]) -> Written:
        if batch.corrupt is not None:
            return written(self.model, batch.corrupt, self.noise(batch), neurons)
        mean = self.corruption if isinstance(self.corruption, Mean) else None
        ablation: Ablation = self._once(
            ("ablation", neurons), lambda: Ablation(self.model, self.dataset, mean, neurons)
        )
        return ablation.of(batch.examples)

    def measure(
        self, metric: Metric, logits: Callable[[Batch, Reading], Float[Tensor, "row batch kept vocab"]]
    ) -> Float[Tensor, "row prompt"]:
        """The metric of every prompt, not normalised, in float64 and in the dataset's order.

        Args:
            metric: what to measure.
            logits: gives a batch's logits at `reading.kept`, any number of rows.
        """
        parts = []
        for batch in self.batches:
            where = self.reading(batch, metric)
            parts.append(where.values(metric, logits(batch, where), self.reference(batch, metric)))
        return self.in_order(parts)

    def in_order(self, parts: Sequence[Float[Tensor, "row batch"]]) -> Float[Tensor, "row prompt"]:
        """Values of every batch's prompts as values of the dataset's prompts in their order.

        Of a prompt that runs with several samples of noise it is the mean.
        """
        values = torch.cat(list(parts), dim=1)[:, self._order]
        return values if self.samples == 1 else values.unflatten(1, (-1, self.samples)).mean(2)

    @cached_property
    def _order(self) -> Int[Tensor, " prompt"]:
        indices = [i for batch in self.batches for i in batch.indices]
        return torch.tensor(indices, device=self.model.device).argsort()

    @public
    def clean(self, metric: Metric) -> float:
        """Mean of the metric on the clean run, not normalised."""
        return self._once(("mean clean", metric), lambda: mean(self.clean_values(metric).tolist()))

    @public
    def clean_values(self, metric: Metric) -> Float[Tensor, " prompt"]:
        """The metric of every prompt on the clean run, not normalised, in float64."""
        return self._once(
            ("clean", metric),
            lambda: self.measure(metric, lambda batch, _: self.clean_logits(batch, metric))[0],
        )

    @public
    def corrupt(self, metric: Metric) -> float:
        """Mean of the metric with every sender replaced (the corrupted run), not normalised."""
        return self._once(("mean corrupt", metric), lambda: mean(self.corrupt_values(metric).tolist()))

    @public
    def corrupt_values(self, metric: Metric) -> Float[Tensor, " prompt"]:
        """The metric of every prompt on the corrupted run, not normalised, in float64."""
        return self._once(("corrupt", metric), lambda: self._corrupt(metric))

    def _corrupt(self, metric: Metric) -> Float[Tensor, " prompt"]:
        if isinstance(self.corruption, Run):
            return self.measure(metric, lambda batch, where: self._run(batch, "corrupted", where))[0]
        graph = self.model.graph()
        mask = Mask.everything(self.model, graph)
        return self.measure(metric, lambda b, where: self.masked(graph, b, where, mask))[0]

    def masked(
        self, graph: Graph, batch: Batch, where: Reading, mask: Mask
    ) -> Float[Tensor, "row batch kept vocab"]:
        """Logits of a masked forward where a metric reads."""
        substitute, at = self.substitute(batch, graph), self.where(batch, graph)
        return run_masked(self.model, graph, batch.clean, mask, substitute, where=at, keep=where.kept)

    @public
    def unpatched(self, metric: Metric, direction: Direction) -> float:
        """The metric of the run that a patch changes, normalised if it is: what one without effect has."""
        value = self.clean(metric) if direction == "noise" else self.corrupt(metric)
        return float(self.normalizer(metric)(value))

    def normalizer(self, metric: Metric) -> Normalizer:
        """What puts the corrupted run at 0 and the clean run at 1; the identity if not asked for.

        Raises:
            MethodError: C522, the two runs do not differ by this metric.
        """
        if not metric.normalize:
            return Normalizer(0.0, 1.0)
        return self.normalized(metric)

    @public
    def normalized(self, metric: Metric) -> Normalizer:
        """The normalizer whether or not the metric asks for it, as faithfulness needs."""
        return self._once(
            ("normalized", metric),
            lambda: between(metric, self.clean_values(metric).tolist(), self.corrupt_values(metric).tolist()),
        )

    def loss(
        self, metric: Metric, values: Float[Tensor, "row prompt"], of: Loss = "metric"
    ) -> Float[Tensor, " row"]:
        """What a circuit should keep low, of means over prompts; see `normalization.loss`."""
        normal = self.normalizer(metric)
        return loss(metric, normal, values.mean(1), normal(self.clean(metric)) if of == "distance" else None)

    @public
    def facts(self, metric: Metric) -> Made:
        """What a result has to say about the contrast and the metric; JSON values only."""
        return {
            "corruption": self.corruption.name,
            **({"noise": self.corruption.facts} if isinstance(self.corruption, Gaussian) else {}),
            **({"corruption_sha256": source} if (source := getattr(self.corruption, "source", "")) else {}),
            **({"metric_sha256": source} if (source := metric.source) else {}),
            "metric": metric.name,
            "unit": metric.unit,
            "at": [*map(str, metric.at)],
            "normalized": metric.normalize,
            **({"teacher_forced": True} if self.dataset.answers == "forced" else {}),
            "prompts": len(self.dataset.examples),
            "dtype": str(self.model.dtype).removeprefix("torch."),
            **({"whole_runs": [*slow]} if (slow := self.model.slow) else {}),
            **({"structure": self.model.entry} if self.model.entry is not None else {}),
        }

    def _run(self, batch: Batch, base: Base, where: Reading) -> Float[Tensor, "1 batch kept vocab"]:
        """Logits of a plain run. What is written in it is kept, too: most methods ask for that next."""
        tokens, noise = self.begins(batch, base)
        logits, found = read_and_written(self.model, tokens, noise, kept=where.kept)
        self.keep_written(batch, found, base)
        assert logits is not None
        return logits[None]

    def _once(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self._cache:
            self._cache[key] = make()
        return self._cache[key]


@related(Contrast, Graph)
def _graph_of(contrast: Contrast, graph: Graph) -> None:
    check_graph(contrast.model, graph)


@related(Contrast, Circuit)
def _circuit_of(contrast: Contrast, circuit: Circuit) -> None:
    check_graph(contrast.model, circuit.graph)
