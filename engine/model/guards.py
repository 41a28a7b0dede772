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
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils._pytree import tree_map

from nncirc.circuits.errors import MethodError, ModelError, NncircError
from nncirc.circuits.families.family import places
from nncirc.dsl.check.shapes import sizes_of
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
from nncirc.engine.model.structure import entries_of, unknown
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
    """A claim that is tested.

    Attributes:
        code: of the error that is raised where it does not hold.
        holds: the claim.
        fields: of a family's entry that it tests.
    """

    code: str
    holds: str
    fields: tuple[str, ...]


GUARDS = (
    SIDE_BY_SIDE := Guard("C413", "the output projection reads all heads side by side", ("output",)),
    ADDED := Guard(
        "C414",
        "blocks add attention and MLP to the residual stream",
        ("parallel", "residual_scale", "after_attention", "after_mlp", "mlp_writes", "mlp_norm"),
    ),
    SUMMED := Guard(
        "C415",
        "embedding, heads, MLPs and biases sum to the final residual stream",
        ("output", "transposed", "after_attention", "residual_scale"),
    ),
    UNITS_READ := Guard(
        "C416",
        "queries, keys and values are made of what the attention norm gives",
        ("attention_norm", "units", "transposed"),
    ),
    MLP_READS := Guard(
        "C416", "an MLP reads what its norm gives", ("mlp_norm", "attention_norm", "mlp", "parallel")
    ),
    NOTHING_CUT := Guard(
        "C416", "with no edge cut the model computes the clean run", ("attention_norm", "mlp_norm", "units")
    ),
    ALL_CUT := Guard(
        "C417",
        "with all edges cut the model computes the corrupted run",
        ("attention_norm", "mlp_norm", "parallel"),
    ),
    NOTHING_ELSE := Guard(
        "C417",
        "heads depend on their queries, keys and values alone, MLPs and logits on what they read",
        ("units", "attention_norm", "mlp", "mlp_norm", "final_norm"),
    ),
    QUIET := Guard("C418", "a model without MLPs in its graph has MLPs that write nothing", ("mlp",)),
    ALONE := Guard("C416", "single heads attend as the whole layer does", ("attention", "interleaved")),
    FEEDS := Guard(
        "C437",
        "a query, key or value moves its own heads alone, a query its own token alone",
        ("units", "keys"),
    ),
    POSITIONS := Guard(
        "C420", "what is added for a position is that of the family", ("pos_embed", "position_offset")
    ),
    NEURONS := Guard(
        "C425",
        "an MLP's neurons, which its activation function gives, sum to what it writes",
        ("mlp_output", "activation", "gated"),
    ),
    GATED := Guard(
        "C425",
        "a gated MLP multiplies its activation function's output by something linear in what it reads",
        ("gated", "activation"),
    ),
    UNEMBEDDED := Guard(
        "C416", "logits are the final norm's output times the unembedding", ("final_norm", "unembed")
    ),
)


def check(model: Model) -> tuple[dict[str, float], dict[str, str]]:
    """Run all guards; returns the largest relative error of each, and what keeps fast paths from running.

    Raises:
        ModelError: C411, C412, C427, the adapter does not fit at all; C413 to C420, C425 and C426, a guard
            fails; C428, the model's own run overflows.
    """
    found = measure(model)
    return {guard.holds: found.error(guard) for guard in GUARDS}, found.slow


def measure(model: Model) -> Errors:
    """Run all guards, as `check`, which raises the same; returns all that they found."""
    _check_places(model)
    found = Errors(model)
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
        _exchanged(model, torch.cat(rows[:2]), found)
        _check_neurons(model)
        _masked(model, clean, other, logits, found)
    except MethodError as error:
        raise _unfit(model, _in_order(model, error.message)) from None
    except (NncircError, MemoryError):
        raise
    except Exception as error:
        raise _unfit(model, (str(error).strip().splitlines() or [type(error).__name__])[0]) from error
    return found


def guarded(model: Model) -> Model:
    """The model, if the guards let it pass; what they measured is told in `made`.

    One of a type without an adapter is tried by every entry that its modules fit: the first that all guards
    let pass, if there is one where nothing is slow, that one.

    Raises:
        ModelError: C411, no entry fits; otherwise as `check`.
    """
    entries = entries_of(model.module) if model.entry is None else (model.entry,)
    passed: tuple[Model, Errors] | None = None
    failed = ""
    for entry in entries:
        tried = replace(model, entry=entry)
        try:
            errors = measure(tried)
        except ModelError as error:
            if entries in ((None,), (model.entry,)) or error.code in ("C428", "C430"):
                raise
            failed = failed or f"its modules are those of {entry}, but {error.message}"
            continue
        if passed is None or not errors.slow:
            passed = tried, errors
        if not errors.slow:
            break
    if passed is None:
        raise unknown(model.module, failed)
    return _told(*passed)


def _told(model: Model, found: Errors) -> Model:
    by = {} if model.entry is None else {"family": f"{model.entry} (by structure)"}
    passed = {guard.holds: float(f"{found.error(guard):.1e}") for guard in GUARDS}
    facts = {"type": model.module.config.model_type, **by, "d_model": model.d_model, "guards": passed}
    return replace(model, made={**model.made, **facts}, guard=Reach.of(model, found.slow, found.largest))


@dataclass(slots=True)
class Reach:
    """Tries prompts that are longer than those that a model was tried on.

    Attributes:
        tried: the longest prompt so far.
        slow: what cannot be computed by itself, `attention`, `MLPs` or `logits`, and why.
        measured: of every guard the largest relative error, beside what is allowed; zeros where a model has
            nothing that it is about.
    """

    tried: int
    slow: dict[str, str] = field(default_factory=dict)
    measured: dict[Guard, tuple[float, float]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, model: Model, slow: dict[str, str], measured: dict[Guard, tuple[float, float]] | None = None
    ) -> Reach:
        """Of a model that has passed `check`."""
        return cls(min(LONG, _longest(model)), slow, {} if measured is None else measured)

    def __call__(self, model: Model, length: int) -> None:
        """Try a prompt of so many tokens.

        Raises:
            ModelError: C420, positions are embedded otherwise; or another guard fails.
        """
        if length <= self.tried:
            return
        tokens = _tokens(model, length, random.Random(0))
        found = Errors(model, f" in prompts of {length} tokens", f"use at most {self.tried} tokens")
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
    for name, path in places(model.family):
        try:
            model.module.get_submodule(path)
        except AttributeError:
            raise _unfit(model, f"it has no module {path} (`{name}`)") from None
    _equal(model, "layers", len(_modules(model)), model.shape.n_layers, model.family.keys.layers, "layers")


def _check_neurons(model: Model) -> None:
    """The adapter finds in the config as many neurons as there are, as `check` of a script relies on.

    Raises:
        ModelError: C412, it finds another number.
    """
    keys = model.family.keys
    told = sizes_of(model.module.config.to_dict(), model.family)
    if told is None or told.d_mlp is None or model.family.mlp_output is None or not model.shape.mlps:
        return
    _equal(model, "neurons in an MLP", len(model.neuron_weights(0)), told.d_mlp, keys.d_mlp, "d_mlp")


def _equal(model: Model, what: str, found: int, told: int, key: str, field: str) -> None:
    if found != told:
        raise ModelError(
            "C412",
            f"{model.name} has {found} {what}, but its config gives {told} as {key}",
            hint=f"set `{field}` in the `keys` of the family's adapter",
        )


def _unfit(model: Model, why: str) -> ModelError:
    return ModelError(
        "C427",
        f"{model.name} does not run as its adapter declares: {why}",
        hint="this model's family needs its own adapter",
    )


def _in_order(model: Model, message: str) -> str:
    """What went wrong in a trace, with the fields of the adapter that name the module."""
    late = re.match(r"'model\.(.+)\.[a-z]+\.i\d+' was requested but the model already ran past it", message)
    if late is None:
        return message
    path = late[1]
    layer = re.search(r"\.(\d+)\.", path)
    names = [name for name, each in places(model.family, layer[1] if layer else 0) if each == path]
    fields = f" ({', '.join(f'`{name}`' for name in names)})" if names else ""
    return f"it runs {path}{fields} before a module that the adapter places earlier"


@dataclass(slots=True)
class Errors:
    """The largest relative error of every guard so far, and what it may be; one too large is raised.

    Attributes:
        model: that is tried.
        where: what of it, for messages.
        hint: what to do about an error, in place of looking at the adapter.
        largest: of every guard that was tried the error nearest to what is allowed, and this.
        slow: what cannot be computed by itself, and why.
        layer: that is tried.
    """

    model: Model
    where: str = ""
    hint: str = ""
    largest: dict[Guard, tuple[float, float]] = field(default_factory=dict)
    slow: dict[str, str] = field(default_factory=dict)
    layer: int | None = None

    def error(self, guard: Guard) -> float:
        """The largest error of a guard; 0 where the model has nothing that it is about."""
        return self.largest.get(guard, (0.0, 0.0))[0]

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
        except ModelError as error:
            self.slow.setdefault(
                part, error.message.partition(" does not match its adapter ")[2] or error.message
            )
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
        median: bool = False,
    ) -> None:
        """Compare two tensors token by token.

        Args:
            guard: what is tested.
            found: what the engine's mathematics makes.
            wanted: what the model does.
            scale: what errors are relative to; None for the largest number of each token.
            allowed: the largest relative error.
            median: of all tokens, not of every one.

        Raises:
            ModelError: with the guard's code.
        """
        relative = torch.inf
        if found.shape == wanted.shape:
            difference = (found.double() - wanted.double()).abs()
            scale = wanted.abs().amax(-1, keepdim=True) if scale is None else scale
            by_token = (difference / scale.double().clamp_min(1e-30)).amax(-1)
            relative = float(by_token.median() if median else by_token.max())
        error, most = self.largest.get(guard, (-1.0, 1.0))
        if not relative / allowed <= error / most:
            self.largest[guard] = relative, allowed
        if not relative <= allowed:
            layer = "" if self.layer is None else f" in layer {self.layer}"
            fields = ", ".join(f"`{name}`" for name in guard.fields)
            raise ModelError(
                guard.code,
                f"{self.model.name} does not match its adapter{layer}{self.where}: expected that"
                f" {guard.holds}; found a relative error of {relative:.2g}, where {allowed:.2g} is allowed",
                hint=self.hint
                or f"this model's family needs its own adapter, with other values of {fields}; with this one"
                " the results would be wrong",
            )


# The model as a whole, in its own dtype --------------------------------------------------------------------


def _rounding(model: Model) -> float:
    """What is allowed between two computations of all layers in the model's own dtype.

    In half precision, 2000 roundings would be more than the values themselves, and nothing would fail; a
    sound model of 30 layers comes to 0.05. There a router may choose other experts for a token, so half of
    the tokens may be further off: what is exact is tested block by block.
    """
    return min(2000 * model.resolution, 0.25)


def _whole(model: Model, tokens: Int[Tensor, "batch pos"], found: Errors) -> Float[Tensor, "batch pos vocab"]:
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

    logits = run(model.envoy, model.inputs(tokens), body)
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


def _positions(model: Model, tokens: Int[Tensor, "batch pos"], found: Errors) -> None:
    """Where tokens are embedded as zeros, the residual stream begins with what is added for positions."""
    positions = model.pos_embed(tokens.shape[1])
    if positions is None:
        return

    def body() -> Tensor:
        embedded = model.blocks[0].block.input.clone()
        model.skip_logits()
        return embedded

    embedding = model.module.get_input_embeddings()
    hook = embedding.register_forward_hook(lambda *all_of_it: torch.zeros_like(all_of_it[-1]))
    try:
        embedded = run(model.envoy, model.inputs(tokens, 1), body)
    finally:
        hook.remove()
    found.note(POSITIONS, embedded, positions.expand_as(embedded))


def _masked(
    model: Model,
    clean: Int[Tensor, "1 pos"],
    other: Int[Tensor, "1 pos"],
    logits: Float[Tensor, "2 pos vocab"],
    found: Errors,
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
    allowed, half = _rounding(model), model.dtype.itemsize < torch.float32.itemsize
    found.note(NOTHING_CUT, made[0], logits[:1], allowed=allowed, median=half)
    found.note(ALL_CUT, made[1:], logits[1:].expand_as(made[1:]), allowed=allowed, median=half)


# Block by block, in float64 --------------------------------------------------------------------------------


@dataclass(slots=True)
class _Float64:
    """Modules whose weights are in float64 for a while; their own are kept and put back."""

    kept: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def take(self, module: Any) -> None:
        """All of a module."""
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.is_floating_point() and tensor.dtype != torch.float64:
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


def _double(value: Any) -> Any:
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value


def _by_block(model: Model, tokens: Int[Tensor, "row pos"], found: Errors) -> None:
    """One run, in which each block in its turn is in float64 and compared with the engine's mathematics.

    Of four prompts the last two are mixed: every block reads the residual stream of the first or of the
    second prompt, in turn, so that whatever else it depended on (its tokens, what an earlier block
    computed) would give them away. Of one long prompt less is tried.
    """
    mixed = len(tokens) == 4
    attention = attention_of(model, tokens.shape[1])

    def body(upcast: _Float64) -> None:
        stream, sources = torch.empty(0), [0]
        for layer, block, module in _layers(model, found):
            upcast.take(module)
            block.block.inputs = tree_map(_double, block.block.inputs)
            if layer:
                found.note(SUMMED, stream, block.block.input, stream.abs())
            sources = [0, 1, layer % 2, 1 - layer % 2] if mixed else [0]
            block.block.input = given = block.block.input[sources]
            stream = _block(model, layer, block, given, attention[layer], sources, found)
            upcast.give_back()
        found.note(SUMMED, stream, model.final_norm.input, stream.abs())
        if mixed:
            _logits(model, sources, upcast, found)
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


def _layers(model: Model, found: Errors) -> Iterator[tuple[int, Block, Any]]:
    """The blocks, of which messages name the one that is tried."""
    for layer, (block, module) in enumerate(zip(model.blocks, _modules(model), strict=True)):
        found.layer = layer
        yield layer, block, module
    found.layer = None


def _logits(model: Model, sources: Sequence[int], upcast: _Float64, found: Errors) -> None:
    """The logits of some tokens by themselves, at the end of a run.

    Rows of the same source have the same residual stream at the end, and therefore the same logits.
    """
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
    own = model.unembed.output
    found.note(NOTHING_ELSE, own[sources], own, allowed=FLOAT32)
    found.fast("logits", UNEMBEDDED, lambda: (made, own, terms))
    # What comes after is tried on numbers large enough to show a soft cap.
    given = torch.linspace(-100, 100, len(weight), dtype=torch.float64, device=model.device)
    given = given.expand_as(made).clone()
    model.unembed.output = given
    logits = model.logits_output
    found.note(NOTHING_ELSE, logits[sources], logits)
    found.fast("logits", UNEMBEDDED, lambda: (model.logits(given), logits, given.abs() + 1))
    upcast.give_back()


def _block(
    model: Model,
    layer: int,
    block: Block,
    stream: Float[Tensor, "row pos d_model"],
    attends: Attention,
    sources: Sequence[int],
    found: Errors,
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
            found.note(UNITS_READ, alone, units_in(model, made)[:, :1], allowed=10 * FLOAT32)
        for chain, whole in zip(block.chains, made, strict=True):
            again = through(chain, seen)
            found.note(UNITS_READ, again, whole[: len(again)].view(again.shape), allowed=10 * FLOAT32)
        mine = block.mlp_read(middle[:1])
        found.note(MLP_READS, mine, read.view_as(stream)[:1], allowed=10 * FLOAT32)
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


def _exchanged(model: Model, tokens: Int[Tensor, "2 pos"], found: Errors) -> None:
    """What a layer's parts read is exchanged for what they read in another prompt: what that moves.

    One run of rows that share the residual stream before every block, that of the first prompt; only the
    last row has the second's. One row for each query, key and value, which is the second prompt's at one
    token: a value moves its heads in one direction wherever they attend to it; a key does not. One in which
    an MLP reads the mean of both prompts, and one in which everything that reads does so of the second.
    """
    at, count = tokens.shape[1] // 2, len(model.units)
    rows = torch.zeros(count + 4, dtype=torch.long, device=model.device)
    mean, all_of_it, rows[-1] = -3, -2, 1

    def other(envoy: Any, row: int, change: Callable[[Tensor], Tensor]) -> None:
        """What a row reads is made of what all do."""
        old = envoy.input
        read = old.clone().view(len(rows), -1, old.shape[-1])
        read[row] = change(read)
        envoy.input = read.view(old.shape)

    def body(upcast: _Float64) -> None:
        for _, block, module in _layers(model, found):
            upcast.take(module)
            block.block.inputs = tree_map(_double, block.block.inputs)
            block.block.input = block.block.input[rows * (len(rows) - 1)]
            stream = block.block.input
            for chain, projection in enumerate(block.projections):
                made = projection.output.clone()
                flat = made.view(len(rows), tokens.shape[1], -1)
                flat[all_of_it] = flat[-1]
                for number, unit in enumerate(model.units):
                    if chain in unit.columns:
                        columns = list(unit.columns[chain])
                        flat[number + 1, at, columns] = flat[-1, at, columns]
                projection.output = made
            z = block.output.input
            found.note(NOTHING_ELSE, z[all_of_it], z[-1], allowed=FLOAT32)
            _moved(model, by_head(model, z)[:, : count + 1], at, found)
            reads = block.mlp if block.parallel or block.mlp_norm is None else block.mlp_norm
            other(reads, all_of_it, lambda read: read[-1])
            other(block.mlp, mean, lambda read: (read[0] + read[-1]) / 2)
            _gate(model, block, len(rows), mean, found)
            mlp = mlp_written(block, stream)
            found.note(NOTHING_ELSE, mlp[all_of_it], mlp[-1], allowed=FLOAT32)
            _ = block.block.output
            upcast.give_back()
        _end(model, upcast)

    _in_float64(model, tokens[rows], body)


def _moved(model: Model, z: Float[Tensor, "head row pos d_value"], at: int, found: Errors) -> None:
    """Of each row but the first another query, key or value is exchanged at one token: which heads moved."""
    shape = model.shape
    change = (z[:, 1:] - z[:, :1]) / z.abs().amax((1, 2, 3))[:, None, None, None].clamp_min(1e-30)
    for number, unit in enumerate(model.units):
        of = [head if unit.kind == "q" else shape.kv_of(head) for head in range(shape.n_heads)]
        fed = torch.tensor([index == unit.number for index in of], device=model.device)
        here = change[fed, number]
        still = [change[~fed, number].flatten()]
        if unit.kind == "q":
            still.append(here[:, [i for i in range(here.shape[1]) if i != at]].flatten())
        elif unit.kind == "v" and min(here.shape[1:]) > 1:
            still.append(torch.linalg.svdvals(here)[:, 1:].flatten() * EXACT / FLOAT32)
        moved = torch.cat(still)
        if len(moved):
            found.note(FEEDS, moved, torch.zeros_like(moved), torch.ones_like(moved))


def _gate(model: Model, block: Block, rows: int, mean: int, found: Errors) -> None:
    """What an activation is multiplied by is linear: where the MLP reads a mean, it is the mean of both.

    Args:
        model: the model.
        block: one of its blocks.
        rows: how many there are.
        mean: the row in which the MLP reads the mean of what it does in the first and in the last.
        found: what is found.
    """
    family, activation = model.family, _activation(model, block)
    if family.gated is None or activation is None or not model.shape.mlps:
        return
    product = attrgetter(family.gated)(block.block).input
    if product.shape != activation.shape:
        found.note(GATED, product, activation)
    activation = activation.reshape(rows, -1)
    large = (activation.abs() > 1e-3 * activation.abs().max())[[0, mean, -1]].all(0)
    gate = product.reshape(rows, -1)[:, large] / activation[:, large]
    found.note(GATED, gate[mean], (gate[0] + gate[-1]) / 2, gate[0].abs() + gate[-1].abs(), allowed=FLOAT32)
    if torch.allclose(gate[0], gate[-1]):  # it is no gate
        found.note(GATED, gate[:1] + torch.inf, gate[:1])


def _activation(model: Model, block: Block) -> Tensor | None:
    """What the activation function of a block's MLP gives, where it is a module."""
    path = model.family.activation
    return None if path is None else attrgetter(path)(block.block).output.clone()


def _bias(model: Model, layer: int, path: str, like: Tensor) -> Tensor:
    """The bias of a block's module; zeros if it has none."""
    block = attrgetter(model.family.blocks)(model.module)[layer]
    bias: Tensor | None = getattr(attrgetter(path)(block), "bias", None)
    return torch.zeros_like(like[0, 0]) if bias is None else bias
