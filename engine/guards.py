"""Guards: what has to hold for the engine's numbers to be right, tested on every model when it is loaded.

A family's adapter says where a model keeps its parts; it cannot say that the model adds them up the way
the engine's mathematics assumes. Each guard runs the model on a few tokens and compares.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter

import torch
from torch import Tensor

from nncirc.circuits.errors import ModelError
from nncirc.circuits.graph import Graph
from nncirc.engine.forward import Mask, masked_forward
from nncirc.engine.live import attend, clean_state
from nncirc.engine.model import Model
from nncirc.engine.tracing import run
from nncirc.engine.written import sender_outputs

PROMPTS, LENGTH = 2, 7
HINT = "the engine would give wrong numbers for this model; its family needs an adapter of its own"


@dataclass(frozen=True, slots=True)
class Guard:
    """A code, what must hold, and a function that gives the largest error and what it is relative to."""

    code: str
    holds: str
    error: Callable[[Model, Tensor, Tensor], tuple[float, float]]


def check(model: Model) -> dict[str, float]:
    """Run all guards; returns every guard's largest relative error, for the provenance.

    Raises:
        ModelError: C411 and C412 where the adapter does not fit at all; C413 to C420 and C425, a guard fails.
    """
    draw = random.Random(0)
    vocabulary = model.module.get_input_embeddings().num_embeddings
    longest = getattr(model.module.config, "max_position_embeddings", None) or LENGTH

    def tokens() -> Tensor:
        drawn = [[draw.randrange(vocabulary) for _ in range(min(LENGTH, longest))] for _ in range(PROMPTS)]
        return torch.tensor(drawn, device=model.device)

    clean, other = tokens(), tokens()
    found = {}
    # In half precision 2000 roundings would be more than the values themselves, and nothing would fail.
    tolerance = min(2000 * model.resolution, 0.1)
    for guard in GUARDS:
        error, scale = guard.error(model, clean, other)
        relative = error / max(scale, 1e-30)
        if not relative <= tolerance:
            raise ModelError(
                guard.code,
                f"{guard.holds}: in {model.name} it does not"
                f" (relative error {relative:.2g}, allowed {tolerance:.2g})",
                hint=HINT,
                about=model.name,
            )
        found[guard.holds] = relative
    return found


def _finest(model: Model) -> Graph:
    """The graph that tells the most apart."""
    return model.graph(pos_embed=model.family.pos_embed is not None)


def _difference(found: Tensor, wanted: Tensor) -> tuple[float, float]:
    return float((found - wanted).abs().max()), float(wanted.abs().max())


def _width(model: Model, clean: Tensor, _: Tensor) -> tuple[float, float]:
    """The output projection's input is every head's z side by side."""
    wanted = model.shape.n_heads * model.d_head
    widths = run(
        model.envoy, model.inputs(clean, 1), lambda: [block.output.input.shape[-1] for block in model.blocks]
    )
    return float(max(abs(width - wanted) for width in widths)), float(wanted)


def _additive(model: Model, clean: Tensor, _: Tensor) -> tuple[float, float]:
    """Every block adds its attention's output, then its MLP's, to the residual stream."""

    def body() -> tuple[list[Tensor], list[Tensor]]:
        found, wanted = [], []
        for block in model.blocks:
            residual = block.attention_norm.input.clone()
            residual = residual + block.output.output
            found.append(residual)
            wanted.append(block.mlp_norm.input.clone())
            found.append(residual + block.mlp.output)
            wanted.append(block.block.output.clone())
        found.append(found[-1])
        wanted.append(model.final_norm.input.clone())
        return found, wanted

    found, wanted = run(model.envoy, model.inputs(clean, 1), body)
    return _difference(torch.stack(found), torch.stack(wanted))


def _heads(model: Model, clean: Tensor, _: Tensor) -> tuple[float, float]:
    """Embedding, heads, MLPs and the output projections' biases sum to the final residual stream."""
    graph = _finest(model)
    written = sender_outputs(model, graph, clean).sum(0)
    for block in attrgetter(model.family.blocks)(model.module):
        bias = attrgetter(model.family.output)(block).bias
        written = written if bias is None else written + bias
    wanted = run(model.envoy, model.inputs(clean, 1), lambda: model.final_norm.input.clone())
    return _difference(written, wanted)


def _nothing_cut(model: Model, clean: Tensor, other: Tensor) -> tuple[float, float]:
    """Every projection and norm is computed anew, and nothing changes."""
    graph = _finest(model)
    # Not Mask.of no edges: nothing would be written, and the projections would go untested.
    dtype = torch.finfo(model.dtype)
    mask = Mask(Mask.everything(model, graph).cut * max(1e-30, dtype.tiny * dtype.eps))
    found = masked_forward(model, graph, clean, mask, sender_outputs(model, graph, other))[0]
    return _difference(found, _logits(model, clean))


def _everything_cut(model: Model, clean: Tensor, other: Tensor) -> tuple[float, float]:
    """All edges cut; and all but those by which the logits read what senders compute from cut inputs.

    The second shows whether a sender depends on anything but its inputs.
    """
    graph = _finest(model)
    cut = Mask.everything(model, graph).cut.repeat(2, 1, 1)
    cut[1, graph.receiver_index["logits"], len(graph.sources) :] = 0
    found = masked_forward(model, graph, clean, Mask(cut), sender_outputs(model, graph, other))
    return _difference(found, _logits(model, other)[None])


def _logits(model: Model, tokens: Tensor) -> Tensor:
    """Logits of a plain run."""
    return run(model.envoy, model.inputs(tokens), lambda: model.unembed.output.clone())


def _single_heads(model: Model, clean: Tensor, other: Tensor) -> tuple[float, float]:  # noqa: ARG001
    """Queries, keys and values of single heads attend as the whole layer does."""
    projected, wanted = clean_state(model, clean)[1:]
    group = model.shape.n_heads // model.shape.n_kv_heads
    outputs = []
    for layer, (query, key, value) in enumerate(projected):
        shared = (each.repeat_interleave(group, 0)[:, None] for each in (key, value))
        outputs.append(attend(model, layer, query[:, None], *shared)[:, 0])
    return _difference(torch.stack(outputs), torch.stack(wanted))


def _positions(model: Model, clean: Tensor, _: Tensor) -> tuple[float, float]:
    """Without what is added for its position, the embedding of a token is the same everywhere."""
    positions = model.pos_embed(clean.shape[1])
    if positions is None:
        return 0.0, 1.0
    tokens = clean[:, :1].expand_as(clean).contiguous()
    embedded = run(model.envoy, model.inputs(tokens, 1), lambda: model.blocks[0].attention_norm.input.clone())
    alone = embedded - positions
    return float((alone - alone[:, :1]).abs().max()), float(embedded.abs().max())


def _neurons(model: Model, clean: Tensor, _: Tensor) -> tuple[float, float]:
    """What the neurons of each MLP write, and its output projection's bias, sum to what the MLP writes."""
    path = model.family.mlp_output
    if path is None or not model.shape.mlps:
        return 0.0, 1.0

    def body() -> list[tuple[Tensor, Tensor]]:
        return [(block.mlp_output.input.clone(), block.mlp.output.clone()) for block in model.blocks]

    found, wanted = [], []
    blocks = attrgetter(model.family.blocks)(model.module)
    for layer, (activations, output) in enumerate(run(model.envoy, model.inputs(clean, 1), body)):
        bias = getattr(attrgetter(path)(blocks[layer]), "bias", None)
        neurons = activations @ model.neuron_weights(layer)
        found.append(neurons if bias is None else neurons + bias)
        wanted.append(output)
    return _difference(torch.stack(found), torch.stack(wanted))


def _attention_only(model: Model, clean: Tensor, _: Tensor) -> tuple[float, float]:
    """A model whose graph has no MLPs has MLPs that write nothing."""
    if model.shape.mlps:
        return 0.0, 1.0
    outputs = run(
        model.envoy, model.inputs(clean, 1), lambda: [float(b.mlp.output.abs().max()) for b in model.blocks]
    )
    return max(outputs), 1e-30


GUARDS = (
    Guard("C413", "the output projection reads all heads side by side", _width),
    Guard("C414", "blocks add attention and MLP to the residual stream", _additive),
    # Before the sums, which miss what such MLPs write and would say less.
    Guard("C418", "a model without MLPs in its graph has MLPs that write nothing", _attention_only),
    Guard("C415", "embedding, heads, MLPs and biases sum to the final residual stream", _heads),
    Guard("C416", "with no edge cut the model computes the clean run", _nothing_cut),
    Guard("C417", "with all edges cut the model computes the corrupted run", _everything_cut),
    Guard("C420", "what is added for a position is that of the family", _positions),
    Guard("C425", "an MLP's neurons and its bias sum to what it writes", _neurons),
    Guard("C419", "single heads attend as the whole layer does", _single_heads),
)
