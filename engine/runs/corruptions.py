"""Corruptions: what takes the place of a clean activation, on a cut edge or in a patched node.

Some are another run of the model, so that a method can begin in it: `Resample` (counterfactual prompts,
interchange interventions) and `Gaussian`. Others only substitute activations: `Zero` and `Mean` ablation.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from hashlib import sha256
from typing import Annotated, Any, Literal, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nncirc.circuits.annotations import Accepts, Positive
from nncirc.circuits.arguments import public
from nncirc.circuits.errors import DataError, MethodError
from nncirc.circuits.names import Position, Positions, as_positions
from nncirc.engine.data.examples import Dataset, Example
from nncirc.engine.data.positions import resolve, roles
from nncirc.engine.model.model import Model
from nncirc.engine.model.tracing import has_norm
from nncirc.engine.runs.batches import Batch
from nncirc.engine.runs.capture import Written, written

Axis: TypeAlias = Literal["prompts", "positions", "slots"]


@public
@dataclass(frozen=True, slots=True)
class Resample:
    """Activations of another run: each prompt's corrupted version (Geiger et al. 2021; Chan et al. 2022).

    Attributes:
        examples: one for each clean prompt, of the same length.
        name: how provenance calls it: `replace`, `counterpart`, `shuffle`.
        source: SHA-256 of the code that made it, where that is the user's own.
    """

    examples: tuple[Example, ...]
    name: str = "resample"
    source: str = ""


@public
@dataclass(frozen=True, slots=True)
class Gaussian:
    """Activations of a run whose embeddings have noise at some positions (Meng et al. 2022).

    A draw depends on nothing but the seed, the prompt's number in the dataset and the sample's number.

    Attributes:
        at: the positions.
        scale: standard deviation of the noise, in standard deviations of the entries of the embedding matrix.
        samples: how often noise is drawn for every prompt; what is measured of it is the mean.
        seed: of the noise.

    Raises:
        MethodError: C580, no noise, or no samples.
    """

    at: Annotated[tuple[Position, ...], Accepts(Positions)]
    scale: float = 3.0
    samples: int = 1
    seed: int = 0
    name: str = "gaussian"

    def __post_init__(self) -> None:
        object.__setattr__(self, "at", as_positions(self.at))
        if not (self.at and 0 < self.scale < float("inf") and self.samples >= 1):
            raise MethodError(
                "C580",
                f"invalid noise: scale {self.scale} at {len(self.at)} positions in {self.samples} samples",
                hint="use a scale above 0, at least one position and at least one sample",
            )

    @property
    def facts(self) -> Mapping[str, Any]:
        """What a result has to say of it; JSON values only."""
        return {"at": [*map(str, self.at)], "scale": self.scale, "samples": self.samples, "seed": self.seed}

    @public
    def positions(self, example: Example) -> list[int]:
        """Where the noise is in a prompt, ascending; errors as of `resolve`."""
        return sorted({p for at in self.at for p in resolve(example, *at)})

    @public
    def draw(self, example: Example, prompt: int, sample: int, width: Positive) -> Float[Tensor, "pos width"]:
        """Noise of variance 1 for one prompt, in float64, and zeros where it has none.

        Args:
            example: the prompt.
            prompt: its number in the dataset.
            sample: which of its samples.
            width: of the residual stream.
        """
        name = sha256(f"{self.seed} {prompt} {sample}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(name[:7]))
        found = torch.zeros(len(example.tokens), width, dtype=torch.float64)
        at = self.positions(example)
        found[at] = torch.randn(len(at), width, generator=generator, dtype=torch.float64)
        return found


@public
@dataclass(frozen=True, slots=True)
class Zero:
    """Zero in place of what a sender writes."""

    name: str = "zero"


@public
@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of what a sender writes (Wang et al. 2022).

    Attributes:
        over: over prompts and positions; over prompts alone, at each position: then all prompts have one
            length; or over prompts and slots, at each place of the template, as `roles` says.
        source: the prompts whose mean is taken; None for the clean prompts themselves.

    Raises:
        MethodError: C521, over something else.
    """

    over: tuple[Axis, ...] = ("prompts", "positions")
    source: Dataset | None = None
    name: str = "mean"

    def __post_init__(self) -> None:
        if set(self.over) not in ({"prompts"}, {"prompts", "positions"}, {"prompts", "slots"}):
            raise MethodError(
                "C521",
                f"a mean over {' and '.join(self.over) or 'nothing'} is not an ablation",
                hint="write over = [prompts], [prompts, positions] or [prompts, slots]",
            )


Corruption: TypeAlias = Resample | Gaussian | Zero | Mean
Run: TypeAlias = Resample | Gaussian
"""A corruption that is another run of the model, so that one can begin in it."""


def spread_of(model: Model) -> float:
    """The standard deviation of all entries of the embedding matrix."""
    embedding = model.module.get_input_embeddings().weight
    return float(embedding.detach().double().std(correction=0))


def noise_of(
    model: Model, corruption: Gaussian, batch: Batch, spread: float
) -> Float[Tensor, "batch pos d_model"]:
    """What is added to the embeddings in the corrupted run of a batch, with the `spread_of` the model.

    Raises:
        MethodError: C563, it is too large for the model's norms.
    """
    drawn = [
        corruption.draw(example, *divmod(index, corruption.samples), model.d_model)
        for index, example in zip(batch.indices, batch.examples, strict=True)
    ]
    noise = (corruption.scale * spread * torch.stack(drawn)).to(model.device, model.dtype)
    if not has_norm(noise):
        raise MethodError(
            "C563",
            f"noise of {corruption.scale:g} standard deviations of the embedding is too large:"
            " its norm is not finite",
            hint="Meng et al. (2022) use scale = 3",
        )
    return noise


# Directions ------------------------------------------------------------------------------------------------

Base: TypeAlias = Literal["clean", "corrupted"]
Direction: TypeAlias = Literal["denoise", "noise"]
"""`noise` puts values of the corrupted run into the clean one and shows what is necessary; `denoise` puts
clean values into the corrupted run and shows what is sufficient (Zhang & Nanda 2024)."""

PATCHED: Mapping[Direction, Base] = {"noise": "clean", "denoise": "corrupted"}
"""The run that is changed; the values come from the other one."""


def check_direction(direction: str, corruption: Corruption) -> None:
    """Whether patches can go that way.

    Raises:
        MethodError: C524, no such direction; C523, `denoise` without a corrupted run.
    """
    if direction not in PATCHED:
        raise MethodError("C524", f"unknown direction {direction!r}", hint="expected denoise or noise")
    if direction == "denoise":
        require_run(corruption, "direction = denoise", "use direction = noise, or ")


def require_run(corruption: Corruption, what: str, instead: str = "") -> None:
    """Whether a corruption is a run of the model, in which `what` can begin.

    Args:
        corruption: of the contrast.
        what: begins there, for the message.
        instead: what would not begin there, for the hint.

    Raises:
        MethodError: C523, it only substitutes activations.
    """
    if not isinstance(corruption, Run):
        raise MethodError(
            "C523",
            f"{what} needs a corruption that re-runs the model; {corruption.name} only replaces activations",
            hint=f"{instead}use replace, counterpart or gaussian",
        )


# Zero and mean ablation ------------------------------------------------------------------------------------


class Ablation:
    """What zero or mean ablation writes in place of the parts of a model, for the prompts of a dataset.

    Args:
        model: what runs the source of a mean.
        dataset: the clean prompts.
        mean: the mean that is taken; None for zeros.
        neurons: the layers that are also kept by neuron.

    Raises:
        DataError: C333, a mean by position over prompts of several lengths; C341, a mean by slot where the
            source lacks a place that a prompt has.
    """

    def __init__(
        self, model: Model, dataset: Dataset, mean: Mean | None, neurons: tuple[int, ...] = ()
    ) -> None:
        self.model, self.neurons = model, neurons
        self.roles: dict[object, int] | None = None
        if mean is None:
            self.written = self.run(dataset.examples[0]).map(lambda part: torch.zeros_like(part[:, :1]))
            return
        source = mean.source or dataset
        if "slots" in mean.over:
            self.roles = _known_roles(source, dataset)
            self.written = self.by_role(source)
        elif "positions" in mean.over:
            count = sum(len(e.tokens) for e in source.examples)
            self.written = self.total(source, lambda part, _: part.sum(1, keepdim=True)).map(
                lambda part: (part / count).to(model.dtype)
            )
        else:
            _check_one_length(source, dataset)
            count = len(source.examples)
            self.written = self.total(source, lambda part, _: part).map(
                lambda part: (part / count).to(model.dtype)
            )

    def run(self, example: Example) -> Written:
        """What is written for one prompt."""
        tokens = torch.tensor([example.tokens], device=self.model.device)
        return written(self.model, tokens, neurons=self.neurons)

    def total(self, source: Dataset, summed: Callable[[Tensor, Example], Tensor]) -> Written:
        """A sum over prompts, prompt by prompt in float64."""
        runs = (
            self.run(e).map(lambda part, e=e: summed(part.double(), e))  # type: ignore[misc]
            for e in source.examples
        )
        return reduce(operator.add, runs)

    def by_role(self, source: Dataset) -> Written:
        """The mean at every place of the template, with the number of its role as its position."""
        assert self.roles is not None
        size, device = len(self.roles), self.model.device

        def summed(part: Tensor, example: Example) -> Tensor:
            return part.new_zeros(1, size, part.shape[-1]).index_add_(1, self.numbers([example])[0], part)

        every = torch.cat([self.numbers([example])[0] for example in source.examples])
        count = torch.zeros(size, 1, dtype=torch.float64, device=device)
        count.index_add_(0, every, torch.ones(len(every), 1, dtype=torch.float64, device=device))
        return self.total(source, summed).map(lambda part: (part / count).to(self.model.dtype))

    def numbers(self, examples: Sequence[Example]) -> Int[Tensor, "batch pos"]:
        """The number of every token's role."""
        assert self.roles is not None
        rows = [[self.roles[role] for role in roles(example)] for example in examples]
        return torch.tensor(rows, device=self.model.device)

    def of(self, examples: Sequence[Example]) -> Written:
        """What is written in place of some prompts of one length."""
        if self.roles is not None:
            at = self.numbers(examples)
            return self.written.map(lambda part: part[0][at])
        # A view: one prompt's means are those of all.
        length = len(examples[0].tokens)
        return self.written.map(lambda part: part.expand(len(examples), length, -1))


def _check_one_length(source: Dataset, dataset: Dataset) -> None:
    lengths = {len(e.tokens) for e in (*source.examples, *dataset.examples)}
    if len(lengths) > 1:
        raise DataError(
            "C333",
            f"a mean at each position needs prompts of one length; these have {sorted(lengths)} tokens",
            hint="use over = [prompts, slots] or [prompts, positions], or phrasings of equal length",
        )


def _known_roles(source: Dataset, dataset: Dataset) -> dict[object, int]:
    found = {role: None for example in source.examples for role in roles(example)}
    for example in dataset.examples:
        for position, role in enumerate(roles(example)):
            if role not in found:
                raise DataError(
                    "C341",
                    f"the prompts of the mean have no place that matches token {position} of"
                    f" {example.text!r}",
                    hint="use prompts of the same template, or over = [prompts, positions]",
                )
    return {role: number for number, role in enumerate(found)}
