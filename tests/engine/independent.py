"""Patching, edge attribution and ACDC with plain hooks on modules of transformers, and nothing of the engine.

Only what the papers say, and the places in a few families' modules. Every edge into a receiver r may carry
another run's values: r reads `stream + Σ weight · (other − own)` over senders that were computed before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Outputs = dict[str, Tensor]
Cut = dict[str, dict[str, Any]]
"""By receiver and sender, how much of the edge is the other run's."""


@dataclass(frozen=True)
class Places:
    """Where a family keeps its parts, as paths in a block, or in the model.

    Attributes:
        units: what makes queries, keys and values: one path, or one each.
        by_group: whether one path makes them group after group, and not all queries, then keys, then values.
        after: the norms of what attention and MLP add.
    """

    blocks: str
    final_norm: str
    norms: tuple[str, str | None]
    units: tuple[str, ...]
    output: str
    by_group: bool = False
    parallel: bool = False
    after: tuple[str, str] | None = None


_QKV = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
_NORMS = ("input_layernorm", "post_attention_layernorm")
PLACES = {
    "gpt2": Places("transformer.h", "transformer.ln_f", ("ln_1", "ln_2"), ("attn.c_attn",), "attn.c_proj"),
    "llama": Places("model.layers", "model.norm", _NORMS, _QKV, "self_attn.o_proj"),
    "phi3": Places("model.layers", "model.norm", _NORMS, ("self_attn.qkv_proj",), "self_attn.o_proj"),
    "gpt_neox": Places(
        "gpt_neox.layers",
        "gpt_neox.final_layer_norm",
        _NORMS,
        ("attention.query_key_value",),
        "attention.dense",
        by_group=True,
        parallel=True,
    ),
    "cohere": Places(
        "model.layers", "model.norm", ("input_layernorm", None), _QKV, "self_attn.o_proj", parallel=True
    ),
    "gemma2": Places(
        "model.layers",
        "model.norm",
        ("input_layernorm", "pre_feedforward_layernorm"),
        _QKV,
        "self_attn.o_proj",
        after=("post_attention_layernorm", "post_feedforward_layernorm"),
    ),
}


@dataclass
class Plain:
    """A module of transformers, with the nodes and edges of its graph."""

    module: Any
    places: Places
    heads: int = field(init=False)
    groups: int = field(init=False)
    width: int = field(init=False)

    def __post_init__(self) -> None:
        config = self.module.config
        self.heads = config.num_attention_heads
        self.groups = getattr(config, "num_key_value_heads", None) or self.heads
        self.width = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self.blocks = list(self.module.get_submodule(self.places.blocks))

    def senders(self, layers: int | None = None) -> list[str]:
        """Those of the first layers, or of all, in the order in which they write."""
        found = ["embed"]
        for layer in range(len(self.blocks) if layers is None else layers):
            found += [*(f"L{layer}H{head}" for head in range(self.heads)), f"MLP{layer}"]
        return found

    def units(self, layer: int) -> dict[str, tuple[str, slice]]:
        """The queries, keys and values of a layer: which columns of what a module makes."""
        paths, wide, share = self.places.units, self.width, self.heads // self.groups
        shared = "KV" if self.groups < self.heads else "H"
        found = {}
        for kind, (letter, count) in enumerate((("q", self.heads), ("k", self.groups), ("v", self.groups))):
            for index in range(count):
                if self.places.by_group:
                    group, place = divmod(index, share) if kind == 0 else (index, share + kind - 1)
                    at = group * (share + 2) + place
                else:
                    before = (0, self.heads, self.heads + self.groups)[kind] if len(paths) == 1 else 0
                    at = before + index
                name = f"L{layer}{'H' if letter == 'q' else shared}{index}.{letter}"
                found[name] = paths[kind if len(paths) > 1 else 0], slice(at * wide, (at + 1) * wide)
        return found

    def receivers(self) -> list[str]:
        """In the order in which they read."""
        layers = range(len(self.blocks))
        return [*(name for n in layers for name in (*self.units(n), f"MLP{n}")), "logits"]

    def before(self, receiver: str) -> list[str]:
        """The senders that a receiver reads."""
        if receiver == "logits":
            return self.senders()
        layer = int(receiver.removeprefix("MLP").removeprefix("L").split("H")[0].split("KV")[0])
        own = self.heads if receiver.startswith("MLP") and not self.places.parallel else 0
        return self.senders()[: len(self.senders(layer)) + own]

    def feeds(self, receiver: str) -> list[str]:
        """The senders that are computed from what a receiver reads."""
        name, _, kind = receiver.partition(".")
        if not kind:
            return [] if name == "logits" else [name]
        layer, mark, index = name.partition("KV")
        share = self.heads // self.groups
        return [f"{layer}H{int(index) * share + i}" for i in range(share)] if mark else [name]

    def run(
        self,
        tokens: Tensor,
        *,
        cut: Cut | None = None,
        patch: Outputs | None = None,
        other: Outputs | None = None,
    ) -> tuple[Tensor, Outputs]:
        """Logits of a run, and what every sender wrote.

        Args:
            tokens: the prompts.
            cut: of which edges how much carries the other run's values.
            patch: what nodes write instead.
            other: what senders wrote in the other run.
        """
        out: Outputs = {}
        with _hooks() as on:
            for layer, block in enumerate(self.blocks):
                self._hook_block(on, layer, block, cut or {}, patch or {}, other or {}, out)
            norm = self.module.get_submodule(self.places.final_norm)
            on(norm, lambda read: read + _change("logits", cut or {}, other or {}, out), before=True)
            logits: Tensor = self.module(input_ids=tokens, use_cache=False).logits
        return logits, out

    def _hook_block(
        self, on: Any, layer: int, block: Any, cut: Cut, patch: Outputs, other: Outputs, out: Outputs
    ) -> None:
        first: Any = block.get_submodule(self.places.norms[0])
        second: Any = None if self.places.norms[1] is None else block.get_submodule(self.places.norms[1])
        output, mlp = block.get_submodule(self.places.output), f"MLP{layer}"
        kept: Outputs = {}

        def begins(stream: Tensor) -> Tensor:
            if layer == 0:
                stream = out["embed"] = patch.get("embed", stream)
            kept["stream"] = stream
            return stream

        def made(path: str) -> Callable[[Tensor], Tensor]:
            def changed(old: Tensor) -> Tensor:
                new = old.clone()
                for name, (of, columns) in self.units(layer).items():
                    if of == path and cut.get(name):
                        read = first.forward(kept["stream"] + _change(name, cut, other, out))
                        new[..., columns] = block.get_submodule(path).forward(read)[..., columns]
                return new

            return changed

        def heads(z: Tensor) -> Tensor:
            weight = output.weight if type(output).__name__ == "Conv1D" else output.weight.T
            for head, (part, rows) in enumerate(
                zip(z.split(self.width, -1), weight.split(self.width), strict=True)
            ):
                out[f"L{layer}H{head}"] = part @ rows
            return z

        def attention(written: Tensor, raw: Tensor | None = None) -> Tensor:
            for name in [f"L{layer}H{head}" for head in range(self.heads)]:
                if raw is not None:  # a norm gives each head its share, entry by entry
                    out[name] = out[name] * (written / raw)
                if name in patch:
                    written, out[name] = written + patch[name] - out[name], patch[name]
            return written

        def writes(written: Tensor) -> Tensor:
            out[mlp] = patch.get(mlp, written)
            return out[mlp]

        on(block, begins, before=True)
        for path in self.places.units:
            on(block.get_submodule(path), made(path))
        on(output, heads, before=True)
        if self.places.after is None:
            on(output, attention)
            on(block.mlp, writes)
        else:
            norms = [block.get_submodule(name) for name in self.places.after]
            on(norms[0], attention, both=True)
            on(norms[1], writes)
        if self.places.parallel:
            norm = first if second is None else second
            on(block.mlp, lambda _: norm.forward(kept["stream"] + _change(mlp, cut, other, out)), before=True)
        else:
            on(second, lambda read: read + _change(mlp, cut, other, out), before=True)


def _change(receiver: str, cut: Cut, other: Outputs, out: Outputs) -> Any:
    return sum(weight * (other[sender] - out[sender]) for sender, weight in cut.get(receiver, {}).items())


@contextmanager
def _hooks() -> Iterator[Callable[..., None]]:
    """What changes the first input of a module, or its output; it is taken away at the end."""
    handles: list[Any] = []

    def on(module: Any, change: Callable[..., Tensor], *, before: bool = False, both: bool = False) -> None:
        def enters(_: Any, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
            if inputs:
                return (change(inputs[0]), *inputs[1:]), options
            return inputs, {**options, "hidden_states": change(options["hidden_states"])}

        def leaves(_: Any, inputs: tuple[Any, ...], given: Any) -> Any:
            return change(given, inputs[0]) if both else change(given)

        made = module.register_forward_pre_hook(enters, with_kwargs=True) if before else None
        handles.append(made or module.register_forward_hook(leaves))

    try:
        yield on
    finally:
        for handle in handles:
            handle.remove()


Value = Callable[[Tensor], Tensor]
"""A number of logits, the larger the better."""


def node_patches(model: Plain, tokens: Tensor, other: Outputs, value: Value) -> dict[str, float]:
    """The value with one node after the other writing what it wrote in the other run."""
    return {node: float(value(model.run(tokens, patch={node: other[node]})[0])) for node in model.senders()}


def edge_attribution(
    model: Plain, tokens: Tensor, other: Outputs, value: Value
) -> dict[tuple[str, str], float]:
    """(clean − other) · gradient of every edge: how fast the value falls as the edge begins to be cut."""
    cut: Cut = {
        receiver: {
            sender: torch.zeros((), dtype=torch.float64, requires_grad=True)
            for sender in model.before(receiver)
        }
        for receiver in model.receivers()
    }
    edges = [(sender, receiver) for receiver, weights in cut.items() for sender in weights]
    with torch.enable_grad():
        logits, _ = model.run(tokens, cut=cut, other=other)
        weights = [cut[receiver][sender] for sender, receiver in edges]
        gradient = torch.autograd.grad(value(logits), weights)
    return {edge: -float(each) for edge, each in zip(edges, gradient, strict=True)}


def acdc_by_definition(
    model: Plain, tokens: Tensor, other: Outputs, value: Value, threshold: float
) -> set[tuple[str, str]]:
    """From the output back, an edge is removed if the loss rises by less than the threshold (Algorithm 1)."""
    cut: Cut = {receiver: {} for receiver in model.receivers()}
    kept: set[tuple[str, str]] = set()

    def loss() -> float:
        return -float(value(model.run(tokens, cut=cut, other=other)[0]))

    for receiver in reversed(model.receivers()):
        read = {sender for sender, _ in kept}
        if receiver != "logits" and read.isdisjoint(model.feeds(receiver)):
            cut[receiver] = dict.fromkeys(model.before(receiver), 1.0)
            continue
        current = loss()
        for sender in reversed(model.before(receiver)):
            cut[receiver][sender] = 1.0
            new = loss()
            if new - current < threshold:
                current = new
            else:
                del cut[receiver][sender]
                kept.add((sender, receiver))
    return _on_a_path(model, kept)


def _on_a_path(model: Plain, edges: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Edges on a path from the embedding to the logits."""
    feeds: Mapping[str, list[str]] = {receiver: model.feeds(receiver) for receiver in model.receivers()}
    fed, used = {"embed"}, set[str]()
    for _ in model.senders():
        fed |= {node for sender, receiver in edges if sender in fed for node in feeds[receiver]}
        used |= {s for s, receiver in edges if receiver == "logits" or not used.isdisjoint(feeds[receiver])}
    return {
        (sender, receiver)
        for sender, receiver in edges
        if sender in fed and (receiver == "logits" or not (fed & used).isdisjoint(feeds[receiver]))
    }
