"""By how much what is patched differs between two runs, and where a run takes the difference in.

A patch adds `other − base` to what the run that is patched has computed itself, so that there is now what the
other run has: to the residual stream, to columns of what makes queries, keys and values, or to z:

    pattern     z + (pattern of the other run − pattern) · value

What is before the patch is as in the run that is patched, so its own value there is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nncirc.circuits.errors import MethodError
from nncirc.circuits.graph import Graph
from nncirc.circuits.parts import INPUTS, OUTPUTS, STREAM, Part, units, without_middle
from nncirc.engine.model.model import Model
from nncirc.engine.runs.batches import Batch
from nncirc.engine.runs.capture import Inside, Written, attended, inside, source_outputs
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import PATCHED, Base, Direction, require_run
from nncirc.engine.runs.wiring import stages

_OTHER: dict[Base, Base] = {"clean": "corrupted", "corrupted": "clean"}


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """What is added to some columns of what one of a layer's chains makes (see `Model.units`)."""

    chain: int
    columns: list[int]
    values: Float[Tensor, "batch pos width"]


@dataclass(frozen=True, slots=True, eq=False)
class Difference:
    """What one patch of all tokens adds to the run that is patched, and where.

    Attributes:
        begins: the number of the first stage that reads it; of what is inside a layer, of its attention.
        stream: what is added to the residual stream before that stage, or with `matrix` makes it.
        matrix: None if `stream` is one of the residual stream. A head's z stays as it is, since outputs of
            all heads take `n_heads` times the room.
        pieces: what is added to queries, keys or values as they are made, before any rotation.
        z: columns of z, all heads side by side, and what is added there.
    """

    begins: int
    stream: Float[Tensor, "batch pos width"] | None = None
    matrix: Float[Tensor, "width d_model"] | None = None
    pieces: tuple[Piece, ...] = ()
    z: tuple[slice, Float[Tensor, "batch pos z"]] | None = None

    def moves(self) -> Bool[Tensor, "batch pos"]:
        """The tokens at which it is not zero."""
        parts = [piece.values for piece in self.pieces]
        parts += [] if self.stream is None else [self.stream]
        parts += [] if self.z is None else [self.z[1]]
        return torch.stack([part.any(-1) for part in parts]).any(0)


def check_parts(contrast: Contrast, of: Sequence[Part]) -> None:
    """Whether a model has what is to be patched, and the other run gives values for it.

    Raises:
        MethodError: C597, nothing, something twice, or what the model does not have; C523, the corruption
            only substitutes what nodes write.
    """
    if not of or len(set(of)) < len(of):
        raise MethodError("C597", f"invalid `of`: {list(of)}", hint="name each part once: of = [q, k, v]")
    model, inner = contrast.model, [part for part in of if part != "outputs"]
    if (why := without_middle(model.shape, of)) is not None:
        raise MethodError(
            "C597", f"{model.name} has no `resid_mid`: {why}", hint="use resid_pre or resid_post"
        )
    if inner:
        require_run(contrast.corruption, f"`of = {inner[0]}`", "write of = outputs, or ")


def begins_of(graph: Graph, of: Sequence[Part]) -> list[int]:
    """For every one of `rows_of` the number of the first stage that reads what is patched."""
    shape, found = graph.shape, list[int]()
    per_layer = 1 + shape.mlps
    for part in of:
        if part == "outputs":
            reach = [graph.reach[stage.receivers.start] for stage in stages(graph)]
            found += [
                next(number for number, before in enumerate(reach) if before > sender)
                for sender in range(len(graph.senders))
            ]
        else:
            after = {"resid_mid": 1, "resid_post": per_layer}.get(part, 0)
            count = len(units(graph, part))
            found += [layer * per_layer + after for layer in range(shape.n_layers) for _ in range(count)]
    return found


def differences(
    contrast: Contrast,
    graph: Graph,
    batch: Batch,
    direction: Direction,
    of: Sequence[Part],
) -> list[Difference]:
    """For every one of `rows_of` what a patch of it adds in the run that is patched.

    Args:
        contrast: of the two runs.
        graph: whose nodes are patched.
        batch: the prompts.
        direction: which run is patched into which.
        of: what is patched.

    Raises:
        ModelError: C419, the pattern of a model that does not say what it is.
    """
    model, base, begins = contrast.model, PATCHED[direction], iter(begins_of(graph, of))
    found: list[Difference] = []
    if "outputs" in of:
        clean, others = contrast.clean_written(batch, graph), contrast.substitute_written(batch, graph)
        written = _written(others - clean if direction == "noise" else clean - others, graph)
    if of != OUTPUTS:
        chains = not {*INPUTS}.isdisjoint(of)
        runs = [contrast.begins(batch, each) for each in (base, _OTHER[base])]
        own, other = (inside(model, *each, chains=chains) for each in runs)
    for part in of:
        if part == "outputs":
            found += [Difference(next(begins), change, matrix) for change, matrix in written]
        elif part in STREAM:
            at = [next(begins) for _ in range(model.shape.n_layers)]
            found += [Difference(n, other.residual[n] - own.residual[n]) for n in at]
        elif part == "pattern":
            found += [Difference(next(begins), z=z) for z in _patterns(model, graph, runs)]
        else:
            found += [Difference(next(begins), pieces=each) for each in _made(model, graph, part, own, other)]
    return found


def _written(
    change: Written, graph: Graph
) -> list[tuple[Float[Tensor, "batch pos width"], Float[Tensor, "width d_model"] | None]]:
    """The change of every sender's activation, and what makes it one of the residual stream, or None."""
    sources = source_outputs(graph, change.embed, change.pos_embed)
    found: list[tuple[Tensor, Tensor | None]] = [(source, None) for source in sources]
    for layer, z in enumerate(change.zs):
        out = change.model.outs[layer]
        if graph.attention == "layers":
            found.append((z, out.flatten(0, 1)))
        else:
            found += zip(z.unflatten(-1, out.shape[:2]).unbind(-2), out, strict=True)
        if layer in graph.neuron_counts:
            columns = change.neurons[layer].split(1, dim=-1)
            found += zip(columns, change.model.neuron_weights(layer).split(1), strict=True)
        elif change.mlps:
            found.append((change.mlps[layer], None))
    return found


def _made(model: Model, graph: Graph, part: Part, own: Inside, other: Inside) -> Iterator[tuple[Piece, ...]]:
    """The queries, keys or values of every layer's heads or groups, or of all of a layer together."""
    by_unit: list[dict[int, list[int]]] = [
        {chain: list(columns) for chain, columns in unit.columns.items()}
        for unit in model.units
        if unit.kind == part
    ]
    if graph.attention == "layers":
        chains = {chain for unit in by_unit for chain in unit}
        by_unit = [{chain: [c for unit in by_unit for c in unit.get(chain, ())] for chain in sorted(chains)}]
    for before, after in zip(own.made, other.made, strict=True):
        change = [new - old for new, old in zip(after, before, strict=True)]
        for unit in by_unit:
            yield tuple(Piece(chain, at, change[chain][..., at]) for chain, at in unit.items())


def _patterns(
    model: Model,
    graph: Graph,
    runs: Sequence[tuple[Int[Tensor, "batch pos"], Float[Tensor, "batch pos d_model"] | None]],
) -> Iterator[tuple[slice, Float[Tensor, "batch pos z"]]]:
    """What z of every head changes by with its pattern of the other run, and its values as they are."""
    for own, other in zip(attended(model, *runs[0]), attended(model, *runs[1]), strict=True):
        change = (other.pattern - own.pattern) @ own.value
        width = change.shape[-1]
        if graph.attention == "layers":
            yield slice(None), change.movedim(0, -2).flatten(-2)
        else:
            yield from ((slice(n * width, (n + 1) * width), head) for n, head in enumerate(change))
