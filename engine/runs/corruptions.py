"""Corruptions: what takes the place of a clean activation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any, Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from nncirc.circuits.annotations import Accepts, Positive
from nncirc.circuits.arguments import public
from nncirc.circuits.errors import MethodError
from nncirc.circuits.names import Position, Positions, as_positions
from nncirc.engine.data.examples import Dataset, Example
from nncirc.engine.data.positions import resolve

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
                f"noise of scale {self.scale} at {len(self.at)} positions in {self.samples} samples is none",
                hint="name a position, and give a scale above 0 and at least 1 sample",
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
                f"a mean over {' and '.join(self.over) or 'nothing'} is no ablation",
                hint="over = [prompts], [prompts, positions] or [prompts, slots]",
            )


Corruption: TypeAlias = Resample | Gaussian | Zero | Mean
Run: TypeAlias = Resample | Gaussian
"""A corruption that is another run of the model, so that one can begin in it."""
