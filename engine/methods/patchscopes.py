"""Patchscopes: a state of one prompt is put into another prompt, which says what is in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nncirc.circuits.annotations import Positive
from nncirc.circuits.arguments import public
from nncirc.circuits.errors import MethodError
from nncirc.circuits.graph import stages
from nncirc.circuits.intervals import USUAL, Resampling
from nncirc.circuits.made import Made
from nncirc.circuits.names import END, Position, Positions, as_positions
from nncirc.engine.data.examples import Dataset, Example, buckets
from nncirc.engine.data.positions import resolve
from nncirc.engine.methods.lens import Readings, selected, unembed
from nncirc.engine.methods.scores import NodeScores
from nncirc.engine.model.model import Model
from nncirc.engine.model.tracing import checked, run
from nncirc.engine.runs.batches import batches, check_fits
from nncirc.engine.runs.capture import residual_stream
from nncirc.engine.runs.memory import logits_bytes, pass_bytes

Mapping: TypeAlias = Callable[[Float[Tensor, "state d_model"]], Float[Tensor, "state d_model"]]


@public
def patchscopes(
    model: Model,
    source: Dataset,
    target: Dataset,
    *,
    of: str = "prob",
    positions: Positions = "end",
    into: str | tuple[str, int | None] = END,
    layer: int | None = None,
    mapping: Mapping | None = None,
    how: Resampling = USUAL,
    batch: Positive | None = None,
    memory: Positive | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> NodeScores:
    """What the target prompt goes on with when it carries a state of the source prompt.

    The residual stream of a source prompt before a layer, at a position, takes the place of the target
    prompt's before a layer, at a position; then the next-token distribution at the target's end is read. Rows
    are the source's layers, named by the node that wrote last (`embed`, `MLP0`, ...; without MLPs `L0`, ...).
    Values are means over the source prompts, with intervals. `made["top"]` has the token that is the
    likeliest in most of them.

    With `layer` the number of layers, where the final norm reads, and `into` the end, this is the logit lens.

    Args:
        model: of both prompts.
        source: the prompts whose states are taken; what is read are their answers.
        target: one prompt for all of them, or one for each.
        of: `prob`, `logprob`, `logit_diff` or `rank` of the answer (1 is the best), or `kl_divergence`: of
            the model's own prediction at the source's position from what is read.
        positions: of the source, one column each; "all" for every token.
        into: the position of the target that takes the state; of a slot's tokens, the last.
        layer: the target's layer that reads the state, counted from 0; None for the source's own.
        mapping: what is done to states on their way; None for nothing.
        how: how the intervals over prompts are drawn.
        batch: most source prompts at once.
        memory: bytes of activations; None for half of what is free.
        progress: called with prompts done and prompts in all.

    Raises:
        MethodError: C572, nothing is read by the name `of`; C574, there is no such layer; C575, neither one
            target nor as many as sources; C512, no such position; C502, C503, what the mapping gives cannot
            stand there.
        DataError: C331, the dataset lacks the answers; C332, C334 and those of `resolve`: positions.

    Source: Ghandeharioun et al. 2024, section 3; f is `mapping`.
    """
    depth = model.shape.n_layers
    if layer is not None and not (type(layer) is int and 0 <= layer <= depth):
        raise MethodError(
            "C574",
            f"{model.name} has no layer {layer!r}",
            hint=f"expected 0 to {depth - 1}, or {depth} for the final norm's input",
        )
    if len(target.examples) not in (1, len(source.examples)):
        raise MethodError(
            "C575",
            f"found {len(source.examples)} source prompts and {len(target.examples)} target prompts",
            hint="give one target prompt for all sources, or one for each",
        )
    lens = Readings(model, source, of, positions, stages(model.shape, halves=False))
    check_fits(model, target)
    (place,) = as_positions([into])
    length = max(len(example.tokens) for example in target.examples)
    more = logits_bytes(model, 1) + pass_bytes(model, length)
    for prompts in batches(model, lens.dataset, batch=batch, memory=memory, more=more, progress=progress):
        stream = residual_stream(model, prompts.clean, halves=False)
        ours = [target.examples[0 if len(target.examples) == 1 else i] for i in prompts.indices]
        for column in range(len(lens.columns)):
            reading = lens.where(prompts, column)
            final = unembed(model, selected(reading, stream[-1]))
            for row, residual in enumerate(stream):
                states = selected(reading, residual)
                if mapping is not None:
                    states = mapping(states.flatten(0, 1)).view_as(states)
                logits = _answers(model, ours, place, row if layer is None else layer, states)
                lens.note((row, column), prompts, reading, logits, final)
    told: Made = {
        "into": str(place),
        "layer": "same" if layer is None else layer,
        "mapping": "identity" if mapping is None else getattr(mapping, "__name__", "given"),
        "target": target.examples[0].text if len(target.examples) == 1 else "one for each",
    }
    return lens.scores("patchscopes", how, told)


def _answers(
    model: Model,
    targets: Sequence[Example],
    place: Position,
    layer: int,
    states: Float[Tensor, "batch read d_model"],
) -> Float[Tensor, "batch read vocab"]:
    """Logits at the end of each prompt's target, once with each of its states put in."""
    found: Tensor | None = None
    count = states.shape[1]
    for bucket in buckets(targets):
        tokens = torch.tensor([targets[i].tokens for i in bucket], device=model.device)
        at = torch.tensor([resolve(targets[i], *place)[-1] for i in bucket], device=model.device)
        logits = patched(
            model,
            tokens.repeat_interleave(count, 0),
            layer,
            at.repeat_interleave(count, 0),
            states[list(bucket)].flatten(0, 1),
        ).unflatten(0, (len(bucket), count))
        found = logits.new_empty(*states.shape[:2], logits.shape[-1]) if found is None else found
        found[list(bucket)] = logits
    assert found is not None
    return found


def patched(
    model: Model,
    tokens: Int[Tensor, "batch pos"],
    layer: int,
    at: Int[Tensor, " batch"],
    states: Float[Tensor, "batch d_model"],
) -> Float[Tensor, "batch vocab"]:
    """Logits at the end of a run in which a layer finds other states at one position of each prompt.

    Args:
        model: the model.
        tokens: the prompts.
        layer: which one, from 0; the number of layers for the final norm.
        at: the positions.
        states: of the residual stream there.

    Raises:
        MethodError: C502, C503, the states cannot stand there.
    """
    rows = torch.arange(len(tokens), device=model.device)
    # A view of the last position is unembedded prompt by prompt, four times as slow as a copy.
    end = torch.tensor([tokens.shape[1] - 1], device=model.device)

    def body() -> Tensor:
        site = model.final_norm if layer == len(model.blocks) else model.blocks[layer].block
        new = site.input.clone()
        new[rows, at] = checked(states, new[rows, at], site.path)
        site.input = new
        return model.logits_output[:, -1].clone()

    return run(model.envoy, model.inputs(tokens, keep=end), body)
