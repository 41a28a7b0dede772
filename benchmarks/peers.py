"""`python -m benchmarks.peers`: TransformerLens 4 on the same weights and prompts, attribution patching.

To be run in an environment of its own that has nncirc and transformer-lens 4; `docs/evaluation.md` says how.

EAP and attribution of nodes: TransformerLens takes the gradient on the corrupted run and points towards the
clean one (Nanda 2023), as ours does with `base = corrupted`.

EAP-IG: TransformerLens refuses it. So its formula (Hanna et al. 2024) is written down here with nothing but
activations and gradients at hooks of TransformerLens: embeddings at k/m of the way from corrupted to clean,
k = 0 .. m−1, and the mean of the gradients by what every receiver reads.

The exit status is 1 where a score differs by more than ours are rounded to.
"""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

import torch
from benchmarks.clock import Clock, timed, typical
from benchmarks.methods import attribution, nodes
from benchmarks.setups import contrast_for, fresh, plain_forward
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from nncirc import Example
from nncirc.circuits.graph import Graph
from nncirc.circuits.names import Edge
from nncirc.circuits.rounding import decimals
from nncirc.engine.methods.scores import NodeScores
from nncirc.engine.runs.contrast import Contrast

STEPS = 5

Scores = dict[Any, float]
"""By edges, or by the names of nodes."""


def main(sizes: Sequence[str]) -> int:
    """The command; sizes as in `setups.SIZES`."""
    torch.set_num_threads(1)
    print(f"transformer-lens {version('transformer-lens')}, torch {torch.__version__}\n")
    print("| method | size | edges | | CPU s | plain forwards | largest difference of a score |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    same = [compare(size) for size in sizes or ["tiny", "small", "ioi-4l"]]
    return 0 if all(same) else 1


def compare(size: str) -> bool:
    """Six rows of the table; whether the scores are the same."""
    contrast = contrast_for(size, spread=0.05)
    graph, bridge, plain = contrast.model.graph(), bridged(contrast.model.module), plain_forward(contrast)
    plain()
    unit = typical([timed(plain)[0] for _ in range(5)])
    same = True
    for method, ours, theirs in (
        ("EAP", attribution(1, "corrupted"), partial(lens, bridge, contrast)),
        ("nodes", nodes, partial(lens_nodes, bridge, contrast)),
        (f"EAP-IG, {STEPS} steps", attribution(STEPS), partial(integrated, bridge, contrast, graph, STEPS)),
    ):
        ours(fresh(contrast), graph)
        taken, made = timed(partial(ours, fresh(contrast), graph))
        taken_by_them, found = timed(theirs)
        scores: Scores = (
            {name: row[0] for name, row in zip(made.nodes, made.values, strict=True)}
            if isinstance(made, NodeScores)
            else made.values
        )
        assert set(found) == set(scores)
        apart = max(abs(found[each] - scores[each]) for each in found)
        largest = max(map(abs, found.values()))
        row(method, size, graph.n_edges, "nncirc", taken, unit, "")
        more = f"{apart:.1e} (largest score {largest:.2g})"
        row(method, size, graph.n_edges, "TransformerLens", taken_by_them, unit, more)
        # To all digits that we write but the last: theirs round too.
        same = same and apart <= 10 ** (1 - decimals(found.values(), contrast.model.digits))
    return same


def row(method: str, size: str, edges: int, who: str, clock: Clock, unit: Clock, more: str) -> None:
    """A row of the table."""
    took = f"{clock.cpu:.3g} | {clock.cpu / unit.cpu:.1f}"
    print(f"| {method} | {size} | {edges:,} | {who} | {took} | {more} |", flush=True)


def bridged(module: Any) -> Any:
    """The same weights in TransformerLens."""
    from transformer_lens.model_bridge import TransformerBridge  # type: ignore[import-not-found]

    with tempfile.TemporaryDirectory() as folder:
        module.save_pretrained(folder)
        no_words().save_pretrained(folder)
        bridge = TransformerBridge.boot_transformers(folder, device="cpu", dtype=module.dtype)
    return bridge.eval()


def no_words() -> PreTrainedTokenizerFast:
    """A tokenizer of nothing, as TransformerLens wants one: prompts are given as tokens."""
    words = Tokenizer(WordLevel({"<|endoftext|>": 0}, unk_token="<|endoftext|>"))
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=words, bos_token="<|endoftext|>", eos_token="<|endoftext|>"
    )


def lens(bridge: Any, contrast: Contrast) -> Scores:
    """TransformerLens's own scores of edges by our names, summed over positions."""
    total: Scores = defaultdict(float)
    for result in patched(bridge, contrast, "edge"):
        for (sender, receiver), score in result.edge_scores.items():
            total[Edge(name(sender), name(receiver))] += score / len(contrast.dataset.examples)
    return dict(total)


def lens_nodes(bridge: Any, contrast: Contrast) -> Scores:
    """TransformerLens's own scores of nodes by our names, summed over positions."""
    total: Scores = defaultdict(float)
    for result in patched(bridge, contrast, "node"):
        for node, score in result.node_scores.items():
            total[name(node)] += score / len(contrast.dataset.examples)
    return dict(total)


def patched(bridge: Any, contrast: Contrast, granularity: str) -> Iterator[Any]:
    """TransformerLens's attribution patching, prompt by prompt as it goes."""
    from transformer_lens.tools.analysis.attribution_patching import (  # type: ignore[import-not-found]
        EdgeAttributionConfig,
        attribution_patch,
    )

    config = EdgeAttributionConfig(granularity=granularity)
    for clean, corrupt, example in pairs(contrast):
        yield attribution_patch(bridge, clean, corrupt, partial(logit_diff, example), config)


def pairs(contrast: Contrast) -> Iterator[tuple[Tensor, Tensor, Example]]:
    """Every prompt by itself: clean and corrupted tokens, [1, position], and what is asked."""
    for batch in contrast.batches:
        assert batch.corrupt is not None
        for clean, corrupt, example in zip(batch.clean, batch.corrupt, batch.examples, strict=True):
            yield clean[None], corrupt[None], example


def logit_diff(example: Example, logits: Tensor) -> Tensor:
    """The answer's logit minus the foil's, at the end."""
    last = logits[0, -1]
    return last[example.answer] - last[example.foil]


def integrated(bridge: Any, contrast: Contrast, graph: Graph, steps: int) -> Scores:
    """EAP-IG by its formula, at hooks of TransformerLens.

    score(u -> v) = (clean[u] − corrupt[u]) · mean over k of ∂metric / ∂input(v), the sum over positions and
    the mean over prompts.
    """
    bridge.set_use_attn_result(True)
    bridge.set_use_split_qkv_input(True)
    bridge.set_use_hook_mlp_in(True)
    writes, reads = hooks(graph.senders), hooks(graph.receivers)
    total = dict.fromkeys(graph.edges(), 0.0)
    for clean, corrupt, example in pairs(contrast):
        on_clean, on_corrupt = (cached(bridge, tokens, writes) for tokens in (clean, corrupt))
        apart = {sender: on_clean[sender] - on_corrupt[sender] for sender in writes}
        gradients = {receiver: torch.zeros_like(apart["embed"]) for receiver in reads}
        for k in range(steps):
            embeddings = on_corrupt["embed"] + k / steps * apart["embed"]
            found = gradient(bridge, clean, embeddings, reads, partial(logit_diff, example))
            for receiver, each in found.items():
                gradients[receiver] += each / steps
        for edge in total:
            score = (apart[edge.sender] * gradients[edge.receiver]).sum()
            total[edge] += float(score) / len(contrast.dataset.examples)
    return total


def hooks(nodes: Sequence[str]) -> Mapping[str, tuple[str, int | None]]:
    """Where TransformerLens has what our senders write or our receivers read: a hook, and a head there."""
    found: dict[str, tuple[str, int | None]] = {}
    layers = 1 + max(int(node[3:]) for node in nodes if node.startswith("MLP"))
    for node in nodes:
        head, _, part = node.partition(".")
        if node == "embed":
            found[node] = "hook_embed", None
        elif node == "logits":
            found[node] = f"blocks.{layers - 1}.hook_resid_post", None
        elif node.startswith("MLP"):
            # An MLP has one name as sender and as receiver.
            what = "mlp_in" if "logits" in nodes else "mlp_out"
            found[node] = f"blocks.{node[3:]}.hook_{what}", None
        else:
            layer, number = head[1:].split("H")
            what = f"{part}_input" if part else "result"
            found[node] = f"blocks.{layer}.attn.hook_{what}", int(number)
    return found


def cached(bridge: Any, tokens: Tensor, where: Mapping[str, tuple[str, int | None]]) -> Mapping[str, Tensor]:
    """What is at some hooks, [1, position, d_model]."""
    with torch.no_grad():
        _, cache = bridge.run_with_cache(tokens)
    return {node: of_head(cache[hook], head) for node, (hook, head) in where.items()}


def gradient(
    bridge: Any,
    tokens: Tensor,
    embeddings: Tensor,
    where: Mapping[str, tuple[str, int | None]],
    metric: Callable[[Tensor], Tensor],
) -> Mapping[str, Tensor]:
    """The gradient by what is at some hooks, with these embeddings of the tokens, [1, position, d_model]."""
    seen: dict[str, Tensor] = {}
    given = embeddings.clone().requires_grad_()

    def see(asked: str, value: Tensor, **_: Any) -> Tensor:
        # By the name that was asked for: a hook may call itself by another. A copy: what an MLP reads is the
        # residual stream itself there, whose gradient is also that of all that comes behind the MLP.
        seen[asked] = value.clone()
        return seen[asked]

    with torch.enable_grad():
        watch = [(hook, partial(see, hook)) for hook in dict.fromkeys(hook for hook, _ in where.values())]
        logits = bridge.run_with_hooks(tokens, fwd_hooks=[("hook_embed", lambda *_, **__: given), *watch])
        by_hook = dict(zip(seen, torch.autograd.grad(metric(logits), list(seen.values())), strict=True))
    return {node: of_head(by_hook[hook], head) for node, (hook, head) in where.items()}


def of_head(value: Tensor, head: int | None) -> Tensor:
    """A head's part of what is at a hook; all of it where it has no heads."""
    return value if head is None else value[:, :, head]


def name(node: Any) -> str:
    """Our name of a node of theirs."""
    match node.kind:
        case "embed" | "logits":
            return str(node.kind)
        case "attn_head_out":
            return f"L{node.layer}H{node.head}"
        case "mlp_out" | "mlp_in":
            return f"MLP{node.layer}"
    return f"L{node.layer}H{node.head}.{node.kind[0]}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
