"""In-context learning: how much better late tokens are predicted than early ones (Olsson et al. 2022)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from nncirc.circuits.annotations import Positive
from nncirc.circuits.arguments import public
from nncirc.circuits.errors import MethodError
from nncirc.circuits.intervals import USUAL, Resampling
from nncirc.circuits.made import Made
from nncirc.engine.data.examples import Dataset
from nncirc.engine.evaluation.bootstrap import estimates
from nncirc.engine.methods.scores import NodeScores
from nncirc.engine.metrics.metric import Metric, check_metric
from nncirc.engine.model.model import Model
from nncirc.engine.model.tracing import run
from nncirc.engine.runs.batches import batches
from nncirc.engine.runs.memory import logits_bytes


@public
def in_context_learning(
    model: Model,
    dataset: Dataset,
    *,
    early: int = 50,
    late: int = 500,
    how: Resampling = USUAL,
    batch: Positive | None = None,
    memory: Positive | None = None,
) -> NodeScores:
    """The loss at a late token minus the loss at an early one: below 0 if the context helps.

    One row, `logits`, with the columns `early`, `late` and `score`: mean losses over prompts and their
    difference, in nats, with intervals.

    Args:
        model: the model.
        dataset: the prompts; answers are not needed.
        early: the token whose prediction counts as early, counted from 1; the first has no prediction.
        late: the token whose prediction counts as late.
        how: how the intervals over prompts are drawn.
        batch: most prompts at once.
        memory: bytes of activations; None for half of what is free.

    Raises:
        ModelError: C433, the model's outputs are not logits of tokens.
        MethodError: C578, not 2 <= early < late <= the number of tokens of every prompt.

    Source: Olsson et al. 2022, whose tokens are 50 and 500.
    """
    check_metric(Metric("cross_entropy"), model)
    shortest = min(len(example.tokens) for example in dataset.examples)
    if not (type(early) is type(late) is int and 2 <= early < late <= shortest):
        raise MethodError(
            "C578",
            f"early = {early} and late = {late} do not fit these prompts; the shortest has {shortest} tokens",
            hint="choose 2 <= early < late <= the number of tokens of the shortest prompt",
        )
    losses = torch.zeros(2, len(dataset.examples), dtype=torch.float64)
    for prompts in batches(model, dataset, batch=batch, memory=memory, more=logits_bytes(model, 2)):
        losses[:, prompts.indices] = _losses(model, prompts.clean, [early, late]).T.cpu()
    found = torch.stack([*losses, losses[1] - losses[0]])[None]
    made: Made = {
        "method": "in_context_learning",
        "score": "loss, nats",
        "early": early,
        "late": late,
        "prompts": len(dataset.examples),
        "dtype": str(model.dtype).removeprefix("torch."),
    }
    names = ["early", "late", "score"]
    return NodeScores.estimated(["logits"], names, estimates([found], how=how), made, model.digits)


def _losses(model: Model, tokens: Tensor, numbers: list[int]) -> Float[Tensor, "batch number"]:
    """Minus the log-probability of tokens, which are counted from 1."""
    at = torch.tensor(numbers, device=model.device) - 1
    # The logits at a position predict the next token.
    logits = run(model.envoy, model.inputs(tokens, keep=at - 1), lambda: model.logits_output.clone())
    losses: Tensor = -logits.double().log_softmax(-1).gather(-1, tokens[:, at][..., None])[..., 0]
    return losses
