"""`python -m benchmarks.peers`: TransformerLens 4 on the same weights and prompts, edge attribution.

To be run in an environment of its own that has nncirc and transformer-lens 4. TransformerLens takes the
gradient on the corrupted run and points towards the clean one; ours, with clean and corrupted prompts
exchanged, is minus that, edge by edge.
"""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import torch
from benchmarks.clock import Clock, timed, typical
from benchmarks.methods import LOGIT_DIFF
from benchmarks.setups import fresh, plain_forward, random_contrast, random_model
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from nncirc.circuits.nodes import Edge
from nncirc.engine.attribution import attribution_patching
from nncirc.engine.contrast import Contrast, Resample


def main(sizes: Sequence[str]) -> int:
    """The command; sizes as in `setups.SIZES`."""
    torch.set_num_threads(1)
    print(f"transformer-lens {version('transformer-lens')}, torch {torch.__version__}\n")
    print("| size | edges | | CPU s | plain forwards | largest difference of a score |")
    print("| --- | --- | --- | --- | --- | --- |")
    for size in sizes or ["tiny", "small"]:
        compare(size)
    return 0


def compare(size: str) -> None:
    """Two rows of the table."""
    model = random_model(size, spread=0.05)
    contrast = random_contrast(model)
    backward = exchanged(contrast)
    graph = model.graph()
    plain = plain_forward(contrast)
    plain()
    units = [timed(plain)[0] for _ in range(3)]
    attribution_patching(fresh(backward), graph, LOGIT_DIFF)
    ours, scores = timed(lambda: attribution_patching(fresh(backward), graph, LOGIT_DIFF))
    units += [timed(plain)[0] for _ in range(3)]
    bridge = bridged(model.module)
    theirs, found = timed(lambda: lens(bridge, contrast))
    units += [timed(plain)[0] for _ in range(3)]
    assert set(found) == set(scores.values)
    apart = max(abs(found[edge] + scores.values[edge]) for edge in found)
    largest = max(map(abs, found.values()))
    unit = typical(units)
    row(size, graph.n_edges, "nncirc", ours, unit, "")
    row(size, graph.n_edges, "TransformerLens", theirs, unit, f"{apart:.1e} (largest score {largest:.2g})")


def row(size: str, edges: int, who: str, clock: Clock, unit: Clock, more: str) -> None:
    """A row of the table."""
    print(
        f"| {size} | {edges:,} | {who} | {clock.cpu:.3g} | {clock.cpu / unit.cpu:.1f} | {more} |", flush=True
    )


def exchanged(contrast: Contrast) -> Contrast:
    """The corrupted prompts as the clean ones, with the same answers, and the other way round."""
    assert isinstance(contrast.corruption, Resample)
    dataset = replace(contrast.dataset, examples=contrast.corruption.examples)
    return Contrast(contrast.model, dataset, Resample(contrast.dataset.examples))


def bridged(module: Any) -> Any:
    """The same weights in TransformerLens."""
    from transformer_lens.model_bridge import TransformerBridge  # type: ignore[import-not-found]

    with tempfile.TemporaryDirectory() as folder:
        module.save_pretrained(folder)
        no_words().save_pretrained(folder)
        bridge = TransformerBridge.boot_transformers(folder, device="cpu", dtype=torch.float32)
    return bridge.eval()


def no_words() -> PreTrainedTokenizerFast:
    """A tokenizer of nothing, as TransformerLens wants one: prompts are given as tokens."""
    words = Tokenizer(WordLevel({"<|endoftext|>": 0}, unk_token="<|endoftext|>"))
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=words, bos_token="<|endoftext|>", eos_token="<|endoftext|>"
    )


def lens(bridge: Any, contrast: Contrast) -> dict[Edge, float]:
    """TransformerLens's scores, by our names, summed over positions; prompt by prompt, as it does itself."""
    from transformer_lens.tools.analysis.attribution_patching import (  # type: ignore[import-not-found]
        EdgeAttributionConfig,
        attribution_patch,
    )

    total: dict[Edge, float] = defaultdict(float)
    (batch,) = contrast.batches
    assert batch.corrupt is not None
    for clean, corrupt, example in zip(batch.clean, batch.corrupt, batch.examples, strict=True):

        def metric(
            logits: torch.Tensor, answer: Any = example.answer, foil: Any = example.foil
        ) -> torch.Tensor:
            last = logits[0, -1]
            return last[answer] - last[foil]

        config = EdgeAttributionConfig(granularity="edge")
        result = attribution_patch(bridge, clean[None], corrupt[None], metric, config)
        for (sender, receiver), score in result.edge_scores.items():
            total[Edge(name(sender), name(receiver))] += score / len(batch.examples)
    return dict(total)


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
