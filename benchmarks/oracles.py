"""Every method by its definition: slow, obvious, and what the fast one has to find too."""

from __future__ import annotations

import torch
from benchmarks.methods import KL, LOGIT_DIFF, Method
from torch import Tensor

from nncirc.circuits.graph import Graph
from nncirc.engine.methods.acdc import acdc
from nncirc.engine.metrics.reading import Reading
from nncirc.engine.runs.batches import Batch
from nncirc.engine.runs.contrast import Contrast
from nncirc.engine.runs.masked_forward import Mask, masked_forward


def mask_gradients(steps: int) -> Method:
    """All edges' attribution: minus the gradient of the masked forward by its mask.

    With one step at mask 0, the clean run. With m steps the mean over k = 0 .. m−1 of runs in which the
    embedding, wherever it is read, is k/m of the way from corrupted to clean.
    """

    def run(contrast: Contrast, graph: Graph) -> list[list[float]]:
        total = torch.zeros(len(graph.receivers), len(graph.senders), device=contrast.model.device)
        for batch in contrast.batches:
            clean, other = contrast.clean_outputs(batch, graph), contrast.substitute(batch, graph)
            # A gradient is by substitute − current, and current is not clean where the embedding is not:
            # of all but the embedding the difference of two of them is by substitute − clean.
            back = torch.cat([other[:1], clean[1:]])
            for step in range(steps):
                cut = torch.zeros_like(total)
                if steps > 1:
                    cut[:, 0] = 1 - step / steps
                away = _gradient(contrast, graph, batch, cut, other)
                if steps > 1:
                    away[:, 1:] -= _gradient(contrast, graph, batch, cut, back)[:, 1:]
                total -= away / steps
        return (total / len(contrast.dataset.examples)).tolist()

    return run


def _gradient(contrast: Contrast, graph: Graph, batch: Batch, cut: Tensor, substitute: Tensor) -> Tensor:
    """The gradient of the summed logit difference by the mask, at this mask."""
    where = contrast.reading(batch, LOGIT_DIFF)
    mask = Mask(cut[None].clone().requires_grad_())
    with torch.enable_grad():
        logits = masked_forward(
            contrast.model, graph, batch.clean, mask, substitute, keep=where.kept, grad=True
        )
        (found,) = torch.autograd.grad(where.values(LOGIT_DIFF, logits).sum(), mask.cut)
    return found[0]


def node_cuts(contrast: Contrast, graph: Graph) -> list[list[float]]:
    """Every node at every position, noised: one masked forward each, with every edge out of the node cut."""
    length = contrast.batches[0].clean.shape[1]
    return [
        [_node_cut(contrast, graph, sender, position) for position in range(length)]
        for sender in range(len(graph.senders))
    ]


def _node_cut(contrast: Contrast, graph: Graph, sender: int, position: int) -> float:
    cut = torch.zeros_like(Mask.everything(contrast.model, graph).cut)
    cut[:, :, sender] = 1

    def logits(batch: Batch, where: Reading) -> Tensor:
        # Before the node nothing is cut, so that at other positions it writes what it writes when clean.
        there = contrast.clean_outputs(batch, graph).clone()
        there[sender, :, position] = contrast.substitute(batch, graph)[sender, :, position]
        return masked_forward(contrast.model, graph, batch.clean, Mask(cut), there, keep=where.kept)

    return float(contrast.measure(LOGIT_DIFF, logits).mean())


def sequential(threshold: float) -> Method:
    """ACDC: one masked forward for each candidate."""
    return lambda contrast, graph: acdc(contrast, graph, KL, threshold=threshold, sequential=True)


def alone(thresholds: tuple[float, ...]) -> Method:
    """The members of a family, one after the other."""
    return lambda contrast, graph: tuple(acdc(contrast, graph, KL, threshold=t) for t in thresholds)
