"""`python -m benchmarks --check`: ACDC is the sequential algorithm's, edge for edge, on several models."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from benchmarks.setups import ROOT, example, fresh, random_contrast, random_model

from nncirc import Dataset, Example
from nncirc.circuits.graph import Graph
from nncirc.engine.methods.acdc import acdc
from nncirc.engine.metrics.metric import Metric
from nncirc.engine.model.loading import load_huggingface
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.corruptions import Resample

Comparison: TypeAlias = tuple[str, Contrast, Graph, Metric, float]


def check(sizes: Sequence[str], device: str = "cpu") -> int:
    """Compare; a line for each comparison. Returns how many differ.

    Args:
        sizes: of the random models.
        device: of the random models; the trained ones run as their scripts say.
    """
    differ = 0
    for name, contrast, graph, metric, threshold in (*_random(sizes, device), *_scripts(), *_stories()):
        slow = acdc(fresh(contrast), graph, metric, threshold=threshold, sequential=True)
        fast = acdc(fresh(contrast), graph, metric, threshold=threshold)
        same = fast.edges == slow.edges and fast.made == slow.made
        differ += not same
        word = "the same" if same else "NOT THE SAME"
        print(
            f"{name}: {word}, {len(slow)} of {graph.n_edges:,} edges, {slow.made['tested']:,} tested",
            flush=True,
        )
    return differ


def _random(sizes: Sequence[str], device: str) -> Iterator[Comparison]:
    """The models of the benchmark."""
    for size, spread, threshold in (
        ("tiny", 0.2, 0.01),
        ("tiny", 0.2, 0.001),
        ("tiny", 0.05, 0.0001),
        ("small", 0.1, 0.005),
        ("small", 0.05, 0.0005),
    ):
        if size in sizes:
            model = random_model(size, spread=spread, device=device)
            name = f"random {size}, spread {spread}, threshold {threshold}"
            yield name, random_contrast(model), model.graph(), Metric("kl_divergence"), threshold


def _scripts() -> Iterator[Comparison]:
    """The bundled models, as the examples use them."""
    for name in ("ioi", "induction"):
        builder, contrast, declaration = example(name)
        graph, metric = builder.of(declaration, "graph"), builder.of(declaration, "metric")
        assert isinstance(declaration.values["threshold"], float)
        yield contrast.model.name, contrast, graph, metric, declaration.values["threshold"]


def _stories() -> Iterator[Comparison]:
    """A Llama of 260,000 weights that was trained on stories, where it is at hand."""
    folder = Path(os.environ.get("NNCIRC_SHARED") or ROOT.parent / "shared") / "models" / "stories260K"
    if not folder.is_dir():
        print("stories260K: not compared, there is no ../shared/models/stories260K")
        return
    model = load_huggingface(folder)
    she, he = (model.tokenizer(word, add_special_tokens=False).input_ids[-1] for word in (" She", " He"))

    def examples(who: str, name: str) -> tuple[Example, ...]:
        texts = (
            f"Once upon a time, there was a little {who} named {name}.",
            f"One day, a little {who} named {name} went to the park.",
        )
        return tuple(Example(t, tuple(model.tokenizer(t).input_ids), {}, she, he, {}) for t in texts)

    dataset = Dataset(examples("girl", "Lily"), "token", None, {}, tokenizer=model.tokenizer)
    contrast = Contrast(model, dataset, Resample(examples("boy", "Tim")))
    for threshold in (0.03, 0.01):
        metric = Metric("logit_diff", normalize=True)
        yield f"stories260K, threshold {threshold}", contrast, model.graph(), metric, threshold
