"""Direct logit attribution: what each sender adds to the logits by itself, through the final norm alone.

The residual stream that the final norm reads is a sum: what every sender wrote, and the biases of the
output projections. With the norm's scale held at what it was in the run, the rest of the norm and the
unembedding are linear, so that a logit is a sum of one number for each sender and the terms of the biases:

    logit = Σ_s x_s · u / scale + biases · u / scale + shift · w + b,      u = normᵀ w

with w the unembedding of the answer (or of the answer minus the foil's). That is exact. What it leaves out is
that a sender also changes the scale, and what later nodes make of it.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nncirc.circuits.annotations import Positive
from nncirc.circuits.arguments import public
from nncirc.circuits.errors import MethodError, ModelError
from nncirc.circuits.graph import Graph
from nncirc.circuits.intervals import USUAL, Resampling
from nncirc.circuits.made import Made
from nncirc.circuits.names import Positions
from nncirc.engine.data.examples import Dataset
from nncirc.engine.evaluation.bootstrap import estimates
from nncirc.engine.methods.lens import final_norm, measure_of, selected, where
from nncirc.engine.methods.scores import NodeScores
from nncirc.engine.metrics.reading import Reading
from nncirc.engine.model.fits import require_logits
from nncirc.engine.model.model import Model
from nncirc.engine.model.norms import Norm, norm_parts
from nncirc.engine.runs.batches import batches
from nncirc.engine.runs.capture import Written, written
from nncirc.engine.runs.columns import by_position, token_texts

READ = {"logit_diff": "logit_diff", "answer_logit": "logprob"}
"""What can be taken apart, and the metric that reads the same answers."""

BIASES = ("output_projections", "final_norm", "unembedding")


@public
def logit_attribution(
    model: Model,
    dataset: Dataset,
    graph: Graph,
    *,
    of: str = "logit_diff",
    positions: Positions = "end",
    how: Resampling = USUAL,
    batch: Positive | None = None,
    memory: Positive | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> NodeScores:
    """Every sender's direct contribution to a logit or a difference of two, in logits.

    Values are means over prompts, with intervals. `made["bias"]` has for every position what the biases
    contribute: those of the attention's output projections (they belong to no head), the final norm's, the
    unembedding's. Contributions and biases sum to `made["total"]`, which is the model's own logit
    (difference), by position; `made["bias interval"]` and `made["total interval"]` have the ends of their
    intervals.

    Args:
        model: the model.
        dataset: the prompts, with answers, and foils for `logit_diff`.
        graph: whose senders are scored; they are not split by position, since columns are.
        of: `logit_diff`, answer minus foil, or `answer_logit`.
        positions: where the logits are read, one column each: a sender's contribution there is of what it
            writes there. "all" for every token.
        how: how the intervals over prompts are drawn.
        batch: most prompts at once.
        memory: bytes of activations; None for half of what is free.
        progress: called with prompts done and prompts in all.

    Raises:
        MethodError: C573, nothing is taken apart by the name `of`; C571, the final norm has no such form;
            C512, no such position.
        DataError: C331, the dataset lacks the answers; C332, C334 and those of `resolve`: positions.

    Source: nostalgebraist 2020; Elhage et al. 2021; Wang et al. 2022, section 3.1.
    """
    if of not in READ:
        raise MethodError("C573", f"{of!r} is not a sum over senders", hint=f"expected {', '.join(READ)}")
    measure_of(READ[of], dataset)
    require_logits(model)
    if getattr(model.module.config, "final_logit_softcapping", None) is not None:
        raise ModelError(
            "C426",
            f"{model.name} caps its logits softly, so they are not a sum of contributions",
            hint="use the logit lens, or attribution_patching",
        )
    graph = graph.base  # what is read at a position was written there
    named, columns = by_position(dataset, positions)
    count = len(dataset.examples)
    senders = torch.zeros(len(graph.senders), len(columns), count, dtype=torch.float64)
    biases = torch.zeros(len(BIASES), len(columns), count, dtype=torch.float64)
    weight = attrgetter(model.family.unembed)(model.module).weight.detach()
    norm = norm_parts(attrgetter(model.family.final_norm)(model.module), weight)
    for prompts in batches(model, named, batch=batch, memory=memory, progress=progress):
        run = written(model, prompts.clean, neurons=graph.neuron_counts)
        for column, place in enumerate(columns):
            read = where(READ[of], named, prompts, place, model)
            found, constant = _contributions(model, graph, run, read, norm, foil=of == "logit_diff")
            senders[:, column, prompts.indices] = found.cpu()
            biases[:, column, prompts.indices] = constant.cpu()
    whole = estimates([senders.sum(0) + biases.sum(0)], how=how)
    constants = {name: estimates([each], how=how) for name, each in zip(BIASES, biases, strict=True)}
    scores = estimates([senders], how=how)
    places = scores.decimals(model.digits)
    made: Made = {
        "method": "logit_attribution",
        "score": f"contribution to the {of}, logits",
        "of": of,
        "scale of the final norm": "frozen at the run's",
        "prompts": count,
        "bias": {name: each.rounded(places) for name, each in constants.items()},
        "bias interval": {name: each.ends(places) for name, each in constants.items()},
        "total": whole.rounded(places),
        "total interval": whole.ends(places),
        **token_texts(named, columns),
        "dtype": str(model.dtype).removeprefix("torch."),
    }
    names = [*map(str, columns)]
    return NodeScores.estimated(graph.senders, names, scores, made, model.digits)


def _contributions(
    model: Model,
    graph: Graph,
    run: Written,
    read: Reading,
    norm: Norm,
    *,
    foil: bool,
) -> tuple[Float[Tensor, "sender batch"], Float[Tensor, "bias batch"]]:
    """Of every prompt, the mean over the positions that it reads."""
    # A head's output is linear in z, so that only what is written where the logits are read is unfolded.
    outputs = run.map(lambda part: selected(read, part)).outputs(graph).double()
    constant = _projection_biases(model, graph)
    residual = outputs.sum(0) + constant
    scale = norm.scale(residual, final_norm(model, residual.to(model.dtype)))
    direction, offset = _direction(model, read.answer)
    if foil:
        other, other_offset = _direction(model, read.foil)
        direction, offset = direction - other, offset - other_offset
    back = norm.back(direction) / scale
    found = torch.einsum("sbnd,bnd->sbn", outputs, back)
    biases = torch.stack([(constant * back).sum(-1), (norm.shift * direction).sum(-1), offset])
    return read.mean(found), read.mean(biases)


def _projection_biases(model: Model, graph: Graph) -> Float[Tensor, " d_model"]:
    """What output projections add whatever they read: of all attention, and of MLPs that are split."""
    total = torch.zeros(model.d_model, dtype=torch.float64, device=model.device)
    for layer, block in enumerate(attrgetter(model.family.blocks)(model.module)):
        paths = [model.family.output, *[model.family.mlp_output] * (layer in graph.neuron_counts)]
        for path in paths:
            assert path is not None
            bias = getattr(attrgetter(path)(block), "bias", None)
            total = total if bias is None else total + model.family.residual_scale * bias.detach().double()
    return total


def _direction(
    model: Model, tokens: Int[Tensor, "batch read choice"]
) -> tuple[Float[Tensor, "batch read d_model"], Float[Tensor, "batch read"]]:
    """The unembedding of some tokens, the mean over each set: its vectors and its biases."""
    module = attrgetter(model.family.unembed)(model.module)
    times = float(model.logits(torch.ones(())))  # some families scale them
    share = times * (tokens >= 0).double() / (tokens >= 0).sum(-1, keepdim=True)
    weight = torch.einsum("bncd,bnc->bnd", module.weight.detach()[tokens.clamp(min=0)].double(), share)
    bias = getattr(module, "bias", None)
    if bias is None:
        return weight, torch.zeros_like(weight[..., 0])
    return weight, (bias.detach()[tokens.clamp(min=0)].double() * share).sum(-1)
