"""What a part costs on this machine, measured: a call of it, and a row.

Each part is run as the methods run it, through the model's own modules, once on a few rows and once on many.
The line through both is its rate. That takes some milliseconds a part, and only parts that are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from operator import attrgetter
from time import perf_counter, process_time
from typing import Any, TypeAlias

import torch
from torch import Tensor

from nncirc.circuits.intervals import Resampling, bootstrap
from nncirc.engine.forward import Mask, unit_project
from nncirc.engine.gradients import through_norm
from nncirc.engine.intervals import estimates
from nncirc.engine.live import attend, clean_state, with_modules
from nncirc.engine.metrics import Metric
from nncirc.engine.model import Model
from nncirc.engine.program.forecast.work import PARTS, Sizes, Work
from nncirc.engine.reading import Reading

MULTIPLICATIONS = 2**26
"""So many are enough to measure a large product: some milliseconds on one core."""
NUMBERS = 2**19
"""And so many numbers, to measure what is no product, or one of many small ones."""
ENOUGH_SECONDS = 0.003
LEAST_TIMES, MOST_TIMES = 3, 7

Run: TypeAlias = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Rate:
    """Seconds of a part: of a call, and of a row."""

    call: float
    row: float


@dataclass
class Rates:
    """The rates of a model's parts, under the threads that are set.

    Args:
        model: whose parts they are. It may have fewer layers than its config tells of.
        sizes: of the whole model.
        metric: what is read from logits.
        reading: where it reads in one prompt; None where no metric is read.
        tokens: of the prompts that run together.
        length: of the longest prompt.
    """

    model: Model
    sizes: Sizes
    metric: Metric
    reading: Reading | None
    tokens: int
    length: int
    _known: dict[str, Rate] = field(default_factory=dict)

    def seconds(self, work: Work) -> float:
        """How long work should take."""
        return sum(calls * (rate := self.of(part)).call + rows * rate.row for part, calls, rows in work)

    def of(self, part: str) -> Rate:
        """The rate of a part, measured when it is first asked for."""
        if part not in self._known:
            self._known[part] = self._measure(part)
        return self._known[part]

    def _measure(self, part: str) -> Rate:
        if part in _WITHOUT_ROWS:
            return Rate(_time(partial(_WITHOUT_ROWS[part], self.model)), 0.0)
        make = _PARTS[part]
        inside = part in _INSIDE_A_TRACE

        def timed(wanted: int) -> tuple[int, float]:
            rows, run = make(self, max(1, wanted))
            return rows, with_modules(self.model, lambda: _time(run)) if inside else _time(run)

        with torch.no_grad():
            few, little = timed(1)
            many, much = timed(self._many(part))
        slope = max(much - little, 0.0) / max(many - few, 1)
        return Rate(max(little - few * slope, 0.0), slope)

    def _many(self, part: str) -> int:
        """Rows that are enough to measure, and no more than run together."""
        if part in _OTHER_ROWS:
            return _OTHER_ROWS[part]
        each, sizes = PARTS[part](self.sizes), self.sizes
        most = 4 * NUMBERS // sizes.d_model
        if part in ("metric", "change"):
            most = 8 * NUMBERS // sizes.vocabulary  # more than a cache holds, as there are in the run
        elif each:
            most = MULTIPLICATIONS // each
        together = 4 * self.tokens  # of a few interventions at once
        if part == "attend":
            most, together = NUMBERS, self.tokens * self.length * sizes.heads
        elif part in ("unit", "unit gradient", "out", "sum"):
            together *= sizes.heads
        # Few rows of a large product take as long as its weights take to be read.
        return max(16, min(most, together))


def _clock() -> float:
    """Seconds of this process on one thread, which other work on the machine does not count in; else any."""
    alone = torch.get_num_threads() == 1 and not torch.cuda.is_initialized()
    return process_time() if alone else perf_counter()


def _time(run: Run) -> float:
    """Least seconds of a few runs, after one that does not count: other work disturbs the least least."""
    run()
    found: list[float] = []
    # Threads that wait for a core of others' can make any one of them a hundred times too long.
    while len(found) < LEAST_TIMES or (len(found) < MOST_TIMES and sum(found) < ENOUGH_SECONDS):
        began = _clock()
        run()
        _finish()
        found.append(_clock() - began)
    return min(found)


def _finish() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


# Parts: so many rows, and what runs them -------------------------------------------------------------------


def _numbers(rates: Rates, *shape: int) -> Tensor:
    """Some numbers, none of them special."""
    return torch.linspace(-1, 1, shape[-1], dtype=rates.model.dtype, device=rates.model.device).repeat(
        *shape[:-1], 1
    )


class _Layers:
    """Every layer in turn, so that weights are not in a cache where the run would not find them."""

    def __init__(self, model: Model) -> None:
        self.model, self.next = model, -1

    def __call__(self) -> int:
        self.next = (self.next + 1) % len(self.model.blocks)
        return self.next


def _project(rates: Rates, rows: int) -> tuple[int, Run]:
    x, z = _numbers(rates, 1, rows, rates.sizes.d_model), _numbers(rates, 1, rows, _width(rates))
    layers = _Layers(rates.model)

    def run() -> None:
        block = rates.model.blocks[layers()]
        normed = block.attention_norm(x)
        for projection in block.projections:
            projection(normed)
        block.output(z)

    return rows, run


def _width(rates: Rates) -> int:
    return rates.sizes.heads * rates.sizes.d_head


def _attend(rates: Rates, rows: int) -> tuple[int, Run]:
    heads = max(1, rows // rates.length**2)
    query, key, value = (_numbers(rates, heads, 1, 1, rates.length, rates.sizes.d_head) for _ in range(3))
    return heads * rates.length**2, lambda: attend(rates.model, 0, query, key, value)


def _mlp(rates: Rates, rows: int) -> tuple[int, Run]:
    x, layers = _numbers(rates, 1, rows, rates.sizes.d_model), _Layers(rates.model)

    def run() -> None:
        block = rates.model.blocks[layers()]
        block.mlp(block.mlp_norm(x))

    return rows, run


def _unembed(rates: Rates, rows: int) -> tuple[int, Run]:
    x, model = _numbers(rates, 1, rows, rates.sizes.d_model), rates.model
    return rows, lambda: model.unembed(model.final_norm(x))


def _metric(rates: Rates, rows: int) -> tuple[int, Run]:
    where, logits, reference = _logits(rates, rows)
    return len(logits) * len(where.kept), lambda: where.values(rates.metric, logits, reference)


def _change(rates: Rates, rows: int) -> tuple[int, Run]:
    where, change, reference = _logits(rates, rows)
    of_change = rates.metric.measure.of_change
    assert of_change is not None
    assert reference is not None
    probability = reference.exp().float()
    positions = len(change) * len(where.kept)
    return positions, lambda: where.change_values(of_change, change.clone(), probability)


def _logits(rates: Rates, positions: int) -> tuple[Reading, Tensor, Tensor | None]:
    """Where one prompt is read, its logits there in some rows, and what a divergence compares them with."""
    where = rates.reading
    assert where is not None
    kept = len(where.kept)
    logits = _numbers(rates, -(-positions // kept), 1, kept, rates.sizes.vocabulary)
    return where, logits, where.logprob(logits[:1]) if rates.metric.measure.against_clean else None


def _columns(rates: Rates, rows: int) -> tuple[int, Run]:
    model, where = rates.model, rates.reading
    assert where is not None
    kept = len(where.kept)
    tokens = where.columns()
    x = _numbers(rates, -(-rows // kept), 1, kept, rates.sizes.d_model)
    columns = _numbers(rates, *tokens.shape, rates.sizes.d_model)

    def run() -> None:
        logits = torch.einsum("rbnd,bncd->rbnc", where.select(model.final_norm(x)), columns)
        where.column_values(rates.metric, logits)

    return x.shape[0] * kept, run


def _unit(rates: Rates, rows: int) -> tuple[int, Run]:
    heads = min(rows, rates.sizes.heads)
    tokens, layers = rows // heads, _Layers(rates.model)
    x = _numbers(rates, heads, 1, tokens, rates.sizes.d_model)

    def run() -> None:
        layer = layers()
        normed = rates.model.blocks[layer].attention_norm(x + x)
        unit_project(normed, rates.model.weights[layer].query[:heads], None)

    return heads * tokens, run


def _unit_gradient(rates: Rates, rows: int) -> tuple[int, Run]:
    heads = min(rows, rates.sizes.heads)
    tokens, layers, model = rows // heads, _Layers(rates.model), rates.model
    blocks = attrgetter(model.family.blocks)(model.module)
    point = _numbers(rates, 1, tokens, rates.sizes.d_model)
    gradient = _numbers(rates, heads, 1, tokens, rates.sizes.d_head)

    def run() -> None:
        layer = layers()
        before = unit_project(gradient, model.weights[layer].query[:heads].transpose(1, 2), None)
        through_norm(attrgetter(model.family.attention_norm)(blocks[layer]), point, before)

    return heads * tokens, run


def _out(rates: Rates, rows: int) -> tuple[int, Run]:
    heads = min(rows, rates.sizes.heads)
    tokens, layers = rows // heads, _Layers(rates.model)
    z = _numbers(rates, heads, 1, tokens, rates.sizes.d_head)
    return heads * tokens, lambda: unit_project(z, rates.model.weights[layers()].out[:heads], None)


def _sum(rates: Rates, rows: int) -> tuple[int, Run]:
    tokens = min(rates.tokens, rows)
    senders = min(max(1, rows // tokens), rates.sizes.layers * rates.sizes.heads)
    receivers = min(max(1, rows // (tokens * senders)), rates.sizes.units)
    left = _numbers(rates, receivers, tokens * rates.sizes.d_model)
    right = _numbers(rates, senders, tokens * rates.sizes.d_model)
    return receivers * senders * tokens, lambda: left @ right.T


def _add(rates: Rates, rows: int) -> tuple[int, Run]:
    x = _numbers(rates, rows, rates.sizes.d_model)
    y = x.clone()
    return rows, lambda: x + y


def _edge(rates: Rates, rows: int) -> tuple[int, Run]:
    graph = rates.model.graph()
    edges = list(islice(graph.edges(), rows))
    return len(edges), lambda: Mask.of(rates.model, graph, [edges])


def _interval(rates: Rates, rows: int) -> tuple[int, Run]:
    values = torch.linspace(0, 1, max(2, rates.tokens // rates.length), dtype=torch.float64).repeat(rows, 1)
    return rows, lambda: estimates([values])


def _resample(rates: Rates, rows: int) -> tuple[int, Run]:
    column = [i / 7 for i in range(max(2, rates.tokens // rates.length))]
    resamples = -(-rows // len(column))
    how = Resampling(resamples=resamples)
    return resamples * len(column), lambda: bootstrap([column], lambda mean: mean, how)


def _float64(rates: Rates, rows: int) -> tuple[int, Run]:
    side = max(1, round(rows ** (1 / 3)))
    matrix = torch.eye(side, dtype=torch.float64, device=rates.model.device)
    return side**3, lambda: matrix @ matrix


def _forward(model: Model) -> object:
    return clean_state(model, torch.zeros(1, 1, dtype=torch.long, device=model.device))


def _trace(model: Model) -> object:
    return with_modules(model, lambda: None)


_PARTS: Mapping[str, Callable[[Rates, int], tuple[int, Run]]] = {
    "project": _project,
    "attend": _attend,
    "mlp": _mlp,
    "unembed": _unembed,
    "metric": _metric,
    "change": _change,
    "columns": _columns,
    "unit": _unit,
    "unit gradient": _unit_gradient,
    "out": _out,
    "sum": _sum,
    "add": _add,
    "edge": _edge,
    "interval": _interval,
    "resample": _resample,
    "float64": _float64,
}
_OTHER_ROWS = {"edge": 256, "interval": 256, "resample": 4096, "float64": 2**24}
_INSIDE_A_TRACE = {"project", "mlp", "unembed", "columns", "unit"}
_WITHOUT_ROWS: Mapping[str, Callable[[Model], Any]] = {"forward": _forward, "trace": _trace}
