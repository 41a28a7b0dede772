"""Guards: what has to hold for the engine's numbers to be right, tested on every model when it is loaded.

A family's adapter says where a model keeps its parts; it cannot say that the model adds them up the way
the engine's mathematics assumes. So the model is run on a few tokens and compared with that mathematics:

- block by block in float64, whatever the model's own dtype: a few kilobytes of activations, and at no time
  more than one block's weights are held a second time. Every token is compared by itself, and what is added
  up is compared number by number with what was added, so that one huge activation hides nothing;
- as a whole in its own dtype, by the masked forward itself.

Attention may reach only so far back, which a short prompt does not show. `Reach` tests it again when a
prompt comes that is longer than all before.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils._pytree import tree_map

from nncirc.circuits.errors import MethodError, ModelError, NncircError
from nncirc.engine.model.configs import impossible
from nncirc.engine.model.layer import (
    Attention,
    attention_of,
    by_head,
    mlp_written,
    neurons_written,
    project,
    shared,
    split,
    through,
    units_in,
    z_written,
)
from nncirc.engine.model.model import Block, Model, first_of
from nncirc.engine.model.tracing import run
from nncirc.engine.runs.capture import sender_outputs
from nncirc.engine.runs.masked_forward import Mask, masked_forward

COLUMNS = 64
"""Of the vocabulary, tried in float64."""

SHORT, LONG = 7, 40
"""Tokens of the prompts that everything, and that attention's reach is tried on."""

EXACT = 1e-9
"""How far equal numbers may be apart in float64, relative to what they are made of."""

FLOAT32 = 1e-5
"""Likewise where models compute in float32 on the way: a softmax, a rotation, a norm."""


@dataclass(frozen=True, slots=True)
class Guard:
    """The code of an error, and what must hold for it not to be raised."""

    code: str
    holds: str


GUARDS = (
    SIDE_BY_SIDE := Guard("C413", "the output projection reads all heads side by side"),
    ADDED := Guard("C414", "blocks add attention and MLP to the residual stream"),
    SUMMED := Guard("C415", "embedding, heads, MLPs and biases sum to the final residual stream"),
    NOTHING_CUT := Guard("C416", "with no edge cut the model computes the clean run"),
    ALL_CUT := Guard("C417", "with all edges cut the model computes the corrupted run"),
    QUIET := Guard("C418", "a model without MLPs in its graph has MLPs that write nothing"),
    ALONE := Guard("C416", "single heads attend as the whole layer does"),
    FEEDS := Guard("C437", "a query, key or value moves its own heads alone, a query its own token alone"),
    POSITIONS := Guard("C420", "what is added for a position is that of the family"),
    NEURONS := Guard("C425", "an MLP's neurons, which its activation function gives, sum to what it writes"),
    UNEMBEDDED := Guard("C416", "logits are the final norm's output times the unembedding"),
)

HINT = "this model's family needs its own adapter; with this one the results would be wrong"


def check(model: Model) -> tuple[dict[str, float], dict[str, str]]:
    """Run all guards; returns the largest relative error of each, and what keeps fast paths from running.

    Raises:
        ModelError: C411, C412, C427, the adapter does not fit at all; C413 to C420, C425 and C426, a guard
            fails; C428, the model's own run overflows.
    """
    _check_places(model)
    found = _Errors(model)
    draw = random.Random(0)
    rows = [_tokens(model, SHORT, draw) for _ in range(4)]
    clean, other = rows[0], rows[1]
    try:
        with torch.no_grad():
            model.module(**model.inputs(clean, 1))
    except Exception as error:  # noqa: BLE001 - a module made of a wrong config raises anything
        raise impossible(model.name, error, run=True) from None
    try:
        logits = _whole(model, torch.cat([clean, other]), found)
        _positions(model, _tokens(model, LONG, draw), found)
        _by_block(model, torch.cat(rows), found)
        _by_block(model, _tokens(model, LONG, draw), found)
        _units(model, torch.cat(rows[:2]), found)
    except (NncircError, MemoryError):
        raise
    except Exception as error:
        raise _unfit(model, (str(error).strip().splitlines() or [type(error).__name__])[0]) from error
    _masked(model, clean, other, logits, found)
    return {guard.holds: found.largest.get(guard, 0.0) for guard in GUARDS}, found.slow


@dataclass(slots=True)
class Reach:
    """Tries prompts that are longer than those that a model was tried on.

    Attributes:
        tried: the longest prompt so far.
        slow: what cannot be computed by itself, `attention`, `MLPs` or `logits`, and why.
    """

    tried: int
    slow: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, model: Model, slow: dict[str, str]) -> Reach:
        """Of a model that has passed `check`."""
        return cls(min(LONG, _longest(model)), slow)

    def __call__(self, model: Model, length: int) -> None:
        """Try a prompt of so many tokens.

        Raises:
            ModelError: C420, positions are embedded otherwise; or another guard fails.
        """
        if length <= self.tried:
            return
        tokens = _tokens(model, length, random.Random(0))
        found = _Errors(model, f" in prompts of {length} tokens", f"use at most {self.tried} tokens")
        _positions(model, tokens, found)
        _by_block(model, tokens, found)
        self.tried = length
        self.slow.update(found.slow)


def _longest(model: Model) -> int:
    return int(getattr(model.module.config, "max_position_embeddings", None) or LONG)


def _tokens(model: Model, length: int, draw: random.Random) -> Int[Tensor, "1 pos"]:
    drawn = [draw.randrange(model.vocabulary) for _ in range(min(length, _longest(model)))]
    return torch.tensor([drawn], device=model.device)


def _check_places(model: Model) -> None:
    """The modules that the adapter names are there."""
    family = model.family
    where = (family.blocks, family.final_norm, family.unembed, family.pos_embed)
    inside = (
        family.attention_norm,
        family.attention,
        family.output,
        family.after_attention,
        family.mlp_norm,
        family.mlp,
        family.mlp_writes,
        family.after_mlp,
        family.mlp_output,
        family.activation,
        family.gated,
        *(step for chain in family.units.chains for step in chain if isinstance(step, str)),
    )
    paths = [*filter(None, where), *(f"{family.blocks}.0.{path}" for path in inside if path)]
    for path in paths:
        try:
            model.module.get_submodule(path)
        except AttributeError:
            raise _unfit(model, f"it has no module {path}") from None


def _unfit(model: Model, why: str) -> ModelError:
    return ModelError(
        "C427",
        f"{model.name} does not run as its adapter declares: {why}",
        hint="this model's family needs its own adapter",
    )


@dataclass(slots=True)
class _Errors:
    """The largest relative error of every guard so far; one that is too large is raised."""

    model: Model
    where: str = ""
    hint: str = HINT
    largest: dict[Guard, float] = field(default_factory=dict)
    slow: dict[str, str] = field(default_factory=dict)

    def fast(
        self,
        part: str,
        guard: Guard,
        find: Callable[[], tuple[Tensor, Tensor, Tensor | None]],
        allowed: float = EXACT,
    ) -> None:
        """Like `note`, of what only the fast paths need: where it does not hold they are not taken.

        `find` gives what the engine makes, what the model does, and what errors are relative to.
        """
        try:
            found, wanted, scale = find()
            self.note(guard, found, wanted, scale, allowed=allowed)
        except (MemoryError, KeyboardInterrupt):
            raise
        except Exception as error:  # noqa: BLE001 - modules that are called another way raise anything
            self.slow.setdefault(part, (str(error).splitlines() or [type(error).__name__])[0])

    def note(
        self,
        guard: Guard,
        found: Tensor,
        wanted: Tensor,
        scale: Tensor | None = None,
        *,
        allowed: float = EXACT,
    ) -> None:
        """Compare two tensors token by token.

        Args:
            guard: what is tested.
            found: what the engine's mathematics makes.
            wanted: what the model does.
            scale: what errors are relative to; None for the largest number of each token.
            allowed: the largest relative error.

        Raises:
            ModelError: with the guard's code.
        """
        relative = torch.inf
        if found.shape == wanted.shape:
            difference = (found.double() - wanted.double()).abs()
            scale = wanted.abs().amax(-1, keepdim=True) if scale is None else scale
            relative = float((difference / scale.double().clamp_min(1e-30)).max())
        if not relative <= allowed:
            raise ModelError(
                guard.code,
                f"{self.model.name} does not match its adapter{self.where}: expected that {guard.holds};"
                f" found a relative error of {relative:.2g}, where {allowed:.2g} is allowed",
                hint=self.hint,
            )
        self.largest[guard] = max(self.largest.get(guard, 0.0), relative)


# The model as a whole, in its own dtype --------------------------------------------------------------------


def _rounded(model: Model) -> float:
    """What is allowed where two numbers differ by a few roundings."""
    return 10 * torch.finfo(model.dtype).eps


def _rounding(model: Model) -> float:
    """What is allowed between two computations of all layers in the model's own dtype.

    In half precision, 2000 roundings would be more than the values themselves, and nothing would fail; a
    sound model of 30 layers comes to 0.05.
    """
    return min(2000 * model.resolution, 0.25)


def _whole(
    model: Model, tokens: Int[Tensor, "batch pos"], found: _Errors
) -> Float[Tensor, "batch pos vocab"]:
    """Logits of a plain run, in which the parts of every block are reached, and in order."""
    width = torch.tensor([model.outs[0].flatten(0, 1).shape[0]])

    def body() -> Tensor:
        for layer, block in enumerate(model.blocks):
            stream = block.block.input
            _ = [projection.output for projection in block.projections]
            found.note(SIDE_BY_SIDE, width, torch.tensor([block.output.input.shape[-1]]))
            _ = z_written(model, layer, block, block.output.input), block.middle(stream)
            _ = block.mlp.input, _activation(model, block)
            _ = None if block.mlp_output is None else block.mlp_output.input
            _ = mlp_written(block, stream), block.block.output
        _ = model.final_norm.output
        return model.logits_output.clone()

    try:
        logits = run(model.envoy, model.inputs(tokens), body)
    except MethodError as error:
        raise _unfit(model, error.message) from None
    if not torch.isfinite(logits).all():
        raise ModelError(
            "C428",
            f"a plain run of {model.name} in {str(model.dtype).removeprefix('torch.')} gives logits that are"
            " not finite",
            hint="load it with dtype = float32 or bfloat16: float16 ends at 65,504"
            if model.dtype == torch.float16
            else "use the config.json saved with the weights, or copy the weights again",
        )
    return logits


def _positions(model: Model, tokens: Int[Tensor, "batch pos"], found: _Errors) -> None:
    """Without what is added for its position, the embedding of a token is the same everywhere."""
    positions = model.pos_embed(tokens.shape[1])
    if positions is None:
        return
    same = tokens[:, :1].expand_as(tokens).contiguous()

    def body() -> Tensor:
        embedded = model.blocks[0].block.input.clone()
        model.skip_logits()
        return embedded

    embedded = run(model.envoy, model.inputs(same, 1), body)
    alone = embedded.double() - positions.double()
    terms = embedded.abs() + positions.abs()
    first = alone[:, :1].expand_as(alone)
    found.note(POSITIONS, alone, first, terms + terms[:, :1], allowed=_rounded(model))


def _masked(
    model: Model,
    clean: Int[Tensor, "1 pos"],
    other: Int[Tensor, "1 pos"],
    logits: Float[Tensor, "2 pos vocab"],
    found: _Errors,
) -> None:
    """The masked forward with no edge cut, with all cut, and with all but those into the logits.

    In the last the logits read what senders compute from cut inputs: it shows whether a sender depends on
    anything but its inputs.
    """
    graph = model.graph(pos_embed=model.family.pos_embed is not None)
    everything = Mask.everything(model, graph).cut
    # Not zeros: nothing would be written, and the projections would go untested.
    finite = torch.finfo(model.dtype)
    nothing = everything * max(1e-30, finite.tiny * finite.eps)
    senders = everything.clone()
    senders[:, graph.receiver_index["logits"], len(graph.sources) :] = 0
    cut = Mask(torch.cat([nothing, everything, senders]))
    made = masked_forward(model, graph, clean, cut, sender_outputs(model, graph, other))
    found.note(NOTHING_CUT, made[0], logits[:1], allowed=_rounding(model))
    found.note(ALL_CUT, made[1:], logits[1:].expand_as(made[1:]), allowed=_rounding(model))


# Block by block, in float64 --------------------------------------------------------------------------------


@dataclass(slots=True)
class _Float64:
    """Modules whose weights are in float64 for a while; their own are kept and put back."""

    kept: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def take(self, module: Any, without: Any = None) -> None:
        """All of a module, or all but one within it."""
        left = set() if without is None else {id(tensor) for tensor in _tensors(without)}
        for tensor in _tensors(module):
            if id(tensor) not in left and tensor.is_floating_point() and tensor.dtype != torch.float64:
                self.kept.append((tensor, tensor.data))
                tensor.data = tensor.data.double()

    def first(self, module: Any, rows: int) -> None:
        """Only the first rows of the module's own tensors: of the vocabulary."""
        for tensor in module.parameters():
            self.kept.append((tensor, tensor.data))
            tensor.data = tensor.data[:rows].double()

    def give_back(self) -> None:
        while self.kept:
            tensor, own = self.kept.pop()
            tensor.data = own


def _tensors(module: Any) -> tuple[Tensor, ...]:
    return *module.parameters(), *module.buffers()


def _double(value: Any) -> Any:
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value


def _by_block(model: Model, tokens: Int[Tensor, "row pos"], found: _Errors) -> None:
    """One run, in which each block in its turn is in float64 and compared with the engine's mathematics.

    Of four prompts the last two are mixed: every block reads the residual stream of the first or of the
    second prompt, in turn, so that whatever else it depended on (its tokens, what an earlier block
    computed) would give them away. Of one long prompt less is tried.
    """
    mixed = len(tokens) == 4
    attention = attention_of(model, tokens.shape[1])

    def body(upcast: _Float64) -> None:
        stream: Tensor | None = None
        for layer, (block, module) in enumerate(zip(model.blocks, _modules(model), strict=True)):
            upcast.take(module)
            block.block.inputs = tree_map(_double, block.block.inputs)
            if stream is not None:
                found.note(SUMMED, stream, block.block.input, stream.abs())
            sources = [0, 1, layer % 2, 1 - layer % 2] if mixed else [0]
            block.block.input = given = block.block.input[sources]
            stream = _block(model, layer, block, given, attention[layer], sources, found)
            upcast.give_back()
        assert stream is not None
        found.note(SUMMED, stream, model.final_norm.input, stream.abs())
        if mixed:
            _logits(model, upcast, found)
        else:
            _end(model, upcast)

    _in_float64(model, tokens, body)


def _in_float64(model: Model, tokens: Tensor, body: Callable[[_Float64], None]) -> None:
    upcast = _Float64()
    experts = getattr(model.module.config, "_experts_implementation", None) or "eager"
    try:
        if experts != "eager":  # the fast ones know no float64
            model.module.set_experts_implementation("eager")
        run(model.envoy, model.inputs(tokens), lambda: body(upcast))
    finally:
        upcast.give_back()
        if experts != "eager":
            model.module.set_experts_implementation(experts)


def _end(model: Model, upcast: _Float64) -> None:
    """Nothing more is looked at: the final norm reads float64, and there are no logits."""
    upcast.take(attrgetter(model.family.final_norm)(model.module))
    model.skip_logits()
    upcast.give_back()


def _modules(model: Model) -> Any:
    return attrgetter(model.family.blocks)(model.module)


def _logits(model: Model, upcast: _Float64, found: _Errors) -> None:
    """The logits of some tokens by themselves, at the end of a run."""
    norm, unembed = (attrgetter(p)(model.module) for p in (model.family.final_norm, model.family.unembed))
    upcast.take(norm)
    normed = model.final_norm.output
    found.fast("logits", UNEMBEDDED, lambda: (normed, model.unembed.input, None))
    upcast.give_back()
    upcast.first(unembed, COLUMNS)
    weight, bias = unembed.weight, getattr(unembed, "bias", None)
    made, terms = normed @ weight.T, normed.abs() @ weight.T.abs()
    if bias is not None:
        made, terms = made + bias, terms + bias.abs()
    found.fast("logits", UNEMBEDDED, lambda: (made, model.unembed.output, terms))
    # What comes after is tried on numbers large enough to show a soft cap.
    given = torch.linspace(-100, 100, len(weight), dtype=torch.float64, device=model.device)
    given = given.expand_as(made).clone()
    model.unembed.output = given
    logits = model.logits_output
    found.fast("logits", UNEMBEDDED, lambda: (model.logits(given), logits, given.abs() + 1))
    upcast.give_back()


def _block(
    model: Model,
    layer: int,
    block: Block,
    stream: Float[Tensor, "row pos d_model"],
    attends: Attention,
    sources: Sequence[int],
    found: _Errors,
) -> Float[Tensor, "row pos d_model"]:
    """Compare a block with the engine's mathematics; returns what it makes of the residual stream."""
    shape, mixed = model.shape, len(sources) > 1
    made = [projection.output.clone() for projection in block.projections]
    raw = block.output.input.clone()
    z = z_written(model, layer, block, raw)
    attention = block.attention_end.output.clone() * block.scale
    middle = block.middle(stream).clone()
    read = block.mlp.input.clone()
    activation = _activation(model, block) if mixed and model.family.gated is None else None
    neurons = neurons_written(model, layer, block).clone() if mixed and block.mlp_output is not None else None
    mlp = mlp_written(block, stream).clone()
    after = first_of(block.block.output).clone()

    if not block.parallel:
        found.note(ADDED, stream + attention, middle, stream.abs() + attention.abs())
    terms = stream.abs() + attention.abs() + mlp.abs()
    found.note(ADDED, stream + attention + mlp, after, terms)
    if not shape.mlps:
        found.note(QUIET, torch.zeros_like(mlp), mlp)
    out = model.head_out(layer).flatten(0, 1)
    bias = _bias(model, layer, model.family.output, attention) * block.scale
    allowed = EXACT if block.after_attention is None else FLOAT32
    found.note(SUMMED, z @ out + bias, attention, z.abs() @ out.abs() + bias.abs(), allowed=allowed)
    if mixed:
        for part in (attention, mlp):
            found.note(ALL_CUT, part[sources], part, allowed=FLOAT32)
        # Of one prompt: each part computed anew, as the masked forward and ACDC compute it. A norm that
        # computes in float32 may round otherwise among fewer prompts.
        seen = block.attention_read(stream[:1])
        if model.linear:
            alone = torch.cat(project(model.head_weights(layer), seen.expand(len(model.units), *seen.shape)))
            found.note(NOTHING_CUT, alone, units_in(model, made)[:, :1], allowed=10 * FLOAT32)
        for chain, whole in zip(block.chains, made, strict=True):
            again = through(chain, seen)
            found.note(NOTHING_CUT, again, whole[: len(again)].view(again.shape), allowed=10 * FLOAT32)
        mine = block.mlp_read(middle[:1])
        found.note(NOTHING_CUT, mine, read.view_as(stream)[:1], allowed=10 * FLOAT32)
        found.fast("MLPs", ALONE, lambda: (block.mlp_adds(middle[:1]), mlp[:1], None), 10 * FLOAT32)
    if neurons is not None and shape.mlps:
        rows = model.neuron_weights(layer)
        bias = _bias(model, layer, str(model.family.mlp_output), mlp) * block.scale
        neurons = neurons.view(*stream.shape[:2], -1)
        found.note(
            NEURONS, neurons @ rows + bias, mlp, neurons.abs() @ rows.abs() + bias.abs(), allowed=allowed
        )
        if activation is not None:
            found.note(NEURONS, activation.view(neurons.shape), neurons)
    found.fast("attention", ALONE, lambda: _alone(model, attends, made, raw), FLOAT32)
    return after


def _alone(
    model: Model, attends: Attention, made: Sequence[Tensor], z: Tensor
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Single heads by themselves, what the layer makes, and the largest values of each head.

    Attention is a mean of values, so that no error is small beside the largest of them.
    """
    query, key, value = split(model.shape, units_in(model, made))
    attends = replace(attends, rotary=tree_map(_double, attends.rotary), mask=_double(attends.mask))
    key, value = (shared(model.shape, each) for each in (attends.turned(key, 1), value))
    alone = attends.attend(attends.turned(query, 0)[:, None], key[:, None], value[:, None])[:, 0]
    return alone, by_head(model, z), value.abs().amax((-2, -1), keepdim=True)


def _units(model: Model, tokens: Int[Tensor, "2 pos"], found: _Errors) -> None:
    """Each query, key and value of every layer exchanged by itself at one token: which heads that moves.

    One run, of a row for each of them; every block reads the residual stream of the same prompt in all rows
    but the last. A value moves its heads in one direction wherever they attend to it; a key does not.
    """
    shape, at, count = model.shape, tokens.shape[1] // 2, len(model.units)
    rows = torch.zeros(count + 2, dtype=torch.long, device=model.device)
    rows[-1] = 1

    def body(upcast: _Float64) -> None:
        for block, module in zip(model.blocks, _modules(model), strict=True):
            upcast.take(module)
            block.block.inputs = tree_map(_double, block.block.inputs)
            block.block.input = block.block.input[rows * (count + 1)]
            for chain, projection in enumerate(block.projections):
                made = projection.output.clone()
                flat = made.view(count + 2, tokens.shape[1], -1)
                for number, unit in enumerate(model.units):
                    if chain in unit.columns:
                        columns = list(unit.columns[chain])
                        flat[number + 1, at, columns] = flat[-1, at, columns]
                projection.output = made
            z = by_head(model, block.output.input)
            change = (z[:, 1:-1] - z[:, :1]) / z.abs().amax((1, 2, 3))[:, None, None, None].clamp_min(1e-30)
            for number, unit in enumerate(model.units):
                of = [head if unit.kind == "q" else shape.kv_of(head) for head in range(shape.n_heads)]
                fed = torch.tensor([index == unit.number for index in of], device=model.device)
                here = change[fed, number]
                still = [change[~fed, number].flatten()]
                if unit.kind == "q":
                    still.append(here[:, [i for i in range(tokens.shape[1]) if i != at]].flatten())
                elif unit.kind == "v" and min(here.shape[1:]) > 1:
                    still.append(torch.linalg.svdvals(here)[:, 1:].flatten() * EXACT / FLOAT32)
                moved = torch.cat(still)
                if len(moved):
                    found.note(FEEDS, moved, torch.zeros_like(moved), torch.ones_like(moved))
            _ = block.block.output
            upcast.give_back()
        _end(model, upcast)

    _in_float64(model, tokens[rows], body)


def _activation(model: Model, block: Block) -> Tensor | None:
    """What the activation function of a block's MLP gives, where it is a module."""
    path = model.family.activation
    return None if path is None else attrgetter(path)(block.block).output.clone()


def _bias(model: Model, layer: int, path: str, like: Tensor) -> Tensor:
    """The bias of a block's module; zeros if it has none."""
    block = attrgetter(model.family.blocks)(model.module)[layer]
    bias: Tensor | None = getattr(attrgetter(path)(block), "bias", None)
    return torch.zeros_like(like[0, 0]) if bias is None else bias
