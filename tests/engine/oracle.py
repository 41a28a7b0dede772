"""The engine's mathematics once more, slowly: plain loops over receivers and heads, plain hooks.

Nothing of the engine is used here but the names of nodes. `forward` recomputes what each receiver reads as
an explicit sum over the senders before it; `hooked` runs the model as it is with outputs replaced by hooks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

Pair = tuple[str, str]
"""A sender and a receiver."""


@dataclass
class Run:
    """What one forward computed."""

    logits: Tensor
    outputs: dict[str, Tensor]
    inputs: dict[str, Tensor]
    read: set[Pair] = field(default_factory=set)


@dataclass
class Layer:
    """One block taken apart: its norms and MLP as they are, and a matrix and bias for each head."""

    attention_norm: nn.Module
    mlp_norm: nn.Module
    mlp: nn.Module
    query: list[tuple[Tensor, Tensor | float]]
    key: list[tuple[Tensor, Tensor | float]]
    value: list[tuple[Tensor, Tensor | float]]
    out: list[Tensor]
    out_bias: Tensor | float


@dataclass
class Parts:
    """A model taken apart by its family."""

    embed: Callable[[Tensor], Tensor]
    layers: list[Layer]
    final_norm: nn.Module
    unembed: nn.Module
    theta: float | None
    mlps: bool


def parts_of(module: Any) -> Parts:
    if module.config.model_type == "gpt2":
        return _gpt2(module)
    return _llama(module)


def _gpt2(module: Any) -> Parts:
    config, body = module.config, module.transformer
    width, heads = config.n_embd, config.n_head
    d_head = width // heads

    def embed(tokens: Tensor) -> Tensor:
        found: Tensor = body.wte.weight[tokens] + body.wpe.weight[torch.arange(tokens.shape[1])]
        return found

    layers = []
    for block in body.h:
        weight, bias = block.attn.c_attn.weight, block.attn.c_attn.bias
        columns = [slice(start, start + d_head) for start in range(0, 3 * width, d_head)]
        each = [(weight[:, at], bias[at]) for at in columns]
        out = [block.attn.c_proj.weight[h * d_head : (h + 1) * d_head] for h in range(heads)]
        query, key, value = each[:heads], each[heads : 2 * heads], each[2 * heads :]
        layers.append(
            Layer(block.ln_1, block.ln_2, block.mlp, query, key, value, out, block.attn.c_proj.bias)
        )
    mlps = not getattr(config, "attention_only", False)
    return Parts(embed, layers, body.ln_f, module.lm_head, None, mlps)


def _llama(module: Any) -> Parts:
    config, body = module.config, module.model
    d_head = config.head_dim

    def by_head(linear: Any) -> list[tuple[Tensor, Tensor | float]]:
        found: list[tuple[Tensor, Tensor | float]] = []
        for start in range(0, linear.weight.shape[0], d_head):
            at = slice(start, start + d_head)
            found.append((linear.weight[at].T, 0.0 if linear.bias is None else linear.bias[at]))
        return found

    layers = []
    for block in body.layers:
        attention = block.self_attn
        out_weight = attention.o_proj.weight
        out = [out_weight[:, s : s + d_head].T for s in range(0, out_weight.shape[1], d_head)]
        bias = 0.0 if attention.o_proj.bias is None else attention.o_proj.bias
        query, key, value = (by_head(p) for p in (attention.q_proj, attention.k_proj, attention.v_proj))
        layers.append(
            Layer(
                block.input_layernorm, block.post_attention_layernorm, block.mlp, query, key, value, out, bias
            )
        )
    theta = config.rope_parameters["rope_theta"]
    return Parts(
        lambda tokens: body.embed_tokens.weight[tokens], layers, body.norm, module.lm_head, theta, True
    )


def rotate(x: Tensor, theta: float | None) -> Tensor:
    """Rotary embedding, a pair of dimensions at a time (Su et al. 2021); angles in float32."""
    if theta is None:
        return x
    half = x.shape[-1] // 2
    rotated = torch.empty_like(x)
    positions = torch.arange(x.shape[-2], dtype=torch.float32)
    for i in range(half):
        angle = positions * (1.0 / theta ** (torch.tensor(2.0 * i) / (2 * half)))
        cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        rotated[..., i] = x[..., i] * cos - x[..., i + half] * sin
        rotated[..., i + half] = x[..., i + half] * cos + x[..., i] * sin
    return rotated


def forward(
    module: Any,
    tokens: Tensor,
    *,
    cut: Mapping[Pair, Any] | None = None,
    substitute: Mapping[str, Tensor] | None = None,
    attention: str = "heads",
    split: bool = True,
    embedded: Tensor | None = None,
    bump: Mapping[str, Tensor] | None = None,
    frozen: Collection[str] = (),
    neurons: Collection[int] = (),
) -> Run:
    """One forward in which every receiver reads its own sum.

    Args:
        module: a Hugging Face GPT-2 or Llama.
        tokens: prompts of one length.
        cut: how much of each edge is cut; edges that are not named are whole.
        substitute: by sender, what a cut edge carries.
        attention: whether attention writes and reads by head or by layer.
        split: whether q, k and v read apart.
        embedded: embeddings to use instead of those of the tokens.
        bump: added to the input of a receiver.
        frozen: senders through which no gradient passes.
        neurons: layers in which every neuron of the MLP is a sender.
    """
    cut, substitute, bump = cut or {}, substitute or {}, bump or {}
    parts = parts_of(module)
    outputs = {"embed": parts.embed(tokens) if embedded is None else embedded}
    run = Run(torch.empty(0), outputs, {})
    biases: Tensor | float = 0.0

    def read(receiver: str) -> Tensor:
        total = torch.zeros_like(outputs["embed"]) + biases
        for sender, current in outputs.items():
            run.read.add((sender, receiver))
            fraction = cut.get((sender, receiver))
            if fraction is None:
                total = total + current
            else:
                total = total + (1 - fraction) * current + fraction * substitute[sender]
        if receiver in bump:
            total = total + bump[receiver]
        run.inputs[receiver] = total
        return total

    for n, layer in enumerate(parts.layers):
        grouped = len(layer.key) < len(layer.query)
        group = len(layer.query) // len(layer.key)

        def receiver(which: str, head: int, n: int = n, grouped: bool = grouped, group: int = group) -> str:
            if attention == "layers":
                name = f"L{n}"
            elif which == "q" or not grouped:
                name = f"L{n}H{head}"
            else:
                name = f"L{n}KV{head // group}"
            return f"{name}.{which}" if split else name

        written: dict[str, Tensor] = {}
        for head, (w_query, b_query) in enumerate(layer.query):
            w_key, b_key = layer.key[head // group]
            w_value, b_value = layer.value[head // group]
            query = layer.attention_norm(read(receiver("q", head))) @ w_query + b_query
            key = layer.attention_norm(read(receiver("k", head))) @ w_key + b_key
            value = layer.attention_norm(read(receiver("v", head))) @ w_value + b_value
            pattern = attend(rotate(query, parts.theta), rotate(key, parts.theta))
            sender = f"L{n}" if attention == "layers" else f"L{n}H{head}"
            written[sender] = written.get(sender, 0.0) + pattern @ value @ layer.out[head]
        outputs.update({s: value.detach() if s in frozen else value for s, value in written.items()})
        biases = biases + layer.out_bias
        if n in neurons:
            apart, bias = by_neuron(layer.mlp, layer.mlp_norm(read(f"MLP{n}")))
            outputs.update({f"MLP{n}N{i}": each for i, each in enumerate(apart)})
            biases = biases + bias
        elif parts.mlps:
            made = layer.mlp(layer.mlp_norm(read(f"MLP{n}")))
            outputs[f"MLP{n}"] = made.detach() if f"MLP{n}" in frozen else made
    run.logits = parts.unembed(parts.final_norm(read("logits")))
    return run


def output_projection(mlp: Any) -> tuple[Any, Tensor]:
    """What turns neurons into what an MLP writes, and its weight with a row for each neuron."""
    if hasattr(mlp, "c_proj"):
        return mlp.c_proj, mlp.c_proj.weight
    return mlp.down_proj, mlp.down_proj.weight.T


def by_neuron(mlp: Any, x: Tensor) -> tuple[list[Tensor], Tensor | float]:
    """What each neuron of an MLP writes, and the bias that is no neuron's."""
    projection, weight = output_projection(mlp)
    kept: list[Tensor] = []
    with hooks([projection.register_forward_pre_hook(lambda _, a: kept.append(a[0]))]):
        mlp(x)
    bias: Any = projection.bias
    each = [kept[0][..., i : i + 1] * row for i, row in enumerate(weight)]
    return each, 0.0 if bias is None else bias


def attend(query: Tensor, key: Tensor) -> Tensor:
    """Attention weights of one head, a query position at a time."""
    scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    pattern = torch.zeros_like(scores)
    for at in range(scores.shape[-1]):
        pattern[..., at, : at + 1] = scores[..., at, : at + 1].softmax(-1)
    return pattern


# Hooks on the model as it is ------------------------------------------------------------------------------


def blocks(module: Any) -> Any:
    """All layers."""
    return module.transformer.h if module.config.model_type == "gpt2" else module.model.layers


def sites(module: Any) -> tuple[Any, list[Any], list[Any]]:
    """The first block, every layer's output projection, every layer's MLP."""
    of, gpt2 = blocks(module), module.config.model_type == "gpt2"
    return of[0], [b.attn.c_proj if gpt2 else b.self_attn.o_proj for b in of], [b.mlp for b in of]


@contextmanager
def hooks(handles: list[Any]) -> Iterator[None]:
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def noised(module: Any, noise: Tensor) -> Any:
    """Within it, the model has something added to its embeddings."""
    first, _, _ = sites(module)
    return hooks([first.register_forward_pre_hook(lambda _, a: (a[0] + noise, *a[1:]))])


def d_head_of(module: Any) -> int:
    config = module.config
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def activations(module: Any, tokens: Tensor) -> dict[str, Tensor]:
    """Of a plain run: the embeddings, every head's z, every MLP's output."""
    found: dict[str, Tensor] = {}
    first, projections, mlps = sites(module)
    d_head = d_head_of(module)

    def keep_z(layer: int, z: Tensor) -> None:
        for head in range(z.shape[-1] // d_head):
            found[f"L{layer}H{head}"] = z[..., head * d_head : (head + 1) * d_head].clone()

    handles = [first.register_forward_pre_hook(lambda _, a: found.__setitem__("embed", a[0].clone()))]
    for n, (projection, mlp) in enumerate(zip(projections, mlps, strict=True)):
        handles.append(projection.register_forward_pre_hook(lambda _, a, n=n: keep_z(n, a[0])))
        handles.append(
            mlp.register_forward_hook(lambda _, a, out, n=n: found.__setitem__(f"MLP{n}", out.clone()))
        )
    with hooks(handles), torch.no_grad():
        module(input_ids=tokens, use_cache=False)
    return found


def patched(
    module: Any,
    tokens: Tensor,
    node: str,
    values: Mapping[str, Tensor],
    at: Sequence[Sequence[int]],
) -> Tensor:
    """Logits of one run with one node's activation replaced, for each prompt at its own positions.

    Args:
        module: the model.
        tokens: of the run that is patched.
        node: embed, a head, an attention layer, or an MLP.
        values: as `activations` has them, of the other run.
        at: the positions of each prompt.
    """
    first, projections, mlps = sites(module)
    d_head = d_head_of(module)

    def put(into: Tensor, value: Tensor) -> Tensor:
        new = into.clone()
        for prompt, positions in enumerate(at):
            for position in positions:
                new[prompt, position] = value[prompt, position]
        return new

    def put_heads(z: Tensor, layer: int, heads: Sequence[int]) -> Tensor:
        z = z.clone()
        for head in heads:
            own = slice(head * d_head, (head + 1) * d_head)
            z[..., own] = put(z[..., own], values[f"L{layer}H{head}"])
        return z

    if node == "embed":
        handle = first.register_forward_pre_hook(lambda _, a: (put(a[0], values["embed"]), *a[1:]))
    elif node.startswith("MLP"):
        handle = mlps[int(node[3:])].register_forward_hook(lambda _, a, out: put(out, values[node]))
    else:
        layer, _, head = node[1:].partition("H")
        chosen = [int(head)] if head else range(module.config.num_attention_heads)
        handle = projections[int(layer)].register_forward_pre_hook(
            lambda _, a: (put_heads(a[0], int(layer), chosen),)
        )
    with hooks([handle]), torch.no_grad():
        logits: Tensor = module(input_ids=tokens, use_cache=False).logits
    return logits


# Metrics by formula ---------------------------------------------------------------------------------------


def log_softmax(logits: Sequence[float]) -> list[float]:
    top = max(logits)
    total = math.log(sum(math.exp(x - top) for x in logits)) + top
    return [x - total for x in logits]


def metric_of_prompt(
    name: str,
    logits: Tensor,
    clean: Tensor,
    positions: Sequence[int],
    answers: Sequence[int | tuple[int, ...]],
    foils: Sequence[int | tuple[int, ...]],
) -> float:
    """A metric's mean over the positions of one prompt; logits are `pos vocab`, answers tokens or sets."""
    found: list[float] = []
    for position, answer, foil in zip(positions, answers, foils, strict=True):
        row, before = logits[position].tolist(), clean[position].tolist()
        right = (answer,) if isinstance(answer, int) else answer
        wrong = (foil,) if isinstance(foil, int) else foil
        chance = [math.exp(x) for x in log_softmax(row)]
        if name == "logit_diff":
            up, down = sum(row[t] for t in right) / len(right), sum(row[t] for t in wrong) / len(wrong)
            found.append(up - down)
        elif name == "logprob":
            found.append(math.log(sum(chance[t] for t in right)))
        elif name == "cross_entropy":
            found.append(-math.log(sum(chance[t] for t in right)))
        elif name == "prob":
            found.append(sum(chance[t] for t in right))
        elif name == "prob_diff":
            found.append(sum(chance[t] for t in right) - sum(chance[t] for t in wrong))
        elif name == "accuracy":
            found.append(float(max(range(len(row)), key=row.__getitem__) in right))
        elif name == "paired_accuracy":
            found.append(float(max(row[t] for t in right) > max(row[t] for t in wrong)))
        elif name == "kl_divergence":
            p, q = log_softmax(before), log_softmax(row)
            found.append(sum(math.exp(x) * (x - y) for x, y in zip(p, q, strict=True)))
        else:
            raise AssertionError(f"the oracle knows no {name}")
    return sum(found) / len(found)
