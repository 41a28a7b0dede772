"""Reading predictions off the residual stream: through the final norm and the unembedding, in any stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from operator import attrgetter

import torch
from jaxtyping import Float
from torch import Tensor

from nncirc.circuits.errors import DataError, MethodError
from nncirc.circuits.intervals import Resampling
from nncirc.circuits.made import Made
from nncirc.circuits.names import Position, Positions
from nncirc.engine.data.examples import Dataset
from nncirc.engine.data.labels import labels_of
from nncirc.engine.evaluation.bootstrap import estimates
from nncirc.engine.methods.scores import NodeScores
from nncirc.engine.metrics.metric import Logits, Measure, Metric, check_metric, measures
from nncirc.engine.metrics.reading import Reading, reading, require_answers
from nncirc.engine.model.fits import require_logits
from nncirc.engine.model.model import Model
from nncirc.engine.runs.batches import Batch
from nncirc.engine.runs.columns import by_position, token_texts

# Through the final norm ------------------------------------------------------------------------------------


def final_norm(model: Model, residual: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
    """What the final norm makes of any stage of the residual stream."""
    with torch.no_grad():
        found: Tensor = attrgetter(model.family.final_norm)(model.module)(residual)
    return found


def unembed(model: Model, residual: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch vocab"]:
    """Logits as if a stage of the residual stream were its last; C426, as `require_logits`."""
    require_logits(model)
    with torch.no_grad():
        return model.logits(attrgetter(model.family.unembed)(model.module)(final_norm(model, residual)))


# What is read ----------------------------------------------------------------------------------------------


def rank(logits: Logits) -> Tensor:
    """The place of the answer, of several the best, among all tokens, by logit: 1 is the best."""
    answer = logits.each(logits.answer, logits.patched, -torch.inf).amax(-1, keepdim=True)
    return 1.0 + (logits.patched > answer).sum(-1)


RANK = Measure(rank, ("answer",), -1, "1 is the best")
READ = ("logit_diff", "logprob", "prob", "kl_divergence", "rank")


def measure_of(name: str, dataset: Dataset) -> Measure:
    """What is read from logits by this name, if the dataset has the answers for it.

    Raises:
        MethodError: C572, nothing has this name.
        DataError: C331, it needs an answer or foil that the dataset lacks; C343, answers of several tokens.
    """
    if name not in READ:
        raise MethodError("C572", f"{name!r} cannot be read from logits", hint=f"expected {', '.join(READ)}")
    found = RANK if name == "rank" else measures()[name]
    if found.needs and dataset.answers == "forced":
        raise DataError(
            "C343",
            f"{name} reads one token, but these answers may have several",
            hint="use kl_divergence, or give answers of one token each and remove `teacher_forced`",
        )
    require_answers(name, found, dataset, dataset.examples)
    return found


def where(of: str, dataset: Dataset, prompts: Batch, place: Position, model: Model) -> Reading:
    """Where a column is read in some prompts, and the answers there.

    Raises:
        ModelError: C433, the model's outputs are not logits of tokens.
    """
    # A rank has an answer at the same positions as its probability.
    metric = Metric("prob" if of == "rank" else of, at=(place,))
    check_metric(metric, model)
    return reading(metric, dataset, prompts.examples, model.device)


def selected(where: Reading, at_all: Float[Tensor, "batch pos width"]) -> Float[Tensor, "batch read width"]:
    """The vectors at the positions that each prompt reads."""
    rows = torch.arange(len(at_all), device=at_all.device)[:, None]
    return at_all[rows, where.kept[where.index]]


class Readings:
    """What is read from logits at some positions of a dataset's prompts, by row and column.

    Attributes:
        dataset: the prompts, with the positions by name.
        columns: the positions.

    Raises:
        MethodError: C572, nothing is read by the name `of`; C512, no such position.
        DataError: C331, the dataset lacks the answers; C332, C334 and those of `resolve`: positions.
    """

    def __init__(
        self, model: Model, dataset: Dataset, of: str, positions: Positions, rows: Sequence[str]
    ) -> None:
        self.model, self.of, self.rows, self.measure = model, of, rows, measure_of(of, dataset)
        self.dataset, self.columns = by_position(dataset, positions)
        shape = len(rows), len(self.columns), len(dataset.examples)
        self.values = torch.zeros(shape, dtype=torch.float64)
        self.tops = [[Counter[int]() for _ in self.columns] for _ in rows]

    def where(self, prompts: Batch, column: int) -> Reading:
        """Where a column is read in some prompts."""
        return where(self.of, self.dataset, prompts, self.columns[column], self.model)

    def note(
        self,
        cell: tuple[int, int],
        prompts: Batch,
        where: Reading,
        logits: Float[Tensor, "batch read vocab"],
        own: Float[Tensor, "batch read vocab"],
    ) -> None:
        """Read logits of some prompts; `own` is the model's own prediction there."""
        (row, column), measure = cell, self.measure
        clean = own.double().log_softmax(-1) if measure.against_clean else None
        values = measure.function(Logits(logits.double()[None], clean, where.answer, where.foil))
        self.values[row, column, prompts.indices] = where.mean(values)[0].cpu()
        self.tops[row][column].update(logits.argmax(-1)[where.weight > 0].tolist())

    def scores(self, method: str, how: Resampling, more: Made) -> NodeScores:
        """Means over prompts, with intervals, and the likeliest tokens; `more` says how they were made."""
        made: Made = {
            "method": method,
            "score": f"{self.of}, {self.measure.unit}",
            "of": self.of,
            "rows": "residual stream",
            **more,
            "prompts": len(self.dataset.examples),
            "top": likeliest(self.dataset, self.tops),
            **token_texts(self.dataset, self.columns),
            "dtype": str(self.model.dtype).removeprefix("torch."),
        }
        names, found = [*map(str, self.columns)], estimates([self.values], how=how)
        return NodeScores.estimated(self.rows, names, found, made, self.model.digits)


def likeliest(dataset: Dataset, tops: Sequence[Sequence[Counter[int]]]) -> list[list[str]]:
    """The tokens that were the likeliest most often, as `labels_of` says; of equals that with the smaller id.

    Args:
        dataset: the prompts; without a tokenizer tokens are shown as their ids.
        tops: by row and column how often each token was.
    """
    best = [[min(cell, key=lambda token: (-cell[token], token)) for cell in row] for row in tops]
    tokens = sorted({token for row in best for token in row})
    texts = map(str, tokens) if dataset.tokenizer is None else labels_of(dataset.tokenizer, tokens)
    shown = dict(zip(tokens, texts, strict=True))
    return [[shown[token] for token in row] for row in best]
